//! Numbers as the platform moves them, and a small generator for seeded tests.

use crate::limits::SQL_MAX_EXACT_INTEGER;
use crate::ports::SqlValue;

/// The double that a JavaScript number of this value is; `None` beyond ±(2^53 - 1), where it would not be exact.
pub(super) fn exact_double(value: i64) -> Option<f64> {
    let high = i32::try_from(value >> 32).ok()?;
    let low = u32::try_from(value & 0xffff_ffff).ok()?;
    let exact = (-SQL_MAX_EXACT_INTEGER..=SQL_MAX_EXACT_INTEGER).contains(&value);
    exact.then(|| f64::from(high) * 4_294_967_296.0 + f64::from(low))
}

/// What the platform makes of an integer that a statement returns: beyond ±(2^53 - 1) it loses precision.
pub(super) fn integer_value(value: i64) -> SqlValue {
    if exact_double(value).is_some() {
        return SqlValue::Integer(value);
    }
    #[expect(clippy::cast_precision_loss, reason = "the platform loses it too, and tests are to notice")]
    SqlValue::Real(value as f64)
}

/// What the platform makes of a double that a statement returns: an integral one is an integer.
pub(super) fn double_value(value: f64) -> SqlValue {
    // 2^53 - 1 is exact as a double, and every integral double within it is exact as an integer.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0 {
        #[expect(clippy::cast_possible_truncation, reason = "integral and within 53 bits")]
        return SqlValue::Integer(value as i64);
    }
    SqlValue::Real(value)
}

/// Sebastiano Vigna's SplitMix64: every seed gives a full-period sequence. Not for secrets.
#[derive(Clone, Copy, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let number = self.next_u64().checked_rem(bound).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_53_bits_are_exact_doubles() {
        for value in [0, 1, -1, 4_294_967_296, -4_294_967_297, SQL_MAX_EXACT_INTEGER, -SQL_MAX_EXACT_INTEGER] {
            let double = exact_double(value).unwrap();
            assert_eq!(double_value(double), SqlValue::Integer(value), "{value}");
            assert_eq!(integer_value(value), SqlValue::Integer(value));
        }
        for value in [SQL_MAX_EXACT_INTEGER + 1, -SQL_MAX_EXACT_INTEGER - 1, i64::MAX, i64::MIN] {
            assert_eq!(exact_double(value), None, "{value}");
            assert!(matches!(integer_value(value), SqlValue::Real(_)));
        }
    }

    #[test]
    fn fractions_and_huge_numbers_stay_reals() {
        for value in [0.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, 9_007_199_254_740_992.0] {
            assert_eq!(double_value(value), SqlValue::Real(value));
        }
        assert_eq!(double_value(-0.0), SqlValue::Integer(0));
    }

    #[test]
    fn the_generator_repeats_by_seed_and_stays_below_its_bound() {
        let sequence = |seed| {
            let mut generator = SplitMix64::new(seed);
            [(); 4].map(|()| generator.next_u64())
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
        // The first two numbers of seed 0 as published with the algorithm.
        assert_eq!(sequence(0)[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let mut generator = SplitMix64::new(1);
        assert!((0..1_000).all(|_| generator.below(3) < 3));
        assert_eq!(generator.below(0), 0);
    }
}
