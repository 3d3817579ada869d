//! Ways in which archiving and eviction were once wrong, each with the history that showed it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::rc::Rc;

use serde_json::{Value, json};
use support::Object;
use support::archive::{Model, check_whole, fire_next, settle_with};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::config::{HotConfig, StorageConfig};
use thermocline::hot::HotStore;
use thermocline::hot::frozen::FrozenRows;
use thermocline::ports::native::{Fault, FaultPlan, SplitMix64, World, run};

const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;
const HOUR_MS: i64 = 3_600_000;

fn lines(text: &str, ids: std::ops::Range<usize>) -> String {
    ids.map(|n| format!("{{\"id\":\"d{n:05}\",\"n\":{n},\"s\":\"{text} {}\"}}\n", n % 7)).collect()
}

/// Text that does not compress, of about so many bytes.
fn noise(random: &mut SplitMix64, bytes: usize) -> String {
    std::iter::repeat_with(|| format!("{:016x}", random.next_u64())).take(bytes / 16).collect()
}

/// Archives, and lets the log go.
fn archive(world: &World, config: &str) {
    for n in 0..2 {
        settle_with(world, config);
        world.clock.advance(2 * HOUR_MS);
        Object::wake_with(world, config).ok("PUT", "/collections/other/docs/x", &json!({ "n": n }).to_string());
    }
    settle_with(world, config);
}

/// Fires the alarm of a new instance; whether it ended well.
fn fires(world: &World, config: &str) -> bool {
    fire_next(world, &Object::wake_with(world, config)).is_ok()
}

fn catalog(world: &World) -> ColdCatalog {
    ColdCatalog::new(Rc::clone(&world.ports().sql))
}

const STATE: TableId = TableId { collection: 1, kind: TableKind::State };

/// Segments were removed from the last on, and then a number was given again that an archived file still knew.
#[test]
fn numbers_of_segments_are_not_given_again_when_several_are_gone() {
    for config in ["", EVICTING] {
        let world = World::new(5).unwrap();
        for batch in 0..3 {
            Object::wake_with(&world, config).import("docs", &lines("old", batch * 100..batch * 100 + 100));
        }
        archive(&world, config);
        for batch in [2, 1] {
            let object = Object::wake_with(&world, config);
            for n in batch * 100..batch * 100 + 100 {
                assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/d{n:05}"), "").0, 204);
            }
            archive(&world, config);
        }
        Object::wake_with(&world, config).import("docs", &lines("new", 600..700));
        archive(&world, config);
        let object = Object::wake_with(&world, config);
        assert_eq!(object.ok("GET", "/collections/docs/docs/d00650", "")["s"], "new 6");
        let mut model = Model::default();
        model.follow(&object.feed(1_000));
        assert_eq!(check_whole(&world, &model, &["docs", "other"]), model.history.len());
    }
}

/// Where a tail file ended depended on the pages in which rows were read, and what lay there already was taken as it was.
#[test]
fn tails_that_are_staged_again_are_the_same() {
    const ROWS: &str = r#"{"hot":{"sealRows":10000,"sealBytes":16777216,"sealMinAgeMs":86400000,"directBatch":1000},
        "objects":{"multipartThresholdBytes":67108864}}"#;
    let staged = |crash_at: Option<usize>| {
        let world = World::new(7).unwrap();
        let mut random = SplitMix64::new(1);
        let plan = FaultPlan::new();
        if let Some(call) = crash_at {
            plan.arm(call, Fault::CrashBefore);
        }
        let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(ROWS).unwrap());
        for n in 0..40 {
            let body = json!({"n": n, "t": noise(&mut random, 900_000)}).to_string();
            assert!(object.json("PUT", &format!("/collections/docs/docs/d{n:05}"), &body).0 < 300);
        }
        let due = world.alarm.at_ms().unwrap();
        world.clock.set(due);
        world.alarm.take_due(due);
        let _ = run(object.service.engine().alarm());
        (world, plan.calls())
    };
    let (_, calls) = staged(None);
    let is_tail = |call: &String| call.starts_with("put") && call.contains("/docs/data/");
    let second = calls.iter().enumerate().filter(|(_, call)| is_tail(call)).map(|(call, _)| call).nth(1).unwrap();
    let (world, _) = staged(Some(second));
    let object = Object::wake_with(&world, ROWS);
    for n in 1..20 {
        object.ok("PUT", &format!("/collections/docs/docs/d{n:05}"), "{\"n\":-1}");
    }
    drop(object);
    while catalog(&world).progress().unwrap().published < 40 {
        fires(&world, ROWS);
    }
    let version = catalog(&world).table(STATE).unwrap().unwrap().state.version;
    for file in catalog(&world).files(STATE, version).unwrap() {
        let there = world.bucket.object(&file.file.file.key).unwrap().bytes.len();
        assert_eq!(u64::try_from(there).unwrap(), file.file.file.file_size, "{}", file.file.file.key);
    }
    let object = Object::wake_with(&world, ROWS);
    assert_eq!(object.rows("docs", r#"{"tiers":["cold"],"select":["n"],"limit":1000}"#).len(), 40);
}

/// A column of which archived files have values got another field id, under which engines find none of them.
#[test]
fn a_column_of_which_files_have_values_keeps_its_field_id() {
    let world = World::new(5).unwrap();
    Object::wake_with(&world, "").import("docs", &lines("a", 0..100));
    settle_with(&world, "");
    Object::wake_with(&world, "").ok("PUT", "/collections/docs/docs/d00000", r#"{"n":0.5}"#);
    settle_with(&world, "");
    let state = catalog(&world).table(STATE).unwrap().unwrap().state;
    let schema = state.current_schema().unwrap();
    let files = catalog(&world).files(STATE, state.version).unwrap();
    assert!(files.iter().all(|file| !file.file.file.loses_values_under(schema)));
    let rows = Object::wake_with(&world, "")
        .rows("docs", r#"{"tiers":["cold"],"where":{"n":{"lt":1}},"select":["n"],"limit":9}"#);
    assert_eq!(rows, [json!({"n": 0.5})], "what does not fit the column is read all the same");
}

/// Columns left the table with a declaration, and engines found none of the values that archived files have of them.
#[test]
fn a_declaration_takes_no_column_from_files_that_have_values_of_it() {
    for (what, declared) in [
        ("taken away", r#"{"columns":[]}"#),
        ("of another type", r#"{"columns":[{"name":"n","type":"string"}]}"#),
        ("a name that only case tells apart", r#"{"columns":[{"name":"N","type":"json"}]}"#),
    ] {
        let world = World::new(5).unwrap();
        let object = Object::wake_with(&world, "");
        object.ok("PUT", "/collections/docs", r#"{"columns":[{"name":"s","type":"string"}]}"#);
        object.import("docs", &lines("a", 0..100));
        settle_with(&world, "");
        let object = Object::wake_with(&world, "");
        object.ok("PUT", "/collections/docs", declared);
        object.ok("PUT", "/collections/docs/docs/new", r#"{"n":"7","N":[1],"s":"x"}"#);
        settle_with(&world, "");
        let state = catalog(&world).table(STATE).unwrap().unwrap().state;
        let schema = state.current_schema().unwrap();
        let files = catalog(&world).files(STATE, state.version).unwrap();
        assert!(files.iter().all(|file| !file.file.file.loses_values_under(schema)), "{what}");
        let object = Object::wake_with(&world, "");
        let new = object.rows("docs", r#"{"tiers":["cold"],"where":{"n":{"eq":"7"}},"limit":9}"#);
        assert_eq!(new, [json!({"id": "new", "n": "7", "N": [1], "s": "x"})], "{what}");
        let mut model = Model::default();
        model.follow(&object.feed(1_000));
        assert_eq!(check_whole(&world, &model, &["docs"]), model.history.len(), "{what}");
    }
}

/// An object whose next alarms archive a change and then merge eight files of its change log, the first of which is `key`.
fn before_a_merge() -> (World, String) {
    let world = World::new(5).unwrap();
    for n in 0..8 {
        let object = Object::wake_with(&world, "");
        object.ok("PUT", "/collections/docs/docs/a", &json!({ "n": n }).to_string());
        drop(object);
        if n < 7 {
            settle_with(&world, "");
        }
    }
    let is_file = |key: &String| key.contains("__changes/data/");
    let key = world.bucket.keys().into_iter().find(is_file).unwrap();
    (world, key)
}

/// A merge that could not be made was tried for ever, and nothing was archived any more.
#[test]
fn a_merge_that_cannot_be_made_does_not_stop_archiving() {
    let (world, key) = before_a_merge();
    world.bucket.overwrite(&key, "gone");
    let failed = (0..6).filter(|_| world.alarm.at_ms().is_some() && !fires(&world, "")).count();
    assert!(failed > 0, "the merge has met the damaged file");
    let object = Object::wake_with(&world, "");
    object.ok("PUT", "/collections/docs/docs/b", r#"{"n":1}"#);
    let answers: Vec<u16> = (0..2).map(|_| object.json("POST", "/sync", "").0).collect();
    assert_eq!(answers, [200, 200]);
}

/// A merge that failed left a plan without an alarm.
#[test]
fn a_plan_that_is_left_has_an_alarm() {
    let mut met = 0;
    for call in (0..400).step_by(3) {
        let (world, _) = before_a_merge();
        let plan = FaultPlan::new();
        plan.arm(call, Fault::Fail);
        let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::default());
        let due = world.alarm.at_ms().unwrap();
        world.clock.set(due);
        world.alarm.take_due(due);
        let _ = run(object.service.engine().alarm());
        if plan.unmet() > 0 {
            break;
        }
        met += 1;
        let left = catalog(&world).plan().unwrap();
        assert!(left.is_none() || world.alarm.at_ms().is_some(), "call {call}: {}", plan.calls()[call]);
    }
    assert!(met > 20, "{met}");
}

/// A page of large evicted documents was refused for its size, whatever was asked for.
#[test]
fn pages_of_large_evicted_documents_end_as_others_do() {
    let world = World::new(11).unwrap();
    let mut random = SplitMix64::new(1);
    let object = Object::wake_with(&world, EVICTING);
    for batch in 0..7 {
        let ids = batch * 64..batch * 64 + 64;
        let lines: Vec<String> =
            ids.map(|n| json!({"id": format!("d{n:05}"), "t": noise(&mut random, 180_000)}).to_string()).collect();
        object.import("docs", &lines.join("\n"));
    }
    archive(&world, EVICTING);
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(object.ok("GET", "/collections/docs", "")["forms"]["cold"], 448);
    let rows = object.rows("docs", r#"{"limit":1000}"#);
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..448).map(|n| format!("d{n:05}")).collect::<Vec<_>>());
}

/// Of a collection that was dropped without documents the log does not tell, and its past was empty.
#[test]
fn the_past_of_a_collection_that_was_emptied_and_dropped_is_there() {
    let world = World::new(5).unwrap();
    let object = Object::wake_with(&world, "");
    object.ok("PUT", "/collections/docs/docs/a", r#"{"n":1}"#);
    let time = world.ports().clock.now_ms();
    world.clock.advance(1_000);
    assert_eq!(object.json("DELETE", "/collections/docs/docs/a", "").0, 204);
    assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
    world.clock.advance(1_000);
    let query = json!({ "asOf": time }).to_string();
    assert_eq!(object.get(&format!("/collections/docs/docs/a?asOf={time}")).1, json!({"id": "a", "n": 1}));
    assert_eq!(object.ok("POST", "/collections/docs/query", &query)["rows"], json!([{"id": "a", "n": 1}]));
}

/// A read of the past went on, and ended early, when the log was trimmed under it.
#[test]
fn a_read_of_the_past_says_that_the_log_was_trimmed_under_it() {
    let world = World::new(5).unwrap();
    let object = Object::wake_with(&world, "");
    object.import("docs", &lines("old", 0..5_000));
    settle_with(&world, "");
    assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
    settle_with(&world, "");
    world.clock.advance(2 * HOUR_MS);
    let now = world.ports().clock.now_ms();
    let hot = HotStore::new(world.ports().sql, HotConfig::default(), 1 << 24);
    let life = hot.catalog().unwrap().known("docs").unwrap().life();
    let mut rows = FrozenRows::new(&hot, 1, Some(life), 5_000);
    assert!(rows.next_page().unwrap().unwrap().len() < 5_000);
    hot.transaction(|| hot.log().rotate(now)).unwrap();
    hot.trim_log(10_000, now).unwrap();
    assert!(rows.next_page().unwrap_err().is_retryable());
}

/// One document of the past took the whole collection.
#[test]
fn one_document_of_the_past_costs_no_more_than_one_of_now() {
    let world = World::new(11).unwrap();
    Object::wake_with(&world, EVICTING).import("docs", &lines("old", 0..20_000));
    archive(&world, EVICTING);
    let object = Object::wake_with(&world, EVICTING);
    let time = world.ports().clock.now_ms();
    world.clock.advance(1_000);
    let before = world.bucket.counts().gets;
    let past: Value = object.get(&format!("/collections/docs/docs/d15000?asOf={time}")).1;
    assert_eq!(past["n"], 15_000);
    assert!(world.bucket.counts().gets - before <= 2);
}
