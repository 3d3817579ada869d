//! A table that is written as the engine writes one: months replaced whole, files staged, garbage deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use thermocline::cold::{
    BuiltCommit, ChangeRecord, ChangesFileWriter, ChangesRange, Commit, CommitOperation, DataFile, DocumentFileWriter,
    LiveFile, PositionDeletesWriter, ScanStats, Schema, TableKind, TablePath, TableState, plan_commit, scan,
    scan_changes,
};
use thermocline::error::Result;
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::ports::{ObjectMetadata, ObjectStore, PutCondition, PutOutcome};
use thermocline::types::names::ObjectName;
use thermocline::types::statistics::ColumnStatistics;
use thermocline::types::time::Month;
use thermocline::types::{Document, Json};
use thermocline::vortex::{ColumnDeclaration, TableSchema, infer};
use uuid::Uuid;

/// 2024-02-29T12:00:00Z
pub const FEBRUARY: i64 = 1_709_208_000_000;
/// 2024-03-02T12:00:00Z
pub const MARCH: i64 = FEBRUARY + 2 * 86_400_000;

pub fn attempt(number: u128) -> Uuid {
    Uuid::from_u128(0x0192_d3f0_0000_7000_8000_0000_0000_0000 + number * 0x1_0000_0001)
}

pub fn document(id: &str, sequence: i64, timestamp: i64, fields: &str) -> Document {
    let mut text = String::from("{\"id\":");
    thermocline::types::json::write_string(id, &mut text);
    if !fields.is_empty() {
        text.push(',');
        text.push_str(fields);
    }
    text.push('}');
    Document { id: id.to_owned(), sequence, timestamp, text }
}

pub fn path(collection: &str, kind: TableKind) -> TablePath {
    TablePath::new(&ObjectName::new("demo", "one").unwrap(), collection, kind)
}

/// A data file of documents, ids ascending, one month.
pub fn document_file(columns: &TableSchema, documents: &[Document], key: &str) -> (Vec<u8>, DataFile) {
    let mut writer = DocumentFileWriter::new(columns);
    documents.iter().for_each(|document| writer.push(document).unwrap());
    writer.finish(|_| key.to_owned()).unwrap()
}

/// The footer of a file.
pub fn footer(bytes: &[u8], file: &DataFile) -> ParquetMetaData {
    let start = bytes.len() - usize::try_from(file.footer_size).unwrap();
    ParquetMetaDataReader::decode_metadata(&bytes[start..bytes.len() - 8]).unwrap()
}

/// A data file of parts: segments, each with its number, one after the other.
pub fn parts_file(columns: &TableSchema, parts: &[(i64, &[Document])], key: &str) -> (Vec<u8>, DataFile) {
    let mut writer = DocumentFileWriter::of_parts(columns);
    for (number, documents) in parts {
        documents.iter().for_each(|document| writer.push(document).unwrap());
        writer.end_part(*number);
    }
    writer.finish(|_| key.to_owned()).unwrap()
}

/// A delete file of rows of data files of one month.
pub fn delete_file(base_uri: &str, deleted: &[(&DataFile, &[u32])], key: &str) -> (Vec<u8>, DataFile) {
    let mut writer = PositionDeletesWriter::new(base_uri);
    for (file, positions) in deleted {
        writer.push(&file.key, file.month, &positions.iter().copied().collect()).unwrap();
    }
    writer.finish(|_| key.to_owned()).unwrap()
}

/// Columns learned from documents.
pub fn learned<'d>(documents: impl IntoIterator<Item = &'d Document>) -> TableSchema {
    let mut columns = TableSchema::default();
    for document in documents {
        infer::observe(&mut columns, &Json::parse(&document.text).unwrap());
    }
    columns
}

pub fn declare(columns: &mut TableSchema, declared: &[(&str, &str)], empty: bool) {
    let declared: Vec<_> = declared
        .iter()
        .map(|(name, column_type)| ColumnDeclaration {
            name: (*name).to_owned(),
            renamed: None,
            column_type: column_type.parse().unwrap(),
            nullable: true,
        })
        .collect();
    columns.declare(&declared, empty).unwrap();
}

pub fn assert_same_text(left: &str, right: &str) {
    assert!(Json::parse(left).unwrap().same(&Json::parse(right).unwrap()), "{left} is not {right}");
}

/// Reads all documents of files that `prune` lets through.
pub fn read(
    bucket: &MemoryBucket,
    files: &[DataFile],
    columns: &TableSchema,
    projection: Option<&[&str]>,
    prune: &dyn Fn(&dyn ColumnStatistics) -> bool,
) -> Result<(Vec<Document>, ScanStats)> {
    let mut found = Vec::new();
    let mut sink = |document| {
        found.push(document);
        Ok(ControlFlow::Continue(()))
    };
    let stats = run(scan(bucket, files, columns, projection, prune, &mut sink)).done().unwrap()?;
    Ok((found, stats))
}

pub fn read_changes(
    bucket: &MemoryBucket,
    files: &[DataFile],
    range: ChangesRange,
) -> Result<(Vec<ChangeRecord>, ScanStats)> {
    let mut found = Vec::new();
    let mut sink = |record| {
        found.push(record);
        Ok(ControlFlow::Continue(()))
    };
    let stats = run(scan_changes(bucket, files, "things", range, &mut sink)).done().unwrap()?;
    Ok((found, stats))
}

pub fn put(bucket: &MemoryBucket, key: &str, bytes: &[u8]) {
    let metadata = ObjectMetadata::default();
    let outcome = run(bucket.put(key, bytes, PutCondition::IfAbsent, &metadata)).done().unwrap().unwrap();
    assert!(matches!(outcome, PutOutcome::Written { .. }), "{key} exists");
}

/// What one change of a collection is.
pub enum Change {
    Put(&'static str, String),
    Delete(&'static str),
}

/// A table of either kind with its live files, as the engine keeps them in SQLite.
pub struct Table {
    pub state: TableState,
    pub live: BTreeMap<String, LiveFile>,
}

impl Table {
    pub fn new(base_uri: &str, collection: &str, kind: TableKind) -> Self {
        let path = path(collection, kind);
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, path.as_str().as_bytes());
        Self { state: TableState::create(uuid, base_uri, path, kind, FEBRUARY), live: BTreeMap::new() }
    }

    /// The live files in a stable order.
    pub fn files(&self) -> Vec<DataFile> {
        self.live.values().map(|live| live.file.clone()).collect()
    }

    /// A commit that says to reach the sequence of its own number, whatever rows it gets: stored files have it so.
    pub fn commit(&self, operation: CommitOperation, number: u128, now: i64, schema: Schema) -> Commit {
        Commit {
            operation,
            attempt: attempt(number),
            timestamp_ms: now,
            added: Vec::new(),
            removed: Vec::new(),
            live: None,
            schema,
            summary: BTreeMap::from([("thermocline.sequence".to_owned(), number.to_string())]),
            tags: Vec::new(),
            keep_snapshots: 20,
            keep_ms: 7 * 86_400_000,
        }
    }

    /// A commit that reaches a sequence.
    pub fn commit_through(
        &self,
        operation: CommitOperation,
        number: u128,
        sequence: i64,
        now: i64,
        schema: Schema,
    ) -> Commit {
        let mut commit = self.commit(operation, number, now, schema);
        commit.summary.insert("thermocline.sequence".to_owned(), sequence.to_string());
        commit
    }

    /// Plans, checks that the plan is the same when made again, stages, publishes, deletes the garbage.
    pub fn apply(&mut self, bucket: &MemoryBucket, mut commit: Commit) -> BuiltCommit {
        if self.state.needs_live_files(&commit.added, &commit.removed) {
            commit.live = Some(self.live.values().cloned().collect());
        }
        let built = plan_commit(&self.state, &commit).unwrap();
        assert_eq!(built, plan_commit(&self.state, &commit).unwrap());
        for object in built.objects.iter().chain([&built.metadata]) {
            put(bucket, &object.key, &object.bytes);
        }
        bucket.overwrite(&built.version_hint.key, built.version_hint.bytes.clone());
        run(bucket.delete(&built.garbage)).done().unwrap().unwrap();
        commit.removed.iter().for_each(|live| drop(self.live.remove(&live.file.key).unwrap()));
        self.live.extend(built.added.iter().map(|live| (live.file.key.clone(), live.clone())));
        let stored = serde_json::to_string(&built.state).unwrap();
        self.state = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.state, built.state);
        built
    }
}

/// A collection with its state table and its change log.
pub struct Collection {
    pub bucket: MemoryBucket,
    pub columns: TableSchema,
    pub documents: BTreeMap<String, Document>,
    pub table: Table,
    pub changes: Table,
    pub log: Vec<ChangeRecord>,
    pub sequence: i64,
    commits: u128,
}

impl Collection {
    pub fn new(bucket: &MemoryBucket, base_uri: &str, name: &str) -> Self {
        Self {
            bucket: bucket.clone(),
            columns: TableSchema::default(),
            documents: BTreeMap::new(),
            table: Table::new(base_uri, name, TableKind::State),
            changes: Table::new(base_uri, name, TableKind::Changes),
            log: Vec::new(),
            sequence: 0,
            commits: 0,
        }
    }

    /// Applies changes at one time and commits both tables.
    pub fn commit(&mut self, now: i64, changes: Vec<Change>) -> BuiltCommit {
        let mut months: BTreeSet<Month> = BTreeSet::new();
        let mut log = ChangesFileWriter::new();
        let logged = !changes.is_empty();
        for change in changes {
            self.sequence += 1;
            let record = self.change(change, now, &mut months);
            log.push(&record).unwrap();
            self.log.push(record);
        }
        self.commits += 1;
        if logged {
            self.commit_changes(now, log);
        }
        self.commit_state(now, &months)
    }

    fn change(&mut self, change: Change, now: i64, months: &mut BTreeSet<Month>) -> ChangeRecord {
        let (id, after) = match change {
            Change::Put(id, fields) => (id, Some(document(id, self.sequence, now, &fields))),
            Change::Delete(id) => (id, None),
        };
        let before = self.documents.remove(id);
        months.extend(before.iter().map(|document| Month::of(document.timestamp)));
        if let Some(after) = &after {
            months.insert(Month::of(now));
            infer::observe(&mut self.columns, &Json::parse(&after.text).unwrap());
            self.documents.insert(id.to_owned(), after.clone());
        }
        change_record(id, self.sequence, now, before.as_ref(), after.as_ref())
    }

    fn commit_changes(&mut self, now: i64, log: ChangesFileWriter) {
        let attempt = attempt(self.commits);
        let path = self.changes.state.path.clone();
        let (bytes, file) = log.finish(|month| path.data_file(month, attempt, 0)).unwrap();
        put(&self.bucket, &file.key, &bytes);
        let mut commit =
            self.changes.commit_through(CommitOperation::Append, self.commits, self.sequence, now, Schema::changes());
        commit.added = vec![file];
        self.changes.apply(&self.bucket, commit);
    }

    fn commit_state(&mut self, now: i64, months: &BTreeSet<Month>) -> BuiltCommit {
        let operation = if self.documents.is_empty() { CommitOperation::Delete } else { CommitOperation::Overwrite };
        let mut commit =
            self.table.commit_through(operation, self.commits, self.sequence, now, Schema::state(&self.columns));
        let mut months = months.clone();
        // A column that changed its type has its values under a new field id: older files are rewritten with it.
        let stale: BTreeSet<i32> = self
            .table
            .live
            .values()
            .filter(|live| live.file.loses_values_under(&commit.schema))
            .map(|live| live.file.month)
            .collect();
        months.extend(
            self.documents
                .values()
                .map(|document| Month::of(document.timestamp))
                .filter(|month| stale.contains(&month.ordinal())),
        );
        for (number, month) in months.iter().enumerate() {
            let live = self.table.live.values().filter(|live| live.file.month == month.ordinal());
            commit.removed.extend(live.cloned());
            let documents = self.documents.values().filter(|document| Month::of(document.timestamp) == *month);
            let documents: Vec<Document> = documents.cloned().collect();
            if !documents.is_empty() {
                let key = self.table.state.path.data_file(*month, attempt(self.commits), number);
                let (bytes, file) = document_file(&self.columns, &documents, &key);
                put(&self.bucket, &key, &bytes);
                commit.added.push(file);
            }
        }
        self.table.apply(&self.bucket, commit)
    }

    /// Checks that the files of the current snapshot hold exactly the documents.
    pub fn check(&self) {
        let (mut found, _) = read(&self.bucket, &self.table.files(), &self.columns, None, &|_| false).unwrap();
        found.sort_by(|left, right| left.id.cmp(&right.id));
        assert_eq!(found.len(), self.documents.len());
        for (found, expected) in found.iter().zip(self.documents.values()) {
            assert_same_text(&found.text, &expected.text);
            assert_eq!((found.sequence, found.timestamp), (expected.sequence, expected.timestamp));
        }
    }
}

pub fn change_record(
    id: &str,
    sequence: i64,
    now: i64,
    before: Option<&Document>,
    after: Option<&Document>,
) -> ChangeRecord {
    use thermocline::types::{CdcEvent, ChangeContext, Operation};
    let operation = match (before, after) {
        (None, _) => Operation::Insert,
        (Some(_), Some(_)) => Operation::Update,
        (Some(_), None) => Operation::Delete,
    };
    let context = ChangeContext {
        source: None,
        correlation_id: (sequence % 2 == 0).then(|| format!("c{sequence}")),
        access: None,
    };
    let event = CdcEvent {
        id: Uuid::from_u128(u128::try_from(sequence).unwrap()),
        operation,
        collection: "things".to_owned(),
        document_id: id.to_owned(),
        timestamp: now,
        sequence,
        before: before.map(|document| document.text.clone()),
        after: after.map(|document| document.text.clone()),
        changed_fields: None,
        context,
    };
    ChangeRecord { event, before_sequence: before.map(|document| document.sequence) }
}
