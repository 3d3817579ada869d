//! Single documents.

use super::access::Principal;
use super::as_of;
use super::body::{invalid, json_text};
use super::etag::{etag, known_versions, write_condition};
use super::idempotency::{Begun, begin, finish};
use super::message::{Request, Response};
use super::object::{SEQUENCE_HEADER, change_context};
use super::params::{QueryParams, refuse};
use super::problem;
use crate::engine::{Condition, Engine, Mutation, NewDocument, Tier, Write, WriteOutcome};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::DOCUMENT_MAX_BYTES;
use crate::types::names::check_document_id;
use crate::types::{Json, Operation, StorageTier};

/// A document's body may have this much whitespace around what counts as the document.
const BODY_MAX_BYTES: usize = DOCUMENT_MAX_BYTES + 64 * 1024;
const JSON: &[&str] = &["application/json"];
const PATCHES: &[&str] = &["application/json", "application/merge-patch+json"];

/// The header by which the Worker learns under which generation an answer may be cached.
pub const GENERATION_HEADER: &str = "thermocline-cache-generation";

/// `POST …/docs`
pub async fn insert(
    engine: &Engine,
    request: &mut Request,
    collection: &str,
    principal: &Principal,
) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let context = change_context(request)?;
    let text = json_text(request, BODY_MAX_BYTES, JSON).await?;
    let ticket = match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(ticket) => ticket,
    };
    let document = NewDocument::read(&text, None, || engine.new_id())?;
    let write =
        Write { collection: collection.into(), mutation: Mutation::Insert(document), condition: Condition::default() };
    let name = engine.name()?;
    let answer = |outcomes: &[WriteOutcome]| {
        let outcome = outcomes.first().ok_or_else(no_outcome)?;
        let id = percent_encoding::utf8_percent_encode(&outcome.id, percent_encoding::NON_ALPHANUMERIC);
        let location = format!("/v1/{}/collections/{collection}/docs/{id}", name.path());
        Ok(written(201, outcome).with_header("location", location))
    };
    finish(engine, ticket.as_ref(), &[write], &context, &mut |_, error| Err(error), &answer).await
}

/// `PUT …/docs/{id}`
pub async fn upsert(engine: &Engine, request: &mut Request, collection: &str, id: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (context, condition) = (change_context(request)?, write_condition(request)?);
    let text = json_text(request, BODY_MAX_BYTES, JSON).await?;
    let mutation = Mutation::Upsert(NewDocument::read(&text, Some(id), || engine.new_id())?);
    let outcome = one(engine.write(&[Write { collection: collection.into(), mutation, condition }], &context).await?)?;
    Ok(written(if outcome.operation == Operation::Insert { 201 } else { 200 }, &outcome))
}

/// `PATCH …/docs/{id}`
pub async fn patch(engine: &Engine, request: &mut Request, collection: &str, id: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (context, condition) = (change_context(request)?, write_condition(request)?);
    let patch = json_text(request, BODY_MAX_BYTES, PATCHES).await?;
    check_patch(&patch)?;
    let mutation = Mutation::Merge { id: id.into(), patch };
    let outcome = one(engine.write(&[Write { collection: collection.into(), mutation, condition }], &context).await?)?;
    Ok(written(200, &outcome))
}

/// `DELETE …/docs/{id}`
pub async fn delete(engine: &Engine, request: &mut Request, collection: &str, id: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (context, condition) = (change_context(request)?, write_condition(request)?);
    let mutation = Mutation::Delete { id: id.into() };
    let outcome = one(engine.write(&[Write { collection: collection.into(), mutation, condition }], &context).await?)?;
    Ok(Response::empty(204).with_header(SEQUENCE_HEADER, outcome.sequence.to_string()))
}

/// `GET …/docs/{id}`
pub async fn get(engine: &Engine, request: &Request, collection: &str, id: &str) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["consistency", "asOf", "tiers"])?;
    let as_of = params.get("asOf").map(as_of::from_text).transpose().map_err(refuse)?;
    if as_of.is_some() && params.get("tiers").is_some() {
        return Err(refuse("expected asOf or tiers, got both".to_owned()));
    }
    let tier = params.choice(
        "tiers",
        Tier::Current,
        &[("hot", Tier::Hot), ("cold", Tier::Cold), ("hot,cold", Tier::Current)],
    )?;
    let cached = params.choice("consistency", false, &[("strong", false), ("cached", true)])?;
    let found = match as_of {
        Some(as_of) => engine.get_as_of(collection, id, as_of).await?,
        None => engine.get(collection, id, tier).await?,
    };
    let cacheable = cached && tier == Tier::Current && as_of.is_none();
    let Some(document) = found else {
        let error = absent(collection, id, if tier == Tier::Cold { StorageTier::Cold } else { StorageTier::Hot });
        return if cacheable { to_be_cached(engine, problem::response(&error)) } else { Err(error) };
    };
    let tag = etag(document.sequence);
    let fresh = known_versions(request)?.is_some_and(|known| known.contain(Some(document.sequence)));
    let response = if fresh { Response::empty(304) } else { Response::json(200, document.text) };
    let response = response.with_header("etag", tag);
    if cacheable && !fresh { to_be_cached(engine, response) } else { Ok(response) }
}

/// An answer that may be cached, with what the Worker needs for that.
pub fn to_be_cached(engine: &Engine, response: Response) -> Result<Response> {
    let response = response.with_header(SEQUENCE_HEADER, engine.last_sequence()?.to_string());
    Ok(match engine.cache_generation()? {
        Some(generation) => response.with_header(GENERATION_HEADER, generation),
        None => response,
    })
}

/// The error of a document that is not there.
pub fn absent(collection: &str, id: &str, tier: StorageTier) -> StorageError {
    let message = format!("expected a document {id:?} in collection \"{collection}\", got none");
    StorageError::new(ErrorKind::NotFound, tier, "get document", message)
}

/// A patch must be JSON, and an object: anything else would replace the document whole.
pub fn check_patch(patch: &str) -> Result<()> {
    let parsed = Json::parse(patch)?;
    if matches!(parsed, Json::Object(_)) {
        return Ok(());
    }
    Err(invalid("read patch").at("", format!("expected an object, got {}", parsed.kind())))
}

/// Checks an id that came in a body.
pub fn checked_id(id: &str) -> Result<&str> {
    check_document_id(id)?;
    Ok(id)
}

fn written(status: u16, outcome: &WriteOutcome) -> Response {
    Response::json(status, outcome.text.as_deref().unwrap_or("null"))
        .with_header("etag", etag(outcome.sequence))
        .with_header(SEQUENCE_HEADER, outcome.sequence.to_string())
}

fn one(outcomes: Vec<WriteOutcome>) -> Result<WriteOutcome> {
    outcomes.into_iter().next().ok_or_else(no_outcome)
}

fn no_outcome() -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Api, "write document", "expected one outcome, got none")
}
