//! Whether anything in a file, row group or segment can satisfy a condition, by its statistics alone.

use std::cmp::Ordering;

use super::filter::{Comparison, Filter, Operand};
use super::order::OrderKey;
use crate::types::statistics::{Bound, ColumnBounds, ColumnStatistics};

impl Filter {
    /// `false` only when the condition holds for no row that the statistics speak of.
    pub fn may_match(&self, statistics: &dyn ColumnStatistics) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.may_match(statistics)),
            Self::Or(any) => any.iter().any(|filter| filter.may_match(statistics)),
            // Rows that surely match the inner condition are not known from bounds.
            Self::Not(_) => true,
            Self::Compare(path, comparison) => {
                statistics.bounds(path.as_str()).is_none_or(|bounds| comparison.may_match(&bounds))
            }
        }
    }
}

impl Comparison {
    fn may_match(&self, bounds: &ColumnBounds) -> bool {
        let all_null = bounds.null_count == Some(bounds.row_count);
        match self {
            Self::IsNull(true) => bounds.null_count != Some(0),
            Self::IsNull(false) => !all_null,
            _ if all_null => false,
            Self::Eq(operand) => within(bounds, operand),
            Self::In(operands) => operands.as_slice().iter().any(|operand| within(bounds, operand)),
            Self::Lt(operand) => lower_is(bounds, operand, Ordering::is_lt),
            Self::Lte(operand) => lower_is(bounds, operand, Ordering::is_le),
            Self::Gt(operand) => upper_is(bounds, operand, Ordering::is_gt),
            Self::Gte(operand) => upper_is(bounds, operand, Ordering::is_ge),
            Self::Between(low, high) => {
                upper_is(bounds, low, Ordering::is_ge) && lower_is(bounds, high, Ordering::is_le)
            }
            Self::Prefix(prefix) => prefix_within(bounds, prefix),
            Self::Ne(_) => true,
        }
    }
}

fn within(bounds: &ColumnBounds, operand: &Operand) -> bool {
    lower_is(bounds, operand, Ordering::is_le) && upper_is(bounds, operand, Ordering::is_ge)
}

fn lower_is(bounds: &ColumnBounds, operand: &Operand, holds: fn(Ordering) -> bool) -> bool {
    bound_is(bounds.lower.as_ref(), f64::next_down, operand, holds)
}

fn upper_is(bounds: &ColumnBounds, operand: &Operand, holds: fn(Ordering) -> bool) -> bool {
    bound_is(bounds.upper.as_ref(), f64::next_up, operand, holds)
}

/// From here on doubles are further apart than integers, and the value that a number's text says is near its double.
const DOUBLES_APART: f64 = 9_007_199_254_740_992.0;

/// An unknown bound, or one of another kind than the operand, excludes nothing.
fn bound_is(bound: Option<&Bound>, further: fn(f64) -> f64, operand: &Operand, holds: fn(Ordering) -> bool) -> bool {
    let order = match (bound, &operand.0) {
        (Some(Bound::Boolean(bound)), OrderKey::Boolean(operand)) => bound.cmp(operand),
        (Some(Bound::Long(bound)), OrderKey::Integer(_) | OrderKey::Double(_)) => {
            OrderKey::Integer(i128::from(*bound)).compare(&operand.0)
        }
        (Some(Bound::Double(bound)), OrderKey::Integer(_) | OrderKey::Double(_)) => {
            let bound = if bound.abs() < DOUBLES_APART { *bound } else { further(*bound) };
            OrderKey::Double(bound).compare(&operand.0)
        }
        (Some(Bound::Text(bound)), OrderKey::Text(operand)) => bound.as_str().cmp(operand),
        _ => return true,
    };
    holds(order)
}

fn prefix_within(bounds: &ColumnBounds, prefix: &str) -> bool {
    let lower = match &bounds.lower {
        Some(Bound::Text(lower)) => lower.as_str() <= prefix || lower.starts_with(prefix),
        _ => true,
    };
    let upper = match &bounds.upper {
        Some(Bound::Text(upper)) => upper.as_str() >= prefix,
        _ => true,
    };
    lower && upper
}

#[cfg(test)]
mod tests {
    use super::super::filter::Operands;
    use super::super::path::FieldPath;
    use super::*;

    struct One(ColumnBounds);

    impl ColumnStatistics for One {
        fn bounds(&self, field: &str) -> Option<ColumnBounds> {
            (field == "x").then(|| self.0.clone())
        }
    }

    fn may(comparison: Comparison, lower: Bound, upper: Bound) -> bool {
        let bounds = ColumnBounds { lower: Some(lower), upper: Some(upper), null_count: Some(0), row_count: 10 };
        Filter::Compare(FieldPath::new("x"), comparison).may_match(&One(bounds))
    }

    #[test]
    fn what_lies_outside_the_bounds_is_pruned() {
        let operand = |value: i128| Operand(OrderKey::Integer(value));
        let may = |comparison| may(comparison, Bound::Long(10), Bound::Long(20));
        assert!(may(Comparison::Eq(operand(10))) && may(Comparison::Eq(operand(20))));
        assert!(!may(Comparison::Eq(operand(9))) && !may(Comparison::Eq(operand(21))));
        assert!(!may(Comparison::Lt(operand(10))) && may(Comparison::Lte(operand(10))));
        assert!(!may(Comparison::Gt(operand(20))) && may(Comparison::Gte(operand(20))));
        assert!(
            !may(Comparison::Between(operand(21), operand(30))) && may(Comparison::Between(operand(0), operand(10)))
        );
        assert!(
            !may(Comparison::In(Operands::new(vec![operand(1), operand(30)])))
                && may(Comparison::In(Operands::new(vec![operand(1), operand(15)])))
        );
        assert!(!may(Comparison::IsNull(true)) && may(Comparison::IsNull(false)));
        assert!(may(Comparison::Ne(operand(15))));
        assert!(may(Comparison::Eq(Operand(OrderKey::Text("a".to_owned())))), "another kind excludes nothing");
    }

    #[test]
    fn prefixes_are_pruned_by_text_bounds() {
        let may = |prefix: &str| {
            may(Comparison::Prefix(prefix.to_owned()), Bound::Text("bac".to_owned()), Bound::Text("bz".to_owned()))
        };
        assert!(may("b") && may("ba") && may("bac") && may("bx") && may("bz"));
        assert!(!may("a") && !may("c") && !may("baa"));
    }

    #[test]
    fn what_is_not_known_is_not_pruned() {
        let nothing = ColumnBounds { lower: None, upper: None, null_count: None, row_count: 3 };
        let filter = Filter::Compare(FieldPath::new("x"), Comparison::Eq(Operand(OrderKey::Integer(1))));
        assert!(filter.may_match(&One(nothing.clone())));
        let all_null = ColumnBounds { null_count: Some(3), ..nothing };
        assert!(!filter.may_match(&One(all_null)));
    }
}
