//! What a tenant has set, kept as a document of the registry.

use serde::{Deserialize, Serialize};

use super::detection::Detection;
use super::records::{EMBEDDING_MAX_DIMENSIONS, invalid, not_a_record};
use crate::error::Result;

/// A tenant's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Settings {
    /// When two assets collide.
    pub detection: Detection,
    /// How embeddings are; without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingSettings>,
}

/// How a tenant's embeddings are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingSettings {
    /// Numbers of each; it stays what it is once there are embeddings.
    pub dimension: usize,
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
        match &self.embedding {
            Some(embedding) if !(1..=EMBEDDING_MAX_DIMENSIONS).contains(&embedding.dimension) => {
                let detail = format!("expected 1 to {EMBEDDING_MAX_DIMENSIONS}, got {}", embedding.dimension);
                Err(invalid("/embedding/dimension", detail))
            }
            _ => Ok(()),
        }
    }
}
