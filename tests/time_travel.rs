//! Reads of the past are compared with what was acknowledged at every moment, wherever the past is read from.

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
use support::Object;
use support::archive::settle_with;
use thermocline::config::StorageConfig;
use thermocline::ports::Ports;
use thermocline::ports::native::{SplitMix64, World};

type Documents = BTreeMap<String, Value>;

/// An object and its past: the documents of its collection after each change, with the time of the change.
struct Past {
    world: World,
    config: &'static str,
    now: Documents,
    moments: Vec<(i64, Documents)>,
}

impl Past {
    fn new(seed: u64, config: &'static str) -> Self {
        Self { world: World::new(seed).unwrap(), config, now: Documents::new(), moments: Vec::new() }
    }

    fn object(&self) -> Object {
        Object::wake_with(&self.world, self.config)
    }

    fn time(&self) -> i64 {
        self.world.ports().clock.now_ms()
    }

    /// Notes what the documents are from now on.
    fn note(&mut self) {
        self.moments.push((self.time(), self.now.clone()));
    }

    fn put(&mut self, object: &Object, id: &str, value: i64) {
        let document = json!({"id": id, "n": value});
        object.ok("PUT", &format!("/collections/docs/docs/{id}"), &document.to_string());
        self.now.insert(id.to_owned(), document);
        self.note();
    }

    fn delete(&mut self, object: &Object, id: &str) {
        assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/{id}"), "").0, 204);
        self.now.remove(id);
        self.note();
    }

    fn batch(&mut self, object: &Object, ids: std::ops::Range<usize>, value: i64) {
        let documents = ids.map(|n| json!({"id": format!("b{n:03}"), "n": value}));
        let documents: Vec<Value> = documents.collect();
        let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
        let response = object.send(
            "POST",
            "/collections/docs/import?mode=upsert",
            &[("content-type", "application/x-ndjson")],
            lines.join("\n"),
        );
        assert_eq!(response.status, 200);
        self.now.extend(documents.into_iter().map(|document| (document["id"].as_str().unwrap().to_owned(), document)));
        self.note();
    }

    fn drop_collection(&mut self, object: &Object) {
        assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204);
        self.now.clear();
        self.note();
    }

    /// What was acknowledged at a moment.
    fn at(&self, time: i64) -> Documents {
        let before = self.moments.iter().rev().find(|(at, _)| *at <= time);
        before.map(|(_, documents)| documents.clone()).unwrap_or_default()
    }

    /// Compares every moment with its reads; how many were out of retention.
    fn check(&self, context: &str) -> usize {
        let object = self.object();
        let mut gone = 0;
        let mut oldest_readable: Option<i64> = None;
        for time in self.moments.iter().flat_map(|(at, _)| [*at - 1, *at]).filter(|time| *time <= self.time()) {
            let expected = self.at(time);
            let (status, answer) =
                object.json("POST", "/collections/docs/query", &json!({"asOf": time, "limit": 1000}).to_string());
            if status == 410 {
                assert!(oldest_readable.is_none(), "{context}: {time} is gone, but an older moment is not");
                assert!(answer["detail"].as_str().unwrap().contains("the oldest that is kept"), "{answer}");
                assert_eq!(object.export("docs", &format!("?asOf={time}")).0.status, 410, "before the first byte");
                gone += 1;
                continue;
            }
            oldest_readable.get_or_insert(time);
            assert_eq!(status, 200, "{context} at {time}: {answer}");
            let rows = answer["rows"].as_array().unwrap();
            let found: Documents =
                rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone())).collect();
            assert_eq!(found.len(), rows.len(), "{context}: each document once");
            assert!(found == expected, "{context} at {time}: {} documents, expected {}", found.len(), expected.len());
            let mut export = object.export("docs", &format!("?asOf={time}"));
            assert_eq!(export.0.status, 200, "{context} at {time}: {:?}", export.0);
            assert!(export.documents() == expected, "{context} at {time}: an export that differs");
            for id in ["a0", "a3", "b001"] {
                let (status, answer) = object.get(&format!("/collections/docs/docs/{id}?asOf={time}"));
                match expected.get(id) {
                    Some(document) => assert_eq!((status, &answer), (200, document), "{context} at {time}"),
                    None => assert_eq!(status, 404, "{context} at {time}: {answer}"),
                }
            }
        }
        gone
    }
}

/// Plays some changes, archiving now and then.
fn play(seed: u64, config: &'static str, steps: usize) -> Past {
    let mut past = Past::new(seed, config);
    let mut random = SplitMix64::new(seed);
    past.world.clock.advance(1_000);
    for step in 0..steps {
        let object = past.object();
        past.world.clock.advance(i64::try_from(random.below(3_000)).unwrap());
        let (id, value) = (format!("a{}", random.below(6)), i64::try_from(step).unwrap());
        match random.below(20) {
            0 => past.batch(&object, 0..80, value),
            1 => {
                let from = random.below(60);
                past.batch(&object, from..from + 70, value);
            }
            2 if past.now.len() > 3 => past.drop_collection(&object),
            3..=6 if past.now.contains_key(&id) => past.delete(&object, &id),
            _ => past.put(&object, &id, value),
        }
        drop(object);
        if random.below(5) == 0 {
            settle_with(&past.world, config);
        }
    }
    past
}

#[test]
fn every_moment_is_read_as_it_was() {
    for seed in 0..4 {
        println!("seed {seed}");
        let past = play(seed, r#"{"hot":{"sealRows":5,"sealMinAgeMs":0}}"#, 60);
        assert_eq!(past.check(&format!("seed {seed}")), 0, "nothing is out of retention");
        settle_with(&past.world, past.config);
        assert_eq!(past.check(&format!("seed {seed}, archived")), 0);
    }
}

#[test]
fn what_is_out_of_retention_is_gone_from_its_oldest_moment_on() {
    let mut total = 0;
    for seed in 100..104 {
        println!("seed {seed}");
        let config = r#"{"hot":{"sealRows":5,"sealMinAgeMs":0},"cold":{"icebergKeepSnapshots":2,"icebergKeepDays":1}}"#;
        let past = play(seed, config, 60);
        past.world.clock.advance(3 * 86_400_000);
        let object = past.object();
        object.ok("PUT", "/collections/other/docs/x", "{}");
        settle_with(&past.world, config);
        total += past.check(&format!("seed {seed}"));
    }
    println!("{total} moments were out of retention");
}

/// Changes that nobody archived have left the log: what was there before them can not be told.
#[test]
fn what_fell_out_of_a_log_without_a_bucket_is_gone() {
    let mut past = Past::new(5, "");
    let config = StorageConfig::parse(r#"{"cdc":{"maxAgeDays":1}}"#).unwrap();
    let object = Object::configured(Ports { objects: None, ..past.world.ports() }, config);
    for change in 0..8_i64 {
        past.put(&object, ["a0", "a3", "b001", "a1"][usize::try_from(change % 4).unwrap()], change);
        past.world.clock.advance(10 * 3_600_000);
    }
    assert_eq!(object.get("/cdc?after=0").0, 410);
    // A bucket is bound; the log goes on, and lets go of what is archived.
    for change in 10..14 {
        let object = past.object();
        past.put(&object, "a3", change);
        settle_with(&past.world, "");
        past.world.clock.advance(7_200_000);
    }
    let gone = past.check("bound late");
    assert!(gone >= 8, "{gone} moments are gone");
    assert!(gone < 2 * past.moments.len() - 4, "what was archived is there: {gone}");
    let (status, problem) = past.object().get("/cdc?after=0");
    assert_eq!(status, 410, "the feed has no gaps: {problem}");
}

#[test]
fn the_future_and_what_is_no_moment_are_refused() {
    let past = play(7, "", 5);
    let object = past.object();
    let query = |body: &str| object.json("POST", "/collections/docs/query", body);
    let later = past.time() + 1;
    assert_eq!(query(&format!("{{\"asOf\":{later}}}")).0, 422);
    assert_eq!(object.get(&format!("/collections/docs/docs/a1?asOf={later}")).0, 422);
    assert_eq!(object.get("/collections/docs/docs/a1?asOf=yesterday").0, 400);
    assert_eq!(object.get("/collections/docs/docs/a1?asOf=1&tiers=hot").0, 400);
    assert_eq!(query(r#"{"asOf":"yesterday"}"#).0, 422);
    assert_eq!(query(r#"{"asOf":1,"tiers":["hot"]}"#).0, 422);
    assert_eq!(object.export("docs", &format!("?asOf={later}")).0.status, 422);
    assert_eq!(object.export("docs", "?asOf=yesterday").0.status, 400);
    let (status, answer) = object.get("/collections/never/docs/a?asOf=5");
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn what_was_dropped_before_a_moment_is_not_of_it() {
    let mut past = Past::new(77, "");
    past.world.clock.advance(1_000);
    let object = past.object();
    for change in 0..3 {
        past.put(&object, "a0", change);
        past.world.clock.advance(10);
    }
    past.drop_collection(&object);
    past.world.clock.advance(10);
    // From the log, and from a log that goes on.
    past.check("dropped");
    object.ok("PUT", "/collections/other/docs/x", "{}");
    past.world.clock.advance(10);
    past.note();
    past.check("dropped, and something else written");
    past.put(&object, "a3", 7);
    past.world.clock.advance(10);
    past.check("made again");
}
