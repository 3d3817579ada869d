//! `GET /`: what an object tells of itself.

use serde::Serialize;

use super::body::to_json;
use super::message::{Request, Response};
use super::params::QueryParams;
use super::sync::State;
use crate::engine::{Engine, SegmentFigures};
use crate::error::Result;
use crate::types::Sequence;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    doc_type: String,
    doc_id: String,
    version: Sequence,
    collections: Vec<String>,
    storage: Storage,
    sync: State,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Storage {
    database_size: u64,
    segments: Segments,
}

/// Column segments: how many, and since the instance started, bytes of JSON text by what wrote them. What merging wrote
/// over what batches and sealing did is the write amplification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Segments {
    count: usize,
    cached_bytes: usize,
    bytes_from_batches: u64,
    bytes_sealed: u64,
    bytes_merged: u64,
}

/// `GET /`
pub fn get(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let name = engine.name()?;
    let sync = engine.sync_state()?;
    let SegmentFigures { segments, built, cached_bytes } = engine.segment_figures()?;
    let info = Info {
        doc_type: name.doc_type,
        doc_id: name.doc_id.clone(),
        version: sync.last_hot_sequence,
        collections: engine.collection_names()?,
        storage: Storage {
            database_size: engine.database_bytes(),
            segments: Segments {
                count: segments,
                cached_bytes,
                bytes_from_batches: built.direct,
                bytes_sealed: built.sealed,
                bytes_merged: built.merged,
            },
        },
        sync: State::new(name.doc_id, &sync),
    };
    let mut body = to_json(&info)?;
    // The configuration is JSON text already.
    body.pop();
    body.extend_from_slice(b",\"config\":");
    body.extend_from_slice(engine.config().effective().as_bytes());
    body.push(b'}');
    Ok(Response::json(200, body))
}
