//! Staging the expiry of a change log: files leave the table, and nothing is written but manifests.

use super::state::StateChange;
use super::{CollectionStage, Stage, StagedTable};
use crate::cold::catalog::CatalogFile;
use crate::cold::{CommitOperation, TableKind};
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
}
