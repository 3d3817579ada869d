//! The asset registry: `/v1/registry/{tenant}`.

mod batch;
pub mod cached;
mod cleanup;
mod collisions;
mod embeddings;
mod hashes;
mod records;
pub mod routes;
mod settings;
mod temporary;

use self::routes::RegistryRoute;
use super::access::Principal;
use super::body::to_json;
use super::message::{Request, Response};
use super::object::SEQUENCE_HEADER;
use crate::engine::query::OrderKey;
use crate::engine::registry::told;
use crate::engine::{Engine, WriteOutcome};
use crate::error::Result;
use crate::types::json::write_string;
use crate::types::{Masks, Sequence};

use super::cursor;

/// Answers a request of a registry.
pub async fn answer(
    engine: &Engine,
    request: &mut Request,
    route: RegistryRoute,
    principal: &Principal,
    masks: &Masks,
) -> Result<Response> {
    match (route, request.method.as_str()) {
        (RegistryRoute::Records, _) => records::insert(engine, request, principal, masks).await,
        (RegistryRoute::Record(asset), "DELETE") => records::delete(engine, request, &asset).await,
        (RegistryRoute::Record(asset), _) => records::get(engine, request, &asset, masks).await,
        (RegistryRoute::Assets, "POST") => records::insert_asset(engine, request, principal).await,
        (RegistryRoute::Assets, _) => records::list_assets(engine, request, masks).await,
        (RegistryRoute::Asset(asset), "PATCH") => records::patch_asset(engine, request, &asset, masks).await,
        (RegistryRoute::Asset(asset), _) => records::get_asset(engine, request, &asset, masks).await,
        (RegistryRoute::Hashes, "POST") => records::insert_hash(engine, request, principal, masks).await,
        (RegistryRoute::Hashes, _) => hashes::list(engine, request, masks).await,
        (RegistryRoute::HashBatch, _) => batch::insert(engine, request, principal).await,
        (RegistryRoute::HashStats, _) => hashes::stats(engine, request).await,
        (RegistryRoute::HashCompaction, _) => hashes::compact(engine, request).await,
        (RegistryRoute::HashSearch, _) => hashes::search(engine, request, masks).await,
        (RegistryRoute::HashSearches, _) => hashes::search_batch(engine, request, masks).await,
        (RegistryRoute::EmbeddingSearch, _) => embeddings::search(engine, request, masks).await,
        (RegistryRoute::Hash(asset), "DELETE") => records::delete_hash(engine, request, &asset).await,
        (RegistryRoute::Hash(asset), _) => records::get_hash(engine, request, &asset, masks).await,
        (RegistryRoute::Collisions, "POST") => collisions::append(engine, request, principal).await,
        (RegistryRoute::Collisions, _) => collisions::list(engine, request, masks).await,
        (RegistryRoute::Collision(id), _) => collisions::get(engine, request, id, masks).await,
        (RegistryRoute::Reviews(id), _) => collisions::review(engine, request, id, principal).await,
        (RegistryRoute::Cleanup, _) => cleanup::clean_up(engine, request).await,
        (RegistryRoute::Temporary(key), "PUT") => temporary::put(engine, request, &key).await,
        (RegistryRoute::Temporary(key), "DELETE") => temporary::remove(engine, request, &key),
        (RegistryRoute::Temporary(key), _) => temporary::get(engine, request, &key),
        (RegistryRoute::Settings, "PUT") => settings::set(engine, request).await,
        (RegistryRoute::Settings, _) => settings::get(engine, request),
    }
}

/// A stored document as its reader may see it, in the registry's words.
fn shown(engine: &Engine, collection: &str, text: String, masks: &Masks) -> Result<String> {
    shown_to(&engine.tenant()?, collection, text, masks)
}

/// A stored document without what is hidden.
fn without_hidden(collection: &str, text: String, masks: &Masks) -> Result<String> {
    if masks.hide_some_of(collection) { masks.apply(collection, text) } else { Ok(text) }
}

/// The same of a tenant's document.
fn shown_to(tenant: &str, collection: &str, text: String, masks: &Masks) -> Result<String> {
    let text = without_hidden(collection, text, masks)?;
    let mut out = String::with_capacity(text.len().saturating_add(64));
    told(tenant, "assetId", &text, &mut out)?;
    Ok(out)
}

/// A page of items that are JSON text.
fn page(items: &[String], hash: u64, next: Option<Vec<OrderKey>>) -> Result<Response> {
    let mut body = format!("{{\"items\":[{}]", items.join(","));
    if let Some(next) = next {
        body.push_str(",\"cursor\":");
        write_string(&cursor::encode(hash, next)?, &mut body);
    }
    body.push('}');
    Ok(Response::json(200, body))
}

/// The answer to a write, with the sequence that it reached.
fn made(status: u16, body: &impl serde::Serialize, outcomes: &[WriteOutcome]) -> Result<Response> {
    let last: Sequence = outcomes.last().map_or(0, |outcome| outcome.sequence);
    Ok(Response::json(status, to_json(body)?).with_header(SEQUENCE_HEADER, last.to_string()))
}
