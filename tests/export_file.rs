//! Exports into the bucket: one object with every line, or none.

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
use support::{Object, by_id, request};
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, MemoryBucket, World, run};
use thermocline::ports::{Clock, Ports};

/// Parts of 5 MiB, the least that there are.
const CONFIG: &str = r#"{"objects":{"multipartThresholdBytes":5242880,"multipartPartBytes":5242880}}"#;

/// Documents of about `bytes` in all.
fn filled(bytes: usize) -> World {
    let world = World::new(5).unwrap();
    let text = "x".repeat(10_000);
    let lines: Vec<_> =
        (0..bytes / 10_000).map(|n| json!({"id": format!("d{n:05}"), "text": text}).to_string()).collect();
    let object = Object::wake(&world);
    for part in lines.chunks(1_000) {
        object.import("docs", &part.join("\n"));
    }
    world
}

fn exports(bucket: &MemoryBucket) -> Vec<String> {
    bucket.keys().into_iter().filter(|key| key.starts_with("exports/")).collect()
}

fn export(object: &Object) -> (u16, Value) {
    object.json("POST", "/collections/docs/export", "")
}

#[test]
fn a_small_collection_is_one_put() {
    let world = filled(30_000);
    let before = world.bucket.counts();
    let object = Object::wake_with(&world, CONFIG);
    let (status, answer) = export(&object);
    assert_eq!(status, 201, "{answer}");
    assert_eq!(exports(&world.bucket), [answer["key"].as_str().unwrap()]);
    let put = world.bucket.object(answer["key"].as_str().unwrap()).unwrap();
    assert_eq!(put.metadata.content_type, "application/x-ndjson");
    assert_eq!(answer["bytes"], put.bytes.len());
    assert_eq!(answer["documents"], 3);
    assert_eq!(answer["sequence"], 3);
    assert_eq!(answer["encryption"], "R2");
    assert!(answer["key"].as_str().unwrap().starts_with("exports/demo/1/docs/"), "{answer}");
    assert_eq!(by_id(&put.bytes), object.export("docs", "").documents());
    assert_eq!((world.bucket.counts().puts - before.puts, world.bucket.counts().parts), (1, 0));
}

#[test]
fn a_large_one_is_put_in_parts_of_one_size() {
    let world = filled(12_000_000);
    let object = Object::wake_with(&world, CONFIG);
    let (status, answer) = export(&object);
    assert_eq!(status, 201, "{answer}");
    let put = world.bucket.object(answer["key"].as_str().unwrap()).unwrap();
    assert_eq!(by_id(&put.bytes), object.export("docs", "").documents());
    assert_eq!((answer["documents"].as_u64(), world.bucket.counts().parts), (Some(1_200), 3));
    assert!(world.bucket.open_uploads().is_empty());
}

#[test]
fn a_collection_that_does_not_exist_is_an_empty_object_and_the_past_has_its_own() {
    let world = filled(30_000);
    let object = Object::wake(&world);
    let moment = world.clock.now_ms();
    world.clock.advance(1_000);
    object.ok("PUT", "/collections/docs/docs/later", "{}");
    let past = object.ok("POST", &format!("/collections/docs/export?asOf={moment}"), "{}");
    assert_eq!((past["documents"].as_u64(), past.get("sequence")), (Some(3), None));
    let none = object.ok("POST", "/collections/none/export", "");
    assert_eq!((none["documents"].as_u64(), none["bytes"].as_u64()), (Some(0), Some(0)));
}

#[test]
fn with_a_key_exports_and_nothing_else_go_to_the_bucket_that_has_it() {
    let world = filled(30_000);
    let keyed = MemoryBucket::new();
    let object = Object::new(Ports { exports: Some(Rc::new(keyed.clone())), ..world.ports() });
    let answer = object.ok("POST", "/collections/docs/export", "");
    object.ok("POST", "/sync", "");
    assert_eq!(answer["encryption"], "SSE-C");
    assert_eq!(keyed.keys(), [answer["key"].as_str().unwrap()]);
    assert_eq!(exports(&world.bucket), Vec::<String>::new());
    assert!(world.bucket.keys().iter().any(|key| key.starts_with("iceberg/")), "tables are for engines");
}

#[test]
fn bad_requests_put_nothing() {
    let world = filled(30_000);
    let object = Object::wake(&world);
    assert_eq!(object.json("POST", "/collections/docs/export?to=s3", "").0, 400);
    assert_eq!(object.json("POST", "/collections/docs/export?asOf=soon", "").0, 400);
    assert_eq!(object.json("POST", "/collections/docs/export", r#"{"key":"mine"}"#).0, 422);
    assert_eq!(object.json("POST", "/collections/docs/export", "{").0, 400);
    assert_eq!(object.send("POST", "/collections/docs/export", &[("content-type", "text/plain")], "x").status, 415);
    let no_bucket = Object::new(Ports { objects: None, ..world.ports() });
    let (status, problem) = export(&no_bucket);
    assert_eq!((status, problem["tier"].as_str()), (503, Some("cold")), "{problem}");
    assert_eq!(exports(&world.bucket), Vec::<String>::new());
}

#[test]
fn any_call_may_fail_and_an_export_is_whole_or_not_there() {
    let mut met = 0;
    let world = filled(6_000_000);
    for fault in [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter] {
        for call in 0.. {
            exports(&world.bucket).iter().for_each(|key| world.bucket.remove(key));
            let open = world.bucket.open_uploads().len();
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
            let asked = object.service.handle(request("POST", "/collections/docs/export", &[], ""));
            let status = run(asked).done().filter(|_| !plan.crashed()).map(|response| response.status);
            if plan.unmet() > 0 {
                break;
            }
            met += 1;
            let context = format!("{fault:?} at call {call}: {}", plan.calls()[call]);
            let there = exports(&world.bucket);
            assert!(status != Some(201) || there.len() == 1, "{context}");
            for key in there {
                assert_eq!(by_id(&world.bucket.object(&key).unwrap().bytes).len(), 600, "{context}");
            }
            // An upload that could not be given up is left to the bucket; any other error gives it up.
            let left = world.bucket.open_uploads().len() - open;
            assert!(left == 0 || plan.crashed() || plan.calls()[call].contains("upload"), "{context}");
        }
    }
    assert_eq!(Object::wake(&world).ok("POST", "/collections/docs/export", "")["documents"], 600);
    println!("{met} faults met");
    assert!(met > 40, "{met}");
}

#[test]
fn erasing_an_object_deletes_its_exports() {
    let world = filled(30_000);
    let object = Object::wake(&world);
    object.ok("POST", "/collections/docs/export", "");
    world.bucket.overwrite("exports/demo/10/docs/a.ndjson", "theirs");
    assert_eq!(object.json("DELETE", "", "").0, 200);
    assert_eq!(exports(&world.bucket), ["exports/demo/10/docs/a.ndjson"]);
}
