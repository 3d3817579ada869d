//! Manifests: the data files, or the delete files, of a part of a table (spec, "Manifests").
//!
//! A file that its manifest's own commit adds has no sequence numbers here: readers take those of the manifest from
//! the manifest list (spec, "Sequence Number Inheritance"). Existing and deleted files carry theirs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::avro::{Value, optional, record, write_container};
use super::data_file::{ColumnMetrics, DataFile, FileContent, LiveFile, is_data};
use super::metadata::{SORT_ORDER_ID, UNSORTED_ORDER_ID, partition_fields};
use super::paths::location;
use super::schema::{Schema, TableKind};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// What a manifest says of a file, in its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryStatus {
    /// An earlier snapshot added it.
    Existing,
    /// This one adds it.
    Added,
    /// This one removes it.
    Deleted,
}

/// One entry of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub status: EntryStatus,
    pub file: &'a DataFile,
    /// The snapshot that added or, when deleted, removed the file.
    pub snapshot_id: i64,
    /// The data sequence number.
    pub sequence_number: i64,
}

impl<'a> Entry<'a> {
    pub(super) fn added(file: &'a DataFile, snapshot_id: i64, sequence_number: i64) -> Self {
        Self { status: EntryStatus::Added, file, snapshot_id, sequence_number }
    }

    pub(super) fn existing(live: &'a LiveFile) -> Self {
        let LiveFile { file, snapshot_id, sequence_number } = live;
        Self { status: EntryStatus::Existing, file, snapshot_id: *snapshot_id, sequence_number: *sequence_number }
    }

    pub(super) fn deleted(live: &'a LiveFile, snapshot_id: i64) -> Self {
        Self { status: EntryStatus::Deleted, file: &live.file, snapshot_id, sequence_number: live.sequence_number }
    }
}

/// What the manifest list says of a manifest, and the state of a table keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestFile {
    /// What its files are.
    #[serde(default, skip_serializing_if = "is_data")]
    pub content: FileContent,
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub length: i64,
    /// The sequence number of the snapshot that added the manifest.
    pub sequence_number: i64,
    /// The least data sequence number of its live files.
    pub min_sequence_number: i64,
    /// The snapshot that added the manifest.
    pub added_snapshot_id: i64,
    /// Its files by status.
    pub added_files: i32,
    /// Its files by status.
    pub existing_files: i32,
    /// Its files by status.
    pub deleted_files: i32,
    /// Their rows.
    pub added_rows: i64,
    /// Their rows.
    pub existing_rows: i64,
    /// Their rows.
    pub deleted_rows: i64,
    /// The first month of its files.
    pub first_month: i32,
    /// The last month of its files.
    pub last_month: i32,
}

impl ManifestFile {
    /// Files that the snapshot contains.
    pub fn live_files(&self) -> i64 {
        i64::from(self.added_files).saturating_add(i64::from(self.existing_files))
    }

    /// Rows that the snapshot contains.
    pub fn live_rows(&self) -> i64 {
        self.added_rows.saturating_add(self.existing_rows)
    }
}

/// What all manifests of a commit share.
pub(super) struct ManifestContext<'a> {
    pub base_uri: &'a str,
    pub kind: TableKind,
    pub content: FileContent,
    pub schema: &'a Schema,
    pub attempt: Uuid,
    pub snapshot_id: i64,
    pub sequence_number: i64,
}

/// Writes a manifest of `entries`, at least one, under `key`.
pub(super) fn write(
    context: &ManifestContext<'_>,
    key: String,
    entries: &[Entry<'_>],
) -> Result<(ManifestFile, Vec<u8>)> {
    let (_, partition_name) = context.kind.partition_source();
    let avro_schema = manifest_schema(partition_name);
    let content = match context.content {
        FileContent::Data => "data",
        FileContent::PositionDeletes => "deletes",
    };
    let metadata = [
        ("schema", to_json(context.schema)?),
        ("schema-id", context.schema.schema_id.to_string()),
        ("partition-spec", to_json(&partition_fields(context.kind))?),
        ("partition-spec-id", "0".to_owned()),
        ("format-version", "2".to_owned()),
        ("content", content.to_owned()),
    ];
    let records = entries.iter().map(|entry| entry_value(context, partition_name, entry));
    let bytes = write_container(&avro_schema, &metadata, *context.attempt.as_bytes(), records);
    Ok((summarise(context, key, &bytes, entries), bytes))
}

fn summarise(context: &ManifestContext<'_>, key: String, bytes: &[u8], entries: &[Entry<'_>]) -> ManifestFile {
    let of = |status: EntryStatus| entries.iter().filter(move |entry| entry.status == status);
    let files = |status| i32::try_from(of(status).count()).unwrap_or(i32::MAX);
    let rows = |status| of(status).fold(0_i64, |rows, entry| rows.saturating_add(entry.file.record_count));
    let months = || entries.iter().map(|entry| entry.file.month);
    let live = entries.iter().filter(|entry| entry.status != EntryStatus::Deleted);
    ManifestFile {
        content: context.content,
        key,
        length: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        sequence_number: context.sequence_number,
        min_sequence_number: live.map(|entry| entry.sequence_number).min().unwrap_or(context.sequence_number),
        added_snapshot_id: context.snapshot_id,
        added_files: files(EntryStatus::Added),
        existing_files: files(EntryStatus::Existing),
        deleted_files: files(EntryStatus::Deleted),
        added_rows: rows(EntryStatus::Added),
        existing_rows: rows(EntryStatus::Existing),
        deleted_rows: rows(EntryStatus::Deleted),
        first_month: months().min().unwrap_or(0),
        last_month: months().max().unwrap_or(0),
    }
}

fn entry_value(context: &ManifestContext<'_>, partition_name: &str, entry: &Entry<'_>) -> Value {
    let status = match entry.status {
        EntryStatus::Existing => 0,
        EntryStatus::Added => 1,
        EntryStatus::Deleted => 2,
    };
    let inherited = entry.status == EntryStatus::Added;
    let sequence_number = || optional((!inherited).then_some(Value::Long(entry.sequence_number)));
    record([
        ("status", Value::Int(status)),
        ("snapshot_id", optional(Some(Value::Long(entry.snapshot_id)))),
        ("sequence_number", sequence_number()),
        ("file_sequence_number", sequence_number()),
        ("data_file", data_file_value(context, partition_name, entry.file)),
    ])
}

fn data_file_value(context: &ManifestContext<'_>, partition_name: &str, file: &DataFile) -> Value {
    let longs = |value: &dyn Fn(&ColumnMetrics) -> Option<i64>| {
        map(file.columns.iter().filter_map(|column| Some((column.id, Value::Long(value(column)?)))))
    };
    let bytes = |value: &dyn Fn(&ColumnMetrics) -> Option<Vec<u8>>| {
        map(file.columns.iter().filter_map(|column| Some((column.id, Value::Bytes(value(column)?)))))
    };
    let sort_order = match (file.content, file.sorted) {
        // Their order is not one of the table's.
        (FileContent::PositionDeletes, _) => None,
        (FileContent::Data, true) => Some(SORT_ORDER_ID),
        (FileContent::Data, false) => Some(UNSORTED_ORDER_ID),
    };
    let splits = file.split_offsets.iter().copied().map(Value::Long).collect();
    record([
        ("content", Value::Int(content_number(file.content))),
        ("file_path", Value::String(location(context.base_uri, &file.key))),
        ("file_format", Value::String("PARQUET".to_owned())),
        ("partition", record([(partition_name, optional(Some(Value::Int(file.month))))])),
        ("record_count", Value::Long(file.record_count)),
        ("file_size_in_bytes", Value::Long(i64::try_from(file.file_size).unwrap_or(i64::MAX))),
        ("column_sizes", longs(&|column| Some(column.size))),
        ("value_counts", longs(&|_| Some(file.record_count))),
        ("null_value_counts", longs(&|column| Some(column.nulls))),
        ("nan_value_counts", longs(&|column| column.nans)),
        ("lower_bounds", bytes(&|column| column.lower.clone())),
        ("upper_bounds", bytes(&|column| column.upper.clone())),
        ("key_metadata", optional(None)),
        ("split_offsets", optional(Some(Value::Array(splits)))),
        ("equality_ids", optional(None)),
        ("sort_order_id", optional(sort_order.map(Value::Int))),
    ])
}

/// The spec's number of a file's content. That of a manifest of deletes is the same as of a position delete file.
pub(super) fn content_number(content: FileContent) -> i32 {
    match content {
        FileContent::Data => 0,
        FileContent::PositionDeletes => 1,
    }
}

/// A map whose keys are no strings: an array of pairs (spec, Appendix A, "Avro").
fn map(pairs: impl Iterator<Item = (i32, Value)>) -> Value {
    let pairs = pairs.map(|(key, value)| record([("key", Value::Int(key)), ("value", value)]));
    optional(Some(Value::Array(pairs.collect())))
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        let message = "expected a header that is JSON, got an error of the encoder";
        StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write manifest", message).caused_by(error)
    })
}

/// The Avro schema of `manifest_entry`, with the spec's field ids.
fn manifest_schema(partition_name: &str) -> String {
    let map = |key: i32, value: i32, value_type: &str| {
        format!(
            r#"["null",{{"type":"array","logicalType":"map","items":{{"type":"record","name":"k{key}_v{value}","fields":[{{"name":"key","type":"int","field-id":{key}}},{{"name":"value","type":"{value_type}","field-id":{value}}}]}}}}]"#
        )
    };
    let optional = |name: &str, id: i32, value_type: &str| {
        format!(r#"{{"name":"{name}","type":{value_type},"default":null,"field-id":{id}}}"#)
    };
    let required =
        |name: &str, id: i32, value_type: &str| format!(r#"{{"name":"{name}","type":{value_type},"field-id":{id}}}"#);
    let list = |id: i32, items: &str| format!(r#"["null",{{"type":"array","items":"{items}","element-id":{id}}}]"#);
    let partition = format!(
        r#"{{"type":"record","name":"r102","fields":[{}]}}"#,
        optional(partition_name, super::metadata::PARTITION_FIELD_ID, r#"["null","int"]"#)
    );
    let data_file = [
        required("content", 134, r#""int""#),
        required("file_path", 100, r#""string""#),
        required("file_format", 101, r#""string""#),
        required("partition", 102, &partition),
        required("record_count", 103, r#""long""#),
        required("file_size_in_bytes", 104, r#""long""#),
        optional("column_sizes", 108, &map(117, 118, "long")),
        optional("value_counts", 109, &map(119, 120, "long")),
        optional("null_value_counts", 110, &map(121, 122, "long")),
        optional("nan_value_counts", 137, &map(138, 139, "long")),
        optional("lower_bounds", 125, &map(126, 127, "bytes")),
        optional("upper_bounds", 128, &map(129, 130, "bytes")),
        optional("key_metadata", 131, r#"["null","bytes"]"#),
        optional("split_offsets", 132, &list(133, "long")),
        optional("equality_ids", 135, &list(136, "int")),
        optional("sort_order_id", 140, r#"["null","int"]"#),
    ];
    let data_file = format!(r#"{{"type":"record","name":"r2","fields":[{}]}}"#, data_file.join(","));
    let entry = [
        required("status", 0, r#""int""#),
        optional("snapshot_id", 1, r#"["null","long"]"#),
        optional("sequence_number", 3, r#"["null","long"]"#),
        optional("file_sequence_number", 4, r#"["null","long"]"#),
        required("data_file", 2, &data_file),
    ];
    format!(r#"{{"type":"record","name":"manifest_entry","fields":[{}]}}"#, entry.join(","))
}
