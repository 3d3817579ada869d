//! `Idempotency-Key`: the same key and request of the same principal within a day are answered with the first result.
//!
//! Only what succeeded is kept: a request that was refused has changed nothing, and may be sent again.

use super::access::Principal;
use super::message::{Body, Request, Response};
use super::params::refuse;
use crate::engine::{Engine, KeptAnswer, Once, Ticket, Write, WriteOutcome};
use crate::error::{Result, StorageError};
use crate::types::ChangeContext;

/// A key in bytes.
const KEY_MAX_BYTES: usize = 255;
/// Says of an answer that it was given before.
const REPLAYED_HEADER: &str = "idempotency-replayed";

/// What becomes of a request.
pub enum Begun {
    /// It was answered before, and is not done again.
    Answered(Response),
    /// It is to be done; with its ticket, if it has a key.
    New(Option<Ticket>),
}

/// Looks whether a request with this body was answered before.
pub fn begin(engine: &Engine, request: &Request, body: &str, principal: &Principal) -> Result<Begun> {
    let Some(key) = request.header("idempotency-key") else { return Ok(Begun::New(None)) };
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        return Err(refuse(format!("expected Idempotency-Key to have 1 to {KEY_MAX_BYTES} bytes, got {}", key.len())));
    }
    let parts = [request.method.as_str(), &request.path, &request.query, body];
    Ok(match engine.once(&principal.subject, key, &parts)? {
        Once::Answered(answer) => Begun::Answered(response(answer).with_header(REPLAYED_HEADER, "true")),
        Once::New(ticket) => Begun::New(Some(ticket)),
    })
}

/// Does writes in one transaction, and answers as `answer` says of them.
pub async fn finish(
    engine: &Engine,
    ticket: Option<&Ticket>,
    writes: &[Write],
    context: &ChangeContext,
    refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
    answer: &dyn Fn(&[WriteOutcome]) -> Result<Response>,
) -> Result<Response> {
    let mut answer = |outcomes: &[WriteOutcome]| answer(outcomes).map(kept);
    engine.write_once(writes, context, refused, ticket, &mut answer).await.map(response)
}

/// An answer as it is kept.
pub fn kept(response: Response) -> KeptAnswer {
    let Response { status, headers, body } = response;
    let body = match body {
        Body::Whole(bytes) => bytes,
        Body::Stream(_) | Body::Socket(_) => Vec::new(),
    };
    KeptAnswer { status, headers, body }
}

/// A kept answer as it is given.
pub fn response(answer: KeptAnswer) -> Response {
    let KeptAnswer { status, headers, body } = answer;
    Response { status, headers, body: Body::Whole(body) }
}
