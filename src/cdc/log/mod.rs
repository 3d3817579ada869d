//! The tables of the change log.
//!
//! A generation is a table `log_{n}` keyed by (last sequence, part): one row a record, more when a record does not
//! fit one row. Generations follow each other without overlap, so that an archived one is dropped whole, which costs
//! no rows written.
//!
//! Invariants: the sequence has no gaps and no repeats, over restarts, failures and drops; commit times never
//! decrease along it; everything here is written in the transaction of the mutation that it tells of.

mod access;
mod append;
mod generations;
mod history;
mod read;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use append::Appender;
pub use read::{Referenced, References, RowsPosition};

use self::generations::{create_generation, store_floor};
use super::access_log::AccessLog;
use super::bell::Bell;
use super::record::{Header, Record};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::{Sequence, StorageTier, Timestamp};

/// Where [`ChangeLog::trim`] keeps the numbering.
const FLOOR_TABLE: &str = "CREATE TABLE log_floor (one INTEGER PRIMARY KEY CHECK (one = 1), \
     sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL) STRICT";
const TABLE_PREFIX: &str = "log_";

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

/// What was remembered of the log's tables at some moment.
pub struct Remembered(Option<LogState>);

/// The change log of one object.
pub struct ChangeLog {
    sql: Rc<dyn SqlStore>,
    state: RefCell<Option<LogState>>,
    appended_bytes: Cell<u64>,
    bell: Rc<Bell>,
    /// The last sequence that the bell was rung for.
    rung_for: Cell<Sequence>,
    access: AccessLog,
}

impl ChangeLog {
    /// The log in `sql`. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self {
            access: AccessLog::new(Rc::clone(&sql)),
            sql,
            state: RefCell::new(None),
            appended_bytes: Cell::new(0),
            bell: Rc::default(),
            rung_for: Cell::new(0),
        }
    }

    /// Makes the first generation, within the object's first transaction.
    pub fn create(&self) -> Result<()> {
        self.sql.query(FLOOR_TABLE, &[])?;
        create_generation(self.sql.as_ref(), 1)?;
        self.forget();
        Ok(())
    }

    /// The same for an object that has had events before, of which nothing is left.
    pub fn create_after(&self, sequence: Sequence, timestamp: Timestamp) -> Result<()> {
        self.create()?;
        store_floor(self.sql.as_ref(), sequence, timestamp)
    }

    /// Drops what is remembered of the tables.
    pub fn forget(&self) {
        self.state.replace(None);
    }

    /// What is remembered of the tables, to be given back to [`restore`](Self::restore) when a transaction is rolled back.
    pub fn remembered(&self) -> Remembered {
        Remembered(self.state.borrow().clone())
    }

    /// Goes back to what was remembered.
    pub fn restore(&self, remembered: Remembered) {
        self.state.replace(remembered.0);
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

    /// What wakes those who wait for events.
    pub fn bell(&self) -> Rc<Bell> {
        Rc::clone(&self.bell)
    }

    /// Rings when something was logged: for whoever commits, once the commit has succeeded.
    pub fn committed(&self) {
        let last = self.state.borrow().as_ref().map(|state| state.last_sequence);
        if let Some(last) = last
            && self.rung_for.replace(last) != last
        {
            self.bell.ring();
        }
    }

    /// Bytes logged by this instance since it started, those of segments included that the log refers to: the difference of
    /// two calls is what came between.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.get()
    }

    fn note_appended(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.appended_bytes.set(self.appended_bytes.get().saturating_add(bytes));
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

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read change log", message)
}
