//! Named snapshots: all collections after one event, kept until they are deleted or expire.
//!
//! A snapshot is a plan that also tags: it archives what has changed, and gives the tables' Iceberg snapshots a tag with
//! its id, so that they and their files stay. A full one tags the states of the collections that there are; an incremental
//! one the change logs that have events after its parent. Nothing is copied. What it pins is told by a [`manifest`] in the
//! bucket, which is staged with the plan; the row that makes the snapshot known commits with the tags. Deleting is a plan
//! that removes the tags. A snapshot with incremental ones after it stays as long as they do.

pub mod manifest;
pub mod retention;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::plan::Plan;
use super::restore::job::Task;
use super::snapshotter::{Caller, Snapshotter};
use crate::cold::catalog::{NamedSnapshot, UNTIL_PUBLISHED};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::names::ObjectName;
use crate::types::snapshot::{Snapshot, SnapshotType};
use crate::types::{StorageTier, Timestamp};

/// Runs that one call may make: for plans on their way, for its own, and some to spare.
const ROUNDS: usize = 8;
/// Named snapshots of one object, at most: each is a tag in the metadata of its tables.
pub const SNAPSHOTS_MAX: usize = 250;
/// Bytes of a label.
pub const LABEL_MAX_BYTES: usize = 256;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Everything, or what has changed since the newest snapshot.
    pub snapshot_type: SnapshotType,
    /// What to call it.
    pub label: Option<String>,
}

impl Snapshotter {
    /// Makes a snapshot of everything committed before this call, and publishes it. Joins a run in flight first.
    ///
    /// An error says that it is not known whether there is a snapshot: a plan that was made is brought to its end by the
    /// alarm.
    pub async fn create_snapshot(&self, request: &SnapshotRequest) -> Result<Snapshot> {
        self.bucket()?;
        for _ in 0..ROUNDS {
            if !self.finish_plan().await? {
                continue;
            }
            let attempt = self.plan_snapshot(request)?;
            self.run_plan().await?;
            if let Some(snapshot) = self.snapshot(attempt)? {
                return Ok(snapshot);
            }
        }
        Err(contended("create snapshot"))
    }

    /// Deletes a snapshot that nothing needs. Files that only it kept are garbage from then on.
    pub async fn delete_snapshot(&self, id: Uuid) -> Result<()> {
        self.bucket()?;
        let mut planned = false;
        for _ in 0..ROUNDS {
            if planned && !self.catalog.named()?.iter().any(|snapshot| snapshot.id == id) {
                return Ok(());
            }
            self.check_deletable(id)?;
            if !self.finish_plan().await? {
                continue;
            }
            // In the turn of the plan, as others may have had one meanwhile.
            self.check_deletable(id)?;
            self.plan_forget(&[id])?;
            planned = true;
            self.run_plan().await?;
        }
        Err(contended("delete snapshot"))
    }

    /// The named snapshots, by version.
    pub fn snapshots(&self) -> Result<Vec<NamedSnapshot>> {
        self.catalog.named()
    }

    /// A named snapshot; `None` when there is none with this id.
    pub fn snapshot(&self, id: Uuid) -> Result<Option<Snapshot>> {
        let known = self.catalog.named()?.into_iter().find(|snapshot| snapshot.id == id);
        let Some(known) = known else { return Ok(None) };
        self.snapshot_of_version(known.version)
    }

    /// The named snapshot of a version.
    pub fn snapshot_of_version(&self, version: i64) -> Result<Option<Snapshot>> {
        self.catalog.named_text(version)?.map(|text| from_text(&text)).transpose()
    }

    /// Waits for a run in flight, and brings a plan on its way to its end; `false` when another may be on its way since.
    async fn finish_plan(&self) -> Result<bool> {
        self.until_idle().await;
        if self.catalog.plan()?.is_none() {
            return Ok(true);
        }
        self.run_plan().await?;
        Ok(!self.in_flight() && self.catalog.plan()?.is_none())
    }

    /// Runs the plan on its way. One that had to be given up is no error: another is made.
    async fn run_plan(&self) -> Result<()> {
        match self.guarded(Caller::Sync).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            done => done.map(|_| ()),
        }
    }

    fn plan_snapshot(&self, request: &SnapshotRequest) -> Result<Uuid> {
        if !self.catalog.has_named()? {
            self.hot.transaction(|| self.catalog.create_named())?;
        }
        let (attempt, now) = self.new_attempt()?;
        self.note_lost(now)?;
        let plan = Plan::make_snapshot(&self.hot, &self.catalog, request, attempt, now);
        self.plan_made();
        plan.map(|_| attempt)
    }

    fn plan_forget(&self, ids: &[Uuid]) -> Result<Plan> {
        let (attempt, now) = self.new_attempt()?;
        let plan = Plan::make_forget(&self.hot, &self.catalog, ids, attempt, now);
        self.catalog_changed();
        plan
    }

    /// Notes the snapshot that a plan makes, and forgets those that it deletes, within the transaction of its commit.
    pub(super) fn commit_named(&self, plan: &Plan, name: &ObjectName, made: Option<&Snapshot>) -> Result<()> {
        for id in &plan.forget {
            self.catalog.delete_named(*id)?;
            self.catalog.add_garbage(UNTIL_PUBLISHED, &[manifest::key(name, *id)])?;
        }
        let Some(snapshot) = made else { return Ok(()) };
        let named = NamedSnapshot {
            version: snapshot.version,
            id: snapshot.id,
            timestamp: snapshot.timestamp,
            parent: snapshot.metadata.parent_id,
        };
        let text = serde_json::to_string(snapshot).map_err(|error| {
            let message = "expected a snapshot to become JSON";
            StorageError::new(ErrorKind::Internal, StorageTier::Cold, "store snapshot", message).caused_by(error)
        })?;
        self.catalog.insert_named(&named, &text)
    }

    /// A plan that deletes the snapshots that have expired, but for those that are `held`; `None` when there are none.
    pub(super) fn plan_named_expiry(&self, now: Timestamp) -> Result<Option<Plan>> {
        let named = self.catalog.named()?;
        if named.is_empty() {
            return Ok(None);
        }
        let expired = retention::expired(&named, &self.held_snapshots()?, &self.config.snapshots, now);
        if expired.is_empty() { Ok(None) } else { self.plan_forget(&expired).map(Some) }
    }

    /// When the next snapshot expires.
    pub(super) fn next_named_expiry(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let named = self.catalog.named()?;
        if named.is_empty() {
            return Ok(None);
        }
        Ok(retention::next_expiry(&named, &self.held_snapshots()?, &self.config.snapshots, now))
    }

    fn check_deletable(&self, id: Uuid) -> Result<()> {
        let named = self.catalog.named()?;
        if !named.iter().any(|snapshot| snapshot.id == id) {
            return Err(unknown(id));
        }
        let child = named.iter().find(|snapshot| snapshot.parent == Some(id)).map(|child| child.id);
        let message = match child {
            Some(child) => format!(
                "expected a snapshot that no other needs, got the parent of the incremental snapshot {child}; delete that first"
            ),
            None => match self.held()?.get(&id) {
                Some(job) => format!(
                    "expected a snapshot that nothing reads, got one that the job {job} restores; wait for its end"
                ),
                None => return Ok(()),
            },
        };
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "delete snapshot", message))
    }

    /// The snapshots that must stay, and the jobs that read them: restores on their way, here or at other objects.
    fn held(&self) -> Result<BTreeMap<Uuid, Uuid>> {
        let jobs = self.running_restore()?.into_iter().chain(self.delegated()?);
        let held = jobs.filter_map(|job| match &job.task {
            Task::Restore(restore) => Some((restore.snapshot, job.id)),
            Task::Delegated { snapshot, .. } => Some(((*snapshot)?, job.id)),
        });
        Ok(crate::types::sorting::map_of(held))
    }

    fn held_snapshots(&self) -> Result<BTreeSet<Uuid>> {
        Ok(crate::types::sorting::set_of(self.held()?.into_keys()))
    }
}

/// Reads what is stored of a snapshot.
pub fn from_text(text: &str) -> Result<Snapshot> {
    serde_json::from_str(text).map_err(|error| {
        let message = "expected a snapshot of a known format, got other text";
        StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read snapshot", message).caused_by(error)
    })
}

/// The error for an id that is no snapshot's.
pub fn unknown(id: Uuid) -> StorageError {
    let message = format!("expected the id of a snapshot of this object, got {id}");
    StorageError::new(ErrorKind::NotFound, StorageTier::Cold, "find snapshot", message)
}

fn contended(operation: &'static str) -> StorageError {
    let message = "expected archiving to come to an end, got another run again and again; try again";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, operation, message)
}
