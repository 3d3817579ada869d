//! What is written is what is read.

use serde_json::{Value, json};
use thermocline::cold::fsck::Counts;
use thermocline::cold::read::{Expected, Table};
use thermocline::error::ErrorKind;
use thermocline::ports::native::run;
use uuid::Uuid;

use super::edit::{edit_metadata, metadata_key, newest};
use super::scenario::{CHANGES, STATE, fsck, open, scenario};

fn rows(table: &Table, bucket: &thermocline::ports::native::MemoryBucket) -> Vec<Value> {
    run(table.rows(bucket)).done().unwrap().unwrap()
}

#[test]
fn the_rows_of_a_table_are_the_documents() {
    let scenario = scenario();
    let table = open(&scenario.bucket, STATE);
    let mut rows = rows(&table, &scenario.bucket);
    rows.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
    assert_eq!(rows.len(), scenario.documents.len());
    for (row, document) in rows.iter().zip(&scenario.documents) {
        for name in ["id", "n", "s", "x"] {
            assert_eq!(&row[name], document.get(name).unwrap_or(&Value::Null), "{row} {document}");
        }
    }
    let row = rows.iter().find(|row| row["id"] == "m07").unwrap();
    assert_eq!((row["price"].as_str(), row["_seq"].as_i64()), (Some("7.50"), Some(8)));
    assert_eq!(row["at"], json!(1_709_208_000_000_000_i64));
}

#[test]
fn the_rows_of_a_change_log_are_the_events() {
    let scenario = scenario();
    let table = open(&scenario.bucket, CHANGES);
    let mut sequences: Vec<i64> =
        rows(&table, &scenario.bucket).iter().map(|row| row["sequence"].as_i64().unwrap()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=i64::try_from(scenario.events).unwrap()).collect::<Vec<_>>());
}

#[test]
fn an_earlier_snapshot_has_the_rows_of_its_time() {
    let scenario = scenario();
    let table = open(&scenario.bucket, STATE);
    let first = table.metadata.snapshots.first().unwrap();
    let schema = table.metadata.current_schema("k").unwrap();
    let mut found = 0;
    let mut sink = |_: thermocline::cold::read::Row<'_>| {
        found += 1;
        Ok(if found == 15 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) })
    };
    run(table.scan(&scenario.bucket, first, schema, &mut sink)).done().unwrap().unwrap();
    assert_eq!(found, 15, "the sink ends the scan");
}

fn counts(snapshots: u64) -> Counts {
    Counts { snapshots, ..Counts::default() }
}

#[test]
fn a_table_that_is_whole_is_clean() {
    let scenario = scenario();
    // A file of one segment of 20 rows and a tail of 5 documents, then one of 7 in its place; manifests of both months.
    let state = Counts { manifests: 4, data_files: 3, delete_files: 1, rows: 20 + 5 + 7, ..counts(3) };
    let events = u64::try_from(scenario.events).unwrap();
    let changes = Counts { manifests: 3, data_files: 3, rows: events, ..counts(3) };
    for (folder, committed, expected) in [(STATE, &scenario.state, state), (CHANGES, &scenario.changes, changes)] {
        let report = fsck(&scenario.bucket, folder, Some(committed));
        assert!(report.is_clean(), "{:#?}", report.findings);
        assert_eq!(report.counts, expected, "{folder}");
    }
    let totals = scenario.state.state.totals;
    let left = totals.records - totals.position_deletes;
    assert_eq!((totals.position_deletes, usize::try_from(left).unwrap()), (10, scenario.documents.len()));
}

#[test]
fn another_table_is_refused() {
    let scenario = scenario();
    let open = |expected| run(Table::open(&scenario.bucket, STATE, expected)).done().unwrap();
    let uuid = open(Expected::default()).unwrap().metadata.table_uuid;
    assert!(open(Expected { table_uuid: Some(uuid), base_uri: Some("s3://cold") }).is_ok());
    for expected in [
        Expected { table_uuid: Some(Uuid::nil()), base_uri: None },
        Expected { table_uuid: None, base_uri: Some("s3://other") },
    ] {
        let error = open(expected).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    let bucket = scenario.copy();
    edit_metadata(&bucket, STATE, |metadata| metadata["location"] = json!("s3://cold/iceberg/demo/1/people"));
    let error = run(Table::open(&bucket, STATE, Expected::default())).done().unwrap().unwrap_err();
    assert!(error.message().contains("iceberg/demo/1/people"), "{error}");
    let bucket = scenario.copy();
    edit_metadata(&bucket, STATE, |metadata| newest(metadata)["manifest-list"] = json!("s3://elsewhere/x"));
    let table = super::scenario::open(&bucket, STATE);
    assert!(run(table.rows(&bucket)).done().unwrap().unwrap_err().message().contains("s3://elsewhere/x"));
    assert!(table.metadata_key == metadata_key(&bucket, STATE));
}
