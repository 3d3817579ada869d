//! The main job natively: documents in, events out, an archive in the bucket, and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use serde_json::json;
use support::{Object, header};
use thermocline::ports::native::{World, run};

#[test]
fn documents_are_written_read_changed_and_deleted() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let created = object.send("POST", "/collections/movies/docs", &[], r#"{"id":"a","n":1.0,"big":9007199254740993}"#);
    assert_eq!(created.status, 201);
    assert_eq!(header(&created, "location"), "/v1/demo/1/collections/movies/docs/a");
    assert_eq!((header(&created, "etag"), header(&created, "thermocline-sequence")), ("\"1\"", "1"));

    let read = object.send("GET", "/collections/movies/docs/a", &[], "");
    assert_eq!(read.body.bytes(), br#"{"id":"a","n":1.0,"big":9007199254740993}"#);
    let patched =
        object.send("PATCH", "/collections/movies/docs/a", &[("if-match", "\"1\"")], r#"{"n":null,"x":{"y":2.50}}"#);
    assert_eq!(patched.body.bytes(), br#"{"id":"a","big":9007199254740993,"x":{"y":2.50}}"#);
    assert_eq!(object.json("PUT", "/collections/movies/docs/b", "{}").0, 201);
    assert_eq!(object.json("PUT", "/collections/movies/docs/b", "{}").0, 200);
    assert_eq!(object.json("DELETE", "/collections/movies/docs/a", "").0, 204);
    assert_eq!(object.get("/collections/movies/docs/a").0, 404);

    let events = object.feed(2);
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["sequence"].as_i64().unwrap(), event["operation"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(1, "INSERT"), (2, "UPDATE"), (3, "INSERT"), (4, "UPDATE"), (5, "DELETE")]);
    assert_eq!(events[1]["changedFields"], json!(["n", "x"]));
    assert_eq!(events[4]["before"]["x"]["y"], json!(2.50));
}

#[test]
fn the_alarm_archives_and_cold_reads_agree() {
    let world = World::new(2).unwrap();
    let object = Object::wake(&world);
    let lines: Vec<_> = (0..3_000)
        .map(|n| format!(r#"{{"id":"{n:04}","n":{n},"half":{},"s":"s{}"}}"#, f64::from(n) / 2.0, n % 10))
        .collect();
    let report = object.import("movies", &lines.join("\n"));
    assert_eq!(report["imported"], 3_000);
    object.ok("PATCH", "/collections/movies/docs/0007", r#"{"n":null,"extra":{"a":[1,2.0]}}"#);
    assert_eq!(object.json("DELETE", "/collections/movies/docs/0008", "").0, 204);

    let due = world.alarm.at_ms().expect("an alarm is set");
    world.clock.set(due);
    assert!(world.alarm.take_due(due));
    run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    let state = object.ok("GET", "/sync", "");
    assert_eq!((&state["pendingChanges"], &state["lastColdSequence"]), (&json!(0), &json!(3_002)));

    let keys = world.bucket.keys();
    assert!(keys.iter().any(|key| key.starts_with("iceberg/demo/1/movies/data/year=2026/month=01/")), "{keys:?}");
    assert!(keys.contains(&"iceberg/demo/1/movies__changes/metadata/v1.metadata.json".to_owned()));
    let hot = object.rows("movies", r#"{"limit":1000}"#);
    let cold = object.rows("movies", r#"{"limit":1000,"tiers":["cold"]}"#);
    assert_eq!(hot.len(), 2_999);
    assert_eq!(hot, cold);
    let one = object.send("GET", "/collections/movies/docs/0007?tiers=cold", &[], "");
    assert_eq!(support::parsed(&one), json!({"id":"0007","half":3.5,"s":"s7","extra":{"a":[1,2.0]}}));
}

#[test]
fn an_alarm_that_was_lost_is_set_again_by_the_next_request() {
    let world = World::new(3).unwrap();
    Object::wake(&world).ok("PUT", "/collections/movies/docs/a", "{}");
    let lost = world.alarm.at_ms().expect("an alarm is set");
    world.clock.set(lost + 60_000);
    Object::wake(&world).ok("GET", "/sync", "");
    assert!(world.alarm.at_ms().unwrap() >= lost + 60_000, "an alarm in the past is not waited for");
}

#[test]
fn writes_but_deletes_are_refused_above_the_configured_size() {
    let world = World::new(5).unwrap();
    let object = Object::wake_with(&world, r#"{"hot":{"evictAboveBytes":2097152,"refuseAboveBytes":2097152}}"#);
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(600_000));
    object.ok("PUT", "/collections/docs/docs/a", &large);
    object.ok("PUT", "/collections/docs/docs/b", &large);
    let (status, problem) = object.json("PUT", "/collections/docs/docs/c", "{}");
    assert_eq!((status, problem["tier"].as_str()), (507, Some("hot")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("hot.refuseAboveBytes = 2097152"), "{problem}");
    assert_eq!(object.json("DELETE", "/collections/docs/docs/a", "").0, 204);
    assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
    assert_eq!(object.ok("GET", "/sync", "")["lastHotSequence"], 4);
}
