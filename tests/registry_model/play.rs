//! One random history: what is done to the object and to the model.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thermocline::ports::Clock as _;
use thermocline::ports::native::{SplitMix64, World, run};

use super::damage::damage;
use super::hashes::{Hash, draw, flip, hex};
use super::model::{Hashed, Match, Model, Wanted};
use super::support::{Object, next_alarm, parsed, request_to};

const HOUR_MS: i64 = 3_600_000;
const SOME_ID: &str = "0192d3f0-0000-7000-8000-000000000000";
const MOMENT: &str = "2026-01-01T00:00:00Z";
/// Documents from which on a batch becomes a segment at once.
const BATCH: usize = 64;

pub struct Play {
    world: World,
    object: Object,
    config: &'static str,
    model: Model,
    random: SplitMix64,
    seed: u64,
    assets: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl Play {
    pub fn new(seed: u64, config: &'static str) -> Self {
        let world = World::new(seed).unwrap();
        let object = Object::wake_with(&world, config);
        let random = SplitMix64::new(seed);
        Self { world, object, config, model: Model::default(), random, seed, assets: 0, counts: BTreeMap::new() }
    }

    pub fn steps(mut self, count: usize) -> BTreeMap<&'static str, usize> {
        for _ in 0..count {
            self.step();
        }
        self.wake();
        self.compare_all();
        self.counts
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..24 => self.insert_record(),
            24..28 => self.insert_asset(),
            28..33 => self.insert_hash(),
            33..39 => self.delete(),
            39..43 => self.replace_document(),
            43..46 => self.batch(),
            46..50 => self.refused(),
            50..74 => self.search(),
            74..78 => self.search_many(),
            78..84 => self.settle(),
            84..88 => self.wake(),
            88..91 => self.trim(),
            91..93 => drop(self.ok("POST", "/hashes/compact", &Value::Null)),
            93..97 => self.damage(),
            97 => drop(self.ok("POST", "/sync", &Value::Null)),
            _ => self.compare_all(),
        }
    }

    fn count(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times;
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
        assert!((200..300).contains(&status), "seed {}: {method} {path} {body}: {status} {value}", self.seed);
        value
    }

    fn new_asset(&mut self) -> String {
        self.assets += 1;
        // Not in the order in which they are made.
        format!("a{:03}-{}", self.random.below(1_000), self.assets)
    }

    fn new_hashed(&mut self) -> Hashed {
        let quality = u8::try_from(self.random.below(101)).unwrap();
        let issuer = format!("k{}", self.random.below(3));
        Hashed { hash: self.near(), quality, issuer }
    }

    /// A hash of the seed's kind, a copy of one that is there, or one near to it.
    fn near(&mut self) -> Hash {
        let stored: Vec<Hash> = self.model.hashed().map(|(_, hashed)| hashed.hash).collect();
        if stored.is_empty() || self.random.below(2) == 0 {
            return draw(self.seed, &mut self.random);
        }
        let mut hash = stored[self.random.below(stored.len())];
        let bits = [0, 1, 5, 31, 34, 60][self.random.below(6)];
        flip(&mut hash, bits, &mut self.random);
        hash
    }

    /// An asset that is there, with a hash or without one.
    fn some_asset(&mut self, hashed: bool) -> Option<String> {
        let ids: Vec<&String> =
            self.model.assets.iter().filter(|(_, one)| one.is_some() == hashed).map(|(id, _)| id).collect();
        if ids.is_empty() { None } else { Some(ids[self.random.below(ids.len())].clone()) }
    }

    fn insert_record(&mut self) {
        let (id, new, detect) = (self.new_asset(), self.new_hashed(), self.random.below(3) == 0);
        let path = if detect { "/records?detect=true" } else { "/records" };
        let collides = self.model.collides(&new);
        let answer = self.ok("POST", path, &json!({"metadata": asset(&id), "hashes": sent(&new)}));
        if detect {
            let logged = collides.min(16);
            let told = &answer["detection"];
            assert_eq!(
                (&told["logged"], &told["notLogged"]),
                (&json!(logged), &json!(collides - logged)),
                "seed {}: {answer}",
                self.seed
            );
            self.model.collisions += logged;
            self.count("collisions", logged);
        }
        self.model.assets.insert(id, Some(new));
    }

    fn insert_asset(&mut self) {
        let id = self.new_asset();
        self.ok("POST", "/assets", &asset(&id));
        self.model.assets.insert(id, None);
    }

    fn insert_hash(&mut self) {
        let Some(id) = self.some_asset(false) else { return };
        let new = self.new_hashed();
        let mut body = sent(&new);
        body["assetId"] = json!(id);
        self.ok("POST", "/hashes", &body);
        self.model.assets.insert(id, Some(new));
    }

    fn delete(&mut self) {
        let hashed = self.random.below(4) > 0;
        let Some(id) = self.some_asset(hashed) else { return };
        self.count("deletes", 1);
        if hashed && self.random.below(2) == 0 {
            let routes = [format!("/hashes/{id}"), format!("/collections/hash_records/docs/{id}")];
            let route = self.random.below(2);
            self.ok("DELETE", &routes[route], &Value::Null);
            self.model.assets.insert(id, None);
        } else {
            self.ok("DELETE", &format!("/records/{id}"), &Value::Null);
            self.model.assets.remove(&id);
        }
    }

    /// Another hash by the route of any collection.
    fn replace_document(&mut self) {
        let Some(id) = self.some_asset(true) else { return };
        let (path, new) = (format!("/collections/hash_records/docs/{id}"), self.new_hashed());
        let changed = json!({"pdqHash": hex(&new.hash), "pdqQuality": new.quality, "manifestLineage": {"issuerKeyId": new.issuer}});
        if self.random.below(2) == 0 {
            self.ok("PATCH", &path, &changed);
        } else {
            self.ok("PUT", &path, &document(&id, &new));
        }
        self.model.assets.insert(id, Some(new));
    }

    /// Assets and hashes that become segments at once.
    fn batch(&mut self) {
        self.count("batches", 1);
        let new: Vec<(String, Hashed)> = (0..BATCH + 6).map(|_| (self.new_asset(), self.new_hashed())).collect();
        let put = |collection: &str, id: &str, doc: Value| json!({"op": "upsert", "collection": collection, "id": id, "doc": doc});
        let assets = new.iter().map(|(id, _)| put("asset_metadata", id, stored_asset(id)));
        let hashes = new.iter().map(|(id, hashed)| put("hash_records", id, document(id, hashed)));
        let operations: Vec<Value> = assets.chain(hashes).collect();
        self.ok("POST", "/batch", &json!({"operations": operations}));
        self.model.assets.extend(new.into_iter().map(|(id, hashed)| (id, Some(hashed))));
    }

    /// What breaks a rule, by a route of the registry or of any collection, and changes nothing.
    fn refused(&mut self) {
        self.count("refused", 1);
        let new = self.new_hashed();
        let nobody = json!({"operations": [
            {"op": "upsert", "collection": "hash_records", "id": "nobody", "doc": document("nobody", &new)},
        ]});
        let Some(id) = self.some_asset(true) else { return };
        let again = json!({"metadata": asset(&id), "hashes": sent(&new)});
        let (method, path, body) = match self.random.below(4) {
            0 => ("POST", "/records".to_owned(), again),
            1 => ("DELETE", format!("/collections/asset_metadata/docs/{id}"), Value::Null),
            2 => ("POST", "/batch".to_owned(), nobody),
            _ => ("PATCH", format!("/collections/hash_records/docs/{id}"), json!({"pdqHash": "00"})),
        };
        let before = self.object.service.engine().counters().rows_written;
        let (status, problem) = self.json(method, &path, &body);
        assert!((400..500).contains(&status), "seed {}: {method} {path}: {status} {problem}", self.seed);
        assert_eq!(self.object.service.engine().counters().rows_written, before, "seed {}: {problem}", self.seed);
    }

    fn wanted(&mut self) -> (Wanted, Value) {
        let hash = self.near();
        let min_quality = [0, 0, 50][self.random.below(3)];
        let limit = [1, 7, 1_000][self.random.below(3)];
        if self.random.below(4) == 0 {
            let wanted = Wanted { hash, reach: 256, limit, min_quality };
            return (wanted, json!({"pdqHash": hex(&hash), "k": limit, "minQuality": min_quality}));
        }
        let reach = [0, 1, 8, 31, 31, 32, 47, 63, 64, 120, 255][self.random.below(11)];
        let body = json!({"pdqHash": hex(&hash), "maxDistance": reach, "minQuality": min_quality, "limit": limit});
        (Wanted { hash, reach, limit, min_quality }, body)
    }

    fn compare(&mut self, wanted: &Wanted, asked: &Value, found: &Value) {
        let (expected, total) = self.model.search(wanted);
        let text = |one: &Value| one.as_str().unwrap().to_owned();
        let small = |one: &Value| one.as_u64().unwrap();
        let one = |one: &Value| -> Match {
            let (distance, quality) = (small(&one["distance"]), small(&one["quality"]));
            (
                u32::try_from(distance).unwrap(),
                text(&one["assetId"]),
                text(&one["pdqHash"]),
                u8::try_from(quality).unwrap(),
            )
        };
        let matches: Vec<Match> = found["matches"].as_array().unwrap().iter().map(one).collect();
        assert_eq!(matches, expected, "seed {}: {asked}", self.seed);
        if asked.get("k").is_none() {
            assert_eq!(found["total"], json!(total), "seed {}: {asked}", self.seed);
        }
        self.count("matches", matches.len());
    }

    fn search(&mut self) {
        let (wanted, asked) = self.wanted();
        let found = self.ok("POST", "/hashes/search", &asked);
        self.compare(&wanted, &asked, &found);
    }

    fn search_many(&mut self) {
        let all: Vec<(Wanted, Value)> = (0..5).map(|_| self.wanted()).collect();
        let queries: Vec<&Value> = all.iter().map(|(_, asked)| asked).collect();
        let found = self.ok("POST", "/hashes/search/batch", &json!({"queries": queries}));
        for ((wanted, asked), found) in all.iter().zip(found["results"].as_array().unwrap()) {
            self.compare(wanted, asked, found);
        }
    }

    /// Runs alarms until none is near.
    fn settle(&mut self) {
        for _ in 0..100 {
            let Some(due) = next_alarm(&self.world) else { return };
            self.world.clock.set(due.max(self.world.clock.now_ms()));
            self.world.alarm.take_due(due);
            run(self.object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
            self.world.clock.advance(1);
        }
        panic!("seed {}: the alarm does not come to rest", self.seed);
    }

    fn wake(&mut self) {
        self.count("restarts", 1);
        self.object = Object::wake_with(&self.world, self.config);
    }

    /// Archives all and lets go of the log, so that only records and blocks are left.
    fn trim(&mut self) {
        self.count("trims", 1);
        for n in 0..2 {
            self.settle();
            self.world.clock.advance(2 * HOUR_MS);
            self.ok("PUT", "/collections/other/docs/x", &json!({"n": n}));
        }
        self.settle();
    }

    fn damage(&mut self) {
        if damage(&self.world, &mut self.random) {
            self.count("damaged blocks", 1);
        }
        self.wake();
        self.search();
    }

    fn compare_all(&mut self) {
        let wanted = Wanted { hash: [0; 32], reach: 255, limit: 1_000, min_quality: 0 };
        let asked = json!({"pdqHash": hex(&wanted.hash), "maxDistance": 255, "limit": 1_000});
        let found = self.ok("POST", "/hashes/search", &asked);
        self.compare(&wanted, &asked, &found);
        let (status, listed) = self.json("GET", "/collections/collision_log", &Value::Null);
        let rows = listed["forms"]["row"].as_u64();
        assert!(status == 404 || rows == u64::try_from(self.model.collisions).ok(), "seed {}: {listed}", self.seed);
        let ids: Vec<String> = self.model.assets.keys().cloned().collect();
        for _ in 0..ids.len().min(5) {
            let id = &ids[self.random.below(ids.len())];
            let record = self.json("GET", &format!("/records/{id}"), &Value::Null);
            let expected = self.model.assets[id].as_ref();
            let hash = record.1["hashes"]["pdqHash"].as_str().map(str::to_owned);
            assert_eq!(hash, expected.map(|hashed| hex(&hashed.hash)), "seed {}: {id}: {record:?}", self.seed);
        }
    }
}

fn asset(id: &str) -> Value {
    json!({"assetId": id, "manifestUrl": "https://m.example/1", "imageUrl": "https://i.example/1", "contentType": "image/png", "fileSize": 5})
}

fn sent(hashed: &Hashed) -> Value {
    json!({"pdqHash": hex(&hashed.hash), "pdqQuality": hashed.quality, "manifestLineage": {"issuerKeyId": hashed.issuer}})
}

fn stored_asset(id: &str) -> Value {
    json!({
        "id": id, "metadataId": SOME_ID, "manifestUrl": "https://m.example/1", "imageUrl": "https://i.example/1",
        "contentType": "image/png", "fileSize": 5, "uploadedAt": MOMENT, "status": "pending", "metadata": {},
        "createdAt": MOMENT, "updatedAt": MOMENT
    })
}

fn document(id: &str, hashed: &Hashed) -> Value {
    let mut document = sent(hashed);
    for (name, value) in [("id", id), ("hashId", SOME_ID), ("createdAt", MOMENT), ("updatedAt", MOMENT)] {
        document[name] = json!(value);
    }
    document
}
