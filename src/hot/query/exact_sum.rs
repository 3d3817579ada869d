//! Sums of numbers that are exact until they are told, so that neither the order of the rows nor how they are split
//! changes an answer.
//!
//! Integers are added in 128 bits. Doubles are added as the integers that they are in units of 2^-1074, the least double:
//! digits of 32 bits, of which a sum keeps those that it met, each in 128 bits and so without carrying. The result is the
//! double nearest to the exact sum; no compensated summation is nearer.

/// Binary places of the least double.
const UNIT: usize = 1_074;
const DIGIT: usize = 32;
/// Digits of the greatest sum: 2^1024 in units, and what 2^63 of them add.
const DIGITS: usize = 72;
const MANTISSA_BITS: usize = 52;

/// An exact sum of doubles and integers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExactSum {
    /// Position of a digit and its value, in no order.
    digits: Vec<(usize, i128)>,
}

impl ExactSum {
    /// Adds a double, which must be finite.
    pub fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = usize::try_from(bits >> MANTISSA_BITS & 0x7ff).unwrap_or(0);
        let fraction = bits & ((1 << MANTISSA_BITS) - 1);
        let (mantissa, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << MANTISSA_BITS, exponent - 1),
        };
        let magnitude = i128::from(mantissa) << (shift % DIGIT);
        self.add_digit(shift / DIGIT, if value.is_sign_negative() { -magnitude } else { magnitude });
    }

    /// Adds an integer.
    pub fn add_integer(&mut self, value: i128) {
        let low = value & i128::from(u64::MAX);
        self.add_digit(UNIT / DIGIT, low << (UNIT % DIGIT));
        self.add_digit(UNIT / DIGIT + 2, (value >> 64) << (UNIT % DIGIT));
    }

    /// Adds what another sum has.
    pub fn merge(&mut self, other: &Self) {
        other.digits.iter().for_each(|(position, value)| self.add_digit(*position, *value));
    }

    /// Bytes that it takes beside its own.
    pub fn heap_bytes(&self) -> usize {
        self.digits.capacity().saturating_mul(size_of::<(usize, i128)>())
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.digits.is_empty()
    }

    /// A digit takes 2^42 additions before it could overflow, more than there are rows.
    fn add_digit(&mut self, position: usize, value: i128) {
        match self.digits.iter_mut().find(|(other, _)| *other == position) {
            Some((_, sum)) => *sum = sum.wrapping_add(value),
            None => self.digits.push((position, value)),
        }
    }

    /// Whether the sum is negative, and its digits of 32 bits, carried.
    fn carried(&self) -> (bool, [u32; DIGITS]) {
        let carry = |sign: i128| {
            let mut sums = [0_i128; DIGITS];
            for (position, value) in &self.digits {
                if let Some(sum) = sums.get_mut(*position) {
                    *sum = sum.wrapping_add(value.wrapping_mul(sign));
                }
            }
            let mut rest = 0_i128;
            let digits = sums.map(|sum| {
                let sum = sum.wrapping_add(rest);
                rest = sum >> DIGIT;
                u32::try_from(sum & i128::from(u32::MAX)).unwrap_or(0)
            });
            (rest, digits)
        };
        let (rest, digits) = carry(1);
        if rest < 0 { (true, carry(-1).1) } else { (false, digits) }
    }

    /// The nearest double to the sum x 2^-`halvings`; infinite when it is beyond their range.
    pub fn to_double(&self, halvings: usize) -> f64 {
        let (negative, digits) = self.carried();
        let magnitude = nearest(&digits, halvings);
        if negative { -magnitude } else { magnitude }
    }

    /// The sum, when it is an integer of 128 bits.
    pub fn to_integer(&self) -> Option<i128> {
        let (negative, digits) = self.carried();
        let bit = |place: usize| digits.get(place / DIGIT).is_some_and(|digit| digit >> (place % DIGIT) & 1 == 1);
        let beyond = (0..UNIT).chain(UNIT + 127..DIGITS * DIGIT).any(bit);
        let magnitude = (UNIT..UNIT + 127).rev().fold(0_i128, |value, place| value << 1 | i128::from(bit(place)));
        (!beyond).then_some(if negative { -magnitude } else { magnitude })
    }
}

/// The nearest double to an integer in units, halved some times; ties to even. What is halved below the unit is cut.
fn nearest(digits: &[u32; DIGITS], halvings: usize) -> f64 {
    let bit = |place: usize| digits.get(place / DIGIT).is_some_and(|digit| digit >> (place % DIGIT) & 1 == 1);
    let Some(top) = (halvings..DIGITS * DIGIT).rev().find(|place| bit(*place)) else { return 0.0 };
    let lowest = top.saturating_sub(MANTISSA_BITS).max(halvings);
    let mantissa = (lowest..=top).rev().fold(0_u64, |value, place| value << 1 | u64::from(bit(place)));
    let up = lowest > halvings && bit(lowest - 1) && (mantissa & 1 == 1 || (halvings..lowest - 1).any(bit));
    let mantissa = mantissa + u64::from(up);
    // The bits of a double are those of its exponent before those of its mantissa, so that a carry goes the right way.
    let exponent = u64::try_from(lowest - halvings).unwrap_or(u64::MAX);
    if exponent >= 2_046 {
        return f64::INFINITY;
    }
    f64::from_bits((exponent << MANTISSA_BITS) + mantissa)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn what_rounding_loses_is_kept() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]).to_double(0), 1.0);
        assert_eq!(sum(&[0.1; 10]).to_double(0), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).to_double(0), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).to_double(0), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).to_double(2), f64::MAX / 2.0);
        assert_eq!(sum(&[5e-324, 5e-324, -1e-323]).to_double(0), 0.0);
        assert_eq!(sum(&[f64::MIN_POSITIVE, -5e-324]).to_double(0), f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1));
        assert_eq!(sum(&[]).to_double(0), 0.0);
        let mut mixed = sum(&[0.5]);
        mixed.add_integer(i128::from(i64::MAX));
        mixed.add_integer(-i128::from(i64::MAX) - 3);
        assert_eq!(mixed.to_double(0), -2.5);
        assert_eq!(mixed.to_integer(), None);
    }

    proptest! {
        #[test]
        fn one_double_is_itself(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(sum(&[value]).to_double(0), value);
        }

        #[test]
        fn two_doubles_are_rounded_once(left in any::<f64>(), right in any::<f64>()) {
            prop_assume!(left.is_finite() && right.is_finite());
            prop_assert_eq!(sum(&[left, right]).to_double(0), left + right);
        }

        #[test]
        fn integers_are_exact(values in prop::collection::vec(any::<i64>(), 0..20), wide in any::<i128>()) {
            let mut sum = ExactSum::default();
            values.iter().for_each(|value| sum.add_integer(i128::from(*value)));
            sum.add_integer(wide);
            sum.add_integer(-(wide / 2));
            let expected = values.iter().map(|value| i128::from(*value)).sum::<i128>() + (wide - wide / 2);
            prop_assert_eq!(sum.to_integer(), Some(expected));
        }

        #[test]
        fn order_changes_nothing(mut values in prop::collection::vec(-1e9..1e9_f64, 0..50)) {
            let forwards = sum(&values).to_double(0);
            let mut merged = sum(&values[..values.len() / 2]);
            merged.merge(&sum(&values[values.len() / 2..]));
            prop_assert_eq!(merged.to_double(0), forwards);
            values.reverse();
            prop_assert_eq!(sum(&values).to_double(0), forwards);
        }
    }
}
