//! Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014) with
//! thresholds that differ by band (Qin et al., "GPH: Similarity Search in Hamming Space", 2018).
//!
//! A hash is 16 bands of 16 bits. When two hashes differ in at most `r` bits, then for any thresholds of the bands whose sum,
//! each counted one more, is `r + 1`, some band differs in at most its own threshold: else more than `r` bits did. So a
//! search looks up, for each band, the buckets within its threshold: none (-1), its own (0), or also those up to one, two or
//! three bits away, which carries to distance 31, 47 and 63. Which band gets which is decided by how many hashes each would
//! have to look at: a band that few values fill is better left out, and others looked up farther.
//!
//! Layout: positions by band value, packed to the bits that the largest position needs, and for each band where each value's
//! begin.

use std::ops::Range;

use super::Found;
use super::hash::{Half, Halves, PdqHash, half_distance};

/// Bands of a hash.
const BANDS: usize = 16;
/// Values of a band.
const VALUES: usize = 1 << 16;
/// Up to this distance few positions are looked at: no band needs a threshold above 1.
pub const MAX_DISTANCE: u32 = 31;
/// The largest distance that bands find: all of them with the highest threshold.
const FARTHEST: u32 = 63;
/// Sums of thresholds that reach so far, each counted one more: from 0 on.
const SUMS: usize = 65;
/// Positions that are read before their hashes are looked at.
const CHECKED_AT_ONCE: usize = 8_192;

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
    /// Of each band so many of the values that differ in the fewest bits.
    buckets: [usize; BANDS],
    /// How many positions that names.
    pub candidates: usize,
    /// What it costs, in positions to look at: to open a bucket costs something too.
    pub cost: usize,
}

/// How many values differ from one in at most so many bits as the threshold is, which is one less than the place here.
const BUCKETS: [usize; 5] = [0, 1, 17, 137, 697];
/// What a value is turned by, the fewest bits first.
static TURNS: [u16; 697] = turns();
/// When a plan costs more than this part of all hashes, higher thresholds are looked at.
const COSTLY_PART: usize = 128;

/// What looking up a band costs, by the place of its threshold in [`BUCKETS`].
type Costs = [[usize; BUCKETS.len()]; BANDS];

#[expect(clippy::indexing_slicing, reason = "run by the compiler")]
const fn turns() -> [u16; 697] {
    let (mut turns, mut count, mut bits) = ([0; 697], 0, 0);
    while bits <= 3 {
        let mut turn = 0_u16;
        loop {
            if turn.count_ones() == bits {
                turns[count] = turn;
                count += 1;
            }
            match turn.checked_add(1) {
                Some(next) => turn = next,
                None => break,
            }
        }
        bits += 1;
    }
    turns
}

/// The value of a band of a hash, by its two halves.
fn band_value(first: Half, second: Half, band: usize) -> usize {
    value_in_half(if band < BANDS / 2 { first } else { second }, band)
}

/// The value of a band, by the half that it is in.
#[inline(always)]
fn value_in_half([a, b]: Half, band: usize) -> usize {
    let word = if band % 8 < 4 { a } else { b };
    // Sixteen bits fit any size.
    usize::from(u16::try_from((word >> (48 - 16 * (band % 4))) & 0xffff).unwrap_or(0))
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
        if max_distance > FARTHEST || self.bands.is_empty() {
            return None;
        }
        let wanted = usize::try_from(max_distance).unwrap_or(usize::MAX).saturating_add(1);
        let mut costs = Costs::default();
        // The lowest threshold that reaches so far is nearly always enough.
        let highest = wanted.div_ceil(BANDS).max(2);
        (1..=highest).for_each(|threshold| self.add_costs(query, threshold, &mut costs));
        let mut plan = cheapest(&costs, wanted, highest);
        if highest < 3 && plan.cost > self.indexed / COSTLY_PART {
            self.add_costs(query, highest + 1, &mut costs);
            plan = cheapest(&costs, wanted, highest + 1);
        }
        let hashes = plan.buckets.iter().zip(&self.bands).enumerate();
        let hashes = hashes.map(|(number, (buckets, band))| {
            band.count(band_value(query.first(), query.second(), number), 0..*buckets)
        });
        plan.candidates = hashes.sum();
        Some(plan)
    }

    /// Fills in what a threshold costs each band, those below being known.
    fn add_costs(&self, query: PdqHash, threshold: usize, costs: &mut Costs) {
        let Some(&[below, buckets]) = BUCKETS.get(threshold - 1..=threshold) else { return };
        for ((number, band), costs) in self.bands.iter().enumerate().zip(costs) {
            let value = band_value(query.first(), query.second(), number);
            if let Some([known, cost]) = costs.get_mut(threshold - 1..=threshold) {
                *cost = known.saturating_add(band.count(value, below..buckets)).saturating_add(buckets - below);
            }
        }
    }

    /// Adds all that the plan names and that is within the distance, some of it more than once.
    pub fn look_up(&self, plan: &Plan, halves: &Halves, query: PdqHash, max_distance: u32, found: &mut Vec<Found>) {
        let check = Check { halves, query, max_distance };
        // Reading positions and looking at their hashes are steps of their own: each is a loop whose reads wait for no other,
        // and waiting for memory is most of what a search does.
        let mut positions = Vec::with_capacity(plan.candidates.min(CHECKED_AT_ONCE));
        for ((number, band), buckets) in self.bands.iter().enumerate().zip(plan.buckets) {
            let value = band_value(query.first(), query.second(), number);
            let turns = TURNS.get(..buckets).unwrap_or_default();
            if buckets > 1 {
                std::hint::black_box(band.touch(value, turns));
            }
            for turn in turns {
                band.read(band.range(value ^ usize::from(*turn)), &check, &mut positions, found);
            }
        }
        check.check(&positions, found);
    }
}

/// The thresholds that cost least of those whose sum, each counted one more, is what is wanted.
fn cheapest(costs: &Costs, wanted: usize, highest: usize) -> Plan {
    // Of each sum the least cost with the bands so far, and for each band which threshold led to it.
    let (mut least, mut chosen) = ([usize::MAX; SUMS], [[0_u8; SUMS]; BANDS]);
    if let Some(nothing) = least.first_mut() {
        *nothing = 0;
    }
    for (costs, chosen) in costs.iter().zip(&mut chosen) {
        let mut next = [usize::MAX; SUMS];
        for (threshold, cost) in (0_u8..).zip(costs).take(highest.saturating_add(1)) {
            let first = usize::from(threshold);
            for sum in first..=wanted {
                let Some(before) = least.get(sum - first) else { continue };
                let (Some(best), Some(chosen)) = (next.get_mut(sum), chosen.get_mut(sum)) else { continue };
                let all = before.saturating_add(*cost);
                if all < *best {
                    (*best, *chosen) = (all, threshold);
                }
            }
        }
        least = next;
    }
    let cost = least.get(wanted).copied().unwrap_or(usize::MAX);
    let (mut buckets, mut left) = ([0; BANDS], wanted);
    for (buckets, chosen) in buckets.iter_mut().zip(&chosen).rev() {
        let threshold = usize::from(chosen.get(left).copied().unwrap_or_default());
        *buckets = BUCKETS.get(threshold).copied().unwrap_or_default();
        left = left.saturating_sub(threshold);
    }
    Plan { buckets, candidates: 0, cost }
}

/// What is done with positions.
struct Check<'c> {
    halves: &'c Halves,
    query: PdqHash,
    max_distance: u32,
}

impl Check<'_> {
    /// Adds those that are within the distance.
    #[inline(never)]
    fn check(&self, positions: &[u32], found: &mut Vec<Found>) {
        let (query, firsts) = (self.query.first(), self.halves.firsts());
        for position in positions {
            let Some(first) = usize::try_from(*position).ok().and_then(|place| firsts.get(place)) else { return };
            let distance = half_distance(*first, query);
            if distance <= self.max_distance {
                self.check_second(*position, distance, found);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn check_second(&self, position: u32, first_distance: u32, found: &mut Vec<Found>) {
        let second = usize::try_from(position).ok().and_then(|place| self.halves.seconds().get(place));
        let Some(second) = second else { return };
        let distance = first_distance + half_distance(*second, self.query.second());
        if distance <= self.max_distance {
            found.push(Found { distance, position });
        }
    }
}

impl Band {
    /// Sorts the positions by counting.
    fn build(halves: &Halves, band: usize) -> Self {
        let halves = if band < BANDS / 2 { halves.firsts() } else { halves.seconds() };
        let mut starts = vec![0_u32; VALUES + 1];
        for half in halves {
            if let Some(count) = starts.get_mut(value_in_half(*half, band) + 1) {
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
        for (position, half) in (0_u32..).zip(halves) {
            if let Some(start) = starts.get_mut(value_in_half(*half, band)) {
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

    #[inline(always)]
    fn range(&self, value: usize) -> (u32, u32) {
        match self.starts.get(value..value + 2) {
            Some([start, end]) => (*start, *end),
            _ => (0, 0),
        }
    }

    /// How many hashes have one of the values near to one at these places.
    fn count(&self, value: usize, places: Range<usize>) -> usize {
        let mut count = 0_u32;
        for turn in TURNS.get(places).unwrap_or_default() {
            let (start, end) = self.range(value ^ usize::from(*turn));
            count = count.wrapping_add(end.wrapping_sub(start));
        }
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Reads a byte at both ends of the slots of some values near to one, so that memory is waited for once and not for each.
    fn touch(&self, value: usize, turns: &[u16]) -> u32 {
        let mut touched = 0_u32;
        for turn in turns {
            let (start, end) = self.range(value ^ usize::from(*turn));
            touched = touched.wrapping_add(self.positions.touch(start)).wrapping_add(self.positions.touch(end));
        }
        touched
    }

    /// Reads the positions of a range of slots, and checks those that were read when they are many.
    fn read(&self, range: (u32, u32), check: &Check<'_>, positions: &mut Vec<u32>, found: &mut Vec<Found>) {
        let (mut start, end) = range;
        while start < end {
            let room = u32::try_from(CHECKED_AT_ONCE.saturating_sub(positions.len())).unwrap_or(0);
            let until = end.min(start.saturating_add(room));
            self.positions.read(start, until, positions);
            start = until;
            if positions.len() >= CHECKED_AT_ONCE {
                check.check(positions, found);
                positions.clear();
            }
        }
    }
}

/// Positions of so many bits as the largest needs, one after the other, from the lowest bit of the first byte on.
struct PackedPositions {
    bits: u32,
    /// With a word to spare, so that whatever begins in a byte may be read with the seven after it.
    bytes: Vec<u8>,
}

impl PackedPositions {
    fn new(count: usize) -> Self {
        let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
        let bits = bits.clamp(1, 32);
        let all = count.saturating_mul(usize::try_from(bits).unwrap_or(32));
        Self { bits, bytes: vec![0; all.div_ceil(8) + size_of::<u64>()] }
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The byte that a slot begins in, and at which bit.
    #[inline(always)]
    fn place(&self, slot: u32) -> (usize, u32) {
        let bit = u64::from(slot) * u64::from(self.bits);
        (usize::try_from(bit / 8).unwrap_or(usize::MAX), u32::try_from(bit % 8).unwrap_or(0))
    }

    fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// The byte that a slot begins in.
    #[inline(always)]
    fn touch(&self, slot: u32) -> u32 {
        self.bytes.get(self.place(slot).0).copied().map_or(0, u32::from)
    }

    /// Adds the positions of some slots.
    #[inline(never)]
    fn read(&self, start: u32, end: u32, positions: &mut Vec<u32>) {
        let (byte, mut bit) = self.place(start);
        let Some(bytes) = self.bytes.get(byte..) else { return };
        let (bits, mask) = (self.bits, self.mask());
        positions.extend((start..end).map(|_| {
            let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            let word = bytes.get(place..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let position = (word >> (bit % 8)) & mask;
            bit += bits;
            // No more bits than the mask has.
            u32::try_from(position).unwrap_or(0)
        }));
    }

    /// Sets a slot that was never set before.
    fn set(&mut self, slot: u32, position: u32) {
        let (byte, shift) = self.place(slot);
        let position = (u64::from(position) & self.mask()) << shift;
        if let Some(bytes) = self.bytes.get_mut(byte..).and_then(<[u8]>::first_chunk_mut) {
            let word = u64::from_le_bytes(*bytes) | position;
            *bytes = word.to_le_bytes();
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
            let read = |slot| {
                let mut read = Vec::new();
                packed.read(slot, slot + 1, &mut read);
                read
            };
            assert!(some().all(|slot| read(slot) == [last - slot]), "{count}");
        }
    }

    #[test]
    fn bands_are_the_words_from_the_left() {
        let hash = PdqHash::from_hex("0000111122223333444455556666777788889999aaaabbbbccccddddeeeeffff").unwrap();
        let values: Vec<usize> = (0..BANDS).map(|band| band_value(hash.first(), hash.second(), band)).collect();
        assert_eq!(values, (0..BANDS).map(|band| band * 0x1111).collect::<Vec<_>>());
    }
}
