//! What a tenant has set, kept as a document of the registry.

use serde::{Deserialize, Serialize};

use super::detection::Detection;
use super::embeddings::{DIMENSION_MAX, Metric, SearchOptions};
use super::records::{invalid, not_a_record};
use crate::error::Result;
use crate::types::whole;

/// A tenant's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Settings {
    /// When two assets collide.
    pub detection: Detection,
    /// How embeddings are; without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingSettings>,
}

/// How a tenant's embeddings are, and how they are searched where a search does not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EmbeddingSettings {
    /// Numbers of each; it stays what it is while there are embeddings.
    #[serde(deserialize_with = "whole::required")]
    pub dimension: usize,
    /// By what they are near.
    #[serde(default = "cosine")]
    pub metric: String,
    /// Candidates for each embedding that is asked for.
    #[serde(default = "oversample", deserialize_with = "whole::required")]
    pub oversample: usize,
    /// Standard deviations by which a candidate may be nearer than its code says.
    #[serde(default = "confidence")]
    pub confidence: f32,
}

/// Candidates for each embedding, at most.
const OVERSAMPLE_MAX: usize = 4_000;
/// Standard deviations, at most: beyond these nothing is left out.
const CONFIDENCE_MAX: f32 = 100.0;

fn cosine() -> String {
    Metric::NAMES[0].to_owned()
}

fn oversample() -> usize {
    SearchOptions::default().oversample
}

fn confidence() -> f32 {
    SearchOptions::default().confidence
}

/// A metric by its name, at a place of a request.
pub fn metric(pointer: &str, name: &str) -> Result<Metric> {
    Metric::from_name(name).map_err(|_| invalid(pointer, format!("expected one of {}", Metric::NAMES.join(", "))))
}

/// Refuses ways of searching that there are not; the places are under `under`.
pub fn check_options(under: &str, oversample: usize, confidence: f32) -> Result<()> {
    if !(1..=OVERSAMPLE_MAX).contains(&oversample) {
        let detail = format!("expected 1 to {OVERSAMPLE_MAX}, got {oversample}");
        return Err(invalid(&format!("{under}/oversample"), detail));
    }
    if !(0.0..=CONFIDENCE_MAX).contains(&confidence) {
        let detail = format!("expected a number from 0 to {CONFIDENCE_MAX}, got {confidence}");
        return Err(invalid(&format!("{under}/confidence"), detail));
    }
    Ok(())
}

impl Settings {
    /// Of the stored document's text.
    pub fn of(document: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Stored {
            settings: Settings,
        }
        let stored: Stored = serde_json::from_str(document).map_err(|error| not_a_record().caused_by(error))?;
        Ok(stored.settings)
    }

    /// Refuses what cannot be set.
    pub fn check(&self) -> Result<()> {
        self.detection.check()?;
        let Some(embedding) = &self.embedding else { return Ok(()) };
        if !(1..=DIMENSION_MAX).contains(&embedding.dimension) {
            let detail = format!("expected 1 to {DIMENSION_MAX}, got {}", embedding.dimension);
            return Err(invalid("/embedding/dimension", detail));
        }
        metric("/embedding/metric", &embedding.metric)?;
        check_options("/embedding", embedding.oversample, embedding.confidence)
    }
}
