//! Figures of a registry's index: they grow by what was searched, and are told in two forms that agree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::{Object, parsed, request_to};
use thermocline::http::message::Response;
use thermocline::ports::native::{World, run};

const REGISTRY: &str = "/v1/registry/acme";

fn send(object: &Object, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    run(object.service.handle(request_to(REGISTRY, method, path, headers, body))).done().expect("the request ends")
}

fn get(object: &Object, path: &str) -> Value {
    let answer = send(object, "GET", path, &[], "");
    assert_eq!(answer.status, 200, "{path}");
    parsed(&answer)
}

fn post(object: &Object, path: &str, media_type: &str, body: &str) -> Value {
    let answer = send(object, "POST", path, &[("content-type", media_type)], body);
    assert_eq!(answer.status, 200, "{path}");
    parsed(&answer)
}

/// A sample of the text for Prometheus.
fn sample(text: &str, name: &str) -> Option<String> {
    let start = format!("thermocline_{name}{{object=\"registry/acme\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}

#[test]
fn the_index_has_figures_that_grow_with_searches() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let list: String = (0..2_000_u64).map(|number| format!("{:064x}\n", number << 40)).collect();
    post(&object, "/hashes/batch", "text/plain", &list);
    let before = get(&object, "/metrics")["index"].clone();
    assert_eq!((&before["searches"], &before["keys"], &before["latencyMs"]), (&json!(0), &Value::Null, &Value::Null));
    let search = json!({"pdqHash": "0".repeat(64), "maxDistance": 0}).to_string();
    let mut candidates = 0;
    for _ in 0..3 {
        candidates +=
            post(&object, "/hashes/search", "application/json", &search)["stats"]["candidates"].as_u64().unwrap();
    }
    let queries = json!({"queries": [{"pdqHash": "0".repeat(64)}, {"pdqHash": "f".repeat(64)}]}).to_string();
    for result in post(&object, "/hashes/search/batch", "application/json", &queries)["results"].as_array().unwrap() {
        candidates += result["stats"]["candidates"].as_u64().unwrap();
    }
    let after = get(&object, "/metrics")["index"].clone();
    assert_eq!(
        (&after["searches"], &after["candidates"], &after["keys"]),
        (&json!(5), &json!(candidates), &json!(2_000))
    );
    assert_eq!(
        after["latencyMs"],
        json!({"average": 0.0, "p50": 0, "p90": 0, "p99": 0, "max": 0}),
        "time stands still"
    );
    assert!(after["memoryBytes"].as_u64().unwrap() >= 2_000 * 33, "{after}");
    let stored = after["storedBytes"].as_u64().unwrap();
    let amplification = after["amplification"].as_f64().unwrap();
    assert!(stored > 64_000 && (amplification - stored as f64 / 64_000.0).abs() < 0.001, "{after}");
    send(&object, "DELETE", &format!("/records/pdq-{}", "0".repeat(64)), &[], "");
    post(&object, "/hashes/search", "application/json", &search);
    assert_eq!(get(&object, "/metrics")["index"]["removed"], 1);
    world.clock.advance(5_000);
    post(&object, "/hashes/compact", "application/json", "");
    let index = get(&object, "/metrics")["index"].clone();
    assert_eq!((&index["removed"], &index["compactions"], &index["keys"]), (&json!(0), &json!(1), &json!(1_999)));
    assert_eq!(index["lastCompaction"], "2026-01-01T00:00:05.000Z");
    let stats = get(&object, "/hashes/stats");
    for name in ["keys", "searches", "candidates", "latencyMs", "compactions", "lastCompaction", "amplification"] {
        assert_eq!(stats[name], index[name], "{name}");
    }
}

#[test]
fn prometheus_is_told_the_same() {
    let object = Object::wake(&World::new(1).unwrap());
    post(&object, "/hashes/batch", "text/plain", &"1".repeat(64));
    post(&object, "/hashes/search", "application/json", &json!({"pdqHash": "1".repeat(64)}).to_string());
    let json = get(&object, "/metrics")["index"].clone();
    let answer = send(&object, "GET", "/metrics", &[("accept", "text/plain")], "");
    let text = String::from_utf8(answer.body.bytes().to_vec()).unwrap();
    for (name, metric) in [
        ("keys", "index_keys"),
        ("removed", "index_removed"),
        ("memoryBytes", "index_memory_bytes"),
        ("storedBytes", "index_stored_bytes"),
        ("searches", "index_searches_total"),
        ("candidates", "index_candidates_total"),
        ("distances", "index_distances_total"),
        ("compactions", "index_compactions_total"),
    ] {
        assert_eq!(sample(&text, metric), Some(json[name].to_string()), "{metric}");
    }
    assert_eq!(sample(&text, "index_search_latency_seconds_count").as_deref(), Some("1"));
    // An object that is no registry has no index.
    let other = Object::wake(&World::new(1).unwrap());
    let answer = other.send("GET", "/metrics", &[("accept", "text/plain")], "");
    assert!(!String::from_utf8_lossy(answer.body.bytes()).contains("index_"));
    assert_eq!(other.ok("GET", "/metrics", "").get("index"), None);
}
