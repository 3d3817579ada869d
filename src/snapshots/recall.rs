//! Recall: documents of evicted segments are read from their data files and lent to the hot tier.

use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::place::Place;
use crate::cold::{ScanStats, scan_rows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{EvictedRows, HotStore, NeedsCold};
use crate::ports::ObjectStore;
use crate::types::statistics::ColumnStatistics;
use crate::types::{Document, StorageTier};

/// Reads rows of an evicted segment, in their order. With a `projection` the documents have only these fields and `id`;
/// rows that `may_match` excludes by their statistics are not read.
pub async fn scan_evicted(
    objects: &dyn ObjectStore,
    evicted: &EvictedRows,
    projection: Option<&[&str]>,
    may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
    sink: &mut dyn FnMut(Document) -> Result<ControlFlow<()>>,
) -> Result<ScanStats> {
    let place = Place::from_text(&evicted.place)?;
    let at = |row: &usize| u32::try_from(*row).ok().and_then(|row| place.first_row.checked_add(row));
    let positions: Option<RoaringBitmap> = evicted.rows.iter().map(at).collect();
    let positions = positions.ok_or_else(|| lost(&place.file.key))?;
    scan_rows(objects, &place.file, &positions, projection, &|statistics| !may_match(statistics), sink).await
}

/// Brings documents of evicted segments.
pub async fn recall(hot: &HotStore, objects: &dyn ObjectStore, needed: &NeedsCold) -> Result<()> {
    for evicted in &needed.0 {
        let mut rows = evicted.rows.iter();
        let mut lend = |document| {
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
