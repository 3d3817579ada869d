//! The access log: who did what, and what came of it.
//!
//! A write that was done is told by its record of the change log, at no row of its own; when that is trimmed, what it tells of
//! accesses is packed first. Refusals and what is done besides are kept in memory, bounded in number and bytes, and packed
//! by the alarm or when there are many; what did not fit is counted, and the count is an entry.
//!
//! Packs are rows of tables of thirty days each, which refuse to be changed and are dropped whole once they are old enough,
//! at no row written. Packs are numbered by stream and time, so that a page begins with the pack that has its first entry.
//! Invariants: a table is only ever appended to; in each stream, that of writes and that of the rest, entries ascend by time
//! and place, and so do the numbers of packs.

mod number;
mod pack;
mod page;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

pub use pack::{AccessEntry, AccessKey, pack, unpack};
pub use page::{AccessFilter, AccessPage, Gathering};

use crate::error::Result;
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::Timestamp;

/// What the names of its tables begin with.
pub const TABLE_PREFIX: &str = "access_";
const DAY_MS: Timestamp = 86_400_000;
/// The last moment that a statement can be asked about: numbers bound to one have 53 bits.
const FAR_MS: Timestamp = (1 << 53) - 1;
/// How long the entries of one table may span.
const PERIOD_MS: Timestamp = 30 * DAY_MS;
/// A pack ends at so many entries, or at so many bytes.
const PACK_MAX_ENTRIES: usize = 1_000;
const PACK_MAX_BYTES: usize = 256 * 1024;
/// What waits in memory, at most.
const BUFFER_MAX_ENTRIES: usize = 1_000;
const BUFFER_MAX_BYTES: usize = 256 * 1024;
/// Packs that are written because much waits are so far apart: refused calls do not make the object write.
const PACK_PAUSE_MS: Timestamp = 10_000;
/// How long an entry waits in memory, about: an alarm is a row written.
const WAIT_MS: Timestamp = 5_000;
/// Bytes of packs of one table beyond which what is not an action of an admin is only counted: refused calls never fill the
/// object, whoever makes them.
const TABLE_MAX_BYTES: i64 = 16 * 1024 * 1024;
/// The action of an entry that says that others are missing.
const MISSING: &str = "entries not kept";

/// The streams of entries: each is in order by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Writes of the change log.
    Writes,
    /// The rest.
    Others,
}

impl Stream {
    fn number(self) -> i64 {
        match self {
            Self::Writes => 0,
            Self::Others => 1,
        }
    }
}

#[derive(Default)]
struct Buffer {
    entries: Vec<AccessEntry>,
    bytes: usize,
    missing: u64,
    /// When the first of it came.
    since: Option<Timestamp>,
}

/// The access log of one object.
pub struct AccessLog {
    sql: Rc<dyn SqlStore>,
    buffer: RefCell<Buffer>,
    packed_at: Cell<Option<Timestamp>>,
    /// Key of the entry that was noted last.
    last: Cell<AccessKey>,
}

impl AccessLog {
    /// The access log in `sql`. Its tables are made by the first pack.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, buffer: RefCell::default(), packed_at: Cell::new(None), last: Cell::new((0, i64::MIN)) }
    }

    /// Keeps an entry that is in no record of the change log; its place is given here. One beyond the bounds is counted.
    pub fn note(&self, mut entry: AccessEntry) {
        (entry.timestamp, entry.order) = self.next_key(entry.timestamp);
        let mut buffer = self.buffer.borrow_mut();
        buffer.since.get_or_insert(entry.timestamp);
        let bytes = buffer.bytes.saturating_add(entry.size());
        if buffer.entries.len() >= BUFFER_MAX_ENTRIES || bytes > BUFFER_MAX_BYTES {
            buffer.missing = buffer.missing.saturating_add(1);
            return;
        }
        buffer.bytes = bytes;
        buffer.entries.push(entry);
    }

    /// Counts entries that cannot be told any more.
    pub fn note_missing(&self) {
        let mut buffer = self.buffer.borrow_mut();
        buffer.missing = buffer.missing.saturating_add(1);
    }

    /// Whether what waits may be packed now, although no admin has done it: not so often. Where the table has very many packs
    /// already, what waits is only counted.
    pub fn may_pack(&self, now: Timestamp) -> Result<bool> {
        if self.packed_at.get().is_some_and(|at| now.saturating_sub(at) < PACK_PAUSE_MS) {
            return Ok(false);
        }
        let period = now.div_euclid(PERIOD_MS).max(0);
        if !self.periods()?.contains(&period) {
            return Ok(true);
        }
        let size = format!("SELECT coalesce(sum(octet_length(data)), 0) FROM {TABLE_PREFIX}{period} WHERE stream = ?");
        let rows = self.sql.query(&size, &[SqlParam::Integer(Stream::Others.number())])?;
        if expect_integer(rows.first().and_then(|row| row.first()))? < TABLE_MAX_BYTES {
            return Ok(true);
        }
        let mut buffer = self.buffer.borrow_mut();
        let missing = buffer.missing.saturating_add(u64::try_from(buffer.entries.len()).unwrap_or(u64::MAX));
        *buffer = Buffer { missing, ..Buffer::default() };
        self.packed_at.set(Some(now));
        Ok(false)
    }

    /// Keys ascend, also over a restart within a millisecond: places begin anew with the time in microseconds.
    fn next_key(&self, now: Timestamp) -> AccessKey {
        let (last_at, last_order) = self.last.get();
        let at = now.max(last_at);
        let fresh = i64::MIN.saturating_add(at.saturating_mul(1_000));
        let order = if at == last_at { last_order.saturating_add(1).max(fresh) } else { fresh };
        self.last.set((at, order));
        (at, order)
    }

    /// When what waits is to be packed; `None` when nothing waits.
    pub fn due(&self) -> Option<Timestamp> {
        let rested = self.packed_at.get().map_or(Timestamp::MIN, |at| at.saturating_add(PACK_PAUSE_MS));
        self.buffer.borrow().since.map(|since| since.saturating_add(WAIT_MS).max(rested))
    }

    /// Whether so much waits that it is to be packed before.
    pub fn is_crowded(&self) -> bool {
        let buffer = self.buffer.borrow();
        buffer.missing > 0 || buffer.entries.len() >= BUFFER_MAX_ENTRIES / 2 || buffer.bytes >= BUFFER_MAX_BYTES / 2
    }

    /// Writes what waits into a pack, and an entry after it, within a transaction; [`packed`](Self::packed) is for when it has
    /// committed.
    pub fn pack_waiting(&self, now: Timestamp, last: Option<AccessEntry>) -> Result<()> {
        let (mut entries, missing) = {
            let buffer = self.buffer.borrow();
            (buffer.entries.clone(), buffer.missing)
        };
        if missing > 0 {
            let (timestamp, order) = self.next_key(now);
            let action = MISSING.to_owned();
            entries.push(AccessEntry { timestamp, order, action, events: Some(missing), ..AccessEntry::default() });
        }
        if let Some(mut last) = last {
            (last.timestamp, last.order) = self.next_key(last.timestamp);
            entries.push(last);
        }
        self.store(Stream::Others, &entries)
    }

    /// Forgets what was packed: everything, as nothing came in between.
    pub fn packed(&self, now: Timestamp) {
        self.buffer.take();
        self.packed_at.set(Some(now));
    }

    /// Appends entries, in packs.
    pub fn store(&self, stream: Stream, entries: &[AccessEntry]) -> Result<()> {
        let mut rest = entries;
        while !rest.is_empty() {
            let mut bytes = 0_usize;
            let fit = rest.iter().take(PACK_MAX_ENTRIES).take_while(|entry| {
                let first = bytes == 0;
                bytes = bytes.saturating_add(entry.size());
                first || bytes <= PACK_MAX_BYTES
            });
            let (taken, after) = rest.split_at(fit.count());
            self.store_pack(stream, taken)?;
            rest = after;
        }
        Ok(())
    }

    fn store_pack(&self, stream: Stream, entries: &[AccessEntry]) -> Result<()> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let period = last.timestamp.div_euclid(PERIOD_MS).max(0);
        let table = format!("{TABLE_PREFIX}{period}");
        self.sql.query(
            &format!(
                "CREATE TABLE IF NOT EXISTS {table} (pack INTEGER PRIMARY KEY, stream INTEGER NOT NULL, \
                 first INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL) STRICT"
            ),
            &[],
        )?;
        for change in ["UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TRIGGER IF NOT EXISTS {table}_no_{change} BEFORE {change} ON {table} \
                 BEGIN SELECT RAISE(ABORT, 'the access log is only ever appended to'); END"
            );
            self.sql.query(&trigger, &[])?;
        }
        let (begin, end) = number::range(stream);
        let newest = format!("SELECT pack FROM {table} WHERE pack >= ? AND pack < ? ORDER BY pack DESC LIMIT 1");
        let rows = self.sql.query(&newest, &[SqlParam::Integer(begin), SqlParam::Integer(end)])?;
        let newest = rows.first().map(|row| expect_integer(row.first())).transpose()?;
        let number = number::of(stream, period, last.timestamp);
        let number = newest.map_or(number, |newest| number.max(newest.saturating_add(1)));
        let params = [
            SqlParam::Integer(number),
            SqlParam::Integer(stream.number()),
            SqlParam::Integer(first.timestamp),
            SqlParam::Integer(last.timestamp),
            SqlParam::Blob(&pack(entries)?),
        ];
        let insert = format!("INSERT INTO {table} (pack, stream, first, last, data) VALUES (?, ?, ?, ?, ?)");
        self.sql.query(&insert, &params)?;
        Ok(())
    }

    /// Drops, within a transaction, the tables whose entries are all older than is kept.
    pub fn drop_old(&self, keep_days: i64, now: Timestamp) -> Result<()> {
        let oldest = now.saturating_sub(keep_days.saturating_mul(DAY_MS));
        for period in self.periods()? {
            if period.saturating_add(1).saturating_mul(PERIOD_MS) <= oldest {
                self.sql.query(&format!("DROP TABLE {TABLE_PREFIX}{period}"), &[])?;
            }
        }
        Ok(())
    }

    /// The periods that have a table, ascending.
    fn periods(&self) -> Result<Vec<i64>> {
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'access_[0-9]*'";
        let mut periods = Vec::new();
        for row in self.sql.query(tables, &[])? {
            let name = expect_text(row.into_iter().next())?;
            periods.extend(name.strip_prefix(TABLE_PREFIX).and_then(|number| number.parse::<i64>().ok()));
        }
        periods.sort_unstable();
        Ok(periods)
    }

    /// Visits the packed entries of a stream that a page may want, in order, and those that wait.
    pub fn gather(&self, stream: Stream, into: &mut Gathering<'_>) -> Result<()> {
        let (from, to) = into.bounds();
        let [from, to] = [from, to].map(|at| at.clamp(0, FAR_MS));
        let (begin, end) = number::range(stream);
        for period in self.periods()? {
            if period.saturating_add(1).saturating_mul(PERIOD_MS) <= from {
                continue;
            }
            let begin = begin.max(number::of(stream, period, from));
            // Those without a number of their stream are older than all others of their table.
            for range in [(0, number::FIRST), (begin, end)] {
                if self.gather_packs((stream, period), range, (from, to), into)?.is_break() {
                    return Ok(());
                }
            }
        }
        if stream == Stream::Others {
            self.buffer.borrow().entries.iter().for_each(|entry| into.take(entry.clone()));
        }
        Ok(())
    }

    /// Visits the packs of a table with numbers in a range; a break where no later one is wanted.
    fn gather_packs(
        &self,
        (stream, period): (Stream, i64),
        (mut begin, end): (i64, i64),
        (from, to): (Timestamp, Timestamp),
        into: &mut Gathering<'_>,
    ) -> Result<ControlFlow<()>> {
        let select = format!(
            "SELECT pack, first, data FROM {TABLE_PREFIX}{period} WHERE pack >= ? AND pack < ? AND stream = ? AND last >= ? ORDER BY pack LIMIT 1"
        );
        loop {
            let params = [begin, end, stream.number(), from].map(SqlParam::Integer);
            let Some(row) = self.sql.query(&select, &params)?.into_iter().next() else {
                return Ok(ControlFlow::Continue(()));
            };
            begin = expect_integer(row.first())?.saturating_add(1);
            let is_later = expect_integer(row.get(1))? > to;
            if !is_later {
                let bytes = expect_blob(row.into_iter().nth(2))?;
                into.looked_at(bytes.len());
                unpack(&bytes)?.into_iter().for_each(|entry| into.take(entry));
            }
            if is_later || into.is_done() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}
