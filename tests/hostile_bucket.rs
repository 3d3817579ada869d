//! A bucket whose objects are damaged or gone, or that does not answer: a clear error with tier and operation, the hot
//! tier unharmed, and recovery when the cause goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::{Model, check_whole, fire_next, settle_with};
use support::{Object, header, parsed};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId, TableRecord};
use thermocline::cold::fsck::{self, Check, Depth};
use thermocline::cold::read::Expected;
use thermocline::ports::native::{World, run};

/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;
const COLLECTIONS: [&str; 2] = ["docs", "other"];
const STATE: TableId = TableId { collection: 1, kind: TableKind::State };
const HOUR_MS: i64 = 3_600_000;
const QUERY: &str = "/collections/docs/query";

fn line(n: usize) -> Value {
    json!({"id": format!("d{n:04}"), "n": n, "city": format!("city {}", n % 7)})
}

fn put(world: &World, collection: &str, id: &str, n: usize) -> u16 {
    let path = format!("/collections/{collection}/docs/{id}");
    Object::wake_with(world, EVICTING).json("PUT", &path, &json!({ "n": n }).to_string()).0
}

/// An object whose documents are in the bucket alone, and whose log is archived but for the last changes.
fn evicted() -> World {
    let world = World::new(11).unwrap();
    let lines: Vec<String> = (0..300).map(|n| line(n).to_string()).collect();
    Object::wake_with(&world, EVICTING).import("docs", &lines.join("\n"));
    for n in 0..2 {
        settle_with(&world, EVICTING);
        world.clock.advance(2 * HOUR_MS);
        assert!(put(&world, "other", "x", n) < 300);
    }
    settle_with(&world, EVICTING);
    assert_eq!(Object::wake_with(&world, EVICTING).ok("GET", "/collections/docs", "")["forms"]["cold"], 300);
    world
}

/// The documents and all changes, as the object tells them now that nothing is broken.
fn model(world: &World) -> Model {
    let mut model = Model::default();
    model.follow(&Object::wake_with(world, EVICTING).feed(1_000));
    model
}

fn assert_whole(world: &World) {
    let model = model(world);
    assert_eq!(check_whole(world, &model, &COLLECTIONS), model.history.len(), "all is published");
}

fn key_with(world: &World, parts: [&str; 2]) -> String {
    let is_it = |key: &String| parts.iter().all(|part| key.contains(part));
    world.bucket.keys().into_iter().rfind(is_it).unwrap_or_else(|| panic!("no key with {parts:?}"))
}

/// Sends a request that fails for what is in the bucket, and checks what is told of it.
fn assert_told(object: &Object, method: &str, path: &str, body: &str, (status, operation): (u16, &str)) -> Value {
    let response = object.send(method, path, &[("content-type", "application/json")], body);
    let problem = parsed(&response);
    assert_eq!(response.status, status, "{method} {path}: {problem}");
    assert_eq!((&problem["tier"], &problem["operation"]), (&json!("cold"), &json!(operation)), "{problem}");
    assert_eq!(problem["retryable"], json!(status == 503), "{problem}");
    if status == 503 {
        assert_eq!(header(&response, "retry-after"), "5");
    }
    problem
}

/// Everything that needs no bucket goes on.
fn assert_hot_unharmed(world: &World) {
    assert!(put(world, "docs", "new", 1) < 300);
    let object = Object::wake_with(world, EVICTING);
    assert_eq!(object.ok("GET", "/collections/docs/docs/new", ""), json!({"id": "new", "n": 1}));
    assert_eq!(object.get("/collections/docs/docs/none").0, 404, "absence needs no bucket");
    let (status, _) = object.json("POST", "/collections/docs/docs", r#"{"id":"d0001"}"#);
    assert_eq!(status, 409, "that an evicted id is taken is known without the bucket");
    let hot = object.rows("docs", r#"{"tiers":["hot"],"limit":1000}"#);
    assert_eq!(hot, [json!({"id": "new", "n": 1})]);
}

/// What reads, changes or deletes an evicted document.
fn assert_evicted_is_told(world: &World, told: (u16, &str)) {
    let object = Object::wake_with(world, EVICTING);
    for (method, path, body) in [
        ("GET", "/collections/docs/docs/d0001", ""),
        ("PATCH", "/collections/docs/docs/d0001", r#"{"n":-1}"#),
        ("PUT", "/collections/docs/docs/d0001", r#"{"n":-1}"#),
        ("DELETE", "/collections/docs/docs/d0001", ""),
        ("POST", QUERY, r#"{"where":{"n":{"eq":3}}}"#),
        ("POST", QUERY, r#"{"tiers":["cold"]}"#),
    ] {
        assert_told(&object, method, path, body, told);
    }
    assert_eq!(Object::wake_with(world, EVICTING).ok("GET", "/collections/docs", "")["forms"]["cold"], 300);
}

/// Archiving goes on, and what was broken is whole again with `mend`.
fn assert_recovers(world: &World, mend: impl FnOnce()) {
    assert!(put(world, "other", "y", 7) < 300);
    settle_with(world, EVICTING);
    mend();
    let object = Object::wake_with(world, EVICTING);
    assert_eq!(object.ok("GET", "/collections/docs/docs/d0001", ""), line(1));
    assert_eq!(object.ok("PATCH", "/collections/docs/docs/d0002", r#"{"n":-2}"#)["n"], -2);
    settle_with(world, EVICTING);
    assert_whole(world);
}

#[test]
fn a_truncated_parquet_file_is_told_and_harms_nothing_hot() {
    let world = evicted();
    let key = key_with(&world, ["/docs/data/", ".parquet"]);
    let whole = world.bucket.object(&key).unwrap().bytes;
    for length in [0, 3, whole.len() / 2, whole.len() - 1] {
        world.bucket.overwrite(&key, &whole[..length]);
        assert_evicted_is_told(&world, (500, "read data file"));
        assert_hot_unharmed(&world);
    }
    let object = Object::wake_with(&world, EVICTING);
    let problem = assert_told(&object, "GET", "/collections/docs/docs/d0001", "", (500, "read data file"));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&key) && detail.contains("restore"), "what and what to do: {detail}");
    assert_recovers(&world, || world.bucket.overwrite(&key, whole));
}

#[test]
fn a_data_file_deleted_under_us_is_told_and_harms_nothing_hot() {
    let world = evicted();
    let key = key_with(&world, ["/docs/data/", ".parquet"]);
    let whole = world.bucket.object(&key).unwrap().bytes;
    world.bucket.remove(&key);
    assert_evicted_is_told(&world, (500, "read data file"));
    assert_hot_unharmed(&world);
    assert_recovers(&world, || world.bucket.overwrite(&key, whole));
}

#[test]
fn a_damaged_change_log_is_told_to_those_who_read_that_far_back() {
    let world = evicted();
    let key = key_with(&world, ["/docs__changes/data/", ".parquet"]);
    let whole = world.bucket.object(&key).unwrap().bytes;
    let object = Object::wake_with(&world, EVICTING);
    let last = object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap();
    for damaged in [Some(&whole[..whole.len() / 2]), Some(b"PAR1"), None] {
        match damaged {
            Some(bytes) => world.bucket.overwrite(&key, bytes),
            None => world.bucket.remove(&key),
        }
        assert_told(&object, "GET", "/cdc?after=0", "", (500, "read data file"));
        let recent = object.ok("GET", &format!("/cdc?after={}", last - 1), "");
        assert_eq!(recent["events"][0]["sequence"], json!(last), "who has read on is not held up");
        assert_hot_unharmed(&world);
    }
    assert_recovers(&world, || world.bucket.overwrite(&key, whole));
}

fn record(world: &World) -> TableRecord {
    ColdCatalog::new(Rc::clone(&world.ports().sql)).table(STATE).unwrap().unwrap()
}

/// What fsck finds in the table of documents.
fn findings(world: &World) -> Vec<String> {
    let TableRecord { state, .. } = record(world);
    let expected = Expected { table_uuid: Some(state.uuid), base_uri: Some(&state.base_uri) };
    let check = Check { folder: state.path.as_str(), depth: Depth::Rows, expected, catalogue: None };
    let report = run(fsck::check(&world.bucket, &check)).done().unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

/// The engine never reads what it wrote for other engines: they and fsck meet the damage, it goes on.
#[test]
fn a_manifest_that_is_not_avro_is_told_by_fsck_and_stops_nothing() {
    let world = evicted();
    for parts in [["/docs/metadata/", "-m0.avro"], ["/docs/metadata/", "/snap-"]] {
        let key = key_with(&world, parts);
        let whole = world.bucket.object(&key).unwrap().bytes;
        assert_eq!(findings(&world), [""; 0]);
        for damaged in [Some(&b"not Avro"[..]), Some(&whole[..whole.len() / 2]), Some(b""), None] {
            match damaged {
                Some(bytes) => world.bucket.overwrite(&key, bytes),
                None => world.bucket.remove(&key),
            }
            assert!(findings(&world).iter().any(|finding| finding.contains(&key)), "{key}: {:?}", findings(&world));
            let object = Object::wake_with(&world, EVICTING);
            assert_eq!(object.ok("GET", "/collections/docs/docs/d0001", ""), line(1));
            assert!(object.rows("docs", r#"{"tiers":["cold"],"limit":1000}"#).len() >= 300);
        }
        assert_recovers(&world, || world.bucket.overwrite(&key, whole));
    }
}

#[test]
fn the_metadata_of_another_table_is_told_by_fsck_and_passed_by_the_next_commit() {
    let world = evicted();
    let other = world.bucket.object(&key_with(&world, ["/docs__changes/metadata/", ".metadata.json"])).unwrap().bytes;
    let TableRecord { state, published, .. } = record(&world);
    world.bucket.overwrite(&state.path.metadata(published), other.clone());
    assert!(findings(&world).iter().any(|finding| finding.contains("metadata.json")), "{:?}", findings(&world));
    // Another writer's metadata lies where the next commit's would: it stays, and the table goes on after it.
    let taken = state.path.metadata(published + 1);
    world.bucket.overwrite(&taken, other.clone());
    assert_eq!(put(&world, "docs", "new", 1), 201);
    Object::wake_with(&world, EVICTING).ok("POST", "/sync", "");
    assert_eq!(record(&world).published, published + 2);
    assert_eq!(world.bucket.object(&taken).unwrap().bytes, other, "nothing is overwritten");
    assert_eq!(findings(&world), [""; 0], "readers find the table whole again");
    assert_whole(&world);
}

#[test]
fn a_version_hint_that_is_damaged_or_gone_is_written_anew() {
    let world = evicted();
    let key = record(&world).state.path.version_hint();
    for (n, damaged) in [Some("x"), None, Some("0"), Some("")].into_iter().enumerate() {
        match damaged {
            Some(text) => world.bucket.overwrite(&key, text),
            None => world.bucket.remove(&key),
        }
        assert!(put(&world, "docs", "new", n) < 300);
        Object::wake_with(&world, EVICTING).ok("POST", "/sync", "");
        let hint = String::from_utf8(world.bucket.object(&key).unwrap().bytes).unwrap();
        assert_eq!(hint, record(&world).published.to_string());
        assert_whole(&world);
    }
}

#[test]
fn a_bucket_that_answers_429_and_500_is_told_and_asked_ever_more_rarely() {
    let world = evicted();
    world.bucket.go_away(0);
    assert_evicted_is_told(&world, (503, "get object"));
    assert_hot_unharmed(&world);
    let object = Object::wake_with(&world, EVICTING);
    assert_told(&object, "POST", "/sync", "", (503, "put object"));
    let calls = world.bucket.refused();
    assert!(
        fire_next(&world, &object).is_ok(),
        "the alarm that was set before that failure comes too early, and waits"
    );
    assert_eq!(world.bucket.refused(), calls);
    let mut pauses = Vec::new();
    let mut asked = Vec::new();
    for _ in 0..9 {
        let before = world.bucket.refused();
        assert!(fire_next(&world, &object).is_err(), "the alarm's work fails");
        asked.push(world.bucket.refused() - before);
        pauses.push((world.alarm.at_ms().unwrap() - world.ports().clock.now_ms()) / 1_000);
        let due = world.alarm.at_ms();
        assert_eq!(object.ok("GET", "/collections/docs/docs/new", "")["n"], 1);
        assert!(object.json("PUT", "/collections/docs/docs/new", r#"{"n":1}"#).0 < 300);
        assert_eq!(world.alarm.at_ms(), due, "no request lets it be asked sooner");
    }
    println!("pauses in s: {pauses:?}, calls of the bucket: {asked:?}");
    assert_eq!(pauses, [20, 40, 80, 160, 320, 600, 600, 600, 600]);
    drop(object);
    let object = Object::wake_with(&world, EVICTING);
    assert!(fire_next(&world, &object).is_err());
    let pause = world.alarm.at_ms().unwrap() - world.ports().clock.now_ms();
    assert_eq!(pause, 600_000, "an instance that has just woken knows how long it has not gone well");
    assert!(asked.iter().all(|calls| *calls == 1), "the first refusal ends a run: {asked:?}");
    world.bucket.come_back();
    for _ in 0..5 {
        if object.ok("GET", "/sync", "")["pendingChanges"] != 0 {
            assert!(fire_next(&world, &object).is_ok(), "with the bucket there it goes on by itself");
        }
    }
    assert_recovers(&world, || ());
}

#[test]
fn instances_that_wake_for_the_alarm_alone_ask_ever_more_rarely_too() {
    let world = evicted();
    assert_eq!(put(&world, "docs", "new", 1), 201);
    world.bucket.go_away(0);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert!(fire_next(&world, &Object::wake_with(&world, EVICTING)).is_err());
        pauses.push((world.alarm.at_ms().unwrap() - world.ports().clock.now_ms()) / 1_000);
    }
    println!("pauses in s: {pauses:?}");
    assert_eq!(pauses, [10, 10, 20, 40, 80, 160, 320, 600, 600]);
    world.bucket.come_back();
    assert!(fire_next(&world, &Object::wake_with(&world, EVICTING)).is_ok());
    assert_whole(&world);
}

/// Whatever a flush has done when the bucket goes away, and whatever becomes of what it has put.
#[test]
fn a_bucket_that_goes_away_in_the_middle_of_a_flush_loses_nothing() {
    let mut met = 0;
    for call in 0.. {
        let world = evicted();
        for n in 0..40 {
            assert!(put(&world, COLLECTIONS[n % 2], &format!("n{n}"), n) < 300);
            assert!(put(&world, "docs", &format!("d{n:04}"), n) < 300);
        }
        let kept: BTreeSet<String> = world.bucket.keys().into_iter().collect();
        world.bucket.go_away(call);
        let object = Object::wake_with(&world, EVICTING);
        let ended_well = fire_next(&world, &object).is_ok();
        let all_answered = world.bucket.refused() == 0;
        assert_eq!(ended_well, all_answered, "call {call}");
        if all_answered {
            break;
        }
        met += 1;
        assert!(fire_next(&world, &object).is_err());
        world.bucket.come_back();
        let committed =
            ColdCatalog::new(Rc::clone(&world.ports().sql)).plan().unwrap().is_none_or(|plan| plan.committed);
        // Until the commit nobody refers to what was staged: it may be lost, or replaced.
        let staged = || world.bucket.keys().into_iter().filter(|key| !kept.contains(key));
        match call % 3 {
            _ if committed => {}
            0 => staged().for_each(|key| world.bucket.remove(&key)),
            1 => staged().for_each(|key| world.bucket.overwrite(&key, "somebody else's")),
            _ => {}
        }
        for _ in 0..10 {
            if object.ok("GET", "/sync", "")["pendingChanges"] != 0 {
                let _may_fail = fire_next(&world, &object);
            }
        }
        assert_whole(&world);
    }
    println!("the bucket went away at each of {met} calls");
    assert!(met > 8, "{met}");
}
