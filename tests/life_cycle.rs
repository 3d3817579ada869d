//! The life of documents, events and objects: what is deleted when its time has passed, and how files are put.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "life_cycle/events.rs"]
mod events;
#[path = "life_cycle/puts.rs"]
mod puts;
#[path = "life_cycle/retention.rs"]
mod retention;
mod support;

use serde_json::{Value, json};
use support::Object;
use thermocline::ports::native::{Fault, World, run};
use thermocline::types::time::rfc3339;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn now(world: &World) -> i64 {
    world.ports().clock.now_ms()
}

/// Fires the alarms that are due before a moment, each at its time in an instance of its own, and goes to the moment. How
/// many there were.
fn live_until(world: &World, config: &str, until: i64) -> usize {
    for alarms in 0..400 {
        let Some(due) = world.alarm.at_ms().filter(|due| *due <= until) else {
            world.clock.set(until.max(now(world)));
            return alarms;
        };
        fire(world, config, due);
    }
    panic!("the alarm does not come to rest: {:?}", world.alarm.at_ms().map(rfc3339));
}

fn fire(world: &World, config: &str, due: i64) {
    world.clock.set(due.max(now(world)));
    assert!(world.alarm.take_due(due));
    let object = Object::wake_with(world, config);
    run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
}

/// The faults to be met at a call: one of four in turn, or all where `FAULTS=all` asks for them, which takes some minutes.
fn faults_at(call: usize) -> Vec<Fault> {
    let all = [Fault::Fail, Fault::CrashAfter, Fault::FailAfter, Fault::CrashBefore];
    if std::env::var("FAULTS").is_ok_and(|faults| faults == "all") { all.to_vec() } else { vec![all[call % all.len()]] }
}

/// Lives on for some time.
fn live(world: &World, config: &str, duration_ms: i64) -> usize {
    live_until(world, config, now(world) + duration_ms)
}

fn import(world: &World, config: &str, collection: &str, ids: std::ops::Range<usize>) {
    let line = |n: usize| json!({"id": format!("d{n:06}"), "n": n, "city": format!("city {}", n % 50)}).to_string();
    let lines: Vec<String> = ids.map(line).collect();
    Object::wake_with(world, config).import(collection, &lines.join("\n"));
}

fn put(world: &World, config: &str, path: &str, document: &Value) {
    Object::wake_with(world, config).ok("PUT", path, &document.to_string());
}

fn declare(world: &World, config: &str, collection: &str, days: i64) {
    put(world, config, &format!("/collections/{collection}"), &json!({"retention": {"days": days}}));
}
