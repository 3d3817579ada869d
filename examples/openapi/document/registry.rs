//! The operations of an asset registry, and their schemas.

use serde_json::{Value, json};

use super::operations::{BATCH, DOCUMENT, Operation, ROWS, WRITTEN, body, operation, part, schema};
use super::reference;
use super::schemas::{answer, count, flag, list, of, page, sent, text};

const RECORD: &str = "/v1/registry/{tenant}/records/{asset}";
const ASSET: &str = "/v1/registry/{tenant}/assets/{asset}";
const HASH: &str = "/v1/registry/{tenant}/hashes/{asset}";
const HASHES: &str = "/v1/registry/{tenant}/hashes";
const COLLISIONS: &str = "/v1/registry/{tenant}/collisions";
const TEMPORARY: &str = "/v1/registry/{tenant}/temp/{temporary}";
const SETTINGS: &str = "/v1/registry/{tenant}/settings";

/// All of them.
pub fn operations() -> Vec<Operation> {
    records().into_iter().chain(hashes()).chain(collisions()).collect()
}

fn records() -> Vec<Operation> {
    vec![
        operation("post", "/v1/registry/{tenant}/records", "insertRecord", "Stores an asset with its hash")
            .takes(&["detect", "IdempotencyKey", "CorrelationId"])
            .body(body(schema("NewRecord"), true))
            .answers(201, part("Stored.", BATCH, schema("MadeRecord")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", RECORD, "getRecord", "Reads an asset with its hash")
            .takes(&["consistency"])
            .answers(200, part("The record.", ROWS, schema("Record")))
            .refuses(&[404]),
        operation("delete", RECORD, "deleteRecord", "Deletes an asset with its hash")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .answers(204, part("Deleted.", WRITTEN, Value::Null))
            .refuses(&[404, 409, 507]),
        operation("get", "/v1/registry/{tenant}/assets", "listAssets", "Lists assets by when they were uploaded")
            .takes(&["status", "direction", "limit", "cursor"])
            .answers(200, part("A page.", ROWS, schema("Assets")))
            .refuses(&[422]),
        operation("post", "/v1/registry/{tenant}/assets", "insertAsset", "Stores an asset")
            .takes(&["IdempotencyKey", "CorrelationId"])
            .body(body(schema("NewAsset"), true))
            .answers(201, part("Stored.", BATCH, schema("MadeRecord")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", ASSET, "getAsset", "Reads an asset")
            .takes(&["consistency"])
            .answers(200, part("The asset.", DOCUMENT, schema("Asset")))
            .refuses(&[404]),
        operation("patch", ASSET, "patchAsset", "Changes an asset")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .body(body(schema("AssetPatch"), true))
            .answers(200, part("Changed.", DOCUMENT, schema("Asset")))
            .refuses(&[404, 409, 413, 415, 422, 507]),
        operation("post", "/v1/registry/{tenant}/cleanup", "cleanUp", "Deletes old assets and hashes")
            .role("admin")
            .takes(&["CorrelationId"])
            .body(body(schema("Cleanup"), false))
            .answers(200, part("What was deleted, and what was kept.", WRITTEN, schema("CleanedUp")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", TEMPORARY, "getTemporary", "Reads a value that is kept for a time")
            .takes(&["class"])
            .answers(200, part("The value.", ROWS, any_media()))
            .refuses(&[404]),
        operation("put", TEMPORARY, "putTemporary", "Stores a value for a time")
            .takes(&["class", "ttlSecs"])
            .body(body(any_media(), false))
            .answers(204, part("Stored.", ROWS, Value::Null))
            .refuses(&[413, 415, 507]),
        operation("delete", TEMPORARY, "deleteTemporary", "Removes a value")
            .takes(&["class"])
            .answers(204, part("Removed.", ROWS, Value::Null))
            .refuses(&[404]),
        operation("get", SETTINGS, "getSettings", "What the tenant has set")
            .answers(200, part("The settings.", ROWS, schema("Settings"))),
        operation("put", SETTINGS, "putSettings", "Sets when assets collide, and how embeddings are")
            .role("admin")
            .takes(&["CorrelationId"])
            .body(body(schema("Settings"), true))
            .answers(200, part("Set.", WRITTEN, schema("Settings")))
            .refuses(&[409, 413, 415, 422, 507]),
    ]
}

fn hashes() -> Vec<Operation> {
    vec![
        operation("get", HASHES, "listHashes", "Lists hash records")
            .takes(&["orderBy", "direction", "issuerKeyId", "parentHash", "embeddingId", "pdq", "limit", "cursor"])
            .answers(200, part("A page.", ROWS, schema("HashRecords")))
            .refuses(&[422]),
        operation("post", HASHES, "insertHash", "Stores the hash of an asset")
            .takes(&["detect", "IdempotencyKey", "CorrelationId"])
            .body(body(schema("NewHash"), true))
            .answers(201, part("Stored.", BATCH, schema("MadeRecord")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("post", "/v1/registry/{tenant}/hashes/batch", "insertHashes", "Stores many hashes")
            .takes(&["resumeAfterLine", "quality", "IdempotencyKey", "CorrelationId"])
            .body(body(lists(), true))
            .answers(200, part("What was stored, and which lines were not.", WRITTEN, schema("HashImportReport")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation("get", HASH, "getHash", "Reads a hash record")
            .takes(&["consistency"])
            .answers(200, part("The record.", DOCUMENT, schema("HashRecord")))
            .refuses(&[404]),
        operation("delete", HASH, "deleteHash", "Deletes a hash record")
            .takes(&["IfMatch", "IfNoneMatch", "CorrelationId"])
            .answers(204, part("Deleted.", WRITTEN, Value::Null))
            .refuses(&[404, 409, 507]),
        operation("get", "/v1/registry/{tenant}/hashes/stats", "getHashStats", "How large the index of hashes is")
            .answers(200, part("Figures.", ROWS, schema("HashStats"))),
        operation("post", "/v1/registry/{tenant}/hashes/compact", "compactHashes", "Makes room of removed hashes")
            .role("admin")
            .answers(200, part("What there was and is.", ROWS, schema("HashCompaction")))
            .refuses(&[409, 507]),
        operation("post", "/v1/registry/{tenant}/hashes/search", "searchHashes", "Finds near hashes, exactly")
            .role("reader")
            .body(body(schema("HashSearch"), true))
            .answers(200, part("Matches.", ROWS, schema("HashMatches")))
            .refuses(&[413, 415, 422]),
        operation("post", "/v1/registry/{tenant}/hashes/search/batch", "searchHashesOften", "Several searches")
            .role("reader")
            .body(body(schema("HashSearches"), true))
            .answers(200, part("Matches of each.", ROWS, schema("HashMatchesOfEach")))
            .refuses(&[413, 415, 422]),
        operation("post", "/v1/registry/{tenant}/embeddings/search", "searchEmbeddings", "Finds near embeddings")
            .role("reader")
            .body(body(schema("EmbeddingSearch"), true))
            .answers(200, part("Matches.", ROWS, schema("EmbeddingMatches")))
            .refuses(&[409, 413, 415, 422, 507]),
    ]
}

fn any_media() -> Value {
    json!({"*/*": {}})
}

/// The forms of a list of hashes.
fn lists() -> Value {
    let lines = json!({"schema": {"type": "string"}});
    json!({
        "application/json": {"schema": reference("schemas", "NewHashes")},
        "application/x-ndjson": lines, "text/plain": lines, "text/csv": lines,
    })
}

fn collisions() -> Vec<Operation> {
    vec![
        operation("get", COLLISIONS, "listCollisions", "Lists collisions, newest first")
            .takes(&[
                "primaryAssetId",
                "conflictingAssetId",
                "reviewerLabel",
                "from",
                "to",
                "limit",
                "cursor",
                "consistency",
            ])
            .answers(200, part("A page; it may have fewer items than there is room for.", ROWS, schema("Collisions")))
            .refuses(&[422]),
        operation("post", COLLISIONS, "appendCollision", "Appends a collision to the log")
            .takes(&["IdempotencyKey", "CorrelationId"])
            .body(body(schema("NewCollision"), true))
            .answers(201, part("Appended.", BATCH, schema("MadeCollision")))
            .refuses(&[409, 413, 415, 422, 507]),
        operation(
            "get",
            "/v1/registry/{tenant}/collisions/{collision}",
            "getCollision",
            "Reads a collision and its reviews",
        )
        .answers(200, part("The collision.", ROWS, schema("Collision")))
        .refuses(&[404]),
        operation(
            "post",
            "/v1/registry/{tenant}/collisions/{collision}/reviews",
            "reviewCollision",
            "Appends a review; a collision has 1,000 at most",
        )
        .role("reviewer")
        .takes(&["IdempotencyKey", "CorrelationId"])
        .body(body(schema("NewReview"), true))
        .answers(201, part("Appended.", BATCH, schema("MadeCollision")))
        .refuses(&[404, 409, 413, 415, 422, 507]),
    ]
}

fn within(least: i64, most: i64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn characters(most: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": most})
}

fn moment() -> Value {
    json!({"anyOf": [{"type": "string", "format": "date-time"}, within(0, 253_402_300_799_999)]})
}

fn hex() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
}

fn vector() -> Value {
    json!({"type": "array", "items": {"type": "number", "minimum": -1e30, "maximum": 1e30}, "minItems": 1, "maxItems": 4096, "contains": {"not": {"const": 0}}})
}

fn metric() -> Value {
    json!({"enum": ["cosine", "dot", "l2"]})
}

fn confidence() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": 100})
}

/// How a search of embeddings goes.
fn how_near() -> [(&'static str, Value); 5] {
    [
        ("k?", or_null(within(1, 1_000))),
        ("metric?", or_null(metric())),
        ("oversample?", or_null(within(1, 4_000))),
        ("confidence?", or_null(confidence())),
        ("exact?", flag()),
    ]
}

fn null() -> Value {
    json!({"type": "null"})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// The schemas.
pub fn schemas() -> Value {
    let object = || json!({"type": "object"});
    let asset = |id: &'static str, required: bool| {
        let name = |name: &'static str| if required { name.to_owned() } else { format!("{name}?") };
        let mut fields = vec![
            (name("manifestUrl"), characters(2_048)),
            (name("imageUrl"), characters(2_048)),
            (name("contentType"), characters(255)),
            (name("fileSize"), within(0, (1 << 53) - 1)),
            ("uploadedAt?".to_owned(), if required { or_null(moment()) } else { moment() }),
            ("processedAt?".to_owned(), or_null(moment())),
            ("status?".to_owned(), if required { or_null(characters(255)) } else { characters(255) }),
            ("metadata?".to_owned(), if required { or_null(object()) } else { object() }),
        ];
        if required {
            fields.push((id.to_owned(), of("DocumentId")));
        }
        let fields: Vec<(&str, Value)> = fields.iter().map(|(name, schema)| (name.as_str(), schema.clone())).collect();
        sent(&fields)
    };
    let lineage = json!({"type": "object", "properties": {"issuerKeyId": {"type": ["string", "null"]}, "parentHash": {"type": ["string", "null"]}}});
    let hash = |id: &'static str| {
        sent(&[
            (id, if id.ends_with('?') { or_null(of("DocumentId")) } else { of("DocumentId") }),
            ("pdqHash", hex()),
            ("pdqQuality", within(0, 100)),
            ("ensembleHashes?", json!({})),
            ("embeddingId?", or_null(characters(255))),
            ("embedding?", or_null(vector())),
            (
                "embeddingConfidence?",
                or_null(json!({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.0001})),
            ),
            ("manifestLineage", lineage.clone()),
        ])
    };
    let any = || json!({"not": {"type": "null"}});
    let collision = || {
        sent(&[
            ("primaryAssetId", of("DocumentId")),
            ("conflictingAssetId", of("DocumentId")),
            ("similarityScores", any()),
            ("conflictType", any()),
            ("lineageDiff", any()),
        ])
    };
    let labels = json!({"enum": ["benign_variant", "suspicious", "not_similar", "false_positive"]});
    let told = || [("tenantId", text()), ("assetId", text()), ("createdAt?", json!({})), ("updatedAt?", json!({}))];
    let figures = answer(&[
        ("keys", count()),
        ("removed", count()),
        ("searchedBy", json!({"enum": ["bands", "scan", "blocks"]})),
        ("memoryBytes", count()),
        ("blocks", count()),
        ("storedBytes", count()),
        ("packedThrough", count()),
        ("through", count()),
        ("amplification?", json!({"type": ["number", "null"]})),
        ("searches?", count()),
        ("candidates?", count()),
        ("latencyMs?", json!({"type": ["object", "null"]})),
        ("compactions?", count()),
        ("lastCompaction?", json!({"type": ["string", "null"]})),
    ]);
    let found = answer(&[
        ("assetId", text()),
        ("distance", within(0, 256)),
        ("pdqHash?", text()),
        ("quality?", within(0, 100)),
    ]);
    let review = answer(&[
        ("label", labels.clone()),
        ("notes?", json!({"type": ["string", "null"]})),
        ("reviewedBy", text()),
        ("reviewedAt", text()),
        ("resolved", flag()),
    ]);
    json!({
        "NewAsset": asset("assetId", true),
        "AssetPatch": asset("", false),
        "NewHash": hash("assetId"),
        "NewHashes": sent(&[("hashes", json!({"type": "array", "maxItems": 10_000, "items": reference("schemas", "NewHash")}))]),
        "HashImportReport": answer(&[
            ("imported", count()), ("failed", count()), ("skipped", count()),
            ("firstSequence", or_null(count())), ("lastSequence", or_null(count())),
            ("errors", list(answer(&[("line", count()), ("detail", text())]))),
        ]),
        "NewRecord": sent(&[("metadata", of("NewAsset")), ("hashes", hash("assetId?")), ("collision?", or_null(of("NewCollision")))]),
        "MadeRecord": answer(&[
            ("metadataId?", of("Uuid")), ("hashId?", of("Uuid")), ("collisionId?", of("Uuid")), ("matches?", list(of("HashMatch"))),
            ("collisionIds?", list(of("Uuid"))),
            ("detection?", answer(&[("found", count()), ("logged", count()), ("notLogged", count()), ("notCompared", count()), ("qualityTooLow", flag())])),
        ]),
        "Asset": answer(&told()),
        "Assets": page("Asset"),
        "HashRecord": answer(&told()),
        "HashRecords": page("HashRecord"),
        "Record": answer(&[("metadata", of("Asset")), ("hashes", or_null(of("HashRecord")))]),
        "HashStats": figures,
        "HashCompaction": answer(&[("before", of("HashStats")), ("after", of("HashStats")), ("done", flag())]),
        "HashMatch": found,
        "HashSearch": {"anyOf": [
            sent(&[("pdqHash", hex()), ("maxDistance?", or_null(within(0, 255))), ("limit?", or_null(within(1, 1_000))), ("minQuality?", or_null(within(0, 100))), ("k?", null())]),
            sent(&[("pdqHash", hex()), ("k", within(1, 1_000)), ("maxDistance?", null()), ("limit?", null()), ("minQuality?", or_null(within(0, 100)))]),
        ]},
        "HashSearches": sent(&[("queries", json!({"type": "array", "minItems": 1, "maxItems": 1_000, "items": reference("schemas", "HashSearch")}))]),
        "HashMatches": answer(&[
            ("matches", list(of("HashMatch"))), ("total", count()),
            ("stats", answer(&[("candidates", count()), ("distances", count()), ("rowsRead", count()), ("elapsedMs", count())])),
        ]),
        "HashMatchesOfEach": answer(&[("results", list(of("HashMatches")))]),
        "EmbeddingSearch": {"anyOf": [
            sent(&[&[("vector", vector()), ("assetId?", null())][..], &how_near()[..]].concat()),
            sent(&[&[("assetId", text()), ("vector?", null())][..], &how_near()[..]].concat()),
        ]},
        "EmbeddingMatches": answer(&[
            ("matches", list(answer(&[("assetId", text()), ("score", json!({"type": "number"}))]))),
            ("stats", answer(&[
                ("vectors", count()), ("scanned", count()), ("candidates", count()), ("rescored", count()), ("vectorRowsRead", count()),
                ("rowsRead", count()), ("elapsedMs", count()), ("exact", flag()), ("oversample", count()), ("confidence", json!({"type": "number"})),
            ])),
        ]),
        "NewCollision": collision(),
        "MadeCollision": answer(&[("collisionId", of("Uuid"))]),
        "Collision": answer(&[
            ("tenantId", text()), ("collisionId?", of("Uuid")), ("reviewerLabel?", or_null(labels.clone())),
            ("resolvedAt?", json!({"type": ["string", "null"]})), ("reviews?", list(review)),
        ]),
        "Collisions": page("Collision"),
        "NewReview": sent(&[
            ("label", labels), ("notes?", json!({"type": ["string", "null"], "maxLength": 1_000})), ("reviewedBy", characters(255)), ("resolved?", flag()),
        ]),
        "Cleanup": sent(&[("days?", or_null(within(1, 36_500))), ("limit?", or_null(within(1, 10_000))), ("dryRun?", flag()), ("cursor?", json!({"type": ["string", "null"]}))]),
        "CleanedUp": answer(&[
            ("deleted", answer(&[("hashes", count()), ("assets", count())])), ("kept", answer(&[("youngerHash", count())])),
            ("before", text()), ("dryRun", flag()), ("more", flag()), ("cursor?", text()),
        ]),
        "Settings": sent(&[
            ("detection?", sent(&[
                ("maxDistance?", within(0, 31)), ("minQuality?", within(0, 100)), ("collisionsMax?", within(1, 100)),
                ("compare?", json!({"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1, "maxLength": 60}})),
            ])),
            ("embedding?", or_null(sent(&[
                ("dimension", within(1, 4_096)), ("metric?", metric()), ("oversample?", within(1, 4_000)), ("confidence?", confidence()),
            ]))),
        ]),
    })
}

/// The parameters.
pub fn parameters() -> Value {
    let query = |name: &str, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    let in_path = |name: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "schema": schema});
    json!({
        "tenant": in_path("tenant", of("Name")),
        "asset": in_path("asset", of("DocumentId")),
        "collision": in_path("collision", of("Uuid")),
        "temporary": in_path("temporary", of("DocumentId")),
        "class": query("class", json!({"enum": ["cache", "session", "temporary"], "default": "temporary"})),
        "ttlSecs": query("ttlSecs", json!({"type": "integer", "minimum": 1, "maximum": 7_200})),
        "quality": query("quality", json!({"type": "integer", "minimum": 0, "maximum": 100, "default": 100})),
        "detect": query("detect", json!({"type": "boolean", "default": false})),
        "status": query("status", json!({"type": "string"})),
        "direction": query("direction", json!({"enum": ["asc", "desc"], "default": "desc"})),
        "orderBy": query("orderBy", json!({"enum": ["createdAt", "updatedAt"], "default": "createdAt"})),
        "issuerKeyId": query("issuerKeyId", json!({"type": "string"})),
        "parentHash": query("parentHash", json!({"type": "string"})),
        "embeddingId": query("embeddingId", json!({"type": "string"})),
        "pdq": query("pdq", hex()),
        "primaryAssetId": query("primaryAssetId", json!({"type": "string"})),
        "conflictingAssetId": query("conflictingAssetId", json!({"type": "string"})),
        "reviewerLabel": query("reviewerLabel", json!({"enum": ["benign_variant", "suspicious", "not_similar", "false_positive"]})),
    })
}
