//! A segment's rows, out of those of its columns that were brought.
//!
//! A row by itself is read value by value and so without the columns' checksums; rows in number are read column by
//! column, each after its checksum.

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};

use super::head::SegmentHead;
use super::{EXTRA_NAME, corrupt};
use crate::error::Result;
use crate::types::time::MICROS_PER_MILLI;
use crate::types::{Document, Sequence, Timestamp};
use crate::vortex::blob::{Blob, Bound, Budget, ColumnEntry};
use crate::vortex::{Bitmap, Column, Rebuilder, RebuiltColumn, Scalar, Values};

/// The position of the column of ids.
pub const ID_POSITION: usize = 0;
/// The position of the column of versions.
pub const SEQUENCE_POSITION: usize = 1;
/// The position of the column of commit times.
pub const TIMESTAMP_POSITION: usize = 2;
/// The position of the first column of a field, where there is one.
pub const FIRST_FIELD_POSITION: usize = 3;

/// Rows of a segment.
#[derive(Clone, Debug)]
pub enum Rows<'a> {
    /// Those of a range.
    Range(Range<usize>),
    /// Those whose bit is set; there is one for each row.
    Selected(&'a Bitmap),
}

impl From<Range<usize>> for Rows<'_> {
    fn from(range: Range<usize>) -> Self {
        Self::Range(range)
    }
}

impl<'a> From<&'a Bitmap> for Rows<'a> {
    fn from(selected: &'a Bitmap) -> Self {
        Self::Selected(selected)
    }
}

/// The row of an id. Needs the column of ids.
pub fn find(blob: &Blob<'_>, id: &str) -> Result<Option<usize>> {
    Ok(search_points(blob, id)?.ok())
}

/// The first row whose id is greater than `id`, the first of all for `None`; the number of rows when there is none.
/// Needs the column of ids.
pub fn first_after(blob: &Blob<'_>, id: Option<&str>) -> Result<usize> {
    let Some(id) = id else { return Ok(0) };
    Ok(match search_points(blob, id)? {
        Ok(row) => row.saturating_add(1),
        Err(row) => row,
    })
}

/// The row of an id or that before which it would be, by a point read a step.
fn search_points(blob: &Blob<'_>, id: &str) -> Result<Found> {
    let ids = blob.points(ID_POSITION)?;
    search(blob.rows(), |row| match ids.value(row)?.value {
        Some(Scalar::Text(found)) => Ok(found.as_ref().cmp(id)),
        _ => Err(corrupt("expected an id in every row, got none")),
    })
}

/// A row, or where it would be.
type Found = std::result::Result<usize, usize>;

/// Finds the row that is in order with what is sought, among rows that ascend.
fn search(rows: usize, order: impl Fn(usize) -> Result<Ordering>) -> Result<Found> {
    let (mut start, mut end) = (0, rows);
    while start < end {
        let middle = start.midpoint(end);
        match order(middle)? {
            Ordering::Less => start = middle.saturating_add(1),
            Ordering::Greater => end = middle,
            Ordering::Equal => return Ok(Ok(middle)),
        }
    }
    Ok(Err(start))
}

/// One document, reading no more of the columns than its values. Needs all columns.
pub fn document(head: &SegmentHead, blob: &Blob<'_>, row: usize) -> Result<Document> {
    check(head, blob)?;
    if row >= head.rows {
        return Err(corrupt(format!("expected one of {} rows, got row {row}", head.rows)));
    }
    let column = |position: usize, entry: &ColumnEntry| {
        let mut column = Column::new(entry.column_type);
        column.push_option(blob.value(position, row)?.value)?;
        Ok(column)
    };
    let entries = head.index.columns().iter().enumerate();
    let columns = entries.map(|(position, entry)| column(position, entry)).collect::<Result<Vec<_>>>()?;
    rebuilder(head, &columns)?.next_document()?.ok_or_else(|| corrupt("expected a document, got none"))
}

/// The documents of some rows, in the order of ids. Needs all columns. Columns and texts are taken from the budget.
pub fn documents<'r>(
    head: &SegmentHead,
    blob: &Blob<'_>,
    rows: impl Into<Rows<'r>>,
    budget: &mut Budget,
) -> Result<Vec<Document>> {
    check(head, blob)?;
    let rows = rows.into();
    let positions = 0..head.index.columns().len();
    let columns = positions.map(|position| column(blob, position, &rows, budget)).collect::<Result<Vec<_>>>()?;
    let mut rebuilder = rebuilder(head, &columns)?;
    let mut documents = Vec::new();
    while let Some(document) = rebuilder.next_document()? {
        budget.take(document.text.len().saturating_add(document.id.len()).saturating_add(size_of::<Document>()))?;
        documents.push(document);
    }
    Ok(documents)
}

/// The ids of some rows, in their order. Needs the column of ids.
pub fn ids<'r>(blob: &Blob<'_>, rows: impl Into<Rows<'r>>, budget: &mut Budget) -> Result<Vec<String>> {
    let column = complete(blob, ID_POSITION, &rows.into(), budget)?;
    let mut ids = Vec::new();
    for row in 0..column.rows() {
        let id = id_of(&column, row)?;
        budget.take(id.len().saturating_add(size_of::<String>()))?;
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// The row of each id, for more than a few of them. Needs the column of ids.
pub fn find_all(blob: &Blob<'_>, ids: &[&str], budget: &mut Budget) -> Result<Vec<Option<usize>>> {
    let column = complete(blob, ID_POSITION, &(0..blob.rows()).into(), budget)?;
    let find = |id: &&str| Ok(search(column.rows(), |row| Ok(id_of(&column, row)?.cmp(id)))?.ok());
    ids.iter().map(find).collect()
}

/// The versions of some rows, in the order of ids. Needs the column of versions.
pub fn versions<'r>(blob: &Blob<'_>, rows: impl Into<Rows<'r>>, budget: &mut Budget) -> Result<Vec<Sequence>> {
    match complete(blob, SEQUENCE_POSITION, &rows.into(), budget)?.values() {
        Values::Long(versions) => Ok(versions.clone()),
        _ => Err(corrupt("expected versions, got a column of another type")),
    }
}

/// The commit times of some rows in Unix ms, in the order of ids. Needs the column of commit times.
pub fn commit_times<'r>(blob: &Blob<'_>, rows: impl Into<Rows<'r>>, budget: &mut Budget) -> Result<Vec<Timestamp>> {
    match complete(blob, TIMESTAMP_POSITION, &rows.into(), budget)?.values() {
        Values::Long(micros) => Ok(micros.iter().map(|micros| micros.div_euclid(MICROS_PER_MILLI)).collect()),
        _ => Err(corrupt("expected commit times, got a column of another type")),
    }
}

/// The least and the greatest commit time of all rows, deleted ones included; `None` when they are not told.
pub fn commit_span(head: &SegmentHead) -> Option<(Timestamp, Timestamp)> {
    let statistics = &head.index.columns().get(TIMESTAMP_POSITION)?.statistics;
    let millis = |bound: &Option<Bound>| match bound.as_ref()?.value {
        Scalar::Long(micros) => Some(micros.div_euclid(MICROS_PER_MILLI)),
        _ => None,
    };
    Some((millis(&statistics.least)?, millis(&statistics.greatest)?))
}

/// The first `limit` rows whose versions are in a range, in the order of versions. Needs the column of versions.
pub fn rows_by_sequence(
    head: &SegmentHead,
    blob: &Blob<'_>,
    range: RangeInclusive<Sequence>,
    limit: usize,
    budget: &mut Budget,
) -> Result<Vec<usize>> {
    check(head, blob)?;
    let versions = versions(blob, 0..head.rows, budget)?;
    budget.take(versions.len().saturating_mul(size_of::<(Sequence, usize)>().saturating_add(size_of::<usize>())))?;
    let within = versions.into_iter().zip(0..).filter(|(version, _)| range.contains(version));
    let mut rows: Vec<(Sequence, usize)> = within.collect();
    if limit < rows.len() {
        rows.select_nth_unstable(limit);
        rows.truncate(limit);
    }
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Whether head and blob are of one segment, as far as is seen at once.
fn check(head: &SegmentHead, blob: &Blob<'_>) -> Result<()> {
    if blob.rows() == head.rows && blob.columns().len() == head.index.columns().len() {
        return Ok(());
    }
    Err(corrupt(format!("expected the columns of a segment of {} rows, got others of {}", head.rows, blob.rows())))
}

fn column(blob: &Blob<'_>, position: usize, rows: &Rows<'_>, budget: &mut Budget) -> Result<Column> {
    match rows {
        Rows::Range(range) => blob.decode(position, range.clone(), budget),
        Rows::Selected(selected) => blob.gather(position, selected, budget),
    }
}

/// A column that has a value in every row.
fn complete(blob: &Blob<'_>, position: usize, rows: &Rows<'_>, budget: &mut Budget) -> Result<Column> {
    let column = column(blob, position, rows, budget)?;
    if column.null_count() == 0 {
        return Ok(column);
    }
    Err(corrupt(format!("expected an id and a version in every row, got {} rows without", column.null_count())))
}

/// The id of a row of a column that has one in every row.
fn id_of(column: &Column, row: usize) -> Result<&str> {
    match column.values() {
        Values::Text { offsets, text } => {
            let place = |at: usize| offsets.get(at).and_then(|offset| usize::try_from(*offset).ok());
            let id = place(row).zip(place(row.saturating_add(1))).and_then(|(start, end)| text.get(start..end));
            id.ok_or_else(|| corrupt("expected an id in every row, got fewer"))
        }
        _ => Err(corrupt("expected ids, got a column of another type")),
    }
}

/// Makes documents of all columns.
fn rebuilder<'c>(head: &'c SegmentHead, columns: &'c [Column]) -> Result<Rebuilder<'c>> {
    let (Some(ids), Some(sequences), Some(timestamps)) =
        (columns.get(ID_POSITION), columns.get(SEQUENCE_POSITION), columns.get(TIMESTAMP_POSITION))
    else {
        return Err(corrupt("expected columns of ids, versions and times, got fewer"));
    };
    let named = head.index.columns().iter().map(|entry| entry.name.as_str()).zip(columns).skip(FIRST_FIELD_POSITION);
    let extra = named.clone().find(|(name, _)| *name == EXTRA_NAME).map(|(_, column)| column);
    let fields = named.filter(|(name, _)| *name != EXTRA_NAME);
    let fields = fields.map(|(name, column)| RebuiltColumn { name, column });
    Rebuilder::new([ids, sequences, timestamps], fields, extra, None)
}
