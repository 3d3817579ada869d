//! The catalogue's answers, in the forms of the Iceberg REST specification.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::message::Response;
use crate::catalog::{LoadedTable, Page};
use crate::types::sorting;

/// What this catalogue can do, as its clients spell routes.
const ENDPOINTS: [&str; 6] = [
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
];

/// Properties by name.
type Properties<'a> = BTreeMap<&'a str, &'a str>;

#[derive(Serialize)]
struct Config<'a> {
    defaults: Properties<'a>,
    overrides: Properties<'a>,
    endpoints: &'a [&'a str],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Namespaces<'a> {
    namespaces: Vec<Vec<&'a str>>,
    next_page_token: Option<&'a str>,
}

#[derive(Serialize)]
struct NamespaceAnswer<'a> {
    namespace: &'a [&'a str],
    properties: Properties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TableList<'a> {
    identifiers: Vec<Identifier<'a>>,
    next_page_token: Option<&'a str>,
}

#[derive(Serialize)]
struct Identifier<'a> {
    namespace: &'a [&'a str],
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Table<'a> {
    metadata_location: &'a str,
    metadata: &'a RawValue,
    config: BTreeMap<&'a str, String>,
}

pub fn config() -> Response {
    json(&Config { defaults: BTreeMap::new(), overrides: BTreeMap::new(), endpoints: &ENDPOINTS })
}

/// Namespaces below one; without one, those of the first level.
pub fn namespaces(page: &Page, parent: &[&str]) -> Response {
    let below = |name| parent.iter().copied().chain([name]).collect();
    let namespaces = page.names.iter().map(String::as_str).map(below).collect();
    json(&Namespaces { namespaces, next_page_token: page.cursor.as_deref() })
}

pub fn namespace(levels: &[&str], location: &str) -> Response {
    json(&NamespaceAnswer { namespace: levels, properties: sorting::map_of([("location", location)]) })
}

pub fn tables(page: &Page, namespace: &[&str]) -> Response {
    let identifiers = page.names.iter().map(|name| Identifier { namespace, name }).collect();
    json(&TableList { identifiers, next_page_token: page.cursor.as_deref() })
}

/// A table with its metadata as it was written, number texts and all.
pub fn table(loaded: &LoadedTable, config: Vec<(&'static str, String)>) -> Response {
    json(&Table {
        metadata_location: &loaded.metadata_location,
        metadata: &loaded.metadata,
        config: sorting::map_of(config),
    })
}

fn json(answer: &impl Serialize) -> Response {
    Response::json(200, serde_json::to_vec(answer).unwrap_or_default())
}
