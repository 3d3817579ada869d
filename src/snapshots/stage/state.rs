//! Staging the state tables: the documents of a collection as of the plan.
//!
//! - The segments that a month has got go into data files, one after the other, each with all its rows: so a row of a
//!   segment has one position of one file for ever.
//! - A position is current when a segment of the plan has it undeleted; all others of the month's data files are in its
//!   one position-delete file. A data file without a current position leaves the table.
//! - What was in row form goes into a tail file a month. Tails are data files without parts, replaced at every commit.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::{CollectionStage, FILE_MAX_BYTES, OPEN_MAX_BYTES, Stage};
use crate::cold::catalog::CatalogFile;
use crate::cold::{DataFile, DocumentFileWriter, FileContent, PositionDeletesWriter, TablePath, TableState};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::frozen::FrozenRows;
use crate::ports::StorageClass;
use crate::snapshots::plan::{PlannedMonth, PlannedSegment};
use crate::types::StorageTier;
use crate::types::time::Month;
use crate::vortex::TableSchema;

/// How the files of a state table change.
#[derive(Default)]
pub(super) struct StateChange {
    /// Files that the commit adds.
    pub added: Vec<DataFile>,
    /// Files that it removes.
    pub removed: Vec<CatalogFile>,
}

impl Stage<'_> {
    /// Stages the documents of a collection. `existing`: the files of the committed table.
    pub(super) async fn stage_state(
        &mut self,
        stage: &CollectionStage<'_>,
        state: &TableState,
        existing: Vec<CatalogFile>,
    ) -> Result<StateChange> {
        let path = &state.path;
        let mut change = StateChange::default();
        let dropped = stage.planned.life.is_none();
        let (mut months, mut deletes) = (BTreeMap::<i32, Vec<CatalogFile>>::new(), BTreeMap::new());
        for file in existing {
            let data = &file.file.file;
            match data.content {
                FileContent::Data if data.parts.is_empty() || dropped => change.removed.push(file),
                FileContent::PositionDeletes if dropped => change.removed.push(file),
                FileContent::Data => months.entry(data.month).or_default().push(file),
                FileContent::PositionDeletes => {
                    let month = data.month;
                    if deletes.insert(month, file).is_some() {
                        return Err(contradiction(format!("one delete file of month {month} at most, got two")));
                    }
                }
            }
        }
        // First: what is changed since the plan is kept in memory from here to their end.
        self.stage_tails(stage, path, &mut change.added).await?;
        for month in &stage.planned.months {
            let files = months.remove(&month.month).unwrap_or_default();
            self.stage_segments(month, &files, path, &stage.columns, &mut change.added).await?;
            self.stage_deletes(month, files, state, &mut change).await?;
            change.removed.extend(deletes.remove(&month.month));
        }
        Ok(change)
    }

    /// Stages the segments of a month that are in none of its files.
    async fn stage_segments(
        &mut self,
        month: &PlannedMonth,
        files: &[CatalogFile],
        path: &TablePath,
        columns: &TableSchema,
        added: &mut Vec<DataFile>,
    ) -> Result<()> {
        let is_archived =
            |segment: &&PlannedSegment| files.iter().any(|file| has_part(&file.file.file, segment.number));
        let compression = self.config.compression;
        let mut open: Option<DocumentFileWriter<'_>> = None;
        for segment in month.segments.iter().filter(|segment| !is_archived(segment)) {
            let writer = open.get_or_insert_with(|| DocumentFileWriter::of_parts(columns).compressed_by(compression));
            let mut next = 0;
            loop {
                self.clock.sleep_ms(0).await;
                let rows = self.hot.segment_rows(segment.number, next)?;
                if rows.is_empty() {
                    break;
                }
                next = next.saturating_add(rows.len());
                rows.iter().try_for_each(|document| writer.push(document))?;
            }
            if i64::try_from(next) != Ok(segment.rows) {
                return Err(contradiction(format!("{} rows in segment {}, got {next}", segment.rows, segment.number)));
            }
            writer.end_part(segment.number);
            if writer.approximate_bytes() >= FILE_MAX_BYTES
                && let Some(full) = open.take()
            {
                self.end_state(path, full, added).await?;
            }
        }
        match open {
            Some(last) => self.end_state(path, last, added).await,
            None => Ok(()),
        }
    }

    /// Stages the position deletes of a month: one file for the data files `kept` so far and those just added.
    async fn stage_deletes(
        &mut self,
        month: &PlannedMonth,
        files: Vec<CatalogFile>,
        state: &TableState,
        change: &mut StateChange,
    ) -> Result<()> {
        let planned: HashMap<i64, &PlannedSegment> =
            month.segments.iter().map(|segment| (segment.number, segment)).collect();
        let mut deleted: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
        for file in files {
            match deleted_positions(&file.file.file, &planned)? {
                None => change.removed.push(file),
                Some(positions) => {
                    deleted.insert(file.file.file.key.clone(), positions);
                }
            }
        }
        let of_month = |file: &&DataFile| file.month == month.month && !file.parts.is_empty();
        for file in change.added.iter().filter(of_month) {
            deleted.insert(file.key.clone(), deleted_positions(file, &planned)?.unwrap_or_default());
        }
        self.put_deletes(month.month, &deleted, state, &mut change.added).await
    }

    /// Stages the position deletes of a month, by the keys of its data files; none when no row is deleted.
    pub(super) async fn put_deletes(
        &mut self,
        month: i32,
        deleted: &BTreeMap<String, RoaringBitmap>,
        state: &TableState,
        added: &mut Vec<DataFile>,
    ) -> Result<()> {
        if deleted.values().all(RoaringBitmap::is_empty) {
            return Ok(());
        }
        let mut writer = PositionDeletesWriter::new(&state.base_uri).compressed_by(self.config.compression);
        for (key, positions) in deleted {
            writer.push(key, month, positions)?;
        }
        let number = added.len();
        let (bytes, file) = writer.finish(|month| state.path.delete_file(month, self.plan.attempt, number))?;
        // It is replaced when another row is deleted.
        self.put_file(file, &bytes, StorageClass::Standard, added).await
    }

    /// Stages what was in row form, a file a month or more.
    async fn stage_tails(
        &mut self,
        stage: &CollectionStage<'_>,
        path: &TablePath,
        added: &mut Vec<DataFile>,
    ) -> Result<()> {
        let planned = stage.planned;
        let mut rows = FrozenRows::new(self.hot, planned.id, planned.life(), self.plan.through)
            .without_segments_before(self.plan.segments_before);
        let compression = self.config.compression;
        let mut open: BTreeMap<Month, DocumentFileWriter<'_>> = BTreeMap::new();
        while let Some(page) = rows.next_page()? {
            self.clock.sleep_ms(0).await;
            for document in page {
                let month = Month::of(document.timestamp);
                let writer = || DocumentFileWriter::new(&stage.columns).compressed_by(compression);
                open.entry(month).or_insert_with(writer).push(&document)?;
                // After each document: where a page ends depends on the moment at which it is read.
                while let Some(month) = month_to_end(&open) {
                    if let Some(writer) = open.remove(&month) {
                        self.end_state(path, writer, added).await?;
                    }
                }
            }
        }
        for (_, writer) in open {
            self.end_state(path, writer, added).await?;
        }
        Ok(())
    }

    pub(super) async fn end_state(
        &mut self,
        path: &TablePath,
        writer: DocumentFileWriter<'_>,
        added: &mut Vec<DataFile>,
    ) -> Result<()> {
        let number = added.len();
        let (bytes, file) = writer.finish(|month| path.data_file(month, self.plan.attempt, number))?;
        // A tail is replaced by the next commit.
        let class = if file.parts.is_empty() { StorageClass::Standard } else { self.class_of(file.month) };
        self.put_file(file, &bytes, class, added).await
    }
}

fn has_part(file: &DataFile, number: i64) -> bool {
    file.parts.iter().any(|part| part.number == number)
}

/// The positions of a data file that no segment of the plan has undeleted; `None` when those are all.
fn deleted_positions(file: &DataFile, planned: &HashMap<i64, &PlannedSegment>) -> Result<Option<RoaringBitmap>> {
    let mut deleted = RoaringBitmap::new();
    let mut start = 0_u32;
    for part in &file.parts {
        let end = u32::try_from(part.rows).ok().and_then(|rows| start.checked_add(rows));
        let end = end.ok_or_else(|| contradiction(format!("parts of {} with fewer rows, got more", file.key)))?;
        match planned.get(&part.number) {
            Some(segment) if segment.rows == part.rows => {
                let rows = segment.deleted()?;
                deleted.extend(rows.iter().take_while(|row| *row < end.saturating_sub(start)).map(|row| start + row));
            }
            Some(segment) => {
                return Err(contradiction(format!(
                    "{} rows of segment {} in {}, got {}",
                    segment.rows, segment.number, file.key, part.rows
                )));
            }
            None => {
                deleted.insert_range(start..end);
            }
        }
        start = end;
    }
    Ok((deleted.len() < u64::from(start)).then_some(deleted))
}

/// The month whose file is large enough to end, or must because all open ones are too large together.
fn month_to_end(open: &BTreeMap<Month, DocumentFileWriter<'_>>) -> Option<Month> {
    let (month, largest) = open.iter().max_by_key(|(_, writer)| writer.approximate_bytes())?;
    let all = open.values().map(DocumentFileWriter::approximate_bytes).fold(0, usize::saturating_add);
    (largest.approximate_bytes() >= FILE_MAX_BYTES || all > OPEN_MAX_BYTES).then_some(*month)
}

pub(super) fn contradiction(expected: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "stage state", format!("expected {expected}"))
}
