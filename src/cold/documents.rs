//! Data files of state tables, from documents.
//!
//! A file is either sorted by id, or of parts: sequences of documents that each ascend by id, one after the other, as
//! segments come. Row groups know nothing of parts.

use super::data_file::{DataFile, FilePart};
use super::parquet_write::{DataFileWriter, ROW_GROUP_MAX_BYTES, ROW_GROUP_MAX_ROWS};
use super::schema::{Schema, TableKind};
use crate::config::Compression;
use crate::error::Result;
use crate::types::Document;
use crate::types::time::Month;
use crate::vortex::{ShreddedBatch, Shredder, TableSchema};

/// Writes one data file of a state table from documents of one month.
pub struct DocumentFileWriter<'s> {
    shredder: Shredder<'s>,
    writer: DataFileWriter,
    /// Rows of the parts that are ended.
    ended: i64,
}

impl<'s> DocumentFileWriter<'s> {
    /// A sorted file of a table with these columns: the documents come in ascending order of their ids.
    pub fn new(columns: &'s TableSchema) -> Self {
        Self::with(columns, DataFileWriter::new(&Schema::state(columns), TableKind::State))
    }

    /// A file of parts: the documents of each part, which [`end_part`](Self::end_part) ends, come in ascending order of
    /// their ids, which is not checked.
    pub fn of_parts(columns: &'s TableSchema) -> Self {
        Self::with(columns, DataFileWriter::of_parts(&Schema::state(columns), TableKind::State))
    }

    fn with(columns: &'s TableSchema, writer: DataFileWriter) -> Self {
        let renamed = columns.columns().iter().filter(|column| column.renamed.is_some());
        let fields = renamed.map(|column| (column.id, column.name.clone())).collect();
        Self { shredder: Shredder::new(columns), writer: writer.holding(fields), ended: 0 }
    }

    /// The same with another codec than the default; to be said before the first document.
    pub fn compressed_by(self, compression: Compression) -> Self {
        Self { writer: self.writer.compressed_by(compression), ..self }
    }

    /// Adds a document. On an error the file is not to be used.
    pub fn push(&mut self, document: &Document) -> Result<()> {
        self.shredder.push(document)?;
        if self.shredder.rows() >= ROW_GROUP_MAX_ROWS || self.shredder.bytes() >= ROW_GROUP_MAX_BYTES {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Says that the documents added since the part before are one part, known by `number`. A part without documents, a
    /// document without a part, and a part of a sorted file make [`finish`](Self::finish) refuse the file.
    pub fn end_part(&mut self, number: i64) {
        let rows = self.rows();
        self.writer.end_part(FilePart { number, rows: rows.saturating_sub(self.ended) });
        self.ended = rows;
    }

    /// Ends the row group if it has so many bytes of text.
    pub fn end_row_group_of(&mut self, bytes: usize) -> Result<()> {
        if self.shredder.bytes() < bytes { Ok(()) } else { self.end_row_group() }
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
