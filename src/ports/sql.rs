//! The object's SQLite, as it is inside a Durable Object: synchronous, one connection, no transaction statements.

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// A value bound to a statement. There are no booleans: bind 0 or 1.
#[derive(Clone, Copy, Debug)]
pub enum SqlParam<'a> {
    /// NULL
    Null,
    /// An integer of at most 53 bits: what a bound JavaScript number carries. A larger one is refused.
    Integer(i64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A value of a result row.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL
    Null,
    /// A number that is integral; the platform does not tell 1 from 1.0.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One result row, a value a column.
pub type SqlRow = Vec<SqlValue>;

/// SQLite's own counts since the store was opened, as the platform bills them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlCounters {
    /// Rows that statements have read.
    pub rows_read: u64,
    /// Rows that statements have written, index entries included.
    pub rows_written: u64,
}

impl SqlCounters {
    /// What was counted after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            rows_read: self.rows_read.saturating_sub(earlier.rows_read),
            rows_written: self.rows_written.saturating_sub(earlier.rows_written),
        }
    }
}

/// SQL over one object's storage.
///
/// Invariants an implementation keeps: a call consumes its result entirely before it returns (an open cursor would
/// lock tables); all statements of one [`transaction`](Self::transaction) commit together or not at all; what was
/// executed outside one commits by itself.
pub trait SqlStore {
    /// Runs one statement and returns all its rows. The caller bounds the result by `LIMIT` and by keys.
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>>;

    /// Runs `work` as one transaction; an error from it rolls everything back and comes out unchanged.
    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()>;

    /// Totals since this store was opened.
    fn counters(&self) -> SqlCounters;

    /// Size of the database in bytes.
    fn size_bytes(&self) -> u64;
}

/// Runs `work` in one transaction of `sql` and returns what it makes.
pub fn transact<T>(sql: &dyn SqlStore, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut work = Some(work);
    let mut made = None;
    sql.transaction(&mut || {
        let work =
            work.take().ok_or_else(|| unexpected("run transaction", "the work to run once, got a second call"))?;
        made = Some(work()?);
        Ok(())
    })?;
    made.ok_or_else(|| unexpected("run transaction", "the work to have run, got no result"))
}

/// The integer in a column that is one.
pub fn expect_integer(value: Option<&SqlValue>) -> Result<i64> {
    match value {
        Some(SqlValue::Integer(value)) => Ok(*value),
        other => Err(unexpected("read row", &format!("an integer, got {}", kind(other)))),
    }
}

/// The text in a column that is one.
pub fn expect_text(value: Option<SqlValue>) -> Result<String> {
    match value {
        Some(SqlValue::Text(value)) => Ok(value),
        other => Err(unexpected("read row", &format!("text, got {}", kind(other.as_ref())))),
    }
}

/// The bytes in a column that is one.
pub fn expect_blob(value: Option<SqlValue>) -> Result<Vec<u8>> {
    match value {
        Some(SqlValue::Blob(value)) => Ok(value),
        other => Err(unexpected("read row", &format!("bytes, got {}", kind(other.as_ref())))),
    }
}

fn kind(value: Option<&SqlValue>) -> &'static str {
    match value {
        None => "no column",
        Some(SqlValue::Null) => "NULL",
        Some(SqlValue::Integer(_)) => "an integer",
        Some(SqlValue::Real(_)) => "a real",
        Some(SqlValue::Text(_)) => "text",
        Some(SqlValue::Blob(_)) => "bytes",
    }
}

fn unexpected(operation: &'static str, expectation: &str) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, operation, format!("expected {expectation}"))
}
