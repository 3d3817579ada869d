//! Named consumers: how far each has acknowledged the feed.
//!
//! A position is one row, written once an acknowledgement, and not at all when it stays where it is. What may be a
//! position is for the caller; names of the program's own have a colon, which no name from outside may have.

use std::rc::Rc;

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::CDC_CONSUMERS_MAX;
use crate::ports::{SqlParam, SqlRow, SqlStore, expect_integer, expect_text, transact};
use crate::types::{Sequence, StorageTier, Timestamp};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS consumers (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL, \
     acknowledged INTEGER NOT NULL) STRICT, WITHOUT ROWID";
const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'consumers'";

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// What it is called.
    pub name: String,
    /// Everything up to here is acknowledged.
    pub sequence: Sequence,
    /// When it was, Unix ms.
    pub acknowledged: Timestamp,
}

/// The consumers of one object.
pub struct Consumers(Rc<dyn SqlStore>);

impl Consumers {
    /// Those in `sql`. The table is made by the first acknowledgement.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self(sql)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Result<Option<Consumer>> {
        if !self.exist()? {
            return Ok(None);
        }
        let statement = "SELECT name, sequence, acknowledged FROM consumers WHERE name = ?";
        self.0.query(statement, &[SqlParam::Text(name)])?.into_iter().next().map(read).transpose()
    }

    /// All of them, by name, but for the program's own.
    pub fn all(&self) -> Result<Vec<Consumer>> {
        if !self.exist()? {
            return Ok(Vec::new());
        }
        let statement = "SELECT name, sequence, acknowledged FROM consumers WHERE instr(name, ':') = 0 ORDER BY name";
        self.0.query(statement, &[])?.into_iter().map(read).collect()
    }

    /// Notes a position; `true` when the consumer is new. One more than there may be is refused.
    pub fn put(&self, name: &str, sequence: Sequence, now: Timestamp) -> Result<bool> {
        let known = self.get(name)?;
        if known.as_ref().is_some_and(|known| known.sequence == sequence) {
            return Ok(false);
        }
        if known.is_none() && !name.contains(':') && self.all()?.len() >= CDC_CONSUMERS_MAX {
            return Err(StorageError::new(
                ErrorKind::Conflict,
                StorageTier::Hot,
                "acknowledge",
                format!("expected at most {CDC_CONSUMERS_MAX} consumers of an object, got one more; delete one first"),
            ));
        }
        transact(self.0.as_ref(), || {
            self.0.query(TABLE, &[])?;
            self.0.query(
                "INSERT INTO consumers (name, sequence, acknowledged) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE \
                 SET sequence = excluded.sequence, acknowledged = excluded.acknowledged",
                &[SqlParam::Text(name), SqlParam::Integer(sequence), SqlParam::Integer(now)],
            )
        })?;
        Ok(known.is_none())
    }

    /// Forgets a consumer; `false` when there was none.
    pub fn delete(&self, name: &str) -> Result<bool> {
        if self.get(name)?.is_none() {
            return Ok(false);
        }
        self.0.query("DELETE FROM consumers WHERE name = ?", &[SqlParam::Text(name)])?;
        Ok(true)
    }

    fn exist(&self) -> Result<bool> {
        Ok(!self.0.query(EXISTS, &[])?.is_empty())
    }
}

fn read(row: SqlRow) -> Result<Consumer> {
    let (sequence, acknowledged) = (expect_integer(row.get(1))?, expect_integer(row.get(2))?);
    Ok(Consumer { name: expect_text(row.into_iter().next())?, sequence, acknowledged })
}
