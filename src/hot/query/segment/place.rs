//! Where a constant of a condition stands among the values of a typed column, whose values are compared by what their
//! canonical text says.

use std::borrow::Cow;
use std::cmp::Ordering;

use uuid::Uuid;

use super::super::order::{KeyRef, OrderKey};
use super::keys::scalar_key;
use crate::types::Json;
use crate::types::time::MICROS_PER_MILLI;
use crate::vortex::{ColumnType, Fit, Scalar};

/// From here on a double's canonical text says another integer than the double is.
pub(super) const DOUBLES_APART: f64 = 9_007_199_254_740_992.0;
/// Up to here floats say the integers that they are.
pub(super) const FLOATS_APART: f32 = 16_777_216.0;
/// Decimals of as many digits each have a double of their own.
pub(super) const DECIMAL_EXACT_DIGITS: u8 = 15;
/// The days and milliseconds of the years 1 to 9999, from 1970.
const DAYS: (i64, i64) = (-719_162, 2_932_896);
const MILLIS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);

/// Where a constant stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place<'q> {
    /// At this value, which is the one that equals it.
    At(Scalar<'q>),
    /// Before this value and after those less than it.
    Before(Scalar<'q>),
    /// Before all values.
    BeforeAll,
    /// After all values.
    AfterAll,
    /// Nowhere: it is of another kind.
    Foreign,
    /// That is not known.
    Unknown,
}

/// Whether values of a type are in the order of their keys.
pub(super) fn is_in_key_order(column_type: ColumnType) -> bool {
    match column_type {
        ColumnType::Decimal { precision, .. } => precision <= DECIMAL_EXACT_DIGITS,
        ColumnType::Binary | ColumnType::Json => false,
        _ => true,
    }
}

/// The rank of the values of a type; `None` when they are of several.
pub(super) fn rank(column_type: ColumnType) -> Option<u8> {
    Some(match column_type {
        ColumnType::Boolean => KeyRef::Boolean(false).rank(),
        ColumnType::Int | ColumnType::Long | ColumnType::Float | ColumnType::Double | ColumnType::Decimal { .. } => {
            KeyRef::Integer(0).rank()
        }
        ColumnType::Date | ColumnType::Timestamp | ColumnType::String | ColumnType::Uuid | ColumnType::Binary => {
            KeyRef::Text(Cow::Borrowed("")).rank()
        }
        ColumnType::Json => return None,
    })
}

/// The place of a constant among the values of a type.
pub(super) fn place(column_type: ColumnType, operand: &OrderKey) -> Place<'_> {
    let key = operand.borrowed().canonical();
    match rank(column_type) {
        None => return Place::Unknown,
        Some(rank) if rank != key.rank() => return Place::Foreign,
        Some(_) => {}
    }
    match (column_type, operand) {
        (ColumnType::Boolean, OrderKey::Boolean(value)) => Place::At(Scalar::Boolean(*value)),
        (ColumnType::Int, _) => integer(&key, i128::from(i32::MIN), i128::from(i32::MAX), |value| {
            i32::try_from(value).ok().map(Scalar::Int)
        }),
        (ColumnType::Long, _) => integer(&key, i128::from(i64::MIN), i128::from(i64::MAX), |value| {
            i64::try_from(value).ok().map(Scalar::Long)
        }),
        (ColumnType::Double, _) => match near(&key) {
            Some(value) if value.abs() < DOUBLES_APART => Place::At(Scalar::Double(value)),
            _ => Place::Unknown,
        },
        (ColumnType::Float, _) => float(&key),
        (ColumnType::Decimal { precision, scale }, _) if precision <= DECIMAL_EXACT_DIGITS => {
            decimal(precision, scale, &key)
        }
        (ColumnType::String, OrderKey::Text(text)) => Place::At(Scalar::Text(Cow::Borrowed(text))),
        (ColumnType::Date | ColumnType::Timestamp | ColumnType::Uuid, OrderKey::Text(text)) => {
            match exact_text(column_type, text) {
                Some(scalar) => Place::At(scalar),
                None => first_not(column_type, |value| value < text.as_str()),
            }
        }
        _ => Place::Unknown,
    }
}

/// The values that begin so, from the first place up to the second; `None` when that is not told by places.
pub(super) fn prefixed(column_type: ColumnType, prefix: &str) -> Option<(Place<'static>, Place<'static>)> {
    let from = first_not(column_type, |value| value < prefix);
    let to = first_not(column_type, |value| value < prefix || value.starts_with(prefix));
    (from != Place::Unknown).then_some((from, to))
}

/// The value whose canonical text this is.
pub(super) fn exact_text(column_type: ColumnType, text: &str) -> Option<Scalar<'static>> {
    let value = Json::String(Cow::Borrowed(text));
    let (scalar, fit) = column_type.represent(&value)?;
    if fit != Fit::Canonical {
        return None;
    }
    Some(match scalar {
        Scalar::Int(value) => Scalar::Int(value),
        Scalar::Long(value) => Scalar::Long(value),
        Scalar::Uuid(value) => Scalar::Uuid(value),
        Scalar::Binary(bytes) => Scalar::Binary(Cow::Owned(bytes.into_owned())),
        _ => return None,
    })
}

fn integer<'q>(key: &KeyRef<'_>, least: i128, greatest: i128, scalar: fn(i128) -> Option<Scalar<'q>>) -> Place<'q> {
    let is_exact = matches!(key, KeyRef::Integer(_));
    let ceiling = match key {
        KeyRef::Integer(value) => *value,
        KeyRef::Double(value) => match super::super::order::whole(value.ceil()) {
            Some(value) => value,
            None if *value < 0.0 => return Place::BeforeAll,
            None => return Place::AfterAll,
        },
        _ => return Place::Foreign,
    };
    match ceiling {
        value if value > greatest => Place::AfterAll,
        value if value < least => Place::BeforeAll,
        value => match scalar(value) {
            Some(scalar) if is_exact => Place::At(scalar),
            Some(scalar) => Place::Before(scalar),
            None => Place::Unknown,
        },
    }
}

/// The double nearest to a number.
fn near(key: &KeyRef<'_>) -> Option<f64> {
    match key {
        #[expect(clippy::cast_precision_loss, reason = "the nearest is wanted")]
        KeyRef::Integer(value) => Some(*value as f64),
        KeyRef::Double(value) => Some(*value),
        _ => None,
    }
}

/// Floats are in the order of what their texts say, so that the place is next to the nearest float.
fn float(key: &KeyRef<'_>) -> Place<'static> {
    const STEPS: usize = 4;
    let Some(near) = near(key) else { return Place::Foreign };
    #[expect(clippy::cast_possible_truncation, reason = "the nearest is wanted")]
    let mut at = near as f32;
    if !at.is_finite() {
        return Place::Unknown;
    }
    let against = |value: f32| scalar_key(ColumnType::Float, Scalar::Float(value)).ok().map(|value| value.compare(key));
    for _ in 0..STEPS {
        let before = at.next_down();
        match (against(at), against(before)) {
            (Some(Ordering::Less), _) => at = at.next_up(),
            (Some(Ordering::Equal), _) => return Place::At(Scalar::Float(at)),
            (Some(Ordering::Greater), Some(Ordering::Less)) => return Place::Before(Scalar::Float(at)),
            (Some(Ordering::Greater), Some(_)) => at = before,
            _ => return Place::Unknown,
        }
        if !at.is_finite() {
            return Place::Unknown;
        }
    }
    Place::Unknown
}

/// The least decimal that is not less, by bisection: decimals of few digits are in the order of their doubles.
fn decimal(precision: u8, scale: u8, key: &KeyRef<'_>) -> Place<'static> {
    let column_type = ColumnType::Decimal { precision, scale };
    let Some(end) = 10_i128.checked_pow(u32::from(precision)) else { return Place::Unknown };
    let against = |unscaled: i128| {
        scalar_key(column_type, Scalar::Decimal(unscaled)).map_or(Ordering::Greater, |value| value.compare(key))
    };
    let (mut low, mut high) = (1 - end, end);
    while low < high {
        // Rounded down, also below zero.
        let middle = low + (high - low) / 2;
        if against(middle).is_lt() { low = middle + 1 } else { high = middle }
    }
    match low {
        _ if low == end => Place::AfterAll,
        _ if against(low).is_eq() => Place::At(Scalar::Decimal(low)),
        _ => Place::Before(Scalar::Decimal(low)),
    }
}

/// The first value of a type, in order, whose text does not satisfy what a beginning of them satisfies.
fn first_not(column_type: ColumnType, holds: impl Fn(&str) -> bool) -> Place<'static> {
    let test = |scalar: Option<Scalar<'static>>| match scalar.map(|scalar| scalar_key(column_type, scalar)) {
        Some(Ok(KeyRef::Text(text))) => holds(&text),
        _ => false,
    };
    let scalar = |at: u128| -> Option<Scalar<'static>> {
        let signed = |(first, last): (i64, i64)| i64::try_from(at).ok()?.checked_add(first).filter(|at| *at <= last);
        match column_type {
            ColumnType::Date => Some(Scalar::Int(i32::try_from(signed(DAYS)?).ok()?)),
            ColumnType::Timestamp => Some(Scalar::Long(signed(MILLIS)?.checked_mul(MICROS_PER_MILLI)?)),
            ColumnType::Uuid => Some(Scalar::Uuid(Uuid::from_u128(at))),
            _ => None,
        }
    };
    let span = |(first, last): (i64, i64)| last.checked_sub(first).and_then(|span| u128::try_from(span).ok());
    let last = match column_type {
        ColumnType::Date => span(DAYS),
        ColumnType::Timestamp => span(MILLIS),
        ColumnType::Uuid => Some(u128::MAX),
        _ => None,
    };
    let Some(last) = last else { return Place::Unknown };
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low.midpoint(high);
        if test(scalar(middle)) { low = middle + 1 } else { high = middle }
    }
    match scalar(low) {
        Some(found) if !test(Some(found.clone())) => Place::Before(found),
        _ => Place::AfterAll,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(column_type: &str, json: &str) -> Place<'static> {
        let operand = Box::leak(Box::new(OrderKey::of(Some(&Json::parse(json).unwrap()))));
        place(column_type.parse().unwrap(), operand)
    }

    #[test]
    fn numbers_have_their_place_among_others() {
        assert_eq!(at("long", "5.0"), Place::At(Scalar::Long(5)));
        assert_eq!(at("long", "5.5"), Place::Before(Scalar::Long(6)));
        assert_eq!(at("long", "-5.5"), Place::Before(Scalar::Long(-5)));
        assert_eq!(at("int", "3e9"), Place::AfterAll);
        assert_eq!(at("int", "-1e300"), Place::BeforeAll);
        assert_eq!(at("int", "\"5\""), Place::Foreign);
        assert_eq!(at("double", "0.1"), Place::At(Scalar::Double(0.1)));
        assert_eq!(at("double", "9007199254740993"), Place::Unknown);
        assert_eq!(at("float", "0.1"), Place::At(Scalar::Float(0.1)));
        assert_eq!(at("float", "0.10000000149011612"), Place::Before(Scalar::Float(0.1_f32.next_up())));
        assert_eq!(at("decimal(5,2)", "10.5"), Place::At(Scalar::Decimal(1050)));
        assert_eq!(at("decimal(5,2)", "10.501"), Place::Before(Scalar::Decimal(1051)));
        assert_eq!(at("decimal(5,2)", "1000"), Place::AfterAll);
        assert_eq!(at("decimal(5,2)", "-1000"), Place::Before(Scalar::Decimal(-99_999)));
        assert_eq!(at("decimal(20,2)", "1"), Place::Unknown);
    }

    #[test]
    fn texts_have_their_place_among_what_is_no_text() {
        assert_eq!(at("date", "\"1970-01-02\""), Place::At(Scalar::Int(1)));
        assert_eq!(at("date", "\"1970-01-02T\""), Place::Before(Scalar::Int(2)));
        assert_eq!(at("date", "\"1970\""), Place::Before(Scalar::Int(0)));
        assert_eq!(at("date", "\"x\""), Place::AfterAll);
        assert_eq!(at("date", "1970"), Place::Foreign);
        assert_eq!(at("timestamp", "\"1970-01-01T00:00:00.001Z\""), Place::At(Scalar::Long(1_000)));
        assert_eq!(at("timestamp", "\"1970-01-01T00:00:00Z\""), Place::Before(Scalar::Long(1_000_000)));
        assert_eq!(at("uuid", "\"\""), Place::Before(Scalar::Uuid(Uuid::nil())));
        let upper = at("uuid", "\"00000000-0000-0000-0000-00000000000A\"");
        assert_eq!(upper, Place::Before(Scalar::Uuid(Uuid::from_u128(10))), "upper case is before lower case");
        assert_eq!(at("binary", "\"AA==\""), Place::Unknown, "bytes are not in the order of their text");
        assert_eq!(exact_text(ColumnType::Binary, "AA=="), Some(Scalar::Binary(Cow::Borrowed(&[0]))));
        assert_eq!(exact_text(ColumnType::Binary, "AB=="), None);
        let year = prefixed(ColumnType::Date, "1970-");
        assert_eq!(year, Some((Place::Before(Scalar::Int(0)), Place::Before(Scalar::Int(365)))));
    }
}
