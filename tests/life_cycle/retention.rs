//! Documents that are older than is declared are deleted, whichever form they are in.

use serde_json::{Value, json};
use thermocline::ports::Ports;
use thermocline::ports::native::{FaultPlan, Outcome, SplitMix64, World, run};

use super::support::Object;
use super::support::archive::{Model, check_whole};
use super::{DAY_MS, HOUR_MS, declare, fire, import, live, live_until, now, put};

/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;

fn forms(world: &World, config: &str) -> (i64, i64, i64) {
    let forms = Object::wake_with(world, config).ok("GET", "/collections/docs", "")["forms"].clone();
    let count = |name: &str| forms[name].as_i64().unwrap();
    (count("row"), count("segment"), count("cold"))
}

fn ids(world: &World, config: &str) -> Vec<String> {
    let rows = Object::wake_with(world, config).rows("docs", r#"{"limit":1000}"#);
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// The events are what happened, those of the retention say so, and everything agrees with them. Their number.
fn check(world: &World, config: &str) -> usize {
    let events = Object::wake_with(world, config).feed(1_000);
    let mut model = Model::default();
    model.follow(&events);
    check_whole(world, &model, &["docs", "other"]);
    let expired = events.iter().filter(|event| event.get("source") == Some(&Value::from("retention")));
    let expired: Vec<&Value> = expired.collect();
    assert!(expired.iter().all(|event| event["operation"] == "DELETE" && event["before"].is_object()));
    expired.len()
}

#[test]
fn rows_go_when_they_are_too_old_and_not_before() {
    let world = World::new(3).unwrap();
    declare(&world, "", "docs", 7);
    assert_eq!(world.alarm.at_ms(), None, "nothing will expire");
    let start = now(&world);
    for day in 0..4 {
        world.clock.set(start + day * DAY_MS);
        put(&world, "", &format!("/collections/docs/docs/{day}"), &json!({"day": day}));
        live(&world, "", HOUR_MS);
    }
    // A document that is written again is as old as that.
    put(&world, "", "/collections/docs/docs/0", &json!({"day": 3}));
    put(&world, "", "/collections/other/docs/0", &json!({}));
    live_until(&world, "", start + 8 * DAY_MS);
    assert_eq!(ids(&world, ""), ["0", "1", "2", "3"], "the second is exactly as old as it may be");
    let alarms = live_until(&world, "", start + 9 * DAY_MS - 1);
    assert_eq!(ids(&world, ""), ["0", "2", "3"]);
    assert!(alarms < 8, "{alarms} alarms: it is not looked again and again");
    live_until(&world, "", start + 20 * DAY_MS);
    assert_eq!(ids(&world, ""), [""; 0]);
    let object = Object::wake(&world);
    assert_eq!(object.get("/collections/docs/docs/0").0, 404);
    assert_eq!(object.get("/collections/other/docs/0").0, 200, "a collection without a retention");
    assert_eq!(check(&world, ""), 4);
    // Nothing more will expire but the change log, in two years.
    assert!(world.alarm.at_ms().is_none_or(|at| at > start + 700 * DAY_MS));
}

#[test]
fn segments_go_as_a_whole_and_row_by_row() {
    let world = World::new(4).unwrap();
    declare(&world, "", "docs", 7);
    let start = now(&world);
    import(&world, "", "docs", 0..300);
    live(&world, "", 2 * DAY_MS);
    // They are merged: one segment has documents of several hours.
    for n in 0..9 {
        import(&world, "", "docs", 300 + n * 64..364 + n * 64);
        live(&world, "", HOUR_MS);
    }
    assert_eq!(forms(&world, ""), (0, 876, 0));
    live_until(&world, "", start + 7 * DAY_MS + 2 * HOUR_MS);
    assert_eq!((forms(&world, ""), check(&world, "")), ((0, 576, 0), 300));
    live_until(&world, "", start + 9 * DAY_MS + 3 * HOUR_MS + 1);
    let left = forms(&world, "").1;
    assert!((1..576).contains(&left), "{left}: some rows of a segment");
    live_until(&world, "", start + 10 * DAY_MS);
    assert_eq!((forms(&world, ""), check(&world, "")), ((0, 0, 0), 876));
}

#[test]
fn evicted_segments_go_without_a_read_for_each_row() {
    let world = World::new(5).unwrap();
    let start = now(&world);
    import(&world, EVICTING, "docs", 0..600);
    live(&world, EVICTING, 2 * DAY_MS);
    import(&world, EVICTING, "docs", 600..700);
    for n in 0..3 {
        live(&world, EVICTING, DAY_MS / 2);
        put(&world, EVICTING, "/collections/other/docs/x", &json!({"n": n}));
    }
    live(&world, EVICTING, HOUR_MS);
    assert_eq!(forms(&world, EVICTING), (0, 0, 700));
    declare(&world, EVICTING, "docs", 7);
    let gets = world.bucket.counts().gets;
    live_until(&world, EVICTING, start + 8 * DAY_MS);
    assert_eq!(forms(&world, EVICTING).2, 100);
    let gets = world.bucket.counts().gets - gets;
    assert!(gets < 40, "{gets} reads of the bucket for 600 documents");
    live_until(&world, EVICTING, start + 12 * DAY_MS);
    assert_eq!(forms(&world, EVICTING), (0, 0, 0));
    assert_eq!(check(&world, EVICTING), 700);
}

/// A segment that was evicted while its documents were of several days, of which some have passed.
#[test]
fn rows_of_an_evicted_segment_go_one_by_one() {
    let world = World::new(6).unwrap();
    let config = r#"{"hot":{"sealRows":4}}"#;
    let start = now(&world);
    for n in 0..4 {
        put(&world, config, &format!("/collections/docs/docs/{n}"), &json!({"n": n}));
        live(&world, config, DAY_MS);
    }
    let config = r#"{"hot":{"sealRows":4,"evictAboveBytes":1}}"#;
    for n in 0..3 {
        put(&world, config, "/collections/other/docs/x", &json!({"n": n}));
        live(&world, config, DAY_MS / 4);
    }
    assert_eq!(forms(&world, config), (0, 0, 4));
    declare(&world, config, "docs", 7);
    for (day, left) in [(7, 4), (8, 3), (9, 2), (10, 1), (11, 0)] {
        live_until(&world, config, start + day * DAY_MS - HOUR_MS);
        assert_eq!(ids(&world, config).len(), left, "day {day}");
    }
    assert_eq!(check(&world, config), 4);
}

#[test]
fn a_turn_is_bounded_and_archiving_goes_on() {
    let world = World::new(7).unwrap();
    declare(&world, "", "docs", 1);
    import(&world, "", "docs", 0..40_000);
    live(&world, "", HOUR_MS);
    let mut turns = Vec::new();
    loop {
        let before = forms(&world, "").1;
        let due = world.alarm.at_ms().expect("an alarm is set while documents expire");
        fire(&world, "", due);
        let gone = before - forms(&world, "").1;
        if gone > 0 {
            let pending = Object::wake(&world).ok("GET", "/sync", "")["pendingChanges"].as_i64().unwrap();
            turns.push((gone, pending));
        }
        if before == gone {
            break;
        }
    }
    assert!(turns.len() >= 3 && turns.iter().all(|(gone, _)| *gone <= 16_000), "{turns:?}");
    live(&world, "", HOUR_MS);
    assert_eq!(forms(&world, ""), (0, 0, 0));
    assert_eq!(Object::wake(&world).ok("GET", "/sync", "")["pendingChanges"], 0);
}

/// A segment of many small documents and some large ones, beside each other.
#[test]
fn a_turn_counts_the_bytes_that_documents_have() {
    let world = World::new(9).unwrap();
    let object = Object::wake(&world);
    declare(&world, "", "docs", 1);
    let mut random = SplitMix64::new(1);
    let mut value = |length: usize| (0..length / 16).map(|_| format!("{:016x}", random.next_u64())).collect::<String>();
    let mut line = |n: usize| json!({"id": format!("d{n:04}"), "value": value(if n < 12 { 1_000_000 } else { 16 })});
    object.import("docs", &(0..500).map(|n| line(n).to_string()).collect::<Vec<_>>().join("\n"));
    live(&world, "", HOUR_MS);
    assert_eq!(forms(&world, ""), (0, 500, 0));
    let due = world.alarm.at_ms().unwrap();
    world.clock.set(due);
    assert!(world.alarm.take_due(due));
    let plan = FaultPlan::new();
    run(Object::new(plan.wrap(&world.ports())).service.engine().alarm()).done().unwrap().unwrap().unwrap();
    assert_eq!(forms(&world, ""), (0, 0, 0));
    // A document of 1 MB fills a record of the log alone.
    let calls = plan.calls();
    let transactions = calls.split(|call| call == "sql transaction");
    let logged = |calls: &[String]| calls.iter().filter(|call| call.starts_with("sql query INSERT INTO log_")).count();
    let records: Vec<usize> = transactions.map(logged).filter(|records| *records > 0).collect();
    assert!(records.iter().sum::<usize>() > 12 && records.iter().all(|records| *records <= 5), "{records:?}");
}

#[test]
fn it_works_without_a_bucket() {
    let world = World::new(8).unwrap();
    let wake = || Object::new(Ports { objects: None, ..world.ports() });
    wake().ok("PUT", "/collections/docs", r#"{"retention":{"days":1}}"#);
    wake().ok("PUT", "/collections/docs/docs/a", "{}");
    let due = world.alarm.at_ms().expect("an alarm is set");
    assert_eq!(due, now(&world) + DAY_MS + 1);
    world.clock.set(due);
    world.alarm.take_due(due);
    run(wake().service.engine().alarm()).done().unwrap().unwrap().unwrap();
    assert_eq!(wake().get("/collections/docs/docs/a").0, 404);
    let events = wake().feed(10);
    assert_eq!((events.len(), &events[1]["source"]), (2, &Value::from("retention")));
    while let Some(due) = world.alarm.at_ms() {
        world.clock.set(due);
        world.alarm.take_due(due);
        run(wake().service.engine().alarm()).done().unwrap().unwrap().unwrap();
    }
}

#[test]
fn a_retention_can_be_taken_back() {
    let world = World::new(9).unwrap();
    declare(&world, "", "docs", 1);
    put(&world, "", "/collections/docs/docs/a", &json!({}));
    let told = Object::wake(&world).ok("GET", "/collections/docs", "");
    assert_eq!(told["retention"], json!({"days": 1}));
    let told = Object::wake(&world).ok("PUT", "/collections/docs", "{}");
    assert_eq!(told.get("retention"), None);
    live(&world, "", 10 * DAY_MS);
    assert_eq!(ids(&world, ""), ["a"]);
}

#[test]
fn what_is_no_retention_is_refused() {
    let world = World::new(10).unwrap();
    let object = Object::wake(&world);
    let bad = ["0", "-1", "1.5", "1000000000", "36501", "\"7\"", "null", "true", "[7]"];
    let bad = bad.iter().map(|days| format!(r#"{{"retention":{{"days":{days}}}}}"#));
    let others = [r#"{"retention":{}}"#, r#"{"retention":7}"#, r#"{"retention":[7]}"#];
    let unknown = [r#"{"retention":{"days":7,"hours":1}}"#, r#"{"retention":{"day":7}}"#];
    for body in bad.chain(others.into_iter().chain(unknown).map(str::to_owned)) {
        let (status, problem) = object.json("PUT", "/collections/docs", &body);
        assert_eq!(status, 422, "{body}: {problem}");
        assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/retention"), "{body}: {problem}");
        assert_eq!(object.get("/collections/docs").0, 404, "nothing is changed");
    }
    assert_eq!(object.json("PUT", "/collections/docs", r#"{"retention":{"days":36500}}"#).0, 201);
}

/// Each port call of an alarm that deletes what has passed fails, happens and is reported as failed, or takes the instance
/// away; in the end the documents are gone, each with one event.
#[test]
fn whatever_fails_each_document_is_deleted_once() {
    let prepared = || {
        let world = World::new(12).unwrap();
        import(&world, EVICTING, "docs", 0..64);
        for n in 0..3 {
            live(&world, EVICTING, HOUR_MS);
            put(&world, EVICTING, "/collections/other/docs/x", &json!({"n": n}));
        }
        put(&world, EVICTING, "/collections/docs/docs/row", &json!({}));
        live(&world, EVICTING, HOUR_MS);
        declare(&world, EVICTING, "docs", 1);
        live(&world, EVICTING, DAY_MS - 4 * HOUR_MS - 1_000);
        world
    };
    let mut calls = 0;
    for call in 0.. {
        let mut met = false;
        for fault in super::faults_at(call) {
            let world = prepared();
            assert_eq!(ids(&world, EVICTING).len(), 65);
            let due = world.alarm.at_ms().unwrap();
            world.clock.set(due);
            world.alarm.take_due(due);
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let config = thermocline::config::StorageConfig::parse(EVICTING).unwrap();
            let faulty = Object::configured(plan.wrap(&world.ports()), config);
            let ended = run(faulty.service.engine().alarm());
            let unset = matches!(ended, Outcome::Done(Err(_)) | Outcome::Stalled) && world.alarm.at_ms().is_none();
            if unset {
                // The platform calls the handler again.
                run(Object::wake_with(&world, EVICTING).service.engine().alarm()).done().unwrap().unwrap().unwrap();
            }
            met |= plan.unmet() == 0;
            live(&world, EVICTING, 2 * DAY_MS);
            assert_eq!(ids(&world, EVICTING), [""; 0], "call {call} {fault:?}: {:?}", plan.calls().get(call));
            assert_eq!(check(&world, EVICTING), 65, "call {call} {fault:?}");
        }
        calls = call;
        if !met {
            break;
        }
    }
    assert!(calls > 20, "{calls} calls");
}
