//! Stored files: the same input still makes the same bytes, and the files of every folder still read. The first have the
//! members of `_extra` as the document had them, later ones by name; since format 2 there are files of parts and delete
//! files. `THERMOCLINE_BLESS=1` writes the last folder anew; do that only with a folder that is made for it.

use std::path::PathBuf;

use apache_avro::types::Value;
use thermocline::cold::{CommitOperation, DataFile, FileContent, LiveFile, Schema, TableKind, TableState};
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;
use thermocline::vortex::{ColumnDeclaration, TableSchema, infer};

use super::commits::field;
use super::support::{
    FEBRUARY, Table, assert_same_text, attempt, declare, delete_file, document, document_file, parts_file, put, read,
};

const WRITTEN: &str = "cold-v2";
const READ: [&str; 3] = ["cold-v1", "cold-v1-extra-by-name", WRITTEN];
/// Of a table with columns that have other names than their fields.
const RENAMED: &str = "cold-v2-renamed";

/// The deleted rows of the file of parts.
const DELETED: [u32; 3] = [0, 29, 30];

fn path(folder: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder).join(name)
}

/// The golden file; written first when asked for.
fn golden(folder: &str, name: &str, made: &[u8]) -> Vec<u8> {
    if std::env::var_os("THERMOCLINE_BLESS").is_some() {
        std::fs::create_dir_all(path(folder, "")).unwrap();
        std::fs::write(path(folder, name), made).unwrap();
    }
    std::fs::read(path(folder, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_golden(folder: &str, name: &str, made: &[u8]) {
    assert!(golden(folder, name, made) == made, "{folder}/{name} is written with other bytes than before");
}

fn documents() -> Vec<Document> {
    let row = |number: i64| {
        let fields = format!(
            r#""at":"2024-02-29T12:00:0{}.000Z","price":{number}.50,"n":{number},"ratio":{number}.25,"city":"city {}","ok":{},"tags":[{number},null],"five":5.0,"_x":1"#,
            number % 10,
            number % 3,
            number % 2 == 0
        );
        document(&format!("id-{number:03}"), number + 1, FEBRUARY + number, if number == 7 { "" } else { &fields })
    };
    (0..50).map(row).collect()
}

fn columns(documents: &[Document]) -> TableSchema {
    let mut columns = TableSchema::default();
    declare(&mut columns, &[("at", "timestamp"), ("price", "decimal(9,2)")], true);
    for document in documents {
        infer::observe(&mut columns, &thermocline::types::Json::parse(&document.text).unwrap());
    }
    columns
}

fn made() -> (Table, Vec<(String, Vec<u8>)>) {
    let documents = documents();
    let columns = columns(&documents);
    let mut table = Table::new("s3://cold", "golden", TableKind::State);
    let key = table.state.path.data_file(thermocline::types::time::Month { year: 2024, month: 2 }, attempt(1), 0);
    let (data, file) = document_file(&columns, &documents, &key);
    let mut first = table.commit(CommitOperation::Append, 1, FEBRUARY, Schema::state(&columns));
    first.added = vec![file.clone()];
    let bucket = MemoryBucket::new();
    table.apply(&bucket, first);
    let mut second = table.commit(CommitOperation::Overwrite, 2, FEBRUARY + 1, Schema::state(&columns));
    second.removed = table.live.values().cloned().collect();
    second.added = vec![DataFile { key: key.replace("-0.parquet", "-1.parquet"), ..file.clone() }];
    let built = table.apply(&bucket, second);
    let [manifest, list] = built.objects.as_slice() else { panic!() };
    let files = vec![
        ("data.parquet".to_owned(), data),
        ("data-file.json".to_owned(), serde_json::to_vec(&file).unwrap()),
        ("columns.json".to_owned(), serde_json::to_vec(&columns).unwrap()),
        ("manifest.avro".to_owned(), manifest.bytes.clone()),
        ("manifest-list.avro".to_owned(), list.bytes.clone()),
        ("metadata.json".to_owned(), built.metadata.bytes.clone()),
        ("table-state.json".to_owned(), serde_json::to_vec(&built.state).unwrap()),
        ("live-file.json".to_owned(), serde_json::to_vec(&built.added[0]).unwrap()),
    ];
    (table, files)
}

/// A table of one data file, of two parts, and the delete file beside it.
fn made_with_deletes() -> Vec<(String, Vec<u8>)> {
    let documents = documents();
    let columns = columns(&documents);
    let mut table = Table::new("s3://cold", "golden", TableKind::State);
    let key = |number: usize| {
        table.state.path.data_file(thermocline::types::time::Month { year: 2024, month: 2 }, attempt(1), number)
    };
    let (data, parts) = parts_file(&columns, &[(2, &documents[20..]), (1, &documents[..20])], &key(0));
    let (deletes, deleted) = delete_file("s3://cold", &[(&parts, &DELETED)], &key(1));
    let mut commit = table.commit(CommitOperation::Append, 1, FEBRUARY, Schema::state(&columns));
    commit.added = vec![parts.clone(), deleted.clone()];
    let built = table.apply(&MemoryBucket::new(), commit);
    let [_, manifest, list] = built.objects.as_slice() else { panic!() };
    vec![
        ("parts.parquet".to_owned(), data),
        ("parts-data-file.json".to_owned(), serde_json::to_vec(&parts).unwrap()),
        ("deletes.parquet".to_owned(), deletes),
        ("deletes-data-file.json".to_owned(), serde_json::to_vec(&deleted).unwrap()),
        ("deletes-manifest.avro".to_owned(), manifest.bytes.clone()),
        ("deletes-manifest-list.avro".to_owned(), list.bytes.clone()),
        ("deletes-metadata.json".to_owned(), built.metadata.bytes.clone()),
        ("deletes-table-state.json".to_owned(), serde_json::to_vec(&built.state).unwrap()),
    ]
}

#[test]
fn the_same_bytes_are_written() {
    let (_, files) = made();
    files.iter().chain(&made_with_deletes()).for_each(|(name, bytes)| assert_golden(WRITTEN, name, bytes));
}

#[test]
fn golden_delete_files_read() {
    let stored = |name: &str| std::fs::read(path(WRITTEN, name)).unwrap();
    let data: DataFile = serde_json::from_slice(&stored("parts-data-file.json")).unwrap();
    let deletes: DataFile = serde_json::from_slice(&stored("deletes-data-file.json")).unwrap();
    let parts: Vec<(i64, i64)> = data.parts.iter().map(|part| (part.number, part.rows)).collect();
    assert_eq!((parts, data.sorted, deletes.content), (vec![(2, 30), (1, 20)], false, FileContent::PositionDeletes));
    let columns: TableSchema = serde_json::from_slice(&stored("columns.json")).unwrap();
    let bucket = MemoryBucket::new();
    put(&bucket, &data.key, &stored("parts.parquet"));
    put(&bucket, &deletes.key, &stored("deletes.parquet"));
    let (found, _) = read(&bucket, &[data, deletes], &columns, None, &|_| false).unwrap();
    let documents = documents();
    let rows = (0..).zip(documents[20..].iter().chain(&documents[..20]));
    let left: Vec<&Document> = rows.filter(|(row, _)| !DELETED.contains(row)).map(|(_, document)| document).collect();
    assert_eq!(found.len(), left.len());
    found.iter().zip(left).for_each(|(found, document)| assert_same_text(&found.text, &document.text));
    let state: TableState = serde_json::from_slice(&stored("deletes-table-state.json")).unwrap();
    assert_eq!((state.totals.records, state.totals.position_deletes, state.totals.delete_files), (50, 3, 1));
    let reader = |name: &str| -> Vec<Value> {
        apache_avro::Reader::new(stored(name).as_slice()).unwrap().map(|value| value.unwrap()).collect()
    };
    let contents: Vec<Value> =
        reader("deletes-manifest-list.avro").iter().map(|manifest| field(manifest, "content").clone()).collect();
    assert_eq!(contents, [Value::Int(0), Value::Int(1)]);
    assert_eq!(field(field(&reader("deletes-manifest.avro")[0], "data_file"), "record_count"), &Value::Long(3));
}

#[test]
fn golden_data_files_read() {
    for folder in READ {
        let stored = |name: &str| std::fs::read(path(folder, name)).unwrap();
        let file: DataFile = serde_json::from_slice(&stored("data-file.json")).unwrap();
        let columns: TableSchema = serde_json::from_slice(&stored("columns.json")).unwrap();
        let bucket = MemoryBucket::new();
        put(&bucket, &file.key, &stored("data.parquet"));
        let (found, _) = read(&bucket, &[file], &columns, None, &|_| false).unwrap();
        let documents = documents();
        assert_eq!(found.len(), documents.len());
        for (found, document) in found.iter().zip(&documents) {
            assert_same_text(&found.text, &document.text);
            assert_eq!(
                (&found.id, found.sequence, found.timestamp),
                (&document.id, document.sequence, document.timestamp)
            );
        }
    }
}

#[test]
fn files_of_renamed_columns_are_written_and_read_the_same() {
    let documents = documents();
    let renamed = |name: &str, other: &str, column_type: &str| ColumnDeclaration {
        name: name.to_owned(),
        renamed: Some(other.to_owned()),
        column_type: column_type.parse().unwrap(),
        nullable: true,
    };
    let mut columns = columns(&documents);
    // Two swap their names, and one that was inferred has another.
    let declared =
        [renamed("price", "at", "decimal(9,2)"), renamed("at", "price", "timestamp"), renamed("n", "number", "long")];
    columns.declare(&declared, false).unwrap();
    let (data, file) = document_file(&columns, &documents, "data.parquet");
    assert_golden(RENAMED, "data.parquet", &data);
    assert_golden(RENAMED, "data-file.json", &serde_json::to_vec(&file).unwrap());
    assert_golden(RENAMED, "columns.json", &serde_json::to_vec(&columns).unwrap());
    let stored: TableSchema = serde_json::from_slice(&std::fs::read(path(RENAMED, "columns.json")).unwrap()).unwrap();
    assert_eq!(stored, columns);
    let bucket = MemoryBucket::new();
    put(&bucket, &file.key, &data);
    let (found, _) = read(&bucket, std::slice::from_ref(&file), &stored, None, &|_| false).unwrap();
    assert_eq!(found.len(), documents.len());
    found.iter().zip(&documents).for_each(|(found, document)| assert_same_text(&found.text, &document.text));
    let (found, _) = read(&bucket, &[file], &stored, Some(&["price"]), &|_| false).unwrap();
    assert_same_text(&found[5].text, r#"{"id":"id-005","price":5.50}"#);
}

#[test]
fn golden_states_read() {
    for folder in READ {
        let stored = |name: &str| std::fs::read(path(folder, name)).unwrap();
        let state: TableState = serde_json::from_slice(&stored("table-state.json")).unwrap();
        let format = if folder == WRITTEN { TableState::FORMAT } else { 1 };
        assert_eq!((state.format, state.version, state.totals.records), (format, 2, 50));
        assert_eq!((state.totals.data_files, state.totals.delete_files), (1, 0));
        if folder == WRITTEN {
            assert_eq!(serde_json::to_vec(&state).unwrap(), stored("table-state.json"));
        }
        let live: LiveFile = serde_json::from_slice(&stored("live-file.json")).unwrap();
        assert_eq!((live.sequence_number, live.file.record_count), (2, 50));
        assert_eq!(state.manifests[0].live_files(), 1);
    }
}

#[test]
fn golden_manifests_read() {
    for folder in READ {
        let records = |name: &str| -> Vec<Value> {
            let bytes = std::fs::read(path(folder, name)).unwrap();
            apache_avro::Reader::new(bytes.as_slice()).unwrap().map(|value| value.unwrap()).collect()
        };
        let manifests = records("manifest-list.avro");
        assert_eq!(manifests.len(), 1);
        assert_eq!(field(&manifests[0], "added_rows_count"), &Value::Long(50));
        assert_eq!(field(&manifests[0], "deleted_rows_count"), &Value::Long(50));
        let statuses: Vec<Value> =
            records("manifest.avro").iter().map(|entry| field(entry, "status").clone()).collect();
        assert_eq!(statuses, [Value::Int(2), Value::Int(1)]);
        let metadata: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path(folder, "metadata.json")).unwrap()).unwrap();
        assert_eq!(metadata["format-version"], 2);
        assert_eq!(metadata["current-snapshot-id"], metadata["snapshots"][1]["snapshot-id"]);
    }
}
