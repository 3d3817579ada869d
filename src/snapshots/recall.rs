//! Recall: documents of evicted segments are read from their data files and lent to the hot tier.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use roaring::RoaringBitmap;

use super::frozen::Only;
use super::place::Place;
use super::replan::Replans;
use crate::cold::{DataFile, ScanStats, scan_rows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::directory::Segment;
use crate::hot::{EvictedRows, HotStore, NeedsCold};
use crate::ports::ObjectStore;
use crate::types::statistics::ColumnStatistics;
use crate::types::{Document, DocumentSink, StorageTier};

/// How often one piece of work may find that more is missing.
const RECALLS_MAX: usize = 64;

/// Rows of evicted segments by the files they are in, so that a file that several segments share is read once.
#[derive(Default)]
pub struct EvictedFiles(pub(super) BTreeMap<String, (DataFile, RoaringBitmap)>);

impl EvictedFiles {
    /// Rows of some segments.
    pub fn of(all: &[EvictedRows]) -> Result<Self> {
        let mut files = Self::default();
        all.iter().try_for_each(|evicted| files.add(&evicted.place, evicted.rows.iter().copied()))?;
        Ok(files)
    }

    /// Adds rows of the segment at a place.
    pub fn add(&mut self, place: &str, rows: impl Iterator<Item = usize>) -> Result<()> {
        let place = Place::from_text(place)?;
        let known = self.0.get_mut(&place.file.key);
        let mut new = RoaringBitmap::new();
        for row in rows {
            new.insert(position(&place, row)?);
        }
        match known {
            Some((_, positions)) => *positions |= new,
            None => drop(self.0.insert(place.file.key.clone(), (place.file, new))),
        }
        Ok(())
    }

    /// Adds the current rows of a segment, if it is evicted.
    pub fn add_current(&mut self, segment: &Segment) -> Result<()> {
        segment.place.as_ref().map_or(Ok(()), |place| self.add(place, segment.live().positions()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.0.values().map(|(_, positions)| positions.len()).fold(0, u64::saturating_add)
    }

    /// Reads the rows, file by file in the order of their keys, each in the order of its positions. With a `projection` the
    /// documents have only these fields and `id`; rows that `may_match` excludes by their statistics are not read. When
    /// the `sink` wants no more, the rows that it did not take are not all counted.
    pub async fn scan(
        &self,
        objects: &dyn ObjectStore,
        projection: Option<&[&str]>,
        may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        let mut all = ScanStats::default();
        let mut those = Only { sink, wanted: |_: &Document| true, ended: false };
        for (file, positions) in self.0.values() {
            let prune = |statistics: &dyn ColumnStatistics| !may_match(statistics);
            let stats = scan_rows(objects, file, positions, projection, &prune, &mut those).await?;
            all.files_scanned = all.files_scanned.saturating_add(stats.files_scanned);
            all.rows_read = all.rows_read.saturating_add(stats.rows_read);
            if those.ended {
                break;
            }
        }
        Ok(all)
    }
}

/// The position in its file of a row at a place.
fn position(place: &Place, row: usize) -> Result<u32> {
    let position = u32::try_from(row).ok().and_then(|row| place.first_row.checked_add(row));
    position.ok_or_else(|| lost(&place.file.key))
}

/// Does some work of one turn. As long as documents of evicted segments are missing they are recalled, and it is done
/// again from the beginning. What is lent stays lent: more work of the same request may need it.
pub async fn recalling<T>(
    hot: &HotStore,
    objects: &dyn Fn() -> Result<Rc<dyn ObjectStore>>,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut replans = Replans::default();
    for _ in 0..RECALLS_MAX {
        match work() {
            Err(error) => match error.cause_as::<NeedsCold>() {
                Some(needed) => match recall(hot, objects()?.as_ref(), &needed.clone()).await {
                    Err(error) if !replans.again(&error) => return Err(error),
                    _ => {}
                },
                None => return Err(error),
            },
            done => return done,
        }
    }
    work()
}

/// Brings documents of evicted segments.
async fn recall(hot: &HotStore, objects: &dyn ObjectStore, needed: &NeedsCold) -> Result<()> {
    let mut rows: Vec<(Rc<str>, u32, i64, usize)> = Vec::new();
    for evicted in &needed.0 {
        let place = Place::from_text(&evicted.place)?;
        let key: Rc<str> = place.file.key.as_str().into();
        for row in &evicted.rows {
            rows.push((Rc::clone(&key), position(&place, *row)?, evicted.segment, *row));
        }
    }
    crate::types::sorting::sort_by(&mut rows, Ord::cmp);
    rows.dedup();
    let mut rows = rows.into_iter();
    let mut lend = |document: Document| {
        let (_, _, segment, row) = rows.next().ok_or_else(|| lost("a file"))?;
        hot.lend(segment, [(row, document)]);
        Ok(ControlFlow::Continue(()))
    };
    EvictedFiles::of(&needed.0)?.scan(objects, None, &|_| true, &mut lend).await?;
    rows.next().map_or(Ok(()), |(key, ..)| Err(lost(&key)))
}

fn lost(key: &str) -> StorageError {
    let message = format!("expected {key} to have the rows of a segment, got others");
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "recall documents", message)
}
