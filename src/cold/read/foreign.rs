//! Parquet files of any writer, by the Iceberg schema (spec, Appendix A, "Parquet"): columns are found by field id, and
//! their values become those of the field's type.
//!
//! For tools and tests only. These files have no checksum that was kept elsewhere, and the decoder underneath may
//! panic on damaged bytes or allocate what they say. What can be bounded beforehand is; a panic is caught and is an
//! error like any other; but memory is not bounded as it is for the object's own reader.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::schema::types::ColumnDescriptor;
use uuid::Uuid;

use super::metadata::NestedField;
use super::objects::unreadable;
use super::types::{FieldType, PrimitiveType};
use crate::cold::parquet_read::{chunk_range, page_reader};
use crate::cold::statistics::big_endian;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::time::MICROS_PER_MILLI;
use crate::vortex::Scalar;

/// Rows of one row group.
const GROUP_MAX_ROWS: i64 = 16 * 1024 * 1024;
/// Bytes that one row group may take decoded.
const GROUP_MAX_DECODED: i64 = 1024 * 1024 * 1024;
const MAGIC: &[u8; 4] = b"PAR1";

/// The values of a column, null where there is none.
pub type Values = Vec<Option<Scalar<'static>>>;

/// A Parquet file in memory, its footer read.
pub struct ParquetFile<'k> {
    key: &'k str,
    bytes: Vec<u8>,
    metadata: ParquetMetaData,
}

impl<'k> ParquetFile<'k> {
    /// Reads the footer of the object `key`.
    pub fn open(key: &'k str, bytes: Vec<u8>) -> Result<Self> {
        let footer = footer(&bytes).ok_or_else(|| unreadable(key, "a Parquet file, got other bytes"))?;
        let metadata = guarded(key, || ParquetMetaDataReader::decode_metadata(footer))?;
        let file = Self { key, bytes, metadata };
        let end = u64::try_from(file.bytes.len()).unwrap_or(0);
        if file.metadata.row_groups().iter().all(|group| is_sound(group, end)) {
            Ok(file)
        } else {
            Err(unreadable(key, "Parquet column chunks inside the file and within bounds, got others"))
        }
    }

    /// How many rows it has.
    pub fn rows(&self) -> i64 {
        self.metadata.row_groups().iter().fold(0, |rows, group| rows.saturating_add(group.num_rows()))
    }

    /// How many row groups it has.
    pub fn groups(&self) -> usize {
        self.metadata.row_groups().len()
    }

    /// Reads columns of a row group: one a field, null where the file is older than the field.
    pub fn read_group(&self, group: usize, fields: &[&NestedField]) -> Result<Vec<Values>> {
        let group = self.metadata.row_groups().get(group);
        let group = group.ok_or_else(|| unreadable(self.key, "as many row groups as the footer says, got fewer"))?;
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            columns.push(self.read_column(group, field)?);
        }
        Ok(columns)
    }

    fn read_column(&self, group: &RowGroupMetaData, field: &NestedField) -> Result<Values> {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let FieldType::Primitive(primitive) = field.field_type else {
            return Err(self.unsupported(field, &format!("a column without parts, got {}", field.field_type)));
        };
        let Some(position) = self.leaf(field)? else {
            return if field.required {
                Err(unreadable(self.key, &format!("a column of the required field {:?}, got none", field.name)))
            } else {
                Ok(vec![None; rows])
            };
        };
        // An empty row group may have chunks that lie nowhere.
        if rows == 0 {
            return Ok(Vec::new());
        }
        let chunk = group.columns().get(position);
        let chunk = chunk.ok_or_else(|| unreadable(self.key, "a column chunk a column, got fewer"))?;
        let range = chunk_range(chunk)
            .and_then(|range| self.bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?));
        let bytes = range.ok_or_else(|| unreadable(self.key, "a column chunk inside the file, got another"))?;
        guarded(self.key, || decode(chunk, primitive, rows, bytes))
            .map_err(|error| error.at(field.name.as_str(), format!("this column, as {}", field.field_type)))
    }

    /// The position of a field's column among the file's; `None` when it has none.
    fn leaf(&self, field: &NestedField) -> Result<Option<usize>> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        let roots = descriptor.root_schema().get_fields();
        if !roots.is_empty() && !roots.iter().any(|root| root.get_basic_info().has_id()) {
            return Err(self.unsupported(field, "columns with field ids, got a file without any"));
        }
        let is_it = |root: &&parquet::schema::types::TypePtr| {
            root.get_basic_info().has_id() && root.get_basic_info().id() == field.id
        };
        let Some(root) = roots.iter().find(is_it) else { return Ok(None) };
        if !root.is_primitive() {
            return Err(self.unsupported(field, "a column without parts, got a nested one"));
        }
        let position = descriptor.columns().iter().position(|column| column.path().parts() == [root.name()]);
        match position.and_then(|position| Some((position, descriptor.columns().get(position)?))) {
            Some((position, column)) if column.max_rep_level() == 0 => Ok(Some(position)),
            _ => Err(self.unsupported(field, "a column without parts, got a repeated one")),
        }
    }

    fn unsupported(&self, field: &NestedField, expected: &str) -> StorageError {
        let message =
            format!("{}, column {:?}: expected {expected}; read the table with another engine", self.key, field.name);
        StorageError::new(ErrorKind::Invalid, StorageTier::Cold, "read table", message)
    }
}

/// Thrift metadata before the length and the magic at the end.
fn footer(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, magic) = bytes.split_last_chunk::<4>()?;
    let (rest, length) = rest.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let footer = rest.get(rest.len().checked_sub(length)?..)?;
    (magic == MAGIC && rest.starts_with(MAGIC)).then_some(footer)
}

fn is_sound(group: &RowGroupMetaData, end: u64) -> bool {
    let decoded =
        group.columns().iter().try_fold(0_i64, |sum, chunk| sum.checked_add(chunk.uncompressed_size().max(0)));
    if group.num_rows() == 0 {
        return true;
    }
    (0..=GROUP_MAX_ROWS).contains(&group.num_rows())
        && decoded.is_some_and(|decoded| decoded <= GROUP_MAX_DECODED)
        && group.columns().iter().all(|chunk| chunk_range(chunk).is_some_and(|range| range.end <= end))
}

/// Runs the decoder on unproved bytes.
fn guarded<T>(key: &str, decode: impl FnOnce() -> ParquetResult<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let expected = format!("Parquet that can be decoded, got an error of the decoder ({error})");
            Err(unreadable(key, &expected).caused_by(error))
        }
        Err(_) => Err(unreadable(key, "Parquet that can be decoded, got bytes on which the decoder panics")),
    }
}

fn decode(chunk: &ColumnChunkMetaData, field: PrimitiveType, rows: usize, bytes: &[u8]) -> ParquetResult<Values> {
    let column = chunk.column_descr();
    let reader = get_column_reader(chunk.column_descr_ptr(), page_reader(chunk, rows, bytes)?);
    match reader {
        ColumnReader::BoolColumnReader(reader) => fill(reader, rows, |value| match field {
            PrimitiveType::Boolean => Some(Scalar::Boolean(*value)),
            _ => None,
        }),
        ColumnReader::Int32ColumnReader(reader) => {
            fill(reader, rows, |value| integer(field, column, i64::from(*value)))
        }
        ColumnReader::Int64ColumnReader(reader) => fill(reader, rows, |value| integer(field, column, *value)),
        ColumnReader::FloatColumnReader(reader) => fill(reader, rows, |value| match field {
            PrimitiveType::Float => Some(Scalar::Float(*value)),
            PrimitiveType::Double => Some(Scalar::Double(f64::from(*value))),
            _ => None,
        }),
        ColumnReader::DoubleColumnReader(reader) => fill(reader, rows, |value| match field {
            PrimitiveType::Double => Some(Scalar::Double(*value)),
            _ => None,
        }),
        ColumnReader::ByteArrayColumnReader(reader) => fill(reader, rows, |value| bytes_value(field, value.data())),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            fill(reader, rows, |value| bytes_value(field, value.data()))
        }
        ColumnReader::Int96ColumnReader(_) => Err(ParquetError::NYI("INT96 columns".to_owned())),
    }
}

/// A value of an integer column, widened where the field was.
fn integer(field: PrimitiveType, column: &ColumnDescriptor, value: i64) -> Option<Scalar<'static>> {
    Some(match field {
        PrimitiveType::Int | PrimitiveType::Date => Scalar::Int(i32::try_from(value).ok()?),
        PrimitiveType::Long => Scalar::Long(value),
        PrimitiveType::Time | PrimitiveType::Timestamp | PrimitiveType::Timestamptz => {
            let unit = match column.logical_type_ref() {
                Some(LogicalType::Timestamp(timestamp)) => Some(&timestamp.unit),
                Some(LogicalType::Time(time)) => Some(&time.unit),
                _ => None,
            };
            match unit {
                None | Some(TimeUnit::MICROS) => Scalar::Long(value),
                Some(TimeUnit::MILLIS) => Scalar::Long(value.checked_mul(MICROS_PER_MILLI)?),
                Some(_) => return None,
            }
        }
        PrimitiveType::Decimal { scale, .. } if column.type_scale() == i32::from(scale) => {
            Scalar::Decimal(i128::from(value))
        }
        _ => return None,
    })
}

fn bytes_value(field: PrimitiveType, bytes: &[u8]) -> Option<Scalar<'static>> {
    Some(match field {
        PrimitiveType::String => Scalar::Text(Cow::Owned(String::from_utf8(bytes.to_vec()).ok()?)),
        PrimitiveType::Binary => Scalar::Binary(Cow::Owned(bytes.to_vec())),
        PrimitiveType::Fixed(length) if bytes.len() == length => Scalar::Binary(Cow::Owned(bytes.to_vec())),
        PrimitiveType::Uuid => Scalar::Uuid(Uuid::from_slice(bytes).ok()?),
        PrimitiveType::Decimal { .. } => Scalar::Decimal(big_endian(bytes)?),
        _ => return None,
    })
}

/// Reads all rows of a chunk.
fn fill<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    scalar: impl Fn(&T::T) -> Option<Scalar<'static>>,
) -> ParquetResult<Values> {
    const STEP: usize = 4_096;
    let mut column: Values = Vec::new();
    let (mut values, mut levels): (Vec<T::T>, Vec<i16>) = (Vec::new(), Vec::new());
    while column.len() < rows {
        values.clear();
        levels.clear();
        let step = rows.saturating_sub(column.len()).min(STEP);
        let (records, _, _) = reader.read_records(step, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a chunk of {rows} rows ends after {}", column.len())));
        }
        // A required column has no levels: every row has a value.
        levels.resize(if levels.is_empty() { records } else { levels.len() }, 1);
        let mut values = values.iter();
        for level in &levels {
            let value =
                match *level {
                    0 => None,
                    _ => Some(values.next().and_then(&scalar).ok_or_else(|| {
                        ParquetError::General("a value that the field's type cannot hold".to_owned())
                    })?),
                };
            column.push(value);
        }
    }
    Ok(column)
}
