//! Queries of the hot tier: against SQLite, against themselves over other splits of the same documents, page by page
//! under writes, and by what they read.
//!
//! Random ones print their seed; `QUERY_SEED` makes them again, `QUERY_CASES` makes more or fewer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod cursors;
mod documents;
mod examples;
mod hostile;
mod http;
mod indexed;
mod model;
#[path = "../support/mod.rs"]
mod object;
mod oracle;
mod pauses;
mod random;
mod reading;
mod splits;
mod support;
mod timing;
