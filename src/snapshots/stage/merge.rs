//! Staging a merge: small files of a change log become one with the same events.

use std::ops::ControlFlow;

use super::state::StateChange;
use super::{CollectionStage, Stage, StagedTable};
use crate::cold::catalog::{CatalogFile, data_files};
use crate::cold::{ChangesFileWriter, ChangesRange, CommitOperation, TableKind, scan_changes};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Sequence, StorageTier};

impl Stage<'_> {
    /// Stages the merge that is planned of a collection's change log.
    pub(super) async fn stage_merge(&mut self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let table = self.table(stage, TableKind::Changes)?;
        let (_, state, files) = &table;
        let is_input = |file: &&CatalogFile| stage.planned.merge.contains(&file.number);
        let removed: Vec<CatalogFile> = files.iter().filter(is_input).cloned().collect();
        let inputs = data_files(removed.clone());
        let mut writer = ChangesFileWriter::new().compressed_by(self.config.compression);
        let range = ChangesRange { after: Sequence::MIN, until: Sequence::MAX, images: true };
        scan_changes(self.objects.as_ref(), &inputs, &stage.planned.name, range, &mut |record| {
            writer.push(&record)?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        let (bytes, file) = writer.finish(|month| state.path.data_file(month, self.plan.attempt, 0))?;
        let rows = inputs.iter().map(|input| input.record_count).fold(0, i64::saturating_add);
        if file.record_count != rows || removed.len() != stage.planned.merge.len() {
            let message = format!("expected {rows} events of {} files, got {}", inputs.len(), file.record_count);
            return Err(StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "merge change log", message));
        }
        let mut change = StateChange { added: Vec::new(), removed };
        let class = self.class_of(file.month);
        self.put_file(file, &bytes, class, &mut change.added).await?;
        self.build_commit(stage, table, change, Some(CommitOperation::Replace))
    }
}
