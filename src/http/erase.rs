//! `DELETE /`: erasing an object.

use serde::Serialize;

use super::body::to_json;
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::{Engine, Erasing};
use crate::error::Result;
use crate::types::Sequence;
use crate::types::time::rfc3339;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    state: &'static str,
    /// The last sequence that was given before; the next event's is one more.
    sequence: Sequence,
    /// Files deleted, by all that worked on it.
    objects_deleted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<String>,
}

/// Checks the request itself, before anything is erased.
pub fn check(request: &Request) -> Result<()> {
    QueryParams::read(&request.query, &[]).map(|_| ())
}

/// The answer: 200 when nothing is left, 202 while files are still being deleted.
pub async fn files(engine: &Engine, none_on_their_way: bool) -> Result<Response> {
    let Erasing { record, deleted, done } = engine.erase_files(none_on_their_way).await?;
    let answer = Answer {
        state: if done { "done" } else { "running" },
        sequence: record.as_ref().map_or(0, |record| record.sequence),
        objects_deleted: record.as_ref().map_or(deleted, |record| u64::try_from(record.objects).unwrap_or(0)),
        erased_at: record.as_ref().map(|record| rfc3339(record.at)),
        erased_by: record.map(|record| record.by),
    };
    Ok(Response::json(if done { 200 } else { 202 }, to_json(&answer)?))
}
