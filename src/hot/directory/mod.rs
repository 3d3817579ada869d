//! Where the documents of each collection are: its row generations and its segments, in SQLite and in memory.
//!
//! The directory of segments is read whole at the first use after a wake, a row a segment; heads and columns are brought
//! when needed and kept within a budget, the least recently used going first. Invariants:
//!
//! - a document is in exactly one row generation or at exactly one undeleted row of one visible segment;
//! - what is remembered is what the transactions so far have made: a transaction that is rolled back is forgotten with it;
//! - a segment's bytes never change, its number is never given to another, also when it is gone;
//! - a segment that a visible one supersedes is invisible, and stays until no record of the log refers to it.

mod cache;
mod deleted;
mod forms;
mod tables;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use roaring::RoaringBitmap;

pub use forms::{Extent, Forms, LifeKey, RowGeneration, Segment};

use self::cache::{Cache, Key};
use super::row_index::IndexId;
use super::rows::Generation;
use super::segment::build::BuiltSegment;
use super::segment::read::ID_POSITION;
use super::segment::{ColumnBytes, Origin, SegmentHead};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::SqlStore;
use crate::types::{StorageTier, sorting};

/// The directory of one object.
pub struct Directory {
    sql: Rc<dyn SqlStore>,
    state: RefCell<Option<State>>,
    cache: RefCell<Cache>,
    /// What was replaced since the outermost transaction began, newest last.
    journal: RefCell<Vec<Change>>,
    /// The next segment's number. It only grows, so that a number seen by a transaction that was rolled back is not
    /// given again while its bytes may still be remembered.
    next_number: Cell<i64>,
    /// How often something was changed.
    version: Cell<usize>,
    /// Bytes of JSON text that went into segments, by their origin, since this instance started.
    built: Cell<BuiltBytes>,
    /// When segments were last used: how many uses there had been.
    used: RefCell<HashMap<i64, u64>>,
    uses: Cell<u64>,
}

/// Bytes of JSON text that went into segments since an instance started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuiltBytes {
    /// Straight from batches.
    pub direct: u64,
    /// From row generations.
    pub sealed: u64,
    /// From other segments: what was written once more.
    pub merged: u64,
}

impl BuiltBytes {
    fn add(mut self, segment: &Segment) -> Self {
        let bytes = match segment.origin {
            Origin::Direct => &mut self.direct,
            Origin::Sealed => &mut self.sealed,
            Origin::Merged => &mut self.merged,
        };
        *bytes = bytes.saturating_add(segment.text_bytes);
        self
    }
}

struct State {
    /// Whether the tables of segments exist.
    has_segments: bool,
    /// Whether the table of stubs exists.
    has_stubs: bool,
    forms: HashMap<LifeKey, Rc<Forms>>,
}

enum Change {
    Forms(LifeKey, Option<Rc<Forms>>),
    Tables,
    Stubs,
}

impl Directory {
    /// The directory in `sql`. `memory_bytes`: what heads and columns may take in memory.
    pub fn new(sql: Rc<dyn SqlStore>, memory_bytes: usize) -> Self {
        Self {
            sql,
            state: RefCell::new(None),
            cache: RefCell::new(Cache::new(memory_bytes)),
            journal: RefCell::default(),
            next_number: Cell::new(1),
            version: Cell::new(1),
            built: Cell::default(),
            used: RefCell::default(),
            uses: Cell::new(0),
        }
    }

    /// A number that differs from earlier ones once segments were added, removed, or lost rows.
    pub fn version(&self) -> usize {
        self.version.get()
    }

    /// How many changes were made so far, for [`roll_back`](Self::roll_back).
    pub fn mark(&self) -> usize {
        self.journal.borrow().len()
    }

    /// Takes back what was changed since a mark.
    pub fn roll_back(&self, mark: usize) {
        let mut journal = self.journal.borrow_mut();
        let mut state = self.state.borrow_mut();
        while journal.len() > mark {
            match (journal.pop(), state.as_mut()) {
                (Some(Change::Forms(life, Some(before))), Some(state)) => {
                    state.forms.insert(life, before);
                }
                (Some(Change::Forms(life, None)), Some(state)) => {
                    state.forms.remove(&life);
                }
                (Some(Change::Tables), Some(state)) => state.has_segments = false,
                (Some(Change::Stubs), Some(state)) => state.has_stubs = false,
                _ => {}
            }
        }
    }

    /// Forgets how to take back: the outermost transaction has committed.
    pub fn committed(&self) {
        self.journal.borrow_mut().clear();
    }

    /// Forgets everything; it is read again when needed.
    pub fn forget(&self) {
        self.state.replace(None);
        self.cache.borrow_mut().clear();
        self.journal.borrow_mut().clear();
    }

    /// The forms of a collection's life.
    pub fn forms(&self, life: LifeKey) -> Result<Rc<Forms>> {
        self.with_state(|state| state.forms.get(&life).map(Rc::clone).unwrap_or_default())
    }

    /// All lives that have a table or a segment.
    pub fn lives(&self) -> Result<Vec<LifeKey>> {
        let mut lives: Vec<_> = self.with_state(|state| state.forms.keys().copied().collect())?;
        sorting::sort_by(&mut lives, Ord::cmp);
        Ok(lives)
    }

    /// The segment of a number, visible or not.
    pub fn segment(&self, number: i64) -> Result<Rc<Segment>> {
        let found = self.with_state(|state| state.forms.values().find_map(|forms| forms.any(number).map(Rc::clone)))?;
        found.ok_or_else(|| {
            let message = format!("expected segment {number}, which the log refers to, got none");
            StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read segment", message)
        })
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> Result<T> {
        if self.state.borrow().is_none() {
            let loaded = tables::load(self.sql.as_ref())?;
            self.next_number.set(self.next_number.get().max(loaded.last_number.saturating_add(1)));
            let tables::Loaded { has_segments, has_stubs, forms, .. } = loaded;
            let state = State { has_segments, has_stubs, forms };
            self.state.replace(Some(state));
        }
        match self.state.borrow_mut().as_mut() {
            Some(state) => Ok(look(state)),
            None => Err(internal("expected the directory to be loaded")),
        }
    }

    /// Changes what is remembered of a life.
    fn update(&self, life: LifeKey, change: impl FnOnce(&mut Forms)) -> Result<()> {
        let before = self.with_state(|state| state.forms.get(&life).map(Rc::clone))?;
        let mut forms = before.as_deref().cloned().unwrap_or_default();
        change(&mut forms);
        let after = if forms.is_empty() { None } else { Some(Rc::new(forms)) };
        self.journal.borrow_mut().push(Change::Forms(life, before));
        self.with_state(|state| match after {
            Some(forms) => state.forms.insert(life, forms),
            None => state.forms.remove(&life),
        })?;
        Ok(())
    }

    /// The row generation that new rows go to: the last one, unless it is beyond `max` or has other indexes; then one more
    /// is made.
    ///
    /// It gets the number `number` or a greater one; no generation of an earlier commit may have had such a number.
    pub fn open_generation(
        &self,
        life: LifeKey,
        max: Extent,
        indexes: &[Vec<String>],
        number: i64,
    ) -> Result<Generation> {
        let forms = self.forms(life)?;
        let indexes: Rc<[IndexId]> = indexes.iter().map(|fields| IndexId::of(fields)).collect();
        let last = forms.generations.last();
        if let Some(last) = last.filter(|last| last.indexes == indexes) {
            let extent = self.extent(life, last.table)?;
            if extent.rows < max.rows && extent.bytes < max.bytes {
                return Ok(last.table);
            }
        }
        let number = last.map_or(number, |last| last.table.number.saturating_add(1).max(number));
        let table = Generation { collection: life.collection, life: life.number, number };
        table.create_table(self.sql.as_ref(), &indexes)?;
        self.update(life, |forms| {
            if let Some(closed) = forms.generations.last_mut() {
                closed.closed_at = closed.extent.map(|extent| extent.newest);
            }
            let extent = Some(Extent::default());
            forms.generations.push(RowGeneration { table, indexes, extent, closed_at: None });
        })?;
        Ok(table)
    }

    /// What a generation holds; counted once after a wake.
    pub fn extent(&self, life: LifeKey, table: Generation) -> Result<Extent> {
        let forms = self.forms(life)?;
        if let Some(extent) = forms.generation(table.number).and_then(|generation| generation.extent) {
            return Ok(extent);
        }
        let extent = table.extent(self.sql.as_ref())?;
        self.update(life, |forms| forms.set_extent(table.number, extent))?;
        Ok(extent)
    }

    /// Notes what writing to a generation has changed.
    pub fn note_rows(&self, life: LifeKey, table: Generation, change: impl FnOnce(&mut Extent)) -> Result<()> {
        let mut extent = self.extent(life, table)?;
        change(&mut extent);
        self.update(life, |forms| forms.set_extent(table.number, extent))
    }

    /// Drops a row generation.
    pub fn drop_generation(&self, life: LifeKey, table: Generation) -> Result<()> {
        table.drop_table(self.sql.as_ref())?;
        self.update(life, |forms| forms.generations.retain(|generation| generation.table != table))
    }

    /// The greatest number of a segment that there is, visible or not; 0 when there is none.
    pub fn last_number(&self) -> Result<i64> {
        self.with_state(|state| {
            let all = state.forms.values().flat_map(|forms| forms.segments.iter().chain(forms.superseded.iter()));
            all.map(|segment| segment.number).max().unwrap_or(0)
        })
    }

    /// A number for a segment.
    pub fn next_number(&self) -> Result<i64> {
        self.with_state(|_| ())?;
        let number = self.next_number.get();
        self.next_number.set(number.saturating_add(1));
        Ok(number)
    }

    /// Stores a segment; those that it supersedes become invisible.
    pub fn add_segment(&self, life: LifeKey, number: i64, built: BuiltSegment) -> Result<Rc<Segment>> {
        if !self.with_state(|state| state.has_segments)? {
            tables::create(self.sql.as_ref())?;
            self.with_state(|state| state.has_segments = true)?;
            self.journal.borrow_mut().push(Change::Tables);
        }
        let segment = Rc::new(tables::insert(self.sql.as_ref(), life, number, &built)?);
        self.built.set(self.built.get().add(&segment));
        let added = Rc::clone(&segment);
        self.update(life, |forms| forms.add(added))?;
        self.version.set(self.version.get().wrapping_add(1));
        let mut cache = self.cache.borrow_mut();
        for (group, bytes) in built.groups.into_iter().enumerate() {
            cache.insert_bytes(Key::Group(number, group), bytes.into());
        }
        cache.insert_head(number, Rc::new(built.head));
        Ok(segment)
    }

    /// Marks rows of a visible segment as deleted.
    pub fn delete_rows(&self, life: LifeKey, number: i64, rows: &RoaringBitmap) -> Result<()> {
        let forms = self.forms(life)?;
        let segment = forms.visible(number).ok_or_else(|| internal("expected a visible segment to delete from"))?;
        let mut segment = segment.as_ref().clone();
        segment.deleted |= rows;
        tables::put_deleted(self.sql.as_ref(), number, segment.rows, &segment.deleted)?;
        self.version.set(self.version.get().wrapping_add(1));
        self.update(life, |forms| forms.replace(Rc::new(segment)))
    }

    /// Removes segments whose documents nobody can ask for any more.
    pub fn remove_segments(&self, life: LifeKey, numbers: &[i64]) -> Result<()> {
        let has_stubs = self.with_state(|state| state.has_stubs)?;
        let greatest = self.last_number()?;
        if numbers.contains(&greatest) {
            tables::set_floor(self.sql.as_ref(), greatest.max(self.next_number.get().saturating_sub(1)))?;
        }
        for number in numbers {
            tables::remove(self.sql.as_ref(), *number)?;
            if has_stubs {
                tables::remove_stub(self.sql.as_ref(), *number)?;
            }
            self.used.borrow_mut().remove(number);
        }
        self.update(life, |forms| forms.remove(numbers))
    }

    /// Takes the groups of a visible segment away, within a transaction, and keeps its ids.
    pub fn evict(&self, life: LifeKey, number: i64, place: &str) -> Result<()> {
        let forms = self.forms(life)?;
        let segment = forms.visible(number).ok_or_else(|| internal("expected a visible segment to evict"))?;
        if !self.with_state(|state| state.has_stubs)? {
            tables::create_stubs(self.sql.as_ref())?;
            self.with_state(|state| state.has_stubs = true)?;
            self.journal.borrow_mut().push(Change::Stubs);
        }
        let head = self.head(number)?;
        let (bytes, range) = self.ids(segment, &head)?;
        let ids = bytes.get(range).ok_or_else(|| internal("expected the ids of the segment to evict"))?;
        tables::evict(self.sql.as_ref(), number, place, ids)?;
        let mut segment = segment.as_ref().clone();
        segment.place = Some(place.into());
        self.version.set(self.version.get().wrapping_add(1));
        self.update(life, |forms| forms.replace(Rc::new(segment)))
    }

    /// Says, within a transaction, that the rows of a visible evicted segment are somewhere else.
    pub fn set_place(&self, life: LifeKey, number: i64, place: &str) -> Result<()> {
        let forms = self.forms(life)?;
        let segment = forms.visible(number).ok_or_else(|| internal("expected a visible segment that is evicted"))?;
        tables::set_place(self.sql.as_ref(), number, place)?;
        let segment = Segment { place: Some(place.into()), ..segment.as_ref().clone() };
        self.update(life, |forms| forms.replace(Rc::new(segment)))
    }

    /// Whether any segment was ever evicted.
    pub fn has_stubs(&self) -> Result<bool> {
        self.with_state(|state| state.has_stubs)
    }

    /// When a segment was last used since this instance started, by the number of uses there had been; 0 if it was not.
    pub fn last_used(&self, number: i64) -> u64 {
        self.used.borrow().get(&number).copied().unwrap_or(0)
    }

    /// A segment's head.
    pub fn head(&self, number: i64) -> Result<Rc<SegmentHead>> {
        self.uses.set(self.uses.get().saturating_add(1));
        self.used.borrow_mut().insert(number, self.uses.get());
        if let Some(head) = self.cache.borrow_mut().head(number) {
            return Ok(head);
        }
        let head = Rc::new(SegmentHead::read(&tables::head(self.sql.as_ref(), number)?)?);
        self.cache.borrow_mut().insert_head(number, Rc::clone(&head));
        Ok(head)
    }

    /// The bytes of some columns of a segment, by their positions.
    pub fn columns(&self, number: i64, head: &SegmentHead, positions: &[usize]) -> Result<ColumnBytes> {
        let mut columns = ColumnBytes::default();
        for position in positions {
            let (group, range) = head
                .group_of(*position)
                .ok_or_else(|| internal("expected a column of the segment to be brought, got another"))?;
            columns.insert(*position, self.group(number, head, group)?, range);
        }
        Ok(columns)
    }

    /// The column of ids of a segment, which an evicted one has too.
    pub fn id_column(&self, segment: &Segment, head: &SegmentHead) -> Result<ColumnBytes> {
        let (bytes, range) = self.ids(segment, head)?;
        let mut columns = ColumnBytes::default();
        columns.insert(ID_POSITION, bytes, range);
        Ok(columns)
    }

    fn ids(&self, segment: &Segment, head: &SegmentHead) -> Result<(Rc<[u8]>, Range<usize>)> {
        let (group, range) =
            head.group_of(ID_POSITION).ok_or_else(|| internal("expected a segment to have a column of ids"))?;
        if segment.place.is_none() {
            return Ok((self.group(segment.number, head, group)?, range));
        }
        let key = Key::StubIds(segment.number);
        let known = self.cache.borrow_mut().bytes(key);
        let bytes = match known {
            Some(bytes) => bytes,
            None => {
                let bytes: Rc<[u8]> = tables::stub_ids(self.sql.as_ref(), segment.number, range.len())?.into();
                self.cache.borrow_mut().insert_bytes(key, Rc::clone(&bytes));
                bytes
            }
        };
        let all = 0..bytes.len();
        Ok((bytes, all))
    }

    /// All columns of a segment.
    pub fn all_columns(&self, number: i64, head: &SegmentHead) -> Result<ColumnBytes> {
        let positions: Vec<usize> = (0..head.index.columns().len()).collect();
        self.columns(number, head, &positions)
    }

    fn group(&self, number: i64, head: &SegmentHead, group: usize) -> Result<Rc<[u8]>> {
        let key = Key::Group(number, group);
        if let Some(bytes) = self.cache.borrow_mut().bytes(key) {
            return Ok(bytes);
        }
        let length = head.groups().get(group).map_or(0, std::iter::ExactSizeIterator::len);
        let bytes: Rc<[u8]> = tables::group(self.sql.as_ref(), number, group, length)?.into();
        self.cache.borrow_mut().insert_bytes(key, Rc::clone(&bytes));
        Ok(bytes)
    }

    /// Bytes of JSON text that went into segments since this instance started.
    pub fn built_bytes(&self) -> BuiltBytes {
        self.built.get()
    }

    /// How many visible segments there are.
    pub fn segments(&self) -> Result<usize> {
        self.with_state(|state| state.forms.values().map(|forms| forms.segments.len()).sum())
    }

    /// Bytes that heads and columns take in memory now.
    pub fn cached_bytes(&self) -> usize {
        self.cache.borrow().used_bytes()
    }
}

fn internal(message: &str) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "use segments", message)
}
