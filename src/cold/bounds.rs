//! Lower and upper bounds of columns, as manifests store them (spec, Appendix D, "Single-value serialization").
//!
//! Text and bytes are cut to [`TRUNCATE_LENGTH`]: a lower bound to a prefix, which is not greater; an upper bound to a
//! prefix whose last character is raised, which is greater. Where nothing can be raised there is no upper bound.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::vortex::{Scalar, Values};

/// Characters of a string, bytes of binary, that a bound keeps; what Iceberg's own writers keep.
pub const TRUNCATE_LENGTH: usize = 16;

/// The bounds of values seen so far, not NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Bounds {
    /// No value was seen.
    #[default]
    Empty,
    /// All values lie between the two; without `upper` nothing is known at that end.
    Known {
        /// Not greater than any value.
        lower: Scalar<'static>,
        /// Not less than any value.
        upper: Option<Scalar<'static>>,
    },
}

impl Bounds {
    /// The bounds of a column's values, texts and bytes cut.
    pub fn of(values: &Values) -> Self {
        match extremes(values) {
            None => Self::Empty,
            Some((least, most)) => Self::Known { lower: truncate_down(&least), upper: truncate_up(&most) },
        }
    }

    /// The least and the greatest of a column's values, whole.
    pub fn exactly(values: &Values) -> Self {
        match extremes(values) {
            None => Self::Empty,
            Some((least, most)) => Self::Known { lower: owned(&least), upper: Some(owned(&most)) },
        }
    }

    /// The bounds of both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, bounds) | (bounds, Self::Empty) => bounds,
            (Self::Known { lower: a, upper: b }, Self::Known { lower: c, upper: d }) => {
                let lower = if order(&c, &a) == Ordering::Less { c } else { a };
                let upper = match (b, d) {
                    (Some(b), Some(d)) => Some(if order(&d, &b) == Ordering::Greater { d } else { b }),
                    _ => None,
                };
                Self::Known { lower, upper }
            }
        }
    }

    /// Both ends in the form of a manifest.
    pub fn serialized(&self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        match self {
            Self::Empty => (None, None),
            Self::Known { lower, upper } => (Some(serialize(lower)), upper.as_ref().map(serialize)),
        }
    }
}

/// The least and the greatest of values that are not NaN.
fn extremes(values: &Values) -> Option<(Scalar<'_>, Scalar<'_>)> {
    let mut extremes: Option<(Scalar<'_>, Scalar<'_>)> = None;
    for value in (0..values.len()).filter_map(|position| values.get(position)) {
        if is_nan(&value) {
            continue;
        }
        extremes = Some(match extremes {
            None => (value.clone(), value),
            Some((least, most)) if order(&value, &least) == Ordering::Less => (value, most),
            Some((least, most)) if order(&value, &most) == Ordering::Greater => (least, value),
            Some(unchanged) => unchanged,
        });
    }
    extremes
}

/// How many of the values are NaN; `None` for types that have none.
pub fn nan_count(values: &Values) -> Option<usize> {
    match values {
        Values::Float(values) => Some(values.iter().filter(|value| value.is_nan()).count()),
        Values::Double(values) => Some(values.iter().filter(|value| value.is_nan()).count()),
        _ => None,
    }
}

/// A value in the spec's binary form.
pub fn serialize(value: &Scalar<'_>) -> Vec<u8> {
    match value {
        Scalar::Boolean(value) => vec![u8::from(*value)],
        Scalar::Int(value) => value.to_le_bytes().to_vec(),
        Scalar::Long(value) => value.to_le_bytes().to_vec(),
        Scalar::Float(value) => value.to_le_bytes().to_vec(),
        Scalar::Double(value) => value.to_le_bytes().to_vec(),
        Scalar::Decimal(value) => shortest_decimal(*value),
        Scalar::Uuid(value) => value.as_bytes().to_vec(),
        Scalar::Text(text) => text.as_bytes().to_vec(),
        Scalar::Binary(bytes) => bytes.to_vec(),
    }
}

/// Two's complement, big-endian, without bytes that only repeat the sign.
fn shortest_decimal(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let mut rest: &[u8] = &bytes;
    while let [first, tail @ ..] = rest {
        let redundant = match tail.first() {
            Some(next) => (*first == 0 && *next < 0x80) || (*first == 0xff && *next >= 0x80),
            None => false,
        };
        if !redundant {
            break;
        }
        rest = tail;
    }
    rest.to_vec()
}

/// The order of values of one type; floating point by IEEE 754's total order, so that -0 is less than 0.
fn order(left: &Scalar<'_>, right: &Scalar<'_>) -> Ordering {
    match (left, right) {
        (Scalar::Boolean(left), Scalar::Boolean(right)) => left.cmp(right),
        (Scalar::Int(left), Scalar::Int(right)) => left.cmp(right),
        (Scalar::Long(left), Scalar::Long(right)) => left.cmp(right),
        (Scalar::Float(left), Scalar::Float(right)) => left.total_cmp(right),
        (Scalar::Double(left), Scalar::Double(right)) => left.total_cmp(right),
        (Scalar::Decimal(left), Scalar::Decimal(right)) => left.cmp(right),
        (Scalar::Uuid(left), Scalar::Uuid(right)) => left.cmp(right),
        (Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        (Scalar::Binary(left), Scalar::Binary(right)) => left.cmp(right),
        // A column has values of one type only.
        _ => Ordering::Equal,
    }
}

fn is_nan(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Float(value) => value.is_nan(),
        Scalar::Double(value) => value.is_nan(),
        _ => false,
    }
}

fn truncate_down(value: &Scalar<'_>) -> Scalar<'static> {
    match value {
        Scalar::Text(text) => Scalar::Text(Cow::Owned(text.chars().take(TRUNCATE_LENGTH).collect())),
        Scalar::Binary(bytes) => Scalar::Binary(Cow::Owned(bytes.iter().copied().take(TRUNCATE_LENGTH).collect())),
        other => owned(other),
    }
}

fn truncate_up(value: &Scalar<'_>) -> Option<Scalar<'static>> {
    match value {
        Scalar::Text(text) => text_above(text).map(|text| Scalar::Text(Cow::Owned(text))),
        Scalar::Binary(bytes) => bytes_above(bytes).map(|bytes| Scalar::Binary(Cow::Owned(bytes))),
        other => Some(owned(other)),
    }
}

fn text_above(text: &str) -> Option<String> {
    let mut kept: String = text.chars().take(TRUNCATE_LENGTH).collect();
    if kept.len() == text.len() {
        return Some(kept);
    }
    while let Some(last) = kept.pop() {
        if let Some(next) = next_char(last) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

/// The next code point that is a character: surrogates are none.
fn next_char(character: char) -> Option<char> {
    match character {
        '\u{d7ff}' => Some('\u{e000}'),
        other => char::from_u32(u32::from(other).checked_add(1)?),
    }
}

fn bytes_above(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut kept: Vec<u8> = bytes.iter().copied().take(TRUNCATE_LENGTH).collect();
    if kept.len() == bytes.len() {
        return Some(kept);
    }
    while let Some(last) = kept.pop() {
        if let Some(next) = last.checked_add(1) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

pub(super) fn owned(value: &Scalar<'_>) -> Scalar<'static> {
    match value {
        Scalar::Boolean(value) => Scalar::Boolean(*value),
        Scalar::Int(value) => Scalar::Int(*value),
        Scalar::Long(value) => Scalar::Long(*value),
        Scalar::Float(value) => Scalar::Float(*value),
        Scalar::Double(value) => Scalar::Double(*value),
        Scalar::Decimal(value) => Scalar::Decimal(*value),
        Scalar::Uuid(value) => Scalar::Uuid(*value),
        Scalar::Text(text) => Scalar::Text(Cow::Owned(text.clone().into_owned())),
        Scalar::Binary(bytes) => Scalar::Binary(Cow::Owned(bytes.clone().into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vortex::{Column, ColumnType};

    fn text_bounds(values: &[String]) -> Bounds {
        let mut column = Column::new(ColumnType::String);
        values.iter().for_each(|value| column.push(Scalar::Text(value.into())).unwrap());
        Bounds::of(column.values())
    }

    proptest! {
        #[test]
        fn text_bounds_hold_and_are_short(
            left in prop::collection::vec("[a\u{d7ff}\u{10ffff}\u{0}é]{0,20}", 0..6),
            right in prop::collection::vec("[\u{10ffff}]{15,18}|.{0,30}", 0..6),
        ) {
            let bounds = text_bounds(&left).merge(text_bounds(&right));
            let all: Vec<&String> = left.iter().chain(&right).collect();
            let (lower, upper) = bounds.serialized();
            prop_assert_eq!(lower.is_some(), !all.is_empty());
            for value in all {
                prop_assert!(lower.as_deref().unwrap() <= value.as_bytes());
                if let Some(upper) = &upper {
                    prop_assert!(upper.as_slice() >= value.as_bytes());
                    prop_assert!(std::str::from_utf8(upper).unwrap().chars().count() <= TRUNCATE_LENGTH);
                }
            }
        }

        #[test]
        fn decimals_are_as_short_as_can_be(value: i128, shift in 0_u32..127) {
            let value = value >> shift;
            let bytes = serialize(&Scalar::Decimal(value));
            let fill = if value < 0 { 0xff } else { 0 };
            let mut padded = [fill; 16];
            padded[16 - bytes.len()..].copy_from_slice(&bytes);
            prop_assert_eq!(i128::from_be_bytes(padded), value);
            prop_assert!(bytes.len() == 1 || !(bytes[0] == fill && (bytes[1] >= 0x80) == (value < 0)));
        }
    }

    #[test]
    fn upper_bounds_are_raised_or_absent() {
        let upper = |text: String| text_bounds(&[text]).serialized().1.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(upper("a".repeat(16)), Some("a".repeat(16)));
        assert_eq!(upper("a".repeat(17)), Some("a".repeat(15) + "b"));
        assert_eq!(upper("a".repeat(15) + "\u{10ffff}z"), Some("a".repeat(14) + "b"));
        assert_eq!(upper("\u{10ffff}".repeat(17)), None);
        assert_eq!(bytes_above(&[0xff; 17]), None);
        assert_eq!(bytes_above(&[7; 17]).map(|bytes| bytes[15]), Some(8));
    }

    #[test]
    fn nan_is_counted_and_bounds_nothing() {
        let values = Values::Double(vec![f64::NAN, 1.5, -0.0, 0.0]);
        assert_eq!(nan_count(&values), Some(1));
        let bounds = Bounds::of(&values);
        assert_eq!(bounds, Bounds::Known { lower: Scalar::Double(-0.0), upper: Some(Scalar::Double(1.5)) });
        assert_eq!(bounds.serialized().0, Some((-0.0_f64).to_le_bytes().to_vec()));
        assert_eq!(Bounds::of(&Values::Float(vec![f32::NAN])), Bounds::Empty);
    }
}
