//! The OpenAPI document of all routes, put together of a table of operations and the schemas they share.
//!
//! What many operations have is a component, so that the document stays small: the Worker carries it.

#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "the values that are indexed are made here")]

mod components;
mod operations;
mod registry;
mod schemas;

use serde_json::{Map, Value, json};

use operations::{Head, Operation, Part, Service, all};

/// The document as it is committed and served.
pub fn text() -> String {
    document().to_string()
}

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in all() {
        let item = paths.entry(operation.path.to_owned()).or_insert_with(|| path_item(operation.path));
        if operation.method == "get" && operation.head != Head::None {
            item["head"] = operation.head();
        }
        item[operation.method] = operation.to_value();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Thermocline",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0 OR MIT"},
            "description": "Digital objects of JSON documents, each found by type and id, with a change feed, snapshots, and Iceberg tables.",
        },
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": together(components::parameters(), registry::parameters()),
            "headers": components::headers(),
            "responses": components::responses(),
            "securitySchemes": components::security_schemes(),
        },
    })
}

/// The members of two objects.
fn together(mut all: Value, more: Value) -> Value {
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

/// What all methods of a path have.
fn path_item(path: &str) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for (name, component) in [
        ("{type}", "type"),
        ("{id}", "id"),
        ("{tenant}", "tenant"),
        ("{asset}", "asset"),
        ("{collision}", "collision"),
        ("{collection}", "collection"),
        ("{document}", "document"),
        ("{consumer}", "consumer"),
        ("{snapshot}", "snapshot"),
        ("{job}", "job"),
        ("{namespace}", "namespace"),
        ("{table}", "table"),
        ("{bucket}", "bucket"),
        ("{key}", "key"),
        ("{temporary}", "temporary"),
    ] {
        if path.contains(name) {
            parameters.push(reference("parameters", component));
        }
    }
    if path.starts_with("/v1/") {
        parameters.push(reference("parameters", "MinSequence"));
    }
    if parameters.is_empty() { json!({}) } else { json!({"parameters": parameters}) }
}

/// A reference to a component.
pub fn reference(of: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{of}/{name}")})
}

impl Operation {
    fn to_value(&self) -> Value {
        let mut value = self.shared(self.id.to_owned(), false);
        value["summary"] = self.summary.into();
        if let Some(body) = &self.body {
            value["requestBody"] = body.clone();
        }
        value
    }

    /// The same with HEAD: no answer has a body.
    fn head(&self) -> Value {
        let mut name = self.id.to_owned();
        name.replace_range(..1, &self.id[..1].to_uppercase());
        self.shared(format!("head{name}"), true)
    }

    fn shared(&self, id: String, is_head: bool) -> Value {
        let mut value = json!({"operationId": id});
        if !self.parameters.is_empty() {
            let parameters: Vec<Value> = self.parameters.iter().map(|name| reference("parameters", name)).collect();
            value["parameters"] = parameters.into();
        }
        value["x-role"] = self.role.map_or(Value::Null, |role| role.into());
        match self.service {
            Service::Open => value["security"] = json!([]),
            Service::Files => value["security"] = json!([{"session": []}]),
            Service::Objects | Service::Catalogue => {}
        }
        let mut responses = Map::new();
        for (status, answer) in &self.answers {
            let status = if is_head && self.head == Head::NoContent { &204 } else { status };
            responses.insert(status.to_string(), answer.to_value(is_head));
        }
        for status in self.refusals() {
            let name = if is_head { "head" } else { self.service.refusal(status) };
            responses.insert(status.to_string(), reference("responses", name));
        }
        value["responses"] = responses.into();
        value
    }

    /// The statuses of what may be refused or fail, also those that every operation of the service has.
    fn refusals(&self) -> Vec<u16> {
        let common: &[u16] = match self.service {
            Service::Objects => &[400, 401, 403, 412, 429, 500, 503],
            Service::Catalogue => &[400, 401, 403, 500, 503],
            Service::Files => &[400, 403, 404, 412, 416, 500, 501, 503],
            Service::Open => &[503],
        };
        common.iter().chain(self.refused).copied().collect()
    }
}

impl Part {
    fn to_value(&self, is_head: bool) -> Value {
        let mut headers = Map::new();
        for name in ["Thermocline-Request-Id"].iter().chain(self.headers) {
            headers.insert((*name).to_owned(), reference("headers", name));
        }
        let mut value = json!({"description": self.description, "headers": headers});
        if !is_head && !self.content.is_null() {
            value["content"] = self.content.clone();
        }
        value
    }
}
