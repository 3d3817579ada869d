//! What documents cost in rows of SQLite, over their whole life: the platform bills by rows written and read.
//!
//! Counted natively, where inserts, updates, deletes and `CREATE TABLE` count as on the platform; an alarm that is set is
//! one row more there, and is added here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::fmt::Write as _;

use support::{Object, next_alarm};
use thermocline::ports::SqlCounters;
use thermocline::ports::native::{World, run};

/// An object, and what it has cost.
struct Counted {
    world: World,
    object: Object,
    alarms_set: u64,
}

impl Counted {
    fn new() -> Self {
        Self::configured("")
    }

    fn configured(config: &str) -> Self {
        let world = World::new(3).unwrap();
        let object = Object::wake_with(&world, config);
        // The tables of the object and of its archive are made before anything is counted.
        object.ok("PUT", "/collections/docs/docs/first", r#"{"n":0}"#);
        let mut counted = Self { world, object, alarms_set: 0 };
        counted.settle();
        counted
    }

    fn counters(&self) -> SqlCounters {
        self.object.service.engine().counters()
    }

    /// Rows written by `work`, the alarms that it sets included.
    fn written(&mut self, work: impl FnOnce(&mut Self)) -> u64 {
        let (before, alarms) = (self.counters().rows_written, self.alarms_set);
        let due = self.world.alarm.at_ms();
        work(self);
        let set = u64::from(self.world.alarm.at_ms() != due && self.alarms_set == alarms);
        self.counters().rows_written - before + (self.alarms_set - alarms) + set
    }

    /// Runs alarms until none is set but for what expires in days or years.
    fn settle(&mut self) {
        for _ in 0..100 {
            let Some(due) = next_alarm(&self.world) else { return };
            self.world.clock.set(due.max(self.world.ports().clock.now_ms()));
            self.world.alarm.take_due(due);
            run(self.object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
            // Armed again at its start, and at its end if there is more.
            self.alarms_set += 1 + u64::from(self.world.alarm.at_ms().is_some());
            self.world.clock.advance(1);
        }
        panic!("the alarm does not come to rest: {:?}", self.world.alarm.at_ms());
    }

    fn forms(&self) -> (i64, i64) {
        let told = self.object.ok("GET", "/collections/docs", "");
        (told["forms"]["row"].as_i64().unwrap(), told["forms"]["segment"].as_i64().unwrap())
    }

    fn batch(&self, from: usize, count: usize) {
        let mut body = String::from("{\"operations\":[");
        for n in from..from + count {
            let separator = if n > from { "," } else { "" };
            write!(body, r#"{separator}{{"op":"insert","collection":"docs","doc":{{"id":"d{n:07}","n":{n}}}}}"#)
                .unwrap();
        }
        body.push_str("]}");
        self.object.ok("POST", "/batch", &body);
    }

    fn lines(count: usize) -> String {
        (0..count)
            .map(|n| format!("{{\"id\":\"i{n:07}\",\"delay\":{},\"origin\":\"A{}\"}}\n", n % 90, n % 50))
            .collect()
    }
}

#[test]
fn one_document_costs_two_rows_in_the_request_whatever_becomes_of_it() {
    let mut counted = Counted::new();
    counted.object.ok("PUT", "/collections/docs/docs/second", "{}");
    let insert = counted.written(|counted| drop(counted.object.ok("PUT", "/collections/docs/docs/a", r#"{"n":1}"#)));
    let update = counted.written(|counted| drop(counted.object.ok("PATCH", "/collections/docs/docs/a", r#"{"n":2}"#)));
    let delete = counted.written(|counted| drop(counted.object.json("DELETE", "/collections/docs/docs/a", "")));
    assert_eq!((insert, update, delete), (2, 2, 2));
}

#[test]
fn a_sealed_document_costs_one_row_more_to_change() {
    let mut counted = Counted::new();
    counted.batch(0, 100);
    counted.settle();
    assert_eq!(counted.forms(), (1, 100));
    counted.object.ok("PUT", "/collections/docs/docs/second", "{}");
    let update =
        counted.written(|counted| drop(counted.object.ok("PATCH", "/collections/docs/docs/d0000001", r#"{"n":2}"#)));
    let delete = counted.written(|counted| drop(counted.object.json("DELETE", "/collections/docs/docs/d0000002", "")));
    // The deletion bitmap, the event and, for an update, the new version.
    assert_eq!((update, delete), (3, 2));
    assert_eq!(counted.forms(), (3, 98));
}

#[test]
fn a_batch_is_one_row_for_its_documents_and_one_for_its_events() {
    let mut counted = Counted::new();
    counted.batch(0, 100);
    for size in [64, 100, 10_000] {
        let written = counted.written(|counted| counted.batch(size * 1_000, size));
        assert_eq!(written, 2, "a batch of {size}");
    }
    let written = counted.written(|counted| drop(counted.object.import("docs", &Counted::lines(70_000))));
    // Two chunks of at most 65,536 documents.
    assert_eq!(written, 4, "an import of 70,000");
}

#[test]
fn the_whole_life_of_single_inserts_costs_at_most_two_rows_and_a_twentieth_each() {
    let mut counted = Counted::new();
    const COUNT: u32 = 5_000;
    let written = counted.written(|counted| {
        for n in 0..COUNT {
            counted.object.ok("PUT", &format!("/collections/docs/docs/s{n:05}"), r#"{"n":1}"#);
        }
        counted.settle();
        counted.world.clock.advance(2 * 3_600_000);
        counted.object.ok("PUT", "/collections/docs/docs/last", "{}");
        counted.settle();
    });
    let each = f64::from(u32::try_from(written).unwrap()) / f64::from(COUNT);
    println!("P1: {each:.4} rows a single insert, whole life");
    assert!(each <= 2.05, "{each}");
    assert!(counted.forms().1 >= i64::from(COUNT) - 1_000, "most are sealed: {:?}", counted.forms());
}

#[test]
fn the_whole_life_of_batches_costs_at_most_a_twentieth_of_a_row_a_document() {
    let mut counted = Counted::new();
    const BATCHES: usize = 400;
    let written = counted.written(|counted| {
        for batch in 0..BATCHES {
            counted.batch(batch * 100, 100);
            if batch % 20 == 19 {
                counted.settle();
            }
        }
        counted.settle();
        counted.world.clock.advance(2 * 3_600_000);
        counted.object.ok("PUT", "/collections/docs/docs/last", "{}");
        counted.settle();
    });
    let each = f64::from(u32::try_from(written).unwrap()) / f64::from(u32::try_from(BATCHES * 100).unwrap());
    let told = counted.object.ok("GET", "", "")["storage"]["segments"].clone();
    let bytes = |name: &str| told[name].as_f64().unwrap();
    let amplification = bytes("bytesMerged") / (bytes("bytesFromBatches") + bytes("bytesSealed"));
    println!(
        "write amplification: {amplification:.2} bytes merged a byte that came in, {} segments left",
        told["count"]
    );
    assert!((0.5..=4.0).contains(&amplification) && told["count"].as_u64().unwrap() <= 32, "{told}");
    println!("P1: {each:.4} rows a document in batches of 100, whole life");
    assert!(each <= 0.05, "{each}");
}

#[test]
fn a_strong_read_of_a_sealed_document_reads_few_rows() {
    let counted = Counted::new();
    counted.object.import("docs", &Counted::lines(70_000));
    let object = Object::wake(&counted.world);
    let read = |path: &str| {
        let before = object.service.engine().counters().rows_read;
        object.ok("GET", path, "");
        object.service.engine().counters().rows_read - before
    };
    let first = read("/collections/docs/docs/i0050000");
    let again = read("/collections/docs/docs/i0050000");
    println!("rows read by a GET of a sealed document: {first} after a wake, {again} then");
    assert!(first <= 100, "{first}");
    assert_eq!(again, 0, "row form is known to be elsewhere, the segment is in memory");
}

#[test]
fn a_generation_that_is_too_large_for_one_turn_is_sealed_in_pieces() {
    let mut counted = Counted::configured(r#"{"hot":{"directBatch":65536,"sealRows":30000,"sealBytes":16777216}}"#);
    counted.object.import("docs", &Counted::lines(40_000));
    assert_eq!(counted.forms(), (40_001, 0));
    let told = counted.object.rows("docs", r#"{"where":{"id":{"gte":"i0039990"}}}"#);
    counted.settle();
    let (row, segment) = counted.forms();
    assert_eq!(row + segment, 40_001);
    assert!(segment >= 30_000, "{row} rows are left");
    assert_eq!(counted.object.rows("docs", r#"{"where":{"id":{"gte":"i0039990"}}}"#), told);
}
