//! The tables of the change log.
//!
//! A generation is a table `log_{n}` keyed by (last sequence, part): one row a record, more when a record does not
//! fit one row. Generations follow each other without overlap, so that an archived one is dropped whole, which costs
//! no rows written.
//!
//! Invariants: the sequence has no gaps and no repeats, over restarts, failures and drops; commit times never
//! decrease along it; everything here is written in the transaction of the mutation that it tells of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::record::{Body, Change, Header, LoggedEvent, Record, RecordWriter, RowsReference, reference_record};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{LOG_CHUNK_MAX_BYTES, SCAN_PAGE_MAX_BYTES};
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::{ChangeContext, CollectionId, Document, Operation, Sequence, StorageTier, Timestamp};

/// Where [`ChangeLog::trim`] keeps the numbering.
const FLOOR_TABLE: &str = "CREATE TABLE log_floor (one INTEGER PRIMARY KEY CHECK (one = 1), \
     sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL) STRICT";
const TABLE_PREFIX: &str = "log_";
/// A generation is closed when it holds this many bytes, or is this old; an archived one can then be dropped.
const GENERATION_MAX_BYTES: i64 = 8 * 1024 * 1024;
const GENERATION_MAX_AGE_MS: i64 = 3_600_000;
/// Rows whose sizes are looked up before the rows themselves are read.
const SIZES_PAGE_ROWS: i64 = 500;

/// Where to go on reading rows that the log refers to.
#[derive(Clone, Copy, Debug)]
pub enum RowsPosition<'a> {
    /// After so many rows.
    Skip(i64),
    /// After the row with this id.
    After(&'a str),
}

/// Rows kept elsewhere that the log refers to.
pub trait ReferencedRows {
    /// The next rows in the order of ids, bounded in number and bytes; empty at the end.
    fn page(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>>;
}

/// A record's last sequence and its bytes.
type StoredRecord = (Sequence, Vec<u8>);

#[derive(Clone, Debug)]
struct LogState {
    /// Numbers of the generations' tables, ascending; the last one is appended to.
    generations: Vec<i64>,
    last_sequence: Sequence,
    last_timestamp: Timestamp,
    /// Bytes in the last generation, and the time of its first record.
    open_bytes: i64,
    open_since: Option<Timestamp>,
}

/// The change log of one object.
pub struct ChangeLog {
    sql: Rc<dyn SqlStore>,
    state: RefCell<Option<LogState>>,
    appended_bytes: Cell<u64>,
}

impl ChangeLog {
    /// The log in `sql`. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, state: RefCell::new(None), appended_bytes: Cell::new(0) }
    }

    /// Makes the first generation, within the object's first transaction.
    pub fn create(&self) -> Result<()> {
        self.sql.query(FLOOR_TABLE, &[])?;
        create_generation(self.sql.as_ref(), 1)?;
        self.forget();
        Ok(())
    }

    /// Drops what is remembered of the tables: called when a transaction that wrote here has failed.
    pub fn forget(&self) {
        self.state.replace(None);
    }

    /// The sequence of the last event; 0 before the first.
    pub fn last_sequence(&self) -> Result<Sequence> {
        self.with_state(|state| state.last_sequence)
    }

    /// The commit time of the last event; 0 before the first.
    pub fn last_timestamp(&self) -> Result<Timestamp> {
        self.with_state(|state| state.last_timestamp)
    }

    /// The oldest sequence that is still here, or the next to be given when none is.
    pub fn first_sequence(&self) -> Result<Sequence> {
        let state = self.state()?;
        for generation in &state.generations {
            let statement = format!("SELECT data FROM {TABLE_PREFIX}{generation} ORDER BY last, part LIMIT 1");
            if let Some(row) = self.sql.query(&statement, &[])?.into_iter().next() {
                return Ok(Header::read(&expect_blob(row.into_iter().next())?)?.first);
            }
        }
        Ok(state.last_sequence.saturating_add(1))
    }

    /// Starts the records of one transaction, within it. Time goes on from the last commit's.
    pub fn append(&self, now: Timestamp, context: &ChangeContext) -> Result<Appender<'_>> {
        let (last, last_timestamp) = self.with_state(|state| (state.last_sequence, state.last_timestamp))?;
        let timestamp = now.max(last_timestamp);
        let next = last.saturating_add(1);
        let record = RecordWriter::new(next, timestamp, context.clone());
        Ok(Appender { log: self, timestamp, first: next, next, context: context.clone(), record, bytes: 0 })
    }

    /// Visits the events after `after` and up to `through` in order, until the visitor breaks. Without `rows`, the
    /// events of rows that the log refers to are passed over.
    pub fn read(
        &self,
        after: Sequence,
        through: Sequence,
        rows: Option<&dyn ReferencedRows>,
        visit: &mut dyn FnMut(LoggedEvent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut cursor = Cursor { after, through, rows, visit };
        for generation in self.state()?.generations {
            while let Some(records) = self.page(generation, cursor.after)? {
                for (last, bytes) in records {
                    if cursor.record(&bytes)?.is_break() || last >= through {
                        return Ok(());
                    }
                    cursor.after = last;
                }
            }
        }
        Ok(())
    }

    /// The collections that the events after `after` and up to `through` belong to.
    pub fn collections_between(&self, after: Sequence, through: Sequence) -> Result<BTreeSet<CollectionId>> {
        let mut collections = BTreeSet::new();
        for generation in self.state()?.generations {
            let mut position = after;
            while let Some(records) = self.page(generation, position)? {
                for (last, bytes) in records {
                    let record = Record::read(&bytes)?;
                    if record.first > through {
                        return Ok(collections);
                    }
                    collections.extend(record.collection_ids());
                    position = last;
                }
            }
        }
        Ok(collections)
    }

    /// Bytes logged by this instance since it started: the difference of two calls is what came between.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.get()
    }

    /// The next whole records of a generation, some MiB at most; `None` at its end.
    fn page(&self, generation: i64, after: Sequence) -> Result<Option<Vec<StoredRecord>>> {
        let sizes = format!(
            "SELECT last, octet_length(data) FROM {TABLE_PREFIX}{generation} WHERE last > ? ORDER BY last, part LIMIT {SIZES_PAGE_ROWS}"
        );
        let mut through = None;
        let mut total = 0usize;
        for row in self.sql.query(&sizes, &[SqlParam::Integer(after)])? {
            let last = expect_integer(row.first())?;
            total = total.saturating_add(usize::try_from(expect_integer(row.get(1))?).unwrap_or(usize::MAX));
            if through.is_some_and(|through| through != last) && total > SCAN_PAGE_MAX_BYTES {
                break;
            }
            through = Some(last);
        }
        let Some(through) = through else { return Ok(None) };
        let statement = format!(
            "SELECT last, data FROM {TABLE_PREFIX}{generation} WHERE last > ? AND last <= ? ORDER BY last, part"
        );
        let mut records: Vec<StoredRecord> = Vec::new();
        for row in self.sql.query(&statement, &[SqlParam::Integer(after), SqlParam::Integer(through)])? {
            let last = expect_integer(row.first())?;
            let mut data = expect_blob(row.into_iter().nth(1))?;
            match records.last_mut() {
                Some((known, record)) if *known == last => record.append(&mut data),
                _ => records.push((last, data)),
            }
        }
        Ok(Some(records))
    }

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
    /// which rows they referred to. Their last sequence is kept, so that numbering goes on after a restart.
    pub fn trim(&self, through: Sequence) -> Result<Vec<RowsReference>> {
        let state = self.state()?;
        let mut released = Vec::new();
        let mut kept = state.generations.clone();
        while let [oldest, _, ..] = kept.as_slice() {
            let statement = format!("SELECT last FROM {TABLE_PREFIX}{oldest} ORDER BY last DESC, part DESC LIMIT 1");
            let rows = self.sql.query(&statement, &[])?;
            let last = rows.first().map(|row| expect_integer(row.first())).transpose()?;
            if last.is_some_and(|last| last > through) {
                break;
            }
            released.extend(self.references(*oldest)?);
            self.sql.query(&format!("DROP TABLE {TABLE_PREFIX}{oldest}"), &[])?;
            kept.remove(0);
        }
        if kept.len() < state.generations.len() {
            store_floor(self.sql.as_ref(), state.last_sequence, state.last_timestamp)?;
            if let Some(state) = self.state.borrow_mut().as_mut() {
                state.generations = kept;
            }
        }
        Ok(released)
    }

    /// The last sequence that no reader is kept waiting for any more: what is older than `oldest`, or beyond
    /// `max_bytes` of closed generations counted from the newest.
    pub fn beyond_bounds(&self, max_bytes: u64, oldest: Timestamp) -> Result<Sequence> {
        let generations = self.state()?.generations;
        let mut bytes = 0u64;
        for generation in generations.iter().rev().skip(1) {
            let statement = format!(
                "SELECT coalesce(max(last), 0), coalesce(sum(octet_length(data)), 0) FROM {TABLE_PREFIX}{generation}"
            );
            let rows = self.sql.query(&statement, &[])?;
            let last = expect_integer(rows.first().and_then(|row| row.first()))?;
            let size = expect_integer(rows.first().and_then(|row| row.get(1)))?;
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

    /// The rows that a generation's records refer to.
    fn references(&self, generation: i64) -> Result<Vec<RowsReference>> {
        let mut found = Vec::new();
        let mut after = 0;
        while let Some(records) = self.page(generation, after)? {
            for (last, bytes) in records {
                if let Body::Rows { reference, .. } = Record::read(&bytes)?.body {
                    found.push(reference);
                }
                after = last;
            }
        }
        Ok(found)
    }

    /// The number of closed generations: those that [`trim`](Self::trim) may drop.
    pub fn closed_generations(&self) -> Result<usize> {
        Ok(self.state()?.generations.len().saturating_sub(1))
    }

    fn state(&self) -> Result<LogState> {
        self.with_state(LogState::clone)
    }

    fn with_state<T>(&self, look: impl FnOnce(&LogState) -> T) -> Result<T> {
        if let Some(state) = self.state.borrow().as_ref() {
            return Ok(look(state));
        }
        let state = load(self.sql.as_ref())?;
        let seen = look(&state);
        self.state.replace(Some(state));
        Ok(seen)
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

    /// The sequence that the next event gets.
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Logs a change and returns its sequence.
    pub fn push(&mut self, change: &Change<'_>) -> Result<Sequence> {
        let sequence = self.next;
        self.record.push(change)?;
        self.next = sequence.saturating_add(1);
        if self.record.event_bytes() >= LOG_CHUNK_MAX_BYTES / 2 {
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

struct Cursor<'c> {
    after: Sequence,
    through: Sequence,
    rows: Option<&'c dyn ReferencedRows>,
    visit: &'c mut dyn FnMut(LoggedEvent) -> Result<ControlFlow<()>>,
}

impl Cursor<'_> {
    fn record(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>> {
        let record = Record::read(bytes)?;
        match record.body {
            Body::Events(mut events) => {
                while let Some(event) = events.next_event(self.after)? {
                    if event.sequence > self.through || (self.visit)(event)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Body::Rows { reference, ref collection } => self.referenced(&record, reference, collection),
        }
    }

    fn referenced(
        &mut self,
        record: &Record<'_>,
        reference: RowsReference,
        collection: &Rc<str>,
    ) -> Result<ControlFlow<()>> {
        let Some(rows) = self.rows else { return Ok(ControlFlow::Continue(())) };
        let skip = self.after.saturating_sub(record.first).saturating_add(1).max(0);
        let end = record.first.saturating_add(i64::from(record.count));
        let mut sequence = record.first.saturating_add(skip);
        let mut page = rows.page(reference, RowsPosition::Skip(skip))?;
        while let Some(last_id) = page.last().map(|row| row.id.clone()) {
            for row in page {
                if sequence > self.through {
                    return Ok(ControlFlow::Break(()));
                }
                let event = LoggedEvent {
                    sequence,
                    timestamp: record.timestamp,
                    operation: Operation::Delete,
                    collection_id: reference.collection,
                    collection: Rc::clone(collection),
                    document_id: row.id.clone(),
                    before: Some(row.into()),
                    after: None,
                    context: Rc::clone(&record.context),
                };
                if (self.visit)(event)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                sequence = sequence.saturating_add(1);
            }
            page = rows.page(reference, RowsPosition::After(&last_id))?;
        }
        if sequence == end {
            return Ok(ControlFlow::Continue(()));
        }
        Err(corrupt(format!("expected the rows of a dropped generation to reach sequence {end}, got {sequence}")))
    }
}

fn create_generation(sql: &dyn SqlStore, number: i64) -> Result<()> {
    let statement = format!(
        "CREATE TABLE {TABLE_PREFIX}{number} (last INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, \
         PRIMARY KEY (last, part)) STRICT, WITHOUT ROWID"
    );
    sql.query(&statement, &[])?;
    Ok(())
}

fn load(sql: &dyn SqlStore) -> Result<LogState> {
    let mut generations = Vec::new();
    for row in sql.query("SELECT name FROM sqlite_master WHERE type = 'table'", &[])? {
        let name = expect_text(row.into_iter().next())?;
        generations.extend(name.strip_prefix(TABLE_PREFIX).and_then(|number| number.parse::<i64>().ok()));
    }
    generations.sort_unstable();
    let (mut last_sequence, mut last_timestamp) = if generations.is_empty() { (0, 0) } else { load_floor(sql)? };
    for generation in generations.iter().rev() {
        let newest = format!(
            "SELECT data FROM {TABLE_PREFIX}{generation} WHERE last = (SELECT max(last) FROM {TABLE_PREFIX}{generation}) ORDER BY part"
        );
        let rows = sql.query(&newest, &[])?;
        if rows.is_empty() {
            continue;
        }
        let mut record = Vec::new();
        for row in rows {
            record.append(&mut expect_blob(row.into_iter().next())?);
        }
        let record = Record::read(&record)?;
        last_sequence = record.first.saturating_add(i64::from(record.count)).saturating_sub(1);
        last_timestamp = record.timestamp;
        break;
    }
    let (open_bytes, open_since) = match generations.last() {
        Some(open) => load_open(sql, *open)?,
        None => (0, None),
    };
    Ok(LogState { generations, last_sequence, last_timestamp, open_bytes, open_since })
}

fn load_open(sql: &dyn SqlStore, generation: i64) -> Result<(i64, Option<Timestamp>)> {
    let rows =
        sql.query(&format!("SELECT coalesce(sum(octet_length(data)), 0) FROM {TABLE_PREFIX}{generation}"), &[])?;
    let bytes = expect_integer(rows.first().and_then(|row| row.first()))?;
    let oldest = sql.query(&format!("SELECT data FROM {TABLE_PREFIX}{generation} ORDER BY last, part LIMIT 1"), &[])?;
    let since = match oldest.into_iter().next() {
        Some(row) => Some(Header::read(&expect_blob(row.into_iter().next())?)?.timestamp),
        None => None,
    };
    Ok((bytes, since))
}

/// The last sequence and time given before the oldest generation that is left.
fn load_floor(sql: &dyn SqlStore) -> Result<(Sequence, Timestamp)> {
    match sql.query("SELECT sequence, timestamp FROM log_floor", &[])?.first() {
        Some(row) => Ok((expect_integer(row.first())?, expect_integer(row.get(1))?)),
        None => Ok((0, 0)),
    }
}

fn store_floor(sql: &dyn SqlStore, sequence: Sequence, timestamp: Timestamp) -> Result<()> {
    sql.query(
        "INSERT INTO log_floor (one, sequence, timestamp) VALUES (1, ?, ?) \
         ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, timestamp = excluded.timestamp",
        &[SqlParam::Integer(sequence), SqlParam::Integer(timestamp)],
    )?;
    Ok(())
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read change log", message)
}
