//! Values in an order.
//!
//! Across kinds: null, then booleans, numbers, strings, and at last arrays and objects by their text.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::path::FieldPath;
use crate::types::Json;

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

impl OrderKey {
    /// The key of a value.
    pub fn of(value: Option<&Json<'_>>) -> Self {
        match value {
            None | Some(Json::Null) => Self::Null,
            Some(Json::Bool(value)) => Self::Boolean(*value),
            Some(Json::Number(text)) => number(text),
            Some(Json::String(text)) => Self::Text(text.to_string()),
            Some(other) => Self::Json(other.to_text()),
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

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Integer(_) | Self::Double(_) => 2,
            Self::Text(_) => 3,
            Self::Json(_) => 4,
        }
    }

    /// The order of two keys.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(left), Self::Boolean(right)) => left.cmp(right),
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Double(left), Self::Double(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            (Self::Integer(left), Self::Double(right)) => compare_mixed(*left, *right),
            (Self::Double(left), Self::Integer(right)) => compare_mixed(*right, *left).reverse(),
            (Self::Text(left), Self::Text(right)) | (Self::Json(left), Self::Json(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// The value of a JSON number: exact for integers of up to 38 digits, else the nearest double.
pub fn number(text: &str) -> OrderKey {
    match text.parse::<i128>() {
        Ok(integer) => OrderKey::Integer(integer),
        Err(_) => OrderKey::Double(text.parse::<f64>().unwrap_or(f64::MAX)),
    }
}

/// Compares without rounding the integer: first by the double's whole part, then by its fraction.
fn compare_mixed(integer: i128, double: f64) -> Ordering {
    // 2^127, one more than the greatest i128, is a double exactly.
    const BEYOND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if double >= BEYOND {
        return Ordering::Less;
    }
    if double < -BEYOND {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "whole is integral and within the range of i128")]
    let whole_integer = whole as i128;
    integer.cmp(&whole_integer).then_with(|| 0.0f64.partial_cmp(&(double - whole)).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_across_spellings() {
        let compare = |left: &str, right: &str| number(left).compare(&number(right));
        assert_eq!(compare("1", "1.0"), Ordering::Equal);
        assert_eq!(compare("1e2", "100"), Ordering::Equal);
        assert_eq!(compare("-0", "0.0"), Ordering::Equal);
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("9007199254740993", "9007199254740992.0"), Ordering::Greater);
        assert_eq!(compare("-3", "-2.5"), Ordering::Less);
        assert_eq!(compare("-2", "-2.5"), Ordering::Greater);
        assert_eq!(compare("2", "2.5"), Ordering::Less);
        assert_eq!(compare("1e300", "5"), Ordering::Greater);
        assert_eq!(compare("-1e300", "-170141183460469231731687303715884105728"), Ordering::Less);
        assert_eq!(compare("170141183460469231731687303715884105727", "1.7014118346046923e38"), Ordering::Less);
    }

    #[test]
    fn kinds_follow_each_other() {
        let values = ["null", "false", "true", "-1e9", "3", "\"\"", "\"b\"", "\"é\"", "[]"]
            .map(|text| OrderKey::of(Some(&Json::parse(text).unwrap())));
        assert!(values.windows(2).all(|pair| pair[0].compare(&pair[1]) == Ordering::Less));
    }
}
