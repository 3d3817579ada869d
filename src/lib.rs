//! Thermocline: a three-tier store for digital objects in one Cloudflare Durable Object.
//!
//! Documents live in the object's SQLite with a change log that commits with every mutation ([`hot`], [`cdc`]), are read
//! cached through the Cache API ([`warm`]), and are archived by the object's alarm as Parquet files and Apache Iceberg
//! metadata in an R2 bucket ([`cold`], [`snapshots`]), where other engines find them ([`catalog`]). [`engine`] puts the tiers
//! together, [`http`] serves them.
//!
//! Everything but `platform` and the shell below reaches the world through [`ports`] and is tested natively.

pub mod catalog;
pub mod cdc;
pub mod cold;
pub mod config;
pub mod engine;
pub mod error;
pub mod hot;
pub mod http;
pub mod limits;
pub mod ports;
pub mod registry;
pub mod snapshots;
pub mod types;
pub mod vortex;
pub mod warm;

// Not for WASI, which is wasm32 too: there is no workerd there, and the pure tests run.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod platform;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod shell;
