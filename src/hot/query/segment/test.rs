//! What a comparison asks of the values of one column, told by its statistics or tested on what is encoded.

use std::borrow::Cow;

use super::super::filter::{Comparison, Operand};
use super::super::order::OrderKey;
use super::place::{Place, exact_text, place, prefixed, rank};
use crate::vortex::blob::{ColumnEntry, Predicate, Verdict};
use crate::vortex::{ColumnType, Scalar};

/// Constants of an `in` that are tested one after the other; more are looked for among the rows' values instead.
const FEW: usize = 16;

/// A comparison as a test of a column's values. Of a null it is unknown, but for the first two.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test<'q> {
    /// Null.
    Null,
    /// Not null.
    NotNull,
    /// No value passes.
    Never,
    /// Every value passes.
    Every,
    /// Those that match all of these.
    All(Vec<Predicate<'q>>),
    /// What each value says must be looked at.
    ByKey,
}

impl<'q> Test<'q> {
    /// The test of a column that `comparison` is.
    pub(super) fn new(comparison: &'q Comparison, column_type: ColumnType) -> Self {
        let at = |operand: &'q Operand| place(column_type, &operand.0);
        match comparison {
            Comparison::IsNull(true) => Self::Null,
            Comparison::IsNull(false) => Self::NotNull,
            Comparison::Eq(operand) => match equal(column_type, &operand.0) {
                Equal::To(scalar) => Self::All(vec![Predicate::Equal(scalar)]),
                Equal::ToNone => Self::Never,
                Equal::Unknown => Self::ByKey,
            },
            Comparison::Ne(operand) => match equal(column_type, &operand.0) {
                Equal::To(scalar) => Self::All(vec![Predicate::NotEqual(scalar)]),
                Equal::ToNone => Self::Every,
                Equal::Unknown => Self::ByKey,
            },
            Comparison::In(operands) => Self::one_of(operands.as_slice(), column_type),
            Comparison::Lt(operand) => less(at(operand), false),
            Comparison::Lte(operand) => less(at(operand), true),
            Comparison::Gt(operand) => greater(at(operand), false),
            Comparison::Gte(operand) => greater(at(operand), true),
            Comparison::Between(low, high) => greater(at(low), true).and(less(at(high), true)),
            Comparison::Prefix(prefix) => Self::prefix(prefix, column_type),
        }
    }

    fn one_of(operands: &'q [Operand], column_type: ColumnType) -> Self {
        let mut scalars = Vec::with_capacity(operands.len());
        for operand in operands {
            match equal(column_type, &operand.0) {
                Equal::To(scalar) => scalars.push(scalar),
                Equal::ToNone => {}
                Equal::Unknown => return Self::ByKey,
            }
        }
        if scalars.is_empty() { Self::Never } else { Self::All(vec![Predicate::In(scalars)]) }
    }

    fn prefix(prefix: &'q str, column_type: ColumnType) -> Self {
        let text = rank(ColumnType::String);
        match column_type {
            ColumnType::String => Self::All(vec![Predicate::Prefix(prefix.as_bytes())]),
            ColumnType::Binary | ColumnType::Json => Self::ByKey,
            _ if rank(column_type) != text => Self::Never,
            _ => match prefixed(column_type, prefix) {
                Some((from, to)) => greater(from, true).and(less(to, false)),
                None => Self::ByKey,
            },
        }
    }

    /// Both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Every, other) | (other, Self::Every) => other,
            (Self::All(mut left), Self::All(right)) => {
                left.extend(right);
                Self::All(left)
            }
            _ => Self::ByKey,
        }
    }

    /// What the column's statistics leave of the test: those that tell suffice.
    pub(super) fn settle(self, entry: &ColumnEntry, rows: usize) -> Self {
        let Self::All(predicates) = self else { return self };
        let verdict = |predicate: &Predicate<'_>| predicate.verdict(entry.column_type, &entry.statistics, rows);
        if predicates.iter().any(|predicate| verdict(predicate) == Verdict::Never) {
            return Self::Never;
        }
        let left: Vec<_> = predicates.into_iter().filter(|predicate| verdict(predicate) != Verdict::Always).collect();
        if left.is_empty() {
            return Self::Every;
        }
        let many = |predicate: &Predicate<'_>| matches!(predicate, Predicate::In(scalars) if scalars.len() > FEW);
        if left.iter().any(many) { Self::ByKey } else { Self::All(left) }
    }
}

/// Which value of a column equals a constant.
enum Equal<'q> {
    To(Scalar<'q>),
    ToNone,
    Unknown,
}

fn equal(column_type: ColumnType, operand: &OrderKey) -> Equal<'_> {
    if let (ColumnType::Date | ColumnType::Timestamp | ColumnType::Uuid | ColumnType::Binary, OrderKey::Text(text)) =
        (column_type, operand)
    {
        return exact_text(column_type, text).map_or(Equal::ToNone, Equal::To);
    }
    match place(column_type, operand) {
        Place::At(scalar) => Equal::To(scalar),
        Place::Unknown => Equal::Unknown,
        Place::Before(_) | Place::BeforeAll | Place::AfterAll | Place::Foreign => Equal::ToNone,
    }
}

fn less(place: Place<'_>, or_equal: bool) -> Test<'_> {
    match place {
        Place::At(scalar) => Test::All(vec![Predicate::Less(scalar, or_equal)]),
        Place::Before(scalar) => Test::All(vec![Predicate::Less(scalar, false)]),
        Place::AfterAll => Test::Every,
        Place::BeforeAll | Place::Foreign => Test::Never,
        Place::Unknown => Test::ByKey,
    }
}

fn greater(place: Place<'_>, or_equal: bool) -> Test<'_> {
    match place {
        Place::At(scalar) => Test::All(vec![Predicate::Greater(scalar, or_equal)]),
        Place::Before(scalar) => Test::All(vec![Predicate::Greater(scalar, true)]),
        Place::BeforeAll => Test::Every,
        Place::AfterAll | Place::Foreign => Test::Never,
        Place::Unknown => Test::ByKey,
    }
}

/// A column's least and greatest value as far as its statistics tell: the least may be less than it is.
pub(super) fn extremes(entry: &ColumnEntry) -> (Option<Scalar<'static>>, Option<Scalar<'static>>) {
    let text = |scalar: &Scalar<'static>| match (entry.column_type, scalar) {
        (ColumnType::String, Scalar::Binary(bytes)) => {
            let valid = match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => bytes.get(..error.valid_up_to()).and_then(|text| std::str::from_utf8(text).ok())?,
            };
            Some(Scalar::Text(Cow::Owned(valid.to_owned())))
        }
        (_, scalar) => Some(scalar.clone()),
    };
    let least = entry.statistics.least.as_ref().and_then(|bound| text(&bound.value));
    let greatest = entry.statistics.greatest.as_ref().filter(|bound| bound.exact).and_then(|bound| text(&bound.value));
    (least, greatest)
}
