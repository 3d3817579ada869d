//! Calendar arithmetic on timestamps that are passed in; nothing here reads a clock.

use jiff::Timestamp as Instant;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::Offset;

use super::Timestamp;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// A month of the UTC calendar, the unit by which tables are partitioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// Proleptic Gregorian year.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

impl Month {
    /// The month that holds a moment; a moment that no calendar reaches is clamped to the nearest one.
    pub fn of(timestamp: Timestamp) -> Self {
        let date = Offset::UTC.to_datetime(instant(timestamp)).date();
        Self { year: date.year(), month: date.month() }
    }

    /// Months since January 1970, negative before: Iceberg's `month` transform (spec, Partition Transforms).
    pub fn ordinal(self) -> i32 {
        (i32::from(self.year) - 1970) * 12 + i32::from(self.month) - 1
    }

    /// The month of an ordinal; `None` for one that [`of`](Self::of) never gives.
    pub fn from_ordinal(ordinal: i32) -> Option<Self> {
        let year = i16::try_from(1970 + ordinal.div_euclid(12)).ok()?;
        let month = i8::try_from(ordinal.rem_euclid(12) + 1).ok()?;
        (-9_999..=9_999).contains(&year).then_some(Self { year, month })
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-21T08:00:00.000Z`.
pub fn rfc3339(timestamp: Timestamp) -> String {
    let time = Offset::UTC.to_datetime(instant(timestamp));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// The form that HTTP headers have (RFC 9110), such as `Sat, 21 Nov 2026 08:00:00 GMT`; `None` for a year of five digits.
pub fn http_date(timestamp: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&instant(timestamp)).ok()
}

fn instant(timestamp: Timestamp) -> Instant {
    Instant::from_millisecond(timestamp).unwrap_or(if timestamp < 0 { Instant::MIN } else { Instant::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_utc_and_count_from_1970() {
        assert_eq!(Month::of(0), Month { year: 1970, month: 1 });
        assert_eq!(Month::of(0).ordinal(), 0);
        assert_eq!(Month::of(-1).ordinal(), -1);
        // 2024-02-29T23:59:59.999Z and the millisecond after.
        assert_eq!(Month::of(1_709_251_199_999), Month { year: 2024, month: 2 });
        assert_eq!(Month::of(1_709_251_200_000), Month { year: 2024, month: 3 });
        assert_eq!(Month::of(1_709_251_200_000).ordinal(), 650);
    }

    #[test]
    fn months_come_back_from_their_ordinals() {
        for timestamp in [0, -1, i64::MIN, i64::MAX, 1_709_251_200_000, -99_999_999_999_999] {
            let month = Month::of(timestamp);
            assert_eq!(Month::from_ordinal(month.ordinal()), Some(month));
        }
        for beyond in [Month::of(i64::MIN).ordinal() - 1, Month::of(i64::MAX).ordinal() + 1, i32::MIN, i32::MAX] {
            assert_eq!(Month::from_ordinal(beyond), None);
        }
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn headers_have_times_of_their_own_form() {
        assert_eq!(http_date(1_709_251_199_999).as_deref(), Some("Thu, 29 Feb 2024 23:59:59 GMT"));
        assert_eq!(http_date(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    }
}
