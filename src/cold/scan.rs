//! Reads data files back from the bucket: documents of state tables, events of change logs.
//!
//! Files are pruned by what is known of them without a request, row groups by their footer. One row group is in memory
//! at a time, also while a sink has no room. Rows at deleted positions are never seen: the delete files of a month are read before its first data file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::changes::{self, ChangeRecord};
use super::data_file::{DataFile, FileContent};
use super::file_reader::{FileReader, NeededColumn};
use super::parquet_read::{Group, corrupt};
use super::position_deletes::Deletes;
use super::schema::change_fields;
use super::statistics::{FileStatistics, GroupStatistics, is_own};
use crate::error::Result;
use crate::ports::ObjectStore;
use crate::types::sink::{DocumentSink, room};
use crate::types::statistics::ColumnStatistics;
use crate::types::{Sequence, sorting};
use crate::vortex::schema::{EXTRA_FIELD, ID_FIELD, SEQUENCE_FIELD, TIMESTAMP_FIELD};
use crate::vortex::{Column, ColumnCursor, Rebuilder, RebuiltColumn, Scalar, TableSchema, Values};

/// What a scan did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Data files of which at least the footer was read.
    pub files_scanned: u64,
    /// Data files skipped by their bounds, or because all of their rows are deleted.
    pub files_pruned: u64,
    /// Row groups of data files decoded.
    pub row_groups_scanned: u64,
    /// Row groups skipped by their statistics, or because all of their rows are deleted.
    pub row_groups_pruned: u64,
    /// Delete files read.
    pub delete_files_read: u64,
    /// Bytes of column chunks, uncompressed; those of delete files too, as in the two counts of the bucket.
    pub bytes_decoded: u64,
    /// Rows that were rebuilt; deleted ones are not.
    pub rows_read: u64,
    /// Reads of the bucket.
    pub requests: u64,
    /// Bytes that these brought.
    pub bytes_fetched: u64,
}

/// The part of a change log to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesRange {
    /// Events after this sequence.
    pub after: Sequence,
    /// And not after this one.
    pub until: Sequence,
    /// Whether the images before and after are read.
    pub images: bool,
}

/// Reads the documents of a state table's files.
///
/// `files` are data files and the delete files of their months, in any order; what a delete file says of data files that
/// are not among them is passed over, so that some files of a table can be read alone. Each part of a data file, or the
/// whole file if it has none, gives its documents in the order of their ids. `columns` are the table's columns now, for
/// the names of the files' bounds; a file is read by what it says of itself. With a `projection` the documents have only
/// these fields and `id`. `prune` answers true for what cannot hold a document that is wanted. The `sink` may end the
/// scan. An error of kind `Corrupt` means that the bucket does not hold what the table has on record, or that a deleted
/// position is beyond its file.
pub async fn scan(
    objects: &dyn ObjectStore,
    files: &[DataFile],
    columns: &TableSchema,
    projection: Option<&[&str]>,
    prune: &dyn Fn(&dyn ColumnStatistics) -> bool,
    sink: &mut dyn DocumentSink,
) -> Result<ScanStats> {
    let mut stats = ScanStats::default();
    let mut deletes = Deletes::new(objects, files);
    for file in files.iter().filter(|file| file.content == FileContent::Data) {
        if prune(&FileStatistics { file, columns }) {
            stats.files_pruned += 1;
            continue;
        }
        let deleted = deletes.of(file, &mut stats).await?;
        if deleted.is_some_and(|deleted| i64::try_from(deleted.len()) == Ok(file.record_count)) {
            stats.files_pruned += 1;
            continue;
        }
        let file = FileRows { file, deleted, projection };
        if scan_file(objects, &file, prune, &mut stats, sink).await?.is_break() {
            return Ok(stats);
        }
    }
    Ok(stats)
}

/// Reads some rows of one data file of a state table, in the order of their positions. What deletes say is not asked.
pub async fn scan_rows(
    objects: &dyn ObjectStore,
    file: &DataFile,
    wanted: &RoaringBitmap,
    projection: Option<&[&str]>,
    prune: &dyn Fn(&dyn ColumnStatistics) -> bool,
    sink: &mut dyn DocumentSink,
) -> Result<ScanStats> {
    let rows = u32::try_from(file.record_count).unwrap_or(u32::MAX);
    if wanted.max().is_some_and(|last| last >= rows) {
        return Err(corrupt(&file.key, "a file with all rows that are looked for, got fewer"));
    }
    let mut unwanted = RoaringBitmap::new();
    unwanted.insert_range(0..rows);
    unwanted -= wanted;
    let mut stats = ScanStats::default();
    let file = FileRows { file, deleted: Some(&unwanted), projection };
    let _ended = scan_file(objects, &file, prune, &mut stats, sink).await?;
    Ok(stats)
}

/// Reads the versions of all rows of a data file of a state table, deleted ones too: `sink` gets positions and versions.
/// Returns where the row groups end: the position after the last row of each.
pub async fn read_versions(
    objects: &dyn ObjectStore,
    file: &DataFile,
    sink: &mut dyn FnMut(u32, Sequence),
) -> Result<Vec<u32>> {
    let mut stats = ScanStats::default();
    let reader = FileReader::open(objects, file, &mut stats).await?;
    let (mut position, mut ends) = (0_u32, Vec::new());
    for group in reader.footer.groups() {
        let needed = |column: &NeededColumn<'_>| column.field_id == SEQUENCE_FIELD;
        let decoded = reader.read_group(group, &needed, &mut stats).await?;
        let Some(Values::Long(versions)) = decoded.get(&SEQUENCE_FIELD).map(Column::values) else {
            return Err(corrupt(&file.key, "the column of versions of a state table, got none"));
        };
        for version in versions {
            sink(position, *version);
            position = position.saturating_add(1);
        }
        ends.push(position);
    }
    Ok(ends)
}

/// What is read of a data file.
struct FileRows<'f> {
    file: &'f DataFile,
    deleted: Option<&'f RoaringBitmap>,
    projection: Option<&'f [&'f str]>,
}

async fn scan_file(
    objects: &dyn ObjectStore,
    wanted: &FileRows<'_>,
    prune: &dyn Fn(&dyn ColumnStatistics) -> bool,
    stats: &mut ScanStats,
    sink: &mut dyn DocumentSink,
) -> Result<ControlFlow<()>> {
    let FileRows { file, deleted, projection } = *wanted;
    let reader = FileReader::open(objects, file, stats).await?;
    stats.files_scanned += 1;
    let mut first_row = 0_u32;
    for group in reader.footer.groups() {
        let rows = GroupRows::new(group, first_row, deleted);
        first_row = rows.end;
        let known =
            GroupStatistics { columns: &reader.footer.columns, group: group.metadata, stray: &group.notes.stray };
        if rows.all_deleted() || prune(&known) {
            stats.row_groups_pruned += 1;
            continue;
        }
        let decoded = reader.read_group(group, &|column| state_column_is_needed(column, projection), stats).await?;
        stats.row_groups_scanned += 1;
        if rebuild_group(&reader, &decoded, rows, projection, stats, sink).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The rows of a row group by their positions in the file.
#[derive(Clone, Copy)]
struct GroupRows<'d> {
    first: u32,
    /// One after the last.
    end: u32,
    deleted: Option<&'d RoaringBitmap>,
}

impl<'d> GroupRows<'d> {
    fn new(group: Group<'_>, first: u32, deleted: Option<&'d RoaringBitmap>) -> Self {
        let rows = u32::try_from(group.metadata.num_rows()).unwrap_or(u32::MAX);
        Self { first, end: first.saturating_add(rows), deleted }
    }

    fn all_deleted(&self) -> bool {
        let rows = u64::from(self.end.saturating_sub(self.first));
        self.deleted.is_some_and(|deleted| deleted.range_cardinality(self.first..self.end) == rows)
    }
}

/// Whether a scan of a state table reads a column.
fn state_column_is_needed(column: &NeededColumn<'_>, projection: Option<&[&str]>) -> bool {
    match column.field_id {
        EXTRA_FIELD => !column.all_null,
        id if is_own(id) => true,
        _ => !column.all_null && projection.is_none_or(|wanted| wanted.contains(&column.name)),
    }
}

async fn rebuild_group(
    reader: &FileReader<'_>,
    decoded: &BTreeMap<i32, Column>,
    rows: GroupRows<'_>,
    projection: Option<&[&str]>,
    stats: &mut ScanStats,
    sink: &mut dyn DocumentSink,
) -> Result<ControlFlow<()>> {
    let required =
        |id: i32| decoded.get(&id).ok_or_else(|| corrupt(&reader.file.key, "the columns of a state table, got others"));
    let own = [required(ID_FIELD)?, required(SEQUENCE_FIELD)?, required(TIMESTAMP_FIELD)?];
    let fields = reader.footer.columns.iter().filter(|column| !is_own(column.field_id));
    let fields =
        fields.filter_map(|column| Some(RebuiltColumn { name: &column.name, column: decoded.get(&column.field_id)? }));
    let mut rebuilder = Rebuilder::new(own, fields, decoded.get(&EXTRA_FIELD), projection)?;
    let mut deleted = rows.deleted.map(|deleted| deleted.range(rows.first..rows.end)).into_iter().flatten().peekable();
    for position in rows.first..rows.end {
        if deleted.next_if_eq(&position).is_some() {
            rebuilder.skip_document();
            continue;
        }
        let Some(document) = rebuilder.next_document()? else { break };
        stats.rows_read += 1;
        if sink.take(document)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        room(sink).await;
    }
    Ok(ControlFlow::Continue(()))
}

/// Reads the events of a change log's files in the order of their sequences. Files of one log never overlap.
pub async fn scan_changes(
    objects: &dyn ObjectStore,
    files: &[DataFile],
    collection: &str,
    range: ChangesRange,
    sink: &mut dyn FnMut(ChangeRecord) -> Result<ControlFlow<()>>,
) -> Result<ScanStats> {
    let mut stats = ScanStats::default();
    let mut ordered: Vec<(i64, &DataFile)> = Vec::new();
    for file in files {
        match sequence_bounds(file) {
            Some((first, last)) if last > range.after && first <= range.until => ordered.push((first, file)),
            Some(_) => stats.files_pruned += 1,
            None => return Err(corrupt(&file.key, "bounds of the sequence column on record, got none")),
        }
    }
    sorting::sort_by_key(&mut ordered, |(first, _)| *first);
    for (_, file) in ordered {
        let reader = FileReader::open(objects, file, &mut stats).await?;
        stats.files_scanned += 1;
        for group in reader.footer.groups() {
            if !group_overlaps(&reader, group, range) {
                stats.row_groups_pruned += 1;
                continue;
            }
            let needed = |column: &NeededColumn<'_>| !column.all_null && (range.images || !is_image(column.field_id));
            let decoded = reader.read_group(group, &needed, &mut stats).await?;
            stats.row_groups_scanned += 1;
            if emit_changes(&decoded, collection, range, &mut stats, sink)?.is_break() {
                return Ok(stats);
            }
        }
    }
    Ok(stats)
}

fn is_image(field_id: i32) -> bool {
    matches!(field_id, change_fields::BEFORE | change_fields::AFTER)
}

fn sequence_bounds(file: &DataFile) -> Option<(i64, i64)> {
    let metrics = file.column(change_fields::SEQUENCE)?;
    let long = |bytes: &Option<Vec<u8>>| Some(i64::from_le_bytes(bytes.as_deref()?.try_into().ok()?));
    Some((long(&metrics.lower)?, long(&metrics.upper)?))
}

/// Whether a row group may have events of the range; true where its footer does not tell.
fn group_overlaps(reader: &FileReader<'_>, group: Group<'_>, range: ChangesRange) -> bool {
    let position = reader.footer.columns.iter().position(|column| column.field_id == change_fields::SEQUENCE);
    let chunk = position.and_then(|position| group.metadata.columns().get(position));
    let statistics = chunk.and_then(|chunk| chunk.statistics());
    let long = |bytes: Option<&[u8]>| Some(i64::from_le_bytes(bytes?.try_into().ok()?));
    let first = statistics.and_then(|statistics| long(statistics.min_bytes_opt()));
    let last = statistics.and_then(|statistics| long(statistics.max_bytes_opt()));
    first.is_none_or(|first| first <= range.until) && last.is_none_or(|last| last > range.after)
}

fn emit_changes(
    decoded: &BTreeMap<i32, Column>,
    collection: &str,
    range: ChangesRange,
    stats: &mut ScanStats,
    sink: &mut dyn FnMut(ChangeRecord) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let rows = decoded.get(&change_fields::SEQUENCE).map_or(0, Column::rows);
    // One walk a field, in the order of the field ids 1 to 10.
    let mut cursors: [Option<ColumnCursor<'_>>; change_fields::COUNT] = std::array::from_fn(|position| {
        let id = i32::try_from(position).ok()?.checked_add(1)?;
        decoded.get(&id).map(Column::cursor)
    });
    for _ in 0..rows {
        let row = cursors.each_mut().map(|cursor| cursor.as_mut()?.next_value());
        let wanted = matches!(row.first(), Some(Some(Scalar::Long(sequence))) if *sequence > range.after && *sequence <= range.until);
        if !wanted {
            continue;
        }
        stats.rows_read += 1;
        if sink(changes::record(collection, row)?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
