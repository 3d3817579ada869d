//! Manifest lists: the manifests of a snapshot (spec, "Manifest Lists").

use super::avro::{Record, read_container};
use crate::error::Result;

/// What a manifest's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ManifestContent {
    /// Data files.
    Data,
    /// Delete files.
    Deletes,
}

/// What a manifest list says of one manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestFile {
    /// Where it is.
    pub manifest_path: String,
    /// Its size in bytes.
    pub manifest_length: i64,
    /// The partition spec of its files.
    pub partition_spec_id: i32,
    /// What its files are.
    pub content: ManifestContent,
    /// The sequence number of the snapshot that added it.
    pub sequence_number: i64,
    /// The least data sequence number of its live files.
    pub min_sequence_number: i64,
    /// The snapshot that added it.
    pub added_snapshot_id: i64,
    /// Its files with status `ADDED`; `None` where the writer did not tell, here and below.
    pub added_files_count: Option<i64>,
    /// Its files with status `EXISTING`.
    pub existing_files_count: Option<i64>,
    /// Its files with status `DELETED`.
    pub deleted_files_count: Option<i64>,
    /// Rows of the added files.
    pub added_rows_count: Option<i64>,
    /// Rows of the existing files.
    pub existing_rows_count: Option<i64>,
    /// Rows of the deleted files.
    pub deleted_rows_count: Option<i64>,
    /// What is known of each partition field, in the spec's order; empty where the writer did not tell.
    pub partitions: Vec<FieldSummary>,
}

/// What is known of the values of a partition field in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSummary {
    /// Whether a file has null there.
    pub contains_null: bool,
    /// Not greater than any value.
    pub lower_bound: Option<Vec<u8>>,
    /// Not less than any value.
    pub upper_bound: Option<Vec<u8>>,
}

impl ManifestFile {
    /// Files that the snapshot has; `None` where the writer did not tell.
    pub fn live_files(&self) -> Option<i64> {
        self.added_files_count?.checked_add(self.existing_files_count?)
    }
}

/// Reads the bytes of the manifest list `key`.
pub fn parse(key: &str, bytes: &[u8]) -> Result<Vec<ManifestFile>> {
    let container = read_container(key, bytes)?;
    container.records().map(|record| manifest_file(record?)).collect()
}

fn manifest_file(record: Record<'_>) -> Result<ManifestFile> {
    let count = |id, name| match record.optional_long(id, name)? {
        Some(count) if count < 0 => Err(record.expected(&format!("{name} of at least 0"))),
        other => Ok(other),
    };
    // Version 1 has neither contents nor sequence numbers; a table that was upgraded still has its manifests.
    let content = match record.optional_long(517, "content")?.unwrap_or(0) {
        0 => ManifestContent::Data,
        1 => ManifestContent::Deletes,
        _ => return Err(record.expected("a manifest's content 0 or 1")),
    };
    Ok(ManifestFile {
        manifest_path: record.string(500, "manifest_path")?,
        manifest_length: record.long(501, "manifest_length")?,
        partition_spec_id: record.optional_int(502, "partition_spec_id")?.unwrap_or(0),
        content,
        sequence_number: count(515, "sequence_number")?.unwrap_or(0),
        min_sequence_number: count(516, "min_sequence_number")?.unwrap_or(0),
        added_snapshot_id: record.long(503, "added_snapshot_id")?,
        added_files_count: count(504, "added_files_count")?,
        existing_files_count: count(505, "existing_files_count")?,
        deleted_files_count: count(506, "deleted_files_count")?,
        added_rows_count: count(512, "added_rows_count")?,
        existing_rows_count: count(513, "existing_rows_count")?,
        deleted_rows_count: count(514, "deleted_rows_count")?,
        partitions: record.records(507, "partitions")?.into_iter().map(field_summary).collect(),
    })
}

fn field_summary(record: Record<'_>) -> FieldSummary {
    FieldSummary {
        contains_null: record.optional_boolean(509).unwrap_or(true),
        lower_bound: record.optional_bytes(510),
        upper_bound: record.optional_bytes(511),
    }
}
