//! Collections: declared, told of, dropped.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{MapOnly, json_text, parse, to_json};
use super::cursor::{self, List};
use super::message::{Request, Response};
use super::object::{SEQUENCE_HEADER, change_context, not_supported};
use super::params::QueryParams;
use crate::engine::query::OrderKey;
use crate::engine::{CollectionDefinition, CollectionInfo, Columnar, Constraints, DeclaredColumn, Engine, Retention};
use crate::error::Result;
use crate::types::sorting;

const BODY_MAX_BYTES: usize = 1024 * 1024;
/// All pages of the list belong to one question.
const LIST_HASH: u64 = 0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration<'b> {
    columns: Option<Vec<MapOnly<DeclaredColumn>>>,
    #[serde(default)]
    indexes: Vec<Vec<String>>,
    #[serde(default)]
    columnar: MapOnly<Columnar>,
    retention: Option<MapOnly<Retention>>,
    #[serde(default, rename = "dropColumns")]
    drop_columns: Vec<String>,
    #[serde(borrow)]
    immutable: Option<&'b RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Column<'c> {
    name: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'c str>,
    #[serde(rename = "type")]
    column_type: &'c str,
    nullable: bool,
    declared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_id: Option<i32>,
}

#[derive(Serialize)]
struct Forms {
    row: i64,
    segment: i64,
    cold: i64,
}

#[derive(Serialize)]
struct Collection<'c> {
    name: &'c str,
    columns: Vec<Column<'c>>,
    indexes: &'c [Vec<String>],
    columnar: Columnar,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<Retention>,
    #[serde(rename = "dropColumns", skip_serializing_if = "<[String]>::is_empty")]
    drop_columns: &'c [String],
    forms: Forms,
    bytes: i64,
}

/// `GET /collections`
pub fn list(engine: &Engine, request: &Request) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = match params.get("cursor").map(|text| cursor::decode(LIST_HASH, text, 1)).transpose()?.as_deref() {
        Some([OrderKey::Text(name)]) => name.clone(),
        _ => String::new(),
    };
    let mut collections = engine.collections()?;
    sorting::sort_by(&mut collections, |left, right| left.name.cmp(&right.name));
    collections.retain(|collection| collection.name > after);
    collections.truncate(limit.saturating_add(1));
    let items = collections.iter().map(told).collect();
    let list = List::of(items, limit, LIST_HASH, |last| OrderKey::Text(last.name.to_owned()))?;
    Ok(Response::json(200, to_json(&list)?))
}

/// `GET /collections/{c}`
pub fn get(engine: &Engine, request: &Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    Ok(Response::json(200, to_json(&told(&engine.collection(name)?))?))
}

/// `PUT /collections/{c}`
pub async fn declare(engine: &Engine, request: &mut Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let text = if text.trim().is_empty() { "{}" } else { text.as_str() };
    let declaration: Declaration<'_> = parse(text, "declare collection")?;
    if declaration.immutable.is_some() {
        return Err(not_supported("/immutable", "a key of the API"));
    }
    let definition = CollectionDefinition {
        columns: declaration.columns.unwrap_or_default().into_iter().map(|MapOnly(column)| column).collect(),
        indexes: declaration.indexes,
        columnar: declaration.columnar.0,
        retention: declaration.retention.map(|MapOnly(retention)| retention),
        drop_columns: declaration.drop_columns,
        retired: Vec::new(),
        constraints: Constraints::default(),
    };
    definition.check()?;
    let new = engine.declare(name, definition).await?;
    Ok(Response::json(if new { 201 } else { 200 }, to_json(&told(&engine.collection(name)?))?))
}

/// `DELETE /collections/{c}`
pub async fn drop(engine: &Engine, request: &Request, name: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let last = engine.drop_collection(name, &change_context(request)?).await?;
    Ok(Response::empty(204).with_header(SEQUENCE_HEADER, last.to_string()))
}

fn told(collection: &CollectionInfo) -> Collection<'_> {
    Collection {
        name: &collection.name,
        columns: collection
            .columns
            .iter()
            .map(|column| Column {
                name: &column.name,
                field: column.field.as_deref(),
                column_type: &column.column_type,
                nullable: column.nullable,
                declared: column.declared,
                field_id: column.field_id,
            })
            .collect(),
        indexes: &collection.definition.indexes,
        columnar: collection.definition.columnar,
        retention: collection.definition.retention,
        drop_columns: &collection.definition.drop_columns,
        forms: Forms { row: collection.forms.row, segment: collection.forms.segment, cold: collection.forms.cold },
        bytes: collection.forms.bytes,
    }
}
