//! The asset registry: assets, their perceptual hashes and embeddings, the search for near ones, and the log of collisions.
//!
//! It stands on three collections of the object ([`schema`]), whose documents are made here from what callers send
//! ([`records`], [`collisions`]); everything that holds of collections holds of these. What makes search fast follows from
//! the documents, by way of the change log, and can be made again from them.

pub mod blocks;
pub mod collisions;
pub mod detection;
pub mod embeddings;
pub mod records;
pub mod schema;
pub mod settings;
pub mod similarity;
mod tags;
pub mod temporary;

/// The type of the objects that are registries.
pub const OBJECT_TYPE: &str = "registry";
