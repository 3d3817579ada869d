//! Columns into the column chunks of a Parquet row group: one value type here is one physical type there.

use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use super::parquet_schema::decimal_length;
use crate::vortex::{Column, ColumnType, Values};

/// Writes one row group.
pub(super) fn write_columns(writer: &mut SerializedFileWriter<Vec<u8>>, columns: &[&Column]) -> ParquetResult<()> {
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
