//! Clean-up of a registry: what is old goes, hashes first, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use support::{Object, parsed, request_to};
use thermocline::ports::native::{World, run};
use thermocline::types::time::from_rfc3339;

const REGISTRY: &str = "/v1/registry/acme";
const HASH: &str = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";

struct Registry(Object);

impl Registry {
    fn send(&self, method: &str, path: &str, media_type: &str, body: &str) -> (u16, Value) {
        let request = request_to(REGISTRY, method, path, &[("content-type", media_type)], body);
        let response = run(self.0.service.handle(request)).done().expect("the request ends");
        let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
        (response.status, value)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, value) = self.send(method, path, "application/json", &text);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    fn insert(&self, asset: &str) {
        let hashes = json!({"pdqHash": HASH, "pdqQuality": 100, "manifestLineage": {}});
        self.ok("POST", "/records", &json!({"metadata": metadata(asset), "hashes": hashes}));
    }

    fn clean_up(&self, body: &Value) -> Value {
        self.ok("POST", "/cleanup", body)
    }

    fn assets(&self) -> Vec<String> {
        let items = self.ok("GET", "/assets?direction=asc&limit=1000", &Value::Null)["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["assetId"].as_str().unwrap().to_owned()).collect()
    }
}

fn metadata(asset: &str) -> Value {
    json!({"assetId": asset, "manifestUrl": "m", "imageUrl": "i", "contentType": "image/png", "fileSize": 5})
}

fn at(world: &World, moment: &str) {
    world.clock.set(from_rfc3339(moment).unwrap());
}

#[test]
fn what_is_older_than_24_months_of_the_calendar_goes_hashes_first() {
    let world = World::new(1).unwrap();
    let registry = Registry(Object::wake(&world));
    for (asset, moment) in [
        ("a", "2024-02-27T12:00:00.000Z"),
        ("b", "2024-02-28T11:59:59.999Z"),
        ("c", "2024-02-28T12:00:00.000Z"),
        ("d", "2024-02-29T12:00:00.000Z"),
        ("e", "2024-03-01T12:00:00.000Z"),
    ] {
        at(&world, moment);
        registry.insert(asset);
    }
    registry.ok(
        "POST",
        "/collisions",
        &json!({"primaryAssetId": "a", "conflictingAssetId": "b", "similarityScores": 1, "conflictType": "copy", "lineageDiff": {}}),
    );
    at(&world, "2026-02-28T12:00:00.000Z");
    let version = registry.0.service.engine().last_sequence().unwrap();
    let planned = registry.clean_up(&json!({"dryRun": true}));
    assert_eq!(planned["deleted"], json!({"hashes": 2, "assets": 2}), "{planned}");
    assert_eq!(registry.0.service.engine().last_sequence().unwrap(), version, "it only counts");
    let done = registry.clean_up(&Value::Null);
    let expected = json!({"deleted": {"hashes": 2, "assets": 2}, "kept": {"youngerHash": 0}, "before": "2024-02-28T12:00:00.000Z", "dryRun": false, "more": false});
    assert_eq!(done, expected);
    assert_eq!(registry.assets(), ["c", "d", "e"]);
    let events = registry.ok("GET", &format!("/cdc?after={version}"), &Value::Null)["events"].clone();
    let told: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            ["operation", "collection", "documentId", "source"].map(|name| event[name].as_str().unwrap().to_owned())
        })
        .collect();
    let deleted = |collection: &str, id: &str| ["DELETE", collection, id, "cleanup"].map(str::to_owned);
    let order = [("hash_records", "a"), ("hash_records", "b"), ("asset_metadata", "a"), ("asset_metadata", "b")];
    assert_eq!(told, order.map(|(collection, id)| deleted(collection, id)));
    // The day before the 730 that are not two years here, and those days when they are asked for.
    at(&world, "2026-02-28T23:00:00.000Z");
    assert_eq!(registry.clean_up(&Value::Null)["deleted"]["assets"], 1, "c");
    at(&world, "2026-03-01T12:00:00.000Z");
    assert_eq!(registry.clean_up(&json!({}))["deleted"]["assets"], 1, "d");
    assert_eq!(registry.clean_up(&json!({"days": 730}))["deleted"]["assets"], 0);
    assert_eq!(registry.clean_up(&json!({"days": 729}))["deleted"]["assets"], 1, "e");
    assert_eq!(
        registry.ok("GET", "/collisions", &Value::Null)["items"].as_array().unwrap().len(),
        1,
        "collisions stay"
    );
}

#[test]
fn an_asset_stays_with_its_younger_hash() {
    let world = World::new(1).unwrap();
    let registry = Registry(Object::wake(&world));
    registry.ok("POST", "/assets", &metadata("a"));
    registry.ok("POST", "/assets", &metadata("b"));
    world.clock.advance(10 * 86_400_000);
    let hash = json!({"assetId": "a", "pdqHash": HASH, "pdqQuality": 100, "manifestLineage": {}});
    registry.ok("POST", "/hashes", &hash);
    let body = |dry_run: bool| json!({"days": 5, "dryRun": dry_run});
    for dry_run in [true, false] {
        let done = registry.clean_up(&body(dry_run));
        assert_eq!((&done["deleted"], &done["kept"]), (&json!({"hashes": 0, "assets": 1}), &json!({"youngerHash": 1})));
    }
    assert_eq!(registry.assets(), ["a"]);
    world.clock.advance(10 * 86_400_000);
    assert_eq!(registry.clean_up(&body(false))["deleted"], json!({"hashes": 1, "assets": 1}));
}

#[test]
fn a_call_deletes_as_many_as_it_may_and_says_that_there_are_more() {
    let world = World::new(1).unwrap();
    let registry = Registry(Object::wake(&world));
    let list: String = (0..1_200).map(|number| format!("{number:064x}\n")).collect();
    assert_eq!(registry.send("POST", "/hashes/batch", "text/plain", &list).1["imported"], 1_200);
    world.clock.advance(2 * 86_400_000);
    registry.insert("young");
    let mut deleted = [0, 0];
    for call in 0.. {
        let done = registry.clean_up(&json!({"days": 1, "limit": 700}));
        let [hashes, assets] = ["hashes", "assets"].map(|name| done["deleted"][name].as_u64().unwrap());
        assert!(hashes + assets <= 700, "{done}");
        // The index tells what is left at once.
        deleted = [deleted[0] + hashes, deleted[1] + assets];
        assert_eq!(registry.ok("GET", "/hashes/stats", &Value::Null)["keys"], 1_201 - deleted[0]);
        if done["more"] == false {
            assert_eq!(call, 3, "{done}");
            break;
        }
    }
    assert_eq!(deleted, [1_200, 1_200]);
    assert_eq!(registry.assets(), ["young"]);
    assert_eq!(registry.clean_up(&json!({"days": 1}))["deleted"], json!({"hashes": 0, "assets": 0}));
}

#[test]
fn what_cannot_be_cleaned_up_by_is_refused() {
    let registry = Registry(Object::wake(&World::new(1).unwrap()));
    for (body, pointer) in [
        (json!({"days": 0}), "/days"),
        (json!({"days": 36_501}), "/days"),
        (json!({"days": "5"}), "/days"),
        (json!({"limit": 0}), "/limit"),
        (json!({"limit": 10_001}), "/limit"),
        (json!({"dryRun": 1}), "/dryRun"),
        (json!({"month": 1}), "/month"),
    ] {
        let (status, problem) = registry.send("POST", "/cleanup", "application/json", &body.to_string());
        assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{problem}");
    }
    assert_eq!(registry.send("POST", "/cleanup?days=5", "application/json", "{}").0, 400);
    let done = registry.clean_up(&json!({"days": null}));
    assert_eq!(done["deleted"], json!({"hashes": 0, "assets": 0}), "nothing was ever written here");
}

#[test]
fn a_clean_up_goes_on_by_its_cursor_with_the_moment_that_it_began_with() {
    let world = World::new(1).unwrap();
    let registry = Registry(Object::wake(&world));
    at(&world, "2020-01-01T00:00:00.000Z");
    (0..6).for_each(|number| registry.insert(&format!("a{number}")));
    at(&world, "2024-06-01T00:00:00.000Z");
    for dry_run in [true, false] {
        let (mut body, mut deleted, mut calls) = (json!({"limit": 4, "dryRun": dry_run}), [0, 0], 0);
        let mut before = Value::Null;
        loop {
            let report = registry.clean_up(&body);
            calls += 1;
            before = if before.is_null() { report["before"].clone() } else { before };
            assert_eq!(report["before"], before, "of the first call");
            for (sum, name) in deleted.iter_mut().zip(["hashes", "assets"]) {
                *sum += report["deleted"][name].as_u64().unwrap();
            }
            assert_eq!(report["more"], json!(!report["cursor"].is_null()));
            if report["cursor"].is_null() {
                break;
            }
            body["cursor"] = report["cursor"].clone();
            world.clock.advance(3_600_000);
        }
        assert_eq!((deleted, calls), ([6, 6], 3), "dry run: {dry_run}");
        let other = json!({"limit": 4, "dryRun": dry_run, "days": 30, "cursor": body["cursor"]});
        // With the digest of what is asked and other keys: a later moment, and no phase at all.
        let forged = |keys: [&str; 3]| {
            let mut cursor: Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body["cursor"].as_str().unwrap()).unwrap()).unwrap();
            cursor["k"] = keys.map(|key| json!({"text": key})).into();
            json!({"limit": 4, "dryRun": dry_run, "cursor": URL_SAFE_NO_PAD.encode(cursor.to_string())})
        };
        let later = forged(["2026-01-01T00:00:00.000Z", "hashes", ""]);
        let phase = forged(["2020-06-01T00:00:00.000Z", "collisions", ""]);
        let report = registry.clean_up(&later);
        assert!(report["before"].as_str() < Some("2024-06-01T00:00:00.000Z"), "no later than without: {report}");
        for bad in [other, json!({"cursor": "nothing"}), phase] {
            let (status, problem) = registry.send("POST", "/cleanup", "application/json", &bad.to_string());
            assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/cursor")), "{bad}");
        }
    }
    assert!(registry.assets().is_empty());
}
