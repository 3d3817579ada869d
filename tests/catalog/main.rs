//! The catalogue and the files of its tables, as the Worker serves them from a bucket in memory: routes, forms of answers and
//! errors, pages, sessions, ranges.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod files;
mod lists;
mod support;
mod tables;
