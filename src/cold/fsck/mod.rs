//! Checks a table against itself: everything that its metadata reaches in the bucket, and, where it is given, the
//! object's own catalogue, which is the authority.
//!
//! The walk uses [`read`](super::read) alone, so it sees what any engine sees. It never ends early: a part that is
//! broken is a [`Finding`], and what depends on it is left out. Each [`Invariant`] has a test that breaks exactly it.
//! [`Depth::Files`] reads metadata and asks for each file's size; [`Depth::Rows`] decodes every file too, in memory
//! whole, for tools and tests (see [`foreign`](super::read::foreign)).

mod catalogue;
mod files;
mod invariant;
mod metadata;
mod rows;
mod snapshots;

pub use catalogue::CatalogueView;
pub use invariant::{Invariant, Severity};

use std::collections::BTreeMap;
use std::fmt;

use super::read::{Expected, Table};
use crate::error::StorageError;
use crate::ports::ObjectStore;

/// Findings of one invariant that a report keeps; further ones are counted, so that many of one do not hide another.
const FINDINGS_MAX: usize = 100;

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Metadata, and whether each file is there with its size.
    Files,
    /// And every row of every file.
    Rows,
}

/// What is to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Check<'c> {
    /// The table's folder in the bucket.
    pub folder: &'c str,
    /// How far to go.
    pub depth: Depth,
    /// What is known of the table beforehand.
    pub expected: Expected<'c>,
    /// What the object's SQLite says of it.
    pub catalogue: Option<&'c CatalogueView<'c>>,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What should hold.
    pub invariant: Invariant,
    /// The object, or the table's folder, of which it does not hold.
    pub key: String,
    /// What was expected there.
    pub expected: String,
    /// What was got.
    pub got: String,
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.invariant.severity()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let name = self.invariant.name();
        write!(f, "{severity}: {name}: {}: expected {}, got {}", self.key, self.expected, self.got)
    }
}

/// What a walk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Snapshots that the metadata keeps.
    pub snapshots: u64,
    /// Manifests, each once.
    pub manifests: u64,
    /// Data files that a kept snapshot has, each once.
    pub data_files: u64,
    /// Delete files that a kept snapshot has, each once.
    pub delete_files: u64,
    /// Rows of data files that were decoded.
    pub rows: u64,
    /// Findings that were not kept because there were too many.
    pub further_findings: u64,
}

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What does not hold, in the order of the walk.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub counts: Counts,
    /// Findings that are kept, by invariant.
    kept: BTreeMap<Invariant, usize>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.counts.further_findings == 0
    }

    fn find(&mut self, invariant: Invariant, key: &str, expected: impl Into<String>, got: impl Into<String>) {
        let kept = self.kept.entry(invariant).or_default();
        if *kept >= FINDINGS_MAX {
            self.counts.further_findings = self.counts.further_findings.saturating_add(1);
            return;
        }
        *kept = kept.saturating_add(1);
        let finding = Finding { invariant, key: key.to_owned(), expected: expected.into(), got: got.into() };
        self.findings.push(finding);
    }

    fn find_unless(
        &mut self,
        holds: bool,
        invariant: Invariant,
        key: &str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        if !holds {
            self.find(invariant, key, expected, got);
        }
    }

    /// An object that could not be read.
    fn find_error(&mut self, invariant: Invariant, key: &str, expected: &str, error: &StorageError) {
        self.find(invariant, key, expected, error.to_string());
    }
}

/// What the parts of a walk share.
struct Walk<'w> {
    objects: &'w dyn ObjectStore,
    check: &'w Check<'w>,
    report: Report,
}

/// Checks a table.
pub async fn check(objects: &dyn ObjectStore, check: &Check<'_>) -> Report {
    let mut walk = Walk { objects, check, report: Report::default() };
    if let Some(table) = metadata::open(&mut walk).await {
        walk.table(&table).await;
    }
    walk.report
}

impl Walk<'_> {
    async fn table(&mut self, table: &Table) {
        metadata::check(self, table).await;
        let snapshots = snapshots::check(self, table).await;
        let facts = files::check(self, table, &snapshots).await;
        if self.check.depth == Depth::Rows {
            rows::check(self, table, &snapshots, &facts);
        }
        if let Some(catalogue) = self.check.catalogue {
            catalogue::check(self, table, &snapshots, catalogue).await;
        }
    }

    /// The size of an object; `None` when there is none, or when it cannot be told.
    async fn size(&self, key: &str) -> Option<u64> {
        let found = self.objects.get(key, Some(0..1)).await;
        found.ok().flatten().map(|object| object.info.size)
    }
}
