//! What manifests and footers tell of a field's values, so that files and row groups can be skipped.
//!
//! A bound must hold for the values of the documents' field, not only for the column's: a field whose values are also
//! in `_extra` (a stray field) has none. Bounds are in the order in which the values compare in queries: dates,
//! timestamps and UUIDs are strings in a document, and their canonical texts sort as they do. The table's own `_seq`
//! and `_ts` are no fields of a document; one that has fields of these names has them in `_extra`.

use parquet::file::metadata::RowGroupMetaData;
use uuid::Uuid;

use super::data_file::DataFile;
use super::parquet_schema::FileColumn;
use crate::types::statistics::{Bound, ColumnBounds, ColumnStatistics};
use crate::vortex::schema::{FIRST_COLUMN_FIELD, ID_FIELD, ID_NAME};
use crate::vortex::{ColumnType, StrayFields, TableSchema, format_date, format_timestamp};

/// Which end a bound is of.
#[derive(Clone, Copy)]
enum End {
    Lower,
    Upper,
}

/// Where a bound's bytes come from: they differ for decimals only.
#[derive(Clone, Copy)]
enum Source {
    Manifest,
    Footer,
}

/// What the manifest tells of a state table's file, under the table's columns now.
pub(super) struct FileStatistics<'a> {
    pub file: &'a DataFile,
    pub columns: &'a TableSchema,
}

impl ColumnStatistics for FileStatistics<'_> {
    fn bounds(&self, field: &str) -> Option<ColumnBounds> {
        let (id, column_type) = if field == ID_NAME {
            (ID_FIELD, ColumnType::String)
        } else if may_be_path(field) || self.file.stray.contains(field) {
            return None;
        } else {
            self.columns.column(field).map(|column| (column.id, column.column_type))?
        };
        // A file that is older than the column has its values, if any, under a field id of before.
        let metrics = self.file.column(id)?;
        let end = |bytes: &Option<Vec<u8>>, end| {
            bytes.as_deref().and_then(|bytes| bound(column_type, bytes, end, Source::Manifest))
        };
        Some(ColumnBounds {
            lower: end(&metrics.lower, End::Lower),
            upper: end(&metrics.upper, End::Upper),
            null_count: Some(metrics.nulls),
            row_count: self.file.record_count,
        })
    }
}

/// What the footer tells of a row group of a state table's file.
pub(super) struct GroupStatistics<'a> {
    pub columns: &'a [FileColumn],
    pub group: &'a RowGroupMetaData,
    pub stray: &'a StrayFields,
}

impl ColumnStatistics for GroupStatistics<'_> {
    fn bounds(&self, field: &str) -> Option<ColumnBounds> {
        let is_id = field == ID_NAME;
        if !is_id && (may_be_path(field) || self.stray.contains(field)) {
            return None;
        }
        let is_it = |column: &&FileColumn| match is_id {
            true => column.field_id == ID_FIELD,
            false => column.name == field && !is_own(column.field_id),
        };
        let row_count = self.group.num_rows();
        let Some(column) = self.columns.iter().find(is_it) else {
            // Neither a column nor a value elsewhere: null in every row.
            return Some(ColumnBounds { lower: None, upper: None, null_count: Some(row_count), row_count });
        };
        let position = self.columns.iter().position(|other| other.field_id == column.field_id)?;
        let statistics = self.group.columns().get(position)?.statistics()?;
        let end =
            |bytes: Option<&[u8]>, end| bytes.and_then(|bytes| bound(column.column_type, bytes, end, Source::Footer));
        Some(ColumnBounds {
            lower: end(statistics.min_bytes_opt(), End::Lower),
            upper: end(statistics.max_bytes_opt(), End::Upper),
            null_count: statistics.null_count_opt().and_then(|count| i64::try_from(count).ok()),
            row_count,
        })
    }
}

/// Whether a field's name may also mean a field inside another (`address.zip`), of which no column tells.
fn may_be_path(field: &str) -> bool {
    field.contains('.')
}

/// Whether a column is one of the four that are no field of the documents.
pub(super) fn is_own(field_id: i32) -> bool {
    field_id < FIRST_COLUMN_FIELD
}

/// A bound from its bytes; `None` where the type's values do not compare as their documents' texts do.
fn bound(column_type: ColumnType, bytes: &[u8], end: End, source: Source) -> Option<Bound> {
    match column_type {
        ColumnType::Boolean => Some(Bound::Boolean(*bytes.first()? != 0)),
        ColumnType::Int | ColumnType::Long => integer(bytes).map(Bound::Long),
        ColumnType::Float | ColumnType::Double => double(bytes, end).map(Bound::Double),
        ColumnType::Decimal { precision, scale } => {
            let unscaled = match source {
                Source::Footer if precision <= 18 => i128::from(integer(bytes)?),
                _ => big_endian(bytes)?,
            };
            decimal(unscaled, scale, end).map(Bound::Double)
        }
        ColumnType::Date => i32::try_from(integer(bytes)?).ok().map(|days| Bound::Text(format_date(days))),
        ColumnType::Timestamp => integer(bytes).map(|micros| Bound::Text(format_timestamp(micros))),
        ColumnType::Uuid => Uuid::from_slice(bytes).ok().map(|uuid| Bound::Text(uuid.hyphenated().to_string())),
        ColumnType::String => std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned())),
        // Base64 does not sort like the bytes, and JSON values do not compare as text.
        ColumnType::Binary | ColumnType::Json => None,
    }
}

/// 4 or 8 bytes, as the file or a column that was widened since has them.
fn integer(bytes: &[u8]) -> Option<i64> {
    match bytes.len() {
        4 => Some(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
        _ => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
    }
}

/// A bound of a single-precision column is widened: the document's number was rounded to it.
fn double(bytes: &[u8], end: End) -> Option<f64> {
    let value = match bytes.len() {
        4 => {
            let value = f32::from_le_bytes(bytes.try_into().ok()?);
            f64::from(match end {
                End::Lower => value.next_down(),
                End::Upper => value.next_up(),
            })
        }
        _ => f64::from_le_bytes(bytes.try_into().ok()?),
    };
    (!value.is_nan()).then_some(value)
}

/// Two's complement of at most 16 bytes, big-endian.
pub(super) fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if *bytes.first()? >= 0x80 { 0xff } else { 0 };
    let mut padded = [fill; size_of::<i128>()];
    let start = padded.len().checked_sub(bytes.len())?;
    padded.get_mut(start..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(padded))
}

/// The decimal as a double that is certainly not inside the bounds.
fn decimal(unscaled: i128, scale: u8, end: End) -> Option<f64> {
    let nearest: f64 = format!("{unscaled}e-{scale}").parse().ok()?;
    Some(match end {
        End::Lower => nearest.next_down(),
        End::Upper => nearest.next_up(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_compare_like_the_documents_values() {
        let manifest =
            |column_type: &str, bytes: &[u8], end| bound(column_type.parse().unwrap(), bytes, end, Source::Manifest);
        assert_eq!(manifest("long", &7_i32.to_le_bytes(), End::Lower), Some(Bound::Long(7)), "widened since");
        assert_eq!(manifest("long", &7_i64.to_le_bytes(), End::Upper), Some(Bound::Long(7)));
        assert_eq!(manifest("date", &0_i32.to_le_bytes(), End::Lower), Some(Bound::Text("1970-01-01".to_owned())));
        let Some(Bound::Double(lower)) = manifest("float", &0.1_f32.to_le_bytes(), End::Lower) else { panic!() };
        let Some(Bound::Double(upper)) = manifest("double", &0.1_f32.to_le_bytes(), End::Upper) else { panic!() };
        assert!(lower < 0.1 && 0.1 < upper);
        let Some(Bound::Double(lower)) = manifest("decimal(9,2)", &[0xff, 0x85], End::Lower) else { panic!() };
        assert!(lower < -1.23 && lower > -1.230_001);
        let footer = bound("decimal(9,2)".parse().unwrap(), &(-123_i32).to_le_bytes(), End::Lower, Source::Footer);
        assert_eq!(footer, Some(Bound::Double(lower)));
        assert_eq!(manifest("binary", &[0], End::Lower), None);
        assert_eq!(manifest("json", b"{}", End::Lower), None);
        for column_type in ["long", "double", "decimal(9,2)", "uuid", "bool", "date", "timestamp"] {
            assert_eq!(manifest(column_type, &[], End::Lower), None, "{column_type}");
            assert_eq!(
                manifest(column_type, &[0xff; 17], End::Lower).is_some(),
                column_type == "bool",
                "{column_type}"
            );
        }
    }
}
