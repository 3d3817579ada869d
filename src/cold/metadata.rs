//! Table metadata, version 2 (spec, "Table Metadata" and Appendix C, "Table Metadata and Snapshots").

use std::collections::BTreeMap;

use serde::Serialize;

use super::paths::location;
use super::schema::{Schema, TableKind};
use super::table::{Snapshot, TableState};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// The id of the one partition field: `month` of the commit time. Partition field ids start at 1000 by the spec.
pub const PARTITION_FIELD_ID: i32 = 1_000;
/// The id of the sort order of data files that are sorted.
pub const SORT_ORDER_ID: i32 = 1;
/// The spec's id for no order.
pub const UNSORTED_ORDER_ID: i32 = 0;
const SPEC_ID: i32 = 0;
const FORMAT_VERSION: i32 = 2;
/// The branch that readers follow.
pub(super) const MAIN: &str = "main";

/// A field of a partition spec.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PartitionField {
    source_id: i32,
    field_id: i32,
    transform: &'static str,
    name: &'static str,
}

/// The fields of the one partition spec of a kind of table.
pub(super) fn partition_fields(kind: TableKind) -> [PartitionField; 1] {
    let (source_id, name) = kind.partition_source();
    [PartitionField { source_id, field_id: PARTITION_FIELD_ID, transform: "month", name }]
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PartitionSpec {
    spec_id: i32,
    fields: [PartitionField; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SortOrder {
    order_id: i32,
    fields: Vec<SortField>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SortField {
    transform: &'static str,
    source_id: i32,
    direction: &'static str,
    null_order: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WireSnapshot<'a> {
    snapshot_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_snapshot_id: Option<i64>,
    sequence_number: i64,
    timestamp_ms: i64,
    manifest_list: String,
    summary: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SnapshotLogEntry {
    snapshot_id: i64,
    timestamp_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MetadataLogEntry {
    metadata_file: String,
    timestamp_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Reference {
    snapshot_id: i64,
    #[serde(rename = "type")]
    reference_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TableMetadata<'a> {
    format_version: i32,
    table_uuid: String,
    location: String,
    last_sequence_number: i64,
    last_updated_ms: i64,
    last_column_id: i32,
    current_schema_id: i32,
    schemas: &'a [Schema],
    default_spec_id: i32,
    partition_specs: [PartitionSpec; 1],
    last_partition_id: i32,
    default_sort_order_id: i32,
    sort_orders: [SortOrder; 2],
    properties: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_snapshot_id: Option<i64>,
    refs: BTreeMap<&'a str, Reference>,
    snapshots: Vec<WireSnapshot<'a>>,
    snapshot_log: Vec<SnapshotLogEntry>,
    metadata_log: Vec<MetadataLogEntry>,
    statistics: [(); 0],
    partition_statistics: [(); 0],
}

/// The metadata file of a table's state.
pub fn to_json(state: &TableState) -> Result<Vec<u8>> {
    let metadata = TableMetadata {
        format_version: FORMAT_VERSION,
        table_uuid: state.uuid.hyphenated().to_string(),
        location: state.location(),
        last_sequence_number: state.last_sequence_number,
        last_updated_ms: state.last_updated_ms,
        last_column_id: state.last_column_id,
        current_schema_id: state.current_schema_id,
        schemas: &state.schemas,
        default_spec_id: SPEC_ID,
        partition_specs: [PartitionSpec { spec_id: SPEC_ID, fields: partition_fields(state.kind) }],
        last_partition_id: PARTITION_FIELD_ID,
        default_sort_order_id: SORT_ORDER_ID,
        sort_orders: sort_orders(state.kind),
        properties: properties(state.kind),
        current_snapshot_id: state.current_snapshot().map(|snapshot| snapshot.snapshot_id),
        refs: references(state),
        snapshots: state.snapshots.iter().map(|snapshot| wire_snapshot(state, snapshot)).collect(),
        snapshot_log: snapshot_log(&state.snapshots),
        metadata_log: metadata_log(state),
        statistics: [],
        partition_statistics: [],
    };
    serde_json::to_vec(&metadata).map_err(|error| {
        let message = "expected metadata that is JSON, got an error of the encoder";
        StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write table metadata", message).caused_by(error)
    })
}

fn sort_orders(kind: TableKind) -> [SortOrder; 2] {
    let ascending =
        SortField { transform: "identity", source_id: kind.sort_source(), direction: "asc", null_order: "nulls-first" };
    [
        SortOrder { order_id: UNSORTED_ORDER_ID, fields: Vec::new() },
        SortOrder { order_id: SORT_ORDER_ID, fields: vec![ascending] },
    ]
}

fn properties(kind: TableKind) -> BTreeMap<&'static str, &'static str> {
    let kind = match kind {
        TableKind::State => "state",
        TableKind::Changes => "changes",
    };
    // The object is the only committer: engines must not expire snapshots or remove files.
    let mut all = BTreeMap::new();
    all.extend([("gc.enabled", "false"), ("thermocline.table", kind), ("write.format.default", "parquet")]);
    all
}

fn references(state: &TableState) -> BTreeMap<&str, Reference> {
    let reference = |snapshot_id: i64, reference_type| Reference { snapshot_id, reference_type };
    let main = state.current_snapshot().map(|snapshot| (MAIN, reference(snapshot.snapshot_id, "branch")));
    let tags = state.tags.iter().map(|(name, id)| (name.as_str(), reference(*id, "tag")));
    let mut all = BTreeMap::new();
    all.extend(tags.chain(main));
    all
}

fn wire_snapshot<'a>(state: &TableState, snapshot: &'a Snapshot) -> WireSnapshot<'a> {
    WireSnapshot {
        snapshot_id: snapshot.snapshot_id,
        parent_snapshot_id: snapshot.parent_snapshot_id,
        sequence_number: snapshot.sequence_number,
        timestamp_ms: snapshot.timestamp_ms,
        manifest_list: location(&state.base_uri, &state.manifest_list_key(snapshot)),
        summary: &snapshot.summary,
        // A schema that is no longer kept is not named; readers then take the current one.
        schema_id: Some(snapshot.schema_id).filter(|id| state.schemas.iter().any(|schema| schema.schema_id == *id)),
    }
}

/// The newest snapshots without a gap. What was current before an expired one is left out, as the spec asks: a reader
/// that looks up a moment of the gap would otherwise take an earlier snapshot for the one of that moment.
fn snapshot_log(snapshots: &[Snapshot]) -> Vec<SnapshotLogEntry> {
    let gap = snapshots.windows(2).rposition(|pair| match pair {
        [before, after] => after.sequence_number != before.sequence_number.saturating_add(1),
        _ => false,
    });
    let logged = snapshots.iter().skip(gap.map_or(0, |gap| gap.saturating_add(1)));
    logged
        .map(|snapshot| SnapshotLogEntry { snapshot_id: snapshot.snapshot_id, timestamp_ms: snapshot.timestamp_ms })
        .collect()
}

fn metadata_log(state: &TableState) -> Vec<MetadataLogEntry> {
    let entry = |logged: &super::table::LoggedMetadata| MetadataLogEntry {
        metadata_file: location(&state.base_uri, &state.path.metadata(logged.version)),
        timestamp_ms: logged.timestamp_ms,
    };
    state.metadata_log.iter().map(entry).collect()
}
