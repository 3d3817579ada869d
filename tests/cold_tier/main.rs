//! The cold tier as a whole: files written, committed, read back, damaged, and kept readable.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

mod codecs;
mod commits;
mod delete_commits;
mod deletes;
mod files;
mod fixture;
mod golden;
mod hostile;
mod id_filters;
mod parts;
mod retention;
mod scans;
mod support;
mod tags;
