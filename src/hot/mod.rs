//! Documents in the object's SQLite, with the change log that commits with every mutation.
//!
//! A collection's documents are in three forms: row generations, segments, and (once evicted) stubs of segments; every
//! read gives the same answer whichever form a document is in. Invariants: a mutation and its log record are one
//! transaction; a document is in exactly one row of one row generation or at one undeleted row of one segment; names from
//! outside are never part of a statement, tables are named by numbers.

pub mod answers;
pub mod archiving;
pub mod catalog;
pub mod constraints;
pub mod definition;
pub mod directory;
pub mod document;
pub mod frozen;
pub mod frozen_forms;
pub mod merge_patch;
pub mod query;
pub mod row_index;
pub mod rows;
pub mod segment;
pub mod write;

mod erasure;
mod evicted;
mod expiry;
mod holds;
mod lookup;
mod maintenance;
mod merge;
mod rewrite;
mod scan;
mod schema;
mod seal;
mod sources;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use crate::cdc::feed::event_namespace;
pub use crate::cdc::{LoggedEvent, References};
pub use answers::KeptAnswer;
pub use archiving::PlannedSegments;
pub use catalog::{Catalog, Collection};
pub use definition::{CollectionDefinition, ColumnType, Columnar, DeclaredColumn, Retention};
pub use directory::{BuiltBytes, LifeKey};
pub use erasure::Erasure;
pub use evicted::{EvictedRows, NeedsCold};
pub use expiry::{EXPIRY_TURN_MAX_BYTES, Expired};
pub use rewrite::{Rewrite, Rewritten};
pub use schema::ObjectRecord;
pub use sources::QuerySources;
pub use write::{Condition, Mutation, Versions, Write, WriteGate, WriteOutcome};

use self::answers::Answers;
use self::directory::{Directory, Extent, Segment};
use self::evicted::Lent;
use self::expiry::Expiry;
use self::holds::Holds;
use self::maintenance::Maintenance;
use self::rows::Generation;
use crate::cdc::{ChangeLog, Referenced, RowsPosition, RowsReference, SegmentReference};
use crate::config::HotConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{SqlStore, transact};
use crate::types::names::ObjectName;
use crate::types::{ChangeContext, Document, Sequence, StorageTier, Timestamp};

/// The hot tier of one object.
pub struct HotStore {
    sql: Rc<dyn SqlStore>,
    config: HotConfig,
    log: ChangeLog,
    catalog: RefCell<Option<Rc<Catalog>>>,
    directory: Directory,
    maintenance: Maintenance,
    expiry: Expiry,
    planned: RefCell<Option<Rc<dyn PlannedSegments>>>,
    gate: RefCell<Option<Rc<dyn WriteGate>>>,
    lent: RefCell<Lent>,
    holds: Rc<Holds>,
    /// Transactions open now, one inside the other.
    depth: Cell<u32>,
    answers: Answers,
}

impl HotStore {
    /// The hot tier in `sql`. Nothing is read or written before it is needed. `memory_bytes` bounds what is kept of
    /// segments.
    pub fn new(sql: Rc<dyn SqlStore>, config: HotConfig, memory_bytes: usize) -> Self {
        Self {
            log: ChangeLog::new(Rc::clone(&sql)),
            directory: Directory::new(Rc::clone(&sql), memory_bytes),
            answers: Answers::new(Rc::clone(&sql)),
            sql,
            config,
            catalog: RefCell::new(None),
            maintenance: Maintenance::default(),
            expiry: Expiry::default(),
            planned: RefCell::new(None),
            gate: RefCell::new(None),
            lent: RefCell::default(),
            holds: Rc::default(),
            depth: Cell::new(0),
        }
    }

    /// The answers to requests with a key.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The change log.
    pub fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// The collections, as of the last commit.
    pub fn catalog(&self) -> Result<Rc<Catalog>> {
        if let Some(catalog) = self.catalog.borrow().as_ref() {
            return Ok(Rc::clone(catalog));
        }
        // The log is read first, so that whoever writes after anything was read is seen by `check_alone`.
        self.log.last_sequence()?;
        let catalog = Rc::new(Catalog::load(self.sql.as_ref())?);
        self.catalog.replace(Some(Rc::clone(&catalog)));
        Ok(catalog)
    }

    /// What the object has recorded of itself; `None` before its first write.
    pub fn object_record(&self) -> Result<Option<ObjectRecord>> {
        if self.catalog()?.exists() { ObjectRecord::load(self.sql.as_ref()).map(Some) } else { Ok(None) }
    }

    /// Makes the object's tables, if this is its first write.
    pub fn ensure_object(&self, name: &ObjectName, now: Timestamp) -> Result<()> {
        if self.catalog()?.exists() {
            return Ok(());
        }
        self.transaction(|| {
            schema::create(self.sql.as_ref(), name, now)?;
            self.log.create()?;
            self.catalog.replace(None);
            Ok(())
        })
    }

    /// Runs `work` as one transaction. When it fails, what is remembered of the tables becomes what it was before.
    pub fn transaction<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = self.depth.get();
        let (catalog, log, mark) = (self.catalog.borrow().clone(), self.log.remembered(), self.directory.mark());
        self.depth.set(depth.saturating_add(1));
        let result = transact(self.sql.as_ref(), work);
        self.depth.set(depth);
        if result.is_err() {
            self.answers.forget();
        }
        match &result {
            Ok(_) if depth == 0 => {
                self.directory.committed();
                self.log.committed();
            }
            Ok(_) => {}
            Err(error) if is_refusal(error.kind()) || error.cause_as::<NeedsCold>().is_some() => {
                self.catalog.replace(catalog);
                self.log.restore(log);
                self.directory.roll_back(mark);
            }
            // What the store itself has failed at is read again.
            Err(_) => self.forget(),
        }
        result
    }

    /// Forgets what is remembered of the tables: it is read again.
    fn forget(&self) {
        self.catalog.replace(None);
        self.log.forget();
        self.directory.forget();
        self.expiry.forget();
    }

    /// What segments there are, what went into them, and what of them is in memory.
    pub fn segment_figures(&self) -> Result<SegmentFigures> {
        let segments = if self.catalog()?.exists() { self.directory.segments()? } else { 0 };
        Ok(SegmentFigures {
            segments,
            built: self.directory.built_bytes(),
            cached_bytes: self.directory.cached_bytes(),
        })
    }

    /// Refuses to go on when another instance of the object has written meanwhile: then what is remembered here is not what
    /// is stored. It is read again.
    fn check_alone(&self) -> Result<()> {
        if self.log.is_current()? {
            return Ok(());
        }
        self.forget();
        Err(StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Hot,
            "read documents",
            "expected to be the object's only instance, got events of another; it is tried again",
        ))
    }

    /// One document's current version.
    pub fn get(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        match self.catalog()?.live(collection) {
            Some(collection) => Ok(self.find(collection.life(), id)?.map(|(_, document)| document)),
            None => Ok(None),
        }
    }

    /// How many documents a collection has in each form, and the bytes of their JSON text.
    pub fn measure(&self, collection: &Collection) -> Result<FormCounts> {
        if collection.live { self.count(collection.life()) } else { Ok(FormCounts::default()) }
    }

    fn count(&self, life: LifeKey) -> Result<FormCounts> {
        let mut counts = FormCounts::default();
        let tables: Vec<Generation> = self.directory.forms(life)?.generations.iter().map(|rows| rows.table).collect();
        for table in tables {
            let extent = self.directory.extent(life, table)?;
            counts.row = counts.row.saturating_add(extent.rows);
            counts.bytes = counts.bytes.saturating_add(extent.bytes);
        }
        let forms = self.directory.forms(life)?;
        for segment in forms.segments.iter() {
            let of_form = if segment.place.is_some() { &mut counts.cold } else { &mut counts.segment };
            *of_form = of_form.saturating_add(signed(segment.live_rows()));
            counts.bytes = counts.bytes.saturating_add(i64::try_from(segment.live_bytes()).unwrap_or(i64::MAX));
        }
        Ok(counts)
    }

    /// Whether a collection has no document.
    pub fn is_empty(&self, collection: &Collection) -> Result<bool> {
        Ok(self.measure(collection)?.documents() == 0)
    }

    /// The row generation that a collection's new rows go to.
    fn open_generation(&self, collection: &Collection) -> Result<Generation> {
        let indexes = &collection.definition.indexes;
        // A number above every sequence so far has never been used: generation 1 is of objects that had but one.
        let number = self.log.last_sequence()?.saturating_add(2);
        let table = self.directory.open_generation(collection.life(), self.seal_at(collection), indexes, number)?;
        if collection.definition.constraints.append_only && table.number == number {
            table.guard(self.sql.as_ref())?;
        }
        Ok(table)
    }

    /// From which size on a row generation is closed: never, where triggers guard the rows.
    fn seal_at(&self, collection: &Collection) -> Extent {
        if collection.definition.constraints.append_only {
            return Extent { rows: i64::MAX, bytes: i64::MAX, newest: 0 };
        }
        let rows = collection.definition.columnar.threshold.unwrap_or(self.config.seal_rows);
        Extent { rows, bytes: self.config.seal_bytes, newest: 0 }
    }

    /// Declares or alters a collection. Existing documents are not looked at: a value that does not fit a column
    /// declared later stays with its document.
    pub fn declare(&self, collection: &str, definition: CollectionDefinition) -> Result<()> {
        self.check_gate()?;
        self.transaction(|| {
            let mut catalog = self.catalog()?.as_ref().clone();
            catalog.ensure(self.sql.as_ref(), collection)?;
            catalog.define(self.sql.as_ref(), collection, definition)?;
            self.catalog.replace(Some(Rc::new(catalog)));
            Ok(())
        })
    }

    /// Drops a collection: a DELETE event a document, by reference to its rows. Returns the last sequence.
    pub fn drop_collection(&self, collection: &str, context: &ChangeContext, now: Timestamp) -> Result<Sequence> {
        self.check_gate()?;
        self.transaction(|| {
            let mut catalog = self.catalog()?.as_ref().clone();
            let dropped = catalog.live(collection).cloned().ok_or_else(|| {
                StorageError::new(
                    ErrorKind::NotFound,
                    StorageTier::Hot,
                    "drop collection",
                    format!("expected an existing collection, got \"{collection}\""),
                )
            })?;
            if dropped.definition.constraints.append_only {
                return Err(constraints::append_only(collection));
            }
            let count = self.measure(&dropped)?.documents();
            let mut appender = self.log.append(now, context)?;
            appender.push_rows((dropped.id, &dropped.name), dropped.life, count)?;
            appender.finish()?;
            if count == 0 {
                self.remove_life(dropped.life())?;
            }
            catalog.retire(self.sql.as_ref(), collection)?;
            self.catalog.replace(Some(Rc::new(catalog)));
            self.log.last_sequence()
        })
    }

    /// Closes a log generation that is due for it, and drops what is beyond the log's bounds. Costs nothing in between.
    pub fn bound_log(&self, max_bytes: u64, oldest: Timestamp, now: Timestamp) -> Result<()> {
        if !self.log.is_rotation_due(now)? {
            return Ok(());
        }
        self.transaction(|| self.log.rotate(now))?;
        self.trim_whatever_is_held(self.log.beyond_bounds(max_bytes, oldest)?, now)
    }

    /// Makes cached reads of this object miss from now on, within a transaction.
    pub fn bump_cache_generation(&self) -> Result<()> {
        schema::bump_cache_generation(self.sql.as_ref())
    }

    /// Drops closed log generations whose events are all at or below `through`, and what they alone referred to. Events that
    /// somebody reads stay.
    pub fn trim_log(&self, through: Sequence, now: Timestamp) -> Result<()> {
        self.trim_whatever_is_held(self.holds.log_free_through().map_or(through, |free| free.min(through)), now)
    }

    fn trim_whatever_is_held(&self, through: Sequence, now: Timestamp) -> Result<()> {
        if self.log.closed_generations()? == 0 {
            return Ok(());
        }
        self.transaction(|| {
            let dropped = self.log.trim(through, now)?;
            for rows in dropped {
                self.remove_life(LifeKey { collection: rows.collection, number: rows.life })?;
            }
            self.remove_unreachable()
        })
    }

    /// Whether somebody else than current documents needs a segment: the log, a plan, or whoever holds it.
    fn stays(&self, segment: &Segment, first: Sequence, planned: i64) -> bool {
        segment.is_pinned(first) || segment.number < planned || self.holds.has(segment.number)
    }

    /// Removes everything of a life that nobody can ask for any more; segments that the log still refers to stay.
    fn remove_life(&self, life: LifeKey) -> Result<()> {
        let forms = self.directory.forms(life)?;
        for generation in &forms.generations {
            self.directory.drop_generation(life, generation.table)?;
        }
        let (first, planned) = (self.log.first_sequence()?, self.planned_before()?);
        let segments = forms.segments.iter().chain(forms.superseded.iter());
        let (pinned, free): (Vec<_>, Vec<_>) = segments.partition(|segment| self.stays(segment, first, planned));
        let free: Vec<i64> = free.iter().map(|segment| segment.number).collect();
        self.directory.remove_segments(life, &free)?;
        // What stays goes when it is let go of, like every segment without a current row.
        for segment in
            pinned.iter().filter(|segment| forms.visible(segment.number).is_some() && segment.live_rows() > 0)
        {
            let all = (0..u32::try_from(segment.rows).unwrap_or(u32::MAX)).collect();
            self.directory.delete_rows(life, segment.number, &all)?;
        }
        Ok(())
    }
}

/// What segments there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentFigures {
    /// How many, but for those that others supersede.
    pub segments: usize,
    /// Bytes of JSON text that went into segments since this instance started.
    pub built: BuiltBytes,
    /// Bytes of heads and columns that are in memory.
    pub cached_bytes: usize,
}

/// How many documents are in each form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormCounts {
    /// In row form.
    pub row: i64,
    /// In segments.
    pub segment: i64,
    /// In evicted segments.
    pub cold: i64,
    /// Bytes of JSON text of all of them; of those in segments whose rows were partly deleted, about.
    pub bytes: i64,
}

impl FormCounts {
    /// All documents.
    pub fn documents(&self) -> i64 {
        self.row.saturating_add(self.segment).saturating_add(self.cold)
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whether an error says that the caller was refused, and nothing of the store itself.
fn is_refusal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Full)
}

impl Referenced for HotStore {
    fn dropped(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>> {
        let life = LifeKey { collection: rows.collection, number: rows.life };
        match position {
            RowsPosition::Skip(0) => self.page_of(life, None),
            RowsPosition::Skip(count) => match self.id_at(life, usize::try_from(count).unwrap_or(usize::MAX))? {
                Some(id) => self.page_of(life, Some(&id)),
                None => Ok(Vec::new()),
            },
            RowsPosition::After(id) => self.page_of(life, Some(id)),
        }
    }

    fn versions(
        &self,
        reference: SegmentReference,
        from: Sequence,
        through: Sequence,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.segment_versions(reference, from, through, limit)
    }
}
