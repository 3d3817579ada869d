//! `GET /cdc`: pages of the change feed.

use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{raw, to_json};
use super::message::{Request, Response};
use super::object::not_supported;
use super::params::{QueryParams, refuse};
use crate::cdc::{FeedFilter, FeedPage};
use crate::engine::Engine;
use crate::error::Result;
use crate::types::names::check_collection;
use crate::types::{CdcEvent, Operation, Sequence, Timestamp};

/// The longest that a reader may wait for an event (REQUIREMENTS.md 3).
const WAIT_MAX_MS: u32 = 30_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'e> {
    id: String,
    operation: &'static str,
    collection: &'e str,
    document_id: &'e str,
    timestamp: Timestamp,
    sequence: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_fields: Option<&'e [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'e str>,
}

#[derive(Serialize)]
struct Cursor {
    sequence: Sequence,
    timestamp: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'e> {
    events: Vec<Event<'e>>,
    cursor: Cursor,
    has_more: bool,
}

/// `GET /cdc`
pub async fn page(engine: &Engine, request: &Request) -> Result<Response> {
    let known = ["after", "limit", "waitMs", "collections", "operations", "documents", "format"];
    let params = QueryParams::read(&request.query, &known)?;
    if params.get("format").is_some_and(|format| format != "native") {
        return Err(not_supported("", "a format other than native"));
    }
    let after = match params.get("after") {
        Some("now") => engine.last_sequence()?,
        _ => params.number("after", -1, -1..=Sequence::MAX)?.max(0),
    };
    let collections = match params.list("collections") {
        None => None,
        Some(names) => Some(
            names.into_iter().map(|name| check_collection(name).map(|()| name.to_owned())).collect::<Result<_>>()?,
        ),
    };
    let operations = match params.list("operations") {
        None => None,
        Some(names) => Some(names.into_iter().map(operation).collect::<Result<Vec<_>>>()?),
    };
    let documents = params.choice("documents", true, &[("true", true), ("false", false)])?;
    let wait_ms = params.number("waitMs", 0, 0..=WAIT_MAX_MS)?;
    let filter = FeedFilter { after, limit: params.limit()?, collections, operations, documents };
    let page = engine.changes(&filter, wait_ms).await?;
    render(&page)
}

fn operation(name: &str) -> Result<Operation> {
    [Operation::Insert, Operation::Update, Operation::Delete]
        .into_iter()
        .find(|operation| operation.name() == name)
        .ok_or_else(|| {
            refuse(format!(
                "expected operations out of INSERT, UPDATE, DELETE, got {}",
                crate::types::names::quoted(name)
            ))
        })
}

fn render(page: &FeedPage) -> Result<Response> {
    let events = page.events.iter().map(event).collect::<Result<Vec<_>>>()?;
    let cursor = Cursor { sequence: page.sequence, timestamp: page.timestamp };
    Ok(Response::json(200, to_json(&Page { events, cursor, has_more: page.has_more })?))
}

fn event(event: &CdcEvent) -> Result<Event<'_>> {
    Ok(Event {
        id: event.id.to_string(),
        operation: event.operation.name(),
        collection: &event.collection,
        document_id: &event.document_id,
        timestamp: event.timestamp,
        sequence: event.sequence,
        before: event.before.as_deref().map(raw).transpose()?,
        after: event.after.as_deref().map(raw).transpose()?,
        changed_fields: event.changed_fields.as_deref(),
        source: event.context.source.as_deref(),
        correlation_id: event.context.correlation_id.as_deref(),
    })
}
