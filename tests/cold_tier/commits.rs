//! Commits: what they make, what stays bounded, and what they refuse.

use std::collections::BTreeSet;

use apache_avro::types::Value;
use thermocline::cold::{Commit, CommitOperation, DataFile, LiveFile, Schema, TableKind, plan_commit, snapshot_id};
use thermocline::error::ErrorKind;
use thermocline::ports::native::MemoryBucket;

use super::support::{Change, Collection, FEBRUARY, MARCH, Table, attempt, document, document_file, learned};

const BASE: &str = "s3://cold";

fn put(id: &'static str, fields: &str) -> Change {
    Change::Put(id, fields.to_owned())
}

pub fn metadata(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Everything that the metadata file makes reachable, by following it as a reader does.
pub fn reachable(bucket: &MemoryBucket, table: &Table) -> BTreeSet<String> {
    let key = |location: &str| location.strip_prefix("s3://cold/").unwrap().to_owned();
    let current = table.state.path.metadata(table.state.version);
    let parsed = metadata(&bucket.object(&current).unwrap().bytes);
    let mut found = BTreeSet::from([current, table.state.path.version_hint()]);
    found.extend(
        parsed["metadata-log"].as_array().unwrap().iter().map(|entry| key(entry["metadata-file"].as_str().unwrap())),
    );
    for snapshot in parsed["snapshots"].as_array().unwrap() {
        let list = key(snapshot["manifest-list"].as_str().unwrap());
        for manifest_entry in records(bucket, &list) {
            let manifest = key(text(&manifest_entry, "manifest_path"));
            for entry in records(bucket, &manifest) {
                let file = field(&entry, "data_file");
                let deleted = field(&entry, "status") == &Value::Int(2);
                assert_eq!(field(file, "content"), field(&manifest_entry, "content"), "manifests are of one content");
                if !deleted {
                    found.insert(key(text(file, "file_path")));
                }
            }
            found.insert(manifest);
        }
        found.insert(list);
    }
    found
}

pub fn records(bucket: &MemoryBucket, key: &str) -> Vec<Value> {
    let object = bucket.object(key).unwrap_or_else(|| panic!("{key} is gone"));
    apache_avro::Reader::new(object.bytes.as_slice()).unwrap().map(|value| value.unwrap()).collect()
}

pub fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    let Value::Record(fields) = value else { panic!("{value:?}") };
    let found = fields.iter().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no {name}"));
    match &found.1 {
        Value::Union(_, inner) => inner,
        other => other,
    }
}

pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    match field(value, name) {
        Value::String(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bucket_holds_what_is_reachable_and_nothing_else() {
    let bucket = MemoryBucket::new();
    let mut collection = Collection::new(&bucket, BASE, "things");
    let ids = ["a", "b", "c", "d", "e", "f", "g"];
    for round in 0..60_usize {
        let now = if round < 10 { FEBRUARY } else { MARCH } + i64::try_from(round).unwrap() * 1_000;
        let id = ids[round % ids.len()];
        let change = if round % 5 == 4 && collection.documents.contains_key(id) {
            Change::Delete(id)
        } else {
            put(id, &format!("\"n\":{round}"))
        };
        collection.commit(now, vec![change]);
        if round % 4 != 3 {
            continue;
        }
        collection.check();
        let mut expected = reachable(&bucket, &collection.table);
        expected.extend(reachable(&bucket, &collection.changes));
        assert_eq!(bucket.keys().into_iter().collect::<BTreeSet<_>>(), expected, "after commit {round}");
    }
}

/// Metadata bytes that each of `commits` writes, and bytes of the stored state.
fn metadata_sizes(commits: u32, keep_snapshots: usize) -> Vec<(usize, usize)> {
    let (_, mut table, schema) = start();
    let added = file("", FEBRUARY, "a");
    let mut sizes = Vec::new();
    for round in 0..commits {
        let now = FEBRUARY + i64::from(round) * 10_000;
        let mut commit = table.commit(CommitOperation::Overwrite, u128::from(round) + 1, now, schema.clone());
        commit.keep_snapshots = keep_snapshots;
        commit.removed = table.live.values().cloned().collect();
        let key = format!("{}/data/year=2024/month=02/{}-0.parquet", table.state.path.as_str(), commit.attempt);
        commit.added = vec![DataFile { key, ..added.clone() }];
        let built = plan_commit(&table.state, &commit).unwrap();
        table.live = built.added.iter().map(|live| (live.file.key.clone(), live.clone())).collect();
        let objects: usize = built.objects.iter().map(|object| object.bytes.len()).sum();
        sizes.push((objects + built.metadata.bytes.len(), serde_json::to_string(&built.state).unwrap().len()));
        table.state = built.state;
    }
    sizes
}

#[test]
fn the_metadata_of_a_state_table_does_not_grow() {
    let sizes = metadata_sizes(1_000, 20);
    println!(
        "20 snapshots kept, metadata and state bytes at commits 10, 20, 1000: {:?} {:?} {:?}",
        sizes[9], sizes[19], sizes[999]
    );
    // From here on the history is full, and only numbers get longer.
    assert!(sizes[999].0 * 100 <= sizes[20].0 * 103 && sizes[999].1 * 100 <= sizes[20].1 * 103);
    // What fills it is the snapshots that are kept by configuration.
    let sizes = metadata_sizes(60, 12);
    assert!(sizes[59].0 * 100 <= sizes[9].0 * 125, "{:?} {:?}", sizes[9], sizes[59]);
}

#[test]
fn a_change_log_merges_its_manifests() {
    let bucket = MemoryBucket::new();
    let mut collection = Collection::new(&bucket, BASE, "things");
    let mut most = 0;
    for round in 0..100_i64 {
        collection.commit(FEBRUARY + round, vec![put("a", &format!("\"n\":{round}"))]);
        most = most.max(collection.changes.state.manifests.len());
        assert_eq!(collection.changes.state.totals.records, round + 1);
    }
    assert_eq!(most, 32);
    let list = collection.changes.state.manifest_list_key(collection.changes.state.current_snapshot().unwrap());
    let mut files = BTreeSet::new();
    for manifest in records(&bucket, &list) {
        let key = text(&manifest, "manifest_path").strip_prefix("s3://cold/").unwrap().to_owned();
        for entry in records(&bucket, &key) {
            assert!(files.insert(text(field(&entry, "data_file"), "file_path").to_owned()), "listed twice");
            let existing = field(&entry, "status") == &Value::Int(0);
            assert_eq!(field(&entry, "sequence_number") == &Value::Null, !existing);
        }
    }
    assert_eq!(files.len(), 100);
}

#[test]
fn snapshots_expire_by_count_and_by_age() {
    let bucket = MemoryBucket::new();
    let mut collection = Collection::new(&bucket, BASE, "things");
    for round in 0..30 {
        collection.commit(FEBRUARY + round, vec![put("a", "\"n\":1")]);
    }
    assert_eq!(collection.table.state.snapshots.len(), 20);
    assert_eq!(collection.table.state.metadata_log.len(), 10);
    collection.commit(FEBRUARY + 8 * 86_400_000, vec![put("a", "\"n\":2")]);
    let state = &collection.table.state;
    // The current one, and the one that moments before it are reached from.
    assert_eq!(state.snapshots.len(), 2);
    assert_eq!(state.snapshots[1].parent_snapshot_id, Some(state.snapshots[0].snapshot_id));
    collection.commit(FEBRUARY + 16 * 86_400_000, vec![put("a", "\"n\":3")]);
    assert_eq!(collection.table.state.snapshots.len(), 2);
    collection.check();
}

#[test]
fn metadata_is_what_the_spec_asks() {
    let bucket = MemoryBucket::new();
    let mut collection = Collection::new(&bucket, BASE, "things");
    collection.commit(FEBRUARY, vec![put("a", "\"n\":1"), put("b", "\"n\":2")]);
    let built = collection.commit(MARCH, vec![put("b", "\"n\":2.5")]);
    let table = metadata(&built.metadata.bytes);
    let location = "s3://cold/iceberg/demo/one/things";
    assert_eq!(built.metadata.key, "iceberg/demo/one/things/metadata/v2.metadata.json");
    assert_eq!(built.version_hint.bytes, b"2");
    assert_eq!(table["format-version"], 2);
    assert_eq!(table["location"], location);
    assert_eq!(table["last-sequence-number"], 2);
    assert_eq!(table["last-updated-ms"], MARCH);
    assert_eq!(table["last-column-id"], 6);
    assert_eq!(table["current-schema-id"], 1);
    assert_eq!(table["schemas"].as_array().unwrap().len(), 2);
    assert_eq!(table["partition-specs"][0]["fields"][0]["transform"], "month");
    assert_eq!(table["sort-orders"][1]["fields"][0]["source-id"], 1);
    assert_eq!(table["metadata-log"][0]["metadata-file"], format!("{location}/metadata/v1.metadata.json"));
    let [first, second] = table["snapshots"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(second["parent-snapshot-id"], first["snapshot-id"]);
    assert_eq!(second["snapshot-id"], snapshot_id(attempt(2)));
    assert_eq!(table["refs"]["main"]["snapshot-id"], second["snapshot-id"]);
    let summary = serde_json::json!({
        "operation": "overwrite", "thermocline.sequence": "3", "added-data-files": "2", "added-records": "2",
        "deleted-data-files": "1", "deleted-records": "2", "total-data-files": "2", "total-records": "2",
        "total-delete-files": "0", "total-position-deletes": "0",
    });
    assert_eq!(second["summary"], summary);
}

#[test]
fn a_dropped_collection_goes_on_under_its_table() {
    let bucket = MemoryBucket::new();
    let mut collection = Collection::new(&bucket, BASE, "things");
    collection.commit(FEBRUARY, vec![put("a", "\"n\":1")]);
    let built = collection.commit(MARCH, vec![Change::Delete("a")]);
    assert_eq!(built.state.totals, Default::default());
    assert_eq!(metadata(&built.metadata.bytes)["snapshots"][1]["summary"]["operation"], "delete");
    let entries = records(&bucket, &built.objects[0].key);
    assert_eq!(entries.len(), 1);
    assert_eq!(field(&entries[0], "status"), &Value::Int(2));
    collection.check();
    collection.commit(MARCH + 1, vec![put("a", "\"n\":3")]);
    collection.check();
    assert_eq!(collection.table.state.manifests.len(), 1);
}

fn file(key: &str, month: i64, id: &str) -> DataFile {
    let documents = [document(id, 1, month, "\"n\":1")];
    document_file(&learned(&documents), &documents, key).1
}

fn start() -> (MemoryBucket, Table, Schema) {
    let documents = [document("a", 1, FEBRUARY, "\"n\":1")];
    (MemoryBucket::new(), Table::new(BASE, "things", TableKind::State), Schema::state(&learned(&documents)))
}

#[test]
fn months_that_share_a_manifest_are_rewritten_together() {
    let (bucket, mut table, schema) = start();
    // 40 months, one file each: more than manifests may be, so they are merged.
    for number in 0..40_i32 {
        let mut commit =
            table.commit(CommitOperation::Append, u128::try_from(number).unwrap() + 1, MARCH, schema.clone());
        let mut added = file(&format!("k{number}"), FEBRUARY, "a");
        added.month = number;
        commit.added = vec![added];
        if table.state.manifests.len() == 31 {
            let next = DataFile { month: 99, ..commit.added[0].clone() };
            assert!(!table.state.needs_live_files(&commit.added, &[]));
            assert!(table.state.needs_live_files(&[commit.added[0].clone(), next], &[]));
        }
        table.apply(&bucket, commit);
        assert!(table.state.manifests.len() <= 32);
    }
    assert_eq!(table.state.totals.data_files, 40);
    let removed: LiveFile = table.live["k5"].clone();
    assert!(table.state.needs_live_files(&[], std::slice::from_ref(&removed)));
    let mut commit = table.commit(CommitOperation::Overwrite, 100, MARCH, schema);
    commit.removed = vec![removed];
    assert_eq!(plan_commit(&table.state, &commit).unwrap_err().kind(), ErrorKind::Corrupt, "live files are needed");
    let built = table.apply(&bucket, commit);
    assert_eq!(built.state.totals.data_files, 39);
    assert_eq!(built.state.manifests.iter().map(|manifest| manifest.live_files()).sum::<i64>(), 39);
}

#[test]
fn contradictions_are_refused() {
    let (bucket, mut table, schema) = start();
    let mut first = table.commit(CommitOperation::Append, 1, FEBRUARY, schema.clone());
    first.added = vec![file("k1", FEBRUARY, "a"), file("k2", FEBRUARY, "b")];
    table.apply(&bucket, first);
    let live = |key: &str| table.live[key].clone();
    let all: Vec<LiveFile> = table.live.values().cloned().collect();
    let commit = || table.commit(CommitOperation::Overwrite, 2, MARCH, schema.clone());
    let refused = |what: &str, commit: Commit| {
        let error = plan_commit(&table.state, &commit).map(|_| ()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    };
    let mut never_live = live("k1");
    never_live.file.key = "other".to_owned();
    refused("removes what is not live", Commit { removed: vec![never_live], live: Some(all.clone()), ..commit() });
    refused("removes twice", Commit { removed: vec![live("k1"), live("k1")], ..commit() });
    refused(
        "adds what is live",
        Commit { added: vec![live("k1").file], removed: vec![live("k2")], live: Some(all.clone()), ..commit() },
    );
    refused("adds twice", Commit { added: vec![file("n", FEBRUARY, "a"), file("n", FEBRUARY, "a")], ..commit() });
    refused(
        "was not told all live files",
        Commit { removed: vec![live("k1")], live: Some(vec![live("k1")]), ..commit() },
    );
    refused("the same attempt again", Commit { attempt: attempt(1), ..commit() });
    for own in [0, 1, 2, schema.fields.len() - 1] {
        let mut other = schema.clone();
        other.fields[own].name = "renamed".to_owned();
        refused("a column of the table's own with another name", Commit { schema: other, ..commit() });
    }
    let mut other = schema.clone();
    other.fields[3].name = "id".to_owned();
    refused("a name twice", Commit { schema: other, ..commit() });
    let mut other = schema.clone();
    other.fields[3].field_type = "string".parse().unwrap();
    refused("a field id with another type", Commit { schema: other, ..commit() });
    let mut other = schema.clone();
    other.fields[3].id = 4;
    refused("a field id twice", Commit { schema: other, ..commit() });
    plan_commit(&table.state, &Commit { removed: vec![live("k1")], live: Some(all), ..commit() }).unwrap();
}

#[test]
fn columns_of_documents_may_have_other_names_and_places() {
    let (bucket, mut table, _) = start();
    let schema = Schema::state(&learned(&[document("a", 1, FEBRUARY, "\"n\":1,\"m\":1")]));
    table.apply(&bucket, table.commit(CommitOperation::Append, 1, FEBRUARY, schema.clone()));
    let mut other = schema.clone();
    let (left, right) = (other.fields[3].name.clone(), other.fields[4].name.clone());
    (other.fields[3].name, other.fields[4].name) = (right, left);
    other.fields.swap(3, 4);
    let built = table.apply(&bucket, table.commit(CommitOperation::Append, 2, FEBRUARY, other.clone()));
    assert_eq!((built.state.schemas.len(), built.state.current_schema_id), (2, 1));
    assert!(built.state.current_schema().unwrap().same_fields(&other));
    let back = table.apply(&bucket, table.commit(CommitOperation::Append, 3, FEBRUARY, schema));
    assert_eq!((back.state.schemas.len(), back.state.current_schema_id), (2, 0), "a schema of before is used again");
    let mut events = Table::new("s3://cold", "films", TableKind::Changes);
    events.apply(&bucket, events.commit(CommitOperation::Append, 1, FEBRUARY, Schema::changes()));
    let mut other = Schema::changes();
    other.fields[6].name = "later".to_owned();
    let commit = events.commit(CommitOperation::Append, 2, FEBRUARY, other);
    assert_eq!(plan_commit(&events.state, &commit).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn time_never_runs_backwards_and_old_schemas_go() {
    let (bucket, mut table, _) = start();
    let mut columns = learned(&[]);
    for number in 0..40 {
        super::support::declare(&mut columns, &[("n", if number % 2 == 0 { "long" } else { "int" })], true);
        let commit = table.commit(
            CommitOperation::Append,
            number + 1,
            MARCH - i64::try_from(number).unwrap(),
            Schema::state(&columns),
        );
        table.apply(&bucket, commit);
    }
    assert!(table.state.snapshots.iter().all(|snapshot| snapshot.timestamp_ms == MARCH));
    assert!(table.state.schemas.len() <= 21);
    assert!(table.state.last_schema_id >= 20);
}

#[test]
fn snapshot_ids_fit_a_double() {
    let ids: BTreeSet<i64> = (1..1_000).map(|number| snapshot_id(attempt(number))).collect();
    assert_eq!(ids.len(), 999);
    assert!(ids.iter().all(|id| (1..1 << 53).contains(id)));
    assert_eq!(snapshot_id(uuid::Uuid::nil()), 1);
}
