//! Data files of state tables, from documents.

use super::data_file::DataFile;
use super::parquet_write::{DataFileWriter, ROW_GROUP_MAX_BYTES, ROW_GROUP_MAX_ROWS};
use super::schema::{Schema, TableKind};
use crate::error::Result;
use crate::types::Document;
use crate::types::time::Month;
use crate::vortex::{ShreddedBatch, Shredder, TableSchema};

/// Writes one data file of a state table from documents in ascending order of their ids, all of one month.
pub struct DocumentFileWriter<'s> {
    shredder: Shredder<'s>,
    writer: DataFileWriter,
}

impl<'s> DocumentFileWriter<'s> {
    /// A file of a table with these columns.
    pub fn new(columns: &'s TableSchema) -> Self {
        Self {
            shredder: Shredder::new(columns),
            writer: DataFileWriter::new(&Schema::state(columns), TableKind::State),
        }
    }

    /// Adds a document. On an error the file is not to be used.
    pub fn push(&mut self, document: &Document) -> Result<()> {
        self.shredder.push(document)?;
        if self.shredder.rows() >= ROW_GROUP_MAX_ROWS || self.shredder.bytes() >= ROW_GROUP_MAX_BYTES {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// How many documents were added.
    pub fn rows(&self) -> i64 {
        self.writer.rows().saturating_add(i64::try_from(self.shredder.rows()).unwrap_or(i64::MAX))
    }

    /// Bytes of the file so far, counting the row group that is not written yet by its text.
    pub fn approximate_bytes(&self) -> usize {
        self.writer.bytes_written().saturating_add(self.shredder.bytes())
    }

    /// Ends the file; see [`DataFileWriter::finish`].
    pub fn finish(mut self, key: impl FnOnce(Month) -> String) -> Result<(Vec<u8>, DataFile)> {
        self.end_row_group()?;
        self.writer.finish(key)
    }

    fn end_row_group(&mut self) -> Result<()> {
        let batch = self.shredder.take();
        write_batch(&mut self.writer, &batch)
    }
}

/// Adds a batch as a row group of a file whose schema is that of the batch.
pub fn write_batch(writer: &mut DataFileWriter, batch: &ShreddedBatch) -> Result<()> {
    let mut columns = vec![&batch.ids, &batch.sequences, &batch.timestamps];
    columns.extend(&batch.columns);
    columns.push(&batch.extra);
    writer.write_row_group(&columns, &batch.stray)
}
