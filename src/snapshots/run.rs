//! One run: a plan is made, staged, committed and published, and what it left behind is collected.

use std::rc::Rc;

use super::expiry::Expiries;
use super::plan::{Plan, declared_since};
use super::publish::Publish;
use super::schedule::publishable_ms;
use super::snapshotter::{Caller, Snapshotter};
use super::stage::{Stage, Staged};
use crate::cold::TableKind;
use crate::cold::catalog::{TableId, UNTIL_PUBLISHED};
use crate::cold::expiry::{self, ExpiredEvents};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::R2_SAME_KEY_INTERVAL_MS;
use crate::ports::{ObjectStore, uuid_v7};
use crate::types::names::ObjectName;
use crate::types::{StorageTier, Timestamp};

/// Deletions of garbage in one run.
const GARBAGE_ROUNDS: usize = 32;

impl Snapshotter {
    /// One run: the plan on its way is brought to its end, or a new one is made. Returns the bytes put.
    pub(super) async fn run(&self, caller: Caller) -> Result<u64> {
        let objects = self.bucket()?;
        let Some(record) = self.hot.object_record()? else { return Ok(0) };
        let stored = self.catalog.plan()?;
        let committed = stored.as_ref().is_some_and(|plan| plan.committed);
        let plan = match stored {
            Some(stored) => Some(Plan::from_text(&stored.plan)?),
            None => self.make_plan()?,
        };
        let mut bytes_written = 0;
        if let Some(plan) = &plan {
            if !committed {
                bytes_written = self.stage_and_commit(plan, &record.name, &objects).await?;
            }
            if !self.may_publish(caller).await? {
                // What is due is not left for a run that only waits.
                self.collect_garbage(objects.as_ref()).await?;
                return Ok(bytes_written);
            }
            bytes_written = bytes_written.saturating_add(self.publish(plan, &record.name, &objects).await?);
        }
        // Between two merges what waits is archived: many may be due, one a run.
        let is_turn = !plan.is_some_and(|plan| plan.is_upkeep()) || self.nothing_waits()?;
        // Whoever waits for an answer is not kept by it. It is published by the next run.
        if caller == Caller::Alarm
            && is_turn
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
        let due = plan.merges_due(&self.hot, &self.catalog, self.config.cold.target_file_bytes)?;
        let mut known = self.merge_due.borrow_mut();
        known.retain(|collection| !due.contains(collection));
        known.extend(due);
        drop(known);
        self.hot.trim_log(plan.through, self.ports.clock.now_ms())?;
        Ok(publish.bytes_written)
    }

    /// Notes which events have left the log without being archived, as when no bucket was bound: who asks for the past
    /// before the state that is archived now is told that it is gone.
    pub(super) fn note_lost(&self, now: Timestamp) -> Result<()> {
        let through = self.hot.log().first_sequence()?.saturating_sub(1);
        if through <= self.catalog.progress()?.archived {
            return Ok(());
        }
        self.hot.transaction(|| self.catalog.set_expired(ExpiredEvents { through, timestamp: now }))
    }

    fn make_plan(&self) -> Result<Option<Plan>> {
        let (attempt, now) = self.new_attempt()?;
        self.note_lost(now)?;
        let plan = Plan::make(&self.hot, &self.catalog, attempt, now)?;
        self.plan_made();
        if plan.is_some() || !self.declared_due()? {
            return Ok(plan);
        }
        let plan = Plan::make_evolution(&self.hot, &self.catalog, attempt, now)?;
        self.declared.set(None);
        self.catalog_changed();
        Ok(plan)
    }

    /// Whether columns were declared that a table does not have yet.
    pub(super) fn declared_due(&self) -> Result<bool> {
        if self.declared.get().is_none() {
            self.declared.set(Some(!declared_since(&self.hot, &self.catalog)?.is_empty()));
        }
        Ok(self.declared.get() == Some(true))
    }

    /// Looks again whether a table is to get other columns; the caller has declared some.
    pub fn definitions_changed(&self) -> Result<bool> {
        self.declared.set(None);
        self.declared_due()
    }

    /// Notes which declarations the tables follow now, within the transaction that commits them.
    fn note_declared(&self, plan: &Plan, staged: &Staged) -> Result<()> {
        let followed = self.catalog.declared()?;
        for planned in &plan.collections {
            let table = TableId { collection: planned.id, kind: TableKind::State };
            let follows = planned.evolve || (!planned.thin && staged.tables.iter().any(|staged| staged.id == table));
            let checksum = planned.definition.columns_checksum()?;
            if follows && followed.get(&planned.id).copied().unwrap_or(0) != checksum {
                self.catalog.set_declared(planned.id, checksum)?;
            }
        }
        Ok(())
    }

    /// Whether everything is archived.
    fn nothing_waits(&self) -> Result<bool> {
        Ok(self.hot.log().last_sequence()? <= self.catalog.progress()?.archived)
    }

    /// A plan that deletes expired snapshots, or that merges small files; `None` when there is nothing to do.
    fn make_upkeep(&self) -> Result<Option<Plan>> {
        match self.plan_named_expiry(self.ports.clock.now_ms())? {
            Some(plan) => Ok(Some(plan)),
            None => self.make_merge(),
        }
    }

    /// A plan that merges small files of tables, if any are to be merged. A restore that is in progress goes through the
    /// files that there are: it is waited for.
    fn make_merge(&self) -> Result<Option<Plan>> {
        if self.running_restore()?.is_some() {
            return Ok(None);
        }
        let collections = self.merge_due.take();
        if collections.is_empty() {
            return Ok(None);
        }
        let (attempt, now) = self.new_attempt()?;
        let target_bytes = self.config.cold.target_file_bytes;
        let plan = Plan::make_merge(&self.hot, &self.catalog, &collections, target_bytes, attempt, now)?;
        self.catalog_changed();
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
        self.catalog_changed();
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
            rewritten: Vec::new(),
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
        self.commit(plan, name, staged)?;
        Ok(stage.bytes_written)
    }

    /// Makes the staged states the authority, in one transaction, unless another run of the plan already has.
    fn commit(&self, plan: &Plan, name: &ObjectName, mut staged: Staged) -> Result<()> {
        self.hot.transaction(|| {
            let stored = self.catalog.plan()?.filter(|stored| stored.attempt == plan.attempt && !stored.committed);
            if stored.is_none() {
                return Ok(());
            }
            if plan.is_upkeep() {
                self.replace_segments(&mut staged)?;
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
            self.note_declared(plan, &staged)?;
            self.commit_named(plan, name, staged.snapshot.as_ref())?;
            if plan.is_expiry() {
                let gone = staged.tables.iter().flat_map(|table| &table.removed).map(|file| &file.file.file);
                self.catalog.set_expired(expiry::through(gone))?;
            }
            self.catalog.set_archived(plan.through)?;
            self.catalog.mark_committed()?;
            self.hot.plan_ended()
        })?;
        self.catalog_changed();
        self.declared.set(None);
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
        self.catalog_changed();
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
                let deleted = u64::try_from(free.len()).unwrap_or(u64::MAX);
                self.deleted_objects.set(self.deleted_objects.get().saturating_add(deleted));
            }
            let again = self.ports.clock.now_ms().saturating_add(self.config.cold.orphan_min_age_ms);
            self.hot.transaction(|| {
                self.catalog.remove_garbage(garbage.id)?;
                self.catalog.add_garbage(again, &used)
            })?;
        }
        Ok(())
    }
}
