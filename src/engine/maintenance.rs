//! Maintenance that is asked for: what the alarm does by and by, done at once and told.
//!
//! Invariants: each part is done whatever becomes of the others, and tells its own failure; every figure is the difference
//! between what there was before and after, so that what an alarm does meanwhile counts, too; a call does a bounded number
//! of steps, each of which is a turn, and tells whether there is more. One call at a time.

use std::cell::Cell;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::snapshots::Upkeep;
use crate::types::{Sequence, StorageTier, Timestamp};

/// After so long a call that has not ended is taken for lost, in ms.
const CALL_MAX_MS: i64 = 600_000;

/// What one part came to.
#[derive(Debug, Default)]
pub struct Part<T> {
    /// The figures.
    pub figures: T,
    /// Whether another call would find more to do.
    pub more: bool,
    /// What failed.
    pub error: Option<StorageError>,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Documents that had passed.
    pub documents: usize,
    /// Days whose kept answers count no more.
    pub answer_days: usize,
    /// Events that left the log.
    pub log_events: Sequence,
}

/// What became smaller.
#[derive(Debug, Default)]
pub struct Compacted {
    /// Row generations that were sealed.
    pub seals: u64,
    /// Merges of segments that were finished.
    pub merges: u64,
    /// Segments before and after.
    pub segments: [usize; 2],
    /// Bytes of the database before and after.
    pub database_bytes: [u64; 2],
}

/// What was done in the bucket.
#[derive(Debug, Default)]
pub struct ColdPart {
    /// What there was before,
    pub before: Upkeep,
    /// and after.
    pub after: Upkeep,
    /// What failed.
    pub error: Option<StorageError>,
}

/// What a call did.
#[derive(Debug)]
pub struct Maintained {
    /// What was removed.
    pub cleaned: Part<Cleaned>,
    /// What became smaller.
    pub compacted: Part<Compacted>,
    /// What was done in the bucket, for both; `None` without a bucket.
    pub cold: Option<ColdPart>,
    /// The generation of the cache before and after.
    pub generation: Part<[i64; 2]>,
}

/// Marks a call under way until it is dropped.
struct UnderWay<'e>(&'e Cell<Option<Timestamp>>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Engine {
    /// Does what there is to do, up to some bound.
    pub async fn maintain_now(&self) -> Result<Maintained> {
        let _under_way = self.begin_maintenance()?;
        self.learn_alarm().await?;
        let log_before = self.hot.log().first_sequence()?;
        let mut cleaned = Part::<Cleaned>::default();
        note(&mut cleaned.figures.answer_days, &mut cleaned.error, self.drop_answers());
        let mut compacted = self.compact().await?;
        let cold = self.maintain_cold().await?;
        self.hot.expiry_asked_for();
        note(&mut cleaned.figures.documents, &mut cleaned.error, self.expire().await);
        cleaned.figures.log_events = self.hot.log().first_sequence()?.saturating_sub(log_before);
        let now = self.now_ms();
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        cleaned.more = is_due(self.hot.next_expiry()?) || is_due(self.snapshotter.next_upkeep()?);
        compacted.more = is_due(self.hot.maintenance_due(now)?);
        let segments = self.hot.segment_figures()?.segments;
        let figures = &mut compacted.figures;
        (figures.segments[1], figures.database_bytes[1]) = (segments, self.database_bytes());
        Ok(Maintained { cleaned, compacted, cold, generation: self.clean_cache() })
    }

    fn begin_maintenance(&self) -> Result<UnderWay<'_>> {
        let now = self.now_ms();
        if self.maintaining.get().is_some_and(|since| now.saturating_sub(since) < CALL_MAX_MS) {
            let message = "expected no other maintenance to be under way, got one; ask again when it has ended";
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Hot, "maintain object", message));
        }
        self.maintaining.set(Some(now));
        Ok(UnderWay(&self.maintaining))
    }

    async fn compact(&self) -> Result<Part<Compacted>> {
        let (seals, merges) = self.hot.maintenance_done();
        let segments = self.hot.segment_figures()?.segments;
        let bytes = self.database_bytes();
        let error = self.maintain_hot().await.err();
        let done = self.hot.maintenance_done();
        let figures = Compacted {
            seals: done.0.saturating_sub(seals),
            merges: done.1.saturating_sub(merges),
            segments: [segments; 2],
            database_bytes: [bytes; 2],
        };
        Ok(Part { figures, more: false, error })
    }

    async fn maintain_cold(&self) -> Result<Option<ColdPart>> {
        if !self.snapshotter.has_bucket() {
            return Ok(None);
        }
        let before = self.snapshotter.upkeep()?;
        let error = self.snapshotter.run_now().await.err();
        Ok(Some(ColdPart { before, after: self.snapshotter.upkeep()?, error }))
    }

    /// Drops what is cached, if anything may be.
    fn clean_cache(&self) -> Part<[i64; 2]> {
        let mut part = Part::default();
        let dropped = if self.warm.may_hold_documents() {
            self.drop_cached().map(|dropped| [dropped.before, dropped.after])
        } else {
            self.hot.object_record().map(|record| [record.map_or(0, |record| record.cache_generation); 2])
        };
        note(&mut part.figures, &mut part.error, dropped);
        part
    }
}

/// Notes a figure, or the first failure.
fn note<T>(figure: &mut T, error: &mut Option<StorageError>, outcome: Result<T>) {
    match outcome {
        Ok(value) => *figure = value,
        Err(failed) => *error = error.take().or(Some(failed)),
    }
}
