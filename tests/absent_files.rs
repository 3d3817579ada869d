//! Files that are merged or expire, and are deleted, between a read's plan and the read itself: the answer is right, or says
//! that the moment is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value, json};
use support::Object;
use support::archive::{alarms_for, each_alarm};
use thermocline::config::StorageConfig;
use thermocline::error::Result;
use thermocline::ports::native::{MemoryBucket, World};
use thermocline::ports::{ObjectMetadata, ObjectStore, Ports, PutCondition, PutOutcome, StoredObject};

const CONFIG: &str =
    r#"{"cold":{"icebergKeepSnapshots":5,"icebergKeepDays":1,"orphanMinAgeMs":0},"hot":{"evictAboveBytes":1}}"#;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

type Meanwhile = Box<dyn FnMut()>;

/// A bucket with which something happens before a data file is read.
struct Meddling {
    bucket: MemoryBucket,
    meanwhile: Rc<RefCell<Option<Meanwhile>>>,
}

#[async_trait(?Send)]
impl ObjectStore for Meddling {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.bucket.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        let meanwhile = self.meanwhile.borrow_mut().take();
        if let Some(mut meanwhile) = meanwhile {
            meanwhile();
            // What it reads itself is not meddled with.
            self.meanwhile.borrow_mut().get_or_insert(meanwhile);
        }
        self.bucket.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.bucket.delete(keys).await
    }
}

/// An instance, and what happens before each of its reads of the bucket, which is to be said.
fn meddled(world: &World) -> (Object, Rc<RefCell<Option<Meanwhile>>>) {
    let meanwhile = Rc::new(RefCell::new(None));
    let bucket = Meddling { bucket: world.bucket.clone(), meanwhile: Rc::clone(&meanwhile) };
    let ports = Ports { objects: Some(Rc::new(bucket)), ..world.ports() };
    (Object::configured(ports, StorageConfig::parse(CONFIG).unwrap()), meanwhile)
}

fn once(work: impl FnOnce() + 'static) -> Option<Meanwhile> {
    let mut work = Some(work);
    Some(Box::new(move || work.take().into_iter().for_each(|work| work())))
}

fn put(object: &Object, id: &str, n: i64) {
    object.ok("PUT", &format!("/collections/docs/docs/{id}"), &json!({ "n": n }).to_string());
}

/// Writes and archives, a commit each time.
fn commits(world: &World, object: &Object, values: Range<i64>, pause_ms: i64) {
    for n in values {
        world.clock.advance(pause_ms);
        put(object, "a", n);
        object.ok("POST", "/sync", "{}");
        each_alarm(world, object, MINUTE_MS, 100, |ended| ended.unwrap());
    }
}

fn data_files(world: &World) -> Vec<String> {
    world.bucket.keys().into_iter().filter(|key| key.ends_with(".parquet")).collect()
}

/// One commit more than snapshots are kept, so that none of the files that there were is left.
fn replace_all(world: &World, object: &Object, n: i64) {
    let states = || data_files(world).into_iter().filter(|key| !key.contains("changes"));
    let before: Vec<String> = states().collect();
    commits(world, object, n - 5..n + 1, 2 * DAY_MS);
    assert!(!states().any(|key| before.contains(&key)), "{before:?}");
}

#[test]
fn a_cold_read_is_planned_again() {
    let world = Rc::new(World::new(1).unwrap());
    let (object, meanwhile) = meddled(&world);
    let object = Rc::new(object);
    commits(&world, &object, 0..1, 0);
    for (round, path) in [(100, "query"), (200, "document")] {
        let (other, writing) = (Rc::clone(&world), Rc::clone(&object));
        meanwhile.replace(once(move || replace_all(&other, &writing, round)));
        let found = match path {
            "query" => object.rows("docs", r#"{"tiers":["cold"]}"#)[0].clone(),
            _ => object.ok("GET", "/collections/docs/docs/a?tiers=cold", ""),
        };
        assert_eq!(found, json!({"id": "a", "n": round}), "{path}: what there is now");
    }
}

#[test]
fn a_moment_that_expires_while_it_is_read_is_gone() {
    for path in ["query", "document", "export"] {
        let world = Rc::new(World::new(2).unwrap());
        let (object, meanwhile) = meddled(&world);
        let object = Rc::new(object);
        commits(&world, &object, 0..1, 0);
        let then = world.ports().clock.now_ms();
        // The log lets go of what is archived.
        commits(&world, &object, 1..4, 7_200_000);
        let (other, writing, met) = (Rc::clone(&world), Rc::clone(&object), Rc::new(Cell::new(false)));
        let noted = Rc::clone(&met);
        meanwhile.replace(once(move || {
            noted.set(true);
            replace_all(&other, &writing, 100);
        }));
        let (status, problem) = match path {
            "query" => object.json("POST", "/collections/docs/query", &json!({"asOf": then}).to_string()),
            "document" => object.get(&format!("/collections/docs/docs/a?asOf={then}")),
            _ => object.get(&format!("/collections/docs/export?asOf={then}")),
        };
        assert!(met.get(), "{path}: the bucket is read");
        assert_eq!(status, 410, "{path}: {problem}");
    }
}

#[test]
fn a_page_of_the_feed_is_planned_again_when_files_of_the_log_are_merged() {
    let world = Rc::new(World::new(3).unwrap());
    let (object, meanwhile) = meddled(&world);
    let object = Rc::new(object);
    commits(&world, &object, 0..6, 7_200_000);
    let expected: Vec<Value> = object.feed(100);
    let (other, writing, gone) = (Rc::clone(&world), Rc::clone(&object), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&gone);
    meanwhile.replace(once(move || {
        let before = data_files(&other);
        commits(&other, &writing, 6..60, 7_200_000);
        let after = data_files(&other);
        counted.set(before.iter().filter(|key| key.contains("changes") && !after.contains(key)).count());
    }));
    let page = object.ok("GET", "/cdc?after=0&limit=6", "");
    assert!(gone.get() > 0, "files of the log were merged meanwhile");
    assert_eq!(page["events"], json!(expected[..6]));
}

/// Each read of the bucket is met by a write of an evicted document.
#[test]
fn a_query_over_evicted_documents_is_answered_however_often_they_change() {
    let world = Rc::new(World::new(4).unwrap());
    let lines: Vec<String> = (0..300).map(|n| json!({"id": format!("d{n:04}"), "n": n}).to_string()).collect();
    Object::wake_with(&world, CONFIG).import("docs", &lines.join("\n"));
    for n in 0..3 {
        alarms_for(&world, CONFIG, 3_600_000);
        put(&Object::wake_with(&world, CONFIG), "clock", n);
    }
    alarms_for(&world, CONFIG, MINUTE_MS);
    let (object, meanwhile) = meddled(&world);
    let object = Rc::new(object);
    assert!(object.ok("GET", "/collections/docs", "")["forms"]["cold"].as_i64().unwrap() >= 300);
    let (writing, written) = (Rc::clone(&object), Rc::new(Cell::new(0_i64)));
    let count = Rc::clone(&written);
    meanwhile.replace(Some(Box::new(move || {
        let n = count.get();
        let path = format!("/collections/docs/docs/d{n:04}");
        writing.ok("PUT", &path, &json!({ "n": 1_000 + n }).to_string());
        count.set(n + 1);
    })));
    let answer =
        object.ok("POST", "/collections/docs/query", r#"{"aggregates":[{"as":"all","fn":"sum","column":"n"}]}"#);
    meanwhile.replace(None);
    assert!(written.get() > 4, "{} writes", written.get());
    // Of one moment: some of the writes, and none after them.
    let sums: Vec<i64> = (0..=written.get()).map(|writes| (0..300).sum::<i64>() + 2 + 1_000 * writes).collect();
    let sum = answer["rows"][0]["all"].as_i64().unwrap();
    assert!(sums.contains(&sum), "{answer} of {sums:?}");
}
