//! Whole numbers in bodies, as JSON Schema has them: `5.0` and `5e0` are as whole as `5`.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Beyond this a number with a fraction or an exponent is not exact (2^53).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number.
struct Whole(i64);

/// The whole number of a JSON number's text; `None` where it is none.
pub fn from_text(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| from_float(text.parse().ok()?))
}

fn from_float(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() <= EXACT_MAX;
    is_whole.then(|| format!("{number:.0}").parse().ok()).flatten()
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                let too_large = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
                i64::try_from(number).map(Whole).map_err(too_large)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                from_float(number).map(Whole).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
            }
        }
        deserializer.deserialize_i64(Number)
    }
}

/// A member that is a whole number.
pub fn required<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<T, D::Error> {
    let Whole(number) = Whole::deserialize(deserializer)?;
    let refused = |_| D::Error::custom(format_args!("expected a whole number that is not out of range, got {number}"));
    T::try_from(number).map_err(refused)
}

/// A member that is a whole number of its type, or `null`.
pub fn optional<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(Whole(number)) = Option::<Whole>::deserialize(deserializer)? else { return Ok(None) };
    let refused = |_| D::Error::custom(format_args!("expected a whole number that is not out of range, got {number}"));
    T::try_from(number).map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_fraction_are_whole_however_they_are_written() {
        for (text, number) in [
            ("5", 5),
            ("5.0", 5),
            ("-5.00", -5),
            ("1e3", 1_000),
            ("-0.0", 0),
            ("9223372036854775807", i64::MAX),
            ("9007199254740992.0", 1 << 53),
        ] {
            assert_eq!(from_text(text), Some(number), "{text}");
            assert_eq!(required::<_, i64>(&mut serde_json::Deserializer::from_str(text)).unwrap(), number, "{text}");
        }
        for text in ["5.5", "1e-1", "9223372036854775808", "1e300", "9.1e15"] {
            assert_eq!(from_text(text), None, "{text}");
            assert!(required::<_, i64>(&mut serde_json::Deserializer::from_str(text)).is_err(), "{text}");
        }
        for text in ["\"5\"", "true", "[5]", "{}", "null"] {
            assert!(required::<_, i64>(&mut serde_json::Deserializer::from_str(text)).is_err(), "{text}");
        }
        for text in ["", "NaN", "inf", "0x5", "5 "] {
            assert_eq!(from_text(text), None, "{text}");
        }
        let small = |text| optional::<_, u8>(&mut serde_json::Deserializer::from_str(text));
        assert_eq!((small("null").unwrap(), small("7.0").unwrap()), (None, Some(7)));
        assert!(small("256.0").is_err() && small("-1").is_err());
    }
}
