//! Manifests: the files of a part of a table (spec, "Manifests").
//!
//! What an entry leaves out it has from its manifest's entry in the manifest list (spec, "Manifest Entry Fields" and
//! "Sequence Number Inheritance"): the snapshot that added it, and, for an added file, both sequence numbers.

use std::collections::BTreeMap;

use super::avro::{Record, read_container};
use super::manifest_list::{ManifestContent, ManifestFile};
use crate::error::Result;
use crate::vortex::Scalar;

/// What a manifest says of a file, in its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// An earlier snapshot added it.
    Existing,
    /// This one adds it.
    Added,
    /// This one removes it.
    Deleted,
}

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataContent {
    /// Rows of the table.
    Data,
    /// Positions of deleted rows.
    PositionDeletes,
    /// Values that deleted rows have.
    EqualityDeletes,
}

/// An entry of a manifest, with what it inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestEntry {
    /// What the snapshot does with the file.
    pub status: EntryStatus,
    /// The snapshot that added it or, when deleted, removed it.
    pub snapshot_id: i64,
    /// The data sequence number.
    pub sequence_number: i64,
    /// The sequence number of the snapshot that added the file; `None` where the writer did not tell.
    pub file_sequence_number: Option<i64>,
    /// The partition spec, from the manifest.
    pub partition_spec_id: i32,
    /// The file.
    pub data_file: DataFile,
}

impl ManifestEntry {
    /// Whether the snapshot has the file.
    pub fn is_live(&self) -> bool {
        self.status != EntryStatus::Deleted
    }
}

/// A data or delete file.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// What its rows are.
    pub content: DataContent,
    /// Where it is.
    pub file_path: String,
    /// `PARQUET`, or another.
    pub file_format: String,
    /// Its partition: a value a field of the spec, by field id.
    pub partition: Vec<(i32, Option<Scalar<'static>>)>,
    /// How many rows it has.
    pub record_count: i64,
    /// Its size.
    pub file_size_in_bytes: i64,
    /// Values and nulls of a column, by field id.
    pub value_counts: BTreeMap<i32, i64>,
    /// Nulls of a column, by field id.
    pub null_value_counts: BTreeMap<i32, i64>,
    /// NaN values of a column, by field id.
    pub nan_value_counts: BTreeMap<i32, i64>,
    /// Not greater than any value of a column, by field id.
    pub lower_bounds: BTreeMap<i32, Vec<u8>>,
    /// Not less than any value of a column, by field id.
    pub upper_bounds: BTreeMap<i32, Vec<u8>>,
    /// Where its row groups start.
    pub split_offsets: Vec<i64>,
    /// Fields that an equality delete compares.
    pub equality_ids: Vec<i64>,
    /// How it is sorted.
    pub sort_order_id: Option<i32>,
    /// The one data file that a position-delete file is about.
    pub referenced_data_file: Option<String>,
}

/// Reads the bytes of the manifest `key`, of which the manifest list says `listed`.
pub fn parse(key: &str, bytes: &[u8], listed: &ManifestFile) -> Result<Vec<ManifestEntry>> {
    let container = read_container(key, bytes)?;
    container.records().map(|record| manifest_entry(record?, listed)).collect()
}

fn manifest_entry(record: Record<'_>, listed: &ManifestFile) -> Result<ManifestEntry> {
    let status = match record.long(0, "status")? {
        0 => EntryStatus::Existing,
        1 => EntryStatus::Added,
        2 => EntryStatus::Deleted,
        _ => return Err(record.expected("a status 0, 1 or 2")),
    };
    let inherited = match status {
        EntryStatus::Added => Some(listed.sequence_number),
        // A manifest of version 1: all of its files are older than any delete.
        _ if listed.sequence_number == 0 => Some(0),
        _ => None,
    };
    let sequence_number = record.optional_long(3, "sequence_number")?.or(inherited);
    let sequence_number = sequence_number.filter(|number| *number >= 0);
    let data_file = data_file(record.record(2, "data_file")?)?;
    let fits = (data_file.content == DataContent::Data) == (listed.content == ManifestContent::Data);
    if !fits {
        return Err(record.expected("files of the content that the manifest list says"));
    }
    Ok(ManifestEntry {
        status,
        snapshot_id: record.optional_long(1, "snapshot_id")?.unwrap_or(listed.added_snapshot_id),
        sequence_number: sequence_number
            .ok_or_else(|| record.expected("a sequence number of at least 0 of a file that is not added"))?,
        file_sequence_number: record.optional_long(4, "file_sequence_number")?.or(inherited),
        partition_spec_id: listed.partition_spec_id,
        data_file,
    })
}

fn data_file(record: Record<'_>) -> Result<DataFile> {
    let at_least_0 = |id, name| {
        let value = record.long(id, name)?;
        if value < 0 { Err(record.expected(&format!("{name} of at least 0"))) } else { Ok(value) }
    };
    let content = match record.optional_long(134, "content")?.unwrap_or(0) {
        0 => DataContent::Data,
        1 => DataContent::PositionDeletes,
        2 => DataContent::EqualityDeletes,
        _ => return Err(record.expected("a file's content 0, 1 or 2")),
    };
    Ok(DataFile {
        content,
        file_path: record.string(100, "file_path")?,
        file_format: record.string(101, "file_format")?.to_ascii_uppercase(),
        partition: record.record(102, "partition")?.scalars()?,
        record_count: at_least_0(103, "record_count")?,
        file_size_in_bytes: at_least_0(104, "file_size_in_bytes")?,
        value_counts: counts(record, 109, (119, 120), "value_counts")?,
        null_value_counts: counts(record, 110, (121, 122), "null_value_counts")?,
        nan_value_counts: counts(record, 137, (138, 139), "nan_value_counts")?,
        lower_bounds: bounds(record, 125, (126, 127), "lower_bounds")?,
        upper_bounds: bounds(record, 128, (129, 130), "upper_bounds")?,
        split_offsets: record.longs(132, "split_offsets")?,
        equality_ids: record.longs(135, "equality_ids")?,
        sort_order_id: record.optional_int(140, "sort_order_id")?,
        referenced_data_file: record.optional_string(143, "referenced_data_file")?,
    })
}

/// A map of field ids, which Avro has as a list of pairs (spec, Appendix A, "Avro").
fn pairs<T>(
    record: Record<'_>,
    id: i32,
    key: i32,
    name: &str,
    value: impl Fn(&Record<'_>) -> Result<Option<T>>,
) -> Result<BTreeMap<i32, T>> {
    let mut map = BTreeMap::new();
    for pair in record.records(id, name)? {
        let key = pair.optional_int(key, name)?.ok_or_else(|| pair.expected(&format!("a field id in {name}")))?;
        if let Some(value) = value(&pair)? {
            map.insert(key, value);
        }
    }
    Ok(map)
}

fn counts(record: Record<'_>, id: i32, (key, value): (i32, i32), name: &str) -> Result<BTreeMap<i32, i64>> {
    pairs(record, id, key, name, |pair| pair.optional_long(value, name))
}

fn bounds(record: Record<'_>, id: i32, (key, value): (i32, i32), name: &str) -> Result<BTreeMap<i32, Vec<u8>>> {
    pairs(record, id, key, name, |pair| Ok(pair.optional_bytes(value)))
}
