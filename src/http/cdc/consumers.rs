//! `/cdc/consumers`: positions that are acknowledged by name.

use serde::{Deserialize, Serialize};

use crate::engine::{ConsumerState, Engine};
use crate::error::Result;
use crate::http::body::{json_text, parse, to_json};
use crate::http::message::{Request, Response};
use crate::http::params::QueryParams;
use crate::types::time::rfc3339;
use crate::types::{Sequence, whole};

/// A position takes a few bytes.
const BODY_MAX_BYTES: usize = 4 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    #[serde(deserialize_with = "position")]
    sequence: Sequence,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Consumer {
    name: String,
    sequence: Sequence,
    acknowledged_at: String,
    pending: i64,
    lagged: bool,
    oldest_sequence: Sequence,
}

#[derive(Serialize)]
struct Items {
    items: Vec<Consumer>,
}

/// `PUT /cdc/consumers/{name}`
pub async fn acknowledge(engine: &Engine, request: &mut Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let Position { sequence } = parse(&text, "acknowledge")?;
    let (state, created) = engine.acknowledge(name, sequence)?;
    Ok(Response::json(if created { 201 } else { 200 }, to_json(&Consumer::from(state))?))
}

/// `GET /cdc/consumers/{name}`
pub fn get(engine: &Engine, request: &Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    Ok(Response::json(200, to_json(&Consumer::from(engine.consumer(name)?))?))
}

/// `GET /cdc/consumers`: all of them, as there are never many.
pub fn list(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let items = engine.consumers()?.into_iter().map(Consumer::from).collect();
    Ok(Response::json(200, to_json(&Items { items })?))
}

/// `DELETE /cdc/consumers/{name}`
pub fn forget(engine: &Engine, request: &Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.forget_consumer(name)?;
    Ok(Response::empty(204))
}

impl From<ConsumerState> for Consumer {
    fn from(state: ConsumerState) -> Self {
        Self {
            name: state.consumer.name,
            sequence: state.consumer.sequence,
            acknowledged_at: rfc3339(state.consumer.acknowledged),
            pending: state.pending,
            lagged: state.lagged,
            oldest_sequence: state.oldest,
        }
    }
}

fn position<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Sequence, D::Error> {
    let sequence = whole::required(deserializer)?;
    if sequence >= 0 {
        return Ok(sequence);
    }
    Err(serde::de::Error::custom(format!("expected a sequence from 0 on, got {sequence}")))
}
