//! What a query costs. Work is counted in rows and bytes, because clocks stand still meanwhile.

use crate::error::{ErrorKind, StorageError};
use crate::types::StorageTier;

/// What a query may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Rows looked at.
    pub max_rows: u64,
    /// Bytes of documents and columns decoded.
    pub max_bytes: u64,
}

/// What a query did cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Documents looked at, in whichever form; the engine that counts the store's own rows says so instead.
    pub rows_read: u64,
    /// Segments of which some column was read.
    pub segments_scanned: u64,
    /// Segments that their statistics answered for: not a column of them was read.
    pub segments_pruned: u64,
    /// Data files read.
    pub files_scanned: u64,
    /// Data files skipped by their statistics.
    pub files_pruned: u64,
    /// Bytes of documents and columns decoded.
    pub bytes_decoded: u64,
}

impl QueryStats {
    /// Says how many rows the store read by its own count.
    pub fn set_rows_read(&mut self, rows: u64) {
        self.rows_read = rows;
    }
}

/// Counts what a query costs against what it may.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    budget: Budget,
    pub stats: QueryStats,
}

impl Meter {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, stats: QueryStats::default() }
    }

    pub(super) fn look(&mut self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.stats.rows_read = self.stats.rows_read.saturating_add(rows);
    }

    pub(super) fn decode(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.stats.bytes_decoded = self.stats.bytes_decoded.saturating_add(bytes);
    }

    pub(super) fn count_segment(&mut self, read: bool) {
        let count = if read { &mut self.stats.segments_scanned } else { &mut self.stats.segments_pruned };
        *count = count.saturating_add(1);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded().is_some()
    }

    /// The error that a query costs more than it may.
    pub(super) fn check(&self) -> crate::error::Result<()> {
        let Some((key, limit)) = self.exceeded() else { return Ok(()) };
        Err(StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Hot,
            "query",
            format!(
                "expected the query to stay within {key} = {limit}, got more work; narrow its condition, or raise {key}"
            ),
        ))
    }

    fn exceeded(&self) -> Option<(&'static str, u64)> {
        if self.stats.rows_read > self.budget.max_rows {
            Some(("query.maxRows", self.budget.max_rows))
        } else if self.stats.bytes_decoded > self.budget.max_bytes {
            Some(("query.maxDecodedBytes", self.budget.max_bytes))
        } else {
            None
        }
    }
}
