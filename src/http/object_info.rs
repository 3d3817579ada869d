//! `GET /`: what an object tells of itself.

use serde::Serialize;

use super::body::to_json;
use super::message::{Request, Response};
use super::params::QueryParams;
use super::sync::State;
use crate::config::StorageConfig;
use crate::engine::Engine;
use crate::error::Result;
use crate::types::Sequence;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'i> {
    doc_type: String,
    doc_id: String,
    version: Sequence,
    collections: Vec<String>,
    storage: Storage,
    sync: State,
    config: &'i StorageConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Storage {
    database_size: u64,
}

/// `GET /`
pub fn get(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let name = engine.name()?;
    let sync = engine.sync_state()?;
    let info = Info {
        doc_type: name.doc_type,
        doc_id: name.doc_id.clone(),
        version: sync.last_hot_sequence,
        collections: engine.collection_names()?,
        storage: Storage { database_size: engine.database_bytes() },
        sync: State::new(name.doc_id, &sync),
        config: engine.config(),
    };
    Ok(Response::json(200, to_json(&info)?))
}
