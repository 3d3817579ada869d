//! What is known of a column without reading it, so that files, row groups and segments can be skipped.

/// A bound of a column's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Of a boolean column.
    Boolean(bool),
    /// Of an integer column; for timestamps microseconds, for dates days.
    Long(i64),
    /// Of a floating-point column; never NaN.
    Double(f64),
    /// Of a text column. A lower bound may be a prefix of the least value; an upper bound is not less than the
    /// greatest one by bytes.
    Text(String),
}

/// Bounds that hold for all non-null values of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnBounds {
    /// Not greater than any value; `None` when unknown or when there is no value.
    pub lower: Option<Bound>,
    /// Not less than any value; `None` when unknown or when there is no value.
    pub upper: Option<Bound>,
    /// How many values are null; `None` when unknown.
    pub null_count: Option<i64>,
    /// How many rows there are.
    pub row_count: i64,
}

/// Statistics of one file, row group or segment.
pub trait ColumnStatistics {
    /// What is known of the values of a document's top-level field: `None` when nothing is, as for a field that
    /// has no column, or whose values may also be elsewhere (in `_extra`).
    fn bounds(&self, field: &str) -> Option<ColumnBounds>;
}
