//! Commits under unknown outcomes (RELIABILITY.md R6): every few calls of the bucket and the database happen and are told as
//! failed, fail, or take the instance away; after every step everything that a table refers to is there, row for row.
//!
//! `COMMITS` says how many, `SEED` from which numbers. `npm run proof -- R6` has the foreign readers look at every 50th.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Value, json};
use support::Object;
use support::archive::{Model, check_whole, settle_with};
use support::foreign::{READERS, base_uri, describe, export};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::config::StorageConfig;
use thermocline::hot::HotStore;
use thermocline::ports::native::{Fault, FaultPlan, SplitMix64, World, run};

const COLLECTIONS: [&str; 2] = ["docs", "notes"];
/// Commits of a short run.
const COMMITS: i64 = 40;
/// Between two looks of the foreign readers.
const LOOK: i64 = 50;
const HOUR_MS: i64 = 3_600_000;

fn number_of(variable: &str) -> Option<i64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Documents change their form soon, few snapshots are kept, and what is garbage goes soon. A long run is one of several
/// years, and the log is to keep all of them.
fn config(base_uri: &str) -> String {
    json!({
        "hot": {"sealRows": 6, "sealMinAgeMs": 0, "directBatch": 8, "maxUnmergedSegments": 2, "evictAboveBytes": 1},
        "cold": {"baseUri": base_uri, "icebergKeepSnapshots": 4, "icebergKeepDays": 1, "orphanMinAgeMs": HOUR_MS},
        "objects": {"expiryDays": 36_500},
    })
    .to_string()
}

#[derive(Default)]
struct Tally {
    steps: usize,
    faults: BTreeMap<&'static str, usize>,
    deleted: usize,
    looks: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, faults, deleted, looks } = self;
        write!(f, "{steps} steps, faults met {faults:?}, {deleted} objects deleted, {looks} looks of foreign readers")
    }
}

struct Run {
    world: World,
    model: Model,
    random: SplitMix64,
    config: String,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, base_uri: &str) -> Self {
        let world = World::new(seed).unwrap();
        let (model, tally) = (Model::default(), Tally::default());
        Self { world, model, random: SplitMix64::new(seed), config: config(base_uri), tally }
    }

    /// Versions of all tables together.
    fn commits(&self) -> i64 {
        let sql = self.world.ports().sql;
        let catalog = ColdCatalog::new(Rc::clone(&sql));
        let collections = HotStore::new(sql, Default::default(), 1 << 24).catalog().unwrap();
        let ids = collections.all().iter().flat_map(|collection| {
            [TableKind::State, TableKind::Changes].map(|kind| TableId { collection: collection.id, kind })
        });
        ids.filter_map(|id| catalog.table(id).unwrap()).map(|record| record.state.version).sum()
    }

    fn document(&mut self) -> (String, Value) {
        let id = format!("d{:02}", self.random.below(40));
        let n = self.random.below(1_000);
        let value = match self.random.below(12) {
            0 => json!("text"),
            1 => json!(0.25),
            2 => Value::Null,
            _ => json!(n),
        };
        (id, json!({"n": value, "city": format!("city {}", n % 5), "at": n}))
    }

    /// Some changes; none is refused.
    fn write(&mut self) {
        let object = Object::wake_with(&self.world, &self.config);
        let before = self.model.history.len();
        let collection = COLLECTIONS[usize::from(self.random.below(4) == 0)];
        let count = if self.random.below(4) == 0 { 8 + self.random.below(20) } else { 1 + self.random.below(5) };
        let operations: Vec<Value> = (0..count)
            .map(|_| {
                let (id, doc) = self.document();
                let there = self.model.state.get(collection).is_some_and(|documents| documents.contains_key(&id));
                if there && self.random.below(3) == 0 {
                    json!({"op": "delete", "collection": collection, "id": id})
                } else {
                    json!({"op": "upsert", "collection": collection, "id": id, "doc": doc})
                }
            })
            .collect();
        // Of two deletes of one document the second is refused: each document once.
        let mut seen = std::collections::BTreeSet::new();
        let operations: Vec<Value> =
            operations.into_iter().filter(|operation| seen.insert(operation["id"].to_string())).collect();
        object.ok("POST", "/batch", &json!({ "operations": operations }).to_string());
        let events = object.ok("GET", &format!("/cdc?after={before}&limit=1000"), "");
        self.model.follow(events["events"].as_array().unwrap());
    }

    /// One alarm of a new instance, most of which meet faults of which nobody knows what they left.
    fn fire(&mut self) {
        let plan = FaultPlan::new();
        let mut call = 0;
        let faulty = self.random.below(5) > 0;
        for _ in 0..self.random.below(6) * usize::from(faulty) {
            call += 1 + self.random.below(60);
            let fault = [Fault::FailAfter, Fault::FailAfter, Fault::CrashAfter, Fault::Fail, Fault::CrashBefore]
                [self.random.below(5)];
            plan.arm(call, fault);
        }
        let armed = plan.unmet();
        let Some(due) = support::next_alarm(&self.world) else { return };
        self.world.clock.set(due.max(self.world.ports().clock.now_ms()));
        self.world.alarm.take_due(due);
        let object = Object::configured(plan.wrap(&self.world.ports()), StorageConfig::parse(&self.config).unwrap());
        let keys = self.world.bucket.keys();
        let _ = run(object.service.engine().alarm());
        let left = self.world.bucket.keys();
        self.tally.deleted += keys.iter().filter(|key| !left.contains(key)).count();
        *self.tally.faults.entry(if plan.crashed() { "crash" } else { "other" }).or_default() += armed - plan.unmet();
        // A platform that could not set the alarm tries again; so does the next request.
        let object = Object::wake_with(&self.world, &self.config);
        run(object.service.engine().ensure_archive_scheduled()).done().unwrap().unwrap();
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..4 => self.write(),
            4..9 => self.fire(),
            _ => {
                let hours = [1, 5, 30, 24 * 20][self.random.below(4)];
                self.world.clock.advance(hours * HOUR_MS);
            }
        }
        check_whole(&self.world, &self.model, &COLLECTIONS);
        self.tally.steps += 1;
    }

    fn settle(&self) -> Object {
        settle_with(&self.world, &self.config);
        assert_eq!(check_whole(&self.world, &self.model, &COLLECTIONS), self.model.history.len(), "all is published");
        Object::wake_with(&self.world, &self.config)
    }
}

/// Plays until there are so many commits; at every 50th the bucket is written for the foreign readers, if there is a folder.
fn play(seed: u64, commits: i64, warehouse: Option<&PathBuf>) -> Run {
    let base_uri = warehouse.map_or_else(|| "s3://cold".to_owned(), |warehouse| base_uri(warehouse));
    let mut run = Run::new(seed, &base_uri);
    let (mut tables, mut next) = (Vec::new(), LOOK);
    while run.commits() < commits {
        run.step();
        if let Some(warehouse) = warehouse.filter(|_| run.commits() >= next) {
            next = run.commits() / LOOK * LOOK + LOOK;
            run.tally.looks += 1;
            let object = run.settle();
            tables.extend(export(&run.world, &object, warehouse, &format!("look-{}", run.tally.looks), &READERS));
        }
    }
    run.settle();
    println!("R6: seed {seed}, {} commits, {} events, {}", run.commits(), run.model.history.len(), run.tally);
    if let Some(warehouse) = warehouse {
        describe(warehouse, &tables);
    }
    run
}

#[test]
fn no_referenced_file_is_missing_after_any_step_of_commits_of_unknown_outcome() {
    let seed = number_of("SEED").unwrap_or(0x7e57).unsigned_abs();
    let run = play(seed, number_of("COMMITS").unwrap_or(COMMITS), None);
    assert!(run.tally.faults.values().sum::<usize>() > 10, "{}", run.tally);
    assert!(run.tally.deleted > 10, "garbage is deleted all the while: {}", run.tally);
}

#[test]
#[ignore = "writes a folder for the foreign readers; npm run proof -- R6 runs it"]
fn writes_every_50th_commit_for_foreign_readers() {
    let warehouse =
        PathBuf::from(std::env::var_os("THERMOCLINE_FIXTURE_DIR").expect("THERMOCLINE_FIXTURE_DIR names the folder"));
    let seed = number_of("SEED").unwrap_or(0x7e57).unsigned_abs();
    play(seed, number_of("COMMITS").unwrap_or(100), Some(&warehouse));
}
