//! The condition of a query, evaluated by SQL's three-valued logic.

use std::cmp::Ordering;

use super::order::{KeyRef, OrderKey};
use super::path::FieldPath;
use crate::types::{Json, sorting};

/// A constant of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand(pub OrderKey);

/// Constants of which a value may be any: ascending, none twice, so that one is found among many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operands(Vec<Operand>);

/// How a field is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// Equal.
    Eq(Operand),
    /// Not equal.
    Ne(Operand),
    /// Less.
    Lt(Operand),
    /// Less or equal.
    Lte(Operand),
    /// Greater.
    Gt(Operand),
    /// Greater or equal.
    Gte(Operand),
    /// Equal to one of them.
    In(Operands),
    /// From the first to the second, both included.
    Between(Operand, Operand),
    /// A string that begins so.
    Prefix(String),
    /// Null or absent (`true`), or neither (`false`).
    IsNull(bool),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All hold.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A field compared.
    Compare(FieldPath, Comparison),
}

impl Filter {
    /// The filter of the one document with this id.
    pub fn is_id(id: &str) -> Self {
        Self::Compare(FieldPath::new("id"), Comparison::Eq(Operand(OrderKey::Text(id.to_owned()))))
    }

    /// The filter of the documents after an id and up to another; `None` without bounds.
    pub fn ids_between(after: Option<&str>, until: Option<&str>) -> Option<Self> {
        let compare = |comparison: fn(Operand) -> Comparison, id: &str| {
            Self::Compare(FieldPath::new("id"), comparison(Operand(OrderKey::Text(id.to_owned()))))
        };
        let after = after.map(|after| compare(Comparison::Gt, after));
        let until = until.map(|until| compare(Comparison::Lte, until));
        let bounds: Vec<Self> = after.into_iter().chain(until).collect();
        (!bounds.is_empty()).then_some(Self::And(bounds))
    }

    /// Visits the fields that are compared.
    pub fn visit_paths<'f>(&'f self, visit: &mut dyn FnMut(&'f FieldPath)) {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().for_each(|filter| filter.visit_paths(visit)),
            Self::Not(filter) => filter.visit_paths(visit),
            Self::Compare(path, _) => visit(path),
        }
    }

    /// Whether the condition holds for a document; `None` is SQL's unknown.
    pub fn evaluate(&self, document: &Json<'_>) -> Option<bool> {
        match self {
            Self::And(all) => all
                .iter()
                .try_fold(true, |holds, filter| match filter.evaluate(document) {
                    Some(false) => Err(false),
                    known => Ok(holds && known.is_some()),
                })
                .map_or_else(Some, |known| known.then_some(true)),
            Self::Or(any) => any
                .iter()
                .try_fold(true, |known, filter| match filter.evaluate(document) {
                    Some(true) => Err(true),
                    value => Ok(known && value.is_some()),
                })
                .map_or_else(Some, |known| known.then_some(false)),
            Self::Not(filter) => filter.evaluate(document).map(|holds| !holds),
            Self::Compare(path, comparison) => comparison.evaluate(&KeyRef::of(path.find(document))),
        }
    }
}

impl Comparison {
    /// Whether it holds for a value; `None` is SQL's unknown.
    pub fn evaluate(&self, value: &KeyRef<'_>) -> Option<bool> {
        if let Self::IsNull(wanted) = self {
            return Some(value.is_null() == *wanted);
        }
        if value.is_null() {
            return None;
        }
        Some(match self {
            Self::Eq(operand) => operand.order(value) == Some(Ordering::Equal),
            Self::Ne(operand) => operand.order(value) != Some(Ordering::Equal),
            Self::Lt(operand) => operand.order(value) == Some(Ordering::Less),
            Self::Lte(operand) => operand.order(value).is_some_and(Ordering::is_le),
            Self::Gt(operand) => operand.order(value) == Some(Ordering::Greater),
            Self::Gte(operand) => operand.order(value).is_some_and(Ordering::is_ge),
            Self::In(operands) => operands.contain(value),
            Self::Between(low, high) => {
                low.order(value).is_some_and(Ordering::is_ge) && high.order(value).is_some_and(Ordering::is_le)
            }
            Self::Prefix(prefix) => matches!(value, KeyRef::Text(text) if text.starts_with(prefix)),
            Self::IsNull(_) => false,
        })
    }
}

impl Operand {
    /// How `value` stands to this operand; `None` when they are of different kinds.
    fn order(&self, value: &KeyRef<'_>) -> Option<Ordering> {
        let operand = self.0.borrowed();
        (value.rank() == operand.rank()).then(|| value.compare(&operand))
    }
}

impl Operands {
    /// Of operands in any order.
    pub fn new(mut operands: Vec<Operand>) -> Self {
        sorting::sort_by(&mut operands, |left, right| left.0.compare(&right.0));
        operands.dedup_by(|left, right| left.0.compare(&right.0).is_eq());
        Self(operands)
    }

    /// The operands, ascending.
    pub fn as_slice(&self) -> &[Operand] {
        &self.0
    }

    fn contain(&self, value: &KeyRef<'_>) -> bool {
        self.0.binary_search_by(|operand| value.compare(&operand.0.borrowed()).reverse()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(field: &str, comparison: Comparison) -> Filter {
        Filter::Compare(FieldPath::new(field), comparison)
    }

    fn operand(json: &str) -> Operand {
        Operand(OrderKey::of(Some(&Json::parse(json).unwrap())))
    }

    fn holds(filter: &Filter) -> Option<bool> {
        filter.evaluate(&Json::parse(r#"{"n":5,"s":"abc","b":true,"z":null,"o":{"k":1.0}}"#).unwrap())
    }

    #[test]
    fn comparisons() {
        assert_eq!(holds(&compare("n", Comparison::Eq(operand("5.0")))), Some(true));
        assert_eq!(holds(&compare("n", Comparison::Eq(operand("\"5\"")))), Some(false));
        assert_eq!(holds(&compare("n", Comparison::Ne(operand("\"5\"")))), Some(true));
        assert_eq!(holds(&compare("n", Comparison::Gt(operand("\"5\"")))), Some(false));
        assert_eq!(holds(&compare("s", Comparison::Prefix("ab".to_owned()))), Some(true));
        assert_eq!(holds(&compare("n", Comparison::Prefix("5".to_owned()))), Some(false));
        assert_eq!(holds(&compare("n", Comparison::Between(operand("5"), operand("6")))), Some(true));
        assert_eq!(holds(&compare("o.k", Comparison::In(Operands::new(vec![operand("2"), operand("1")])))), Some(true));
        assert_eq!(holds(&compare("b", Comparison::Lt(operand("false")))), Some(false));
    }

    #[test]
    fn null_is_unknown_unless_asked_for() {
        let unknown = compare("z", Comparison::Eq(operand("1")));
        assert_eq!(holds(&unknown), None);
        assert_eq!(holds(&compare("absent", Comparison::Ne(operand("1")))), None);
        assert_eq!(holds(&Filter::Not(Box::new(unknown.clone()))), None);
        assert_eq!(holds(&compare("z", Comparison::IsNull(true))), Some(true));
        assert_eq!(holds(&compare("absent", Comparison::IsNull(false))), Some(false));
        let (yes, no) = (compare("b", Comparison::IsNull(false)), compare("b", Comparison::IsNull(true)));
        assert_eq!(holds(&Filter::And(vec![yes.clone(), unknown.clone()])), None);
        assert_eq!(holds(&Filter::And(vec![unknown.clone(), no.clone()])), Some(false));
        assert_eq!(holds(&Filter::Or(vec![unknown.clone(), yes])), Some(true));
        assert_eq!(holds(&Filter::Or(vec![no, unknown])), None);
        assert_eq!(holds(&Filter::And(Vec::new())), Some(true));
        assert_eq!(holds(&Filter::Or(Vec::new())), Some(false));
    }
}
