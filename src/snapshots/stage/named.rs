//! Staging named snapshots: the tags that tables get or lose without a commit of rows, and the manifest.

use std::ops::ControlFlow;

use super::{Stage, StagedTable};
use crate::cold::catalog::{TableId, TableRecord, data_files};
use crate::cold::schema::change_fields;
use crate::cold::{ChangesRange, DataFile, TableKind, retag, scan_changes};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::StorageClass;
use crate::snapshots::named::manifest::{self, Manifest, ManifestHead, ManifestTable};
use crate::snapshots::plan::PlannedSnapshot;
use crate::types::snapshot::{Snapshot, SnapshotMetadata, SnapshotTable};
use crate::types::{Sequence, StorageTier};

const JSON: &str = "application/json";

impl Stage<'_> {
    /// The tables that lose a tag of a snapshot that the plan deletes.
    pub(super) fn untagged(&self) -> Result<Vec<StagedTable>> {
        let mut tables = Vec::new();
        if self.plan.forget.is_empty() {
            return Ok(tables);
        }
        for id in &self.plan.tagged {
            let Some(record) = self.catalog.table(*id)? else { continue };
            let names = self.plan.forget.iter().map(ToString::to_string);
            let names: Vec<String> = names.filter(|name| record.state.tags.contains_key(name)).collect();
            if !names.is_empty() {
                tables.push(self.retagged(*id, record, &[], &names)?);
            }
        }
        Ok(tables)
    }

    /// Tags the tables of a named snapshot that have no commit in this plan, and stages its manifest.
    pub(super) async fn stage_named(
        &mut self,
        planned: &PlannedSnapshot,
        tables: &mut Vec<StagedTable>,
    ) -> Result<Snapshot> {
        let after = planned.parent.as_ref().map(|parent| parent.sequence);
        let mut manifest = self.manifest(planned);
        let mut told = Vec::new();
        for id in &self.plan.tagged {
            if !tables.iter().any(|table| table.id == *id) {
                tables.extend(self.tagged(*id, after)?);
            }
            if let Some(table) = tables.iter().find(|table| table.id == *id) {
                let table = self.pinned(table, after)?;
                told.push(self.table_told(&table, after).await?);
                manifest.tables.push(table);
            }
        }
        let bytes = manifest.to_bytes()?;
        let key = manifest::key(self.name, self.plan.attempt);
        self.catalog.note_staged(std::slice::from_ref(&key))?;
        self.put(&key, &bytes, JSON, StorageClass::Standard).await?;
        Ok(self.snapshot_told(planned, told, &bytes))
    }

    fn manifest(&self, planned: &PlannedSnapshot) -> Manifest {
        let head = ManifestHead {
            id: self.plan.attempt,
            snapshot_type: planned.snapshot_type,
            timestamp: self.plan.timestamp,
            version: planned.version,
            sequence: self.plan.through,
        };
        let mut manifest = Manifest::new(self.name, head);
        manifest.after = planned.parent.as_ref().map(|parent| parent.sequence);
        manifest.parent = planned.parent.as_ref().map(|parent| parent.manifest.clone());
        manifest.collections.clone_from(&planned.collections);
        manifest
    }

    /// The tag of a table that has no commit in this plan; `None` for one that was never committed, or whose events are
    /// all told by the parent.
    fn tagged(&self, id: TableId, after: Option<Sequence>) -> Result<Option<StagedTable>> {
        let Some(record) = self.catalog.table(id)? else { return Ok(None) };
        let files = data_files(self.catalog.files(id, record.state.version)?);
        if after.is_some_and(|after| !files.iter().any(|file| has_events_after(file, after))) {
            return Ok(None);
        }
        let Some(current) = record.state.current_snapshot().map(|snapshot| snapshot.snapshot_id) else {
            return Ok(None);
        };
        let tag = (self.plan.attempt.to_string(), current);
        self.retagged(id, record, &[tag], &[]).map(Some)
    }

    fn retagged(
        &self,
        id: TableId,
        record: TableRecord,
        add: &[(String, i64)],
        remove: &[String],
    ) -> Result<StagedTable> {
        let built = retag(&record.state, add, remove, self.plan.timestamp, self.retention())?;
        let base_version = record.state.version;
        Ok(StagedTable { id, base_version, built, columns: record.columns, removed: Vec::new() })
    }

    /// The files that the snapshot needs of a staged table.
    fn pinned(&self, table: &StagedTable, after: Option<Sequence>) -> Result<ManifestTable> {
        let planned = self.plan.collections.iter().find(|planned| planned.id == table.id.collection);
        let known = self.hot.catalog()?;
        let known = known.all().iter().find(|known| known.id == table.id.collection);
        let name = planned.map(|planned| planned.name.clone()).or_else(|| known.map(|known| known.name.to_string()));
        let snapshot = table.built.state.current_snapshot();
        let (Some(name), Some(snapshot)) = (name, snapshot) else { return Err(contradiction()) };
        let mut files = self.catalog.files(table.id, table.base_version)?;
        files.retain(|file| !table.removed.iter().any(|removed| removed.number == file.number));
        let mut files = data_files(files);
        files.extend(table.built.added.iter().map(|live| live.file.clone()));
        if let Some(after) = after {
            files.retain(|file| has_events_after(file, after));
        }
        let columns = (table.id.kind == TableKind::State).then(|| table.columns.clone());
        Ok(ManifestTable { name, iceberg_snapshot_id: snapshot.snapshot_id, columns, files })
    }

    async fn table_told(&self, table: &ManifestTable, after: Option<Sequence>) -> Result<SnapshotTable> {
        let mut row_count = 0_i64;
        let mut size_bytes = 0_u64;
        for file in &table.files {
            size_bytes = size_bytes.saturating_add(file.file_size);
            row_count = row_count.saturating_add(match (after, file.content) {
                (Some(after), _) => self.events_after(file, after).await?,
                (None, crate::cold::FileContent::Data) => file.record_count,
                (None, crate::cold::FileContent::PositionDeletes) => file.record_count.saturating_neg(),
            });
        }
        Ok(SnapshotTable {
            name: table.name.clone(),
            row_count,
            size_bytes,
            iceberg_snapshot_id: table.iceberg_snapshot_id,
        })
    }

    /// The events of a file after a sequence. They are counted where a merge has put them with earlier ones.
    async fn events_after(&self, file: &DataFile, after: Sequence) -> Result<i64> {
        if file.first_of(change_fields::SEQUENCE).is_some_and(|first| first > after) {
            return Ok(file.record_count);
        }
        let range = ChangesRange { after, until: Sequence::MAX, images: false };
        let mut count = 0_i64;
        scan_changes(self.objects.as_ref(), std::slice::from_ref(file), "", range, &mut |_| {
            count = count.saturating_add(1);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(count)
    }

    fn snapshot_told(&self, planned: &PlannedSnapshot, tables: Vec<SnapshotTable>, manifest: &[u8]) -> Snapshot {
        let of_tables = tables.iter().map(|table| table.size_bytes).fold(0, u64::saturating_add);
        let size_bytes = of_tables.saturating_add(u64::try_from(manifest.len()).unwrap_or(u64::MAX));
        let row_count = tables.iter().map(|table| table.row_count).fold(0, i64::saturating_add);
        Snapshot {
            id: self.plan.attempt,
            doc_id: self.name.doc_id.clone(),
            doc_type: self.name.doc_type.clone(),
            timestamp: self.plan.timestamp,
            version: planned.version,
            sequence: self.plan.through,
            label: planned.label.clone(),
            tables,
            metadata: SnapshotMetadata {
                snapshot_type: planned.snapshot_type,
                size_bytes,
                row_count,
                parent_id: planned.parent.as_ref().map(|parent| parent.id),
                compression: self.config.compression.to_string(),
                checksum: manifest::checksum(manifest),
            },
        }
    }
}

fn has_events_after(file: &DataFile, after: Sequence) -> bool {
    file.last_of(change_fields::SEQUENCE).is_none_or(|last| last > after)
}

fn contradiction() -> StorageError {
    let message = "expected a table with a snapshot and a name, got another";
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "stage snapshot", message)
}
