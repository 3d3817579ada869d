//! `/cdc`: the change feed, as pages, as a stream and over a socket, and who reads it under a name.

pub mod consumers;
mod stream;

use std::rc::Rc;

use super::access::Principal;
use super::message::{Body, Request, Response};
use super::object::Place;
use super::params::{QueryParams, refuse};
use crate::cdc::socket::Reader;
use crate::cdc::{FeedFilter, Format, Subscription, envelope};
use crate::engine::Engine;
use crate::error::Result;
use crate::types::names::{check_collection, check_name};
use crate::types::{Masks, Operation, Sequence};

/// The longest that a reader may wait for an event (REQUIREMENTS.md 3).
const WAIT_MAX_MS: u32 = 30_000;

/// `GET /cdc`: a page, or a stream for who accepts one. Whoever will be answered a large page takes a place among the
/// requests that are worked on; those who wait, and streams, read little at a time.
pub async fn read<'s>(
    engine: &Rc<Engine>,
    request: &Request,
    principal: &Principal,
    take_place: &dyn Fn() -> Result<Place<'s>>,
) -> Result<Response> {
    let known = ["after", "consumer", "limit", "waitMs", "collections", "operations", "documents", "format"];
    let params = QueryParams::read(&request.query, &known)?;
    let masks = Masks::of(&engine.config().security.data_masking, principal.viewer());
    let subscription = Subscription { masks, ..subscription(&params)? };
    let wait_ms = params.number("waitMs", 0, 0..=WAIT_MAX_MS)?;
    let left_ms = principal.ends_at.map_or(i64::MAX, |end| end.saturating_sub(engine.now_ms()));
    let wait_ms = wait_ms.min(u32::try_from(left_ms.max(0)).unwrap_or(u32::MAX));
    let limit = params.limit()?;
    let (streams, opens_socket) = (accepts_stream(request), is_upgrade(request)?);
    let after = position(engine, request, &params, streams || opens_socket)?;
    if opens_socket {
        let attachment = engine.new_socket(
            subscription,
            after,
            Reader { viewer: principal.viewer(), ends_at: principal.ends_at },
        )?;
        return Ok(Response::empty(101).with_body(Body::Socket(attachment)));
    }
    let filter = FeedFilter { limit, ..FeedFilter::page(subscription, after) };
    if streams {
        return stream::answer(engine, filter, principal.ends_at).await;
    }
    let waits = wait_ms > 0 && engine.last_sequence()? <= filter.after;
    let _place = if waits { None } else { Some(take_place()?) };
    let page = engine.changes(&filter, wait_ms).await?;
    Ok(Response::json(200, envelope::page(&page, filter.subscription.format, &engine.name()?)?))
}

/// Whether the connection is to become a WebSocket.
fn is_upgrade(request: &Request) -> Result<bool> {
    match request.header("upgrade") {
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") && request.method == "GET" => Ok(true),
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") => {
            Err(refuse("expected GET to open a WebSocket, got another method".to_owned()))
        }
        _ => Ok(false),
    }
}

fn accepts_stream(request: &Request) -> bool {
    let types = request.header("accept").unwrap_or_default().split(',');
    types.map(|range| range.split(';').next().unwrap_or_default().trim()).any(|range| range == "text/event-stream")
}

/// Where to begin: after what a client that comes again has seen, after a position, or after what a consumer has acknowledged.
fn position(engine: &Engine, request: &Request, params: &QueryParams, streams: bool) -> Result<Sequence> {
    let asked = params.number("after", -1, -1..=Sequence::MAX);
    let position = match (params.get("after"), params.get("consumer")) {
        (Some(_), Some(_)) => return Err(refuse("expected after or consumer, got both".to_owned())),
        (_, Some(name)) => {
            check_name("consumer", name)?;
            engine.consumer(name)?.consumer.sequence
        }
        (Some("now"), None) => engine.last_sequence()?,
        _ => asked?.max(0),
    };
    match request.header("last-event-id").filter(|id| streams && !id.is_empty()) {
        None => Ok(position),
        Some(id) => id.parse().ok().filter(|id| *id >= 0).ok_or_else(|| {
            refuse(format!("expected Last-Event-ID to be a sequence, got {}", crate::types::names::quoted(id)))
        }),
    }
}

/// Which events are wanted, and how they are to be told.
fn subscription(params: &QueryParams) -> Result<Subscription> {
    let collections = match params.list("collections") {
        None => None,
        Some(names) => Some(
            names.into_iter().map(|name| check_collection(name).map(|()| name.to_owned())).collect::<Result<_>>()?,
        ),
    };
    let operations = match params.list("operations") {
        None => None,
        Some(names) => Some(names.into_iter().map(operation).collect::<Result<Vec<_>>>()?),
    };
    Ok(Subscription {
        collections,
        operations,
        documents: params.choice("documents", true, &[("true", true), ("false", false)])?,
        format: params.choice("format", Format::Native, &Format::NAMED)?,
        masks: Masks::default(),
    })
}

fn operation(name: &str) -> Result<Operation> {
    [Operation::Insert, Operation::Update, Operation::Delete]
        .into_iter()
        .find(|operation| operation.name() == name)
        .ok_or_else(|| {
            refuse(format!(
                "expected operations out of INSERT, UPDATE, DELETE, got {}",
                crate::types::names::quoted(name)
            ))
        })
}
