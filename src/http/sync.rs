//! `/sync`: how far archiving is, and archiving now.

use serde::{Deserialize, Serialize};

use super::body::{invalid, json_text, parse, to_json};
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::Engine;
use crate::error::Result;
use crate::types::{Sequence, SyncState, Timestamp, whole};

const BODY_MAX_BYTES: usize = 64 * 1024;

/// SyncOptions. `force` archives even when nothing is pending; `batchSize` is a hint that one commit of everything
/// pending does not need.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    force: bool,
    target_tier: Option<String>,
    #[serde(deserialize_with = "whole::optional")]
    batch_size: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    changes_synced: i64,
    bytes_written: u64,
    duration: i64,
    new_cursor: Sequence,
}

/// SyncState, as the API tells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    doc_id: String,
    last_hot_sequence: Sequence,
    last_warm_sequence: Sequence,
    last_cold_sequence: Sequence,
    last_sync_timestamp: Option<Timestamp>,
    pending_changes: i64,
}

impl State {
    /// The state of an object.
    pub fn new(doc_id: String, state: &SyncState) -> Self {
        Self {
            doc_id,
            last_hot_sequence: state.last_hot_sequence,
            last_warm_sequence: state.last_warm_sequence,
            last_cold_sequence: state.last_cold_sequence,
            last_sync_timestamp: state.last_sync_timestamp,
            pending_changes: state.pending_changes(),
        }
    }
}

/// `GET /sync`
pub fn state(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let state = State::new(engine.name()?.doc_id, &engine.sync_state()?);
    Ok(Response::json(200, to_json(&state)?))
}

/// `POST /sync`
pub async fn sync(engine: &Engine, request: &mut Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let options = if text.trim().is_empty() { Options::default() } else { parse(&text, "read sync options")? };
    if options.target_tier.as_deref().is_some_and(|tier| tier != "cold") {
        return Err(invalid("read sync options").at("/targetTier", "expected \"cold\", got another tier"));
    }
    if let Some(size) = options.batch_size.filter(|size| !(1..=i64::from(u32::MAX)).contains(size)) {
        let detail = format!("expected a whole number from 1 to {}, got {size}", u32::MAX);
        return Err(invalid("read sync options").at("/batchSize", detail));
    }
    let result = engine.sync(options.force).await?;
    let answer = Answer {
        success: true,
        changes_synced: result.changes_synced,
        bytes_written: result.bytes_written,
        duration: result.duration_ms,
        new_cursor: result.new_cursor,
    };
    Ok(Response::json(200, to_json(&answer)?))
}
