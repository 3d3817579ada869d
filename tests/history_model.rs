//! Random histories against a plain map: every answer, every read, the whole change feed and the archive agree.
//!
//! A failing history is printed whole, with the seed that makes it again: set `PROPTEST_RNG_SEED` to it, and
//! `PROPTEST_CASES` for more or fewer histories.

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

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use support::Object;
use support::archive::{Model, check_whole, settle};
use thermocline::ports::native::{World, run};

const COLLECTIONS: [&str; 2] = ["movies", "people"];

/// How soon documents change their form: as by default, where they stay rows; as soon as can be; and batches alone.
const CONFIGS: [&str; 4] = [
    "",
    r#"{"hot":{"sealRows":2,"sealMinAgeMs":0,"directBatch":3,"segmentMaxRows":64,"maxUnmergedSegments":1}}"#,
    r#"{"hot":{"sealRows":3,"sealMinAgeMs":60000,"directBatch":65536,"maxUnmergedSegments":2}}"#,
    r#"{"hot":{"directBatch":1,"maxUnmergedSegments":3},"memory":{"budgetBytes":8388608}}"#,
];

#[derive(Clone, Debug)]
enum Change {
    Insert(usize, u8, Value),
    Upsert(usize, u8, Value),
    Patch(usize, u8, Value),
    Delete(usize, u8),
}

#[derive(Clone, Debug)]
enum Step {
    One(Change),
    Batch(Vec<Change>),
    Import(usize, bool, Vec<(u8, Value)>),
    Drop(usize),
    Restart,
    Alarm,
    Sync,
    Wait(i64),
}

fn fields() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::Null),
        Just(json!({"deep": [1, {"x": null}]})),
    ];
    prop::collection::btree_map("[a-d]|[A-B]|_x|é", value, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn change() -> impl Strategy<Value = Change> {
    let place = || (0..COLLECTIONS.len(), 0..12u8);
    prop_oneof![
        (place(), fields()).prop_map(|((c, id), value)| Change::Insert(c, id, value)),
        (place(), fields()).prop_map(|((c, id), value)| Change::Upsert(c, id, value)),
        (place(), fields()).prop_map(|((c, id), value)| Change::Patch(c, id, value)),
        place().prop_map(|(c, id)| Change::Delete(c, id)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change().prop_map(Step::One),
        3 => prop::collection::vec(change(), 1..8).prop_map(Step::Batch),
        2 => (0..COLLECTIONS.len(), any::<bool>(), prop::collection::vec((0..12u8, fields()), 0..10))
            .prop_map(|(c, upsert, lines)| Step::Import(c, upsert, lines)),
        1 => (0..COLLECTIONS.len()).prop_map(Step::Drop),
        1 => Just(Step::Restart),
        1 => Just(Step::Alarm),
        1 => Just(Step::Sync),
        1 => (0..40 * 86_400_000i64).prop_map(Step::Wait),
    ]
}

fn id_of(number: u8) -> String {
    // Ids that sort and encode in their own ways.
    ["a", "b/c", "é", "Z", "0", "\u{0}", "a a", "%", "日本", "-", "~", "a\""][usize::from(number)].to_owned()
}

fn document(id: &str, fields: &Value) -> Value {
    let mut document = fields.clone();
    document["id"] = json!(id);
    document
}

fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            result.remove(name);
        } else {
            let merged = merged(result.get(name).unwrap_or(&Value::Null), value);
            result.insert(name.clone(), merged);
        }
    }
    Value::Object(result)
}

type Documents = BTreeMap<String, BTreeMap<String, Value>>;

/// What a change does to the documents; the status of its refusal.
fn apply(documents: &mut Documents, change: &Change) -> Result<(), u16> {
    let (Change::Insert(c, id, _) | Change::Upsert(c, id, _) | Change::Patch(c, id, _) | Change::Delete(c, id)) =
        change;
    let id = id_of(*id);
    let collection = documents.entry(COLLECTIONS[*c].to_owned()).or_default();
    match (change, collection.get(&id)) {
        (Change::Insert(..), Some(_)) => return Err(409),
        (Change::Patch(..) | Change::Delete(..), None) => return Err(404),
        (Change::Insert(_, _, fields) | Change::Upsert(_, _, fields), _) => {
            collection.insert(id.clone(), document(&id, fields));
        }
        (Change::Patch(_, _, fields), Some(before)) => {
            let after = merged(before, fields);
            collection.insert(id, after);
        }
        (Change::Delete(..), Some(_)) => {
            collection.remove(&id);
        }
    }
    Ok(())
}

fn send(object: &Object, change: &Change) -> u16 {
    let path = |c: &usize, id: &u8| {
        let id = percent_encoding::utf8_percent_encode(&id_of(*id), percent_encoding::NON_ALPHANUMERIC).to_string();
        format!("/collections/{}/docs/{id}", COLLECTIONS[*c])
    };
    match change {
        Change::Insert(c, id, fields) => {
            object
                .json(
                    "POST",
                    &format!("/collections/{}/docs", COLLECTIONS[*c]),
                    &document(&id_of(*id), fields).to_string(),
                )
                .0
        }
        Change::Upsert(c, id, fields) => object.json("PUT", &path(c, id), &fields.to_string()).0,
        Change::Patch(c, id, fields) => object.json("PATCH", &path(c, id), &fields.to_string()).0,
        Change::Delete(c, id) => object.json("DELETE", &path(c, id), "").0,
    }
}

fn operation(change: &Change) -> Value {
    match change {
        Change::Insert(c, id, doc) => {
            json!({"op": "insert", "collection": COLLECTIONS[*c], "id": id_of(*id), "doc": doc})
        }
        Change::Upsert(c, id, doc) => {
            json!({"op": "upsert", "collection": COLLECTIONS[*c], "id": id_of(*id), "doc": doc})
        }
        Change::Patch(c, id, doc) => {
            json!({"op": "update", "collection": COLLECTIONS[*c], "id": id_of(*id), "doc": doc})
        }
        Change::Delete(c, id) => json!({"op": "delete", "collection": COLLECTIONS[*c], "id": id_of(*id)}),
    }
}

fn import(object: &Object, documents: &mut Documents, c: usize, upsert: bool, lines: &[(u8, Value)]) {
    let body: Vec<_> = lines.iter().map(|(id, fields)| document(&id_of(*id), fields).to_string()).collect();
    let mode = if upsert { "upsert" } else { "insert" };
    let path = format!("/collections/{}/import?mode={mode}", COLLECTIONS[c]);
    let response = object.send("POST", &path, &[("content-type", "application/x-ndjson")], body.join("\n"));
    let report = support::parsed(&response);
    let mut imported = 0;
    for (id, fields) in lines {
        let change =
            if upsert { Change::Upsert(c, *id, fields.clone()) } else { Change::Insert(c, *id, fields.clone()) };
        imported += usize::from(apply(documents, &change).is_ok());
    }
    assert_eq!(
        (&report["imported"], &report["failed"]),
        (&json!(imported), &json!(lines.len() - imported)),
        "{report}"
    );
}

fn take(world: &World, config: &str, object: &mut Object, documents: &mut Documents, step: &Step) {
    match step {
        Step::One(change) => {
            let status = send(object, change);
            let expected = apply(documents, change);
            assert!(
                expected.map_or_else(|refusal| status == refusal, |()| (200..300).contains(&status)),
                "{change:?}: {status}"
            );
        }
        Step::Batch(changes) => {
            let body = json!({"operations": changes.iter().map(operation).collect::<Vec<_>>()});
            let (status, answer) = object.json("POST", "/batch", &body.to_string());
            let mut after = documents.clone();
            match changes.iter().try_for_each(|change| apply(&mut after, change)) {
                Ok(()) => {
                    assert_eq!(status, 200, "{answer}");
                    *documents = after;
                }
                Err(refusal) => assert_eq!(status, refusal, "{answer}"),
            }
        }
        Step::Import(c, upsert, lines) => import(object, documents, *c, *upsert, lines),
        Step::Drop(c) => {
            let (status, _) = object.json("DELETE", &format!("/collections/{}", COLLECTIONS[*c]), "");
            assert!(status == 204 || status == 404);
            documents.remove(COLLECTIONS[*c]);
        }
        Step::Restart => *object = Object::wake_with(world, config),
        Step::Alarm => {
            if let Some(due) = world.alarm.at_ms() {
                world.clock.set(due.max(world.ports().clock.now_ms()));
                world.alarm.take_due(due);
                run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
            }
        }
        Step::Sync => {
            let answer = object.ok("POST", "/sync", "");
            assert_eq!(answer["newCursor"], object.ok("GET", "/sync", "")["lastHotSequence"]);
        }
        Step::Wait(duration_ms) => world.clock.advance(*duration_ms),
    }
}

fn check_reads(object: &Object, documents: &Documents) {
    for collection in COLLECTIONS {
        let expected: Vec<Value> =
            documents.get(collection).map(|documents| documents.values().cloned().collect()).unwrap_or_default();
        assert_eq!(object.rows(collection, r#"{"limit":5}"#), expected);
    }
}

#[test]
fn random_histories_agree_with_a_plain_map() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let seed: u64 = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x7e57);
    println!("seed {seed}, {cases} histories");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let history = (0..CONFIGS.len(), prop::collection::vec(step(), 1..40));
    let outcome = runner.run(&history, |(config, steps)| {
        let config = CONFIGS[config];
        let world = World::new(seed).unwrap();
        let mut object = Object::wake_with(&world, config);
        let mut documents = Documents::new();
        for step in &steps {
            take(&world, config, &mut object, &mut documents, step);
            check_reads(&object, &documents);
        }
        let mut model = Model::default();
        model.follow(&object.feed(7));
        documents.retain(|_, documents| !documents.is_empty());
        model.state.retain(|_, documents| !documents.is_empty());
        assert_eq!(model.state, documents, "the feed leads to the same state");
        settle(&world);
        check_whole(&world, &model, &COLLECTIONS);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
}
