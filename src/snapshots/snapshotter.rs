//! When runs happen, one at a time, and what is remembered between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use uuid::Uuid;

use super::expiry::Expiries;
use super::plan::Plan;
use super::restore::job::Jobs;
use super::restore::source::Source;
use super::schedule::{Pending, due_ms, retry_ms};
use crate::cold::catalog::{ColdCatalog, Progress};
use crate::cold::expiry::ExpiredEvents;
use crate::config::StorageConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{HotStore, PlannedSegments};
use crate::ports::{ObjectStore, Ports, uuid_v7};
use crate::types::time::DAY_MS;
use crate::types::{CollectionId, Sequence, StorageTier, SyncResult, Timestamp};

/// A run that has not ended after this long is taken for dead; another may start, which is safe but wasteful.
const RUN_MAX_MS: i64 = 300_000;
/// Runs that one call of sync may make: one for the plan on its way, one for what came after it, and some to spare.
const SYNC_ROUNDS: usize = 8;
/// How often a call that waits for a run looks whether it has ended, in ms.
const JOIN_POLL_MS: u32 = 20;
/// Who asks for a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Publishes at most once in the configured interval.
    Alarm,
    /// Publishes at once, but for the bucket's own limit of writes to one key.
    Sync,
}

/// What the catalogue says, remembered between changes of it.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) progress: Progress,
    /// Whether a plan is on its way that is not committed.
    planned: bool,
    unpublished: bool,
    pub(super) garbage_at: Option<Timestamp>,
    /// When a named snapshot expires.
    pub(super) expiry_at: Option<Timestamp>,
}

/// Marks a run in flight until it is dropped, also when whoever asked for it goes away.
struct RunInFlight<'s> {
    snapshotter: &'s Snapshotter,
    since: Timestamp,
}

impl<'s> RunInFlight<'s> {
    fn begin(snapshotter: &'s Snapshotter) -> Self {
        let since = snapshotter.ports.clock.now_ms();
        snapshotter.running.set(Some(since));
        snapshotter.runs.set(snapshotter.runs.get().saturating_add(1));
        Self { snapshotter, since }
    }
}

impl Drop for RunInFlight<'_> {
    fn drop(&mut self) {
        let Snapshotter { running, runs, known, .. } = self.snapshotter;
        // One that was taken for dead leaves its successor alone.
        if running.get() == Some(self.since) {
            running.set(None);
        }
        runs.set(runs.get().saturating_sub(1));
        known.replace(None);
    }
}

/// The plan on its way, for the hot tier.
struct PlanOnItsWay(ColdCatalog);

impl PlannedSegments for PlanOnItsWay {
    fn planned_before(&self) -> Result<Option<i64>> {
        let stored = self.0.plan()?.filter(|plan| !plan.committed);
        stored.map(|stored| Plan::from_text(&stored.plan).map(|plan| plan.segments_before)).transpose()
    }
}

/// What upkeep of the bucket takes away, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Named snapshots.
    pub snapshots: usize,
    /// The sequence up to which archived events have expired.
    pub expired_events: Sequence,
    /// Objects that this instance has deleted.
    pub deleted_objects: u64,
    /// Files of the tables' current states,
    pub files: u64,
    /// and their bytes.
    pub file_bytes: u64,
}

/// Archives one object.
pub struct Snapshotter {
    pub(super) ports: Ports,
    pub(super) config: StorageConfig,
    /// Where readers read files; what is archived is read from the bucket itself.
    reads: Option<Rc<dyn ObjectStore>>,
    pub(super) hot: Rc<HotStore>,
    pub(super) catalog: ColdCatalog,
    known: RefCell<Option<Known>>,
    /// When the run in flight started.
    running: Cell<Option<Timestamp>>,
    /// Runs that have not ended, one that was taken for dead among them.
    runs: Cell<usize>,
    failures: Cell<u32>,
    /// When to try again after the last failure.
    not_before: Cell<Option<Timestamp>>,
    /// Since when changes wait, as far as this instance knows.
    changes_since: Cell<Option<Timestamp>>,
    /// The log's byte count when the last plan was made.
    planned_bytes: Cell<u64>,
    /// The collections that had files to be merged when they were last published.
    pub(super) merge_due: RefCell<Vec<CollectionId>>,
    /// Whether columns were declared that a table may not have yet; `None` when that is not known.
    pub(super) declared: Cell<Option<bool>>,
    /// The jobs of the object.
    pub(super) jobs: Rc<Jobs>,
    /// What the restore with this id reads.
    pub(super) source: RefCell<Option<(Uuid, Rc<Source>)>>,
    /// When something expires next, at the earliest; `None` when that is not looked up.
    pub(super) expiries: Cell<Option<Expiries>>,
    /// Objects of the bucket that this instance has deleted because nothing reaches them.
    pub(super) deleted_objects: Cell<u64>,
}

impl Snapshotter {
    /// Archives `hot` over the ports. Readers read from `reads`, which is the bucket or a way to it.
    pub fn new(ports: Ports, config: StorageConfig, hot: Rc<HotStore>, reads: Option<Rc<dyn ObjectStore>>) -> Self {
        let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
        hot.set_planned_segments(Rc::new(PlanOnItsWay(catalog.clone())));
        let jobs = Rc::new(Jobs::new(Rc::clone(&ports.sql)));
        hot.set_write_gate(jobs.clone());
        Self {
            catalog,
            reads: reads.or_else(|| ports.objects.clone()),
            ports,
            config,
            hot,
            known: RefCell::new(None),
            running: Cell::new(None),
            runs: Cell::new(0),
            failures: Cell::new(0),
            not_before: Cell::new(None),
            changes_since: Cell::new(None),
            planned_bytes: Cell::new(0),
            merge_due: RefCell::default(),
            declared: Cell::new(None),
            jobs,
            source: RefCell::default(),
            expiries: Cell::new(None),
            deleted_objects: Cell::new(0),
        }
    }

    /// When the alarm is due; `None` when there is nothing to archive, or no bucket to archive to.
    pub fn next_alarm(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        if self.ports.objects.is_none() {
            return Ok(None);
        }
        Ok(due_ms(&self.config.snapshots, &self.pending(now)?, now))
    }

    /// When to try again should the run that is about to start not end well.
    pub fn retry_alarm(&self, now: Timestamp) -> Timestamp {
        let stored = self.catalog.plan().ok().flatten();
        let plan = stored.and_then(|stored| Plan::from_text(&stored.plan).ok());
        retry_ms(self.failures.get(), plan.map(|plan| plan.timestamp), now)
    }

    fn pending(&self, now: Timestamp) -> Result<Pending> {
        let known = self.known()?;
        if self.hot.log().last_sequence()? > known.progress.archived {
            if self.changes_since.get().is_none() {
                self.changes_since.set(Some(now));
            }
        } else {
            self.changes_since.set(None);
        }
        Ok(Pending {
            changes_since: self.changes_since.get(),
            bytes: self.hot.log().appended_bytes().saturating_sub(self.planned_bytes.get()),
            unpublished: known.unpublished,
            published_at: known.progress.published_at,
            merge: !self.merge_due.borrow().is_empty() && self.running_restore()?.is_none(),
            declared: self.declared.get() == Some(true),
            planned: known.planned.then(|| retry_ms(self.failures.get(), None, now)),
            garbage_at: known.garbage_at,
            expiry_at: known.expiry_at,
            not_before: self.not_before.get(),
        })
    }

    pub(super) fn known(&self) -> Result<Known> {
        if let Some(known) = *self.known.borrow() {
            return Ok(known);
        }
        let committed = self.catalog.plan()?.map(|plan| plan.committed);
        let known = Known {
            progress: self.catalog.progress()?,
            planned: committed == Some(false),
            unpublished: committed == Some(true),
            garbage_at: self.catalog.next_garbage()?,
            expiry_at: self.next_named_expiry(self.ports.clock.now_ms())?,
        };
        self.known.replace(Some(known));
        Ok(known)
    }

    /// Whether the alarm that fires now may be one for archiving: it is due, or what waits was noted before this instance
    /// woke.
    pub fn is_alarm_due(&self, now: Timestamp) -> Result<bool> {
        self.declared_due()?;
        let noted = self.changes_since.get().is_some();
        Ok(self.next_alarm(now)?.is_some_and(|due| due <= now || !noted))
    }

    /// The alarm's run: archives what waits, publishes when the interval allows.
    pub async fn alarm(&self) -> Result<()> {
        if self.in_flight() {
            return Ok(());
        }
        self.guarded(Caller::Alarm).await.map(|_| ())
    }

    /// The alarm's run, at once: after the one in flight.
    pub async fn run_now(&self) -> Result<()> {
        self.bucket()?;
        self.until_idle().await;
        self.guarded(Caller::Alarm).await.map(|_| ())
    }

    /// What upkeep takes away: how much of it is there, or was taken.
    pub fn upkeep(&self) -> Result<Upkeep> {
        let (files, file_bytes) = self.catalog.stored()?;
        Ok(Upkeep {
            snapshots: self.catalog.named()?.len(),
            expired_events: self.catalog.expired()?.through,
            deleted_objects: self.deleted_objects.get(),
            files,
            file_bytes,
        })
    }

    /// Whether a bucket is bound.
    pub fn has_bucket(&self) -> bool {
        self.ports.objects.is_some()
    }

    /// Archives and publishes everything committed before this call. Joins a run in flight first.
    pub async fn sync(&self, force: bool) -> Result<SyncResult> {
        self.bucket()?;
        let started = self.ports.clock.now_ms();
        let before = self.published()?.sequence;
        let wanted = self.hot.log().last_sequence()?;
        let mut bytes_written = 0u64;
        for _ in 0..SYNC_ROUNDS {
            self.until_idle().await;
            let lags = self.declared_due()?;
            if self.published()?.sequence >= wanted
                && !lags
                && !(force && bytes_written == 0 && self.known()?.unpublished)
            {
                break;
            }
            bytes_written = bytes_written.saturating_add(self.guarded(Caller::Sync).await?);
        }
        let after = self.published()?.sequence;
        if after < wanted {
            return Err(StorageError::new(
                ErrorKind::Unavailable,
                StorageTier::Cold,
                "sync",
                format!("expected the published state to reach sequence {wanted}, got {after}; try again"),
            ));
        }
        Ok(SyncResult {
            changes_synced: after.saturating_sub(before),
            bytes_written,
            duration_ms: self.ports.clock.now_ms().saturating_sub(started),
            new_cursor: after,
        })
    }

    /// Waits for the run in flight.
    pub(super) async fn until_idle(&self) {
        while self.in_flight() {
            self.ports.clock.sleep_ms(JOIN_POLL_MS).await;
        }
    }

    pub(super) fn in_flight(&self) -> bool {
        let now = self.ports.clock.now_ms();
        self.running.get().is_some_and(|since| now.saturating_sub(since) < RUN_MAX_MS)
    }

    pub(super) async fn guarded(&self, caller: Caller) -> Result<u64> {
        let _run = RunInFlight::begin(self);
        let result = self.run(caller).await;
        match &result {
            Ok(_) => {
                self.failures.set(0);
                self.not_before.set(None);
            }
            Err(_) => {
                self.not_before.set(Some(self.retry_alarm(self.ports.clock.now_ms())));
                self.failures.set(self.failures.get().saturating_add(1));
            }
        }
        result
    }

    /// A name for what a plan makes, and the time.
    pub(super) fn new_attempt(&self) -> Result<(Uuid, Timestamp)> {
        let now = self.ports.clock.now_ms();
        Ok((uuid_v7(self.ports.ids.as_ref(), now)?, now))
    }

    /// Notes that the catalogue may say something else from now on.
    pub(super) fn catalog_changed(&self) {
        self.known.replace(None);
    }

    /// Notes that there may be a plan that archives what waits.
    pub(super) fn plan_made(&self) {
        self.catalog_changed();
        self.changes_since.set(None);
        self.planned_bytes.set(self.hot.log().appended_bytes());
    }

    pub(super) fn bucket(&self) -> Result<Rc<dyn ObjectStore>> {
        self.ports.objects.clone().ok_or_else(no_bucket)
    }

    /// The bucket, for readers.
    pub(super) fn reads(&self) -> Result<Rc<dyn ObjectStore>> {
        self.reads.clone().ok_or_else(no_bucket)
    }

    /// Makes the catalogue of an object whose events up to some are gone for good, within a transaction.
    pub fn begin_after(&self, gone: ExpiredEvents) -> Result<()> {
        self.catalog.create_after(gone)
    }

    /// Whether some run has not ended, however long ago it began.
    pub fn has_runs(&self) -> bool {
        self.runs.get() > 0
    }

    /// Whether a run is on its way.
    pub fn is_running(&self) -> bool {
        self.in_flight()
    }

    /// Keeps the change log within its bounds where no bucket takes it over.
    pub fn bound_log(&self) -> Result<()> {
        if self.ports.objects.is_some() {
            return Ok(());
        }
        let age_ms = self.config.cdc.max_age_days.saturating_mul(DAY_MS);
        let oldest = self.ports.clock.now_ms().saturating_sub(age_ms);
        self.hot.bound_log(self.config.cdc.max_bytes, oldest, self.ports.clock.now_ms())
    }
}

fn no_bucket() -> StorageError {
    StorageError::new(
        ErrorKind::Unavailable,
        StorageTier::Cold,
        "open bucket",
        "expected an R2 bucket bound as COLD, got none; bind one in wrangler.toml to archive and to read archives",
    )
}
