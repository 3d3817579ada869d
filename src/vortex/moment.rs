//! Dates and timestamps as text and as numbers, for the years 1 to 9999: what every reader of the tables can hold.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
/// 0001-01-01 in days since 1970-01-01.
const FIRST_DAY: i64 = -719_162;
/// 9999-12-31 in days since 1970-01-01.
const LAST_DAY: i64 = 2_932_896;

/// Days since 1970-01-01 of a day `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    i32::try_from(day(text.as_bytes())?).ok()
}

/// Microseconds since the Unix epoch of an RFC 3339 time. No leap second and nothing finer than a microsecond.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let days = day(bytes)?;
    let (hour, minute, second) = (number(bytes, 11, 2)?, number(bytes, 14, 2)?, number(bytes, 17, 2)?);
    let separated = matches!(bytes.get(10), Some(b'T' | b't')) && is(bytes, 13, b':') && is(bytes, 16, b':');
    if !separated || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = fraction(bytes.get(19..)?)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset_seconds(rest)?;
    let result = seconds * MICROS_PER_SECOND + micros;
    (FIRST_DAY..=LAST_DAY).contains(&result.div_euclid(MICROS_PER_DAY)).then_some(result)
}

/// The day as `YYYY-MM-DD`.
pub fn format_date(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The moment as RFC 3339 in UTC with milliseconds; finer digits are cut off.
pub fn format_timestamp(micros: i64) -> String {
    let (year, month, day) = civil(micros.div_euclid(MICROS_PER_DAY));
    let in_day = micros.rem_euclid(MICROS_PER_DAY);
    let second = in_day / MICROS_PER_SECOND;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        in_day % MICROS_PER_SECOND / 1_000
    )
}

/// The day in the first ten bytes.
fn day(bytes: &[u8]) -> Option<i64> {
    let (year, month, day) = (number(bytes, 0, 4)?, number(bytes, 5, 2)?, number(bytes, 8, 2)?);
    let valid = is(bytes, 4, b'-') && is(bytes, 7, b'-') && year >= 1 && (1..=12).contains(&month) && day >= 1;
    (valid && day <= days_in_month(year, month)).then(|| days_since_epoch(year, month, day))
}

/// `.` and 1 or more digits, or nothing: microseconds, and what follows.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(tail) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let count = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = tail.split_at_checked(count)?;
    let (kept, finer) = digits.split_at_checked(count.min(6))?;
    if count == 0 || finer.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let read = number(kept, 0, kept.len())?;
    Some((
        kept.len().try_into().ok().and_then(|places: u32| 10_i64.checked_pow(6_u32.checked_sub(places)?))? * read,
        rest,
    ))
}

/// `Z`, or `+hh:mm`.
fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hour, minute) = (number(bytes, 1, 2)?, number(bytes, 4, 2)?);
            let seconds = hour * 3_600 + minute * 60;
            (hour <= 23 && minute <= 59).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is(bytes: &[u8], at: usize, expected: u8) -> bool {
    bytes.get(at) == Some(&expected)
}

/// `count` (at most 6) digits from `at`.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<i64> {
    let digits = bytes.get(at..at.checked_add(count)?)?;
    digits
        .iter()
        .try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte.wrapping_sub(b'0'))))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar. Years start in March here, so that the leap day is the last of its year
/// and months have a regular length: 153 days in five.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * month + 2) / 5 + day - 1;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + in_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (cycle, in_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (carry, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (cycle * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_strict() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("0001-01-01").map(i64::from), Some(FIRST_DAY));
        assert_eq!(parse_date("9999-12-31").map(i64::from), Some(LAST_DAY));
        assert!(parse_date("2024-02-29").is_some() && parse_date("2000-02-29").is_some());
        for bad in [
            "2023-02-29",
            "1900-02-29",
            "2023-13-01",
            "2023-00-01",
            "2023-01-00",
            "0000-01-01",
            "2023-1-1",
            "2023-01-01 ",
            "+023-01-01",
            "2023/01/01",
            "",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let base = 1_709_251_199_999_000;
        assert_eq!(parse_timestamp("2024-02-29T23:59:59.999Z"), Some(base));
        assert_eq!(parse_timestamp("2024-03-01t01:59:59.999+02:00"), Some(base));
        assert_eq!(parse_timestamp("2024-02-29T23:59:59.9990000z"), Some(base));
        assert_eq!(parse_timestamp("2024-02-29T23:59:59.999001Z"), Some(base + 1));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00-00:00"), Some(0));
        assert_eq!(format_timestamp(base), "2024-02-29T23:59:59.999Z");
        assert_eq!(format_timestamp(-1), "1969-12-31T23:59:59.999Z");
        for bad in [
            "2024-02-29",
            "2024-02-29T23:59:59",
            "2024-02-29T24:00:00Z",
            "2024-02-29T23:59:60Z",
            "2024-02-29 23:59:59Z",
            "2024-02-29T23:59:59.Z",
            "2024-02-29T23:59:59.1234567Z",
            "2024-02-29T23:59:59+0200",
            "2024-02-29T23:59:59+24:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2024-02-29T23:59:59ZZ",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_numbers_agree(days in FIRST_DAY..=LAST_DAY, milli in 0_i64..86_400_000) {
            let text = format_date(i32::try_from(days).unwrap());
            prop_assert_eq!(parse_date(&text).map(i64::from), Some(days));
            let micros = days * MICROS_PER_DAY + milli * 1_000;
            let text = format_timestamp(micros);
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(parse_timestamp(&text), Some(micros));
        }
    }
}
