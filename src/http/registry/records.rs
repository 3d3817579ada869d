//! Records, assets and hash records: made, read, changed, deleted.

use serde::{Deserialize, Serialize};

use super::cached::{COLLIDED_HEADER, is_to_be_kept, record_text, record_to_keep};
use super::hashes::Shown;
use super::{made, page, shown, without_hidden};
use crate::engine::query::{Comparison, FieldPath, Filter, Operand, OrderBy, OrderKey, Query};
use crate::engine::registry::schema::{ASSETS, HASHES};
use crate::engine::registry::{Detected, HashBody, Insert, NewAsset, NewCollision, asset_patch, invalid};
use crate::engine::{Condition, Engine, Mutation, Ticket, Tier, Write, WriteOutcome};
use crate::error::{Result, StorageError};
use crate::http::access::Principal;
use crate::http::body::{MapOnly, json_text, parse};
use crate::http::cursor;
use crate::http::documents::{absent, to_be_cached};
use crate::http::etag::{etag, write_condition};
use crate::http::idempotency::{Begun, begin, kept, response};
use crate::http::message::{Request, Response};
use crate::http::object::{SEQUENCE_HEADER, change_context};
use crate::http::params::QueryParams;
use crate::http::problem;
use crate::types::{Document, Masks, StorageTier};

/// A record's body: an asset, a hash with an embedding, a collision.
const BODY_MAX_BYTES: usize = 1024 * 1024;
const JSON: &[&str] = &["application/json"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'b> {
    #[serde(borrow)]
    metadata: MapOnly<NewAsset<'b>>,
    #[serde(borrow)]
    hashes: MapOnly<HashBody<'b>>,
    #[serde(borrow)]
    collision: Option<MapOnly<NewCollision<'b>>>,
}

/// What is known of a request that inserts.
struct Inserting {
    detect: bool,
    text: String,
    ticket: Option<Ticket>,
}

/// Reads an insert's body; the answer, when it was answered before.
async fn begin_insert(
    engine: &Engine,
    request: &mut Request,
    principal: &Principal,
    detecting: Option<&Masks>,
) -> Result<std::result::Result<Inserting, Response>> {
    let params = QueryParams::read(&request.query, if detecting.is_some() { &["detect"] } else { &[] })?;
    let detect = params.choice("detect", false, &[("true", true), ("false", false)])?;
    if let Some(masks) = detecting.filter(|_| detect) {
        // Distances tell what hashes are, and what is logged tells whose lineages are not the one that is sent.
        masks.check_path(HASHES, "pdqHash")?;
        masks.check_path(HASHES, "manifestLineage")?;
    }
    engine.tenant()?;
    let text = json_text(request, BODY_MAX_BYTES, JSON).await?;
    Ok(match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => Err(response),
        Begun::New(ticket) => Ok(Inserting { detect, text, ticket }),
    })
}

/// `POST /records`
pub async fn insert(engine: &Engine, request: &mut Request, principal: &Principal, masks: &Masks) -> Result<Response> {
    let context = change_context(request)?;
    let Inserting { detect, text, ticket } = match begin_insert(engine, request, principal, Some(masks)).await? {
        Ok(inserting) => inserting,
        Err(answered) => return Ok(answered),
    };
    let record: Record<'_> = parse(&text, "insert record")?;
    let (MapOnly(asset), MapOnly(hash)) = (record.metadata, record.hashes);
    let (now, tenant) = (engine.now_ms(), engine.tenant()?);
    let (metadata_id, hash_id) = (engine.new_id()?, engine.new_id()?);
    let under = |place: &'static str| move |error: StorageError| error.under(place);
    let document = asset.document(&tenant, &metadata_id, now).map_err(under("/metadata"))?;
    let hash = hash.record(Some(&asset.asset_id), &hash_id, now).map_err(under("/hashes"))?;
    let collision = match &record.collision {
        Some(MapOnly(collision)) => Some(collision_of_record(engine, collision, &asset.asset_id)?),
        None => None,
    };
    let collision_id = collision.as_ref().map(|entry| entry.id.to_string());
    let conflicting = record.collision.as_ref().map(|MapOnly(collision)| collision.conflicting_asset_id.clone());
    let conflicting = conflicting.map(|asset| ("/collision/conflictingAssetId", asset));
    let insert = Insert { asset: Some(document), hash: Some(hash), collision, conflicting, detect };
    let answer = |outcomes: &[WriteOutcome], detected: Option<&Detected>| {
        let body = Made {
            metadata_id: Some(&metadata_id),
            hash_id: Some(&hash_id),
            collision_id: collision_id.as_deref(),
            detected: detected.map(|detected| TellDetected::of(detected, masks)),
        };
        made_at(engine, &asset.asset_id, &body, outcomes)
    };
    engine.insert_record(&insert, &context, ticket.as_ref(), &answer).await.map(response)
}

/// The entry of a collision that is sent with the record of its primary asset.
fn collision_of_record(
    engine: &Engine,
    collision: &NewCollision<'_>,
    asset: &str,
) -> Result<crate::engine::NewDocument> {
    if collision.primary_asset_id != asset {
        let detail = format!("expected the asset of the record, {asset:?}, got {:?}", collision.primary_asset_id);
        return Err(invalid("/collision/primaryAssetId", detail));
    }
    collision.entry(&engine.new_id()?, engine.now_ms()).map_err(|error| error.under("/collision"))
}

/// The answer to an insert, with the place of what it made.
fn made_at(
    engine: &Engine,
    asset: &str,
    body: &Made<'_>,
    outcomes: &[WriteOutcome],
) -> Result<crate::engine::KeptAnswer> {
    let asset = percent_encoding::utf8_percent_encode(asset, percent_encoding::NON_ALPHANUMERIC);
    let location = format!("/v1/{}/records/{asset}", engine.name()?.path());
    let response = made(201, body, outcomes)?.with_header("location", location);
    let has_collided =
        body.collision_id.is_some() || body.detected.as_ref().is_some_and(|told| !told.collision_ids.is_empty());
    Ok(kept(if has_collided { response.with_header(COLLIDED_HEADER, "1") } else { response }))
}

/// What an insert answers.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_id: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_id: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collision_id: Option<&'m str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    detected: Option<TellDetected<'m>>,
}

/// What was found while a hash was inserted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TellDetected<'m> {
    matches: Vec<Shown>,
    collision_ids: &'m [String],
    detection: Detection,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detection {
    found: usize,
    logged: usize,
    not_logged: usize,
    not_compared: usize,
    quality_too_low: bool,
}

impl<'m> TellDetected<'m> {
    fn of(detected: &'m Detected, masks: &Masks) -> Self {
        Self {
            matches: detected.matches.iter().map(|found| Shown::of(found, masks)).collect(),
            collision_ids: &detected.collisions,
            detection: Detection {
                found: detected.found,
                logged: detected.collisions.len(),
                not_logged: detected.unlogged,
                not_compared: detected.unseen,
                quality_too_low: detected.is_poor,
            },
        }
    }
}

/// `POST /assets`
pub async fn insert_asset(engine: &Engine, request: &mut Request, principal: &Principal) -> Result<Response> {
    let context = change_context(request)?;
    let Inserting { text, ticket, .. } = match begin_insert(engine, request, principal, None).await? {
        Ok(inserting) => inserting,
        Err(answered) => return Ok(answered),
    };
    let asset: NewAsset<'_> = parse(&text, "insert asset")?;
    let metadata_id = engine.new_id()?;
    let document = asset.document(&engine.tenant()?, &metadata_id, engine.now_ms())?;
    let insert = Insert { asset: Some(document), ..Insert::default() };
    let answer = |outcomes: &[WriteOutcome], _: Option<&Detected>| {
        made_at(engine, &asset.asset_id, &Made { metadata_id: Some(&metadata_id), ..Made::default() }, outcomes)
    };
    engine.insert_record(&insert, &context, ticket.as_ref(), &answer).await.map(response)
}

/// `POST /hashes`
pub async fn insert_hash(
    engine: &Engine,
    request: &mut Request,
    principal: &Principal,
    masks: &Masks,
) -> Result<Response> {
    let context = change_context(request)?;
    let Inserting { detect, text, ticket } = match begin_insert(engine, request, principal, Some(masks)).await? {
        Ok(inserting) => inserting,
        Err(answered) => return Ok(answered),
    };
    let hash: HashBody<'_> = parse(&text, "insert hash")?;
    let hash_id = engine.new_id()?;
    let hash = hash.record(None, &hash_id, engine.now_ms())?;
    let owner = hash.document.id.to_string();
    let insert = Insert { hash: Some(hash), detect, ..Insert::default() };
    let answer = |outcomes: &[WriteOutcome], detected: Option<&Detected>| {
        let detected = detected.map(|detected| TellDetected::of(detected, masks));
        made_at(engine, &owner, &Made { hash_id: Some(&hash_id), detected, ..Made::default() }, outcomes)
    };
    engine.insert_record(&insert, &context, ticket.as_ref(), &answer).await.map(response)
}

/// `GET /records/{assetId}`
pub async fn get(engine: &Engine, request: &Request, asset: &str, masks: &Masks) -> Result<Response> {
    let keep = is_to_be_kept(request)?;
    let [metadata, hashes] = engine.record(asset).await?;
    if keep {
        let stored =
            |document: Document, collection| Ok((document.sequence, without_hidden(collection, document.text, masks)?));
        let metadata = metadata.map(|document| stored(document, ASSETS)).transpose()?;
        let hashes = hashes.map(|document| stored(document, HASHES)).transpose()?;
        return record_to_keep(engine, asset, [metadata, hashes]);
    }
    let metadata = metadata.ok_or_else(|| absent(ASSETS, asset, StorageTier::Hot))?;
    let metadata = shown(engine, ASSETS, metadata.text, masks)?;
    let hashes = hashes.map(|hashes| shown(engine, HASHES, hashes.text, masks)).transpose()?;
    Ok(Response::json(200, record_text(&metadata, hashes.as_deref())))
}

/// `GET /assets/{assetId}`
pub async fn get_asset(engine: &Engine, request: &Request, asset: &str, masks: &Masks) -> Result<Response> {
    get_one(engine, request, ASSETS, asset, masks).await
}

/// `GET /hashes/{assetId}`
pub async fn get_hash(engine: &Engine, request: &Request, asset: &str, masks: &Masks) -> Result<Response> {
    get_one(engine, request, HASHES, asset, masks).await
}

async fn get_one(engine: &Engine, request: &Request, collection: &str, asset: &str, masks: &Masks) -> Result<Response> {
    let keep = is_to_be_kept(request)?;
    let Some(document) = engine.get(collection, asset, Tier::Current).await? else {
        let error = absent(collection, asset, StorageTier::Hot);
        return if keep { to_be_cached(engine, problem::response(&error)) } else { Err(error) };
    };
    let tag = etag(document.sequence);
    if keep {
        let text = without_hidden(collection, document.text, masks)?;
        return to_be_cached(engine, Response::json(200, text).with_header("etag", tag));
    }
    Ok(Response::json(200, shown(engine, collection, document.text, masks)?).with_header("etag", tag))
}

/// `PATCH /assets/{assetId}`
pub async fn patch_asset(engine: &Engine, request: &mut Request, asset: &str, masks: &Masks) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (context, condition) = (change_context(request)?, write_condition(request)?);
    let text = json_text(request, BODY_MAX_BYTES, &["application/json", "application/merge-patch+json"]).await?;
    let mutation = Mutation::Merge { id: asset.into(), patch: asset_patch(&text, engine.now_ms())? };
    let outcomes = engine.write(&[Write { collection: ASSETS.into(), mutation, condition }], &context).await?;
    let (sequence, text) = outcomes.first().map_or((0, None), |outcome| (outcome.sequence, outcome.text.clone()));
    let text = shown(engine, ASSETS, text.as_deref().unwrap_or("{}").to_owned(), masks)?;
    let response = Response::json(200, text).with_header("etag", etag(sequence));
    Ok(response.with_header(SEQUENCE_HEADER, sequence.to_string()))
}

/// `DELETE /records/{assetId}`: the hash record, if there is one, and then the asset, in one transaction.
pub async fn delete(engine: &Engine, request: &Request, asset: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (context, condition) = (change_context(request)?, write_condition(request)?);
    // The version of a record is its asset's.
    let writes = [deletion(HASHES, asset), Write { condition, ..deletion(ASSETS, asset) }];
    let mut no_hash = |position: usize, error: StorageError| match (position, error.kind()) {
        (0, crate::error::ErrorKind::NotFound) => Ok(()),
        _ => Err(error),
    };
    let outcomes = engine.write_with(&writes, &context, &mut no_hash).await?;
    Ok(deleted(&outcomes))
}

/// `DELETE /hashes/{assetId}`
pub async fn delete_hash(engine: &Engine, request: &Request, asset: &str) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let context = change_context(request)?;
    let condition = write_condition(request)?;
    let write = Write { condition, ..deletion(HASHES, asset) };
    Ok(deleted(&engine.write(&[write], &context).await?))
}

fn deletion(collection: &str, asset: &str) -> Write {
    let mutation = Mutation::Delete { id: asset.into() };
    Write { collection: collection.into(), mutation, condition: Condition::default() }
}

fn deleted(outcomes: &[WriteOutcome]) -> Response {
    let last = outcomes.last().map_or(0, |outcome| outcome.sequence);
    Response::empty(204).with_header(SEQUENCE_HEADER, last.to_string())
}

/// `GET /assets`: by when they were uploaded, newest first unless asked otherwise.
pub async fn list_assets(engine: &Engine, request: &Request, masks: &Masks) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["status", "direction", "limit", "cursor"])?;
    let descending = params.choice("direction", true, &[("desc", true), ("asc", false)])?;
    let status = params.get("status").map(|status| equals("status", status));
    list(engine, masks, ASSETS, status.into_iter().collect(), ("uploadedAt", descending), &params).await
}

/// A condition that a field has this text.
pub fn equals(field: &str, text: &str) -> Filter {
    Filter::Compare(FieldPath::new(field), Comparison::Eq(Operand(OrderKey::Text(text.to_owned()))))
}

/// A page of a collection's documents.
pub async fn list(
    engine: &Engine,
    masks: &Masks,
    collection: &str,
    conditions: Vec<Filter>,
    (field, descending): (&str, bool),
    params: &QueryParams,
) -> Result<Response> {
    engine.tenant()?;
    let mut query = Query {
        filter: (!conditions.is_empty()).then_some(Filter::And(conditions)),
        order_by: vec![OrderBy { path: FieldPath::new(field), descending }],
        limit: params.limit()?,
        ..Query::default()
    };
    let mut paths = vec![field.to_owned()];
    if let Some(filter) = &query.filter {
        filter.visit_paths(&mut |path| paths.push(path.as_str().to_owned()));
    }
    paths.iter().try_for_each(|path| masks.check_path(collection, path))?;
    let hash = cursor::query_hash(&format!("{collection} {:?} {:?}", query.filter, query.order_by));
    if let Some(after) = params.get("cursor") {
        query.after = Some(cursor::decode(hash, after, query.key_width())?);
    }
    let found = engine.query(collection, &query, Tier::Current).await?;
    let items = found.rows.into_iter().map(|row| shown(engine, collection, row, masks));
    page(&items.collect::<Result<Vec<_>>>()?, hash, found.next)
}
