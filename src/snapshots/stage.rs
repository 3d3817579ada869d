//! Staging: every object of a plan's commits, put create-only, made from the plan alone.
//!
//! The change log is read once, which also teaches the tables their columns; then each collection's state is read as
//! it was at the plan's last sequence. What is open in memory is bounded, and which file a row goes to depends on the
//! rows alone, so that staging again makes the same objects and finds those that are there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use uuid::Uuid;

use super::plan::{Plan, PlannedCollection};
use crate::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use crate::cold::{
    BuiltCommit, ChangeRecord, ChangesFileWriter, Commit, CommitOperation, DataFile, DocumentFileWriter, LiveFile,
    Schema, TableKind, TablePath, TableState, plan_commit,
};
use crate::config::ColdConfig;
use crate::error::Result;
use crate::hot::frozen::FrozenRows;
use crate::hot::{HotStore, LoggedEvent, References, event_namespace};
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::ports::{Clock, ObjectMetadata, ObjectStore, PutCondition};
use crate::types::names::ObjectName;
use crate::types::time::Month;
use crate::types::{CollectionId, Json, Sequence};
use crate::vortex::{TableSchema, infer};

/// A data file ends when it has about this many bytes.
const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of all files that are open at once; beyond it the largest ends.
const OPEN_MAX_BYTES: usize = 24 * 1024 * 1024;
const PARQUET: &str = "application/vnd.apache.parquet";
const DAY_MS: i64 = 86_400_000;

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
    /// The object's name.
    pub name: &'s ObjectName,
    /// The plan.
    pub plan: &'s Plan,
    /// Bytes put so far.
    pub bytes_written: u64,
}

/// A collection on its way.
struct CollectionStage<'p> {
    planned: &'p PlannedCollection,
    columns: TableSchema,
    changes: Option<(Month, ChangesFileWriter)>,
    change_files: Vec<DataFile>,
    state_files: Vec<DataFile>,
}

type Stages<'p> = BTreeMap<CollectionId, CollectionStage<'p>>;

impl<'s> Stage<'s> {
    /// Stages everything and says what is to be committed.
    pub async fn run(&mut self) -> Result<Vec<StagedTable>> {
        let plan = self.plan;
        let mut stages = Stages::new();
        for planned in &plan.collections {
            stages.insert(planned.id, self.begin(planned)?);
        }
        self.stage_changes(&mut stages).await?;
        let mut tables = Vec::new();
        for stage in stages.values_mut() {
            self.stage_state(stage).await?;
            tables.extend(self.build_commits(stage)?);
        }
        let objects = || tables.iter().flat_map(|table| &table.built.objects);
        self.catalog.note_staged(&objects().map(|object| object.key.clone()).collect::<Vec<_>>())?;
        for object in objects() {
            self.put(&object.key, &object.bytes, object.content_type).await?;
        }
        Ok(tables)
    }

    fn begin<'p>(&self, planned: &'p PlannedCollection) -> Result<CollectionStage<'p>> {
        let state = TableId { collection: planned.id, kind: TableKind::State };
        let mut columns = self.catalog.table(state)?.map(|record| record.columns).unwrap_or_default();
        // Whether the alteration is allowed was decided when it was declared.
        columns.declare(&planned.definition.declarations(), true)?;
        Ok(CollectionStage { planned, columns, changes: None, change_files: Vec::new(), state_files: Vec::new() })
    }

    async fn stage_changes(&mut self, stages: &mut Stages<'_>) -> Result<()> {
        let namespace = event_namespace(self.name);
        let mut position = self.plan.after;
        loop {
            self.clock.sleep_ms(0).await;
            let events = self.read_events(position)?;
            let Some(last) = events.last() else { break };
            position = last.sequence;
            for event in events {
                let Some(stage) = stages.get_mut(&event.collection_id) else { continue };
                if let Some(after) = &event.after {
                    infer::observe(&mut stage.columns, &Json::parse(after)?);
                }
                let month = Month::of(event.timestamp);
                if stage
                    .changes
                    .as_ref()
                    .is_some_and(|(open, writer)| *open != month || writer.approximate_bytes() >= FILE_MAX_BYTES)
                {
                    self.end_changes(stage).await?;
                }
                let (_, writer) = stage.changes.get_or_insert_with(|| (month, ChangesFileWriter::new()));
                writer.push(&record(event, namespace))?;
            }
            while let Some(largest) = largest_open(stages) {
                self.end_changes(largest).await?;
            }
        }
        for stage in stages.values_mut() {
            self.end_changes(stage).await?;
        }
        Ok(())
    }

    /// The next events of the plan, some MiB of them.
    fn read_events(&self, after: Sequence) -> Result<Vec<LoggedEvent>> {
        let mut events = Vec::new();
        let mut bytes = 0usize;
        let references = References { documents: self.hot, dropped: true };
        self.hot.log().read(after, self.plan.through, references, &mut |event| {
            let images = event.before.as_ref().map_or(0, |image| image.text.len());
            bytes = bytes
                .saturating_add(images)
                .saturating_add(event.after.as_ref().map_or(0, String::len))
                .saturating_add(64);
            events.push(event);
            Ok(if bytes > SCAN_PAGE_MAX_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(events)
    }

    async fn end_changes(&mut self, stage: &mut CollectionStage<'_>) -> Result<()> {
        let Some((_, writer)) = stage.changes.take() else { return Ok(()) };
        let path = TablePath::new(self.name, &stage.planned.name, TableKind::Changes);
        let number = stage.change_files.len();
        let (bytes, file) = writer.finish(|month| path.data_file(month, self.plan.attempt, number))?;
        self.catalog.note_staged(std::slice::from_ref(&file.key))?;
        self.put(&file.key, &bytes, PARQUET).await?;
        stage.change_files.push(file);
        Ok(())
    }

    /// Stages the rows of a collection, a file a month or more.
    async fn stage_state(&mut self, stage: &mut CollectionStage<'_>) -> Result<()> {
        let CollectionStage { planned, columns, state_files, .. } = stage;
        let path = TablePath::new(self.name, &planned.name, TableKind::State);
        let mut rows = FrozenRows::new(self.hot, planned.id, planned.life(), self.plan.through);
        let mut open: BTreeMap<Month, DocumentFileWriter<'_>> = BTreeMap::new();
        while let Some(page) = rows.next_page()? {
            self.clock.sleep_ms(0).await;
            for document in page {
                let month = Month::of(document.timestamp);
                open.entry(month).or_insert_with(|| DocumentFileWriter::new(columns)).push(&document)?;
            }
            while let Some(month) = month_to_end(&open) {
                if let Some(writer) = open.remove(&month) {
                    self.end_state(&path, writer, state_files).await?;
                }
            }
        }
        for (_, writer) in open {
            self.end_state(&path, writer, state_files).await?;
        }
        Ok(())
    }

    async fn end_state(
        &mut self,
        path: &TablePath,
        writer: DocumentFileWriter<'_>,
        files: &mut Vec<DataFile>,
    ) -> Result<()> {
        let number = files.len();
        let (bytes, file) = writer.finish(|month| path.data_file(month, self.plan.attempt, number))?;
        self.catalog.note_staged(std::slice::from_ref(&file.key))?;
        self.put(&file.key, &bytes, PARQUET).await?;
        files.push(file);
        Ok(())
    }

    /// The commits of a collection's two tables; a table that neither was nor is anything has none.
    fn build_commits(&self, stage: &CollectionStage<'_>) -> Result<Vec<StagedTable>> {
        let mut staged = Vec::new();
        let state = self.build_commit(stage, TableKind::State, &stage.state_files, Schema::state(&stage.columns))?;
        let changes = self.build_commit(stage, TableKind::Changes, &stage.change_files, Schema::changes())?;
        staged.extend(state);
        staged.extend(changes);
        Ok(staged)
    }

    fn build_commit(
        &self,
        stage: &CollectionStage<'_>,
        kind: TableKind,
        added: &[DataFile],
        schema: Schema,
    ) -> Result<Option<StagedTable>> {
        let id = TableId { collection: stage.planned.id, kind };
        let record = self.catalog.table(id)?;
        let state = record.map_or_else(|| self.new_table(stage.planned, kind), |record| record.state);
        let existing = self.catalog.files(id, state.version)?;
        // At this stage a state table's files are replaced whole; a change log only grows.
        let removed = if kind == TableKind::State { existing.clone() } else { Vec::new() };
        let operation = match (added.is_empty(), removed.is_empty()) {
            (true, true) => return Ok(None),
            (false, true) => CommitOperation::Append,
            (false, false) => CommitOperation::Overwrite,
            (true, false) => CommitOperation::Delete,
        };
        let live = |files: &[CatalogFile]| -> Vec<LiveFile> { files.iter().map(|file| file.file.clone()).collect() };
        let removed_files = live(&removed);
        let commit = Commit {
            operation,
            attempt: self.plan.attempt,
            timestamp_ms: self.plan.timestamp,
            added: added.to_vec(),
            live: Some(live(&existing)),
            removed: removed_files,
            schema,
            summary: self.summary(),
            tags: Vec::new(),
            keep_snapshots: self.config.iceberg_keep_snapshots,
            keep_ms: self.config.iceberg_keep_days.saturating_mul(DAY_MS),
        };
        let built = plan_commit(&state, &commit)?;
        Ok(Some(StagedTable { id, base_version: state.version, built, columns: stage.columns.clone(), removed }))
    }

    fn new_table(&self, planned: &PlannedCollection, kind: TableKind) -> TableState {
        let path = TablePath::new(self.name, &planned.name, kind);
        // The attempt is random, and no other attempt makes this table.
        let uuid = Uuid::new_v5(&self.plan.attempt, path.as_str().as_bytes());
        TableState::create(uuid, &self.config.base_uri, path, kind, self.plan.timestamp)
    }

    fn summary(&self) -> BTreeMap<String, String> {
        [
            ("thermocline.object", self.name.path()),
            ("thermocline.after-sequence", self.plan.after.to_string()),
            ("thermocline.sequence", self.plan.through.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Puts an object of this attempt, whose key is noted. One that is there already was put by an earlier run of the
    /// same plan.
    async fn put(&mut self, key: &str, bytes: &[u8], content_type: &'static str) -> Result<()> {
        let metadata = object_metadata(self.name, content_type, self.plan.timestamp, self.plan.through);
        self.objects.put(key, bytes, PutCondition::IfAbsent, &metadata).await?;
        self.bytes_written = self.bytes_written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
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
    ObjectMetadata { content_type, custom }
}

fn record(event: LoggedEvent, namespace: Uuid) -> ChangeRecord {
    let before_sequence = event.before.as_ref().map(|image| image.sequence);
    ChangeRecord { event: event.into_event(namespace), before_sequence }
}

/// The collection with the largest open file, when the open ones are too large together.
fn largest_open<'m, 'p>(stages: &'m mut Stages<'p>) -> Option<&'m mut CollectionStage<'p>> {
    let size = |stage: &CollectionStage<'_>| stage.changes.as_ref().map_or(0, |(_, writer)| writer.approximate_bytes());
    if stages.values().map(size).fold(0, usize::saturating_add) <= OPEN_MAX_BYTES {
        return None;
    }
    stages.values_mut().max_by_key(|stage| size(stage))
}

/// The month whose file is large enough to end, or must because all open ones are too large together.
fn month_to_end(open: &BTreeMap<Month, DocumentFileWriter<'_>>) -> Option<Month> {
    let (month, largest) = open.iter().max_by_key(|(_, writer)| writer.approximate_bytes())?;
    let all = open.values().map(DocumentFileWriter::approximate_bytes).fold(0, usize::saturating_add);
    (largest.approximate_bytes() >= FILE_MAX_BYTES || all > OPEN_MAX_BYTES).then_some(*month)
}
