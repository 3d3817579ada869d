//! The end of a restore: everything that differs is changed, in one transaction.

use std::rc::Rc;

use serde_json::value::RawValue;

use super::compare::{StagedChange, read_part};
use super::job::{Job, JobState, RestoreJob};
use super::source::Source;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::constraints::Constraints;
use crate::hot::document::NewDocument;
use crate::hot::{CollectionDefinition, Condition, Mutation, Write};
use crate::snapshots::Snapshotter;
use crate::snapshots::named::manifest::ManifestCollection;
use crate::types::{ChangeContext, StorageTier, Timestamp};

/// Bytes of evicted documents that are replaced or deleted at once, about: they are in memory.
const EVICTED_AT_ONCE_BYTES: usize = 16 * 1024 * 1024;
/// Parts of changes that are written at once.
const PARTS_AT_ONCE: usize = 8;
/// Changes that are written at once.
const CHANGES_AT_ONCE: usize = 65_536;

impl Snapshotter {
    /// Makes all changes of a job that is ready, within a transaction of one turn. When the object is not as it was
    /// compared, the job begins anew.
    pub fn swap(&self, job: &Job, source: &Source, now: Timestamp) -> Result<()> {
        let Some(restore) = job.restore() else { return Ok(()) };
        if self.jobs.get(job.id)?.as_ref() != Some(job) {
            return Ok(());
        }
        if self.hot.log().last_sequence()? != restore.sequence {
            return self.begin_to_compare(job, restore);
        }
        let wanted = self.wanted_collections(source.manifest()?, restore)?;
        let doc_type = self.hot.object_record()?.map(|record| record.name.doc_type);
        let same_type = doc_type.as_ref() == Some(&source.manifest()?.doc_type);
        let context =
            ChangeContext { source: Some(format!("snapshot:{}", restore.snapshot)), ..ChangeContext::default() };
        self.jobs.swapping(|| {
            if restore.collections.is_none() {
                self.drop_others(&wanted, &context, now)?;
            }
            let (definitions, kept) = self.define_loosely(&wanted, same_type)?;
            self.write_parts(restore, &wanted, &context, now)?;
            for (collection, definition) in wanted.iter().zip(definitions) {
                self.define(&collection.name, definition)?;
            }
            let mut next = job.clone();
            next.state = JobState::Done;
            next.error = None;
            next.definitions_kept = kept;
            next.progress.done = next.progress.total;
            self.jobs.clear_parts()?;
            self.jobs.store(&next)
        })
    }

    /// Drops the collections that the snapshot does not have.
    fn drop_others(&self, wanted: &[&ManifestCollection], context: &ChangeContext, now: Timestamp) -> Result<()> {
        let catalog = self.hot.catalog()?;
        let others = catalog
            .all_live()
            .filter(|live| !live.definition.constraints.are_of_one_object())
            .filter(|live| !wanted.iter().any(|wanted| *wanted.name == *live.name));
        for other in others {
            self.hot.drop_collection(&other.name, context, now)?;
        }
        Ok(())
    }

    /// Makes the collections, so that they take every document that they had: a document may be older than what was
    /// declared after it. What is to be declared of them in the end, and of which that is not what it was. An object of
    /// another type is not held to what the one of the snapshot was.
    fn define_loosely(
        &self,
        wanted: &[&ManifestCollection],
        same_type: bool,
    ) -> Result<(Vec<CollectionDefinition>, Vec<String>)> {
        let (mut definitions, mut kept) = (Vec::new(), Vec::new());
        for collection in wanted {
            let catalog = self.hot.catalog()?;
            let live = catalog.live(&collection.name);
            // Where the table cannot become what it was, it stays what it is.
            let definition = match self.check_definition(&collection.name, &collection.definition) {
                Ok(()) => self.retiring(&collection.name, collection.definition.clone())?,
                Err(_) => {
                    kept.push(collection.name.clone());
                    live.map(|live| live.definition.as_ref().clone()).unwrap_or_default()
                }
            };
            let constraints = if same_type { definition.constraints.clone() } else { Constraints::default() };
            let definition = CollectionDefinition { constraints, ..definition };
            let constraints = Constraints { checks: Vec::new(), parent: None, ..definition.constraints.clone() };
            let loose = CollectionDefinition { columns: Vec::new(), constraints, ..definition.clone() };
            if live.is_none() {
                self.hot.declare(&collection.name, loose)?;
            } else {
                self.define(&collection.name, loose)?;
            }
            definitions.push(definition);
        }
        Ok((definitions, kept))
    }

    /// Declares a live collection, if anything of it is to change.
    fn define(&self, name: &str, definition: CollectionDefinition) -> Result<()> {
        let catalog = self.hot.catalog()?;
        if catalog.live(name).is_some_and(|live| *live.definition == definition) {
            return Ok(());
        }
        // Its table may have to follow.
        self.declared.set(Some(true));
        self.hot.declare(name, definition)
    }

    fn write_parts(
        &self,
        restore: &RestoreJob,
        wanted: &[&ManifestCollection],
        context: &ChangeContext,
        now: Timestamp,
    ) -> Result<()> {
        let mut part = 0;
        while part < restore.parts {
            let writes = self.writes_of(restore, wanted, &mut part)?;
            self.write_in_halves(&writes, context, now)?;
        }
        Ok(())
    }

    /// Writes at once what fits one write, documents before and after: how many these are is known to who writes. Of
    /// evicted documents so many are in memory as are written at once.
    fn write_in_halves(&self, writes: &[Write], context: &ChangeContext, now: Timestamp) -> Result<()> {
        let is_one = writes.len() <= 1;
        if is_one || self.hot.evicted_bytes(writes)? <= EVICTED_AT_ONCE_BYTES {
            self.hot.lend_replaced(writes, &|collection, id| self.jobs.image(collection, id))?;
            let done = self.hot.write(writes, context, now, &mut |_, error| Err(error));
            self.hot.take_back_lent();
            match done {
                Err(error) if error.kind() == ErrorKind::TooLarge && !is_one => {}
                done => return done.map(|_| ()),
            }
        }
        let (first, second) = writes.split_at(writes.len() / 2);
        self.write_in_halves(first, context, now)?;
        self.write_in_halves(second, context, now)
    }

    /// The changes of the next parts, as many as are written at once.
    fn writes_of(&self, restore: &RestoreJob, wanted: &[&ManifestCollection], part: &mut i64) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        for _ in 0..PARTS_AT_ONCE {
            if *part >= restore.parts || writes.len() >= CHANGES_AT_ONCE {
                break;
            }
            for change in read_part(&self.jobs.part(*part)?)? {
                writes.push(write_of(change, wanted)?);
            }
            *part = part.saturating_add(1);
        }
        Ok(writes)
    }
}

fn write_of(change: StagedChange, wanted: &[&ManifestCollection]) -> Result<Write> {
    let collection = wanted.get(change.collection).ok_or_else(|| {
        let message = "expected changes of the snapshot's collections, got another";
        StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "restore snapshot", message)
    })?;
    let id: Rc<str> = change.id.into();
    let mutation = match change.document {
        Some(document) => Mutation::Upsert(NewDocument { id, text: RawValue::get(&document).into() }),
        None => Mutation::Delete { id },
    };
    Ok(Write { collection: collection.name.as_str().into(), mutation, condition: Condition::default() })
}
