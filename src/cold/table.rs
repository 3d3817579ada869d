//! The state of one Iceberg table, from which each commit makes the next.
//!
//! It is stored as versioned JSON in one SQLite row, so it is bounded: the live data files are not in it (they are
//! rows of their own), manifests, snapshots, tags and old metadata versions are few by construction, and schemas are kept
//! within [`SCHEMAS_MAX_BYTES`]. The object is the table's only committer and this state the authority; the metadata
//! file is its published copy.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::data_file::{DataFile, FileContent, LiveFile};
use super::manifest::ManifestFile;
use super::paths::{TablePath, location};
use super::schema::{Schema, TableKind};
use crate::types::Timestamp;
use crate::types::sorting;

/// Manifests of data files in one snapshot; one more and they are merged. One of delete files may be beside them.
pub const MANIFESTS_MAX: usize = 32;
/// Earlier metadata versions that are kept, for readers that still hold one.
pub const METADATA_LOG_MAX: usize = 10;
/// Tags of one table, at most: each keeps a snapshot in the state and in every metadata file.
pub const TAGS_MAX: usize = 256;
/// JSON bytes of the schemas kept beside the current one; snapshots of older ones stay readable by the current.
pub const SCHEMAS_MAX_BYTES: usize = 256 * 1024;

/// A snapshot that readers can still name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: i64,
    /// The snapshot before it.
    pub parent_snapshot_id: Option<i64>,
    /// Its sequence number: 1, 2, 3, ... a commit.
    pub sequence_number: i64,
    /// The version of the state that the commit made; 0 where a state of format 1 does not tell.
    #[serde(default)]
    pub version: i64,
    /// When it was made, in Unix ms.
    pub timestamp_ms: Timestamp,
    /// The commit's attempt, which is part of its objects' keys.
    pub attempt: Uuid,
    /// What the commit did, in the spec's words and the caller's.
    pub summary: BTreeMap<String, String>,
    /// The schema that it was made under.
    pub schema_id: i32,
}

/// A metadata version that was current before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedMetadata {
    /// Its number.
    pub version: i64,
    /// When it was made, in Unix ms.
    #[serde(rename = "timestampMs")]
    pub timestamp_ms: Timestamp,
}

/// An object that the current snapshot does not need any more, but an earlier one that is kept may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredObject {
    /// Its key.
    pub key: String,
    /// The sequence number of the first snapshot that has it.
    pub from: i64,
    /// The sequence number of the first snapshot after that which has it not.
    pub until: i64,
}

/// Counts of the current snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    /// Live data files.
    #[serde(alias = "files")]
    pub data_files: i64,
    /// Live delete files; none in a state of format 1.
    #[serde(default)]
    pub delete_files: i64,
    /// Rows of the data files, deleted ones too.
    pub records: i64,
    /// Rows of the delete files: how many of those are deleted.
    #[serde(default)]
    pub position_deletes: i64,
    /// Bytes of all these files.
    pub bytes: i64,
}

/// The state of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableState {
    /// The version of this stored form, at most [`TableState::FORMAT`]; another is refused. Version 1 has no delete files.
    #[serde(deserialize_with = "known_format::<{ TableState::FORMAT }, _>")]
    pub format: u32,
    /// What the table holds.
    pub kind: TableKind,
    /// The table's identity.
    pub uuid: Uuid,
    /// Where the bucket is, for readers.
    pub base_uri: String,
    /// The table's folder in the bucket.
    pub path: TablePath,
    /// The metadata version that this state is; 0 before the first commit, and never published.
    pub version: i64,
    /// The sequence number of the current snapshot.
    pub last_sequence_number: i64,
    /// When the state was made, in Unix ms.
    pub last_updated_ms: Timestamp,
    /// The highest field id of any schema so far.
    pub last_column_id: i32,
    /// The highest schema id so far.
    pub last_schema_id: i32,
    /// The schema of the current snapshot.
    pub current_schema_id: i32,
    /// The schemas that are kept, by rising id.
    pub schemas: Vec<Schema>,
    /// The snapshots that are kept, oldest first; the last is the current one.
    pub snapshots: Vec<Snapshot>,
    /// Earlier metadata versions that are kept, oldest first.
    pub metadata_log: Vec<LoggedMetadata>,
    /// The ids of the snapshots that have names of their own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, i64>,
    /// The manifests of the current snapshot.
    pub manifests: Vec<ManifestFile>,
    /// What waits for snapshots to expire.
    pub retired: Vec<RetiredObject>,
    /// Counts of the current snapshot.
    pub totals: Totals,
}

/// Reads the version of a stored form, of which those up to `FORMAT` are known.
pub(super) fn known_format<'de, const FORMAT: u32, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        format if (1..=FORMAT).contains(&format) => Ok(format),
        other => Err(serde::de::Error::custom(format!("expected format 1 to {FORMAT}, got {other}"))),
    }
}

impl TableState {
    /// The version of the stored form that this code writes.
    pub const FORMAT: u32 = 2;

    /// A table without snapshots. `base_uri` is `cold.baseUri`.
    pub fn create(uuid: Uuid, base_uri: &str, path: TablePath, kind: TableKind, now: Timestamp) -> Self {
        Self {
            format: Self::FORMAT,
            kind,
            uuid,
            base_uri: base_uri.trim_end_matches('/').to_owned(),
            path,
            version: 0,
            last_sequence_number: 0,
            last_updated_ms: now,
            last_column_id: 0,
            last_schema_id: -1,
            current_schema_id: -1,
            schemas: Vec::new(),
            snapshots: Vec::new(),
            metadata_log: Vec::new(),
            tags: BTreeMap::new(),
            manifests: Vec::new(),
            retired: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Where readers find the table.
    pub fn location(&self) -> String {
        location(&self.base_uri, self.path.as_str())
    }

    /// The snapshot that readers see.
    pub fn current_snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.last()
    }

    /// The schema of the current snapshot.
    pub fn current_schema(&self) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.schema_id == self.current_schema_id)
    }

    /// The key of a snapshot's manifest list.
    pub fn manifest_list_key(&self, snapshot: &Snapshot) -> String {
        self.path.manifest_list(snapshot.snapshot_id, snapshot.attempt)
    }

    /// Whether a commit that adds and removes these files must be told all live files: when manifests must be
    /// rewritten that have further files, and when it touches delete files or could leave one without a data file.
    pub fn needs_live_files(&self, added: &[DataFile], removed: &[LiveFile]) -> bool {
        let is_deletes = |file: &DataFile| file.content == FileContent::PositionDeletes;
        let touches_deletes = added.iter().chain(removed.iter().map(|live| &live.file)).any(is_deletes);
        let has_files = self.manifests.iter().any(|manifest| manifest.live_files() > 0);
        if has_files && (touches_deletes || (self.totals.delete_files > 0 && !removed.is_empty())) {
            return true;
        }
        let rewritten = self.rewritten_manifests(added, removed);
        let files = rewritten.iter().filter_map(|position| self.manifests.get(*position)).map(ManifestFile::live_files);
        i64::try_from(removed.len()).map_or(true, |removed| removed != files.sum::<i64>())
    }

    /// The data manifests that a commit rewrites: those that its removed data files may be in, or all that there are
    /// when there would be too many otherwise.
    pub(super) fn rewritten_manifests(&self, added: &[DataFile], removed: &[LiveFile]) -> Vec<usize> {
        let affected = self.affected_manifests(removed);
        let data = self.manifests.iter().enumerate().filter(|(_, manifest)| manifest.content == FileContent::Data);
        let live = data.clone().filter(|(_, manifest)| manifest.live_files() > 0).count();
        let kept = live.saturating_sub(affected.len());
        let mut added = added.iter().filter(|file| file.content == FileContent::Data).peekable();
        // A change log gets one manifest a commit, a state table one a month.
        let new = match self.kind {
            TableKind::State => sorting::set_of(added.map(|file| file.month)).len(),
            TableKind::Changes => usize::from(added.peek().is_some()),
        };
        let all = || data.map(|(position, _)| position).collect();
        if kept.saturating_add(new) > MANIFESTS_MAX { all() } else { affected }
    }

    /// The data manifests that a commit which removes these files rewrites: those that may have one of them, and those
    /// whose months overlap the months of these, so that every file of these months is in a rewritten manifest.
    fn affected_manifests(&self, removed: &[LiveFile]) -> Vec<usize> {
        let removed = removed.iter().filter(|live| live.file.content == FileContent::Data);
        let mut spans: Vec<(i32, i32)> = removed.map(|live| (live.file.month, live.file.month)).collect();
        let mut affected: Vec<usize> = Vec::new();
        loop {
            let overlaps = |manifest: &ManifestFile| {
                let mut spans = spans.iter();
                spans.any(|(first, last)| manifest.first_month <= *last && *first <= manifest.last_month)
            };
            let found = self.manifests.iter().enumerate().filter(|(position, manifest)| {
                manifest.content == FileContent::Data
                    && manifest.live_files() > 0
                    && !affected.contains(position)
                    && overlaps(manifest)
            });
            let found: Vec<(usize, (i32, i32))> =
                found.map(|(position, manifest)| (position, (manifest.first_month, manifest.last_month))).collect();
            if found.is_empty() {
                affected.sort_unstable();
                return affected;
            }
            affected.extend(found.iter().map(|(position, _)| *position));
            spans.extend(found.into_iter().map(|(_, span)| span));
        }
    }
}
