//! What a query needs of a segment.

use super::order::OrderKey;
use crate::error::Result;
use crate::hot::segment::ColumnBytes;
use crate::vortex::blob::BlobIndex;
use crate::vortex::{Bitmap, StrayFields};

/// A segment that a query reads. Its columns are `id`, `_seq`, `_ts`, one a field, and `_extra`, by name; a field
/// without a column is in `_extra` where a document has it.
pub trait SegmentSource {
    /// Its columns: names, types, statistics.
    fn index(&self) -> &BlobIndex;

    /// The fields that columns do not tell all of: some document has a value of it in `_extra`. A field that has neither a
    /// column nor a place here is absent, or null, in every document.
    fn stray(&self) -> &StrayFields;

    /// The rows that are current: not replaced, not deleted.
    fn live(&self) -> &Bitmap;

    /// `false` only when no row has these values in these fields.
    fn may_have(&self, _values: &[(&str, &OrderKey)]) -> bool {
        true
    }

    /// Brings the bytes of columns.
    fn load(&self, positions: &[usize]) -> Result<ColumnBytes>;
}
