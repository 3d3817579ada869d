//! Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014) with
//! thresholds that differ by band (Qin et al., "GPH: Similarity Search in Hamming Space", 2018).
//!
//! A hash is 16 bands of 16 bits. When two hashes differ in at most `r` bits, then for any thresholds of the bands whose sum,
//! each counted one more, is `r + 1`, some band differs in at most its own threshold: else more than `r` bits did. So a
//! search looks up, for each band, the buckets within its threshold: none (-1), its own (0), or also those one bit away
//! (1), which carries to distance 31. Which band gets which is decided by how many hashes each would have to look at.
//!
//! Layout: positions by band value, packed to the bits that the largest position needs, and for each band where each value's
//! begin.

use super::Found;
use super::hash::{Halves, PdqHash, half_distance};

/// Bands of a hash.
const BANDS: usize = 16;
/// Values of a band.
const VALUES: usize = 1 << 16;
/// The largest distance that bands find: all of them with threshold 1.
pub const MAX_DISTANCE: u32 = 31;

/// Positions of hashes by the values of their bands.
#[derive(Default)]
pub struct Bands {
    indexed: usize,
    bands: Vec<Band>,
}

struct Band {
    /// Where the positions of each value begin, and where those of the last one end.
    starts: Vec<u32>,
    positions: PackedPositions,
}

/// What is looked up for a query.
pub struct Plan {
    thresholds: [Threshold; BANDS],
    /// How many positions that names.
    pub candidates: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Threshold {
    /// Nothing of the band is looked up.
    Skip,
    /// The same value.
    Same,
    /// And those that differ in one bit.
    OneBit,
}

/// The value of a band of a hash, by its two halves.
fn band_value(first: [u64; 2], second: [u64; 2], band: usize) -> usize {
    let [a, b] = if band < BANDS / 2 { first } else { second };
    let word = if band % 8 < 4 { a } else { b };
    // Sixteen bits fit any size.
    usize::from(u16::try_from((word >> (48 - 16 * (band % 4))) & 0xffff).unwrap_or(0))
}

/// A value and those that differ from it in one bit.
fn neighbours(value: usize) -> impl Iterator<Item = usize> {
    (0..16).map(move |bit| value ^ (1 << bit))
}

impl Bands {
    /// Indexes all hashes.
    pub fn build(halves: &Halves) -> Self {
        let indexed = halves.len();
        Self { indexed, bands: (0..BANDS).map(|band| Band::build(halves, band)).collect() }
    }

    /// How many hashes are indexed: those with the first positions.
    pub fn indexed(&self) -> usize {
        self.indexed
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bands.iter().map(Band::bytes).sum()
    }

    /// How to find every hash within a distance; `None` beyond what bands can find, or when nothing is indexed.
    pub fn plan(&self, query: PdqHash, max_distance: u32) -> Option<Plan> {
        if max_distance > MAX_DISTANCE || self.bands.is_empty() {
            return None;
        }
        let mut costs: Vec<(usize, usize, usize)> = Vec::with_capacity(BANDS);
        for (number, band) in self.bands.iter().enumerate() {
            let value = band_value(query.first(), query.second(), number);
            let same = band.count(value);
            costs.push((number, same, neighbours(value).map(|value| band.count(value)).sum()));
        }
        // What the thresholds have to sum to, each counted one more.
        let mut wanted = usize::try_from(max_distance).unwrap_or(usize::MAX).saturating_add(1);
        let mut plan = Plan { thresholds: [Threshold::Skip; BANDS], candidates: 0 };
        costs.sort_unstable_by_key(|(_, same, _)| *same);
        for (number, same, _) in costs.iter().take(wanted.min(BANDS)) {
            plan.set(*number, Threshold::Same, *same);
        }
        wanted = wanted.saturating_sub(BANDS);
        costs.sort_unstable_by_key(|(_, _, near)| *near);
        for (number, _, near) in costs.iter().take(wanted) {
            plan.set(*number, Threshold::OneBit, *near);
        }
        Some(plan)
    }

    /// Adds all that the plan names and that is within the distance, some of it more than once.
    pub fn look_up(&self, plan: &Plan, halves: &Halves, query: PdqHash, max_distance: u32, found: &mut Vec<Found>) {
        let mut check = Check { halves, query, max_distance, found };
        for ((number, band), threshold) in self.bands.iter().enumerate().zip(plan.thresholds) {
            let value = band_value(query.first(), query.second(), number);
            if threshold != Threshold::Skip {
                band.look_up(value, &mut check);
            }
            if threshold == Threshold::OneBit {
                neighbours(value).for_each(|value| band.look_up(value, &mut check));
            }
        }
    }
}

impl Plan {
    fn set(&mut self, band: usize, threshold: Threshold, candidates: usize) {
        if let Some(known) = self.thresholds.get_mut(band) {
            *known = threshold;
        }
        self.candidates = self.candidates.saturating_add(candidates);
    }
}

/// What is done with a position.
struct Check<'c> {
    halves: &'c Halves,
    query: PdqHash,
    max_distance: u32,
    found: &'c mut Vec<Found>,
}

impl Check<'_> {
    fn check(&mut self, position: u32) {
        let Ok(index) = usize::try_from(position) else { return };
        let Some(first) = self.halves.firsts().get(index) else { return };
        let distance = half_distance(*first, self.query.first());
        if distance > self.max_distance {
            return;
        }
        let Some(second) = self.halves.seconds().get(index) else { return };
        let distance = distance + half_distance(*second, self.query.second());
        if distance <= self.max_distance {
            self.found.push(Found { distance, position });
        }
    }
}

impl Band {
    /// Sorts the positions by counting.
    fn build(halves: &Halves, band: usize) -> Self {
        let values =
            || halves.firsts().iter().zip(halves.seconds()).map(|(first, second)| band_value(*first, *second, band));
        let mut starts = vec![0_u32; VALUES + 1];
        for value in values() {
            if let Some(count) = starts.get_mut(value + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut positions = PackedPositions::new(halves.len());
        // Each value's start moves to its end, which is the next one's start: afterwards all are one value too far.
        for (position, value) in (0_u32..).zip(values()) {
            if let Some(start) = starts.get_mut(value) {
                positions.set(*start, position);
                *start += 1;
            }
        }
        starts.copy_within(0..VALUES, 1);
        if let Some(start) = starts.first_mut() {
            *start = 0;
        }
        Self { starts, positions }
    }

    fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.positions.bytes()
    }

    fn range(&self, value: usize) -> (u32, u32) {
        match self.starts.get(value..value + 2) {
            Some([start, end]) => (*start, *end),
            _ => (0, 0),
        }
    }

    fn count(&self, value: usize) -> usize {
        let (start, end) = self.range(value);
        usize::try_from(end.saturating_sub(start)).unwrap_or(0)
    }

    fn look_up(&self, value: usize, check: &mut Check<'_>) {
        let (start, end) = self.range(value);
        for slot in start..end {
            check.check(self.positions.get(slot));
        }
    }
}

/// Positions of so many bits as the largest needs, one after the other.
struct PackedPositions {
    bits: u32,
    /// With a word to spare, so that whatever begins in a word may be read with the next.
    words: Vec<u32>,
}

impl PackedPositions {
    fn new(count: usize) -> Self {
        let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
        let bits = bits.clamp(1, 32);
        let all = count.saturating_mul(usize::try_from(bits).unwrap_or(32));
        Self { bits, words: vec![0; all.div_ceil(32) + 1] }
    }

    fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }

    /// The word that a slot begins in, and at which bit.
    fn place(&self, slot: u32) -> (usize, u32) {
        let bit = u64::from(slot) * u64::from(self.bits);
        (usize::try_from(bit / 32).unwrap_or(usize::MAX), u32::try_from(bit % 32).unwrap_or(0))
    }

    fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    fn get(&self, slot: u32) -> u32 {
        let (word, shift) = self.place(slot);
        match self.words.get(word..).and_then(<[u32]>::first_chunk::<2>) {
            Some([low, high]) => {
                let both = u64::from(*low) | (u64::from(*high) << 32);
                u32::try_from((both >> shift) & self.mask()).unwrap_or(0)
            }
            None => 0,
        }
    }

    /// Sets a slot that was never set before.
    fn set(&mut self, slot: u32, position: u32) {
        let (word, shift) = self.place(slot);
        let both = (u64::from(position) & self.mask()) << shift;
        let halves = [both & u64::from(u32::MAX), both >> 32];
        for (word, half) in self.words.iter_mut().skip(word).zip(halves) {
            *word |= u32::try_from(half).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_any_width_come_back() {
        for count in [1_usize, 2, 3, 255, 256, 257, 65_537, 1_000_003] {
            let mut packed = PackedPositions::new(count);
            let last = u32::try_from(count - 1).unwrap();
            let step = (last / 1_000).max(1);
            let some = || (0..=last).step_by(usize::try_from(step).unwrap());
            some().for_each(|slot| packed.set(slot, last - slot));
            assert!(some().all(|slot| packed.get(slot) == last - slot), "{count}");
        }
    }

    #[test]
    fn bands_are_the_words_from_the_left() {
        let hash = PdqHash::from_hex("0000111122223333444455556666777788889999aaaabbbbccccddddeeeeffff").unwrap();
        let values: Vec<usize> = (0..BANDS).map(|band| band_value(hash.first(), hash.second(), band)).collect();
        assert_eq!(values, (0..BANDS).map(|band| band * 0x1111).collect::<Vec<_>>());
    }
}
