//! The vocabulary that all folders share: tiers, documents, change events, sync state, names, JSON.

pub mod events;
pub mod json;
pub mod masking;
pub mod names;
pub mod sink;
pub mod snapshot;
pub mod sorting;
pub mod statistics;
pub mod sync;
pub mod time;
pub mod whole;

pub use events::{Access, CdcEvent, ChangeContext, CollectionId, Document, Operation, Sequence, Timestamp};
pub use json::Json;
pub use masking::{Masks, Viewer};
pub use sink::DocumentSink;
pub use sync::{SyncResult, SyncState};

/// A tier of the store, or the HTTP surface in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageTier {
    /// The object's SQLite.
    Hot,
    /// The Cache API.
    Warm,
    /// The bucket.
    Cold,
    /// The HTTP surface.
    Api,
}

impl StorageTier {
    /// The tier's name in messages and problem documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Api => "api",
        }
    }
}
