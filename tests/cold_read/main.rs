//! Tables read from the bucket alone, and checked against themselves: what is written is read by the spec, and
//! whatever is broken is told by its name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod broken;
mod edit;
mod foreign;
mod hostile;
mod reads;
mod scenario;
#[path = "../support/mod.rs"]
mod support;
mod thinned;
