//! Named snapshots, and the files of snapshots in the catalogue.

use std::rc::Rc;

use thermocline::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use thermocline::cold::table::TAGS_MAX;
use thermocline::cold::{
    BuiltCommit, Commit, CommitOperation, DataFile, LiveFile, Retention, Schema, TableKind, plan_commit, retag,
};
use thermocline::error::ErrorKind;
use thermocline::ports::native::{MemoryBucket, NativeSql, run};
use thermocline::ports::{ObjectStore, SqlStore};
use thermocline::vortex::TableSchema;

use super::commits::{metadata, reachable};
use super::support::{FEBRUARY, Table, attempt, document, document_file, learned, put, read};

const WEEK: Retention = Retention { keep_snapshots: 3, keep_ms: 7 * 86_400_000 };

/// A table whose one file is replaced at every commit.
struct Tagged {
    bucket: MemoryBucket,
    table: Table,
    columns: TableSchema,
    commits: u128,
    /// Milliseconds by which the next commits are later.
    later: i64,
}

impl Tagged {
    fn new() -> Self {
        let columns = learned(&[document("a", 1, FEBRUARY, "\"n\":1")]);
        let table = Table::new("s3://cold", "things", TableKind::State);
        Self { bucket: MemoryBucket::new(), table, columns, commits: 0, later: 0 }
    }

    fn next(&mut self, tags: &[&str]) -> Commit {
        self.commits += 1;
        let number = i64::try_from(self.commits).unwrap();
        let operation = CommitOperation::Overwrite;
        let schema = Schema::state(&self.columns);
        let mut commit = self.table.commit(operation, self.commits, FEBRUARY + number * 60_000 + self.later, schema);
        commit.keep_snapshots = WEEK.keep_snapshots;
        commit.tags = tags.iter().map(|name| (*name).to_owned()).collect();
        let key = format!("{}/data/{}.parquet", self.table.state.path.as_str(), attempt(self.commits));
        let documents = [document("a", number, FEBRUARY, &format!("\"n\":{number}"))];
        let (bytes, file) = document_file(&self.columns, &documents, &key);
        put(&self.bucket, &key, &bytes);
        commit.added = vec![file];
        commit.removed = self.table.live.values().cloned().collect();
        commit
    }

    fn commit(&mut self, tags: &[&str]) -> BuiltCommit {
        let commit = self.next(tags);
        let built = self.table.apply(&self.bucket, commit);
        self.check();
        built
    }

    fn retag(&mut self, add: &[(String, i64)], remove: &[String]) -> BuiltCommit {
        let now = self.table.state.last_updated_ms + 1;
        let built = retag(&self.table.state, add, remove, now, WEEK).unwrap();
        assert_eq!(built, retag(&self.table.state, add, remove, now, WEEK).unwrap());
        assert!(built.objects.is_empty() && built.added.is_empty());
        put(&self.bucket, &built.metadata.key, &built.metadata.bytes);
        self.bucket.overwrite(&built.version_hint.key, built.version_hint.bytes.clone());
        run(self.bucket.delete(&built.garbage)).done().unwrap().unwrap();
        self.table.state = built.state.clone();
        self.check();
        built
    }

    fn check(&self) {
        let expected = reachable(&self.bucket, &self.table);
        assert_eq!(self.bucket.keys().into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    }

    fn current(&self) -> i64 {
        self.table.state.current_snapshot().unwrap().snapshot_id
    }
}

#[test]
fn a_tagged_snapshot_is_kept_until_its_last_tag_goes() {
    let mut tagged = Tagged::new();
    let first = tagged.commit(&["first", "also"]);
    let id = tagged.current();
    let references = &metadata(&first.metadata.bytes)["refs"];
    let expected = serde_json::json!({
        "main": {"snapshot-id": id, "type": "branch"}, "first": {"snapshot-id": id, "type": "tag"},
        "also": {"snapshot-id": id, "type": "tag"},
    });
    assert_eq!(references, &expected);
    for _ in 0..10 {
        tagged.commit(&[]);
    }
    let kept = |tagged: &Tagged| tagged.table.state.snapshots.iter().any(|snapshot| snapshot.snapshot_id == id);
    assert!(kept(&tagged) && tagged.table.state.snapshots.len() == 4);
    let version = tagged.table.state.version;
    let built = tagged.retag(&[("now".to_owned(), tagged.current())], &["first".to_owned()]);
    assert_eq!((built.state.version, built.version_hint.bytes.as_slice()), (version + 1, b"12".as_slice()));
    assert_eq!(built.state.last_sequence_number, 11);
    assert_eq!(built.state.metadata_log.last().unwrap().version, version);
    let parsed = metadata(&built.metadata.bytes);
    assert_eq!(parsed["refs"]["now"]["snapshot-id"], parsed["current-snapshot-id"]);
    assert!(parsed["refs"].get("first").is_none() && kept(&tagged));
    let built = tagged.retag(&[], &["also".to_owned(), "now".to_owned()]);
    assert!(kept(&tagged) && built.state.snapshots.len() == 3, "it counts from now on, and is the oldest of the week");
    assert!(built.garbage.iter().any(|key| key.ends_with(".parquet")));
    tagged.later = 14 * 86_400_000;
    tagged.commit(&[]);
    tagged.commit(&[]);
    assert!(!kept(&tagged));
}

#[test]
fn tags_that_cannot_be_are_refused() {
    let mut tagged = Tagged::new();
    let empty = retag(&tagged.table.state, &[], &[], FEBRUARY, WEEK);
    assert_eq!(empty.unwrap_err().kind(), ErrorKind::Corrupt, "there is nothing to publish");
    tagged.commit(&["one"]);
    let old = tagged.current();
    tagged.commit(&[]);
    let (state, current) = (tagged.table.state.clone(), tagged.current());
    let kind = |add: &[(&str, i64)], remove: &[&str]| {
        let add: Vec<(String, i64)> = add.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        let remove: Vec<String> = remove.iter().map(|name| (*name).to_owned()).collect();
        retag(&state, &add, &remove, FEBRUARY, WEEK).map(|built| built.state.tags.len()).map_err(|error| error.kind())
    };
    assert_eq!(kind(&[], &["two"]), Err(ErrorKind::NotFound));
    assert_eq!(kind(&[("two", 7)], &[]), Err(ErrorKind::NotFound));
    assert_eq!(kind(&[("one", current)], &[]), Err(ErrorKind::Conflict));
    assert_eq!(kind(&[("one", current)], &["one"]), Ok(1));
    assert_eq!(kind(&[("one", old)], &[]), Ok(1), "as it is");
    let long = "x".repeat(256);
    for name in ["", "main", "a\n", long.as_str()] {
        assert_eq!(kind(&[(name, current)], &[]), Err(ErrorKind::Invalid), "{name:?}");
    }
    let names: Vec<String> = (0..TAGS_MAX).map(|number| format!("t{number}")).collect();
    let many: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), current)).collect();
    assert_eq!(kind(&many, &["one"]), Ok(TAGS_MAX));
    assert_eq!(kind(&many, &[]), Err(ErrorKind::TooLarge));
    let commit = tagged.next(&["main"]);
    assert_eq!(plan_commit(&state, &commit).unwrap_err().kind(), ErrorKind::Invalid);
    let commit = tagged.next(&["one"]);
    assert_eq!(plan_commit(&state, &commit).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn the_catalogue_has_the_files_of_every_kept_snapshot() {
    let mut tagged = Tagged::new();
    let sql: Rc<dyn SqlStore> = Rc::new(NativeSql::in_memory().unwrap());
    let catalog = ColdCatalog::new(Rc::clone(&sql));
    catalog.create().unwrap();
    let id = TableId { collection: 1, kind: TableKind::State };
    let mut numbers = Vec::new();
    for round in 0..30 {
        let removed: Vec<CatalogFile> = catalog.files(id, tagged.table.state.version).unwrap();
        let built = tagged.commit(if round == 4 { &["kept"] } else { &[] });
        numbers.push((tagged.current(), round + 1));
        store(&catalog, id, &tagged, &built, &removed);
        if round == 20 {
            let built = tagged.retag(&[], &["kept".to_owned()]);
            store(&catalog, id, &tagged, &built, &[]);
        }
        let rows = sql.query("SELECT count(*) FROM cold_files", &[]).unwrap();
        let rows = thermocline::ports::expect_integer(rows[0].first()).unwrap();
        assert_eq!(rows, i64::try_from(tagged.table.state.snapshots.len()).unwrap(), "one file a snapshot");
        for snapshot in &tagged.table.state.snapshots {
            let files: Vec<DataFile> =
                catalog.files_of_snapshot(id, snapshot).unwrap().into_iter().map(|file| file.file.file).collect();
            let (found, _) = read(&tagged.bucket, &files, &tagged.columns, None, &|_| false).unwrap();
            let number = numbers.iter().find(|(known, _)| *known == snapshot.snapshot_id).unwrap().1;
            assert_eq!(
                found.iter().map(|document| document.text.clone()).collect::<Vec<_>>(),
                [format!("{{\"id\":\"a\",\"n\":{number}}}")]
            );
        }
    }
    let current = tagged.table.state.current_snapshot().unwrap();
    let gone = thermocline::cold::table::Snapshot { snapshot_id: 7, ..current.clone() };
    assert_eq!(catalog.files_of_snapshot(id, &gone).unwrap_err().kind(), ErrorKind::Gone);
    let other = TableId { collection: 2, ..id };
    assert_eq!(catalog.files_of_snapshot(other, current).unwrap_err().kind(), ErrorKind::Gone);
}

fn store(catalog: &ColdCatalog, id: TableId, tagged: &Tagged, built: &BuiltCommit, removed: &[CatalogFile]) {
    let version = built.state.version;
    catalog.commit_table(id, &built.state, &tagged.columns).unwrap();
    let live: Vec<LiveFile> = built.added.clone();
    catalog.add_files(id, version, &live).unwrap();
    catalog.remove_files(id, version, removed).unwrap();
    catalog.publish_table(id, version, None).unwrap();
}
