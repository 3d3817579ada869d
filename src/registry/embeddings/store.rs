//! The index of a registry's embeddings: codes in memory, vectors packed in the object's tables, and what follows the change log.
//!
//! It is made of hash records by their events, in order. What is packed says up to which event, so that whoever wakes reads
//! the codes and the few events since. Invariants: an answer is of all events up to [`through`](EmbeddingStore::through);
//! positions are given in the order of events and never again; what is packed can be made again from the records.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::state::State;
use super::{Metric, SearchOptions, SearchStats};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::registry::similarity::packed::Head;
use crate::types::{Sequence, StorageTier};

/// What is wanted of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The vector that others are near to.
    pub vector: Vec<f32>,
    /// So many of the nearest.
    pub k: usize,
    /// By what they are near.
    pub metric: Metric,
    /// How hard to try.
    pub options: SearchOptions,
}

/// An embedding that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Cosine, inner product or Euclidean distance.
    pub score: f32,
    /// Its asset.
    pub asset_id: String,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    /// The nearest first, and of equals by their assets.
    pub matches: Vec<Match>,
    /// What it took.
    pub stats: SearchStats,
    /// Embeddings that there are.
    pub vectors: u64,
}

/// A change of a record.
#[derive(Clone, Debug)]
pub struct EmbeddingChange<'c> {
    /// Its asset.
    pub asset_id: &'c str,
    /// Whether it had an embedding.
    pub had: bool,
    /// The embedding that it has.
    pub after: Option<Vec<f32>>,
}

/// The index of a registry's embeddings.
pub struct EmbeddingStore {
    sql: Rc<dyn SqlStore>,
    max_bytes: usize,
    state: RefCell<Option<State>>,
    made: Cell<u64>,
}

/// An index that is being made of the records; nobody searches it before it is [`install`](EmbeddingStore::install)ed.
pub struct Making(State);

impl EmbeddingStore {
    /// The index in `sql`, of which `max_bytes` may be in memory. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>, max_bytes: usize) -> Self {
        Self { sql, max_bytes, state: RefCell::default(), made: Cell::new(0) }
    }

    /// Whether it is in memory.
    pub fn is_loaded(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Whether it is in memory, for vectors of this dimension.
    pub fn is_loaded_for(&self, dimension: usize) -> bool {
        self.state.borrow().as_ref().is_some_and(|state| state.dimension() == dimension)
    }

    /// Forgets what is in memory: it is read again.
    pub fn forget(&self) {
        self.state.replace(None);
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.state.borrow().as_ref().map_or(0, State::bytes)
    }

    /// Reads the codes, unless they are in memory for vectors of this dimension. `false` when there are none, or not all are whole: then the index has to be made of
    /// the records.
    pub fn load(&self, dimension: usize) -> Result<bool> {
        if self.is_loaded_for(dimension) {
            return Ok(true);
        }
        self.forget();
        match State::load(self.sql.as_ref(), dimension, self.max_bytes) {
            Ok(state) => {
                self.state.replace(state);
                Ok(self.is_loaded())
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An index without embeddings, for an object whose log goes back to its first event.
    pub fn begin(&self, dimension: usize) -> Result<()> {
        self.state.replace(Some(State::empty(dimension, 0, self.max_bytes)?));
        Ok(())
    }

    /// An index that is to be made of the records as they are after the event `through`, or later. What was packed counts no
    /// more. Within a transaction.
    pub fn make(&self, dimension: usize, through: Sequence) -> Result<Making> {
        self.forget();
        blocks::create(self.sql.as_ref())?;
        blocks::remove_from(self.sql.as_ref(), Kind::EmbeddingHead, 0)?;
        Ok(Making(State::empty(dimension, through, self.max_bytes)?))
    }

    /// Adds records' embeddings to an index that is being made, and packs them when they are many. Within a transaction.
    pub fn add(&self, making: &mut Making, embeddings: Vec<(String, Vec<f32>)>) -> Result<()> {
        for (asset_id, vector) in embeddings {
            making.0.change(
                self.sql.as_ref(),
                1,
                EmbeddingChange { asset_id: &asset_id, had: false, after: Some(vector) },
            )?;
            if making.0.is_packing_due() {
                blocks::check_none_packed(self.sql.as_ref(), Kind::EmbeddingHead)?;
                making.0.pack(self.sql.as_ref(), false)?;
            }
        }
        Ok(())
    }

    /// Searches find what was made. The records were looked at until the last event was `overlap`: up to there, events may
    /// tell of what is in it already.
    pub fn install(&self, making: Making, overlap: Sequence) {
        let Making(mut state) = making;
        state.overlap = overlap;
        self.state.replace(Some(state));
        self.made.set(self.made.get().saturating_add(1));
    }

    /// How often an index was made of the records.
    pub fn made(&self) -> u64 {
        self.made.get()
    }

    /// The event up to which it has come.
    pub fn through(&self) -> Result<Sequence> {
        self.with(|state| Ok(state.through))
    }

    /// Takes in an event, or that events up to `sequence` are of no concern. Whether so much is taken in that it has to be packed.
    pub fn take(&self, sequence: Sequence, change: Option<EmbeddingChange<'_>>) -> Result<bool> {
        self.with(|state| {
            if let Some(change) = change {
                state.change(self.sql.as_ref(), sequence, change)?;
                state.unpacked = state.unpacked.saturating_add(1);
            }
            state.through = sequence;
            Ok(state.is_packing_due())
        })
    }

    /// Finds the embeddings near to one.
    pub fn search(&self, wanted: &Wanted) -> Result<Matches> {
        self.with(|state| state.search(self.sql.as_ref(), wanted))
    }

    /// Embeddings that can be found, and positions whose embedding is removed.
    pub fn counts(&self) -> Result<(u64, u64)> {
        self.with(|state| Ok((state.live(), u64::from(state.positions()).saturating_sub(state.live()))))
    }

    /// Whether so much is taken in that it should be packed.
    pub fn is_packing_due(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(State::is_packing_due)
    }

    /// Whether anything was taken in since it was packed, or many events were of no concern.
    pub fn is_packing_wanted(&self, many: Sequence) -> bool {
        let state = self.state.borrow();
        let packed = |state: &State| state.packed.as_ref().map_or(0, |head| head.through);
        state.as_ref().is_some_and(|state| state.unpacked > 0 || state.through.saturating_sub(packed(state)) >= many)
    }

    /// Packs what is in memory, within a transaction. When another instance has packed meanwhile, what is in memory is
    /// forgotten instead.
    pub fn pack(&self) -> Result<()> {
        // What is packed says up to which event it is, and not which later ones are in it already.
        if self.with(|state| Ok(state.through < state.overlap))? {
            return Ok(());
        }
        blocks::create(self.sql.as_ref())?;
        let stored = blocks::get(self.sql.as_ref(), Kind::EmbeddingHead, 0)?;
        let stored = stored.map(|bytes| Head::read(Kind::EmbeddingHead, &bytes)).transpose();
        let is_ours =
            self.with(|state| Ok(state.begins() || matches!(&stored, Ok(stored) if *stored == state.packed)))?;
        if !is_ours {
            self.forget();
            return Ok(());
        }
        self.with(|state| state.pack(self.sql.as_ref(), true))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        match self.state.borrow_mut().as_mut() {
            Some(state) => work(state),
            None => Err(StorageError::new(
                ErrorKind::Internal,
                StorageTier::Hot,
                "search embeddings",
                "expected the index of embeddings to be in memory",
            )),
        }
    }
}
