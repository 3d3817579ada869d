//! The engine's configuration: typed, defaulted, validated, unknown keys refused.
//!
//! `STORAGE_CONFIG` is one JSON object merged over the defaults: a key that is absent keeps its default. This file
//! names nothing else of the crate, because `build.rs` compiles it too and validates what `wrangler.toml` says with it.

use std::fmt;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StorageConfig {
    /// The documents in SQLite.
    #[garde(dive)]
    pub hot: HotConfig,
    /// The alarm's work.
    #[garde(dive)]
    pub snapshots: SnapshotsConfig,
    /// The change log.
    #[garde(dive)]
    pub cdc: CdcConfig,
    /// The Iceberg tables.
    #[garde(dive)]
    pub cold: ColdConfig,
    /// The life of the bucket's objects.
    #[garde(dive)]
    pub objects: ObjectsConfig,
    /// The cache.
    #[garde(dive)]
    pub warm: WarmConfig,
    /// Who may do what.
    #[garde(dive)]
    pub security: SecurityConfig,
    /// Work budgets of a query.
    #[garde(dive)]
    pub query: QueryConfig,
    /// Memory.
    #[garde(dive)]
    pub memory: MemoryConfig,
}

/// How documents are kept in SQLite.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HotConfig {
    /// A row generation is sealed into a segment when it has this many documents,
    #[garde(range(min = 1, max = 65_536))]
    pub seal_rows: i64,
    /// or this many bytes of JSON text.
    #[garde(range(min = 1_024, max = 16_777_216))]
    pub seal_bytes: i64,
    /// And not before its last write is this old, in ms.
    #[garde(range(min = 0, max = 86_400_000))]
    pub seal_min_age_ms: i64,
    /// A batch that makes at least this many documents of one collection goes straight to a segment.
    #[garde(range(min = 1, max = 65_536))]
    pub direct_batch: usize,
    /// Documents of a merged segment, at most.
    #[garde(range(min = 64, max = 65_536))]
    pub segment_max_rows: usize,
    /// Bytes of JSON text of a merged segment, at most.
    #[garde(range(min = 65_536, max = 16_777_216))]
    pub segment_max_bytes: usize,
    /// Segments of a collection that are not merged yet; with more, merging is due.
    #[garde(range(min = 1, max = 1_000))]
    pub max_unmerged_segments: usize,
    /// Bytes of the database from which on segments that are archived are evicted.
    #[garde(range(min = 1, max = 10_737_418_240))]
    pub evict_above_bytes: u64,
    /// Bytes of the database from which on writes are refused.
    #[garde(range(min = 1_048_576, max = 10_737_418_240))]
    pub refuse_above_bytes: u64,
}

impl Default for HotConfig {
    fn default() -> Self {
        Self {
            seal_rows: 1_000,
            seal_bytes: 1024 * 1024,
            seal_min_age_ms: 2_000,
            direct_batch: 64,
            segment_max_rows: 65_536,
            segment_max_bytes: 16 * 1024 * 1024,
            max_unmerged_segments: 32,
            evict_above_bytes: 8_000_000_000,
            refuse_above_bytes: 9_500_000_000,
        }
    }
}

/// What the isolate's memory is used for.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MemoryConfig {
    /// Bytes for everything that is kept between requests and built in one, in all objects of the isolate.
    #[garde(range(min = 8_388_608, max = 134_217_728))]
    pub budget_bytes: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { budget_bytes: 80 * 1024 * 1024 }
    }
}

/// When changes are archived.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SnapshotsConfig {
    /// A flush starts at most this long after the first pending change, in ms.
    #[garde(range(min = 0, max = 86_400_000))]
    pub flush_delay_ms: i64,
    /// Or as soon as this many bytes of the change log are pending.
    #[garde(range(min = 1, max = 1_073_741_824))]
    pub max_pending_bytes: u64,
    /// The alarm publishes a table at most this often, in ms.
    #[garde(range(min = 0, max = 86_400_000))]
    pub publish_interval_ms: i64,
    /// Named snapshots that are kept,
    #[garde(range(min = 1, max = 200))]
    pub keep_count: usize,
    /// and for how many days.
    #[garde(range(min = 1, max = 36_500))]
    pub keep_days: i64,
}

impl Default for SnapshotsConfig {
    fn default() -> Self {
        Self {
            flush_delay_ms: 5_000,
            max_pending_bytes: 8 * 1024 * 1024,
            publish_interval_ms: 10_000,
            keep_count: 100,
            keep_days: 30,
        }
    }
}

/// How long the change log stays in SQLite.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CdcConfig {
    /// Bytes of log kept for those who have not read it, when no bucket archives it.
    #[garde(range(min = 1, max = 8_589_934_592))]
    pub max_bytes: u64,
    /// Days of log kept likewise.
    #[garde(range(min = 1, max = 3_650))]
    pub max_age_days: i64,
}

impl Default for CdcConfig {
    fn default() -> Self {
        Self { max_bytes: 256 * 1024 * 1024, max_age_days: 7 }
    }
}

/// How tables are laid out in the bucket.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ColdConfig {
    /// The location prefix of the tables as engines know the bucket, without a slash at the end.
    #[garde(length(bytes, min = 1, max = 512), custom(no_trailing_slash))]
    pub base_uri: String,
    /// An S3 endpoint of the bucket, such as R2's own. With one, engines that load a table are sent there, with
    /// credentials of their own; without, they read through the worker.
    #[garde(inner(length(bytes, max = 512), custom(http_url)))]
    pub s3_endpoint: Option<String>,
    /// The region that engines sign for.
    #[garde(length(bytes, min = 1, max = 64))]
    pub s3_region: String,
    /// Snapshots that stay in a table's metadata.
    #[garde(range(min = 1, max = 1_000))]
    pub iceberg_keep_snapshots: usize,
    /// Days after which a snapshot leaves it, the current one apart.
    #[garde(range(min = 1, max = 3_650))]
    pub iceberg_keep_days: i64,
    /// The size of a data file that merging aims at; one is built in memory, and ends at 16 MiB at most.
    #[garde(range(min = 65_536, max = 1_073_741_824))]
    pub target_file_bytes: u64,
    /// How long a file stays after nothing reaches it any more, in ms: engines may still read it.
    #[garde(range(min = 0, max = 31_536_000_000))]
    pub orphan_min_age_ms: i64,
    /// The codec of the Parquet files that are written from now on; files of every codec are read.
    #[garde(skip)]
    pub compression: Compression,
}

/// A codec of the pages of Parquet files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Snappy.
    #[default]
    Snappy,
    /// Pages as they are.
    None,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snappy => "snappy",
            Self::None => "none",
        })
    }
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self {
            base_uri: "s3://cold".to_owned(),
            s3_endpoint: None,
            s3_region: "auto".to_owned(),
            iceberg_keep_snapshots: 20,
            iceberg_keep_days: 7,
            target_file_bytes: 128 * 1024 * 1024,
            orphan_min_age_ms: 86_400_000,
            compression: Compression::default(),
        }
    }
}

/// How the bucket's objects are put, and how long they stay.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectsConfig {
    /// Data files of months that ended this many days ago are put with R2's class for infrequent access; none are where
    /// it is not set.
    #[garde(inner(range(min = 1, max = 36_500)))]
    pub transition_to_infrequent_days: Option<i64>,
    /// Files larger than this are put in parts.
    #[garde(range(min = 5_242_880, max = 5_368_709_120))]
    pub multipart_threshold_bytes: u64,
    /// The bytes of a part, the last one apart. R2 takes 5 MiB to 5 GiB.
    #[garde(range(min = 5_242_880, max = 5_368_709_120))]
    pub multipart_part_bytes: u64,
    /// Days after which events leave the archived change log, and moments of the past are not told any more.
    #[garde(range(min = 1, max = 36_500))]
    pub expiry_days: i64,
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            transition_to_infrequent_days: None,
            multipart_threshold_bytes: 16 * 1024 * 1024,
            multipart_part_bytes: 8 * 1024 * 1024,
            expiry_days: 730,
        }
    }
}

/// How long cached reads live.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WarmConfig {
    /// Time to live of a cached document, in seconds.
    #[garde(range(min = 1, max = 31_536_000))]
    pub default_ttl_secs: u32,
}

impl Default for WarmConfig {
    fn default() -> Self {
        Self { default_ttl_secs: 300 }
    }
}

/// What is asked of tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SecurityConfig {
    /// The audience (`aud`) that tokens must be for; any will do where it is not set.
    #[garde(inner(length(bytes, min = 1, max = 512)))]
    pub token_audience: Option<String>,
    /// How far the clocks of those who issue tokens may be off, in seconds.
    #[garde(range(min = 0, max = 600))]
    pub clock_skew_secs: u32,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self { token_audience: None, clock_skew_secs: 5 }
    }
}

/// What one query may cost before it is ended.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct QueryConfig {
    /// Bytes of documents and columns decoded.
    #[garde(range(min = 1_048_576, max = 17_179_869_184))]
    pub max_decoded_bytes: u64,
    /// Rows looked at.
    #[garde(range(min = 1_000, max = 1_000_000_000))]
    pub max_rows: u64,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { max_decoded_bytes: 64 * 1024 * 1024, max_rows: 10_000_000 }
    }
}

fn no_trailing_slash(value: &str, _context: &()) -> garde::Result {
    if value.ends_with('/') {
        return Err(garde::Error::new("must not end with a slash"));
    }
    Ok(())
}

fn http_url(value: &str, context: &()) -> garde::Result {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    if host.is_none_or(str::is_empty) {
        return Err(garde::Error::new("must begin with https:// or http://, and name a host"));
    }
    no_trailing_slash(value, context)
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key's path, such as `snapshots.flushDelayMs`.
    pub path: String,
    /// What was expected and what was got.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "STORAGE_CONFIG, key {}: {}", self.path, self.message)
    }
}

impl std::error::Error for ConfigError {}

impl StorageConfig {
    /// Reads the JSON of `STORAGE_CONFIG` over the defaults; the empty text is the defaults.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config = if text.trim().is_empty() {
            Self::default()
        } else {
            let mut json = serde_json::Deserializer::from_str(text);
            let config: Self = serde_path_to_error::deserialize(&mut json)
                .map_err(|error| ConfigError { path: error.path().to_string(), message: error.inner().to_string() })?;
            json.end().map_err(|error| ConfigError { path: ".".to_owned(), message: error.to_string() })?;
            config
        };
        match config.validate() {
            Ok(()) => config.agreed(),
            Err(report) => Err(report.iter().next().map_or_else(
                || ConfigError { path: ".".to_owned(), message: "not valid".to_owned() },
                |(path, error)| ConfigError { path: camel_case(&path.to_string()), message: error.to_string() },
            )),
        }
    }
}

impl StorageConfig {
    /// Refuses keys that are each in range and contradict each other.
    fn agreed(self) -> Result<Self, ConfigError> {
        let refused = |path: &str, message: String| Err(ConfigError { path: path.to_owned(), message });
        let ObjectsConfig { multipart_threshold_bytes: threshold, multipart_part_bytes: part, .. } = self.objects;
        if part > threshold {
            let message = format!("expected at most objects.multipartThresholdBytes = {threshold}, got {part}");
            return refused("objects.multipartPartBytes", message);
        }
        let (keep, expiry) = (self.cold.iceberg_keep_days, self.objects.expiry_days);
        if keep > expiry {
            let message = format!("expected at least cold.icebergKeepDays = {keep}, got {expiry}");
            return refused("objects.expiryDays", message);
        }
        Ok(self)
    }
}

/// Field names as the caller spells them.
fn camel_case(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut upper = false;
    for character in path.chars() {
        match character {
            '_' => upper = true,
            _ if upper => {
                out.extend(character.to_uppercase());
                upper = false;
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = StorageConfig::parse("").unwrap();
        assert_eq!(config, StorageConfig::default());
        assert_eq!(config.snapshots.flush_delay_ms, 5_000);
        assert_eq!(config.snapshots.publish_interval_ms, 10_000);
        assert_eq!(config.cold.base_uri, "s3://cold");
        assert_eq!(config.cold.target_file_bytes, 134_217_728);
        assert_eq!(config.cold.compression.to_string(), "snappy");
        assert_eq!((config.objects.expiry_days, config.objects.transition_to_infrequent_days), (730, None));
        assert_eq!(StorageConfig::parse(r#"{"cdc":{}}"#).unwrap(), config);
    }

    #[test]
    fn a_partial_object_keeps_the_other_defaults() {
        let config = StorageConfig::parse(r#"{"snapshots":{"flushDelayMs":50}}"#).unwrap();
        assert_eq!(config.snapshots.flush_delay_ms, 50);
        assert_eq!(config.snapshots.max_pending_bytes, 8 * 1024 * 1024);
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        let refused = |text: &str| StorageConfig::parse(text).expect_err(text);
        let part = refused(r#"{"objects":{"multipartPartBytes":16777217}}"#);
        assert_eq!(part.path, "objects.multipartPartBytes");
        assert!(part.message.contains("objects.multipartThresholdBytes = 16777216"), "{part}");
        assert_eq!(refused(r#"{"objects":{"expiryDays":6}}"#).path, "objects.expiryDays");
        assert!(StorageConfig::parse(r#"{"objects":{"expiryDays":6},"cold":{"icebergKeepDays":6}}"#).is_ok());
    }

    #[test]
    fn refusals_name_the_key() {
        let refused = |text: &str| StorageConfig::parse(text).expect_err(text);
        assert_eq!(refused(r#"{"snapshots":{"flushDelay":50}}"#).path, "snapshots.flushDelay");
        assert_eq!(refused(r#"{"snapshots":{"flushDelayMs":-1}}"#).path, "snapshots.flushDelayMs");
        assert_eq!(refused(r#"{"warm":{"defaultTtlSecs":"300"}}"#).path, "warm.defaultTtlSecs");
        assert_eq!(refused(r#"{"cold":{"baseUri":"s3://cold/"}}"#).path, "cold.baseUri");
        assert_eq!(refused(r#"{"cold":{"s3Endpoint":"r2.example"}}"#).path, "cold.s3Endpoint");
        assert_eq!(refused(r#"{"cold":{"s3Endpoint":"https://r2.example/"}}"#).path, "cold.s3Endpoint");
        for unknown in [r#""zstd""#, r#""Snappy""#, "null", "0"] {
            assert_eq!(refused(&format!(r#"{{"cold":{{"compression":{unknown}}}}}"#)).path, "cold.compression");
        }
        for bytes in ["65535", "1073741825", "0.5"] {
            assert_eq!(refused(&format!(r#"{{"cold":{{"targetFileBytes":{bytes}}}}}"#)).path, "cold.targetFileBytes");
        }
        assert_eq!(refused(r#"{"nothing":1}"#).path, "nothing");
        assert_eq!(refused(r#"{"objects":{"prefix":"x"}}"#).path, "objects.prefix");
        assert_eq!(refused(r#"{"objects":{"expiryDays":0}}"#).path, "objects.expiryDays");
        assert_eq!(refused(r#"{"objects":{"expiryDays":1.5}}"#).path, "objects.expiryDays");
        assert_eq!(
            refused(r#"{"objects":{"transitionToInfrequentDays":0}}"#).path,
            "objects.transitionToInfrequentDays"
        );
        assert_eq!(refused(r#"{"objects":{"multipartPartBytes":5242879}}"#).path, "objects.multipartPartBytes");
        assert_eq!(refused(r#"{"objects":{"multipartThresholdBytes":1}}"#).path, "objects.multipartThresholdBytes");
        assert!(StorageConfig::parse("{} {}").is_err());
        assert!(StorageConfig::parse("[").is_err());
    }
}
