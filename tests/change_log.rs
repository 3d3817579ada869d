//! The change log at its edges: records larger than a row, dropped generations, positions that are gone.

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
use support::archive::{Model, settle};
use thermocline::config::StorageConfig;
use thermocline::ports::Ports;
use thermocline::ports::native::World;

const HOUR_MS: i64 = 3_600_000;

fn large(letter: &str) -> String {
    json!({"text": letter.repeat(1_040_000)}).to_string()
}

/// Documents, each changed, an hour apart, archived each time: the log's generations are closed and dropped.
fn aged_history(world: &World, rounds: usize) -> Vec<Value> {
    for round in 0..rounds {
        let object = Object::wake(world);
        object.ok("PUT", &format!("/collections/movies/docs/m{round}"), &json!({"round": round}).to_string());
        object.ok("PUT", "/collections/people/docs/p", &json!({"round": round}).to_string());
        world.clock.advance(HOUR_MS + 1);
        settle(world);
    }
    Object::wake(world).feed(1_000)
}

#[test]
fn an_update_of_a_large_document_spans_rows_and_is_told_whole() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/big/docs/x", &large("a"));
    object.ok("PUT", "/collections/big/docs/x", &large("b"));
    let events = Object::wake(&world).feed(1);
    assert_eq!(events[1]["before"]["text"].as_str().unwrap().len(), 1_040_000);
    assert_eq!(events[1]["after"]["text"].as_str().unwrap().chars().next(), Some('b'));
    settle(&world);
    assert_eq!(object.rows("big", r#"{"tiers":["cold"]}"#), object.rows("big", "{}"));
}

#[test]
fn events_that_have_left_sqlite_are_told_from_the_archive() {
    let world = World::new(2).unwrap();
    let told = aged_history(&world, 6);
    let mut model = Model::default();
    model.follow(&told);
    assert_eq!(model.history.len(), 12);
    let object = Object::wake(&world);
    let log_tables = world
        .ports()
        .sql
        .query("SELECT name FROM sqlite_master WHERE name LIKE 'log\\_%' ESCAPE '\\' AND name <> 'log_floor'", &[]);
    assert!(log_tables.unwrap().len() <= 2, "archived generations are dropped");
    for limit in [1, 3, 5, 1_000] {
        assert_eq!(object.feed(limit), told, "pages of {limit}");
    }
    let page = object.ok("GET", "/cdc?collections=people&operations=UPDATE&after=1&limit=2&documents=false", "");
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    assert_eq!(page["events"][0]["changedFields"], json!(["round"]));
    assert_eq!(page["events"][0].get("after"), None);
    assert_eq!(page["hasMore"], true);
}

#[test]
fn a_position_in_the_future_is_refused_and_one_out_of_retention_is_gone() {
    let world = World::new(3).unwrap();
    let without_bucket = || Ports { objects: None, ..world.ports() };
    let config = StorageConfig::parse(r#"{"cdc":{"maxAgeDays":1}}"#).unwrap();
    let object = Object::configured(without_bucket(), config);
    for round in 0..4 {
        object.ok("PUT", &format!("/collections/movies/docs/m{round}"), "{}");
        world.clock.advance(30 * HOUR_MS);
    }
    let (status, problem) = object.get("/cdc?after=0");
    assert_eq!(status, 410, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("from sequence 2 on"), "{problem}");
    assert_eq!(object.ok("GET", "/cdc?after=2", "")["events"].as_array().unwrap().len(), 2);
    assert_eq!(object.get("/cdc?after=5").0, 412);
    assert_eq!(object.ok("GET", "/cdc?after=4", "")["events"], json!([]));
}

#[test]
fn a_collection_of_many_documents_is_dropped_by_reference() {
    let world = World::new(4).unwrap();
    let object = Object::wake(&world);
    let lines: Vec<_> = (0..5_000).map(|n| format!(r#"{{"id":"{n:05}"}}"#)).collect();
    object.import("movies", &lines.join("\n"));
    let dropped = object.send("DELETE", "/collections/movies", &[], "");
    assert_eq!(dropped.status, 204);
    let written: u64 = support::header(&dropped, "thermocline-rows-written").parse().unwrap();
    assert!(written < 10, "a drop writes no row a document: {written}");
    let page = object.ok("GET", "/cdc?after=7500&limit=3", "");
    assert_eq!(page["events"][0]["sequence"], 7_501);
    assert_eq!(
        (&page["events"][0]["operation"], &page["events"][0]["documentId"]),
        (&json!("DELETE"), &json!("02500"))
    );
    let events = object.feed(1_000);
    let deleted: Vec<_> = events.iter().filter(|event| event["operation"] == "DELETE").collect();
    assert_eq!(deleted.len(), 5_000);
    assert!(deleted.iter().all(|event| event["before"]["id"] == event["documentId"]));
    settle(&world);
    assert_eq!(Object::wake(&world).feed(999), events);
}

#[test]
fn a_bucket_that_is_bound_late_gets_every_collection() {
    let world = World::new(5).unwrap();
    let config = StorageConfig::parse(r#"{"cdc":{"maxAgeDays":1}}"#).unwrap();
    let object = Object::configured(Ports { objects: None, ..world.ports() }, config);
    object.ok("PUT", "/collections/early/docs/a", r#"{"n":1}"#);
    for round in 0..4 {
        world.clock.advance(30 * HOUR_MS);
        object.ok("PUT", &format!("/collections/late/docs/m{round}"), "{}");
    }
    assert_eq!(object.get("/cdc?after=0").0, 410, "the event of the first collection has left the log");
    let object = Object::wake(&world);
    object.ok("POST", "/sync", "");
    assert_eq!(object.rows("early", r#"{"tiers":["cold"]}"#), [json!({"id": "a", "n": 1})]);
    assert_eq!(object.rows("late", r#"{"tiers":["cold"]}"#).len(), 4);
}
