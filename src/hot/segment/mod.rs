//! A segment: the documents of one month, sorted by id, as one column blob that never changes.
//!
//! Invariants: ids ascend and are unique; `_ts` of all rows lies in one UTC month; what a segment's bytes say never
//! changes, a row that is replaced or deleted is marked in a bitmap beside them.

pub mod columns;

pub use columns::ColumnBytes;
