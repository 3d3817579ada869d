//! What a manifest, and a scan, need to know of a data file (spec, "Manifests", struct `data_file`).
//!
//! A [`DataFile`] is stored beside the table's state, one row a file, as versioned JSON. It carries the checksums by
//! which a reader proves the bytes before it decodes any of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::schema::Schema;
use super::table::known_format;
use crate::vortex::StrayFields;

/// What is known of one column of a data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMetrics {
    /// The field id.
    pub id: i32,
    /// Bytes of its column chunks.
    pub size: i64,
    /// How many of its values are null.
    pub nulls: i64,
    /// How many of its values are NaN; only of floating-point columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nans: Option<i64>,
    /// Not greater than any value, in single-value serialisation.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bytes_as_text")]
    pub lower: Option<Vec<u8>>,
    /// Not less than any value.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bytes_as_text")]
    pub upper: Option<Vec<u8>>,
}

/// What the rows of a file are (spec, "Manifests", field `content`). The numbers are the spec's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileContent {
    /// Rows of the table.
    #[default]
    Data = 0,
    /// Positions of rows of data files of the same partition that are deleted.
    PositionDeletes = 1,
}

/// Neighbouring rows of a data file that its writer knows by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePart {
    /// The number.
    pub number: i64,
    /// How many rows.
    pub rows: i64,
}

/// A Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataFile {
    /// The version of this stored form, at most [`DataFile::FORMAT`]; another is refused. Version 1 has only sorted data
    /// files without parts.
    #[serde(deserialize_with = "known_format::<{ DataFile::FORMAT }, _>")]
    pub format: u32,
    /// What its rows are.
    #[serde(default, skip_serializing_if = "is_data")]
    pub content: FileContent,
    /// Whether all of its rows ascend by the table's sort field; those of a delete file do by path and position.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub sorted: bool,
    /// The parts that its rows are, in their order, where its writer told; otherwise none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<FilePart>,
    /// The object's key in the bucket.
    pub key: String,
    /// The partition: months since January 1970.
    pub month: i32,
    /// How many rows it has.
    pub record_count: i64,
    /// Its size in bytes.
    pub file_size: u64,
    /// xxHash64 (seed 0) of all its bytes.
    pub checksum: u64,
    /// Bytes of the footer at its end, length and magic included.
    pub footer_size: u64,
    /// xxHash64 (seed 0) of those.
    pub footer_checksum: u64,
    /// Where its row groups start.
    pub split_offsets: Vec<i64>,
    /// One a column, in the file's order.
    pub columns: Vec<ColumnMetrics>,
    /// The fields of documents whose values the columns' bounds do not all tell of.
    #[serde(with = "stray_as_list")]
    pub stray: StrayFields,
}

impl DataFile {
    /// The version of the stored form that this code writes.
    pub const FORMAT: u32 = 2;

    /// Whether readers miss values of this file once `schema` is the table's: a column with values whose field id the
    /// schema has no more, because the column was dropped or has another type under a new id. Reading documents back
    /// is not touched by that; foreign readers see null until the file is rewritten. A delete file has no values.
    pub fn loses_values_under(&self, schema: &Schema) -> bool {
        self.content == FileContent::Data
            && self.columns.iter().any(|column| column.nulls < self.record_count && schema.field(column.id).is_none())
    }

    /// The least value of a column of longs; `None` when it is not known.
    pub fn first_of(&self, field_id: i32) -> Option<i64> {
        let lower = self.column(field_id)?.lower.as_deref()?;
        Some(i64::from_le_bytes(lower.try_into().ok()?))
    }

    /// The greatest value of a column of longs; `None` when it is not known.
    pub fn last_of(&self, field_id: i32) -> Option<i64> {
        let upper = self.column(field_id)?.upper.as_deref()?;
        Some(i64::from_le_bytes(upper.try_into().ok()?))
    }

    /// What is known of a column.
    pub fn column(&self, field_id: i32) -> Option<&ColumnMetrics> {
        self.columns.iter().find(|column| column.id == field_id)
    }
}

/// A data file that a snapshot contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveFile {
    /// The file.
    pub file: DataFile,
    /// The snapshot that added it.
    pub snapshot_id: i64,
    /// The sequence number of that snapshot: the file's data and file sequence number.
    pub sequence_number: i64,
}

pub(super) fn is_data(content: &FileContent) -> bool {
    *content == FileContent::Data
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

mod bytes_as_text {
    use super::{Deserialize, Deserializer, Engine, STANDARD, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom)).transpose()
    }
}

/// A list of names; null when they are too many to name.
pub(super) mod stray_as_list {
    use std::collections::BTreeSet;

    use super::{Deserialize, Deserializer, Serialize, Serializer, StrayFields};

    pub(crate) fn serialize<S: Serializer>(stray: &StrayFields, serializer: S) -> Result<S::Ok, S::Error> {
        match stray {
            StrayFields::None => Some(&BTreeSet::<String>::new()).serialize(serializer),
            StrayFields::Some(names) => Some(names).serialize(serializer),
            StrayFields::Any => None::<&BTreeSet<String>>.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StrayFields, D::Error> {
        Ok(match Option::<BTreeSet<String>>::deserialize(deserializer)? {
            None => StrayFields::Any,
            Some(names) if names.is_empty() => StrayFields::None,
            Some(names) => StrayFields::Some(names),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_stored_form_is_compact_and_reads_back() {
        let column = ColumnMetrics { id: 1, size: 40, nulls: 0, nans: None, lower: Some(vec![0, 255]), upper: None };
        let mut file = DataFile {
            format: DataFile::FORMAT,
            content: FileContent::Data,
            sorted: true,
            parts: Vec::new(),
            key: "k".to_owned(),
            month: 650,
            record_count: 2,
            file_size: 500,
            checksum: u64::MAX,
            footer_size: 100,
            footer_checksum: 1,
            split_offsets: vec![4],
            columns: vec![column],
            stray: StrayFields::None,
        };
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(
            text,
            r#"{"format":2,"key":"k","month":650,"recordCount":2,"fileSize":500,"checksum":18446744073709551615,"footerSize":100,"footerChecksum":1,"splitOffsets":[4],"columns":[{"id":1,"size":40,"nulls":0,"lower":"AP8="}],"stray":[]}"#
        );
        assert_eq!(serde_json::from_str::<DataFile>(&text).unwrap(), file);
        assert!(serde_json::from_str::<DataFile>(&text.replace("\"format\":2", "\"format\":3")).is_err());
        let older = serde_json::from_str::<DataFile>(&text.replace("\"format\":2", "\"format\":1")).unwrap();
        assert_eq!(older, DataFile { format: 1, ..file.clone() });
        file.parts = vec![FilePart { number: 7, rows: 2 }];
        file.sorted = false;
        let text = serde_json::to_string(&file).unwrap();
        assert!(text.starts_with(r#"{"format":2,"sorted":false,"parts":[{"number":7,"rows":2}],"key":"k","#), "{text}");
        assert_eq!(serde_json::from_str::<DataFile>(&text).unwrap(), file);
        for stray in [StrayFields::Any, StrayFields::Some(BTreeSet::from(["a".to_owned()]))] {
            file.stray = stray;
            let text = serde_json::to_string(&file).unwrap();
            assert_eq!(serde_json::from_str::<DataFile>(&text).unwrap(), file);
        }
    }
}
