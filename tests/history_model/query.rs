//! Random queries, most of whose constants are values that documents have.

use serde_json::{Value, json};
use thermocline::ports::native::SplitMix64;

use crate::key::{Key, key_at};
use crate::model::Documents;
use crate::values::{PATHS, SUMMED, chance, pick, scalar};

/// A value that some document has at a path, or any. Often the least or the greatest, where bounds are met exactly.
fn constant(random: &mut SplitMix64, documents: &Documents, path: &str) -> Value {
    let mut keys = documents.values().map(|kept| key_at(&kept.value, path));
    let key = match random.below(10) {
        0..4 => keys.nth(random.below(documents.len())),
        4 | 5 => keys.max(),
        6 => keys.filter(|key| !key.is_null()).min(),
        _ => None,
    };
    match key {
        Some(Key::Bool(value)) => json!(value),
        Some(Key::Integer(value)) if i64::try_from(value).is_ok() => json!(value as i64),
        Some(Key::Double(value)) => json!(value),
        Some(Key::Text(text)) => json!(text),
        _ => scalar(random),
    }
}

fn comparison(random: &mut SplitMix64, documents: &Documents, path: &str) -> (&'static str, Value) {
    match random.below(10) {
        0 => {
            let count = if chance(random, 10) { 40 } else { random.below(5) };
            ("in", (0..count).map(|_| constant(random, documents, path)).collect())
        }
        1 => {
            let (low, high) = (constant(random, documents, path), constant(random, documents, path));
            ("between", json!([low, high]))
        }
        2 => {
            let text = constant(random, documents, path);
            let beginning = text.as_str().unwrap_or("a");
            ("prefix", json!(beginning.chars().take(random.below(4)).collect::<String>()))
        }
        3 => ("isNull", json!(chance(random, 50))),
        _ => (*pick(random, &["eq", "eq", "ne", "lt", "lte", "gt", "gte"]), constant(random, documents, path)),
    }
}

fn condition(random: &mut SplitMix64, documents: &Documents, depth: usize) -> Value {
    if depth < 3 && chance(random, 45) {
        let count = if chance(random, 5) { 0 } else { 1 + random.below(3) };
        let mut parts = || (0..count).map(|_| condition(random, documents, depth + 1)).collect::<Vec<_>>();
        return match parts() {
            parts if chance(random, 40) => json!({ "and": parts }),
            parts if chance(random, 70) => json!({ "or": parts }),
            mut parts => json!({"not": parts.pop().unwrap_or_else(|| json!({}))}),
        };
    }
    // One field or two, each compared once or twice.
    let mut condition = json!({});
    for _ in 0..1 + random.below(2) {
        let path = *pick(random, &PATHS);
        let mut comparisons = json!({});
        for _ in 0..1 + random.below(5) / 4 {
            let (operator, value) = comparison(random, documents, path);
            comparisons[operator] = value;
        }
        condition[path] = comparisons;
    }
    condition
}

fn order(random: &mut SplitMix64, names: &[&str], most: usize) -> Value {
    let one = |random: &mut SplitMix64| {
        let (column, direction) = (*pick(random, names), *pick(random, &["asc", "desc"]));
        json!({"column": column, "direction": direction})
    };
    (0..random.below(most + 1)).map(|_| one(random)).collect()
}

/// A query of documents, or of groups.
pub fn query(random: &mut SplitMix64, documents: &Documents) -> Value {
    let filter = if chance(random, 25) { json!({}) } else { condition(random, documents, 0) };
    if chance(random, 55) {
        return json!({"where": filter, "orderBy": order(random, &PATHS, 3)});
    }
    let mut keys: Vec<&str> = (0..random.below(3)).map(|_| *pick(random, &PATHS)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut aggregates = vec![json!({"as": "rows", "fn": "count"})];
    for number in 0..random.below(4) {
        let function = *pick(random, &["count", "sum", "avg", "min", "max", "countDistinct"]);
        let paths: &[&str] = if ["sum", "avg"].contains(&function) { &SUMMED } else { &PATHS };
        aggregates.push(json!({"as": format!("x{number}"), "fn": function, "column": pick(random, paths)}));
    }
    let mut names = keys.clone();
    names.extend(aggregates.iter().map(|aggregate| aggregate["as"].as_str().unwrap()));
    let order = order(random, &names, 2);
    json!({"where": filter, "groupBy": keys, "aggregates": aggregates, "orderBy": order})
}
