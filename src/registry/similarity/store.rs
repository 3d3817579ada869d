//! The index of a registry's hashes: in memory, packed in the object's tables, and what follows the change log.
//!
//! It is made of hash records by their events, in order. What is packed says up to which event, so that whoever wakes reads
//! the blocks and the few events since. Invariants: an answer is of all events up to [`through`](SimilarityStore::through);
//! positions are given in the order of events and never again; what is packed can be made again from the records.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use roaring::RoaringBitmap;

use super::packed::{
    HASHES_PER_BLOCK, Hashed, Head, NAMES_PER_BLOCK, Names, hashes_to_bytes, names_to_bytes, read_hashes,
};
use super::{Found, HashIndex, PdqHash, SearchStats};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::registry::records::StoredHash;
use crate::types::{Sequence, StorageTier, sorting};

/// Blocks of names that stay in memory.
const NAME_BLOCKS_MAX: usize = 64;
/// Events after which what is in memory is packed.
pub const PACK_AFTER: u64 = 1_024;

/// Names by block, shared with who reads them.
type NameBlocks = LruCache<usize, Rc<Names>>;

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

/// How large an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexFigures {
    /// Hashes that can be found.
    pub hashes: u64,
    /// Positions whose hash is removed.
    pub removed: u64,
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
    state: RefCell<Option<State>>,
}

struct State {
    index: HashIndex,
    qualities: Vec<u8>,
    removed: RoaringBitmap,
    through: Sequence,
    /// What is packed.
    packed: Head,
    /// Names of the positions that are not packed.
    names: Vec<Box<str>>,
    /// Events taken in that are not packed.
    unpacked: u64,
    /// Up to which event records may be in the index already, because it was made of what they are now.
    overlap: Sequence,
    /// Searches since the blocks were read: the first one is not to wait for an index to be built.
    searches: u64,
    name_blocks: RefCell<NameBlocks>,
}

impl SimilarityStore {
    /// The index in `sql`. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, state: RefCell::default() }
    }

    /// Whether it is in memory.
    pub fn is_loaded(&self) -> bool {
        self.state.borrow().is_some()
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
        match State::load(self.sql.as_ref()) {
            Ok(Some(state)) => {
                self.state.replace(Some(state));
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins anew, with no hash; `through` is the event after which records were looked at, and events up to `overlap` may
    /// tell of records that are added already.
    pub fn begin(&self, through: Sequence) {
        self.state.replace(Some(State::empty(through)));
    }

    /// All records are added that there were when the last event was `overlap`.
    pub fn begun(&self, overlap: Sequence) -> Result<()> {
        self.with(|state| {
            state.overlap = overlap;
            Ok(())
        })
    }

    /// Adds a record while it begins.
    pub fn add(&self, asset_id: &str, record: StoredHash) -> Result<()> {
        self.with(|state| state.add(asset_id, record))
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

    /// Finds the hashes near to one.
    pub fn search(&self, wanted: &Wanted) -> Result<Matches> {
        self.with(|state| {
            let is_first = state.searches == 0;
            state.searches = state.searches.saturating_add(1);
            if !is_first && state.index.is_indexing_due() {
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
        let behind = |state: &State| state.through.saturating_sub(state.packed.through);
        let many = i64::try_from(PACK_AFTER).unwrap_or(i64::MAX);
        state.as_ref().is_some_and(|state| state.unpacked > 0 || behind(state) >= many)
    }

    /// Packs what is in memory, within a transaction. When another instance has packed meanwhile, what is in memory is
    /// forgotten instead.
    pub fn pack(&self) -> Result<()> {
        blocks::create(self.sql.as_ref())?;
        let stored = blocks::get(self.sql.as_ref(), Kind::HashHead, 0)?;
        let stored = stored.map(|bytes| Head::read(&bytes)).transpose();
        let is_ours = self.with(|state| {
            Ok(state.packed.through == 0 || matches!(&stored, Ok(Some(head)) if *head == state.packed))
        })?;
        if !is_ours {
            self.forget();
            return Ok(());
        }
        self.with(|state| state.pack(self.sql.as_ref()))
    }

    /// Makes room of removed positions: the hashes that are left are given new ones. Within a transaction.
    pub fn compact(&self) -> Result<()> {
        self.with(|state| {
            let compacted = state.compacted(self.sql.as_ref())?;
            *state = compacted;
            Ok(())
        })?;
        blocks::create(self.sql.as_ref())?;
        self.with(|state| state.pack(self.sql.as_ref()))
    }

    /// How large it is.
    pub fn figures(&self) -> Result<IndexFigures> {
        let exist = blocks::exist(self.sql.as_ref())?;
        let extent = |kind| if exist { blocks::extent(self.sql.as_ref(), kind) } else { Ok((0, 0)) };
        let extents = [extent(Kind::HashHead)?, extent(Kind::Hashes)?, extent(Kind::HashNames)?];
        let (blocks, bytes) =
            (extents.iter().map(|extent| extent.0).sum(), extents.iter().map(|extent| extent.1).sum());
        self.with(|state| {
            let positions = u64::try_from(state.index.len()).unwrap_or(u64::MAX);
            Ok(IndexFigures {
                hashes: positions.saturating_sub(state.removed.len()),
                removed: state.removed.len(),
                memory_bytes: state.bytes(),
                blocks,
                stored_bytes: bytes,
                packed_through: state.packed.through,
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

impl State {
    fn empty(through: Sequence) -> Self {
        Self {
            index: HashIndex::default(),
            qualities: Vec::new(),
            removed: RoaringBitmap::new(),
            through,
            packed: Head::default(),
            names: Vec::new(),
            unpacked: 0,
            overlap: 0,
            searches: 0,
            name_blocks: RefCell::new(LruCache::new(NonZeroUsize::new(NAME_BLOCKS_MAX).unwrap_or(NonZeroUsize::MIN))),
        }
    }

    fn load(sql: &dyn SqlStore) -> Result<Option<Self>> {
        if !blocks::exist(sql)? {
            return Ok(None);
        }
        let Some(head) = blocks::get(sql, Kind::HashHead, 0)? else { return Ok(None) };
        let head = Head::read(&head)?;
        let positions = usize::try_from(head.positions).unwrap_or(usize::MAX);
        let mut state = Self::empty(head.through);
        let mut number = 0;
        while state.index.len() < positions {
            let bytes = blocks::get(sql, Kind::Hashes, number)?;
            let hashes = read_hashes(
                &bytes.ok_or_else(|| blocks::corrupt(format!("expected block {number} of hashes, got none")))?,
            )?;
            if number == 0 {
                state.index = HashIndex::with_capacity(positions.min(1 << 24));
            }
            let left = positions.saturating_sub(state.index.len());
            if hashes.len() != left.min(HASHES_PER_BLOCK) {
                return Err(blocks::corrupt(format!("expected {left} more hashes, got a block of {}", hashes.len())));
            }
            for (hash, quality) in hashes {
                state.push(hash, quality)?;
            }
            number = number.saturating_add(1);
        }
        head.removed.iter().for_each(|position| state.remove(position));
        state.packed = head;
        Ok(Some(state))
    }

    fn bytes(&self) -> usize {
        let names = self.names.iter().map(|name| name.len().saturating_add(size_of::<Box<str>>())).sum::<usize>();
        let removed = self.removed.serialized_size();
        [self.index.bytes(), self.qualities.capacity(), names, removed].iter().sum()
    }

    fn push(&mut self, hash: PdqHash, quality: u8) -> Result<u32> {
        let position = self.index.add(hash).ok_or_else(|| {
            let message = "expected fewer than 2^32 hashes in one registry, got one more; use another tenant";
            StorageError::new(ErrorKind::Full, StorageTier::Hot, "index hash", message)
        })?;
        self.qualities.push(quality);
        Ok(position)
    }

    fn add(&mut self, asset_id: &str, record: StoredHash) -> Result<()> {
        self.push(record.hash, record.quality)?;
        self.names.push(asset_id.into());
        Ok(())
    }

    fn remove(&mut self, position: u32) {
        self.index.remove(position);
        self.removed.insert(position);
    }

    fn change(&mut self, sql: &dyn SqlStore, sequence: Sequence, change: HashChange<'_>) -> Result<()> {
        if change.before == change.after {
            return Ok(());
        }
        if let Some(before) = change.before
            && let Some(position) = self.find(sql, change.asset_id, before)?
        {
            self.remove(position);
        }
        let Some(after) = change.after else { return Ok(()) };
        let is_known = sequence <= self.overlap && self.find(sql, change.asset_id, after)?.is_some();
        if is_known { Ok(()) } else { self.add(change.asset_id, after) }
    }

    /// The position of a record.
    fn find(&self, sql: &dyn SqlStore, asset_id: &str, record: StoredHash) -> Result<Option<u32>> {
        for found in self.index.within(record.hash, 0, &mut SearchStats::default()) {
            if self.quality(found.position) == record.quality && *self.name(sql, found.position)? == *asset_id {
                return Ok(Some(found.position));
            }
        }
        Ok(None)
    }

    fn quality(&self, position: u32) -> u8 {
        usize::try_from(position).ok().and_then(|place| self.qualities.get(place)).copied().unwrap_or_default()
    }

    fn name(&self, sql: &dyn SqlStore, position: u32) -> Result<Box<str>> {
        let missing = || blocks::corrupt(format!("expected the name of position {position}, got none"));
        let place = usize::try_from(position).map_err(|_| missing())?;
        let packed = usize::try_from(self.packed.positions).unwrap_or(usize::MAX);
        if let Some(unpacked) = place.checked_sub(packed) {
            return self.names.get(unpacked).cloned().ok_or_else(missing);
        }
        let (block, within) = (place / NAMES_PER_BLOCK, place % NAMES_PER_BLOCK);
        let names = self.name_block(sql, block)?;
        names.get(within).map(Into::into).ok_or_else(missing)
    }

    fn name_block(&self, sql: &dyn SqlStore, block: usize) -> Result<Rc<Names>> {
        if let Some(names) = self.name_blocks.borrow_mut().get(&block) {
            return Ok(Rc::clone(names));
        }
        let number = i64::try_from(block).unwrap_or(i64::MAX);
        let bytes = blocks::get(sql, Kind::HashNames, number)?;
        let bytes = bytes.ok_or_else(|| blocks::corrupt(format!("expected block {block} of names, got none")))?;
        let names = Rc::new(Names::read(&bytes)?);
        self.name_blocks.borrow_mut().put(block, Rc::clone(&names));
        Ok(names)
    }

    fn search(&self, sql: &dyn SqlStore, wanted: &Wanted) -> Result<Matches> {
        let mut stats = SearchStats::default();
        let is_wanted = |position: u32| self.quality(position) >= wanted.min_quality;
        let distance = match wanted.reach {
            Reach::Distance(distance) => Some(distance),
            // Others may be as near as the last of the nearest.
            Reach::Nearest(k) => {
                let nearest = self.index.nearest_of(wanted.hash, k, &is_wanted, &mut stats);
                nearest.last().map(|farthest| farthest.distance)
            }
        };
        let Some(distance) = distance else { return Ok(Matches { stats, ..Matches::default() }) };
        let mut found = self.index.within(wanted.hash, distance, &mut stats);
        found.retain(|found| is_wanted(found.position));
        let total = found.len();
        let limit = match wanted.reach {
            Reach::Distance(_) => wanted.limit,
            Reach::Nearest(k) => k.min(wanted.limit),
        };
        // Those beyond the limit that are as near as the last within it may come before it by their names.
        let last = limit.checked_sub(1).and_then(|last| found.get(last)).map_or(u32::MAX, |found| found.distance);
        found.truncate(found.partition_point(|found| found.distance <= last));
        let mut matches = found.iter().map(|found| self.matched(sql, *found)).collect::<Result<Vec<_>>>()?;
        sorting::sort_by(&mut matches, Ord::cmp);
        matches.truncate(limit);
        Ok(Matches { matches, total, stats })
    }

    fn matched(&self, sql: &dyn SqlStore, found: Found) -> Result<Match> {
        let hash = self.index.get(found.position);
        let hash = hash.ok_or_else(|| blocks::corrupt(format!("expected a hash at {}", found.position)))?;
        let Found { distance, position } = found;
        let asset_id = self.name(sql, position)?.into_string();
        Ok(Match { distance, asset_id, hash, quality: self.quality(position) })
    }

    /// What there is at a range of positions.
    fn hashed(&self, positions: std::ops::Range<usize>) -> Vec<Hashed> {
        let at = |place: usize| {
            let position = u32::try_from(place).ok()?;
            Some((self.index.get(position)?, self.quality(position)))
        };
        positions.filter_map(at).collect()
    }

    fn pack(&mut self, sql: &dyn SqlStore) -> Result<()> {
        let (packed, all) = (usize::try_from(self.packed.positions).unwrap_or(usize::MAX), self.index.len());
        let head = Head {
            through: self.through,
            positions: u32::try_from(all).unwrap_or(u32::MAX),
            removed: self.removed.clone(),
        };
        if packed < all {
            self.pack_hashes(sql, packed, all)?;
            self.pack_names(sql, packed, all)?;
        }
        if self.packed.positions == 0 {
            let after = |places: usize, each: usize| i64::try_from(places.div_ceil(each)).unwrap_or(i64::MAX);
            blocks::remove_from(sql, Kind::Hashes, after(all, HASHES_PER_BLOCK))?;
            blocks::remove_from(sql, Kind::HashNames, after(all, NAMES_PER_BLOCK))?;
        }
        blocks::put(sql, Kind::HashHead, 0, &head.to_bytes()?)?;
        self.packed = head;
        self.names = Vec::new();
        self.unpacked = 0;
        Ok(())
    }

    fn pack_hashes(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
        for block in packed / HASHES_PER_BLOCK..all.div_ceil(HASHES_PER_BLOCK) {
            let from = block.saturating_mul(HASHES_PER_BLOCK);
            let hashes = self.hashed(from..from.saturating_add(HASHES_PER_BLOCK).min(all));
            let number = i64::try_from(block).unwrap_or(i64::MAX);
            blocks::put(sql, Kind::Hashes, number, &hashes_to_bytes(&hashes)?)?;
        }
        Ok(())
    }

    fn pack_names(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
        let mut names = self.names.iter().map(AsRef::as_ref).collect::<Vec<&str>>();
        let (first, within) = (packed / NAMES_PER_BLOCK, packed % NAMES_PER_BLOCK);
        let begun = if within > 0 { Some(self.name_block(sql, first)?) } else { None };
        if let Some(begun) = &begun {
            let known = (0..within).filter_map(|place| begun.get(place));
            names.splice(0..0, known);
        }
        for (block, names) in (first..all.div_ceil(NAMES_PER_BLOCK)).zip(names.chunks(NAMES_PER_BLOCK)) {
            let number = i64::try_from(block).unwrap_or(i64::MAX);
            blocks::put(sql, Kind::HashNames, number, &names_to_bytes(names.iter().copied())?)?;
            self.name_blocks.borrow_mut().pop(&block);
        }
        Ok(())
    }

    fn compacted(&self, sql: &dyn SqlStore) -> Result<Self> {
        let mut compacted = Self::empty(self.through);
        compacted.index =
            HashIndex::with_capacity(self.index.len().saturating_sub(usize::try_from(self.removed.len()).unwrap_or(0)));
        compacted.searches = self.searches;
        compacted.overlap = self.overlap;
        for position in 0..u32::try_from(self.index.len()).unwrap_or(u32::MAX) {
            let Some(hash) = self.index.get(position).filter(|_| !self.removed.contains(position)) else { continue };
            let record = StoredHash { hash, quality: self.quality(position) };
            compacted.add(&self.name(sql, position)?, record)?;
        }
        Ok(compacted)
    }
}
