//! How files are put: large ones in parts, those of months long past in the class for infrequent access.

use std::fmt::Write as _;

use thermocline::config::StorageConfig;
use thermocline::ports::StorageClass;
use thermocline::ports::native::{Fault, FaultPlan, World, run};

use super::support::Object;
use super::{DAY_MS, HOUR_MS, import, live, put};

const PARTS: &str = r#"{"objects":{"multipartThresholdBytes":6000000,"multipartPartBytes":5242880}}"#;

/// Documents that do not compress, so that their files are large.
fn noise(world: &World, config: &str, documents: usize) {
    let mut state = 1_u64;
    let mut lines = String::new();
    for n in 0..documents {
        let mut text = String::new();
        while text.len() < 10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend(
                (0..8)
                    .map(|n| char::from(b'#' + u8::try_from(state >> (8 + 6 * n) & 63).unwrap()))
                    .map(|c| if c == '\\' { '~' } else { c }),
            );
        }
        writeln!(lines, r#"{{"id":"{n:06}","text":"{text}"}}"#).unwrap();
    }
    Object::wake_with(world, config).import("docs", &lines);
}

fn parquet(world: &World) -> Vec<(String, usize)> {
    let files = world.bucket.keys().into_iter().filter(|key| key.ends_with(".parquet"));
    files.map(|key| (key.clone(), world.bucket.object(&key).unwrap().bytes.len())).collect()
}

#[test]
fn files_above_the_threshold_are_put_in_parts() {
    let world = World::new(31).unwrap();
    noise(&world, PARTS, 900);
    live(&world, PARTS, HOUR_MS);
    let part = 5 * 1024 * 1024;
    let large: Vec<usize> =
        parquet(&world).iter().map(|(_, bytes)| *bytes).filter(|bytes| *bytes > 6_000_000).collect();
    assert!(!large.is_empty(), "{:?}", parquet(&world));
    let parts: usize = large.iter().map(|bytes| bytes.div_ceil(part)).sum();
    let counts = world.bucket.counts();
    assert_eq!((counts.parts, counts.completed, counts.aborted), (parts as u64, large.len() as u64, 0));
    let rows = Object::wake_with(&world, PARTS).rows("docs", r#"{"tiers":["cold"],"select":["id"],"limit":1000}"#);
    assert_eq!(rows.len(), 900);
    // By default these are not large.
    let world = World::new(31).unwrap();
    noise(&world, "", 900);
    live(&world, "", HOUR_MS);
    assert_eq!(world.bucket.counts().parts, 0);
}

/// A run that ends in the middle of an upload is run again, and its files are whole.
#[test]
fn an_upload_that_was_cut_off_is_made_again() {
    let config = || StorageConfig::parse(PARTS).unwrap();
    let prepared = || {
        let world = World::new(32).unwrap();
        noise(&world, PARTS, 900);
        let due = world.alarm.at_ms().unwrap();
        world.clock.set(due);
        world.alarm.take_due(due);
        world
    };
    // Which call is which is told by the same run without a fault.
    let watched = FaultPlan::new();
    let twin = prepared();
    let object = Object::configured(watched.wrap(&twin.ports()), config());
    run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    for (step, fault) in [
        ("begin upload", Fault::CrashAfter),
        ("upload part 2", Fault::CrashBefore),
        ("complete upload", Fault::FailAfter),
        ("complete upload", Fault::CrashAfter),
    ] {
        let call = watched.calls().iter().position(|call| call.starts_with(step)).expect(step);
        let world = prepared();
        let plan = FaultPlan::new();
        plan.arm(call, fault);
        let _ = run(Object::configured(plan.wrap(&world.ports()), config()).service.engine().alarm());
        assert_eq!(plan.unmet(), 0, "{step} {fault:?}");
        live(&world, PARTS, HOUR_MS);
        assert_eq!(Object::wake_with(&world, PARTS).ok("GET", "/sync", "")["pendingChanges"], 0);
        let rows = Object::wake_with(&world, PARTS).rows("docs", r#"{"tiers":["cold"],"select":["id"],"limit":1000}"#);
        assert_eq!(rows.len(), 900, "{step} {fault:?}");
    }
}

#[test]
fn files_of_months_long_past_are_put_for_infrequent_access() {
    let config = r#"{"objects":{"transitionToInfrequentDays":30}}"#;
    let classes = |world: &World| -> Vec<(String, StorageClass)> {
        let of = |key: &String| world.bucket.object(key).unwrap().metadata.storage_class;
        world.bucket.keys().into_iter().map(|key| (key.clone(), of(&key))).collect()
    };
    let world = World::new(33).unwrap();
    // January's documents wait in the log for a bucket that does not answer until April.
    import(&world, config, "docs", 0..100);
    put(&world, config, "/collections/rows/docs/x", &serde_json::json!({}));
    world.clock.advance(70 * DAY_MS);
    import(&world, config, "docs", 100..200);
    live(&world, config, HOUR_MS);
    let infrequent: Vec<String> = classes(&world)
        .into_iter()
        .filter(|(_, class)| *class == StorageClass::InfrequentAccess)
        .map(|(key, _)| key)
        .collect();
    let january = |table: &str| format!("iceberg/demo/1/{table}/data/year=2026/month=01/");
    let of = |table: &str| infrequent.iter().filter(|key| key.starts_with(&january(table))).count();
    assert_eq!((of("docs"), of("docs__changes"), of("rows__changes")), (1, 1, 1), "{infrequent:?}");
    // Not the tail, which the next commit replaces; nor metadata, nor what is of this month.
    assert_eq!((of("rows"), infrequent.len()), (0, 3), "{infrequent:?}");
    let world = World::new(33).unwrap();
    import(&world, "", "docs", 0..100);
    world.clock.advance(700 * DAY_MS);
    live(&world, "", HOUR_MS);
    assert!(classes(&world).iter().all(|(_, class)| *class == StorageClass::Standard), "not unless it is asked for");
}
