//! Restores: the object becomes what a snapshot holds, whole or not at all, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::{alarms_for, check_tables, fire_next};
use support::{Object, connect, next_alarm, restore_path};
use thermocline::config::StorageConfig;
use thermocline::engine::Engine;
use thermocline::http::access::Callers;
use thermocline::http::object::ObjectService;
use thermocline::ports::PeerAnswer;
use thermocline::ports::native::{SplitMix64, World, run};

/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1},"cold":{"orphanMinAgeMs":0}}"#;
const MINUTE_MS: i64 = 60_000;

fn import(object: &Object, collection: &str, ids: std::ops::Range<usize>, value: &str) {
    let lines: Vec<String> = ids.map(|n| json!({"id": format!("d{n:05}"), "value": value}).to_string()).collect();
    object.import(collection, &lines.join("\n"));
}

/// Begins a restore and lets the alarm end it; the job at its end.
fn restore(world: &World, config: &str, snapshot: &Value, body: &Value) -> Value {
    let object = Object::wake_with(world, config);
    let (status, job) = object.json("POST", &restore_path(snapshot), &body.to_string());
    assert_eq!(status, 202, "{job}");
    alarms_for(world, config, MINUTE_MS);
    Object::wake_with(world, config).ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "")
}

#[test]
fn the_object_becomes_what_it_was_and_only_the_difference_is_told() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..1_000, "a");
    object.ok("PUT", "/collections/notes", r#"{"columns":[{"name":"n","type":"long"}],"indexes":[["n"]]}"#);
    object.ok("PUT", "/collections/notes/docs/one", r#"{"n":1,"exact":1.0,"text":"é"}"#);
    let before = object.contents();
    let taken = object.snapshot("full");
    // Changed, deleted, made anew, dropped, and a collection that was not there.
    object.upsert_numbered("films", 10..20, "b");
    object.upsert_numbered("films", 2_000..2_003, "b");
    assert_eq!(object.json("DELETE", "/collections/films/docs/d00500", "").0, 204);
    assert_eq!(object.json("DELETE", "/collections/notes", "").0, 204);
    object.ok("PUT", "/collections/other/docs/x", "{}");
    let last = object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap();

    let job = restore(&world, "", &taken, &json!({}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["progress"]["done"], job["progress"]["total"]);
    let object = Object::wake(&world);
    assert_eq!(object.contents(), before);
    let notes = object.ok("GET", "/collections/notes", "");
    assert_eq!(notes["indexes"], json!([["n"]]));
    assert_eq!(object.json("PUT", "/collections/notes/docs/two", r#"{"n":"x"}"#).0, 422, "what was declared is again");
    let events = object.ok("GET", &format!("/cdc?after={last}&limit=1000"), "")["events"].clone();
    let events = events.as_array().unwrap();
    let source = format!("snapshot:{}", taken["id"].as_str().unwrap());
    assert!(events.iter().all(|event| event["source"] == json!(source)), "{events:?}");
    let mut told: Vec<(String, String)> = events
        .iter()
        .map(|event| {
            (event["operation"].as_str().unwrap().to_owned(), event["documentId"].as_str().unwrap().to_owned())
        })
        .collect();
    told.sort();
    let mut expected: Vec<(String, String)> = (10..20).map(|n| ("UPDATE".to_owned(), format!("d{n:05}"))).collect();
    expected.extend((2_000..2_003).map(|n| ("DELETE".to_owned(), format!("d{n:05}"))));
    expected
        .extend([("INSERT", "d00500"), ("INSERT", "one"), ("DELETE", "x")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    expected.sort();
    assert_eq!(told, expected);
    object.ok("POST", "/sync", "{}");
    check_tables(&world);
}

#[test]
fn only_the_collections_asked_for_are_touched() {
    let world = World::new(2).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    import(&object, "books", 0..100, "a");
    let taken = object.snapshot("full");
    object.upsert_numbered("books", 0..100, "b");
    assert_eq!(object.json("DELETE", "/collections/films", "").0, 204);
    object.ok("PUT", "/collections/other/docs/x", "{}");
    let mut expected = object.contents();
    assert_eq!(restore(&world, "", &taken, &json!({"collections": ["films"]}))["state"], "done");
    let rows: Vec<Value> = (0..100).map(|n| json!({"id": format!("d{n:05}"), "value": "a"})).collect();
    expected["films"] = json!(rows);
    assert_eq!(Object::wake(&world).contents(), expected);
}

#[test]
fn a_chain_of_incremental_snapshots_is_restored() {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..300, "a");
    object.snapshot("full");
    let mut states = Vec::new();
    for round in 0..4_usize {
        object.upsert_numbered("films", round * 50..round * 50 + 100, &format!("v{round}"));
        for n in (round..300).step_by(37) {
            assert!([204, 404].contains(&object.json("DELETE", &format!("/collections/films/docs/d{n:05}"), "").0));
        }
        if round == 2 {
            assert_eq!(object.json("DELETE", "/collections/films", "").0, 204);
            import(&object, "films", 250..320, "again");
        }
        states.push((object.snapshot("incremental"), object.contents()));
    }
    for (taken, expected) in states.into_iter().rev() {
        assert_eq!(restore(&world, EVICTING, &taken, &json!({}))["state"], "done");
        assert_eq!(Object::wake_with(&world, EVICTING).contents(), expected, "version {}", taken["version"]);
    }
    check_tables(&world);
}

/// An instance all of whose films are evicted.
fn evicted(world: &World, config: &str, films: usize) -> Object {
    // The log lets go of segments an hour after the batches that made them.
    for n in 0..3 {
        alarms_for(world, config, 3_600_000);
        Object::wake_with(world, config).ok("PUT", "/collections/clock/docs/one", &json!({ "n": n }).to_string());
    }
    alarms_for(world, config, MINUTE_MS);
    let object = Object::wake_with(world, config);
    let forms = object.ok("GET", "/collections/films", "")["forms"].clone();
    assert_eq!(forms["cold"], films, "{forms}");
    object
}

/// More than are in memory at once, or than one write may replace.
#[test]
fn any_number_of_evicted_documents_is_replaced_and_deleted() {
    let config = r#"{"hot":{"evictAboveBytes":1,"directBatch":8},"cold":{"orphanMinAgeMs":0}}"#;
    let world = World::new(13).unwrap();
    let object = Object::wake_with(&world, config);
    import(&object, "films", 0..40, "small");
    let before = object.contents();
    let taken = object.snapshot("full");
    // 35 of them are replaced, 5 are as they were, and 45 are deleted: 80 MB.
    let large = "x".repeat(1_000_000);
    for start in (5..85).step_by(10) {
        object.upsert_numbered("films", start..start + 10, &large);
    }
    let object = evicted(&world, config, 85);
    let last = object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap();
    let job = restore(&world, config, &taken, &json!({"collections": ["films"]}));
    assert_eq!(job["state"], "done", "{job}");
    let object = Object::wake_with(&world, config);
    assert_eq!(object.contents()["films"], before["films"]);
    assert_eq!(object.ok("GET", "/sync", "")["lastHotSequence"], last + 80);
    let mut events = object.ok("GET", &format!("/cdc?after={last}&limit=1"), "")["events"].clone();
    let event = events[0].take();
    assert_eq!(event["before"]["value"], json!(large), "the image before is whole");
    // Again nothing differs.
    let last = object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap();
    assert_eq!(restore(&world, config, &taken, &json!({"collections": ["films"]}))["state"], "done");
    assert_eq!(Object::wake_with(&world, config).ok("GET", "/sync", "")["lastHotSequence"], last);
    check_tables(&world);
}

#[test]
fn large_collections_are_compared_page_by_page() {
    let world = World::new(4).unwrap();
    let object = Object::wake_with(&world, EVICTING);
    // More than one page of the comparison holds; all of it is evicted.
    let filler = "x".repeat(2_000);
    for start in (0..12_000).step_by(2_000) {
        import(&object, "films", start..start + 2_000, &filler);
    }
    let taken = object.snapshot("full");
    let object = evicted(&world, EVICTING, 12_000);
    for n in [0, 5_999, 6_000, 11_999] {
        assert_eq!(object.json("DELETE", &format!("/collections/films/docs/d{n:05}"), "").0, 204);
    }
    object.ok("PUT", "/collections/films/docs/d07000", r#"{"value":"changed"}"#);
    let last = object.ok("GET", "/sync", "")["lastHotSequence"].as_i64().unwrap();
    let job = restore(&world, EVICTING, &taken, &json!({"collections": ["films"]}));
    assert_eq!(job["state"], "done", "{job}");
    let object = Object::wake_with(&world, EVICTING);
    assert_eq!(object.ok("GET", "/sync", "")["lastHotSequence"], last + 5, "four are made, one is changed");
    assert_eq!(object.ok("GET", "/collections/films/docs/d07000", "")["value"], json!(filler));
    let forms = object.ok("GET", "/collections/films", "")["forms"].clone();
    assert_eq!(["row", "segment", "cold"].map(|form| forms[form].as_i64().unwrap()).iter().sum::<i64>(), 12_000);
}

#[test]
fn while_it_goes_on_others_do_not_write_and_readers_see_the_old_state() {
    let world = World::new(5).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    let taken = object.snapshot("full");
    object.upsert_numbered("films", 0..100, "b");
    let before = object.contents();
    let (status, job) = object.json("POST", &restore_path(&taken), "");
    assert_eq!(status, 202);
    assert_eq!(job["state"], "running");
    let job = job["id"].as_str().unwrap().to_owned();
    // This instance, and one that wakes.
    for object in [&object, &Object::wake(&world)] {
        for (method, path, body) in [
            ("PUT", "/collections/films/docs/d00001", "{}"),
            ("DELETE", "/collections/films/docs/d00001", ""),
            ("DELETE", "/collections/films", ""),
            ("PUT", "/collections/more", "{}"),
            ("POST", "/batch", r#"{"operations":[{"op":"delete","collection":"films","id":"d00001"}]}"#),
        ] {
            let (status, problem) = object.json(method, path, body);
            assert_eq!(status, 503, "{method} {path}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(&job), "{problem}");
            assert_eq!(problem["retryable"], true);
        }
        assert_eq!(object.contents(), before);
        assert_eq!(object.json("POST", &restore_path(&taken), "").0, 409, "one at a time");
        let snapshot = format!("/snapshots/{}", taken["id"].as_str().unwrap());
        assert_eq!(object.json("DELETE", &snapshot, "").0, 409, "it is being read");
    }
    alarms_for(&world, "", MINUTE_MS);
    assert_eq!(object.ok("GET", &format!("/jobs/{job}"), "")["state"], "done");
    object.ok("PUT", "/collections/films/docs/d00001", "{}");
    let snapshot = format!("/snapshots/{}", taken["id"].as_str().unwrap());
    assert_eq!(object.json("DELETE", &snapshot, "").0, 204);
}

#[test]
fn damaged_files_end_the_job_and_change_nothing() {
    let world = World::new(6).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    let taken = object.snapshot("full");
    object.upsert_numbered("films", 0..100, "b");
    let before = object.contents();
    let id = taken["id"].as_str().unwrap();
    let manifest = format!("snapshots/demo/1/{id}.json");
    let text = world.bucket.object(&manifest).unwrap().bytes;
    let parsed: Value = serde_json::from_slice(&text).unwrap();
    let file = parsed["tables"][0]["files"][0]["key"].as_str().unwrap().to_owned();
    let bytes = world.bucket.object(&file).unwrap().bytes;
    // A bit of the manifest: it is not even begun.
    let mut broken = text.clone();
    broken[40] ^= 1;
    world.bucket.overwrite(&manifest, broken);
    let (status, problem) = object.json("POST", &restore_path(&taken), "");
    assert_eq!((status, problem["tier"].clone()), (500, json!("cold")), "{problem}");
    world.bucket.overwrite(&manifest, text);
    // A bit of a file, and a file cut short.
    for damage in [|bytes: &mut Vec<u8>| bytes[60] ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(90)] {
        let mut broken = bytes.clone();
        damage(&mut broken);
        world.bucket.overwrite(&file, broken);
        let object = Object::wake(&world);
        let (status, job) = object.json("POST", &restore_path(&taken), "");
        assert_eq!(status, 202, "{job}");
        let object = Object::wake(&world);
        assert!(fire_next(&world, &object).is_err(), "the failure is logged");
        let job = object.ok("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), "");
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["error"].as_str().unwrap().contains(&file), "{job}");
        assert_eq!(object.contents(), before);
        object.ok("PUT", "/collections/films/docs/d00001", r#"{"value":"b"}"#);
    }
    world.bucket.overwrite(&file, bytes);
    assert_eq!(restore(&world, "", &taken, &json!({}))["state"], "done");
}

#[test]
fn documents_older_than_what_was_declared_come_back() {
    let world = World::new(7).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/films/docs/old", r#"{"n":"text"}"#);
    object.ok("PUT", "/collections/films", r#"{"columns":[{"name":"n","type":"long"}]}"#);
    let taken = object.snapshot("full");
    assert_eq!(object.json("DELETE", "/collections/films/docs/old", "").0, 204);
    assert_eq!(restore(&world, "", &taken, &json!({}))["state"], "done");
    let object = Object::wake(&world);
    assert_eq!(object.ok("GET", "/collections/films/docs/old", "")["n"], "text");
    assert_eq!(object.json("PUT", "/collections/films/docs/new", r#"{"n":"text"}"#).0, 422);
}

#[test]
fn a_declaration_that_cannot_come_back_is_told() {
    let world = World::new(15).unwrap();
    let object = Object::wake(&world);
    for name in ["films", "books"] {
        object.ok("PUT", &format!("/collections/{name}"), r#"{"columns":[{"name":"n","type":"int"}]}"#);
        object.ok("PUT", &format!("/collections/{name}/docs/one"), r#"{"n":1}"#);
    }
    let taken = object.snapshot("full");
    let wider = r#"{"columns":[{"name":"n","type":"long"}],"indexes":[["n"]]}"#;
    object.ok("PUT", "/collections/films", wider);
    object.ok("PUT", "/collections/films/docs/one", r#"{"n":5000000000}"#);
    object.ok("PUT", "/collections/books", r#"{"columns":[{"name":"n","type":"int"}],"indexes":[["n"]]}"#);
    object.ok("POST", "/sync", "{}");
    let job = restore(&world, "", &taken, &json!({}));
    assert_eq!((&job["state"], &job["definitionsKept"]), (&json!("done"), &json!(["films"])), "{job}");
    let object = Object::wake(&world);
    assert_eq!(object.ok("GET", "/collections/films/docs/one", "")["n"], 1);
    let declared = |name: &str| object.ok("GET", &format!("/collections/{name}"), "");
    assert_eq!(declared("films")["indexes"], json!([["n"]]), "it is as it was before the restore");
    assert_eq!(declared("books")["indexes"], json!([]), "{}", declared("books"));
    object.ok("PUT", "/collections/films/docs/two", r#"{"n":5000000000}"#);
    assert_eq!(object.json("PUT", "/collections/books/docs/two", r#"{"n":5000000000}"#).0, 422);
    // Where all came back nothing is said of it.
    let job = restore(&world, "", &taken, &json!({"collections": ["books"]}));
    assert_eq!((&job["state"], job.get("definitionsKept")), (&json!("done"), None), "{job}");
}

#[test]
fn another_object_restores_it() {
    let world = World::new(8).unwrap();
    let mut other = World::new(9).unwrap();
    other.bucket = world.bucket.clone();
    let other = Rc::new(other);
    connect(&world, &other);
    let object = Object::wake(&world);
    import(&object, "films", 0..200, "a");
    object.snapshot("full");
    object.upsert_numbered("films", 0..10, "b");
    let taken = object.snapshot("incremental");
    let expected = object.contents();
    object.ok("PUT", "/collections/films/docs/d00001", r#"{"value":"c"}"#);
    let (status, job) = object.json("POST", &restore_path(&taken), r#"{"into":"demo/2"}"#);
    assert_eq!(status, 202, "{job}");
    let job = format!("/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(object.ok("GET", &job, "")["state"], "running");
    object.ok("PUT", "/collections/films/docs/d00002", r#"{"value":"c"}"#);
    alarms_for(&other, "", MINUTE_MS);
    assert_eq!(object.ok("GET", &job, "")["state"], "done");
    let read = |path: &str, body: &str| {
        let service =
            ObjectService::new(Engine::new(other.ports(), StorageConfig::default()), Callers::Anyone).unwrap();
        let mut request = support::request("POST", path, &[("content-type", "application/json")], body);
        request.path = request.path.replace("/demo/1", "/demo/2");
        support::parsed(&run(service.handle(request)).done().unwrap())
    };
    assert_eq!(read("/collections/films/query", r#"{"limit":1000}"#)["rows"], expected["films"]);
    // An object that cannot be reached, and one that refuses.
    assert_eq!(object.json("POST", &restore_path(&taken), r#"{"into":"demo/3"}"#).0, 503);
    let (status, problem) =
        object.json("POST", &restore_path(&taken), r#"{"into":"demo/2","collections":["nothing"]}"#);
    assert_eq!((status, problem["errors"][0]["pointer"].clone()), (422, json!("/collections/0")), "{problem}");
}

#[test]
fn what_cannot_be_restored_is_refused_and_changes_nothing() {
    let world = World::new(10).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    let taken = object.snapshot("full");
    for (body, status) in [
        ("{", 400),
        ("[]", 422),
        (r#"{"to":"demo/2"}"#, 422),
        (r#"{"into":"demo"}"#, 422),
        (r#"{"into":"demo/.."}"#, 422),
        (r#"{"into":"demo/2/3"}"#, 422),
        (r#"{"into":7}"#, 422),
        (r#"{"collections":[]}"#, 422),
        (r#"{"collections":["nothing"]}"#, 422),
        (r#"{"collections":"films"}"#, 422),
    ] {
        let (got, problem) = object.json("POST", &restore_path(&taken), body);
        assert_eq!(got, status, "{body}: {problem}");
    }
    let unknown = "0192d3f0-0000-7000-8000-000000000000";
    assert_eq!(object.json("POST", &format!("/snapshots/{unknown}/restore"), "").0, 404);
    assert_eq!(object.get(&format!("/snapshots/{unknown}/restore")).0, 405);
    assert_eq!(object.get(&format!("/jobs/{unknown}")).0, 404);
    assert_eq!(object.get("/jobs/nothing").0, 404);
    assert_eq!(object.json("POST", &format!("/jobs/{unknown}"), "").0, 405);
    object.ok("PUT", "/collections/films/docs/d00001", "{}");
}

/// Random states of several collections, with snapshots now and then; each is restored from each later state.
#[test]
fn every_snapshot_of_a_random_history_is_restored() {
    let seeds = 12;
    for seed in 0..seeds {
        let world = World::new(100 + seed).unwrap();
        let mut random = SplitMix64::new(seed);
        let config = if seed % 2 == 0 { "" } else { EVICTING };
        let mut taken: Vec<(Value, Value)> = Vec::new();
        for step in 0..40 {
            let object = Object::wake_with(&world, config);
            world.clock.advance(i64::try_from(random.below(3_000)).unwrap());
            let collection = ["a", "b"][random.below(2)];
            let from = random.below(150);
            match random.below(12) {
                0..=2 => object.upsert_numbered(collection, from..from + 80, &format!("s{step}")),
                3..=5 => object.upsert_numbered(collection, from..from + 3, &format!("s{step}")),
                6 => {
                    object.json("DELETE", &format!("/collections/{collection}"), "");
                }
                7 | 8 => {
                    object.json("DELETE", &format!("/collections/{collection}/docs/d{from:05}"), "");
                }
                9 => {
                    let kind = if taken.is_empty() || random.below(2) == 0 { "full" } else { "incremental" };
                    taken.push((object.snapshot(kind), object.contents()));
                }
                10 if !taken.is_empty() => {
                    let (wanted, expected) = taken[random.below(taken.len())].clone();
                    let job = restore(&world, config, &wanted, &json!({}));
                    assert_eq!(job["state"], "done", "seed {seed}, step {step}: {job}");
                    assert_eq!(Object::wake_with(&world, config).contents(), expected, "seed {seed}, step {step}");
                }
                _ => alarms_for(&world, config, MINUTE_MS),
            }
        }
        check_tables(&world);
    }
    println!("{seeds} histories, seeds 0 to {}", seeds - 1);
}

/// Another object that answers a request to begin, and then some number of questions, with a status and a body.
fn answer(world: &World, object: &str, answers: Vec<(u16, &'static str)>) -> Rc<Cell<usize>> {
    let asked = Rc::new(Cell::new(0));
    let counted = Rc::clone(&asked);
    world.peers.answer_for(
        object,
        Rc::new(move |_, _, _| {
            let (status, body) = answers[counted.get().min(answers.len() - 1)];
            counted.set(counted.get() + 1);
            PeerAnswer { status, body: body.as_bytes().to_vec() }
        }),
    );
    asked
}

#[test]
fn a_snapshot_that_another_object_restores_stays_until_it_has_ended() {
    let world = World::new(16).unwrap();
    let mut other = World::new(17).unwrap();
    other.bucket = world.bucket.clone();
    let other = Rc::new(other);
    connect(&world, &other);
    let object = Object::wake(&world);
    import(&object, "films", 0..200, "a");
    let taken = object.snapshot("full");
    let snapshot = format!("/snapshots/{}", taken["id"].as_str().unwrap());
    let begin = |into: &str| {
        let (status, job) = object.json("POST", &restore_path(&taken), &json!({ "into": into }).to_string());
        (status, job["id"].as_str().unwrap_or_default().to_owned())
    };
    let (status, job) = begin("demo/2");
    assert_eq!(status, 202);
    for object in [&object, &Object::wake(&world)] {
        let (status, problem) = object.json("DELETE", &snapshot, "");
        assert_eq!(status, 409, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&job), "{problem}");
    }
    // It would expire by their number.
    let keeping = r#"{"snapshots":{"keepCount":1}}"#;
    Object::wake_with(&world, keeping).snapshot("full");
    alarms_for(&world, keeping, 10 * MINUTE_MS);
    assert_eq!(Object::wake(&world).ok("GET", &format!("/jobs/{job}"), "")["state"], "running");
    assert_eq!(Object::wake(&world).ok("GET", &snapshot, "")["id"], taken["id"]);
    alarms_for(&other, "", MINUTE_MS);
    // The alarm asks, though nobody else does; this object is written to meanwhile.
    object.ok("PUT", "/collections/films/docs/d00001", "{}");
    alarms_for(&world, "", 20 * MINUTE_MS);
    assert_eq!(object.json("DELETE", &snapshot, "").0, 204);
    assert_eq!(object.ok("GET", &format!("/jobs/{job}"), "")["state"], "done");
}

#[test]
fn a_snapshot_is_let_go_when_the_other_object_refuses_or_has_forgotten_or_never_answers() {
    let world = World::new(18).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..200, "a");
    let taken = object.snapshot("full");
    let snapshot = format!("/snapshots/{}", taken["id"].as_str().unwrap());
    let begin = |into: &str| object.json("POST", &restore_path(&taken), &json!({ "into": into }).to_string());
    let refused = answer(&world, "demo/refuses", vec![(409, r#"{"status":409}"#)]);
    assert_eq!((begin("demo/refuses").0, refused.get()), (409, 1));
    alarms_for(&world, "", 10 * MINUTE_MS);
    assert_eq!(refused.get(), 1, "it is not asked again");
    let forgets = answer(&world, "demo/forgets", vec![(202, "{}"), (200, r#"{"state":"running"}"#), (404, "{}")]);
    let (status, _) = begin("demo/forgets");
    assert_eq!(status, 202);
    let (_, problem) = object.json("DELETE", &snapshot, "");
    let job = problem["detail"].as_str().unwrap().split(' ').find(|word| word.len() == 36).unwrap().to_owned();
    alarms_for(&world, "", 10 * MINUTE_MS);
    assert!(forgets.get() >= 3, "{}", forgets.get());
    let told = object.ok("GET", &format!("/jobs/{job}"), "");
    assert_eq!((&told["state"], &told["error"]), (&json!("failed"), &json!("the other object does not know it")));
    // An outcome that nobody knows holds too, and is asked for ever more rarely.
    let silent = answer(&world, "demo/silent", vec![(202, "{}"), (503, "{}")]);
    assert_eq!(begin("demo/silent").0, 202);
    assert_eq!(begin("demo/nowhere").0, 503);
    alarms_for(&world, "", 30 * MINUTE_MS);
    assert_eq!(object.json("DELETE", &snapshot, "").0, 409);
    alarms_for(&world, "", 240 * MINUTE_MS);
    assert_eq!(silent.get(), 21, "one request and twenty questions");
    assert_eq!(next_alarm(&world), None, "nothing is left to be asked");
    assert_eq!(object.json("DELETE", &snapshot, "").0, 204);
}

#[test]
fn only_so_many_restores_are_given_to_others_at_once() {
    let world = World::new(19).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..10, "a");
    let taken = object.snapshot("full");
    answer(&world, "demo/2", vec![(202, "{}")]);
    let begin = || object.json("POST", &restore_path(&taken), r#"{"into":"demo/2"}"#);
    for _ in 0..16 {
        assert_eq!(begin().0, 202);
    }
    let (status, problem) = begin();
    assert_eq!(status, 409, "{problem}");
}

/// Ids that come in no order, as UUIDs do: every file has some of every range of ids.
#[test]
fn each_file_is_read_a_few_times_whatever_the_order_of_ids() {
    let documents = std::env::var("RESTORED_DOCUMENTS").map_or(16_000, |text| text.parse().unwrap());
    let world = World::new(12).unwrap();
    let object = Object::wake(&world);
    let mut random = SplitMix64::new(1);
    let mut ids = Vec::new();
    for _ in 0..documents / 1_000 {
        let some: Vec<String> = (0..1_000).map(|_| format!("{:016x}", random.next_u64())).collect();
        let mut value = || (0..50).map(|_| format!("{:016x}", random.next_u64())).collect::<String>();
        let lines: Vec<_> = some.iter().map(|id| json!({"id": id, "value": value()}).to_string()).collect();
        object.import("films", &lines.join("\n"));
        ids.extend(some);
    }
    let expected = object.ok("GET", &format!("/collections/films/docs/{}", ids[documents / 2]), "");
    let taken = object.snapshot("full");
    let manifest = format!("snapshots/demo/1/{}.json", taken["id"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&world.bucket.object(&manifest).unwrap().bytes).unwrap();
    let files = manifest["tables"][0]["files"].as_array().unwrap();
    let bytes = |file: &Value| world.bucket.object(file["key"].as_str().unwrap()).unwrap().bytes.len();
    let size = u64::try_from(files.iter().map(bytes).sum::<usize>()).unwrap();
    let measured = |what: &str| {
        let before = world.bucket.counts();
        let job = restore(&world, "", &taken, &json!({}));
        assert_eq!(job["state"], "done", "{what}: {job}");
        let after = world.bucket.counts();
        let (gets, bytes) = (after.gets - before.gets, after.bytes_out - before.bytes_out);
        println!("{what}: {gets} reads, {bytes} bytes of {} files with {size}", files.len());
        bytes
    };
    let nothing = measured("nothing differs");
    let object = Object::wake(&world);
    for id in ids.iter().step_by(documents / 10) {
        object.ok("PUT", &format!("/collections/films/docs/{id}"), r#"{"value":"b"}"#);
    }
    let some = measured("ten differ");
    let object = Object::wake(&world);
    assert_eq!(object.json("DELETE", "/collections/films", "").0, 204);
    let all = measured("all are gone");
    let object = Object::wake(&world);
    assert_eq!(object.ok("GET", &format!("/collections/films/docs/{}", ids[documents / 2]), ""), expected);
    // Each byte is read once to be proved; then what tells the versions, and the row groups that have what differs.
    assert!(nothing < size * 13 / 10, "{nothing} of {size}");
    assert!(some < size * 23 / 10, "{some} of {size}");
    assert!(all < size * 23 / 10, "{all} of {size}");
}

#[test]
fn twenty_failures_of_the_swap_end_the_job_and_each_counts_once() {
    let world = World::new(14).unwrap();
    let object = Object::wake(&world);
    import(&object, "films", 0..100, "a");
    let taken = object.snapshot("full");
    let before = object.contents();
    let (_, job) = object.json("POST", &restore_path(&taken), "");
    let id = job["id"].as_str().unwrap().to_owned();
    let sql = world.ports().sql;
    let to_swap = r#"UPDATE jobs SET job = replace(job, '{"verify":{"file":0}}', '"swap"')"#;
    sql.query(to_swap, &[]).unwrap();
    world.bucket.go_away(0);
    let mut failures = 0;
    loop {
        let object = Object::wake(&world);
        let _logged = fire_next(&world, &object);
        let text = format!("SELECT job ->> 'failures' FROM jobs WHERE id = '{id}'");
        let counted = thermocline::ports::expect_integer(sql.query(&text, &[]).unwrap()[0].first()).unwrap();
        if counted == failures {
            // The job was not due yet.
            continue;
        }
        failures += 1;
        assert_eq!(counted, failures, "each failure counts once");
        if object.ok("GET", &format!("/jobs/{id}"), "")["state"] == "failed" {
            break;
        }
    }
    assert_eq!(failures, 20);
    world.bucket.come_back();
    let object = Object::wake(&world);
    assert_eq!(object.contents(), before);
    object.ok("PUT", "/collections/films/docs/d00001", "{}");
}
