//! Types of fields (spec, "Schemas and Data Types"), their values, and both of these in bytes and in JSON.
//!
//! A value is a [`Scalar`], which does not tell a date from an int: the field's type does.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use crate::cold::statistics::big_endian;
use crate::vortex::{ColumnType, Scalar};

/// The largest `fixed(L)` that is read.
pub(super) const FIXED_MAX_BYTES: usize = 64 * 1024;

/// A type without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrimitiveType {
    /// `true` or `false`.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// Exact decimals, as their unscaled number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 1970-01-01 without a zone.
    Timestamp,
    /// Microseconds since the Unix epoch.
    Timestamptz,
    /// UTF-8 text.
    String,
    /// A UUID.
    Uuid,
    /// Bytes, as many in each value.
    Fixed(usize),
    /// Bytes.
    Binary,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// One without parts.
    Primitive(PrimitiveType),
    /// `struct`, `list`, `map`, or a name that this program does not know: such a column cannot be read.
    Other(String),
}

impl FieldType {
    /// The type, when it is one that can be read.
    pub fn primitive(&self) -> Option<PrimitiveType> {
        match self {
            Self::Primitive(primitive) => Some(*primitive),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primitive(primitive) => write!(f, "{primitive:?}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for FieldType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let name = value.as_str().or_else(|| value.get("type").and_then(Value::as_str));
        let name = name.ok_or_else(|| serde::de::Error::custom("expected a type of the spec, got another value"))?;
        Ok(match PrimitiveType::parse(name) {
            Some(primitive) if value.is_string() => Self::Primitive(primitive),
            _ => Self::Other(name.chars().take(64).collect()),
        })
    }
}

impl PrimitiveType {
    /// A type by the spec's name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::Timestamptz,
            "string" => Self::String,
            "uuid" => Self::Uuid,
            "binary" => Self::Binary,
            other => return parameterised(other),
        })
    }

    /// A value from the spec's binary form (spec, "Appendix D", "Single-value serialization"). A value of a type that
    /// this one was widened from is taken too.
    pub fn from_bytes(self, bytes: &[u8]) -> Option<Scalar<'static>> {
        Some(match self {
            Self::Boolean => Scalar::Boolean(*bytes.first()? != 0),
            Self::Int | Self::Date => Scalar::Int(i32::from_le_bytes(bytes.try_into().ok()?)),
            Self::Long | Self::Time | Self::Timestamp | Self::Timestamptz => Scalar::Long(match bytes.len() {
                4 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
                _ => i64::from_le_bytes(bytes.try_into().ok()?),
            }),
            Self::Float => Scalar::Float(f32::from_le_bytes(bytes.try_into().ok()?)),
            Self::Double => Scalar::Double(match bytes.len() {
                4 => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
                _ => f64::from_le_bytes(bytes.try_into().ok()?),
            }),
            Self::Decimal { .. } => Scalar::Decimal(big_endian(bytes)?),
            Self::String => Scalar::Text(Cow::Owned(String::from_utf8(bytes.to_vec()).ok()?)),
            Self::Uuid => Scalar::Uuid(Uuid::from_slice(bytes).ok()?),
            Self::Fixed(_) | Self::Binary => Scalar::Binary(Cow::Owned(bytes.to_vec())),
        })
    }

    /// A value as JSON: numbers and booleans as such, a number that JSON has not (NaN) and everything else as text;
    /// dates and times as the numbers they are, bytes in base64.
    pub fn to_json(self, value: &Scalar<'_>) -> Value {
        match (self, value) {
            (_, Scalar::Boolean(value)) => Value::from(*value),
            (_, Scalar::Int(value)) => Value::from(*value),
            (_, Scalar::Long(value)) => Value::from(*value),
            (_, Scalar::Float(value)) => number(f64::from(*value)),
            (_, Scalar::Double(value)) => number(*value),
            (Self::Decimal { precision, scale }, value @ Scalar::Decimal(_)) => {
                let mut text = String::new();
                ColumnType::Decimal { precision, scale }.write_canonical(value, &mut text);
                Value::from(text)
            }
            (_, Scalar::Decimal(value)) => Value::from(value.to_string()),
            (_, Scalar::Uuid(value)) => Value::from(value.hyphenated().to_string()),
            (_, Scalar::Text(text)) => Value::from(text.as_ref()),
            (_, Scalar::Binary(bytes)) => Value::from(STANDARD.encode(bytes)),
        }
    }
}

fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

/// `decimal(P, S)` and `fixed[L]`.
fn parameterised(name: &str) -> Option<PrimitiveType> {
    if let Some(inner) = name.strip_prefix("fixed[") {
        let length = inner.strip_suffix(']')?.trim().parse().ok()?;
        return (1..=FIXED_MAX_BYTES).contains(&length).then_some(PrimitiveType::Fixed(length));
    }
    match name.parse::<ColumnType>() {
        Ok(ColumnType::Decimal { precision, scale }) => Some(PrimitiveType::Decimal { precision, scale }),
        _ => None,
    }
}

/// The order of two values of one type; `None` for values of two types and for NaN, which has no place in bounds.
/// Numbers compare by value, so that -0 and 0 are the same.
pub fn compare(left: &Scalar<'_>, right: &Scalar<'_>) -> Option<Ordering> {
    match (left, right) {
        (Scalar::Boolean(left), Scalar::Boolean(right)) => Some(left.cmp(right)),
        (Scalar::Int(left), Scalar::Int(right)) => Some(left.cmp(right)),
        (Scalar::Long(left), Scalar::Long(right)) => Some(left.cmp(right)),
        (Scalar::Float(left), Scalar::Float(right)) => left.partial_cmp(right),
        (Scalar::Double(left), Scalar::Double(right)) => left.partial_cmp(right),
        (Scalar::Decimal(left), Scalar::Decimal(right)) => Some(left.cmp(right)),
        (Scalar::Uuid(left), Scalar::Uuid(right)) => Some(left.cmp(right)),
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Binary(left), Scalar::Binary(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cold::bounds::serialize;

    #[test]
    fn names_are_the_spec_s() {
        let parse = |text: &str| serde_json::from_str::<FieldType>(text).unwrap();
        assert_eq!(parse("\"timestamptz\""), FieldType::Primitive(PrimitiveType::Timestamptz));
        let decimal = PrimitiveType::Decimal { precision: 9, scale: 2 };
        assert_eq!(parse("\"decimal(9, 2)\"").primitive(), Some(decimal));
        assert_eq!(parse("\"decimal(9,2)\"").primitive(), Some(decimal));
        assert_eq!(parse("\"fixed[16]\"").primitive(), Some(PrimitiveType::Fixed(16)));
        for other in ["\"variant\"", "\"fixed[99999999999]\"", "\"decimal(99,2)\"", "\"bool\"", "{\"type\":\"list\"}"] {
            assert_eq!(parse(other).primitive(), None, "{other}");
        }
        assert!(serde_json::from_str::<FieldType>("7").is_err());
    }

    #[test]
    fn bounds_are_read_back_and_other_lengths_refused() {
        let values = [
            (PrimitiveType::Boolean, Scalar::Boolean(true)),
            (PrimitiveType::Date, Scalar::Int(-5)),
            (PrimitiveType::Timestamptz, Scalar::Long(7)),
            (PrimitiveType::Double, Scalar::Double(0.5)),
            (PrimitiveType::Decimal { precision: 9, scale: 2 }, Scalar::Decimal(-123)),
            (PrimitiveType::String, Scalar::Text("é".into())),
            (PrimitiveType::Uuid, Scalar::Uuid(Uuid::from_u128(7))),
            (PrimitiveType::Binary, Scalar::Binary(vec![0, 255].into())),
        ];
        for (primitive, value) in values {
            assert_eq!(primitive.from_bytes(&serialize(&value)), Some(value), "{primitive:?}");
        }
        assert_eq!(PrimitiveType::Long.from_bytes(&7_i32.to_le_bytes()), Some(Scalar::Long(7)), "widened since");
        for primitive in [PrimitiveType::Int, PrimitiveType::Long, PrimitiveType::Double, PrimitiveType::Uuid] {
            assert_eq!(primitive.from_bytes(&[1, 2, 3]), None, "{primitive:?}");
        }
        assert_eq!(PrimitiveType::String.from_bytes(&[0xff]), None);
        assert_eq!(PrimitiveType::Decimal { precision: 9, scale: 2 }.from_bytes(&[]), None);
    }

    #[test]
    fn json_keeps_every_digit() {
        let decimal = PrimitiveType::Decimal { precision: 38, scale: 2 };
        assert_eq!(decimal.to_json(&Scalar::Decimal(-1050)), "-10.50");
        assert_eq!(PrimitiveType::Double.to_json(&Scalar::Double(f64::NAN)), "NaN");
        assert_eq!(PrimitiveType::Binary.to_json(&Scalar::Binary(vec![0, 255].into())), "AP8=");
        assert_eq!(PrimitiveType::Long.to_json(&Scalar::Long(i64::MAX)), i64::MAX);
    }
}
