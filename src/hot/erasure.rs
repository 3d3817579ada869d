//! Erasing an object's tables: everything goes in one transaction, but what has to outlive it.
//!
//! What stays: that there was an object, the last sequence given, that it was erased, when and by whom, and the access log,
//! into which what the change log tells of accesses is packed first. Sequences, commit times and the generation of cached reads go on from there, so that no version, event id or cached answer of what
//! was erased is ever taken for one of what comes after.
//!
//! Invariants: an object whose files are not all deleted says so in the format of its tables, which an older program refuses;
//! records of erasures are added to and ended, and never change otherwise.

use super::{HotStore, schema};
use crate::cdc::access_log;
use crate::error::Result;
use crate::ports::{SqlParam, SqlValue, expect_integer, expect_text};
use crate::types::{Sequence, Timestamp};

/// The records of erasures.
const TABLE: &str = "erasures";
const CREATE: &str = "CREATE TABLE IF NOT EXISTS erasures (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, \
     by TEXT NOT NULL, sequence INTEGER NOT NULL, objects INTEGER NOT NULL, ended INTEGER) STRICT";
const OBJECT: &str = "object";

/// That an object was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// When its documents went, Unix ms.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// The last sequence that it had given.
    pub sequence: Sequence,
    /// How many files of it were deleted.
    pub objects: i64,
    /// When the last of them was; `None` until then.
    pub ended: Option<Timestamp>,
}

impl HotStore {
    /// Drops everything, within a transaction, and notes that files are still to be deleted. Whatever remembers tables is of
    /// no use after it commits.
    pub fn erase(&self, by: &str, now: Timestamp) -> Result<()> {
        let (sequence, timestamp) = (self.log.last_sequence()?, self.log.last_timestamp()?);
        self.log.release_all(now)?;
        for table in self.erasable_tables()? {
            // The names are those that this program gave.
            self.sql.query(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")), &[])?;
        }
        schema::begin_erasing(self.sql.as_ref())?;
        self.log.create_after(sequence, timestamp)?;
        self.sql.query(CREATE, &[])?;
        self.sql.query(
            "INSERT INTO erasures (at, by, sequence, objects) VALUES (?, ?, ?, 0)",
            &[SqlParam::Integer(now.max(timestamp)), SqlParam::Text(by), SqlParam::Integer(sequence)],
        )?;
        Ok(())
    }

    fn erasable_tables(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for row in self.sql.query("SELECT name FROM sqlite_master WHERE type = 'table'", &[])? {
            let name = expect_text(row.into_iter().next())?;
            let kept = [access_log::TABLE_PREFIX, "sqlite_", "_cf_"];
            let stays = [TABLE, OBJECT].contains(&name.as_str()) || kept.iter().any(|prefix| name.starts_with(prefix));
            if !stays {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The last erasure; `None` when the object was never erased.
    pub fn last_erasure(&self) -> Result<Option<Erasure>> {
        let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'erasures'";
        if self.sql.query(exists, &[])?.is_empty() {
            return Ok(None);
        }
        let newest = "SELECT at, by, sequence, objects, ended FROM erasures ORDER BY number DESC LIMIT 1";
        let Some(row) = self.sql.query(newest, &[])?.into_iter().next() else { return Ok(None) };
        let ended = match row.get(4) {
            Some(SqlValue::Null) => None,
            other => Some(expect_integer(other)?),
        };
        Ok(Some(Erasure {
            at: expect_integer(row.first())?,
            by: expect_text(row.get(1).cloned())?,
            sequence: expect_integer(row.get(2))?,
            objects: expect_integer(row.get(3))?,
            ended,
        }))
    }

    /// Adds to the number of files that were deleted; with `ended` that no more are left, and the object may be written to.
    pub fn note_erased(&self, objects: i64, ended: Option<Timestamp>) -> Result<()> {
        self.transaction(|| {
            let at = ended.map_or(SqlParam::Null, SqlParam::Integer);
            self.sql.query(
                "UPDATE erasures SET objects = objects + CAST(? AS INTEGER), ended = ? \
                 WHERE number = (SELECT max(number) FROM erasures) AND ended IS NULL",
                &[SqlParam::Integer(objects), at],
            )?;
            if ended.is_some() { schema::end_erasing(self.sql.as_ref()) } else { Ok(()) }
        })
    }
}
