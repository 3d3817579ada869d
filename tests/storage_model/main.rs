//! The executable specification of the storage life cycle: a model of its rules, and what holds after every step.
//!
//! The model has no I/O and no encodings. [`state`] is what survives a crash, [`process`] what does not, [`step`] what
//! can happen, and the modules after them hold one rule each. [`oracle`] is a plain map and a plain list of events;
//! [`invariants`] compares the two. `docs/STORAGE.md` tells the same in prose, by the same names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod archive;
mod bug;
mod evict;
mod invariants;
mod log;
mod maintenance;
mod merge;
mod oracle;
mod process;
mod read;
mod seal;
mod stage;
mod state;
mod step;
mod sweep;
mod vocabulary;
mod world;
mod write;

mod broken_rules;
mod crashes;
mod lives;
mod random;
mod script;
