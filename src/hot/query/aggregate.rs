//! What is told of a group: counts, sums, least and greatest values.
//!
//! Nulls are counted by `count` without a column alone. Sums and averages look at numbers only; a sum of integers is
//! exact and refused beyond 64 bits, one with a fraction is the double nearest to the exact sum. Least and greatest
//! follow the order of [`OrderKey`](super::OrderKey) across kinds.

use std::collections::HashSet;

use super::exact_sum::ExactSum;
use super::order::{KeyRef, OrderKey};
use super::path::FieldPath;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// How many rows there are or, with a column, how many are not null.
    Count,
    /// The sum of the numbers.
    Sum,
    /// Their mean, a double.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many distinct values there are.
    CountDistinct,
}

/// One thing told of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What it is called in the answer.
    pub name: String,
    /// What it is.
    pub function: AggregateFunction,
    /// Of which field; only a count may be of none.
    pub column: Option<FieldPath>,
}

/// What is to be known of one column.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub path: FieldPath,
    pub sum: bool,
    pub least: bool,
    pub greatest: bool,
    pub distinct: bool,
}

impl Wanted {
    /// Whether all that is wanted is how many rows have a value.
    pub(super) fn is_count(&self) -> bool {
        !(self.sum || self.least || self.greatest || self.distinct)
    }
}

/// What is to be known of the columns, each once, and of which each aggregate is.
#[derive(Clone, Debug, Default)]
pub(super) struct AggregatePlan {
    pub columns: Vec<Wanted>,
    outputs: Vec<(AggregateFunction, Option<usize>)>,
}

impl AggregatePlan {
    pub(super) fn new(aggregates: &[Aggregate]) -> Self {
        let mut plan = Self::default();
        for aggregate in aggregates {
            let column = aggregate.column.as_ref().map(|path| plan.column(path, aggregate.function));
            plan.outputs.push((aggregate.function, column));
        }
        plan
    }

    fn column(&mut self, path: &FieldPath, function: AggregateFunction) -> usize {
        let known = self.columns.iter().position(|wanted| wanted.path == *path);
        let position = known.unwrap_or_else(|| {
            let path = path.clone();
            self.columns.push(Wanted { path, sum: false, least: false, greatest: false, distinct: false });
            self.columns.len().saturating_sub(1)
        });
        if let Some(wanted) = self.columns.get_mut(position) {
            match function {
                AggregateFunction::Count => {}
                AggregateFunction::Sum | AggregateFunction::Avg => wanted.sum = true,
                AggregateFunction::Min => wanted.least = true,
                AggregateFunction::Max => wanted.greatest = true,
                AggregateFunction::CountDistinct => wanted.distinct = true,
            }
        }
        position
    }

    /// What the aggregates say of a group of `rows` rows.
    pub(super) fn results(&self, rows: u64, columns: &[ColumnState], names: &[Aggregate]) -> Result<Vec<OrderKey>> {
        let outputs = self.outputs.iter().zip(names);
        outputs
            .map(|((function, column), aggregate)| match column.map(|column| columns.get(column)) {
                None => Ok(OrderKey::Integer(i128::from(rows))),
                Some(None) => Ok(OrderKey::Null),
                Some(Some(state)) => state.result(*function, &aggregate.name),
            })
            .collect()
    }
}

/// What is known of one column of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnState {
    /// Rows that are not null.
    pub present: u64,
    pub sum: Sum,
    pub least: Option<OrderKey>,
    pub greatest: Option<OrderKey>,
    /// Identities of the values.
    pub distinct: HashSet<Box<[u8]>>,
}

/// A sum of numbers, and how many they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    count: u64,
    integers: i128,
    rest: ExactSum,
    has_fraction: bool,
}

impl Sum {
    #[inline]
    pub(super) fn add_integer(&mut self, value: i128) {
        self.add_integers(value, 1);
    }

    /// Adds the sum of `count` integers.
    #[inline]
    pub(super) fn add_integers(&mut self, sum: i128, count: u64) {
        self.count = self.count.saturating_add(count);
        match self.integers.checked_add(sum) {
            Some(integers) => self.integers = integers,
            None => {
                self.rest.add_integer(self.integers);
                self.integers = sum;
            }
        }
    }

    #[inline]
    pub(super) fn add_double(&mut self, value: f64) {
        self.count = self.count.saturating_add(1);
        self.has_fraction = true;
        self.rest.add(value);
    }

    pub(super) fn add(&mut self, value: &KeyRef<'_>) {
        match value {
            KeyRef::Integer(value) => self.add_integer(*value),
            KeyRef::Double(value) => self.add_double(*value),
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.add_integers(other.integers, other.count);
        self.rest.merge(&other.rest);
        self.has_fraction |= other.has_fraction;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.rest.heap_bytes()
    }

    fn whole(&self) -> ExactSum {
        let mut whole = self.rest.clone();
        whole.add_integer(self.integers);
        whole
    }

    fn total(&self, name: &str) -> Result<OrderKey> {
        if self.count == 0 {
            return Ok(OrderKey::Null);
        }
        if self.has_fraction {
            let sum = self.whole().to_double(0);
            return if sum.is_finite() {
                Ok(OrderKey::Double(sum))
            } else {
                Err(overflow(name, "the range of a double"))
            };
        }
        let integer = if self.rest.is_empty() { Some(self.integers) } else { self.whole().to_integer() };
        match integer.filter(|sum| i64::try_from(*sum).is_ok()) {
            Some(sum) => Ok(OrderKey::Integer(sum)),
            None => Err(overflow(name, "64 bits")),
        }
    }

    fn mean(&self) -> OrderKey {
        // The sum of numbers whose mean is a double may be none.
        const HALVINGS: usize = 64;
        if self.count == 0 {
            return OrderKey::Null;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of rows is far below 2^53")]
        let count = self.count as f64;
        let whole = self.whole();
        let sum = whole.to_double(0);
        if sum.is_finite() {
            return OrderKey::Double(sum / count);
        }
        let (scaled, power) = (whole.to_double(HALVINGS), 18_446_744_073_709_551_616.0);
        OrderKey::Double((scaled / count * power).clamp(f64::MIN, f64::MAX))
    }
}

impl ColumnState {
    fn result(&self, function: AggregateFunction, name: &str) -> Result<OrderKey> {
        let known = |value: &Option<OrderKey>| value.clone().unwrap_or(OrderKey::Null);
        Ok(match function {
            AggregateFunction::Count => OrderKey::Integer(i128::from(self.present)),
            AggregateFunction::Sum => self.sum.total(name)?,
            AggregateFunction::Avg => self.sum.mean(),
            AggregateFunction::Min => known(&self.least),
            AggregateFunction::Max => known(&self.greatest),
            AggregateFunction::CountDistinct => {
                OrderKey::Integer(i128::try_from(self.distinct.len()).unwrap_or(i128::MAX))
            }
        })
    }

    /// Takes a value for the least; returns how many bytes more are kept.
    pub(super) fn offer_least(&mut self, value: &KeyRef<'_>) -> usize {
        offer(&mut self.least, value, std::cmp::Ordering::Less)
    }

    /// Takes a value for the greatest; returns how many bytes more are kept.
    pub(super) fn offer_greatest(&mut self, value: &KeyRef<'_>) -> usize {
        offer(&mut self.greatest, value, std::cmp::Ordering::Greater)
    }
}

fn offer(kept: &mut Option<OrderKey>, value: &KeyRef<'_>, wanted: std::cmp::Ordering) -> usize {
    let better = kept.as_ref().is_none_or(|kept| value.compare(&kept.borrowed()) == wanted);
    if !better || value.is_null() {
        return 0;
    }
    let before = kept.as_ref().map_or(0, OrderKey::size);
    let key = value.clone().canonical().into_owned();
    let grown = key.size().saturating_sub(before);
    *kept = Some(key);
    grown
}

fn overflow(name: &str, beyond: &str) -> StorageError {
    let message =
        format!("expected the sum {name:?} to stay within {beyond}, got more; ask for its avg, or for less of it");
    StorageError::new(ErrorKind::Invalid, StorageTier::Hot, "query", message.clone()).at("/aggregates", message)
}
