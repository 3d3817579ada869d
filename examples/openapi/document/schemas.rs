//! The schemas. Bodies that are sent are closed, as the service refuses what it does not know; answers are open, as keys may be
//! added to them.

use serde_json::{Map, Value, json};

use super::reference;

pub fn of(name: &str) -> Value {
    reference("schemas", name)
}

pub fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// An object that is answered: all properties are there but those whose names end with `?`.
pub fn answer(properties: &[(&str, Value)]) -> Value {
    let mut named = Map::new();
    let mut required = Vec::new();
    for (name, schema) in properties {
        match name.strip_suffix('?') {
            Some(name) => named.insert(name.to_owned(), schema.clone()),
            None => {
                required.push(*name);
                named.insert((*name).to_owned(), schema.clone())
            }
        };
    }
    json!({"type": "object", "properties": named, "required": required})
}

/// An object that is sent: nothing else may be in it.
pub fn sent(properties: &[(&str, Value)]) -> Value {
    let mut schema = answer(properties);
    schema["additionalProperties"] = false.into();
    if schema["required"] == json!([])
        && let Some(members) = schema.as_object_mut()
    {
        members.remove("required");
    }
    schema
}

fn optional(mut schema: Value, kind: &str) -> Value {
    schema["type"] = json!([kind, "null"]);
    schema
}

pub fn page(items: &str) -> Value {
    answer(&[("items", list(of(items))), ("cursor?", text())])
}

pub fn text() -> Value {
    json!({"type": "string"})
}

pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub fn flag() -> Value {
    json!({"type": "boolean"})
}

fn object() -> Value {
    json!({"type": "object"})
}

/// All of them.
pub fn all() -> Value {
    let mut all = Map::new();
    for schemas in [
        names(),
        problems(),
        documents(),
        queries(),
        feed(),
        objects(),
        archive(),
        catalogue(),
        super::registry::schemas(),
    ] {
        all.extend(schemas.as_object().cloned().unwrap_or_default());
    }
    all.into()
}

fn names() -> Value {
    json!({
        "Name": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "not": {"enum": [".", ".."]}},
        "CollectionName": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$", "not": {"pattern": "__changes$"}},
        "DocumentId": {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[^\\u0000]*$", "not": {"enum": [".", ".."]}, "description": "At most 512 bytes of UTF-8."},
        "Uuid": {"type": "string", "format": "uuid"},
        "Sequence": {"type": "integer", "minimum": 0, "maximum": i64::MAX},
        "Health": answer(&[("status", json!({"const": "ok"}))]),
    })
}

fn problems() -> Value {
    let field = answer(&[("pointer", text()), ("detail", text())]);
    json!({
        "Problem": answer(&[
            ("type", text()), ("title", text()), ("status", json!({"type": "integer"})), ("detail", text()),
            ("tier", json!({"enum": ["hot", "warm", "cold", "api"]})), ("operation", text()), ("retryable", flag()),
            ("errors?", list(field)), ("instance?", json!({"type": "string", "description": "The request's id as a URN."})),
        ]),
        "IcebergError": answer(&[("error", answer(&[("message", text()), ("type", text()), ("code", json!({"type": "integer"}))]))]),
    })
}

fn documents() -> Value {
    let write = |op: Value, with_doc: Option<bool>, needs_id: bool| {
        let id = if needs_id {
            ("id", of("DocumentId"))
        } else {
            ("id?", json!({"anyOf": [of("DocumentId"), {"type": "null"}]}))
        };
        let mut properties = vec![
            ("op", op),
            ("collection", of("CollectionName")),
            id,
            (
                "ifVersion?",
                json!({"type": ["integer", "null"], "minimum": 0, "maximum": i64::MAX, "description": "0: it must not be there."}),
            ),
        ];
        match with_doc {
            Some(true) => properties.push(("doc", of("Document"))),
            Some(false) => properties.push(("doc", object())),
            None => properties.push(("doc?", json!({"type": "null"}))),
        }
        sent(&properties)
    };
    let operations = json!({"type": "array", "maxItems": 10000, "items": {"oneOf": [
        write(json!({"enum": ["insert", "upsert"]}), Some(true), false),
        write(json!({"const": "update"}), Some(false), true),
        write(json!({"const": "delete"}), None, true),
    ]}});
    let sequence = || json!({"type": ["integer", "null"]});
    json!({
        "Document": {"type": "object", "properties": {"id": of("DocumentId")}, "description": "Any JSON object of at most 1 MiB, nested 128 deep; without id it gets one."},
        "Batch": sent(&[("operations", operations)]),
        "BatchResult": answer(&[
            ("firstSequence", sequence()), ("lastSequence", count()),
            ("results", list(answer(&[("id", text()), ("operation", of("Operation")), ("sequence", count())]))),
        ]),
        "ImportReport": answer(&[
            ("imported", count()), ("failed", count()), ("firstSequence", sequence()), ("lastSequence", sequence()),
            ("errors", list(answer(&[("line", count()), ("detail", text())]))),
        ]),
        "ExportFile": answer(&[
            ("key", text()), ("bytes", count()), ("documents", count()), ("encryption", json!({"enum": ["SSE-C", "R2"]})), ("sequence?", count()),
        ]),
        "Operation": {"enum": ["INSERT", "UPDATE", "DELETE"]},
    })
}

fn queries() -> Value {
    let scalar = || of("Scalar");
    let comparison = sent(&[
        ("eq?", scalar()),
        ("ne?", scalar()),
        ("lt?", scalar()),
        ("lte?", scalar()),
        ("gt?", scalar()),
        ("gte?", scalar()),
        ("in?", list(scalar())),
        ("between?", json!({"type": "array", "items": scalar(), "minItems": 2, "maxItems": 2})),
        ("prefix?", text()),
        ("isNull?", flag()),
    ]);
    let several = json!({"anyOf": [list(of("Filter")), of("Comparison")]});
    let aggregate = json!({
        "type": "object", "additionalProperties": false, "required": ["as", "fn"],
        "properties": {"as": {"type": "string", "minLength": 1, "maxLength": 255}, "fn": {"enum": ["count", "sum", "avg", "min", "max", "countDistinct"]}, "column": text()},
        "anyOf": [{"properties": {"fn": {"const": "count"}}}, {"required": ["column"]}],
    });
    let order = sent(&[
        ("column", text()),
        ("direction?", json!({"type": "string", "pattern": "^([aA][sS][cC]|[dD][eE][sS][cC])$"})),
    ]);
    let texts = |most: u32| json!({"type": "array", "items": text(), "maxItems": most});
    json!({
        "Scalar": {"type": ["boolean", "number", "string"]},
        "Comparison": comparison,
        "Filter": {"type": "object", "properties": {"and": several, "or": several, "not": of("Filter")}, "additionalProperties": of("Comparison")},
        "Query": sent(&[
            ("select?", texts(500)), ("where?", of("Filter")),
            ("groupBy?", json!({"type": "array", "items": text(), "maxItems": 16, "uniqueItems": true})),
            ("aggregates?", json!({"type": "array", "items": aggregate, "maxItems": 100})),
            ("orderBy?", json!({"type": "array", "items": order, "maxItems": 16})),
            ("limit?", json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})), ("cursor?", text()),
            ("asOf?", json!({"anyOf": [count(), {"type": "string", "format": "date-time"}, of("Uuid")]})),
            ("tiers?", json!({"type": "array", "items": {"enum": ["hot", "cold"]}, "minItems": 1, "maxItems": 2, "uniqueItems": true})),
        ]),
        "QueryResult": answer(&[
            ("rows", list(object())), ("cursor?", text()),
            ("stats", answer(&["rowsRead", "segmentsScanned", "segmentsPruned", "filesScanned", "filesPruned", "bytesDecoded", "elapsedMs"].map(|name| (name, count())))),
        ]),
    })
}

fn feed() -> Value {
    json!({
        "Event": answer(&[
            ("id", of("Uuid")), ("operation", of("Operation")), ("collection", text()), ("documentId", text()), ("timestamp", count()), ("sequence", count()),
            ("before?", object()), ("after?", object()), ("changedFields?", list(text())), ("source?", text()), ("correlationId?", text()),
        ]),
        "Events": answer(&[
            ("events", list(json!({"anyOf": [of("Event"), of("CloudEvent"), of("DebeziumEvent")]}))),
            ("cursor", answer(&[("sequence", count()), ("timestamp", count())])), ("hasMore", flag()),
        ]),
        "CloudEvent": answer(&[("specversion", json!({"const": "1.0"})), ("id", of("Uuid")), ("source", text()), ("type", text()), ("subject", text()), ("time", text()), ("sequence", text()), ("data", object())]),
        "DebeziumEvent": answer(&[("before", json!({"type": ["object", "null"]})), ("after", json!({"type": ["object", "null"]})), ("source", object()), ("op", json!({"enum": ["c", "u", "d"]})), ("ts_ms", count())]),
        "Consumer": answer(&[("name", of("Name")), ("sequence", count()), ("acknowledgedAt", json!({"type": "string", "format": "date-time"})), ("pending", count()), ("lagged", flag()), ("oldestSequence", count())]),
        "Consumers": answer(&[("items", list(of("Consumer")))]),
        "Position": sent(&[("sequence", of("Sequence"))]),
    })
}

fn objects() -> Value {
    let column_type = json!({"type": "string", "pattern": "^(bool|int|long|float|double|decimal\\([0-9]{1,2},[0-9]{1,2}\\)|date|timestamp|string|uuid|binary|json)$"});
    let column = sent(&[
        ("name", json!({"type": "string", "minLength": 1})),
        ("field?", optional(text(), "string")),
        ("type", column_type.clone()),
        ("nullable?", flag()),
    ]);
    let told = answer(&[
        ("name", text()),
        ("field?", text()),
        ("type", column_type),
        ("nullable", flag()),
        ("declared", flag()),
        ("fieldId?", json!({"type": "integer"})),
    ]);
    let field = json!({"type": "string", "minLength": 1, "maxLength": 255});
    let indexes = json!({"type": "array", "maxItems": 8, "uniqueItems": true, "items": {"type": "array", "items": field, "minItems": 1, "maxItems": 4, "uniqueItems": true}});
    let days = json!({"type": "integer", "minimum": 1, "maximum": 36500});
    let columnar = sent(&[
        ("threshold?", json!({"type": ["integer", "null"], "minimum": 1, "maximum": 65536})),
        ("minAgeMs?", json!({"type": ["integer", "null"], "minimum": 0, "maximum": 86400000})),
    ]);
    let counts = |names: &[&'static str]| answer(&names.iter().map(|name| (*name, count())).collect::<Vec<_>>());
    let segments = counts(&["count", "cachedBytes", "bytesFromBatches", "bytesSealed", "bytesMerged"]);
    let time = || json!({"type": "string", "format": "date-time"});
    json!({
        "Object": answer(&[
            ("docType", of("Name")), ("docId", of("Name")), ("version", count()), ("collections", list(text())),
            ("storage", answer(&[("databaseSize", count()), ("segments", segments)])), ("sync", of("SyncState")), ("config", object()),
        ]),
        "Erasure": answer(&[
            ("state", json!({"enum": ["done", "running"]})), ("sequence", count()), ("objectsDeleted", count()), ("erasedAt?", time()), ("erasedBy?", text()),
        ]),
        "Access": answer(&[
            ("time", time()), ("principal", json!({"type": ["string", "null"]})), ("action", text()), ("collections?", list(text())),
            ("documentId?", text()), ("status", count()), ("elapsedMs?", count()), ("correlationId?", text()), ("sequence?", count()), ("events?", count()),
        ]),
        "Accesses": page("Access"),
        "Nothing": sent(&[]),
        "Maintenance": answer(&[("cleanupResults", object()), ("compactionResults", object()), ("cacheCleanup", object())]),
        "CacheGeneration": answer(&[("generation", count()), ("prefix", text())]),
        "Declaration": sent(&[
            ("columns?", optional(json!({"items": column}), "array")), ("indexes?", indexes), ("columnar?", columnar),
            ("retention?", json!({"anyOf": [sent(&[("days", days)]), {"type": "null"}]})),
            ("dropColumns?", json!({"type": "array", "items": text(), "maxItems": 1000, "uniqueItems": true})),
        ]),
        "Collection": answer(&[
            ("name", of("CollectionName")), ("columns", list(told)), ("indexes", list(list(text()))), ("columnar", object()), ("retention?", object()),
            ("dropColumns?", list(text())), ("forms", counts(&["row", "segment", "cold"])), ("bytes", count()),
        ]),
        "Collections": page("Collection"),
        "Metrics": answer(&[("since", time()), ("until", time()), ("hot", object()), ("cold", object()), ("cost", object()), ("warm", object()), ("index?", object())]),
    })
}

fn archive() -> Value {
    let kind = || json!({"enum": ["full", "incremental"]});
    let table = answer(&[
        ("name", text()),
        ("rowCount", count()),
        ("sizeBytes", count()),
        ("icebergSnapshotId", json!({"type": "integer"})),
    ]);
    let metadata = answer(&[
        ("type", kind()),
        ("sizeBytes", count()),
        ("rowCount", count()),
        ("parentId?", of("Uuid")),
        ("compression", text()),
        ("checksum", text()),
    ]);
    let names = json!({"items": of("CollectionName"), "minItems": 1});
    json!({
        "SyncState": answer(&[
            ("docId", of("Name")), ("lastHotSequence", count()), ("lastWarmSequence", count()), ("lastColdSequence", count()),
            ("lastSyncTimestamp", json!({"type": ["integer", "null"]})), ("pendingChanges", count()),
        ]),
        "SyncOptions": sent(&[
            ("force?", flag()), ("targetTier?", json!({"enum": ["cold", null]})),
            ("batchSize?", json!({"type": ["integer", "null"], "minimum": 1, "maximum": 4294967295_u32})),
        ]),
        "SyncResult": answer(&[("success", flag()), ("changesSynced", count()), ("bytesWritten", count()), ("duration", count()), ("newCursor", count())]),
        "SnapshotRequest": sent(&[
            ("type", kind()),
            ("label?", json!({"type": ["string", "null"], "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})),
        ]),
        "Snapshot": answer(&[
            ("id", of("Uuid")), ("docId", of("Name")), ("docType", of("Name")), ("timestamp", count()), ("version", count()), ("sequence", count()),
            ("label?", text()), ("tables", list(table)), ("metadata", metadata),
        ]),
        "Snapshots": page("Snapshot"),
        "RestoreRequest": sent(&[
            ("into?", json!({"type": ["string", "null"], "pattern": "^[A-Za-z0-9._-]{1,128}/[A-Za-z0-9._-]{1,128}$"})),
            ("collections?", optional(names, "array")),
        ]),
        "Job": answer(&[
            ("id", of("Uuid")), ("state", json!({"enum": ["running", "done", "failed"]})), ("progress", answer(&[("done", count()), ("total", count())])),
            ("skipped?", list(text())), ("definitionsKept?", list(text())), ("error?", text()),
        ]),
    })
}

fn catalogue() -> Value {
    let texts = || json!({"type": "object", "additionalProperties": text()});
    let token = || json!({"type": ["string", "null"]});
    json!({
        "CatalogueConfig": answer(&[("defaults", texts()), ("overrides", texts()), ("endpoints", list(text()))]),
        "Namespaces": answer(&[("namespaces", list(list(text()))), ("next-page-token", token())]),
        "Namespace": answer(&[("namespace", list(text())), ("properties", texts())]),
        "Tables": answer(&[("identifiers", list(answer(&[("namespace", list(text())), ("name", text())]))), ("next-page-token", token())]),
        "Table": answer(&[("metadata-location", text()), ("metadata", object()), ("config", texts())]),
    })
}
