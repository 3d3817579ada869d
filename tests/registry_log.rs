//! The collision log of a registry: appended to, reviewed, listed, over real SQLite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod support;

use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::alarms_for;
use support::registry::{HASH, Registry};
use support::{Object, connect_to, parsed, request_to, restore_path};
use thermocline::ports::Clock as _;
use thermocline::ports::native::{World, run};

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

/// A registry of two assets whose log may not be decoded whole.
fn with_large_log(entries: usize) -> (Registry, Vec<String>) {
    let world = World::new(1).unwrap();
    let registry = Registry(Object::wake_with(&world, r#"{"query":{"maxDecodedBytes":1048576}}"#));
    let assets = ["a", "b", "c"];
    assets.iter().for_each(|id| drop(registry.insert(id, HASH, "k")));
    let mut logged = Vec::new();
    for number in 0..entries {
        let (primary, conflicting) = (assets[number % 2], assets[(number + 1 + number % 5 / 4) % 3]);
        let (primary, conflicting) = if primary == conflicting { ("a", "c") } else { (primary, conflicting) };
        let entry = json!({"primaryAssetId": primary, "conflictingAssetId": conflicting, "similarityScores": [number], "conflictType": "copy", "lineageDiff": {"padding": "x".repeat(20_000)}});
        logged.insert(0, registry.ok("POST", "/collisions", &entry)["collisionId"].as_str().unwrap().to_owned());
        // Some in one millisecond.
        world.clock.advance(i64::from(number % 3 == 0));
    }
    (registry, logged)
}

/// All collisions that a list tells, page by page.
fn listed(registry: &Registry, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = registry.get(&format!("/collisions?{query}{cursor}"));
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn a_log_of_any_length_is_listed_and_reviewed() {
    let (registry, logged) = with_large_log(200);
    let ids = |found: &[Value]| -> Vec<String> {
        found.iter().map(|one| one["collisionId"].as_str().unwrap().to_owned()).collect()
    };
    for limit in [7, 100, 1_000] {
        let found = listed(&registry, &format!("limit={limit}"));
        let mut sorted = ids(&found);
        assert!(found.windows(2).all(|pair| pair[0]["createdAt"].as_str() >= pair[1]["createdAt"].as_str()));
        sorted.sort_unstable();
        let mut expected = logged.clone();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "each once, by {limit}");
    }
    let all = listed(&registry, "limit=50");
    for (query, field, value) in
        [("primaryAssetId=a", "primaryAssetId", "a"), ("conflictingAssetId=c", "conflictingAssetId", "c")]
    {
        let expected: Vec<Value> = all.iter().filter(|one| one[field] == value).cloned().collect();
        assert_eq!(ids(&listed(&registry, query)), ids(&expected), "{query}");
    }
    let both: Vec<Value> =
        all.iter().filter(|one| one["primaryAssetId"] == "a" && one["conflictingAssetId"] == "c").cloned().collect();
    assert_eq!(ids(&listed(&registry, "primaryAssetId=a&conflictingAssetId=c&limit=9")), ids(&both));
    let (from, to) = (all[120]["createdAt"].as_str().unwrap(), all[80]["createdAt"].as_str().unwrap());
    let within: Vec<Value> =
        all.iter().filter(|one| (from..=to).contains(&one["createdAt"].as_str().unwrap())).cloned().collect();
    assert_eq!(ids(&listed(&registry, &format!("from={from}&to={to}"))), ids(&within));
    // The oldest and the newest, and nothing else, have this label.
    for place in [0, 199] {
        let path = format!("/collisions/{}/reviews", all[place]["collisionId"].as_str().unwrap());
        registry.ok("POST", &path, &json!({"label": "suspicious", "reviewedBy": "mia"}));
    }
    let found = listed(&registry, "reviewerLabel=suspicious&limit=3");
    assert_eq!(ids(&found), [0, 199].map(|place| all[place]["collisionId"].as_str().unwrap()));
}

#[test]
fn a_page_of_long_entries_ends_early() {
    let registry = Registry::wake(&World::new(1).unwrap());
    ["a", "b"].iter().for_each(|id| drop(registry.insert(id, HASH, "k")));
    let entry = json!({"primaryAssetId": "a", "conflictingAssetId": "b", "similarityScores": 1, "conflictType": "copy", "lineageDiff": "x".repeat(60_000)});
    (0..100).for_each(|_| drop(registry.ok("POST", "/collisions", &entry)));
    let page = registry.send("GET", "/collisions?limit=1000", "");
    assert!((4_000_000..5_000_000).contains(&page.body.bytes().len()), "{}", page.body.bytes().len());
    assert_eq!(listed(&registry, "limit=1000").len(), 100);
}

#[test]
fn a_page_of_a_long_log_reads_what_it_tells_and_a_review_one_before_it() {
    let (registry, logged) = with_large_log(120);
    let read = |path: &str| {
        let before = registry.0.service.engine().counters().rows_read;
        registry.get(path);
        registry.0.service.engine().counters().rows_read - before
    };
    let short = read("/collisions?limit=10");
    assert!(short < 200, "{short} rows");
    let path = format!("/collisions/{}/reviews", logged[5]);
    let review = json!({"label": "suspicious", "reviewedBy": "mia"});
    let cost = || {
        let before = registry.0.service.engine().counters();
        registry.ok("POST", &path, &review);
        registry.0.service.engine().counters().since(before)
    };
    let first = cost();
    for _ in 0..200 {
        cost();
    }
    let last = cost();
    assert!(last.rows_read <= first.rows_read + 10, "{} rows at first, {} later", first.rows_read, last.rows_read);
    assert_eq!(last.rows_written, first.rows_written);
}

/// A registry with a collision and settings, and a snapshot of it; the settings are others since.
fn with_snapshot(world: &World) -> (Registry, Value) {
    let registry = Registry::wake(world);
    registry.insert("a", HASH, "k1");
    registry.insert("b", HASH, "k2");
    registry.ok("PUT", "/settings", &json!({"detection": {"maxDistance": 7}}));
    registry.ok("POST", "/collisions", &json!({"primaryAssetId": "a", "conflictingAssetId": "b", "similarityScores": [1], "conflictType": "copy", "lineageDiff": {}}));
    let snapshot = registry.ok("POST", "/snapshots", &json!({"type": "full"}));
    registry.ok("PUT", "/settings", &json!({"detection": {"maxDistance": 9}}));
    registry.ok("DELETE", "/records/b", &Value::Null);
    (registry, snapshot)
}

#[test]
fn settings_and_the_log_stay_when_a_snapshot_is_restored() {
    let world = World::new(1).unwrap();
    let (registry, snapshot) = with_snapshot(&world);
    for collection in ["registry_settings", "collision_log"] {
        let body = json!({ "collections": [collection] });
        assert_eq!(registry.refused("POST", &restore_path(&snapshot), &body).0, 403, "{collection}");
    }
    let job = registry.ok("POST", &restore_path(&snapshot), &json!({}));
    alarms_for(&world, "", 60_000);
    let registry = Registry::wake(&world);
    assert_eq!(registry.get(&format!("/jobs/{}", job["id"].as_str().unwrap()))["state"], "done");
    assert_eq!(registry.get("/settings")["detection"]["maxDistance"], 9);
    assert_eq!(listed(&registry, "").len(), 1);
    assert_eq!(registry.get("/assets/b")["assetId"], "b");
}

#[test]
fn settings_and_the_log_never_become_those_of_another_tenant() {
    let world = World::new(1).unwrap();
    let mut other = World::new(2).unwrap();
    other.bucket = world.bucket.clone();
    let other = Rc::new(other);
    connect_to(&world, &other, "registry/other");
    let (registry, snapshot) = with_snapshot(&world);
    let into = json!({"into": "registry/other", "collections": ["collision_log"]});
    assert_eq!(registry.json("POST", &restore_path(&snapshot), &into).0, 403);
    let job = registry.ok("POST", &restore_path(&snapshot), &json!({"into": "registry/other"}));
    alarms_for(&other, "", 60_000);
    assert_eq!(registry.get(&format!("/jobs/{}", job["id"].as_str().unwrap()))["state"], "done");
    let restored = Object::wake(&other);
    let read = |path: &str| {
        let request = request_to("/v1/registry/other", "GET", path, &[], "");
        parsed(&run(restored.service.handle(request)).done().unwrap())
    };
    assert_eq!(read("/assets/b")["assetId"], "b");
    assert_eq!(read("/collisions")["items"], json!([]));
    assert_eq!(
        read("/settings")["detection"]["maxDistance"],
        Registry::wake(&World::new(3).unwrap()).get("/settings")["detection"]["maxDistance"]
    );
}
