//! Commits with delete files: manifests of their own, counts, and what must hold.

use apache_avro::types::Value;
use thermocline::cold::{
    BuiltCommit, Commit, CommitOperation, DataFile, FileContent, LiveFile, Schema, TableKind, TableState, plan_commit,
};
use thermocline::error::ErrorKind;
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;
use thermocline::types::time::Month;
use thermocline::vortex::TableSchema;

use super::commits::{field, metadata, reachable, records, text};
use super::support::{
    FEBRUARY, MARCH, Table, attempt, delete_file, document, document_file, learned, parts_file, put, read,
};

/// A state table whose data files stay and whose rows are deleted by position.
struct Deleting {
    bucket: MemoryBucket,
    table: Table,
    columns: TableSchema,
    commits: u128,
}

impl Deleting {
    fn new() -> Self {
        let columns = learned(&rows(0..1, FEBRUARY));
        let table = Table::new("s3://cold", "things", TableKind::State);
        Self { bucket: MemoryBucket::new(), table, columns, commits: 0 }
    }

    /// The next commit, without files.
    fn commit(&mut self) -> Commit {
        self.commits += 1;
        let now = MARCH + i64::try_from(self.commits).unwrap();
        self.table.commit(CommitOperation::Overwrite, self.commits, now, Schema::state(&self.columns))
    }

    fn key(&self, month: Month, number: usize) -> String {
        self.table.state.path.data_file(month, attempt(self.commits), number)
    }

    fn data(&self, documents: &[Document], number: usize) -> DataFile {
        let key = self.key(Month::of(documents[0].timestamp), number);
        let (bytes, file) = document_file(&self.columns, documents, &key);
        put(&self.bucket, &key, &bytes);
        file
    }

    fn deletes(&self, deleted: &[(&DataFile, &[u32])], number: usize) -> DataFile {
        let key = self.key(Month::from_ordinal(deleted[0].0.month).unwrap(), number);
        let (bytes, file) = delete_file("s3://cold", deleted, &key);
        put(&self.bucket, &key, &bytes);
        file
    }

    fn live(&self, file: &DataFile) -> LiveFile {
        self.table.live[&file.key].clone()
    }

    fn all(&self) -> Option<Vec<LiveFile>> {
        Some(self.table.live.values().cloned().collect())
    }

    fn apply(&mut self, commit: Commit) -> BuiltCommit {
        let built = self.table.apply(&self.bucket, commit);
        let mut found = reachable(&self.bucket, &self.table);
        found.extend(self.table.live.keys().cloned());
        assert_eq!(self.bucket.keys().into_iter().collect::<std::collections::BTreeSet<_>>(), found);
        built
    }

    fn count(&self) -> usize {
        read(&self.bucket, &self.table.files(), &self.columns, None, &|_| false).unwrap().0.len()
    }
}

fn rows(range: std::ops::Range<usize>, timestamp: i64) -> Vec<Document> {
    range.map(|number| document(&format!("{number:06}"), 1, timestamp, &format!("\"n\":{number}"))).collect()
}

#[test]
fn delete_files_have_a_manifest_of_their_own() {
    let mut deleting = Deleting::new();
    let mut commit = deleting.commit();
    let (february, march) = (deleting.data(&rows(0..10, FEBRUARY), 0), deleting.data(&rows(10..20, MARCH), 1));
    let of_february = deleting.deletes(&[(&february, &[0])], 2);
    commit.added = vec![february.clone(), march.clone(), of_february.clone()];
    let first = deleting.apply(commit);
    let contents = |state: &TableState| state.manifests.iter().map(|manifest| manifest.content).collect::<Vec<_>>();
    assert_eq!(contents(&first.state), [FileContent::Data, FileContent::Data, FileContent::PositionDeletes]);
    let keys = |state: &TableState| state.manifests.iter().map(|manifest| manifest.key.clone()).collect::<Vec<_>>();
    let first_keys = keys(&first.state);
    assert!(first_keys[0].ends_with("-m0.avro") && first_keys[2].ends_with("-m2.avro"));
    assert_eq!(deleting.count(), 19);

    // Only deletes change: the data manifests stay, and the delete file of the other month is carried over.
    let mut commit = deleting.commit();
    commit.operation = CommitOperation::Delete;
    let of_march = deleting.deletes(&[(&march, &[1, 2])], 0);
    commit.added = vec![of_march.clone()];
    assert!(deleting.table.state.needs_live_files(&commit.added, &commit.removed));
    let second = deleting.apply(commit);
    let second_keys = keys(&second.state);
    assert_eq!((&second_keys[..2], second.objects.len()), (&first_keys[..2], 2));
    assert_eq!(deleting.count(), 17);
    let entries = records(&deleting.bucket, &second_keys[2]);
    let entry = |entry: &Value| (field(entry, "status").clone(), field(entry, "sequence_number").clone());
    assert_eq!(entry(&entries[0]), (Value::Int(0), Value::Long(1)), "carried over with its sequence number");
    assert_eq!(entry(&entries[1]), (Value::Int(1), Value::Null), "inherits the commit's");
    for entry in &entries {
        let file = field(entry, "data_file");
        assert_eq!((field(file, "content"), field(file, "sort_order_id")), (&Value::Int(1), &Value::Null));
        assert!(text(file, "file_path").starts_with("s3://cold/iceberg/demo/one/things/data/year=2024/"));
    }
    let bytes = deleting.bucket.object(&second_keys[2]).unwrap().bytes;
    let reader = apache_avro::Reader::new(bytes.as_slice()).unwrap();
    assert_eq!(reader.user_metadata().get("content").map(Vec::as_slice), Some(b"deletes".as_slice()));
    let list = deleting.table.state.manifest_list_key(deleting.table.state.current_snapshot().unwrap());
    let manifests = records(&deleting.bucket, &list);
    let listed: Vec<_> = manifests.iter().map(|manifest| field(manifest, "content").clone()).collect();
    assert_eq!(listed, [Value::Int(0), Value::Int(0), Value::Int(1)]);
    assert_eq!(field(&manifests[2], "min_sequence_number"), &Value::Long(1));

    // A month's delete file is replaced whole; then the month's data file goes, and with it the delete file.
    let mut commit = deleting.commit();
    let more = deleting.deletes(&[(&march, &[1, 2, 3])], 0);
    commit.added = vec![more.clone()];
    commit.removed = vec![deleting.live(&of_march)];
    let third = deleting.apply(commit);
    assert_eq!((&keys(&third.state)[..2], deleting.count()), (&first_keys[..2], 16));
    let mut commit = deleting.commit();
    commit.removed = vec![deleting.live(&february), deleting.live(&of_february)];
    assert!(deleting.table.state.needs_live_files(&[], &commit.removed));
    let fourth = deleting.apply(commit);
    assert!(keys(&fourth.state).contains(&first_keys[1]), "the other month's data manifest stays");
    assert_eq!((deleting.count(), fourth.state.totals.delete_files), (7, 1));
    // A commit of data alone leaves the deletes where they are.
    let mut commit = deleting.commit();
    commit.added = vec![deleting.data(&rows(30..40, FEBRUARY), 0)];
    let fifth = deleting.apply(commit);
    assert_eq!(keys(&fifth.state).last(), keys(&fourth.state).last());
    assert_eq!(deleting.count(), 17);
}

#[test]
fn summaries_count_both() {
    let mut deleting = Deleting::new();
    let mut commit = deleting.commit();
    let data = deleting.data(&rows(0..10, FEBRUARY), 0);
    let before = deleting.deletes(&[(&data, &[0, 1])], 1);
    commit.added = vec![data.clone(), before.clone()];
    let built = deleting.apply(commit);
    let summary =
        |built: &BuiltCommit, number: usize| metadata(&built.metadata.bytes)["snapshots"][number]["summary"].clone();
    let expected = serde_json::json!({
        "operation": "overwrite", "thermocline.sequence": "1", "added-data-files": "1", "added-records": "10",
        "added-delete-files": "1", "added-position-delete-files": "1", "added-position-deletes": "2",
        "total-data-files": "1", "total-delete-files": "1", "total-records": "10", "total-position-deletes": "2",
    });
    assert_eq!(summary(&built, 0), expected);
    let mut commit = deleting.commit();
    let after = deleting.deletes(&[(&data, &[0, 1, 5])], 0);
    (commit.added, commit.removed, commit.operation) =
        (vec![after], vec![deleting.live(&before)], CommitOperation::Delete);
    let built = deleting.apply(commit);
    let expected = serde_json::json!({
        "operation": "delete", "thermocline.sequence": "2", "added-delete-files": "1", "added-position-delete-files": "1",
        "added-position-deletes": "3", "removed-delete-files": "1", "removed-position-delete-files": "1",
        "removed-position-deletes": "2", "total-data-files": "1", "total-delete-files": "1", "total-records": "10",
        "total-position-deletes": "3",
    });
    assert_eq!(summary(&built, 1), expected);
    let totals = built.state.totals;
    assert_eq!((totals.data_files, totals.delete_files, totals.records, totals.position_deletes), (1, 1, 10, 3));
}

#[test]
fn sort_orders_are_told() {
    let mut deleting = Deleting::new();
    let mut commit = deleting.commit();
    let key = deleting.key(Month::of(FEBRUARY), 0);
    let (bytes, parts) = parts_file(&deleting.columns, &[(1, &rows(5..9, FEBRUARY)), (2, &rows(0..3, FEBRUARY))], &key);
    put(&deleting.bucket, &key, &bytes);
    commit.added = vec![parts, deleting.data(&rows(20..22, FEBRUARY), 1)];
    let built = deleting.apply(commit);
    let entries = records(&deleting.bucket, &built.state.manifests[0].key);
    let orders: Vec<_> =
        entries.iter().map(|entry| field(field(entry, "data_file"), "sort_order_id").clone()).collect();
    assert_eq!(orders, [Value::Int(0), Value::Int(1)]);
}

#[test]
fn delete_files_that_cannot_be_are_refused() {
    let mut deleting = Deleting::new();
    let mut commit = deleting.commit();
    let (february, march) = (deleting.data(&rows(0..10, FEBRUARY), 0), deleting.data(&rows(10..20, MARCH), 1));
    let of_february = deleting.deletes(&[(&february, &[0])], 2);
    let alone = Commit { added: vec![march.clone(), of_february.clone()], ..commit.clone() };
    assert_eq!(plan_commit(&deleting.table.state, &alone).unwrap_err().kind(), ErrorKind::Corrupt, "no data file");
    commit.added = vec![february.clone(), march.clone(), of_february.clone()];
    deleting.apply(commit);
    let commit = Commit { live: deleting.all(), ..deleting.commit() };
    let refused = |what: &str, name: &str, commit: Commit| {
        let error = plan_commit(&deleting.table.state, &commit).map(|_| ()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.message().contains(name), "{what}: {error}");
    };
    let second = deleting.deletes(&[(&february, &[1])], 3);
    let at_most_one = "at most one delete file a month";
    refused("two of a month", at_most_one, Commit { added: vec![second.clone()], ..commit.clone() });
    let without = "no delete file without a data file";
    refused("leaves one behind", without, Commit { removed: vec![deleting.live(&february)], ..commit.clone() });
    let untold = "all live files are told";
    let removed = vec![deleting.live(&february), deleting.live(&march)];
    refused("does not know what it leaves", untold, Commit { removed, live: None, ..commit.clone() });
    refused("adds blindly", "all live files", Commit { added: vec![second.clone()], live: None, ..commit.clone() });
    let data_only =
        deleting.all().map(|all| all.into_iter().filter(|live| live.file.content == FileContent::Data).collect());
    let march_deletes = deleting.deletes(&[(&march, &[1])], 4);
    refused(
        "was not told the delete files",
        "",
        Commit { added: vec![march_deletes.clone()], live: data_only, ..commit.clone() },
    );
    let replaced = Commit { added: vec![second, march_deletes], removed: vec![deleting.live(&of_february)], ..commit };
    plan_commit(&deleting.table.state, &replaced).unwrap();
}

#[test]
fn many_months_of_deletes_share_one_manifest() {
    let mut deleting = Deleting::new();
    let (_, template) = document_file(&deleting.columns, &rows(0..10, FEBRUARY), "k");
    let (_, deletes) = delete_file("s3://cold", &[(&template, &[0])], "d");
    for month in 0..40_i32 {
        let mut commit = deleting.commit();
        let data = DataFile { key: format!("k{month}"), month, ..template.clone() };
        commit.added = vec![data, DataFile { key: format!("d{month}"), month, ..deletes.clone() }];
        deleting.table.apply(&deleting.bucket, commit);
        let deletes = deleting.table.state.manifests.iter().filter(|manifest| manifest.content != FileContent::Data);
        assert_eq!(deletes.count(), 1);
        assert!(deleting.table.state.manifests.len() <= 33);
    }
    let totals = deleting.table.state.totals;
    assert_eq!((totals.data_files, totals.delete_files, totals.records, totals.position_deletes), (40, 40, 400, 40));
}

#[test]
fn a_state_of_format_1_is_committed_on() {
    let stored = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cold-v1/table-state.json")).unwrap();
    let state: TableState = serde_json::from_slice(&stored).unwrap();
    let live: LiveFile = serde_json::from_slice(
        &std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cold-v1/live-file.json")).unwrap(),
    )
    .unwrap();
    let (_, deletes) = delete_file("s3://cold", &[(&live.file, &[0])], "d");
    let table = Table { state: state.clone(), live: Default::default() };
    let schema = state.current_schema().unwrap().clone();
    let mut commit = table.commit(CommitOperation::Delete, 9, MARCH, schema);
    commit.added = vec![deletes];
    commit.live = Some(vec![live]);
    let built = plan_commit(&state, &commit).unwrap();
    assert_eq!((state.format, built.state.format), (1, TableState::FORMAT));
    assert_eq!((built.state.totals.data_files, built.state.totals.delete_files), (1, 1));
}
