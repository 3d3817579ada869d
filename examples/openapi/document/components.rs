//! Parameters, headers, refusals and security schemes that operations share.

use serde_json::{Value, json};

use super::reference;

fn path(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

fn query(name: &str, schema: Value, description: &str) -> Value {
    described(json!({"name": name, "in": "query", "schema": schema}), description)
}

fn header(name: &str, schema: Value, description: &str) -> Value {
    described(json!({"name": name, "in": "header", "schema": schema}), description)
}

fn described(mut value: Value, description: &str) -> Value {
    if !description.is_empty() {
        value["description"] = description.into();
    }
    value
}

/// All parameters.
pub fn parameters() -> Value {
    let schema = |name: &str| reference("schemas", name);
    let tags = json!({"type": "string", "pattern": "^(\\*|(W/)?\"[0-9]{1,18}\"(, ?(W/)?\"[0-9]{1,18}\")*)$"});
    let as_of = json!({"anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 253402300799999_i64},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
    ]});
    let moment = json!({"anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 253402300799999_i64},
        {"type": "string", "format": "date-time"},
    ]});
    json!({
        "type": path("type", schema("Name")),
        "id": path("id", schema("Name")),
        "collection": path("collection", schema("CollectionName")),
        "document": path("document", schema("DocumentId")),
        "consumer": path("consumer", schema("Name")),
        "snapshot": path("snapshot", schema("Uuid")),
        "job": path("job", schema("Uuid")),
        "namespace": path("namespace", json!({"type": "string", "minLength": 1, "description": "A type, or a type and an id joined by %1F."})),
        "table": path("table", json!({"type": "string", "minLength": 1, "description": "A collection, or its changes: {collection}__changes."})),
        "bucket": path("bucket", json!({"type": "string", "minLength": 1})),
        "key": path("key", json!({"type": "string", "minLength": 1, "description": "The key of a table's file; its slashes are not encoded."})),
        "limit": query("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}), ""),
        "cursor": query("cursor", json!({"type": "string"}), "The cursor of the page before."),
        "asOf": query("asOf", as_of, "A moment: Unix milliseconds, RFC 3339, or the id of a snapshot."),
        "consistency": query("consistency", json!({"enum": ["strong", "cached"], "default": "strong"}), ""),
        "tiers": query("tiers", json!({"enum": ["hot", "cold", "hot,cold"]}), "Not with asOf."),
        "mode": query("mode", json!({"enum": ["insert", "upsert"], "default": "insert"}), ""),
        "resumeAfterLine": query("resumeAfterLine", json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}), "Lines to skip."),
        "after": query("after", json!({"anyOf": [{"type": "integer", "minimum": -1, "maximum": i64::MAX}, {"const": "now"}], "default": -1}), "Events after this sequence; not with consumer."),
        "ofConsumer": query("consumer", schema("Name"), "Events after what this consumer has acknowledged."),
        "waitMs": query("waitMs", json!({"type": "integer", "minimum": 0, "maximum": 30000, "default": 0}), "How long to wait for an event."),
        "collections": query("collections", json!({"type": "string", "pattern": "^([a-z][a-z0-9_]{0,62}(,[a-z][a-z0-9_]{0,62})*)?$"}), "Separated by commas."),
        "operations": query("operations", json!({"type": "string", "pattern": "^((INSERT|UPDATE|DELETE)(,(INSERT|UPDATE|DELETE))*)?$"}), "Separated by commas."),
        "documents": query("documents", json!({"type": "boolean", "default": true}), "Whether events have before and after."),
        "format": query("format", json!({"enum": ["native", "debezium", "cloudevents"], "default": "native"}), ""),
        "parent": query("parent", json!({"type": "string"}), "A namespace."),
        "pageToken": query("pageToken", json!({"type": "string"}), "The next-page-token of the page before; empty for the first."),
        "from": query("from", moment.clone(), "The first moment."),
        "to": query("to", moment, "The last moment."),
        "principal": query("principal", json!({"type": "string"}), ""),
        "action": query("action", json!({"type": "string"}), "A method and the name of a route."),
        "ofCollection": query("collection", json!({"type": "string"}), ""),
        "outcome": query("outcome", json!({"enum": ["done", "refused"]}), ""),
        "prefix": query("prefix", json!({"type": "string", "maxLength": 1024, "pattern": "^((document|cache|session|temporary)(/[^\\u0000-\\u001f\\u007f-\\u009f]*)?)?$"}), "Of a class and a key. Everything cached is dropped, whatever it is."),
        "pageSize": query("pageSize", json!({"type": "integer", "minimum": 1, "maximum": 4294967295_u32}), ""),
        "IfMatch": header("If-Match", tags.clone(), ""),
        "IfNoneMatch": header("If-None-Match", tags, ""),
        "WantedTag": header("If-Match", json!({"type": "string"}), ""),
        "KnownTag": header("If-None-Match", json!({"type": "string"}), ""),
        "MinSequence": header("Min-Sequence", schema("Sequence"), "Refuses an answer that is staler: 412."),
        "IdempotencyKey": header("Idempotency-Key", json!({"type": "string", "minLength": 1, "maxLength": 255}), "Sent again with the same body within 24 h, the request is answered with its first result."),
        "LastEventId": header("Last-Event-ID", schema("Sequence"), "Of a stream: where to go on."),
        "CorrelationId": header("X-Correlation-Id", json!({"type": "string", "maxLength": 128}), "Told with the events."),
        "Range": header("Range", json!({"type": "string"}), ""),
    })
}

/// All headers of answers.
pub fn headers() -> Value {
    let header = |schema: Value, description: &str| described(json!({"schema": schema}), description);
    let count = || json!({"type": "integer", "minimum": 0});
    let text = || json!({"type": "string"});
    json!({
        "Thermocline-Request-Id": header(reference("schemas", "Uuid"), "The request's own, or a new one."),
        "Thermocline-Sequence": header(count(), "The sequence reached."),
        "Thermocline-Rows-Read": header(count(), ""),
        "Thermocline-Rows-Written": header(count(), ""),
        "Thermocline-Cache": header(json!({"enum": ["hit", "miss"]}), ""),
        "Idempotency-Replayed": header(json!({"const": "true"}), "The answer was given before."),
        "ETag": header(text(), "Of a document: its version in quotes."),
        "Location": header(text(), ""),
        "Retry-After": header(count(), "In seconds."),
        "WWW-Authenticate": header(text(), ""),
        "Content-Range": header(text(), ""),
        "Last-Modified": header(text(), ""),
    })
}

/// What is refused: as problem documents, and as the catalogue's and S3's clients read it.
pub fn responses() -> Value {
    let answer = |description: &str, header: Option<&str>, content: Value| {
        let mut headers = json!({"Thermocline-Request-Id": reference("headers", "Thermocline-Request-Id")});
        if let Some(header) = header {
            headers[header] = reference("headers", header);
        }
        let mut value = json!({"description": description, "headers": headers});
        if !content.is_null() {
            value["content"] = content;
        }
        value
    };
    let problem = || json!({"application/problem+json": {"schema": reference("schemas", "Problem")}});
    let iceberg = || json!({"application/json": {"schema": reference("schemas", "IcebergError")}});
    json!({
        "problem": answer("Refused, and nothing is changed.", None, problem()),
        "identity": answer("No token, or one that does not hold.", Some("WWW-Authenticate"), problem()),
        "retry": answer("Try again later.", Some("Retry-After"), problem()),
        "iceberg": answer("Refused.", None, iceberg()),
        "s3": answer("Refused.", None, json!({"application/xml": {"schema": {"type": "string"}}})),
        "head": answer("Refused.", None, Value::Null),
    })
}

/// How requests are authorised.
pub fn security_schemes() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Not asked for where AUTH_MODE is off. x-role is the role that an operation wants."},
        "session": {"type": "apiKey", "in": "header", "name": "X-Amz-Security-Token", "description": "The s3.session-token of a loaded table."},
    })
}
