//! A Parquet file in the making, whatever its rows are: row groups, what is noted of them, and the footer.
//!
//! One batch of columns becomes one row group. The bytes depend on the columns alone. Encodings are chosen from the
//! first row group: a dictionary where values repeat, delta for integers and for text that ascends, plain otherwise;
//! pages are compressed as [`Layout::compression`] says. Chunk checksums go into the footer, the footer's into the
//! [`DataFile`].

use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::basic::{Compression as Codec, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh64::xxh64;

use super::bounds::{Bounds, nan_count};
use super::data_file::{ColumnMetrics, DataFile, FileContent};
use super::id_filter;
use super::parquet_encode::write_columns;
use super::parquet_schema::{FILE_NOTES_KEY, FileNotes, RowGroupNotes, message_type};
use super::schema::{Field, Schema};
use crate::config::Compression;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::time::Month;
use crate::vortex::{Column, ColumnType, StrayFields, Values};

/// Who wrote a file, in the form that readers parse. It names the format's version, not the crate's, so that a release
/// does not change bytes.
const CREATED_BY: &str = "thermocline version 1.0.0 (build 1)";
/// Values looked at to see whether they repeat.
const SAMPLE: usize = 1_024;

/// How the rows of a file lie.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// What the rows are.
    pub content: FileContent,
    /// The fields by which all rows ascend, told to readers; may be empty.
    pub sorting: Vec<i32>,
    /// The field whose values ascend for long stretches, so that delta encoding is best.
    pub ascending: i32,
    /// What locations begin with that the rows name, for a file that names any.
    pub base_uri: Option<String>,
    /// The codec of the pages.
    pub compression: Compression,
}

/// Writes one file, a row group at a time, into memory. What it is given was checked.
pub(super) struct ParquetFile {
    schema: Schema,
    layout: Layout,
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    notes: FileNotes,
    totals: Vec<ColumnTotals>,
    stray: StrayFields,
    rows: i64,
}

/// What is known of a column over all row groups.
struct ColumnTotals {
    nulls: usize,
    nans: Option<usize>,
    bounds: Bounds,
}

impl ParquetFile {
    /// A file without rows.
    pub(super) fn new(schema: &Schema, layout: Layout) -> Self {
        let is_json = |field: &&Field| field.field_type == ColumnType::Json;
        let json_fields = schema.fields.iter().filter(is_json).map(|field| field.id).collect();
        let totals = schema.fields.iter().map(|_| ColumnTotals { nulls: 0, nans: None, bounds: Bounds::Empty });
        let base_uri = layout.base_uri.clone();
        Self {
            schema: schema.clone(),
            layout,
            writer: None,
            notes: FileNotes { format: FileNotes::FORMAT, json_fields, base_uri, ..FileNotes::default() },
            totals: totals.collect(),
            stray: StrayFields::None,
            rows: 0,
        }
    }

    /// The same with another codec, before the first row group.
    pub(super) fn compressed_by(mut self, compression: Compression) -> Self {
        self.layout.compression = compression;
        self
    }

    /// The same where some columns hold fields of other names: these by field id.
    pub(super) fn holding(mut self, fields: BTreeMap<i32, String>) -> Self {
        if !fields.is_empty() {
            self.notes.format = FileNotes::FORMAT_FIELDS;
            self.notes.fields = fields;
        }
        self
    }

    /// The file's columns.
    pub(super) fn fields(&self) -> &[Field] {
        &self.schema.fields
    }

    /// How many rows were written.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// Bytes of the file so far.
    pub(super) fn bytes_written(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    /// Adds a row group of `columns`, one a field in order, all with the same number of rows, at least one.
    pub(super) fn write_row_group(&mut self, columns: &[&Column], stray: &StrayFields) -> Result<()> {
        let rows = columns.first().map_or(0, |column| column.rows());
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open(columns)?,
        };
        write_columns(&mut writer, columns).map_err(failed)?;
        // The writer buffers; the checksums are of what has left it.
        writer.flush().map_err(|error| failed(ParquetError::from(error)))?;
        self.notes.row_groups.push(RowGroupNotes { stray: stray.clone(), checksums: chunk_checksums(&writer)? });
        let content = self.layout.content;
        for (total, column) in self.totals.iter_mut().zip(columns) {
            total.nulls = total.nulls.saturating_add(column.null_count());
            total.nans = nan_count(column.values()).map(|nans| nans.saturating_add(total.nans.unwrap_or(0)));
            let bounds = match content {
                FileContent::Data => Bounds::of(column.values()),
                // Readers take a delete file for that of one data file only if the bounds are whole paths.
                FileContent::PositionDeletes => Bounds::exactly(column.values()),
            };
            total.bounds = std::mem::take(&mut total.bounds).merge(bounds);
        }
        self.stray.merge(stray);
        self.rows = self.rows.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
        self.writer = Some(writer);
        Ok(())
    }

    /// Ends the file, which will lie under `key`. A file without rows is refused.
    pub(super) fn finish(mut self, key: String, month: Month) -> Result<(Vec<u8>, DataFile)> {
        let Some(mut writer) = self.writer.take() else {
            return Err(refuse("expected at least one row in a data file, got none".to_owned()));
        };
        let notes =
            serde_json::to_string(&self.notes).map_err(|error| failed(ParquetError::External(Box::new(error))))?;
        writer.append_key_value_metadata(KeyValue::new(FILE_NOTES_KEY.to_owned(), notes));
        let metadata = writer.finish().map_err(failed)?;
        let split_offsets = metadata.row_groups().iter().filter_map(row_group_offset).collect();
        let sizes = self.schema.fields.iter().enumerate().map(|(position, _)| {
            let chunks = metadata.row_groups().iter().filter_map(|group| group.columns().get(position));
            chunks.fold(0_i64, |size, chunk| size.saturating_add(chunk.compressed_size()))
        });
        let totals = self.schema.fields.iter().zip(&self.totals).zip(sizes);
        let columns = totals.map(|((field, total), size)| metrics(field, total, size)).collect();
        // `into_inner` would write the footer again.
        let bytes = std::mem::take(writer.inner_mut());
        let footer = footer_of(&bytes)?;
        let file = DataFile {
            format: DataFile::FORMAT,
            content: self.layout.content,
            sorted: true,
            parts: Vec::new(),
            key,
            month: month.ordinal(),
            record_count: self.rows,
            file_size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            checksum: xxh64(&bytes, 0),
            footer_size: u64::try_from(footer.len()).unwrap_or(u64::MAX),
            footer_checksum: xxh64(footer, 0),
            split_offsets,
            columns,
            stray: self.stray,
        };
        Ok((bytes, file))
    }

    fn open(&self, columns: &[&Column]) -> Result<SerializedFileWriter<Vec<u8>>> {
        let properties = properties(&self.schema, &self.layout, columns);
        let schema = message_type(&self.schema).map_err(failed)?;
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)
    }
}

fn metrics(field: &Field, total: &ColumnTotals, size: i64) -> ColumnMetrics {
    // Bounds of JSON text answer no question that anyone asks of it.
    let (lower, upper) = if field.field_type == ColumnType::Json { (None, None) } else { total.bounds.serialized() };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    ColumnMetrics { id: field.id, size, nulls: count(total.nulls), nans: total.nans.map(count), lower, upper }
}

fn row_group_offset(group: &RowGroupMetaData) -> Option<i64> {
    let first = group.columns().first()?;
    Some(first.dictionary_page_offset().unwrap_or_else(|| first.data_page_offset()))
}

fn properties(schema: &Schema, layout: &Layout, columns: &[&Column]) -> WriterProperties {
    let sorting = layout.sorting.iter().map(|id| {
        let position = schema.fields.iter().position(|field| field.id == *id)?;
        let column_idx = i32::try_from(position).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: true })
    });
    let sorting: Option<Vec<SortingColumn>> = sorting.collect();
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(codec(layout.compression))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(sorting.filter(|sorting| !sorting.is_empty()));
    if layout.content == FileContent::PositionDeletes {
        // Readers skip by whole paths.
        builder = builder.set_statistics_truncate_length(None).set_column_index_truncate_length(None);
    }
    for (field, column) in schema.fields.iter().zip(columns) {
        builder = set_encoding(builder, field, column, layout);
    }
    builder.build()
}

fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    }
}

fn set_encoding(
    builder: WriterPropertiesBuilder,
    field: &Field,
    column: &Column,
    layout: &Layout,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(vec![field.name.clone()]);
    let ascending = field.id == layout.ascending;
    // The other column of a delete file names the same few files again and again, however few its rows are now.
    if !ascending && (layout.content == FileContent::PositionDeletes || repeats(column.values())) {
        return builder.set_column_dictionary_enabled(path, true);
    }
    let encoding = match column.values() {
        Values::Int(_) | Values::Long(_) => Encoding::DELTA_BINARY_PACKED,
        Values::Text { .. } if ascending => Encoding::DELTA_BYTE_ARRAY,
        _ => Encoding::PLAIN,
    };
    let has_filter = ascending && id_filter::is_worth_it(column.values());
    let builder = if has_filter { id_filter::enable(builder, path.clone()) } else { builder };
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
}

/// Whether at most half of the first values are distinct.
fn repeats(values: &Values) -> bool {
    let count = values.len().min(SAMPLE);
    let seen: std::collections::BTreeSet<u64> = (0..count)
        .filter_map(|position| values.get(position))
        .map(|value| xxh64(&super::bounds::serialize(&value), 0))
        .collect();
    !matches!(values, Values::Boolean(_)) && seen.len().saturating_mul(2) <= count
}

/// The footer: Thrift metadata, its length in 4 bytes, and the magic.
fn footer_of(bytes: &[u8]) -> Result<&[u8]> {
    const TAIL: usize = 8;
    let footer = bytes.split_last_chunk::<TAIL>().and_then(|(_, [a, b, c, d, ..])| {
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
        bytes.get(bytes.len().checked_sub(length)?.checked_sub(TAIL)?..)
    });
    footer.ok_or_else(|| refuse("expected a Parquet footer at the end, got none".to_owned()))
}

/// A checksum a column chunk of the row group that was written last.
fn chunk_checksums(writer: &SerializedFileWriter<Vec<u8>>) -> Result<String> {
    let chunks = writer.flushed_row_groups().last().map(RowGroupMetaData::columns).unwrap_or_default();
    let checksum = |(start, length): (u64, u64)| {
        let start = usize::try_from(start).ok()?;
        let chunk = writer.inner().get(start..start.checked_add(usize::try_from(length).ok()?)?)?;
        Some(format!("{:016x}", xxh64(chunk, 0)))
    };
    let checksums: Option<String> = chunks.iter().map(|chunk| checksum(chunk.byte_range())).collect();
    checksums.ok_or_else(|| refuse("expected column chunks inside the file, got others".to_owned()))
}

/// The error for rows that are no file: whoever writes them is wrong.
pub(super) fn refuse(message: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write data file", message)
}

fn failed(error: ParquetError) -> StorageError {
    refuse("expected columns that Parquet can hold, got an error of the writer".to_owned()).caused_by(error)
}
