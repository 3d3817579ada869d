//! A rotation that looks random and is the same for ever: signs flipped by a fixed seed, Walsh-Hadamard transforms of the
//! first and of the last components in turns, and Kac's walk between the halves where the two overlap.
//!
//! It spreads what a vector has over all components, so that the signs of these tell about as much of any vector. It keeps
//! lengths and products. Stored codes depend on every step and on the seed: another rotation is another version of the format.

use super::numbers::SplitMix;

/// Components of a code are words of so many bits.
pub const WORD_BITS: usize = 64;
/// Vectors of fewer components are given this many: few signs would tell too little of them.
const BITS_MIN: usize = 256;
/// Two are enough to spread a single component over all; each of the two ends is transformed twice.
const ROUNDS: usize = 4;
const SEED: u64 = 0x7468_6572_6d6f_636c;

/// How many components a rotated vector has: one bit of its code each.
pub const fn code_bits(dimension: usize) -> usize {
    let bits = dimension.next_multiple_of(WORD_BITS);
    if bits < BITS_MIN { BITS_MIN } else { bits }
}

/// The rotation of vectors of one dimension.
pub struct Rotation {
    bits: usize,
    /// The largest power of two that is not above `bits`.
    transformed: usize,
    /// A bit for each component and round: whose sign is turned before the transform.
    signs: Vec<u64>,
}

impl Rotation {
    /// Of vectors of `dimension` components.
    pub fn new(dimension: usize) -> Self {
        let bits = code_bits(dimension);
        let mut numbers = SplitMix(SEED);
        let signs = (0..ROUNDS * bits.div_ceil(WORD_BITS)).map(|_| numbers.next()).collect();
        Self { bits, transformed: 1 << bits.ilog2(), signs }
    }

    /// Components of what is rotated.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.signs.capacity().saturating_mul(size_of::<u64>())
    }

    /// A vector, rotated, with as many components as codes have bits.
    pub fn rotate(&self, vector: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; self.bits];
        values.iter_mut().zip(vector).for_each(|(value, component)| *value = *component);
        let words = self.bits.div_ceil(WORD_BITS);
        let overlap = self.bits.saturating_sub(self.transformed);
        for (round, signs) in self.signs.chunks(words).enumerate() {
            flip(&mut values, signs);
            let from = if round % 2 == 0 { 0 } else { overlap };
            if let Some(part) = values.get_mut(from..from.saturating_add(self.transformed)) {
                transform(part);
            }
            if overlap > 0 {
                walk(&mut values);
            }
        }
        values
    }
}

/// Turns the sign of the components whose bit is set.
fn flip(values: &mut [f32], signs: &[u64]) {
    for (values, signs) in values.chunks_mut(WORD_BITS).zip(signs) {
        for (bit, value) in values.iter_mut().enumerate() {
            if (*signs >> bit) & 1 == 1 {
                *value = -*value;
            }
        }
    }
}

/// The orthonormal Walsh-Hadamard transform of a power of two of values.
fn transform(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(half * 2) {
            let (left, right) = pair.split_at_mut(half);
            mix(left, right, 1.0);
        }
        half *= 2;
    }
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    let scale = 1.0 / f32::from(count).sqrt();
    values.iter_mut().for_each(|value| *value *= scale);
}

/// Turns each component of the first half and its fellow of the second by an eighth of a circle.
fn walk(values: &mut [f32]) {
    let (left, right) = values.split_at_mut(values.len() / 2);
    mix(left, right, std::f32::consts::FRAC_1_SQRT_2);
}

fn mix(left: &mut [f32], right: &mut [f32], scale: f32) {
    for (left, right) in left.iter_mut().zip(right) {
        (*left, *right) = ((*left + *right) * scale, (*left - *right) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::{DIMENSION_MAX, dot};
    use super::*;

    #[test]
    fn lengths_and_products_are_kept() {
        for dimension in [1, 3, 64, 255, 256, 300, 512, 700, 768, 1_000, 1_536, DIMENSION_MAX] {
            let rotation = Rotation::new(dimension);
            let mut numbers = SplitMix(1);
            let mut vector = || (0..dimension).map(|_| numbers.centred()).collect::<Vec<f32>>();
            let (left, right) = (vector(), vector());
            let (turned_left, turned_right) = (rotation.rotate(&left), rotation.rotate(&right));
            assert_eq!(turned_left.len(), code_bits(dimension));
            let scale = dot(&left, &left).sqrt() * dot(&right, &right).sqrt();
            for (before, after) in [
                (dot(&left, &left), dot(&turned_left, &turned_left)),
                (dot(&left, &right), dot(&turned_left, &turned_right)),
            ] {
                assert!((before - after).abs() < 1e-5 * scale.max(before), "{dimension}: {before}, {after}");
            }
        }
    }

    #[test]
    fn one_component_is_spread_over_all() {
        for dimension in [256, 320, 768, 1_024, 1_536, 4_032] {
            let rotation = Rotation::new(dimension);
            for place in [0, 1, dimension / 2, dimension - 1] {
                let mut vector = vec![0.0; dimension];
                vector[place] = 1.0;
                let turned = rotation.rotate(&vector);
                // Of a random direction it is the square root of 2 / pi.
                let sum: f32 = turned.iter().map(|value| value.abs()).sum();
                let count = f32::from(u16::try_from(turned.len()).unwrap());
                let alignment = sum / count.sqrt();
                assert!((0.7..0.9).contains(&alignment), "{dimension}, component {place}: {alignment}");
            }
        }
    }
}
