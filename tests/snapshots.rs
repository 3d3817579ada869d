//! Named snapshots: what they pin stays readable, whatever happens to the object afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use serde_json::{Value, json};
use support::Object;
use support::archive::{alarms_for, check_tables};
use thermocline::ports::native::World;

/// History is kept for a day, and five snapshots of a table without a tag are kept.
const SHORT: &str = r#"{"cold":{"icebergKeepSnapshots":5,"icebergKeepDays":1,"orphanMinAgeMs":0}}"#;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn import(object: &Object, collection: &str, ids: std::ops::Range<usize>, value: &str) {
    let lines: Vec<String> = ids.map(|n| json!({"id": format!("d{n:04}"), "value": value}).to_string()).collect();
    let path = format!("/collections/{collection}/import?mode=upsert");
    let response = object.send("POST", &path, &[("content-type", "application/x-ndjson")], lines.join("\n"));
    assert_eq!(response.status, 200);
}

fn make(object: &Object, body: &Value) -> Value {
    let (status, snapshot) = object.json("POST", "/snapshots", &body.to_string());
    assert_eq!(status, 201, "{snapshot}");
    snapshot
}

/// The values of a collection as of a snapshot, by id.
fn values(object: &Object, collection: &str, snapshot: &Value) -> Vec<(String, String)> {
    let query = json!({"asOf": snapshot["id"], "limit": 1000, "select": ["id", "value"]});
    let rows = object.rows(collection, &query.to_string());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(&row["id"]), text(&row["value"]))).collect()
}

#[test]
fn a_snapshot_tells_the_codec_that_is_configured() {
    for codec in ["snappy", "none"] {
        let world = World::new(1).unwrap();
        let object = Object::wake_with(&world, &format!(r#"{{"cold":{{"compression":"{codec}"}}}}"#));
        import(&object, "films", 0..100, "a");
        object.ok("PUT", "/collections/films/docs/one", r#"{"value":"x"}"#);
        let snapshot = make(&object, &json!({"type": "full"}));
        assert_eq!(snapshot["metadata"]["compression"], codec);
        // The instance that reads it is configured otherwise.
        assert_eq!(values(&Object::wake(&world), "films", &snapshot).len(), 101, "{codec}");
    }
}

#[test]
fn a_full_snapshot_tells_what_it_pins_and_is_listed() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    object.ok("PUT", "/collections/notes/docs/one", r#"{"value":"x"}"#);
    let snapshot = make(&object, &json!({"type": "full", "label": "before the change"}));
    assert_eq!(snapshot["version"], 1);
    assert_eq!(snapshot["sequence"], 101);
    assert_eq!(snapshot["label"], "before the change");
    assert_eq!((snapshot["docType"].clone(), snapshot["docId"].clone()), (json!("demo"), json!("1")));
    assert_eq!(snapshot["metadata"]["type"], "full");
    assert_eq!(snapshot["metadata"]["rowCount"], 101);
    assert_eq!(snapshot["metadata"]["compression"], "snappy");
    assert!(snapshot["metadata"]["checksum"].as_str().unwrap().starts_with("sha256:"));
    let tables = snapshot["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 2);
    assert_eq!((&tables[0]["name"], &tables[0]["rowCount"]), (&json!("films"), &json!(100)));
    assert!(tables.iter().all(|table| table["sizeBytes"].as_u64().unwrap() > 0));
    // It is in the bucket, as the tables' tag, and published.
    let id = snapshot["id"].as_str().unwrap();
    let manifest = world.bucket.object(&format!("snapshots/demo/1/{id}.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    assert_eq!(manifest["tables"][0]["icebergSnapshotId"], tables[0]["icebergSnapshotId"]);
    let version = world.bucket.object("iceberg/demo/1/films/metadata/version-hint.text").unwrap();
    let key = format!("iceberg/demo/1/films/metadata/v{}.metadata.json", String::from_utf8(version.bytes).unwrap());
    let metadata: Value = serde_json::from_slice(&world.bucket.object(&key).unwrap().bytes).unwrap();
    assert_eq!(metadata["refs"][id]["snapshot-id"], tables[0]["icebergSnapshotId"]);
    assert_eq!(metadata["refs"][id]["type"], "tag");
    // The list, page by page.
    let second = make(&object, &json!({"type": "full"}));
    assert_eq!(second["version"], 2);
    assert_eq!(object.get("/snapshots").1["items"], json!([snapshot, second]));
    let page = object.get("/snapshots?limit=1").1;
    assert_eq!(page["items"], json!([snapshot]));
    let next = object.get(&format!("/snapshots?limit=1&cursor={}", page["cursor"].as_str().unwrap())).1;
    assert_eq!((next["items"].clone(), next.get("cursor")), (json!([second]), None));
    assert_eq!(object.get(&format!("/snapshots/{id}")), (200, snapshot.clone()));
    check_tables(&world);
}

#[test]
fn a_snapshot_stays_readable_when_everything_else_has_gone() {
    let world = World::new(2).unwrap();
    let object = Object::wake_with(&world, SHORT);
    import(&object, "films", 0..100, "a");
    object.ok("PUT", "/collections/notes/docs/one", r#"{"value":"x"}"#);
    let first = make(&object, &json!({"type": "full"}));
    import(&object, "films", 50..120, "b");
    let second = make(&object, &json!({"type": "incremental"}));
    assert_eq!((&second["metadata"]["parentId"], &second["metadata"]["rowCount"]), (&first["id"], &json!(70)));
    assert_eq!(second["tables"].as_array().unwrap().len(), 1, "only what has changed");
    assert_eq!(object.json("DELETE", "/collections/films", "").0, 204);
    for day in 0..12 {
        Object::wake_with(&world, SHORT).ok("PUT", "/collections/other/docs/one", &json!({"day": day}).to_string());
        alarms_for(&world, SHORT, DAY_MS);
    }
    let object = Object::wake_with(&world, SHORT);
    let expected = |n: usize, value: &str| (format!("d{n:04}"), value.to_owned());
    let before: Vec<_> = (0..100).map(|n| expected(n, "a")).collect();
    assert_eq!(values(&object, "films", &first), before);
    let after: Vec<_> = (0..120).map(|n| expected(n, if n < 50 { "a" } else { "b" })).collect();
    assert_eq!(values(&object, "films", &second), after);
    let path = format!("/collections/films/docs/d0070?asOf={}", first["id"].as_str().unwrap());
    assert_eq!(object.get(&path), (200, json!({"id": "d0070", "value": "a"})));
    assert_eq!(object.get(&format!("/collections/notes/docs/one?asOf={}", second["id"].as_str().unwrap())).0, 200);
    check_tables(&world);
}

#[test]
fn deleting_takes_the_tags_and_waits_for_what_needs_it() {
    let world = World::new(3).unwrap();
    let object = Object::wake_with(&world, SHORT);
    import(&object, "films", 0..100, "a");
    let full = make(&object, &json!({"type": "full"}));
    import(&object, "films", 0..10, "b");
    let incremental = make(&object, &json!({"type": "incremental"}));
    let path = |snapshot: &Value| format!("/snapshots/{}", snapshot["id"].as_str().unwrap());
    let (status, problem) = object.json("DELETE", &path(&full), "");
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(incremental["id"].as_str().unwrap()), "{problem}");
    assert_eq!(object.json("DELETE", &path(&incremental), "").0, 204);
    assert_eq!(object.json("DELETE", &path(&incremental), "").0, 404);
    assert_eq!(object.json("DELETE", &path(&full), "").0, 204);
    assert_eq!(object.get("/snapshots").1["items"], json!([]));
    assert_eq!(object.get(&path(&full)).0, 404);
    alarms_for(&world, SHORT, HOUR_MS);
    let manifests = world.bucket.keys().into_iter().filter(|key| key.starts_with("snapshots/")).count();
    assert_eq!(manifests, 0, "the manifests are gone");
    check_tables(&world);
    // A version is never given again.
    let object = Object::wake_with(&world, SHORT);
    assert_eq!(make(&object, &json!({"type": "full"}))["version"], 3);
}

#[test]
fn snapshots_expire_by_count_and_by_age() {
    let config = r#"{"snapshots":{"keepCount":3,"keepDays":10},"cold":{"orphanMinAgeMs":0}}"#;
    let world = World::new(4).unwrap();
    for round in 0..5 {
        let object = Object::wake_with(&world, config);
        import(&object, "films", 0..70 + round, "a");
        make(&object, &json!({"type": if round % 2 == 0 { "full" } else { "incremental" }}));
        alarms_for(&world, config, HOUR_MS);
    }
    let versions = |object: &Object| -> Vec<i64> {
        let list = object.get("/snapshots").1;
        list["items"].as_array().unwrap().iter().map(|item| item["version"].as_i64().unwrap()).collect()
    };
    // 4 needs 3, and 2 goes with 1.
    assert_eq!(versions(&Object::wake_with(&world, config)), [3, 4, 5]);
    alarms_for(&world, config, 11 * DAY_MS);
    let object = Object::wake_with(&world, config);
    assert_eq!(versions(&object), Vec::<i64>::new());
    assert_eq!(object.rows("films", r#"{"limit":1000}"#).len(), 74, "the documents are where they were");
    check_tables(&world);
}

#[test]
fn a_snapshot_of_nothing_and_one_without_changes_are_snapshots() {
    let world = World::new(5).unwrap();
    let object = Object::wake(&world);
    let empty = make(&object, &json!({"type": "full"}));
    assert_eq!((&empty["sequence"], &empty["tables"], &empty["version"]), (&json!(0), &json!([]), &json!(1)));
    object.ok("PUT", "/collections/declared", "{}");
    object.ok("PUT", "/collections/notes/docs/one", r#"{"value":"x"}"#);
    let full = make(&object, &json!({"type": "full"}));
    assert_eq!(full["tables"].as_array().unwrap().len(), 1, "what was never archived has no table");
    let same = make(&object, &json!({"type": "incremental"}));
    assert_eq!((&same["sequence"], &same["tables"]), (&full["sequence"], &json!([])));
    assert_eq!(values(&object, "notes", &same), [("one".to_owned(), "x".to_owned())]);
}

#[test]
fn what_cannot_be_a_snapshot_is_refused_and_changes_nothing() {
    let world = World::new(6).unwrap();
    let object = Object::wake(&world);
    for (body, status) in [
        ("", 400),
        ("[]", 422),
        ("{}", 422),
        (r#"{"type":"partial"}"#, 422),
        (r#"{"type":"full","name":"x"}"#, 422),
        (r#"{"type":"full","label":""}"#, 422),
        (r#"{"type":"full","label":"a\nb"}"#, 422),
        (r#"{"type":"full","label":7}"#, 422),
        (r#"{"type":"incremental"}"#, 409),
    ] {
        let (got, problem) = object.json("POST", "/snapshots", body);
        assert_eq!(got, status, "{body}: {problem}");
    }
    let long = json!({"type": "full", "label": "x".repeat(257)}).to_string();
    assert_eq!(object.json("POST", "/snapshots", &long).0, 422);
    assert_eq!(object.json("POST", "/snapshots?x=1", r#"{"type":"full"}"#).0, 400);
    assert_eq!(object.get("/snapshots?cursor=x").0, 422);
    for path in ["/snapshots/nothing", "/snapshots/0192d3f0-0000-7000-8000-000000000000"] {
        assert_eq!(object.get(path).0, 404);
        assert_eq!(object.json("DELETE", path, "").0, 404);
    }
    let unknown = "0192d3f0-0000-7000-8000-000000000000";
    assert_eq!(object.json("PUT", &format!("/snapshots/{unknown}"), "").0, 405);
    assert_eq!(object.get(&format!("/collections/films/docs/a?asOf={unknown}")).0, 404);
    let query = json!({"asOf": unknown}).to_string();
    assert_eq!(object.json("POST", "/collections/films/query", &query).0, 404);
    assert_eq!(object.get("/snapshots").1, json!({"items": []}));
    assert_eq!(object.get("/").1["collections"], json!([]));
}
