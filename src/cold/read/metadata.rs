//! Table metadata, version 2 (spec, "Table Metadata" and Appendix C, "Table Metadata and Snapshots").
//!
//! Parsing proves that the JSON is metadata of this version with numbers in their ranges. Whether what it refers to is
//! there is asked by those who use it ([`TableMetadata::current_schema`] and the others), so that a table of which a
//! part is broken can still be walked.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::objects::unreadable;
use super::types::FieldType;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// The one version that is read.
const FORMAT_VERSION: i64 = 2;
/// What older writers put where there is no snapshot.
const NO_SNAPSHOT: i64 = -1;

/// A table's metadata file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableMetadata {
    /// The table's identity.
    pub table_uuid: Uuid,
    /// Where it lies.
    pub location: String,
    /// The highest sequence number of a snapshot.
    pub last_sequence_number: i64,
    /// When it was written, in Unix ms.
    pub last_updated_ms: i64,
    /// The highest field id.
    pub last_column_id: i32,
    /// The schema of now.
    pub current_schema_id: i32,
    /// Schemas that snapshots or the present name.
    pub schemas: Vec<Schema>,
    /// The partition spec that writers use.
    pub default_spec_id: i32,
    /// All partition specs.
    pub partition_specs: Vec<PartitionSpec>,
    /// The highest partition field id.
    pub last_partition_id: i32,
    /// The sort order that writers use.
    pub default_sort_order_id: i32,
    /// All sort orders.
    pub sort_orders: Vec<SortOrder>,
    /// Settings.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The snapshot of now.
    #[serde(default)]
    pub current_snapshot_id: Option<i64>,
    /// The snapshots that are kept.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// Which snapshot was the current one, and since when.
    #[serde(default)]
    pub snapshot_log: Vec<SnapshotLogEntry>,
    /// Earlier metadata files.
    #[serde(default)]
    pub metadata_log: Vec<MetadataLogEntry>,
    /// Branches and tags.
    #[serde(default)]
    pub refs: BTreeMap<String, SnapshotReference>,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schema {
    /// Its number.
    #[serde(default)]
    pub schema_id: i32,
    /// Fields that tell rows apart.
    #[serde(default)]
    pub identifier_field_ids: Vec<i32>,
    /// Its columns.
    pub fields: Vec<NestedField>,
}

impl Schema {
    /// The column under an id.
    pub fn field(&self, id: i32) -> Option<&NestedField> {
        self.fields.iter().find(|field| field.id == id)
    }
}

/// A column of a schema.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NestedField {
    /// Unique in the table for ever.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Whether every row has a value.
    pub required: bool,
    /// What its values are.
    #[serde(rename = "type")]
    pub field_type: FieldType,
}

/// How rows are put into partitions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionSpec {
    /// Its number.
    pub spec_id: i32,
    /// What a partition has of its rows.
    pub fields: Vec<PartitionField>,
}

/// A field of a partition spec.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionField {
    /// The column.
    pub source_id: i32,
    /// The field's own id.
    pub field_id: i32,
    /// What is made of the column's values, such as `month`.
    pub transform: String,
    /// Its name.
    pub name: String,
}

/// How rows of a file are sorted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SortOrder {
    /// Its number; 0 is unsorted.
    pub order_id: i32,
    /// By which columns.
    pub fields: Vec<SortField>,
}

/// A field of a sort order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SortField {
    /// The column.
    pub source_id: i32,
    /// What is made of its values.
    pub transform: String,
    /// `asc` or `desc`.
    pub direction: String,
}

/// A state of the table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: i64,
    /// The snapshot before it.
    #[serde(default)]
    pub parent_snapshot_id: Option<i64>,
    /// Its place among the table's changes.
    pub sequence_number: i64,
    /// When it was made, in Unix ms.
    pub timestamp_ms: i64,
    /// Where its manifest list is.
    pub manifest_list: String,
    /// What it did.
    #[serde(default)]
    pub summary: BTreeMap<String, String>,
    /// The schema of when it was made.
    #[serde(default)]
    pub schema_id: Option<i32>,
}

impl Snapshot {
    /// A number of the summary; `None` when it is absent or no number.
    pub fn summary_number(&self, name: &str) -> Option<i64> {
        self.summary.get(name).and_then(|text| text.parse().ok())
    }
}

/// An entry of the snapshot log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotLogEntry {
    /// The snapshot.
    pub snapshot_id: i64,
    /// Since when it was the current one, in Unix ms.
    pub timestamp_ms: i64,
}

/// An entry of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetadataLogEntry {
    /// Where the earlier file is.
    pub metadata_file: String,
    /// When it was written, in Unix ms.
    pub timestamp_ms: i64,
}

/// A branch or a tag.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotReference {
    /// The snapshot it names.
    pub snapshot_id: i64,
    /// `branch` or `tag`.
    #[serde(rename = "type")]
    pub reference_type: String,
}

/// What tells the versions apart.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Version {
    format_version: i64,
}

impl TableMetadata {
    /// Reads the bytes of the metadata file `key`.
    pub fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let other = || unreadable(key, "table metadata that is JSON with a format version, got other bytes");
        // As text, which is read by the code that reads all other JSON.
        let text = std::str::from_utf8(bytes).map_err(|error| other().caused_by(error))?;
        let version: Version = serde_json::from_str(text).map_err(|error| other().caused_by(error))?;
        if version.format_version != FORMAT_VERSION {
            let message = format!(
                "{key}: expected table metadata of format version 2, got {}; read it with an engine that knows that version",
                version.format_version
            );
            return Err(StorageError::new(ErrorKind::Invalid, StorageTier::Cold, "read table", message));
        }
        let metadata: Self = serde_json::from_str(text)
            .map_err(|error| unreadable(key, &format!("the fields of table metadata, got {error}")).caused_by(error))?;
        metadata.in_range().map_err(|got| unreadable(key, &format!("numbers in their ranges, got {got}")))?;
        Ok(metadata)
    }

    /// The snapshot of now; `None` for a table without one, an error when its id names none that is kept.
    pub fn current_snapshot(&self, key: &str) -> Result<Option<&Snapshot>> {
        let Some(id) = self.current_snapshot_id.filter(|id| *id != NO_SNAPSHOT) else { return Ok(None) };
        let found = self.snapshot(id);
        found.map(Some).ok_or_else(|| unreadable(key, &format!("the current snapshot {id} to be kept, got none")))
    }

    /// A kept snapshot.
    pub fn snapshot(&self, id: i64) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.snapshot_id == id)
    }

    /// A kept schema.
    pub fn schema(&self, id: i32) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.schema_id == id)
    }

    /// The schema of now.
    pub fn current_schema(&self, key: &str) -> Result<&Schema> {
        let id = self.current_schema_id;
        self.schema(id).ok_or_else(|| unreadable(key, &format!("the current schema {id} among the schemas, got none")))
    }

    /// A partition spec.
    pub fn partition_spec(&self, id: i32) -> Option<&PartitionSpec> {
        self.partition_specs.iter().find(|spec| spec.spec_id == id)
    }

    /// The first number that is out of its range.
    fn in_range(&self) -> std::result::Result<(), String> {
        let snapshots = self.snapshots.iter();
        let numbers = [
            ("last-sequence-number", self.last_sequence_number),
            ("last-updated-ms", self.last_updated_ms),
            ("last-column-id", i64::from(self.last_column_id)),
        ];
        let numbers = numbers.into_iter().chain(snapshots.flat_map(|snapshot| {
            [
                ("a snapshot's sequence-number", snapshot.sequence_number),
                ("a snapshot's timestamp-ms", snapshot.timestamp_ms),
            ]
        }));
        match numbers.into_iter().find(|(_, number)| *number < 0) {
            Some((name, number)) => Err(format!("{name} {number}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"format-version":2,"table-uuid":"0192d3f0-0000-7000-8000-000000000000","location":"s3://b/t",
        "last-sequence-number":0,"last-updated-ms":1,"last-column-id":1,"current-schema-id":0,
        "schemas":[{"type":"struct","schema-id":0,"fields":[{"id":1,"name":"a","required":true,"type":"long"},
        {"id":2,"name":"l","required":false,"type":{"type":"list","element-id":3,"element":"int","element-required":true}}]}],
        "default-spec-id":0,"partition-specs":[{"spec-id":0,"fields":[]}],"last-partition-id":999,
        "default-sort-order-id":0,"sort-orders":[{"order-id":0,"fields":[]}],"current-snapshot-id":-1}"#;

    #[test]
    fn optional_fields_may_be_missing() {
        let metadata = TableMetadata::parse("k", LEAST.as_bytes()).unwrap();
        assert_eq!(metadata.current_snapshot("k").unwrap(), None);
        assert_eq!(metadata.current_schema("k").unwrap().fields.len(), 2);
        assert_eq!(metadata.schemas[0].fields[1].field_type, FieldType::Other("list".to_owned()));
        let null = LEAST.replace(":-1", ":null");
        assert_eq!(TableMetadata::parse("k", null.as_bytes()).unwrap().current_snapshot("k").unwrap(), None);
    }

    #[test]
    fn what_is_no_metadata_of_version_2_is_refused() {
        for (from, to, kind) in [
            ("\"format-version\":2", "\"format-version\":1", ErrorKind::Invalid),
            ("\"format-version\":2", "\"format-version\":3", ErrorKind::Invalid),
            ("\"format-version\":2", "\"format-version\":\"2\"", ErrorKind::Corrupt),
            ("\"last-sequence-number\":0", "\"last-sequence-number\":-1", ErrorKind::Corrupt),
            ("\"last-sequence-number\":0", "\"last-sequence-number\":9223372036854775808", ErrorKind::Corrupt),
            ("\"last-column-id\":1", "\"last-column-id\":4294967296", ErrorKind::Corrupt),
            ("\"table-uuid\":\"0192", "\"table-uuid\":\"x192", ErrorKind::Corrupt),
            ("\"schemas\":[{", "\"schemas\":[7,{", ErrorKind::Corrupt),
            ("{\"format", "\"format", ErrorKind::Corrupt),
        ] {
            let text = LEAST.replacen(from, to, 1);
            assert_ne!(text, LEAST, "{from}");
            let error = TableMetadata::parse("k", text.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.tier()), (kind, StorageTier::Cold), "{to}: {error}");
        }
        for length in 0..LEAST.len() {
            assert!(TableMetadata::parse("k", &LEAST.as_bytes()[..length]).is_err(), "cut at {length}");
        }
        let dangling = LEAST.replace(":-1", ":7").replace("\"current-schema-id\":0", "\"current-schema-id\":9");
        let metadata = TableMetadata::parse("k", dangling.as_bytes()).unwrap();
        assert!(metadata.current_snapshot("k").is_err() && metadata.current_schema("k").is_err());
    }
}
