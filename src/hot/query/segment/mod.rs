//! Reading a segment for a query: only the columns needed, only the rows that may matter.
//!
//! A field's values are in its column unless the segment says that they are [stray](super::SegmentSource::stray): then,
//! and for a path into a JSON column, rows are looked at one by one, and what `_extra` says wins. Statistics are used for
//! fields that are not stray alone.

mod bounds;
mod codes;
mod filter;
mod grouped;
mod keys;
mod materialise;
mod place;
mod plan;
mod rows;
mod test;
mod told;

use std::collections::BTreeSet;

pub(super) use bounds::{first_key_bounds, least_id};
pub(super) use grouped::scan_groups;
pub(super) use materialise::Materialiser;
pub(super) use plan::{Node, equalities, plan};
pub(super) use rows::{IdScan, scan_rows};

use super::SegmentSource;
use super::meter::Meter;
use super::path::FieldPath;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::segment::ColumnBytes;
use crate::types::StorageTier;
use crate::types::sorting;
use crate::vortex::blob::{Blob, Budget as DecodeBudget, ColumnEntry};
use crate::vortex::{Bitmap, Column, ColumnType};

/// The names of the columns that every segment has beside those of fields.
const ID: &str = "id";
const SEQUENCE: &str = "_seq";
const TIMESTAMP: &str = "_ts";
const EXTRA: &str = "_extra";
/// Memory for what is decoded of one segment at a time.
const DECODE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where a segment has the values of a field.
#[derive(Clone, Debug)]
pub(super) enum Field<'q> {
    /// Nowhere: it is null in every row.
    Absent,
    /// All of them in this column.
    Column(usize),
    /// Rows tell.
    ByRow(RowField<'q>),
}

/// A field whose values are looked for row by row: in `_extra`, in the column of its whole name, and inside the JSON of
/// its first component.
#[derive(Clone, Debug)]
pub(super) struct RowField<'q> {
    path: &'q FieldPath,
    extra: Option<usize>,
    whole: Option<usize>,
    outer: Option<usize>,
}

impl<'q> Field<'q> {
    /// Where `source` has the values of a field.
    pub(super) fn of(source: &dyn SegmentSource, path: &'q FieldPath) -> Self {
        let name = path.as_str();
        let whole = field_position(source, name);
        if name == ID {
            return whole.map_or(Self::Absent, Self::Column);
        }
        let stray = source.stray();
        let extra = extra_position(source);
        let Some((first, _)) = name.split_once('.') else {
            return match (extra.filter(|_| stray.contains(name)), whole) {
                (Some(extra), whole) => Self::ByRow(RowField { path, extra: Some(extra), whole, outer: None }),
                (None, Some(whole)) => Self::Column(whole),
                (None, None) => Self::Absent,
            };
        };
        let is_json = |position: &usize| {
            source.index().columns().get(*position).is_some_and(|column| column.column_type == ColumnType::Json)
        };
        let outer = field_position(source, first).filter(|position| first != ID && is_json(position));
        // A null under the whole name hides what is inside the first component, and is in `_extra` without being stray.
        let extra = extra.filter(|_| outer.is_some() || stray.contains(name) || stray.contains(first));
        match (extra, outer, whole) {
            (None, None, None) => Self::Absent,
            (None, None, Some(whole)) => Self::Column(whole),
            _ => Self::ByRow(RowField { path, extra, whole, outer }),
        }
    }

    /// The columns that hold its values.
    pub(super) fn positions(&self) -> Vec<usize> {
        match self {
            Self::Absent => Vec::new(),
            Self::Column(position) => vec![*position],
            Self::ByRow(field) => [field.extra, field.whole, field.outer].into_iter().flatten().collect(),
        }
    }
}

/// The column of a document's field; those that are of every segment hold none but `id`.
fn field_position(source: &dyn SegmentSource, name: &str) -> Option<usize> {
    if [SEQUENCE, TIMESTAMP, EXTRA].contains(&name) { None } else { source.index().position(name) }
}

/// The column of what has no other, where it holds anything.
fn extra_position(source: &dyn SegmentSource) -> Option<usize> {
    let position = source.index().position(EXTRA)?;
    let nulls = source.index().columns().get(position)?.statistics.null_count;
    (nulls < source.index().rows()).then_some(position)
}

/// Rows of a segment.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    rows: Bitmap,
    count: usize,
}

impl Selected {
    pub(super) fn new(rows: Bitmap) -> Self {
        let count = rows.count();
        Self { rows, count }
    }

    fn is_all(&self) -> bool {
        self.count == self.rows.len()
    }

    /// The rows' positions, in order.
    fn positions(&self) -> Vec<usize> {
        self.rows.positions().collect()
    }
}

/// A segment as it is read.
pub(super) struct SegmentScan<'s> {
    pub source: &'s dyn SegmentSource,
    loaded: Vec<(BTreeSet<usize>, ColumnBytes)>,
    budget: DecodeBudget,
}

impl<'s> SegmentScan<'s> {
    pub(super) fn new(source: &'s dyn SegmentSource) -> Self {
        Self { source, loaded: Vec::new(), budget: DecodeBudget::new(DECODE_MAX_BYTES) }
    }

    /// Whether any column was brought.
    pub(super) fn was_read(&self) -> bool {
        !self.loaded.is_empty()
    }

    /// Bytes of the columns that were brought.
    pub(super) fn held_bytes(&self) -> u64 {
        let positions = self.loaded.iter().flat_map(|(positions, _)| positions);
        let entries = positions.filter_map(|position| self.source.index().columns().get(*position));
        entries.map(|entry| u64::try_from(entry.bytes()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    }

    /// Lets go what was brought; what is needed again is brought again.
    pub(super) fn release(&mut self) {
        self.loaded.clear();
    }

    fn is_loaded(&self, position: usize) -> bool {
        self.loaded.iter().any(|(positions, _)| positions.contains(&position))
    }

    /// Brings columns that were not brought before.
    fn load(&mut self, positions: impl IntoIterator<Item = usize>, meter: &mut Meter) -> Result<()> {
        let missing = sorting::set_of(positions.into_iter().filter(|position| !self.is_loaded(*position)));
        if missing.is_empty() {
            return Ok(());
        }
        let list: Vec<usize> = missing.iter().copied().collect();
        let entries = list.iter().filter_map(|position| self.source.index().columns().get(*position));
        meter.decode(entries.map(ColumnEntry::bytes).fold(0, usize::saturating_add));
        let bytes = self.source.load(&list)?;
        self.loaded.push((missing, bytes));
        Ok(())
    }

    fn entry(&self, position: usize) -> Result<&'s ColumnEntry> {
        self.source.index().columns().get(position).ok_or_else(|| missing("a column of the segment"))
    }

    /// The values of a column in the selected rows.
    fn column(&mut self, position: usize, selected: &Selected) -> Result<Column> {
        let blob = blob(self.source, &self.loaded, position)?;
        if selected.is_all() {
            blob.decode(position, 0..blob.rows(), &mut self.budget)
        } else {
            blob.gather(position, &selected.rows, &mut self.budget)
        }
    }
}

/// The blob in which a column was brought; it borrows neither the budget nor what else a scan holds.
fn blob<'b>(
    source: &'b dyn SegmentSource,
    loaded: &'b [(BTreeSet<usize>, ColumnBytes)],
    position: usize,
) -> Result<Blob<'b>> {
    let (_, bytes) = loaded
        .iter()
        .find(|(positions, _)| positions.contains(&position))
        .ok_or_else(|| missing("the bytes of a column"))?;
    Ok(bytes.blob(source.index()))
}

fn missing(what: &str) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "query segment", format!("expected {what}, got none"))
}
