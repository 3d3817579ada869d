//! The life of the log's tables: opened, closed when large or old, and dropped whole.

use super::{ChangeLog, TABLE_PREFIX};
use crate::cdc::access_log::Stream;
use crate::cdc::record::{Body, Header, Record, RowsReference};
use crate::error::{ErrorKind, Result};
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer};
use crate::types::{Sequence, Timestamp};

/// A generation is closed when it holds this many bytes, or is this old; an archived one can then be dropped.
const GENERATION_MAX_BYTES: i64 = 8 * 1024 * 1024;
const GENERATION_MAX_AGE_MS: i64 = 3_600_000;
/// What stays of archived generations: the newest, this many bytes, this long after their last event.
const TAIL_MAX_BYTES: i64 = 32 * 1024 * 1024;
const TAIL_MAX_AGE_MS: i64 = 3_600_000;

impl ChangeLog {
    /// Whether the open generation is large or old enough to be closed.
    pub fn is_rotation_due(&self, now: Timestamp) -> Result<bool> {
        self.with_state(|state| {
            let aged = state.open_since.is_some_and(|since| now.saturating_sub(since) >= GENERATION_MAX_AGE_MS);
            aged || state.open_bytes >= GENERATION_MAX_BYTES
        })
    }

    /// Starts a new generation, within a transaction, when that is due.
    pub fn rotate(&self, now: Timestamp) -> Result<()> {
        if !self.is_rotation_due(now)? {
            return Ok(());
        }
        let state = self.state()?;
        let next = state.generations.last().copied().unwrap_or(0).saturating_add(1);
        create_generation(self.sql.as_ref(), next)?;
        if let Some(state) = self.state.borrow_mut().as_mut() {
            state.generations.push(next);
            state.open_bytes = 0;
            state.open_since = None;
        }
        Ok(())
    }

    /// Drops, within a transaction, the closed generations whose events are all at or below `through`, and says
    /// which dropped collections they referred to. Young ones are kept for readers that are not far behind, up to a number of bytes.
    /// The last sequence is kept, so that numbering goes on after a restart.
    pub fn trim(&self, through: Sequence, now: Timestamp) -> Result<Vec<RowsReference>> {
        let state = self.state()?;
        let closed = state.generations.len().saturating_sub(1);
        let mut surplus = Vec::new();
        let mut bytes = 0i64;
        for generation in state.generations.iter().take(closed).rev() {
            let (last, size) = self.extent(*generation)?;
            bytes = bytes.saturating_add(size);
            let young =
                self.timestamp_of(*generation, last)?.is_some_and(|at| now.saturating_sub(at) < TAIL_MAX_AGE_MS);
            if last <= through && !(young && bytes <= TAIL_MAX_BYTES) {
                surplus.push(*generation);
            }
        }
        let mut released = Vec::new();
        // What they tell of accesses is packed in its order: the oldest comes first.
        for generation in surplus.iter().rev() {
            released.extend(self.release(*generation)?);
            self.sql.query(&format!("DROP TABLE {TABLE_PREFIX}{generation}"), &[])?;
        }
        if !surplus.is_empty() {
            store_floor(self.sql.as_ref(), state.last_sequence, state.last_timestamp)?;
            if let Some(state) = self.state.borrow_mut().as_mut() {
                state.generations.retain(|generation| !surplus.contains(generation));
            }
        }
        Ok(released)
    }

    /// The last sequence of a generation, and its bytes.
    fn extent(&self, generation: i64) -> Result<(Sequence, i64)> {
        let statement = format!(
            "SELECT coalesce(max(last), 0), coalesce(sum(octet_length(data)), 0) FROM {TABLE_PREFIX}{generation}"
        );
        let rows = self.sql.query(&statement, &[])?;
        let row = rows.first();
        Ok((expect_integer(row.and_then(|row| row.first()))?, expect_integer(row.and_then(|row| row.get(1)))?))
    }

    /// The last sequence that no reader is kept waiting for any more: what is older than `oldest`, or beyond
    /// `max_bytes` of closed generations counted from the newest.
    pub fn beyond_bounds(&self, max_bytes: u64, oldest: Timestamp) -> Result<Sequence> {
        let generations = self.state()?.generations;
        let mut bytes = 0u64;
        for generation in generations.iter().rev().skip(1) {
            let (last, size) = self.extent(*generation)?;
            bytes = bytes.saturating_add(u64::try_from(size).unwrap_or(0));
            if bytes > max_bytes || self.timestamp_of(*generation, last)?.is_some_and(|timestamp| timestamp < oldest) {
                return Ok(last);
            }
        }
        Ok(0)
    }

    fn timestamp_of(&self, generation: i64, last: Sequence) -> Result<Option<Timestamp>> {
        let statement = format!("SELECT data FROM {TABLE_PREFIX}{generation} WHERE last = ? AND part = 0");
        let row = self.sql.query(&statement, &[SqlParam::Integer(last)])?.into_iter().next();
        row.map(|row| Ok(Header::read(&expect_blob(row.into_iter().next())?)?.timestamp)).transpose()
    }

    /// Packs what all records tell of accesses, within the transaction that drops them. What is damaged is no reason to keep
    /// it: it is said that entries are missing.
    pub fn release_all(&self, now: Timestamp) -> Result<()> {
        for generation in self.state()?.generations {
            match self.release(generation) {
                Err(error) if error.kind() == ErrorKind::Corrupt => self.access.note_missing(),
                released => released.map(|_| ())?,
            }
        }
        self.access.pack_waiting(now, None)
    }

    /// The dropped collections that a generation's records refer to; what they tell of accesses is packed.
    fn release(&self, generation: i64) -> Result<Vec<RowsReference>> {
        let mut found = Vec::new();
        let mut accesses = Vec::new();
        let mut after = 0;
        while let Some(records) = self.page(generation, after, SCAN_PAGE_MAX_BYTES)? {
            for (last, bytes) in records {
                let record = Record::read(&bytes)?;
                if let Body::Rows { reference, .. } = &record.body {
                    found.push(*reference);
                }
                accesses.extend(record.into_access()?);
                after = last;
            }
        }
        self.access.store(Stream::Writes, &accesses)?;
        Ok(found)
    }

    /// The number of closed generations: those that [`trim`](Self::trim) may drop.
    pub fn closed_generations(&self) -> Result<usize> {
        Ok(self.state()?.generations.len().saturating_sub(1))
    }
}

pub(super) fn create_generation(sql: &dyn SqlStore, number: i64) -> Result<()> {
    let statement = format!(
        "CREATE TABLE {TABLE_PREFIX}{number} (last INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, \
         PRIMARY KEY (last, part)) STRICT, WITHOUT ROWID"
    );
    sql.query(&statement, &[])?;
    Ok(())
}

pub(super) fn store_floor(sql: &dyn SqlStore, sequence: Sequence, timestamp: Timestamp) -> Result<()> {
    sql.query(
        "INSERT INTO log_floor (one, sequence, timestamp) VALUES (1, ?, ?) \
         ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, timestamp = excluded.timestamp",
        &[SqlParam::Integer(sequence), SqlParam::Integer(timestamp)],
    )?;
    Ok(())
}
