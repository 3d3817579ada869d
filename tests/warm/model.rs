//! Random histories of two tenants in two data centres, over caches that lie: every answer is one that a plain list of
//! versions allows.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::http::message::Response;
use thermocline::ports::native::{ManualClock, SplitMix64};
use thermocline::ports::{Clock, EdgeCache};

use super::lying::{LIES, LyingCache};
use super::support::parsed;
use super::tenants::{Pending, Tenants};

const TTL_MS: i64 = 300_000;
const ABSENT_TTL_MS: i64 = 5_000;
const GENERATION_MS: i64 = 10_000;
/// How long an answer may be on its way.
const DELAY_MS: i64 = 2_000;
const IDS: usize = 5;
/// Documents of one request from which on the whole collection is taken back from the caches.
const TAKEN_BACK_WHOLE: usize = 5;

/// A version of a document: `None` when there was none.
struct Version {
    sequence: i64,
    at: i64,
    value: Option<i64>,
}

/// What is known of one tenant.
struct Known {
    last: i64,
    documents: Vec<Vec<Version>>,
    /// When everything was taken back, and at which sequence.
    drops: Vec<(i64, i64)>,
}

impl Known {
    fn new() -> Self {
        let absent = || vec![Version { sequence: 0, at: 0, value: None }];
        Self { last: 0, documents: (0..IDS).map(|_| absent()).collect(), drops: Vec::new() }
    }

    fn write(&mut self, id: usize, at: i64, value: Option<i64>) {
        self.last += 1;
        self.documents[id].push(Version { sequence: self.last, at, value });
    }

    fn current(&self, id: usize) -> Option<i64> {
        self.documents[id].last().unwrap().value
    }

    /// Whether a cached read may answer this version now.
    fn allows(&self, id: usize, position: usize, now: i64, least: i64) -> bool {
        let versions = &self.documents[id];
        let Some(next) = versions.get(position + 1) else { return true };
        let ttl = if versions[position].value.is_some() { TTL_MS } else { ABSENT_TTL_MS };
        let fresh = now - next.at <= ttl + DELAY_MS;
        let mut past = self.drops.iter().filter(|(at, _)| at + GENERATION_MS + DELAY_MS < now);
        fresh && next.sequence > least && past.all(|(_, sequence)| next.sequence > *sequence)
    }
}

struct Play {
    tenants: Tenants,
    known: [Known; 2],
    random: SplitMix64,
    pending: Vec<Pending>,
    value: i64,
    counts: BTreeMap<&'static str, usize>,
    seed: u64,
}

impl Play {
    fn now(&self) -> i64 {
        self.tenants.clock.now_ms()
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Writes of one request; some Workers are slow to hear of it.
    fn write(&mut self, centre: usize, tenant: usize, method: &str, target: &str, body: &Value) {
        match self.tenants.ask(centre, tenant, method, target, &body.to_string(), &[]) {
            Ok(response) => assert!(response.status < 300, "seed {}: {response:?}", self.seed),
            Err(pending) if self.random.below(4) == 0 => self.pending.push(*pending),
            Err(pending) => {
                let response = self.tenants.finish(*pending);
                assert!(response.status < 300, "seed {}: {method} {target} {response:?}", self.seed);
            }
        }
    }

    fn change(&mut self, centre: usize, tenant: usize) {
        let (id, at) = (self.random.below(IDS), self.now());
        self.value += 1;
        let value = self.value;
        let path = format!("/collections/docs/docs/d{id}");
        let document = json!({"tenant": tenant, "value": value});
        match (self.random.below(4), self.known[tenant].current(id)) {
            (0, Some(_)) => {
                self.write(centre, tenant, "DELETE", &path, &Value::Null);
                self.known[tenant].write(id, at, None);
            }
            (1, None) => {
                let document = json!({"id": format!("d{id}"), "tenant": tenant, "value": value});
                self.write(centre, tenant, "POST", "/collections/docs/docs", &document);
                self.known[tenant].write(id, at, Some(value));
            }
            (2, _) => {
                let count = [2, TAKEN_BACK_WHOLE][self.random.below(2)];
                let ids = (id..id + count).map(|id| id % IDS);
                let one =
                    |id: usize| json!({"op": "upsert", "collection": "docs", "id": format!("d{id}"), "doc": document});
                let operations: Vec<_> = ids.clone().map(one).collect();
                self.write(centre, tenant, "POST", "/batch", &json!({"operations": operations}));
                ids.for_each(|id| self.known[tenant].write(id, at, Some(value)));
                if count == TAKEN_BACK_WHOLE {
                    // What was cached before the batch is of before all of it.
                    let last = self.known[tenant].last;
                    self.known[tenant].drops.push((at, last));
                }
            }
            _ => {
                self.write(centre, tenant, "PUT", &path, &document);
                self.known[tenant].write(id, at, Some(value));
            }
        }
    }

    /// The position of the version that an answer is of.
    fn version(&self, tenant: usize, id: usize, response: &Response) -> Option<usize> {
        let body = parsed(response);
        let versions = &self.known[tenant].documents[id];
        match response.status {
            200 => {
                assert_eq!(body["tenant"], tenant, "seed {}: another tenant's data", self.seed);
                versions.iter().position(|version| version.value.is_some() && version.value == body["value"].as_i64())
            }
            404 => {
                assert_eq!(response.header("content-type"), Some("application/problem+json"));
                // Any time at which there was none: the last is the easiest to allow.
                versions.iter().rposition(|version| version.value.is_none())
            }
            status => panic!("seed {}: {status} {body}", self.seed),
        }
    }

    fn read(&mut self, centre: usize, tenant: usize) {
        let id = self.random.below(IDS);
        let least = match self.random.below(3) {
            0 => i64::try_from(self.random.below(usize::try_from(self.known[tenant].last).unwrap() + 1)).unwrap(),
            1 => self.known[tenant].last,
            _ => 0,
        };
        let least_text = least.to_string();
        let path = format!("/collections/docs/docs/d{id}?consistency=cached");
        let asked = self.tenants.ask(centre, tenant, "GET", &path, "", &[("min-sequence", &least_text)]);
        let response = match asked {
            Ok(response) => {
                self.count(if response.status == 200 { "hits" } else { "hits of nothing" });
                assert_eq!(response.header("thermocline-cache"), Some("hit"), "seed {}", self.seed);
                let told: i64 = response.header("thermocline-sequence").unwrap().parse().unwrap();
                assert!(told >= least, "seed {}: asked for {least}, got {told}", self.seed);
                response
            }
            Err(pending) if self.random.below(5) == 0 => {
                self.pending.push(*pending);
                return;
            }
            Err(pending) => self.tenants.finish(*pending),
        };
        let position = self.version(tenant, id, &response);
        let now = self.now();
        let allowed = position.is_some_and(|position| self.known[tenant].allows(id, position, now, least));
        assert!(allowed, "seed {}: tenant {tenant}, d{id}, at least {least}, at {now}: {response:?}", self.seed);
        if position.is_some_and(|position| position + 1 < self.known[tenant].documents[id].len()) {
            self.count("older answers");
        }
    }

    fn step(&mut self) {
        let (centre, tenant) = (self.random.below(2), self.random.below(2));
        match self.random.below(20) {
            0..4 => self.change(centre, tenant),
            4 => {
                let id = self.random.below(IDS);
                let strong =
                    self.tenants.send(centre, tenant, "GET", &format!("/collections/docs/docs/d{id}"), "", &[]);
                let expected = self.known[tenant].current(id);
                assert_eq!(parsed(&strong).get("value").and_then(Value::as_i64), expected, "seed {}", self.seed);
            }
            5 => {
                let answer = self.tenants.send(centre, tenant, "DELETE", "/cache?prefix=document/docs/", "", &[]);
                assert_eq!(answer.status, 200, "seed {}: {answer:?}", self.seed);
                let at = (self.now(), self.known[tenant].last);
                self.known[tenant].drops.push(at);
            }
            6 if self.random.below(5) == 0 => self.tenants.restart(tenant),
            7 => {
                for pending in std::mem::take(&mut self.pending) {
                    self.tenants.finish(pending);
                }
                let times = [1_000, 4_000, 11_000, 60_000, 301_000];
                let time = times[self.random.below(times.len())];
                self.tenants.clock.advance(time);
            }
            _ => self.read(centre, tenant),
        }
    }
}

fn play(seed: u64, steps: usize) -> (BTreeMap<&'static str, usize>, BTreeMap<&'static str, usize>) {
    let clock = Rc::new(ManualClock::new(1_767_225_600_000));
    let one_in = [0, 3, 10][usize::try_from(seed % 3).unwrap()];
    let caches = [0, 1].map(|centre| LyingCache::new(clock.clone(), seed * 2 + centre, one_in));
    let ports = [0, 1].map(|centre: usize| -> Rc<dyn EdgeCache> { caches[centre].clone() });
    let mut play = Play {
        tenants: Tenants::new(clock, ports),
        known: [Known::new(), Known::new()],
        random: SplitMix64::new(seed),
        pending: Vec::new(),
        value: 0,
        counts: BTreeMap::new(),
        seed,
    };
    for _ in 0..steps {
        play.step();
    }
    let mut told = BTreeMap::new();
    for (lie, times) in caches.iter().flat_map(|cache| cache.told()) {
        *told.entry(lie).or_default() += times;
    }
    (play.counts, told)
}

#[test]
fn every_cached_answer_is_the_tenants_own_and_no_older_than_is_told() {
    let seeds: Vec<u64> = match std::env::var("WARM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..30).collect(),
    };
    let (mut counts, mut told) = (BTreeMap::new(), BTreeMap::new());
    for seed in &seeds {
        let (some, lies) = play(*seed, 600);
        some.into_iter().for_each(|(what, times)| *counts.entry(what).or_insert(0) += times);
        lies.into_iter().for_each(|(lie, times)| *told.entry(lie).or_insert(0) += times);
    }
    println!("{counts:?} {told:?}");
    if seeds.len() > 1 {
        assert!(counts["hits"] > 1_000 && counts["hits of nothing"] > 20 && counts["older answers"] > 50, "{counts:?}");
        for lie in LIES {
            assert!(told.get(lie).is_some_and(|times| *times > 10), "{lie}: {told:?}");
        }
    }
}
