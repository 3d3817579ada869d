//! Runs plans, one at a time, and reads what they have published.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use uuid::Uuid;

use super::expiry::Expiries;
use super::plan::Plan;
use super::publish::Publish;
use super::restore::job::Jobs;
use super::restore::source::Source;
use super::schedule::{Pending, due_ms, publishable_ms, retry_ms};
use super::stage::{Stage, Staged};
use crate::cold::catalog::{ColdCatalog, Progress, TableId, UNTIL_PUBLISHED, data_files};
use crate::cold::{ChangesRange, ScanStats, TableKind, expiry, scan, scan_changes};
use crate::config::StorageConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, CollectionDefinition, HotStore, PlannedSegments};
use crate::limits::R2_SAME_KEY_INTERVAL_MS;
use crate::ports::{ObjectStore, Ports, uuid_v7};
use crate::types::names::ObjectName;
use crate::types::statistics::ColumnStatistics;
use crate::types::time::DAY_MS;
use crate::types::{CdcEvent, CollectionId, DocumentSink, Sequence, StorageTier, SyncResult, Timestamp};
use crate::vortex::TableSchema;

/// A run that has not ended after this long is taken for dead; another may start, which is safe but wasteful.
const RUN_MAX_MS: i64 = 300_000;
/// Runs that one call of sync may make: one for the plan on its way, one for what came after it, and some to spare.
const SYNC_ROUNDS: usize = 8;
/// How often a call that waits for a run looks whether it has ended, in ms.
const JOIN_POLL_MS: u32 = 20;
/// Deletions of garbage in one run.
const GARBAGE_ROUNDS: usize = 32;

/// What readers of the bucket see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The last sequence in it.
    pub sequence: Sequence,
    /// When it was published.
    pub at: Option<Timestamp>,
}

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
struct Known {
    progress: Progress,
    /// Whether a plan is on its way that is not committed.
    planned: bool,
    unpublished: bool,
    garbage_at: Option<Timestamp>,
    /// When a named snapshot expires.
    expiry_at: Option<Timestamp>,
}

/// Marks a run in flight until it is dropped, also when whoever asked for it goes away.
struct RunInFlight<'s>(&'s Snapshotter);

impl Drop for RunInFlight<'_> {
    fn drop(&mut self) {
        self.0.running.set(None);
        self.0.known.replace(None);
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

/// Archives one object.
pub struct Snapshotter {
    pub(super) ports: Ports,
    pub(super) config: StorageConfig,
    pub(super) hot: Rc<HotStore>,
    pub(super) catalog: ColdCatalog,
    known: RefCell<Option<Known>>,
    /// When the run in flight started.
    running: Cell<Option<Timestamp>>,
    failures: Cell<u32>,
    /// When to try again after the last failure.
    not_before: Cell<Option<Timestamp>>,
    /// Since when changes wait, as far as this instance knows.
    changes_since: Cell<Option<Timestamp>>,
    /// The log's byte count when the last plan was made.
    planned_bytes: Cell<u64>,
    /// The collections that had files to be merged when they were last published.
    merge_due: RefCell<Vec<CollectionId>>,
    /// The jobs of the object.
    pub(super) jobs: Rc<Jobs>,
    /// What the restore with this id reads.
    pub(super) source: RefCell<Option<(Uuid, Rc<Source>)>>,
    /// When something expires next, at the earliest; `None` when that is not looked up.
    pub(super) expiries: Cell<Option<Expiries>>,
}

impl Snapshotter {
    /// Archives `hot` over the ports.
    pub fn new(ports: Ports, config: StorageConfig, hot: Rc<HotStore>) -> Self {
        let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
        hot.set_planned_segments(Rc::new(PlanOnItsWay(catalog.clone())));
        let jobs = Rc::new(Jobs::new(Rc::clone(&ports.sql)));
        hot.set_write_gate(jobs.clone());
        Self {
            catalog,
            ports,
            config,
            hot,
            known: RefCell::new(None),
            running: Cell::new(None),
            failures: Cell::new(0),
            not_before: Cell::new(None),
            changes_since: Cell::new(None),
            planned_bytes: Cell::new(0),
            merge_due: RefCell::default(),
            jobs,
            source: RefCell::default(),
            expiries: Cell::new(None),
        }
    }

    /// What readers of the bucket see.
    pub fn published(&self) -> Result<Published> {
        let progress = self.known()?.progress;
        Ok(Published { sequence: progress.published, at: progress.published_at })
    }

    /// The columns of a collection's table; `None` before its first commit.
    pub fn schema(&self, collection: &Collection) -> Result<Option<TableSchema>> {
        let id = TableId { collection: collection.id, kind: TableKind::State };
        Ok(self.catalog.table(id)?.map(|record| record.columns))
    }

    /// Refuses a definition that the collection's table cannot become.
    pub fn check_definition(&self, name: &str, definition: &CollectionDefinition) -> Result<()> {
        let catalog = self.hot.catalog()?;
        let known = catalog.known(name);
        let mut columns = known.map(|collection| self.schema(collection)).transpose()?.flatten().unwrap_or_default();
        let mut empty = true;
        if let Some(collection) = known.filter(|collection| collection.live) {
            columns.declare(&collection.definition.declarations(), true)?;
            empty = self.hot.is_empty(collection)?;
        }
        columns.declare(&definition.declarations(), empty)?;
        Ok(())
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
            merge: !self.merge_due.borrow().is_empty(),
            planned: known.planned.then(|| retry_ms(self.failures.get(), None, now)),
            garbage_at: known.garbage_at,
            expiry_at: known.expiry_at,
            not_before: self.not_before.get(),
        })
    }

    fn known(&self) -> Result<Known> {
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

    /// Archives and publishes everything committed before this call. Joins a run in flight first.
    pub async fn sync(&self, force: bool) -> Result<SyncResult> {
        self.bucket()?;
        let started = self.ports.clock.now_ms();
        let before = self.published()?.sequence;
        let wanted = self.hot.log().last_sequence()?;
        let mut bytes_written = 0u64;
        for _ in 0..SYNC_ROUNDS {
            self.until_idle().await;
            if self.published()?.sequence >= wanted && !(force && bytes_written == 0 && self.known()?.unpublished) {
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
        self.running.set(Some(self.ports.clock.now_ms()));
        let _run = RunInFlight(self);
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

    /// One run: the plan on its way is brought to its end, or a new one is made. Returns the bytes put.
    async fn run(&self, caller: Caller) -> Result<u64> {
        let objects = self.bucket()?;
        let Some(record) = self.hot.object_record()? else { return Ok(0) };
        let stored = self.catalog.plan()?;
        let committed = stored.as_ref().is_some_and(|plan| plan.committed);
        let plan = match stored {
            Some(stored) => Some(Plan::from_text(&stored.plan)?),
            None => self.make_plan()?,
        };
        let mut bytes_written = 0;
        if let Some(plan) = plan {
            if !committed {
                bytes_written = self.stage_and_commit(&plan, &record.name, &objects).await?;
            }
            if !self.may_publish(caller).await? {
                // What is due is not left for a run that only waits.
                self.collect_garbage(objects.as_ref()).await?;
                return Ok(bytes_written);
            }
            bytes_written = bytes_written.saturating_add(self.publish(&plan, &record.name, &objects).await?);
        }
        // Whoever waits for an answer is not kept by it. It is published by the next run.
        if caller == Caller::Alarm
            && let Some(upkeep) = self.make_upkeep()?
        {
            let written = self.stage_and_commit(&upkeep, &record.name, &objects).await?;
            bytes_written = bytes_written.saturating_add(written);
        }
        if caller == Caller::Alarm
            && let Some(expiry) = self.make_expiry()?
        {
            let expired = self.stage_and_commit(&expiry, &record.name, &objects).await?;
            bytes_written = bytes_written.saturating_add(expired);
        }
        self.collect_garbage(objects.as_ref()).await?;
        Ok(bytes_written)
    }

    /// Publishes a committed plan, and ends it. Returns the bytes put.
    async fn publish(&self, plan: &Plan, name: &ObjectName, objects: &Rc<dyn ObjectStore>) -> Result<u64> {
        let mut publish = Publish { catalog: &self.catalog, objects: Rc::clone(objects), name, plan, bytes_written: 0 };
        publish.run().await?;
        self.finish(plan)?;
        let due = plan.merges_due(&self.catalog)?;
        let mut known = self.merge_due.borrow_mut();
        known.retain(|collection| !due.contains(collection));
        known.extend(due);
        drop(known);
        self.hot.trim_log(plan.through, self.ports.clock.now_ms())?;
        Ok(publish.bytes_written)
    }

    /// A name for what a plan makes, and the time.
    pub(super) fn new_attempt(&self) -> Result<(Uuid, Timestamp)> {
        let now = self.ports.clock.now_ms();
        Ok((uuid_v7(self.ports.ids.as_ref(), now)?, now))
    }

    fn make_plan(&self) -> Result<Option<Plan>> {
        let (attempt, now) = self.new_attempt()?;
        let plan = Plan::make(&self.hot, &self.catalog, attempt, now)?;
        self.plan_made();
        Ok(plan)
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

    /// A plan that deletes expired snapshots, or that merges small files; `None` when there is nothing to do.
    fn make_upkeep(&self) -> Result<Option<Plan>> {
        match self.plan_named_expiry(self.ports.clock.now_ms())? {
            Some(plan) => Ok(Some(plan)),
            None => self.make_merge(),
        }
    }

    /// A plan that merges small files of change logs, if any are to be merged.
    fn make_merge(&self) -> Result<Option<Plan>> {
        let collections = self.merge_due.take();
        if collections.is_empty() {
            return Ok(None);
        }
        let (attempt, now) = self.new_attempt()?;
        let plan = Plan::make_merge(&self.hot, &self.catalog, &collections, attempt, now)?;
        self.known.replace(None);
        Ok(plan)
    }

    /// A plan by which events leave the change logs and snapshots the tables, if any are old enough.
    fn make_expiry(&self) -> Result<Option<Plan>> {
        let now = self.ports.clock.now_ms();
        if self.next_expiry()?.is_none_or(|due| due > now) {
            return Ok(None);
        }
        let attempt = uuid_v7(self.ports.ids.as_ref(), now)?;
        let plan = Plan::make_expiry(&self.hot, &self.catalog, self.expiring(now), attempt, now)?;
        self.known.replace(None);
        self.expiries.set(None);
        Ok(plan)
    }

    async fn stage_and_commit(&self, plan: &Plan, name: &ObjectName, objects: &Rc<dyn ObjectStore>) -> Result<u64> {
        let mut stage = Stage {
            hot: &self.hot,
            catalog: &self.catalog,
            objects: Rc::clone(objects),
            clock: Rc::clone(&self.ports.clock),
            config: &self.config.cold,
            infrequent_days: self.config.objects.transition_to_infrequent_days,
            name,
            plan,
            bytes_written: 0,
        };
        let staged = match stage.run().await {
            Ok(staged) => staged,
            // What is not archiving, and can not be done, is not worth that nothing else is archived.
            Err(error) if error.kind() == ErrorKind::Conflict || (plan.is_dispensable() && !error.is_retryable()) => {
                self.abandon(plan)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.commit(plan, name, &staged)?;
        Ok(stage.bytes_written)
    }

    /// Makes the staged states the authority, in one transaction, unless another run of the plan already has.
    fn commit(&self, plan: &Plan, name: &ObjectName, staged: &Staged) -> Result<()> {
        self.hot.transaction(|| {
            let stored = self.catalog.plan()?.filter(|stored| stored.attempt == plan.attempt && !stored.committed);
            if stored.is_none() {
                return Ok(());
            }
            for table in &staged.tables {
                let current = self.catalog.table(table.id)?.map_or(0, |record| record.state.version);
                if current != table.base_version {
                    return Err(StorageError::new(
                        ErrorKind::Corrupt,
                        StorageTier::Cold,
                        "commit tables",
                        format!("expected a table at version {}, got {current}", table.base_version),
                    ));
                }
                let version = table.built.state.version;
                self.catalog.commit_table(table.id, &table.built.state, &table.columns)?;
                self.catalog.remove_files(table.id, version, &table.removed)?;
                self.catalog.add_files(table.id, version, &table.built.added)?;
                self.catalog.add_garbage(UNTIL_PUBLISHED, &table.built.garbage)?;
            }
            self.commit_named(plan, name, staged.snapshot.as_ref())?;
            if plan.is_expiry() {
                let gone = staged.tables.iter().flat_map(|table| &table.removed).map(|file| &file.file.file);
                self.catalog.set_expired(expiry::through(gone))?;
            }
            self.catalog.set_archived(plan.through)?;
            self.catalog.mark_committed()?;
            self.hot.plan_ended()
        })?;
        self.known.replace(None);
        self.expiries.set(self.expiries.get().filter(Expiries::stay_true));
        Ok(())
    }

    /// Gives up a plan whose objects cannot be made any more; what was put for it is garbage once it is old.
    fn abandon(&self, plan: &Plan) -> Result<()> {
        self.hot.transaction(|| {
            let stored = self.catalog.plan()?.filter(|stored| stored.attempt == plan.attempt && !stored.committed);
            let Some(stored) = stored else { return Ok(()) };
            let not_before = self.ports.clock.now_ms().saturating_add(self.config.cold.orphan_min_age_ms);
            self.catalog.add_garbage(not_before, &stored.staged)?;
            self.catalog.delete_plan()?;
            self.hot.plan_ended()
        })
    }

    async fn may_publish(&self, caller: Caller) -> Result<bool> {
        let now = self.ports.clock.now_ms();
        let published_at = self.catalog.progress()?.published_at;
        match caller {
            Caller::Alarm => Ok(publishable_ms(&self.config.snapshots, published_at, now) <= now),
            Caller::Sync => {
                let pause = published_at.map_or(0, |at| at.saturating_add(R2_SAME_KEY_INTERVAL_MS).saturating_sub(now));
                if let Ok(pause) = u32::try_from(pause)
                    && pause > 0
                {
                    self.ports.clock.sleep_ms(pause).await;
                }
                Ok(true)
            }
        }
    }

    /// Ends a plan that is published, unless another run of it already has.
    fn finish(&self, plan: &Plan) -> Result<()> {
        let now = self.ports.clock.now_ms();
        self.hot.transaction(|| {
            if self.catalog.plan()?.is_some_and(|stored| stored.attempt == plan.attempt) {
                self.catalog.set_published(now)?;
                // Engines may still read what they loaded before.
                self.catalog.release_garbage(now.saturating_add(self.config.cold.orphan_min_age_ms))?;
                self.catalog.delete_plan()?;
            }
            Ok(())
        })?;
        self.known.replace(None);
        Ok(())
    }

    async fn collect_garbage(&self, objects: &dyn ObjectStore) -> Result<()> {
        for _ in 0..GARBAGE_ROUNDS {
            let Some(garbage) = self.catalog.due_garbage(self.ports.clock.now_ms())? else { return Ok(()) };
            let stubs = self.keys_of_stubs()?;
            let (used, free): (Vec<String>, Vec<String>) =
                garbage.keys.into_iter().partition(|key| stubs.contains(key));
            if !free.is_empty() {
                objects.delete(&free).await?;
            }
            let again = self.ports.clock.now_ms().saturating_add(self.config.cold.orphan_min_age_ms);
            self.hot.transaction(|| {
                self.catalog.remove_garbage(garbage.id)?;
                self.catalog.add_garbage(again, &used)
            })?;
        }
        Ok(())
    }

    pub(super) fn bucket(&self) -> Result<Rc<dyn ObjectStore>> {
        self.ports.objects.clone().ok_or_else(|| {
            StorageError::new(
                ErrorKind::Unavailable,
                StorageTier::Cold,
                "open bucket",
                "expected an R2 bucket bound as COLD, got none; bind one in wrangler.toml to archive and to read archives",
            )
        })
    }

    /// Reads the documents of a collection's published table.
    pub async fn scan_published(
        &self,
        collection: &str,
        may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        let objects = self.bucket()?;
        let catalog = self.hot.catalog()?;
        let Some(collection) = catalog.known(collection) else { return Ok(ScanStats::default()) };
        let id = TableId { collection: collection.id, kind: TableKind::State };
        let Some(record) = self.catalog.table(id)? else { return Ok(ScanStats::default()) };
        let files = data_files(self.catalog.files(id, record.published)?);
        scan(objects.as_ref(), &files, &record.columns, None, &|statistics| !may_match(statistics), sink).await
    }

    /// Reads the archived events of a range, collection by collection, each in order. The collections are those that
    /// `wants`; the sink says up to which sequence further ones matter.
    pub async fn scan_archived_changes(
        &self,
        after: Sequence,
        mut until: Sequence,
        wants: &dyn Fn(&str) -> bool,
        sink: &mut dyn FnMut(CdcEvent) -> Result<Sequence>,
    ) -> Result<()> {
        let objects = self.bucket()?;
        let catalog = self.hot.catalog()?;
        for collection in catalog.all().iter().filter(|collection| wants(&collection.name)) {
            let id = TableId { collection: collection.id, kind: TableKind::Changes };
            let Some(record) = self.catalog.table(id)? else { continue };
            let files = data_files(self.catalog.files(id, record.state.version)?);
            let range = ChangesRange { after, until, images: true };
            scan_changes(objects.as_ref(), &files, &collection.name, range, &mut |record| {
                let sequence = record.event.sequence;
                until = sink(record.event)?;
                Ok(if sequence >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .await?;
        }
        Ok(())
    }

    /// Whether a run is on its way.
    pub fn is_running(&self) -> bool {
        self.in_flight()
    }

    /// The last sequence that the committed states contain.
    pub fn archived(&self) -> Result<Sequence> {
        Ok(self.known()?.progress.archived)
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
