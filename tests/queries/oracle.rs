//! SQLite's answers over the same documents. Each field becomes two columns, the kind of its value and the value, by
//! which conditions keep kinds apart: SQLite itself compares across types, and tells booleans as 1 and 0.

use rusqlite::Connection;
use rusqlite::types::Value;
use thermocline::hot::query::{Comparison, Filter, OrderKey, Query};
use thermocline::types::Document;

use super::documents::PATHS;

pub struct Oracle(Connection);

/// A value as it is compared with an answer's: its kind and its text, numbers by value.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Null,
    Boolean(bool),
    Integer(i128),
    Double(f64),
    Text(String),
    Json(String),
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The JSON path of a field: of its whole name where a document has that, else inside others.
fn place(path: &str) -> String {
    let mut choices = Vec::new();
    let parts: Vec<&str> = path.split('.').collect();
    // As many splits as there are in the paths of these tests: whole, or after the first dot, then again.
    choices.push(format!("$.\"{path}\""));
    if parts.len() > 1 {
        choices.push(format!("$.\"{}\".\"{}\"", parts[0], parts[1..].join(".")));
    }
    if parts.len() > 2 {
        choices.push(format!("$.\"{}\".\"{}\".\"{}\"", parts[0], parts[1], parts[2]));
    }
    let last = literal(&choices.pop().unwrap());
    choices.into_iter().rev().fold(last, |rest, choice| {
        let choice = literal(&choice);
        format!("CASE WHEN json_type(data,{choice}) IS NOT NULL THEN {choice} ELSE {rest} END")
    })
}

fn number_of(path: &str) -> usize {
    PATHS.iter().position(|other| *other == path).unwrap()
}

impl Oracle {
    pub fn new(documents: &[Document]) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        let columns: Vec<String> = (0..PATHS.len()).map(|at| format!("r{at}, v{at}")).collect();
        connection
            .execute_batch(&format!(
                "CREATE TABLE raw (id TEXT, data TEXT); CREATE TABLE docs (id TEXT, {});",
                columns.join(", ")
            ))
            .unwrap();
        for document in documents {
            connection.execute("INSERT INTO raw VALUES (?1, ?2)", (&document.id, &document.text)).unwrap();
        }
        let values: Vec<String> = PATHS
            .iter()
            .map(|path| {
                let place = place(path);
                format!(
                    "CASE json_type(data,{place}) WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2
                     WHEN 'real' THEN 2 WHEN 'text' THEN 3 WHEN 'array' THEN 4 WHEN 'object' THEN 4 ELSE 0 END,
                     json_extract(data,{place})"
                )
            })
            .collect();
        connection.execute_batch(&format!("INSERT INTO docs SELECT id, {} FROM raw", values.join(", "))).unwrap();
        Self(connection)
    }

    fn select(&self, sql: &str) -> Vec<Vec<Value>> {
        let mut statement = self.0.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let width = statement.column_count();
        let rows = statement.query_map((), |row| (0..width).map(|at| row.get(at)).collect()).unwrap();
        rows.map(|row| row.unwrap_or_else(|error| panic!("{error}: {sql}"))).collect()
    }

    /// The ids of the documents that a query finds, in order.
    pub fn ids(&self, query: &Query) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for by in &query.order_by {
            let (at, way) = (number_of(by.path.as_str()), if by.descending { "DESC" } else { "ASC" });
            order.push(format!("r{at} {way}, v{at} {way}"));
        }
        order.push("id".to_owned());
        let sql = format!("SELECT id FROM docs WHERE {} ORDER BY {}", holds(query), order.join(", "));
        self.select(&sql)
            .into_iter()
            .map(|row| match &row[0] {
                Value::Text(id) => id.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// The groups of a query, in order; the values of keys, then those of aggregates.
    pub fn groups(&self, query: &Query) -> Vec<Vec<Told>> {
        let keys: Vec<usize> = query.group_by.iter().map(|path| number_of(path.as_str())).collect();
        let mut columns: Vec<String> = keys.iter().flat_map(|at| [format!("r{at}"), format!("v{at}")]).collect();
        let mut widths = Vec::new();
        for aggregate in &query.aggregates {
            let told = aggregate_of(aggregate.function, aggregate.column.as_ref().map(|path| number_of(path.as_str())));
            widths.push((told.len(), matches!(aggregate.function, thermocline::hot::query::AggregateFunction::Max)));
            columns.extend(told);
        }
        let mut order: Vec<String> = Vec::new();
        for by in &query.order_by {
            let way = if by.descending { "DESC" } else { "ASC" };
            match query.aggregates.iter().find(|aggregate| aggregate.name == by.path.as_str()) {
                Some(aggregate) => {
                    let at = aggregate.column.as_ref().map(|path| number_of(path.as_str()));
                    order.push(format!("{} {way}", aggregate_of(aggregate.function, at)[0]));
                }
                None => {
                    let at = number_of(by.path.as_str());
                    order.push(format!("r{at} {way}, v{at} {way}"));
                }
            }
        }
        order.extend(keys.iter().map(|at| format!("r{at}, v{at}")));
        let mut sql = format!("SELECT {} FROM docs WHERE {}", columns.join(", "), holds(query));
        if !keys.is_empty() {
            let by: Vec<String> = keys.iter().map(|at| format!("r{at}, v{at}")).collect();
            sql.push_str(&format!(" GROUP BY {} ORDER BY {}", by.join(", "), order.join(", ")));
        }
        let told = |row: Vec<Value>| {
            let (mut at, mut told) = (0, Vec::new());
            for _ in &keys {
                let Value::Integer(rank) = row[at] else { panic!("a kind") };
                told.push(tell(rank, &row[at + 1]));
                at += 2;
            }
            for (width, last) in &widths {
                let values = &row[at..at + width];
                at += width;
                let mut found = (1_i64..).zip(values).filter(|(_, value)| **value != Value::Null);
                let found = if *last { found.last() } else { found.next() };
                told.push(match found {
                    None => Told::Null,
                    Some((kind, value)) if *width == 4 => tell(kind, value),
                    Some((_, value)) => tell(2, value),
                });
            }
            told
        };
        self.select(&sql).into_iter().map(told).collect()
    }
}

fn tell(rank: i64, value: &Value) -> Told {
    match (rank, value) {
        (0, _) | (_, Value::Null) => Told::Null,
        (1, Value::Integer(value)) => Told::Boolean(*value == 1),
        (_, Value::Integer(value)) => Told::Integer(i128::from(*value)),
        (_, Value::Real(value)) if value.fract() == 0.0 && value.abs() < 1e15 => Told::Integer(*value as i128),
        (_, Value::Real(value)) => Told::Double(*value),
        (4, Value::Text(text)) => Told::Json(text.clone()),
        (_, Value::Text(text)) => Told::Text(text.clone()),
        other => panic!("{other:?}"),
    }
}

/// What an aggregate is in SQL: one column, or for the least and the greatest one a kind.
fn aggregate_of(function: thermocline::hot::query::AggregateFunction, at: Option<usize>) -> Vec<String> {
    use thermocline::hot::query::AggregateFunction as F;
    let Some(at) = at else { return vec!["count(*)".to_owned()] };
    let of_kind = |kind: usize| format!("CASE WHEN r{at} = {kind} THEN v{at} END");
    match function {
        F::Count => vec![format!("count(CASE WHEN r{at} > 0 THEN 1 END)")],
        F::Sum => vec![format!("sum({})", of_kind(2))],
        F::Avg => vec![format!("avg({})", of_kind(2))],
        F::Min => (1..=4).map(|kind| format!("min({})", of_kind(kind))).collect(),
        F::Max => (1..=4).map(|kind| format!("max({})", of_kind(kind))).collect(),
        F::CountDistinct => {
            let counts: Vec<String> = (1..=4).map(|kind| format!("count(DISTINCT {})", of_kind(kind))).collect();
            vec![counts.join(" + ")]
        }
    }
}

fn holds(query: &Query) -> String {
    query.filter.as_ref().map_or("1".to_owned(), condition)
}

fn condition(filter: &Filter) -> String {
    let joined = |parts: &[Filter], with: &str, empty: &str| match parts.is_empty() {
        true => empty.to_owned(),
        false => format!("({})", parts.iter().map(condition).collect::<Vec<_>>().join(with)),
    };
    match filter {
        Filter::And(parts) => joined(parts, " AND ", "1"),
        Filter::Or(parts) => joined(parts, " OR ", "0"),
        Filter::Not(part) => format!("(NOT {})", condition(part)),
        Filter::Compare(path, comparison) => comparison_of(number_of(path.as_str()), comparison),
    }
}

fn operand(key: &OrderKey) -> (usize, String) {
    match key {
        OrderKey::Boolean(value) => (1, u8::from(*value).to_string()),
        OrderKey::Integer(value) => (2, value.to_string()),
        OrderKey::Double(value) => (2, format!("{value:e}")),
        OrderKey::Text(text) => (3, literal(text)),
        other => panic!("{other:?}"),
    }
}

fn comparison_of(at: usize, comparison: &Comparison) -> String {
    // Of null it is unknown, of another kind what is told.
    let against = |key: &OrderKey, operator: &str, other: u8| {
        let (kind, value) = operand(key);
        format!("CASE WHEN r{at} = 0 THEN NULL WHEN r{at} = {kind} THEN v{at} {operator} {value} ELSE {other} END")
    };
    match comparison {
        Comparison::Eq(other) => against(&other.0, "=", 0),
        Comparison::Ne(other) => against(&other.0, "<>", 1),
        Comparison::Lt(other) => against(&other.0, "<", 0),
        Comparison::Lte(other) => against(&other.0, "<=", 0),
        Comparison::Gt(other) => against(&other.0, ">", 0),
        Comparison::Gte(other) => against(&other.0, ">=", 0),
        Comparison::Between(low, high) => {
            format!("({} AND {})", against(&low.0, ">=", 0), against(&high.0, "<=", 0))
        }
        Comparison::In(others) => {
            let any: Vec<String> = others.as_slice().iter().map(|other| against(&other.0, "=", 0)).collect();
            format!(
                "CASE WHEN r{at} = 0 THEN NULL ELSE ({}) END",
                if any.is_empty() { "0".to_owned() } else { any.join(" OR ") }
            )
        }
        Comparison::Prefix(prefix) => {
            let (length, text) = (prefix.chars().count(), literal(prefix));
            format!("CASE WHEN r{at} = 0 THEN NULL WHEN r{at} = 3 THEN substr(v{at}, 1, {length}) = {text} ELSE 0 END")
        }
        Comparison::IsNull(wanted) => format!("(r{at} {} 0)", if *wanted { "=" } else { "<>" }),
    }
}
