//! Reads data files back from the bucket: documents of state tables, events of change logs.
//!
//! Files are pruned by what is known of them without a request, row groups by their footer, and only the column
//! chunks that are needed are fetched, neighbours in one request. One row group is in memory at a time. A file of at
//! most [`WHOLE_FILE_BYTES`] is fetched with one request.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use xxhash_rust::xxh64::xxh64;

use super::changes::{self, ChangeRecord};
use super::data_file::DataFile;
use super::parquet_read::{Footer, Group, chunk_range, corrupt, decode};
use super::schema::change_fields;
use super::statistics::{FileStatistics, GroupStatistics, is_own};
use crate::error::Result;
use crate::ports::ObjectStore;
use crate::types::statistics::ColumnStatistics;
use crate::types::{Document, Sequence};
use crate::vortex::schema::{EXTRA_FIELD, ID_FIELD, SEQUENCE_FIELD, TIMESTAMP_FIELD};
use crate::vortex::{Column, ColumnCursor, Rebuilder, RebuiltColumn, Scalar, TableSchema};

/// Files up to this size are fetched whole.
pub const WHOLE_FILE_BYTES: u64 = 1024 * 1024;
/// Chunks that lie at most this far apart are fetched together: a request costs more than these bytes.
const COALESCE_GAP: u64 = 64 * 1024;

/// What a scan did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Files of which at least the footer was read.
    pub files_scanned: u64,
    /// Files skipped by their bounds.
    pub files_pruned: u64,
    /// Row groups decoded.
    pub row_groups_scanned: u64,
    /// Row groups skipped by their statistics.
    pub row_groups_pruned: u64,
    /// Bytes of column chunks, uncompressed.
    pub bytes_decoded: u64,
    /// Rows that were rebuilt.
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
/// Each file's documents come in the order of their ids. `columns` are the table's columns now, for the names of the
/// files' bounds; a file is read by what it says of itself. With a `projection` the documents have only these fields
/// and `id`. `prune` answers true for what cannot hold a document that is wanted. The `sink` may end the scan.
pub async fn scan(
    objects: &dyn ObjectStore,
    files: &[DataFile],
    columns: &TableSchema,
    projection: Option<&[&str]>,
    prune: &dyn Fn(&dyn ColumnStatistics) -> bool,
    sink: &mut dyn FnMut(Document) -> Result<ControlFlow<()>>,
) -> Result<ScanStats> {
    let mut stats = ScanStats::default();
    for file in files {
        if prune(&FileStatistics { file, columns }) {
            stats.files_pruned += 1;
            continue;
        }
        let reader = FileReader::open(objects, file, &mut stats).await?;
        for group in reader.footer.groups() {
            let known =
                GroupStatistics { columns: &reader.footer.columns, group: group.metadata, stray: &group.notes.stray };
            if prune(&known) {
                stats.row_groups_pruned += 1;
                continue;
            }
            let decoded =
                reader.read_group(group, &|column| state_column_is_needed(column, projection), &mut stats).await?;
            if rebuild_group(&reader, &decoded, projection, &mut stats, sink)?.is_break() {
                return Ok(stats);
            }
        }
    }
    Ok(stats)
}

/// Whether a scan of a state table reads a column.
fn state_column_is_needed(column: &NeededColumn<'_>, projection: Option<&[&str]>) -> bool {
    match column.field_id {
        EXTRA_FIELD => !column.all_null,
        id if is_own(id) => true,
        _ => !column.all_null && projection.is_none_or(|wanted| wanted.contains(&column.name)),
    }
}

fn rebuild_group(
    reader: &FileReader<'_>,
    decoded: &BTreeMap<i32, Column>,
    projection: Option<&[&str]>,
    stats: &mut ScanStats,
    sink: &mut dyn FnMut(Document) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let required =
        |id: i32| decoded.get(&id).ok_or_else(|| corrupt(&reader.file.key, "the columns of a state table, got others"));
    let own = [required(ID_FIELD)?, required(SEQUENCE_FIELD)?, required(TIMESTAMP_FIELD)?];
    let fields = reader.footer.columns.iter().filter(|column| !is_own(column.field_id));
    let fields =
        fields.filter_map(|column| Some(RebuiltColumn { name: &column.name, column: decoded.get(&column.field_id)? }));
    let mut rebuilder = Rebuilder::new(own, fields, decoded.get(&EXTRA_FIELD), projection)?;
    while let Some(document) = rebuilder.next_document()? {
        stats.rows_read += 1;
        if sink(document)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
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
    ordered.sort_by_key(|(first, _)| *first);
    for (_, file) in ordered {
        let reader = FileReader::open(objects, file, &mut stats).await?;
        for group in reader.footer.groups() {
            if !group_overlaps(&reader, group, range) {
                stats.row_groups_pruned += 1;
                continue;
            }
            let needed = |column: &NeededColumn<'_>| !column.all_null && (range.images || !is_image(column.field_id));
            let decoded = reader.read_group(group, &needed, &mut stats).await?;
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

/// A column of a row group that may be read.
struct NeededColumn<'a> {
    field_id: i32,
    name: &'a str,
    /// Whether its statistics say that it has no value here.
    all_null: bool,
}

/// A data file in the bucket, its footer read.
struct FileReader<'a> {
    objects: &'a dyn ObjectStore,
    file: &'a DataFile,
    footer: Footer,
    /// All of the file's bytes, when they were fetched at once.
    whole: Option<Vec<u8>>,
}

impl<'a> FileReader<'a> {
    async fn open(objects: &'a dyn ObjectStore, file: &'a DataFile, stats: &mut ScanStats) -> Result<Self> {
        stats.files_scanned += 1;
        if file.file_size <= WHOLE_FILE_BYTES {
            let bytes = fetch(objects, file, 0..file.file_size, stats).await?;
            if xxh64(&bytes, 0) != file.checksum {
                return Err(corrupt(&file.key, "bytes with the checksum that was stored with the table, got others"));
            }
            let start = usize::try_from(file.file_size.saturating_sub(file.footer_size)).unwrap_or(0);
            let footer = Footer::parse(file, bytes.get(start..).unwrap_or_default())?;
            return Ok(Self { objects, file, footer, whole: Some(bytes) });
        }
        let start = file.file_size.saturating_sub(file.footer_size);
        let bytes = fetch(objects, file, start..file.file_size, stats).await?;
        Ok(Self { objects, file, footer: Footer::parse(file, &bytes)?, whole: None })
    }

    /// The columns of a row group that are needed, by field id.
    async fn read_group(
        &self,
        group: Group<'_>,
        needed: &dyn Fn(&NeededColumn<'_>) -> bool,
        stats: &mut ScanStats,
    ) -> Result<BTreeMap<i32, Column>> {
        let mut wanted: Vec<(usize, i32, Range<u64>)> = Vec::new();
        for (position, (column, chunk)) in self.footer.columns.iter().zip(group.metadata.columns()).enumerate() {
            let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
            let all_null = nulls.and_then(|nulls| i64::try_from(nulls).ok()) == Some(group.metadata.num_rows());
            if !needed(&NeededColumn { field_id: column.field_id, name: &column.name, all_null }) {
                continue;
            }
            let range = chunk_range(chunk)
                .ok_or_else(|| corrupt(&self.file.key, "a column chunk inside the file, got another"))?;
            stats.bytes_decoded =
                stats.bytes_decoded.saturating_add(u64::try_from(chunk.uncompressed_size()).unwrap_or(0));
            wanted.push((position, column.field_id, range));
        }
        stats.row_groups_scanned += 1;
        let fetched = self.fetch_all(wanted.iter().map(|(_, _, range)| range.clone()), stats).await?;
        let mut decoded = BTreeMap::new();
        for (position, field_id, range) in wanted {
            let bytes = fetched.slice(self.whole.as_deref(), &range);
            let bytes = bytes.ok_or_else(|| corrupt(&self.file.key, "all bytes of a column chunk, got fewer"))?;
            decoded.insert(field_id, decode(self.file, &self.footer, group, position, bytes)?);
        }
        Ok(decoded)
    }

    async fn fetch_all(&self, ranges: impl Iterator<Item = Range<u64>>, stats: &mut ScanStats) -> Result<Fetched> {
        let mut fetched = Fetched(Vec::new());
        if self.whole.is_some() {
            return Ok(fetched);
        }
        for range in coalesce(ranges) {
            let bytes = fetch(self.objects, self.file, range.clone(), stats).await?;
            fetched.0.push((range.start, bytes));
        }
        Ok(fetched)
    }
}

/// Parts of a file by where they start.
struct Fetched(Vec<(u64, Vec<u8>)>);

impl Fetched {
    /// The bytes of a range that lies in one part, or in `whole`.
    fn slice<'b>(&'b self, whole: Option<&'b [u8]>, range: &Range<u64>) -> Option<&'b [u8]> {
        let within = |start: u64, bytes: &'b [u8]| {
            let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
            bytes.get(from..to)
        };
        match whole {
            Some(whole) => within(0, whole),
            None => self.0.iter().find_map(|(start, bytes)| within(*start, bytes)),
        }
    }
}

/// Ranges that cover all of `ranges`, joined where little lies between.
fn coalesce(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.collect();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(COALESCE_GAP) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The bytes of a range; all of them, or an error.
async fn fetch(
    objects: &dyn ObjectStore,
    file: &DataFile,
    range: Range<u64>,
    stats: &mut ScanStats,
) -> Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let whole = length == file.file_size;
    stats.requests += 1;
    let object = objects.get(&file.key, (!whole).then_some(range)).await?;
    let object = object.ok_or_else(|| corrupt(&file.key, "a data file of the table in the bucket, got no object"))?;
    let complete = u64::try_from(object.bytes.len()).is_ok_and(|bytes| bytes == length);
    if object.info.size != file.file_size || !complete {
        return Err(corrupt(&file.key, "an object of the size that was stored with the table, got another"));
    }
    stats.bytes_fetched = stats.bytes_fetched.saturating_add(length);
    Ok(object.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_fetched_together() {
        let joined = coalesce([200_000..200_010, 0..10, 10..20, 70_000..70_001, 5..8].into_iter());
        assert_eq!(joined, [0..20, 70_000..70_001, 200_000..200_010]);
        let apart = [0..10, 65_547..65_548];
        assert_eq!(coalesce(apart.clone().into_iter()), apart);
    }
}
