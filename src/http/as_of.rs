//! `asOf`: a moment of the past, as Unix ms, RFC 3339 or the id of a snapshot.

use uuid::Uuid;

use crate::engine::AsOf;
use crate::types::names::quoted;
use crate::types::time::from_rfc3339;
use crate::types::{Json, whole};

/// 9999-12-31T23:59:59.999Z, the last moment of RFC 3339, in Unix milliseconds.
const LAST: i64 = 253_402_300_799_999;

/// A moment from a query parameter; otherwise what was expected and got.
pub fn from_text(text: &str) -> Result<AsOf, String> {
    let refused = || {
        format!("expected asOf to be Unix milliseconds, an RFC 3339 time or the id of a snapshot, got {}", quoted(text))
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|time| *time <= LAST).map(AsOf::Time).ok_or_else(refused);
    }
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(AsOf::Snapshot(id));
    }
    from_rfc3339(text).map(AsOf::Time).ok_or_else(refused)
}

/// A moment from a body: a number, or a text.
pub fn from_json(value: &Json<'_>) -> Result<AsOf, String> {
    match value {
        Json::Number(text) => from_text(&whole::from_text(text).map_or_else(|| text.to_string(), |at| at.to_string())),
        Json::String(text) => from_text(text),
        other => Err(format!(
            "expected asOf to be Unix milliseconds, an RFC 3339 time or the id of a snapshot, got {}",
            other.kind()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_milliseconds_or_rfc_3339() {
        assert_eq!(from_text("253402300799999"), Ok(AsOf::Time(LAST)));
        assert_eq!(from_text("9999-12-31T23:59:59.999Z"), Ok(AsOf::Time(LAST)));
        assert_eq!(from_text("1767225600123"), Ok(AsOf::Time(1_767_225_600_123)));
        assert_eq!(from_text("2026-01-01T00:00:00.123Z"), Ok(AsOf::Time(1_767_225_600_123)));
        assert_eq!(from_text("2026-01-01T01:00:00+01:00"), Ok(AsOf::Time(1_767_225_600_000)));
        let id = "0192d3f0-0000-7000-8000-000000000000";
        assert_eq!(from_text(id), Ok(AsOf::Snapshot(id.parse().unwrap())));
        for bad in [
            "",
            "-1",
            "1.5",
            "yesterday",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "253402300800000",
            "99999999999999999999",
        ] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_has_a_number_or_a_text() {
        let read = |text: &str| from_json(&Json::parse(text).unwrap());
        assert_eq!(read("5"), Ok(AsOf::Time(5)));
        assert_eq!(read("5.0"), Ok(AsOf::Time(5)));
        assert_eq!(read("\"5\""), Ok(AsOf::Time(5)));
        for bad in ["5.5", "-5", "-5.0", "1e300", "null", "true", "{}", "[]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
