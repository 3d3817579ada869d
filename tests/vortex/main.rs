//! The column blob: what is written comes back, whatever the values are; what was not written is refused, whatever the
//! bytes are; and one row costs what it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod agreement;
mod bit_order;
mod choice;
mod documents;
mod golden;
mod naive;
mod opening;
mod points;
mod round_trip;
mod selection;
mod support;
