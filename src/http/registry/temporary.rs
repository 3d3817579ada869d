//! `/temp/{key}`: values of any kind that are kept for a time.

use crate::engine::Engine;
use crate::engine::registry::{TemporaryClass, TemporaryValue};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::message::{Body, Request, Response};
use crate::http::params::QueryParams;
use crate::limits::CACHE_MAX_BYTES;
use crate::types::time::http_date;
use crate::types::{StorageTier, Timestamp};

/// What a value is that does not say it.
const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";
const MEDIA_TYPE_MAX_BYTES: usize = 255;
/// How many times what is usual a value may be kept.
const LONGEST: u32 = 24;

fn class(params: &QueryParams) -> Result<TemporaryClass> {
    params.choice("class", TemporaryClass::Temporary, &TemporaryClass::ALL)
}

/// `PUT /temp/{key}`
pub async fn put(engine: &Engine, request: &mut Request, key: &str) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["class", "ttlSecs"])?;
    engine.tenant()?;
    let class = class(&params)?;
    let warm = &engine.config().warm;
    let usual = match class {
        TemporaryClass::Cache => warm.cache_ttl_secs,
        TemporaryClass::Session => warm.session_ttl_secs,
        TemporaryClass::Temporary => warm.temporary_ttl_secs,
    };
    let ttl_secs = params.number("ttlSecs", usual, 1..=usual.saturating_mul(LONGEST))?;
    let media_type = request.header("content-type").unwrap_or(DEFAULT_MEDIA_TYPE).to_owned();
    if !(1..=MEDIA_TYPE_MAX_BYTES).contains(&media_type.len()) {
        let got = media_type.len();
        let message = format!("expected a content type of 1 to {MEDIA_TYPE_MAX_BYTES} bytes, got {got}");
        return Err(StorageError::new(ErrorKind::UnsupportedMedia, StorageTier::Api, "store value", message));
    }
    let bytes = request.read_body(CACHE_MAX_BYTES).await?;
    let stored = engine.now_ms();
    let expires = stored.saturating_add(i64::from(ttl_secs).saturating_mul(1_000));
    engine.put_temporary(class, key, &TemporaryValue { stored, expires, media_type, bytes }).await?;
    Ok(expiring(Response::empty(204), expires))
}

/// `GET /temp/{key}`. What others have stored is nothing that a browser should show as a page of this origin.
pub fn get(engine: &Engine, request: &Request, key: &str) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["class"])?;
    let value = engine.temporary(class(&params)?, key)?.ok_or_else(absent)?;
    let age_secs = engine.now_ms().saturating_sub(value.stored).max(0) / 1_000;
    let response = Response::empty(200).with_body(Body::Whole(value.bytes));
    let response = response.with_header("content-type", value.media_type).with_header("age", age_secs.to_string());
    let response = response.with_header("content-disposition", "attachment");
    Ok(expiring(response, value.expires))
}

/// `DELETE /temp/{key}`
pub fn remove(engine: &Engine, request: &Request, key: &str) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["class"])?;
    if engine.remove_temporary(class(&params)?, key)? { Ok(Response::empty(204)) } else { Err(absent()) }
}

fn expiring(response: Response, expires: Timestamp) -> Response {
    match http_date(expires) {
        Some(date) => response.with_header("expires", date),
        None => response,
    }
}

fn absent() -> StorageError {
    let message = "expected a value of this class and key whose time has not passed, got none";
    StorageError::new(ErrorKind::NotFound, StorageTier::Hot, "read value", message)
}
