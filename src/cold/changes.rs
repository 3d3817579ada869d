//! Data files of change-log tables, from change events.
//!
//! The columns are those of [`Schema::changes`]; the collection is told by the table.

use std::borrow::Cow;
use std::str::FromStr;

use uuid::Uuid;

use super::data_file::DataFile;
use super::parquet_write::DataFileWriter;
use super::schema::{Schema, TableKind, change_fields};
use crate::config::Compression;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::time::{MICROS_PER_MILLI, Month};
use crate::types::{CdcEvent, ChangeContext, Operation, Sequence, StorageTier};
use crate::vortex::{Column, Scalar, StrayFields};

/// Row groups of a change log are small: its readers take a page of events at a time, and decode whole groups.
const CHANGES_GROUP_MAX_ROWS: usize = 4_096;
const CHANGES_GROUP_MAX_BYTES: usize = 2 * 1024 * 1024;

/// One event of a change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The event.
    pub event: CdcEvent,
    /// The version that its before-image is, where known.
    pub before_sequence: Option<Sequence>,
}

/// Writes one data file of a change-log table from events in ascending order of their sequences, all of one month.
pub struct ChangesFileWriter {
    schema: Schema,
    columns: Vec<Column>,
    bytes: usize,
    writer: DataFileWriter,
}

impl Default for ChangesFileWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ChangesFileWriter {
    /// A file without events.
    pub fn new() -> Self {
        let schema = Schema::changes();
        let columns = empty_columns(&schema);
        let writer = DataFileWriter::new(&schema, TableKind::Changes);
        Self { schema, columns, bytes: 0, writer }
    }

    /// The same with another codec than the default; to be said before the first event.
    pub fn compressed_by(self, compression: Compression) -> Self {
        Self { writer: self.writer.compressed_by(compression), ..self }
    }

    /// Adds an event. On an error the file is not to be used.
    pub fn push(&mut self, record: &ChangeRecord) -> Result<()> {
        let event = &record.event;
        let timestamp = event.timestamp.checked_mul(MICROS_PER_MILLI);
        let timestamp = timestamp.ok_or_else(|| unfit("a time that fits microseconds"))?;
        let id = event.id.hyphenated().to_string();
        let row = [
            Some(Scalar::Long(event.sequence)),
            Some(text(&id)),
            Some(text(event.operation.name())),
            Some(text(&event.document_id)),
            Some(Scalar::Long(timestamp)),
            event.before.as_deref().map(text),
            event.after.as_deref().map(text),
            record.before_sequence.map(Scalar::Long),
            event.context.source.as_deref().map(text),
            event.context.correlation_id.as_deref().map(text),
        ];
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push_option(value)?;
        }
        let images = [&event.before, &event.after];
        let images = images.into_iter().flatten().fold(0_usize, |bytes, image| bytes.saturating_add(image.len()));
        self.bytes = self.bytes.saturating_add(images).saturating_add(event.document_id.len());
        let rows = self.columns.first().map_or(0, Column::rows);
        if rows >= CHANGES_GROUP_MAX_ROWS || self.bytes >= CHANGES_GROUP_MAX_BYTES {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Bytes of the file so far, counting the row group that is not written yet by its text.
    pub fn approximate_bytes(&self) -> usize {
        self.writer.bytes_written().saturating_add(self.bytes)
    }

    /// Ends the file; see [`DataFileWriter::finish`].
    pub fn finish(mut self, key: impl FnOnce(Month) -> String) -> Result<(Vec<u8>, DataFile)> {
        self.end_row_group()?;
        self.writer.finish(key)
    }

    fn end_row_group(&mut self) -> Result<()> {
        self.bytes = 0;
        let columns = std::mem::replace(&mut self.columns, empty_columns(&self.schema));
        self.writer.write_row_group(&columns.iter().collect::<Vec<_>>(), &StrayFields::None)
    }
}

fn empty_columns(schema: &Schema) -> Vec<Column> {
    schema.fields.iter().map(|field| Column::new(field.field_type)).collect()
}

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(Cow::Borrowed(text))
}

/// The event in a row of a file's columns, which are those of [`Schema::changes`] in its order.
pub(super) fn record(collection: &str, row: [Option<Scalar<'_>>; change_fields::COUNT]) -> Result<ChangeRecord> {
    let [sequence, id, operation, document_id, timestamp, before, after, before_sequence, source, correlation_id] = row;
    let required = |value: Option<String>| value.ok_or_else(|| unreadable("a required text, got null"));
    let long = |value: Option<Scalar<'_>>| match value {
        Some(Scalar::Long(value)) => Some(value),
        _ => None,
    };
    let operation = match required(owned(operation))?.as_str() {
        "INSERT" => Operation::Insert,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        _ => return Err(unreadable("an operation INSERT, UPDATE or DELETE, got another")),
    };
    let micros = long(timestamp).ok_or_else(|| unreadable("a timestamp, got null"))?;
    let event = CdcEvent {
        id: Uuid::from_str(&required(owned(id))?)
            .map_err(|error| unreadable("an event id that is a UUID, got another").caused_by(error))?,
        operation,
        collection: collection.to_owned(),
        document_id: required(owned(document_id))?,
        timestamp: micros.div_euclid(MICROS_PER_MILLI),
        sequence: long(sequence).ok_or_else(|| unreadable("a sequence, got null"))?,
        before: owned(before),
        after: owned(after),
        // Follows from the two images; whoever serves the event works it out as it does for the hot log.
        changed_fields: None,
        context: ChangeContext { source: owned(source), correlation_id: owned(correlation_id), access: None },
    };
    Ok(ChangeRecord { event, before_sequence: long(before_sequence) })
}

fn owned(value: Option<Scalar<'_>>) -> Option<String> {
    match value {
        Some(Scalar::Text(text)) => Some(text.into_owned()),
        _ => None,
    }
}

fn unfit(expected: &str) -> StorageError {
    let message = format!("expected an event with {expected}");
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write change log", message)
}

fn unreadable(expected: &str) -> StorageError {
    let message = format!("expected {expected}");
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read change log", message)
}
