//! Columns that are declared reach the table without a change of a document: by the alarm, or at once by a sync, as a
//! version of its metadata that has no snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its counts"
)]

mod support;

use serde_json::{Value, json};
use support::archive::{alarms_for, check_tables, each_alarm, settle};
use support::{Object, restore_path};
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, World};

const MINUTE_MS: i64 = 60_000;
const TABLE: &str = "iceberg/demo/1/docs/metadata";

fn metadata(world: &World) -> Value {
    let text = |key: String| String::from_utf8(world.bucket.object(&key).unwrap().bytes).unwrap();
    let version = text(format!("{TABLE}/version-hint.text"));
    serde_json::from_str(&text(format!("{TABLE}/v{version}.metadata.json"))).unwrap()
}

fn version(world: &World) -> i64 {
    let hint = world.bucket.object(&format!("{TABLE}/version-hint.text")).unwrap().bytes;
    String::from_utf8(hint).unwrap().parse().unwrap()
}

/// The columns of documents of the published table, each `id name type`.
fn table(world: &World) -> Vec<String> {
    let metadata = metadata(world);
    let schemas = metadata["schemas"].as_array().unwrap();
    let current = schemas.iter().find(|schema| schema["schema-id"] == metadata["current-schema-id"]).unwrap();
    let column = |field: &Value| {
        format!("{} {} {}", field["id"], field["name"].as_str().unwrap(), field["type"].as_str().unwrap())
    };
    let fields = current["fields"].as_array().unwrap();
    fields.iter().filter(|field| field["id"].as_i64().unwrap() >= 5).map(column).collect()
}

/// An object whose table has the columns a and b, of a segment and of a document that is a row.
fn with_two_columns() -> World {
    let world = World::new(5).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs", &long_columns(&["a", "b"]).to_string());
    let lines: Vec<String> =
        (0..70).map(|n| json!({"id": format!("d{n:02}"), "a": n, "b": n * 2}).to_string()).collect();
    object.import("docs", &lines.join("\n"));
    object.ok("PUT", "/collections/docs/docs/row", r#"{"a":1,"b":2}"#);
    settle(&world);
    alarms_for(&world, "", 5 * MINUTE_MS);
    assert_eq!(table(&world), ["5 a long", "6 b long"]);
    world
}

fn long_columns(names: &[&str]) -> Value {
    let column = |text: &&str| match text.split_once('=') {
        Some((name, field)) => json!({"name": name, "field": field, "type": "long"}),
        None => json!({"name": text, "type": "long"}),
    };
    json!({"columns": names.iter().map(column).collect::<Vec<_>>()})
}

/// b first and called otherwise, a dropped, and c new.
fn evolved() -> String {
    let mut body = long_columns(&["total=b", "c"]);
    body["dropColumns"] = json!(["a"]);
    body.to_string()
}

const EVOLVED: [&str; 2] = ["6 total long", "7 c long"];

#[test]
fn the_alarm_brings_a_declaration_to_the_table() {
    let world = with_two_columns();
    let (before, puts) = (metadata(&world), world.bucket.counts().puts);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs", &evolved());
    assert!(world.alarm.at_ms().is_some_and(|due| due <= world.ports().clock.now_ms() + MINUTE_MS));
    alarms_for(&world, "", 5 * MINUTE_MS);
    assert_eq!(table(&world), EVOLVED);
    let after = metadata(&world);
    assert_eq!(after["current-snapshot-id"], before["current-snapshot-id"], "no snapshot is made");
    assert_eq!(after["snapshots"], before["snapshots"]);
    assert_eq!(world.bucket.counts().puts - puts, 2, "the metadata and the hint");
    check_tables(&world);
    assert_eq!(object.ok("GET", "/collections/docs/docs/d07", ""), json!({"id": "d07", "a": 7, "b": 14}));
    let cold = object.rows("docs", r#"{"tiers":["cold"],"where":{"a":{"eq":7}}}"#);
    assert_eq!(cold, [json!({"id": "d07", "a": 7, "b": 14})]);
    // Declared again, and declared as nothing of the table depends on: nothing is due.
    let (now, puts) = (version(&world), world.bucket.counts().puts);
    object.ok("PUT", "/collections/docs", &evolved());
    let mut indexed: Value = serde_json::from_str(&evolved()).unwrap();
    indexed["indexes"] = json!([["b"]]);
    Object::wake(&world).ok("PUT", "/collections/docs", &indexed.to_string());
    alarms_for(&world, "", 60 * MINUTE_MS);
    assert_eq!((version(&world), world.bucket.counts().puts), (now, puts));
    // The next commit of documents goes on from it.
    object.ok("PUT", "/collections/docs/docs/row", r#"{"a":1,"b":3,"c":4}"#);
    alarms_for(&world, "", 5 * MINUTE_MS);
    assert_eq!(table(&world), EVOLVED);
    check_tables(&world);
}

#[test]
fn a_sync_brings_it_at_once() {
    let world = with_two_columns();
    Object::wake(&world).ok("PUT", "/collections/docs", &evolved());
    // Another instance knows of it too.
    let result = Object::wake(&world).ok("POST", "/sync", "{}");
    assert_eq!(result["changesSynced"], 0);
    assert_eq!(table(&world), EVOLVED);
    check_tables(&world);
}

#[test]
fn what_files_have_values_of_stays_and_is_not_tried_for_ever() {
    let world = with_two_columns();
    let before = version(&world);
    // A column that is declared no longer stays, for the files that have values of it.
    Object::wake(&world).ok("PUT", "/collections/docs", &long_columns(&["a"]).to_string());
    let object = Object::wake(&world);
    let alarms = each_alarm(&world, &object, 60 * MINUTE_MS, 100, |ended| ended.unwrap());
    assert_eq!((table(&world), version(&world)), (vec!["5 a long".to_owned(), "6 b long".to_owned()], before));
    assert!(alarms < 5, "{alarms} alarms");
}

#[test]
fn a_restore_that_changes_a_declaration_alone_brings_it_too() {
    let world = with_two_columns();
    let object = Object::wake(&world);
    let snapshot = object.snapshot("full");
    object.ok("PUT", "/collections/docs", &long_columns(&["b", "a"]).to_string());
    alarms_for(&world, "", 5 * MINUTE_MS);
    assert_eq!(table(&world), ["6 b long", "5 a long"]);
    Object::wake(&world).ok("POST", &restore_path(&snapshot), "{}");
    alarms_for(&world, "", 30 * MINUTE_MS);
    assert_eq!(table(&world), ["5 a long", "6 b long"]);
    check_tables(&world);
}

#[test]
fn any_call_may_fail_on_the_way() {
    let mut met = 0;
    for fault in [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter] {
        for call in 0.. {
            let world = with_two_columns();
            Object::wake(&world).ok("PUT", "/collections/docs", &evolved());
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::default());
            for _ in 0..3 {
                let Some(due) = world.alarm.at_ms().filter(|_| !plan.crashed()) else { break };
                world.clock.set(due.max(world.ports().clock.now_ms()));
                world.alarm.take_due(due);
                let _ = thermocline::ports::native::run(object.service.engine().alarm());
            }
            if plan.unmet() > 0 {
                break;
            }
            met += 1;
            check_tables(&world);
            // What is committed already, the alarm publishes.
            Object::wake(&world).ok("POST", "/sync", "{}");
            alarms_for(&world, "", 15 * MINUTE_MS);
            assert_eq!(table(&world), EVOLVED, "{fault:?} at call {call}");
            check_tables(&world);
            assert_eq!(
                Object::wake(&world).ok("GET", "/collections/docs/docs/row", ""),
                json!({"id": "row", "a": 1, "b": 2})
            );
        }
    }
    println!("{met} faults");
    assert!(met > 60, "{met}");
}
