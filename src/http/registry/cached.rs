//! Reads that are answered of documents: by the object, and by the Worker of what it has kept of them.
//!
//! Pages of the collision log are kept by what was asked, until anything is added to it.
//!
//! Invariants: what is kept is documents, as every cached read of them keeps, so that whatever takes a document back takes
//! back the record that it is of; it is kept as it is stored, and shaped and masked for each reader. A record is told of
//! what its two documents were at one moment.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::collisions::COLLISION_PARAMS;
use super::routes::RegistryRoute;
use super::shown_to;
use crate::engine::registry::schema::{ASSETS, COLLISIONS, HASHES};
use crate::engine::{Engine, Entry};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::documents::{absent, to_be_cached};
use crate::http::etag::etag;
use crate::http::message::{Body, Request, Response, header};
use crate::http::object::{SEQUENCE_HEADER, masked};
use crate::http::params::QueryParams;
use crate::http::problem;
use crate::http::routes::Route;
use crate::types::names::ObjectName;
use crate::types::{Masks, StorageTier};

/// The name under which pages of the collision log are kept: that of no collection.
const COLLISION_PAGES: &str = "collision_log?";
/// The header by which the Worker learns that pages of the collision log which it has kept are old.
pub const COLLIDED_HEADER: &str = "thermocline-cache-collided";
/// The versions of a record's documents, for what is kept of them.
const VERSIONS_HEADER: &str = "thermocline-cache-versions";

/// A read that documents answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentRead {
    /// A document of a collection.
    Document(String, String),
    /// An asset.
    Asset(String),
    /// A hash record.
    Hash(String),
    /// An asset with its hash record.
    Record(String),
    /// A page of the collision log, by the digest of what was asked.
    Collisions(String),
}

/// A record as the object answers the Worker.
#[derive(Deserialize)]
struct Stored<'b> {
    #[serde(borrow)]
    metadata: &'b RawValue,
    #[serde(borrow)]
    hashes: Option<&'b RawValue>,
}

/// Whether a read asks for what may be cached. A conditional one goes to the object, which answers it.
pub fn wants_cached(query: &str, headers: &[(String, String)]) -> bool {
    let cached =
        QueryParams::read(query, &["consistency"]).is_ok_and(|params| params.get("consistency") == Some("cached"));
    cached && header(headers, "if-none-match").is_none()
}

/// What a read of the registry is asked with: whether the answer is for the Worker to keep.
pub fn is_to_be_kept(request: &Request) -> Result<bool> {
    let params = QueryParams::read(&request.query, &["consistency"])?;
    params.choice("consistency", false, &[("strong", false), ("cached", true)])?;
    Ok(request.method == "GET" && wants_cached(&request.query, &request.headers))
}

/// The object's answer to a read of a record that the Worker is to keep: its documents, as they are stored.
pub fn record_to_keep(engine: &Engine, asset: &str, documents: [Option<(i64, String)>; 2]) -> Result<Response> {
    let [metadata, hashes] = documents;
    let Some((metadata_version, metadata)) = metadata else {
        return to_be_cached(engine, problem::response(&absent(ASSETS, asset, StorageTier::Hot)));
    };
    let hash_version = hashes.as_ref().map_or(0, |(version, _)| *version);
    let hashes = hashes.map_or_else(|| "null".to_owned(), |(_, hashes)| hashes);
    let response = Response::json(200, format!("{{\"metadata\":{metadata},\"hashes\":{hashes}}}"));
    to_be_cached(engine, response.with_header(VERSIONS_HEADER, format!("{metadata_version},{hash_version}")))
}

impl DocumentRead {
    /// What a read asks for, if that may be cached.
    pub fn of(route: &Route, query: &str, headers: &[(String, String)]) -> Option<Self> {
        if let Route::Registry(RegistryRoute::Collisions) = route {
            // The object refuses what cannot be read.
            let params = QueryParams::read(query, &COLLISION_PARAMS).ok()?;
            return (params.get("consistency") == Some("cached")).then(|| {
                let wanted = COLLISION_PARAMS.map(|name| (name, params.get(name)));
                Self::Collisions(URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{wanted:?}"))))
            });
        }
        if !wants_cached(query, headers) {
            return None;
        }
        Some(match route {
            Route::Document(collection, id) => Self::Document(collection.clone(), id.clone()),
            Route::Registry(RegistryRoute::Asset(asset)) => Self::Asset(asset.clone()),
            Route::Registry(RegistryRoute::Hash(asset)) => Self::Hash(asset.clone()),
            Route::Registry(RegistryRoute::Record(asset)) => Self::Record(asset.clone()),
            _ => return None,
        })
    }

    /// The collections and the id of its documents.
    pub fn documents(&self) -> (Vec<&str>, &str) {
        match self {
            Self::Document(collection, id) => (vec![collection], id),
            Self::Asset(id) => (vec![ASSETS], id),
            Self::Hash(id) => (vec![HASHES], id),
            Self::Record(id) => (vec![ASSETS, HASHES], id),
            Self::Collisions(digest) => (vec![COLLISION_PAGES], digest),
        }
    }

    /// Whether it may be kept whole and shown to someone from whom `masks` hide something.
    pub fn can_be_masked(&self, masks: &Masks) -> bool {
        // What a page is of may be hidden itself.
        !matches!(self, Self::Collisions(_)) || !masks.hide_some_of(COLLISIONS)
    }

    /// The answer by what is kept of its documents, in their order; `None` when that is not of one moment.
    pub fn answer(&self, name: &ObjectName, entries: Vec<Entry>, masks: &Masks) -> Result<Option<Response>> {
        let (collections, id) = self.documents();
        let mut entries = entries.into_iter();
        let (Some(first), second) = (entries.next(), entries.next()) else { return Ok(None) };
        if second.as_ref().is_some_and(|second| second.sequence != first.sequence) {
            return Ok(None);
        }
        let Some(body) = first.body else {
            let collection = collections.first().copied().unwrap_or_default();
            return Ok(Some(problem::response(&absent(collection, id, StorageTier::Hot))));
        };
        let body = match self {
            Self::Record(_) => {
                let hashes = second.and_then(|second| second.body).unwrap_or_else(|| b"null".to_vec());
                [b"{\"metadata\":", &body[..], b",\"hashes\":", &hashes, b"}"].concat()
            }
            _ => body,
        };
        let response = Response::json(200, body);
        let response = match self {
            Self::Record(_) | Self::Collisions(_) => response,
            _ => response.with_header("etag", first.tag),
        };
        self.shape(name, response, masks).map(Some)
    }

    /// What is to be kept of the object's answer: the documents, or that there are none.
    pub fn entries(&self, response: &Response) -> Option<Vec<Entry>> {
        let sequence = response.header(SEQUENCE_HEADER)?.parse().ok()?;
        let none = || Entry { sequence, ..Entry::default() };
        if response.status == 404 && !matches!(self, Self::Collisions(_)) {
            // Of a record's hash nothing is known then.
            return Some(vec![none()]);
        }
        if response.status != 200 {
            return None;
        }
        let Self::Record(_) = self else {
            let tag = response.header("etag").unwrap_or_default().to_owned();
            return Some(vec![Entry { sequence, tag, body: Some(response.body.bytes().to_vec()) }]);
        };
        let stored: Stored<'_> = serde_json::from_str(std::str::from_utf8(response.body.bytes()).ok()?).ok()?;
        let (metadata, hashes) = response.header(VERSIONS_HEADER)?.split_once(',')?;
        let entry = |version: &str, document: &RawValue| {
            let body = Some(document.get().as_bytes().to_vec());
            Some(Entry { sequence, tag: etag(version.parse().ok()?), body })
        };
        let hashes = match stored.hashes {
            Some(document) => entry(hashes, document)?,
            None => none(),
        };
        Some(vec![entry(metadata, stored.metadata)?, hashes])
    }

    /// The object's answer as its reader may see it, in the words of the route.
    pub fn shape(&self, name: &ObjectName, mut response: Response, masks: &Masks) -> Result<Response> {
        let (collections, _) = self.documents();
        let collection = collections.first().copied().unwrap_or_default();
        match self {
            Self::Document(..) => return masked(response, collection, masks),
            Self::Collisions(_) => return Ok(response),
            _ => {}
        }
        response.headers.retain(|(name, _)| name != VERSIONS_HEADER);
        if response.status != 200 {
            return Ok(response);
        }
        let unreadable = || {
            let message = "expected a stored record, got other bytes";
            StorageError::new(ErrorKind::Corrupt, StorageTier::Warm, "read record", message)
        };
        let text = std::str::from_utf8(response.body.bytes()).map_err(|error| unreadable().caused_by(error))?;
        let tenant = name.doc_id.as_str();
        let body = match self {
            Self::Record(_) => {
                let stored: Stored<'_> = serde_json::from_str(text).map_err(|error| unreadable().caused_by(error))?;
                let metadata = shown_to(tenant, ASSETS, stored.metadata.get().to_owned(), masks)?;
                let hashes = stored.hashes.map(|hashes| shown_to(tenant, HASHES, hashes.get().to_owned(), masks));
                record_text(&metadata, hashes.transpose()?.as_deref())
            }
            _ => shown_to(tenant, collection, text.to_owned(), masks)?,
        };
        response.headers.retain(|(name, _)| name != "content-length");
        Ok(Response { body: Body::Whole(body.into_bytes()), ..response })
    }
}

/// A record of what its documents are shown as.
pub fn record_text(metadata: &str, hashes: Option<&str>) -> String {
    format!("{{\"metadata\":{metadata},\"hashes\":{}}}", hashes.unwrap_or("null"))
}
