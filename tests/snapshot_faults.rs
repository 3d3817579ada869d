//! The fault matrix of named snapshots and restores (RELIABILITY.md R2): every port call fails, happens and is reported as
//! failed, or takes the instance away before or after it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::{alarms_for, check_tables};
use support::{Object, connect};
use thermocline::config::StorageConfig;
use thermocline::engine::Engine;
use thermocline::http::access::Callers;
use thermocline::http::object::ObjectService;
use thermocline::ports::native::{Fault, FaultPlan, World, run};

const FAULTS: [Fault; 4] = [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter];
const CONFIG: &str =
    r#"{"hot":{"sealRows":4,"sealMinAgeMs":0,"directBatch":8,"evictAboveBytes":1},"cold":{"orphanMinAgeMs":0}}"#;
const HOUR_MS: i64 = 3_600_000;

fn items(object: &Object) -> Vec<Value> {
    object.ok("GET", "/snapshots", "")["items"].as_array().unwrap().clone()
}

/// An object with a full snapshot, and changes after it.
struct Scenario {
    world: World,
    full: Value,
    then: Value,
    now: Value,
}

impl Scenario {
    fn new() -> Self {
        let world = World::new(11).unwrap();
        let object = Object::wake_with(&world, CONFIG);
        let lines: Vec<_> = (0..12).map(|n| format!(r#"{{"id":"m{n:02}","n":{n}}}"#)).collect();
        object.import("movies", &lines.join("\n"));
        object.ok("PUT", "/collections/people/docs/p1", r#"{"name":"Ada"}"#);
        let full = object.snapshot("full");
        let then = object.contents();
        object.ok("PUT", "/collections/movies/docs/m03", r#"{"n":33}"#);
        assert_eq!(object.json("DELETE", "/collections/people", "").0, 204);
        object.ok("PUT", "/collections/other/docs/o1", "{}");
        let now = object.contents();
        Self { world, full, then, now }
    }

    /// An instance that meets a fault at one call.
    fn faulty(&self, call: usize, fault: Fault) -> (FaultPlan, Object) {
        let plan = FaultPlan::new();
        plan.arm(call, fault);
        let config = StorageConfig::parse(CONFIG).unwrap();
        (plan.clone(), Object::configured(plan.wrap(&self.world.ports()), config))
    }

    /// Fires the alarm that is set, unless the instance is gone, whatever comes of it.
    fn fire(&self, plan: &FaultPlan, object: &Object) {
        if let Some(due) = self.world.alarm.at_ms().filter(|_| !plan.crashed()) {
            self.world.clock.set(due.max(self.world.ports().clock.now_ms()));
            self.world.alarm.take_due(due);
            let _ = run(object.service.engine().alarm());
        }
    }

    /// Lets the platform fire what alarms there are, and a client come by.
    fn recover(&self) -> Object {
        let object = Object::wake_with(&self.world, CONFIG);
        object.ok("GET", "/sync", "");
        alarms_for(&self.world, CONFIG, HOUR_MS);
        Object::wake_with(&self.world, CONFIG)
    }

    fn path(&self) -> String {
        format!("/snapshots/{}", self.full["id"].as_str().unwrap())
    }

    /// Every snapshot that is listed is readable, and says what was there.
    fn check_snapshots(&self, object: &Object) {
        for snapshot in items(object) {
            let expected = if snapshot["version"] == 1 { &self.then } else { &self.now };
            let at = json!({"asOf": snapshot["id"], "limit": 1000}).to_string();
            for name in ["movies", "people", "other"] {
                let rows = object.rows(name, &at);
                assert_eq!(json!(rows), *expected.get(name).unwrap_or(&json!([])), "{name} of {}", snapshot["version"]);
            }
        }
        check_tables(&self.world);
    }
}

/// Meets every fault at every call of some work, one run each. `work` says whether there was such a call.
fn meet_everywhere(least: usize, work: impl Fn(usize, Fault) -> bool + std::panic::RefUnwindSafe) {
    let mut met = 0;
    for fault in FAULTS {
        let mut call = 0;
        loop {
            let done = std::panic::catch_unwind(|| work(call, fault));
            match done {
                Ok(true) => call += 1,
                Ok(false) => break,
                Err(_) => panic!("{fault:?} at call {call}"),
            }
        }
        met += call;
    }
    println!("{met} faults met");
    assert!(met > least, "the matrix covers it: {met}");
}

#[test]
fn any_call_of_making_a_snapshot_may_fail() {
    meet_everywhere(400, |call, fault| {
        let scenario = Scenario::new();
        let (plan, object) = scenario.faulty(call, fault);
        let request = support::request(
            "POST",
            "/snapshots",
            &[("content-type", "application/json")],
            r#"{"type":"incremental"}"#,
        );
        let answer = run(object.service.handle(request)).done();
        if plan.unmet() > 0 {
            return false;
        }
        let object = scenario.recover();
        let listed = items(&object);
        if let Some(made) = answer.filter(|answer| answer.status == 201).map(|answer| support::parsed(&answer)) {
            assert!(listed.contains(&made), "what was acknowledged is there");
        }
        assert!(listed.len() <= 2, "asked for once, made at most once");
        assert_eq!(object.contents(), scenario.now);
        scenario.check_snapshots(&object);
        // The next one goes on from there.
        let next = object.snapshot("incremental");
        assert_eq!(next["metadata"]["parentId"], listed.last().unwrap()["id"]);
        true
    });
}

#[test]
fn any_call_of_deleting_a_snapshot_may_fail() {
    meet_everywhere(150, |call, fault| {
        let scenario = Scenario::new();
        let (plan, object) = scenario.faulty(call, fault);
        let answer = run(object.service.handle(support::request("DELETE", &scenario.path(), &[], ""))).done();
        if plan.unmet() > 0 {
            return false;
        }
        let object = scenario.recover();
        let listed = items(&object);
        assert!(listed.is_empty() || answer.is_none_or(|answer| answer.status != 204), "what is gone stays gone");
        assert_eq!(object.contents(), scenario.now);
        scenario.check_snapshots(&object);
        let manifests = scenario.world.bucket.keys().into_iter().filter(|key| key.starts_with("snapshots/")).count();
        assert_eq!(manifests, listed.len(), "a manifest is there as long as its snapshot");
        true
    });
}

#[test]
fn any_call_of_a_restore_may_fail() {
    meet_everywhere(300, |call, fault| {
        let scenario = Scenario::new();
        let (plan, object) = scenario.faulty(call, fault);
        let path = format!("{}/restore", scenario.path());
        let request = support::request("POST", &path, &[("content-type", "application/json")], "{}");
        let answer = run(object.service.handle(request)).done();
        scenario.fire(&plan, &object);
        if plan.unmet() > 0 {
            return false;
        }
        let before = Object::wake_with(&scenario.world, CONFIG).contents();
        assert!(before == scenario.now || before == scenario.then, "all or nothing: {before}");
        let object = scenario.recover();
        let after = object.contents();
        if let Some(job) = answer.filter(|answer| answer.status == 202).map(|answer| support::parsed(&answer)) {
            let job = object.ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "");
            match job["state"].as_str() {
                Some("done") => assert_eq!(after, scenario.then),
                Some("failed") => assert_eq!(after, scenario.now, "{job}"),
                other => panic!("{other:?}: {job}"),
            }
        } else {
            assert!(after == scenario.now || after == scenario.then, "{after}");
        }
        object.ok("PUT", "/collections/movies/docs/m99", "{}");
        object.ok("POST", "/sync", "{}");
        scenario.check_snapshots_of_past(&object);
        true
    });
}

#[test]
fn any_call_of_a_restore_by_another_object_may_fail() {
    meet_everywhere(60, |call, fault| {
        let scenario = Scenario::new();
        let mut other = World::new(12).unwrap();
        other.bucket = scenario.world.bucket.clone();
        let other = Rc::new(other);
        connect(&scenario.world, &other);
        let (plan, object) = scenario.faulty(call, fault);
        let path = format!("{}/restore", scenario.path());
        let request = support::request("POST", &path, &[("content-type", "application/json")], r#"{"into":"demo/2"}"#);
        let answer = run(object.service.handle(request)).done();
        scenario.fire(&plan, &object);
        if plan.unmet() > 0 {
            return false;
        }
        // Whatever came of it: as long as the other object restores, what it reads stays.
        let begun = other.alarm.at_ms().is_some();
        let object = Object::wake_with(&scenario.world, CONFIG);
        if begun {
            assert_eq!(object.json("DELETE", &scenario.path(), "").0, 409);
        }
        assert!(begun || answer.is_none_or(|answer| answer.status != 202), "what was acknowledged goes on");
        alarms_for(&scenario.world, CONFIG, 120_000);
        alarms_for(&other, "", HOUR_MS);
        if begun {
            let service =
                ObjectService::new(Engine::new(other.ports(), StorageConfig::default()), Callers::Anyone).unwrap();
            let body = r#"{"limit":1000}"#;
            let headers = [("content-type", "application/json")];
            let mut request = support::request("POST", "/collections/movies/query", &headers, body);
            request.path = request.path.replace("/demo/1", "/demo/2");
            let answer = support::parsed(&run(service.handle(request)).done().unwrap());
            assert_eq!(answer["rows"], scenario.then["movies"]);
        }
        // And not for longer.
        let object = scenario.recover();
        assert_eq!(object.json("DELETE", &scenario.path(), "").0, 204);
        true
    });
}

impl Scenario {
    fn check_snapshots_of_past(&self, object: &Object) {
        let at = json!({"asOf": self.full["id"], "limit": 1000}).to_string();
        for name in ["movies", "people"] {
            assert_eq!(json!(object.rows(name, &at)), self.then[name]);
        }
        check_tables(&self.world);
    }
}
