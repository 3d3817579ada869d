//! The warm tier over caches that fail and lie: never an error, never another object's data, never older than is told.
//!
//! Random histories print their seed; `WARM_SEED` makes one again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod answers;
mod classes;
mod files;
mod golden;
mod lying;
mod model;
mod registry;
#[path = "../support/mod.rs"]
mod support;
mod tenants;
