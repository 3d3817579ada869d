//! A test of one column's values, and what statistics alone say of it.

use std::cmp::Ordering;

use super::statistics::{Bound, Statistics};
use crate::vortex::column_type::ColumnType;
use crate::vortex::value::Scalar;

/// What a value must be. A null is nothing but null. The values compared with must be of the column's own type; one of
/// another type equals none and is in no order with any.
///
/// Numbers compare by value, so that zeros are equal whatever their signs and NaN is in no order; text, bytes and UUIDs
/// byte by byte.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate<'p> {
    /// No value.
    IsNull,
    /// Some value.
    IsNotNull,
    /// Equal to this.
    Equal(Scalar<'p>),
    /// A value that is not equal to this.
    NotEqual(Scalar<'p>),
    /// Equal to one of these.
    In(Vec<Scalar<'p>>),
    /// Less than this; `true`: or equal.
    Less(Scalar<'p>, bool),
    /// Greater than this; `true`: or equal.
    Greater(Scalar<'p>, bool),
    /// From the first to the second, both included.
    Between(Scalar<'p>, Scalar<'p>),
    /// Text or bytes that begin with these.
    Prefix(&'p [u8]),
}

/// What statistics say of a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No row can match.
    Never,
    /// Every row matches.
    Always,
    /// The values decide.
    Perhaps,
}

impl Predicate<'_> {
    /// The least and the greatest 64-bit integer that match, where those between them do too and no others.
    pub(super) fn long_range(&self) -> Option<(i64, i64)> {
        let long = |scalar: &Scalar<'_>| if let Scalar::Long(value) = scalar { Some(*value) } else { None };
        Some(match self {
            Self::Equal(value) => (long(value)?, long(value)?),
            Self::Less(value, true) => (i64::MIN, long(value)?),
            Self::Less(value, false) => (i64::MIN, long(value)?.checked_sub(1)?),
            Self::Greater(value, true) => (long(value)?, i64::MAX),
            Self::Greater(value, false) => (long(value)?.checked_add(1)?, i64::MAX),
            Self::Between(low, high) => (long(low)?, long(high)?),
            _ => return None,
        })
    }

    /// The same of doubles; NaN is in no range.
    pub(super) fn double_range(&self) -> Option<(f64, f64)> {
        let double = |scalar: &Scalar<'_>| match scalar {
            Scalar::Double(value) if value.is_finite() => Some(*value),
            _ => None,
        };
        Some(match self {
            Self::Equal(value) => (double(value)?, double(value)?),
            Self::Less(value, true) => (f64::NEG_INFINITY, double(value)?),
            Self::Less(value, false) => (f64::NEG_INFINITY, double(value)?.next_down()),
            Self::Greater(value, true) => (double(value)?, f64::INFINITY),
            Self::Greater(value, false) => (double(value)?.next_up(), f64::INFINITY),
            Self::Between(low, high) => (double(low)?, double(high)?),
            _ => return None,
        })
    }

    /// Whether a value matches.
    pub fn matches(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::IsNull => false,
            Self::IsNotNull => true,
            Self::Equal(other) => compare(value, other) == Some(Ordering::Equal),
            Self::NotEqual(other) => compare(value, other) != Some(Ordering::Equal),
            Self::In(others) => others.iter().any(|other| compare(value, other) == Some(Ordering::Equal)),
            Self::Less(other, or_equal) => within(compare(value, other), Ordering::Less, *or_equal),
            Self::Greater(other, or_equal) => within(compare(value, other), Ordering::Greater, *or_equal),
            Self::Between(low, high) => {
                within(compare(value, low), Ordering::Greater, true)
                    && within(compare(value, high), Ordering::Less, true)
            }
            Self::Prefix(prefix) => bytes_of(value).is_some_and(|bytes| bytes.starts_with(prefix)),
        }
    }

    /// Whether all that is compared with is of a column's type.
    fn is_of(&self, column_type: ColumnType) -> bool {
        let is = |scalar: &Scalar<'_>| match scalar {
            Scalar::Boolean(_) => column_type == ColumnType::Boolean,
            Scalar::Int(_) => matches!(column_type, ColumnType::Int | ColumnType::Date),
            Scalar::Long(_) => matches!(column_type, ColumnType::Long | ColumnType::Timestamp),
            Scalar::Float(_) => column_type == ColumnType::Float,
            Scalar::Double(_) => column_type == ColumnType::Double,
            Scalar::Decimal(_) => matches!(column_type, ColumnType::Decimal { .. }),
            Scalar::Uuid(_) => column_type == ColumnType::Uuid,
            Scalar::Text(_) => matches!(column_type, ColumnType::String | ColumnType::Json),
            Scalar::Binary(_) => column_type == ColumnType::Binary,
        };
        match self {
            Self::IsNull | Self::IsNotNull | Self::Prefix(_) => true,
            Self::Equal(other) | Self::NotEqual(other) | Self::Less(other, _) | Self::Greater(other, _) => is(other),
            Self::Between(low, high) => is(low) && is(high),
            Self::In(others) => others.iter().all(is),
        }
    }

    /// What the statistics of a column of `rows` rows say.
    pub fn verdict(&self, column_type: ColumnType, statistics: &Statistics, rows: usize) -> Verdict {
        if self.is_of(column_type) { self.verdict_of_bounds(statistics, rows) } else { Verdict::Perhaps }
    }

    fn verdict_of_bounds(&self, statistics: &Statistics, rows: usize) -> Verdict {
        let values = rows.saturating_sub(statistics.null_count);
        let decided = |never: bool, always: bool| match (never, always) {
            (true, _) => Verdict::Never,
            (_, true) => Verdict::Always,
            _ => Verdict::Perhaps,
        };
        match self {
            Self::IsNull => return decided(statistics.null_count == 0, values == 0),
            Self::IsNotNull => return decided(values == 0, statistics.null_count == 0),
            _ if values == 0 => return Verdict::Never,
            _ => {}
        }
        let (Some(least), Some(greatest)) = (&statistics.least, &statistics.greatest) else { return Verdict::Perhaps };
        let bounds = Bounds { least, greatest };
        let complete = statistics.null_count == 0 && !statistics.has_nan;
        match self {
            Self::Equal(other) => decided(bounds.exclude(other), complete && bounds.are_both(other)),
            Self::NotEqual(other) => decided(complete && bounds.are_both(other), complete && bounds.exclude(other)),
            Self::In(others) => decided(
                others.iter().all(|other| bounds.exclude(other)),
                complete && others.iter().any(|other| bounds.are_both(other)),
            ),
            Self::Less(other, or_equal) => decided(
                least_against(least, other)
                    .is_some_and(|order| order.is_gt() || order.is_eq() && !or_equal && least.exact),
                complete
                    && greatest_against(greatest, other)
                        .is_some_and(|order| order.is_lt() || order.is_eq() && *or_equal && greatest.exact),
            ),
            Self::Greater(other, or_equal) => decided(
                greatest_against(greatest, other)
                    .is_some_and(|order| order.is_lt() || order.is_eq() && !or_equal && greatest.exact),
                complete
                    && least_against(least, other).is_some_and(|order| order.is_gt() || order.is_eq() && *or_equal),
            ),
            Self::Between(low, high) => {
                let from = Predicate::Greater(low.clone(), true).verdict_of_bounds(statistics, rows);
                let to = Predicate::Less(high.clone(), true).verdict_of_bounds(statistics, rows);
                decided([from, to].contains(&Verdict::Never), [from, to] == [Verdict::Always; 2])
            }
            Self::Prefix(prefix) => bounds.verdict_of_prefix(prefix),
            Self::IsNull | Self::IsNotNull => Verdict::Perhaps,
        }
    }
}

struct Bounds<'s> {
    least: &'s Bound,
    greatest: &'s Bound,
}

impl Bounds<'_> {
    /// Whether no value can be equal to `other`.
    fn exclude(&self, other: &Scalar<'_>) -> bool {
        least_against(self.least, other).is_some_and(Ordering::is_gt)
            || greatest_against(self.greatest, other).is_some_and(Ordering::is_lt)
    }

    /// Whether all values are equal to `other`.
    fn are_both(&self, other: &Scalar<'_>) -> bool {
        let is = |bound: &Bound| bound.exact && order(&bound.value, other) == Some(Ordering::Equal);
        is(self.least) && is(self.greatest)
    }

    fn verdict_of_prefix(&self, prefix: &[u8]) -> Verdict {
        let (Some(least), Some(greatest)) = (bytes_of(&self.least.value), bytes_of(&self.greatest.value)) else {
            return Verdict::Perhaps;
        };
        let cut = |bytes: &[u8]| bytes.get(..prefix.len()).unwrap_or(bytes).to_vec();
        let known = |bound: &Bound, bytes: &[u8]| bound.exact || bytes.len() >= prefix.len();
        if cut(least).as_slice() > prefix || known(self.greatest, greatest) && cut(greatest).as_slice() < prefix {
            return Verdict::Never;
        }
        Verdict::Perhaps
    }
}

/// How the least value compares, as far as its bound tells: never less than the truth says.
fn least_against(bound: &Bound, other: &Scalar<'_>) -> Option<Ordering> {
    // A beginning that is greater, or all of what is compared with and more to come: the value is greater.
    let found = order(&bound.value, other)?;
    if bound.exact || found.is_gt() { Some(found) } else { None }
}

/// How the greatest value compares, as far as its bound tells.
fn greatest_against(bound: &Bound, other: &Scalar<'_>) -> Option<Ordering> {
    if bound.exact {
        return order(&bound.value, other);
    }
    // Values begin with at most these bytes; only what differs within them tells.
    let (kept, other) = (bytes_of(&bound.value)?, bytes_of(other)?);
    let cut = other.get(..kept.len()).unwrap_or(other);
    if kept < cut { Some(Ordering::Less) } else { None }
}

fn within(found: Option<Ordering>, wanted: Ordering, or_equal: bool) -> bool {
    found.is_some_and(|found| found == wanted || or_equal && found.is_eq())
}

fn bytes_of<'s>(value: &'s Scalar<'_>) -> Option<&'s [u8]> {
    match value {
        Scalar::Text(text) => Some(text.as_bytes()),
        Scalar::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// How a value of a column compares with one of the same type.
pub(super) fn compare(value: &Scalar<'_>, other: &Scalar<'_>) -> Option<Ordering> {
    match (value, other) {
        (Scalar::Text(_), Scalar::Binary(_)) | (Scalar::Binary(_), Scalar::Text(_)) => None,
        _ => order(value, other),
    }
}

/// As [`compare`], text and bytes alike: bounds of text are bytes.
fn order(value: &Scalar<'_>, other: &Scalar<'_>) -> Option<Ordering> {
    match (value, other) {
        (Scalar::Boolean(value), Scalar::Boolean(other)) => Some(value.cmp(other)),
        (Scalar::Int(value), Scalar::Int(other)) => Some(value.cmp(other)),
        (Scalar::Long(value), Scalar::Long(other)) => Some(value.cmp(other)),
        (Scalar::Float(value), Scalar::Float(other)) => value.partial_cmp(other),
        (Scalar::Double(value), Scalar::Double(other)) => value.partial_cmp(other),
        (Scalar::Decimal(value), Scalar::Decimal(other)) => Some(value.cmp(other)),
        (Scalar::Uuid(value), Scalar::Uuid(other)) => Some(value.cmp(other)),
        _ => Some(bytes_of(value)?.cmp(bytes_of(other)?)),
    }
}
