//! A registry behind its routes, natively.

use serde_json::{Value, json};
use thermocline::http::message::Response;
use thermocline::ports::native::{World, run};

use super::{Object, parsed, request_to};

const REGISTRY: &str = "/v1/registry/acme";
pub const HASH: &str = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";

/// A registry behind its routes.
pub struct Registry(pub Object);

impl Registry {
    pub fn wake(world: &World) -> Self {
        Self(Object::wake(world))
    }

    pub fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        self.send_with(method, path, headers, body)
    }

    pub fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let request = request_to(REGISTRY, method, path, headers, body);
        run(self.0.service.handle(request)).done().expect("the request ends")
    }

    pub fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(method, path, &text);
        let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
        (response.status, value)
    }

    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.json(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    pub fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &Value::Null)
    }

    pub fn insert(&self, asset: &str, hash: &str, issuer: &str) -> Value {
        self.ok("POST", "/records", &record(asset, hash, issuer))
    }

    /// The places of what is refused.
    pub fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let before = self.0.service.engine().counters().rows_written;
        let (status, problem) = self.json(method, path, body);
        assert!(status >= 400, "{method} {path} {body}: {status} {problem}");
        assert_eq!(self.0.service.engine().counters().rows_written, before, "{method} {path} {body} wrote: {problem}");
        (status, problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    }
}

pub fn asset(id: &str) -> Value {
    json!({"assetId": id, "manifestUrl": "https://m.example/1", "imageUrl": "https://i.example/1", "contentType": "image/png", "fileSize": 5})
}

pub fn hash(hash: &str, issuer: &str) -> Value {
    json!({"pdqHash": hash, "pdqQuality": 100, "manifestLineage": {"issuerKeyId": issuer}})
}

pub fn record(id: &str, of: &str, issuer: &str) -> Value {
    json!({"metadata": asset(id), "hashes": hash(of, issuer)})
}

/// A hash with some of its last bits flipped.
pub fn flipped(bits: u32) -> String {
    let (head, tail) = HASH.split_at(48);
    let number = u64::from_str_radix(tail, 16).unwrap() ^ ((1_u64 << bits) - 1);
    format!("{head}{number:016x}")
}
