//! Writing the log: the records of one transaction.

use std::rc::Rc;

use super::{ChangeLog, TABLE_PREFIX};
use crate::cdc::record::{Change, RecordWriter, reference_record};
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

    /// Logs that all `count` rows of a generation were deleted.
    pub fn push_rows(&mut self, collection: (CollectionId, &Rc<str>), generation: i64, count: i64) -> Result<()> {
        self.write()?;
        let number = u32::try_from(count).map_err(|_| {
            StorageError::new(
                ErrorKind::TooLarge,
                StorageTier::Hot,
                "drop collection",
                "expected fewer than 2^32 documents",
            )
        })?;
        if number == 0 {
            return Ok(());
        }
        let bytes = reference_record(self.next, self.timestamp, &self.context, collection, generation, number)?;
        self.next = self.next.saturating_add(count);
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
        let appended = self.log.appended_bytes.get().saturating_add(u64::try_from(record.len()).unwrap_or(u64::MAX));
        self.log.appended_bytes.set(appended);
        Ok(())
    }
}
