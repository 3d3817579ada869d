//! SQLite that can be closed under those who still use it.
//!
//! An object that was erased begins anew over the same database. Whatever still works for what it was before, a stream or
//! a job, remembers tables that are gone, and must neither read nor write any more.

use std::cell::Cell;
use std::rc::Rc;

use super::sql::{SqlCounters, SqlParam, SqlRow, SqlStore};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// SQLite until it is closed.
pub struct ClosableSql {
    sql: Rc<dyn SqlStore>,
    closed: Cell<bool>,
}

impl ClosableSql {
    /// Passes everything on to `sql`.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, closed: Cell::new(false) }
    }

    /// Refuses every statement from here on.
    pub fn close(&self) {
        self.closed.set(true);
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn check(&self) -> Result<()> {
        if !self.is_closed() {
            return Ok(());
        }
        let message =
            "expected an object that was there until the end of this request, got one that was erased; try again";
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "use erased object", message))
    }
}

impl SqlStore for ClosableSql {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        self.check()?;
        self.sql.query(statement, params)
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.check()?;
        self.sql.transaction(work)
    }

    fn counters(&self) -> SqlCounters {
        self.sql.counters()
    }

    fn size_bytes(&self) -> u64 {
        self.sql.size_bytes()
    }
}
