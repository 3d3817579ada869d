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
use support::registry::{HASH, Registry, asset, flipped, hash, record};
use support::{Object, parsed};
use thermocline::ports::SqlStore as _;
use thermocline::ports::native::World;

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
fn a_record_is_deleted_in_the_version_of_its_asset() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.insert("a", HASH, "k1");
    registry.ok("PATCH", "/assets/a", &json!({"status": "seen"}));
    let delete = |tag: &str| registry.send_with("DELETE", "/records/a", &[("if-match", tag)], "").status;
    assert_eq!((delete("\"1\""), delete("\"2\"")), (412, 412), "that of the hash is another");
    assert_eq!(registry.get("/records/a")["hashes"]["pdqHash"], HASH);
    let version = registry.send("GET", "/assets/a", "");
    let tag = support::header(&version, "etag").to_owned();
    assert_eq!(delete(&tag), 204);
    assert_eq!(registry.refused("GET", "/records/a", &Value::Null).0, 404);
}

#[test]
fn a_hash_whose_text_has_escapes_is_a_hash_like_any_other() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    registry.ok("POST", "/assets", &asset("a"));
    let escaped = HASH.replacen('f', "\\u0066", 2);
    let document = format!(
        r#"{{"hashId":"0192d3f0-0000-7000-8000-000000000001","pdqHash":"{escaped}","pdqQuality":90,"manifestLineage":{{}},"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}}"#
    );
    let stored = registry.send("PUT", "/collections/hash_records/docs/a", &document);
    assert_eq!(stored.status, 201, "{}", parsed(&stored));
    let found = |registry: &Registry| registry.ok("POST", "/hashes/search", &json!({"pdqHash": HASH}))["total"].clone();
    assert_eq!((found(&registry), found(&Registry::wake(&world))), (json!(1), json!(1)));
    registry.ok("DELETE", "/hashes/a", &Value::Null);
    assert_eq!((found(&registry), found(&Registry::wake(&world))), (json!(0), json!(0)));
}

#[test]
fn fields_that_nobody_declared_do_not_speak_for_the_registry() {
    let registry = Registry::wake(&World::new(1).unwrap());
    registry.insert("a", HASH, "k1");
    registry.ok(
        "PATCH",
        "/collections/asset_metadata/docs/a",
        &json!({"tenantId": "other", "assetId": "b", "more": 1}),
    );
    let read = registry.send("GET", "/assets/a", "");
    let text = String::from_utf8(read.body.bytes().to_vec()).unwrap();
    assert_eq!((text.matches("tenantId").count(), text.matches("assetId").count()), (1, 1), "{text}");
    let read = parsed(&read);
    assert_eq!((&read["tenantId"], &read["assetId"], &read["more"]), (&json!("acme"), &json!("a"), &json!(1)));
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
fn long_lineages_do_not_keep_others_from_being_logged() {
    let registry = Registry::wake(&World::new(1).unwrap());
    registry.insert("a", HASH, &"k".repeat(100_000));
    let made = registry.ok("POST", "/records?detect=true", &record("b", HASH, "other"));
    assert_eq!(made["detection"]["logged"], 1, "{made}");
    let logged = registry.get(&format!("/collisions/{}", made["collisionIds"][0].as_str().unwrap()));
    let told = &logged["lineageDiff"]["issuerKeyId"];
    assert_eq!((&told["primary"], &told["conflicting"]["bytes"]), (&json!("other"), &json!(100_002)), "{told}");
    assert_eq!(told["conflicting"]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn as_many_lineages_are_compared_as_their_bytes_allow() {
    let registry = Registry::wake(&World::new(1).unwrap());
    let long = "x".repeat(1_000_000);
    for number in 0..20 {
        let mut one = record(&format!("a{number:02}"), HASH, "k");
        one["hashes"]["manifestLineage"]["long"] = json!(long);
        registry.ok("POST", "/records", &one);
    }
    let made = registry.ok("POST", "/records?detect=true", &record("b", HASH, "other"));
    let expected = json!({"found": 20, "logged": 16, "notLogged": 1, "notCompared": 3, "qualityTooLow": false});
    assert_eq!(made["detection"], expected);
}

#[test]
fn a_refused_insert_after_a_wake_leaves_the_index_as_it_is() {
    let world = World::new(1).unwrap();
    let registry = Registry::wake(&world);
    let list: String = (0..2_000).map(|number| format!("{:064x}\n", number * 7_919)).collect();
    let imported = registry.send_with("POST", "/hashes/batch", &[("content-type", "text/plain")], &list);
    assert_eq!(parsed(&imported)["imported"], 2_000);
    registry.ok("POST", "/hashes/search", &json!({"pdqHash": HASH}));
    let blocks = || world.sql.query("SELECT * FROM registry_blocks", &[]).unwrap();
    let packed = blocks();
    assert!(!packed.is_empty());
    let woken = Registry::wake(&world);
    let mut bad = record("b", HASH, "k");
    bad["hashes"]["embedding"] = json!([1, 2, 3]);
    assert_eq!(woken.refused("POST", "/records?detect=true", &bad).0, 422);
    assert_eq!(blocks(), packed);
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
