//! The table of operations: one entry for each method of each route, HEAD apart, which all that are read with GET have.

use serde_json::{Value, json};

use super::reference;

/// Which part of the Worker answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A digital object.
    Objects,
    /// The catalogue for engines.
    Catalogue,
    /// The files of its tables.
    Files,
    /// The Worker itself, to everyone.
    Open,
}

impl Service {
    /// The component of a refusal with this status.
    pub fn refusal(self, status: u16) -> &'static str {
        match (self, status) {
            (Self::Catalogue, _) => "iceberg",
            (Self::Files, _) => "s3",
            (_, 401) => "identity",
            (_, 429 | 503) => "retry",
            _ => "problem",
        }
    }
}

/// What HEAD does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// It is answered with the same statuses.
    Same,
    /// It is answered with 204 in place of 200.
    NoContent,
    /// It is refused.
    None,
}

/// An answer to what is not refused.
pub struct Part {
    pub description: &'static str,
    pub headers: &'static [&'static str],
    pub content: Value,
}

/// A method of a path.
pub struct Operation {
    pub service: Service,
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub role: Option<&'static str>,
    pub summary: &'static str,
    pub parameters: &'static [&'static str],
    pub body: Option<Value>,
    pub answers: Vec<(u16, Part)>,
    /// Statuses of refusals, beside those of all operations of the service.
    pub refused: &'static [u16],
    /// What HEAD does of what is read with GET.
    pub head: Head,
}

pub const ROWS: &[&str] = &["Thermocline-Rows-Read", "Thermocline-Rows-Written"];
pub const WRITTEN: &[&str] = &["Thermocline-Sequence", "Thermocline-Rows-Read", "Thermocline-Rows-Written"];
pub const DOCUMENT: &[&str] = &["ETag", "Thermocline-Sequence", "Thermocline-Rows-Read", "Thermocline-Rows-Written"];
const CREATED: &[&str] = &[
    "ETag",
    "Location",
    "Thermocline-Sequence",
    "Idempotency-Replayed",
    "Thermocline-Rows-Read",
    "Thermocline-Rows-Written",
];
const READ: &[&str] = &["ETag", "Thermocline-Cache", "Thermocline-Rows-Read", "Thermocline-Rows-Written"];
pub const BATCH: &[&str] =
    &["Thermocline-Sequence", "Idempotency-Replayed", "Thermocline-Rows-Read", "Thermocline-Rows-Written"];
const MADE: &[&str] = &["Location", "Thermocline-Rows-Read", "Thermocline-Rows-Written"];

pub fn part(description: &'static str, headers: &'static [&'static str], content: Value) -> Part {
    Part { description, headers, content }
}

fn of(media: &str, schema: Value) -> Value {
    json!({media: {"schema": schema}})
}

pub fn schema(name: &str) -> Value {
    of("application/json", reference("schemas", name))
}

pub fn body(content: Value, required: bool) -> Option<Value> {
    Some(if required { json!({"content": content, "required": true}) } else { json!({"content": content}) })
}

pub fn operation(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let service = if path.starts_with("/v1/") {
        Service::Objects
    } else if path.starts_with("/iceberg/") {
        Service::Catalogue
    } else if path.starts_with("/s3/") {
        Service::Files
    } else {
        Service::Open
    };
    let reads = matches!(service, Service::Objects | Service::Catalogue).then_some("reader");
    Operation {
        service,
        method,
        path,
        id,
        role: if method == "get" { reads } else { Some("writer") },
        summary,
        parameters: &[],
        body: None,
        answers: Vec::new(),
        refused: &[],
        head: Head::Same,
    }
}

impl Operation {
    pub fn role(self, role: &'static str) -> Self {
        Self { role: Some(role), ..self }
    }

    pub fn takes(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }

    pub fn body(self, body: Option<Value>) -> Self {
        Self { body, ..self }
    }

    pub fn answers(mut self, status: u16, part: Part) -> Self {
        self.answers.push((status, part));
        self
    }

    pub fn refuses(self, refused: &'static [u16]) -> Self {
        Self { refused, ..self }
    }

    fn with_head(self, head: Head) -> Self {
        Self { head, ..self }
    }
}

/// All of them.
pub fn all() -> Vec<Operation> {
    let mut all = service();
    all.extend(object());
    all.extend(collections());
    all.extend(documents());
    all.extend(feed());
    all.extend(archive());
    all.extend(super::registry::operations());
    all.extend(catalogue());
    all
}

fn service() -> Vec<Operation> {
    vec![
        operation("get", "/healthz", "getHealth", "Whether the Worker works")
            .answers(200, part("It does.", &[], schema("Health"))),
        operation("get", "/openapi.json", "getOpenApi", "This document")
            .takes(&["KnownTag"])
            .answers(200, part("This document.", &["ETag"], of("application/json", json!({"type": "object"}))))
            .answers(304, part("Known.", &["ETag"], Value::Null)),
        operation("get", "/s3/{bucket}/{key}", "getFile", "Reads a file of a table")
            .takes(&["Range", "WantedTag", "KnownTag"])
            .answers(200, part("The file.", &["ETag", "Last-Modified"], json!({"*/*": {}})))
            .answers(206, part("A part of it.", &["ETag", "Content-Range"], json!({"*/*": {}})))
            .answers(304, part("Known.", &["ETag"], Value::Null)),
    ]
}

fn object() -> Vec<Operation> {
    vec![
        operation("get", "/v1/{type}/{id}", "getObject", "Tells of the object").answers(200, part("The object.", ROWS, schema("Object"))),
        operation("delete", "/v1/{type}/{id}", "eraseObject", "Erases the object, hot and cold")
            .role("admin")
            .answers(200, part("Nothing is left.", ROWS, schema("Erasure")))
            .answers(202, part("Files are still being deleted; ask again.", ROWS, schema("Erasure")))
            .refuses(&[409, 507]),
        operation("post", "/v1/{type}/{id}/maintenance", "maintain", "Does at once what the alarm does by and by")
            .role("admin")
            .body(body(schema("Nothing"), false))
            .answers(200, part("What was done.", ROWS, schema("Maintenance")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("delete", "/v1/{type}/{id}/cache", "dropCached", "Makes cached reads miss")
            .takes(&["prefix"])
            .answers(200, part("The generation that is current.", ROWS, schema("CacheGeneration")))
            .refuses(&[507]),
        operation("get", "/v1/{type}/{id}/access", "listAccess", "Who did what")
            .role("auditor")
            .takes(&["from", "to", "principal", "action", "ofCollection", "outcome", "limit", "cursor"])
            .answers(200, part("A page.", ROWS, schema("Accesses"))),
        operation("get", "/v1/{type}/{id}/metrics", "getMetrics", "What it has done and what it cost").answers(
            200,
            part(
                "Figures; text for Prometheus by Accept: text/plain.",
                ROWS,
                json!({"application/json": {"schema": reference("schemas", "Metrics")}, "text/plain": {"schema": {"type": "string"}}}),
            ),
        ),
        operation("post", "/v1/{type}/{id}/batch", "writeBatch", "Writes documents in one transaction")
            .takes(&["IdempotencyKey", "CorrelationId"])
            .body(body(schema("Batch"), true))
            .answers(200, part("Written.", BATCH, schema("BatchResult")))
            .refuses(&[404, 409, 413, 415, 422, 507]),
    ]
}

fn collections() -> Vec<Operation> {
    const ONE: &str = "/v1/{type}/{id}/collections/{collection}";
    vec![
        operation("get", "/v1/{type}/{id}/collections", "listCollections", "Lists collections")
            .takes(&["limit", "cursor"])
            .answers(200, part("A page.", ROWS, schema("Collections")))
            .refuses(&[422]),
        operation("get", ONE, "getCollection", "Tells of a collection")
            .answers(200, part("The collection.", ROWS, schema("Collection")))
            .refuses(&[404]),
        operation("put", ONE, "declareCollection", "Declares or alters a collection")
            .body(body(schema("Declaration"), false))
            .answers(200, part("Altered.", ROWS, schema("Collection")))
            .answers(201, part("Made.", ROWS, schema("Collection")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("delete", ONE, "dropCollection", "Drops a collection")
            .takes(&["CorrelationId"])
            .answers(204, part("Dropped.", WRITTEN, Value::Null))
            .refuses(&[404, 409, 507]),
    ]
}

fn documents() -> Vec<Operation> {
    const ALL: &str = "/v1/{type}/{id}/collections/{collection}/docs";
    const ONE: &str = "/v1/{type}/{id}/collections/{collection}/docs/{document}";
    let document = || schema("Document");
    let patch = json!({
        "application/json": {"schema": {"type": "object"}},
        "application/merge-patch+json": {"schema": {"type": "object"}},
    });
    let report = "What was imported, and which lines were not.";
    vec![
        operation("post", ALL, "insertDocument", "Inserts a document")
            .takes(&["IdempotencyKey", "CorrelationId"])
            .body(body(document(), true))
            .answers(201, part("Inserted.", CREATED, document()))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", ONE, "getDocument", "Reads a document")
            .takes(&["consistency", "asOf", "tiers", "IfNoneMatch"])
            .answers(200, part("The document.", READ, document()))
            .answers(304, part("Known.", READ, Value::Null))
            .refuses(&[404, 410, 422]),
        operation("put", ONE, "upsertDocument", "Inserts or replaces a document")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .body(body(document(), true))
            .answers(200, part("Replaced.", DOCUMENT, document()))
            .answers(201, part("Inserted.", DOCUMENT, document()))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("patch", ONE, "patchDocument", "Merges a patch (RFC 7396) into a document")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .body(body(patch, true))
            .answers(200, part("Changed.", DOCUMENT, document()))
            .refuses(&[404, 409, 413, 415, 422, 507]),
        operation("delete", ONE, "deleteDocument", "Deletes a document")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .answers(204, part("Deleted.", WRITTEN, Value::Null))
            .refuses(&[404, 409, 507]),
        operation(
            "post",
            "/v1/{type}/{id}/collections/{collection}/import",
            "importDocuments",
            "Imports lines of JSON",
        )
        .takes(&["mode", "resumeAfterLine", "CorrelationId"])
        .body(body(of("application/x-ndjson", json!({"type": "string"})), true))
        .answers(200, part(report, WRITTEN, schema("ImportReport")))
        .refuses(&[409, 413, 415, 422, 507]),
        operation(
            "get",
            "/v1/{type}/{id}/collections/{collection}/export",
            "exportDocuments",
            "All documents as lines of JSON",
        )
        .takes(&["asOf"])
        .answers(200, part("The documents.", WRITTEN, of("application/x-ndjson", json!({"type": "string"}))))
        .refuses(&[404, 410, 422]),
        operation(
            "post",
            "/v1/{type}/{id}/collections/{collection}/export",
            "exportToBucket",
            "Exports all documents into the bucket",
        )
        .takes(&["asOf"])
        .body(body(of("application/json", json!({"type": "object", "additionalProperties": false})), false))
        .answers(201, part("Put there.", ROWS, schema("ExportFile")))
        .refuses(&[404, 409, 410, 413, 415, 422]),
        operation("post", "/v1/{type}/{id}/collections/{collection}/query", "queryDocuments", "Queries documents")
            .role("reader")
            .body(body(schema("Query"), false))
            .answers(200, part("Rows.", ROWS, schema("QueryResult")))
            .refuses(&[404, 410, 413, 415, 422]),
    ]
}

fn feed() -> Vec<Operation> {
    const ONE: &str = "/v1/{type}/{id}/cdc/consumers/{consumer}";
    let feed = json!({
        "application/json": {"schema": reference("schemas", "Events")},
        "text/event-stream": {"schema": {"type": "string"}},
    });
    vec![
        operation(
            "get",
            "/v1/{type}/{id}/cdc",
            "getChanges",
            "Follows changes: a page, a stream by Accept: text/event-stream, or a WebSocket",
        )
        .takes(&[
            "after",
            "ofConsumer",
            "limit",
            "waitMs",
            "collections",
            "operations",
            "documents",
            "format",
            "LastEventId",
        ])
        .answers(101, part("A WebSocket.", &[], Value::Null))
        .answers(200, part("Events.", ROWS, feed))
        .refuses(&[404, 410, 422]),
        operation("get", "/v1/{type}/{id}/cdc/consumers", "listConsumers", "Lists consumers")
            .answers(200, part("All of them.", ROWS, schema("Consumers"))),
        operation("get", ONE, "getConsumer", "Tells of a consumer")
            .answers(200, part("The consumer.", ROWS, schema("Consumer")))
            .refuses(&[404]),
        operation("put", ONE, "acknowledge", "Notes how far a consumer has come")
            .role("reader")
            .body(body(schema("Position"), true))
            .answers(200, part("Noted.", ROWS, schema("Consumer")))
            .answers(201, part("Made.", ROWS, schema("Consumer")))
            .refuses(&[409, 410, 413, 415, 422, 507]),
        operation("delete", ONE, "forgetConsumer", "Forgets a consumer")
            .answers(204, part("Forgotten.", ROWS, Value::Null))
            .refuses(&[404]),
    ]
}

fn archive() -> Vec<Operation> {
    const SNAPSHOT: &str = "/v1/{type}/{id}/snapshots/{snapshot}";
    const JOB: &str = "/v1/{type}/{id}/jobs/{job}";
    vec![
        operation("get", "/v1/{type}/{id}/sync", "getSync", "How far archiving is")
            .answers(200, part("The state.", ROWS, schema("SyncState"))),
        operation("post", "/v1/{type}/{id}/sync", "sync", "Archives at once")
            .body(body(schema("SyncOptions"), false))
            .answers(200, part("Archived.", ROWS, schema("SyncResult")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", "/v1/{type}/{id}/snapshots", "listSnapshots", "Lists snapshots")
            .takes(&["limit", "cursor"])
            .answers(200, part("A page.", ROWS, schema("Snapshots")))
            .refuses(&[422]),
        operation("post", "/v1/{type}/{id}/snapshots", "createSnapshot", "Makes a snapshot")
            .body(body(schema("SnapshotRequest"), true))
            .answers(201, part("Made.", MADE, schema("Snapshot")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", SNAPSHOT, "getSnapshot", "Tells of a snapshot")
            .answers(200, part("The snapshot.", ROWS, schema("Snapshot")))
            .refuses(&[404]),
        operation("delete", SNAPSHOT, "deleteSnapshot", "Deletes a snapshot")
            .answers(204, part("Deleted.", ROWS, Value::Null))
            .refuses(&[404, 409, 507]),
        operation("post", "/v1/{type}/{id}/snapshots/{snapshot}/restore", "restoreSnapshot", "Restores a snapshot")
            .body(body(schema("RestoreRequest"), false))
            .answers(202, part("Begun.", MADE, schema("Job")))
            .refuses(&[404, 409, 413, 415, 422, 507]),
        operation("get", JOB, "getJob", "Tells of a restore")
            .answers(200, part("The job.", ROWS, schema("Job")))
            .refuses(&[404]),
        operation("delete", JOB, "cancelJob", "Cancels a restore")
            .answers(200, part("The job.", ROWS, schema("Job")))
            .refuses(&[404, 409]),
    ]
}

fn catalogue() -> Vec<Operation> {
    const NAMESPACE: &str = "/iceberg/v1/namespaces/{namespace}";
    vec![
        operation("get", "/iceberg/v1/config", "getCatalogueConfig", "What the Iceberg catalogue can do")
            .answers(200, part("Its endpoints.", &[], schema("CatalogueConfig")))
            .with_head(Head::None),
        operation("get", "/iceberg/v1/namespaces", "listNamespaces", "Lists types, or the objects of one")
            .takes(&["parent", "pageToken", "pageSize"])
            .answers(200, part("Namespaces.", &[], schema("Namespaces")))
            .refuses(&[404])
            .with_head(Head::None),
        operation("get", NAMESPACE, "getNamespace", "Tells of a namespace")
            .answers(200, part("The namespace.", &[], schema("Namespace")))
            .refuses(&[404])
            .with_head(Head::NoContent),
        operation("get", "/iceberg/v1/namespaces/{namespace}/tables", "listTables", "Lists tables")
            .takes(&["pageToken", "pageSize"])
            .answers(200, part("Tables.", &[], schema("Tables")))
            .refuses(&[404])
            .with_head(Head::None),
        operation("get", "/iceberg/v1/namespaces/{namespace}/tables/{table}", "loadTable", "Loads a table")
            .answers(200, part("Its metadata, and where its files are read.", &[], schema("Table")))
            .refuses(&[404])
            .with_head(Head::NoContent),
    ]
}
