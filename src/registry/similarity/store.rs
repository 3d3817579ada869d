//! The index of a registry's hashes: in memory, packed in the object's tables, and what follows the change log.
//!
//! It is made of hash records by their events, in order. What is packed says up to which event, so that whoever wakes reads
//! the blocks and the few events since. Invariants: an answer is of all events up to [`through`](SimilarityStore::through);
//! positions are given in the order of events and never again; what is packed can be made again from the records. What there
//! is no memory for is looked at in the blocks by every search, one at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::block_io::compact;
use super::packed::{HASHES_PER_BLOCK, Head};
use super::state::State;
use super::{PdqHash, SearchStats};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Latency, SqlStore};
use crate::registry::blocks::{self, Kind};
use crate::registry::records::StoredHash;
use crate::types::{Sequence, StorageTier, Timestamp};

/// Events after which what is in memory is packed.
pub const PACK_AFTER: u64 = 1_024;

/// What is wanted of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The hash that others are near to.
    pub hash: PdqHash,
    /// How near; or so many of the nearest.
    pub reach: Reach,
    /// At most so many matches.
    pub limit: usize,
    /// Only hashes of this quality or a better one.
    pub min_quality: u8,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Up to a distance.
    Distance(u32),
    /// Up to so many of the nearest.
    Nearest(usize),
}

/// A hash that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// How many bits differ.
    pub distance: u32,
    /// Its asset.
    pub asset_id: String,
    /// The hash.
    pub hash: PdqHash,
    /// Its quality.
    pub quality: u8,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// By distance, and then by asset.
    pub matches: Vec<Match>,
    /// How many there are within reach, those beyond the limit too.
    pub total: usize,
    /// What it took.
    pub stats: SearchStats,
}

/// How the hashes of an index are searched, by what there is memory for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// By their bands.
    #[default]
    Bands,
    /// One after the other, in memory.
    Scan,
    /// One after the other, in their blocks.
    Blocks,
}

impl Held {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bands => "bands",
            Self::Scan => "scan",
            Self::Blocks => "blocks",
        }
    }
}

/// How large an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexFigures {
    /// Hashes that can be found.
    pub hashes: u64,
    /// Positions whose hash is removed.
    pub removed: u64,
    /// How they are searched.
    pub held: Held,
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Blocks, and their bytes.
    pub blocks: i64,
    /// Bytes of the blocks.
    pub stored_bytes: i64,
    /// The sequence that is packed.
    pub packed_through: Sequence,
    /// The sequence that is taken in.
    pub through: Sequence,
}

/// What searches took since this instance started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchFigures {
    /// Searches, those of inserts that detect among them.
    pub searches: u64,
    /// Hashes that the index named.
    pub candidates: u64,
    /// Hashes that were compared.
    pub distances: u64,
    /// How long requests that search took, with what had to be read first.
    pub latency: Latency,
    /// How often removed hashes were made room of,
    pub compactions: u64,
    /// and when last.
    pub last_compaction: Option<Timestamp>,
}

/// A change of a hash record.
#[derive(Clone, Copy, Debug)]
pub struct HashChange<'c> {
    /// Its asset.
    pub asset_id: &'c str,
    /// What it was.
    pub before: Option<StoredHash>,
    /// What it is.
    pub after: Option<StoredHash>,
}

/// The index of a registry's hashes.
pub struct SimilarityStore {
    sql: Rc<dyn SqlStore>,
    max_bytes: usize,
    reserved: Cell<usize>,
    state: RefCell<Option<State>>,
    made: Cell<u64>,
    figures: Cell<SearchFigures>,
}

/// An index that is being made of the records; nobody searches it before it is [`install`](SimilarityStore::install)ed.
pub struct Making(State);

impl SimilarityStore {
    /// The index in `sql`, of which `max_bytes` may be in memory. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>, max_bytes: usize) -> Self {
        Self {
            sql,
            max_bytes,
            reserved: Cell::new(0),
            state: RefCell::default(),
            made: Cell::new(0),
            figures: Cell::default(),
        }
    }

    /// Whether it is in memory.
    pub fn is_loaded(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Leaves so many of its bytes to others.
    pub fn reserve(&self, bytes: usize) {
        self.reserved.set(bytes);
        if let Some(state) = self.state.borrow_mut().as_mut() {
            state.max_bytes = self.left_bytes();
        }
    }

    fn left_bytes(&self) -> usize {
        self.max_bytes.saturating_sub(self.reserved.get())
    }

    /// Forgets what is in memory: it is read again.
    pub fn forget(&self) {
        self.state.replace(None);
    }

    /// Reads the blocks, unless they are in memory. `false` when there are none, or not all are whole: then it has to be
    /// made of the records.
    pub fn load(&self) -> Result<bool> {
        if self.is_loaded() {
            return Ok(true);
        }
        match State::load(self.sql.as_ref(), self.left_bytes()) {
            Ok(Some(state)) => {
                self.state.replace(Some(state));
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An index without hashes, for an object whose log goes back to its first event.
    pub fn begin(&self) {
        self.state.replace(Some(State::empty(0, self.left_bytes())));
    }

    /// An index that is to be made of the records as they are after the event `through`, or later. What was packed counts no
    /// more. Within a transaction.
    pub fn make(&self, through: Sequence) -> Result<Making> {
        self.forget();
        blocks::create(self.sql.as_ref())?;
        blocks::remove_from(self.sql.as_ref(), Kind::HashHead, 0)?;
        Ok(Making(State::empty(through, self.left_bytes())))
    }

    /// Adds records to an index that is being made, and packs them when they are many: their names are not all in memory.
    /// Within a transaction.
    pub fn add(&self, making: &mut Making, records: &[(String, StoredHash)]) -> Result<()> {
        records.iter().try_for_each(|(asset_id, record)| making.0.add(asset_id, *record))?;
        if making.0.names.len() < HASHES_PER_BLOCK {
            return Ok(());
        }
        blocks::check_none_packed(self.sql.as_ref(), Kind::HashHead)?;
        making.0.pack(self.sql.as_ref(), false)
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

    /// Takes in an event, or that events up to `sequence` are of no concern.
    pub fn take(&self, sequence: Sequence, change: Option<HashChange<'_>>) -> Result<()> {
        self.with(|state| {
            if let Some(change) = change {
                state.change(self.sql.as_ref(), sequence, change)?;
                state.unpacked = state.unpacked.saturating_add(1);
            }
            state.through = sequence;
            Ok(())
        })
    }

    /// Finds the hashes near to others, for each by itself.
    pub fn search(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        let found = self.search_loaded(wanted)?;
        let mut figures = self.figures.get();
        for found in &found {
            figures.searches = figures.searches.saturating_add(1);
            figures.candidates = figures.candidates.saturating_add(found.stats.candidates);
            figures.distances = figures.distances.saturating_add(found.stats.distances);
        }
        self.figures.set(figures);
        Ok(found)
    }

    /// Notes how long a request that searches took.
    pub fn note_latency(&self, took_ms: u64) {
        let mut figures = self.figures.get();
        figures.latency.note(took_ms);
        self.figures.set(figures);
    }

    /// Notes that it was compacted.
    pub fn note_compaction(&self, now: Timestamp) {
        let mut figures = self.figures.get();
        figures.compactions = figures.compactions.saturating_add(1);
        figures.last_compaction = Some(now);
        self.figures.set(figures);
    }

    /// What searches took.
    pub fn search_figures(&self) -> SearchFigures {
        self.figures.get()
    }

    fn search_loaded(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        self.with(|state| {
            let is_first = state.searches == 0;
            state.searches = state.searches.saturating_add(1);
            if !is_first && state.index.is_indexing_due() && state.has_room_for_bands() {
                state.index.index_all();
            }
            state.search(self.sql.as_ref(), wanted)
        })
    }

    /// Whether so much is taken in that it should be packed.
    pub fn is_packing_due(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(|state| state.unpacked >= PACK_AFTER)
    }

    /// Whether anything was taken in since it was packed.
    pub fn is_packing_wanted(&self) -> bool {
        let state = self.state.borrow();
        let packed = |state: &State| state.packed.as_ref().map_or(0, |head| head.through);
        let behind = |state: &State| state.through.saturating_sub(packed(state));
        let many = i64::try_from(PACK_AFTER).unwrap_or(i64::MAX);
        state.as_ref().is_some_and(|state| state.unpacked > 0 || behind(state) >= many)
    }

    /// Packs what is in memory, within a transaction. When another instance has packed meanwhile, what is in memory is
    /// forgotten instead.
    pub fn pack(&self) -> Result<()> {
        // What is packed says up to which event it is, and not which later ones are in it already.
        if self.with(|state| Ok(state.through < state.overlap))? {
            return Ok(());
        }
        blocks::create(self.sql.as_ref())?;
        let stored = blocks::get(self.sql.as_ref(), Kind::HashHead, 0)?;
        let stored = stored.map(|bytes| Head::read(Kind::HashHead, &bytes)).transpose();
        let is_ours = self.with(|state| {
            let begins = state.packed.is_none() && state.packed_positions == 0;
            Ok(begins || matches!(&stored, Ok(stored) if *stored == state.packed))
        })?;
        if !is_ours {
            self.forget();
            return Ok(());
        }
        self.with(|state| state.pack(self.sql.as_ref(), true))
    }

    /// Makes room of removed positions: the hashes that are left are given new ones. Within a transaction; what is in
    /// memory is forgotten.
    pub fn compact(&self) -> Result<()> {
        self.pack()?;
        if !self.load()? {
            return Err(blocks::corrupt("expected the blocks that were just packed, got others".to_owned()));
        }
        let compacted = self.with(|state| compact(self.sql.as_ref(), state));
        self.forget();
        compacted
    }

    /// How large it is.
    pub fn figures(&self) -> Result<IndexFigures> {
        let exist = blocks::exist(self.sql.as_ref())?;
        let extent = |kind| if exist { blocks::extent(self.sql.as_ref(), kind) } else { Ok((0, 0)) };
        let extents = [extent(Kind::HashHead)?, extent(Kind::Hashes)?, extent(Kind::HashNames)?];
        let (blocks, bytes) =
            (extents.iter().map(|extent| extent.0).sum(), extents.iter().map(|extent| extent.1).sum());
        self.with(|state| {
            let positions = u64::from(state.positions()?);
            Ok(IndexFigures {
                hashes: positions.saturating_sub(state.removed.len()),
                removed: state.removed.len(),
                held: state.held(),
                memory_bytes: state.bytes(),
                blocks,
                stored_bytes: bytes,
                packed_through: state.packed.as_ref().map_or(0, |head| head.through),
                through: state.through,
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        match self.state.borrow_mut().as_mut() {
            Some(state) => work(state),
            None => Err(StorageError::new(
                ErrorKind::Internal,
                StorageTier::Hot,
                "search hashes",
                "expected the index of hashes to be in memory",
            )),
        }
    }
}
