//! What statistics tell of a field's values without a column being read.

use super::super::SegmentSource;
use super::super::order::{KeyRef, OrderKey};
use super::keys::scalar_key;
use super::place::is_in_key_order;
use super::test::extremes;
use super::{Field, ID};

/// The least and the greatest key of a field in a segment, nulls included, as far as they are known.
pub(in super::super) fn first_key_bounds(
    source: &dyn SegmentSource,
    field: &Field<'_>,
) -> (Option<OrderKey>, Option<OrderKey>) {
    let position = match field {
        Field::Absent => return (Some(OrderKey::Null), Some(OrderKey::Null)),
        Field::Column(position) => *position,
        Field::ByRow(_) => return (None, None),
    };
    let Some(entry) = source.index().columns().get(position) else { return (None, None) };
    let (nulls, rows) = (entry.statistics.null_count, source.index().rows());
    if nulls == rows {
        return (Some(OrderKey::Null), Some(OrderKey::Null));
    }
    if !is_in_key_order(entry.column_type) {
        return (None, None);
    }
    let key = |scalar| scalar_key(entry.column_type, scalar).ok().map(KeyRef::into_owned);
    let (least, greatest) = extremes(entry);
    let least = if nulls > 0 { Some(OrderKey::Null) } else { least.and_then(key) };
    (least, greatest.and_then(key))
}

/// Bytes that no id of a segment is less than.
pub(in super::super) fn least_id(source: &dyn SegmentSource) -> Vec<u8> {
    let position = source.index().position(ID);
    let entry = position.and_then(|position| source.index().columns().get(position));
    let bound = entry.and_then(|entry| entry.statistics.least.as_ref());
    match bound.map(|bound| &bound.value) {
        Some(crate::vortex::Scalar::Binary(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
