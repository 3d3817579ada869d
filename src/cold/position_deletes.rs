//! Position delete files: which rows of a month's data files are deleted (spec, "Position Delete Files").
//!
//! One file tells of all data files of its month, and is replaced whole when any of it changes. Its rows ascend by path
//! and position, each once. Its footer notes the base URI, so that the locations in its rows can be told as keys, by
//! which this program knows data files.

use std::borrow::Cow;
use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::data_file::{DataFile, FileContent};
use super::file_reader::FileReader;
use super::parquet_file::{Layout, ParquetFile, refuse};
use super::parquet_read::corrupt;
use super::parquet_write::{ROW_GROUP_MAX_BYTES, ROW_GROUP_MAX_ROWS};
use super::paths::location;
use super::scan::ScanStats;
use super::schema::{Schema, delete_fields};
use crate::config::Compression;
use crate::error::Result;
use crate::ports::ObjectStore;
use crate::types::time::Month;
use crate::vortex::{Column, ColumnType, Scalar, StrayFields};

/// Writes the position delete file of a month.
pub struct PositionDeletesWriter {
    base_uri: String,
    file: ParquetFile,
    month: Option<i32>,
    /// The data file named last.
    last_key: Option<String>,
    paths: Column,
    positions: Column,
    /// Bytes of the paths of the row group that is not written yet.
    bytes: usize,
}

impl PositionDeletesWriter {
    /// A file without rows, of a table under `base_uri` (`TableState::base_uri`).
    pub fn new(base_uri: &str) -> Self {
        let base_uri = base_uri.trim_end_matches('/').to_owned();
        let layout = Layout {
            content: FileContent::PositionDeletes,
            sorting: vec![delete_fields::FILE_PATH, delete_fields::POS],
            ascending: delete_fields::POS,
            base_uri: Some(base_uri.clone()),
            compression: Compression::default(),
        };
        Self {
            base_uri,
            file: ParquetFile::new(&Schema::position_deletes(), layout),
            month: None,
            last_key: None,
            paths: Column::new(ColumnType::String),
            positions: Column::new(ColumnType::Long),
            bytes: 0,
        }
    }

    /// The same with another codec than the default; to be said before the first position.
    pub fn compressed_by(self, compression: Compression) -> Self {
        Self { file: self.file.compressed_by(compression), ..self }
    }

    /// Adds the deleted `positions`, row numbers counted from 0, of the data file under `file_key`, whose month is the
    /// ordinal `month` ([`DataFile::month`]). Files come in ascending order of their keys, each once, all of one month;
    /// others are refused, and then the delete file is not to be used. One without deleted rows leaves nothing.
    pub fn push(&mut self, file_key: &str, month: i32, positions: &RoaringBitmap) -> Result<()> {
        if self.last_key.as_deref().is_some_and(|last| file_key <= last) {
            return Err(refuse(format!("expected data files in ascending order of their keys, got {file_key} late")));
        }
        if self.month.is_some_and(|known| known != month) {
            return Err(refuse(format!("expected deletes of one month, got {file_key} of another")));
        }
        self.month = Some(month);
        self.last_key = Some(file_key.to_owned());
        let path = location(&self.base_uri, file_key);
        for position in positions {
            self.paths.push(Scalar::Text(Cow::Borrowed(&path)))?;
            self.positions.push(Scalar::Long(i64::from(position)))?;
            self.bytes = self.bytes.saturating_add(path.len());
            if self.paths.rows() >= ROW_GROUP_MAX_ROWS || self.bytes >= ROW_GROUP_MAX_BYTES {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// How many positions were added.
    pub fn rows(&self) -> i64 {
        self.file.rows().saturating_add(i64::try_from(self.paths.rows()).unwrap_or(i64::MAX))
    }

    /// Ends the file. `key` tells where it will lie, given its month. A file without rows is refused.
    pub fn finish(mut self, key: impl FnOnce(Month) -> String) -> Result<(Vec<u8>, DataFile)> {
        if self.paths.rows() > 0 {
            self.end_row_group()?;
        }
        let Some(month) = self.month.and_then(Month::from_ordinal) else {
            return Err(refuse("expected deletes of a month of the calendar, got none".to_owned()));
        };
        self.file.finish(key(month), month)
    }

    fn end_row_group(&mut self) -> Result<()> {
        let paths = std::mem::replace(&mut self.paths, Column::new(ColumnType::String));
        let positions = std::mem::replace(&mut self.positions, Column::new(ColumnType::Long));
        self.bytes = 0;
        self.file.write_row_group(&[&paths, &positions], &StrayFields::None)
    }
}

/// The deleted positions that a delete file tells, by the key of the data file. An error of kind `Corrupt` means that the
/// bucket does not hold the file that is on record, or one of another base URI than `base_uri`.
pub async fn read_position_deletes(
    objects: &dyn ObjectStore,
    file: &DataFile,
    base_uri: &str,
    stats: &mut ScanStats,
) -> Result<BTreeMap<String, RoaringBitmap>> {
    let mut found = BTreeMap::new();
    let told = read(objects, file, stats, &mut found).await?;
    if told != base_uri.trim_end_matches('/') {
        return Err(corrupt(&file.key, "deletes of files under the table's base URI, got others"));
    }
    Ok(found)
}

/// The deleted positions that the delete files among `files` tell, by the keys of the data files.
pub async fn deleted_positions(
    objects: &dyn ObjectStore,
    files: &[DataFile],
) -> Result<BTreeMap<String, RoaringBitmap>> {
    let (mut stats, mut found) = (ScanStats::default(), BTreeMap::<String, RoaringBitmap>::new());
    for file in files.iter().filter(|file| file.content == FileContent::PositionDeletes) {
        let mut told = BTreeMap::new();
        read(objects, file, &mut stats, &mut told).await?;
        for (key, positions) in told {
            *found.entry(key).or_default() |= positions;
        }
    }
    Ok(found)
}

/// Adds what a delete file tells to `found`; the base URI that it was written under.
async fn read(
    objects: &dyn ObjectStore,
    file: &DataFile,
    stats: &mut ScanStats,
    found: &mut BTreeMap<String, RoaringBitmap>,
) -> Result<String> {
    if file.content != FileContent::PositionDeletes {
        return Err(corrupt(&file.key, "a position delete file on record, got a data file"));
    }
    let reader = FileReader::open(objects, file, stats).await?;
    stats.delete_files_read += 1;
    let base_uri = reader.footer.base_uri();
    let base_uri = base_uri.ok_or_else(|| corrupt(&file.key, "a position delete file, got another"))?.to_owned();
    let mut last = LastRow::default();
    for group in reader.footer.groups() {
        let decoded = reader.read_group(group, &|_| true, stats).await?;
        let (Some(paths), Some(positions)) = (decoded.get(&delete_fields::FILE_PATH), decoded.get(&delete_fields::POS))
        else {
            return Err(corrupt(&file.key, "the columns of a position delete file, got others"));
        };
        let (mut paths, mut positions) = (paths.cursor(), positions.cursor());
        for _ in 0..paths.column().rows() {
            let row = (paths.next_value(), positions.next_value());
            let sound = match row {
                (Some(Scalar::Text(path)), Some(Scalar::Long(position))) => {
                    last.follow(&path, position, &base_uri, found)
                }
                _ => None,
            };
            sound.ok_or_else(|| {
                corrupt(&file.key, "rows that ascend by path and position, of files under the base URI, got others")
            })?;
        }
    }
    last.end(found);
    Ok(base_uri)
}

/// The data file whose positions are read now.
#[derive(Default)]
struct LastRow {
    path: String,
    key: String,
    positions: RoaringBitmap,
}

impl LastRow {
    /// Takes a row; `None` when it may not follow the last one.
    fn follow(
        &mut self,
        path: &str,
        position: i64,
        base_uri: &str,
        found: &mut BTreeMap<String, RoaringBitmap>,
    ) -> Option<()> {
        let position = u32::try_from(position).ok()?;
        if path != self.path {
            let key = path.strip_prefix(base_uri)?.strip_prefix('/')?.to_owned();
            if path < self.path.as_str() || found.contains_key(&key) {
                return None;
            }
            self.end(found);
            (self.path, self.key) = (path.to_owned(), key);
        }
        // An error when it is not beyond the last one.
        self.positions.try_push(position).ok()
    }

    fn end(&mut self, found: &mut BTreeMap<String, RoaringBitmap>) {
        if !self.positions.is_empty() {
            found.insert(std::mem::take(&mut self.key), std::mem::take(&mut self.positions));
        }
    }
}

/// The delete files of a scan. Those of a month are read when the first data file of the month asks.
pub(super) struct Deletes<'a> {
    objects: &'a dyn ObjectStore,
    unread: BTreeMap<i32, Vec<&'a DataFile>>,
    known: BTreeMap<String, RoaringBitmap>,
}

impl<'a> Deletes<'a> {
    pub(super) fn new(objects: &'a dyn ObjectStore, files: &'a [DataFile]) -> Self {
        let mut unread: BTreeMap<i32, Vec<&'a DataFile>> = BTreeMap::new();
        for file in files.iter().filter(|file| file.content == FileContent::PositionDeletes) {
            unread.entry(file.month).or_default().push(file);
        }
        Self { objects, unread, known: BTreeMap::new() }
    }

    /// The deleted positions of a data file; `None` when all of its rows are there.
    pub(super) async fn of(&mut self, file: &DataFile, stats: &mut ScanStats) -> Result<Option<&RoaringBitmap>> {
        for deletes in self.unread.remove(&file.month).unwrap_or_default() {
            let mut found = BTreeMap::new();
            read(self.objects, deletes, stats, &mut found).await?;
            for (key, positions) in found {
                *self.known.entry(key).or_default() |= positions;
            }
        }
        let deleted = self.known.get(&file.key);
        if deleted.and_then(RoaringBitmap::max).is_some_and(|last| i64::from(last) >= file.record_count) {
            return Err(corrupt(&file.key, "deleted positions inside the data file, got one beyond it"));
        }
        Ok(deleted)
    }
}
