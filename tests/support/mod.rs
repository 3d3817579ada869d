//! An object behind its routes, natively: what the integration tests drive.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod archive;
pub mod foreign;
pub mod registry;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::config::StorageConfig;
use thermocline::engine::Engine;
use thermocline::error::StorageError;
use thermocline::http::access::Callers;
use thermocline::http::message::{Body, Request, Response, WholeBody};
use thermocline::http::object::ObjectService;
use thermocline::ports::native::{World, run};
use thermocline::ports::{PeerAnswer, Ports};

/// The path of the object that tests write to.
pub const OBJECT: &str = "/v1/demo/1";

/// One instance of the object.
pub struct Object {
    pub service: ObjectService,
}

impl Object {
    pub fn new(ports: Ports) -> Self {
        Self::configured(ports, StorageConfig::default())
    }

    /// With another configuration; but what fails is not tried again, and files are not read from the cache, so that a
    /// fault is met and calls are counted.
    pub fn configured(ports: Ports, mut config: StorageConfig) -> Self {
        config.timeouts.retries = 0;
        config.performance.query_caching = false;
        Self::as_configured(ports, config)
    }

    pub fn as_configured(ports: Ports, config: StorageConfig) -> Self {
        Self { service: ObjectService::new(Engine::new(ports, config), Callers::Anyone).unwrap() }
    }

    /// A new instance over a world's stores, as after an eviction.
    pub fn wake(world: &World) -> Self {
        Self::new(world.ports())
    }

    /// A new instance with another configuration.
    pub fn wake_with(world: &World, config: &str) -> Self {
        Self::configured(world.ports(), StorageConfig::parse(config).unwrap())
    }

    /// Sends a request; `path` is below the object.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
        run(self.service.handle(request(method, path, headers, body))).done().expect("the request ends")
    }

    pub fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let response = self.send(method, path, &[("content-type", "application/json")], body);
        (response.status, parsed(&response))
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.json("GET", path, "")
    }

    /// Sends a request that must succeed, and returns its JSON.
    pub fn ok(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, value) = self.json(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    pub fn import(&self, collection: &str, lines: &str) -> Value {
        let path = format!("/collections/{collection}/import");
        let response = self.send("POST", &path, &[("content-type", "application/x-ndjson")], lines);
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(response.body.bytes()));
        parsed(&response)
    }

    /// Makes or replaces documents of `{"id", "value"}`, with numbers for ids.
    pub fn upsert_numbered(&self, collection: &str, numbers: std::ops::Range<usize>, value: &str) {
        let lines: Vec<String> =
            numbers.map(|n| json!({"id": format!("d{n:05}"), "value": value}).to_string()).collect();
        let path = format!("/collections/{collection}/import?mode=upsert");
        let response = self.send("POST", &path, &[("content-type", "application/x-ndjson")], lines.join("\n"));
        assert_eq!(response.status, 200);
    }

    /// All documents, by collection.
    pub fn contents(&self) -> Value {
        let collections = self.ok("GET", "/collections", "")["items"].clone();
        let names = collections.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        names.map(|name| (name.clone(), json!(self.rows(&name, r#"{"limit":1000}"#)))).collect()
    }

    /// Makes a named snapshot, `full` or `incremental`.
    pub fn snapshot(&self, kind: &str) -> Value {
        self.ok("POST", "/snapshots", &json!({ "type": kind }).to_string())
    }

    /// All events of the feed, page by page.
    pub fn feed(&self, limit: usize) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let page = self.ok("GET", &format!("/cdc?after={after}&limit={limit}"), "");
            events.extend(page["events"].as_array().unwrap().iter().cloned());
            after = page["cursor"]["sequence"].as_i64().unwrap();
            if page["hasMore"] == false {
                return events;
            }
        }
    }

    /// Begins an export; `path` is what comes after `export`.
    pub fn export(&self, collection: &str, query: &str) -> Exported {
        Exported(self.send("GET", &format!("/collections/{collection}/export{query}"), &[], ""))
    }

    /// All rows of a query, page by page.
    pub fn rows(&self, collection: &str, query: &str) -> Vec<Value> {
        let mut query: Value = serde_json::from_str(query).unwrap();
        let mut rows = Vec::new();
        loop {
            let page = self.ok("POST", &format!("/collections/{collection}/query"), &query.to_string());
            rows.extend(page["rows"].as_array().unwrap().iter().cloned());
            match page.get("cursor") {
                Some(cursor) => query["cursor"] = cursor.clone(),
                None => return rows,
            }
        }
    }
}

/// Lets requests of one world's object reach another object of the same bucket.
pub fn connect(world: &World, other: &Rc<World>) {
    connect_to(world, other, "demo/2");
}

/// The same with an object of another name.
pub fn connect_to(world: &World, other: &Rc<World>, name: &str) {
    let other = Rc::clone(other);
    world.peers.answer_for(
        name,
        Rc::new(move |method, path, body| {
            let service =
                ObjectService::new(Engine::new(other.ports(), StorageConfig::default()), Callers::Anyone).unwrap();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let request = Request {
                method: method.to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: Box::new(WholeBody::new(body.unwrap_or_default())),
            };
            let response = run(service.handle(request)).done().unwrap();
            PeerAnswer { status: response.status, body: response.body.bytes().to_vec() }
        }),
    );
}

/// Where a snapshot's restores begin.
pub fn restore_path(snapshot: &Value) -> String {
    format!("/snapshots/{}/restore", snapshot["id"].as_str().unwrap())
}

/// When the alarm is due, unless it waits for what expires in a day or in years.
pub fn next_alarm(world: &World) -> Option<i64> {
    world.alarm.at_ms().filter(|due| *due < world.ports().clock.now_ms() + 86_400_000)
}

/// An export that is read chunk by chunk.
pub struct Exported(pub Response);

impl Exported {
    /// The next chunk; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        let Body::Stream(source) = &mut self.0.body else { panic!("no stream: {:?}", self.0) };
        run(source.next_chunk()).done().expect("a chunk, an end or an error")
    }

    /// The documents of all chunks that are left, by id, each once.
    pub fn documents(&mut self) -> BTreeMap<String, Value> {
        let mut lines = Vec::new();
        while let Some(mut chunk) = self.next().unwrap() {
            lines.append(&mut chunk);
        }
        by_id(&lines)
    }
}

/// Documents of lines by their ids; no id twice.
pub fn by_id(lines: &[u8]) -> BTreeMap<String, Value> {
    let text = std::str::from_utf8(lines).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "every line is ended");
    let mut documents = BTreeMap::new();
    for line in text.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        let id = document["id"].as_str().unwrap().to_owned();
        assert!(documents.insert(id, document).is_none(), "a document is given once: {line}");
    }
    documents
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
    request_to(OBJECT, method, path, headers, body)
}

/// A request to another object.
pub fn request_to(
    object: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Request {
        method: method.to_owned(),
        path: format!("{object}{path}"),
        query: query.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Box::new(WholeBody::new(body)),
    }
}

/// The bytes of a response's body.
pub fn body(response: &Response) -> &[u8] {
    response.body.bytes()
}

pub fn parsed(response: &Response) -> Value {
    match response.body.bytes() {
        [] => Value::Null,
        bytes => serde_json::from_slice(bytes).expect("a JSON body"),
    }
}

pub fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.header(name).unwrap_or_else(|| panic!("no header {name}: {response:?}"))
}
