//! Writing the log: the records of one transaction.

use std::rc::Rc;

use super::{ChangeLog, TABLE_PREFIX};
use crate::cdc::record::{Change, RecordWriter, reference_record};
use crate::cdc::segment_events::{InlineEvent, SegmentRecord};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::LOG_CHUNK_MAX_BYTES;
use crate::ports::SqlParam;
use crate::types::{ChangeContext, CollectionId, Sequence, StorageTier, Timestamp};

/// A record ends when its events have this many bytes: few rows for a large transaction, and little to read for a page
/// of events. One with a larger event is as large as that.
const RECORD_TARGET_BYTES: usize = 256 * 1024;

impl ChangeLog {
    /// Starts the records of one transaction, within it. Time goes on from the last commit's.
    pub fn append(&self, now: Timestamp, context: &ChangeContext) -> Result<Appender<'_>> {
        let (last, last_timestamp) = self.with_state(|state| (state.last_sequence, state.last_timestamp))?;
        let timestamp = now.max(last_timestamp);
        let next = last.saturating_add(1);
        let record = RecordWriter::new(next, timestamp, context.clone());
        Ok(Appender { log: self, timestamp, first: next, next, context: context.clone(), record, bytes: 0 })
    }
}

/// The records of one transaction.
pub struct Appender<'l> {
    log: &'l ChangeLog,
    timestamp: Timestamp,
    first: Sequence,
    next: Sequence,
    context: ChangeContext,
    record: RecordWriter,
    bytes: usize,
}

impl Appender<'_> {
    /// The commit time of the transaction.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Logs a change and returns its sequence.
    pub fn push(&mut self, change: &Change<'_>) -> Result<Sequence> {
        let sequence = self.next;
        self.record.push(change)?;
        self.next = sequence.saturating_add(1);
        if self.record.event_bytes() >= RECORD_TARGET_BYTES {
            self.write()?;
        }
        Ok(sequence)
    }

    /// The sequence that the next event gets.
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Logs the next `count` events: those in `inline`, and for every other sequence the insert of the document that has it
    /// as its version in the segment. `bytes` is what the segment takes, which waits to be archived like the log.
    pub fn push_segment(
        &mut self,
        collection: (CollectionId, &Rc<str>),
        segment: i64,
        count: usize,
        bytes: usize,
        inline: &[InlineEvent],
    ) -> Result<()> {
        self.write()?;
        let end = self.next.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        let mut rest = inline;
        while self.next < end {
            let (taken, after) = rest.split_at(fitting(rest));
            let through = after.first().map_or(end, |event| event.sequence);
            let count = u32::try_from(through.saturating_sub(self.next)).map_err(|_| too_many())?;
            let record = SegmentRecord {
                first: self.next,
                count,
                timestamp: self.timestamp,
                context: &self.context,
                collection,
                segment,
                inline: taken,
            };
            let record = record.to_bytes()?;
            self.next = through;
            self.store(&record)?;
            rest = after;
        }
        self.log.note_appended(bytes);
        self.record = RecordWriter::new(self.next, self.timestamp, self.context.clone());
        Ok(())
    }

    /// Logs that all `count` documents of a collection's life were deleted.
    pub fn push_rows(&mut self, collection: (CollectionId, &Rc<str>), life: i64, count: i64) -> Result<()> {
        self.write()?;
        let number = u32::try_from(count).map_err(|_| too_many())?;
        if number == 0 {
            return Ok(());
        }
        let bytes = reference_record(self.next, self.timestamp, &self.context, collection, life, number)?;
        self.next = self.next.saturating_add(count);
        self.record = RecordWriter::new(self.next, self.timestamp, self.context.clone());
        self.store(&bytes)
    }

    /// Ends the transaction's records: the first and the last sequence; `None` when nothing was logged.
    pub fn finish(mut self) -> Result<Option<(Sequence, Sequence)>> {
        self.write()?;
        let last = self.next.saturating_sub(1);
        if last < self.first {
            return Ok(None);
        }
        if let Some(state) = self.log.state.borrow_mut().as_mut() {
            state.last_sequence = last;
            state.last_timestamp = self.timestamp;
            state.open_bytes = state.open_bytes.saturating_add(i64::try_from(self.bytes).unwrap_or(i64::MAX));
            state.open_since.get_or_insert(self.timestamp);
        }
        Ok(Some((self.first, last)))
    }

    fn write(&mut self) -> Result<()> {
        if self.record.count() == 0 {
            return Ok(());
        }
        let next = RecordWriter::new(self.next, self.timestamp, self.context.clone());
        let bytes = std::mem::replace(&mut self.record, next).finish()?;
        self.store(&bytes)
    }

    fn store(&mut self, record: &[u8]) -> Result<()> {
        let generation = self.log.with_state(|state| state.generations.last().copied().unwrap_or(1))?;
        let statement = format!("INSERT INTO {TABLE_PREFIX}{generation} (last, part, data) VALUES (?, ?, ?)");
        let last = self.next.saturating_sub(1);
        for (part, chunk) in (0i64..).zip(record.chunks(LOG_CHUNK_MAX_BYTES)) {
            self.log
                .sql
                .query(&statement, &[SqlParam::Integer(last), SqlParam::Integer(part), SqlParam::Blob(chunk)])?;
        }
        self.bytes = self.bytes.saturating_add(record.len());
        self.log.note_appended(record.len());
        Ok(())
    }
}

/// How many of the events fit one record; at least one.
fn fitting(events: &[InlineEvent]) -> usize {
    let mut bytes = 0usize;
    let fit = events.iter().take_while(|event| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(event.size()).saturating_add(1);
        first || bytes <= RECORD_TARGET_BYTES
    });
    fit.count()
}

fn too_many() -> StorageError {
    StorageError::new(
        ErrorKind::TooLarge,
        StorageTier::Hot,
        "log changes",
        "expected fewer than 2^32 documents at once",
    )
}
