//! Documents in the object's SQLite, with the change log that commits with every mutation.
//!
//! Invariants: a mutation and its log record are one transaction; a document is in exactly one row of its
//! collection's current generation; names from outside are never part of a statement, tables are named by numbers.

pub mod catalog;
pub mod definition;
pub mod document;
pub mod frozen;
pub mod merge_patch;
pub mod query;
pub mod rows;
pub mod segment;
pub mod write;

mod schema;

use std::cell::RefCell;
use std::rc::Rc;

pub use crate::cdc::LoggedEvent;
pub use crate::cdc::feed::event_namespace;
pub use catalog::{Catalog, Collection};
pub use definition::{CollectionDefinition, DeclaredColumn};
pub use rows::{Generation, RowPage};
pub use schema::ObjectRecord;
pub use write::{Condition, Mutation, Versions, Write, WriteOutcome};

use crate::cdc::{ChangeLog, ReferencedRows, RowsPosition, RowsReference};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{SqlStore, transact};
use crate::types::names::ObjectName;
use crate::types::{ChangeContext, Document, Sequence, StorageTier, Timestamp};

/// The hot tier of one object.
pub struct HotStore {
    sql: Rc<dyn SqlStore>,
    log: ChangeLog,
    catalog: RefCell<Option<Rc<Catalog>>>,
}

impl HotStore {
    /// The hot tier in `sql`. Nothing is read or written before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { log: ChangeLog::new(Rc::clone(&sql)), sql, catalog: RefCell::new(None) }
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

    /// Runs `work` as one transaction; when it fails, what is remembered of the tables is forgotten with it.
    pub fn transaction<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = transact(self.sql.as_ref(), work);
        if result.is_err() {
            self.catalog.replace(None);
            self.log.forget();
        }
        result
    }

    /// One document's current version.
    pub fn get(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        match self.catalog()?.live(collection) {
            Some(collection) => collection.rows().get(self.sql.as_ref(), id),
            None => Ok(None),
        }
    }

    /// The documents after `after` in the order of ids, bounded in number and bytes; empty at the end.
    pub fn page(&self, collection: &str, after: Option<&str>) -> Result<RowPage> {
        match self.catalog()?.live(collection) {
            Some(collection) => collection.rows().page_after(self.sql.as_ref(), after),
            None => Ok(RowPage::default()),
        }
    }

    /// How many documents a collection has, and the bytes of their JSON text.
    pub fn measure(&self, collection: &Collection) -> Result<(i64, i64)> {
        if collection.live { collection.rows().measure(self.sql.as_ref()) } else { Ok((0, 0)) }
    }

    /// Declares or alters a collection. Existing documents are not looked at: a value that does not fit a column
    /// declared later stays with its document.
    pub fn declare(&self, collection: &str, definition: CollectionDefinition) -> Result<()> {
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
            let (count, _) = dropped.rows().measure(self.sql.as_ref())?;
            let mut appender = self.log.append(now, context)?;
            appender.push_rows((dropped.id, &dropped.name), dropped.generation, count)?;
            appender.finish()?;
            if count == 0 {
                dropped.rows().drop_table(self.sql.as_ref())?;
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
        self.trim_log(self.log.beyond_bounds(max_bytes, oldest)?, now)
    }

    /// Makes cached reads of this object miss from now on, within a transaction.
    pub fn bump_cache_generation(&self) -> Result<()> {
        schema::bump_cache_generation(self.sql.as_ref())
    }

    /// Drops closed log generations whose events are all at or below `through`, and the dropped rows they alone
    /// referred to.
    pub fn trim_log(&self, through: Sequence, now: Timestamp) -> Result<()> {
        if self.log.closed_generations()? == 0 {
            return Ok(());
        }
        self.transaction(|| {
            for rows in self.log.trim(through, now)? {
                Generation::from(rows).drop_table(self.sql.as_ref())?;
            }
            Ok(())
        })
    }
}

impl ReferencedRows for HotStore {
    fn page(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>> {
        let generation = Generation::from(rows);
        let page = match position {
            RowsPosition::Skip(0) => generation.page_after(self.sql.as_ref(), None),
            RowsPosition::Skip(rows) => match generation.id_at(self.sql.as_ref(), rows.saturating_sub(1))? {
                Some(id) => generation.page_after(self.sql.as_ref(), Some(&id)),
                None => Ok(RowPage::default()),
            },
            RowsPosition::After(id) => generation.page_after(self.sql.as_ref(), Some(id)),
        };
        page.map(|page| page.documents)
    }
}
