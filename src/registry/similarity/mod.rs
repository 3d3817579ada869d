//! Exact search among perceptual hashes by Hamming distance.
//!
//! Hashes have positions, given in order. Most are in an index by bands ([`bands`]), which finds every hash within distance 63
//! of a query by looking at few; the newest ones, and all of them beyond that distance or where a scan costs less, are scanned
//! ([`scan`]).
//!
//! Invariants: an answer is exact, whatever is indexed already; a hash is found from the moment at which it is added; memory
//! is at most 80 bytes a hash where there are many, the building of the index included; which of the two ways a search
//! takes depends on what each would have to look at, so that skewed hashes cost a scan at most.

pub mod bands;
pub mod block_io;
mod collector;
pub mod hash;
pub mod packed;
pub mod scan;
mod search;
mod state;
pub mod store;

pub use hash::{MAX_DISTANCE, PdqHash};

use std::ops::Range;

use self::bands::Bands;
use self::hash::Halves;

/// So many hashes are scanned rather than indexed.
const TAIL_MAX: usize = 16_384;
/// Looking at a hash that bands name costs as much as scanning so many.
const LOOK_COST: usize = 8;

/// A hash that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// How many bits differ.
    pub distance: u32,
    /// Its position.
    pub position: u32,
}

/// What a search had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchStats {
    /// Positions that bands named, some of them more than once.
    pub candidates: u64,
    /// Distances computed, candidates and scanned hashes both.
    pub distances: u64,
}

/// Hashes by position, and what finds them.
#[derive(Default)]
pub struct HashIndex {
    halves: Halves,
    removed: roaring::RoaringBitmap,
    bands: Bands,
}

impl HashIndex {
    /// No hashes yet, with room for some.
    pub fn with_capacity(hashes: usize) -> Self {
        Self { halves: Halves::with_capacity(hashes), ..Self::default() }
    }

    /// How many positions were given.
    pub fn len(&self) -> usize {
        self.halves.len()
    }

    /// Whether no position was given.
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.halves.bytes().saturating_add(self.bands.bytes()).saturating_add(self.removed.serialized_size())
    }

    /// Adds a hash, and gives it the next position; `None` when there is no more room for positions.
    pub fn add(&mut self, hash: PdqHash) -> Option<u32> {
        let position = u32::try_from(self.halves.len()).ok()?;
        self.halves.push(hash);
        Some(position)
    }

    /// Takes the hash of a position out of every search.
    pub fn remove(&mut self, position: u32) {
        self.removed.insert(position);
    }

    /// Whether enough hashes are not indexed yet that [`index_all`](Self::index_all) is worth its time.
    pub fn is_indexing_due(&self) -> bool {
        self.halves.len().saturating_sub(self.bands.indexed()) > TAIL_MAX
    }

    /// Indexes all hashes.
    pub fn index_all(&mut self) {
        // The old index goes first, so that there is never room for two.
        self.bands = Bands::default();
        self.bands = Bands::build(&self.halves);
    }

    /// Whether bands cover all but few hashes, so that the copies of one are found by looking at few others.
    pub fn is_indexed(&self) -> bool {
        self.halves.len().saturating_sub(self.bands.indexed()) <= TAIL_MAX
    }

    /// Adds the hashes within a distance that bands find, by distance and then by position. Answers from which position on
    /// the rest has to be [`scan`](Self::scan)ned: the first, where bands do not reach or would have to look at too many.
    pub fn look_up(&self, query: PdqHash, max_distance: u32, stats: &mut SearchStats, found: &mut Vec<Found>) -> usize {
        let indexed = self.bands.indexed();
        let plan = self.bands.plan(query, max_distance).filter(|plan| plan.cost.saturating_mul(LOOK_COST) < indexed);
        let Some(plan) = plan else { return 0 };
        self.bands.look_up(&plan, &self.halves, query, max_distance, found);
        let candidates = u64::try_from(plan.candidates).unwrap_or(u64::MAX);
        stats.candidates = stats.candidates.saturating_add(candidates);
        stats.distances = stats.distances.saturating_add(candidates);
        found.retain(|found| !self.removed.contains(found.position));
        found.sort_unstable();
        // Several bands may name one hash.
        found.dedup();
        indexed
    }

    /// Adds the hashes within a distance that have one of these positions, in their order.
    pub fn scan(
        &self,
        positions: Range<usize>,
        query: PdqHash,
        max_distance: u32,
        stats: &mut SearchStats,
        found: &mut Vec<Found>,
    ) {
        let before = found.len();
        stats.distances = stats.distances.saturating_add(u64::try_from(positions.len()).unwrap_or(u64::MAX));
        scan::within(&self.halves, positions, query, max_distance, found);
        if !self.removed.is_empty() {
            let mut place = 0_usize;
            found.retain(|found| {
                place = place.saturating_add(1);
                place <= before || !self.removed.contains(found.position)
            });
        }
    }

    /// All hashes within a distance, by distance and then by position.
    pub fn within(&self, query: PdqHash, max_distance: u32, stats: &mut SearchStats) -> Vec<Found> {
        let mut found = Vec::new();
        let from = self.look_up(query, max_distance, stats, &mut found);
        self.scan(from..self.len(), query, max_distance, stats, &mut found);
        found.sort_unstable();
        found
    }

    /// The hash of a position, removed or not; `None` of one that was not given.
    pub fn get(&self, position: u32) -> Option<PdqHash> {
        self.halves.get(usize::try_from(position).ok()?)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod store_tests;
#[cfg(test)]
mod tests;
