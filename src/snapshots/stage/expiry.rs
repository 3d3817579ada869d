//! Staging what adds no files: files leave a change log, and nothing is written but manifests; snapshots that are too old
//! leave a table, or its columns change by declaration, and nothing is written but metadata.

use super::state::StateChange;
use super::{CollectionStage, Stage, StagedTable};
use crate::cold::catalog::{CatalogFile, TableId, TableRecord};
use crate::cold::tags::retag;
use crate::cold::{CommitOperation, Schema, TableKind, evolve};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

impl Stage<'_> {
    /// Stages the commit by which the planned files leave a collection's change log.
    pub(super) fn stage_expiry(&self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let table = self.table(stage, TableKind::Changes)?;
        let (_, _, files) = &table;
        let leaves = |file: &&CatalogFile| stage.planned.expire.contains(&file.number);
        let removed: Vec<CatalogFile> = files.iter().filter(leaves).cloned().collect();
        if removed.len() != stage.planned.expire.len() {
            let message = format!("expected {} files to expire, got {}", stage.planned.expire.len(), removed.len());
            return Err(StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "expire change log", message));
        }
        let change = StateChange { added: Vec::new(), removed };
        self.build_commit(stage, table, change, Some(CommitOperation::Delete))
    }

    /// Stages the next version of a collection's state table, with the columns that are declared.
    pub(super) fn stage_evolution(&self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let id = TableId { collection: stage.planned.id, kind: TableKind::State };
        let Some(TableRecord { state, .. }) = self.catalog.table(id)? else { return Ok(None) };
        let (base_version, columns) = (state.version, stage.columns.clone());
        let built = evolve(&state, &Schema::state(&columns), self.plan.timestamp, self.retention())?;
        Ok(built.map(|built| StagedTable { id, base_version, built, columns, removed: Vec::new() }))
    }

    /// Stages the next versions of a collection's tables, without the snapshots that are too old.
    pub(super) fn stage_thinning(&self, stage: &CollectionStage<'_>) -> Result<Vec<StagedTable>> {
        let mut staged = Vec::new();
        for kind in [TableKind::State, TableKind::Changes] {
            let id = TableId { collection: stage.planned.id, kind };
            let Some(TableRecord { state, columns, .. }) = self.catalog.table(id)? else { continue };
            let built = retag(&state, &[], &[], self.plan.timestamp, self.retention())?;
            if built.state.snapshots.len() < state.snapshots.len() {
                staged.push(StagedTable { id, base_version: state.version, built, columns, removed: Vec::new() });
            }
        }
        Ok(staged)
    }
}
