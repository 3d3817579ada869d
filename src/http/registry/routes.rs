//! The routes that an asset registry has beside those of every object.

use matchit::Params;
use uuid::Uuid;

use crate::error::Result;
use crate::http::access::Role;
use crate::http::routes::{decoded, uuid};
use crate::types::names::check_document_id;

/// A route below `/v1/registry/{tenant}`, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryRoute {
    /// Records: an asset with its hash.
    Records,
    /// One record.
    Record(String),
    /// All assets.
    Assets,
    /// One asset.
    Asset(String),
    /// All hash records.
    Hashes,
    /// Many hash records at once.
    HashBatch,
    /// How large the index of hashes is.
    HashStats,
    /// Making room in it.
    HashCompaction,
    /// The search for near hashes.
    HashSearch,
    /// Several searches.
    HashSearches,
    /// The search for near embeddings.
    EmbeddingSearch,
    /// One hash record.
    Hash(String),
    /// The collision log.
    Collisions,
    /// One collision.
    Collision(Uuid),
    /// A collision's reviews.
    Reviews(Uuid),
    /// Deleting what is old.
    Cleanup,
    /// A value that is kept for a time.
    Temporary(String),
    /// What the tenant has set.
    Settings,
}

/// Which route a path is.
#[derive(Clone, Copy, Debug)]
pub enum RegistryPattern {
    /// [`RegistryRoute::Records`]
    Records,
    /// [`RegistryRoute::Record`]
    Record,
    /// [`RegistryRoute::Assets`]
    Assets,
    /// [`RegistryRoute::Asset`]
    Asset,
    /// [`RegistryRoute::Hashes`]
    Hashes,
    /// [`RegistryRoute::HashBatch`]
    HashBatch,
    /// [`RegistryRoute::HashStats`]
    HashStats,
    /// [`RegistryRoute::HashCompaction`]
    HashCompaction,
    /// [`RegistryRoute::HashSearch`]
    HashSearch,
    /// [`RegistryRoute::HashSearches`]
    HashSearches,
    /// [`RegistryRoute::EmbeddingSearch`]
    EmbeddingSearch,
    /// [`RegistryRoute::Hash`]
    Hash,
    /// [`RegistryRoute::Collisions`]
    Collisions,
    /// [`RegistryRoute::Collision`]
    Collision,
    /// [`RegistryRoute::Reviews`]
    Reviews,
    /// [`RegistryRoute::Cleanup`]
    Cleanup,
    /// [`RegistryRoute::Temporary`]
    Temporary,
    /// [`RegistryRoute::Settings`]
    Settings,
}

/// The paths.
pub const PATTERNS: [(&str, RegistryPattern); 18] = [
    ("/v1/registry/{tenant}/records", RegistryPattern::Records),
    ("/v1/registry/{tenant}/records/{asset}", RegistryPattern::Record),
    ("/v1/registry/{tenant}/assets", RegistryPattern::Assets),
    ("/v1/registry/{tenant}/assets/{asset}", RegistryPattern::Asset),
    ("/v1/registry/{tenant}/hashes", RegistryPattern::Hashes),
    ("/v1/registry/{tenant}/hashes/batch", RegistryPattern::HashBatch),
    ("/v1/registry/{tenant}/hashes/stats", RegistryPattern::HashStats),
    ("/v1/registry/{tenant}/hashes/compact", RegistryPattern::HashCompaction),
    ("/v1/registry/{tenant}/hashes/search", RegistryPattern::HashSearch),
    ("/v1/registry/{tenant}/hashes/search/batch", RegistryPattern::HashSearches),
    ("/v1/registry/{tenant}/embeddings/search", RegistryPattern::EmbeddingSearch),
    ("/v1/registry/{tenant}/hashes/{asset}", RegistryPattern::Hash),
    ("/v1/registry/{tenant}/collisions", RegistryPattern::Collisions),
    ("/v1/registry/{tenant}/collisions/{collision}", RegistryPattern::Collision),
    ("/v1/registry/{tenant}/collisions/{collision}/reviews", RegistryPattern::Reviews),
    ("/v1/registry/{tenant}/cleanup", RegistryPattern::Cleanup),
    ("/v1/registry/{tenant}/temp/{temporary}", RegistryPattern::Temporary),
    ("/v1/registry/{tenant}/settings", RegistryPattern::Settings),
];

impl RegistryRoute {
    /// The route of a path that was found.
    pub fn find(pattern: RegistryPattern, params: &Params<'_, '_>) -> Result<Self> {
        Ok(match pattern {
            RegistryPattern::Records => Self::Records,
            RegistryPattern::Record => Self::Record(id(params, "asset")?),
            RegistryPattern::Assets => Self::Assets,
            RegistryPattern::Asset => Self::Asset(id(params, "asset")?),
            RegistryPattern::Hashes => Self::Hashes,
            RegistryPattern::HashBatch => Self::HashBatch,
            RegistryPattern::HashStats => Self::HashStats,
            RegistryPattern::HashCompaction => Self::HashCompaction,
            RegistryPattern::HashSearch => Self::HashSearch,
            RegistryPattern::HashSearches => Self::HashSearches,
            RegistryPattern::EmbeddingSearch => Self::EmbeddingSearch,
            RegistryPattern::Hash => Self::Hash(id(params, "asset")?),
            RegistryPattern::Collisions => Self::Collisions,
            RegistryPattern::Collision => Self::Collision(uuid(params, "collision")?),
            RegistryPattern::Reviews => Self::Reviews(uuid(params, "collision")?),
            RegistryPattern::Cleanup => Self::Cleanup,
            RegistryPattern::Temporary => Self::Temporary(id(params, "temporary")?),
            RegistryPattern::Settings => Self::Settings,
        })
    }

    /// The methods that this route has.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Records
            | Self::Cleanup
            | Self::HashBatch
            | Self::HashCompaction
            | Self::HashSearch
            | Self::HashSearches
            | Self::EmbeddingSearch
            | Self::Reviews(_) => &["POST"],
            Self::Record(_) | Self::Hash(_) => &["GET", "HEAD", "DELETE"],
            Self::Assets | Self::Hashes | Self::Collisions => &["GET", "HEAD", "POST"],
            Self::Asset(_) => &["GET", "HEAD", "PATCH"],
            Self::HashStats | Self::Collision(_) => &["GET", "HEAD"],
            Self::Temporary(_) => &["GET", "HEAD", "PUT", "DELETE"],
            Self::Settings => &["GET", "HEAD", "PUT"],
        }
    }

    /// What it is called in the access log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Record(_) => "record",
            Self::Assets => "assets",
            Self::Asset(_) => "asset",
            Self::Hashes => "hashes",
            Self::HashBatch => "hash-batch",
            Self::HashStats => "hash-stats",
            Self::HashCompaction => "hash-compaction",
            Self::HashSearch | Self::HashSearches => "hash-search",
            Self::EmbeddingSearch => "embedding-search",
            Self::Hash(_) => "hash",
            Self::Collisions => "collisions",
            Self::Collision(_) => "collision",
            Self::Reviews(_) => "reviews",
            Self::Cleanup => "cleanup",
            Self::Temporary(_) => "temporary",
            Self::Settings => "settings",
        }
    }

    /// The role that a method of this route asks for.
    pub fn role(&self, method: &str) -> Role {
        match (self, method) {
            (_, "GET" | "HEAD") | (Self::HashSearch | Self::HashSearches | Self::EmbeddingSearch, _) => Role::Reader,
            (Self::Reviews(_), _) => Role::Reviewer,
            (Self::Settings | Self::HashCompaction | Self::Cleanup, _) => Role::Admin,
            _ => Role::Writer,
        }
    }

    /// The asset that it is about.
    pub fn asset(&self) -> Option<&String> {
        match self {
            Self::Record(asset) | Self::Asset(asset) | Self::Hash(asset) => Some(asset),
            _ => None,
        }
    }
}

fn id(params: &Params<'_, '_>, name: &str) -> Result<String> {
    let id = decoded(params, name)?.into_owned();
    check_document_id(&id)?;
    Ok(id)
}
