//! What statistics tell of all rows of a segment, so that no column is read for it.

use super::super::aggregate::{Sum, Wanted};
use super::super::group::Groups;
use super::keys::scalar_key;
use super::place::is_in_key_order;
use super::test::extremes;
use super::{Field, SegmentScan};
use crate::error::Result;
use crate::vortex::ColumnType;
use crate::vortex::blob::ColumnEntry;

/// Answers for all rows of a segment by the statistics of a column, where these suffice; tells whether they did.
pub(super) fn tell(
    scan: &SegmentScan<'_>,
    field: &Field<'_>,
    wanted: &Wanted,
    column: usize,
    groups: &mut Groups<'_>,
) -> Result<bool> {
    let position = match field {
        Field::Absent => return Ok(true),
        Field::Column(position) => *position,
        Field::ByRow(_) => return Ok(false),
    };
    let entry = scan.entry(position)?;
    let present = scan.source.index().rows().saturating_sub(entry.statistics.null_count);
    if present == 0 {
        return Ok(true);
    }
    let present = u64::try_from(present).unwrap_or(u64::MAX);
    let Some(sum) = told_sum(entry, present).filter(|_| !wanted.distinct) else { return Ok(false) };
    if sum.is_none() && wanted.sum {
        return Ok(false);
    }
    if wanted.least || wanted.greatest {
        let exact =
            entry.statistics.least.as_ref().is_some_and(|bound| bound.exact) && is_in_key_order(entry.column_type);
        let (Some(least), Some(greatest)) = extremes(entry) else { return Ok(false) };
        if !exact || entry.statistics.has_nan {
            return Ok(false);
        }
        groups.add_extremes(0, column, &scalar_key(entry.column_type, least)?)?;
        groups.add_extremes(0, column, &scalar_key(entry.column_type, greatest)?)?;
    }
    groups.add_present(0, column, present);
    if let Some(sum) = sum.filter(|_| wanted.sum) {
        groups.add_sum(0, column, &sum)?;
    }
    Ok(true)
}

/// The sum of a column's numbers by its statistics: `Some(None)` when these do not tell it.
#[expect(clippy::option_option, reason = "read at once by the only caller")]
fn told_sum(entry: &ColumnEntry, present: u64) -> Option<Option<Sum>> {
    let exact = match entry.column_type {
        ColumnType::Int | ColumnType::Long | ColumnType::Decimal { scale: 0, .. } => entry.statistics.sum,
        ColumnType::Float | ColumnType::Double | ColumnType::Decimal { .. } => None,
        // No numbers, whose sum is none.
        ColumnType::Json => return None,
        _ => return Some(Some(Sum::default())),
    };
    Some(exact.map(|exact| {
        let mut sum = Sum::default();
        sum.add_integers(exact, present);
        sum
    }))
}
