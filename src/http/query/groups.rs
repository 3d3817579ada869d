//! The parts of a query that ask for groups: `groupBy` and `aggregates`.

use std::collections::HashSet;

use super::{items, paths, refuse, text};
use crate::engine::query::{Aggregate, AggregateFunction, FieldPath, Query};
use crate::error::Result;
use crate::types::Json;

const KEYS_MAX: usize = 16;
const AGGREGATES_MAX: usize = 100;
/// Bytes of the name of an aggregate.
const NAME_MAX_BYTES: usize = 255;

/// The fields of `groupBy`.
pub(super) fn keys(value: &Json<'_>) -> Result<Vec<FieldPath>> {
    items("/groupBy", value, KEYS_MAX)?;
    let keys = paths("/groupBy", value)?;
    let mut seen = HashSet::new();
    match keys.iter().position(|key| !seen.insert(key.as_str())) {
        Some(position) => {
            Err(refuse(&format!("/groupBy/{position}"), "expected each field once, got it again".to_owned()))
        }
        None => Ok(keys),
    }
}

/// The items of `aggregates`.
pub(super) fn aggregates(value: &Json<'_>) -> Result<Vec<Aggregate>> {
    let items = items("/aggregates", value, AGGREGATES_MAX)?;
    items.iter().enumerate().map(|(position, item)| aggregate(&format!("/aggregates/{position}"), item)).collect()
}

fn aggregate(pointer: &str, item: &Json<'_>) -> Result<Aggregate> {
    let Json::Object(members) = item else {
        return Err(refuse(pointer, format!("expected {{as, fn, column?}}, got {}", item.kind())));
    };
    let (mut name, mut called, mut column) = (None, None, None);
    for (member, value) in members {
        let pointer = format!("{pointer}/{}", crate::types::json::pointer_token(member));
        match member.as_ref() {
            "as" => name = Some(text(&pointer, value)?),
            "fn" => called = Some(function(&pointer, text(&pointer, value)?)?),
            "column" => column = Some(FieldPath::new(text(&pointer, value)?)),
            _ => return Err(refuse(&pointer, "expected one of as, fn, column, got another key".to_owned())),
        }
    }
    let name = name.filter(|name| (1..=NAME_MAX_BYTES).contains(&name.len()));
    let name = name.ok_or_else(|| {
        refuse(&format!("{pointer}/as"), format!("expected a name of 1 to {NAME_MAX_BYTES} bytes, got none"))
    })?;
    let function = called.ok_or_else(|| refuse(&format!("{pointer}/fn"), format!("expected {FUNCTIONS}, got none")))?;
    if column.is_none() && function != AggregateFunction::Count {
        return Err(refuse(
            &format!("{pointer}/column"),
            "expected a column, which only count may lack, got none".to_owned(),
        ));
    }
    Ok(Aggregate { name: name.to_owned(), function, column })
}

const FUNCTIONS: &str = "one of count, sum, avg, min, max, countDistinct";

fn function(pointer: &str, name: &str) -> Result<AggregateFunction> {
    Ok(match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "countDistinct" => AggregateFunction::CountDistinct,
        _ => return Err(refuse(pointer, format!("expected {FUNCTIONS}, got another function"))),
    })
}

/// What the parts of a query must be to each other.
pub(super) fn check(query: &Query) -> Result<()> {
    if !query.is_grouped() {
        return Ok(());
    }
    if query.select.is_some() {
        let detail = "expected no select beside groupBy or aggregates, which name what a row has";
        return Err(refuse("/select", detail.to_owned()));
    }
    let mut names: HashSet<&str> = query.group_by.iter().map(FieldPath::as_str).collect();
    for (position, aggregate) in query.aggregates.iter().enumerate() {
        if !names.insert(&aggregate.name) {
            let detail = "expected a name that neither a group key nor another aggregate has, got one of those";
            return Err(refuse(&format!("/aggregates/{position}/as"), detail.to_owned()));
        }
    }
    match query.order_by.iter().position(|order| !names.contains(order.path.as_str())) {
        Some(position) => {
            let detail = "expected the name of a group key or of an aggregate, got another column";
            Err(refuse(&format!("/orderBy/{position}"), detail.to_owned()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::error::ErrorKind;

    fn parsed(text: &str) -> Result<Query> {
        read("movies", &Json::parse(text).unwrap()).map(|body| body.query)
    }

    #[test]
    fn groups_and_aggregates_are_read() {
        let query = parsed(
            r#"{"groupBy":["city","address.zip"],"aggregates":[{"as":"n","fn":"count"},{"as":"m","fn":"max","column":"age"}],
               "orderBy":[{"column":"n","direction":"desc"},{"column":"city"}]}"#,
        )
        .unwrap();
        assert_eq!((query.group_by.len(), query.aggregates.len(), query.key_width()), (2, 2, 4));
        assert!(parsed(r#"{"groupBy":[],"aggregates":[],"select":["a"]}"#).is_ok_and(|query| !query.is_grouped()));
    }

    #[test]
    fn what_asks_for_no_groups_is_refused_with_its_place() {
        let many = |item: &str, count: usize| vec![item.to_owned(); count].join(",");
        let keys: Vec<String> = (0..=KEYS_MAX).map(|n| format!("\"k{n}\"")).collect();
        for (text, pointer) in [
            (r#"{"groupBy":"a"}"#.to_owned(), "/groupBy"),
            (r#"{"groupBy":[1]}"#.to_owned(), "/groupBy/0"),
            (r#"{"groupBy":["a","a"]}"#.to_owned(), "/groupBy/1"),
            (format!(r#"{{"groupBy":[{}]}}"#, keys.join(",")), "/groupBy"),
            (format!(r#"{{"aggregates":[{}]}}"#, many(r#"{"as":"n","fn":"count"}"#, 101)), "/aggregates"),
            (r#"{"aggregates":[5]}"#.to_owned(), "/aggregates/0"),
            (r#"{"aggregates":[{"fn":"count"}]}"#.to_owned(), "/aggregates/0/as"),
            (r#"{"aggregates":[{"as":"","fn":"count"}]}"#.to_owned(), "/aggregates/0/as"),
            (r#"{"aggregates":[{"as":"n"}]}"#.to_owned(), "/aggregates/0/fn"),
            (r#"{"aggregates":[{"as":"n","fn":"median"}]}"#.to_owned(), "/aggregates/0/fn"),
            (r#"{"aggregates":[{"as":"n","fn":"sum"}]}"#.to_owned(), "/aggregates/0/column"),
            (r#"{"aggregates":[{"as":"n","fn":"count","of":"a"}]}"#.to_owned(), "/aggregates/0/of"),
            (format!(r#"{{"aggregates":[{}]}}"#, many(r#"{"as":"n","fn":"count"}"#, 2)), "/aggregates/1/as"),
            (r#"{"groupBy":["n"],"aggregates":[{"as":"n","fn":"count"}]}"#.to_owned(), "/aggregates/0/as"),
            (r#"{"groupBy":["a"],"select":["a"]}"#.to_owned(), "/select"),
            (r#"{"groupBy":["a"],"orderBy":[{"column":"a"},{"column":"b"}]}"#.to_owned(), "/orderBy/1"),
        ] {
            let error = parsed(&text).unwrap_err();
            assert_eq!((error.kind(), error.fields()[0].pointer.as_str()), (ErrorKind::Invalid, pointer), "{text}");
        }
    }
}
