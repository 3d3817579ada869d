//! Codes of vectors: the signs of their rotated components around a centre, and three numbers, by which an inner product is told
//! without bias (Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for
//! Approximate Nearest Neighbor Search", 2024).
//!
//! The numbers are a *scale*, by which the inner product of the signs with a vector, over the square root of their number, is to be
//! multiplied to be that of what the vector is away from the centre; a *shift*, the inner product of that with the centre; and its
//! *length*.
//!
//! Codes lie in blocks of positions in a row; the first blocks are small. All codes of a block are around one centre: about
//! the mean of the vectors before the block. So what all vectors have in common costs no accuracy, but for the first few.

use std::borrow::Cow;
use std::rc::Rc;

use super::lanes::{Column, GROUP, column};
use super::vector::dot;

/// Vectors of every block from the fourth on.
pub const BLOCK_VECTORS: u32 = 2_048;
/// Where the first blocks begin.
const FIRST_STARTS: [u32; 4] = [0, 64, 256, 1_024];
/// A centre is kept while the mean is no farther from it than this share of the vectors' mean squared distance from the mean.
const MOVED_SHARE: f32 = 0.02;

/// The positions at which a block begins, and before which it ends; `None` beyond the last position.
pub fn block_bounds(number: usize) -> Option<(u32, u32)> {
    let start = |number: usize| match FIRST_STARTS.get(number) {
        Some(start) => Some(*start),
        None => u32::try_from(number.saturating_sub(3)).ok()?.checked_mul(BLOCK_VECTORS),
    };
    Some((start(number)?, start(number.checked_add(1)?)?))
}

/// What codes are around, rotated.
#[derive(Debug, PartialEq)]
pub struct Centre {
    /// Its components.
    pub values: Vec<f32>,
    /// The square of its length.
    pub squared_length: f32,
}

impl Centre {
    /// A centre of these rotated components.
    pub fn new(values: Vec<f32>) -> Self {
        let squared_length = dot(&values, &values);
        Self { values, squared_length }
    }
}

/// The running mean of the vectors, rotated; of late ones rather than of all once there are many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mean {
    /// Of the components.
    pub values: Vec<f32>,
    /// Of the squared lengths.
    pub squared_length: f32,
}

impl Mean {
    /// Takes in a rotated vector, the last of `count`.
    pub fn add(&mut self, rotated: &[f32], count: u32) {
        self.values.resize(rotated.len(), 0.0);
        let weight = 1.0 / f32::from(u16::try_from(count).unwrap_or(u16::MAX)).max(1.0);
        for (mean, value) in self.values.iter_mut().zip(rotated) {
            *mean += (value - *mean) * weight;
        }
        self.squared_length += (dot(rotated, rotated) - self.squared_length) * weight;
    }

    /// Whether another centre than this would make codes much better.
    pub fn has_left(&self, centre: &Centre) -> bool {
        let spread = (self.squared_length - dot(&self.values, &self.values)).max(0.0);
        super::vector::squared_distance(&self.values, &centre.values) > MOVED_SHARE * spread
    }
}

/// Codes of vectors at positions in a row, in groups of sixteen: of each group the first bytes of its codes, then the second
/// ones, and so on.
#[derive(Debug)]
pub struct CodeBlock {
    /// The position of the first.
    pub first: u32,
    /// What they are around.
    pub centre: Rc<Centre>,
    /// The groups that are full.
    groups: Vec<Column>,
    /// The last group, while it is not.
    tail: Vec<[u8; GROUP]>,
    scales: Vec<f32>,
    shifts: Vec<f32>,
    lengths: Vec<f32>,
}

impl CodeBlock {
    /// None yet, with room for those of a block.
    pub fn new(first: u32, centre: Rc<Centre>, room: u32) -> Self {
        let room = usize::try_from(room).unwrap_or(0);
        let bytes = centre.values.len() / 8;
        let numbers = || Vec::with_capacity(room);
        Self {
            first,
            centre,
            groups: Vec::with_capacity(room.div_ceil(GROUP).saturating_mul(bytes)),
            tail: vec![[0; GROUP]; bytes],
            scales: numbers(),
            shifts: numbers(),
            lengths: numbers(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.scales.len()
    }

    /// Bytes that they take, their centre apart.
    pub fn bytes(&self) -> usize {
        let columns = self.groups.capacity().saturating_add(self.tail.capacity());
        let floats = [&self.scales, &self.shifts, &self.lengths].map(Vec::capacity).iter().sum::<usize>();
        columns.saturating_mul(GROUP).saturating_add(floats.saturating_mul(size_of::<f32>()))
    }

    /// The groups of sixteen codes; in the last one may be less.
    pub fn groups(&self) -> impl Iterator<Item = Cow<'_, [Column]>> {
        let full = self.groups.chunks_exact((self.centre.values.len() / 8).max(1)).map(Cow::Borrowed);
        let has_tail = !self.count().is_multiple_of(GROUP);
        let tail = has_tail.then(|| self.tail.iter().map(|bytes| column(*bytes)).collect());
        full.chain(tail.map(Cow::Owned))
    }

    /// Scales, shifts and lengths of all codes.
    pub fn factors(&self) -> [&[f32]; 3] {
        [&self.scales, &self.shifts, &self.lengths]
    }

    /// Adds the code of a rotated vector.
    pub fn push(&mut self, rotated: &[f32]) {
        let (mut sum, mut square, mut shift) = (0.0_f32, 0.0_f32, 0.0_f32);
        let slot = self.count() % GROUP;
        let parts = rotated.chunks(8).zip(self.centre.values.chunks(8));
        for ((values, centre), codes) in parts.zip(&mut self.tail) {
            let mut byte = 0;
            for (bit, (value, centre)) in values.iter().zip(centre).enumerate() {
                let away = value - centre;
                sum += away.abs();
                square += away * away;
                shift += away * centre;
                byte |= u8::from(away >= 0.0) << bit;
            }
            if let Some(place) = codes.get_mut(slot) {
                *place = byte;
            }
        }
        let root = f32::from(u16::try_from(rotated.len()).unwrap_or(u16::MAX)).sqrt();
        // A sum of 0 is of the centre itself.
        self.scales.push(if sum > 0.0 { square / sum * root } else { 0.0 });
        self.shifts.push(shift);
        self.lengths.push(square.sqrt());
        self.settle();
    }

    /// Puts the last group with the others when it is full.
    fn settle(&mut self) {
        if self.count().is_multiple_of(GROUP) {
            self.groups.extend(self.tail.iter().map(|bytes| column(*bytes)));
            self.tail.fill([0; GROUP]);
        }
    }

    /// Adds up to sixteen codes as they were stored, to groups that are full.
    pub fn push_stored(&mut self, columns: &[[u8; GROUP]], [scales, shifts, lengths]: [&[f32]; 3]) {
        self.tail.copy_from_slice(columns);
        self.scales.extend(scales);
        self.shifts.extend(shifts);
        self.lengths.extend(lengths);
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_and_grow() {
        let mut next = 0;
        for number in 0..1_000 {
            let (start, end) = block_bounds(number).unwrap();
            assert!(start == next && start < end && end - start <= BLOCK_VECTORS);
            next = end;
        }
        assert!(block_bounds(usize::MAX).is_none());
    }

    #[test]
    fn a_vector_that_is_the_centre_has_no_scale() {
        let centre = Rc::new(Centre::new(vec![0.5; 256]));
        let mut block = CodeBlock::new(0, Rc::clone(&centre), 64);
        block.push(&centre.values);
        assert_eq!(block.factors(), [&[0.0], &[0.0], &[0.0]]);
        assert_eq!((block.count(), block.groups().count()), (1, 1));
    }
}
