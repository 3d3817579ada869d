//! Parquet data files back into columns.
//!
//! The bucket's bytes are hostile until proved: the decoder underneath may panic, or allocate what a damaged length
//! says, and a panic resets the whole isolate. So nothing is decoded before its checksum holds: the footer's is kept
//! with the [`DataFile`] outside the bucket, and the footer has one a column chunk. What the footer says is then
//! checked against the file's size and row count once more.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh64::xxh64;

use super::data_file::DataFile;
use super::parquet_schema::{FILE_NOTES_KEY, FileColumn, FileNotes, RowGroupNotes, file_column};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::vortex::{Column, ColumnType, Scalar};

/// Bytes that one row group may take decoded; what writers here cut at 8 MiB of text stays below.
const GROUP_MAX_DECODED: i64 = 128 * 1024 * 1024;
/// Length and magic at the very end.
const TAIL: usize = 8;
/// The magic at the start.
const HEAD: u64 = 4;
const CHECKSUM_DIGITS: usize = 16;

/// A data file's footer, checked.
pub(super) struct Footer {
    metadata: ParquetMetaData,
    notes: FileNotes,
    /// The file's columns, in its order.
    pub columns: Vec<FileColumn>,
}

/// A row group of a data file.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub metadata: &'a RowGroupMetaData,
    pub notes: &'a RowGroupNotes,
}

impl Footer {
    /// Reads the last [`DataFile::footer_size`] bytes of a file.
    pub(super) fn parse(file: &DataFile, bytes: &[u8]) -> Result<Self> {
        if xxh64(bytes, 0) != file.footer_checksum {
            return Err(corrupt(&file.key, "a footer with the checksum that was stored with the table, got another"));
        }
        let thrift = bytes.len().checked_sub(TAIL).and_then(|end| bytes.get(..end));
        let thrift = thrift.ok_or_else(|| corrupt(&file.key, "a Parquet footer, got too few bytes"))?;
        let metadata = ParquetMetaDataReader::decode_metadata(thrift).map_err(|error| unreadable(&file.key, error))?;
        let notes = notes(file, &metadata)?;
        let descriptor = metadata.file_metadata().schema_descr();
        let columns: Option<Vec<_>> = descriptor.columns().iter().map(|column| file_column(column, &notes)).collect();
        let columns = columns.ok_or_else(|| corrupt(&file.key, "columns that this program writes, got others"))?;
        let footer = Self { metadata, notes, columns };
        footer.check(file)?;
        Ok(footer)
    }

    /// What the locations begin with that the file's rows name, if they name any.
    pub(super) fn base_uri(&self) -> Option<&str> {
        self.notes.base_uri.as_deref()
    }

    /// The row groups in order.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let groups = self.metadata.row_groups().iter().zip(&self.notes.row_groups);
        groups.map(|(metadata, notes)| Group { metadata, notes })
    }

    fn check(&self, file: &DataFile) -> Result<()> {
        let groups = self.metadata.row_groups();
        let rows = groups.iter().try_fold(0_i64, |rows, group| rows.checked_add(group.num_rows()));
        if rows != Some(file.record_count) || groups.len() != self.notes.row_groups.len() {
            return Err(corrupt(&file.key, "row groups with as many rows as the table has on record, got others"));
        }
        let end = file.file_size.saturating_sub(file.footer_size);
        let sound = self.groups().all(|group| {
            let chunks = group.metadata.columns();
            let decoded = chunks.iter().try_fold(0_i64, |sum, chunk| sum.checked_add(chunk.uncompressed_size().max(0)));
            chunks.len() == self.columns.len()
                && group.metadata.num_rows() > 0
                && decoded.is_some_and(|decoded| decoded <= GROUP_MAX_DECODED)
                && group.notes.checksums.len() == chunks.len().saturating_mul(CHECKSUM_DIGITS)
                && chunks.iter().all(|chunk| chunk_is_sound(chunk, group.metadata.num_rows(), end))
        });
        if sound { Ok(()) } else { Err(corrupt(&file.key, "column chunks inside the file, got others")) }
    }
}

fn notes(file: &DataFile, metadata: &ParquetMetaData) -> Result<FileNotes> {
    let mut entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let text = entries.find(|entry| entry.key == FILE_NOTES_KEY).and_then(|entry| entry.value.as_deref());
    let notes: Option<FileNotes> = text.and_then(|text| serde_json::from_str(text).ok());
    notes
        .filter(|notes| (FileNotes::FORMAT..=FileNotes::FORMAT_FIELDS).contains(&notes.format))
        .ok_or_else(|| corrupt(&file.key, "a file written by this program or an earlier version of it, got another"))
}

/// Whether a chunk lies between the file's head and `end` and has a value or a null a row.
fn chunk_is_sound(chunk: &ColumnChunkMetaData, rows: i64, end: u64) -> bool {
    let range = chunk_range(chunk);
    chunk.num_values() == rows && range.is_some_and(|range| range.start >= HEAD && range.end <= end)
}

/// Where a chunk lies in its file. The library's own function panics on negative numbers.
pub(super) fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let first_data = u64::try_from(chunk.data_page_offset()).ok()?;
    let start = u64::try_from(start).ok()?;
    let end = start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
    (start <= first_data && first_data <= end).then_some(start..end)
}

/// Decodes column `position` of a row group from its chunk's bytes.
pub(super) fn decode(
    file: &DataFile,
    footer: &Footer,
    group: Group<'_>,
    position: usize,
    bytes: &[u8],
) -> Result<Column> {
    let parts = (footer.columns.get(position), group.metadata.columns().get(position));
    let (Some(column), Some(chunk)) = parts else { return Err(corrupt(&file.key, "a column of the file, got none")) };
    let start = position.saturating_mul(CHECKSUM_DIGITS);
    let checksum = group.notes.checksums.get(start..start.saturating_add(CHECKSUM_DIGITS));
    if checksum.and_then(|digits| u64::from_str_radix(digits, 16).ok()) != Some(xxh64(bytes, 0)) {
        return Err(corrupt(&file.key, "a column chunk with the checksum of the footer, got another"));
    }
    let rows = usize::try_from(group.metadata.num_rows()).unwrap_or(0);
    decode_proved(column, chunk, rows, bytes).map_err(|error| unreadable(&file.key, error))
}

/// Decodes a chunk whose checksum holds.
fn decode_proved(column: &FileColumn, chunk: &ColumnChunkMetaData, rows: usize, bytes: &[u8]) -> ParquetResult<Column> {
    let mut decoded = Column::new(column.column_type);
    match get_column_reader(chunk.column_descr_ptr(), page_reader(chunk, rows, bytes)?) {
        ColumnReader::BoolColumnReader(reader) => {
            fill(reader, rows, &mut decoded, |value| Some(Scalar::Boolean(*value)))?
        }
        ColumnReader::Int32ColumnReader(reader) => {
            let is_decimal = matches!(column.column_type, ColumnType::Decimal { .. });
            let scalar =
                |value: &i32| if is_decimal { Scalar::Decimal(i128::from(*value)) } else { Scalar::Int(*value) };
            fill(reader, rows, &mut decoded, |value| Some(scalar(value)))?;
        }
        ColumnReader::Int64ColumnReader(reader) => {
            let is_decimal = matches!(column.column_type, ColumnType::Decimal { .. });
            let scalar =
                |value: &i64| if is_decimal { Scalar::Decimal(i128::from(*value)) } else { Scalar::Long(*value) };
            fill(reader, rows, &mut decoded, |value| Some(scalar(value)))?;
        }
        ColumnReader::FloatColumnReader(reader) => {
            fill(reader, rows, &mut decoded, |value| Some(Scalar::Float(*value)))?
        }
        ColumnReader::DoubleColumnReader(reader) => {
            fill(reader, rows, &mut decoded, |value| Some(Scalar::Double(*value)))?
        }
        ColumnReader::ByteArrayColumnReader(reader) if column.column_type == ColumnType::Binary => {
            fill(reader, rows, &mut decoded, |value| Some(Scalar::Binary(Cow::Borrowed(value.data()))))?;
        }
        ColumnReader::ByteArrayColumnReader(reader) => {
            fill(reader, rows, &mut decoded, |value| Some(Scalar::Text(Cow::Borrowed(value.as_utf8().ok()?))))?;
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) if column.column_type == ColumnType::Uuid => {
            fill(reader, rows, &mut decoded, |value| Uuid::from_slice(value.data()).ok().map(Scalar::Uuid))?;
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            fill(reader, rows, &mut decoded, |value| super::statistics::big_endian(value.data()).map(Scalar::Decimal))?;
        }
        ColumnReader::Int96ColumnReader(_) => return Err(ParquetError::NYI("INT96 columns".to_owned())),
    }
    Ok(decoded)
}

/// Reads all rows of a chunk into `column`.
fn fill<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    column: &mut Column,
    scalar: impl for<'v> Fn(&'v T::T) -> Option<Scalar<'v>>,
) -> ParquetResult<()> {
    const STEP: usize = 4_096;
    let mut values: Vec<T::T> = Vec::new();
    let mut levels: Vec<i16> = Vec::new();
    while column.rows() < rows {
        values.clear();
        levels.clear();
        let step = rows.saturating_sub(column.rows()).min(STEP);
        let (records, _, _) = reader.read_records(step, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a chunk of {rows} rows ends after {}", column.rows())));
        }
        // A required column has no levels: every row has a value.
        levels.resize(if levels.is_empty() { records } else { levels.len() }, 1);
        let mut values = values.iter();
        for level in &levels {
            let value = if *level > 0 { Some(next_scalar(&mut values, &scalar)?) } else { None };
            column.push_option(value).map_err(|error| ParquetError::External(Box::new(error)))?;
        }
    }
    Ok(())
}

fn next_scalar<'v, V: 'v>(
    values: &mut impl Iterator<Item = &'v V>,
    scalar: &impl Fn(&'v V) -> Option<Scalar<'v>>,
) -> ParquetResult<Scalar<'v>> {
    let value = values.next().and_then(scalar);
    value.ok_or_else(|| ParquetError::General("a value that its column's type cannot hold".to_owned()))
}

/// Pages of a chunk whose bytes are all that is there of the file.
pub(super) fn page_reader(
    chunk: &ColumnChunkMetaData,
    rows: usize,
    bytes: &[u8],
) -> ParquetResult<Box<dyn PageReader>> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let moved = chunk.clone().into_builder();
    let moved = moved.set_data_page_offset(chunk.data_page_offset().saturating_sub(start));
    let moved = moved.set_dictionary_page_offset(chunk.dictionary_page_offset().map(|_| 0)).build()?;
    let reader = SerializedPageReader::new(Arc::new(chunk_reader(bytes)), &moved, rows, None)?;
    Ok(Box::new(reader))
}

/// The library reads from `bytes::Bytes`, which is no dependency of this crate; a page is the public type by which one
/// can be made of a vector without naming it.
fn chunk_reader(bytes: &[u8]) -> impl ChunkReader + 'static {
    let page =
        Page::DictionaryPage { buf: bytes.to_vec().into(), num_values: 0, encoding: Encoding::PLAIN, is_sorted: false };
    page.buffer().clone()
}

/// The error for bytes that are not what they should be; the object's other data is not touched by it.
pub(super) fn corrupt(key: &str, expected: &str) -> StorageError {
    let message = format!(
        "{key}: expected {expected}; restore the object from a backup of the bucket, or the collection from a snapshot"
    );
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read data file", message)
}

fn unreadable(key: &str, error: ParquetError) -> StorageError {
    corrupt(key, "Parquet that can be decoded, got an error of the decoder").caused_by(error)
}
