//! Values in an order.
//!
//! Across kinds: null, then booleans, numbers, strings, and at last arrays and objects by their text. A number is the
//! value that its text says: exact where that is an integer of 128 bits, however it is written (`100`, `1e2`, `100.0`),
//! else the nearest double. So a value that a column gives back in its canonical text is the value that was put.

use std::borrow::Cow;
use std::cmp::Ordering;

use ryu_js::Buffer;
use serde::{Deserialize, Serialize};

use super::path::FieldPath;
use crate::types::Json;
use crate::types::json::write_string;

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// By which field.
    pub path: FieldPath,
    /// Whether from the greatest to the least.
    pub descending: bool,
}

/// A value as it is ordered; also a part of a cursor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderKey {
    /// Null or absent.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer, exact.
    Integer(i128),
    /// Any other number.
    Double(f64),
    /// A string.
    Text(String),
    /// JSON text of an array or object.
    Json(String),
}

/// An [`OrderKey`] that may borrow its text.
#[derive(Clone, Debug)]
pub enum KeyRef<'a> {
    /// Null or absent.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer, exact.
    Integer(i128),
    /// Any other number.
    Double(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// JSON text of an array or object.
    Json(Cow<'a, str>),
}

/// 2^127, one more than the greatest i128, is a double exactly.
const BEYOND_INTEGERS: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl OrderKey {
    /// The key of a value.
    pub fn of(value: Option<&Json<'_>>) -> Self {
        KeyRef::of(value).into_owned()
    }

    /// The same key, borrowed.
    pub fn borrowed(&self) -> KeyRef<'_> {
        match self {
            Self::Null => KeyRef::Null,
            Self::Boolean(value) => KeyRef::Boolean(*value),
            Self::Integer(value) => KeyRef::Integer(*value),
            Self::Double(value) => KeyRef::Double(*value),
            Self::Text(text) => KeyRef::Text(Cow::Borrowed(text)),
            Self::Json(text) => KeyRef::Json(Cow::Borrowed(text)),
        }
    }

    /// Approximate bytes in memory.
    pub fn size(&self) -> usize {
        let text = match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            _ => 0,
        };
        text.saturating_add(size_of::<Self>())
    }

    /// The order of two keys.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.borrowed().compare(&other.borrowed())
    }

    /// Appends the key as JSON: numbers in their canonical text.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => out.push_str(&value.to_string()),
            Self::Double(value) => out.push_str(Buffer::new().format_finite(*value)),
            Self::Text(text) => write_string(text, out),
            Self::Json(text) => out.push_str(text),
        }
    }
}

impl<'a> KeyRef<'a> {
    /// The key of a value.
    pub fn of(value: Option<&'a Json<'_>>) -> Self {
        match value {
            None | Some(Json::Null) => Self::Null,
            Some(Json::Bool(value)) => Self::Boolean(*value),
            Some(Json::Number(text)) => Self::number(text),
            Some(Json::String(text)) => Self::Text(Cow::Borrowed(text)),
            Some(other) => Self::Json(Cow::Owned(other.to_text())),
        }
    }

    /// The value of a JSON number.
    pub fn number(text: &str) -> Self {
        match text.parse::<i128>().ok().or_else(|| integral(text)) {
            Some(integer) => Self::Integer(integer),
            None => Self::Double(text.parse::<f64>().ok().filter(|value| value.is_finite()).unwrap_or(f64::MAX)),
        }
    }

    /// The same key, borrowing nothing.
    pub fn into_owned(self) -> OrderKey {
        match self {
            Self::Null => OrderKey::Null,
            Self::Boolean(value) => OrderKey::Boolean(value),
            Self::Integer(value) => OrderKey::Integer(value),
            Self::Double(value) => OrderKey::Double(value),
            Self::Text(text) => OrderKey::Text(text.into_owned()),
            Self::Json(text) => OrderKey::Json(text.into_owned()),
        }
    }

    /// One key for all that are equal: a double that is an integer of 128 bits becomes it.
    pub fn canonical(self) -> Self {
        match self {
            Self::Double(value) => whole(value).map_or(self, Self::Integer),
            other => other,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The order of kinds. Only values of one kind are ever equal or in an order that a condition sees.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Integer(_) | Self::Double(_) => 2,
            Self::Text(_) => 3,
            Self::Json(_) => 4,
        }
    }

    /// The order of two keys.
    pub fn compare(&self, other: &KeyRef<'_>) -> Ordering {
        match (self, other) {
            (Self::Boolean(left), KeyRef::Boolean(right)) => left.cmp(right),
            (Self::Integer(left), KeyRef::Integer(right)) => left.cmp(right),
            (Self::Double(left), KeyRef::Double(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            (Self::Integer(left), KeyRef::Double(right)) => compare_mixed(*left, *right),
            (Self::Double(left), KeyRef::Integer(right)) => compare_mixed(*right, *left).reverse(),
            (Self::Text(left), KeyRef::Text(right)) | (Self::Json(left), KeyRef::Json(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Appends bytes that are the same for equal keys alone, and that tell where they end.
    pub fn put_identity(&self, out: &mut Vec<u8>) {
        let canonical = match self {
            Self::Double(value) => whole(*value).map_or(Self::Double(*value), KeyRef::Integer),
            Self::Integer(value) => KeyRef::Integer(*value),
            _ => KeyRef::Null,
        };
        match (self, canonical) {
            (_, KeyRef::Integer(value)) => {
                out.push(1);
                out.extend(value.to_le_bytes());
            }
            (_, KeyRef::Double(value)) => {
                out.push(2);
                out.extend(value.to_le_bytes());
            }
            (Self::Boolean(value), _) => out.push(3 + u8::from(*value)),
            (Self::Text(text), _) => put_text(5, text, out),
            (Self::Json(text), _) => put_text(6, text, out),
            _ => out.push(0),
        }
    }
}

fn put_text(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The integer that a number's text says by a fraction of zeros or an exponent, where it has 128 bits.
fn integral(text: &str) -> Option<i128> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [integer, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let zeros = length(digits).checked_sub(length(significant))?;
    let power = power.parse::<i64>().ok()?.checked_sub(length(fraction))?.checked_add(zeros)?;
    let scale = 10_i128.checked_pow(u32::try_from(power).ok()?)?;
    let magnitude = significant.parse::<i128>().ok()?.checked_mul(scale)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The integer that a double is, where it has 128 bits.
pub(super) fn whole(double: f64) -> Option<i128> {
    if double.trunc() != double || !(-BEYOND_INTEGERS..BEYOND_INTEGERS).contains(&double) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer within the range of i128")]
    let integer = double as i128;
    Some(integer)
}

/// Compares without rounding the integer: first by the double's whole part, then by its fraction.
fn compare_mixed(integer: i128, double: f64) -> Ordering {
    if double >= BEYOND_INTEGERS {
        return Ordering::Less;
    }
    let Some(floor) = whole(double.floor()) else { return Ordering::Greater };
    integer.cmp(&floor).then_with(|| 0.0f64.partial_cmp(&(double - double.floor())).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> OrderKey {
        KeyRef::number(text).into_owned()
    }

    #[test]
    fn numbers_compare_by_value_across_spellings() {
        let compare = |left: &str, right: &str| number(left).compare(&number(right));
        for (left, right) in [
            ("1", "1.0"),
            ("1e2", "100"),
            ("-0", "0.0"),
            ("0e999999999999999999999", "0"),
            ("100000000000000000000000", "1e23"),
            ("120e-1", "12"),
            ("1152921504606847000", "1.152921504606847e18"),
            ("0.99999999999999999999999999", "1"),
            ("-1.5e0", "-1.50"),
        ] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("9007199254740993", "9007199254740992.0"), Ordering::Greater);
        assert_eq!(compare("-3", "-2.5"), Ordering::Less);
        assert_eq!(compare("-2", "-2.5"), Ordering::Greater);
        assert_eq!(compare("2", "2.5"), Ordering::Less);
        assert_eq!(compare("1e300", "5"), Ordering::Greater);
        assert_eq!(compare("-1e300", "-170141183460469231731687303715884105728"), Ordering::Less);
        assert_eq!(compare("170141183460469231731687303715884105727", "1.7014118346046924e38"), Ordering::Less);
    }

    #[test]
    fn equal_keys_have_one_identity() {
        let identity = |text: &str| {
            let mut bytes = Vec::new();
            OrderKey::of(Some(&Json::parse(text).unwrap())).borrowed().put_identity(&mut bytes);
            bytes
        };
        for (left, right) in [("1", "1.0"), ("-0.0", "0"), ("1e-400", "0"), ("9007199254740993.5", "9007199254740994")]
        {
            assert_eq!(identity(left), identity(right), "{left} {right}");
        }
        let all = ["null", "false", "true", "1", "1.5", "\"1\"", "\"\"", "[1]"].map(identity);
        for (position, left) in all.iter().enumerate() {
            assert!(all.iter().skip(position + 1).all(|right| left != right));
        }
    }

    #[test]
    fn kinds_follow_each_other() {
        let values = ["null", "false", "true", "-1e9", "3", "\"\"", "\"b\"", "\"é\"", "[]"]
            .map(|text| OrderKey::of(Some(&Json::parse(text).unwrap())));
        assert!(values.windows(2).all(|pair| pair[0].compare(&pair[1]) == Ordering::Less));
    }
}
