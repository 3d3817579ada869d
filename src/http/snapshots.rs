//! `/snapshots`: named snapshots, made, told of, deleted.

use serde::Deserialize;
use uuid::Uuid;

use super::body::{invalid, json_text, parse, to_json};
use super::cursor::{self, List};
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::query::OrderKey;
use crate::engine::{Engine, LABEL_MAX_BYTES, SnapshotRequest};
use crate::error::Result;
use crate::types::snapshot::SnapshotType;

const BODY_MAX_BYTES: usize = 64 * 1024;
/// All pages of the list belong to one question.
const LIST_HASH: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(rename = "type")]
    snapshot_type: SnapshotType,
    label: Option<String>,
}

/// `POST /snapshots`
pub async fn create(engine: &Engine, request: &mut Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let Wanted { snapshot_type, label } = parse(&text, "create snapshot")?;
    if let Some(label) = &label
        && (label.is_empty() || label.len() > LABEL_MAX_BYTES || label.chars().any(char::is_control))
    {
        let expected = format!("expected 1 to {LABEL_MAX_BYTES} bytes without control characters, got another text");
        return Err(invalid("create snapshot").at("/label", expected));
    }
    let snapshot = engine.create_snapshot(&SnapshotRequest { snapshot_type, label }).await?;
    let location = format!("/v1/{}/{}/snapshots/{}", snapshot.doc_type, snapshot.doc_id, snapshot.id);
    Ok(Response::json(201, to_json(&snapshot)?).with_header("location", location))
}

/// `GET /snapshots`
pub fn list(engine: &Engine, request: &Request) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = match params.get("cursor").map(|text| cursor::decode(LIST_HASH, text, 1)).transpose()?.as_deref() {
        Some([OrderKey::Integer(version)]) => i64::try_from(*version).unwrap_or(i64::MAX),
        _ => 0,
    };
    let items = engine.snapshots(after, limit.saturating_add(1))?;
    let list = List::of(items, limit, LIST_HASH, |last| OrderKey::Integer(last.version.into()))?;
    Ok(Response::json(200, to_json(&list)?))
}

/// `GET /snapshots/{id}`
pub fn get(engine: &Engine, request: &Request, id: Uuid) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    Ok(Response::json(200, to_json(&engine.snapshot(id)?)?))
}

/// `DELETE /snapshots/{id}`
pub async fn delete(engine: &Engine, request: &Request, id: Uuid) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.delete_snapshot(id).await?;
    Ok(Response::empty(204))
}
