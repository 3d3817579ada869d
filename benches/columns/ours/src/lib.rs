//! Blobs of a table, written and read by commands: the same natively (`main.rs`, over stdin) and in wasm (`exports`).

mod bench;
#[cfg(target_arch = "wasm32")]
mod exports;
mod neutral;

pub use bench::Bench;

/// What can go wrong; it is told and ends the run.
pub type Failure = Box<dyn std::error::Error>;
