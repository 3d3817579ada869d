//! `GET /metrics`: figures grow by exactly what was done, cost nothing to read, and are told in two forms that agree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its figures are small"
)]

mod support;

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::Value;
use support::{Object, body, header, parsed};
use thermocline::config::StorageConfig;
use thermocline::error::Result;
use thermocline::ports::native::{Fault, FaultPlan, World};
use thermocline::ports::{Clock, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StoredObject};

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"id\":\"d{n:05}\",\"n\":{n}}}")).collect::<Vec<_>>().join("\n")
}

fn metrics(object: &Object) -> Value {
    object.ok("GET", "/metrics", "")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count: {value}"))
}

#[test]
fn an_object_that_was_never_written_has_figures() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let figures = metrics(&object);
    assert_eq!((&figures["since"], &figures["until"]), (&"2026-01-01T00:00:00.000Z".into(), &figures["since"]));
    for (group, name) in
        [("hot", "collections"), ("hot", "rowsWritten"), ("cold", "objects"), ("cold", "bytesIn"), ("hot", "errors")]
    {
        assert_eq!(figures[group][name], 0, "{group}.{name}");
    }
    assert_eq!(figures["cold"]["calls"]["get"], serde_json::json!({"calls":0,"failures":0,"latencyMs":null}));
    for unknown in ["latencyMs", "indexBytes"] {
        assert_eq!(figures["hot"].get(unknown), Some(&Value::Null), "it cannot be measured, and no figure is made up");
    }
    assert_eq!(object.json("GET", "/metrics?x=1", "").0, 400);
    assert_eq!(object.json("POST", "/metrics", "").0, 405);
    let head = object.send("HEAD", "/metrics", &[], "");
    assert_eq!((head.status, body(&head)), (200, &b""[..]));
}

#[test]
fn rows_and_statements_grow_by_what_requests_did() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    let before = metrics(&object);
    let own_reads = {
        let again = metrics(&object);
        number(&again["hot"]["rowsRead"]) - number(&before["hot"]["rowsRead"])
    };
    let write = object.send("PUT", "/collections/docs/docs/b", &[("content-type", "application/json")], "{}");
    let read = object.send("GET", "/collections/docs/docs/b", &[], "");
    let after = metrics(&object);
    let grown = |name: &str| number(&after["hot"][name]) - number(&before["hot"][name]);
    let told =
        |name: &str| -> u64 { [&write, &read].iter().map(|one| header(one, name).parse::<u64>().unwrap()).sum() };
    assert_eq!(grown("rowsWritten"), told("thermocline-rows-written"));
    assert_eq!(
        grown("rowsRead"),
        told("thermocline-rows-read") + 2 * own_reads,
        "and what the figures themselves read"
    );
    assert!(grown("statements") >= 3);
    let nano = |figures: &Value, name: &str| (figures["cost"][name].as_f64().unwrap() * 1e9).round() as u64;
    let (rows_read, rows_written) = (number(&after["hot"]["rowsRead"]), number(&after["hot"]["rowsWritten"]));
    assert_eq!((nano(&after, "rowsReadUsd"), nano(&after, "rowsWrittenUsd")), (rows_read, 1_000 * rows_written));
    assert_eq!(nano(&after, "totalUsd"), rows_read + 1_000 * rows_written, "nothing else was done");
    let month = after["cost"]["databaseUsdPerMonth"].as_f64().unwrap();
    assert!((month - number(&after["hot"]["databaseBytes"]) as f64 * 0.2e-9).abs() < 1e-9, "{month}");
    assert_eq!(after["hot"]["pendingChanges"], 2);
    drop(object);
    world.clock.advance(60_000);
    let woken = metrics(&Object::wake(&world));
    assert_eq!(
        (&woken["since"], &woken["hot"]["rowsWritten"]),
        (&"2026-01-01T00:01:00.000Z".into(), &0.into()),
        "counted anew"
    );
    assert_eq!(woken["hot"]["pendingChanges"], 2, "and what is stored is told");
}

#[test]
fn the_bucket_is_told_call_by_call_as_it_counts_itself() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.import("docs", &lines(0..300));
    object.ok("POST", "/sync", "");
    object.ok("POST", "/collections/docs/query", r#"{"tiers":["cold"]}"#);
    let (counts, figures) = (world.bucket.counts(), metrics(&object));
    let cold = &figures["cold"];
    assert_eq!(
        (number(&cold["calls"]["put"]["calls"]), number(&cold["calls"]["get"]["calls"])),
        (counts.puts, counts.gets)
    );
    assert!(counts.puts >= 9 && counts.gets >= 1, "{counts:?}");
    assert_eq!((&figures["cost"]["classA"], &figures["cost"]["classB"]), (&counts.puts.into(), &counts.gets.into()));
    let stored: u64 = world.bucket.keys().iter().map(|key| world.bucket.object(key).unwrap().bytes.len() as u64).sum();
    assert_eq!((&cold["uploads"], &cold["bytesIn"]), (&counts.puts.into(), &stored.into()), "each is there, once");
    let data: Vec<u64> = world
        .bucket
        .keys()
        .iter()
        .filter(|key| key.ends_with(".parquet"))
        .map(|key| world.bucket.object(key).unwrap().bytes.len() as u64)
        .collect();
    assert_eq!((number(&cold["objects"]), number(&cold["bytes"])), (data.len() as u64, data.iter().sum()));
    assert_eq!(figures["hot"]["pendingChanges"], 0);
}

/// A bucket whose calls take some time.
struct Slow {
    objects: Rc<dyn ObjectStore>,
    clock: Rc<dyn Clock>,
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
        self.clock.sleep_ms(30).await;
        self.objects.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.clock.sleep_ms(700).await;
        self.objects.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete(keys).await
    }
}

#[test]
fn latencies_are_those_of_the_bucket_by_the_clock() {
    let world = World::new(1).unwrap();
    let mut ports = world.ports();
    ports.objects =
        ports.objects.map(|objects| -> Rc<dyn ObjectStore> { Rc::new(Slow { objects, clock: world.clock.clone() }) });
    let object = Object::new(ports);
    object.import("docs", &lines(0..10));
    object.ok("POST", "/sync", "");
    object.ok("POST", "/collections/docs/query", r#"{"tiers":["cold"]}"#);
    let calls = &metrics(&object)["cold"]["calls"];
    let expected = |ms: u64| serde_json::json!({"average": ms as f64, "p50": ms, "p90": ms, "p99": ms, "max": ms});
    assert_eq!((&calls["put"]["latencyMs"], &calls["get"]["latencyMs"]), (&expected(30), &expected(700)));
    assert_eq!(calls["delete"]["latencyMs"], Value::Null);
}

#[test]
fn failures_are_counted_and_so_is_every_further_try() {
    let world = World::new(1).unwrap();
    Object::wake(&world).import("docs", &lines(0..10));
    let plan = FaultPlan::new();
    let object = Object::as_configured(plan.wrap(&world.ports()), StorageConfig::default());
    metrics(&object);
    let puts = |plan: &FaultPlan| plan.calls().iter().filter(|label| label.starts_with("put ")).count() as u64;
    // The first put of the archiving, wherever it comes.
    let probe = FaultPlan::new();
    let other = World::new(1).unwrap();
    Object::wake(&other).import("docs", &lines(0..10));
    let counted = Object::as_configured(probe.wrap(&other.ports()), StorageConfig::default());
    metrics(&counted);
    counted.ok("POST", "/sync", "");
    let first = probe.calls().iter().position(|label| label.starts_with("put ")).unwrap();
    plan.arm(first, Fault::Fail);
    object.ok("POST", "/sync", "");
    let figures = metrics(&object);
    let put = &figures["cold"]["calls"]["put"];
    assert_eq!((&put["failures"], number(&put["calls"])), (&1.into(), puts(&plan)));
    assert_eq!(puts(&plan), puts(&probe) + 1);
    assert_eq!(number(&figures["cold"]["uploads"]), puts(&probe), "what failed was not stored");
}

#[test]
fn figures_of_many_segments_are_read_without_them() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"hot":{"maxUnmergedSegments":1000}}"#);
    for batch in 0..100 {
        object.import("docs", &lines(batch * 70..(batch + 1) * 70));
    }
    object.ok("POST", "/sync", "");
    for accept in ["application/json", "text/plain"] {
        let response = object.send("GET", "/metrics", &[("accept", accept)], "");
        let read: u64 = header(&response, "thermocline-rows-read").parse().unwrap();
        assert!(read <= 20, "{accept}: {read} rows");
        assert_eq!(header(&response, "thermocline-rows-written"), "0");
    }
    assert_eq!(metrics(&object)["hot"]["segments"], 100);
}

/// The text says what the JSON says, and each line is one of the format's.
#[test]
fn prometheus_gets_the_same_figures() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    object.import("docs", &lines(0..100));
    object.ok("POST", "/sync", "");
    metrics(&object);
    let json = object.send("GET", "/metrics", &[("accept", "application/json")], "");
    let text = object.send("GET", "/metrics", &[("accept", "text/plain")], "");
    assert_eq!(header(&text, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(header(&json, "content-type"), "application/json");
    let (json, text) = (parsed(&json), String::from_utf8(body(&text).to_vec()).unwrap());
    let value = |name: &str, labels: &str| -> f64 {
        let begin = format!("thermocline_{name}{{object=\"demo/1\"{labels}}} ");
        let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&begin)).collect();
        assert_eq!(found.len(), 1, "{begin}");
        found[0].parse().unwrap()
    };
    for (metric, group, name) in [
        ("rows_written_total", "hot", "rowsWritten"),
        ("database_bytes", "hot", "databaseBytes"),
        ("segments", "hot", "segments"),
        ("cold_objects", "cold", "objects"),
        ("bucket_in_bytes_total", "cold", "bytesIn"),
        ("cost_class_a_usd_total", "cost", "classAUsd"),
    ] {
        assert!((value(metric, "") - json[group][name].as_f64().unwrap()).abs() < 1e-12, "{metric}");
    }
    let puts = json["cold"]["calls"]["put"]["calls"].as_f64().unwrap();
    assert_eq!(value("bucket_latency_seconds_count", ",operation=\"put\""), puts);
    assert_eq!(value("bucket_latency_seconds_bucket", ",operation=\"put\",le=\"+Inf\""), puts);
    assert_eq!(value("bucket_failures_total", ",operation=\"get\""), 0.0);
    for line in text.lines() {
        let sound = line.starts_with("# HELP thermocline_")
            || line.starts_with("# TYPE thermocline_")
            || line.starts_with("thermocline_");
        assert!(sound, "{line}");
    }
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
}
