//! Evicted segments: every read answers what it did before, for some reads of the bucket, which are counted here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use support::Object;
use support::archive::{reads, settle_with};
use thermocline::config::StorageConfig;
use thermocline::ports::Ports;
use thermocline::ports::native::World;

/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;
const HOUR_MS: i64 = 3_600_000;

fn line(n: usize) -> Value {
    json!({"id": format!("d{n:06}"), "n": n, "city": format!("city {}", n % 50), "ok": n.is_multiple_of(3), "text": "x".repeat(40 + n % 20)})
}

fn import(object: &Object, range: std::ops::Range<usize>) {
    let lines: Vec<String> = range.map(|n| line(n).to_string()).collect();
    object.import("docs", &lines.join("\n"));
}

/// An object with `count` documents, all of them evicted but for a few in row form.
fn evicted(count: usize) -> World {
    let world = World::new(11).unwrap();
    import(&Object::wake_with(&world, EVICTING), 0..count);
    archive(&world);
    world
}

/// Archives, lets go of the log, and evicts.
fn archive(world: &World) {
    for n in 0..2 {
        settle_with(world, EVICTING);
        world.clock.advance(2 * HOUR_MS);
        Object::wake_with(world, EVICTING).ok("PUT", "/collections/other/docs/x", &json!({"n": n}).to_string());
    }
    settle_with(world, EVICTING);
}

fn forms(object: &Object) -> (i64, i64, i64) {
    let forms = object.ok("GET", "/collections/docs", "")["forms"].clone();
    let count = |name: &str| forms[name].as_i64().unwrap();
    (count("row"), count("segment"), count("cold"))
}

fn without_bucket(world: &World) -> Object {
    let ports = Ports { objects: None, ..world.ports() };
    Object::configured(ports, StorageConfig::parse(EVICTING).unwrap())
}

fn upsert(object: &Object, id: &str, document: &Value) -> u16 {
    object.json("PUT", &format!("/collections/docs/docs/{id}"), &document.to_string()).0
}

#[test]
fn what_is_evicted_reads_as_before() {
    let world = evicted(5_000);
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(forms(&object), (0, 0, 5_000));
    assert_eq!(object.get("/collections/docs/docs/d000123").1, line(123));
    assert_eq!(object.get("/collections/docs/docs/none").0, 404);
    let all = object.rows("docs", r#"{"limit":1000}"#);
    assert_eq!(all, (0..5_000).map(line).collect::<Vec<_>>(), "in the order of ids, page by page");
    let found = object.rows(
        "docs",
        r#"{"where":{"city":{"eq":"city 7"}},"orderBy":[{"column":"n","direction":"desc"}],"limit":1000}"#,
    );
    let expected: Vec<Value> = (0..5_000).rev().filter(|n| n % 50 == 7).map(line).collect();
    assert_eq!(found, expected);
    let groups = object.rows(
        "docs",
        r#"{"groupBy":["ok"],"aggregates":[{"as":"rows","fn":"count"},{"as":"most","fn":"max","column":"n"}]}"#,
    );
    assert_eq!(
        groups,
        [json!({"ok": false, "rows": 3333, "most": 4999}), json!({"ok": true, "rows": 1667, "most": 4998})]
    );
    assert_eq!(object.rows("docs", r#"{"tiers":["hot"],"limit":1000}"#), [Value::Null; 0], "without what is evicted");
    let cold = object.rows("docs", r#"{"tiers":["cold"],"limit":1000}"#);
    assert_eq!(cold.len(), 5_000);
}

#[test]
fn what_is_evicted_can_be_written() {
    let world = evicted(1_000);
    let object = Object::wake_with(&world, EVICTING);
    let mut model: BTreeMap<String, Value> = (0..1_000).map(|n| (format!("d{n:06}"), line(n))).collect();
    assert_eq!(upsert(&object, "d000001", &json!({"v": 1})), 200);
    model.insert("d000001".to_owned(), json!({"id": "d000001", "v": 1}));
    let patched = object.ok("PATCH", "/collections/docs/docs/d000002", r#"{"n":-1}"#);
    assert_eq!(patched["city"], "city 2");
    model.insert("d000002".to_owned(), patched);
    assert_eq!(object.json("DELETE", "/collections/docs/docs/d000003", "").0, 204);
    model.remove("d000003");
    assert_eq!(
        object.json("POST", "/collections/docs/docs", &line(4).to_string()).0,
        409,
        "its id tells that it exists"
    );
    // A batch over all that is evicted, with its images.
    let operations: Vec<Value> = (500..900)
        .map(|n| json!({"op": "update", "collection": "docs", "id": format!("d{n:06}"), "doc": {"again": n}}))
        .collect();
    object.ok("POST", "/batch", &json!({ "operations": operations }).to_string());
    for n in 500..900 {
        model.get_mut(&format!("d{n:06}")).unwrap()["again"] = json!(n);
    }
    let found = object.rows("docs", r#"{"limit":1000}"#);
    assert_eq!(found, model.values().cloned().collect::<Vec<_>>());
    let events = object.feed(1_000);
    let last = events.last().unwrap();
    assert_eq!((&last["before"], &last["after"]["again"]), (&line(899), &json!(899)), "images are complete");
    archive(&world);
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(object.rows("docs", r#"{"limit":1000}"#), model.values().cloned().collect::<Vec<_>>());
    assert_eq!(object.rows("docs", r#"{"limit":1000,"tiers":["cold"]}"#).len(), model.len());
}

#[test]
fn a_read_of_evicted_documents_costs_few_reads_of_the_bucket() {
    let world = evicted(60_000);
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(forms(&object).2, 60_000);
    let get = reads(&world, || drop(object.ok("GET", "/collections/docs/docs/d030000", "")));
    let absent = reads(&world, || assert_eq!(object.get("/collections/docs/docs/d03000x").0, 404));
    let again = reads(&world, || drop(object.ok("GET", "/collections/docs/docs/d030000", "")));
    let insert = reads(&world, || assert_eq!(upsert(&object, "new", &json!({"n": 1})), 201));
    let query = r#"{"where":{"n":{"between":[30000,30010]}},"select":["n"]}"#;
    let filtered = reads(&world, || assert_eq!(object.rows("docs", query).len(), 11));
    let page = reads(&world, || drop(object.ok("POST", "/collections/docs/query", r#"{"limit":100}"#)));
    let none = reads(&world, || assert_eq!(object.rows("docs", r#"{"where":{"n":{"gt":60000}}}"#).len(), 0));
    for (what, cost) in [
        ("a get", get),
        ("the same again", again),
        ("a get of an id that is none", absent),
        ("an insert", insert),
        ("a filter of 11 of 60,000", filtered),
        ("a page of 100", page),
        ("a filter that statistics answer", none),
    ] {
        println!("{what}: {} reads of the bucket, {} bytes", cost.gets, cost.bytes_out);
    }
    assert!(get.gets <= 2 && get.bytes_out < 1_000_000, "{get:?}");
    assert_eq!((again.gets, absent.gets, insert.gets, none.gets), (0, 0, 0, 0));
    assert!(filtered.gets <= 4 && filtered.bytes_out < 1_000_000, "{filtered:?}");
    assert!(page.gets <= 4, "{page:?}");
}

#[test]
fn without_the_bucket_only_what_is_evicted_cannot_be_read() {
    let world = evicted(500);
    import(&Object::wake_with(&world, EVICTING), 500..600);
    let object = without_bucket(&world);
    let (status, problem) = object.get("/collections/docs/docs/d000001");
    assert_eq!((status, &problem["tier"], &problem["retryable"]), (503, &json!("cold"), &json!(true)));
    assert_eq!(object.get("/collections/docs/docs/d000550").1, line(550));
    assert_eq!(object.get("/collections/docs/docs/none").0, 404);
    assert_eq!(upsert(&object, "new", &json!({})), 201);
    assert_eq!(upsert(&object, "d000001", &json!({})), 503);
    assert_eq!(object.json("DELETE", "/collections/docs/docs/d000001", "").0, 503);
    assert_eq!(object.json("POST", "/collections/docs/query", "{}").0, 503);
    assert_eq!(object.json("POST", "/collections/docs/query", r#"{"tiers":["hot"]}"#).0, 200);
    let back = Object::wake_with(&world, EVICTING);
    assert_eq!(upsert(&back, "d000001", &json!({})), 200);
    assert_eq!(back.rows("docs", r#"{"limit":1000}"#).len(), 601);
}

#[test]
fn a_dropped_collection_of_evicted_documents_tells_all_of_them() {
    let world = evicted(300);
    let object = Object::wake_with(&world, EVICTING);
    let before = object.feed(1_000).len();
    assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
    let events = object.feed(1_000);
    let dropped: Vec<&Value> = events[before..].iter().filter(|event| event["collection"] == "docs").collect();
    assert_eq!(
        dropped.iter().map(|event| event["before"].clone()).collect::<Vec<_>>(),
        (0..300).map(line).collect::<Vec<_>>()
    );
    archive(&world);
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(object.feed(1_000)[..events.len()], events[..], "also from the archive");
    let stubs = thermocline::hot::HotStore::new(Rc::clone(&world.ports().sql), Default::default(), 1 << 20);
    assert_eq!(stubs.evicted_places().unwrap().len(), 0, "nothing is left of the collection");
}

#[test]
fn a_damaged_file_is_told_and_harms_nothing_else() {
    let world = evicted(500);
    let key = world.bucket.keys().into_iter().find(|key| key.contains("/docs/data/")).unwrap();
    let whole = world.bucket.object(&key).unwrap().bytes;
    let object = Object::wake_with(&world, EVICTING);
    for damaged in [whole[..whole.len() / 2].to_vec(), Vec::new(), vec![7; whole.len()]] {
        world.bucket.overwrite(&key, damaged);
        let (status, problem) = object.get("/collections/docs/docs/d000001");
        assert_eq!((status, &problem["tier"]), (500, &json!("cold")), "{problem}");
        assert_eq!(object.get("/collections/other/docs/x").0, 200);
    }
    world.bucket.overwrite(&key, whole);
    assert_eq!(object.get("/collections/docs/docs/d000001").1, line(1), "it recovers with the file");
}
