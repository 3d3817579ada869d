//! The types a column can have, by the names of the HTTP contract (API.md, `PUT /collections/{c}`).
//!
//! Each is one type of the Iceberg spec's "Primitive Types" but [`ColumnType::Json`], which is a string that holds
//! JSON text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest precision of a decimal (Iceberg spec, Primitive Types).
pub const DECIMAL_MAX_PRECISION: u8 = 38;

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// `true` or `false`.
    Boolean,
    /// 32-bit signed integers.
    Int,
    /// 64-bit signed integers.
    Long,
    /// IEEE 754 single precision.
    Float,
    /// IEEE 754 double precision.
    Double,
    /// Exact decimals.
    Decimal {
        /// Significant digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// A calendar day, text `YYYY-MM-DD`.
    Date,
    /// A moment in microseconds since the Unix epoch, text RFC 3339.
    Timestamp,
    /// UTF-8 text.
    String,
    /// A UUID, text of 36 characters.
    Uuid,
    /// Bytes, text standard base64 with padding.
    Binary,
    /// Any JSON value, as its text.
    Json,
}

impl ColumnType {
    /// What a value must be, for messages.
    pub fn expectation(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Int => "an integer from -2147483648 to 2147483647".to_owned(),
            Self::Long => "an integer of 64 bits".to_owned(),
            Self::Float => "a number within the range of a 32-bit float".to_owned(),
            Self::Double => "a number".to_owned(),
            Self::Decimal { precision, scale } => {
                format!("a number of at most {precision} digits, at most {scale} of them after the point")
            }
            Self::Date => "a date YYYY-MM-DD from 0001-01-01 to 9999-12-31".to_owned(),
            Self::Timestamp => "an RFC 3339 time with at most 6 digits of a second's fraction".to_owned(),
            Self::String => "a string".to_owned(),
            Self::Uuid => "a UUID such as 0192d3f0-0000-7000-8000-000000000000".to_owned(),
            Self::Binary => "a string of standard base64 with padding".to_owned(),
            Self::Json => "any JSON value".to_owned(),
        }
    }

    /// Whether a column of this type may become one of type `wider` under the same field id: the promotions of the
    /// Iceberg spec, "Schema Evolution".
    pub fn widens_to(self, wider: Self) -> bool {
        match (self, wider) {
            (Self::Int, Self::Long) | (Self::Float, Self::Double) => true,
            (Self::Decimal { precision, scale }, Self::Decimal { precision: more, scale: same }) => {
                scale == same && precision <= more
            }
            _ => self == wider,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::String => "string",
            Self::Uuid => "uuid",
            Self::Binary => "binary",
            Self::Json => "json",
        })
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "bool" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "string" => Self::String,
            "uuid" => Self::Uuid,
            "binary" => Self::Binary,
            "json" => Self::Json,
            other => return decimal(other).ok_or_else(|| unknown(other)),
        })
    }
}

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> Self {
        column_type.to_string()
    }
}

/// Reads `decimal(p,s)`, spaces allowed around the numbers.
fn decimal(name: &str) -> Option<ColumnType> {
    let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let plain = |text: &str| {
        let text = text.trim_matches(' ');
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u8>().ok() } else { None }
    };
    let (precision, scale) = (plain(precision)?, plain(scale)?);
    let valid = (1..=DECIMAL_MAX_PRECISION).contains(&precision) && scale <= precision;
    valid.then_some(ColumnType::Decimal { precision, scale })
}

fn unknown(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!(
        "expected one of bool, int, long, float, double, decimal(p,s) with 1 <= p <= 38 and s <= p, date, timestamp, \
         string, uuid, binary, json, got {short:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in [
            "bool",
            "int",
            "long",
            "float",
            "double",
            "decimal(10,2)",
            "decimal(38,38)",
            "decimal(1,0)",
            "date",
            "timestamp",
            "string",
            "uuid",
            "binary",
            "json",
        ] {
            assert_eq!(name.parse::<ColumnType>().unwrap().to_string(), name);
        }
        assert_eq!("decimal( 9 , 3 )".parse(), Ok(ColumnType::Decimal { precision: 9, scale: 3 }));
        for bad in [
            "",
            "Bool",
            "decimal",
            "decimal(0,0)",
            "decimal(39,0)",
            "decimal(3,4)",
            "decimal(+3,1)",
            "decimal(3)",
            "decimal(300,1)",
            "decimal(3,1",
            "integer",
        ] {
            assert!(bad.parse::<ColumnType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_promotions_of_the_spec_widen() {
        let widens = |from: &str, to: &str| from.parse::<ColumnType>().unwrap().widens_to(to.parse().unwrap());
        assert!(widens("int", "long") && widens("float", "double") && widens("decimal(5,2)", "decimal(9,2)"));
        assert!(widens("string", "string"));
        assert!(!widens("long", "int") && !widens("long", "double") && !widens("decimal(5,2)", "decimal(9,3)"));
        assert!(!widens("decimal(9,2)", "decimal(5,2)") && !widens("string", "json"));
    }
}
