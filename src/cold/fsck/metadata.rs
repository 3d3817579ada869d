//! The version hint, and the metadata by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::files::kind_of;
use super::{Invariant, Walk};
use crate::cold::read::metadata::{NestedField, Snapshot, TableMetadata};
use crate::cold::read::table::hint_version;
use crate::cold::read::{PrimitiveType, Table};
use crate::error::Result;
use crate::ports::StoredObject;

const MAIN: &str = "main";
/// Bytes of a version hint.
const HINT_MAX_BYTES: u64 = 64;
const METADATA_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Opens the table by its hint; `None` when that cannot be, which is found then.
pub(super) async fn open(walk: &mut Walk<'_>) -> Option<Table> {
    let folder = walk.check.folder;
    let hint_key = format!("{folder}/metadata/version-hint.text");
    let hint = walk.objects.get(&hint_key, Some(0..HINT_MAX_BYTES)).await;
    let Some(version) = hint_of(&hint) else {
        let got = match hint {
            Ok(None) => "none".to_owned(),
            Ok(Some(other)) => format!("{:?}", String::from_utf8_lossy(&other.bytes)),
            Err(error) => error.to_string(),
        };
        walk.report.find(Invariant::HintNamesMetadata, &hint_key, "a version number", got);
        return None;
    };
    let key = format!("{folder}/metadata/v{version}.metadata.json");
    let bytes = match walk.objects.get(&key, Some(0..METADATA_MAX_BYTES)).await {
        Ok(Some(object)) => object.bytes,
        Ok(None) => {
            walk.report.find(Invariant::HintNamesMetadata, &key, "the metadata file that the hint names", "none");
            return None;
        }
        Err(error) => {
            walk.report.find_error(Invariant::MetadataIsReadable, &key, "a metadata file", &error);
            return None;
        }
    };
    match TableMetadata::parse(&key, &bytes) {
        Err(error) => {
            walk.report.find_error(Invariant::MetadataIsReadable, &key, "table metadata of format version 2", &error);
            None
        }
        Ok(metadata) => match Table::from_metadata(folder, &key, metadata, walk.check.expected) {
            Err(error) => {
                walk.report.find_error(Invariant::MetadataIsOfTheTable, &key, "the metadata of this table", &error);
                None
            }
            Ok(table) => Some(table),
        },
    }
}

fn hint_of(hint: &Result<Option<StoredObject>>) -> Option<i64> {
    hint_version(&hint.as_ref().ok()?.as_ref()?.bytes)
}

/// Checks what the metadata says of itself.
pub(super) async fn check(walk: &mut Walk<'_>, table: &Table) {
    let metadata = &table.metadata;
    let key = table.metadata_key.as_str();
    for (what, holds) in references(metadata) {
        walk.report.find_unless(holds, Invariant::MetadataResolves, key, what, "none");
    }
    if let Some(got) = unstable_field(metadata) {
        walk.report.find(Invariant::FieldIdsAreStable, key, "a field id for one column for ever", got);
    }
    refs(walk, key, metadata);
    if let Some(got) = disorder(metadata) {
        walk.report.find(Invariant::SnapshotsAreInOrder, key, "snapshots in the order of their commits", got);
    }
    snapshot_log(walk, key, metadata);
    for entry in &metadata.metadata_log {
        let there = match table.key_of(&entry.metadata_file) {
            Ok(key) => walk.size(key).await.is_some(),
            Err(_) => false,
        };
        walk.report.find_unless(there, Invariant::MetadataLogExists, key, &entry.metadata_file, "none");
    }
}

/// What the metadata names within itself, and whether it is there.
fn references(metadata: &TableMetadata) -> Vec<(String, bool)> {
    let schema = metadata.current_schema_id;
    let mut all = vec![
        (format!("the current schema {schema}"), metadata.schema(schema).is_some()),
        (
            format!("the default partition spec {}", metadata.default_spec_id),
            metadata.partition_spec(metadata.default_spec_id).is_some(),
        ),
        (
            format!("the default sort order {}", metadata.default_sort_order_id),
            metadata.sort_orders.iter().any(|order| order.order_id == metadata.default_sort_order_id),
        ),
    ];
    all.extend(metadata.snapshots.iter().filter_map(|snapshot| {
        let id = snapshot.schema_id?;
        Some((format!("the schema {id} of snapshot {}", snapshot.snapshot_id), metadata.schema(id).is_some()))
    }));
    let fields = metadata.schema(schema).into_iter().flat_map(|schema| &schema.identifier_field_ids);
    all.extend(fields.map(|id| {
        let field = metadata.schema(schema).and_then(|schema| schema.field(*id));
        (format!("the required identifier field {id}"), field.is_some_and(|field| field.required))
    }));
    all
}

/// A field id that is twice in a schema, beyond the highest, or of two meanings.
fn unstable_field(metadata: &TableMetadata) -> Option<String> {
    let mut known: BTreeMap<i32, &NestedField> = BTreeMap::new();
    for schema in &metadata.schemas {
        let mut own = BTreeSet::new();
        let mut names = BTreeSet::new();
        for field in &schema.fields {
            if !own.insert(field.id) || !names.insert(field.name.as_str()) {
                return Some(format!("{:?} twice in schema {}", field.name, schema.schema_id));
            }
            if field.id > metadata.last_column_id {
                return Some(format!("field id {} beyond {}", field.id, metadata.last_column_id));
            }
            match known.insert(field.id, field) {
                Some(before) if !same_or_widened(before, field) => {
                    return Some(format!("field id {} as {} and as {}", field.id, before.field_type, field.field_type));
                }
                _ => {}
            }
        }
    }
    None
}

/// Whether two fields of one id may be the same column: one type, or one widened to the other (schemas are not
/// always in the order in which they were current).
fn same_or_widened(left: &NestedField, right: &NestedField) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (left.field_type.primitive(), right.field_type.primitive()) {
        (Some(Int), Some(Long)) | (Some(Long), Some(Int)) => true,
        (Some(Float), Some(Double)) | (Some(Double), Some(Float)) => true,
        (Some(Decimal { scale: left, .. }), Some(Decimal { scale: right, .. })) => left == right,
        _ => left.field_type == right.field_type,
    }
}

fn refs(walk: &mut Walk<'_>, key: &str, metadata: &TableMetadata) {
    for (name, reference) in &metadata.refs {
        let kept = metadata.snapshot(reference.snapshot_id).is_some();
        walk.report.find_unless(
            kept,
            Invariant::RefsResolve,
            key,
            format!("the snapshot {} that {name:?} names", reference.snapshot_id),
            "none",
        );
    }
    let current = metadata.current_snapshot(key);
    let main = metadata.refs.get(MAIN).map(|reference| reference.snapshot_id);
    match current {
        Err(error) => walk.report.find_error(Invariant::RefsResolve, key, "the current snapshot", &error),
        Ok(current) => {
            let current = current.map(|snapshot| snapshot.snapshot_id);
            // Without refs, readers take the current snapshot for `main`.
            let agrees = main == current || metadata.refs.is_empty();
            walk.report.find_unless(
                agrees,
                Invariant::RefsResolve,
                key,
                format!("the branch main at {current:?}"),
                format!("{main:?}"),
            );
        }
    }
}

/// The first thing that is out of order among the snapshots.
fn disorder(metadata: &TableMetadata) -> Option<String> {
    let mut ids = BTreeSet::new();
    if let Some(twice) = metadata.snapshots.iter().find(|snapshot| !ids.insert(snapshot.snapshot_id)) {
        return Some(format!("snapshot {} twice", twice.snapshot_id));
    }
    let mut ordered: Vec<&Snapshot> = metadata.snapshots.iter().collect();
    ordered.sort_by_key(|snapshot| snapshot.sequence_number);
    for (before, after) in ordered.iter().zip(ordered.iter().skip(1)) {
        if before.sequence_number == after.sequence_number {
            return Some(format!("two snapshots with sequence number {}", after.sequence_number));
        }
        if before.timestamp_ms > after.timestamp_ms {
            return Some(format!("snapshot {} made before the one before it", after.snapshot_id));
        }
    }
    if let Some(got) = strange_parent(metadata, &ordered) {
        return Some(got);
    }
    for snapshot in &metadata.snapshots {
        let parent = snapshot.parent_snapshot_id.and_then(|id| metadata.snapshot(id));
        if parent.is_some_and(|parent| parent.sequence_number >= snapshot.sequence_number) {
            return Some(format!("snapshot {} before its parent", snapshot.snapshot_id));
        }
    }
    let highest = ordered.last().map_or(0, |snapshot| snapshot.sequence_number);
    (highest > metadata.last_sequence_number)
        .then(|| format!("sequence number {highest} beyond the table's {}", metadata.last_sequence_number))
}

/// A snapshot whose parent is not the commit before it; only of this program's tables, which have one line of snapshots.
/// Snapshots between kept ones expire, so a parent may be one that is not kept, but only where there is a gap.
fn strange_parent(metadata: &TableMetadata, ordered: &[&Snapshot]) -> Option<String> {
    kind_of(metadata)?;
    let befores = std::iter::once(None).chain(ordered.iter().map(Some));
    befores.zip(ordered).find_map(|(before, snapshot)| {
        let number = snapshot.sequence_number;
        let holds = match (before, snapshot.parent_snapshot_id) {
            (Some(before), parent) if before.sequence_number.saturating_add(1) == number => {
                parent == Some(before.snapshot_id)
            }
            (_, Some(parent)) => number > 1 && metadata.snapshot(parent).is_none(),
            (_, None) => number == 1,
        };
        let parent = snapshot.parent_snapshot_id;
        (!holds).then(|| format!("snapshot {} of sequence number {number} after {parent:?}", snapshot.snapshot_id))
    })
}

/// The newest snapshots, oldest first, up to one whose parent has expired.
fn without_gap(metadata: &TableMetadata, current: Option<&Snapshot>) -> Vec<i64> {
    let parent = |snapshot: &&Snapshot| {
        let parent = metadata.snapshot(snapshot.parent_snapshot_id?)?;
        // So the walk ends, whatever the metadata says.
        Some(parent).filter(|parent| parent.sequence_number < snapshot.sequence_number)
    };
    let mut ids: Vec<i64> = std::iter::successors(current, parent).map(|snapshot| snapshot.snapshot_id).collect();
    ids.reverse();
    ids
}

/// A reader that looks up a moment of a gap would take an earlier snapshot for the one of that moment, so the log begins
/// after it. Of a table with branches it is not known which snapshots were current; this program's have one line of them.
fn snapshot_log(walk: &mut Walk<'_>, key: &str, metadata: &TableMetadata) {
    let log = &metadata.snapshot_log;
    let whole = kind_of(metadata).is_none() || {
        let current = metadata.current_snapshot(key).ok().flatten();
        let logged: Vec<i64> = log.iter().map(|entry| entry.snapshot_id).collect();
        logged == without_gap(metadata, current)
    };
    let current = metadata.current_snapshot(key).ok().flatten().map(|snapshot| snapshot.snapshot_id);
    let last = log.last().map(|entry| entry.snapshot_id);
    let agrees = whole
        && (log.is_empty() || last == current)
        && log.iter().all(|entry| metadata.snapshot(entry.snapshot_id).is_some())
        && log.is_sorted_by_key(|entry| entry.timestamp_ms);
    walk.report.find_unless(
        agrees,
        Invariant::SnapshotLogAgrees,
        key,
        format!("a log without gaps of the kept snapshots up to {current:?}"),
        format!("one of {} up to {last:?}", log.len()),
    );
}
