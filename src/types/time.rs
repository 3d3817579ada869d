//! Calendar arithmetic on timestamps that are passed in; nothing here reads a clock.

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time};

use super::Timestamp;

/// Microseconds, in which timestamps are stored, of a millisecond.
pub const MICROS_PER_MILLI: i64 = 1_000;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
const NANOS_PER_MS: i128 = 1_000_000;

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
        let date = utc(timestamp);
        Self { year: i16::try_from(date.year()).unwrap_or(i16::MAX), month: number_of(date.month()) }
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

/// The moment so many months of the UTC calendar before another; of a day that its month does not have, the last one that it has.
pub fn months_before(timestamp: Timestamp, months: u16) -> Timestamp {
    let time = utc(timestamp);
    let wanted = Month::from_ordinal(Month::of(timestamp).ordinal().saturating_sub(i32::from(months)));
    let day = wanted.and_then(|Month { year, month }| {
        let (year, month) = (i32::from(year), time::Month::try_from(u8::try_from(month).ok()?).ok()?);
        Date::from_calendar_date(year, month, time.day().min(month.length(year))).ok()
    });
    let before = day.map(|day| time.replace_date(day).unix_timestamp_nanos().div_euclid(NANOS_PER_MS));
    before.and_then(|before| i64::try_from(before).ok()).unwrap_or(timestamp)
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-21T08:00:00.000Z`.
pub fn rfc3339(timestamp: Timestamp) -> String {
    let time = utc(timestamp);
    let ((hour, minute, second, ms), month) = (time.to_hms_milli(), number_of(time.month()));
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", time.year(), time.day())
}

/// The form that HTTP headers have (RFC 9110), such as `Sat, 21 Nov 2026 08:00:00 GMT`; `None` for a year before the first.
pub fn http_date(timestamp: Timestamp) -> Option<String> {
    let time = utc(timestamp);
    let ((hour, minute, second), weekday, month) =
        (time.to_hms(), time.weekday().to_string(), time.month().to_string());
    let (weekday, month) = (weekday.get(..3)?, month.get(..3)?);
    let (day, year) = (time.day(), u16::try_from(time.year()).ok()?);
    Some(format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// The moment that an RFC 3339 text tells, in Unix ms, rounded down; `None` when it is no such text.
pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(NANOS_PER_MS)).ok()
}

/// The moment by the calendar of UTC; one that no calendar reaches is the nearest that one does.
fn utc(timestamp: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(timestamp).saturating_mul(NANOS_PER_MS);
    let nearest = if timestamp < 0 { Date::MIN.with_time(Time::MIDNIGHT) } else { Date::MAX.with_time(Time::MAX) };
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(nearest.assume_utc())
}

fn number_of(month: time::Month) -> i8 {
    i8::try_from(u8::from(month)).unwrap_or(1)
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
    fn months_before_are_of_the_calendar() {
        for (now, months, expected) in [
            ("2026-11-23T04:05:06.789Z", 24, "2024-11-23T04:05:06.789Z"),
            ("2028-02-29T12:00:00.000Z", 24, "2026-02-28T12:00:00.000Z"),
            ("2026-02-28T12:00:00.000Z", 24, "2024-02-28T12:00:00.000Z"),
            ("2026-03-01T00:00:00.000Z", 24, "2024-03-01T00:00:00.000Z"),
            ("2028-02-29T00:00:00.000Z", 48, "2024-02-29T00:00:00.000Z"),
            ("2026-03-31T23:59:59.999Z", 1, "2026-02-28T23:59:59.999Z"),
            ("2026-07-31T00:00:00.000Z", 1, "2026-06-30T00:00:00.000Z"),
            ("2026-01-15T00:00:00.000Z", 1, "2025-12-15T00:00:00.000Z"),
            ("1971-06-01T00:00:00.000Z", 24, "1969-06-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(months_before(from_rfc3339(now).unwrap(), months)), expected, "{now}");
        }
        assert_eq!(months_before(i64::MIN, 24), i64::MIN);
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_to_the_millisecond_below() {
        assert_eq!(from_rfc3339("2024-02-29T23:59:59.999999Z"), Some(1_709_251_199_999));
        assert_eq!(from_rfc3339("2024-03-01T01:30:00.5+01:30"), Some(1_709_251_200_500));
        assert_eq!(from_rfc3339("1969-12-31T23:59:59.9999Z"), Some(-1));
        for bad in ["", "2024-02-30T00:00:00Z", "2024-02-29", "2024-02-29T23:59:59", "2024-02-29T24:00:00Z", "now"] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn headers_have_times_of_their_own_form() {
        assert_eq!(http_date(1_709_251_199_999).as_deref(), Some("Thu, 29 Feb 2024 23:59:59 GMT"));
        assert_eq!(http_date(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    }
}
