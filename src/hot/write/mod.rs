//! Mutations: all of a call in one transaction, with their events, or none.
//!
//! Mutations of one collection that follow each other are a run. A short run is done in windows: the current versions of
//! a window's documents are loaded at once, the mutations applied to them in memory in their order, and each document
//! touched is written once, to a row. A long run makes a segment: its documents are one row written, and so are its
//! events, whatever their number.

mod batch;
mod mutation;
mod relations;
mod versions;

use std::rc::Rc;

pub use mutation::{Condition, Mutation, Versions, Write, WriteOutcome, not_found};

use self::batch::{HeldEvent, Run};
use self::mutation::{after_image, exists};
use self::relations::Relations;
use self::versions::{Current, Documents, Made};
use super::constraints::append_only;
use super::{Catalog, Collection, HotStore};
use crate::cdc::{Appender, Change, Image};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SQL_MAX_PARAMETERS;
use crate::types::{ChangeContext, Operation, Sequence, StorageTier, Timestamp};

/// Bytes of images that one transaction may log: bounds its time and its rows.
pub(super) const TRANSACTION_MAX_BYTES: usize = 64 * 1024 * 1024;

/// What to do with a mutation that is refused, by its position.
pub type Refused<'r> = &'r mut dyn FnMut(usize, StorageError) -> Result<()>;

/// Who knows whether documents and collections may change now.
pub trait WriteGate {
    /// Refuses, with an error that says until when.
    fn check(&self) -> Result<()>;
}

impl HotStore {
    /// Tells who is asked before each change.
    pub fn set_write_gate(&self, gate: Rc<dyn WriteGate>) {
        self.gate.replace(Some(gate));
    }

    /// Refuses a change that may not be now.
    pub(super) fn check_gate(&self) -> Result<()> {
        let gate = self.gate.borrow().clone();
        gate.map_or(Ok(()), |gate| gate.check())
    }

    /// Does all mutations in one transaction. A mutation that is refused (it conflicts, is not valid, or its condition
    /// does not hold) is handed to `refused`, which ends the transaction with an error or lets the others go on.
    pub fn write(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        now: Timestamp,
        refused: Refused<'_>,
    ) -> Result<Vec<WriteOutcome>> {
        self.check_gate()?;
        // What takes documents away must go on.
        if writes.iter().any(|write| !matches!(write.mutation, Mutation::Delete { .. })) {
            self.check_space()?;
        }
        self.transaction(|| {
            let mut catalog = self.catalog()?.as_ref().clone();
            let known = catalog.all().len();
            let live = catalog.all_live().count();
            let appender = self.log.append(now, context)?;
            let mut transaction = Transaction {
                store: self,
                appender,
                outcomes: Vec::with_capacity(writes.len()),
                bytes: 0,
                held: None,
                relations: Relations::default(),
            };
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

    /// Refuses to write when the database is larger than configured.
    pub fn check_space(&self) -> Result<()> {
        let (used, most) = (self.sql.size_bytes(), self.config.refuse_above_bytes);
        if used <= most {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::Full,
            StorageTier::Hot,
            "write documents",
            format!(
                "expected the object's database to have at most hot.refuseAboveBytes = {most} bytes, got {used}; delete documents, or use another object"
            ),
        ))
    }
}

struct Transaction<'s> {
    store: &'s HotStore,
    appender: Appender<'s>,
    outcomes: Vec<WriteOutcome>,
    bytes: usize,
    /// The events of a run that may become a segment.
    held: Option<Vec<HeldEvent>>,
    /// What the run is held to.
    relations: Relations,
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
        let Some(collection) = collection else { return self.absent(run, start, refused) };
        self.relations = Relations::locate(self.store, catalog, &collection, run)?;
        // What triggers guard stays in the rows that they guard.
        let is_guarded = collection.definition.constraints.append_only;
        if makes_many(run) >= self.store.config.direct_batch && !is_guarded {
            self.batch(&collection, run, start, refused)
        } else {
            self.windows(&collection, run, start, refused)
        }
    }

    /// Mutations of a collection that does not exist: each is refused.
    fn absent(&mut self, run: &[Write], start: usize, refused: Refused<'_>) -> Result<()> {
        for (offset, write) in run.iter().enumerate() {
            let error = match write.condition.check(None) {
                Err(error) => error,
                Ok(()) => not_found(&write.collection, write.mutation.id()),
            };
            refused(start.saturating_add(offset), error)?;
        }
        Ok(())
    }

    /// A short run: documents go to rows, a window after the other.
    fn windows(&mut self, collection: &Collection, run: &[Write], start: usize, refused: Refused<'_>) -> Result<()> {
        let mut position = start;
        let mut rest = run;
        while !rest.is_empty() {
            let candidates = rest.get(..rest.len().min(SQL_MAX_PARAMETERS)).unwrap_or(rest);
            let mut documents = Documents::locate(self.store, collection.life(), candidates)?;
            let taken = documents.load(self.store, candidates)?;
            for (offset, write) in candidates.iter().take(taken).enumerate() {
                self.attempt(collection, &mut documents, write, position.saturating_add(offset), refused)?;
            }
            documents.store_as_rows(self.store, collection)?;
            // It moves rows; the next window finds its documents anew.
            self.store.seal_overdue(collection)?;
            rest = rest.get(taken..).unwrap_or_default();
            position = position.saturating_add(taken);
        }
        Ok(())
    }

    /// A long run: documents go to a segment, unless few are left of it.
    fn batch(&mut self, collection: &Collection, run: &[Write], start: usize, refused: Refused<'_>) -> Result<()> {
        let mut documents = Documents::locate(self.store, collection.life(), run)?;
        self.held = Some(Vec::with_capacity(run.len()));
        let mut position = start;
        let mut rest = run;
        while !rest.is_empty() {
            let taken = documents.load(self.store, rest)?;
            for (offset, write) in rest.iter().take(taken).enumerate() {
                self.attempt(collection, &mut documents, write, position.saturating_add(offset), refused)?;
            }
            rest = rest.get(taken..).unwrap_or_default();
            position = position.saturating_add(taken);
        }
        let events = self.held.take().unwrap_or_default();
        Run { store: self.store, collection, documents, events }.store(&mut self.appender)
    }

    fn attempt(
        &mut self,
        collection: &Collection,
        documents: &mut Documents,
        write: &Write,
        position: usize,
        refused: Refused<'_>,
    ) -> Result<()> {
        let Err(error) = self.apply(collection, documents, write) else { return Ok(()) };
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Full => Err(error),
            // The transaction is too large, not the document.
            ErrorKind::TooLarge if self.bytes > TRANSACTION_MAX_BYTES => Err(error),
            _ => refused(position, error),
        }
    }

    fn apply(&mut self, collection: &Collection, documents: &mut Documents, write: &Write) -> Result<()> {
        let id = write.mutation.id();
        let current = documents.current(id);
        let is_there = matches!(current, Current::Present | Current::Stored(_) | Current::Made(_));
        match &write.mutation {
            Mutation::Insert(_) if is_there => return Err(exists(collection, id)),
            Mutation::Insert(_) => {}
            _ if is_there && collection.definition.constraints.append_only => {
                return Err(append_only(&collection.name));
            }
            _ => {}
        }
        self.relations.check(write, is_there)?;
        let before = match current {
            Current::Stored(image) => Some(image.clone()),
            Current::Made(made) => Some(made.image()),
            Current::Present | Current::Absent | Current::Deleted => None,
        };
        write.condition.check(before.as_ref().map(|image| image.sequence))?;
        let after = after_image(collection, &write.mutation, before.as_ref())?;
        self.charge(before.as_ref(), after.as_deref())?;
        let operation = match (&before, &after) {
            (None, _) => Operation::Insert,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        };
        let sequence = self.log(collection, id, before, after.as_ref())?;
        let next = match &after {
            Some(text) => Current::Made(Made { sequence, timestamp: self.appender.timestamp(), text: Rc::clone(text) }),
            None => Current::Deleted,
        };
        documents.set(id, next);
        self.outcomes.push(WriteOutcome { id: Rc::clone(id), operation, sequence, text: after });
        Ok(())
    }

    /// Logs an event, or holds it until it is known whether its run becomes a segment.
    fn log(
        &mut self,
        collection: &Collection,
        id: &Rc<str>,
        before: Option<Image>,
        after: Option<&Rc<str>>,
    ) -> Result<Sequence> {
        let Some(held) = &mut self.held else {
            let collection = (collection.id, &collection.name);
            return self.appender.push(&Change {
                collection,
                document_id: id,
                before: before.as_ref(),
                after: after.map(|text| text.as_ref()),
            });
        };
        let offset = i64::try_from(held.len()).unwrap_or(i64::MAX);
        held.push(HeldEvent { document_id: Rc::clone(id), before, after: after.map(Rc::clone) });
        Ok(self.appender.next_sequence().saturating_add(offset))
    }

    fn charge(&mut self, before: Option<&Image>, after: Option<&str>) -> Result<()> {
        let bytes = before.map_or(0, |image| image.text.len()).saturating_add(after.map_or(0, str::len));
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= TRANSACTION_MAX_BYTES {
            return Ok(());
        }
        Err(too_many_images())
    }
}

/// The error that a transaction replaces and writes too much.
pub(super) fn too_many_images() -> StorageError {
    StorageError::new(
        ErrorKind::TooLarge,
        StorageTier::Hot,
        "write documents",
        format!(
            "expected one transaction to replace and write at most {TRANSACTION_MAX_BYTES} bytes of documents, got more; split it"
        ),
    )
}

/// How many of the mutations may make a version of a document.
fn makes_many(run: &[Write]) -> usize {
    run.iter().filter(|write| !matches!(write.mutation, Mutation::Delete { .. })).count()
}
