//! A cache that does what caches may do, and what they should not.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use async_trait::async_trait;
use thermocline::error::{ErrorKind, Result, StorageError};
use thermocline::ports::native::{ManualClock, SplitMix64};
use thermocline::ports::{Clock, EdgeCache};
use thermocline::types::StorageTier;

/// All that it ever does but what it is asked to.
pub const LIES: [&str; 12] = [
    "throws",
    "misses",
    "truncates",
    "answers with another type",
    "answers with another key's",
    "answers with an older entry",
    "answers with what has expired",
    "flips a bit",
    "answers with more",
    "keeps nothing",
    "keeps and throws",
    "forgets nothing",
];

/// A cache that never answers.
#[derive(Default)]
pub struct HangingCache {
    pub calls: Cell<usize>,
}

impl HangingCache {
    async fn hang<T>(&self) -> Result<T> {
        self.calls.set(self.calls.get() + 1);
        std::future::pending().await
    }
}

#[async_trait(?Send)]
impl EdgeCache for HangingCache {
    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>> {
        self.hang().await
    }

    async fn put(&self, _key: &str, _bytes: &[u8], _ttl_secs: u32) -> Result<()> {
        self.hang().await
    }

    async fn delete(&self, _key: &str) -> Result<()> {
        self.hang().await
    }
}

struct Kept {
    bytes: Vec<u8>,
    expires: i64,
}

/// One data centre's cache; every so often a call meets a lie.
pub struct LyingCache {
    clock: Rc<ManualClock>,
    random: RefCell<SplitMix64>,
    /// One call of so many is a lie; 0 for none.
    one_in: Cell<usize>,
    kept: RefCell<HashMap<String, Kept>>,
    /// What was ever put, by key.
    past: RefCell<BTreeMap<String, Vec<Vec<u8>>>>,
    told: RefCell<BTreeMap<&'static str, usize>>,
}

impl LyingCache {
    pub fn new(clock: Rc<ManualClock>, seed: u64, one_in: usize) -> Rc<Self> {
        Rc::new(Self {
            clock,
            random: RefCell::new(SplitMix64::new(seed)),
            one_in: Cell::new(one_in),
            kept: RefCell::default(),
            past: RefCell::default(),
            told: RefCell::default(),
        })
    }

    /// How often each lie was told.
    pub fn told(&self) -> BTreeMap<&'static str, usize> {
        self.told.borrow().clone()
    }

    /// All keys that were ever put.
    pub fn keys(&self) -> Vec<String> {
        self.past.borrow().keys().cloned().collect()
    }

    fn below(&self, bound: usize) -> usize {
        self.random.borrow_mut().below(bound)
    }

    /// The lie that this call meets, one of these.
    fn lie(&self, lies: &[&'static str]) -> Option<&'static str> {
        let one_in = self.one_in.get();
        (one_in > 0 && self.below(one_in) == 0).then(|| lies[self.below(lies.len())])
    }

    fn tell(&self, lie: &'static str) {
        *self.told.borrow_mut().entry(lie).or_default() += 1;
    }
}

fn thrown() -> StorageError {
    StorageError::new(ErrorKind::Unavailable, StorageTier::Warm, "use cache", "the cache failed")
}

#[async_trait(?Send)]
impl EdgeCache for LyingCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let now = self.clock.now_ms();
        let kept = self.kept.borrow().get(key).map(|kept| (kept.bytes.clone(), kept.expires));
        let honest = kept.as_ref().filter(|(_, expires)| *expires > now).map(|(bytes, _)| bytes.clone());
        let Some(lie) = self.lie(&LIES[..9]) else { return Ok(honest) };
        let mut bytes = honest.clone().unwrap_or_default();
        let past = self.past.borrow();
        let told = match lie {
            "throws" => {
                self.tell(lie);
                return Err(thrown());
            }
            "misses" => None,
            "truncates" => (!bytes.is_empty()).then(|| bytes[..self.below(bytes.len())].to_vec()),
            "answers with another type" => Some(b"<!doctype html><title>Error 1015</title>".to_vec()),
            "answers with another key's" => {
                let of = past.values().nth(self.below(past.len().max(1)));
                of.and_then(|all| all.last()).cloned()
            }
            "answers with an older entry" => past.get(key).map(|all| all[self.below(all.len())].clone()),
            "answers with what has expired" => kept.map(|(bytes, _)| bytes),
            "flips a bit" => (!bytes.is_empty()).then(|| {
                let position = self.below(bytes.len());
                bytes[position] ^= 1 << self.below(8);
                bytes
            }),
            _ => {
                bytes.extend(vec![b'x'; self.below(2_000_000)]);
                Some(bytes)
            }
        };
        if told != honest {
            self.tell(lie);
        }
        Ok(told)
    }

    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()> {
        let lie = self.lie(&["throws", "keeps nothing", "keeps and throws"]);
        if let Some(lie) = lie {
            self.tell(lie);
        }
        if !matches!(lie, Some("throws" | "keeps nothing")) {
            let expires = self.clock.now_ms() + i64::from(ttl_secs) * 1_000;
            self.kept.borrow_mut().insert(key.to_owned(), Kept { bytes: bytes.to_vec(), expires });
            self.past.borrow_mut().entry(key.to_owned()).or_default().push(bytes.to_vec());
        }
        if matches!(lie, Some("throws" | "keeps and throws")) { Err(thrown()) } else { Ok(()) }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let lie = self.lie(&["throws", "forgets nothing"]);
        if let Some(lie) = lie {
            self.tell(lie);
        } else {
            self.kept.borrow_mut().remove(key);
        }
        if lie == Some("throws") { Err(thrown()) } else { Ok(()) }
    }
}
