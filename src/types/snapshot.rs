//! Named snapshots: what is told of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Sequence, Timestamp};

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotType {
    /// The state of every collection.
    Full,
    /// The changes since its parent.
    Incremental,
}

/// A table that a snapshot pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotTable {
    /// The collection's name.
    pub name: String,
    /// Documents of a full snapshot, events of an incremental one.
    pub row_count: i64,
    /// Bytes of the files that hold them.
    pub size_bytes: u64,
    /// The Iceberg snapshot that is kept for it: of the collection's state, or of its change log.
    pub iceberg_snapshot_id: i64,
}

/// Counts of a whole snapshot, and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotMetadata {
    /// What it holds.
    #[serde(rename = "type")]
    pub snapshot_type: SnapshotType,
    /// Bytes of all its files, the manifest among them.
    pub size_bytes: u64,
    /// Documents, or events.
    pub row_count: i64,
    /// The snapshot whose changes it goes on from; of incremental ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Uuid>,
    /// The codec of its Parquet files.
    pub compression: String,
    /// `sha256:` and the hexadecimal digest of its manifest, which tells the checksum of each file.
    pub checksum: String,
}

/// A named snapshot of an object: all its collections after one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its id, which is also the name of the tags that keep it.
    pub id: Uuid,
    /// The object's id.
    pub doc_id: String,
    /// The object's type.
    pub doc_type: String,
    /// When it was made, in Unix ms.
    pub timestamp: Timestamp,
    /// 1 for the object's first snapshot, and one more for each after it; never given again.
    pub version: i64,
    /// The event after which it is the state.
    pub sequence: Sequence,
    /// What whoever made it calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its tables, by collection.
    pub tables: Vec<SnapshotTable>,
    /// Counts of all of it.
    pub metadata: SnapshotMetadata,
}
