//! Staging: every object of a plan's commits, put create-only, made from the plan alone.
//!
//! The change log is read once, which also teaches the tables their columns; then each collection's state is read as
//! it was at the plan's last sequence. What is open in memory is bounded, and which file a row goes to depends on the
//! plan and the rows alone, so that staging again makes the same objects and finds those that are there.

mod changes;
mod expiry;
mod merge;
mod named;
mod state;
mod state_merge;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use uuid::Uuid;

use self::state::StateChange;
use super::plan::{Plan, PlannedCollection};
use crate::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use crate::cold::{
    BuiltCommit, ChangesFileWriter, Commit, CommitOperation, DataFile, FileContent, LiveFile, Retention, Schema,
    TableKind, TablePath, TableState, plan_commit,
};
use crate::config::ColdConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{HotStore, Rewritten};
use crate::ports::{Clock, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StorageClass};
use crate::types::names::ObjectName;
use crate::types::snapshot::Snapshot;
use crate::types::sorting;
use crate::types::time::{DAY_MS, Month};
use crate::types::{CollectionId, Sequence, StorageTier};
use crate::vortex::TableSchema;

/// A data file ends when it has about this many bytes.
const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of all files that are open at once; beyond it the largest ends.
const OPEN_MAX_BYTES: usize = 24 * 1024 * 1024;
const PARQUET: &str = "application/vnd.apache.parquet";

/// A table's commit, staged.
pub struct StagedTable {
    /// Which table.
    pub id: TableId,
    /// The version of the state that the commit was made from.
    pub base_version: i64,
    /// The commit.
    pub built: BuiltCommit,
    /// The table's columns after it.
    pub columns: TableSchema,
    /// The files that it removes.
    pub removed: Vec<CatalogFile>,
}

/// What a plan comes to.
pub struct Staged {
    /// The commits of its tables.
    pub tables: Vec<StagedTable>,
    /// The named snapshot that it makes.
    pub snapshot: Option<Snapshot>,
    /// The segments that come in the place of others; their parts still have the numbers of those.
    pub rewritten: Vec<Rewritten>,
}

/// What staging needs.
pub struct Stage<'s> {
    /// The hot tier that is archived.
    pub hot: &'s HotStore,
    /// The tables.
    pub catalog: &'s ColdCatalog,
    /// The bucket.
    pub objects: Rc<dyn ObjectStore>,
    /// Lets others have a turn between two pages.
    pub clock: Rc<dyn Clock>,
    /// How tables are laid out.
    pub config: &'s ColdConfig,
    /// Days after the end of a month from which on its files are seldom read; see `objects.transitionToInfrequentDays`.
    pub infrequent_days: Option<i64>,
    /// The object's name.
    pub name: &'s ObjectName,
    /// The plan.
    pub plan: &'s Plan,
    /// Bytes put so far.
    pub bytes_written: u64,
    /// The segments written again so far.
    pub rewritten: Vec<Rewritten>,
}

/// A collection on its way.
struct CollectionStage<'p> {
    planned: &'p PlannedCollection,
    columns: TableSchema,
    /// The field ids of which files that stay have values: they keep their types, as those files do.
    fixed: BTreeSet<i32>,
    changes: Option<(Month, ChangesFileWriter)>,
    change_files: Vec<DataFile>,
}

type Stages<'p> = BTreeMap<CollectionId, CollectionStage<'p>>;

impl<'s> Stage<'s> {
    /// Stages everything and says what is to be committed.
    pub async fn run(&mut self) -> Result<Staged> {
        let plan = self.plan;
        self.check_log()?;
        let mut stages = Stages::new();
        for planned in &plan.collections {
            stages.insert(planned.id, self.begin(planned)?);
        }
        self.stage_changes(&mut stages).await?;
        let mut tables = Vec::new();
        for stage in stages.values_mut() {
            if !stage.planned.merge_state.is_empty() {
                tables.extend(self.stage_state_merge(stage).await?);
            }
            if !stage.planned.merge.is_empty() {
                tables.extend(self.stage_merge(stage).await?);
            }
            if stage.planned.is_merge() {
                continue;
            }
            if stage.planned.evolve {
                tables.extend(self.stage_evolution(stage)?);
                continue;
            }
            if stage.planned.thin {
                tables.extend(self.stage_thinning(stage)?);
                continue;
            }
            if !stage.planned.expire.is_empty() {
                tables.extend(self.stage_expiry(stage)?);
                continue;
            }
            tables.extend(self.stage_state_table(stage).await?);
            tables.extend(self.build_changes(stage)?);
        }
        tables.extend(self.untagged()?);
        let snapshot = match &plan.snapshot {
            Some(planned) => Some(self.stage_named(planned, &mut tables).await?),
            None => None,
        };
        let objects = || tables.iter().flat_map(|table| &table.built.objects);
        self.catalog.note_staged(&objects().map(|object| object.key.clone()).collect::<Vec<_>>())?;
        for object in objects() {
            self.put(&object.key, &object.bytes, object.content_type, StorageClass::Standard).await?;
        }
        Ok(Staged { tables, snapshot, rewritten: std::mem::take(&mut self.rewritten) })
    }

    /// Without the events after the plan it can not be told any more what was there when it was made.
    fn check_log(&self) -> Result<()> {
        let (first, through) = (self.hot.log().first_sequence()?, self.plan.through);
        if first <= through.saturating_add(1) {
            return Ok(());
        }
        let message = format!("expected the change log to have all events after {through}, got those from {first} on");
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "stage plan", message))
    }

    fn begin<'p>(&self, planned: &'p PlannedCollection) -> Result<CollectionStage<'p>> {
        let state = TableId { collection: planned.id, kind: TableKind::State };
        let record = self.catalog.table(state)?;
        let mut columns = record.as_ref().map(|record| record.columns.clone()).unwrap_or_default();
        let version = record.map_or(0, |record| record.state.version);
        let files = self.catalog.files(state, version)?;
        let stays = |file: &&CatalogFile| match planned.keeps_tails() {
            true => !planned.merge_state.contains(&file.number),
            false => !file.file.file.parts.is_empty(),
        };
        let staying = files.iter().filter(stays).map(|file| &file.file.file);
        let with_values =
            staying.flat_map(|file| file.columns.iter().filter(|column| column.nulls < file.record_count));
        let fixed =
            if planned.life.is_some() { sorting::set_of(with_values.map(|column| column.id)) } else { BTreeSet::new() };
        // Whether the alteration is allowed was decided when it was declared.
        let definition = &planned.definition;
        columns.drop_columns(&definition.drop_columns, &definition.retired);
        columns.declare_around(&definition.declarations(), &fixed)?;
        Ok(CollectionStage { planned, columns, fixed, changes: None, change_files: Vec::new() })
    }

    /// Stages the documents of a collection; a table that neither was nor is anything has no commit.
    async fn stage_state_table(&mut self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let (id, state, existing) = self.table(stage, TableKind::State)?;
        let change = self.stage_state(stage, &state, existing.clone()).await?;
        let operation = operation(&change.added, &change.removed);
        self.build_commit(stage, (id, state, existing), change, operation)
    }

    fn build_changes(&self, stage: &CollectionStage<'_>) -> Result<Option<StagedTable>> {
        let change = StateChange { added: stage.change_files.clone(), removed: Vec::new() };
        let operation = operation(&change.added, &change.removed);
        self.build_commit(stage, self.table(stage, TableKind::Changes)?, change, operation)
    }

    /// A table as it is committed, or a new one, with its files.
    fn table(&self, stage: &CollectionStage<'_>, kind: TableKind) -> Result<(TableId, TableState, Vec<CatalogFile>)> {
        let id = TableId { collection: stage.planned.id, kind };
        let record = self.catalog.table(id)?;
        let state = record.map_or_else(|| self.new_table(stage.planned, kind), |record| record.state);
        let files = self.catalog.files(id, state.version)?;
        Ok((id, state, files))
    }

    fn build_commit(
        &self,
        stage: &CollectionStage<'_>,
        (id, state, existing): (TableId, TableState, Vec<CatalogFile>),
        StateChange { added, removed }: StateChange,
        operation: Option<CommitOperation>,
    ) -> Result<Option<StagedTable>> {
        let Some(operation) = operation else { return Ok(None) };
        let schema = match id.kind {
            TableKind::State => Schema::state(&stage.columns),
            TableKind::Changes => Schema::changes(),
        };
        // Older snapshots of a change log would keep what leaves it; a tag does.
        let retention = match stage.planned.expire.is_empty() {
            true => self.retention(),
            false => Retention { keep_snapshots: 1, keep_ms: 0 },
        };
        let live = |files: &[CatalogFile]| -> Vec<LiveFile> { files.iter().map(|file| file.file.clone()).collect() };
        let commit = Commit {
            operation,
            attempt: self.plan.attempt,
            timestamp_ms: self.plan.timestamp,
            added,
            live: Some(live(&existing)),
            removed: live(&removed),
            schema,
            summary: self.summary(),
            tags: self.plan.tags_of(id),
            keep_snapshots: retention.keep_snapshots,
            keep_ms: retention.keep_ms,
        };
        let built = plan_commit(&state, &commit)?;
        Ok(Some(StagedTable { id, base_version: state.version, built, columns: stage.columns.clone(), removed }))
    }

    fn retention(&self) -> Retention {
        Retention {
            keep_snapshots: self.config.iceberg_keep_snapshots,
            keep_ms: self.config.iceberg_keep_days.saturating_mul(DAY_MS),
        }
    }

    fn new_table(&self, planned: &PlannedCollection, kind: TableKind) -> TableState {
        let path = TablePath::new(self.name, &planned.name, kind);
        // The attempt is random, and no other attempt makes this table.
        let uuid = Uuid::new_v5(&self.plan.attempt, path.as_str().as_bytes());
        TableState::create(uuid, &self.config.base_uri, path, kind, self.plan.timestamp)
    }

    fn summary(&self) -> BTreeMap<String, String> {
        let all = [
            ("thermocline.object", self.name.path()),
            ("thermocline.after-sequence", self.plan.after.to_string()),
            ("thermocline.sequence", self.plan.through.to_string()),
        ];
        sorting::map_of(all.map(|(key, value)| (key.to_owned(), value)))
    }

    /// The class of a file of a month that stays as it is: by the plan's moment, so that staging again finds the same.
    fn class_of(&self, month: i32) -> StorageClass {
        let Some(days) = self.infrequent_days else { return StorageClass::Standard };
        let then = Month::of(self.plan.timestamp.saturating_sub(days.saturating_mul(DAY_MS)));
        if month < then.ordinal() { StorageClass::InfrequentAccess } else { StorageClass::Standard }
    }

    /// Puts a Parquet file that a table gets.
    async fn put_file(
        &mut self,
        file: DataFile,
        bytes: &[u8],
        class: StorageClass,
        added: &mut Vec<DataFile>,
    ) -> Result<()> {
        self.catalog.note_staged(std::slice::from_ref(&file.key))?;
        self.put(&file.key, bytes, PARQUET, class).await?;
        added.push(file);
        Ok(())
    }

    /// Proves that an object which is there already is what would have been put. Another version of this program may have
    /// begun the plan and made other bytes: then the plan is given up, and the next attempt has keys of its own.
    async fn check_staged(&self, key: &str, bytes: &[u8]) -> Result<()> {
        if self.objects.get(key, None).await?.is_some_and(|found| found.bytes == bytes) {
            return Ok(());
        }
        let message = format!("expected {key} to be as it was staged before, got other bytes; it is planned anew");
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "stage plan", message))
    }

    /// Puts an object of this attempt, whose key is noted. One that is there already was put by an earlier run of the
    /// same plan.
    async fn put(
        &mut self,
        key: &str,
        bytes: &[u8],
        content_type: &'static str,
        storage_class: StorageClass,
    ) -> Result<()> {
        let metadata = object_metadata(self.name, content_type, self.plan.timestamp, self.plan.through);
        let metadata = ObjectMetadata { storage_class, ..metadata };
        if self.objects.put(key, bytes, PutCondition::IfAbsent, &metadata).await? == PutOutcome::ConditionFailed {
            self.check_staged(key, bytes).await?;
        }
        self.bytes_written = self.bytes_written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// What a commit of these files does, in the spec's words; `None` when it does nothing.
fn operation(added: &[DataFile], removed: &[CatalogFile]) -> Option<CommitOperation> {
    let adds_rows = added.iter().any(|file| file.content == FileContent::Data);
    let adds_deletes = added.iter().any(|file| file.content == FileContent::PositionDeletes);
    match (adds_rows, adds_deletes || !removed.is_empty()) {
        (false, false) => None,
        (true, false) => Some(CommitOperation::Append),
        (true, true) => Some(CommitOperation::Overwrite),
        (false, true) => Some(CommitOperation::Delete),
    }
}

/// What every object carries: whose it is, when and of which version (REQUIREMENTS.md 10).
pub fn object_metadata(
    name: &ObjectName,
    content_type: &'static str,
    timestamp: i64,
    version: Sequence,
) -> ObjectMetadata {
    let custom = vec![
        ("doType", name.doc_type.clone()),
        ("doId", name.doc_id.clone()),
        ("timestamp", timestamp.to_string()),
        ("version", version.to_string()),
    ];
    ObjectMetadata { content_type, custom, ..ObjectMetadata::default() }
}
