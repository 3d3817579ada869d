//! Recall: documents of evicted segments are read from their data files and lent to the hot tier.

use std::ops::ControlFlow;
use std::rc::Rc;

use roaring::RoaringBitmap;

use super::place::Place;
use super::replan::Replans;
use crate::cold::{ScanStats, scan_rows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{EvictedRows, HotStore, NeedsCold};
use crate::ports::ObjectStore;
use crate::types::statistics::ColumnStatistics;
use crate::types::{Document, DocumentSink, StorageTier};

/// How often one piece of work may find that more is missing.
const RECALLS_MAX: usize = 64;

/// Reads rows of an evicted segment, in their order. With a `projection` the documents have only these fields and `id`;
/// rows that `may_match` excludes by their statistics are not read.
pub async fn scan_evicted(
    objects: &dyn ObjectStore,
    evicted: &EvictedRows,
    projection: Option<&[&str]>,
    may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
    sink: &mut dyn DocumentSink,
) -> Result<ScanStats> {
    let place = Place::from_text(&evicted.place)?;
    let at = |row: &usize| u32::try_from(*row).ok().and_then(|row| place.first_row.checked_add(row));
    let positions: Option<RoaringBitmap> = evicted.rows.iter().map(at).collect();
    let positions = positions.ok_or_else(|| lost(&place.file.key))?;
    scan_rows(objects, &place.file, &positions, projection, &|statistics| !may_match(statistics), sink).await
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
    for evicted in &needed.0 {
        let mut rows = evicted.rows.iter();
        let mut lend = |document: Document| {
            let row = *rows.next().ok_or_else(|| lost(&evicted.place))?;
            hot.lend(evicted.segment, [(row, document)]);
            Ok(ControlFlow::Continue(()))
        };
        scan_evicted(objects, evicted, None, &|_| true, &mut lend).await?;
        if rows.next().is_some() {
            return Err(lost(&evicted.place));
        }
    }
    Ok(())
}

fn lost(key: &str) -> StorageError {
    let message = format!("expected {key} to have the rows of a segment, got others");
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "recall documents", message)
}
