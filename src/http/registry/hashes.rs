//! Hashes: listed, searched, measured.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::records::{equals, list as list_of};
use crate::engine::Engine;
use crate::engine::registry::schema::HASHES;
use crate::engine::registry::{IndexFigures, MAX_DISTANCE, Match, Matches, Reach, Wanted, invalid, read_hash};
use crate::error::Result;
use crate::http::body::{MapOnly, json_text, parse, to_json};
use crate::http::message::{Request, Response};
use crate::http::metrics::index::{amplification, last_compaction};
use crate::http::metrics::latency_json;
use crate::http::params::QueryParams;
use crate::limits::{PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS};
use crate::types::{Masks, whole};

const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Searches of one request, and matches that all of them may want.
const SEARCHES_MAX: usize = 1_000;
const MATCHES_MAX: usize = 100_000;
/// How near is near, when nothing is asked.
const DEFAULT_DISTANCE: u32 = 31;

/// `GET /hashes`
pub async fn list(engine: &Engine, request: &Request, masks: &Masks) -> Result<Response> {
    let known = ["orderBy", "direction", "issuerKeyId", "parentHash", "embeddingId", "pdq", "limit", "cursor"];
    let params = QueryParams::read(&request.query, &known)?;
    let order = params.choice("orderBy", "createdAt", &[("createdAt", "createdAt"), ("updatedAt", "updatedAt")])?;
    let descending = params.choice("direction", true, &[("desc", true), ("asc", false)])?;
    let mut conditions = Vec::new();
    for (name, field) in [
        ("issuerKeyId", "manifestLineage.issuerKeyId"),
        ("parentHash", "manifestLineage.parentHash"),
        ("embeddingId", "embeddingId"),
    ] {
        conditions.extend(params.get(name).map(|value| equals(field, value)));
    }
    if let Some(text) = params.get("pdq") {
        conditions.push(equals("pdqHash", &read_hash("/pdq", text)?.to_string()));
    }
    list_of(engine, masks, HASHES, conditions, (order, descending), &params).await
}

/// A search as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Search {
    pdq_hash: String,
    #[serde(default, deserialize_with = "whole::optional")]
    max_distance: Option<u32>,
    #[serde(default, deserialize_with = "whole::optional")]
    k: Option<usize>,
    #[serde(default, deserialize_with = "whole::optional")]
    limit: Option<usize>,
    #[serde(default, deserialize_with = "whole::optional")]
    min_quality: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Searches {
    queries: Vec<MapOnly<Search>>,
}

impl Search {
    fn wanted(&self, masks: &Masks) -> Result<Wanted> {
        let within = |pointer: &str, number: usize| match (1..=PAGE_MAX_ITEMS).contains(&number) {
            true => Ok(number),
            false => Err(invalid(pointer, format!("expected 1 to {PAGE_MAX_ITEMS}, got {number}"))),
        };
        let hash = read_hash("/pdqHash", &self.pdq_hash)?;
        let min_quality = self.min_quality.unwrap_or(0);
        if min_quality > 100 {
            return Err(invalid("/minQuality", format!("expected an integer from 0 to 100, got {min_quality}")));
        }
        if min_quality > 0 {
            masks.check_path(HASHES, "pdqQuality")?;
        }
        let (reach, limit) = match (self.k, self.max_distance, self.limit) {
            (Some(k), None, None) => (Reach::Nearest(within("/k", k)?), k),
            (Some(_), _, _) => return Err(invalid("/k", "expected k alone, got maxDistance or limit with it")),
            (None, distance, limit) => {
                let distance = distance.unwrap_or(DEFAULT_DISTANCE);
                if distance > MAX_DISTANCE {
                    let detail = format!("expected 0 to {MAX_DISTANCE}, got {distance}");
                    return Err(invalid("/maxDistance", detail));
                }
                (Reach::Distance(distance), within("/limit", limit.unwrap_or(PAGE_DEFAULT_ITEMS))?)
            }
        };
        Ok(Wanted { hash, reach, limit, min_quality })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    candidates: u64,
    distances: u64,
    /// Of the whole request.
    rows_read: u64,
    elapsed_ms: i64,
}

/// What a search found, as its reader may see it.
#[derive(Serialize)]
struct Found {
    matches: Vec<Shown>,
    total: usize,
    stats: Stats,
}

/// A match as its reader may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    asset_id: String,
    distance: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pdq_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
}

impl Shown {
    /// A match without what is hidden.
    pub fn of(found: &Match, masks: &Masks) -> Self {
        let is_shown = |field: &str| masks.check_path(HASHES, field).is_ok();
        Self {
            asset_id: found.asset_id.clone(),
            distance: found.distance,
            pdq_hash: is_shown("pdqHash").then(|| found.hash.to_string()),
            quality: is_shown("pdqQuality").then_some(found.quality),
        }
    }
}

/// `POST /hashes/search`
pub async fn search(engine: &Engine, request: &mut Request, masks: &Masks) -> Result<Response> {
    let text = begin(engine, request, masks).await?;
    let search: Search = parse(&text, "search hashes")?;
    let mut body = Vec::new();
    find(engine, &[search.wanted(masks)?], masks, &mut body).await?;
    Ok(Response::json(200, body))
}

/// `POST /hashes/search/batch`
pub async fn search_batch(engine: &Engine, request: &mut Request, masks: &Masks) -> Result<Response> {
    let text = begin(engine, request, masks).await?;
    let Searches { queries } = parse(&text, "search hashes")?;
    if !(1..=SEARCHES_MAX).contains(&queries.len()) {
        let detail = format!("expected 1 to {SEARCHES_MAX} searches, got {}", queries.len());
        return Err(invalid("/queries", detail));
    }
    let placed = queries.iter().enumerate().map(|(place, MapOnly(search))| {
        search.wanted(masks).map_err(|error| error.under(&format!("/queries/{place}")))
    });
    let wanted = placed.collect::<Result<Vec<_>>>()?;
    let matches = wanted.iter().fold(0_usize, |sum, wanted| sum.saturating_add(wanted.limit));
    if matches > MATCHES_MAX {
        let detail = format!(
            "expected searches whose limits add up to at most {MATCHES_MAX}, got {matches}; ask for fewer matches, or in more requests"
        );
        return Err(invalid("/queries", detail));
    }
    let mut body = b"{\"results\":[".to_vec();
    find(engine, &wanted, masks, &mut body).await?;
    body.extend_from_slice(b"]}");
    Ok(Response::json(200, body))
}

async fn begin(engine: &Engine, request: &mut Request, masks: &Masks) -> Result<String> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    masks.check_path(HASHES, "pdqHash")?;
    json_text(request, BODY_MAX_BYTES, &["application/json"]).await
}

/// Adds what is found, each search's when the one before is written.
async fn find(engine: &Engine, wanted: &[Wanted], masks: &Masks, body: &mut Vec<u8>) -> Result<()> {
    let (started, before) = (engine.now_ms(), engine.counters());
    let found = engine.search_hashes(wanted).await?;
    let rows_read = engine.counters().since(before).rows_read;
    let elapsed_ms = engine.now_ms().saturating_sub(started);
    for (place, Matches { matches, total, stats }) in found.into_iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let stats = Stats { candidates: stats.candidates, distances: stats.distances, rows_read, elapsed_ms };
        let matches = matches.iter().map(|found| Shown::of(found, masks)).collect();
        body.append(&mut to_json(&Found { matches, total, stats })?);
    }
    Ok(())
}

/// `GET /hashes/stats`
pub async fn stats(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    let (index, searches) = (engine.hash_figures().await?, engine.search_figures());
    let mut body = figures(&index).to_string();
    // Into the object that was just ended.
    body.pop();
    body.push_str(&format!(
        ",\"amplification\":{},\"searches\":{},\"candidates\":{},\"latencyMs\":{},\"compactions\":{},\"lastCompaction\":{}}}",
        amplification(&index),
        searches.searches,
        searches.candidates,
        latency_json(&searches.latency),
        searches.compactions,
        last_compaction(searches.last_compaction)
    ));
    Ok(Response::json(200, body))
}

/// `POST /hashes/compact`
pub async fn compact(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    let [before, after] = engine.compact_hashes().await?;
    Ok(Response::json(200, json!({"before": figures(&before), "after": figures(&after), "done": true}).to_string()))
}

fn figures(index: &IndexFigures) -> Value {
    json!({
        "keys": index.hashes,
        "removed": index.removed,
        "searchedBy": index.held.name(),
        "memoryBytes": index.memory_bytes,
        "blocks": index.blocks,
        "storedBytes": index.stored_bytes,
        "packedThrough": index.packed_through,
        "through": index.through,
    })
}
