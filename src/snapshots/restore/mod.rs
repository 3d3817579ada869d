//! Restore: an object becomes what a snapshot holds.
//!
//! A job of the alarm, in steps that each end with a row that says how far it is: it proves the bytes of all files, then
//! compares each collection with what it was ([`difference`]), and keeps what differs aside. At last all changes are made
//! in one transaction, as events of their own. Invariants:
//!
//! - no other write happens from the job's beginning to its end ([`job::Jobs`] refuses them): what was compared is what is
//!   changed;
//! - a reader sees all of it or nothing;
//! - a step that is done again, or by two instances, adds nothing twice: it is taken only if the job is as it was when the
//!   step began;
//! - a job that fails leaves the documents as they were.

mod compare;
mod delegated;
mod difference;
pub mod job;
pub mod source;
mod swap;
mod versions;

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::job::{Job, JobState, RestoreJob, Step, Task};
use self::source::{Source, verify};
use super::Snapshotter;
use super::named::manifest::{Manifest, ManifestCollection, ManifestReference};
use super::named::unknown;
use super::plan::Plan;
use super::schedule::retry_ms;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::Catalog;
use crate::types::{Sequence, StorageTier, Timestamp, sorting};

/// Bytes of files that one step proves.
const VERIFY_BYTES: u64 = 32 * 1024 * 1024;
/// Failures in a row after which a job is given up.
const FAILURES_MAX: u32 = 20;

/// What is to be restored into this object; also as one object asks another for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The job's id.
    pub id: Uuid,
    /// The snapshot.
    pub snapshot: Uuid,
    /// Its manifest.
    pub manifest: ManifestReference,
    /// The collections that are wanted; `None` for the object as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// No restore runs, or the one that does waits.
    Idle,
    /// There is more to do.
    Worked,
    /// All is found that is to be changed.
    Ready(Box<Job>),
}

impl Snapshotter {
    /// A job.
    pub fn job(&self, id: Uuid) -> Result<Option<Job>> {
        self.jobs.get(id)
    }

    /// The restore that runs.
    pub fn running_restore(&self) -> Result<Option<Job>> {
        self.jobs.running()
    }

    /// When a restore goes on at the earliest, here or at another object, as far as this instance knows without looking.
    pub fn known_restore_due(&self) -> Option<Timestamp> {
        self.jobs.known_due()
    }

    /// Begins a restore. The object exists. One with this id that is known is not begun again.
    pub async fn start_restore(&self, wanted: &Restore) -> Result<Job> {
        let objects = self.bucket()?;
        let source = Source::read(objects.as_ref(), &wanted.manifest).await?;
        check_collections(source.manifest()?, wanted.collections.as_deref())?;
        let catalog = self.hot.catalog()?;
        self.check_type(&catalog, source.manifest()?)?;
        for collection in wanted.collections.iter().flatten() {
            if self.stays(&catalog, source.manifest()?, collection)? {
                return Err(left_alone(collection));
            }
        }
        self.hot.transaction(|| self.jobs.create())?;
        // No await from here on. What was asked for may have been deleted meanwhile.
        if self.is_of_this_object(source.manifest()?)? && !self.is_kept(wanted.snapshot)? {
            return Err(unknown(wanted.snapshot));
        }
        if let Some(known) = self.jobs.get(wanted.id)? {
            return Ok(known);
        }
        if let Some(running) = self.jobs.running()? {
            let message =
                format!("expected no restore to be in progress, got the job {}; wait for its end", running.id);
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "restore snapshot", message));
        }
        let restore = RestoreJob {
            snapshot: wanted.snapshot,
            manifest: wanted.manifest.clone(),
            collections: wanted.collections.clone(),
            step: Step::Verify { file: 0 },
            sequence: self.hot.log().last_sequence()?,
            parts: 0,
        };
        let mut job = Job::new(wanted.id, self.ports.clock.now_ms(), Task::Restore(restore));
        job.progress.total = self.work_of(&source)?;
        self.hot.transaction(|| {
            self.jobs.clear_parts()?;
            self.jobs.store(&job)?;
            self.jobs.forget_old()
        })?;
        self.catalog_changed();
        self.source.replace(Some((wanted.id, Rc::new(source))));
        Ok(job)
    }

    /// Whether a named snapshot of this object is there, and is not about to be deleted.
    fn is_kept(&self, id: Uuid) -> Result<bool> {
        let plan = self.catalog.plan()?.map(|stored| Plan::from_text(&stored.plan)).transpose()?;
        let goes = plan.is_some_and(|plan| plan.forget.contains(&id));
        Ok(!goes && self.catalog.named()?.iter().any(|named| named.id == id))
    }

    /// Ends the restore that runs, if it is this one: it is told as failed, and has changed nothing.
    pub fn cancel_restore(&self, id: Uuid) -> Result<()> {
        let Some(job) = self.jobs.running()?.filter(|job| job.id == id) else { return Ok(()) };
        let mut next = job.clone();
        next.state = JobState::Failed;
        next.error = Some("it was cancelled".to_owned());
        self.advance(&job, &next, Found::default())
    }

    /// Notes that the swap begins, before it does: should it take the instance away each time, that comes to an end.
    pub fn note_swap(&self, job: &Job) -> Result<Job> {
        let mut next = job.clone();
        next.failures = job.failures.saturating_add(1);
        if job.failures >= FAILURES_MAX {
            next.state = JobState::Failed;
            next.error =
                Some("the changes could not be made in one transaction: the object was ended each time".to_owned());
        }
        self.advance(job, &next, Found::default())?;
        Ok(next)
    }

    /// About how many files are proved and documents compared.
    fn work_of(&self, source: &Source) -> Result<u64> {
        let files = u64::try_from(source.files().len()).unwrap_or(u64::MAX);
        let mut total = files.saturating_add(source.rows());
        for collection in self.hot.catalog()?.all_live() {
            total = total.saturating_add(u64::try_from(self.hot.measure(collection)?.documents()).unwrap_or(0));
        }
        Ok(total)
    }

    /// Does the next step of the restore that runs. A failure that does not pass, and one too many of those that may,
    /// ends the job.
    pub async fn restore_step(&self) -> Result<Stepped> {
        let Some(job) = self.jobs.running()? else { return Ok(Stepped::Idle) };
        if job.not_before > self.ports.clock.now_ms() {
            return Ok(Stepped::Idle);
        }
        let Some(restore) = job.restore() else { return Ok(Stepped::Idle) };
        let done = match &restore.step {
            Step::Swap => return Ok(Stepped::Ready(Box::new(job))),
            Step::Verify { file } => self.verify_some(&job, restore, *file).await,
            Step::Compare { .. } => self.begin_to_compare(&job, restore),
            Step::Images { collection, after } => self.bring_images(&job, restore, *collection, after.as_deref()).await,
            Step::Wanted { collection, file, from } => {
                self.compare_wanted(&job, restore, (*collection, *file, *from)).await
            }
            Step::Others { collection } => self.delete_others(&job, restore, *collection).await,
        };
        match done {
            Ok(()) => Ok(Stepped::Worked),
            Err(error) => {
                self.restore_failed(&job, &error)?;
                Err(error)
            }
        }
    }

    /// Forgets what a restore that has ended needed.
    pub fn restore_ended(&self) {
        self.source.replace(None);
        self.catalog_changed();
    }

    /// Notes that a step of a job failed.
    pub fn restore_failed(&self, job: &Job, error: &StorageError) -> Result<()> {
        let mut next = job.clone();
        // That of a swap was counted when it began.
        if !matches!(job.restore().map(|restore| &restore.step), Some(Step::Swap)) {
            next.failures = job.failures.saturating_add(1);
        }
        next.error = Some(error.message().to_owned());
        next.not_before = retry_ms(next.failures, None, self.ports.clock.now_ms());
        if !error.is_retryable() || next.failures >= FAILURES_MAX {
            next.state = JobState::Failed;
        }
        self.advance(job, &next, Found::default())
    }

    /// What a restore reads.
    pub async fn source(&self, job: &Job, restore: &RestoreJob) -> Result<Rc<Source>> {
        let known = self.source.borrow().clone();
        if let Some((_, source)) = known.filter(|(id, _)| *id == job.id) {
            return Ok(source);
        }
        let source = Rc::new(Source::read(self.bucket()?.as_ref(), &restore.manifest).await?);
        self.source.replace(Some((job.id, Rc::clone(&source))));
        Ok(source)
    }

    async fn verify_some(&self, job: &Job, restore: &RestoreJob, first: usize) -> Result<()> {
        let (objects, source) = (self.bucket()?, self.source(job, restore).await?);
        let files = source.files();
        let (mut bytes, mut file) = (0_u64, first);
        while bytes < VERIFY_BYTES
            && let Some(next) = files.get(file)
        {
            bytes = bytes.saturating_add(verify(objects.as_ref(), next).await?);
            file = file.saturating_add(1);
        }
        let step = match file < files.len() {
            true => Step::Verify { file },
            false => Step::Compare { collection: 0, after: None },
        };
        let done = u64::try_from(file.saturating_sub(first)).unwrap_or(0);
        self.advance(job, &stepped(job, restore, step, done, 0), Found::default())
    }

    /// Begins to compare the object as it is now; what was found before is forgotten.
    fn begin_to_compare(&self, job: &Job, restore: &RestoreJob) -> Result<()> {
        let step = Step::Images { collection: 0, after: None };
        let begun = RestoreJob { sequence: self.hot.log().last_sequence()?, parts: 0, ..restore.clone() };
        // What is remembered of the versions may be of an earlier state.
        self.source.replace(None);
        self.hot.transaction(|| {
            if self.jobs.get(job.id)?.as_ref() != Some(job) {
                return Ok(());
            }
            self.jobs.begin_parts()?;
            self.jobs.store(&stepped(job, &begun, step.clone(), 0, 0))
        })?;
        self.catalog_changed();
        Ok(())
    }

    /// The collections that are restored, by name. One that is only ever added to stays as it is once it has entries.
    fn wanted_collections<'m>(
        &self,
        manifest: &'m Manifest,
        restore: &RestoreJob,
    ) -> Result<Vec<&'m ManifestCollection>> {
        let catalog = self.hot.catalog()?;
        let mut wanted = Vec::new();
        for collection in &manifest.collections {
            let is_wanted = restore.collections.as_ref().is_none_or(|wanted| wanted.contains(&collection.name));
            if is_wanted && !self.stays(&catalog, manifest, &collection.name)? {
                wanted.push(collection);
            }
        }
        sorting::sort_by(&mut wanted, |left, right| left.name.cmp(&right.name));
        Ok(wanted)
    }

    /// Refuses a snapshot of an object of another type where collections are held to something: its documents are not.
    fn check_type(&self, catalog: &Catalog, manifest: &Manifest) -> Result<()> {
        let is_held = catalog.all_live().any(|live| !live.definition.constraints.is_none());
        let same = self.hot.object_record()?.is_some_and(|record| record.name.doc_type == manifest.doc_type);
        if same || !is_held {
            return Ok(());
        }
        let message =
            format!("expected a snapshot of an object of the same type, got one of the type {:?}", manifest.doc_type);
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "restore snapshot", message))
    }

    /// Whether a collection is left as it is. What is only ever added to, or is somebody's settings, is of one object and
    /// never becomes another's.
    fn stays(&self, catalog: &Catalog, manifest: &Manifest, collection: &str) -> Result<bool> {
        let of_snapshot = manifest.collections.iter().find(|of_snapshot| of_snapshot.name == collection);
        if of_snapshot.is_some_and(|of_snapshot| of_snapshot.definition.constraints.are_of_one_object())
            && self.hot.object_record()?.is_some_and(|record| record.name.doc_type == manifest.doc_type)
            && !self.is_of_this_object(manifest)?
        {
            return Ok(true);
        }
        match catalog.live(collection) {
            Some(live) if live.definition.constraints.stays => Ok(true),
            Some(live) if live.definition.constraints.append_only => Ok(!self.hot.is_empty(live)?),
            _ => Ok(false),
        }
    }

    fn is_of_this_object(&self, manifest: &Manifest) -> Result<bool> {
        let record = self.hot.object_record()?;
        Ok(record
            .is_some_and(|record| record.name.doc_type == manifest.doc_type && record.name.doc_id == manifest.doc_id))
    }

    /// Stores what a job has become, with the changes found, unless another run of it was faster.
    fn advance(&self, job: &Job, next: &Job, found: Found) -> Result<()> {
        let first = job.restore().map_or(0, |restore| restore.parts);
        self.hot.transaction(|| {
            if self.jobs.get(job.id)?.as_ref() != Some(job) {
                return Ok(());
            }
            for (number, part) in (first..).zip(&found.parts) {
                self.jobs.add_part(number, part)?;
            }
            self.jobs.add_seen(&found.seen)?;
            if next.state != JobState::Running {
                self.jobs.clear_parts()?;
            }
            self.jobs.store(next)
        })?;
        self.catalog_changed();
        Ok(())
    }
}

/// The error of restoring a collection that restores leave alone.
fn left_alone(collection: &str) -> StorageError {
    let message =
        format!("expected collections that a restore may replace, got \"{collection}\", which it leaves as it is");
    StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "restore snapshot", message)
}

/// What a step has found.
#[derive(Default)]
struct Found {
    /// Changes.
    parts: Vec<String>,
    /// Versions that are there, and were compared.
    seen: Vec<Sequence>,
}

/// A job after a step that did some work.
fn stepped(job: &Job, restore: &RestoreJob, step: Step, done: u64, parts: usize) -> Job {
    let parts = i64::try_from(parts).unwrap_or(i64::MAX);
    let mut next = job.clone();
    next.failures = 0;
    next.not_before = 0;
    next.error = None;
    next.progress.done = next.progress.done.saturating_add(done).min(next.progress.total);
    next.task = Task::Restore(RestoreJob { step, parts: restore.parts.saturating_add(parts), ..restore.clone() });
    next
}

fn check_collections(manifest: &Manifest, wanted: Option<&[String]>) -> Result<()> {
    for (position, name) in wanted.unwrap_or_default().iter().enumerate() {
        if !manifest.collections.iter().any(|collection| collection.name == *name) {
            let message = "expected collections of the snapshot, got others";
            let detail = "expected a collection that the snapshot has";
            return Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "restore snapshot", message)
                .at(format!("/collections/{position}"), detail));
        }
    }
    Ok(())
}
