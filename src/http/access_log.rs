//! `GET /access`: who did what. And what of a request is noted there.
//!
//! A write that was done is in the change log's record. Noted here is what was refused (every write, and reads for want of a
//! role), and what was done to the object besides documents. Other reads are lines of the log alone.

use serde::Serialize;

use super::access::{PRINCIPAL_HEADER, Principal};
use super::as_of;
use super::body::to_json;
use super::cursor;
use super::message::{Request, Response};
use super::params::{QueryParams, find_param, refuse};
use super::registry::routes::RegistryRoute;
use super::routes::Route;
use crate::cdc::access_log::{AccessEntry, AccessFilter, AccessKey};
use crate::engine::query::OrderKey;
use crate::engine::{AsOf, Engine};
use crate::error::Result;
use crate::types::time::rfc3339;
use crate::types::{Access, Sequence, Timestamp};

/// Headers of the program's own, by which a handler learns who asks for what; none comes from outside.
const ACTOR_HEADER: &str = "thermocline-actor";
const ACTION_HEADER: &str = "thermocline-action";

/// The parameter by which one object tells another for whom it asks.
pub const FOREIGN_ACTOR: &str = "by";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'e> {
    time: String,
    principal: Option<&'e str>,
    action: &'e str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    collections: &'e [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    document_id: Option<&'e str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
}

#[derive(Serialize)]
struct Page<'e> {
    items: Vec<Told<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// `GET /access`
pub fn list(engine: &Engine, request: &Request) -> Result<Response> {
    let known = ["from", "to", "principal", "action", "collection", "outcome", "limit", "cursor"];
    let params = QueryParams::read(&request.query, &known)?;
    let moment = |name: &str, default: Timestamp| match params.get(name).map(as_of::from_text).transpose() {
        Ok(None) => Ok(default),
        Ok(Some(AsOf::Time(at))) => Ok(at),
        _ => {
            Err(refuse(format!("expected {name} to be a time, as Unix milliseconds or by RFC 3339, got another text")))
        }
    };
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = AccessFilter {
        from: moment("from", 0)?,
        to: moment("to", Timestamp::MAX)?,
        principal: text("principal"),
        action: text("action"),
        collection: text("collection"),
        done: params.choice("outcome", None, &[("done", Some(true)), ("refused", Some(false))])?,
    };
    let limit = params.limit()?;
    let hash = cursor::query_hash(&format!("access {filter:?}"));
    let after = match params.get("cursor").map(|text| cursor::decode(hash, text, 2)).transpose()?.as_deref() {
        Some([OrderKey::Integer(at), OrderKey::Integer(order)]) => {
            let number = |key: &i128| i64::try_from(*key).unwrap_or(i64::MAX);
            (number(at), number(order))
        }
        _ => (filter.from, i64::MIN),
    };
    let page = engine.access_page(&filter, after, limit)?;
    let key = |(at, order): AccessKey| vec![OrderKey::Integer(at.into()), OrderKey::Integer(order.into())];
    let cursor = page.next.map(|next| cursor::encode(hash, key(next))).transpose()?;
    let items = page.entries.iter().map(told).collect();
    Ok(Response::json(200, to_json(&Page { items, cursor })?))
}

fn told(entry: &AccessEntry) -> Told<'_> {
    Told {
        time: rfc3339(entry.timestamp),
        principal: entry.principal.as_deref(),
        action: &entry.action,
        collections: &entry.collections,
        document_id: entry.document_id.as_deref(),
        status: entry.status,
        elapsed_ms: entry.elapsed_ms,
        correlation_id: entry.correlation_id.as_deref(),
        sequence: entry.sequence,
        events: entry.events,
    }
}

/// A request as it will be noted, if it has to be.
pub struct Observed {
    entry: AccessEntry,
    kind: Kind,
}

/// When a request is noted.
enum Kind {
    /// Refused for want of a role.
    Read,
    /// Refused.
    Write,
    /// Always.
    Use,
    /// Always, and at once.
    Admin,
}

impl Observed {
    /// What is known of a request before it is answered. Where everyone may do everything nobody is named. Another object says
    /// itself for whom it asks.
    pub fn new(request: &mut Request, route: &Route, open: bool, now: Timestamp) -> Self {
        let named = request.header(PRINCIPAL_HEADER).and_then(Principal::of_header).filter(|_| !open);
        let principal = match route {
            Route::ForeignRestore => find_param(&request.query, FOREIGN_ACTOR).ok().flatten(),
            _ => named.map(|principal| principal.subject),
        };
        let action = format!("{} {}", request.method, route.name());
        forget_claims(request);
        request.headers.push((ACTION_HEADER.to_owned(), action.clone()));
        request.headers.extend(principal.iter().map(|subject| (ACTOR_HEADER.to_owned(), subject.clone())));
        let (collection, document) = match route {
            Route::Document(collection, id) => (Some(collection), Some(id)),
            Route::Collection(collection)
            | Route::Documents(collection)
            | Route::Import(collection)
            | Route::Export(collection)
            | Route::Query(collection) => (Some(collection), None),
            Route::Registry(route) => (None, route.asset()),
            _ => (None, None),
        };
        let entry = AccessEntry {
            timestamp: now,
            principal,
            action,
            collections: collection.into_iter().cloned().collect(),
            document_id: document.cloned(),
            correlation_id: request.header("x-correlation-id").filter(|id| id.len() <= 256).map(str::to_owned),
            ..AccessEntry::default()
        };
        Self { entry, kind: kind(route, &request.method) }
    }

    /// Notes what became of it. An entry that cannot be packed now waits with others.
    pub fn answered(mut self, engine: &Engine, status: u16) -> Result<()> {
        let now = engine.now_ms();
        self.entry.status = status;
        self.entry.elapsed_ms = Some(now.saturating_sub(self.entry.timestamp));
        self.entry.timestamp = now;
        // Who is only sent away for a while costs nothing.
        if matches!(status, 429 | 503) {
            return Ok(());
        }
        let refused = status >= 400;
        match self.kind {
            Kind::Admin if !refused => engine.note_admin_action(self.entry),
            Kind::Read if status != 403 => Ok(()),
            Kind::Write if !refused => Ok(()),
            Kind::Use if !refused => engine.note_use(self.entry),
            _ => engine.note_access(self.entry),
        }
    }
}

fn kind(route: &Route, method: &str) -> Kind {
    match (route, method) {
        (Route::Object, "DELETE") | (Route::Maintenance, _) => Kind::Admin,
        (Route::Collection(_), "PUT") | (Route::Consumer(_), "DELETE") => Kind::Admin,
        (Route::Snapshots | Route::Restore(_) | Route::ForeignRestore, "POST")
        | (Route::Snapshot(_) | Route::Job(_), "DELETE") => Kind::Admin,
        // Whoever asks often for these is not to make the object write as often.
        (Route::Sync, "POST") | (Route::Export(_), "GET" | "POST") => Kind::Use,
        (Route::Registry(RegistryRoute::Settings), "PUT") | (Route::Registry(RegistryRoute::Cleanup), _) => Kind::Admin,
        (
            Route::Registry(RegistryRoute::HashSearch | RegistryRoute::HashSearches | RegistryRoute::EmbeddingSearch),
            _,
        ) => Kind::Read,
        (Route::Query(_), _) | (_, "GET" | "HEAD") | (Route::Consumer(_), "PUT") => Kind::Read,
        _ => Kind::Write,
    }
}

/// Who does what, for the record of a change; `None` where it is not noted.
pub fn access(request: &Request) -> Option<Access> {
    let action = request.header(ACTION_HEADER)?.to_owned();
    Some(Access { principal: request.header(ACTOR_HEADER).map(str::to_owned), action })
}

/// Takes out what only [`Observed`] may say.
pub fn forget_claims(request: &mut Request) {
    request.headers.retain(|(name, _)| name != ACTOR_HEADER && name != ACTION_HEADER);
}
