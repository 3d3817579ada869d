//! Erasing an object: nothing of it is left, hot or cold, whatever fails meanwhile; and it can be written again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its counts"
)]

mod support;

use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::settle;
use support::{Object, next_alarm};
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, World, join_seeded, run};

const SECRET: &str = "the-document-that-must-go";
const CONFIG: &str =
    r#"{"hot":{"sealRows":2,"sealMinAgeMs":0,"directBatch":8,"maxUnmergedSegments":1,"evictAboveBytes":1}}"#;

/// An object with documents in every form, a snapshot, a consumer, a kept answer, and two neighbours in the bucket.
fn filled() -> World {
    let world = World::new(11).unwrap();
    let object = Object::wake_with(&world, CONFIG);
    let lines: Vec<_> = (0..40).map(|n| format!(r#"{{"id":"m{n:02}","n":{n},"s":"{SECRET}"}}"#)).collect();
    object.import("movies", &lines.join("\n"));
    object.ok("PUT", "/collections/people", r#"{"indexes":[["name"]]}"#);
    object.ok("POST", "/snapshots", r#"{"type":"full"}"#);
    settle(&world);
    object.ok("PUT", "/cdc/consumers/me", r#"{"sequence":3}"#);
    object.ok("PUT", "/collections/people/docs/p1", &json!({"name": SECRET}).to_string());
    let key = [("idempotency-key", "one"), ("content-type", "application/json")];
    assert_eq!(object.send("POST", "/collections/people/docs", &key, r#"{"id":"p2"}"#).status, 201);
    for neighbour in ["iceberg/demo/10/movies/data/a", "iceberg/demo/2/movies/data/a"] {
        world.bucket.overwrite(neighbour, "theirs");
    }
    world
}

fn erase(object: &Object) -> (u16, Value) {
    object.json("DELETE", "", "")
}

fn own_keys(world: &World) -> Vec<String> {
    world.bucket.keys().into_iter().filter(|key| key.starts_with("iceberg/demo/1/")).collect()
}

/// Everything that is in the tables, as text, but for the access log's, which stays and has nothing of a document but its id.
fn stored(world: &World) -> String {
    let sql = &world.ports().sql;
    let mut all = String::new();
    for table in sql.query("SELECT name FROM sqlite_master WHERE type = 'table'", &[]).unwrap() {
        let thermocline::ports::SqlValue::Text(name) = &table[0] else { panic!("a name") };
        if name.starts_with("access_") {
            continue;
        }
        let rows = sql.query(&format!("SELECT * FROM \"{name}\""), &[]).unwrap();
        all.push_str(&format!("{name}: {rows:?}\n"));
    }
    all
}

/// Fires alarms until the object takes requests again.
fn end_erasing(world: &World) {
    for _ in 0..10 {
        let object = Object::wake(world);
        if object.get("").0 == 200 {
            return;
        }
        let due = world.alarm.at_ms().expect("an alarm is set while files are left");
        world.clock.set(due.max(world.ports().clock.now_ms()));
        world.alarm.take_due(due);
        run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    }
    panic!("files are left after ten alarms");
}

/// That nothing is left, and that the object can be used again.
fn check_erased(world: &World, last: i64) {
    assert_eq!(own_keys(world), Vec::<String>::new());
    let left = stored(world);
    assert!(!left.contains("movies") && !left.contains(SECRET) && !left.contains("p2"), "{left}");
    assert!(world.bucket.object("iceberg/demo/10/movies/data/a").is_some(), "the neighbours' files stay");
    assert!(world.bucket.object("iceberg/demo/2/movies/data/a").is_some(), "the neighbours' files stay");

    let object = Object::wake(world);
    assert_eq!(object.get("/collections").1["items"], json!([]));
    assert_eq!(object.get("/collections/movies/docs/m01").0, 404);
    assert_eq!(object.get("/snapshots").1["items"], json!([]));
    assert_eq!(object.get("/cdc/consumers").1["items"], json!([]));
    assert_eq!(object.get("/sync").1["pendingChanges"], 0);
    let (status, gone) = object.get("/cdc?after=0");
    assert_eq!((status, gone["status"].as_i64()), (410, Some(410)), "{gone}");

    let made =
        object.send("PUT", "/collections/movies/docs/m01", &[("content-type", "application/json")], r#"{"v":2}"#);
    assert_eq!(made.status, 201);
    assert_eq!(made.header("thermocline-sequence"), Some((last + 1).to_string().as_str()), "sequences go on");
    let page = object.ok("GET", &format!("/cdc?after={last}"), "");
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    assert!(page["events"][0].get("before").is_none());
    settle(world);
    let object = Object::wake(world);
    assert_eq!(object.get("/sync").1["lastColdSequence"], last + 1);
    assert_eq!(object.rows("movies", r#"{"tiers":["cold"]}"#), [json!({"id": "m01", "v": 2})]);
    assert!(world.bucket.object("iceberg/demo/1/movies/metadata/v1.metadata.json").is_some());
}

#[test]
fn an_object_is_erased_hot_and_cold_and_can_be_written_again() {
    let world = filled();
    let object = Object::wake_with(&world, CONFIG);
    let (last, files) = (object.get("/sync").1["lastHotSequence"].as_i64().unwrap(), own_keys(&world).len());
    assert!(files > 5, "{files}");
    let before = world.bucket.counts();
    world.clock.advance(1_000);
    let (status, answer) = erase(&object);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["state"], "done");
    assert_eq!(answer["sequence"], last);
    assert_eq!(answer["objectsDeleted"], files);
    assert_eq!(answer["erasedBy"], "anyone");
    assert!(answer["erasedAt"].as_str().unwrap().ends_with('Z'));
    let calls = world.bucket.counts();
    assert_eq!(
        (calls.lists - before.lists, calls.deletes - before.deletes),
        (3, 1),
        "a page, that it was the last, and no exports"
    );

    let log = object.ok("GET", "/access?limit=1000", "");
    let told: Vec<_> = log["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(told.contains(&"POST import"), "{told:?}");
    assert_eq!(told.last(), Some(&"DELETE object"), "{told:?}");
    assert!(!log.to_string().contains(SECRET));

    // The same instance goes on, and so does another.
    assert_eq!(object.get("/collections/movies/docs/m01").0, 404);
    check_erased(&world, last);
}

#[test]
fn erasing_again_or_what_was_never_written_changes_nothing() {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    let (status, answer) = erase(&object);
    assert_eq!((status, &answer), (200, &json!({"state": "done", "sequence": 0, "objectsDeleted": 0})));
    assert_eq!(stored(&world), "", "nothing was written");

    let world = filled();
    let object = Object::wake(&world);
    let first = erase(&object).1;
    let tables = stored(&world);
    let noted = || object.ok("GET", "/access?action=DELETE%20object", "")["items"].as_array().unwrap().len();
    assert_eq!(noted(), 1);
    assert_eq!(erase(&object), (200, first), "it tells of the erasing that was");
    assert_eq!((stored(&world), noted()), (tables, 2), "that it was asked for is noted, and nothing else");
}

#[test]
fn a_file_of_an_object_that_is_empty_goes_too() {
    let world = World::new(3).unwrap();
    world.bucket.overwrite("iceberg/demo/1/a/data/x", "");
    assert_eq!(erase(&Object::wake(&world)).1["objectsDeleted"], 1);
    assert_eq!(own_keys(&world), Vec::<String>::new());
}

#[test]
fn the_parameters_are_checked_first() {
    let world = filled();
    let object = Object::wake(&world);
    let (status, problem) = object.json("DELETE", "?hard=true", "");
    assert_eq!(status, 400, "{problem}");
    assert_eq!(object.get("/collections/movies/docs/m01").0, 200);
}

#[test]
fn while_the_bucket_fails_nothing_else_is_done_and_the_alarm_goes_on() {
    let world = filled();
    let object = Object::wake(&world);
    let last = object.get("/sync").1["lastHotSequence"].as_i64().unwrap();
    world.bucket.go_away(0);
    let (status, answer) = erase(&object);
    assert_eq!((status, answer["state"].as_str()), (202, Some("running")), "{answer}");
    for (method, path) in [
        ("GET", ""),
        ("PUT", "/collections/movies/docs/m01"),
        ("GET", "/collections/movies/docs/m01"),
        ("POST", "/sync"),
    ] {
        let refused = object.send(method, path, &[("content-type", "application/json")], "{}");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{method} {path}");
    }
    assert_eq!(Object::wake(&world).get("").0, 503, "another instance knows");
    world.bucket.come_back();
    end_erasing(&world);
    check_erased(&world, last);
}

#[test]
fn what_still_reads_when_the_object_is_erased_ends_with_a_problem() {
    let world = filled();
    let object = Object::wake(&world);
    let mut export = object.export("movies", "");
    assert!(erase(&object).0 == 200);
    // What was read before may still be sent; nothing is read again.
    while let Ok(Some(_)) = export.next() {}
    let again = object.json("PUT", "/collections/movies/docs/new", "{}");
    assert_eq!(again.0, 201, "{}", again.1);
    assert_eq!(object.get("/collections/movies").1["forms"]["row"], 1);
}

#[test]
fn two_at_once_erase_once() {
    let world = filled();
    let object = Rc::new(Object::wake(&world));
    let plan = |path: &str| object.service.handle(support::request("DELETE", path, &[], ""));
    let (one, two) = run(futures_util::future::join(plan(""), plan(""))).done().unwrap();
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 200 | 202 | 503]), "{statuses:?}");
    assert_eq!(own_keys(&world), Vec::<String>::new());
    assert_eq!(stored(&world).matches("Text(\"anyone\")").count(), 1, "one record");
}

/// Erases with a fault at one call; `None` when there is no such call.
fn erase_with_fault(world: &World, call: usize, fault: Fault) -> Option<(Option<u16>, Vec<String>)> {
    let plan = FaultPlan::new();
    plan.arm(call, fault);
    let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
    let answered = run(object.service.handle(support::request("DELETE", "", &[], ""))).done();
    let status = answered.map(|response| response.status).filter(|_| !plan.crashed());
    (plan.unmet() == 0).then(|| (status, plan.calls()))
}

#[test]
fn any_call_may_fail_and_what_was_acknowledged_happens() {
    let last = Object::wake(&filled()).get("/sync").1["lastHotSequence"].as_i64().unwrap();
    let mut met = 0;
    for fault in [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter] {
        for call in 0.. {
            let world = filled();
            let Some((status, calls)) = erase_with_fault(&world, call, fault) else { break };
            let context = format!("{fault:?} at call {call}: {}", calls[call]);
            met += 1;
            let kept = stored(&world).contains(SECRET) || stored(&world).contains("movies");
            let acknowledged = matches!(status, Some(200 | 202));
            assert!(!(acknowledged && kept), "{context}: {status:?}");
            if !kept && status != Some(200) {
                assert!(next_alarm(&world).is_some(), "{context}: an alarm goes on");
            }
            if kept {
                let object = Object::wake(&world);
                assert_eq!(object.get("/collections/movies/docs/m01").0, 200, "{context}: all or nothing");
                assert!(matches!(erase(&object).0, 200 | 202), "{context}");
            }
            end_erasing(&world);
            check_erased(&world, last);
        }
    }
    println!("{met} faults met");
    assert!(met > 60, "{met}");
}

/// One request, or the alarm, of an interleaving; what it answered.
async fn step(object: &Object, number: usize) -> u16 {
    match number {
        0 => object.service.handle(support::request("DELETE", "", &[], "")).await.status,
        1 => {
            let _ = object.service.engine().alarm().await;
            0
        }
        2 => object.service.handle(support::request("POST", "/sync", &[], "")).await.status,
        8 | 9 => object.service.handle(support::request("POST", "/collections/movies/export", &[], "")).await.status,
        _ => {
            let json = [("content-type", "application/json")];
            let path = format!("/collections/movies/docs/w{number}");
            object.service.handle(support::request("PUT", &path, &json, r#"{"v":1}"#)).await.status
        }
    }
}

#[test]
fn erasing_between_writes_and_archiving_leaves_what_was_written_after_it_and_nothing_else() {
    const SEED: u64 = 0x7E_A5_E0;
    let (mut kept, mut waited) = (0, 0);
    for seed in SEED..SEED + 60 {
        let world = filled();
        let plan = FaultPlan::new();
        // Every call to the bucket takes a while, so that requests come in between.
        (0..400).for_each(|call| plan.arm(call, Fault::Slow(u32::try_from(seed % 4).unwrap())));
        let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
        let steps =
            (0..10).map(|number| -> std::pin::Pin<Box<dyn Future<Output = u16>>> { Box::pin(step(&object, number)) });
        let statuses: Vec<u16> =
            join_seeded(seed, steps.collect()).into_iter().map(|ended| ended.done().unwrap()).collect();
        assert!(matches!(statuses[0], 200 | 202), "seed {seed}: {statuses:?}");
        waited += usize::from(statuses[0] == 202);
        end_erasing(&world);
        for key in world.bucket.keys().into_iter().filter(|key| key.starts_with("exports/")) {
            let bytes = world.bucket.object(&key).unwrap().bytes;
            assert!(!String::from_utf8(bytes).unwrap().contains(SECRET), "seed {seed}: {key} is left");
        }
        assert!(statuses[3..].iter().all(|status| matches!(status, 200 | 201 | 503)), "seed {seed}: {statuses:?}");
        let object = Object::wake(&world);
        let collections = object.get("/collections").1["items"].clone();
        let left = if collections == json!([]) { Vec::new() } else { object.rows("movies", "{}") };
        kept += left.len();
        assert!(left.iter().all(|row| row["id"].as_str().unwrap().starts_with('w')), "seed {seed}: {left:?}");
        settle(&world);
        let object = Object::wake(&world);
        if !left.is_empty() {
            assert_eq!(object.rows("movies", r#"{"tiers":["cold"]}"#).len(), left.len(), "seed {seed}");
        }
        assert!(!stored(&world).contains(SECRET), "seed {seed}");
        let tables: Vec<_> = own_keys(&world).into_iter().filter(|key| !key.contains("/movies")).collect();
        assert_eq!(tables, Vec::<String>::new(), "seed {seed}");
    }
    println!("seeds from {SEED}: {kept} documents were written after, {waited} times files were on their way");
    assert!(kept > 0 && waited > 0);
}
