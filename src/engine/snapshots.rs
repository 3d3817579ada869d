//! Named snapshots of the object.

use uuid::Uuid;

use super::Engine;
use crate::error::Result;
use crate::snapshots::named::unknown;
use crate::types::snapshot::Snapshot;

pub use crate::snapshots::{LABEL_MAX_BYTES, SnapshotRequest};

impl Engine {
    /// Makes a snapshot of everything committed so far.
    pub async fn create_snapshot(&self, request: &SnapshotRequest) -> Result<Snapshot> {
        let object = self.name()?;
        self.learn_alarm().await?;
        self.hot.transaction(|| self.hot.ensure_object(&object, self.now_ms()))?;
        let made = self.snapshotter.create_snapshot(request).await;
        self.schedule_archive().await?;
        made
    }

    /// Snapshots with versions above one, `limit` at most, by version.
    pub fn snapshots(&self, after: i64, limit: usize) -> Result<Vec<Snapshot>> {
        let known = self.snapshotter.snapshots()?.into_iter().filter(|snapshot| snapshot.version > after).take(limit);
        known.filter_map(|snapshot| self.snapshotter.snapshot_of_version(snapshot.version).transpose()).collect()
    }

    /// One snapshot.
    pub fn snapshot(&self, id: Uuid) -> Result<Snapshot> {
        self.snapshotter.snapshot(id)?.ok_or_else(|| unknown(id))
    }

    /// Deletes a snapshot that nothing needs.
    pub async fn delete_snapshot(&self, id: Uuid) -> Result<()> {
        self.learn_alarm().await?;
        let deleted = self.snapshotter.delete_snapshot(id).await;
        self.schedule_archive().await?;
        deleted
    }
}
