//! Numbers that repeat with their seed.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
impl SplitMix {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// About normally distributed, around 0: the sum of sixteen even ones, of variance 1.
    pub fn centred(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            let word = self.next();
            for part in 0..4 {
                sum += f32::from(u16::try_from((word >> (16 * part)) & 0xffff).unwrap()) / 65_536.0 - 0.5;
            }
        }
        sum * (12.0_f32 / 16.0).sqrt()
    }
}
