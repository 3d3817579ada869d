//! [`SqlStore`] over real SQLite, with the platform's limits and habits switched on.
//!
//! As on the platform: integers are bound as doubles, so that a bare expression over a parameter is a REAL and wants
//! `CAST(? AS INTEGER)`; integers beyond 53 bits are refused; integral doubles come back as integers; as many values
//! are bound as the statement has parameters; transactions nest; what [`statements`](super::statements) lists is refused.
//!
//! The counters differ: `rows_written` counts rows changed, without the entries of secondary indexes and without the
//! second row of a rowid table whose primary key is text (a WITHOUT ROWID table's inserts, updates and deletes agree,
//! `CREATE TABLE` is 2 and `DROP TABLE` 0 in both); `rows_read` is the greater
//! of the rows returned and the steps of full scans, so that rows skipped by a seek's filter are missing.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, StatementStatus};

use super::numbers::{double_value, exact_double, integer_value};
use super::statements::{refusal, refused_functions};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{SQL_MAX_PARAMETERS, SQL_VALUE_MAX_BYTES};
use crate::ports::{SqlCounters, SqlParam, SqlRow, SqlStore, SqlValue};
use crate::types::StorageTier;

/// Statements kept prepared.
const PREPARED_STATEMENTS: usize = 256;
/// Rows that making a table writes, as the platform counts.
const CREATE_TABLE_ROWS: u64 = 2;
/// Statement texts remembered as checked.
const CHECKED_STATEMENTS: usize = 4_096;

/// The platform's limits (<https://developers.cloudflare.com/durable-objects/platform/limits/>, and seen in its runtime).
const LIMITS: [(Limit, usize); 7] = [
    (Limit::SQLITE_LIMIT_LENGTH, SQL_VALUE_MAX_BYTES),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (Limit::SQLITE_LIMIT_COLUMN, 100),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, SQL_MAX_PARAMETERS),
];

struct Database {
    connection: Connection,
    /// Transactions open now, one inside the other.
    depth: Cell<u32>,
    refused_functions: HashSet<String>,
    checked: RefCell<HashSet<String>>,
}

/// A handle on one SQLite database; clones share it and its counters.
#[derive(Clone)]
pub struct NativeSql {
    database: Rc<Database>,
    counters: Rc<Cell<SqlCounters>>,
}

impl NativeSql {
    /// An empty database in memory, gone with its last handle.
    pub fn in_memory() -> Result<Self> {
        Self::over(Connection::open_in_memory())
    }

    /// The database in a file, made when there is none. Survives this process, not the machine.
    pub fn open(path: &Path) -> Result<Self> {
        Self::over(Connection::open(path))
    }

    /// The same storage as a new instance meets it: counters at zero.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { database: Rc::clone(&self.database), counters: Rc::default() }
    }

    /// Lets the database grow to about `bytes` at most, so that a test meets a full disk.
    pub fn limit_size(&self, bytes: u64) -> Result<()> {
        let pages = (bytes / self.pragma("page_size")?.max(1)).max(1);
        let statement = format!("PRAGMA max_page_count = {pages}");
        self.database.connection.query_row(&statement, [], |_| Ok(())).map_err(failure)
    }

    fn over(connection: rusqlite::Result<Connection>) -> Result<Self> {
        let connection = connection.map_err(failure)?;
        for (limit, value) in LIMITS {
            connection.set_limit(limit, i32::try_from(value).unwrap_or(i32::MAX)).map_err(failure)?;
        }
        connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF").map_err(failure)?;
        let refused_functions = refused_functions(function_names(&connection).map_err(failure)?.into_iter());
        let database = Database { connection, depth: Cell::new(0), refused_functions, checked: RefCell::default() };
        Ok(Self { database: Rc::new(database), counters: Rc::default() })
    }

    fn pragma(&self, name: &str) -> Result<u64> {
        let number = self.database.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(number.map_err(failure)?).unwrap_or(0))
    }

    fn count(&self, rows_read: u64, rows_written: u64) {
        let before = self.counters.get();
        self.counters.set(SqlCounters {
            rows_read: before.rows_read.saturating_add(rows_read),
            rows_written: before.rows_written.saturating_add(rows_written),
        });
    }
}

impl Database {
    /// Refuses what the platform would; remembers what passed, as statements repeat.
    fn check(&self, statement: &str) -> Result<()> {
        let mut checked = self.checked.borrow_mut();
        if checked.contains(statement) {
            return Ok(());
        }
        if let Some(reason) = refusal(statement, &self.refused_functions) {
            return Err(defect(format!("expected SQL that the platform runs, got: {statement}; {reason}")));
        }
        if checked.len() >= CHECKED_STATEMENTS {
            checked.clear();
        }
        checked.insert(statement.to_owned());
        Ok(())
    }

    /// All rows of a statement, and how many rows full scans stepped over.
    fn run(&self, text: &str, params: &[SqlParam<'_>]) -> Result<(Vec<SqlRow>, u64)> {
        let mut statement = self.connection.prepare_cached(text).map_err(failure)?;
        if statement.parameter_count() != params.len() {
            let (expected, got) = (statement.parameter_count(), params.len());
            return Err(defect(format!("expected {expected} values for the parameters of {text}, got {got}")));
        }
        for (position, param) in params.iter().enumerate() {
            match *param {
                SqlParam::Null => statement.raw_bind_parameter(position + 1, None::<i64>),
                SqlParam::Integer(value) => statement.raw_bind_parameter(position + 1, bound_integer(value)?),
                SqlParam::Text(text) => statement.raw_bind_parameter(position + 1, text),
                SqlParam::Blob(bytes) => statement.raw_bind_parameter(position + 1, bytes),
            }
            .map_err(failure)?;
        }
        let columns = statement.column_count();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failure)? {
            found.push(read_row(row, columns).map_err(failure)?);
        }
        drop(rows);
        let steps = u64::try_from(statement.reset_status(StatementStatus::FullscanStep)).unwrap_or(0);
        // A scan steps between rows, so its first row is not among the steps.
        Ok((found, if steps > 0 { steps + 1 } else { 0 }))
    }

    /// Ends the innermost transaction, which `work` has left with this result.
    fn finish(&self, result: Result<()>, commit: &str, roll_back: &str) -> Result<()> {
        let ended = match result {
            Ok(()) => self.connection.execute_batch(commit).map_err(failure),
            Err(error) => Err(error),
        };
        // A full disk makes SQLite roll back by itself; then there is nothing left to end.
        if ended.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch(roll_back).map_err(failure)?;
        }
        ended
    }
}

impl SqlStore for NativeSql {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        self.database.check(statement)?;
        let changed_before = self.database.connection.total_changes();
        let (rows, scanned) = self.database.run(statement, params)?;
        let changed = self.database.connection.total_changes().saturating_sub(changed_before);
        let made = if statement.starts_with("CREATE TABLE") { CREATE_TABLE_ROWS } else { 0 };
        self.count(scanned.max(u64::try_from(rows.len()).unwrap_or(u64::MAX)), changed.saturating_add(made));
        Ok(rows)
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let database = &self.database;
        let depth = database.depth.get();
        let (begin, commit, roll_back) = if depth == 0 {
            ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        } else {
            // The innermost savepoint of a name is the one that is meant.
            ("SAVEPOINT nested", "RELEASE nested", "ROLLBACK TO nested; RELEASE nested")
        };
        database.connection.execute_batch(begin).map_err(failure)?;
        database.depth.set(depth + 1);
        let result = work();
        database.depth.set(depth);
        database.finish(result, commit, roll_back)
    }

    fn counters(&self) -> SqlCounters {
        self.counters.get()
    }

    fn size_bytes(&self) -> u64 {
        // The platform leaves free pages out.
        let pages = self.pragma("page_count").unwrap_or(0).saturating_sub(self.pragma("freelist_count").unwrap_or(0));
        pages.saturating_mul(self.pragma("page_size").unwrap_or(0))
    }
}

fn function_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT DISTINCT name FROM pragma_function_list")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn bound_integer(value: i64) -> Result<f64> {
    exact_double(value).ok_or_else(|| defect(format!("expected an integer of at most 53 bits to bind, got {value}")))
}

fn read_row(row: &Row<'_>, columns: usize) -> rusqlite::Result<SqlRow> {
    (0..columns)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => SqlValue::Null,
                ValueRef::Integer(value) => integer_value(value),
                ValueRef::Real(value) => double_value(value),
                ValueRef::Text(bytes) => SqlValue::Text(String::from_utf8_lossy(bytes).into_owned()),
                ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
            })
        })
        .collect()
}

/// A statement that the platform would not run.
fn defect(message: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "run SQL", message)
}

/// A failure of SQLite, told as the platform's is.
fn failure(error: rusqlite::Error) -> StorageError {
    let (kind, message) = if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        (ErrorKind::Full, "the object's SQLite database is full; delete documents or let some be evicted")
    } else {
        (ErrorKind::Internal, "SQLite failed; the log has its message")
    };
    StorageError::new(kind, StorageTier::Hot, "run SQL", message).caused_by(error)
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
