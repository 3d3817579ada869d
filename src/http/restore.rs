//! Restores of snapshots, and the jobs that do them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::Principal;
use super::access_log::{FOREIGN_ACTOR, access};
use super::body::{invalid, json_text, parse, to_json};
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::{Engine, Job, JobAnswer, JobState, Restore};
use crate::error::Result;
use crate::types::names::ObjectName;

const BODY_MAX_BYTES: usize = 1024 * 1024;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    into: Option<String>,
    collections: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Progress {
    done: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'j> {
    id: Uuid,
    state: JobState,
    progress: Progress,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    skipped: &'j [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    definitions_kept: &'j [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'j str>,
}

/// `POST /snapshots/{id}/restore`
pub async fn restore(
    engine: &Engine,
    request: &mut Request,
    snapshot: Uuid,
    principal: &Principal,
) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let wanted: Wanted = if text.trim().is_empty() { Wanted::default() } else { parse(&text, "restore snapshot")? };
    let into = wanted.into.as_deref().map(object_name).transpose()?;
    if let Some(into) = &into {
        principal.check_object(into)?;
    }
    if wanted.collections.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("restore snapshot").at("/collections", "expected at least one collection, got none"));
    }
    let by = access(request).and_then(|access| access.principal);
    let query =
        by.map_or_else(String::new, |by| format!("?{FOREIGN_ACTOR}={}", utf8_percent_encode(&by, NON_ALPHANUMERIC)));
    begun(engine, engine.restore(snapshot, into.as_ref(), wanted.collections, &query).await?)
}

/// `POST /internal/{type}/{id}/restores`: what another object asks for.
pub async fn restore_foreign(engine: &Engine, request: &mut Request) -> Result<Response> {
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let wanted: Restore = parse(&text, "restore snapshot")?;
    begun(engine, engine.begin_restore(wanted).await?)
}

/// `GET /jobs/{id}`
pub async fn job(engine: &Engine, request: &Request, id: Uuid) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    match engine.job(id).await? {
        JobAnswer::Own(job) => Ok(Response::json(200, to_json(&told(&job))?)),
        JobAnswer::Foreign(_, answer) => Ok(passed_on(answer.status, answer.body)),
    }
}

/// `DELETE /jobs/{id}`: cancels it.
pub fn cancel(engine: &Engine, request: &Request, id: Uuid) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    Ok(Response::json(200, to_json(&told(&engine.cancel(id)?))?))
}

fn begun(engine: &Engine, answer: JobAnswer) -> Result<Response> {
    let (id, response) = match answer {
        JobAnswer::Own(job) => (job.id, Response::json(202, to_json(&told(&job))?)),
        JobAnswer::Foreign(_, answer) if answer.status != 202 => return Ok(passed_on(answer.status, answer.body)),
        JobAnswer::Foreign(id, answer) => (id, passed_on(answer.status, answer.body)),
    };
    Ok(response.with_header("location", format!("/v1/{}/jobs/{id}", engine.name()?.path())))
}

/// Another object's answer, a problem perhaps.
fn passed_on(status: u16, body: Vec<u8>) -> Response {
    let mut response = Response::json(status, body);
    if status >= 400 {
        response.headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
    }
    response
}

fn object_name(text: &str) -> Result<ObjectName> {
    let refused = || invalid("restore snapshot").at("/into", "expected the type and id of an object, \"type/id\"");
    let (doc_type, doc_id) = text.split_once('/').ok_or_else(refused)?;
    ObjectName::new(doc_type, doc_id).map_err(|_| refused())
}

fn told(job: &Job) -> Told<'_> {
    Told {
        id: job.id,
        state: job.state,
        progress: Progress { done: job.progress.done, total: job.progress.total },
        skipped: &job.skipped,
        definitions_kept: &job.definitions_kept,
        error: job.error.as_deref(),
    }
}
