//! The OpenAPI document against the routes: it is what `examples/openapi` makes, and names every route with its methods and roles,
//! and no other.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../examples/openapi/document/mod.rs"]
mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use thermocline::http::access::Role;
use thermocline::http::{Routes, catalog_paths};

const METHODS: [&str; 8] = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

fn paths() -> serde_json::Map<String, Value> {
    document::document()["paths"].as_object().unwrap().clone()
}

/// The operations of paths that begin with this: `GET /path` and what is said of it.
fn operations(prefix: &str) -> BTreeMap<String, Value> {
    let paths = paths();
    let of = paths.iter().filter(|(path, _)| path.starts_with(prefix));
    of.flat_map(|(path, item)| {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(move |method| (format!("{} {path}", method.to_uppercase()), item[*method].clone()))
    })
    .collect()
}

/// A path of an object with its parameters filled in.
fn example(path: &str) -> String {
    let id = "00000000-0000-0000-0000-000000000001";
    let filled =
        path.replace("{type}", "demo").replace("{id}", "1").replace("{collection}", "c").replace("{document}", "d");
    let filled = filled
        .replace("{tenant}", "acme")
        .replace("{asset}", "a")
        .replace("{collision}", id)
        .replace("{temporary}", "t");
    filled.replace("{consumer}", "w").replace("{snapshot}", id).replace("{job}", id)
}

#[test]
fn the_document_is_what_its_table_of_operations_says() {
    let committed = fs::read_to_string(format!("{}/src/http/openapi.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(
        committed == document::text(),
        "src/http/openapi.json is stale: cargo run --example openapi > src/http/openapi.json"
    );
}

#[test]
fn every_route_of_an_object_is_in_it_with_its_methods_and_roles_and_no_other() {
    let routes = Routes::new().unwrap();
    let mut expected = BTreeMap::new();
    for path in Routes::paths().filter(|path| path.starts_with("/v1/") && !path.ends_with('/')) {
        let (_, route) = routes.find_public(&example(path)).unwrap();
        for method in route.methods() {
            expected.insert(format!("{method} {path}"), route.role(method).map(Role::name));
        }
    }
    let documented = operations("/v1/");
    let told: BTreeMap<_, _> = documented.iter().map(|(name, said)| (name.clone(), said["x-role"].as_str())).collect();
    assert_eq!(told, expected);
    assert!(told.len() > 40, "{} operations", told.len());
}

#[test]
fn every_route_of_the_catalogue_is_in_it_and_no_other() {
    let expected: BTreeSet<String> = catalog_paths()
        .flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")))
        .collect();
    let told = operations("/iceberg/");
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(told.values().all(|said| said["x-role"] == "reader"));
}

#[test]
fn what_is_neither_is_open_or_read_by_a_session() {
    let other: Vec<String> =
        paths().keys().filter(|path| !path.starts_with("/v1/") && !path.starts_with("/iceberg/")).cloned().collect();
    assert_eq!(other, ["/healthz", "/openapi.json", "/s3/{bucket}/{key}"]);
    for (name, said) in operations("/healthz").into_iter().chain(operations("/openapi.json")) {
        assert_eq!((&said["security"], &said["x-role"]), (&Value::Array(Vec::new()), &Value::Null), "{name}");
    }
    assert!(operations("/s3/").values().all(|said| said["security"][0].get("session").is_some()));
}

/// Every `$ref` in a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn components_are_there_when_they_are_named_and_named_when_they_are_there() {
    let document = document::document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    let mut there = BTreeSet::new();
    for (kind, components) in
        document["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes")
    {
        there.extend(components.as_object().unwrap().keys().map(|name| format!("#/components/{kind}/{name}")));
    }
    assert_eq!(named.symmetric_difference(&there).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn operations_have_names_of_their_own() {
    let mut ids = BTreeSet::new();
    for (name, said) in operations("/") {
        let id = said["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "{name}");
        assert!(said["responses"].as_object().unwrap().keys().any(|status| !status.starts_with(['4', '5'])), "{name}");
    }
}
