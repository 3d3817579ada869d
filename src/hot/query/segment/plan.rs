//! A query's condition as one segment sees it: what its statistics decide is decided, the rest is tests of columns.

use super::super::SegmentSource;
use super::super::filter::{Comparison, Filter};
use super::super::order::OrderKey;
use super::super::path::FieldPath;
use super::Field;
use super::test::Test;
use crate::types::sorting;

/// A part of a condition.
#[derive(Clone, Debug)]
pub(in super::super) enum Node<'q> {
    /// The same for every row; `None` is unknown.
    Known(Option<bool>),
    /// All hold.
    And(Vec<Node<'q>>),
    /// At least one holds.
    Or(Vec<Node<'q>>),
    /// It does not hold.
    Not(Box<Node<'q>>),
    /// A field compared.
    Leaf(Leaf<'q>),
}

/// A comparison that the rows decide.
#[derive(Clone, Debug)]
pub(in super::super) struct Leaf<'q> {
    pub(super) field: Field<'q>,
    pub(super) comparison: &'q Comparison,
    pub(super) test: Test<'q>,
}

/// What a condition is to a segment.
pub(in super::super) fn plan<'q>(filter: &'q Filter, source: &dyn SegmentSource) -> Node<'q> {
    match filter {
        Filter::And(all) => combine(all.iter().map(|filter| plan(filter, source)), true),
        Filter::Or(any) => combine(any.iter().map(|filter| plan(filter, source)), false),
        Filter::Not(filter) => match plan(filter, source) {
            Node::Known(known) => Node::Known(known.map(|holds| !holds)),
            other => Node::Not(Box::new(other)),
        },
        Filter::Compare(path, comparison) => compare(Field::of(source, path), comparison, source),
    }
}

/// Parts that must all hold (`true`) or of which one must.
fn combine<'q>(parts: impl Iterator<Item = Node<'q>>, all: bool) -> Node<'q> {
    let mut left = Vec::new();
    for part in parts {
        match part {
            // One that does not hold decides an `and`, one that holds an `or`; the other way round it changes nothing.
            Node::Known(Some(holds)) if holds != all => return Node::Known(Some(!all)),
            Node::Known(Some(_)) => {}
            other => left.push(other),
        }
    }
    if left.is_empty() {
        return Node::Known(Some(all));
    }
    if left.iter().all(|part| matches!(part, Node::Known(None))) {
        return Node::Known(None);
    }
    // What is cheap first, so that what is dear sees fewer rows.
    sorting::sort_by_key(&mut left, Node::cost);
    match <[Node<'q>; 1]>::try_from(left) {
        Ok([only]) => only,
        Err(left) if all => Node::And(left),
        Err(left) => Node::Or(left),
    }
}

fn compare<'q>(field: Field<'q>, comparison: &'q Comparison, source: &dyn SegmentSource) -> Node<'q> {
    let of_null = match comparison {
        Comparison::IsNull(wanted) => Some(*wanted),
        _ => None,
    };
    let position = match &field {
        Field::Absent => return Node::Known(of_null),
        Field::ByRow(_) => return Node::Leaf(Leaf { field, comparison, test: Test::ByKey }),
        Field::Column(position) => *position,
    };
    let rows = source.index().rows();
    let Some(entry) = source.index().columns().get(position) else { return Node::Known(of_null) };
    let nulls = entry.statistics.null_count;
    if nulls == rows {
        return Node::Known(of_null);
    }
    let test = Test::new(comparison, entry.column_type).settle(entry, rows);
    match test {
        Test::Null if nulls == 0 => Node::Known(Some(false)),
        Test::NotNull | Test::Every if nulls == 0 => Node::Known(Some(true)),
        Test::Never if nulls == 0 => Node::Known(Some(false)),
        test => Node::Leaf(Leaf { field, comparison, test }),
    }
}

impl Node<'_> {
    fn cost(&self) -> u8 {
        match self {
            Self::Known(_) => 0,
            Self::Leaf(Leaf { field: Field::ByRow(_), .. }) => 3,
            Self::Leaf(Leaf { test: Test::ByKey, .. }) => 2,
            Self::Leaf(_) => 1,
            Self::Not(part) => part.cost(),
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::cost).max().unwrap_or(0),
        }
    }

    /// Whether it may hold for some row, and whether it may not hold for some row; unknown is neither.
    fn may(&self) -> (bool, bool) {
        match self {
            Self::Known(Some(holds)) => (*holds, !holds),
            Self::Known(None) => (false, false),
            Self::Not(part) => {
                let (holds, not) = part.may();
                (not, holds)
            }
            Self::And(parts) => (parts.iter().all(|part| part.may().0), parts.iter().any(|part| part.may().1)),
            Self::Or(parts) => (parts.iter().any(|part| part.may().0), parts.iter().all(|part| part.may().1)),
            Self::Leaf(leaf) => match leaf.test {
                Test::Never => (false, true),
                Test::Every => (true, false),
                _ => (true, true),
            },
        }
    }

    /// `false` only when the condition holds for no row.
    pub(in super::super) fn may_hold(&self) -> bool {
        self.may().0
    }

    /// Whether it holds for every row.
    pub(in super::super) fn always_holds(&self) -> bool {
        matches!(self, Self::Known(Some(true)))
    }

    /// The columns that deciding it takes.
    pub(super) fn positions(&self, out: &mut Vec<usize>) {
        match self {
            Self::Known(_) => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.positions(out)),
            Self::Not(part) => part.positions(out),
            Self::Leaf(leaf) => out.extend(leaf.field.positions()),
        }
    }
}

/// Fields that a document must have these values in, all of them, to satisfy a condition.
pub(in super::super) fn equalities(filter: Option<&Filter>) -> Vec<(&FieldPath, &OrderKey)> {
    match filter {
        Some(Filter::And(all)) => all.iter().flat_map(|filter| equalities(Some(filter))).collect(),
        Some(Filter::Compare(path, Comparison::Eq(operand))) => vec![(path, &operand.0)],
        _ => Vec::new(),
    }
}
