//! Rows of a table into Parquet data files (spec, Appendix A, "Parquet").
//!
//! All rows of a file are of one month, its partition. The rows of a *sorted* file ascend by the table's sort field; a
//! file of *parts* is several such sequences one after the other, each with a number by which its writer knows it.

use std::collections::BTreeMap;

use super::bounds::owned;
use super::data_file::{DataFile, FileContent, FilePart};
use super::parquet_file::{Layout, ParquetFile, refuse};
use super::schema::{Field, Schema, TableKind};
use crate::config::Compression;
use crate::error::Result;
use crate::types::time::{MICROS_PER_MILLI, Month};
use crate::vortex::{Column, Scalar, StrayFields, Values};

/// Rows of a row group, at most, where a writer here cuts them.
pub const ROW_GROUP_MAX_ROWS: usize = 20_000;
/// Bytes of JSON text of a row group, where a writer here cuts them: a reader holds one row group in memory.
pub const ROW_GROUP_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Writes one data file, a row group at a time, into memory.
pub struct DataFileWriter {
    file: ParquetFile,
    kind: TableKind,
    month: Option<Month>,
    /// Whether the file is of parts.
    of_parts: bool,
    parts: Vec<FilePart>,
    /// Whether all rows so far ascend strictly.
    sorted: bool,
    /// The sort field of the last row.
    last: Option<Scalar<'static>>,
}

impl DataFileWriter {
    /// A sorted file of a table of `kind` with `schema`.
    pub fn new(schema: &Schema, kind: TableKind) -> Self {
        Self::with_order(schema, kind, false)
    }

    /// A file of parts, to be told by [`end_part`](Self::end_part). Its rows need not ascend.
    pub fn of_parts(schema: &Schema, kind: TableKind) -> Self {
        Self::with_order(schema, kind, true)
    }

    fn with_order(schema: &Schema, kind: TableKind, of_parts: bool) -> Self {
        let ascending = kind.sort_source();
        // Whether a file of parts is sorted is known only when its first row group is long written.
        let sorting = if of_parts { Vec::new() } else { vec![ascending] };
        let layout = Layout {
            content: FileContent::Data,
            sorting,
            ascending,
            base_uri: None,
            compression: Compression::default(),
        };
        let file = ParquetFile::new(schema, layout);
        Self { file, kind, month: None, of_parts, parts: Vec::new(), sorted: true, last: None }
    }

    /// The same with another codec than the default; to be said before the first row group.
    pub fn compressed_by(self, compression: Compression) -> Self {
        Self { file: self.file.compressed_by(compression), ..self }
    }

    /// The same where some columns hold documents' fields of other names: these by field id.
    pub fn holding(self, fields: BTreeMap<i32, String>) -> Self {
        Self { file: self.file.holding(fields), ..self }
    }

    /// How many rows were written.
    pub fn rows(&self) -> i64 {
        self.file.rows()
    }

    /// Bytes of the file so far.
    pub fn bytes_written(&self) -> usize {
        self.file.bytes_written()
    }

    /// Adds a row group of `columns`, one a field of the schema in its order, all with the same rows, all of one month
    /// and, unless the file is of parts, ascending strictly by the table's sort field.
    pub fn write_row_group(&mut self, columns: &[&Column], stray: &StrayFields) -> Result<()> {
        if self.check(columns)? == 0 {
            return Ok(());
        }
        self.file.write_row_group(columns, stray)
    }

    /// Says that the rows after the part before are a part. They may be written before or after this.
    pub fn end_part(&mut self, part: FilePart) {
        self.parts.push(part);
    }

    /// Ends the file. `key` tells where it will lie, given the month of its rows. A file without rows is refused, and
    /// one of parts whose rows are not exactly those of its parts.
    pub fn finish(self, key: impl FnOnce(Month) -> String) -> Result<(Vec<u8>, DataFile)> {
        let Some(month) = self.month else {
            return Err(refuse("expected at least one row in a data file, got none".to_owned()));
        };
        let rows = self.parts.iter().try_fold(0_i64, |rows, part| rows.checked_add(part.rows));
        let sound = if self.of_parts {
            rows == Some(self.file.rows()) && self.parts.iter().all(|part| part.rows > 0)
        } else {
            self.parts.is_empty()
        };
        if !sound {
            let message = "expected every row of a file of parts, and of no other file, to be in a part, and every part to \
                           have rows, got others";
            return Err(refuse(message.to_owned()));
        }
        let (bytes, mut file) = self.file.finish(key(month), month)?;
        file.sorted = self.sorted;
        file.parts = self.parts;
        Ok((bytes, file))
    }

    /// Checks what a row group must be; how many rows it has.
    fn check(&mut self, columns: &[&Column]) -> Result<usize> {
        let rows = columns.first().map_or(0, |column| column.rows());
        let fields = self.file.fields();
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
        let sort_values = by_id(self.kind.sort_source()).map(|column| column.values());
        self.sorted = self.sorted && sort_values.is_some_and(|values| ascends(self.last.as_ref(), values));
        if !self.sorted && !self.of_parts {
            return Err(refuse("expected the rows of a data file to ascend strictly, got others".to_owned()));
        }
        let months = by_id(self.kind.partition_source().0).and_then(|column| months(column.values()));
        match months {
            Some((first, last)) if first == last && self.month.is_none_or(|month| month == first) => {
                self.month = Some(first);
            }
            _ => return Err(refuse("expected all rows of a data file to be of one month, got several".to_owned())),
        }
        let last = sort_values.and_then(|values| values.get(values.len().checked_sub(1)?));
        self.last = last.as_ref().map(owned);
        Ok(rows)
    }
}

/// Whether values ascend strictly, the first from `last`.
fn ascends(last: Option<&Scalar<'_>>, values: &Values) -> bool {
    let follows = last.is_none_or(|last| values.get(0).is_some_and(|first| is_less(last, &first)));
    let within = match values {
        Values::Long(values) => values.is_sorted_by(|left, right| left < right),
        other => {
            let pairs = (1..other.len()).map(|position| (other.get(position.saturating_sub(1)), other.get(position)));
            pairs.into_iter().all(|pair| matches!(pair, (Some(left), Some(right)) if is_less(&left, &right)))
        }
    };
    follows && within
}

fn is_less(left: &Scalar<'_>, right: &Scalar<'_>) -> bool {
    match (left, right) {
        (Scalar::Long(left), Scalar::Long(right)) => left < right,
        (Scalar::Text(left), Scalar::Text(right)) => left < right,
        // No table is sorted by another type.
        _ => false,
    }
}

/// The months of the first and the last of timestamps in microseconds.
fn months(values: &Values) -> Option<(Month, Month)> {
    let Values::Long(values) = values else { return None };
    let month = |micros: &i64| Month::of(micros.div_euclid(MICROS_PER_MILLI));
    Some((values.iter().min().map(month)?, values.iter().max().map(month)?))
}
