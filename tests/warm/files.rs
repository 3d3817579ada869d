//! Files of tables, read through the cache.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value, json};
use thermocline::cold::paths::owner_of_immutable;
use thermocline::config::StorageConfig;
use thermocline::error::{ErrorKind, Result, StorageError};
use thermocline::ports::native::{MemoryBucket, Outcome, World, join_seeded, run, yield_now};
use thermocline::ports::{
    Clock, EdgeCache, ObjectMetadata, ObjectStore, Ports, PutCondition, PutOutcome, StoredObject,
};
use thermocline::types::StorageTier;
use thermocline::warm::{CachedBucket, WarmStore};

use super::lying::{HangingCache, LIES, LyingCache};
use super::support::Object;
use super::support::archive::settle_with;

const KEY: &str = "iceberg/demo/1/docs/data/year=2026/month=01/a.parquet";
/// Everything that is archived is evicted.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1}}"#;

/// A bucket that takes its time, and fails when it is told to.
struct SlowBucket {
    inner: MemoryBucket,
    gets: Cell<usize>,
    failing: Cell<usize>,
}

#[async_trait(?Send)]
impl ObjectStore for SlowBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.inner.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.gets.set(self.gets.get() + 1);
        for _ in 0..5 {
            yield_now().await;
        }
        if self.failing.get() > 0 {
            self.failing.set(self.failing.get() - 1);
            return Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "get object", "away"));
        }
        self.inner.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.inner.delete(keys).await
    }
}

/// A cache that keeps nothing.
struct Forgetful;

#[async_trait(?Send)]
impl EdgeCache for Forgetful {
    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn put(&self, _key: &str, _bytes: &[u8], _ttl_secs: u32) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, _key: &str) -> Result<()> {
        Ok(())
    }
}

struct Bucket {
    cached: CachedBucket,
    slow: Rc<SlowBucket>,
}

fn bucket(world: &World, cache: Rc<dyn EdgeCache>) -> Bucket {
    let slow = Rc::new(SlowBucket { inner: world.bucket.clone(), gets: Cell::new(0), failing: Cell::new(0) });
    let store = WarmStore::new(cache, world.clock.clone());
    Bucket { cached: CachedBucket::new(slow.clone(), store, owner_of_immutable), slow }
}

fn over_memory(world: &World) -> Bucket {
    bucket(world, Rc::new(world.cache.clone()))
}

impl Bucket {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let found = run(self.cached.get(key, range)).done().unwrap()?;
        Ok(found.map(|object| object.bytes))
    }
}

#[test]
fn a_range_is_read_from_the_bucket_once_and_other_files_always() {
    let world = World::new(1).unwrap();
    let hint = "iceberg/demo/1/docs/metadata/version-hint.text";
    for key in [KEY, hint] {
        world.bucket.overwrite(key, "0123456789");
    }
    let bucket = over_memory(&world);
    for _ in 0..3 {
        assert_eq!(bucket.get(KEY, Some(2..5)).unwrap().unwrap(), b"234");
        assert_eq!(bucket.get(KEY, Some(2..6)).unwrap().unwrap(), b"2345");
        assert_eq!(bucket.get(KEY, None).unwrap().unwrap(), b"0123456789");
        assert_eq!(bucket.get(KEY, Some(8..99)).unwrap().unwrap(), b"89", "as far as there is something");
    }
    assert_eq!(bucket.slow.gets.get(), 4);
    let figures = bucket.cached.figures();
    assert_eq!((figures.hits, figures.misses, figures.keys_written, figures.bytes_written), (8, 4, 4, 19));
    for round in 1..4 {
        assert_eq!(bucket.get(hint, None).unwrap().unwrap(), b"0123456789");
        assert_eq!(bucket.slow.gets.get(), 4 + round, "a pointer is never kept");
    }
    // Another instance in the same data centre.
    let next = over_memory(&world);
    assert_eq!((next.get(KEY, Some(2..5)).unwrap().unwrap(), next.slow.gets.get()), (b"234".to_vec(), 0));
    world.clock.advance(86_400_000);
    assert_eq!((next.get(KEY, Some(2..5)).unwrap().unwrap(), next.slow.gets.get()), (b"234".to_vec(), 1));
}

#[test]
fn what_is_absent_large_or_cut_short_is_not_kept() {
    let world = World::new(1).unwrap();
    let bucket = over_memory(&world);
    for _ in 0..2 {
        assert_eq!(bucket.get(KEY, None).unwrap(), None);
    }
    assert_eq!(bucket.slow.gets.get(), 2);
    world.bucket.overwrite(KEY, vec![7; 1_000_001]);
    for _ in 0..2 {
        assert_eq!(bucket.get(KEY, None).unwrap().unwrap().len(), 1_000_001);
        assert_eq!(bucket.get(KEY, Some(0..1_000_001)).unwrap().unwrap().len(), 1_000_001);
    }
    assert_eq!((bucket.slow.gets.get(), bucket.cached.figures().keys_written), (6, 0));
}

#[test]
fn a_request_uses_the_cache_so_much_and_no_more() {
    let world = World::new(1).unwrap();
    world.bucket.overwrite(KEY, vec![7; 900_000]);
    let bucket = over_memory(&world);
    for start in 0..200 {
        assert_eq!(bucket.get(KEY, Some(start..start + 10)).unwrap().unwrap(), [7; 10]);
    }
    assert_eq!(bucket.cached.figures().operations, 128);
    bucket.cached.request_began();
    for start in 0..60 {
        bucket.get(KEY, Some(start..start + 500_000)).unwrap();
    }
    let figures = bucket.cached.figures();
    assert_eq!((figures.keys_written, figures.bytes_written), (64 + 33, 64 * 10 + 33 * 500_000), "16 MiB");
}

#[test]
fn concurrent_reads_of_one_range_are_one_load() {
    for seed in 0..50 {
        let world = World::new(1).unwrap();
        world.bucket.overwrite(KEY, "0123456789");
        // Also where the cache keeps nothing.
        let bucket = if seed % 2 == 0 { over_memory(&world) } else { bucket(&world, Rc::new(Forgetful)) };
        let read = |_| -> Pin<Box<dyn Future<Output = Vec<u8>> + '_>> {
            Box::pin(async { bucket.cached.get(KEY, Some(1..4)).await.unwrap().unwrap().bytes })
        };
        let outcomes = join_seeded(seed, (0..20).map(read).collect());
        assert!(outcomes.into_iter().all(|outcome| outcome == Outcome::Done(b"123".to_vec())));
        let joined = bucket.cached.figures().joined;
        if seed % 2 == 0 {
            // Whoever comes later finds it in the cache.
            assert_eq!(bucket.slow.gets.get(), 1, "seed {seed}");
        } else {
            assert!(bucket.slow.gets.get() <= 3 && joined >= 17, "seed {seed}: {joined}");
        }
    }
}

#[test]
fn a_load_that_fails_is_told_to_one_and_the_others_ask_for_themselves() {
    for seed in 0..50 {
        let world = World::new(1).unwrap();
        world.bucket.overwrite(KEY, "0123456789");
        let bucket = bucket(&world, Rc::new(Forgetful));
        bucket.slow.failing.set(1);
        let read = |_| -> Pin<Box<dyn Future<Output = bool> + '_>> {
            Box::pin(async { bucket.cached.get(KEY, None).await.is_ok_and(|found| found.is_some()) })
        };
        let outcomes = join_seeded(seed, (0..8).map(read).collect());
        let failed = outcomes.iter().filter(|outcome| **outcome == Outcome::Done(false)).count();
        assert_eq!((failed, outcomes.len()), (1, 8), "seed {seed}");
    }
}

#[test]
fn a_load_is_not_lost_with_who_began_it() {
    let world = World::new(1).unwrap();
    world.bucket.overwrite(KEY, "0123456789");
    let bucket = over_memory(&world);
    let leader = RefCell::new(Some(Box::pin(bucket.cached.get(KEY, None))));
    run(async {
        let mut polled = 0;
        std::future::poll_fn(|context| {
            let mut leader = leader.borrow_mut();
            polled += 1;
            assert!(leader.as_mut().unwrap().as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(polled, 1);
    })
    .done()
    .unwrap();
    let follower = bucket.cached.get(KEY, None);
    let mut follower = Box::pin(follower);
    let outcome = run(async {
        std::future::poll_fn(|context| {
            if follower.as_mut().poll(context).is_ready() {
                panic!("nothing is loaded yet");
            }
            leader.borrow_mut().take();
            std::task::Poll::Ready(())
        })
        .await;
        follower.await.unwrap().unwrap().bytes
    });
    assert_eq!((outcome, bucket.slow.gets.get()), (Outcome::Done(b"0123456789".to_vec()), 1));
}

fn line(n: usize) -> Value {
    json!({"id": format!("d{n:06}"), "n": n, "text": "x".repeat(40 + n % 20)})
}

/// An object whose documents are all in the bucket only.
fn evicted(count: usize) -> World {
    let world = World::new(11).unwrap();
    let lines: Vec<String> = (0..count).map(|n| line(n).to_string()).collect();
    Object::wake_with(&world, EVICTING).import("docs", &lines.join("\n"));
    for n in 0..2 {
        settle_with(&world, EVICTING);
        world.clock.advance(7_200_000);
        Object::wake_with(&world, EVICTING).ok("PUT", "/collections/other/docs/x", &json!({"n": n}).to_string());
    }
    settle_with(&world, EVICTING);
    world
}

fn reading(world: &World, cache: Rc<dyn EdgeCache>) -> Object {
    Object::as_configured(Ports { cache, ..world.ports() }, StorageConfig::parse(EVICTING).unwrap())
}

fn gets(object: &Object) -> u64 {
    object.ok("GET", "/metrics", "")["cold"]["calls"]["get"]["calls"].as_u64().unwrap()
}

#[test]
fn an_object_reads_what_is_evicted_from_the_cache_the_second_time() {
    let world = evicted(2_000);
    let counts: Vec<u64> = (0..2)
        .map(|_| {
            let object = reading(&world, Rc::new(world.cache.clone()));
            assert_eq!(object.get("/collections/docs/docs/d000123").1, line(123));
            let rows = object.rows("docs", r#"{"where":{"n":{"gte":1990}},"limit":1000}"#);
            assert_eq!(rows, (1_990..2_000).map(line).collect::<Vec<_>>());
            gets(&object)
        })
        .collect();
    assert!(counts[0] >= 1 && counts[1] == 0, "{counts:?} reads of the bucket");
    let without = Object::wake_with(&world, EVICTING);
    assert_eq!(without.get("/collections/docs/docs/d000123").1, line(123));
    assert!(gets(&without) >= 1, "with performance.queryCaching false the bucket is read");
}

#[test]
fn whatever_the_cache_does_evicted_documents_are_right() {
    let world = evicted(300);
    let mut told = 0;
    for seed in 0..20 {
        let cache = LyingCache::new(world.clock.clone(), seed, 2);
        for n in 0..6 {
            let object = reading(&world, cache.clone());
            assert_eq!(object.get(&format!("/collections/docs/docs/d{:06}", n * 7)).1, line(n * 7), "seed {seed}");
            assert_eq!(object.rows("docs", r#"{"limit":1000}"#), (0..300).map(line).collect::<Vec<_>>(), "seed {seed}");
        }
        told += cache.told().values().sum::<usize>();
    }
    assert!(told > 100, "{told} lies of {} kinds", LIES.len());
}

#[test]
fn bytes_that_came_damaged_are_not_kept() {
    let world = evicted(2_000);
    let cache: Rc<dyn EdgeCache> = Rc::new(world.cache.clone());
    let files: Vec<String> = world.bucket.keys().into_iter().filter(|key| key.contains("/docs/data/")).collect();
    let whole: Vec<Vec<u8>> = files.iter().map(|key| world.bucket.object(key).unwrap().bytes).collect();
    let damaged = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
    for harm in [damaged, |bytes: &[u8]| bytes[..50].to_vec()] {
        files.iter().zip(&whole).for_each(|(key, bytes)| world.bucket.overwrite(key, harm(bytes)));
        assert_eq!(reading(&world, cache.clone()).get("/collections/docs/docs/d000123").0, 500);
        files.iter().zip(&whole).for_each(|(key, bytes)| world.bucket.overwrite(key, bytes.clone()));
        assert_eq!(reading(&world, cache.clone()).get("/collections/docs/docs/d000123").1, line(123));
        world.cache.clear();
    }
}

#[test]
fn a_cache_that_never_answers_is_waited_for_once_a_request_and_once_an_alarm() {
    let world = evicted(2_000);
    Object::wake_with(&world, EVICTING).ok("PUT", "/collections/docs", r#"{"retention":{"days":1}}"#);
    let hanging = Rc::new(HangingCache::default());
    let object = reading(&world, hanging.clone());
    for n in 1..3 {
        let before = world.clock.now_ms();
        assert_eq!(object.get(&format!("/collections/docs/docs/d{:06}", n * 900)).1, line(n * 900));
        assert_eq!((world.clock.now_ms() - before, hanging.calls.get()), (2_000, n));
    }
    let figures = object.service.engine().file_cache_figures();
    assert_eq!((figures.failed, figures.misses, figures.operations), (2, 2, 2));
    world.clock.advance(2 * 86_400_000);
    run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    assert_eq!(hanging.calls.get(), 3, "an alarm may ask the cache again");
    assert_eq!(object.rows("docs", r#"{"limit":10}"#), Vec::<Value>::new(), "what has passed is deleted all the same");
}
