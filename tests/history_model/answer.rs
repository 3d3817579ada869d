//! What a query answers, by plain code over all documents.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::key::{Key, key_at};
use crate::model::Documents;

/// What the walk through all pages of a query gives.
#[derive(Debug)]
pub enum Expected {
    Documents(Vec<Value>),
    /// The values of each group by their names.
    Groups(Vec<BTreeMap<String, Key>>),
    /// A sum is beyond 64 bits.
    Refused,
}

/// All of them, by three-valued logic.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let parts: Vec<_> = parts.collect();
    if parts.contains(&Some(false)) {
        return Some(false);
    }
    (!parts.contains(&None)).then_some(true)
}

fn not(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

/// Whether a condition holds; `None` is unknown.
fn holds(condition: &Value, document: &Value) -> Option<bool> {
    let parts = |value: &Value| value.as_array().unwrap().iter().map(|part| holds(part, document)).collect::<Vec<_>>();
    all(condition.as_object().unwrap().iter().map(|(name, value)| match name.as_str() {
        "and" => all(parts(value).into_iter()),
        "or" => not(all(parts(value).into_iter().map(not))),
        "not" => not(holds(value, document)),
        path => {
            let key = key_at(document, path);
            all(value.as_object().unwrap().iter().map(|(operator, operand)| compares(&key, operator, operand)))
        }
    }))
}

fn compares(key: &Key, operator: &str, operand: &Value) -> Option<bool> {
    if operator == "isNull" {
        return Some(key.is_null() == operand.as_bool().unwrap());
    }
    if key.is_null() {
        return None;
    }
    let against = |operand: &Value| key.order(&Key::of(Some(operand)));
    Some(match operator {
        "eq" => against(operand) == Some(Ordering::Equal),
        "ne" => against(operand) != Some(Ordering::Equal),
        "lt" => against(operand) == Some(Ordering::Less),
        "lte" => against(operand).is_some_and(Ordering::is_le),
        "gt" => against(operand) == Some(Ordering::Greater),
        "gte" => against(operand).is_some_and(Ordering::is_ge),
        "in" => operand.as_array().unwrap().iter().any(|operand| against(operand) == Some(Ordering::Equal)),
        "between" => {
            against(&operand[0]).is_some_and(Ordering::is_ge) && against(&operand[1]).is_some_and(Ordering::is_le)
        }
        "prefix" => matches!(key, Key::Text(text) if text.starts_with(operand.as_str().unwrap())),
        other => panic!("{other}"),
    })
}

/// The order of two rows by `orderBy`, then as `rest` says.
fn ordered(query: &Value, left: impl Fn(&str) -> Key, right: impl Fn(&str) -> Key, rest: Ordering) -> Ordering {
    let orders = query["orderBy"].as_array().unwrap().iter().map(|by| {
        let column = by["column"].as_str().unwrap();
        let order = left(column).cmp(&right(column));
        if by["direction"] == "desc" { order.reverse() } else { order }
    });
    orders.fold(Ordering::Equal, Ordering::then).then(rest)
}

/// The sum of integers and quarters; `None` beyond 64 bits.
fn sum(values: &[Key], mean: bool) -> Option<Key> {
    let mut quarters = 0_i128;
    let (mut count, mut has_fraction) = (0_u32, false);
    for value in values {
        count += 1;
        match value {
            Key::Integer(value) => quarters += value * 4,
            Key::Double(value) => {
                assert_eq!((value * 4.0).fract(), 0.0, "only quarters are summed");
                quarters += (value * 4.0) as i128;
                has_fraction = true;
            }
            _ => count -= 1,
        }
    }
    if count == 0 {
        return Some(Key::Null);
    }
    let double = quarters as f64 / 4.0;
    if mean {
        return Some(Key::Double(double / f64::from(count)));
    }
    if has_fraction {
        return Some(Key::Double(double));
    }
    i64::try_from(quarters / 4).ok().map(|sum| Key::Integer(i128::from(sum)))
}

fn told(aggregate: &Value, group: &[&Value]) -> Option<Key> {
    let Some(column) = aggregate.get("column") else { return Some(Key::Integer(group.len() as i128)) };
    let keys = group.iter().map(|document| key_at(document, column.as_str().unwrap()));
    let values: Vec<Key> = keys.filter(|key| !key.is_null()).collect();
    Some(match aggregate["fn"].as_str().unwrap() {
        "count" => Key::Integer(values.len() as i128),
        "sum" => sum(&values, false)?,
        "avg" => sum(&values, true)?,
        "min" => values.into_iter().min().unwrap_or(Key::Null),
        "max" => values.into_iter().max().unwrap_or(Key::Null),
        _ => Key::Integer(values.into_iter().collect::<BTreeSet<_>>().len() as i128),
    })
}

fn groups(query: &Value, found: &[&Value]) -> Option<Vec<BTreeMap<String, Key>>> {
    let names: Vec<&str> = query["groupBy"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut groups: BTreeMap<Vec<Key>, Vec<&Value>> = BTreeMap::new();
    if names.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for document in found {
        let keys = names.iter().map(|name| key_at(document, name)).collect();
        groups.entry(keys).or_default().push(document);
    }
    let mut rows = Vec::new();
    for (keys, group) in groups {
        let mut row: BTreeMap<String, Key> = names.iter().map(|name| (*name).to_owned()).zip(keys.clone()).collect();
        for aggregate in query["aggregates"].as_array().unwrap() {
            row.insert(aggregate["as"].as_str().unwrap().to_owned(), told(aggregate, &group)?);
        }
        rows.push((keys, row));
    }
    rows.sort_by(|(left_keys, left), (right_keys, right)| {
        ordered(query, |name| left[name].clone(), |name| right[name].clone(), left_keys.cmp(right_keys))
    });
    Some(rows.into_iter().map(|(_, row)| row).collect())
}

pub fn expected(query: &Value, documents: &Documents) -> Expected {
    let found = documents.values().map(|kept| kept.value.as_ref());
    let mut found: Vec<&Value> = found.filter(|document| holds(&query["where"], document) == Some(true)).collect();
    if query.get("groupBy").is_some() {
        return groups(query, &found).map_or(Expected::Refused, Expected::Groups);
    }
    // They come in the order of ids, which a stable sort keeps.
    found.sort_by(|left, right| ordered(query, |name| key_at(left, name), |name| key_at(right, name), Ordering::Equal));
    Expected::Documents(found.into_iter().cloned().collect())
}
