//! Staging a merge of a state table's files: small ones of a month become one, with the rows that they have.
//!
//! What is made depends on the plan and the committed table alone. A part is copied whole, deleted rows included, so that a
//! row keeps its number in its segment; one without a row that is current in the table is left out. Of the segments that
//! the plan says, only current rows are copied; they become segments of their own when the merge is committed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::state::{StateChange, contradiction};
use super::{CollectionStage, FILE_MAX_BYTES, Stage, StagedTable};
use crate::cold::catalog::CatalogFile;
use crate::cold::{
    CommitOperation, DataFile, DocumentFileWriter, FileContent, ScanStats, Schema, TableKind, TablePath,
    read_position_deletes, scan_rows,
};
use crate::config::Compression;
use crate::error::Result;
use crate::hot::{Collection, Rewrite, Rewritten};
use crate::types::Document;
use crate::vortex::{ColumnType, TableColumn, TableSchema};

/// Bytes of text from which on a row group ends with its part: reading one row reads its row group.
const ROW_GROUP_BYTES: usize = 1024 * 1024;

/// A part that is copied.
struct Part {
    number: i64,
    /// Where it is in the file that is read.
    first: u32,
    /// Its rows that are copied, by their positions there.
    copied: RoaringBitmap,
    /// Those of them that are deleted.
    deleted: RoaringBitmap,
    /// Whether it becomes a segment of its own.
    is_rewritten: bool,
}

impl Stage<'_> {
    /// Stages the merge that is planned of a collection's state table.
    pub(super) async fn stage_state_merge(&mut self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let table = self.table(stage, TableKind::State)?;
        let (_, state, files) = &table;
        let is_input = |file: &&CatalogFile| stage.planned.merge_state.contains(&file.number);
        let mut removed: Vec<CatalogFile> = files.iter().filter(is_input).cloned().collect();
        let month = removed.first().map_or(0, |file| file.file.file.month);
        if removed.len() != stage.planned.merge_state.len() {
            return Err(contradiction(format!("{} files, got {}", stage.planned.merge_state.len(), removed.len())));
        }
        let of_month = |file: &&CatalogFile| {
            file.file.file.content == FileContent::PositionDeletes && file.file.file.month == month
        };
        let delete_file = files.iter().find(of_month).cloned();
        let mut deletes = match &delete_file {
            Some(CatalogFile { file, .. }) => {
                read_position_deletes(self.objects.as_ref(), &file.file, &state.base_uri, &mut ScanStats::default())
                    .await?
            }
            None => BTreeMap::new(),
        };
        let known = self.hot.catalog()?;
        let collection = known.all().iter().find(|known| known.id == stage.planned.id);
        let collection = collection.ok_or_else(|| contradiction("a known collection, got none".to_owned()))?;
        let mut copy = Copy { stage, collection, open: None, rewrite: None, left: 0, rewritten: Vec::new() };
        let mut change = StateChange::default();
        let mut moved = BTreeMap::new();
        let mut has_moved = false;
        for input in &removed {
            let file = &input.file.file;
            let deleted = deletes.remove(&file.key);
            has_moved |= deleted.is_some();
            let mut parts = parts_of(file, &deleted.unwrap_or_default(), &stage.planned.rewrite)?;
            while !parts.is_empty() {
                self.copy_parts(file, &mut parts, &mut copy).await?;
                if copy.is_full() {
                    self.end_copy(&state.path, &mut copy, &mut change.added, &mut moved).await?;
                }
            }
        }
        self.end_copy(&state.path, &mut copy, &mut change.added, &mut moved).await?;
        self.rewritten.append(&mut copy.rewritten);
        if has_moved {
            deletes.extend(moved);
            self.put_deletes(month, &deletes, state, &mut change.added).await?;
            removed.extend(delete_file);
        }
        let is_same = removed.iter().all(|file| reads_the_same(&file.file.file, &stage.columns));
        let operation = if is_same { CommitOperation::Replace } else { CommitOperation::Overwrite };
        change.removed = removed;
        self.build_commit(stage, table, change, Some(operation))
    }

    /// Copies parts of a file, until all are or the file that is written is full.
    async fn copy_parts(&self, file: &DataFile, parts: &mut VecDeque<Part>, copy: &mut Copy<'_>) -> Result<()> {
        let wanted = parts.iter().fold(RoaringBitmap::new(), |wanted, part| wanted | &part.copied);
        let compression = self.config.compression;
        let mut take = |document: Document| copy.take(parts, &document, compression);
        scan_rows(self.objects.as_ref(), file, &wanted, None, &|_| false, &mut take).await?;
        if parts.is_empty() || copy.is_full() {
            return Ok(());
        }
        Err(contradiction(format!("the rows of all parts of {}, got fewer", file.key)))
    }

    async fn end_copy(
        &mut self,
        path: &TablePath,
        copy: &mut Copy<'_>,
        added: &mut Vec<DataFile>,
        moved: &mut BTreeMap<String, RoaringBitmap>,
    ) -> Result<()> {
        let Some((writer, deleted)) = copy.open.take() else { return Ok(()) };
        self.end_state(path, writer, added).await?;
        if let Some(file) = added.last().filter(|_| !deleted.is_empty()) {
            moved.insert(file.key.clone(), deleted);
        }
        Ok(())
    }
}

/// Whether engines read the same of a file's rows once they are written again under these columns: no value comes into a
/// column that it was not in before, and none is more exact there. In doubt it is not.
fn reads_the_same(file: &DataFile, columns: &TableSchema) -> bool {
    let changes = |column: &TableColumn| {
        let Some(before) = file.column(column.id) else { return file.stray.contains(&column.name) };
        // The type that it has in the file is told by the width of a bound.
        let is_narrow = before.lower.as_ref().is_none_or(|lower| lower.len() < size_of::<i64>());
        match column.column_type {
            ColumnType::Double if is_narrow && before.nulls < file.record_count => true,
            ColumnType::Long | ColumnType::Double => is_narrow && file.stray.contains(&column.name),
            ColumnType::Decimal { .. } => file.stray.contains(&column.name),
            _ => false,
        }
    };
    !file.loses_values_under(&Schema::state(columns)) && !columns.columns().iter().any(changes)
}

/// The parts of a file that are copied.
fn parts_of(file: &DataFile, deleted: &RoaringBitmap, rewrite: &[i64]) -> Result<VecDeque<Part>> {
    let mut parts = VecDeque::new();
    let mut first = 0_u32;
    for part in &file.parts {
        let end = u32::try_from(part.rows).ok().and_then(|rows| first.checked_add(rows));
        let end = end.ok_or_else(|| contradiction(format!("parts of {} with fewer rows, got more", file.key)))?;
        let mut copied = RoaringBitmap::new();
        copied.insert_range(first..end);
        let mut gone = deleted & &copied;
        let is_rewritten = rewrite.contains(&part.number);
        if gone.len() < copied.len() {
            if is_rewritten {
                copied -= std::mem::take(&mut gone);
            }
            parts.push_back(Part { number: part.number, first, copied, deleted: gone, is_rewritten });
        }
        first = end;
    }
    Ok(parts)
}

/// A copy on its way.
struct Copy<'c> {
    stage: &'c CollectionStage<'c>,
    collection: &'c Collection,
    /// The file that is written, and which of its rows are deleted.
    open: Option<(DocumentFileWriter<'c>, RoaringBitmap)>,
    /// The segment that the part becomes.
    rewrite: Option<Rewrite>,
    /// How many rows of the part are still to come; 0 before its first.
    left: u64,
    rewritten: Vec<Rewritten>,
}

impl Copy<'_> {
    fn is_full(&self) -> bool {
        self.left == 0 && self.open.as_ref().is_some_and(|(writer, _)| writer.approximate_bytes() >= FILE_MAX_BYTES)
    }

    /// Takes the next row of the first part.
    fn take(
        &mut self,
        parts: &mut VecDeque<Part>,
        document: &Document,
        compression: Compression,
    ) -> Result<ControlFlow<()>> {
        let Some(part) = parts.front() else { return Err(contradiction("the rows of parts, got more".to_owned())) };
        let new =
            || (DocumentFileWriter::of_parts(&self.stage.columns).compressed_by(compression), RoaringBitmap::new());
        let (writer, deleted) = self.open.get_or_insert_with(new);
        if self.left == 0 {
            self.left = part.copied.len();
            let at = u32::try_from(writer.rows()).unwrap_or(u32::MAX);
            deleted.extend(part.deleted.iter().map(|row| row.saturating_sub(part.first).saturating_add(at)));
            if part.is_rewritten {
                let rows = part.copied.iter().map(|row| row.saturating_sub(part.first)).collect();
                self.rewrite = Some(Rewrite::begin(self.collection, part.number, rows)?);
            }
        }
        writer.push(document)?;
        if let Some(rewrite) = &mut self.rewrite {
            rewrite.push(document)?;
        }
        self.left -= 1;
        if self.left == 0 {
            writer.end_part(part.number);
            writer.end_row_group_of(ROW_GROUP_BYTES)?;
            let rewritten = self.rewrite.take().map(Rewrite::finish).transpose()?;
            self.rewritten.extend(rewritten);
            parts.pop_front();
        }
        Ok(if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}
