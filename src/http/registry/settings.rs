//! What a tenant has set.

use crate::engine::Engine;
use crate::engine::registry::Settings;
use crate::error::Result;
use crate::http::body::{json_text, parse, to_json};
use crate::http::message::{Request, Response};
use crate::http::object::{SEQUENCE_HEADER, change_context};
use crate::http::params::QueryParams;

const BODY_MAX_BYTES: usize = 64 * 1024;

/// `GET /settings`
pub fn get(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    Ok(Response::json(200, to_json(&engine.registry_settings()?)?))
}

/// `PUT /settings`
pub async fn set(engine: &Engine, request: &mut Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let context = change_context(request)?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let settings: Settings = parse(&text, "set settings")?;
    engine.set_registry_settings(&settings, &context).await?;
    let body = to_json(&engine.registry_settings()?)?;
    Ok(Response::json(200, body).with_header(SEQUENCE_HEADER, engine.last_sequence()?.to_string()))
}
