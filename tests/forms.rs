//! Documents that change their form in awkward moments: what was found to go wrong once, and may not again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::Object;
use support::archive::{Model, check_whole, fire_next, settle};
use support::next_alarm;
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, World, run};
use thermocline::ports::{SqlStore, SqlValue};

fn count(world: &World, statement: &str) -> i64 {
    match world.sql.query(statement, &[]).unwrap()[0][0] {
        SqlValue::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

fn batch(object: &Object, operations: Vec<Value>) {
    object.ok("POST", "/batch", &json!({ "operations": operations }).to_string());
}

fn deletes(ids: impl Iterator<Item = String>) -> Vec<Value> {
    ids.map(|id| json!({"op": "delete", "collection": "docs", "id": id})).collect()
}

#[test]
fn segments_with_more_bytes_than_their_average_says_are_merged_into_several() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let large = "x".repeat(900_000);
    for round in 0..10 {
        let lines = (0..4).map(|n| format!("{{\"id\":\"b{round:02}-large{n}\",\"t\":\"{large}\"}}\n"));
        let lines: String = lines.chain((0..80).map(|n| format!("{{\"id\":\"b{round:02}-small{n:03}\"}}\n"))).collect();
        object.import("docs", &lines);
        batch(&object, deletes((0..79).map(|n| format!("b{round:02}-small{n:03}"))));
    }
    for _ in 0..10 {
        if next_alarm(&world).is_none() {
            break;
        }
        fire_next(&world, &object).unwrap();
    }
    let object = Object::wake(&world);
    let rows = object.rows("docs", r#"{"select":["id"],"limit":1000}"#);
    assert_eq!(rows.len(), 50);
    assert_eq!(object.get("/collections/docs/docs/b07-large3").1["t"].as_str().map(str::len), Some(900_000));
    assert_eq!(object.feed(1_000).len(), 10 * (84 + 79));
}

#[test]
fn an_index_that_was_not_declared_for_a_while_finds_what_was_written_then() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let declared = r#"{"indexes":[["city"]]}"#;
    object.ok("PUT", "/collections/docs", declared);
    object.ok("PUT", "/collections/docs/docs/a", r#"{"city":"x"}"#);
    object.ok("PUT", "/collections/docs", "{}");
    object.ok("PUT", "/collections/docs/docs/a", r#"{"city":"y"}"#);
    object.ok("PUT", "/collections/docs", declared);
    for (city, found) in [("y", 1), ("x", 0)] {
        let query = json!({"where": {"city": {"eq": city}}}).to_string();
        assert_eq!(object.rows("docs", &query).len(), found, "{city}");
        assert_eq!(Object::wake(&world).rows("docs", &query).len(), found, "{city}, after a wake");
    }
}

#[test]
fn values_that_an_index_cannot_tell_apart_are_found_once() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs", r#"{"indexes":[["k"]]}"#);
    let values = [1, 2, 3].map(|n| format!("{}{n}", "z".repeat(600)));
    object.ok("PUT", "/collections/docs/docs/a", &json!({"k": values[0]}).to_string());
    let condition = json!({"k": {"in": values}});
    assert_eq!(object.rows("docs", &json!({"where": condition}).to_string()).len(), 1);
    let counted = json!({"where": condition, "aggregates": [{"fn": "count", "as": "n"}]});
    assert_eq!(object.rows("docs", &counted.to_string()), [json!({"n": 1})]);
}

#[test]
fn a_collection_may_be_dropped_and_made_again_while_its_archive_is_made() {
    let mut call = 0;
    loop {
        let world = World::new(1).unwrap();
        let object = Object::wake(&world);
        object.ok("PUT", "/collections/docs/docs/a", r#"{"v":1}"#);
        object.ok("PUT", "/collections/docs/docs/b", r#"{"v":1}"#);
        let plan = FaultPlan::new();
        plan.arm(call, Fault::CrashBefore);
        let faulty = Object::configured(plan.wrap(&world.ports()), StorageConfig::default());
        let due = world.alarm.at_ms().unwrap();
        world.clock.set(due);
        world.alarm.take_due(due);
        let _ = run(faulty.service.engine().alarm());
        if plan.unmet() > 0 {
            break;
        }
        let object = Object::wake(&world);
        assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
        object.ok("PUT", "/collections/docs/docs/a", r#"{"v":2}"#);
        let mut model = Model::default();
        model.follow(&object.feed(100));
        fire_next(&world, &object).unwrap();
        check_whole(&world, &model, &["docs"]);
        settle(&world);
        check_whole(&world, &model, &["docs"]);
        call += 1;
    }
    assert!(call > 30, "{call} calls met");
}

#[test]
fn nothing_is_left_of_a_collection_that_was_emptied_and_dropped() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let lines: Vec<_> = (0..100).map(|n| format!(r#"{{"id":"m{n:02}","n":{n}}}"#)).collect();
    object.import("docs", &lines.join("\n"));
    batch(&object, deletes((0..100).map(|n| format!("m{n:02}"))));
    assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
    for n in 0..6 {
        settle(&world);
        world.clock.advance(4 * 3_600_000);
        Object::wake(&world).ok("PUT", "/collections/other/docs/a", &format!(r#"{{"v":{n}}}"#));
    }
    settle(&world);
    assert_eq!(count(&world, "SELECT count(*) FROM segments"), 0);
    assert_eq!(count(&world, "SELECT count(*) FROM segment_deletes"), 0);
}

#[test]
fn one_write_never_seals_a_generation_that_is_large() {
    let world = World::new(1).unwrap();
    let many = r#"{"hot":{"sealRows":20000,"sealBytes":16777216,"directBatch":65536}}"#;
    let object = Object::wake_with(&world, many);
    let lines: Vec<_> = (0..20_000).map(|n| format!(r#"{{"id":"m{n:05}","n":{n}}}"#)).collect();
    object.import("docs", &lines.join("\n"));
    // Small generations follow it before the alarm has its turn.
    let object = Object::wake_with(&world, r#"{"hot":{"sealRows":60}}"#);
    for round in 0..10 {
        let operations =
            (0..60).map(|n| json!({"op": "upsert", "collection": "docs", "id": format!("z{round}{n:02}"), "doc": {}}));
        let before = object.service.engine().counters().rows_written;
        batch(&object, operations.collect());
        let written = object.service.engine().counters().rows_written - before;
        assert!(written < 100, "{written} rows written in round {round}");
    }
    while next_alarm(&world).is_some() {
        fire_next(&world, &object).unwrap();
    }
    let told = object.ok("GET", "/collections/docs", "")["forms"].clone();
    assert!(told["segment"].as_i64().unwrap() >= 20_000, "{told}");
    let counted = object.rows("docs", r#"{"aggregates":[{"fn":"count","as":"n"}]}"#);
    assert_eq!(counted, [json!({"n": 20_600})]);
}

#[test]
fn a_document_that_is_changed_again_and_again_does_not_keep_others_from_being_sealed() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"hot":{"sealRows":10}}"#);
    for n in 0..11 {
        object.ok("PUT", &format!("/collections/docs/docs/d{n:02}"), "{}");
    }
    // The first ten are in a closed generation; one of them is changed more often than the least age.
    for n in 0..20 {
        world.clock.advance(500);
        object.ok("PUT", "/collections/docs/docs/d00", &format!(r#"{{"n":{n}}}"#));
        if world.alarm.at_ms().is_some_and(|at| at <= world.ports().clock.now_ms()) {
            fire_next(&world, &object).unwrap();
        }
    }
    assert!(object.ok("GET", "/collections/docs", "")["forms"]["segment"].as_i64().unwrap() >= 9);
}

/// An object whose next archiving deletes objects of the bucket.
fn with_garbage_to_come() -> World {
    let world = World::new(1).unwrap();
    for n in 0..3 {
        Object::wake(&world).ok("PUT", "/collections/docs/docs/a", &format!(r#"{{"n":{n}}}"#));
        settle(&world);
        world.clock.advance(8 * 86_400_000);
    }
    Object::wake(&world).ok("PUT", "/collections/docs/docs/a", r#"{"n":3}"#);
    world
}

#[test]
fn garbage_that_is_left_does_not_make_the_alarm_spin() {
    let mut call = 0;
    loop {
        let world = with_garbage_to_come();
        let plan = FaultPlan::new();
        plan.arm(call, Fault::Fail);
        let faulty = Object::configured(plan.wrap(&world.ports()), StorageConfig::default());
        let due = world.alarm.at_ms().unwrap();
        world.clock.set(due.max(world.ports().clock.now_ms()));
        world.alarm.take_due(due);
        let _ = run(faulty.service.engine().alarm());
        if plan.unmet() > 0 {
            break;
        }
        let object = Object::wake(&world);
        object.ok("PUT", "/collections/docs/docs/a", r#"{"n":4}"#);
        let mut alarms = 0;
        while next_alarm(&world).is_some() {
            fire_next(&world, &object).unwrap();
            alarms += 1;
            assert!(alarms < 12, "call {call}: {}", plan.calls()[call]);
        }
        call += 1;
    }
    assert!(call > 30, "{call} calls met");
}

#[test]
fn the_number_of_a_segment_that_is_gone_is_not_given_again() {
    let world = World::new(3).unwrap();
    let numbers = |object: &Object| -> Vec<i64> {
        drop(object.ok("GET", "", ""));
        let hot =
            thermocline::hot::HotStore::new(world.ports().sql, thermocline::config::HotConfig::default(), 1 << 20);
        let life = hot.catalog().unwrap().live("docs").unwrap().life();
        hot.segments(life).unwrap().iter().map(|segment| segment.number).collect()
    };
    let batch = |object: &Object, value: usize| {
        let lines: Vec<String> = (0..70).map(|n| format!(r#"{{"id":"d{n}","v":{value}}}"#)).collect();
        object.send(
            "POST",
            "/collections/docs/import?mode=upsert",
            &[("content-type", "application/x-ndjson")],
            lines.join("\n"),
        )
    };
    let first = Object::wake(&world);
    batch(&first, 1);
    let before = numbers(&first);
    // All of its documents are replaced by a newer segment's, and then deleted one by one, so that no segment is left.
    for n in 0..70 {
        assert_eq!(first.json("DELETE", &format!("/collections/docs/docs/d{n}"), "").0, 204);
    }
    // The log lets go of it once a later generation of the log is archived.
    for n in 0..2 {
        support::archive::settle(&world);
        world.clock.advance(86_400_000);
        Object::wake(&world).ok("PUT", "/collections/other/docs/x", &format!("{{\"n\":{n}}}"));
    }
    support::archive::settle(&world);
    assert_eq!(numbers(&Object::wake(&world)), [0_i64; 0], "no segment is left");
    let second = Object::wake(&world);
    batch(&second, 2);
    let after = numbers(&second);
    assert!(after[0] > before[0], "{before:?} then {after:?}");
}
