//! Any call that a registry makes of SQLite and the rest may fail, or happen and be told as failed, or be the instance's last:
//! a record is whole or not there, and searches find what is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it met"
)]

mod support;

use serde_json::{Value, json};
use support::{Object, next_alarm, parsed, request_to};
use thermocline::ports::native::{Fault, FaultPlan, World, run};
use thermocline::ports::{Clock as _, SqlStore as _};

const FAULTS: [Fault; 4] = [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter];
const BEFORE: usize = 5;

/// A request's answer; `None` where the instance went away.
fn ask(object: &Object, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let headers: &[(&str, &str)] = if body.is_null() { &[] } else { &[("content-type", "application/json")] };
    let request = request_to("/v1/registry/acme", method, path, headers, text);
    let response = run(object.service.handle(request)).done()?;
    let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
    Some((response.status, value))
}

fn ok(object: &Object, method: &str, path: &str, body: &Value) -> Value {
    let (status, value) = ask(object, method, path, body).expect("the request ends");
    assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
    value
}

fn hash(n: usize) -> String {
    format!("{:064x}", 1_u64 << n)
}

fn record(n: usize) -> Value {
    let id = format!("a{n}");
    json!({
        "metadata": {"assetId": id, "manifestUrl": "m", "imageUrl": "i", "contentType": "image/png", "fileSize": 1},
        "hashes": {
            "pdqHash": hash(n), "pdqQuality": 100, "manifestLineage": {"issuerKeyId": format!("k{n}")},
            "embedding": [1.0, n, 0.5]
        }
    })
}

/// A registry with records, their indexes packed, and one that is not.
fn scenario() -> World {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    ok(&object, "PUT", "/settings", &json!({"embedding": {"dimension": 3}}));
    (1..BEFORE).for_each(|n| drop(ok(&object, "POST", "/records", &record(n))));
    // By an instance that no request has come to.
    settle(&world);
    for kind in ["0", "3"] {
        let statement = format!("SELECT 1 FROM registry_blocks WHERE kind = {kind}");
        assert_eq!(world.sql.query(&statement, &[]).unwrap().len(), 1, "the alarm packs");
    }
    ok(&Object::wake(&world), "POST", "/records", &record(BEFORE));
    world
}

fn fire(world: &World, object: &Object) -> bool {
    let Some(due) = next_alarm(world) else { return false };
    world.clock.set(due.max(world.clock.now_ms()));
    world.alarm.take_due(due);
    // What fails is tried again by the alarm that is set.
    let _ = run(object.service.engine().alarm()).done();
    world.clock.advance(1);
    true
}

fn settle(world: &World) {
    let object = Object::wake(world);
    for _ in 0..100 {
        if !fire(world, &object) {
            return;
        }
    }
    panic!("the alarm does not come to rest");
}

/// Everything fits together; how many records there are.
fn check(world: &World, context: &str) -> usize {
    let object = Object::wake(world);
    let found = ok(&object, "POST", "/hashes/search", &json!({"pdqHash": "0".repeat(64), "maxDistance": 255}));
    let near = ok(&object, "POST", "/embeddings/search", &json!({"vector": [1, 0, 0], "k": 1_000}));
    let (found, near) = (found["matches"].as_array().unwrap(), near["matches"].as_array().unwrap());
    let all = [BEFORE, BEFORE + 1];
    assert!(all.contains(&found.len()) && near.len() == found.len(), "{context}: {found:?} {near:?}");
    let collisions = ok(&object, "GET", "/collisions", &Value::Null)["items"].as_array().unwrap().len();
    // The new one collides with each of the others.
    assert_eq!(collisions, if found.len() == BEFORE { 0 } else { BEFORE }, "{context}");
    for n in 1..=found.len() {
        let record = ok(&object, "GET", &format!("/records/a{n}"), &Value::Null);
        assert_eq!(record["hashes"]["pdqHash"], json!(hash(n)), "{context}");
    }
    let events = ok(&object, "GET", "/cdc?limit=1000", &Value::Null)["events"].as_array().unwrap().len();
    assert_eq!(events, 1 + 2 * found.len() + collisions, "{context}: an event for each, and one of the settings");
    found.len()
}

#[test]
fn any_call_of_an_insert_that_detects_may_fail() {
    for fault in FAULTS {
        let (mut met, mut stored) = (0, 0);
        loop {
            let (world, plan) = (scenario(), FaultPlan::new());
            plan.arm(met, fault);
            let object = Object::new(plan.wrap(&world.ports()));
            let answer = ask(&object, "POST", "/records?detect=true", &record(BEFORE + 1));
            if plan.unmet() > 0 {
                break;
            }
            let context = format!("{fault:?} at call {met}: {}", plan.calls()[met]);
            met += 1;
            let there = check(&world, &context);
            if !plan.crashed() && answer.as_ref().is_some_and(|(status, _)| *status == 201) {
                assert_eq!(there, BEFORE + 1, "{context}: acknowledged and not there");
            }
            if !plan.crashed() && answer.as_ref().is_some_and(|(status, _)| (400..500).contains(status)) {
                assert_eq!(there, BEFORE, "{context}: refused and there: {answer:?}");
            }
            stored += usize::from(there > BEFORE);
            let again = ask(&Object::wake(&world), "POST", "/records?detect=true", &record(BEFORE + 1)).unwrap().0;
            assert_eq!(again, if there > BEFORE { 409 } else { 201 }, "{context}");
            assert_eq!(check(&world, &context), BEFORE + 1, "{context}");
        }
        println!("{fault:?} met at each of {met} calls; {stored} times the record was there");
        assert!(met > 10, "the matrix covers the insert: {met}");
    }
}

#[test]
fn any_call_of_the_alarm_that_packs_may_fail() {
    for fault in FAULTS {
        // A crash leaves what a failure leaves: every fourth call will do.
        let step = if matches!(fault, Fault::Fail | Fault::FailAfter) { 1 } else { 4 };
        let mut met = 0;
        loop {
            let (world, plan) = (scenario(), FaultPlan::new());
            ok(&Object::wake(&world), "POST", "/records?detect=true", &record(BEFORE + 1));
            plan.arm(met, fault);
            assert!(fire(&world, &Object::new(plan.wrap(&world.ports()))), "an alarm is set");
            if plan.unmet() > 0 {
                break;
            }
            let context = format!("{fault:?} at call {met}: {}", plan.calls()[met]);
            met += step;
            assert_eq!(check(&world, &context), BEFORE + 1, "{context}");
            settle(&world);
            assert_eq!(check(&world, &context), BEFORE + 1, "{context}");
        }
        println!("{fault:?} met at calls up to {met} of an alarm");
        assert!(met > 60, "the matrix covers the alarm: {met}");
    }
}
