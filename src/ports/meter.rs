//! What an instance's ports have done since it started: counts, and how long the bucket took.
//!
//! Invariants: everything is counted by decorators over the ports, at the moment at which it is done, a repeated call as
//! often as it is made; a figure that nothing was counted for is zero. Time passes only while something is waited for, so
//! only calls of the bucket have a latency.

use std::cell::{Cell, RefCell};

use super::SqlCounters;
use crate::limits::{R2_CLASS_A_NANO_USD, R2_CLASS_B_NANO_USD, SQL_ROW_READ_NANO_USD, SQL_ROW_WRITTEN_NANO_USD};
use crate::types::Timestamp;

/// What can be called of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketCall {
    /// Reading an object or a part of it.
    Get,
    /// Putting an object at once.
    Put,
    /// Deleting objects.
    Delete,
    /// Listing keys.
    List,
    /// Beginning an upload in parts.
    BeginUpload,
    /// Uploading a part.
    UploadPart,
    /// Making an object of its parts.
    CompleteUpload,
    /// Giving up an upload.
    AbortUpload,
}

/// How the bucket's provider bills a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingClass {
    /// What changes.
    A,
    /// What reads.
    B,
    /// What costs nothing.
    Free,
}

impl BucketCall {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::List,
        Self::BeginUpload,
        Self::UploadPart,
        Self::CompleteUpload,
        Self::AbortUpload,
    ];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::BeginUpload => "beginUpload",
            Self::UploadPart => "uploadPart",
            Self::CompleteUpload => "completeUpload",
            Self::AbortUpload => "abortUpload",
        }
    }

    /// How it is billed. <https://developers.cloudflare.com/r2/pricing/>
    pub fn class(self) -> BillingClass {
        match self {
            Self::Get => BillingClass::B,
            Self::Put | Self::List | Self::BeginUpload | Self::UploadPart | Self::CompleteUpload => BillingClass::A,
            Self::Delete | Self::AbortUpload => BillingClass::Free,
        }
    }
}

/// Upper bounds of the buckets of a histogram, in ms; what took longer is in one more.
pub const LATENCY_BOUNDS_MS: [u64; 11] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// How long calls took, as a histogram of fixed buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    counts: [u64; LATENCY_BOUNDS_MS.len()],
    /// All calls.
    pub calls: u64,
    /// The time of all calls together.
    pub total_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Latency {
    /// Counts a call that took so long.
    pub fn note(&mut self, took_ms: u64) {
        self.calls = self.calls.saturating_add(1);
        self.total_ms = self.total_ms.saturating_add(took_ms);
        self.max_ms = self.max_ms.max(took_ms);
        let bucket = LATENCY_BOUNDS_MS.iter().zip(&mut self.counts).find(|(bound, _)| took_ms <= **bound);
        if let Some((_, count)) = bucket {
            *count = count.saturating_add(1);
        }
    }

    /// Each bound, and how many calls took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        LATENCY_BOUNDS_MS.iter().zip(&self.counts).scan(0_u64, |sum, (bound, count)| {
            *sum = sum.saturating_add(*count);
            Some((*bound, *sum))
        })
    }

    /// A time that so many percent of the calls did not exceed: the bound of a bucket, or the longest. `None` without calls.
    pub fn percentile_ms(&self, percent: u64) -> Option<u64> {
        let rank = self.calls.saturating_mul(percent).div_ceil(100).max(1);
        let within = self.cumulative().find(|(_, calls)| *calls >= rank).map(|(bound, _)| bound.min(self.max_ms));
        (self.calls > 0).then(|| within.unwrap_or(self.max_ms))
    }
}

/// What became of one kind of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFigures {
    /// How many failed.
    pub failures: u64,
    /// How long each took, those that failed too.
    pub latency: Latency,
}

/// What was done to the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketFigures {
    calls: [CallFigures; BucketCall::ALL.len()],
    /// Objects that were stored.
    pub uploads: u64,
    /// Objects, or ranges of them, that were read.
    pub downloads: u64,
    /// Bytes that were stored.
    pub bytes_in: u64,
    /// Bytes that were read.
    pub bytes_out: u64,
}

impl BucketFigures {
    /// Each kind of calls.
    pub fn calls(&self) -> impl Iterator<Item = (BucketCall, &CallFigures)> {
        BucketCall::ALL.into_iter().zip(&self.calls)
    }

    /// How many calls are billed so. One that failed counts: whether it is billed is not known.
    pub fn billed(&self, class: BillingClass) -> u64 {
        let of_class = self.calls().filter(|(call, _)| call.class() == class);
        of_class.fold(0, |sum, (_, figures)| sum.saturating_add(figures.latency.calls))
    }
}

/// What was used of what the platform bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Rows that SQLite read,
    pub rows_read: u64,
    /// and wrote.
    pub rows_written: u64,
    /// Calls of the bucket of class A,
    pub class_a: u64,
    /// and of class B.
    pub class_b: u64,
}

impl Spent {
    fn with(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            rows_read: combine(self.rows_read, other.rows_read),
            rows_written: combine(self.rows_written, other.rows_written),
            class_a: combine(self.class_a, other.class_a),
            class_b: combine(self.class_b, other.class_b),
        }
    }

    /// What was used after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Its price in billionths of a dollar.
    pub fn nano_usd(self) -> u64 {
        let prices = Self {
            rows_read: SQL_ROW_READ_NANO_USD,
            rows_written: SQL_ROW_WRITTEN_NANO_USD,
            class_a: R2_CLASS_A_NANO_USD,
            class_b: R2_CLASS_B_NANO_USD,
        };
        let Self { rows_read, rows_written, class_a, class_b } = self.with(prices, u64::saturating_mul);
        [rows_read, rows_written, class_a, class_b].into_iter().fold(0, u64::saturating_add)
    }
}

/// Counts of one instance.
#[derive(Debug)]
pub struct Meter {
    /// Since when.
    since: Timestamp,
    statements: Cell<u64>,
    failed_statements: Cell<u64>,
    bucket: RefCell<BucketFigures>,
}

impl Meter {
    /// Nothing, counted from now on.
    pub fn new(now: Timestamp) -> Self {
        Self { since: now, statements: Cell::new(0), failed_statements: Cell::new(0), bucket: RefCell::default() }
    }

    /// Since when it counts.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Statements that SQLite ran, and how many of them failed.
    pub fn statements(&self) -> (u64, u64) {
        (self.statements.get(), self.failed_statements.get())
    }

    /// What was used, with SQLite's own counts.
    pub fn spent(&self, rows: SqlCounters) -> Spent {
        let bucket = self.bucket.borrow();
        Spent {
            rows_read: rows.rows_read,
            rows_written: rows.rows_written,
            class_a: bucket.billed(BillingClass::A),
            class_b: bucket.billed(BillingClass::B),
        }
    }

    /// What was done to the bucket.
    pub fn bucket(&self) -> BucketFigures {
        *self.bucket.borrow()
    }

    pub(super) fn note_statement(&self, failed: bool) {
        self.statements.set(self.statements.get().saturating_add(1));
        self.failed_statements.set(self.failed_statements.get().saturating_add(u64::from(failed)));
    }

    pub(super) fn note_call(&self, call: BucketCall, took_ms: u64, failed: bool) {
        let mut bucket = self.bucket.borrow_mut();
        let figures = BucketCall::ALL.into_iter().zip(&mut bucket.calls).find(|(known, _)| *known == call);
        if let Some((_, figures)) = figures {
            figures.latency.note(took_ms);
            figures.failures = figures.failures.saturating_add(u64::from(failed));
        }
    }

    pub(super) fn note_stored(&self, objects: u64, bytes: usize) {
        let mut bucket = self.bucket.borrow_mut();
        bucket.uploads = bucket.uploads.saturating_add(objects);
        bucket.bytes_in = bucket.bytes_in.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn note_read(&self, bytes: usize) {
        let mut bucket = self.bucket.borrow_mut();
        bucket.downloads = bucket.downloads.saturating_add(1);
        bucket.bytes_out = bucket.bytes_out.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_bounds_that_so_many_calls_do_not_exceed() {
        let mut latency = Latency::default();
        assert_eq!((latency.percentile_ms(50), latency.percentile_ms(99)), (None, None));
        latency.note(3);
        assert_eq!(latency.percentile_ms(99), Some(3), "never more than the longest");
        for _ in 0..98 {
            latency.note(7);
        }
        latency.note(30_000);
        assert_eq!([0, 1, 50, 99, 100].map(|percent| latency.percentile_ms(percent)), [5, 5, 10, 10, 30_000].map(Some));
        assert_eq!((latency.calls, latency.total_ms, latency.max_ms), (100, 3 + 98 * 7 + 30_000, 30_000));
        let cumulative: Vec<_> = latency.cumulative().collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[10]), ((5, 1), (10, 99), (10_000, 99)));
    }
}
