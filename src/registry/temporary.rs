//! Values that are kept for a time, by class and key: one row each, no document and no event.
//!
//! Invariants: a value whose time has passed is never read; one whose time has not passed is never removed by anybody but
//! who asks for that. Rows of values that have passed are removed some at a time.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::Result;
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::Timestamp;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS temporary_values (class INTEGER NOT NULL, key TEXT NOT NULL, \
     stored INTEGER NOT NULL, expires INTEGER NOT NULL, media_type TEXT NOT NULL, value BLOB NOT NULL, \
     PRIMARY KEY (class, key)) STRICT, WITHOUT ROWID";
const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'temporary_values'";
/// Rows that one step removes: each may have a megabyte.
const STEP_MAX_ROWS: i64 = 100;
/// How long a value that has passed may stay, in ms, so that several go at once.
const PAUSE_MS: i64 = 10_000;

/// What lives equally long, unless it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemporaryClass {
    /// What can be made again.
    Cache,
    /// What belongs to somebody's session.
    Session,
    /// What is needed for a short time.
    Temporary,
}

impl TemporaryClass {
    /// All, by their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("cache", Self::Cache), ("session", Self::Session), ("temporary", Self::Temporary)];

    fn number(self) -> i64 {
        match self {
            Self::Cache => 1,
            Self::Session => 2,
            Self::Temporary => 3,
        }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporaryValue {
    /// When it was stored.
    pub stored: Timestamp,
    /// From when on it is no more.
    pub expires: Timestamp,
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The values of one object.
pub struct TemporaryStore {
    sql: Rc<dyn SqlStore>,
    /// Whether the table is there, once that is known.
    exists: Cell<bool>,
    /// No value expires earlier, as far as is known; `None` when none does.
    earliest: Cell<Option<Timestamp>>,
}

impl TemporaryStore {
    /// The values in `sql`. Nothing is read before it is needed.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, exists: Cell::new(false), earliest: Cell::new(None) }
    }

    fn exists(&self) -> Result<bool> {
        if !self.exists.get() {
            self.exists.set(!self.sql.query(EXISTS, &[])?.is_empty());
        }
        Ok(self.exists.get())
    }

    /// Stores a value, within a transaction.
    pub fn put(&self, class: TemporaryClass, key: &str, value: &TemporaryValue) -> Result<()> {
        if !self.exists()? {
            self.sql.query(CREATE, &[])?;
        }
        self.sql.query(
            "INSERT INTO temporary_values (class, key, stored, expires, media_type, value) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (class, key) DO UPDATE SET stored = excluded.stored, expires = excluded.expires, \
             media_type = excluded.media_type, value = excluded.value",
            &[
                SqlParam::Integer(class.number()),
                SqlParam::Text(key),
                SqlParam::Integer(value.stored),
                SqlParam::Integer(value.expires),
                SqlParam::Text(&value.media_type),
                SqlParam::Blob(&value.bytes),
            ],
        )?;
        let earliest = self.earliest.get().map_or(value.expires, |earliest| earliest.min(value.expires));
        self.earliest.set(Some(earliest));
        Ok(())
    }

    /// A value whose time has not passed.
    pub fn get(&self, class: TemporaryClass, key: &str, now: Timestamp) -> Result<Option<TemporaryValue>> {
        if !self.exists()? {
            return Ok(None);
        }
        let found = self.sql.query(
            "SELECT stored, expires, media_type, value FROM temporary_values \
             WHERE class = CAST(? AS INTEGER) AND key = ? AND expires > CAST(? AS INTEGER)",
            &[SqlParam::Integer(class.number()), SqlParam::Text(key), SqlParam::Integer(now)],
        )?;
        let Some(row) = found.into_iter().next() else { return Ok(None) };
        let (stored, expires) = (expect_integer(row.first())?, expect_integer(row.get(1))?);
        let mut rest = row.into_iter().skip(2);
        let media_type = expect_text(rest.next())?;
        Ok(Some(TemporaryValue { stored, expires, media_type, bytes: expect_blob(rest.next())? }))
    }

    /// Removes a value; whether there was one whose time had not passed.
    pub fn remove(&self, class: TemporaryClass, key: &str, now: Timestamp) -> Result<bool> {
        if !self.exists()? {
            return Ok(false);
        }
        let removed = self.sql.query(
            "DELETE FROM temporary_values WHERE class = CAST(? AS INTEGER) AND key = ? RETURNING expires",
            &[SqlParam::Integer(class.number()), SqlParam::Text(key)],
        )?;
        match removed.first() {
            Some(row) => Ok(expect_integer(row.first())? > now),
            None => Ok(false),
        }
    }

    /// When values have passed that should be removed, as far as is known.
    pub fn next_removal(&self) -> Option<Timestamp> {
        self.earliest.get().map(|earliest| earliest.saturating_add(PAUSE_MS))
    }

    /// Finds out when the next value expires: it reads all keys.
    pub fn learn(&self) -> Result<()> {
        if !self.exists()? {
            return Ok(());
        }
        let found = self.sql.query("SELECT min(expires) FROM temporary_values", &[])?;
        self.earliest.set(found.first().and_then(|row| expect_integer(row.first()).ok()));
        Ok(())
    }

    /// Removes some values that have passed; whether there may be more.
    pub fn remove_passed(&self, now: Timestamp) -> Result<bool> {
        if !self.exists()? {
            return Ok(false);
        }
        let removed = self.sql.query(
            "DELETE FROM temporary_values WHERE (class, key) IN \
             (SELECT class, key FROM temporary_values WHERE expires <= CAST(? AS INTEGER) LIMIT CAST(? AS INTEGER)) \
             RETURNING 1",
            &[SqlParam::Integer(now), SqlParam::Integer(STEP_MAX_ROWS)],
        )?;
        Ok(i64::try_from(removed.len()).unwrap_or(STEP_MAX_ROWS) >= STEP_MAX_ROWS)
    }
}
