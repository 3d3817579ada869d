//! Declared indexes change no answer: neither of conditions nor of orders, page by page, whenever they were declared.

use serde_json::{Value, json};
use thermocline::ports::native::World;

use super::documents::{PATHS, documents};
use super::model::rows_query;
use super::object::Object;
use super::random::{Random, plan};

const QUERIES: usize = 600;
const QUERIES_OF_A_COLLECTION: usize = 40;

fn indexes(random: &mut Random) -> Value {
    let one = |random: &mut Random| {
        let mut fields: Vec<&str> = (0..=random.below(3)).map(|_| *random.pick(&PATHS)).collect();
        fields.sort_unstable();
        fields.dedup();
        if random.chance(50) {
            fields.reverse();
        }
        fields
    };
    let mut all: Vec<Vec<&str>> = (0..random.below(6)).map(|_| one(random)).collect();
    all.sort_unstable();
    all.dedup();
    json!({ "indexes": all })
}

/// The same documents in two collections, of which one has indexes that are declared again and again meanwhile.
fn write(random: &mut Random, object: &Object) {
    object.ok("PUT", "/collections/plain", "{}");
    object.ok("PUT", "/collections/indexed", &indexes(random).to_string());
    for round in 0..=random.below(3) {
        // Many at once become a segment.
        let at_once = random.chance(30);
        let (from, count) = (round * random.below(60), if at_once { 64 } else { random.below(70) });
        let mut lines = String::new();
        for (number, document) in (from..).zip(documents(random, count)) {
            let mut text: Value = serde_json::from_str(&document.text).unwrap();
            if let Some(long) = text.get_mut("s").filter(|_| random.chance(10)) {
                *long = json!(format!("{}{}", "z".repeat(600), number % 3));
            }
            let id = format!("d{number:03}");
            text["id"] = json!(id);
            if at_once {
                lines.push_str(&format!("{text}\n"));
                continue;
            }
            for collection in ["plain", "indexed"] {
                object.ok("PUT", &format!("/collections/{collection}/docs/{id}"), &text.to_string());
            }
        }
        for collection in ["plain", "indexed"].iter().filter(|_| at_once) {
            let path = format!("/collections/{collection}/import?mode=upsert");
            let done = object.send("POST", &path, &[("content-type", "application/x-ndjson")], lines.as_str());
            assert_eq!(done.status, 200);
        }
        if random.chance(60) {
            object.ok("PUT", "/collections/indexed", &indexes(random).to_string());
        }
        if random.chance(30) {
            object.ok("POST", "/sync", "");
        }
    }
}

#[test]
fn indexes_change_no_answer() {
    let (seed, cases) = plan("indexed", QUERIES);
    let (mut done, mut collections, mut found, mut mixed) = (0, 0, 0, 0);
    while done < cases {
        let collection_seed = seed.wrapping_add(collections);
        let mut random = Random::new(collection_seed);
        collections += 1;
        let world = World::new(1).unwrap();
        let object = Object::wake(&world);
        write(&mut random, &object);
        let forms = object.ok("GET", "/collections/indexed", "")["forms"].clone();
        mixed += usize::from(["row", "segment"].iter().all(|form| forms[form].as_u64().is_some_and(|some| some > 0)));
        for _ in 0..QUERIES_OF_A_COLLECTION.min(cases - done) {
            done += 1;
            let query = rows_query(&mut random);
            let [plain, indexed] = ["plain", "indexed"].map(|collection| object.rows(collection, &query));
            assert_eq!(plain, indexed, "QUERY_SEED={collection_seed} {query}");
            found += plain.len();
        }
    }
    println!("indexed: {done} queries over {collections} collections, {mixed} in both forms, {found} rows found");
    assert!(mixed > 0 || cases < QUERIES);
    assert!(found > done, "most queries find rows");
}

const LOG: &str = "/collections/log/query";

/// Documents of some kilobytes; of `alike` in turn the same moment.
fn log(count: usize, alike: usize) -> (World, Object) {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"query":{"maxDecodedBytes":1048576}}"#);
    object.ok("PUT", "/collections/log", r#"{"indexes":[["kind","at"]],"columnar":{"minAgeMs":86400000}}"#);
    let padding = "x".repeat(10_000);
    for number in 0..count {
        let (kind, odd) = (["entry", "note"][number % 2], number % 7 == 0);
        let text = json!({"kind": kind, "at": number / alike, "odd": odd, "padding": padding}).to_string();
        object.ok("PUT", &format!("/collections/log/docs/{number:05}"), &text);
    }
    (world, object)
}

#[test]
fn pages_in_the_order_of_an_index_read_no_more_than_they_answer() {
    let (_world, object) = log(600, 1);
    let mut query = json!({"where": {"kind": {"eq": "entry"}}, "select": ["at"], "limit": 20,
        "orderBy": [{"column": "at", "direction": "desc"}]});
    let page = object.ok("POST", LOG, &query.to_string());
    assert_eq!(page["rows"][0], json!({"at": 598}));
    assert!(page["stats"]["bytesDecoded"].as_u64().unwrap() < 22 * 10_200, "{}", page["stats"]);
    let ordered: Vec<Value> = (0..300).rev().map(|n| json!({"at": n * 2})).collect();
    assert_eq!(object.rows("log", &query.to_string()), ordered);
    // A range of the order, from both sides.
    query["where"] = json!({"kind": {"eq": "entry"}, "and": [{"at": {"gte": 100}}, {"at": {"lt": 110}}]});
    assert_eq!(object.rows("log", &query.to_string()), ordered[245..250]);
    let page = object.ok("POST", LOG, &query.to_string());
    assert!(page["stats"]["bytesDecoded"].as_u64().unwrap() < 6 * 10_200, "{}", page["stats"]);
}

#[test]
fn a_page_in_the_order_of_an_index_ends_where_its_budget_does() {
    let (_world, object) = log(600, 3);
    for direction in ["asc", "desc"] {
        // All entries are 3 MB, and few are odd.
        let query = json!({"where": {"kind": {"eq": "entry"}, "odd": {"eq": true}}, "select": ["id", "at"], "limit": 500,
            "orderBy": [{"column": "at", "direction": direction}]});
        let first = object.ok("POST", LOG, &query.to_string());
        assert!(first["rows"].as_array().unwrap().len() < 43 && first["cursor"].is_string(), "{first}");
        let mut expected: Vec<(usize, usize)> = (0..600).step_by(14).map(|n| (n / 3, n)).collect();
        if direction == "desc" {
            expected.sort_by_key(|(at, n)| (std::cmp::Reverse(*at), *n));
        }
        let expected: Vec<Value> =
            expected.into_iter().map(|(at, n)| json!({"id": format!("{n:05}"), "at": at})).collect();
        assert_eq!(object.rows("log", &query.to_string()), expected, "{direction}");
    }
}

#[test]
fn pages_of_values_that_take_most_of_the_budget_each_come_to_the_end() {
    // Of each moment 60 entries: 600 KB of 1 MB.
    let (_world, object) = log(600, 120);
    for direction in ["asc", "desc"] {
        for limit in [7, 500] {
            let query = json!({"where": {"kind": {"eq": "entry"}}, "select": ["id", "at"], "limit": limit,
                "orderBy": [{"column": "at", "direction": direction}]});
            let first = object.ok("POST", LOG, &query.to_string());
            assert!(first["rows"].as_array().unwrap().len() >= limit.min(60), "all that was looked at: {first}");
            assert_eq!(object.rows("log", &query.to_string()).len(), 300, "{direction} by {limit}");
        }
    }
}

#[test]
fn rows_in_the_order_of_an_index_and_segments_are_one_list() {
    let (_world, object) = log(600, 3);
    let lines =
        (0..100).map(|n| json!({"id": format!("s{n:02}"), "kind": "entry", "at": n * 2, "odd": true}).to_string());
    object.import("log", &lines.collect::<Vec<_>>().join("\n"));
    let forms = object.ok("GET", "/collections/log", "")["forms"].clone();
    let [rows, segments] = ["row", "segment"].map(|form| forms[form].as_u64().unwrap());
    assert!(rows >= 400 && segments >= 100, "{forms}");
    let rows = (0..600).step_by(14).map(|n| (n / 3, format!("{n:05}")));
    let mut expected: Vec<(usize, String)> = rows.chain((0..100).map(|n| (n * 2, format!("s{n:02}")))).collect();
    for direction in ["asc", "desc"] {
        expected.sort_by(|left, right| {
            let by_time = if direction == "asc" { left.0.cmp(&right.0) } else { right.0.cmp(&left.0) };
            by_time.then_with(|| left.1.cmp(&right.1))
        });
        let expected: Vec<Value> = expected.iter().map(|(at, id)| json!({"id": id, "at": at})).collect();
        for limit in [4, 30, 500] {
            let query = json!({"where": {"kind": {"eq": "entry"}, "odd": {"eq": true}}, "select": ["id", "at"], "limit": limit,
                "orderBy": [{"column": "at", "direction": direction}]});
            assert_eq!(object.rows("log", &query.to_string()), expected, "{direction} by {limit}");
        }
    }
}

#[test]
fn more_of_one_value_than_the_budget_allows_are_refused() {
    let (_world, object) = log(300, 1_000);
    let query =
        json!({"where": {"kind": {"eq": "entry"}}, "limit": 20, "orderBy": [{"column": "at", "direction": "asc"}]});
    let (status, problem) = object.json("POST", LOG, &query.to_string());
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("query.maxDecodedBytes"), "{problem}");
}
