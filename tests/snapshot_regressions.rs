//! Histories of snapshots, restores and what expires that once ended badly.

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
use support::archive::{alarms_for, each_alarm};
use support::{Object, restore_path};
use thermocline::ports::native::{Fault, FaultPlan, World, run};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Events expire after ten days; named snapshots stay for a year.
const EXPIRING: &str = r#"{"objects":{"expiryDays":10},"cold":{"icebergKeepDays":1},"snapshots":{"keepDays":365}}"#;

fn put(world: &World, config: &str, path: &str, document: &Value) {
    Object::wake_with(world, config).ok("PUT", path, &document.to_string());
}

fn restore(world: &World, config: &str, snapshot: &Value) -> Value {
    let object = Object::wake_with(world, config);
    let (status, job) = object.json("POST", &restore_path(snapshot), "{}");
    assert_eq!(status, 202, "{job}");
    alarms_lenient(world, config, 10 * MINUTE_MS);
    Object::wake_with(world, config).ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "")
}

/// Fires what is due within some time, whatever comes of it; how many alarms there were.
fn alarms_lenient(world: &World, config: &str, time_ms: i64) -> usize {
    each_alarm(world, &Object::wake_with(world, config), time_ms, 1_000, |_| {})
}

#[test]
fn an_incremental_snapshot_after_expired_events_tells_them_or_is_refused() {
    let world = World::new(1).unwrap();
    put(&world, EXPIRING, "/collections/films/docs/a", &json!({"n": 1}));
    Object::wake_with(&world, EXPIRING).snapshot("full");
    put(&world, EXPIRING, "/collections/films/docs/b", &json!({"n": 2}));
    put(&world, EXPIRING, "/collections/films/docs/a", &json!({"n": 3}));
    alarms_for(&world, EXPIRING, 12 * DAY_MS);
    put(&world, EXPIRING, "/collections/films/docs/c", &json!({"n": 4}));
    let object = Object::wake_with(&world, EXPIRING);
    let (status, taken) = object.json("POST", "/snapshots", r#"{"type":"incremental"}"#);
    if status == 409 {
        return;
    }
    assert_eq!(status, 201, "{taken}");
    let expected = object.rows("films", r#"{"limit":100}"#);
    put(&world, EXPIRING, "/collections/films/docs/d", &json!({"n": 5}));
    let job = restore(&world, EXPIRING, &taken);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(Object::wake_with(&world, EXPIRING).rows("films", r#"{"limit":100}"#), expected);
}

#[test]
fn documents_of_many_bytes_can_be_deleted_by_a_restore() {
    let world = World::new(2).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/films/docs/a", r#"{"n":1}"#);
    let taken = object.snapshot("full");
    let text = "x".repeat(1_000_000);
    for n in 0..70 {
        object.ok("PUT", &format!("/collections/films/docs/b{n}"), &json!({ "text": text }).to_string());
    }
    let job = restore(&world, "", &taken);
    assert_eq!(job["state"], "done", "{job}");
}

#[test]
fn a_named_snapshot_is_read_although_events_have_expired() {
    let world = World::new(3).unwrap();
    put(&world, EXPIRING, "/collections/notes/docs/a", &json!({"n": 1}));
    alarms_for(&world, EXPIRING, HOUR_MS);
    put(&world, EXPIRING, "/collections/films/docs/a", &json!({"n": 1}));
    let taken = Object::wake_with(&world, EXPIRING).snapshot("full");
    put(&world, EXPIRING, "/collections/notes/docs/a", &json!({"n": 2}));
    let as_of = format!("/collections/notes/docs/a?asOf={}", taken["id"].as_str().unwrap());
    assert_eq!(Object::wake_with(&world, EXPIRING).get(&as_of), (200, json!({"id": "a", "n": 1})));
    alarms_for(&world, EXPIRING, 12 * DAY_MS);
    assert_eq!(Object::wake_with(&world, EXPIRING).get(&as_of), (200, json!({"id": "a", "n": 1})));
}

#[test]
fn a_snapshot_that_cannot_be_made_does_not_end_archiving() {
    let world = World::new(4).unwrap();
    let data = |world: &World| -> Vec<String> {
        world.bucket.keys().into_iter().filter(|key| key.contains("films__changes/data")).collect()
    };
    for n in 0..12 {
        put(&world, "", &format!("/collections/films/docs/d{n}"), &json!({ "n": n }));
        if n == 3 {
            Object::wake(&world).snapshot("full");
        }
        alarms_for(&world, "", MINUTE_MS);
    }
    alarms_for(&world, "", DAY_MS);
    println!("{:?}", data(&world));
    for key in data(&world) {
        world.bucket.overwrite(&key, b"damaged".to_vec());
    }
    let object = Object::wake(&world);
    let (status, problem) = object.json("POST", "/snapshots", r#"{"type":"incremental"}"#);
    println!("{status} {problem}");
    put(&world, "", "/collections/other/docs/x", &json!({"n": 1}));
    alarms_lenient(&world, "", DAY_MS);
    let state = Object::wake(&world).ok("GET", "/sync", "");
    assert_eq!(state["pendingChanges"], 0, "{state}");
}

#[test]
fn asking_for_a_job_does_not_use_up_its_tries() {
    let world = World::new(5).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/films/docs/a", r#"{"n":1}"#);
    let taken = object.snapshot("full");
    object.ok("PUT", "/collections/films/docs/a", r#"{"n":2}"#);
    let (status, job) = object.json("POST", &restore_path(&taken), "{}");
    assert_eq!(status, 202, "{job}");
    let job = format!("/jobs/{}", job["id"].as_str().unwrap());
    let began = world.ports().clock.now_ms();
    // The bucket is away for ten seconds, while a client asks every 200 ms.
    world.bucket.go_away(0);
    while world.ports().clock.now_ms() < began + 10_000 {
        object.ok("GET", &job, "");
        each_alarm(&world, &object, 200, 1_000, |_| {});
    }
    world.bucket.come_back();
    alarms_lenient(&world, "", 30 * MINUTE_MS);
    let job = object.ok("GET", &job, "");
    assert_eq!(job["state"], "done", "{job}");
}

/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1},"cold":{"orphanMinAgeMs":0}}"#;

#[test]
fn a_restore_that_always_takes_the_instance_away_is_given_up() {
    let world = World::new(7).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/films/docs/a", r#"{"n":1}"#);
    let taken = object.snapshot("full");
    object.ok("PUT", "/collections/films/docs/a", r#"{"n":2}"#);
    let (status, job) = object.json("POST", &restore_path(&taken), "{}");
    assert_eq!(status, 202, "{job}");
    drop(object);
    // As an alarm that needs more memory or time than it may have, in the transaction of the swap.
    let (mut call, mut deaths) = (20, 0);
    for _ in 0..400 {
        // An alarm that ends in a crash is fired again.
        let due = world.alarm.at_ms().unwrap_or_else(|| world.ports().clock.now_ms());
        world.clock.set(due.max(world.ports().clock.now_ms()));
        world.alarm.take_due(due);
        let faults = FaultPlan::new();
        faults.arm(call, Fault::CrashBefore);
        let object = Object::new(faults.wrap(&world.ports()));
        let _ = run(object.service.engine().alarm()).done();
        if !faults.crashed() {
            break;
        }
        match faults.calls().iter().any(|label| label.contains("SELECT changes FROM job_parts")) {
            true => deaths += 1,
            false => call += 1,
        }
        if deaths == 1 && call > 20 {
            // From now on an alarm begins with the swap.
            (deaths, call) = (2, 20);
        }
        if deaths == 100 {
            break;
        }
    }
    let object = Object::wake(&world);
    let job = object.ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "");
    let (status, problem) = object.json("PUT", "/collections/films/docs/b", "{}");
    println!("{deaths} deaths at call {call}: {job}");
    assert_eq!(status, 201, "after {deaths} deaths nobody can write: {problem}");
}

#[test]
fn an_export_is_of_its_moment_although_a_restore_swaps_the_collection() {
    for config in ["", EVICTING] {
        let world = World::new(10).unwrap();
        let object = Object::wake_with(&world, config);
        object.ok("PUT", "/collections/other/docs/a", r#"{"n":1}"#);
        let taken = object.snapshot("full");
        let filler = "x".repeat(2_000);
        for start in (0..3_000).step_by(1_000) {
            let lines: Vec<String> = (start..start + 1_000)
                .map(|n| json!({"id": format!("d{:05}", n * 7_919 % 100_003), "n": n, "text": filler}).to_string())
                .collect();
            object.import("films", &lines.join("\n"));
        }
        for n in 0..50 {
            object.ok("PUT", &format!("/collections/films/docs/row{n}"), &json!({ "n": n }).to_string());
        }
        drop(object);
        for n in 0..3 {
            alarms_lenient(&world, config, HOUR_MS);
            Object::wake_with(&world, config).ok("PUT", "/collections/clock/docs/one", &json!({ "n": n }).to_string());
        }
        alarms_lenient(&world, config, MINUTE_MS);
        let object = Object::wake_with(&world, config);
        object.ok("PUT", "/collections/films/docs/late", r#"{"n":1}"#);
        println!("{}", object.ok("GET", "/collections/films", "")["forms"]);
        let mut export = object.export("films", "");
        let mut lines = export.next().unwrap().unwrap();
        let (status, job) = object.json("POST", &restore_path(&taken), "{}");
        assert_eq!(status, 202, "{job}");
        each_alarm(&world, &object, 5 * MINUTE_MS, 1_000, |_| {});
        let job = object.ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "");
        assert_eq!(job["state"], "done", "{job}");
        object.ok("PUT", "/collections/films/docs/new", r#"{"n":1}"#);
        object.ok("POST", "/sync", "{}");
        each_alarm(&world, &object, 5 * MINUTE_MS, 1_000, |_| {});
        while let Some(mut chunk) = export.next().unwrap() {
            lines.append(&mut chunk);
        }
        assert_eq!(support::by_id(&lines).len(), 3_051, "{config}");
    }
}

#[test]
fn alarms_are_few_while_the_bucket_is_away() {
    let config = r#"{"objects":{"expiryDays":10},"cold":{"icebergKeepDays":1},"snapshots":{"keepDays":10}}"#;
    let world = World::new(13).unwrap();
    put(&world, config, "/collections/films/docs/a", &json!({"n": 1}));
    Object::wake_with(&world, config).snapshot("full");
    put(&world, config, "/collections/films", &json!({"retention": {"days": 10}}));
    alarms_for(&world, config, 9 * DAY_MS);
    world.bucket.go_away(0);
    let alarms = alarms_lenient(&world, config, 2 * DAY_MS);
    let again = alarms_lenient(&world, config, DAY_MS);
    println!("{alarms} alarms, {again} in the last day");
    world.bucket.come_back();
    let after = alarms_lenient(&world, config, 2 * DAY_MS);
    println!("{after} after it came back, {:?}", Object::wake_with(&world, config).ok("GET", "/snapshots", ""));
    assert!(again <= 200, "{again} alarms a day");
}

#[test]
fn a_restore_can_be_cancelled() {
    let world = World::new(31).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", r#"{"n":1}"#);
    let taken = object.snapshot("full");
    object.ok("PUT", "/collections/docs/docs/a", r#"{"n":2}"#);
    let job = object.ok("POST", &restore_path(&taken), "{}");
    let job = format!("/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(object.json("PUT", "/collections/docs/docs/a", "{}").0, 503);
    assert_eq!(object.ok("DELETE", &job, "")["state"], "failed");
    object.ok("PUT", "/collections/docs/docs/b", "{}");
    assert_eq!(object.ok("DELETE", &job, "")["error"], "it was cancelled", "once more changes nothing");
    alarms_lenient(&world, "", HOUR_MS);
    assert_eq!(object.ok("GET", "/collections/docs/docs/a", "")["n"], 2);
    assert_eq!(object.json("DELETE", "/jobs/0192d3f0-0000-7000-8000-000000000000", "").0, 404);
}
