//! `Idempotency-Key`: a request that is sent again gets its first result and does nothing, whatever came between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::{Object, request};
use thermocline::ports::SqlValue;
use thermocline::ports::message::Response;
use thermocline::ports::native::{Fault, FaultPlan, World, join_seeded, run};

const DOCS: &str = "/collections/films/docs";
const DAY_MS: i64 = 86_400_000;

fn headers(key: &str) -> [(&str, &str); 2] {
    [("content-type", "application/json"), ("idempotency-key", key)]
}

fn insert(object: &Object, key: &str, doc: &Value) -> Response {
    object.send("POST", DOCS, &headers(key), doc.to_string())
}

fn sequence(object: &Object) -> i64 {
    object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap()
}

/// Status, body and what a client goes by.
fn told(response: &Response) -> (u16, String, Option<String>, Option<String>) {
    let header = |name| response.header(name).map(str::to_owned);
    let body = String::from_utf8(response.body.bytes().to_vec()).unwrap();
    (response.status, body, header("location"), header("etag"))
}

fn is_replayed(response: &Response) -> bool {
    response.header("idempotency-replayed") == Some("true")
}

#[test]
fn a_request_that_is_sent_again_gets_its_first_result() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let first = insert(&object, "k", &json!({"title": "Alien"}));
    assert_eq!(first.status, 201);
    assert!(!is_replayed(&first));
    object.ok("DELETE", first.header("location").unwrap().strip_prefix("/v1/demo/1").unwrap(), "");
    for instance in [&object, &Object::wake(&world)] {
        let again = insert(instance, "k", &json!({"title": "Alien"}));
        assert!(is_replayed(&again));
        assert_eq!(told(&again), told(&first), "as it was then, though the document is gone");
        assert_eq!(sequence(instance), 2);
    }
    let other = insert(&object, "another", &json!({"title": "Alien"}));
    assert_ne!(told(&other).1, told(&first).1, "another key is another request");
    let without = object.send("POST", DOCS, &headers("k")[..1], r#"{"title":"Alien"}"#);
    assert_eq!((without.status, sequence(&object)), (201, 4));
}

#[test]
fn a_batch_is_answered_whole() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let name = "n".repeat(500);
    let operations: Vec<Value> = (0..6_000)
        .map(|n| json!({"op": "upsert", "collection": "films", "id": format!("{name}{n}"), "doc": {}}))
        .collect();
    let body = json!({ "operations": operations }).to_string();
    let send = |object: &Object| object.send("POST", "/batch", &headers("b"), body.clone());
    let first = send(&object);
    assert_eq!(first.status, 200);
    assert!(first.body.bytes().len() > 3_000_000, "longer than a row can be");
    let again = send(&Object::wake(&world));
    assert_eq!(told(&again), told(&first));
    assert!(is_replayed(&again));
    assert_eq!(again.header("thermocline-sequence"), first.header("thermocline-sequence"));
}

#[test]
fn a_key_is_of_one_request() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    assert_eq!(insert(&object, "k", &json!({"id": "a"})).status, 201);
    let refused = |response: Response| {
        assert_eq!(response.status, 422, "{response:?}");
        assert!(told(&response).1.contains("Idempotency-Key"), "{response:?}");
    };
    refused(insert(&object, "k", &json!({"id": "b"})));
    refused(object.send("POST", DOCS, &headers("k"), r#"{"id": "a"}"#));
    refused(object.send("POST", "/collections/teas/docs", &headers("k"), r#"{"id":"a"}"#));
    refused(object.send(
        "POST",
        "/batch",
        &headers("k"),
        r#"{"operations":[{"op":"delete","collection":"films","id":"a"}]}"#,
    ));
    assert_eq!(sequence(&object), 1);
    for bad in ["", &"k".repeat(256)] {
        assert_eq!(insert(&object, bad, &json!({})).status, 400, "{} bytes", bad.len());
    }
    assert_eq!(sequence(&object), 1);
}

#[test]
fn what_was_refused_is_not_kept() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/films/docs/a", "{}");
    assert_eq!(insert(&object, "k", &json!({"id": "a"})).status, 409);
    assert_eq!(object.send("POST", DOCS, &headers("k"), "{").status, 400);
    object.ok("DELETE", "/collections/films/docs/a", "");
    assert_eq!(insert(&object, "k", &json!({"id": "a"})).status, 201);
}

#[test]
fn keys_count_for_a_day() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let tables = || {
        let rows = world.ports().sql.query("SELECT name FROM sqlite_master WHERE name GLOB 'kept_answers_*'", &[]);
        rows.unwrap().len()
    };
    let first = insert(&object, "k", &json!({"title": "Alien"}));
    world.clock.advance(DAY_MS - 1);
    assert_eq!(told(&insert(&object, "k", &json!({"title": "Alien"}))), told(&first));
    world.clock.advance(1);
    let later = insert(&object, "k", &json!({"title": "Alien"}));
    assert!(!is_replayed(&later) && told(&later) != told(&first));
    assert_eq!(tables(), 2);
    world.clock.advance(3 * DAY_MS);
    insert(&object, "x", &json!({}));
    assert_eq!(tables(), 1, "tables of days that are over are dropped");
    world.clock.advance(3 * DAY_MS);
    support::archive::settle(&world);
    assert_eq!(tables(), 0, "by the alarm too");
}

#[test]
fn an_answer_reads_as_it_was_first_written() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    insert(&object, "k", &json!({"id": "a"}));
    let day = world.ports().clock.now_ms() / DAY_MS;
    let head = r#"{"format":1,"status":201,"headers":[["content-type","application/json"],["etag","\"1\""],["thermocline-sequence","1"],["location","/v1/demo/1/collections/films/docs/a"]]}"#;
    let rows = world
        .ports()
        .sql
        .query(&format!("SELECT head, CAST(body AS TEXT), part FROM kept_answers_{day}"), &[])
        .unwrap();
    let text = |text: &str| SqlValue::Text(text.to_owned());
    assert_eq!(rows, [[text(head), text(r#"{"id":"a"}"#), SqlValue::Integer(0)]]);
    // One of a later version is refused, and nothing is done.
    world.ports().sql.query(&format!("UPDATE kept_answers_{day} SET head = replace(head, ':1,', ':2,')"), &[]).unwrap();
    assert_eq!(insert(&object, "k", &json!({"id": "a"})).status, 500);
    assert_eq!(sequence(&object), 1);
}

#[test]
fn a_key_costs_one_row_more() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let written = |work: &dyn Fn()| {
        let before = object.service.engine().counters().rows_written;
        work();
        object.service.engine().counters().rows_written - before
    };
    insert(&object, "first", &json!({}));
    object.ok("POST", DOCS, "{}");
    let plain = written(&|| drop(object.ok("POST", DOCS, "{}")));
    assert_eq!(written(&|| drop(insert(&object, "second", &json!({})))), plain + 1);
    assert_eq!(written(&|| drop(insert(&object, "second", &json!({})))), 0);
}

#[test]
fn of_two_at_once_one_is_done() {
    for seed in 0..50 {
        let world = World::new(seed).unwrap();
        let object = Object::wake(&world);
        let send = || object.service.handle(request("POST", DOCS, &headers("k"), r#"{"title":"Alien"}"#));
        let answers = join_seeded(
            seed,
            (0..3).map(|_| -> std::pin::Pin<Box<dyn Future<Output = Response>>> { Box::pin(send()) }).collect(),
        );
        let answers: Vec<Response> = answers.into_iter().map(|answer| answer.done().unwrap()).collect();
        assert_eq!(sequence(&object), 1, "seed {seed}");
        let first = answers.iter().find(|answer| answer.status == 201).expect("one is done");
        for answer in &answers {
            assert!(answer.status == 409 || told(answer) == told(first), "seed {seed}: {answer:?}");
        }
    }
}

#[test]
fn whatever_fails_it_is_done_once() {
    for call in 1.. {
        let mut met = true;
        for fault in [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter] {
            let world = World::new(7).unwrap();
            insert(&Object::wake(&world), "earlier", &json!({"id": "earlier"}));
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let object = Object::new(plan.wrap(&world.ports()));
            let _ = run(object.service.handle(request("POST", DOCS, &headers("k"), r#"{"id":"a"}"#)));
            met &= plan.unmet() == 0;
            // Another instance of the object, as a client meets it who sends the request again.
            let object = Object::wake(&world);
            let again = insert(&object, "k", &json!({"id": "a"}));
            assert_eq!(again.status, 201, "call {call} {fault:?}: {again:?}");
            assert_eq!(sequence(&object), 2, "call {call} {fault:?}");
        }
        if !met {
            assert!(call > 5, "{call} calls");
            return;
        }
    }
}

#[test]
fn a_batch_of_nothing_is_kept_as_any_other() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let batch = |key: &str, body: &str| object.send("POST", "/batch", &headers(key), body);
    let empty = r#"{"operations":[]}"#;
    let first = batch("k", empty);
    assert_eq!((first.status, support::parsed(&first)["lastSequence"].as_i64()), (200, Some(0)));
    assert!(!is_replayed(&first));
    insert(&object, "other", &json!({"title": "Alien"}));
    let again = batch("k", empty);
    assert!(is_replayed(&again));
    assert_eq!(told(&again), told(&first), "as it was then");
    let other = r#"{"operations":[{"op":"insert","collection":"films","doc":{}}]}"#;
    assert_eq!(batch("k", other).status, 422);
    assert_eq!(sequence(&object), 1);
}
