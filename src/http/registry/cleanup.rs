//! `POST /cleanup`: assets and hashes whose time has passed are deleted.

use serde::Deserialize;
use serde_json::json;

use crate::engine::Engine;
use crate::engine::query::OrderKey;
use crate::engine::registry::{Cleanup, CleanupPlace, invalid};
use crate::error::Result;
use crate::http::body::{json_text, parse};
use crate::http::cursor;
use crate::http::message::{Request, Response};
use crate::http::object::{SEQUENCE_HEADER, change_context};
use crate::http::params::QueryParams;
use crate::types::time::{DAY_MS, from_rfc3339, months_before, rfc3339};
use crate::types::{Timestamp, whole};

const BODY_MAX_BYTES: usize = 4 * 1024;
/// Months of the calendar after which records go, when nothing is said.
const DEFAULT_MONTHS: u16 = 24;
const DAYS_MAX: i64 = 36_500;
/// Records that one call deletes.
const RECORDS_MAX: usize = 10_000;
/// What a clean-up looks at, in this order.
const AT_HASHES: &str = "hashes";
const AT_ASSETS: &str = "assets";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Body {
    #[serde(deserialize_with = "whole::optional")]
    days: Option<i64>,
    #[serde(deserialize_with = "whole::optional")]
    limit: Option<usize>,
    dry_run: bool,
    cursor: Option<String>,
}

/// `POST /cleanup`
pub async fn clean_up(engine: &Engine, request: &mut Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    let context = change_context(request)?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let body = if text.is_empty() { Body::default() } else { parse(&text, "clean up")? };
    let Body { days, limit, dry_run, cursor } = body;
    let before = match days {
        None => months_before(engine.now_ms(), DEFAULT_MONTHS),
        Some(days) if (1..=DAYS_MAX).contains(&days) => engine.now_ms().saturating_sub(days.saturating_mul(DAY_MS)),
        Some(days) => return Err(invalid("/days", format!("expected 1 to {DAYS_MAX}, got {days}"))),
    };
    let limit = limit.unwrap_or(RECORDS_MAX);
    if !(1..=RECORDS_MAX).contains(&limit) {
        return Err(invalid("/limit", format!("expected 1 to {RECORDS_MAX}, got {limit}")));
    }
    let hash = cursor::query_hash(&format!("cleanup {days:?} {dry_run}"));
    let (before, from) = match &cursor {
        Some(cursor) => place(hash, cursor, before)?,
        None => (before, None),
    };
    let done = engine.clean_up(Cleanup { before, limit, dry_run, from }, &context).await?;
    let mut body = json!({
        "deleted": {"hashes": done.hashes, "assets": done.assets},
        "kept": {"youngerHash": done.kept},
        "before": rfc3339(before),
        "dryRun": dry_run,
        "more": done.next.is_some(),
    });
    if let (Some(next), Some(members)) = (done.next, body.as_object_mut()) {
        members.insert("cursor".to_owned(), encoded(hash, before, next)?.into());
    }
    let response = Response::json(200, body.to_string());
    Ok(response.with_header(SEQUENCE_HEADER, engine.last_sequence()?.to_string()))
}

/// A place and the moment before which records go, as a cursor.
fn encoded(hash: u64, before: Timestamp, place: CleanupPlace) -> Result<String> {
    let phase = if place.at_assets { AT_ASSETS } else { AT_HASHES }.to_owned();
    cursor::encode(hash, [rfc3339(before), phase, place.after].map(OrderKey::Text).to_vec())
}

/// The place that a cursor says, and its moment, which is of an earlier call: one that is later than `latest` says is not
/// taken, however clocks and months run.
fn place(hash: u64, cursor: &str, latest: Timestamp) -> Result<(Timestamp, Option<CleanupPlace>)> {
    let keys = cursor::decode(hash, cursor, 3).map_err(|error| invalid("/cursor", error.message().to_owned()))?;
    let place = match keys.as_slice() {
        [OrderKey::Text(before), OrderKey::Text(phase), OrderKey::Text(after)]
            if [AT_HASHES, AT_ASSETS].contains(&phase.as_str()) =>
        {
            let place = CleanupPlace { at_assets: phase == AT_ASSETS, after: after.clone() };
            from_rfc3339(before).map(|before| (before.min(latest), Some(place)))
        }
        _ => None,
    };
    place.ok_or_else(|| invalid("/cursor", "expected the cursor of a clean-up, got another"))
}
