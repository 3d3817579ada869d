//! Exports: every document of the moment in which one began, once, whatever happens while it is read, in chunks that are
//! bounded and made only when they are asked for.

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

use serde_json::{Value, json};
use support::{Exported, Object, by_id};
use thermocline::engine::{EXPORT_ABANDONED_MS, EXPORT_CHUNK_BYTES, EXPORT_IDLE_MAX_MS, EXPORTS_MAX};
use thermocline::limits::DOCUMENT_MAX_BYTES;
use thermocline::ports::SqlValue;
use thermocline::ports::native::{SplitMix64, World, run};

type Documents = BTreeMap<String, Value>;

/// Documents stay in row form.
const ROWS: &str = r#"{"hot":{"sealRows":65536,"sealBytes":16777216,"directBatch":65536}}"#;
/// Everything is soon in segments.
const SEGMENTS: &str = r#"{"hot":{"sealRows":60,"sealMinAgeMs":0,"maxUnmergedSegments":2}}"#;
/// And from there in the bucket.
const EVICTING: &str = r#"{"hot":{"sealRows":60,"sealMinAgeMs":0,"maxUnmergedSegments":2,"evictAboveBytes":1}}"#;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// One instance of an object and what its collection should hold.
struct Life {
    world: World,
    object: Object,
    now: Documents,
    /// The documents at some times.
    past: Vec<(i64, Documents)>,
    changes: usize,
}

impl Life {
    fn new(seed: u64, config: &str) -> Self {
        let world = World::new(seed).unwrap();
        let object = Object::wake_with(&world, config);
        Self { world, object, now: Documents::new(), past: Vec::new(), changes: 0 }
    }

    fn document(&mut self, id: &str, bytes: usize) -> Value {
        self.changes += 1;
        // Of a kind that takes some room in a file.
        let mut random = SplitMix64::new(u64::try_from(self.changes).unwrap());
        let mut text: String = (0..bytes.min(400) / 16).map(|_| format!("{:016x}", random.next_u64())).collect();
        text.push_str(&"x".repeat(bytes - text.len()));
        json!({"id": id, "change": self.changes, "text": text})
    }

    fn import(&mut self, ids: impl Iterator<Item = usize>, bytes: usize) {
        let documents: Vec<Value> = ids.map(|n| self.document(&format!("d{n:06}"), bytes)).collect();
        let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let imported = self.object.send("POST", "/collections/docs/import?mode=upsert", &headers, lines.join("\n"));
        assert_eq!(imported.status, 200, "{imported:?}");
        self.now.extend(documents.into_iter().map(|document| (document["id"].as_str().unwrap().to_owned(), document)));
    }

    fn put(&mut self, n: usize, bytes: usize) {
        let id = format!("d{n:06}");
        let document = self.document(&id, bytes);
        self.object.ok("PUT", &format!("/collections/docs/docs/{id}"), &document.to_string());
        self.now.insert(id, document);
    }

    fn delete(&mut self, n: usize) {
        let id = format!("d{n:06}");
        if self.now.remove(&id).is_some() {
            assert_eq!(self.object.json("DELETE", &format!("/collections/docs/docs/{id}"), "").0, 204);
        }
    }

    /// Fires the alarm of this instance until nothing is pending.
    fn settle(&self) {
        self.settle_within(DAY_MS);
    }

    /// The same without what is due later.
    fn settle_within(&self, duration_ms: i64) {
        let last = self.now_ms() + duration_ms;
        for _ in 0..40 {
            let Some(due) = self.world.alarm.at_ms().filter(|due| *due <= last) else { return };
            self.world.clock.set(due.max(self.world.ports().clock.now_ms()));
            assert!(self.world.alarm.take_due(due));
            run(self.object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
        }
        panic!("the alarm does not come to rest");
    }

    /// Archives and lets go of the log, so that what the configuration evicts is evicted.
    fn archive(&self) {
        for n in 0..2 {
            self.settle();
            self.world.clock.advance(2 * HOUR_MS);
            self.object.ok("PUT", "/collections/other/docs/x", &json!({"n": n}).to_string());
        }
        self.settle();
    }

    /// What may happen between two chunks.
    fn happen(&mut self, random: &mut SplitMix64, ids: usize) {
        for _ in 0..random.below(4) {
            self.world.clock.advance(i64::try_from(random.below(2_000)).unwrap());
            match random.below(12) {
                0..=3 => self.settle_within(60_000),
                4 => {
                    let (from, count) = (random.below(ids), 64 + random.below(200));
                    self.import((from..from + count).step_by(1 + random.below(3)), 300);
                }
                5..=7 => (0..10).for_each(|_| self.delete(random.below(ids))),
                _ => (0..10).for_each(|_| self.put(random.below(ids + 50), 200 + random.below(900))),
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.world.ports().clock.now_ms()
    }

    fn forms(&self) -> (i64, i64, i64) {
        let forms = self.object.ok("GET", "/collections/docs", "")["forms"].clone();
        let count = |name: &str| forms[name].as_i64().unwrap();
        (count("row"), count("segment"), count("cold"))
    }

    fn stored_segments(&self) -> i64 {
        let rows = self.world.ports().sql.query("SELECT count(*) FROM segments", &[]).unwrap();
        match rows[0][0] {
            SqlValue::Integer(count) => count,
            ref other => panic!("expected a count, got {other:?}"),
        }
    }
}

/// Reads an export to its end, with `between` after each chunk; the lines and how many chunks there were.
fn read(mut export: Exported, mut between: impl FnMut()) -> (Vec<u8>, usize) {
    let (mut lines, mut chunks) = (Vec::new(), 0);
    while let Some(mut chunk) = export.next().unwrap() {
        assert!(chunk.len() <= EXPORT_CHUNK_BYTES + DOCUMENT_MAX_BYTES + 1, "a chunk of {} bytes", chunk.len());
        lines.append(&mut chunk);
        chunks += 1;
        between();
    }
    assert_eq!(export.next().unwrap(), None, "an end stays one");
    (lines, chunks)
}

#[test]
fn an_export_is_of_the_moment_it_began_in_whatever_happens_meanwhile() {
    for (name, config) in [("rows", ROWS), ("segments", SEGMENTS), ("evicting", EVICTING)] {
        for seed in 0..2 {
            let mut random = SplitMix64::new(seed);
            let mut life = Life::new(seed, config);
            for part in 0..6 {
                life.import((part..1_200).step_by(6), 1_200);
                life.put(random.below(1_300), 100);
                life.past.push((life.now_ms(), life.now.clone()));
                life.world.clock.advance(1_000);
                if part == 2 {
                    life.archive();
                }
            }
            life.archive();
            let mut counts = Vec::new();
            for round in 0..5 {
                // So that what was written before is let go of by the log, and evicted, while the export goes on.
                life.world.clock.advance(2 * HOUR_MS);
                life.put(1, 10);
                let (query, expected) = match random.below(3) {
                    0 => {
                        let (time, documents) = life.past[random.below(life.past.len())].clone();
                        (format!("?asOf={time}"), documents)
                    }
                    _ => (String::new(), life.now.clone()),
                };
                let export = life.object.export("docs", &query);
                assert_eq!(export.0.status, 200, "{name}, seed {seed}, round {round}: {:?}", export.0);
                let (lines, chunks) = read(export, || life.happen(&mut random, 1_250));
                let found = by_id(&lines);
                assert!(
                    found == expected,
                    "{name}, seed {seed}, round {round}{query}: {} documents, expected {}",
                    found.len(),
                    expected.len()
                );
                counts.push(chunks);
                life.past.push((life.now_ms(), life.now.clone()));
                life.world.clock.advance(1_000);
            }
            println!("{name}, seed {seed}: {counts:?} chunks, forms {:?}", life.forms());
            assert!(counts.iter().any(|chunks| *chunks > 2), "there is something between chunks");
        }
    }
}

#[test]
fn row_form_is_whole_although_it_is_sealed_and_merged_while_it_is_read() {
    let mut life = Life::new(4, r#"{"hot":{"sealRows":4000,"sealBytes":8388608,"sealMinAgeMs":0}}"#);
    for part in 0..7 {
        life.import((part..4_200).step_by(7), 100);
    }
    // More rows than a page has, and few enough to be merged with these segments once they are sealed.
    for from in (5_000..8_900).step_by(50) {
        life.import(from..from + 50, 300);
    }
    life.settle();
    assert_eq!(life.forms(), (3_900, 4_200, 0));
    let expected = life.now.clone();
    let mut export = life.object.export("docs", "");
    let mut lines = export.next().unwrap().unwrap();
    for from in (9_000..9_200).step_by(50) {
        life.import(from..from + 50, 300);
    }
    life.import(5_000..9_000, 100);
    life.settle_within(60_000);
    assert!(life.forms().0 < 1_000, "sealed: {:?}", life.forms());
    let (mut rest, _) = read(export, || {});
    lines.append(&mut rest);
    assert!(by_id(&lines) == expected, "{} documents, expected {}", by_id(&lines).len(), expected.len());
    let visible = || life.object.service.engine().segment_figures().unwrap().segments;
    let before = visible();
    life.object.get("/sync");
    life.settle();
    println!("{before} segments while it was read, {} after", visible());
    assert!(visible() < before, "what waited for the export is merged");
}

#[test]
fn evicted_documents_are_exported_with_a_few_reads_of_the_bucket() {
    // Segments that are never merged, whose rows share row groups and whose ids lie between those of all others.
    let mut life = Life::new(5, r#"{"hot":{"evictAboveBytes":1,"segmentMaxRows":1000}}"#);
    for part in 0..30 {
        life.import((part..30_000).step_by(30), 400);
    }
    life.archive();
    assert_eq!(life.forms(), (0, 0, 30_000));
    let before = life.world.bucket.counts();
    let export = life.object.export("docs", "");
    assert!(life.world.bucket.counts().gets - before.gets <= 3, "the head costs the first rows, not all");
    let (lines, chunks) = read(export, || {});
    let gets = life.world.bucket.counts().gets - before.gets;
    assert!(by_id(&lines) == life.now);
    println!("30,000 evicted documents, {} bytes, {chunks} chunks: {gets} reads of the bucket", lines.len());
    assert!(gets <= 4, "{gets} reads");
    let time = life.now_ms();
    let (lines, _) = read(life.object.export("docs", &format!("?asOf={time}")), || {});
    assert!(by_id(&lines) == life.now);
}

#[test]
fn chunks_are_made_when_they_are_asked_for_and_none_is_large() {
    for config in [ROWS, SEGMENTS] {
        let mut life = Life::new(6, config);
        for part in 0..10 {
            life.import((0..1_000).map(|n| part * 1_000 + n), 1_000);
        }
        let sizes = [DOCUMENT_MAX_BYTES - 100, 1, EXPORT_CHUNK_BYTES, DOCUMENT_MAX_BYTES - 100];
        sizes.iter().enumerate().for_each(|(n, size)| life.put(20_000 + n, *size));
        life.settle();
        let export = life.object.export("docs", "");
        let head: u64 = support::header(&export.0, "thermocline-rows-read").parse().unwrap();
        assert!(head <= 8_000, "the head read {head} rows of SQLite");
        let before = life.object.service.engine().counters().rows_read;
        assert_eq!(life.object.service.engine().counters().rows_read, before);
        let (lines, chunks) = read(export, || {});
        println!("{} bytes in {chunks} chunks; the head read {head} rows", lines.len());
        assert!(chunks > 40);
        assert!(by_id(&lines) == life.now);
    }
}

#[test]
fn what_an_export_held_goes_when_it_ends() {
    for abandoned in [false, true] {
        let mut life = Life::new(7, SEGMENTS);
        for part in 0..8 {
            life.import((part..2_000).step_by(8), 900);
        }
        life.archive();
        assert_eq!(life.stored_segments(), 1, "all is in one segment, which the log does not refer to");
        let expected = life.now.clone();
        let mut export = life.object.export("docs", "");
        let mut lines = export.next().unwrap().unwrap();
        // It is rewritten for its many deleted rows; the export needs it as it was.
        (0..1_200).for_each(|n| life.delete(n));
        life.settle_within(60_000);
        let held = life.stored_segments();
        assert_eq!(held, 2);
        if abandoned {
            drop(export);
        } else {
            lines.append(&mut read(export, || {}).0);
            assert!(by_id(&lines) == expected);
        }
        life.object.get("/sync");
        life.settle();
        let left = life.stored_segments();
        println!("abandoned: {abandoned}; segments {held} while held, {left} after");
        assert!(left < held, "{left} segments of {held} are left");
        assert!(life.object.export("docs", "").documents() == life.now);
    }
}

#[test]
fn so_many_exports_go_on_at_once_and_one_that_nobody_reads_gives_way() {
    let mut life = Life::new(8, SEGMENTS);
    life.import(0..2_000, 900);
    let mut first = life.object.export("docs", "");
    let rest: Vec<Exported> = (1..EXPORTS_MAX).map(|_| life.object.export("docs", "")).collect();
    let refused = life.object.export("docs", "").0;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    life.world.clock.advance(EXPORT_IDLE_MAX_MS);
    first.next().unwrap();
    first.next().unwrap().expect("one that is read goes on");
    let (lines, _) = read(life.object.export("docs", ""), || {});
    assert!(by_id(&lines) == life.now);
    let mut idle = rest.into_iter().next().expect("one that was not read");
    idle.next().unwrap().expect("the chunk that was made with the head");
    idle.next().unwrap().expect("what says that it breaks off");
    assert!(idle.next().unwrap_err().to_string().contains("begin again"));
    drop((first, idle));
    let all: Vec<Exported> = (0..EXPORTS_MAX).map(|_| life.object.export("docs", "")).collect();
    assert!(all.iter().all(|export| export.0.status == 200), "places are given back");
    life.world.clock.advance(EXPORT_ABANDONED_MS);
    life.put(1, 10);
    life.settle();
    for mut abandoned in all {
        abandoned.next().unwrap().expect("the chunk that was made with the head");
        abandoned.next().unwrap().expect("what says that it breaks off");
        abandoned.next().unwrap_err();
    }
}

#[test]
fn what_fails_in_the_middle_is_no_end_and_what_fails_before_has_a_status() {
    let mut life = Life::new(9, r#"{"hot":{"evictAboveBytes":1}}"#);
    life.import(0..30_000, 400);
    life.archive();
    let keys: Vec<String> = life.world.bucket.keys().into_iter().filter(|key| key.contains("/docs/data/")).collect();
    let mut export = life.object.export("docs", "");
    assert_eq!(export.0.status, 200);
    run(thermocline::ports::ObjectStore::delete(&life.world.bucket, &keys)).done().unwrap().unwrap();
    let mut lines = Vec::new();
    let failed = loop {
        match export.next() {
            Ok(Some(mut chunk)) => lines.append(&mut chunk),
            Ok(None) => panic!("a part is not the whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(failed.tier().name(), "cold");
    export.next().expect_err("nothing comes after it");
    let text = String::from_utf8(lines).unwrap();
    let last = text.split('\n').next_back().unwrap();
    assert!(last.contains("\"status\":500") && last.contains("\"tier\":\"cold\""), "{last}");
    assert!(serde_json::from_str::<Value>(last).is_err(), "the last line is no document: {last}");
    let refused = life.object.export("docs", "").0;
    assert_eq!(refused.status, 500, "{refused:?}");
}

#[test]
fn lines_are_the_documents_as_they_were_stored() {
    let life = Life::new(10, SEGMENTS);
    let texts = [
        "{\"id\":\"a\",\"n\":1.0,\"big\":9007199254740993,\"e\":1e2,\"s\":\"\\u00e9\\n\"}",
        "{\n  \"id\": \"b\",\r\n\t\"list\": [10.50,\n 2]\n}",
        "{\"id\":\"c\", \"line\":\"\u{2028}\u{85}\" , \"o\":{\"x\":-0.0}}",
    ];
    for (id, text) in ["a", "b", "c"].iter().zip(texts) {
        life.object.ok("PUT", &format!("/collections/docs/docs/{id}"), text);
    }
    let (lines, _) = read(life.object.export("docs", ""), || {});
    let lines = String::from_utf8(lines).unwrap();
    let expected = [texts[0], r#"{"id":"b","list":[10.50,2]}"#, texts[2]];
    assert_eq!(lines.split_terminator('\n').collect::<Vec<_>>(), expected, "one line a document");
}

#[test]
fn nothing_is_exported_of_what_is_not_there() {
    let mut life = Life::new(11, SEGMENTS);
    assert_eq!(life.object.export("docs", "").documents(), Documents::new(), "an object that was never written");
    life.object.ok("PUT", "/collections/other/docs/x", "{}");
    let mut never = life.object.export("docs", "");
    assert_eq!((never.0.status, support::header(&never.0, "content-type")), (200, "application/x-ndjson"));
    assert_eq!(support::header(&never.0, "thermocline-sequence"), "1");
    assert!(never.0.header("content-length").is_none());
    assert_eq!(never.next().unwrap(), None);
    life.import(0..100, 10);
    life.settle();
    assert_eq!(life.object.json("DELETE", "/collections/docs", "").0, 204);
    let time = life.now_ms();
    for query in [String::new(), format!("?asOf={time}")] {
        assert_eq!(life.object.export("docs", &query).documents(), Documents::new(), "dropped: {query}");
    }
    let rows = life.object.rows("docs", &format!(r#"{{"asOf":{time}}}"#));
    assert_eq!(rows.len(), 0, "a query of the same moment");
}

#[test]
fn what_is_no_export_is_refused() {
    let mut life = Life::new(12, "");
    life.import(0..10, 10);
    let time = life.now_ms() + 1;
    for (query, status) in [
        (format!("?asOf={time}"), 422),
        ("?asOf=yesterday".to_owned(), 400),
        ("?asOf=".to_owned(), 400),
        ("?asOf=1&asOf=1".to_owned(), 400),
        ("?after=d000001".to_owned(), 400),
        ("?tiers=cold".to_owned(), 400),
    ] {
        let refused = life.object.export("docs", &query).0;
        assert_eq!(refused.status, status, "{query}: {refused:?}");
        assert_eq!(support::header(&refused, "content-type"), "application/problem+json");
    }
    assert_eq!(life.object.export("Docs", "").0.status, 400, "a name that is none");
    assert_eq!(life.object.export("docs__changes", "").0.status, 400);
    for method in ["PUT", "PATCH", "DELETE"] {
        let refused = life.object.send(method, "/collections/docs/export", &[], "");
        assert_eq!((refused.status, support::header(&refused, "allow")), (405, "GET, HEAD, POST"), "{method}");
    }
    let early = life.object.send("GET", "/collections/docs/export", &[("min-sequence", "1000")], "");
    assert_eq!(early.status, 412);
    let head = life.object.send("HEAD", "/collections/docs/export", &[], "");
    assert_eq!((head.status, head.body.bytes(), head.header("content-length")), (200, &[][..], None));
}
