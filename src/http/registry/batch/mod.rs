//! `POST /hashes/batch`: many hashes in one call, streamed as lines or all or nothing as JSON.

mod csv;
mod lists;

use serde::Deserialize;

use self::lists::{JsonLines, PlainLines, Table};
use crate::engine::registry::schema::HASHES;
use crate::engine::registry::{HashBody, inserting, invalid};
use crate::engine::{Engine, WriteOutcome};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::access::Principal;
use crate::http::body::{MapOnly, json_text, parse};
use crate::http::idempotency::{Begun, begin, finish};
use crate::http::import::stream::{Report, ReportKind, import_lines};
use crate::http::message::{Request, Response};
use crate::http::object::change_context;
use crate::http::params::QueryParams;
use crate::limits::{BATCH_MAX_BYTES, BATCH_MAX_OPERATIONS};
use crate::types::StorageTier;

/// The quality of a hash that comes without one.
const DEFAULT_QUALITY: u8 = 100;

/// `POST /hashes/batch`
pub async fn insert(engine: &Engine, request: &mut Request, principal: &Principal) -> Result<Response> {
    engine.tenant()?;
    let media_type = request.media_type().unwrap_or_default();
    let known: &[&str] = match media_type.as_str() {
        "application/json" => &[],
        "application/x-ndjson" => &["resumeAfterLine"],
        "text/plain" | "text/csv" => &["resumeAfterLine", "quality"],
        _ => return Err(unsupported(&media_type)),
    };
    let params = QueryParams::read(&request.query, known)?;
    if known.is_empty() {
        return insert_all(engine, request, principal).await;
    }
    let resume_after = params.number("resumeAfterLine", 0u64, 0..=u64::MAX)?;
    let quality = params.number("quality", DEFAULT_QUALITY, 0..=100)?;
    let kind = ReportKind::WithSkipped;
    match media_type.as_str() {
        "text/csv" => import_lines(engine, request, resume_after, kind, &mut Table::new(engine, quality)).await,
        "text/plain" => import_lines(engine, request, resume_after, kind, &mut PlainLines { engine, quality }).await,
        _ => import_lines(engine, request, resume_after, kind, &mut JsonLines(engine)).await,
    }
}

fn unsupported(media_type: &str) -> StorageError {
    let message = format!(
        "expected content type application/json, application/x-ndjson, text/plain or text/csv, got {}",
        crate::types::names::quoted(media_type)
    );
    StorageError::new(ErrorKind::UnsupportedMedia, StorageTier::Api, "insert hashes", message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashes<'b> {
    #[serde(borrow)]
    hashes: Vec<MapOnly<HashBody<'b>>>,
}

/// All hashes of a body in one transaction, or none.
async fn insert_all(engine: &Engine, request: &mut Request, principal: &Principal) -> Result<Response> {
    let context = change_context(request)?;
    let text = json_text(request, BATCH_MAX_BYTES, &["application/json"]).await?;
    let ticket = match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(ticket) => ticket,
    };
    let Hashes { hashes } = parse(&text, "insert hashes")?;
    if hashes.len() > BATCH_MAX_OPERATIONS {
        let detail = format!("expected at most {BATCH_MAX_OPERATIONS} hashes, got {}; split them", hashes.len());
        return Err(invalid("/hashes", detail));
    }
    let mut writes = Vec::with_capacity(hashes.len());
    for (place, MapOnly(hash)) in hashes.iter().enumerate() {
        let record = hash.record(None, &engine.new_id()?, engine.now_ms());
        let record = record.map_err(|error| placed(error, place))?;
        writes.push(inserting(HASHES, record.document));
    }
    if writes.is_empty() && ticket.is_none() {
        return answer(&[]);
    }
    let mut refused = |place, error| Err(placed(error, place));
    finish(engine, ticket.as_ref(), &writes, &context, &mut refused, &answer).await
}

fn answer(outcomes: &[WriteOutcome]) -> Result<Response> {
    let mut report = Report::new(ReportKind::WithSkipped);
    report.add(outcomes.len(), outcomes);
    report.response()
}

/// An error of a hash, told with its place in the body.
fn placed(error: StorageError, place: usize) -> StorageError {
    let place = format!("/hashes/{place}");
    let message = error.message().to_owned();
    if error.fields().is_empty() { error.at(place, message) } else { error.under(&place) }
}
