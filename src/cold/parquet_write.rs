//! Typed columns into Parquet data files (spec, Appendix A, "Parquet").
//!
//! One batch of columns becomes one row group. The bytes depend on the columns alone. Encodings are chosen from the
//! first row group: a dictionary where values repeat, delta for integers and for the sorted `id`, plain otherwise;
//! pages are compressed with Snappy. Chunk checksums go into the footer, the footer's into the [`DataFile`].

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{KeyValue, RowGroupMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh64::xxh64;

use super::bounds::{Bounds, nan_count};
use super::data_file::{ColumnMetrics, DataFile, FileContent};
use super::parquet_schema::{FILE_NOTES_KEY, FileNotes, RowGroupNotes, decimal_length, message_type};
use super::schema::{Field, Schema, TableKind};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::time::Month;
use crate::vortex::{Column, ColumnType, Scalar, StrayFields, Values};

/// Rows of a row group, at most, where a writer here cuts them.
pub const ROW_GROUP_MAX_ROWS: usize = 20_000;
/// Bytes of JSON text of a row group, where a writer here cuts them: a reader holds one row group in memory.
pub const ROW_GROUP_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Who wrote a file, in the form that readers parse. It names the format's version, not the crate's, so that a release
/// does not change bytes.
const CREATED_BY: &str = "thermocline version 1.0.0 (build 1)";
/// Values looked at to see whether they repeat.
const SAMPLE: usize = 1_024;
const MICROS_PER_MILLI: i64 = 1_000;

/// Writes one data file, a row group at a time, into memory.
pub struct DataFileWriter {
    schema: Schema,
    kind: TableKind,
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    notes: FileNotes,
    totals: Vec<ColumnTotals>,
    stray: StrayFields,
    rows: i64,
    month: Option<Month>,
}

/// What is known of a column over all row groups.
struct ColumnTotals {
    nulls: usize,
    nans: Option<usize>,
    bounds: Bounds,
}

impl DataFileWriter {
    /// A file of a table of `kind` with `schema`.
    pub fn new(schema: &Schema, kind: TableKind) -> Self {
        let is_json = |field: &&Field| field.field_type == ColumnType::Json;
        let json_fields = schema.fields.iter().filter(is_json).map(|field| field.id).collect();
        let totals = schema.fields.iter().map(|_| ColumnTotals { nulls: 0, nans: None, bounds: Bounds::Empty });
        Self {
            schema: schema.clone(),
            kind,
            writer: None,
            notes: FileNotes { format: FileNotes::FORMAT, json_fields, row_groups: Vec::new() },
            totals: totals.collect(),
            stray: StrayFields::None,
            rows: 0,
            month: None,
        }
    }

    /// How many rows were written.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// Bytes of the file so far.
    pub fn bytes_written(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    /// Adds a row group of `columns`, one a field of the schema in its order, all with the same rows, ascending by the
    /// table's sort field and all of one month.
    pub fn write_row_group(&mut self, columns: &[&Column], stray: &StrayFields) -> Result<()> {
        let rows = self.check(columns)?;
        if rows == 0 {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open(columns)?,
        };
        write_columns(&mut writer, columns).map_err(failed)?;
        // The writer buffers; the checksums are of what has left it.
        writer.flush().map_err(|error| failed(ParquetError::from(error)))?;
        self.notes.row_groups.push(RowGroupNotes { stray: stray.clone(), checksums: chunk_checksums(&writer)? });
        for (total, column) in self.totals.iter_mut().zip(columns) {
            total.nulls = total.nulls.saturating_add(column.null_count());
            total.nans = nan_count(column.values()).map(|nans| nans.saturating_add(total.nans.unwrap_or(0)));
            total.bounds = std::mem::take(&mut total.bounds).merge(Bounds::of(column.values()));
        }
        self.stray.merge(stray);
        self.rows = self.rows.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
        self.writer = Some(writer);
        Ok(())
    }

    /// Ends the file. `key` tells where it will lie, given the month of its rows. A file without rows is refused.
    pub fn finish(mut self, key: impl FnOnce(Month) -> String) -> Result<(Vec<u8>, DataFile)> {
        let (Some(mut writer), Some(month)) = (self.writer.take(), self.month) else {
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
        let columns = self
            .schema
            .fields
            .iter()
            .zip(&self.totals)
            .zip(sizes)
            .map(|((field, total), size)| metrics(field, total, size))
            .collect();
        // `into_inner` would write the footer again.
        let bytes = std::mem::take(writer.inner_mut());
        let footer = footer_of(&bytes)?;
        let file = DataFile {
            format: DataFile::FORMAT,
            content: FileContent::Data,
            sorted: true,
            parts: Vec::new(),
            key: key(month),
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
        let properties = properties(&self.schema, self.kind, columns);
        let schema = message_type(&self.schema).map_err(failed)?;
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)
    }

    /// Checks what a row group must be; how many rows it has.
    fn check(&mut self, columns: &[&Column]) -> Result<usize> {
        let rows = columns.first().map_or(0, |column| column.rows());
        let fields = &self.schema.fields;
        let fits = |(field, column): (&Field, &&Column)| {
            column.rows() == rows
                && column.column_type() == field.field_type
                && !(field.required && column.null_count() > 0)
        };
        if columns.len() != fields.len() || !fields.iter().zip(columns).all(fits) {
            return Err(refuse(
                "expected one column a field, of its type, all with the same rows, got others".to_owned(),
            ));
        }
        if rows == 0 {
            return Ok(0);
        }
        let by_id = |id: i32| fields.iter().position(|field| field.id == id).and_then(|position| columns.get(position));
        let sorted = by_id(self.kind.sort_source()).is_some_and(|column| ascends(column.values()));
        let months = by_id(self.kind.partition_source().0).and_then(|column| months(column.values()));
        match (sorted, months) {
            (false, _) => Err(refuse("expected the rows of a data file to ascend strictly, got others".to_owned())),
            (true, Some((first, last))) if first == last && self.month.is_none_or(|month| month == first) => {
                self.month = Some(first);
                Ok(rows)
            }
            (true, _) => Err(refuse("expected all rows of a data file to be of one month, got several".to_owned())),
        }
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

/// Whether values ascend strictly.
fn ascends(values: &Values) -> bool {
    match values {
        Values::Long(values) => values.is_sorted_by(|left, right| left < right),
        other => {
            let mut all = (0..other.len()).map(|position| match other.get(position) {
                Some(Scalar::Text(text)) => Some(text),
                _ => None,
            });
            let mut last = all.next().flatten();
            all.all(|next| {
                let ascends = next.is_some() && last < next;
                last = next;
                ascends
            })
        }
    }
}

/// The months of the first and the last of timestamps in microseconds.
fn months(values: &Values) -> Option<(Month, Month)> {
    let Values::Long(values) = values else { return None };
    let month = |micros: &i64| Month::of(micros.div_euclid(MICROS_PER_MILLI));
    Some((values.iter().min().map(month)?, values.iter().max().map(month)?))
}

fn properties(schema: &Schema, kind: TableKind, columns: &[&Column]) -> WriterProperties {
    let sorted = schema.fields.iter().position(|field| field.id == kind.sort_source());
    let sorting = sorted
        .and_then(|position| i32::try_from(position).ok())
        .map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: true }]);
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(sorting);
    for (field, column) in schema.fields.iter().zip(columns) {
        builder = set_encoding(builder, field, column, field.id == kind.sort_source());
    }
    builder.build()
}

fn set_encoding(
    builder: WriterPropertiesBuilder,
    field: &Field,
    column: &Column,
    sorted: bool,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(vec![field.name.clone()]);
    if !sorted && repeats(column.values()) {
        return builder.set_column_dictionary_enabled(path, true);
    }
    let encoding = match column.values() {
        Values::Int(_) | Values::Long(_) => Encoding::DELTA_BINARY_PACKED,
        Values::Text { .. } if sorted => Encoding::DELTA_BYTE_ARRAY,
        _ => Encoding::PLAIN,
    };
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

fn write_columns(writer: &mut SerializedFileWriter<Vec<u8>>, columns: &[&Column]) -> ParquetResult<()> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        let Some(mut target) = group.next_column()? else {
            return Err(ParquetError::General("fewer columns in the file's schema than in the batch".to_owned()));
        };
        write_column(&mut target, column)?;
        target.close()?;
    }
    group.close()?;
    Ok(())
}

fn write_column(target: &mut SerializedColumnWriter<'_>, column: &Column) -> ParquetResult<()> {
    // A required column has no levels; that it has no nulls was checked.
    let levels: Vec<i16> = column.validity().iter().map(i16::from).collect();
    let levels = Some(levels.as_slice());
    match (target.untyped(), column.values()) {
        (ColumnWriter::BoolColumnWriter(writer), Values::Boolean(values)) => {
            writer.write_batch(values, levels, None)?
        }
        (ColumnWriter::Int32ColumnWriter(writer), Values::Int(values)) => writer.write_batch(values, levels, None)?,
        (ColumnWriter::Int64ColumnWriter(writer), Values::Long(values)) => writer.write_batch(values, levels, None)?,
        (ColumnWriter::FloatColumnWriter(writer), Values::Float(values)) => writer.write_batch(values, levels, None)?,
        (ColumnWriter::DoubleColumnWriter(writer), Values::Double(values)) => {
            writer.write_batch(values, levels, None)?
        }
        (ColumnWriter::Int32ColumnWriter(writer), Values::Decimal(values)) => {
            writer.write_batch(&narrowed::<i32>(values)?, levels, None)?
        }
        (ColumnWriter::Int64ColumnWriter(writer), Values::Decimal(values)) => {
            writer.write_batch(&narrowed::<i64>(values)?, levels, None)?
        }
        (ColumnWriter::FixedLenByteArrayColumnWriter(writer), Values::Decimal(values)) => {
            writer.write_batch(&fixed_decimals(values, column.column_type()), levels, None)?
        }
        (ColumnWriter::FixedLenByteArrayColumnWriter(writer), Values::Uuid(values)) => {
            let values: Vec<_> =
                values.iter().map(|value| FixedLenByteArray::from(value.as_bytes().to_vec())).collect();
            writer.write_batch(&values, levels, None)?
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text { offsets, text }) => {
            writer.write_batch(&byte_arrays(offsets, text.as_bytes()), levels, None)?
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Values::Binary { offsets, bytes }) => {
            writer.write_batch(&byte_arrays(offsets, bytes), levels, None)?
        }
        _ => return Err(ParquetError::General("a column of another type than the file's schema says".to_owned())),
    };
    Ok(())
}

fn narrowed<T: TryFrom<i128>>(values: &[i128]) -> ParquetResult<Vec<T>> {
    let narrow = |value: &i128| {
        T::try_from(*value).map_err(|_| ParquetError::General("a decimal beyond its precision".to_owned()))
    };
    values.iter().map(narrow).collect()
}

fn fixed_decimals(values: &[i128], column_type: ColumnType) -> Vec<FixedLenByteArray> {
    let length = match column_type {
        ColumnType::Decimal { precision, .. } => decimal_length(precision),
        _ => size_of::<i128>(),
    };
    let fixed = |value: &i128| {
        let bytes = value.to_be_bytes();
        FixedLenByteArray::from(bytes.get(bytes.len().saturating_sub(length)..).unwrap_or_default().to_vec())
    };
    values.iter().map(fixed).collect()
}

/// Slices of one shared copy of all values.
fn byte_arrays(offsets: &[u32], bytes: &[u8]) -> Vec<ByteArray> {
    let all = ByteArray::from(bytes.to_vec());
    let index = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let slices = offsets.iter().zip(offsets.iter().skip(1));
    slices.map(|(start, end)| all.slice(index(*start), index(end.saturating_sub(*start)))).collect()
}

fn refuse(message: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write data file", message)
}

fn failed(error: ParquetError) -> StorageError {
    refuse("expected columns that Parquet can hold, got an error of the writer".to_owned()).caused_by(error)
}
