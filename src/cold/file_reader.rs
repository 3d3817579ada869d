//! One Parquet file in the bucket: its footer, and the columns of its row groups that are needed.
//!
//! Only the column chunks that are needed are fetched, neighbours in one request. A file of at most
//! [`WHOLE_FILE_BYTES`] is fetched with one request.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use xxhash_rust::xxh64::xxh64;

use super::data_file::DataFile;
use super::parquet_read::{Footer, Group, chunk_range, corrupt, decode};
use super::scan::ScanStats;
use crate::error::Result;
use crate::ports::ObjectStore;
use crate::types::sorting;
use crate::vortex::Column;

/// Files up to this size are fetched whole.
pub const WHOLE_FILE_BYTES: u64 = 1024 * 1024;
/// Chunks that lie at most this far apart are fetched together: a request costs more than these bytes.
const COALESCE_GAP: u64 = 64 * 1024;

/// The cause of an error: there is no object under a file's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentFile(pub String);

impl fmt::Display for AbsentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is absent", self.0)
    }
}

impl std::error::Error for AbsentFile {}

/// A column of a row group that may be read.
pub(super) struct NeededColumn<'a> {
    pub field_id: i32,
    pub name: &'a str,
    /// Whether its statistics say that it has no value here.
    pub all_null: bool,
}

/// A data file in the bucket, its footer read.
pub(super) struct FileReader<'a> {
    objects: &'a dyn ObjectStore,
    pub file: &'a DataFile,
    pub footer: Footer,
    /// All of the file's bytes, when they were fetched at once.
    whole: Option<Vec<u8>>,
}

impl<'a> FileReader<'a> {
    /// Reads the footer of a file, and the rest of a small one.
    pub(super) async fn open(objects: &'a dyn ObjectStore, file: &'a DataFile, stats: &mut ScanStats) -> Result<Self> {
        if file.file_size <= WHOLE_FILE_BYTES {
            let bytes = fetch(objects, file, 0..file.file_size, stats).await?;
            if xxh64(&bytes, 0) != file.checksum {
                objects.distrust(&file.key, None).await;
                return Err(corrupt(&file.key, "bytes with the checksum that was stored with the table, got others"));
            }
            let start = usize::try_from(file.file_size.saturating_sub(file.footer_size)).unwrap_or(0);
            let footer = Footer::parse(file, bytes.get(start..).unwrap_or_default())?;
            return Ok(Self { objects, file, footer, whole: Some(bytes) });
        }
        let start = file.file_size.saturating_sub(file.footer_size);
        let bytes = fetch(objects, file, start..file.file_size, stats).await?;
        match Footer::parse(file, &bytes) {
            Ok(footer) => Ok(Self { objects, file, footer, whole: None }),
            Err(error) => {
                objects.distrust(&file.key, Some(start..file.file_size)).await;
                Err(error)
            }
        }
    }

    /// The columns of a row group that are needed, by field id.
    pub(super) async fn read_group(
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
        let fetched = self.fetch_all(wanted.iter().map(|(_, _, range)| range.clone()), stats).await?;
        let mut decoded = BTreeMap::new();
        for (position, field_id, range) in wanted {
            let bytes = fetched.slice(self.whole.as_deref(), &range);
            let bytes = bytes.ok_or_else(|| corrupt(&self.file.key, "all bytes of a column chunk, got fewer"))?;
            match decode(self.file, &self.footer, group, position, bytes) {
                Ok(column) => decoded.insert(field_id, column),
                Err(error) => {
                    self.distrust(&fetched).await;
                    return Err(error);
                }
            };
        }
        Ok(decoded)
    }

    /// One of these parts is not what was written.
    async fn distrust(&self, fetched: &Fetched) {
        for (start, bytes) in &fetched.0 {
            let end = start.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
            self.objects.distrust(&self.file.key, Some(*start..end)).await;
        }
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
    sorting::sort_by_key(&mut sorted, |range| range.start);
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
    let range = (!whole).then_some(range);
    let object = objects.get(&file.key, range.clone()).await?;
    let object = object.ok_or_else(|| {
        let error = corrupt(&file.key, "a data file of the table in the bucket, got no object");
        error.caused_by(AbsentFile(file.key.clone()))
    })?;
    let complete = u64::try_from(object.bytes.len()).is_ok_and(|bytes| bytes == length);
    if object.info.size != file.file_size || !complete {
        objects.distrust(&file.key, range).await;
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
