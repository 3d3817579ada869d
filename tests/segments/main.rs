//! Segments: documents come back whatever they are, what is not there is told from what is, bytes that no writer made
//! are refused, and bytes of version 1 read for ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod finding;
mod golden;
mod groups;
mod learning;
mod limits;
mod opening;
mod round_trip;
mod speed;
mod support;
