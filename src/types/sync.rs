//! How far the tiers have followed the hot one.

use super::{Sequence, Timestamp};

/// Where each tier stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The last sequence committed in SQLite.
    pub last_hot_sequence: Sequence,
    /// The last sequence whose cache invalidation was applied.
    pub last_warm_sequence: Sequence,
    /// The last sequence that a published Iceberg commit contains.
    pub last_cold_sequence: Sequence,
    /// When that commit was published, in Unix ms.
    pub last_sync_timestamp: Option<Timestamp>,
}

impl SyncState {
    /// Events that no published commit contains yet.
    pub fn pending_changes(&self) -> i64 {
        self.last_hot_sequence.saturating_sub(self.last_cold_sequence)
    }
}

/// What one synchronisation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncResult {
    /// Events archived by this call.
    pub changes_synced: i64,
    /// Bytes put into the bucket.
    pub bytes_written: u64,
    /// Time across the bucket's I/O, in ms.
    pub duration_ms: i64,
    /// The sequence reached by the published state.
    pub new_cursor: Sequence,
}
