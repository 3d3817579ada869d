//! Mutations: all of a call in one transaction, with their events, or none.
//!
//! Mutations of one collection that follow each other are done in windows: the current versions of a window are
//! loaded at once, the mutations applied to them in memory in their order, and each document touched is written once.

use std::collections::HashMap;
use std::rc::Rc;

use super::document::NewDocument;
use super::merge_patch::merge_patch;
use super::rows::{Generation, Row};
use super::{Catalog, Collection, HotStore};
use crate::cdc::{Appender, Change, Image};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{SCAN_PAGE_MAX_BYTES, SQL_MAX_PARAMETERS};
use crate::ports::SqlStore;
use crate::types::{ChangeContext, Json, Operation, Sequence, StorageTier, Timestamp};

/// Bytes of images that one transaction may log: bounds its time and its rows.
const TRANSACTION_MAX_BYTES: usize = 64 * 1024 * 1024;

/// What to do with a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Mutation {
    /// Make it; it must not exist.
    Insert(NewDocument),
    /// Make or replace it.
    Upsert(NewDocument),
    /// Change it by an RFC 7396 merge patch; it must exist.
    Merge {
        /// Its id.
        id: String,
        /// The patch, as JSON text that parses.
        patch: String,
    },
    /// Delete it; it must exist.
    Delete {
        /// Its id.
        id: String,
    },
}

impl Mutation {
    /// The document's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Insert(document) | Self::Upsert(document) => &document.id,
            Self::Merge { id, .. } | Self::Delete { id } => id,
        }
    }
}

/// A set of versions that a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// `*`: any version.
    Any,
    /// One of these.
    Listed(Vec<Sequence>),
}

impl Versions {
    /// Whether the current version, if there is one, is in the set.
    pub fn contain(&self, current: Option<Sequence>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Listed(versions), Some(current)) => versions.contains(&current),
        }
    }
}

/// What must hold of the current version for a mutation to happen (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It must be one of these.
    pub if_match: Option<Versions>,
    /// It must be none of these.
    pub if_none_match: Option<Versions>,
}

impl Condition {
    /// An error unless the condition holds.
    pub fn check(&self, current: Option<Sequence>) -> Result<()> {
        let holds = self.if_match.as_ref().is_none_or(|versions| versions.contain(current))
            && !self.if_none_match.as_ref().is_some_and(|versions| versions.contain(current));
        if holds {
            return Ok(());
        }
        let got = current.map_or_else(|| "no document".to_owned(), |version| format!("version {version}"));
        Err(StorageError::new(
            ErrorKind::Precondition,
            StorageTier::Hot,
            "check condition",
            format!("expected the condition of the request to hold, got {got}; read the document again"),
        ))
    }
}

/// One mutation with what it is conditional on.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The collection's name.
    pub collection: Rc<str>,
    /// What to do.
    pub mutation: Mutation,
    /// What must hold before.
    pub condition: Condition,
}

/// What a mutation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The document's id.
    pub id: String,
    /// What was done.
    pub operation: Operation,
    /// The event's sequence, the document's new version.
    pub sequence: Sequence,
    /// The document now; `None` when deleted.
    pub text: Option<Rc<str>>,
}

/// What to do with a mutation that is refused, by its position.
pub type Refused<'r> = &'r mut dyn FnMut(usize, StorageError) -> Result<()>;

impl HotStore {
    /// Does all mutations in one transaction. A mutation that is refused (it conflicts, is not valid, or its condition
    /// does not hold) is handed to `refused`, which ends the transaction with an error or lets the others go on.
    pub fn write(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        now: Timestamp,
        refused: Refused<'_>,
    ) -> Result<Vec<WriteOutcome>> {
        self.transaction(|| {
            let mut catalog = self.catalog()?.as_ref().clone();
            let known = catalog.all().len();
            let live = catalog.all_live().count();
            let appender = self.log.append(now, context)?;
            let mut transaction =
                Transaction { store: self, appender, outcomes: Vec::with_capacity(writes.len()), bytes: 0 };
            let mut position = 0;
            for run in writes.chunk_by(|left, right| left.collection == right.collection) {
                transaction.run(&mut catalog, run, position, refused)?;
                position = position.saturating_add(run.len());
            }
            let Transaction { appender, outcomes, .. } = transaction;
            appender.finish()?;
            if catalog.all().len() != known || catalog.all_live().count() != live {
                self.catalog.replace(Some(Rc::new(catalog)));
            }
            Ok(outcomes)
        })
    }
}

struct Transaction<'s> {
    store: &'s HotStore,
    appender: Appender<'s>,
    outcomes: Vec<WriteOutcome>,
    bytes: usize,
}

/// The versions of a window's documents: as they were, or as the mutations so far have made them.
struct Window {
    current: HashMap<String, Current>,
}

enum Current {
    /// It exists, and nothing of the window needs its text.
    Present,
    /// It exists.
    Stored(Image),
    /// It does not exist.
    Absent,
    /// The transaction has made this version.
    Made(Made),
    /// The transaction has deleted it.
    Deleted,
}

struct Made {
    sequence: Sequence,
    timestamp: Timestamp,
    text: Rc<str>,
}

impl Made {
    fn image(&self) -> Image {
        Image { sequence: self.sequence, timestamp: self.timestamp, text: self.text.to_string() }
    }
}

impl Window {
    /// Writes each document that was made or deleted once.
    fn store(&self, sql: &dyn SqlStore, rows: Generation) -> Result<()> {
        let mut made = Vec::new();
        let mut deleted = Vec::new();
        for (id, current) in &self.current {
            match current {
                Current::Made(Made { sequence, timestamp, text }) => {
                    made.push(Row { id, sequence: *sequence, timestamp: *timestamp, text });
                }
                Current::Deleted => deleted.push(id.as_str()),
                Current::Present | Current::Stored(_) | Current::Absent => {}
            }
        }
        // In the order of the events, so that equal calls make equal statements.
        made.sort_unstable_by_key(|row| row.sequence);
        deleted.sort_unstable();
        rows.put_all(sql, &made)?;
        rows.delete_all(sql, &deleted)
    }
}

impl Transaction<'_> {
    fn run(&mut self, catalog: &mut Catalog, run: &[Write], start: usize, refused: Refused<'_>) -> Result<()> {
        let Some(first) = run.first() else { return Ok(()) };
        // An update or delete alone does not make a collection.
        let makes = run.iter().any(|write| matches!(write.mutation, Mutation::Insert(_) | Mutation::Upsert(_)));
        let collection = if makes {
            Some(catalog.ensure(self.store.sql.as_ref(), &first.collection)?)
        } else {
            catalog.live(&first.collection).cloned()
        };
        let mut rest = run;
        let mut position = start;
        while !rest.is_empty() {
            let taken = match &collection {
                Some(collection) => self.window(collection, rest, position, refused)?,
                None => self.absent(rest, position, refused)?,
            };
            rest = rest.get(taken..).unwrap_or_default();
            position = position.saturating_add(taken);
        }
        Ok(())
    }

    /// Mutations of a collection that does not exist: each is refused.
    fn absent(&mut self, run: &[Write], start: usize, refused: Refused<'_>) -> Result<usize> {
        for (offset, write) in run.iter().enumerate() {
            let error = match write.condition.check(None) {
                Err(error) => error,
                Ok(()) => not_found(&write.collection, write.mutation.id()),
            };
            refused(start.saturating_add(offset), error)?;
        }
        Ok(run.len())
    }

    /// Does as many mutations as fit one window and says how many.
    fn window(&mut self, collection: &Collection, run: &[Write], start: usize, refused: Refused<'_>) -> Result<usize> {
        let (taken, mut window) = self.load(collection, run)?;
        for (offset, write) in run.iter().take(taken).enumerate() {
            if let Err(error) = self.apply(collection, &mut window, write) {
                match error.kind() {
                    ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Full => {
                        return Err(error);
                    }
                    // The transaction is too large, not the document.
                    ErrorKind::TooLarge if self.bytes > TRANSACTION_MAX_BYTES => return Err(error),
                    _ => refused(start.saturating_add(offset), error)?,
                }
            }
        }
        window.store(self.store.sql.as_ref(), collection.rows())?;
        Ok(taken)
    }

    /// Loads the current versions of the first mutations, bounded in number and bytes.
    fn load(&self, collection: &Collection, run: &[Write]) -> Result<(usize, Window)> {
        let (sql, rows) = (self.store.sql.as_ref(), collection.rows());
        if let [write] = run {
            let id = write.mutation.id();
            let current = rows.get(sql, id)?.map_or(Current::Absent, |document| Current::Stored(document.into()));
            return Ok((1, Window { current: HashMap::from([(id.to_owned(), current)]) }));
        }
        let candidates = run.get(..run.len().min(SQL_MAX_PARAMETERS)).unwrap_or(run);
        let ids: Vec<&str> = candidates.iter().map(|write| write.mutation.id()).collect();
        let sizes = rows.sizes(sql, &ids)?;
        let mut current: HashMap<String, Current> = HashMap::new();
        let mut wanted = Vec::new();
        let mut bytes = 0usize;
        let mut taken = 0;
        for write in candidates {
            let id = write.mutation.id();
            let Some(size) = sizes.get(id) else {
                current.insert(id.to_owned(), Current::Absent);
                taken += 1;
                continue;
            };
            if matches!(write.mutation, Mutation::Insert(_)) && write.condition == Condition::default() {
                current.entry(id.to_owned()).or_insert(Current::Present);
            } else if !wanted.contains(&id) {
                bytes = bytes.saturating_add(*size);
                if bytes > SCAN_PAGE_MAX_BYTES && !wanted.is_empty() {
                    break;
                }
                wanted.push(id);
            }
            taken += 1;
        }
        for document in rows.get_all(sql, &wanted)? {
            current.insert(document.id.clone(), Current::Stored(document.into()));
        }
        Ok((taken, Window { current }))
    }

    fn apply(&mut self, collection: &Collection, window: &mut Window, write: &Write) -> Result<()> {
        let id = write.mutation.id();
        let current = window.current.get(id).unwrap_or(&Current::Absent);
        if let (Mutation::Insert(_), Current::Present) = (&write.mutation, current) {
            return Err(exists(collection, id));
        }
        let before = match current {
            Current::Stored(image) => Some(image.clone()),
            Current::Made(row) => Some(row.image()),
            Current::Present | Current::Absent | Current::Deleted => None,
        };
        write.condition.check(before.as_ref().map(|image| image.sequence))?;
        let after = after_image(collection, &write.mutation, before.as_ref())?;
        self.charge(before.as_ref(), after.as_deref())?;
        let change = Change {
            collection: (collection.id, &collection.name),
            document_id: id,
            before: before.as_ref(),
            after: after.as_deref(),
        };
        let sequence = self.appender.push(&change)?;
        let operation = match (&before, &after) {
            (None, _) => Operation::Insert,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        };
        let next = match &after {
            Some(text) => Current::Made(Made { sequence, timestamp: self.appender.timestamp(), text: Rc::clone(text) }),
            None => Current::Deleted,
        };
        window.current.insert(id.to_owned(), next);
        self.outcomes.push(WriteOutcome { id: id.to_owned(), operation, sequence, text: after });
        Ok(())
    }

    fn charge(&mut self, before: Option<&Image>, after: Option<&str>) -> Result<()> {
        let bytes = before.map_or(0, |image| image.text.len()).saturating_add(after.map_or(0, str::len));
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= TRANSACTION_MAX_BYTES {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::TooLarge,
            StorageTier::Hot,
            "write documents",
            format!(
                "expected one transaction to replace and write at most {TRANSACTION_MAX_BYTES} bytes of documents, got more; split it"
            ),
        ))
    }
}

/// The text of the document after a mutation; `None` for a delete.
fn after_image(collection: &Collection, mutation: &Mutation, before: Option<&Image>) -> Result<Option<Rc<str>>> {
    match (mutation, before) {
        (Mutation::Insert(document), Some(_)) => Err(exists(collection, &document.id)),
        (Mutation::Insert(document), None) | (Mutation::Upsert(document), _) => {
            if !collection.definition.columns.is_empty() {
                collection.definition.check_document(&Json::parse(&document.text)?)?;
            }
            Ok(Some(Rc::from(document.text.as_str())))
        }
        (Mutation::Merge { id, .. } | Mutation::Delete { id }, None) => Err(not_found(&collection.name, id)),
        (Mutation::Merge { id, patch }, Some(before)) => {
            let merged = merge_patch(Json::parse(&before.text)?, Json::parse(patch)?);
            let document = NewDocument::from_json(id, &merged)?;
            collection.definition.check_document(&merged)?;
            Ok(Some(Rc::from(document.text)))
        }
        (Mutation::Delete { .. }, Some(_)) => Ok(None),
    }
}

fn exists(collection: &Collection, id: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Conflict,
        StorageTier::Hot,
        "insert document",
        format!(
            "expected no document {id:?} in collection \"{}\", got one; use an upsert to replace it",
            collection.name
        ),
    )
}

/// The error that a document does not exist.
pub fn not_found(collection: &str, id: &str) -> StorageError {
    StorageError::new(
        ErrorKind::NotFound,
        StorageTier::Hot,
        "find document",
        format!("expected a document {id:?} in collection \"{collection}\", got none"),
    )
}
