//! Keys of the configuration that change what an object does: with another value it does something else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use support::{Object, header, parsed, request};
use thermocline::config::StorageConfig;
use thermocline::error::Result;
use thermocline::http::message::BodySource;
use thermocline::ports::native::{Fault, FaultPlan, World};
use thermocline::ports::{Clock, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StoredObject};

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"id\":\"d{n:05}\",\"n\":{n}}}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_import_commits_as_many_documents_at_once_as_configured() {
    let rows_written = |config: &str| {
        let world = World::new(1).unwrap();
        let object = Object::wake_with(&world, config);
        object.import("docs", &lines(0..100));
        let path = "/collections/docs/import";
        let response = object.send("POST", path, &[("content-type", "application/x-ndjson")], lines(1_000..1_300));
        assert_eq!(parsed(&response)["imported"], 300);
        header(&response, "thermocline-rows-written").parse::<u64>().unwrap()
    };
    let at_once = rows_written("{}");
    assert_eq!(rows_written(r#"{"performance":{"batchSize":100}}"#), 3 * at_once);
    assert_eq!(rows_written(r#"{"performance":{"batchSize":300}}"#), at_once);
}

/// A body whose end does not come.
struct Endless;

#[async_trait(?Send)]
impl BodySource for Endless {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        std::future::pending().await
    }
}

#[test]
fn requests_beyond_those_that_are_worked_on_are_sent_away_and_find_a_place_later() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"performance":{"maxConcurrentOperations":2}}"#);
    let waiting = || {
        let mut request = request("POST", "/collections/docs/docs", &[], "");
        request.body = Box::new(Endless);
        request
    };
    let mut context = Context::from_waker(Waker::noop());
    let (first, second) = (object.service.handle(waiting()), object.service.handle(waiting()));
    let mut second = Box::pin(second);
    {
        let mut first = pin!(first);
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Pending));
        assert_eq!(object.json("PUT", "/collections/docs/docs/a", "{}").0, 201, "there is a place left");
        assert!(matches!(second.as_mut().poll(&mut context), Poll::Pending));
        let response = object.send("GET", "/collections/docs/docs/a", &[], "");
        assert_eq!((response.status, header(&response, "retry-after")), (503, "5"));
        let detail = parsed(&response)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("performance.maxConcurrentOperations = 2"), "{detail}");
        assert_eq!(object.get("/cdc").0, 503, "a page of the feed may be as large as any answer");
        assert_eq!(object.get("/cdc?waitMs=1000").0, 503, "and so may one that has nothing to wait for");
        assert_eq!(object.get("/cdc?after=1&waitMs=1").0, 200, "who waits is not counted");
    }
    assert_eq!(object.get("/collections/docs/docs/a").0, 200, "a client that has gone leaves its place");
    drop(second);
    assert_eq!(object.get("/collections/docs/docs/a").0, 200);
}

/// A bucket whose reads take time.
struct Slow {
    objects: Rc<dyn ObjectStore>,
    clock: Rc<dyn Clock>,
    read_ms: u32,
}

#[async_trait(?Send)]
impl ObjectStore for Slow {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.objects.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.clock.sleep_ms(self.read_ms).await;
        // The time has passed when the caller goes on, as with an answer from outside.
        self.clock.sleep_ms(0).await;
        self.objects.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete(keys).await
    }
}

#[test]
fn a_query_that_waits_too_long_for_the_bucket_is_ended() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.import("docs", &lines(0..10));
    object.ok("POST", "/sync", "");
    let ask = |config: &str, body: &str| {
        let mut ports = world.ports();
        let (objects, clock) = (ports.objects.unwrap(), Rc::clone(&ports.clock));
        ports.objects = Some(Rc::new(Slow { objects, clock, read_ms: 1_000 }));
        let object = Object::configured(ports, StorageConfig::parse(config).unwrap());
        let answer = object.json("POST", "/collections/docs/query", body);
        assert_eq!(object.ok("POST", "/collections/docs/query", "{}")["rows"].as_array().unwrap().len(), 10);
        answer
    };
    let past = format!(r#"{{"asOf":{}}}"#, world.clock.now_ms());
    for body in [r#"{"tiers":["cold"]}"#, &past] {
        assert_eq!(ask(r#"{"timeouts":{"queryMs":60000}}"#, body).0, 200);
    }
    let (status, problem) = ask(r#"{"timeouts":{"queryMs":900}}"#, r#"{"tiers":["cold"]}"#);
    assert_eq!((status, problem["retryable"].as_bool()), (503, Some(true)), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("timeouts.queryMs = 900"), "{problem}");
}

/// What the bucket fails at once, and may do again, is done by the same request; without retries the request fails.
#[test]
fn a_failed_call_of_the_bucket_is_tried_again_within_the_request() {
    let sync = |call: usize, fault: Option<Fault>, retries: u32| {
        let world = World::new(3).unwrap();
        Object::wake(&world).import("docs", &lines(0..10));
        let plan = FaultPlan::new();
        if let Some(fault) = fault {
            plan.arm(call, fault);
        }
        let config = StorageConfig::parse(&format!(r#"{{"timeouts":{{"retries":{retries}}}}}"#)).unwrap();
        let object = Object::as_configured(plan.wrap(&world.ports()), config);
        let status = object.json("POST", "/sync", "").0;
        let cold = object.json("POST", "/collections/docs/query", r#"{"tiers":["cold"]}"#).1["rows"].clone();
        (status, cold, plan.calls())
    };
    let (status, expected, calls) = sync(0, None, 3);
    assert_eq!((status, expected.as_array().unwrap().len()), (200, 10));
    let mut tried = 0;
    for (number, label) in calls.iter().enumerate() {
        // What is put without being there already.
        if !label.starts_with("put ") {
            continue;
        }
        for fault in [Fault::Fail, Fault::FailAfter] {
            let (status, cold, with_fault) = sync(number, Some(fault), 3);
            assert_eq!((status, &cold), (200, &expected), "{label} {fault:?}");
            assert!(with_fault.len() > calls.len(), "{label} {fault:?} is one call more, at least");
            assert_eq!(sync(number, Some(fault), 0).0, 503, "{label} {fault:?} without retries");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried} faults");
}

#[test]
fn requests_beyond_a_minutes_allowance_are_sent_away_and_let_in_again_when_it_has_come_back() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"budgets":{"objectRequests":6}}"#);
    for n in 0..6 {
        assert_eq!(object.json("PUT", &format!("/collections/docs/docs/d{n}"), "{}").0, 201);
    }
    let refused = object.send("PUT", "/collections/docs/docs/late", &[("content-type", "application/json")], "{}");
    assert_eq!((refused.status, header(&refused, "retry-after")), (429, "10"));
    let problem = parsed(&refused);
    assert!(problem["detail"].as_str().unwrap().contains("budgets.objectRequests = 6"), "{problem}");
    assert_eq!((header(&refused, "thermocline-rows-written"), problem["retryable"].as_bool()), ("0", Some(true)));
    world.clock.advance(10_000);
    assert_eq!(object.get("/collections/docs/docs/late").0, 404, "nothing of what was sent away was done");
    assert_eq!(object.get("/collections/docs/docs/d1").0, 429);
}

#[test]
fn what_requests_cost_is_bounded_too() {
    // Ten rows written a minute.
    for config in [r#"{"budgets":{"objectCostMicroUsd":10}}"#, r#"{"budgets":{"tokenCostMicroUsd":10}}"#] {
        let world = World::new(1).unwrap();
        Object::wake(&world).ok("PUT", "/collections/docs/docs/first", "{}");
        let object = Object::wake_with(&world, config);
        let let_in = (0..20).take_while(|n| object.json("PUT", &format!("/collections/docs/docs/d{n}"), "{}").0 == 201);
        let let_in = let_in.count();
        assert!((4..=5).contains(&let_in), "{let_in} writes of two rows each: {config}");
        assert_eq!(object.get("/collections/docs/docs/d1").0, 429, "{config}");
        world.clock.advance(60_000);
        assert_eq!(object.get("/collections/docs/docs/d1").0, 200, "{config}");
    }
}
