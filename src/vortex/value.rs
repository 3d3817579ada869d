//! One value on its way between JSON and a column: what a column type represents, and its canonical text.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ryu_js::Buffer;
use uuid::Uuid;

use super::column_type::ColumnType;
use super::{moment, number};
use crate::types::Json;
use crate::types::json::write_string;

/// A non-null value of a column. Dates are [`Int`](Self::Int) (days), timestamps [`Long`](Self::Long) (microseconds),
/// JSON text is [`Text`](Self::Text).
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A boolean.
    Boolean(bool),
    /// 32 bits, or days since 1970-01-01.
    Int(i32),
    /// 64 bits, or microseconds since the Unix epoch.
    Long(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// A decimal x 10^scale.
    Decimal(i128),
    /// A UUID.
    Uuid(Uuid),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

/// How the text of a represented value relates to its canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is the canonical text: the column alone rebuilds it.
    Canonical,
    /// Another text of exactly the same number: kept in `_extra`, but bounds of the column hold for it.
    SameNumber,
    /// Another text that compares differently (other spelling, more digits than the type holds): kept in `_extra`, and
    /// bounds of the column do not hold for it.
    Respelled,
}

impl ColumnType {
    /// Whether a declared column takes `value`; otherwise what was expected and what was got. `null` is always taken:
    /// whether a column may be null is the column's matter, not its type's.
    pub fn accepts(self, value: &Json<'_>) -> Result<(), String> {
        if matches!(value, Json::Null) || self.represent(value).is_some() {
            return Ok(());
        }
        Err(format!("expected {}, got {}", self.expectation(), described(value)))
    }

    /// The value as this type holds it; `None` for null and for what the type cannot represent.
    pub fn represent<'j>(self, value: &'j Json<'_>) -> Option<(Scalar<'j>, Fit)> {
        match (self, value) {
            (_, Json::Null) => None,
            (Self::Json, value) => Some((Scalar::Text(Cow::Owned(value.to_text())), Fit::Canonical)),
            (Self::Boolean, Json::Bool(value)) => Some((Scalar::Boolean(*value), Fit::Canonical)),
            (Self::String, Json::String(text)) => Some((Scalar::Text(Cow::Borrowed(text)), Fit::Canonical)),
            (_, Json::Number(text)) => self.represent_number(text),
            (_, Json::String(text)) => self.represent_text(text),
            _ => None,
        }
    }

    fn represent_number<'j>(self, text: &str) -> Option<(Scalar<'j>, Fit)> {
        match self {
            Self::Int | Self::Long => {
                let value = number::to_long(text)?;
                let scalar =
                    if self == Self::Int { Scalar::Int(i32::try_from(value).ok()?) } else { Scalar::Long(value) };
                let canonical = number::is_integer_text(text) && text != "-0";
                Some((scalar, if canonical { Fit::Canonical } else { Fit::SameNumber }))
            }
            Self::Float => {
                let value = text.parse::<f32>().ok().filter(|value| value.is_finite())?;
                Some((Scalar::Float(value), number_fit(text, Buffer::new().format_finite(value))))
            }
            Self::Double => {
                let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
                Some((Scalar::Double(value), number_fit(text, Buffer::new().format_finite(value))))
            }
            Self::Decimal { precision, scale } => {
                let unscaled = number::Normal::of(text).scaled(precision, scale)?;
                let mut canonical = String::new();
                number::write_decimal(unscaled, scale, &mut canonical);
                Some((Scalar::Decimal(unscaled), number_fit(text, &canonical)))
            }
            _ => None,
        }
    }

    fn represent_text<'j>(self, text: &str) -> Option<(Scalar<'j>, Fit)> {
        let (scalar, canonical) = match self {
            Self::Date => (Scalar::Int(moment::parse_date(text)?), true),
            Self::Timestamp => {
                let micros = moment::parse_timestamp(text)?;
                (Scalar::Long(micros), moment::format_timestamp(micros) == text)
            }
            Self::Uuid if text.len() == uuid::fmt::Hyphenated::LENGTH => {
                let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
                (Scalar::Uuid(Uuid::try_parse(text).ok()?), !upper)
            }
            Self::Binary => (Scalar::Binary(Cow::Owned(STANDARD.decode(text).ok()?)), true),
            // The canonical decimal is a number, so a string is always kept beside it.
            Self::Decimal { precision, scale } if number::is_plain_decimal(text) => {
                (Scalar::Decimal(number::Normal::of(text).scaled(precision, scale)?), false)
            }
            _ => return None,
        };
        Some((scalar, if canonical { Fit::Canonical } else { Fit::Respelled }))
    }

    /// Appends the canonical JSON text of a value of this type; that of a floating-point number is ECMAScript's, the
    /// shortest that reads back as the same number. A value of another type is written as its own.
    pub fn write_canonical(self, value: &Scalar<'_>, out: &mut String) {
        match (self, value) {
            (Self::Date, Scalar::Int(days)) => write_string(&moment::format_date(*days), out),
            (Self::Timestamp, Scalar::Long(micros)) => write_string(&moment::format_timestamp(*micros), out),
            (Self::Json, Scalar::Text(text)) => out.push_str(text),
            (Self::Decimal { scale, .. }, Scalar::Decimal(unscaled)) => number::write_decimal(*unscaled, scale, out),
            (_, Scalar::Boolean(value)) => out.push_str(if *value { "true" } else { "false" }),
            (_, Scalar::Int(value)) => out.push_str(&value.to_string()),
            (_, Scalar::Long(value)) => out.push_str(&value.to_string()),
            (_, Scalar::Float(value)) => out.push_str(Buffer::new().format_finite(*value)),
            (_, Scalar::Double(value)) => out.push_str(Buffer::new().format_finite(*value)),
            (_, Scalar::Decimal(unscaled)) => number::write_decimal(*unscaled, 0, out),
            (_, Scalar::Uuid(value)) => write_string(&value.hyphenated().to_string(), out),
            (_, Scalar::Text(text)) => write_string(text, out),
            (_, Scalar::Binary(bytes)) => write_string(&STANDARD.encode(bytes), out),
        }
    }
}

fn number_fit(text: &str, canonical: &str) -> Fit {
    if canonical == text {
        Fit::Canonical
    } else if number::same_value(canonical, text) {
        Fit::SameNumber
    } else {
        Fit::Respelled
    }
}

/// A value for a message: short ones as they are, long ones by their kind.
fn described(value: &Json<'_>) -> String {
    const SHORT: usize = 40;
    match value {
        Json::Number(text) if text.len() <= SHORT => format!("the number {text}"),
        Json::String(text) if text.len() <= SHORT => format!("the string {text:?}"),
        Json::Bool(value) => value.to_string(),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn represent(column_type: &str, json: &str) -> Option<(String, Fit)> {
        let column_type: ColumnType = column_type.parse().unwrap();
        let value = Json::parse(json).unwrap();
        let accepted = column_type.accepts(&value);
        let represented = column_type.represent(&value);
        assert_eq!(accepted.is_ok(), represented.is_some() || value == Json::Null, "{accepted:?}");
        represented.map(|(scalar, fit)| {
            let mut out = String::new();
            column_type.write_canonical(&scalar, &mut out);
            assert_eq!(fit == Fit::Canonical, out == value.to_text(), "{json} as {column_type}: {out}");
            (out, fit)
        })
    }

    #[test]
    fn canonical_texts_need_no_override() {
        for (column_type, json) in [
            ("bool", "true"),
            ("int", "-2147483648"),
            ("long", "9223372036854775807"),
            ("long", "0"),
            ("float", "0.1"),
            ("float", "16777216"),
            ("double", "5"),
            ("double", "6.1"),
            ("double", "1e+21"),
            ("double", "5e-324"),
            ("decimal(10,2)", "10.50"),
            ("decimal(10,2)", "0.00"),
            ("decimal(5,0)", "-7"),
            ("date", "\"2024-02-29\""),
            ("timestamp", "\"2024-02-29T23:59:59.999Z\""),
            ("string", "\"\\u0000é\""),
            ("string", "\"\""),
            ("uuid", "\"0192d3f0-0000-7000-8000-000000000000\""),
            ("binary", "\"AP8=\""),
            ("binary", "\"\""),
            ("json", "[1.0,{\"a\":null}]"),
            ("json", "\"x\""),
            ("json", "7"),
        ] {
            assert_eq!(
                represent(column_type, json).map(|(_, fit)| fit),
                Some(Fit::Canonical),
                "{json} as {column_type}"
            );
        }
    }

    #[test]
    fn other_texts_of_the_same_number_are_told_from_other_numbers() {
        for (column_type, json, canonical, fit) in [
            ("long", "5.0", "5", Fit::SameNumber),
            ("long", "-0", "0", Fit::SameNumber),
            ("int", "1e3", "1000", Fit::SameNumber),
            ("double", "5.0", "5", Fit::SameNumber),
            ("double", "-0.0", "0", Fit::SameNumber),
            ("double", "1e21", "1e+21", Fit::SameNumber),
            ("double", "9007199254740993", "9007199254740992", Fit::Respelled),
            ("double", "1e-400", "0", Fit::Respelled),
            ("float", "0.123456789", "0.12345679", Fit::Respelled),
            ("decimal(10,2)", "10.5", "10.50", Fit::SameNumber),
            ("decimal(10,2)", "\"10.50\"", "10.50", Fit::Respelled),
            ("timestamp", "\"2024-02-29T23:59:59Z\"", "\"2024-02-29T23:59:59.000Z\"", Fit::Respelled),
            ("timestamp", "\"1970-01-01T00:00:00.000001Z\"", "\"1970-01-01T00:00:00.000Z\"", Fit::Respelled),
            (
                "uuid",
                "\"0192D3F0-0000-7000-8000-000000000000\"",
                "\"0192d3f0-0000-7000-8000-000000000000\"",
                Fit::Respelled,
            ),
        ] {
            assert_eq!(represent(column_type, json), Some((canonical.to_owned(), fit)), "{json} as {column_type}");
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_refused_with_a_reason() {
        for (column_type, json) in [
            ("bool", "1"),
            ("bool", "\"true\""),
            ("int", "2147483648"),
            ("int", "1.5"),
            ("long", "9223372036854775808"),
            ("long", "\"5\""),
            ("float", "1e39"),
            ("double", "\"5\""),
            ("decimal(4,2)", "100"),
            ("decimal(4,2)", "1.234"),
            ("decimal(4,2)", "\"1e1\""),
            ("date", "\"2023-02-29\""),
            ("date", "0"),
            ("timestamp", "\"yesterday\""),
            ("timestamp", "0"),
            ("string", "5"),
            ("string", "{}"),
            ("uuid", "\"0192d3f0000070008000000000000000\""),
            ("uuid", "\"0192d3f0-0000-7000-8000-00000000000g\""),
            ("binary", "\"AP8\""),
            ("binary", "\"_w==\""),
            ("binary", "[0]"),
        ] {
            assert_eq!(represent(column_type, json), None, "{json} as {column_type}");
        }
        let message = ColumnType::Int.accepts(&Json::parse("\"x\"").unwrap()).unwrap_err();
        assert_eq!(message, "expected an integer from -2147483648 to 2147483647, got the string \"x\"");
        assert!(ColumnType::Int.accepts(&Json::Null).is_ok());
    }
}
