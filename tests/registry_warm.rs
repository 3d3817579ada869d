//! What writes of a registry's routes take back from the Worker's cache.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::rc::Rc;

use thermocline::config::StorageConfig;
use thermocline::http::access::{Access, AccessVariables};
use thermocline::http::edge::{CachePlan, Decision, Edge};
use thermocline::http::message::RequestHead;
use thermocline::ports::EdgePorts;
use thermocline::ports::native::{NativeSignatures, SeededIds, World, run};

fn plan(edge: &Edge, method: &str, path: &str) -> String {
    let head = RequestHead {
        method: method.to_owned(),
        origin: "https://worker.example".to_owned(),
        path: format!("/v1/registry/acme{path}"),
        query: String::new(),
        headers: Vec::new(),
    };
    let mut exchange = edge.begin(&head);
    match run(edge.decide(&head, &mut exchange)).done().unwrap() {
        Decision::Forward { plan: None, .. } => "nothing".to_owned(),
        Decision::Forward { plan: Some(CachePlan::ForgetDocuments { collections, id }), .. } => {
            format!("{id} of {}", collections.join(" and "))
        }
        Decision::Forward { plan: Some(CachePlan::ForgetGeneration), .. } => "all".to_owned(),
        Decision::Forward { plan: Some(CachePlan::ForgetCreated { collections }), .. } => {
            format!("{} of what is made", collections.join(" and "))
        }
        Decision::Forward { plan: Some(CachePlan::ForgetImported), .. } => "all, also when it breaks off".to_owned(),
        _ => panic!("{method} {path} is answered in another way"),
    }
}

#[test]
fn writes_take_back_what_they_change() {
    let ports = World::new(1).unwrap().ports();
    let config = StorageConfig::default();
    let open = AccessVariables { mode: Some("off".to_owned()), ..AccessVariables::default() };
    let access = Access::new(open, &config.security, Rc::new(NativeSignatures), Rc::clone(&ports.clock)).unwrap();
    let ids = Rc::new(SeededIds::new(1));
    let edge =
        Edge::new(EdgePorts { cache: ports.cache, bucket: None, clock: ports.clock, ids }, &config, access).unwrap();
    for (method, path, expected) in [
        ("POST", "/hashes/batch", "all, also when it breaks off"),
        ("POST", "/cleanup", "all"),
        ("DELETE", "/records/a", "a of asset_metadata and hash_records"),
        ("DELETE", "/hashes/a%2Fb", "a/b of hash_records"),
        ("PATCH", "/assets/a", "a of asset_metadata"),
        ("POST", "/records", "asset_metadata and hash_records of what is made"),
        ("POST", "/assets", "asset_metadata and hash_records of what is made"),
        ("POST", "/hashes", "asset_metadata and hash_records of what is made"),
        ("POST", "/collisions", "all"),
        ("POST", "/collisions/0192d3f0-0000-7000-8000-000000000000/reviews", "all"),
        ("GET", "/records/a", "nothing"),
        ("POST", "/hashes/search", "nothing"),
        ("PUT", "/temp/t", "nothing"),
    ] {
        assert_eq!(plan(&edge, method, path), expected, "{method} {path}");
    }
}
