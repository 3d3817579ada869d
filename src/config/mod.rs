//! The engine's configuration: typed, defaulted, validated; unknown, contradictory and ineffective keys refused.
//!
//! `STORAGE_CONFIG` is one JSON object over the defaults: a key that is absent keeps its default. All keys are rows of one
//! table, [`keys`], of which the types, the effective values and docs/CONFIGURATION.md are made. This folder names nothing
//! else of the crate, because `build.rs` compiles it too and validates what `wrangler.toml` says with it.

mod absent;
mod checks;
mod keys;
mod masking;
#[cfg(not(target_arch = "wasm32"))]
mod page;
mod read;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

pub use keys::{
    BudgetsConfig, CdcConfig, ColdConfig, Compression, HotConfig, MemoryConfig, ObjectsConfig, PerformanceConfig,
    QueryConfig, SecurityConfig, SnapshotsConfig, StorageConfig, TimeoutsConfig, WarmConfig, WormConfig,
};
pub use masking::{MaskRule, MaskWith, Masking, ROLE_NAMES};
#[cfg(not(target_arch = "wasm32"))]
pub use page::page;

use table::{Plain, State};

/// The shortest `AUTH_SECRET`: as long as the hash of HS256 (RFC 7518, 3.2).
pub const AUTH_SECRET_MIN_BYTES: usize = 32;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key's path, such as `snapshots.flushDelayMs`; empty for the whole.
    pub path: String,
    /// What was expected and what was got.
    pub message: String,
}

impl ConfigError {
    fn new(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "STORAGE_CONFIG: {}", self.message),
            path => write!(f, "STORAGE_CONFIG, key {path}: {}", self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl StorageConfig {
    /// Reads the JSON of `STORAGE_CONFIG` over the defaults; the empty text is the defaults.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if !text.trim().is_empty() {
            read::read(text, &mut config.entries())?;
        }
        checks::agreed(&config)?;
        Ok(config)
    }

    /// The values in effect, as JSON; those of features that are not there are left out. None of them is a secret: keys take
    /// none, and URLs with credentials are refused.
    pub fn effective(&self) -> String {
        let mut config = self.clone();
        let mut json = String::from("{");
        let mut open = "";
        for entry in config.entries().iter().filter(|entry| !matches!(entry.key.state, State::Reserved(_))) {
            if entry.group == open {
                json.push(',');
            } else {
                json.push_str(if open.is_empty() { "" } else { "}," });
                json.push_str(&format!("\"{}\":{{", entry.group));
                open = entry.group;
            }
            json.push_str(&format!("\"{}\":{}", entry.key.name, entry.setting.value().json()));
        }
        json.push_str("}}");
        json
    }
}

impl Plain {
    fn json(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => serde_json::to_string(text).unwrap_or_default(),
            Self::Names(names) => serde_json::to_string(names).unwrap_or_default(),
            Self::Object(text) => text.clone(),
        }
    }
}
