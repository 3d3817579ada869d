//! Search of embeddings.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::engine::registry::embeddings::Near;
use crate::engine::registry::schema::HASHES;
use crate::engine::registry::{
    EmbeddingSettings, EmbeddingWanted, K_MAX, SearchOptions, check_options, check_vector, invalid, metric,
};
use crate::error::Result;
use crate::http::body::{json_text, parse, to_json};
use crate::http::message::{Request, Response};
use crate::http::params::QueryParams;
use crate::types::{Masks, whole};

const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Matches, when nothing is asked.
const DEFAULT_K: usize = 10;

/// A search as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Search {
    vector: Option<Vec<f32>>,
    asset_id: Option<String>,
    #[serde(default, deserialize_with = "whole::optional")]
    k: Option<usize>,
    metric: Option<String>,
    #[serde(default, deserialize_with = "whole::optional")]
    oversample: Option<usize>,
    confidence: Option<f32>,
    #[serde(default)]
    exact: bool,
}

impl Search {
    /// What is wanted, by the tenant's settings where the search does not say.
    async fn wanted(self, engine: &Engine, settings: &EmbeddingSettings) -> Result<EmbeddingWanted> {
        let k = self.k.unwrap_or(DEFAULT_K);
        if !(1..=K_MAX).contains(&k) {
            return Err(invalid("/k", format!("expected 1 to {K_MAX}, got {k}")));
        }
        let metric = metric("/metric", self.metric.as_deref().unwrap_or(&settings.metric))?;
        let oversample = self.oversample.unwrap_or(settings.oversample);
        let confidence = self.confidence.unwrap_or(settings.confidence);
        check_options("", oversample, confidence)?;
        let near = match (self.vector, self.asset_id) {
            (Some(vector), None) => {
                check_vector(&vector, settings.dimension).map_err(|error| {
                    let place = error.fields().first().map_or("", |field| field.pointer.as_str());
                    invalid(&format!("/vector{place}"), error.message())
                })?;
                Near::Vector(vector)
            }
            (None, Some(asset)) => Near::Asset(asset),
            _ => return Err(invalid("/vector", "expected a vector, or an assetId in its place")),
        };
        let vector = engine.embedding_of(near).await?;
        check_vector(&vector, settings.dimension).map_err(|error| invalid("/assetId", error.message()))?;
        let options = SearchOptions { oversample, confidence, exact: self.exact };
        Ok(EmbeddingWanted { vector, k, metric, options })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'m> {
    asset_id: &'m str,
    score: f32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    vectors: u64,
    scanned: u64,
    candidates: u64,
    rescored: u64,
    vector_rows_read: u64,
    /// Of the whole request.
    rows_read: u64,
    elapsed_ms: i64,
    /// Whether every vector was looked at.
    exact: bool,
    oversample: usize,
    confidence: f32,
}

#[derive(Serialize)]
struct Answer<'m> {
    matches: Vec<Shown<'m>>,
    stats: Stats,
}

/// `POST /embeddings/search`
pub async fn search(engine: &Engine, request: &mut Request, masks: &Masks) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    masks.check_path(HASHES, "embedding")?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let search: Search = parse(&text, "search embeddings")?;
    let settings = engine.embedding_settings()?;
    let (started, before) = (engine.now_ms(), engine.counters());
    let wanted = search.wanted(engine, &settings).await?;
    let found = engine.search_embeddings(&wanted).await?;
    let stats = Stats {
        vectors: found.vectors,
        scanned: found.stats.scanned,
        candidates: found.stats.candidates,
        rescored: found.stats.rescored,
        vector_rows_read: found.stats.rows_read,
        rows_read: engine.counters().since(before).rows_read,
        elapsed_ms: engine.now_ms().saturating_sub(started),
        exact: found.stats.rescored >= found.vectors,
        oversample: wanted.options.oversample,
        confidence: wanted.options.confidence,
    };
    let matches = found.matches.iter().map(|found| Shown { asset_id: &found.asset_id, score: found.score }).collect();
    Ok(Response::json(200, to_json(&Answer { matches, stats })?))
}
