//! The alarm's work: archives what has changed as Iceberg commits, exactly once.
//!
//! [`plan`] in one transaction -> [`stage`] every file from the plan alone -> commit: flip the tables' states in one
//! transaction -> [`publish`] `v{N}.metadata.json` and the version hint -> trim. Each step is idempotent and recovery
//! is running them again. Invariants:
//!
//! - what is committed refers only to objects whose put was answered, or that were found in place;
//! - the archived sequence moves only with the states that contain it;
//! - an unknown outcome deletes nothing: objects are deleted only when they are noted as garbage;
//! - two runs at once, of this instance or of an older one, stage the same bytes and commit once.

mod definition;
mod evict;
mod expiry;
mod frozen;
mod history;
pub mod named;
mod place;
mod plan;
mod publish;
mod published;
mod recall;
mod replan;
pub mod restore;
mod run;
mod schedule;
mod snapshotter;
mod stage;

pub use history::{Moment, Wanted};
pub use named::{LABEL_MAX_BYTES, SnapshotRequest};
pub use published::Published;
pub use recall::EvictedFiles;
pub use replan::{Replans, replanning};
pub use snapshotter::{Snapshotter, Upkeep};
