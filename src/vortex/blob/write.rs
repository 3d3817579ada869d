//! Columns into a blob.

use std::collections::HashSet;

use super::index::{ColumnEntry, put_entry, put_header};
use super::statistics::Statistics;
use super::{BLOB_MAX_ROWS, HEADER_BYTES, checksum, put_type};
use crate::error::{ErrorKind, Result};
use crate::vortex::choose::{self, EncodeOptions};
use crate::vortex::column::Column;
use crate::vortex::encoding::validity;
use crate::vortex::encoding::wire::{put_part, unwritable};

/// Writes one blob, column after column.
#[derive(Clone, Debug)]
pub struct BlobWriter {
    options: EncodeOptions,
    rows: Option<u32>,
    names: HashSet<String>,
    columns: Vec<ColumnEntry>,
    data: Vec<u8>,
}

impl BlobWriter {
    /// A blob without columns.
    pub fn new(options: EncodeOptions) -> Self {
        Self { options, rows: None, names: HashSet::new(), columns: Vec::new(), data: Vec::new() }
    }

    /// Adds a column. Its name must be new and at most 65,535 bytes, its rows as many as the others' and at most
    /// [`BLOB_MAX_ROWS`]. After an error the blob is as it was.
    pub fn push(&mut self, name: &str, column: &Column) -> Result<()> {
        let rows = u32::try_from(column.rows()).ok().filter(|_| column.rows() <= BLOB_MAX_ROWS);
        let Some(rows) = rows else {
            return Err(unwritable(
                ErrorKind::TooLarge,
                format!("expected at most {BLOB_MAX_ROWS} rows in a blob, got {}", column.rows()),
            ));
        };
        if self.rows.is_some_and(|others| others != rows) {
            return Err(unwritable(
                ErrorKind::Internal,
                format!("expected column {name:?} to have as many rows as the others, got {rows}"),
            ));
        }
        if name.len() > usize::from(u16::MAX) || self.names.contains(name) {
            return Err(unwritable(ErrorKind::Internal, "expected a column's name to be new and at most 65,535 bytes"));
        }
        let validity = validity::encode(column.validity())?;
        let values = choose::encode(column, self.options, validity.point_bytes)?;
        let encoding = values.encoding()?;
        let mut bytes = Vec::with_capacity(values.bytes.len());
        put_type(column.column_type(), &mut bytes);
        put_part(&mut bytes, &validity.bytes);
        bytes.extend_from_slice(&values.bytes);
        let (Ok(offset), Ok(length)) =
            (u32::try_from(self.data.len().saturating_add(HEADER_BYTES)), u32::try_from(bytes.len()))
        else {
            return Err(too_large());
        };
        self.data.extend_from_slice(&bytes);
        self.names.insert(name.to_owned());
        self.rows = Some(rows);
        self.columns.push(ColumnEntry {
            name: name.to_owned(),
            column_type: column.column_type(),
            encoding,
            statistics: Statistics::of(column),
            offset,
            length,
            checksum: checksum(&bytes),
        });
        Ok(())
    }

    /// Bytes of the columns so far.
    pub fn column_bytes(&self) -> usize {
        self.data.len()
    }

    /// The blob's bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        let columns = u32::try_from(self.columns.len()).map_err(|_| too_large())?;
        let mut blob = Vec::with_capacity(self.data.len().saturating_add(HEADER_BYTES));
        put_header(columns, self.rows.unwrap_or(0), &mut blob);
        blob.extend_from_slice(&self.data);
        let offset = u32::try_from(blob.len()).map_err(|_| too_large())?;
        let mut index = Vec::new();
        put_header(columns, self.rows.unwrap_or(0), &mut index);
        self.columns.iter().for_each(|column| put_entry(column, &mut index));
        put_part(&mut index, &[]);
        let sum = checksum(&index);
        blob.append(&mut index);
        blob.extend(sum.to_le_bytes());
        blob.extend(offset.to_le_bytes());
        Ok(blob)
    }
}

fn too_large() -> crate::error::StorageError {
    unwritable(ErrorKind::TooLarge, "expected a blob of at most 4 GiB, got more; use fewer rows a blob")
}
