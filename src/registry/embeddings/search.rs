//! A search under way: candidates by their estimates, and what their vectors say of them, as rows of these are brought.
//!
//! Rows are asked for in waves. Before each wave candidates go whose estimate, whatever error is likely, is not as near as the
//! `k` nearest that are known exactly; so a search reads few rows where the nearest stand out. What is answered is exact: only
//! which vectors were looked at is likely rather than sure.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::rows::{VectorRow, row_of};
use super::scan::Candidate;
use super::vector::{Metric, corrupt, dot, internal, squared_distance};
use super::{Found, SearchStats};
use crate::error::Result;

/// What is known exactly: greater is nearer.
#[derive(Clone, Copy, Debug)]
struct Known {
    nearness: f32,
    position: u32,
}

/// The least near is the greatest: what a heap has on top.
impl Ord for Known {
    fn cmp(&self, other: &Self) -> Ordering {
        other.nearness.total_cmp(&self.nearness).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Known {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Known {}

/// A search under way. It is of the vectors as they were when it began.
pub struct Search {
    pub(super) query: Vec<f32>,
    pub(super) metric: Metric,
    pub(super) k: usize,
    pub(super) confidence: f32,
    /// Candidates that may still be among the nearest, the most likely first.
    pub(super) waiting: Vec<Candidate>,
    /// The least candidates of a wave.
    pub(super) wave_min: usize,
    /// Positions of the wave, in order.
    pub(super) wave: Vec<u32>,
    /// How many of these were looked at.
    pub(super) looked: usize,
    pub(super) nearest: Nearest,
    pub(super) stats: SearchStats,
}

/// The nearest `k` of what is known.
#[derive(Default)]
pub(super) struct Nearest(BinaryHeap<Known>);

impl Nearest {
    fn least(&self, k: usize) -> Option<f32> {
        self.0.peek().filter(|_| self.0.len() >= k).map(|known| known.nearness)
    }

    fn add(&mut self, known: Known, k: usize) {
        self.0.push(known);
        if self.0.len() > k {
            self.0.pop();
        }
    }
}

impl Search {
    /// The rows that are wanted next, in order; none when the search is done. Each is to be given to
    /// [`rescore`](Self::rescore).
    pub fn next_rows(&mut self) -> Vec<u32> {
        let dimension = self.query.len();
        if let Some(least) = self.nearest.least(self.k) {
            let confidence = self.confidence;
            // Estimates that are likely too small.
            self.waiting.retain(|candidate| candidate.estimate + confidence * candidate.error >= least);
        }
        let looked = usize::try_from(self.stats.rescored).unwrap_or(usize::MAX);
        let size = looked.max(self.wave_min);
        let mut rows: Vec<u32> =
            self.waiting.iter().take(size).map(|candidate| row_of(candidate.position, dimension)).collect();
        rows.sort_unstable();
        rows.dedup();
        // Whatever else is of these rows is looked at on the way: no row is read twice.
        let is_of_wave = |candidate: &mut Candidate| rows.binary_search(&row_of(candidate.position, dimension)).is_ok();
        self.wave = self.waiting.extract_if(.., is_of_wave).map(|candidate| candidate.position).collect();
        self.wave.sort_unstable();
        self.looked = 0;
        rows
    }

    /// Looks at those vectors of a row that are wanted.
    pub fn rescore(&mut self, row: u32, bytes: &[u8]) -> Result<()> {
        let dimension = self.query.len();
        let vectors = VectorRow::open(bytes)?;
        if vectors.dimension() != dimension || row_of(vectors.first(), dimension) != row {
            let (found, first) = (vectors.dimension(), vectors.first());
            return Err(corrupt(format!(
                "expected the row {row} of vectors of {dimension} components, got one of {found} from {first} on"
            )));
        }
        self.stats.rows_read = self.stats.rows_read.saturating_add(1);
        let begin = self.wave.partition_point(|position| row_of(*position, dimension) < row);
        let end = self.wave.partition_point(|position| row_of(*position, dimension) <= row);
        let mut vector = Vec::with_capacity(dimension);
        for position in self.wave.get(begin..end).unwrap_or_default() {
            vectors.read(*position, &mut vector)?;
            let nearness = nearness(&self.query, &vector, self.metric);
            self.nearest.add(Known { nearness, position: *position }, self.k);
        }
        let looked = end.saturating_sub(begin);
        self.looked = self.looked.saturating_add(looked);
        self.stats.rescored = self.stats.rescored.saturating_add(u64::try_from(looked).unwrap_or(0));
        Ok(())
    }

    /// The nearest, the nearest first and of equals the one of the least position. Rows that were wanted must have been given.
    pub fn finish(self) -> Result<(Vec<Found>, SearchStats)> {
        if self.looked != self.wave.len() || !self.waiting.is_empty() {
            return Err(internal("a search ended before it had the rows that it asked for; ask again"));
        }
        let score = |nearness: f32| match self.metric {
            Metric::Cosine | Metric::Dot => nearness,
            Metric::L2 => (-nearness).max(0.0).sqrt(),
        };
        let known = self.nearest.0.into_sorted_vec().into_iter();
        let found = known.map(|known| Found { score: score(known.nearness), position: known.position }).collect();
        Ok((found, self.stats))
    }
}

/// How near a vector is; greater is nearer.
fn nearness(query: &[f32], vector: &[f32], metric: Metric) -> f32 {
    match metric {
        Metric::Dot => dot(query, vector),
        Metric::Cosine => {
            let lengths = dot(query, query).sqrt() * dot(vector, vector).sqrt();
            (dot(query, vector) / lengths.max(f32::MIN_POSITIVE)).clamp(-1.0, 1.0)
        }
        Metric::L2 => -squared_distance(query, vector),
    }
}
