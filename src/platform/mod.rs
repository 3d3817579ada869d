//! The ports over workerd: the only folder, beside the shell in `lib.rs`, that names `worker` or JavaScript.
//!
//! Invariants: no JavaScript exception leaves here but as this project's error, its text kept as the cause and out of
//! the message; nothing here panics, whatever a binding returns; no `RefCell` borrow lives across an await.

pub mod env;
pub mod http;
pub mod sockets;

mod bucket;
mod cache;
mod clock;
mod exception;
mod peers;
mod queue;
mod signatures;
mod sql;
