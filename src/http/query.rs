//! `POST /collections/{c}/query`: reads a query's JSON and renders its answer.

mod groups;

use serde::Serialize;

use super::as_of;
use super::body::{invalid, json_text, to_json};
use super::cursor;
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::query::{
    Comparison, FieldPath, Filter, Operand, Operands, OrderBy, OrderKey, Query, QueryAnswer, QueryStats,
};
use crate::engine::{AsOf, Engine, Tier};
use crate::error::{Result, StorageError};
use crate::limits::{FILTER_MAX_CONDITIONS, FILTER_MAX_VALUES, PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS};
use crate::types::json::{pointer_token, write_string};
use crate::types::{Json, Masks, whole};

const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Fields of `select` and of `orderBy`.
const FIELDS_MAX: usize = 500;
const ORDER_KEYS_MAX: usize = 16;

/// `POST /collections/{c}/query`
pub async fn query(engine: &Engine, request: &mut Request, collection: &str, masks: &Masks) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let body = Json::parse(if text.trim().is_empty() { "{}" } else { &text })?;
    let QueryBody { query, tier, as_of, hash } = read(collection, &body)?;
    check_masks(&query, collection, masks)?;
    let started = engine.now_ms();
    let mut answer = match as_of {
        Some(as_of) => engine.query_as_of(collection, &query, as_of).await?,
        None => engine.query(collection, &query, tier).await?,
    };
    // Rows of groups have no field that is hidden: they were not asked for by one.
    if !query.is_grouped() && masks.hide_some_of(collection) {
        let masked = answer.rows.into_iter().map(|row| masks.apply(collection, row));
        answer.rows = masked.collect::<Result<_>>()?;
    }
    render(answer, hash, engine.now_ms().saturating_sub(started))
}

/// What is hidden is shown in rows as everywhere, and cannot be asked for otherwise.
fn check_masks(query: &Query, collection: &str, masks: &Masks) -> Result<()> {
    let mut paths = query.group_by.iter().collect::<Vec<_>>();
    paths.extend(query.aggregates.iter().filter_map(|aggregate| aggregate.column.as_ref()));
    if !query.is_grouped() {
        paths.extend(query.order_by.iter().map(|order| &order.path));
    }
    if let Some(filter) = &query.filter {
        filter.visit_paths(&mut |path| paths.push(path));
    }
    paths.into_iter().try_for_each(|path| masks.check_path(collection, path.as_str()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    rows_read: u64,
    segments_scanned: u64,
    segments_pruned: u64,
    files_scanned: u64,
    files_pruned: u64,
    bytes_decoded: u64,
    elapsed_ms: i64,
}

/// Rows are JSON text already, so that the answer is put together from text.
fn render(answer: QueryAnswer, hash: u64, elapsed_ms: i64) -> Result<Response> {
    let QueryStats { rows_read, segments_scanned, segments_pruned, files_scanned, files_pruned, bytes_decoded } =
        answer.stats;
    let stats =
        Stats { rows_read, segments_scanned, segments_pruned, files_scanned, files_pruned, bytes_decoded, elapsed_ms };
    let mut body = String::from("{\"rows\":[");
    body.push_str(&answer.rows.join(","));
    body.push(']');
    if let Some(next) = answer.next {
        body.push_str(",\"cursor\":");
        write_string(&cursor::encode(hash, next)?, &mut body);
    }
    body.push_str(",\"stats\":");
    let mut body = body.into_bytes();
    body.append(&mut to_json(&stats)?);
    body.push(b'}');
    Ok(Response::json(200, body))
}

/// What a body asks for.
struct QueryBody {
    query: Query,
    tier: Tier,
    as_of: Option<AsOf>,
    /// What its cursors carry.
    hash: u64,
}

fn read(collection: &str, body: &Json<'_>) -> Result<QueryBody> {
    let Json::Object(members) = body else {
        return Err(refuse("", format!("expected an object, got {}", body.kind())));
    };
    let mut query = Query { limit: PAGE_DEFAULT_ITEMS, ..Query::default() };
    let (mut tier, mut as_of) = (None, None);
    let mut after = None;
    // What a cursor belongs to: everything but where the page starts and ends.
    let mut identity = format!("{collection}\n");
    for (name, value) in members {
        match name.as_ref() {
            "select" => query.select = Some(paths("/select", value)?),
            "where" => query.filter = Some(FilterReader::default().filter("/where", value)?),
            "orderBy" => query.order_by = order(value)?,
            "limit" => query.limit = limit(value)?,
            "cursor" => after = Some(text("/cursor", value)?),
            "tiers" => tier = Some(tiers(value)?),
            "groupBy" => query.group_by = groups::keys(value)?,
            "aggregates" => query.aggregates = groups::aggregates(value)?,
            "asOf" => as_of = Some(as_of::from_json(value).map_err(|detail| refuse("/asOf", detail))?),
            other => {
                let known = "select, where, groupBy, aggregates, orderBy, limit, cursor, asOf, tiers";
                return Err(refuse(
                    &format!("/{}", pointer_token(other)),
                    format!("expected one of {known}, got another key"),
                ));
            }
        }
        if !matches!(name.as_ref(), "limit" | "cursor") {
            write_string(name, &mut identity);
            value.write(&mut identity);
        }
    }
    if tier.is_some() && as_of.is_some() {
        return Err(refuse("/tiers", "expected asOf or tiers, got both".to_owned()));
    }
    groups::check(&query)?;
    let hash = cursor::query_hash(&identity);
    if let Some(after) = after {
        query.after = Some(cursor::decode(hash, after, query.key_width())?);
    }
    Ok(QueryBody { query, tier: tier.unwrap_or_default(), as_of, hash })
}

fn limit(value: &Json<'_>) -> Result<usize> {
    let number = match value {
        Json::Number(text) => whole::from_text(text).and_then(|number| usize::try_from(number).ok()),
        _ => None,
    };
    number.filter(|limit| (1..=PAGE_MAX_ITEMS).contains(limit)).ok_or_else(|| {
        refuse("/limit", format!("expected a whole number from 1 to {PAGE_MAX_ITEMS}, got {}", shown(value)))
    })
}

fn tiers(value: &Json<'_>) -> Result<Tier> {
    let names = items("/tiers", value, 2)?.iter().map(|tier| text("/tiers", tier)).collect::<Result<Vec<_>>>()?;
    match names.as_slice() {
        ["hot", "cold"] | ["cold", "hot"] => Ok(Tier::Current),
        ["hot"] => Ok(Tier::Hot),
        ["cold"] => Ok(Tier::Cold),
        _ => Err(refuse("/tiers", "expected \"hot\", \"cold\" or both".to_owned())),
    }
}

fn paths(pointer: &str, value: &Json<'_>) -> Result<Vec<FieldPath>> {
    let items = items(pointer, value, FIELDS_MAX)?;
    let paths = items
        .iter()
        .enumerate()
        .map(|(position, item)| text(&format!("{pointer}/{position}"), item).map(FieldPath::new));
    paths.collect()
}

fn order(value: &Json<'_>) -> Result<Vec<OrderBy>> {
    let items = items("/orderBy", value, ORDER_KEYS_MAX)?;
    items
        .iter()
        .enumerate()
        .map(|(position, item)| {
            let pointer = format!("/orderBy/{position}");
            let Json::Object(members) = item else {
                return Err(refuse(&pointer, format!("expected {{column, direction}}, got {}", item.kind())));
            };
            let mut path = None;
            let mut descending = false;
            for (name, value) in members {
                match (name.as_ref(), value) {
                    ("column", Json::String(column)) => path = Some(FieldPath::new(column.as_ref())),
                    ("direction", Json::String(direction)) if direction.eq_ignore_ascii_case("asc") => {
                        descending = false
                    }
                    ("direction", Json::String(direction)) if direction.eq_ignore_ascii_case("desc") => {
                        descending = true
                    }
                    _ => return Err(refuse(&pointer, "expected column: a name, direction: asc or desc".to_owned())),
                }
            }
            let path = path.ok_or_else(|| refuse(&pointer, "expected a column, got none".to_owned()))?;
            Ok(OrderBy { path, descending })
        })
        .collect()
}

/// Reads a condition, counting its parts.
#[derive(Default)]
struct FilterReader {
    conditions: usize,
    values: usize,
}

impl FilterReader {
    fn filter(&mut self, pointer: &str, value: &Json<'_>) -> Result<Filter> {
        let Json::Object(members) = value else {
            return Err(refuse(pointer, format!("expected an object, got {}", value.kind())));
        };
        let mut all = Vec::with_capacity(members.len());
        for (name, value) in members {
            let pointer = format!("{pointer}/{}", pointer_token(name));
            match (name.as_ref(), value) {
                ("and", Json::Array(items)) => all.push(Filter::And(self.filters(&pointer, items)?)),
                ("or", Json::Array(items)) => all.push(Filter::Or(self.filters(&pointer, items)?)),
                ("not", Json::Object(_)) => all.push(Filter::Not(Box::new(self.filter(&pointer, value)?))),
                (field, Json::Object(comparisons)) => {
                    for (operator, operand) in comparisons {
                        let pointer = format!("{pointer}/{}", pointer_token(operator));
                        let comparison = self.comparison(&pointer, operator, operand)?;
                        all.push(Filter::Compare(FieldPath::new(field), comparison));
                    }
                }
                _ => {
                    let expected = "expected {\"operator\": value}, such as {\"eq\": 5}";
                    return Err(refuse(&pointer, format!("{expected}, got {}", shown(value))));
                }
            }
            self.conditions = self.conditions.saturating_add(1);
            if self.conditions > FILTER_MAX_CONDITIONS {
                return Err(refuse(&pointer, format!("expected at most {FILTER_MAX_CONDITIONS} conditions, got more")));
            }
        }
        Ok(match <[Filter; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(all) => Filter::And(all),
        })
    }

    fn filters(&mut self, pointer: &str, items: &[Json<'_>]) -> Result<Vec<Filter>> {
        items.iter().enumerate().map(|(position, item)| self.filter(&format!("{pointer}/{position}"), item)).collect()
    }

    fn comparison(&mut self, pointer: &str, operator: &str, value: &Json<'_>) -> Result<Comparison> {
        Ok(match (operator, value) {
            ("eq", value) => Comparison::Eq(self.operand(pointer, value)?),
            ("ne", value) => Comparison::Ne(self.operand(pointer, value)?),
            ("lt", value) => Comparison::Lt(self.operand(pointer, value)?),
            ("lte", value) => Comparison::Lte(self.operand(pointer, value)?),
            ("gt", value) => Comparison::Gt(self.operand(pointer, value)?),
            ("gte", value) => Comparison::Gte(self.operand(pointer, value)?),
            ("in", Json::Array(values)) => Comparison::In(Operands::new(
                values.iter().map(|value| self.operand(pointer, value)).collect::<Result<_>>()?,
            )),
            ("between", Json::Array(values)) => match values.as_slice() {
                [low, high] => Comparison::Between(self.operand(pointer, low)?, self.operand(pointer, high)?),
                _ => return Err(refuse(pointer, format!("expected two values, got {}", values.len()))),
            },
            ("prefix", Json::String(prefix)) => Comparison::Prefix(prefix.to_string()),
            ("isNull", Json::Bool(wanted)) => Comparison::IsNull(*wanted),
            ("in" | "between" | "prefix" | "isNull", other) => {
                let expected = match operator {
                    "prefix" => "a string",
                    "isNull" => "true or false",
                    _ => "an array",
                };
                return Err(refuse(pointer, format!("expected {expected}, got {}", shown(other))));
            }
            _ => {
                let known = "eq, ne, lt, lte, gt, gte, in, between, prefix, isNull";
                return Err(refuse(pointer, format!("expected one of {known}, got another operator")));
            }
        })
    }

    fn operand(&mut self, pointer: &str, value: &Json<'_>) -> Result<Operand> {
        self.values = self.values.saturating_add(1);
        if self.values > FILTER_MAX_VALUES {
            return Err(refuse(pointer, format!("expected at most {FILTER_MAX_VALUES} values in all, got more")));
        }
        match value {
            Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(Operand(OrderKey::of(Some(value)))),
            Json::Null => {
                Err(refuse(pointer, "expected a value, got null; ask for null by {\"isNull\": true}".to_owned()))
            }
            other => Err(refuse(pointer, format!("expected a boolean, number or string, got {}", other.kind()))),
        }
    }
}

fn items<'v, 'j>(pointer: &str, value: &'v Json<'j>, most: usize) -> Result<&'v [Json<'j>]> {
    match value {
        Json::Array(items) if items.len() <= most => Ok(items),
        Json::Array(items) => Err(refuse(pointer, format!("expected at most {most} items, got {}", items.len()))),
        other => Err(refuse(pointer, format!("expected an array, got {}", other.kind()))),
    }
}

fn text<'v>(pointer: &str, value: &'v Json<'_>) -> Result<&'v str> {
    match value {
        Json::String(text) => Ok(text),
        other => Err(refuse(pointer, format!("expected a string, got {}", other.kind()))),
    }
}

/// A short rendering of a bad value.
fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Number(text) => text.chars().take(40).collect(),
        other => other.kind().to_owned(),
    }
}

fn refuse(pointer: &str, detail: String) -> StorageError {
    invalid("read query").at(pointer, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parsed(text: &str) -> Result<Query> {
        read("movies", &Json::parse(text).unwrap()).map(|body| body.query)
    }

    #[test]
    fn the_past_is_asked_for_without_a_tier() {
        let read = |text: &str| read("movies", &Json::parse(text).unwrap());
        assert_eq!(read(r#"{"asOf":5}"#).unwrap().as_of, Some(AsOf::Time(5)));
        assert_eq!(read("{}").unwrap().as_of, None);
        assert_ne!(
            read(r#"{"asOf":5}"#).unwrap().hash,
            read(r#"{"asOf":6}"#).unwrap().hash,
            "cursors are of one moment"
        );
    }

    #[test]
    fn a_full_query_is_read() {
        let query = parsed(
            r#"{"select":["a","b.c"],"where":{"a":{"gte":1,"lt":5},"or":[{"b":{"in":["x","y"]}},{"not":{"c":{"isNull":true}}}]},
               "orderBy":[{"column":"a","direction":"DESC"},{"column":"b"}],"limit":7,"tiers":["cold"]}"#,
        )
        .unwrap();
        assert_eq!(query.limit, 7);
        assert_eq!(query.order_by.len(), 2);
        assert!(matches!(&query.filter, Some(Filter::And(parts)) if parts.len() == 3));
    }

    #[test]
    fn what_is_not_a_query_is_refused_with_its_place() {
        for (text, pointer) in [
            ("[]", ""),
            (r#"{"limit":-1}"#, "/limit"),
            (r#"{"limit":1001}"#, "/limit"),
            (r#"{"limit":"5"}"#, "/limit"),
            (r#"{"wher":{}}"#, "/wher"),
            (r#"{"where":{"a":5}}"#, "/where/a"),
            (r#"{"where":{"a":{"like":"x"}}}"#, "/where/a/like"),
            (r#"{"where":{"a/b":{"eq":null}}}"#, "/where/a~1b/eq"),
            (r#"{"where":{"a":{"eq":{}}}}"#, "/where/a/eq"),
            (r#"{"where":{"a":{"between":[1]}}}"#, "/where/a/between"),
            (r#"{"where":{"and":{}}}"#, ""),
            (r#"{"select":"a"}"#, "/select"),
            (r#"{"select":[1]}"#, "/select/0"),
            (r#"{"orderBy":[{"direction":"asc"}]}"#, "/orderBy/0"),
            (r#"{"orderBy":[{"column":"a","direction":"up"}]}"#, "/orderBy/0"),
            (r#"{"tiers":["warm"]}"#, "/tiers"),
            (r#"{"cursor":"x"}"#, "/cursor"),
            (r#"{"asOf":-1}"#, "/asOf"),
            (r#"{"asOf":"now"}"#, "/asOf"),
            (r#"{"asOf":1,"tiers":["hot"]}"#, "/tiers"),
        ] {
            match parsed(text) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
                    assert_eq!(error.fields().first().unwrap().pointer, pointer, "{text}");
                }
                // `and` with no conditions but an object is a field called "and" without comparisons.
                Ok(query) => assert_eq!((query.filter, pointer), (Some(Filter::And(Vec::new())), ""), "{text}"),
            }
        }
    }

    #[test]
    fn a_filter_is_bounded() {
        let values = vec!["1"; FILTER_MAX_VALUES + 1].join(",");
        assert!(parsed(&format!(r#"{{"where":{{"a":{{"in":[{values}]}}}}}}"#)).is_err());
        let conditions = vec![r#"{"a":{"eq":1}}"#; FILTER_MAX_CONDITIONS + 1].join(",");
        assert!(parsed(&format!(r#"{{"where":{{"or":[{conditions}]}}}}"#)).is_err());
    }
}
