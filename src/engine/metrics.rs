//! What an object tells of its work: counts since this instance started, and what is stored.
//!
//! It reads a row or two a collection, and no documents.

use super::registry::{IndexFigures, SearchFigures};
use super::{CacheFigures, Engine};
use crate::error::Result;
use crate::ports::{BucketFigures, SqlCounters};
use crate::types::{Sequence, Timestamp};

/// The figures of an object.
pub struct Metrics {
    /// Since when is counted what is counted.
    pub since: Timestamp,
    /// When this was read.
    pub now: Timestamp,
    /// Rows that SQLite read and wrote.
    pub rows: SqlCounters,
    /// Statements that SQLite ran,
    pub statements: u64,
    /// and those of them that failed.
    pub failed_statements: u64,
    /// What was done to the bucket.
    pub bucket: BucketFigures,
    /// What the cache was good for to reads of files.
    pub file_cache: CacheFigures,
    /// Bytes of the database, now.
    pub database_bytes: u64,
    /// Collections, now.
    pub collections: usize,
    /// Column segments, now.
    pub segments: usize,
    /// Bytes that their heads and columns take in memory, now.
    pub segment_cache_bytes: usize,
    /// Changes that wait to be archived and published, now.
    pub pending_changes: Sequence,
    /// Files of the current states of its tables in the bucket,
    pub files: u64,
    /// and their bytes.
    pub file_bytes: u64,
    /// What searches of a registry took, and its index, if it is in memory; `None` of other objects.
    pub index: Option<(SearchFigures, Option<IndexFigures>)>,
}

impl Engine {
    /// The object's figures.
    pub fn metrics(&self) -> Result<Metrics> {
        let (statements, failed_statements) = self.meter.statements();
        let segments = self.segment_figures()?;
        let (files, file_bytes) = self.snapshotter.stored()?;
        let index = if self.is_registry() { Some((self.search_figures(), self.known_hash_figures()?)) } else { None };
        Ok(Metrics {
            since: self.meter.since(),
            now: self.now_ms(),
            statements,
            failed_statements,
            bucket: self.meter.bucket(),
            file_cache: self.file_cache_figures(),
            database_bytes: self.database_bytes(),
            collections: self.collection_names()?.len(),
            segments: segments.segments,
            segment_cache_bytes: segments.cached_bytes,
            pending_changes: self.sync_state()?.pending_changes(),
            files,
            file_bytes,
            index,
            rows: self.counters(),
        })
    }
}
