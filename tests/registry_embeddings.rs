//! Embeddings of a registry's hash records: stored, searched against brute force, restarted, damaged, refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seed"
)]

mod support;

use std::collections::BTreeMap;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Object, next_alarm, parsed, request_to};
use thermocline::ports::native::{Fault, FaultPlan, SplitMix64, World, join_seeded, run};
use thermocline::ports::{Clock as _, SqlParam, SqlStore as _};

const DIMENSION: usize = 24;
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;
const HOUR_MS: i64 = 3_600_000;

struct Registry {
    world: World,
    object: Object,
    config: &'static str,
}

impl Registry {
    fn new(config: &'static str) -> Self {
        let world = World::new(5).unwrap();
        let object = Object::wake_with(&world, config);
        Self { world, object, config }
    }

    fn declared(config: &'static str) -> Self {
        let registry = Self::new(config);
        registry.ok("PUT", "/settings", &json!({"embedding": {"dimension": DIMENSION}}));
        registry
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers: &[(&str, &str)] = if body.is_null() { &[] } else { &[("content-type", "application/json")] };
        let request = request_to("/v1/registry/acme", method, path, headers, text);
        let response = run(self.object.service.handle(request)).done().expect("the request ends");
        let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
        (response.status, value)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.json(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    fn insert(&self, asset: &str, embedding: &[f32]) {
        self.ok("POST", "/records", &record(asset, json!(embedding)));
    }

    fn refused(&self, method: &str, path: &str, body: &Value, status: u16, pointer: &str) {
        let before = self.object.service.engine().counters().rows_written;
        let (got, problem) = self.json(method, path, body);
        let at = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!((got, at), (status, pointer), "{method} {path} {body}: {problem}");
        assert_eq!(self.object.service.engine().counters().rows_written, before, "{problem}");
    }

    fn wake(&mut self) {
        self.object = Object::wake_with(&self.world, self.config);
    }

    fn settle(&self) {
        for _ in 0..100 {
            let Some(due) = next_alarm(&self.world) else { return };
            self.world.clock.set(due.max(self.world.clock.now_ms()));
            self.world.alarm.take_due(due);
            run(self.object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
            self.world.clock.advance(1);
        }
        panic!("the alarm does not come to rest");
    }

    /// Archives all and lets go of the log.
    fn trim(&self) {
        for n in 0..2 {
            self.settle();
            self.world.clock.advance(2 * HOUR_MS);
            self.ok("PUT", "/collections/other/docs/x", &json!({"n": n}));
        }
        self.settle();
    }
}

fn record(asset: &str, embedding: Value) -> Value {
    json!({
        "metadata": {"assetId": asset, "manifestUrl": "m", "imageUrl": "i", "contentType": "image/png", "fileSize": 1},
        "hashes": {"pdqHash": "0".repeat(64), "pdqQuality": 9, "manifestLineage": {}, "embedding": embedding}
    })
}

fn vector(random: &mut SplitMix64) -> Vec<f32> {
    (0..DIMENSION).map(|_| random.below(2_001) as f32 / 1_000.0 - 1.0).collect()
}

fn score(metric: &str, one: &[f32], other: &[f32]) -> f64 {
    let dot =
        |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    match metric {
        "dot" => dot(one, other),
        "cosine" => dot(one, other) / (dot(one, one) * dot(other, other)).sqrt(),
        _ => one.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt(),
    }
}

/// What is found is what comparing all finds, by its scores: of equal ones any may be among the last.
fn compare(registry: &Registry, model: &BTreeMap<String, Vec<f32>>, random: &mut SplitMix64) -> f64 {
    let metric = ["cosine", "dot", "l2"][random.below(3)];
    let (query, k) = (vector(random), [1, 10, 100][random.below(3)]);
    let found = registry.ok("POST", "/embeddings/search", &json!({"vector": query, "k": k, "metric": metric}));
    let mut expected: Vec<f64> = model.values().map(|other| score(metric, &query, other)).collect();
    expected.sort_by(f64::total_cmp);
    if metric != "l2" {
        expected.reverse();
    }
    expected.truncate(k);
    let matches = found["matches"].as_array().unwrap();
    assert_eq!(matches.len(), expected.len(), "{found}");
    let mut hits = 0;
    for one in matches {
        let (asset, told) = (one["assetId"].as_str().unwrap(), one["score"].as_f64().unwrap());
        let exact = score(metric, &query, model.get(asset).unwrap_or_else(|| panic!("{asset} is not there: {found}")));
        assert!((told - exact).abs() < 1e-4, "{asset}: {told}, expected {exact}");
        let last = *expected.last().unwrap();
        hits += usize::from(if metric == "l2" { exact <= last + 1e-4 } else { exact >= last - 1e-4 });
    }
    assert_eq!(found["stats"]["vectors"], json!(model.len()));
    if model.is_empty() { 1.0 } else { hits as f64 / matches.len() as f64 }
}

fn damage(world: &World, random: &mut SplitMix64) {
    let rows = world.sql.query("SELECT count(*) FROM sqlite_master WHERE name = 'registry_blocks'", &[]).unwrap();
    if rows[0][0] == thermocline::ports::SqlValue::Integer(0) {
        return;
    }
    let kind = SqlParam::Integer([3, 4, 5, 6][random.below(4)]);
    let statements = [
        "DELETE FROM registry_blocks WHERE kind = ? AND number = (SELECT max(number) FROM registry_blocks)",
        "UPDATE registry_blocks SET data = substr(data, 1, length(data) - 3) WHERE kind = ?",
        "UPDATE registry_blocks SET data = CAST(substr(data, 1, 40) || x'77' || substr(data, 42) AS BLOB) WHERE kind = ?",
        "DELETE FROM registry_blocks WHERE kind = ?",
    ];
    world.sql.query(statements[random.below(4)], &[kind]).unwrap();
}

fn play(seed: u64, config: &'static str) -> (usize, f64) {
    println!("seed {seed}");
    let (mut registry, mut random) = (Registry::declared(config), SplitMix64::new(seed));
    let mut model: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let (mut next, mut searches, mut recall) = (0, 0, 0.0);
    for _ in 0..150 {
        let known: Vec<String> = model.keys().cloned().collect();
        match random.below(20) {
            0..8 => {
                next += 1;
                let (asset, vector) = (format!("a{next}"), vector(&mut random));
                registry.insert(&asset, &vector);
                model.insert(asset, vector);
            }
            8 if !known.is_empty() => {
                let asset = &known[random.below(known.len())];
                registry.ok("DELETE", &format!("/hashes/{asset}"), &Value::Null);
                model.remove(asset);
                if random.below(2) == 0 {
                    let vector = vector(&mut random);
                    let mut body = record(asset, json!(vector))["hashes"].clone();
                    body["assetId"] = json!(asset);
                    registry.ok("POST", "/hashes", &body);
                    model.insert(asset.clone(), vector);
                }
            }
            9 if !known.is_empty() => {
                // Nothing that an embedding is concerned by.
                let asset = &known[random.below(known.len())];
                registry.ok("PATCH", &format!("/collections/hash_records/docs/{asset}"), &json!({"pdqQuality": 50}));
            }
            10..12 => registry.settle(),
            12 => registry.wake(),
            13 => {
                damage(&registry.world, &mut random);
                registry.wake();
            }
            14 => registry.trim(),
            _ => {
                searches += 1;
                recall += compare(&registry, &model, &mut random);
            }
        }
    }
    registry.wake();
    (searches + 1, recall + compare(&registry, &model, &mut random))
}

#[test]
fn what_is_near_is_found_whatever_happened_before() {
    let (mut searches, mut recall) = (0, 0.0);
    let seeds = std::env::var("REGISTRY_SEED").map_or(0..10, |seed| {
        let seed: u64 = seed.parse().unwrap();
        seed..seed + 1
    });
    for seed in seeds {
        let (some, found) = play(seed, ["", EVICTING][usize::try_from(seed % 2).unwrap()]);
        searches += some;
        recall += found;
    }
    println!("{searches} searches, recall {}", recall / searches as f64);
    assert!(recall >= searches as f64 - 1e-9, "few are looked at one by one: all is found");
}

#[test]
fn thousands_are_found_by_their_codes_and_their_packed_rows() {
    let registry = Registry::declared("");
    let mut random = SplitMix64::new(77);
    let centres: Vec<Vec<f32>> = (0..40).map(|_| vector(&mut random)).collect();
    let mut model = BTreeMap::new();
    for batch in 0..30 {
        let mut operations = Vec::new();
        for n in 0..100 {
            let (asset, centre) = (format!("b{batch}-{n}"), &centres[random.below(40)]);
            let near: Vec<f32> = centre.iter().map(|value| value + random.below(400) as f32 / 1_000.0 - 0.2).collect();
            let bytes: Vec<u8> = near.iter().flat_map(|number| number.to_le_bytes()).collect();
            let (asset_doc, hash) = documents(&asset, &bytes);
            operations.push(json!({"op": "upsert", "collection": "asset_metadata", "id": asset, "doc": asset_doc}));
            operations.push(json!({"op": "upsert", "collection": "hash_records", "id": asset, "doc": hash}));
            model.insert(asset, near);
        }
        registry.ok("POST", "/batch", &json!({"operations": operations}));
    }
    let mut recall = 0.0;
    for _ in 0..40 {
        recall += compare(&registry, &model, &mut random);
    }
    registry.settle();
    let woken = Registry { object: Object::wake_with(&registry.world, ""), world: registry.world, config: "" };
    for _ in 0..40 {
        recall += compare(&woken, &model, &mut random);
    }
    let query = &model["b0-0"];
    let found = woken.ok("POST", "/embeddings/search", &json!({"vector": query, "k": 10}));
    let stats = &found["stats"];
    println!("recall {} of 80 searches; {stats}", recall / 80.0);
    assert!(recall / 80.0 >= 0.98, "{recall}");
    assert_eq!((found["matches"][0]["assetId"].as_str(), stats["scanned"].as_u64()), (Some("b0-0"), Some(3_000)));
    assert!(stats["rescored"].as_u64().unwrap() < 1_000 && stats["exact"] == false, "{stats}");
    let exact = woken.ok("POST", "/embeddings/search", &json!({"vector": query, "k": 10, "exact": true}));
    assert_eq!((&exact["matches"], &exact["stats"]["rescored"]), (&found["matches"], &json!(3_000)));
    let like = woken.ok("POST", "/embeddings/search", &json!({"assetId": "b0-0", "k": 10}));
    assert_eq!(like["matches"], found["matches"]);
}

fn documents(asset: &str, embedding: &[u8]) -> (Value, Value) {
    use base64::Engine as _;
    let (id, moment) = ("0192d3f0-0000-7000-8000-000000000000", "2026-01-01T00:00:00Z");
    let asset_doc = json!({
        "id": asset, "metadataId": id, "manifestUrl": "m", "imageUrl": "i", "contentType": "c", "fileSize": 5,
        "uploadedAt": moment, "status": "pending", "metadata": {}, "createdAt": moment, "updatedAt": moment
    });
    let hash = json!({
        "id": asset, "hashId": id, "pdqHash": "0".repeat(64), "pdqQuality": 1, "manifestLineage": {}, "createdAt": moment,
        "updatedAt": moment, "embedding": base64::engine::general_purpose::STANDARD.encode(embedding)
    });
    (asset_doc, hash)
}

#[test]
fn what_cannot_be_is_refused_and_writes_nothing() {
    let registry = Registry::new("");
    let ones = |count: usize| json!(vec![1.0; count]);
    registry.ok("POST", "/records", &record("plain", Value::Null));
    registry.refused("POST", "/records", &record("a", ones(DIMENSION)), 422, "/hashes/embedding");
    registry.refused("POST", "/embeddings/search", &json!({"vector": [1]}), 409, "");
    for (embedding, pointer) in [
        (json!({"dimension": 0}), "/embedding/dimension"),
        (json!({"dimension": 4_097}), "/embedding/dimension"),
        (json!({"dimension": 8, "metric": "hamming"}), "/embedding/metric"),
        (json!({"dimension": 8, "oversample": 0}), "/embedding/oversample"),
        (json!({"dimension": 8, "confidence": -1}), "/embedding/confidence"),
    ] {
        registry.refused("PUT", "/settings", &json!({"embedding": embedding}), 422, pointer);
    }
    registry.ok("PUT", "/settings", &json!({"embedding": {"dimension": DIMENSION, "metric": "l2"}}));
    let mut big = vec![json!(1.0); DIMENSION];
    big[3] = json!(1e39);
    for (embedding, pointer) in [
        (ones(DIMENSION - 1), "/hashes/embedding"),
        (ones(DIMENSION + 1), "/hashes/embedding"),
        (json!(vec![0.0; DIMENSION]), "/hashes/embedding"),
        (json!([]), "/hashes/embedding"),
    ] {
        registry.refused("POST", "/records", &record("a", embedding), 422, pointer);
    }
    let batch = json!({"hashes": [{"assetId": "plain", "pdqHash": "0".repeat(64), "pdqQuality": 9, "manifestLineage": {}, "embedding": [1, 2]}]});
    registry.refused("POST", "/hashes/batch", &batch, 422, "/hashes/0/embedding");
    // No 32-bit float is read as JSON at all.
    registry.refused("POST", "/records", &record("a", json!(big)), 400, "");
    registry.refused("POST", "/embeddings/search", &json!({"vector": big}), 400, "");
    // By the routes of any collection, too.
    let floats = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let docs = "/collections/hash_records/docs";
    for bad in [floats(&[1.0; DIMENSION - 1]), floats(&[0.0; DIMENSION]), floats(&[f32::NAN; DIMENSION]), vec![0; 3]] {
        let (_, document) = documents("plain", &bad);
        registry.refused("PUT", &format!("{docs}/plain"), &document, 422, "/embedding");
        registry.refused("POST", docs, &document, 422, "/embedding");
        let operations =
            json!({"operations": [{"op": "upsert", "collection": "hash_records", "id": "plain", "doc": document}]});
        registry.refused("POST", "/batch", &operations, 422, "/operations/0/doc/embedding");
        let patch = json!({"embedding": document["embedding"]});
        registry.refused("PATCH", &format!("{docs}/plain"), &patch, 422, "/embedding");
    }
    let (_, right) = documents("plain", &floats(&[1.0; DIMENSION]));
    registry.ok("PUT", &format!("{docs}/plain"), &right);
    registry.ok("PATCH", &format!("{docs}/plain"), &json!({"embedding": null}));
    registry.insert("a", &[1.0; DIMENSION]);
    for (search, pointer) in [
        (json!({"vector": ones(3)}), "/vector"),
        (json!({"vector": vec![0.0; DIMENSION]}), "/vector"),
        (json!({}), "/vector"),
        (json!({"vector": ones(DIMENSION), "assetId": "a"}), "/vector"),
        (json!({"vector": ones(DIMENSION), "k": 0}), "/k"),
        (json!({"vector": ones(DIMENSION), "k": 1_001}), "/k"),
        (json!({"vector": ones(DIMENSION), "metric": "hamming"}), "/metric"),
        (json!({"vector": ones(DIMENSION), "oversample": 0}), "/oversample"),
        (json!({"vector": ones(DIMENSION), "confidence": 101}), "/confidence"),
        (json!({"assetId": "plain"}), "/assetId"),
        (json!({"assetId": "nobody"}), "/assetId"),
    ] {
        registry.refused("POST", "/embeddings/search", &search, 422, pointer);
    }
    // The dimension stays while there are embeddings.
    registry.refused("PUT", "/settings", &json!({"embedding": {"dimension": 8}}), 409, "");
    registry.refused("PUT", "/settings", &json!({}), 409, "");
    registry.ok("PUT", "/settings", &json!({"embedding": {"dimension": DIMENSION}}));
    registry.ok("DELETE", "/hashes/a", &Value::Null);
    registry.ok("PUT", "/settings", &json!({"embedding": {"dimension": 8}}));
    registry.insert("b", &[1.0; 8]);
    let found = registry.ok("POST", "/embeddings/search", &json!({"vector": vec![2.0; 8]}));
    assert_eq!(found["matches"], json!([{"assetId": "b", "score": 1.0}]));
}

/// One request of an interleaving; whether it did something.
async fn step(object: &Object, number: usize) -> bool {
    let embedding = |dimension: usize| json!({"embedding": {"dimension": dimension}});
    let (method, path, body) = match number % 5 {
        0 => ("PUT", "/settings".to_owned(), embedding(8)),
        1 => ("PUT", "/settings".to_owned(), embedding(DIMENSION)),
        2 => ("DELETE", "/hashes/a".to_owned(), Value::Null),
        3 => ("POST", "/records".to_owned(), record(&format!("r{number}"), json!(vec![1.0; DIMENSION]))),
        _ => ("POST", "/records".to_owned(), record(&format!("r{number}"), json!(vec![1.0; 8]))),
    };
    let headers: &[(&str, &str)] = if body.is_null() { &[] } else { &[("content-type", "application/json")] };
    let text = if body.is_null() { String::new() } else { body.to_string() };
    object.service.handle(request_to("/v1/registry/acme", method, &path, headers, text)).await.status < 300
}

#[test]
fn no_embedding_of_another_dimension_is_left_by_requests_that_interleave() {
    const SEED: u64 = 500;
    let mut ended = BTreeMap::new();
    for seed in SEED..SEED + 100 {
        let mut registry = Registry::declared("");
        if seed % 3 == 0 {
            registry.ok("POST", "/records", &record("a", json!(vec![1.0; DIMENSION])));
        }
        let plan = FaultPlan::new();
        let mut random = SplitMix64::new(seed);
        (0..400).for_each(|call| plan.arm(call, Fault::Slow(random.next_u64() as u32 % 8)));
        let object = Object::new(plan.wrap(&registry.world.ports()));
        let steps = (0..10).map(|number| -> Pin<Box<dyn Future<Output = bool>>> { Box::pin(step(&object, number)) });
        let done: Vec<bool> = join_seeded(seed, steps.collect()).into_iter().map(|step| step.done().unwrap()).collect();
        registry.object = Object::wake(&registry.world);
        let dimension = registry.ok("GET", "/settings", &Value::Null)["embedding"]["dimension"].as_u64().unwrap();
        let hashes = registry.ok("GET", "/hashes?limit=100", &Value::Null)["items"].clone();
        for hash in hashes.as_array().unwrap() {
            let found = hash["embedding"].as_str().map(|text| STANDARD.decode(text).unwrap().len() as u64 / 4);
            assert!(found.is_none_or(|found| found == dimension), "seed {seed}: {found:?} of {dimension}, {done:?}");
        }
        // Nor has the instance that served them lost any.
        let embedded = hashes.as_array().unwrap().iter().filter(|hash| hash["embedding"].is_string()).count();
        let mut served = Registry { world: registry.world, object, config: "" };
        served.ok("POST", "/records", &record("z", json!(vec![1.0; dimension as usize])));
        let search = json!({"vector": vec![1.0; dimension as usize], "k": 100});
        for _ in 0..2 {
            let found = served.ok("POST", "/embeddings/search", &search)["matches"].as_array().unwrap().len();
            assert_eq!(found, embedded + 1, "seed {seed}: {done:?}");
            served.object = Object::wake(&served.world);
        }
        *ended.entry((dimension, hashes.as_array().unwrap().len())).or_insert(0) += 1;
    }
    println!("seeds from {SEED}: {ended:?}");
    assert!(ended.len() > 3, "{ended:?}");
}
