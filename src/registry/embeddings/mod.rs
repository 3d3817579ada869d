//! Search of the nearest among embeddings: vectors of one dimension, by cosine, inner product or Euclidean distance.
//!
//! Vectors have positions, given in order. They lie in packed rows ([`rows`]) that the caller keeps and brings; in memory
//! there is a code of each ([`codes`]), a bit a component and three numbers, kept in rows of its own ([`code_row`]). A search looks at
//! all codes ([`scan`]), asks for the rows of those vectors that may be near, and answers by these ([`search`]).
//!
//! Invariants: a score is that of the vector itself; a vector is found from the moment at which it is added; where there are few, all are looked
//! at, and the answer is exact; a search looks at 4,000 vectors at most; memory is an eighth of a byte a component, twelve bytes a vector and
//! what one block and two vectors take. The same vectors added in the same order make the same codes everywhere.
//!
//! ```
//! use thermocline::registry::embeddings::{EmbeddingIndex, Metric, SearchOptions, write_row};
//!
//! let vectors = [[1.0, 0.0], [0.6, 0.8]];
//! let mut index = EmbeddingIndex::new(2)?;
//! for vector in &vectors {
//!     index.add(vector)?;
//! }
//! let row = write_row(0, 2, &[&vectors[0], &vectors[1]])?;
//! let mut search = index.search(&[0.0, 2.0], 1, Metric::Cosine, SearchOptions::default())?;
//! loop {
//!     let rows = search.next_rows();
//!     if rows.is_empty() {
//!         break;
//!     }
//!     for number in rows {
//!         search.rescore(number, &row)?; // There is one only.
//!     }
//! }
//! let (found, stats) = search.finish()?;
//! assert_eq!((found[0].position, found[0].score), (1, 0.8));
//! assert_eq!(stats.rows_read, 1);
//! # Ok::<(), thermocline::error::StorageError>(())
//! ```

mod bytes;
pub mod code_row;
pub mod codes;
mod lanes;
mod numbers;
pub mod rotation;
pub mod rows;
pub mod scan;
pub mod search;
mod state;
pub mod store;
pub mod vector;

use std::rc::Rc;

use roaring::RoaringBitmap;

pub use rows::{VectorRow, row_of, vectors_per_row, write_row};
pub use search::Search;
pub use vector::{DIMENSION_MAX, K_MAX, Metric, check_dimension, check_k, check_vector};

use self::codes::{Centre, CodeBlock, Mean, block_bounds};
use self::rotation::Rotation;
use self::scan::{Candidate, Candidates, CentredQuery};
use crate::error::Result;

/// So many vectors are all looked at.
const EXACT_MAX: u64 = 2_048;
/// Candidates of a search, at most.
const CANDIDATES_MAX: usize = 4_000;
/// Candidates of a search, where there are as many vectors, at least.
const CANDIDATES_MIN: usize = 128;

/// A vector that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Cosine, inner product or Euclidean distance.
    pub score: f32,
    /// Its position.
    pub position: u32,
}

/// What a search had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchStats {
    /// Codes that were looked at.
    pub scanned: u64,
    /// Vectors that their codes put among the nearest.
    pub candidates: u64,
    /// Vectors that were looked at.
    pub rescored: u64,
    /// Rows of vectors that were read.
    pub rows_read: u64,
}

/// How hard a search tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchOptions {
    /// Candidates for each vector that is asked for, from 1 on; in all 128 at least and 4,000 at most, or twice what is asked for.
    pub oversample: usize,
    /// A candidate is left out when it would have to be so many standard deviations nearer than its code says.
    pub confidence: f32,
    /// Looks at every vector, whatever the codes say.
    pub exact: bool,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { oversample: 40, confidence: 2.0, exact: false }
    }
}

/// Codes of vectors by position, and what finds them.
pub struct EmbeddingIndex {
    dimension: usize,
    rotation: Rotation,
    blocks: Vec<CodeBlock>,
    /// How many positions were given.
    count: u32,
    mean: Mean,
    removed: RoaringBitmap,
}

impl EmbeddingIndex {
    /// No vectors yet, for those of `dimension` components.
    pub fn new(dimension: usize) -> Result<Self> {
        check_dimension(dimension)?;
        let rotation = Rotation::new(dimension);
        let mean = Mean { values: vec![0.0; rotation.bits()], squared_length: 0.0 };
        Ok(Self { dimension, rotation, blocks: Vec::new(), count: 0, mean, removed: RoaringBitmap::new() })
    }

    /// Components of its vectors.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many positions were given.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether no position was given.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The positions that are in no search any more.
    pub fn removed(&self) -> &RoaringBitmap {
        &self.removed
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let mut bytes = self.removed.serialized_size().saturating_add(self.rotation.bytes());
        let mut last: Option<&Rc<Centre>> = None;
        for block in &self.blocks {
            let is_new = last.is_none_or(|last| !Rc::ptr_eq(last, &block.centre));
            let centre = if is_new { self.rotation.bits().saturating_mul(size_of::<f32>()) } else { 0 };
            bytes = bytes.saturating_add(block.bytes()).saturating_add(centre).saturating_add(size_of::<CodeBlock>());
            last = Some(&block.centre);
        }
        bytes.saturating_add(self.rotation.bits().saturating_mul(size_of::<f32>()))
    }

    /// Adds a vector, and gives it the next position.
    pub fn add(&mut self, vector: &[f32]) -> Result<u32> {
        check_vector(vector, self.dimension)?;
        let position = self.count;
        let Some(count) = position.checked_add(1) else {
            return Err(vector::invalid("there is no more room for embeddings; erase some objects"));
        };
        if self.is_full() {
            self.open_block()?;
        }
        let rotated = self.rotation.rotate(vector);
        if let Some(block) = self.blocks.last_mut() {
            block.push(&rotated);
        }
        self.mean.add(&rotated, count);
        self.count = count;
        Ok(position)
    }

    /// Whether the last block of codes has no more room, or there is none: it never changes any more, and is best kept before the
    /// next vector is added.
    pub fn is_full(&self) -> bool {
        let last = self.blocks.len().checked_sub(1).and_then(block_bounds);
        last.is_none_or(|(_, end)| self.count >= end)
    }

    fn open_block(&mut self) -> Result<()> {
        let Some((first, end)) = block_bounds(self.blocks.len()) else {
            return Err(vector::internal("there are no more blocks for codes of embeddings"));
        };
        let last = self.blocks.last().map(|block| Rc::clone(&block.centre));
        let centre = match last {
            Some(centre) if !self.mean.has_left(&centre) => centre,
            // That of the first block is 0.
            _ => Rc::new(Centre::new(self.mean.values.clone())),
        };
        self.blocks.push(CodeBlock::new(first, centre, end.saturating_sub(first)));
        Ok(())
    }

    /// Takes the vector of a position out of every search.
    pub fn remove(&mut self, position: u32) {
        if position < self.count {
            self.removed.insert(position);
        }
    }

    /// How many blocks of codes there are.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The bytes of the last block, to be kept; `None` when there is none. What was removed is not in them.
    pub fn last_block(&self) -> Option<Vec<u8>> {
        let number = self.blocks.len().checked_sub(1)?;
        Some(code_row::write(self.dimension, number, self.blocks.last()?, &self.mean))
    }

    /// Adds the next block of codes that were kept, and gives it positions: in order, each but the last a full one. Vectors that are in
    /// none of them are then added as ever.
    pub fn load_block(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.is_full() {
            return Err(vector::corrupt("expected the block of codes before the last to be full, got one that is not"));
        }
        let (mut block, mean) = code_row::read(bytes, self.dimension, self.blocks.len())?;
        if let Some(last) = self.blocks.last().filter(|last| last.centre == block.centre) {
            block.centre = Rc::clone(&last.centre);
        }
        self.count = block.first.saturating_add(u32::try_from(block.count()).unwrap_or(0));
        self.mean = mean;
        self.blocks.push(block);
        Ok(())
    }

    /// Begins a search of the nearest `k`.
    pub fn search(&self, query: &[f32], k: usize, metric: Metric, options: SearchOptions) -> Result<Search> {
        check_k(k)?;
        check_vector(query, self.dimension)?;
        let live = u64::from(self.count).saturating_sub(self.removed.len());
        let is_exact = options.exact || live <= EXACT_MAX;
        let waiting = if is_exact { self.all() } else { self.likely(query, k, metric, options) };
        let stats = SearchStats {
            scanned: if is_exact { 0 } else { u64::from(self.count) },
            candidates: u64::try_from(waiting.len()).unwrap_or(0),
            ..SearchStats::default()
        };
        Ok(Search {
            query: query.to_vec(),
            metric,
            k,
            confidence: options.confidence,
            wave_min: if is_exact { waiting.len() } else { k.saturating_mul(2) },
            waiting,
            wave: Vec::new(),
            looked: 0,
            nearest: search::Nearest::default(),
            stats,
        })
    }

    /// Everything, as likely to be near as can be.
    fn all(&self) -> Vec<Candidate> {
        let candidate = |position| Candidate { estimate: f32::INFINITY, error: 0.0, position };
        (0..self.count).filter(|position| !self.removed.contains(*position)).map(candidate).collect()
    }

    /// What may be near by its code.
    fn likely(&self, query: &[f32], k: usize, metric: Metric, options: SearchOptions) -> Vec<Candidate> {
        let wanted =
            k.saturating_mul(options.oversample).clamp(CANDIDATES_MIN, CANDIDATES_MAX).max(k.saturating_mul(2));
        let rotated = self.rotation.rotate(query);
        let mut candidates = Candidates::new(wanted, k);
        let mut centred: Option<(&Rc<Centre>, CentredQuery)> = None;
        for block in &self.blocks {
            let seen = match centred.take() {
                Some((centre, seen)) if Rc::ptr_eq(centre, &block.centre) => seen,
                _ => CentredQuery::new(&rotated, &block.centre, metric),
            };
            seen.scan(block, &self.removed, &mut candidates);
            centred = Some((&block.centre, seen));
        }
        candidates.into_sorted()
    }
}

#[cfg(test)]
mod tests;
