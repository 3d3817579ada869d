//! `POST /maintenance`: what the alarm does by and by, at once and told; and kept answers that go by themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod support;

use std::future::Future;
use std::pin::Pin;

use serde_json::{Value, json};
use support::archive::{check_tables, fire_next};
use support::{Object, body, header, parsed, request};
use thermocline::config::StorageConfig;
use thermocline::http::message::Response;
use thermocline::ports::native::{Fault, FaultPlan, Outcome, World, join_seeded};
use thermocline::ports::{Ports, SqlStore};

const DAY_MS: i64 = 86_400_000;

fn documents(count: usize, operation: &str) -> String {
    let one = |n: usize| json!({"op": operation, "collection": "docs", "id": format!("d{n:05}"), "doc": {"n": n}});
    json!({"operations": (0..count).map(one).collect::<Vec<_>>()}).to_string()
}

/// An object with a generation of rows that is due to be sealed, and segments that are due to be merged.
fn untidy() -> World {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs", r#"{"retention":{"days":7}}"#);
    for start in 0..40 {
        object.upsert_numbered("docs", start * 100..start * 100 + 100, "x");
    }
    for start in 0..40 {
        object.upsert_numbered("docs", 10_000 + start * 50..10_000 + start * 50 + 50, "x");
    }
    world.clock.advance(10_000);
    world
}

fn maintain(object: &Object) -> Value {
    let done = object.ok("POST", "/maintenance", "");
    for part in ["cleanupResults", "compactionResults", "cacheCleanup"] {
        assert!(done[part]["more"].is_boolean(), "{done}");
    }
    done
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a count: {value}"))
}

/// No figure but those of before and after says that anything was done.
fn nothing_left(done: &Value) {
    let (cleanup, compaction, cache) = (&done["cleanupResults"], &done["compactionResults"], &done["cacheCleanup"]);
    for figure in [
        &cleanup["expiredDocuments"],
        &cleanup["keptAnswerDays"],
        &cleanup["trimmedEvents"],
        &cleanup["cold"]["expiredSnapshots"],
        &cleanup["cold"]["expiredEvents"],
        &cleanup["cold"]["deletedObjects"],
        &compaction["seals"],
        &compaction["merges"],
    ] {
        assert_eq!(figure, 0, "{done}");
    }
    assert_eq!(compaction["segmentsBefore"], compaction["segmentsAfter"], "{done}");
    assert_eq!(compaction["cold"]["filesBefore"], compaction["cold"]["filesAfter"], "{done}");
    assert_eq!(
        (&cache["bumped"], &cleanup["more"], &compaction["more"]),
        (&json!(false), &json!(false), &json!(false))
    );
}

#[test]
fn an_object_that_was_never_written_has_nothing_to_maintain() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let response = object.send("POST", "/maintenance", &[("content-type", "application/json")], "{}");
    assert_eq!((response.status, header(&response, "thermocline-rows-written")), (200, "0"), "{response:?}");
    nothing_left(&parsed(&response));
}

#[test]
fn what_is_due_is_done_at_once_and_then_nothing_is_left() {
    let world = untidy();
    let object = Object::wake(&world);
    let before = object.contents();
    let done = maintain(&object);
    let compaction = &done["compactionResults"];
    assert!(number(&compaction["seals"]) >= 1 && number(&compaction["merges"]) >= 1, "{done}");
    assert!(number(&compaction["segmentsAfter"]) < number(&compaction["segmentsBefore"]), "{done}");
    assert!(number(&compaction["cold"]["filesAfter"]) > 0, "what waited is archived: {done}");
    assert!(number(&compaction["databaseBytesAfter"]) > 0);
    let metrics = object.ok("GET", "/metrics", "");
    assert_eq!(metrics["hot"]["segments"], compaction["segmentsAfter"]);
    assert_eq!(metrics["cold"]["objects"], compaction["cold"]["filesAfter"]);
    assert_eq!(object.contents(), before, "no document has changed");
    world.clock.advance(20_000);
    for _ in 0..4 {
        if maintain(&object)["compactionResults"]["more"] == false {
            break;
        }
        world.clock.advance(20_000);
    }
    nothing_left(&maintain(&object));
    assert_eq!(object.contents(), before);
    check_tables(&world);
}

#[test]
fn documents_that_have_passed_go_without_a_pause_between_two_calls() {
    let world = untidy();
    let object = Object::wake(&world);
    maintain(&object);
    world.clock.advance(7 * DAY_MS);
    object.ok("PUT", "/collections/docs/docs/new", "{}");
    let mut gone = 0;
    for _ in 0..10 {
        let done = maintain(&object);
        gone += number(&done["cleanupResults"]["expiredDocuments"]);
        if done["cleanupResults"]["more"] == false {
            break;
        }
    }
    assert_eq!(gone, 6_000);
    assert_eq!(object.contents()["docs"], json!([{"id": "new"}]));
    // Another one passes within the pause of the alarm.
    world.clock.advance(7 * DAY_MS + 1);
    assert_eq!(maintain(&object)["cleanupResults"]["expiredDocuments"], 1);
    let events = object.feed(1_000);
    assert_eq!(events.iter().filter(|event| event["source"] == "retention").count(), 6_001);
}

#[test]
fn what_is_cached_is_dropped_once() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    let cache = maintain(&object)["cacheCleanup"].clone();
    assert_eq!(cache, json!({"generationBefore": 1, "generationAfter": 2, "bumped": true, "more": false}));
    let again = maintain(&object)["cacheCleanup"].clone();
    assert_eq!(again, json!({"generationBefore": 2, "generationAfter": 2, "bumped": false, "more": false}));
    object.ok("GET", "/collections/docs/docs/a?consistency=cached", "");
    assert_eq!(maintain(&object)["cacheCleanup"]["generationAfter"], 3);
}

#[test]
fn without_a_bucket_the_parts_of_the_bucket_say_so() {
    let world = World::new(1).unwrap();
    let ports = Ports { objects: None, ..world.ports() };
    let object = Object::configured(ports, StorageConfig::default());
    object.ok("POST", "/batch", &documents(100, "insert"));
    let done = maintain(&object);
    for part in ["cleanupResults", "compactionResults"] {
        assert_eq!(done[part]["cold"], json!({"skipped": "no bucket is bound as COLD"}), "{done}");
        assert_eq!(done[part].get("error"), None);
    }
}

#[test]
fn what_fails_is_told_in_its_part_and_stops_no_other() {
    let world = untidy();
    let plan = FaultPlan::new();
    let object = Object::new(plan.wrap(&world.ports()));
    let bucket_fails = |calls: std::ops::Range<usize>| calls.for_each(|call| plan.arm(call, Fault::Fail));
    // Every call of the bucket from here on: those of SQLite and the alarm come first in each turn.
    object.ok("GET", "", "");
    let before = plan.calls().len();
    let twin = untidy();
    let twin_plan = FaultPlan::new();
    let twin_object = Object::new(twin_plan.wrap(&twin.ports()));
    twin_object.ok("GET", "", "");
    maintain(&twin_object);
    let first_put = twin_plan.calls().iter().position(|call| call.starts_with("put ")).unwrap();
    assert!(first_put > before);
    bucket_fails(first_put..first_put + 1);
    let done = maintain(&object);
    for part in ["cleanupResults", "compactionResults"] {
        let error = &done[part]["cold"]["error"];
        assert_eq!(
            (&error["tier"], &error["status"], &error["retryable"]),
            (&json!("cold"), &json!(503), &json!(true)),
            "{done}"
        );
    }
    assert!(number(&done["compactionResults"]["merges"]) >= 1, "{done}");
    assert_eq!(done["cacheCleanup"]["bumped"], true);
    world.clock.advance(DAY_MS / 24);
    let again = maintain(&object);
    assert_eq!(again["cleanupResults"]["cold"].get("error"), None, "{again}");
    check_tables(&world);
}

#[test]
fn calls_and_alarms_at_once_leave_the_object_whole() {
    for seed in 0..12 {
        let world = untidy();
        let object = Object::wake(&world);
        let before = object.contents();
        let call = || -> Pin<Box<dyn Future<Output = Option<Response>> + '_>> {
            Box::pin(async {
                Some(
                    object
                        .service
                        .handle(request("POST", "/maintenance", &[("content-type", "application/json")], ""))
                        .await,
                )
            })
        };
        let alarm = || -> Pin<Box<dyn Future<Output = Option<Response>> + '_>> {
            Box::pin(async {
                object.service.engine().alarm().await.unwrap().unwrap();
                None
            })
        };
        let outcomes = join_seeded(seed, vec![alarm(), call(), call(), alarm(), call()]);
        let mut statuses: Vec<u16> = Vec::new();
        for outcome in outcomes {
            let Outcome::Done(response) = outcome else { panic!("seed {seed}: {outcome:?}") };
            statuses.extend(response.map(|response| {
                if response.status != 200 {
                    assert_eq!(response.status, 409, "seed {seed}: {}", String::from_utf8_lossy(body(&response)));
                }
                response.status
            }));
        }
        assert!(statuses.contains(&200), "seed {seed}: {statuses:?}");
        assert_eq!(object.contents(), before, "seed {seed}");
        world.clock.advance(20_000);
        maintain(&object);
        check_tables(&world);
    }
}

#[test]
fn what_is_no_request_for_maintenance_is_refused() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    for (method, path, text, status) in [
        ("GET", "/maintenance", "", 405),
        ("DELETE", "/maintenance", "", 405),
        ("POST", "/maintenance", r#"{"force":true}"#, 422),
        ("POST", "/maintenance", "[]", 422),
        ("POST", "/maintenance", "{", 400),
        ("POST", "/maintenance?force=true", "", 400),
    ] {
        assert_eq!(object.json(method, path, text).0, status, "{method} {path} {text}");
    }
    assert_eq!(world.alarm.at_ms(), None);
}

#[test]
fn kept_answers_go_at_their_time_without_another_request() {
    let world = World::new(1).unwrap();
    let ports = || Ports { objects: None, ..world.ports() };
    let object = Object::configured(ports(), StorageConfig::default());
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let begun = world.ports().clock.now_ms();
    assert_eq!(object.send("POST", "/collections/docs/docs", &headers, r#"{"id":"a"}"#).status, 201);
    let days = || {
        let select = "SELECT name FROM sqlite_master WHERE name GLOB 'kept_answers_*'";
        world.sql.query(select, &[]).unwrap().len()
    };
    assert_eq!(days(), 1);
    // A new instance finds it in its tables.
    let object = Object::configured(ports(), StorageConfig::default());
    let due = (begun / DAY_MS + 2) * DAY_MS;
    let mut alarms = 0;
    while days() > 0 && alarms < 5 {
        fire_next(&world, &object).unwrap();
        alarms += 1;
    }
    assert!(days() == 0 && alarms <= 3, "{alarms} alarms");
    let now = world.ports().clock.now_ms();
    assert!((due..due + 10_000).contains(&now), "at {now}, expected {due}");
    // The alarm that was set in case this one did not end finds nothing.
    fire_next(&world, &object).unwrap();
    assert_eq!(world.alarm.at_ms(), None, "and then no alarm is set for it");
}

#[test]
fn maintenance_drops_the_answers_of_days_that_count_no_more() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    object.send("POST", "/collections/docs/docs", &headers, r#"{"id":"a"}"#);
    assert_eq!(maintain(&object)["cleanupResults"]["keptAnswerDays"], 0);
    world.clock.advance(3 * DAY_MS);
    assert_eq!(maintain(&object)["cleanupResults"]["keptAnswerDays"], 1);
    assert_eq!(maintain(&object)["cleanupResults"]["keptAnswerDays"], 0);
}
