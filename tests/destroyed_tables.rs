//! Ways in which writers of Iceberg tables have destroyed them, each a test by its name (RELIABILITY.md). That no call of any
//! kind, failing in any way, does harm is in `archive_faults.rs`; what is here says what each of these faults would be.

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

use serde_json::json;
use support::Object;
use support::archive::{Model, check_whole, settle_with};
use thermocline::cold::catalog::ColdCatalog;
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, World, join_seeded, run};

/// Few snapshots are kept, and what nothing reaches may be deleted at once.
const CONFIG: &str = r#"{"hot":{"sealRows":4,"sealMinAgeMs":0,"directBatch":8,"evictAboveBytes":1},
    "cold":{"icebergKeepSnapshots":2,"icebergKeepDays":1,"orphanMinAgeMs":0},"memory":{"budgetBytes":8388608}}"#;
const COLLECTIONS: [&str; 2] = ["docs", "notes"];
const DAY_MS: i64 = 86_400_000;

fn put(world: &World, collection: &str, n: usize) {
    let path = format!("/collections/{collection}/docs/d{:02}", n % 20);
    Object::wake_with(world, CONFIG).ok("PUT", &path, &json!({"n": n, "s": format!("x{n}")}).to_string());
}

/// An object with an archived past and changes of all kinds that wait.
fn scenario() -> World {
    let world = World::new(7).unwrap();
    let lines: Vec<String> = (0..20).map(|n| json!({"id": format!("d{n:02}"), "n": n}).to_string()).collect();
    Object::wake_with(&world, CONFIG).import("docs", &lines.join("\n"));
    for n in 0..3 {
        put(&world, COLLECTIONS[n % 2], n);
        settle_with(&world, CONFIG);
        world.clock.advance(2 * DAY_MS);
    }
    for n in 3..12 {
        put(&world, COLLECTIONS[n % 2], n);
    }
    let object = Object::wake_with(&world, CONFIG);
    assert_eq!(object.json("DELETE", "/collections/docs/docs/d15", "").0, 204);
    world
}

fn model(world: &World) -> Model {
    let mut model = Model::default();
    model.follow(&Object::wake_with(world, CONFIG).feed(1_000));
    model
}

fn assert_whole(world: &World) -> usize {
    check_whole(world, &model(world), &COLLECTIONS)
}

/// Ends all that waits, and looks at everything.
fn assert_ends_well(world: &World) {
    settle_with(world, CONFIG);
    assert_eq!(assert_whole(world), model(world).history.len(), "all is published");
}

fn keys(world: &World) -> BTreeSet<String> {
    world.bucket.keys().into_iter().collect()
}

/// Fires the alarm of a new instance under a plan of faults.
fn fire(world: &World, plan: &FaultPlan) {
    let due = world.alarm.at_ms().expect("an alarm is set");
    world.clock.set(due.max(world.ports().clock.now_ms()));
    world.alarm.take_due(due);
    let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(CONFIG).unwrap());
    let _ = run(object.service.engine().alarm());
}

/// The numbers of the calls of a flush whose label begins so.
fn calls(prefix: &str) -> Vec<usize> {
    let plan = FaultPlan::new();
    fire(&scenario(), &plan);
    let calls = plan.calls();
    let found: Vec<usize> = (0..calls.len()).filter(|call| calls[*call].starts_with(prefix)).collect();
    assert!(!found.is_empty(), "{prefix}: {calls:?}");
    found
}

/// Lets each of the calls meet a fault, each in a world of its own, and looks at that.
fn at_each(calls: &[usize], fault: Fault, look: impl Fn(&World, BTreeSet<String>)) {
    for call in calls {
        let world = scenario();
        let before = keys(&world);
        let plan = FaultPlan::new();
        plan.arm(*call, fault);
        fire(&world, &plan);
        assert_eq!(plan.unmet(), 0, "call {call}");
        look(&world, before);
        assert_ends_well(&world);
    }
    println!("{fault:?} at {} calls", calls.len());
}

#[test]
fn files_deleted_after_a_commit_of_unknown_outcome() {
    at_each(&calls("put "), Fault::FailAfter, |world, before| {
        let after = keys(world);
        assert!(before.is_subset(&after), "nothing is deleted: {:?}", before.difference(&after));
        assert!(after.len() > before.len(), "and what was put stays");
        assert_whole(world);
    });
}

#[test]
fn clean_up_after_running_out_of_memory() {
    // Running out of memory takes the isolate away wherever it stands; nothing of it can clean up, and what comes after
    // does not know what was under way but by the plan.
    at_each(&calls("put "), Fault::CrashAfter, |world, before| {
        assert!(before.is_subset(&keys(world)));
        let left = keys(world);
        world.clock.advance(30 * DAY_MS);
        // A day and more later a request wakes the object, the alarm goes on, and fails at its first put: nothing of the
        // plan is taken for an orphan however old it is.
        run(Object::wake_with(world, CONFIG).service.engine().ensure_archive_scheduled()).done().unwrap().unwrap();
        if world.alarm.at_ms().is_some() && ColdCatalog::new(Rc::clone(&world.ports().sql)).plan().unwrap().is_some() {
            world.bucket.go_away(0);
            fire(world, &FaultPlan::new());
            world.bucket.come_back();
            assert!(left.is_subset(&keys(world)));
        }
        assert_whole(world);
    });
}

#[test]
fn manifests_deleted_with_the_files_of_a_snapshot_that_expires() {
    let world = scenario();
    let (mut commits, mut deleted) = (0, BTreeSet::new());
    for n in 0..60 {
        put(&world, COLLECTIONS[n % 2], n);
        let before = keys(&world);
        settle_with(&world, CONFIG);
        world.clock.advance(DAY_MS / 3);
        // Looks at every manifest of every snapshot that is kept, and at every row of it.
        assert_whole(&world);
        deleted.extend(before.difference(&keys(&world)).cloned());
        commits += 1;
    }
    let manifests = deleted.iter().filter(|key| key.ends_with(".avro")).count();
    println!("{commits} commits, {} objects deleted, {manifests} of them manifests and lists", deleted.len());
    assert!(manifests > 50, "manifests that no snapshot reaches do go: {manifests}");
}

#[test]
fn a_retry_without_a_lock() {
    for seed in 0..30 {
        let world = scenario();
        let last = model(&world).history.len();
        let objects: Vec<Object> = (0..3).map(|_| Object::wake_with(&world, CONFIG)).collect();
        // Instances that know nothing of each other's runs: nothing in memory keeps them from running at once.
        let runs = objects.iter().map(|object| -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(async { drop(object.service.engine().sync(true).await) })
        });
        join_seeded(seed, runs.collect());
        assert_eq!(assert_whole(&world), last, "seed {seed}: each change is committed once, and published");
        assert_ends_well(&world);
    }
}

#[test]
fn a_crash_in_mid_commit() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        at_each(&calls("sql transaction"), fault, |world, _| {
            assert_whole(world);
        });
    }
}

#[test]
fn orphan_collection_that_takes_files_not_yet_committed() {
    let puts = calls("put ");
    for answered in 1..u64::try_from(puts.len()).unwrap() {
        let world = scenario();
        world.bucket.go_away(answered);
        fire(&world, &FaultPlan::new());
        world.bucket.come_back();
        let staged = keys(&world);
        // Collection runs every time, for months, while the plan does not come to its end.
        for _ in 0..5 {
            world.clock.advance(31 * DAY_MS);
            world.bucket.go_away(0);
            fire(&world, &FaultPlan::new());
            world.bucket.come_back();
            assert!(staged.is_subset(&keys(&world)), "{answered}: {:?}", staged.difference(&keys(&world)));
        }
        assert_whole(&world);
        assert_ends_well(&world);
    }
}

#[test]
fn orphan_collection_that_takes_statistics_files() {
    let world = scenario();
    // What an engine has put into the table's folders, and no snapshot of ours names.
    let foreign = [
        "iceberg/demo/1/docs/metadata/0-a1.stats",
        "iceberg/demo/1/docs/metadata/0-a1.puffin",
        "iceberg/demo/1/docs/data/year=2026/month=01/other.parquet",
    ];
    foreign.iter().for_each(|key| world.bucket.overwrite(key, "somebody else's"));
    for n in 0..20 {
        put(&world, COLLECTIONS[n % 2], n);
        settle_with(&world, CONFIG);
        world.clock.advance(3 * DAY_MS);
    }
    for key in foreign {
        assert_eq!(world.bucket.object(key).unwrap().bytes, b"somebody else's", "{key}");
    }
    assert_ends_well(&world);
}
