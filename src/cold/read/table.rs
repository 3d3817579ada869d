//! A table in the bucket: found, opened, planned and scanned (spec, "Scan Planning").

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use uuid::Uuid;

use super::foreign::ParquetFile;
use super::manifest::{self, DataContent, ManifestEntry};
use super::manifest_list::{self, ManifestFile};
use super::metadata::{NestedField, Schema, Snapshot, TableMetadata};
use super::objects::{DATA_FILE_MAX_BYTES, METADATA_MAX_BYTES, fetch, unreadable};
use super::types::{FieldType, PrimitiveType};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::ObjectStore;
use crate::types::StorageTier;
use crate::vortex::Scalar;

/// The columns of a position-delete file (spec, "Position Delete Files").
const DELETE_PATH_FIELD: i32 = 2_147_483_546;
const DELETE_POSITION_FIELD: i32 = 2_147_483_545;
/// Positions that the delete files of one snapshot may have.
const POSITIONS_MAX: i64 = 100_000_000;

/// What a caller knows of a table before it is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'e> {
    /// Its identity.
    pub table_uuid: Option<Uuid>,
    /// Where the bucket is, without a slash at the end.
    pub base_uri: Option<&'e str>,
}

/// A table, its metadata read.
#[derive(Clone, Debug)]
pub struct Table {
    /// The key of the metadata file.
    pub metadata_key: String,
    /// What it says.
    pub metadata: TableMetadata,
    base_uri: String,
}

/// A row: a value a field of the schema, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'s> {
    /// The schema's fields.
    pub fields: &'s [NestedField],
    /// Their values.
    pub values: Vec<Option<Scalar<'static>>>,
}

impl Row<'_> {
    /// The value of a field.
    pub fn value(&self, id: i32) -> Option<&Scalar<'static>> {
        let position = self.fields.iter().position(|field| field.id == id)?;
        self.values.get(position)?.as_ref()
    }

    /// The row as a JSON object; see [`PrimitiveType::to_json`].
    pub fn to_json(&self) -> serde_json::Value {
        let pairs = self.fields.iter().zip(&self.values).map(|(field, value)| {
            let primitive = field.field_type.primitive().zip(value.as_ref());
            let json = primitive.map_or(serde_json::Value::Null, |(primitive, value)| primitive.to_json(value));
            (field.name.clone(), json)
        });
        serde_json::Value::Object(pairs.collect())
    }
}

/// A data file of a scan with the delete files that apply to it, by their positions in [`ScanPlan::deletes`].
#[derive(Clone, Debug)]
pub struct ScanFile {
    /// The data file.
    pub entry: ManifestEntry,
    /// The position-delete files.
    pub deletes: Vec<usize>,
}

/// What a scan of a snapshot reads.
#[derive(Clone, Debug, Default)]
pub struct ScanPlan {
    /// The live data files.
    pub files: Vec<ScanFile>,
    /// The live delete files.
    pub deletes: Vec<ManifestEntry>,
}

/// Deleted positions by the path of the data file.
pub type Positions = BTreeMap<String, BTreeSet<i64>>;

impl Table {
    /// Opens the table of a folder by its version hint.
    pub async fn open(objects: &dyn ObjectStore, folder: &str, expected: Expected<'_>) -> Result<Self> {
        let hint_key = format!("{folder}/metadata/version-hint.text");
        let hint = fetch(objects, &hint_key, 64).await?;
        let version = hint_version(&hint).ok_or_else(|| unreadable(&hint_key, "a version number, got other text"))?;
        Self::open_metadata(objects, folder, &format!("{folder}/metadata/v{version}.metadata.json"), expected).await
    }

    /// Opens the table of a folder by one of its metadata files.
    pub async fn open_metadata(
        objects: &dyn ObjectStore,
        folder: &str,
        metadata_key: &str,
        expected: Expected<'_>,
    ) -> Result<Self> {
        let bytes = fetch(objects, metadata_key, METADATA_MAX_BYTES).await?;
        Self::from_metadata(folder, metadata_key, TableMetadata::parse(metadata_key, &bytes)?, expected)
    }

    /// A table whose metadata is read.
    pub fn from_metadata(
        folder: &str,
        metadata_key: &str,
        metadata: TableMetadata,
        expected: Expected<'_>,
    ) -> Result<Self> {
        let location = metadata.location.trim_end_matches('/');
        let base_uri = location.strip_suffix(folder).and_then(|base| base.strip_suffix('/'));
        let base_uri = base_uri.filter(|base| expected.base_uri.is_none_or(|expected| expected == *base));
        let Some(base_uri) = base_uri.map(str::to_owned) else {
            let base = expected.base_uri.unwrap_or("...");
            return Err(unreadable(metadata_key, &format!("the location {base}/{folder}, got {location}")));
        };
        if let Some(uuid) = expected.table_uuid.filter(|uuid| *uuid != metadata.table_uuid) {
            return Err(unreadable(metadata_key, &format!("the table {uuid}, got the table {}", metadata.table_uuid)));
        }
        Ok(Self { metadata_key: metadata_key.to_owned(), metadata, base_uri })
    }

    /// The key of a location; an error for one that is not in this bucket.
    pub fn key_of<'l>(&self, location: &'l str) -> Result<&'l str> {
        let key = location.strip_prefix(&self.base_uri).and_then(|rest| rest.strip_prefix('/'));
        key.filter(|key| !key.is_empty()).ok_or_else(|| {
            unreadable(&self.metadata_key, &format!("locations below {}, got {location}", self.base_uri))
        })
    }

    /// The manifests of a snapshot.
    pub async fn manifests(&self, objects: &dyn ObjectStore, snapshot: &Snapshot) -> Result<Vec<ManifestFile>> {
        let key = self.key_of(&snapshot.manifest_list)?;
        manifest_list::parse(key, &fetch(objects, key, METADATA_MAX_BYTES).await?)
    }

    /// The entries of a manifest.
    pub async fn entries(&self, objects: &dyn ObjectStore, listed: &ManifestFile) -> Result<Vec<ManifestEntry>> {
        let key = self.key_of(&listed.manifest_path)?;
        let bytes = fetch(objects, key, METADATA_MAX_BYTES).await?;
        if i64::try_from(bytes.len()) != Ok(listed.manifest_length) {
            let expected = format!("{} bytes, as its manifest list says, got {}", listed.manifest_length, bytes.len());
            return Err(unreadable(key, &expected));
        }
        manifest::parse(key, &bytes, listed)
    }

    /// What a scan of a snapshot reads.
    pub async fn plan(&self, objects: &dyn ObjectStore, snapshot: &Snapshot) -> Result<ScanPlan> {
        let mut live = Vec::new();
        for listed in self.manifests(objects, snapshot).await? {
            live.extend(self.entries(objects, &listed).await?.into_iter().filter(ManifestEntry::is_live));
        }
        let (data, deletes): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|entry| entry.data_file.content == DataContent::Data);
        if let Some(other) = deletes.iter().find(|entry| entry.data_file.content == DataContent::EqualityDeletes) {
            return Err(unsupported(&other.data_file.file_path, "position deletes, got equality deletes"));
        }
        let files = data.into_iter().map(|entry| {
            let applies = deletes.iter().enumerate().filter(|(_, delete)| applies(delete, &entry));
            ScanFile { deletes: applies.map(|(position, _)| position).collect(), entry }
        });
        Ok(ScanPlan { files: files.collect(), deletes })
    }

    /// The positions that delete files name, one map a file.
    pub async fn positions(&self, objects: &dyn ObjectStore, deletes: &[ManifestEntry]) -> Result<Vec<Positions>> {
        let named = deletes.iter().fold(0_i64, |sum, delete| sum.saturating_add(delete.data_file.record_count));
        if named > POSITIONS_MAX {
            return Err(unsupported(&self.metadata_key, &format!("at most {POSITIONS_MAX} deleted rows, got {named}")));
        }
        let mut all = Vec::new();
        for delete in deletes {
            let mut positions = Positions::new();
            for (path, position) in self.position_deletes(objects, delete).await? {
                positions.entry(path).or_default().insert(position);
            }
            all.push(positions);
        }
        Ok(all)
    }

    /// The rows of a position-delete file, in its order.
    pub async fn position_deletes(
        &self,
        objects: &dyn ObjectStore,
        delete: &ManifestEntry,
    ) -> Result<Vec<(String, i64)>> {
        let fields = [
            delete_field(DELETE_PATH_FIELD, "file_path", PrimitiveType::String),
            delete_field(DELETE_POSITION_FIELD, "pos", PrimitiveType::Long),
        ];
        let mut rows = Vec::new();
        let key = self.key_of(&delete.data_file.file_path)?;
        let file = self.open_file(objects, key, delete).await?;
        for group in 0..file.groups() {
            let columns = file.read_group(group, &fields.iter().collect::<Vec<_>>())?;
            let mut columns = columns.into_iter();
            let (paths, positions) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
            for row in paths.into_iter().zip(positions) {
                match row {
                    (Some(Scalar::Text(path)), Some(Scalar::Long(position))) => {
                        rows.push((path.into_owned(), position))
                    }
                    _ => return Err(unreadable(key, "a path and a position a row, got null")),
                }
            }
        }
        Ok(rows)
    }

    /// A data or delete file, in memory whole, of the size and with as many rows as its manifest says.
    pub async fn open_file<'k>(
        &self,
        objects: &dyn ObjectStore,
        key: &'k str,
        entry: &ManifestEntry,
    ) -> Result<ParquetFile<'k>> {
        let file = &entry.data_file;
        if file.file_format != "PARQUET" {
            return Err(unsupported(key, &format!("a Parquet file, got {}", file.file_format)));
        }
        let bytes = fetch(objects, key, DATA_FILE_MAX_BYTES).await?;
        if i64::try_from(bytes.len()) != Ok(file.file_size_in_bytes) {
            let expected = format!("{} bytes, as its manifest says, got {}", file.file_size_in_bytes, bytes.len());
            return Err(unreadable(key, &expected));
        }
        let parquet = ParquetFile::open(key, bytes)?;
        if parquet.rows() == file.record_count {
            return Ok(parquet);
        }
        Err(unreadable(key, &format!("{} rows, as its manifest says, got {}", file.record_count, parquet.rows())))
    }

    /// Reads the live rows of a snapshot by a schema of the table. The `sink` may end the scan.
    pub async fn scan(
        &self,
        objects: &dyn ObjectStore,
        snapshot: &Snapshot,
        schema: &Schema,
        sink: &mut dyn FnMut(Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let plan = self.plan(objects, snapshot).await?;
        let deleted = self.positions(objects, &plan.deletes).await?;
        for file in &plan.files {
            let path = &file.entry.data_file.file_path;
            let deletes: Vec<&BTreeSet<i64>> =
                file.deletes.iter().filter_map(|delete| deleted.get(*delete)?.get(path)).collect();
            let is_live = |position: i64| !deletes.iter().any(|positions| positions.contains(&position));
            let key = self.key_of(path)?;
            let parquet = self.open_file(objects, key, &file.entry).await?;
            if scan_file(&parquet, &schema.fields, &is_live, sink)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All live rows of the current snapshot by the current schema, as JSON objects.
    pub async fn rows(&self, objects: &dyn ObjectStore) -> Result<Vec<serde_json::Value>> {
        let mut rows = Vec::new();
        let Some(snapshot) = self.metadata.current_snapshot(&self.metadata_key)? else { return Ok(rows) };
        let schema = self.metadata.current_schema(&self.metadata_key)?;
        let mut sink = |row: Row<'_>| {
            rows.push(row.to_json());
            Ok(ControlFlow::Continue(()))
        };
        self.scan(objects, snapshot, schema, &mut sink).await?;
        Ok(rows)
    }
}

fn scan_file(
    file: &ParquetFile<'_>,
    fields: &[NestedField],
    is_live: &dyn Fn(i64) -> bool,
    sink: &mut dyn FnMut(Row<'_>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let wanted: Vec<&NestedField> = fields.iter().collect();
    let mut position = 0_i64;
    for group in 0..file.groups() {
        let columns = file.read_group(group, &wanted)?;
        let rows = columns.first().map_or(0, Vec::len);
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..rows {
            let values = columns.iter_mut().map(|column| column.next().flatten()).collect();
            let live = is_live(position);
            position = position.saturating_add(1);
            if live && sink(Row { fields, values })?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether a position-delete file may have rows of a data file: of the same partition, and not older.
pub fn applies(delete: &ManifestEntry, data: &ManifestEntry) -> bool {
    let referenced = delete.data_file.referenced_data_file.as_ref();
    delete.sequence_number >= data.sequence_number
        && delete.partition_spec_id == data.partition_spec_id
        && delete.data_file.partition == data.data_file.partition
        && referenced.is_none_or(|path| *path == data.data_file.file_path)
}

/// The version that a version hint names.
pub fn hint_version(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    text.parse().ok().filter(|version| *version >= 0)
}

fn delete_field(id: i32, name: &str, primitive: PrimitiveType) -> NestedField {
    NestedField { id, name: name.to_owned(), required: true, field_type: FieldType::Primitive(primitive) }
}

fn unsupported(key: &str, expected: &str) -> StorageError {
    let message = format!("{key}: expected {expected}; read the table with another engine");
    StorageError::new(ErrorKind::Invalid, StorageTier::Cold, "read table", message)
}
