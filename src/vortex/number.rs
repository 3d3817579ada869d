//! Exact decimal arithmetic on the text of JSON numbers.

/// The exact value of a decimal number text: `digits` x 10^`exponent`, without zeros at either end of the digits.
/// Zero has no digits and no sign, so that equal values are equal here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Normal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Normal {
    /// Of a JSON number, or of plain decimal text such as `007.50`.
    pub(super) fn of(text: &str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Self { negative: false, digits: String::new(), exponent: 0 };
        }
        let trailing = length(significant).saturating_sub(length(digits));
        let exponent = exponent(power).saturating_sub(length(fraction)).saturating_add(trailing);
        Self { negative, digits: digits.to_owned(), exponent }
    }

    /// The value x 10^`scale`, when that is an integer of at most `precision` digits (38 at most).
    pub(super) fn scaled(&self, precision: u8, scale: u8) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let power = u32::try_from(self.exponent.checked_add(i64::from(scale))?).ok()?;
        if length(&self.digits).checked_add(i64::from(power))? > i64::from(precision) {
            return None;
        }
        let magnitude = self.digits.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(power)?)?;
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// An exponent of any length, clamped: nothing near the clamp is representable in any column.
fn exponent(text: &str) -> i64 {
    const CLAMP: i64 = i64::MAX / 4;
    let clamped = if text.starts_with('-') { -CLAMP } else { CLAMP };
    text.strip_prefix('+').unwrap_or(text).parse::<i64>().map_or(clamped, |power| power.clamp(-CLAMP, CLAMP))
}

/// Whether two number texts say exactly the same value.
pub(super) fn same_value(left: &str, right: &str) -> bool {
    Normal::of(left) == Normal::of(right)
}

/// Whether a number text is written as an integer.
pub(super) fn is_integer_text(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The integer of 64 bits that a number text says, however it is written (`5`, `5.0`, `5e0`).
pub(super) fn to_long(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) if is_integer_text(text) => None,
        Err(_) => i64::try_from(Normal::of(text).scaled(19, 0)?).ok(),
    }
}

/// Whether text is digits with an optional sign and an optional fraction: what a decimal in a string must be.
pub(super) fn is_plain_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// Appends `unscaled` / 10^`scale` with exactly `scale` digits after the point.
pub(super) fn write_decimal(unscaled: i128, scale: u8, out: &mut String) {
    if unscaled < 0 {
        out.push('-');
    }
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale.saturating_add(1));
    let (whole, fraction) = digits.split_at_checked(digits.len().saturating_sub(scale)).unwrap_or((&digits, ""));
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_normal_form() {
        for (left, right) in [
            ("5", "5.0"),
            ("5", "5e0"),
            ("1000", "1e3"),
            ("1000", "1E+3"),
            ("0.1", "1e-1"),
            ("-0", "0"),
            ("-0.0", "0e9"),
            ("10.50", "10.5"),
            ("007.50", "7.5"),
            ("-1.25", "-125e-2"),
        ] {
            assert!(same_value(left, right), "{left} {right}");
        }
        for (left, right) in
            [("5", "-5"), ("0.1", "0.10000000000000001"), ("1e3", "1e4"), ("9007199254740993", "9007199254740992")]
        {
            assert!(!same_value(left, right), "{left} {right}");
        }
        assert!(!same_value("1e-99999999999999999999999", "0"));
    }

    #[test]
    fn integers_are_read_however_they_are_written() {
        assert_eq!(to_long("9223372036854775807"), Some(i64::MAX));
        assert_eq!(to_long("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(to_long("-9223372036854775808.0"), Some(i64::MIN));
        assert_eq!(to_long("9223372036854775808"), None);
        assert_eq!(to_long("9223372036854775808.0"), None);
        assert_eq!(to_long("1.5e1"), Some(15));
        assert_eq!(to_long("1.55e1"), None);
        assert_eq!(to_long("-0"), Some(0));
        assert_eq!(to_long("1e308"), None);
        assert_eq!(to_long("1e-99999999999999999999999"), None);
    }

    #[test]
    fn decimals_keep_their_digits() {
        let written = |unscaled, scale| {
            let mut out = String::new();
            write_decimal(unscaled, scale, &mut out);
            out
        };
        assert_eq!(written(1050, 2), "10.50");
        assert_eq!(written(-5, 2), "-0.05");
        assert_eq!(written(0, 3), "0.000");
        assert_eq!(written(7, 0), "7");
        assert_eq!(Normal::of("10.5").scaled(4, 2), Some(1050));
        assert_eq!(Normal::of("10.555").scaled(10, 2), None);
        assert_eq!(Normal::of("100").scaled(4, 2), None);
        let most = "9".repeat(38);
        assert_eq!(written(Normal::of(&most).scaled(38, 0).unwrap(), 0), most);
        assert_eq!(Normal::of(&"9".repeat(39)).scaled(38, 0), None);
        assert_eq!(Normal::of("0.00").scaled(1, 0), Some(0));
        assert!(
            is_plain_decimal("-1.50") && is_plain_decimal("7") && !is_plain_decimal("1e3") && !is_plain_decimal(".")
        );
    }
}
