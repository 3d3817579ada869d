//! The asset registry: records, similarity search, collisions and reviews, over real SQLite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::{Object, parsed, request_to};
use thermocline::http::message::Response;
use thermocline::ports::Clock as _;
use thermocline::ports::native::{World, run};

const REGISTRY: &str = "/v1/registry/acme";
const HASH: &str = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";

struct Registry(Object);

impl Registry {
    fn wake(world: &World) -> Self {
        Self(Object::wake(world))
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let request = request_to(REGISTRY, method, path, headers, body);
        run(self.0.service.handle(request)).done().expect("the request ends")
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(method, path, &text);
        let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
        (response.status, value)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.json(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &Value::Null)
    }

    fn insert(&self, asset: &str, hash: &str, issuer: &str) -> Value {
        self.ok("POST", "/records", &record(asset, hash, issuer))
    }

    /// The places of what is refused.
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let before = self.0.service.engine().counters().rows_written;
        let (status, problem) = self.json(method, path, body);
        assert!(status >= 400, "{method} {path} {body}: {status} {problem}");
        assert_eq!(self.0.service.engine().counters().rows_written, before, "{method} {path} {body} wrote: {problem}");
        (status, problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    }
}

fn asset(id: &str) -> Value {
    json!({"assetId": id, "manifestUrl": "https://m.example/1", "imageUrl": "https://i.example/1", "contentType": "image/png", "fileSize": 5})
}

fn hash(hash: &str, issuer: &str) -> Value {
    json!({"pdqHash": hash, "pdqQuality": 100, "manifestLineage": {"issuerKeyId": issuer}})
}

fn record(id: &str, of: &str, issuer: &str) -> Value {
    json!({"metadata": asset(id), "hashes": hash(of, issuer)})
}

/// A hash with some of its last bits flipped.
fn flipped(bits: u32) -> String {
    let (head, tail) = HASH.split_at(48);
    let number = u64::from_str_radix(tail, 16).unwrap() ^ ((1_u64 << bits) - 1);
    format!("{head}{number:016x}")
}

#[test]
fn a_record_is_an_asset_and_its_hash_in_one_transaction() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    let made = registry.insert("a1", &HASH.to_uppercase(), "k1");
    let read = registry.get("/records/a1");
    assert_eq!(read["metadata"]["metadataId"], made["metadataId"]);
    assert_eq!(read["metadata"]["tenantId"], "acme");
    assert_eq!((&read["metadata"]["assetId"], &read["metadata"]["status"]), (&json!("a1"), &json!("pending")));
    assert_eq!((&read["hashes"]["hashId"], &read["hashes"]["pdqHash"]), (&made["hashId"], &json!(HASH)));
    assert_eq!(registry.get("/assets/a1"), read["metadata"]);
    assert_eq!(registry.get("/hashes/a1"), read["hashes"]);
    let events = registry.get("/cdc");
    let collections: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["collection"]).collect();
    assert_eq!(collections, ["asset_metadata", "hash_records"]);
    assert_eq!(registry.refused("GET", "/records/a2", &Value::Null).0, 404);
}

#[test]
fn what_cannot_be_a_record_is_refused_and_writes_nothing() {
    let registry = Registry::wake(&World::new(1).unwrap());
    registry.insert("a1", HASH, "k1");
    let with = |pointer: &str, value: Value| {
        let mut body = record("a2", HASH, "k1");
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let cases = [
        (record("a1", HASH, "k1"), 409, ""),
        (with("/metadata/fileSize", json!(-1)), 422, "/metadata/fileSize"),
        (with("/metadata/fileSize", json!(1.5)), 422, "/metadata/fileSize"),
        (with("/metadata/imageUrl", json!("")), 422, "/metadata/imageUrl"),
        (with("/metadata/imageUrl", json!("x".repeat(2_049))), 422, "/metadata/imageUrl"),
        (with("/metadata/assetId", json!("")), 400, ""),
        (with("/hashes/pdqHash", json!(&HASH[1..])), 422, "/hashes/pdqHash"),
        (with("/hashes/pdqHash", json!(format!("{HASH}0"))), 422, "/hashes/pdqHash"),
        (with("/hashes/pdqHash", json!(HASH.replace('f', "g"))), 422, "/hashes/pdqHash"),
        (with("/hashes/pdqQuality", json!(101)), 422, "/hashes/pdqQuality"),
        (with("/hashes/manifestLineage", json!(null)), 422, "/hashes/manifestLineage"),
        (with("/hashes/manifestLineage/issuerKeyId", json!(5)), 422, "/hashes/manifestLineage/issuerKeyId"),
    ];
    for (body, status, pointer) in cases {
        assert_eq!(registry.refused("POST", "/records", &body), (status, pointer.to_owned()), "{body}");
    }
    let mut body = record("a2", HASH, "k1");
    body["hashes"]["embeddingConfidence"] = json!(1.00001);
    assert_eq!(registry.refused("POST", "/records", &body), (422, "/hashes/embeddingConfidence".to_owned()));
    body["hashes"]["embeddingConfidence"] = json!(0.98765);
    assert_eq!(registry.refused("POST", "/records", &body).0, 422);
    body["hashes"]["embeddingConfidence"] = json!(0.9876);
    registry.ok("POST", "/records", &body);
    assert_eq!(registry.get("/hashes/a2")["embeddingConfidence"], json!(0.9876));
    let mut unknown = hash(HASH, "k1");
    unknown["assetId"] = json!("nobody");
    assert_eq!(registry.refused("POST", "/hashes", &unknown).0, 409);
}

#[test]
fn a_hash_goes_before_its_asset() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a1", HASH, "k1");
    registry.insert("a2", HASH, "k1");
    let document = |id: &str| format!("/collections/asset_metadata/docs/{id}");
    assert_eq!(registry.refused("DELETE", &document("a1"), &Value::Null).0, 409);
    registry.ok("DELETE", "/hashes/a1", &Value::Null);
    assert_eq!(registry.get("/records/a1")["hashes"], Value::Null);
    registry.ok("DELETE", &document("a1"), &Value::Null);
    registry.ok("DELETE", "/records/a2", &Value::Null);
    let gone = registry.json("DELETE", "/records/a2", &Value::Null);
    assert_eq!(gone.0, 404, "{}", gone.1);
    registry.ok("POST", "/assets", &asset("a3"));
    registry.ok("DELETE", "/records/a3", &Value::Null);
}

#[test]
fn every_way_of_writing_is_held_to_the_constraints() {
    let registry = Registry::wake(&World::new(1).unwrap());
    registry.insert("a1", HASH, "k1");
    let mut stored: Value = registry.get("/collections/hash_records/docs/a1");
    stored["pdqHash"] = json!(HASH.to_uppercase());
    let path = "/collections/hash_records/docs/a1";
    assert_eq!(registry.refused("PUT", path, &stored), (422, "/pdqHash".to_owned()));
    stored["pdqHash"] = json!(HASH);
    registry.ok("PUT", path, &stored);
    stored["id"] = json!("a2");
    assert_eq!(registry.refused("PUT", "/collections/hash_records/docs/a2", &stored).0, 409);
    let batch = json!({"operations": [{"op": "delete", "collection": "asset_metadata", "id": "a1"}]});
    assert_eq!(registry.refused("POST", "/batch", &batch).0, 409);
    for (method, path) in [
        ("PUT", "/collections/asset_metadata"),
        ("PUT", "/collections/collision_log"),
        ("DELETE", "/collections/hash_records"),
        ("DELETE", "/collections/collision_log"),
        ("PUT", "/collections/collision_log/docs/x"),
        ("PUT", "/collections/registry_settings/docs/settings"),
    ] {
        assert_eq!(registry.refused(method, path, &json!({})).0, 403, "{method} {path}");
    }
    let batch = json!({"operations": [{"op": "insert", "collection": "collision_log", "id": "x", "doc": {}}]});
    let (status, problem) = registry.json("POST", "/batch", &batch);
    assert!(status == 403 && problem["detail"].as_str().unwrap().contains("WORM"), "{problem}");
}

#[test]
fn an_asset_is_changed_but_for_what_it_is() {
    let registry = Registry::wake(&World::new(1).unwrap());
    registry.ok("POST", "/assets", &asset("a1"));
    let before = registry.get("/assets/a1");
    let changed = registry.ok("PATCH", "/assets/a1", &json!({"status": "done", "processedAt": 1_767_225_600_000_i64}));
    assert_eq!((&changed["status"], &changed["metadataId"]), (&json!("done"), &before["metadataId"]));
    assert_eq!(changed["processedAt"], "2026-01-01T00:00:00.000Z");
    for body in [json!({"assetId": "a2"}), json!({"fileSize": -1}), json!({"status": null}), json!({"fileSize": "5"})] {
        assert_eq!(registry.refused("PATCH", "/assets/a1", &body).0, 422, "{body}");
    }
    assert_eq!(registry.refused("PATCH", "/assets/a2", &json!({"status": "done"})).0, 404);
}

#[test]
fn lists_are_newest_first_and_by_lineage() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    for (place, issuer) in ["k1", "k2", "k1"].iter().enumerate() {
        registry.insert(&format!("a{place}"), &flipped(u32::try_from(place).unwrap()), issuer);
        world.clock.advance(1_000);
    }
    let ids = |path: &str| -> Vec<String> {
        let items = registry.get(path)["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["assetId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("/hashes"), ["a2", "a1", "a0"]);
    assert_eq!(ids("/hashes?orderBy=updatedAt&direction=asc"), ["a0", "a1", "a2"]);
    assert_eq!(ids("/hashes?issuerKeyId=k1"), ["a2", "a0"]);
    assert_eq!(ids(&format!("/hashes?pdq={}", flipped(1).to_uppercase())), ["a1"]);
    assert_eq!(ids("/hashes?parentHash=none"), [""; 0]);
    assert_eq!(ids("/assets?status=pending"), ["a2", "a1", "a0"]);
    let page = registry.get("/hashes?limit=2");
    let cursor = page["cursor"].as_str().unwrap();
    assert_eq!(ids(&format!("/hashes?limit=2&cursor={cursor}")), ["a0"]);
    for bad in
        ["/hashes?orderBy=pdqHash", "/hashes?limit=0", "/hashes?pdq=1", "/hashes?direction=up", "/hashes?offset=3"]
    {
        let status = if bad.contains("pdq=") { 422 } else { 400 };
        assert_eq!(registry.refused("GET", bad, &Value::Null).0, status, "{bad}");
    }
}

#[test]
fn near_hashes_are_found_at_once_by_distance_and_then_by_asset() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    for (asset, bits) in [("z", 0), ("b", 3), ("a", 3), ("c", 31), ("d", 32), ("e", 40)] {
        registry.insert(asset, &flipped(bits), "k");
    }
    let search = |body: Value| registry.ok("POST", "/hashes/search", &body);
    let found = |answer: &Value| -> Vec<(String, u64)> {
        let matches = answer["matches"].as_array().unwrap().iter();
        matches.map(|one| (one["assetId"].as_str().unwrap().to_owned(), one["distance"].as_u64().unwrap())).collect()
    };
    let near = search(json!({"pdqHash": HASH}));
    let expected = [("z", 0), ("a", 3), ("b", 3), ("c", 31)].map(|(id, distance)| (id.to_owned(), distance));
    assert_eq!(found(&near), expected);
    assert_eq!((&near["total"], &near["matches"][0]["pdqHash"]), (&json!(4), &json!(HASH)));
    assert_eq!(found(&search(json!({"pdqHash": HASH, "limit": 2}))), expected[..2]);
    assert_eq!(found(&search(json!({"pdqHash": HASH, "k": 2}))), expected[..2]);
    assert_eq!(found(&search(json!({"pdqHash": HASH, "k": 2.0}))), expected[..2], "2.0 is a whole number");
    assert_eq!(found(&search(json!({"pdqHash": HASH, "maxDistance": 255}))).len(), 6);
    assert_eq!(found(&search(json!({"pdqHash": HASH, "minQuality": 100}))).len(), 4);
    registry.ok("DELETE", "/hashes/a", &Value::Null);
    assert_eq!(found(&search(json!({"pdqHash": HASH, "k": 2}))), [expected[0].clone(), expected[2].clone()]);
    let batch = json!({"queries": [{"pdqHash": HASH, "k": 1}, {"pdqHash": flipped(40), "maxDistance": 0}]});
    let results = registry.ok("POST", "/hashes/search/batch", &batch);
    assert_eq!((found(&results["results"][0])[0].0.as_str(), found(&results["results"][1])[0].0.as_str()), ("z", "e"));
    // And by an instance that has to read what is packed, and the log.
    let again = Registry::wake(&world);
    assert_eq!(again.ok("POST", "/hashes/search", &json!({"pdqHash": HASH}))["matches"].as_array().unwrap().len(), 3);
    for (body, pointer) in [
        (json!({"pdqHash": &HASH[1..]}), "/pdqHash"),
        (json!({"pdqHash": HASH, "maxDistance": 256}), "/maxDistance"),
        (json!({"pdqHash": HASH, "k": 0}), "/k"),
        (json!({"pdqHash": HASH, "k": 1.5}), "/k"),
        (json!({"pdqHash": HASH, "k": -1}), "/k"),
        (json!({"pdqHash": HASH, "k": 1_001}), "/k"),
        (json!({"pdqHash": HASH, "k": 5, "maxDistance": 3}), "/k"),
        (json!({"pdqHash": HASH, "limit": 0}), "/limit"),
        (json!({"pdqHash": HASH, "minQuality": 101}), "/minQuality"),
        (json!({}), ""),
    ] {
        assert_eq!(registry.refused("POST", "/hashes/search", &body), (422, pointer.to_owned()), "{body}");
    }
    assert_eq!(registry.refused("POST", "/hashes/search/batch", &json!({"queries": []})).0, 422);
    let many = |limit: usize| json!({"queries": vec![json!({"pdqHash": HASH, "limit": limit}); 101]});
    assert_eq!(
        registry.refused("POST", "/hashes/search/batch", &many(1_000)).0,
        422,
        "more matches than one answer has"
    );
    let found = registry.ok("POST", "/hashes/search/batch", &many(990));
    assert_eq!(found["results"].as_array().unwrap().len(), 101);
}

#[test]
fn detection_logs_collisions_of_other_lineages_and_says_what_it_left_out() {
    let registry = Registry::wake(&World::new(1).unwrap());
    for place in 0..20 {
        registry.insert(&format!("a{place:02}"), &flipped(place), if place == 5 { "k2" } else { "k1" });
    }
    let made = registry.ok("POST", "/records?detect=true", &record("b", HASH, "k2"));
    assert_eq!(made["matches"][0], json!({"assetId": "a00", "distance": 0, "pdqHash": HASH, "quality": 100}));
    let expected = json!({"found": 20, "logged": 16, "notLogged": 3, "notCompared": 0, "qualityTooLow": false});
    assert_eq!((&made["detection"], made["collisionIds"].as_array().unwrap().len()), (&expected, 16));
    let log = registry.get("/collisions?primaryAssetId=b");
    assert_eq!(log["items"].as_array().unwrap().len(), 16);
    let first = registry.get(&format!("/collisions/{}", made["collisionIds"][0].as_str().unwrap()));
    assert_eq!((&first["conflictingAssetId"], &first["conflictType"]["kind"]), (&json!("a00"), &json!("exact_copy")));
    assert_eq!(first["similarityScores"], json!({"pdqDistance": 0, "pdqSimilarity": 1.0}));
    assert_eq!(first["lineageDiff"], json!({"issuerKeyId": {"primary": "k2", "conflicting": "k1"}}));
    assert_eq!((&first["reviewerLabel"], &first["reviews"]), (&Value::Null, &json!([])));
    // The same lineage, and a poor hash, collide with nothing.
    let made = registry.ok("POST", "/records?detect=true", &record("c", HASH, "k1"));
    assert_eq!(made["collisionIds"].as_array().unwrap().len(), 2, "a05 and b are another's");
    let mut poor = record("d", HASH, "k3");
    poor["hashes"]["pdqQuality"] = json!(49);
    let made = registry.ok("POST", "/records?detect=true", &poor);
    assert_eq!((&made["collisionIds"], &made["detection"]["qualityTooLow"]), (&json!([]), &json!(true)));
    registry.ok(
        "PUT",
        "/settings",
        &json!({"detection": {"collisionsMax": 1, "minQuality": 0, "compare": ["parentHash"]}}),
    );
    let made = registry.ok("POST", "/records?detect=true", &record("e", HASH, "k4"));
    assert_eq!((&made["collisionIds"], &made["detection"]["notLogged"]), (&json!([]), &json!(0)));
    for bad in
        [json!({"detection": {"maxDistance": 32}}), json!({"detections": {}}), json!({"embedding": {"dimension": 0}})]
    {
        assert_eq!(registry.refused("PUT", "/settings", &bad).0, 422, "{bad}");
    }
}

#[test]
fn collisions_are_appended_reviewed_and_never_changed() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a", HASH, "k1");
    registry.insert("b", HASH, "k2");
    let collision = |primary: &str, conflicting: &str| json!({"primaryAssetId": primary, "conflictingAssetId": conflicting, "similarityScores": [0.5], "conflictType": "copy", "lineageDiff": {}});
    let id = registry.ok("POST", "/collisions", &collision("a", "b"))["collisionId"].as_str().unwrap().to_owned();
    world.clock.advance(1_000);
    let later = registry.ok("POST", "/collisions", &collision("b", "a"))["collisionId"].as_str().unwrap().to_owned();
    assert_eq!(
        registry.refused("POST", "/collisions", &collision("a", "nobody")),
        (409, "/conflictingAssetId".to_owned())
    );
    let mut bad = collision("a", "b");
    bad.as_object_mut().unwrap().remove("lineageDiff");
    assert_eq!(registry.refused("POST", "/collisions", &bad).0, 422);
    let reviews = format!("/collisions/{id}/reviews");
    let review =
        |label: &str| json!({"label": label, "reviewedBy": "mia.k@example.org", "notes": "seen", "resolved": true});
    registry.ok("POST", &reviews, &review("suspicious"));
    world.clock.advance(1_000);
    registry.ok("POST", &reviews, &review("not_similar"));
    let read = registry.get(&format!("/collisions/{id}"));
    assert_eq!((&read["reviewerLabel"], &read["reviewedBy"]), (&json!("not_similar"), &json!("mia.k@example.org")));
    assert_eq!((read["reviews"].as_array().unwrap().len(), &read["reviews"][0]["label"]), (2, &json!("suspicious")));
    assert_eq!(read["resolvedAt"], read["reviews"][0]["reviewedAt"]);
    let ids = |query: &str| -> Vec<String> {
        let items = registry.get(&format!("/collisions{query}"))["items"].clone();
        items.as_array().unwrap().iter().map(|one| one["collisionId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), [later.clone(), id.clone()]);
    assert_eq!(ids("?reviewerLabel=not_similar"), [id.as_str()]);
    assert_eq!(ids("?reviewerLabel=suspicious"), [""; 0], "the latest review counts");
    assert_eq!(ids("?conflictingAssetId=a"), [later.as_str()]);
    let at = read["createdAt"].as_str().unwrap();
    assert_eq!((ids(&format!("?to={at}")), ids(&format!("?from={at}")).len()), (vec![id.clone()], 2));
    let cursor = registry.get("/collisions?limit=1")["cursor"].as_str().unwrap().to_owned();
    assert_eq!(ids(&format!("?limit=1&cursor={cursor}")), [id.as_str()]);
    for (path, body, status) in [
        (reviews.as_str(), json!({"label": "fine", "reviewedBy": "a"}), 422),
        (reviews.as_str(), json!({"label": "suspicious", "reviewedBy": "a", "notes": "x".repeat(1_001)}), 422),
        (reviews.as_str(), json!({"label": "suspicious"}), 422),
        ("/collisions/0192d3f0-0000-7000-8000-000000000000/reviews", review("suspicious"), 404),
        ("/collisions/nothing/reviews", review("suspicious"), 404),
    ] {
        assert_eq!(registry.refused("POST", path, &body).0, status, "{path} {body}");
    }
    for bad in ["/collisions?reviewerLabel=fine", "/collisions?from=yesterday"] {
        assert_eq!(registry.refused("GET", bad, &Value::Null).0, 400, "{bad}");
    }
    // SQLite itself keeps the rows.
    let table = "rows_3_1_";
    let tables = world.ports().sql.query("SELECT name FROM sqlite_master WHERE type = 'table'", &[]).unwrap();
    let name = tables.iter().find_map(|row| match &row[0] {
        thermocline::ports::SqlValue::Text(name) if name.starts_with(table) => Some(name.clone()),
        _ => None,
    });
    let name = name.expect("the table of entries");
    for statement in [
        format!("UPDATE {name} SET data = '{{}}'"),
        format!("DELETE FROM {name}"),
        format!("REPLACE INTO {name} SELECT * FROM {name}"),
    ] {
        assert!(world.ports().sql.query(&statement, &[]).is_err(), "{statement}");
    }
    assert_eq!(ids("").len(), 2);
}

#[test]
fn a_flood_of_matches_is_capped_and_said() {
    let registry = Registry::wake(&World::new(1).unwrap());
    (0..1_007).for_each(|number| drop(registry.insert(&format!("a{number:04}"), HASH, "k")));
    let made = registry.ok("POST", "/records?detect=true", &record("b", HASH, "other"));
    let expected = json!({"found": 1_007, "logged": 16, "notLogged": 984, "notCompared": 7, "qualityTooLow": false});
    assert_eq!(made["detection"], expected);
}

#[test]
fn the_last_review_is_the_last_that_was_committed_and_reviews_are_bounded() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a", HASH, "k1");
    registry.insert("b", HASH, "k2");
    let collision = json!({"primaryAssetId": "a", "conflictingAssetId": "b", "similarityScores": [0.5], "conflictType": "copy", "lineageDiff": {}});
    let review = |label: &str, notes: &str| json!({"label": label, "reviewedBy": "mia", "notes": notes});
    let id = registry.ok("POST", "/collisions", &collision)["collisionId"].as_str().unwrap().to_owned();
    let path = format!("/collisions/{id}/reviews");
    registry.ok("POST", &path, &review("suspicious", "first"));
    // By an instance whose clock is behind; and in the same millisecond.
    world.clock.set(world.clock.now_ms() - 60_000);
    let behind = Registry::wake(&world);
    for number in 0..20 {
        behind.ok("POST", &path, &review("not_similar", &number.to_string()));
    }
    let read = behind.get(&format!("/collisions/{id}"));
    assert_eq!((&read["reviewerLabel"], &read["reviewerNotes"]), (&json!("not_similar"), &json!("19")));
    let notes: Vec<&str> =
        read["reviews"].as_array().unwrap().iter().map(|one| one["notes"].as_str().unwrap()).collect();
    assert_eq!(notes[..3], ["first", "0", "1"]);
    for _ in 21..1_000 {
        behind.ok("POST", &path, &review("not_similar", ""));
    }
    assert_eq!(behind.refused("POST", &path, &review("not_similar", "one more")).0, 409);
}

#[test]
fn a_page_of_collisions_ends_where_their_reviews_are_many_bytes() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a", HASH, "k1");
    registry.insert("b", HASH, "k2");
    let collision = json!({"primaryAssetId": "a", "conflictingAssetId": "b", "similarityScores": [0.5], "conflictType": "copy", "lineageDiff": {}});
    let review = json!({"label": "suspicious", "reviewedBy": "mia", "notes": "🖼".repeat(1_000)});
    let mut logged: Vec<String> = Vec::new();
    for _ in 0..32 {
        let id = registry.ok("POST", "/collisions", &collision)["collisionId"].as_str().unwrap().to_owned();
        world.clock.advance(1);
        (0..50).for_each(|_| drop(registry.ok("POST", &format!("/collisions/{id}/reviews"), &review)));
        logged.insert(0, id);
    }
    for query in ["", "&reviewerLabel=suspicious"] {
        let (mut listed, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let page = registry.get(&format!("/collisions?limit=1000{query}{cursor}"));
            pages += 1;
            for one in page["items"].as_array().unwrap() {
                assert_eq!(one["reviews"].as_array().unwrap().len(), 50);
                listed.push(one["collisionId"].as_str().unwrap().to_owned());
            }
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(listed, logged, "each once, newest first");
        assert!(pages > 1, "{pages} pages of {} bytes of notes", 32 * 50 * 4_000);
    }
}

#[test]
fn other_objects_have_no_registry() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    assert_eq!(object.json("POST", "/records", &record("a", HASH, "k").to_string()).0, 404);
    assert_eq!(object.json("GET", "/hashes", "").0, 404);
}

#[test]
fn what_a_record_and_a_search_cost_in_rows() {
    let world = World::new(9).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a0", HASH, "k");
    let counters = |registry: &Registry| registry.0.service.engine().counters();
    let before = counters(&registry);
    registry.insert("a1", &flipped(1), "k");
    let written = counters(&registry).since(before).rows_written;
    let search = json!({"pdqHash": HASH});
    registry.ok("POST", "/hashes/search", &search);
    let before = counters(&registry);
    registry.ok("POST", "/hashes/search", &search);
    let searched = counters(&registry).since(before);
    // The first collision makes the log's table.
    registry.ok("POST", "/records?detect=true", &record("b", &flipped(2), "other"));
    let before = counters(&registry);
    registry.ok("POST", "/records?detect=true", &record("c", &flipped(3), "third"));
    let detected = counters(&registry).since(before).rows_written;
    println!(
        "a record writes {written} rows, with three collisions {detected}; a search reads {} rows",
        searched.rows_read
    );
    // The asset, the hash, and their record in the log; the entries of indexes are not counted here.
    assert_eq!((written, searched.rows_written), (3, 0));
    assert!(searched.rows_read <= 2, "{searched:?}");
    assert_eq!(detected, written + 3 + 1, "the collisions, and their record in the log");
}
