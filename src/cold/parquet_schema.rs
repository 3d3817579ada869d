//! Parquet schemas of data files (spec, Appendix A, "Parquet"), and what a file says of itself beside them.
//!
//! The footer's key-value metadata has one entry of ours, [`FILE_NOTES_KEY`], versioned JSON: which string columns hold
//! JSON text, which columns hold fields of other names, and for each row group its stray fields and a checksum a column
//! chunk. So a file tells its documents alone, whatever became of its columns in the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::Result as ParquetResult;
use parquet::schema::types::{ColumnDescriptor, Type, TypePtr};
use serde::{Deserialize, Serialize};

use super::data_file::stray_as_list;
use super::schema::{Field, Schema};
use crate::vortex::{ColumnType, StrayFields};

/// The key under which a file keeps its [`FileNotes`].
pub(super) const FILE_NOTES_KEY: &str = "thermocline";

/// What a data file says of itself beside its Parquet schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileNotes {
    /// [`FileNotes::FORMAT`] or [`FileNotes::FORMAT_FIELDS`].
    pub format: u32,
    /// Field ids of the string columns that hold JSON text.
    pub json_fields: Vec<i32>,
    /// What the locations begin with that the rows name; only of files that name any. The rest is a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_uri: Option<String>,
    /// The documents' fields of the columns that have other names, by field id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<i32, String>,
    /// One a row group.
    pub row_groups: Vec<RowGroupNotes>,
}

/// What is said of one row group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RowGroupNotes {
    /// The fields whose columns do not tell all of their values.
    #[serde(with = "stray_as_list")]
    pub stray: StrayFields,
    /// xxHash64 (seed 0) of each column chunk's bytes, 16 hexadecimal digits each.
    pub checksums: String,
}

impl FileNotes {
    /// The version of files each column of which has its field's name.
    pub const FORMAT: u32 = 1;
    /// The version of files with [`fields`](Self::fields).
    pub const FORMAT_FIELDS: u32 = 2;
}

/// A column of a data file, told by the file alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileColumn {
    /// Its field id.
    pub field_id: i32,
    /// The documents' field that it holds, or its own name.
    pub name: String,
    /// What its values are.
    pub column_type: ColumnType,
    /// Whether every row has a value.
    pub required: bool,
}

/// The Parquet schema of a table's data files.
pub(super) fn message_type(schema: &Schema) -> ParquetResult<TypePtr> {
    let fields: ParquetResult<Vec<TypePtr>> =
        schema.fields.iter().map(|field| primitive(field).map(Arc::new)).collect();
    Ok(Arc::new(Type::group_type_builder("table").with_fields(fields?).build()?))
}

fn primitive(field: &Field) -> ParquetResult<Type> {
    let (physical, logical, length) = match field.field_type {
        ColumnType::Boolean => (PhysicalType::BOOLEAN, None, None),
        ColumnType::Int => (PhysicalType::INT32, None, None),
        ColumnType::Long => (PhysicalType::INT64, None, None),
        ColumnType::Float => (PhysicalType::FLOAT, None, None),
        ColumnType::Double => (PhysicalType::DOUBLE, None, None),
        ColumnType::Date => (PhysicalType::INT32, Some(LogicalType::Date), None),
        ColumnType::Timestamp => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS)), None),
        ColumnType::String | ColumnType::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String), None),
        ColumnType::Binary => (PhysicalType::BYTE_ARRAY, None, None),
        ColumnType::Uuid => (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), Some(16)),
        ColumnType::Decimal { precision, scale } => {
            let logical = LogicalType::decimal(i32::from(scale), i32::from(precision));
            let (physical, length) = decimal_storage(precision);
            (physical, Some(logical), length)
        }
    };
    let mut builder = Type::primitive_type_builder(&field.name, physical)
        .with_repetition(if field.required { Repetition::REQUIRED } else { Repetition::OPTIONAL })
        .with_logical_type(logical)
        .with_id(Some(field.id));
    if let Some(length) = length {
        builder = builder.with_length(length);
    }
    if let ColumnType::Decimal { precision, scale } = field.field_type {
        builder = builder.with_precision(i32::from(precision)).with_scale(i32::from(scale));
    }
    builder.build()
}

/// The smallest storage that holds `precision` digits, as the spec asks, and its length when fixed.
fn decimal_storage(precision: u8) -> (PhysicalType, Option<i32>) {
    match precision {
        0..=9 => (PhysicalType::INT32, None),
        10..=18 => (PhysicalType::INT64, None),
        _ => (PhysicalType::FIXED_LEN_BYTE_ARRAY, i32::try_from(decimal_length(precision)).ok()),
    }
}

/// Bytes of two's complement that hold every decimal of `precision` digits.
pub(super) fn decimal_length(precision: u8) -> usize {
    let most = 10_u128.saturating_pow(u32::from(precision));
    // One bit more for the sign, rounded up to bytes.
    usize::try_from((u128::BITS - most.leading_zeros()) / 8 + 1).unwrap_or(16).min(16)
}

/// What a column of a file is; `None` when no file of ours has such a column.
pub(super) fn file_column(descriptor: &ColumnDescriptor, notes: &FileNotes) -> Option<FileColumn> {
    let basic = descriptor.self_type().get_basic_info();
    let flat = descriptor.max_rep_level() == 0 && descriptor.path().parts().len() == 1;
    if !flat || !basic.has_id() {
        return None;
    }
    let field_id = basic.id();
    let column_type = match (descriptor.physical_type(), descriptor.logical_type_ref()) {
        (PhysicalType::BOOLEAN, None) => ColumnType::Boolean,
        (PhysicalType::INT32, None) => ColumnType::Int,
        (PhysicalType::INT64, None) => ColumnType::Long,
        (PhysicalType::FLOAT, None) => ColumnType::Float,
        (PhysicalType::DOUBLE, None) => ColumnType::Double,
        (PhysicalType::INT32, Some(LogicalType::Date)) => ColumnType::Date,
        (PhysicalType::INT64, Some(LogicalType::Timestamp(_))) => ColumnType::Timestamp,
        (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)) if notes.json_fields.contains(&field_id) => {
            ColumnType::Json
        }
        (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)) => ColumnType::String,
        (PhysicalType::BYTE_ARRAY, None) => ColumnType::Binary,
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)) if descriptor.type_length() == 16 => {
            ColumnType::Uuid
        }
        (_, Some(LogicalType::Decimal(_))) => decimal(descriptor)?,
        _ => return None,
    };
    let required = descriptor.max_def_level() == 0;
    let name = notes.fields.get(&field_id).map_or_else(|| descriptor.name(), String::as_str).to_owned();
    Some(FileColumn { field_id, name, column_type, required })
}

fn decimal(descriptor: &ColumnDescriptor) -> Option<ColumnType> {
    let precision = u8::try_from(descriptor.type_precision()).ok()?;
    let scale = u8::try_from(descriptor.type_scale()).ok()?;
    let (physical, length) = decimal_storage(precision);
    let stored =
        descriptor.physical_type() == physical && length.is_none_or(|length| length == descriptor.type_length());
    let valid = (1..=38).contains(&precision) && scale <= precision && stored;
    valid.then_some(ColumnType::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use parquet::schema::types::SchemaDescriptor;

    use super::*;

    #[test]
    fn every_type_is_told_by_the_file_alone() {
        let types = [
            "bool",
            "int",
            "long",
            "float",
            "double",
            "decimal(1,0)",
            "decimal(9,2)",
            "decimal(10,2)",
            "decimal(18,0)",
            "decimal(19,4)",
            "decimal(38,38)",
            "date",
            "timestamp",
            "string",
            "uuid",
            "binary",
            "json",
        ];
        let mut schema = Schema::changes();
        schema.fields = types
            .iter()
            .zip(5..)
            .map(|(name, id)| Field {
                id,
                name: format!("f.{name}"),
                required: id % 2 == 0,
                field_type: name.parse().unwrap(),
            })
            .collect();
        let json_fields =
            schema.fields.iter().filter(|field| field.field_type == ColumnType::Json).map(|field| field.id);
        let notes = FileNotes { format: FileNotes::FORMAT, json_fields: json_fields.collect(), ..FileNotes::default() };
        let descriptor = SchemaDescriptor::new(message_type(&schema).unwrap());
        for (field, column) in schema.fields.iter().zip(descriptor.columns()) {
            let told = file_column(column, &notes).unwrap();
            assert_eq!(
                (told.field_id, told.name, told.column_type, told.required),
                (field.id, field.name.clone(), field.field_type, field.required)
            );
        }
    }

    #[test]
    fn fixed_decimals_have_the_spec_s_lengths() {
        // The table of the spec's Avro and Parquet appendices: the least bytes for a precision.
        let lengths = [
            (19, 9),
            (21, 9),
            (22, 10),
            (23, 10),
            (24, 11),
            (26, 11),
            (28, 12),
            (31, 13),
            (33, 14),
            (36, 16),
            (38, 16),
        ];
        for (precision, length) in lengths {
            assert_eq!(decimal_length(precision), length, "{precision}");
        }
    }
}
