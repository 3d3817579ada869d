//! The fault matrix of the flush (RELIABILITY.md R2): every port call fails, happens and is reported as failed, or
//! takes the instance away before or after it. The whole state is checked after each, before and after recovery.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use support::Object;
use support::archive::{Model, check_whole, settle, settle_with};
use support::next_alarm;
use thermocline::config::StorageConfig;
use thermocline::error::ErrorKind;
use thermocline::ports::native::{Fault, FaultPlan, World, join_seeded, run};

const COLLECTIONS: [&str; 3] = ["movies", "people", "gone"];
const FAULTS: [Fault; 4] = [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter];

/// Documents change their form as soon as can be, so that the alarm seals and merges before it archives.
const CONFIG: &str =
    r#"{"hot":{"sealRows":2,"sealMinAgeMs":0,"directBatch":8,"maxUnmergedSegments":1,"evictAboveBytes":1}}"#;

/// An object with an archived past, a dropped collection, and changes of every kind pending.
fn scenario() -> (World, Model) {
    let world = World::new(7).unwrap();
    let object = Object::wake_with(&world, CONFIG);
    let lines: Vec<_> = (0..20).map(|n| format!(r#"{{"id":"m{n:02}","n":{n},"s":"x{n}"}}"#)).collect();
    object.import("movies", &lines.join("\n"));
    object.import("gone", "{\"id\":\"g1\"}\n{\"id\":\"g2\",\"v\":1.50}");
    settle(&world);
    world.clock.advance(40 * 86_400_000);
    for n in 0..5 {
        object.ok("PATCH", &format!("/collections/movies/docs/m0{n}"), r#"{"n":0.5,"t":null}"#);
        assert_eq!(object.json("DELETE", &format!("/collections/movies/docs/m1{n}"), "").0, 204);
    }
    object.ok("PUT", "/collections/people/docs/p1", r#"{"name":"Ada","born":1815}"#);
    assert_eq!(object.json("DELETE", "/collections/gone", "").0, 204);
    let mut model = Model::default();
    model.follow(&object.feed(1_000));
    (world, model)
}

/// Runs the alarm of a new instance with a fault at one call; `None` when there is no such call.
fn flush_with_fault(world: &World, call: usize, fault: Fault) -> Option<Vec<String>> {
    let plan = FaultPlan::new();
    plan.arm(call, fault);
    let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
    let due = world.alarm.at_ms().expect("the alarm is set");
    world.clock.set(due);
    world.alarm.take_due(due);
    let _ = run(object.service.engine().alarm());
    (plan.unmet() == 0).then(|| plan.calls())
}

/// Meets `fault` at every call of the flush, one run each.
fn meet_at_every_call(fault: Fault) {
    let mut met = 0;
    loop {
        let (world, model) = scenario();
        let Some(calls) = flush_with_fault(&world, met, fault) else { break };
        let context = format!("{fault:?} at call {met}: {}", calls[met]);
        met += 1;
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check_whole(&world, &model, &COLLECTIONS);
            settle(&world);
            assert_eq!(check_whole(&world, &model, &COLLECTIONS), model.history.len(), "all is published");
        }));
        assert!(checked.is_ok(), "{context}");
    }
    println!("{fault:?} met at each of {met} calls");
    assert!(met > 150, "the matrix covers the flush: {met}");
}

#[test]
fn any_call_of_a_flush_may_fail() {
    meet_at_every_call(Fault::Fail);
}

#[test]
fn any_call_of_a_flush_may_happen_and_be_told_as_failed() {
    meet_at_every_call(Fault::FailAfter);
}

#[test]
fn the_instance_may_go_away_before_any_call_of_a_flush() {
    meet_at_every_call(Fault::CrashBefore);
}

#[test]
fn the_instance_may_go_away_after_any_call_of_a_flush() {
    meet_at_every_call(Fault::CrashAfter);
}

/// Fires the alarm of a new instance with a configuration. Whether it gave up a plan that it cannot stage.
fn gives_up(world: &World, config: &str) -> bool {
    let Some(due) = next_alarm(world) else { return false };
    world.clock.set(due.max(world.ports().clock.now_ms()));
    world.alarm.take_due(due);
    let object = Object::wake_with(world, config);
    match run(object.service.engine().alarm()).done().unwrap().unwrap() {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            true
        }
    }
}

#[test]
fn a_flush_that_was_broken_off_goes_on_under_another_codec() {
    let (mut met, mut given_up) = (0, 0);
    let config = CONFIG.replacen('{', r#"{"cold":{"compression":"none"},"#, 1);
    // Every third call will do: what matters is which files are there already.
    for call in (0..).step_by(3) {
        let (world, model) = scenario();
        let Some(calls) = flush_with_fault(&world, call, Fault::CrashAfter) else { break };
        let context = format!("after call {call}: {}", calls[call]);
        met += 1;
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let given_up = gives_up(&world, &config);
            check_whole(&world, &model, &COLLECTIONS);
            // Once at most: the next attempt has keys of its own.
            settle_with(&world, &config);
            assert_eq!(check_whole(&world, &model, &COLLECTIONS), model.history.len(), "all is published");
            given_up
        }));
        given_up += usize::from(checked.unwrap_or_else(|_| panic!("{context}")));
    }
    println!("broken off at {met} calls, planned anew after {given_up}");
    assert!(met > 50 && given_up > 10, "{met} and {given_up}");
}

#[test]
fn two_faults_in_a_row_are_survived_too() {
    let mut met = 0;
    for seed in 0..100usize {
        let (world, model) = scenario();
        for round in 0..2 {
            if next_alarm(&world).is_none() {
                break;
            }
            let (call, fault) = ((seed * 37 + round * 61) % 140, FAULTS[(seed + round) % FAULTS.len()]);
            met += usize::from(flush_with_fault(&world, call, fault).is_some());
            Object::wake(&world).ok("GET", "/sync", "");
        }
        check_whole(&world, &model, &COLLECTIONS);
        settle(&world);
        assert_eq!(check_whole(&world, &model, &COLLECTIONS), model.history.len(), "seed {seed}");
    }
    println!("faults met: {met}");
    assert!(met > 60, "{met}");
}

#[test]
fn writes_and_a_second_instance_during_a_flush_change_nothing_of_it() {
    for seed in 0..40u64 {
        let (world, mut model) = scenario();
        let plan = FaultPlan::new();
        for call in 0..200 {
            plan.arm(call, Fault::Slow(u32::try_from((seed + call as u64) % 4).unwrap()));
        }
        let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
        // An instance that has lost its storage changes nothing of the documents any more, but it may still archive.
        let older = Object::wake(&world);
        let writes = async {
            for n in 0..12u64 {
                let path = format!("/collections/movies/docs/m{:02}", (n * 7 + seed) % 50);
                let (method, body) = match (n + seed) % 3 {
                    0 => ("PUT", r#"{"new":true}"#),
                    1 => ("PATCH", r#"{"n":7}"#),
                    _ => ("DELETE", ""),
                };
                object.service.handle(support::request(method, &path, &[], body)).await;
                thermocline::ports::native::yield_now().await;
            }
        };
        let flush = async { drop(object.service.engine().sync(false).await) };
        let twin = async { drop(older.service.engine().alarm().await) };
        join_seeded(seed, vec![Box::pin(writes), Box::pin(flush), Box::pin(twin)]);
        let told = Object::wake(&world).feed(1_000);
        model.follow(&told[model.history.len()..]);
        check_whole(&world, &model, &COLLECTIONS);
        settle(&world);
        assert_eq!(check_whole(&world, &model, &COLLECTIONS), model.history.len(), "seed {seed}");
    }
}
