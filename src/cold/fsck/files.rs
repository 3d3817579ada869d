//! The files of every kept snapshot: that they are there and, when rows are looked at, that they are what their
//! manifests say of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::snapshots::{SnapshotFiles, is_data};
use super::{Depth, Invariant, Walk};
use crate::cold::TableKind;
use crate::cold::read::foreign::Values;
use crate::cold::read::metadata::{NestedField, TableMetadata};
use crate::cold::read::types::compare;
use crate::cold::read::{DataContent, ManifestEntry, Table};
use crate::cold::schema::change_fields;
use crate::error::Result;
use crate::types::time::{MICROS_PER_MILLI, Month};
use crate::vortex::Scalar;
use crate::vortex::schema::{ID_FIELD, SEQUENCE_FIELD};

/// What the rows of a file are, as far as other files are to be compared with them.
#[derive(Clone, Debug, Default)]
pub(super) struct FileFacts {
    /// A hash of each row's id; only of state tables.
    pub ids: Vec<u128>,
    /// Each row's version or sequence; only of this program's tables.
    pub sequences: Vec<i64>,
    /// A hash of all values of each row; only where a `replace` is to be compared with its parent.
    pub rows: Vec<u64>,
    /// What a position-delete file names.
    pub deletes: Vec<(String, i64)>,
}

/// Facts by file path; a file that is broken, or was not decoded, has none.
pub(super) type Facts = BTreeMap<String, FileFacts>;

/// Checks each file once.
pub(super) async fn check(walk: &mut Walk<'_>, table: &Table, snapshots: &[SnapshotFiles<'_>]) -> Facts {
    let mut files: BTreeMap<&str, &Rc<ManifestEntry>> = BTreeMap::new();
    for entry in snapshots.iter().flat_map(SnapshotFiles::live) {
        files.entry(entry.data_file.file_path.as_str()).or_insert(entry);
    }
    let hashed = snapshots.iter().any(SnapshotFiles::is_replace);
    let mut facts = Facts::new();
    for (path, entry) in files {
        let counts = &mut walk.report.counts;
        let counter = if is_data(entry) { &mut counts.data_files } else { &mut counts.delete_files };
        *counter = counter.saturating_add(1);
        if let Some(found) = file(walk, table, path, entry, hashed).await {
            facts.insert(path.to_owned(), found);
        }
    }
    facts
}

async fn file(
    walk: &mut Walk<'_>,
    table: &Table,
    path: &str,
    entry: &ManifestEntry,
    hashed: bool,
) -> Option<FileFacts> {
    let size = match table.key_of(path) {
        Ok(key) => walk.size(key).await,
        Err(_) => None,
    };
    let expected = entry.data_file.file_size_in_bytes;
    if size.and_then(|size| i64::try_from(size).ok()) != Some(expected) {
        let got = size.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
        walk.report.find(Invariant::FileIsThere, path, format!("an object of {expected} bytes"), got);
        return None;
    }
    if walk.check.depth < Depth::Rows {
        return None;
    }
    let read = match entry.data_file.content {
        DataContent::Data => data_file(walk, table, path, entry, hashed).await,
        DataContent::PositionDeletes => delete_file(walk, table, path, entry).await,
        DataContent::EqualityDeletes => return None,
    };
    match read {
        Ok(facts) => Some(facts),
        Err(error) => {
            walk.report.find_error(Invariant::FileIsReadable, path, "a file of this table", &error);
            None
        }
    }
}

async fn delete_file(walk: &mut Walk<'_>, table: &Table, path: &str, entry: &ManifestEntry) -> Result<FileFacts> {
    let deletes = table.position_deletes(walk.objects, entry).await?;
    let sorted = deletes.is_sorted_by(|left, right| left < right);
    let expected = "rows that ascend by path and position, each once";
    walk.report.find_unless(sorted, Invariant::DeletesAreSorted, path, expected, "others");
    Ok(FileFacts { deletes, ..FileFacts::default() })
}

async fn data_file(
    walk: &mut Walk<'_>,
    table: &Table,
    path: &str,
    entry: &ManifestEntry,
    hashed: bool,
) -> Result<FileFacts> {
    let kind = kind_of(&table.metadata);
    let fields = readable_fields(&table.metadata);
    let mut metrics: Vec<Metrics> = fields.iter().map(|field| Metrics::of(field.id, entry)).collect();
    let months = month_sources(&table.metadata, entry);
    let mut order = Order::of(&table.metadata, entry);
    let mut facts = FileFacts::default();
    let file = table.open_file(walk.objects, table.key_of(path)?, entry).await?;
    for group in 0..file.groups() {
        let columns = file.read_group(group, &fields)?;
        for ((field, values), metrics) in fields.iter().zip(&columns).zip(&mut metrics) {
            metrics.add(field, values);
            facts.add(kind, field.id, values);
            order.add(field.id, values);
            for (_, expected) in months.iter().filter(|(source, _)| *source == field.id) {
                let outside = values.iter().find(|value| month(value.as_ref()) != *expected);
                if let Some(outside) = outside {
                    let expected = format!("rows of the month {expected:?} only");
                    walk.report.find(Invariant::RowsAreInPartition, path, expected, format!("{outside:?}"));
                }
            }
        }
        let rows = columns.first().map_or(0, Vec::len);
        if hashed {
            facts.rows.extend((0..rows).map(|row| row_hash(&fields, &columns, row)));
        }
        walk.report.counts.rows = walk.report.counts.rows.saturating_add(u64::try_from(rows).unwrap_or(0));
    }
    for (field, metrics) in fields.iter().zip(metrics) {
        for (expected, got) in metrics.problems(field, entry) {
            walk.report.find(Invariant::MetricsHold, path, expected, got);
        }
    }
    walk.report.find_unless(order.holds, Invariant::RowsAreSorted, path, "rows in their sort order", "others");
    Ok(facts)
}

impl FileFacts {
    fn add(&mut self, kind: Option<TableKind>, field_id: i32, values: &Values) {
        match (kind, field_id) {
            (Some(TableKind::State), ID_FIELD) => self.ids.extend(values.iter().map(|value| hash(value.as_ref()))),
            (Some(TableKind::State), SEQUENCE_FIELD) | (Some(TableKind::Changes), change_fields::SEQUENCE) => {
                self.sequences.extend(values.iter().map(|value| match value {
                    Some(Scalar::Long(sequence)) => *sequence,
                    _ => -1,
                }));
            }
            _ => {}
        }
    }
}

/// What a table of this program holds; `None` for a table of another writer.
pub(super) fn kind_of(metadata: &TableMetadata) -> Option<TableKind> {
    match metadata.properties.get("thermocline.table")?.as_str() {
        "state" => Some(TableKind::State),
        "changes" => Some(TableKind::Changes),
        _ => None,
    }
}

/// The columns of any schema that can be read, as the current one has them where it has.
fn readable_fields(metadata: &TableMetadata) -> Vec<&NestedField> {
    let mut fields: BTreeMap<i32, &NestedField> = BTreeMap::new();
    let current = metadata.schemas.iter().filter(|schema| schema.schema_id == metadata.current_schema_id);
    for field in current.chain(metadata.schemas.iter().rev()).flat_map(|schema| &schema.fields) {
        fields.entry(field.id).or_insert(field);
    }
    fields.into_values().filter(|field| field.field_type.primitive().is_some()).collect()
}

/// A column of a file, beside what its manifest says of it.
struct Metrics {
    nulls: i64,
    nans: i64,
    bounds: [Option<Vec<u8>>; 2],
    /// A value outside each bound.
    outside: [Option<String>; 2],
}

impl Metrics {
    fn of(field_id: i32, entry: &ManifestEntry) -> Self {
        let file = &entry.data_file;
        let bounds = [file.lower_bounds.get(&field_id).cloned(), file.upper_bounds.get(&field_id).cloned()];
        Self { nulls: 0, nans: 0, bounds, outside: [None, None] }
    }

    fn add(&mut self, field: &NestedField, values: &Values) {
        let Some(primitive) = field.field_type.primitive() else { return };
        let nulls = values.iter().filter(|value| value.is_none()).count();
        self.nulls = self.nulls.saturating_add(i64::try_from(nulls).unwrap_or(i64::MAX));
        let nans = values.iter().flatten().filter(|value| is_nan(value)).count();
        self.nans = self.nans.saturating_add(i64::try_from(nans).unwrap_or(i64::MAX));
        let wrong = [Ordering::Greater, Ordering::Less];
        for ((bound, outside), wrong) in self.bounds.iter().zip(&mut self.outside).zip(wrong) {
            let Some(bytes) = bound else { continue };
            let Some(bound) = primitive.from_bytes(bytes) else {
                *outside = Some(format!("a bound that is no value of the type: {bytes:?}"));
                continue;
            };
            let value = values.iter().flatten().find(|value| compare(&bound, value) == Some(wrong));
            if let Some(value) = value {
                *outside = Some(format!("{value:?} beyond {bound:?}"));
            }
        }
    }

    /// What does not hold: expected, and got.
    fn problems(self, field: &NestedField, entry: &ManifestEntry) -> Vec<(String, String)> {
        let file = &entry.data_file;
        let name = &field.name;
        let counts = [
            ("nulls", file.null_value_counts.get(&field.id), self.nulls),
            ("NaN values", file.nan_value_counts.get(&field.id), self.nans),
            ("values", file.value_counts.get(&field.id), file.record_count),
        ];
        let counts = counts.into_iter().filter_map(|(what, said, got)| {
            let said = said.filter(|said| **said != got)?;
            Some((format!("{said} {what} of {name:?}, as the manifest says"), got.to_string()))
        });
        let bounds =
            self.outside.into_iter().flatten().map(|got| (format!("values of {name:?} within its bounds"), got));
        counts.chain(bounds).collect()
    }
}

fn is_nan(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Float(value) => value.is_nan(),
        Scalar::Double(value) => value.is_nan(),
        _ => false,
    }
}

/// Columns whose month the file's partition has, with that month.
fn month_sources(metadata: &TableMetadata, entry: &ManifestEntry) -> Vec<(i32, Option<i32>)> {
    let spec = metadata.partition_spec(entry.partition_spec_id);
    let fields = spec.into_iter().flat_map(|spec| &spec.fields).filter(|field| field.transform == "month");
    fields
        .map(|field| {
            let value = entry.data_file.partition.iter().find(|(id, _)| *id == field.field_id);
            let month = value.and_then(|(_, value)| match value {
                Some(Scalar::Int(month)) => Some(*month),
                _ => None,
            });
            (field.source_id, month)
        })
        .collect()
}

/// The month of a timestamp, as the transform has it.
fn month(value: Option<&Scalar<'_>>) -> Option<i32> {
    match value? {
        Scalar::Long(micros) => Some(Month::of(micros.div_euclid(MICROS_PER_MILLI)).ordinal()),
        Scalar::Int(days) => Some(Month::of(i64::from(*days).saturating_mul(86_400_000)).ordinal()),
        _ => None,
    }
}

/// The first column of a file's sort order.
struct Order {
    /// The column, and in which direction its values do not go.
    source: Option<(i32, Ordering)>,
    last: Option<Scalar<'static>>,
    holds: bool,
}

impl Order {
    fn of(metadata: &TableMetadata, entry: &ManifestEntry) -> Self {
        let id = entry.data_file.sort_order_id.filter(|id| *id != 0);
        let order = id.and_then(|id| metadata.sort_orders.iter().find(|order| order.order_id == id));
        let first = order.and_then(|order| order.fields.first()).filter(|field| field.transform == "identity");
        let wrong = |direction: &str| if direction == "desc" { Ordering::Less } else { Ordering::Greater };
        let source = first.map(|field| (field.source_id, wrong(&field.direction)));
        Self { source, last: None, holds: true }
    }

    fn add(&mut self, field_id: i32, values: &Values) {
        let Some((_, wrong)) = self.source.filter(|(source, _)| *source == field_id) else { return };
        let mut last = self.last.take();
        for value in values.iter().flatten() {
            if last.as_ref().is_some_and(|last| compare(last, value) == Some(wrong)) {
                self.holds = false;
            }
            last = Some(value.clone());
        }
        self.last = last;
    }
}

/// Two rows with the same hash have, but for chance, the same values.
fn row_hash(fields: &[&NestedField], columns: &[Values], row: usize) -> u64 {
    let values = fields.iter().zip(columns).filter_map(|(field, values)| Some((field.id, values.get(row)?.as_ref()?)));
    // Texts are told with quotes, so one value never looks like two.
    values.fold(0, |hash, value| xxh64(format!("{value:?}").as_bytes(), hash))
}

/// Two rows with the same hash have the same id, for any number of rows that fits memory.
fn hash(value: Option<&Scalar<'_>>) -> u128 {
    let Some(Scalar::Text(text)) = value else { return 0 };
    (u128::from(xxh64(text.as_bytes(), 0)) << 64) | u128::from(xxh64(text.as_bytes(), 1))
}
