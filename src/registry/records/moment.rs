//! A moment in a request: RFC 3339, kept as it was sent, or Unix milliseconds.

use serde::{Deserialize, Deserializer, Serialize};

use crate::types::Timestamp;
use crate::types::time::{from_rfc3339, rfc3339};

/// The last moment that RFC 3339 can tell, in Unix ms.
const LAST: Timestamp = 253_402_300_799_999;

/// RFC 3339 text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Moment(String);

impl Moment {
    /// The moment at so many Unix ms.
    pub fn at(timestamp: Timestamp) -> Self {
        Self(rfc3339(timestamp))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Moment;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an RFC 3339 time or Unix milliseconds from 0 to those of the year 9999")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                let known = from_rfc3339(text).map(|_| Moment(text.to_owned()));
                known.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Moment, E> {
                let at = Timestamp::try_from(number).ok().filter(|at| *at <= LAST);
                at.map(Moment::at).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
