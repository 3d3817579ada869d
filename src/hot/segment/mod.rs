//! A segment: the documents of one month, sorted by id, as one column blob that never changes.
//!
//! Invariants: ids ascend and are unique; `_ts` of all rows lies in one UTC month; what a segment's bytes say never
//! changes, a row that is replaced or deleted is marked in a bitmap beside them.
//!
//! The blob's columns are `id`, `_seq`, `_ts`, one a field, and `_extra` unless it is null in every row. It is stored in
//! pieces: a [`SegmentHead`], which is enough to know what the segment is about, and *groups* of whole columns. Here is
//! what the bytes are; where they are kept is told elsewhere.

pub mod build;
pub mod columns;
pub mod head;
mod head_format;
pub mod id_filter;
pub mod index_key;
pub mod key_filter;
pub mod read;

pub use build::{BuiltSegment, NewRow, SegmentBuilder};
pub use columns::ColumnBytes;
pub use head::{Origin, SegmentHead};
pub use id_filter::IdFilter;
pub use key_filter::KeyFilter;

use crate::error::{ErrorKind, StorageError};
use crate::types::StorageTier;

/// Rows of a segment, at most.
pub const SEGMENT_MAX_ROWS: usize = 65_536;
/// Bytes of the documents' JSON text of a segment, at most: room for a whole batch.
pub const SEGMENT_MAX_TEXT_BYTES: usize = 17 * 1024 * 1024;
/// Bytes of a group, at most, unless it is one column that is larger.
pub const GROUP_MAX_BYTES: usize = 1_900_000;

/// The name of the column of versions.
pub const SEQUENCE_NAME: &str = "_seq";
/// The name of the column of commit times.
pub const TIMESTAMP_NAME: &str = "_ts";
/// The name of the column of what has no column.
pub const EXTRA_NAME: &str = "_extra";

#[cold]
pub(super) fn corrupt(message: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read segment", message)
}

#[cold]
fn unwritable(kind: ErrorKind, message: impl Into<String>) -> StorageError {
    StorageError::new(kind, StorageTier::Hot, "write segment", message)
}
