//! The collision log: appended to, reviewed, read.

use serde_json::json;
use uuid::Uuid;

use super::{made, page};
use crate::engine::registry::collisions::{Collision, CollisionFilter};
use crate::engine::registry::schema::{COLLISIONS, LABELS};
use crate::engine::registry::{NewCollision, NewReview, collision_told};
use crate::engine::{AsOf, Engine, WriteOutcome};
use crate::error::Result;
use crate::http::access::Principal;
use crate::http::as_of;
use crate::http::body::{json_text, parse};
use crate::http::cursor;
use crate::http::documents::to_be_cached;
use crate::http::idempotency::{Begun, begin, kept, response};
use crate::http::message::{Request, Response};
use crate::http::object::change_context;
use crate::http::params::{QueryParams, refuse};
use crate::types::time::rfc3339;
use crate::types::{Masks, Timestamp};

/// What a page of the log may be asked by.
pub const COLLISION_PARAMS: [&str; 8] =
    ["primaryAssetId", "conflictingAssetId", "reviewerLabel", "from", "to", "limit", "cursor", "consistency"];
/// Where a collision shows the fields of its reviews.
const SHOWN_AS: [(&str, &[&str]); 5] = [
    ("label", &["reviewerLabel", "reviews.label"]),
    ("notes", &["reviewerNotes", "reviews.notes"]),
    ("reviewedBy", &["reviewedBy", "reviews.reviewedBy"]),
    ("reviewedAt", &["reviewedAt", "resolvedAt", "reviews.reviewedAt"]),
    ("resolved", &["resolvedAt", "reviews.resolved"]),
];
/// An entry has at most 60 KB; what it is of may have some whitespace.
const BODY_MAX_BYTES: usize = 128 * 1024;

/// `POST /collisions`
pub async fn append(engine: &Engine, request: &mut Request, principal: &Principal) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    let context = change_context(request)?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let ticket = match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(ticket) => ticket,
    };
    let collision: NewCollision<'_> = parse(&text, "log collision")?;
    let entry = collision.entry(&engine.new_id()?, engine.now_ms())?;
    let primary = ("/primaryAssetId", collision.primary_asset_id.as_str());
    let conflicting = ("/conflictingAssetId", collision.conflicting_asset_id.as_str());
    let id = entry.id.to_string();
    let answer = |outcomes: &[WriteOutcome]| made(201, &json!({"collisionId": id}), outcomes).map(kept);
    engine.append_collision(entry, &[primary, conflicting], &context, ticket.as_ref(), &answer).await.map(response)
}

/// `POST /collisions/{id}/reviews`
pub async fn review(
    engine: &Engine,
    request: &mut Request,
    collision: Uuid,
    principal: &Principal,
) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    engine.tenant()?;
    let context = change_context(request)?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    let ticket = match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(ticket) => ticket,
    };
    let review: NewReview = parse(&text, "review collision")?;
    let answer = |outcomes: &[WriteOutcome]| made(201, &json!({"collisionId": collision}), outcomes).map(kept);
    engine.append_review(collision, &review, &context, ticket.as_ref(), &answer).await.map(response)
}

/// `GET /collisions/{id}`
pub async fn get(engine: &Engine, request: &Request, id: Uuid, masks: &Masks) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let tenant = engine.tenant()?;
    let collision = engine.collision(id).await?;
    Ok(Response::json(200, shown(&tenant, collision, masks)?))
}

fn shown(tenant: &str, collision: Collision, masks: &Masks) -> Result<String> {
    let Collision { text, reviews } = collision;
    let text = String::from_utf8(collision_told(tenant, &text, &reviews)?).unwrap_or_default();
    masks.apply_as(COLLISIONS, text, &SHOWN_AS)
}

/// `GET /collisions`
pub async fn list(engine: &Engine, request: &Request, masks: &Masks) -> Result<Response> {
    let params = QueryParams::read(&request.query, &COLLISION_PARAMS)?;
    let keep = params.choice("consistency", false, &[("strong", false), ("cached", true)])?;
    let tenant = engine.tenant()?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let label = params.choice("reviewerLabel", None, &LABELS.map(|label| (label, Some(label))))?;
    let filter = CollisionFilter {
        primary: text("primaryAssetId"),
        conflicting: text("conflictingAssetId"),
        label: label.map(str::to_owned),
        from: moment(&params, "from")?.map(rfc3339),
        to: moment(&params, "to")?.map(rfc3339),
    };
    for (asked, field) in [
        (filter.primary.is_some(), "primaryAssetId"),
        (filter.conflicting.is_some(), "conflictingAssetId"),
        (filter.label.is_some(), "label"),
        (true, "createdAt"),
    ] {
        if asked {
            masks.check_path(COLLISIONS, field)?;
        }
    }
    let hash = cursor::query_hash(&format!("collisions {filter:?}"));
    // Their place in the order is a time and an id.
    let after = params.get("cursor").map(|after| cursor::decode(hash, after, 2)).transpose()?;
    let (found, next) = engine.list_collisions(&filter, params.limit()?, after).await?;
    let items = found.into_iter().map(|collision| shown(&tenant, collision, masks)).collect::<Result<Vec<_>>>()?;
    let response = page(&items, hash, next)?;
    if keep { to_be_cached(engine, response) } else { Ok(response) }
}

fn moment(params: &QueryParams, name: &str) -> Result<Option<Timestamp>> {
    match params.get(name).map(as_of::from_text).transpose() {
        Ok(None) => Ok(None),
        Ok(Some(AsOf::Time(at))) => Ok(Some(at)),
        _ => {
            Err(refuse(format!("expected {name} to be a time, as Unix milliseconds or by RFC 3339, got another text")))
        }
    }
}
