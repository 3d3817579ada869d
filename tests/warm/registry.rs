//! Cached reads of a registry: made of the cached documents, so that whatever takes those back takes these back.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::http::message::Response;
use thermocline::ports::EdgeCache;
use thermocline::ports::native::{ManualClock, SplitMix64};

use super::lying::LyingCache;
use super::support::parsed;
use super::tenants::Tenants;

const HASH: &str = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
const ROUTES: [&str; 3] = ["/records/a", "/assets/a", "/hashes/a"];

fn lying(seed: u64, one_in: usize) -> (Tenants, [Rc<LyingCache>; 2]) {
    let clock = Rc::new(ManualClock::new(1_767_225_600_000));
    let caches = [seed, seed + 1].map(|seed| LyingCache::new(clock.clone(), seed, one_in));
    let ports = [0, 1].map(|centre: usize| -> Rc<dyn EdgeCache> { caches[centre].clone() });
    (Tenants::named(["registry/t1", "registry/t2"], clock, ports), caches)
}

fn tenants() -> Tenants {
    lying(1, 0).0
}

fn asset(id: &str) -> Value {
    json!({"assetId": id, "manifestUrl": "m", "imageUrl": "i", "contentType": "image/png", "fileSize": 5})
}

fn hash(id: Option<&str>) -> Value {
    let mut hash = json!({"pdqHash": HASH, "pdqQuality": 100, "manifestLineage": {"issuerKeyId": "k1"}});
    if let Some(id) = id {
        hash["assetId"] = json!(id);
    }
    hash
}

fn done(tenants: &Tenants, centre: usize, method: &str, target: &str, body: &str) -> Response {
    let response = tenants.send(centre, 0, method, target, body, &[]);
    assert!(response.status < 300, "{method} {target}: {response:?}");
    response
}

fn insert(tenants: &Tenants, tenant: usize, id: &str) {
    let record = json!({"metadata": asset(id), "hashes": hash(None)}).to_string();
    let response = tenants.send(0, tenant, "POST", "/records", &record, &[]);
    assert_eq!(response.status, 201, "{response:?}");
    let name = ["t1", "t2"][tenant];
    assert_eq!(response.header("location"), Some(format!("/v1/registry/{name}/records/{id}").as_str()));
}

fn cached(tenants: &Tenants, centre: usize, route: &str) -> Response {
    tenants.send(centre, 0, "GET", &format!("{route}?consistency=cached"), "", &[])
}

fn how(response: &Response) -> (u16, &str) {
    (response.status, response.header("thermocline-cache").unwrap_or("none"))
}

#[test]
fn what_is_cached_is_told_as_it_is_otherwise() {
    for route in ROUTES {
        let tenants = tenants();
        insert(&tenants, 0, "a");
        let strong = done(&tenants, 0, "GET", route, "");
        let answers = [cached(&tenants, 0, route), cached(&tenants, 0, route)];
        assert_eq!(answers.each_ref().map(how), [(200, "miss"), (200, "hit")], "{route}");
        for answer in answers {
            assert_eq!(answer.body.bytes(), strong.body.bytes(), "{route}");
            assert_eq!(answer.header("etag"), strong.header("etag"), "{route}");
            assert_eq!(answer.header("thermocline-sequence"), Some("2"), "{route}");
        }
        assert_eq!(strong.header("thermocline-cache"), None);
        assert_eq!(
            parsed(&strong).to_string().matches("\"tenantId\":\"t1\"").count(),
            if route == ROUTES[0] { 2 } else { 1 }
        );
        // What the Worker does not keep the object tells in the same words.
        let target = format!("{route}?consistency=cached");
        let conditional = tenants.send(0, 0, "GET", &target, "", &[("if-none-match", "\"99\"")]);
        assert_eq!((how(&conditional), conditional.body.bytes()), ((200, "none"), strong.body.bytes()));
        let head = tenants.send(0, 0, "HEAD", &target, "", &[]);
        assert_eq!(head.header("content-length"), Some(strong.body.bytes().len().to_string().as_str()), "{route}");
    }
}

#[test]
fn records_are_made_of_the_cached_documents() {
    let (tenants, caches) = lying(1, 0);
    insert(&tenants, 0, "a");
    for document in ["/collections/asset_metadata/docs/a", "/collections/hash_records/docs/a"] {
        assert_eq!(how(&cached(&tenants, 0, "/records/a")).0, 200);
        assert_eq!(how(&cached(&tenants, 0, document)), (200, "hit"), "{document}");
    }
    done(&tenants, 0, "DELETE", "/cache", "");
    assert_eq!(how(&cached(&tenants, 0, "/assets/a")), (200, "miss"));
    assert_eq!(how(&cached(&tenants, 0, "/records/a")), (200, "miss"), "the hash is not there yet");
    for route in ROUTES {
        assert_eq!(how(&cached(&tenants, 0, route)), (200, "hit"), "{route}");
    }
    let kept = caches[0].keys().into_iter().filter(|key| !key.ends_with("/generation"));
    assert!(kept.into_iter().all(|key| key.contains("/document/")), "no key of another form");
}

#[test]
fn every_way_of_writing_takes_records_back() {
    let batch = |collection: &str, patch: Value| {
        let operation = json!({"op": "update", "collection": collection, "id": "a", "doc": patch});
        json!({"operations": [operation]}).to_string()
    };
    let changed = json!({"pdqQuality": 50}).to_string();
    for (method, target, body) in [
        ("PATCH", "/assets/a", json!({"status": "done"}).to_string()),
        ("PATCH", "/collections/asset_metadata/docs/a", json!({"status": "done"}).to_string()),
        ("PATCH", "/collections/hash_records/docs/a", changed),
        ("POST", "/batch", batch("asset_metadata", json!({"status": "done"}))),
        ("POST", "/batch", batch("hash_records", json!({"pdqQuality": 50}))),
        ("DELETE", "/hashes/a", String::new()),
        ("DELETE", "/collections/hash_records/docs/a", String::new()),
        ("DELETE", "/records/a", String::new()),
        (
            "POST",
            "/batch",
            json!({"operations": [{"op": "update", "collection": "hash_records", "id": "a", "doc": {"pdqQuality": 3}}]}).to_string(),
        ),
    ] {
        let tenants = tenants();
        insert(&tenants, 0, "a");
        let before = cached(&tenants, 0, "/records/a");
        assert_eq!(how(&cached(&tenants, 0, "/records/a")), (200, "hit"));
        done(&tenants, 0, method, target, &body);
        let (since, strong) = (cached(&tenants, 0, "/records/a"), tenants.send(0, 0, "GET", "/records/a", "", &[]));
        assert_eq!(since.status, strong.status, "{method} {target}");
        if strong.status == 200 {
            assert_eq!(parsed(&since), parsed(&strong), "{method} {target}");
        }
        assert_ne!(since.body.bytes(), before.body.bytes(), "{method} {target}");
    }
}

#[test]
fn a_write_through_another_data_centre_is_seen_there_at_once() {
    for (method, target, body) in [
        ("PATCH", "/assets/a", json!({"status": "done"}).to_string()),
        ("DELETE", "/hashes/a", String::new()),
        ("DELETE", "/records/a", String::new()),
        (
            "POST",
            "/batch",
            json!({"operations": [{"op": "update", "collection": "hash_records", "id": "a", "doc": {"pdqQuality": 3}}]}).to_string(),
        ),
    ] {
        let tenants = tenants();
        insert(&tenants, 0, "a");
        for read in ["/records/a", "/records/a"] {
            assert_eq!(cached(&tenants, 1, read).status, 200);
        }
        // What was last seen of the generation there is forgotten.
        tenants.clock.advance(11_000);
        done(&tenants, 1, method, target, &body);
        // Another read brings the generation back.
        assert_eq!(cached(&tenants, 1, "/assets/none").status, 404);
        let (since, strong) = (cached(&tenants, 1, "/records/a"), tenants.send(1, 0, "GET", "/records/a", "", &[]));
        assert_eq!(since.status, strong.status, "{method} {target}");
        if strong.status == 200 {
            assert_eq!(parsed(&since), parsed(&strong), "{method} {target}");
        }
    }
}

#[test]
fn that_something_is_not_there_is_remembered_until_it_is_made() {
    let record = json!({"metadata": asset("a"), "hashes": hash(None)}).to_string();
    for centre in [0, 1] {
        let tenants = tenants();
        insert(&tenants, 0, "other");
        for route in ROUTES {
            let (first, second) = (cached(&tenants, centre, route), cached(&tenants, centre, route));
            // The record's asset is known not to be there when that is asked for.
            assert_eq!((first.status, how(&second)), (404, (404, "hit")), "{route}");
        }
        tenants.clock.advance(5_000);
        assert_eq!(how(&cached(&tenants, centre, "/records/a")), (404, "miss"));
        done(&tenants, centre, "POST", "/records", &record);
        for route in ROUTES {
            assert_eq!(how(&cached(&tenants, centre, route)).0, 200, "{route} in {centre}");
        }
    }
}

#[test]
fn a_record_without_a_hash_gets_one() {
    for centre in [0, 1] {
        let tenants = tenants();
        insert(&tenants, 0, "other");
        assert_eq!(how(&cached(&tenants, centre, "/assets/a")), (404, "miss"));
        let made = done(&tenants, centre, "POST", "/assets", &asset("a").to_string());
        assert_eq!(made.header("location"), Some("/v1/registry/t1/records/a"));
        for expected in ["miss", "hit"] {
            let answer = cached(&tenants, centre, "/records/a");
            assert_eq!((how(&answer), &parsed(&answer)["hashes"]), ((200, expected), &Value::Null));
        }
        assert_eq!(how(&cached(&tenants, centre, "/hashes/a")), (404, "hit"));
        let made = done(&tenants, centre, "POST", "/hashes", &hash(Some("a")).to_string());
        assert_eq!(made.header("location"), Some("/v1/registry/t1/records/a"));
        assert_eq!(parsed(&cached(&tenants, centre, "/records/a"))["hashes"]["pdqHash"], HASH);
        assert_eq!(how(&cached(&tenants, centre, "/hashes/a")), (200, "hit"));
    }
}

#[test]
fn tenants_never_see_each_others() {
    let tenants = tenants();
    for tenant in [0, 1] {
        insert(&tenants, tenant, "a");
    }
    for _ in 0..2 {
        for (tenant, name) in ["t1", "t2"].into_iter().enumerate() {
            let answer = tenants.send(0, tenant, "GET", "/records/a?consistency=cached", "", &[]);
            let told = parsed(&answer);
            assert_eq!([&told["metadata"]["tenantId"], &told["hashes"]["tenantId"]], [name, name]);
        }
    }
    assert_eq!(tenants.send(0, 1, "DELETE", "/records/a", "", &[]).status, 204);
    assert_eq!(how(&cached(&tenants, 0, "/records/a")), (200, "hit"), "the other's stays");
    assert_eq!(tenants.send(0, 1, "GET", "/records/a?consistency=cached", "", &[]).status, 404);
}

#[test]
fn min_sequence_passes_over_what_is_older_and_bad_values_are_refused() {
    let tenants = tenants();
    insert(&tenants, 0, "a");
    cached(&tenants, 1, "/records/a");
    // The first data centre is not the one that keeps it.
    done(&tenants, 0, "PATCH", "/collections/hash_records/docs/a", &json!({"pdqQuality": 50}).to_string());
    let read = |least: &str| tenants.send(1, 0, "GET", "/records/a?consistency=cached", "", &[("min-sequence", least)]);
    assert_eq!(how(&read("2")), (200, "hit"));
    let fresh = read("3");
    assert_eq!((how(&fresh), &parsed(&fresh)["hashes"]["pdqQuality"]), ((200, "miss"), &json!(50)));
    assert_eq!(how(&read("3")), (200, "hit"));
    assert_eq!((read("4").status, read("x").status), (412, 400));
    for route in ROUTES {
        for query in [
            "consistency=eventual",
            "consistency=",
            "consistency=cached&consistency=cached",
            "consistency=cached&asOf=1",
        ] {
            assert_eq!(tenants.send(0, 0, "GET", &format!("{route}?{query}"), "", &[]).status, 400, "{route} {query}");
        }
    }
}

/// What a document's field was since which sequence.
type History = BTreeMap<i64, i64>;

/// Whether a value was the field's at some moment at or after a sequence.
fn was_at_or_after(history: &History, value: i64, sequence: i64) -> bool {
    let mut ends = history.keys().skip(1).copied().chain([i64::MAX]);
    history.values().any(|other| ends.next().is_some_and(|end| *other == value && end > sequence))
}

#[test]
fn records_of_a_cache_that_lies_are_the_tenants_own_and_no_older_than_is_told() {
    let seed = std::env::var("WARM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("WARM_SEED={seed}");
    let (tenants, caches) = lying(seed, 3);
    let random = &mut SplitMix64::new(seed);
    for tenant in [0, 1] {
        insert(&tenants, tenant, "a");
    }
    let patch = |tenant: usize, collection: &str, patch: Value| {
        let target = format!("/collections/{collection}/docs/a");
        let answer = tenants.send(0, tenant, "PATCH", &target, &patch.to_string(), &[]);
        answer.header("thermocline-sequence").unwrap().parse::<i64>().unwrap()
    };
    let mut histories: [[History; 2]; 2] = Default::default();
    for [sizes, qualities] in &mut histories {
        sizes.insert(1, 5);
        qualities.insert(2, 100);
    }
    let mut hits = 0;
    for step in 0..3_000_i64 {
        let (tenant, centre) = (random.below(2), random.below(2));
        match random.below(8) {
            0 => {
                let sequence = patch(tenant, "asset_metadata", json!({"fileSize": 1_000 + step}));
                histories[tenant][0].insert(sequence, 1_000 + step);
            }
            1 => {
                let sequence = patch(tenant, "hash_records", json!({"pdqQuality": step % 101}));
                histories[tenant][1].insert(sequence, step % 101);
            }
            2 => tenants.clock.advance(1_000),
            _ => {
                let answer = tenants.send(centre, tenant, "GET", "/records/a?consistency=cached", "", &[]);
                let told = parsed(&answer);
                let sequence: i64 = answer.header("thermocline-sequence").unwrap().parse().unwrap();
                assert_eq!((answer.status, &told["hashes"]["tenantId"]), (200, &json!(["t1", "t2"][tenant])));
                for (history, value) in
                    histories[tenant].iter().zip([&told["metadata"]["fileSize"], &told["hashes"]["pdqQuality"]])
                {
                    assert!(was_at_or_after(history, value.as_i64().unwrap(), sequence), "step {step}: {told}");
                }
                hits += usize::from(how(&answer).1 == "hit");
            }
        }
    }
    let lies: usize = caches.iter().map(|cache| cache.told().values().sum::<usize>()).sum();
    println!("{hits} hits, {lies} lies");
    assert!(hits > 100 && lies > 500, "{hits} hits, {lies} lies");
}

#[test]
fn a_page_of_collisions_is_of_now_in_the_data_centre_that_the_log_grew_through() {
    let tenants = tenants();
    for id in ["a", "b"] {
        insert(&tenants, 0, id);
    }
    let collision = |of: &str, with: &str| json!({"primaryAssetId": of, "conflictingAssetId": with, "similarityScores": {"pdq": 1}, "conflictType": "copy", "lineageDiff": {}});
    let record = json!({"metadata": asset("c"), "hashes": hash(None), "collision": collision("c", "a")});
    let first = done(&tenants, 0, "POST", "/collisions", &collision("a", "b").to_string());
    let review = format!("/collisions/{}/reviews", parsed(&first)["collisionId"].as_str().unwrap());
    let pages = ["/collisions?consistency=cached", "/collisions?consistency=cached&primaryAssetId=a"];
    let read = |centre: usize, page: &str| tenants.send(centre, 0, "GET", page, "", &[]);
    for (target, body) in [
        ("/collisions", collision("b", "a")),
        (review.as_str(), json!({"label": "suspicious", "reviewedBy": "mia"})),
        ("/records", record),
    ] {
        for page in pages {
            read(1, page);
            assert_eq!(how(&read(1, page)), (200, "hit"), "{page}");
        }
        done(&tenants, 1, "POST", target, &body.to_string());
        for page in pages {
            let strong = tenants.send(1, 0, "GET", &page.replace("consistency=cached", "limit=100"), "", &[]);
            assert_eq!(parsed(&read(1, page)), parsed(&strong), "{page} after {target}");
        }
        for page in pages {
            assert_eq!(how(&read(1, page)), (200, "hit"), "{page}");
        }
    }
}
