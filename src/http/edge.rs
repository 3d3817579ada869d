//! What the Worker does before a request reaches its object, and after: access, routing, cached reads. The catalogue and
//! the files of its tables it serves by itself.
//!
//! Every route but `/healthz` wants to know who asks. The files of tables are opened by the token of a session, which only
//! those get who may load the table.

use std::borrow::Cow;
use std::rc::Rc;

use percent_encoding::percent_decode_str;

use super::access::{Access, Principal, Role};
use super::documents::{GENERATION_HEADER, absent};
use super::iceberg::IcebergService;
use super::message::{RequestHead, Response, header};
use super::metrics;
use super::object::{ROWS_WRITTEN_HEADER, SEQUENCE_HEADER};
use super::params::QueryParams;
use super::problem;
use super::routes::{Route, Routes};
use super::s3::{ObjectRead, S3Service};
use crate::config::StorageConfig;
use crate::engine::{DocumentCache, Entry};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::EdgePorts;
use crate::types::names::ObjectName;
use crate::types::{Sequence, StorageTier};

/// What is to be done with a request.
pub enum Decision {
    /// Answer at once.
    Respond(Response),
    /// Read it from the bucket, and pass the body on.
    Read(ObjectRead),
    /// Send it to the object, and then give [`Edge::after`] the answer when there is a plan.
    Forward {
        /// Which object.
        name: ObjectName,
        /// What the answer means for the cache.
        plan: Option<CachePlan>,
        /// The value of [`PRINCIPAL_HEADER`](super::access::PRINCIPAL_HEADER), which goes with it in place of any that came;
        /// `None` where everyone may do everything.
        principal: Option<String>,
    },
}

/// What an object's answer means for the cache.
pub enum CachePlan {
    /// The document may be kept.
    Keep {
        /// The collection.
        collection: String,
        /// The document's id.
        id: String,
    },
    /// The document has changed.
    ForgetDocument {
        /// The collection.
        collection: String,
        /// The document's id.
        id: String,
    },
    /// A document was made, whose id the answer tells.
    ForgetCreated {
        /// The collection.
        collection: String,
    },
    /// Many documents may have changed.
    ForgetGeneration,
    /// Many documents may have changed, also when the request was refused in the end.
    ForgetImported,
    /// What is known of the cache is to be added.
    AddFigures,
}

/// The Worker's part.
pub struct Edge {
    routes: Routes,
    cache: DocumentCache,
    access: Access,
    iceberg: IcebergService,
    s3: S3Service,
}

impl Edge {
    /// The Worker's part over its ports.
    pub fn new(ports: EdgePorts, config: &StorageConfig, access: Access) -> Result<Self> {
        let EdgePorts { cache, bucket, clock } = ports;
        let key = access.session_key();
        Ok(Self {
            routes: Routes::new()?,
            cache: DocumentCache::new(
                config.performance.query_caching.then_some(cache),
                &config.warm,
                Rc::clone(&clock),
            ),
            s3: S3Service::new(bucket.is_some(), Rc::clone(&clock), &config.cold, key.clone()),
            iceberg: IcebergService::new(bucket, clock, &config.cold, key)?,
            access,
        })
    }

    /// Decides on a request.
    pub async fn decide(&self, head: &RequestHead) -> Decision {
        if head.path == "/healthz" {
            return Decision::Respond(healthz(&head.method));
        }
        let first = head.path.split('/').nth(1);
        if first == Some("s3") {
            return self.s3.plan(head).map_or_else(Decision::Respond, Decision::Read);
        }
        let authenticated = self.access.authenticate(head).await;
        if first == Some("iceberg") {
            return Decision::Respond(match authenticated.and_then(reader) {
                Ok(principal) => self.iceberg.answer(head, &principal).await,
                Err(error) => IcebergService::refuse(head, &error),
            });
        }
        let decided = match authenticated {
            Ok(principal) => self.route(head, &principal).await,
            Err(error) => Err(error),
        };
        decided.unwrap_or_else(|error| Decision::Respond(problem::response(&error)))
    }

    async fn route(&self, head: &RequestHead, principal: &Principal) -> Result<Decision> {
        let (name, route) = self.routes.find_public(&head.path)?;
        principal.check_object(&name)?;
        let plan = match (route, head.method.as_str()) {
            (Route::Document(collection, id), "GET") if wants_cached(head) => {
                principal.check_role(Role::Reader)?;
                if let Some(response) = self.cached(head, &name, &collection, &id).await {
                    return Ok(Decision::Respond(response));
                }
                Some(CachePlan::Keep { collection, id })
            }
            (Route::Document(collection, id), "PUT" | "PATCH" | "DELETE") => {
                Some(CachePlan::ForgetDocument { collection, id })
            }
            (Route::Documents(collection), "POST") => Some(CachePlan::ForgetCreated { collection }),
            (Route::Import(_), "POST") => Some(CachePlan::ForgetImported),
            (Route::Batch | Route::Maintenance, "POST")
            | (Route::Collection(_) | Route::Object | Route::Cache, "DELETE") => Some(CachePlan::ForgetGeneration),
            (Route::Metrics, "GET" | "HEAD") => Some(CachePlan::AddFigures),
            _ => None,
        };
        let principal = (!self.access.is_open()).then(|| principal.to_header());
        Ok(Decision::Forward { name, plan, principal })
    }

    async fn cached(&self, head: &RequestHead, name: &ObjectName, collection: &str, id: &str) -> Option<Response> {
        // What is no number is the object's to refuse.
        let least: Sequence = match header(&head.headers, "min-sequence") {
            Some(wanted) => wanted.trim().parse().ok()?,
            None => 0,
        };
        let entry = self.cache.get(name, collection, id, least).await?;
        let response = match entry.body {
            Some(body) => Response::json(200, body).with_header("etag", entry.tag),
            None => problem::response(&absent(collection, id, StorageTier::Hot)),
        };
        let response = response
            .with_header(SEQUENCE_HEADER, entry.sequence.to_string())
            .with_header("thermocline-cache", "hit")
            .with_header("thermocline-rows-read", "0")
            .with_header(ROWS_WRITTEN_HEADER, "0");
        Some(response)
    }

    /// Takes an object's answer to a request that had a plan; what comes out goes to the client.
    pub async fn after(&self, name: &ObjectName, plan: CachePlan, mut response: Response) -> Response {
        let generation = response.header(GENERATION_HEADER).map(str::to_owned);
        response.headers.retain(|(header, _)| header != GENERATION_HEADER);
        // What was refused changed nothing; what failed may have.
        let refused = (400..500).contains(&response.status);
        let wrote_nothing = response.header(ROWS_WRITTEN_HEADER) == Some("0");
        match plan {
            CachePlan::Keep { collection, id } => {
                if let (Some(generation), Some(entry)) = (generation, entry_of(&response)) {
                    self.cache.put(name, &generation, &collection, &id, &entry).await;
                    response = response.with_header("thermocline-cache", "miss");
                }
            }
            CachePlan::AddFigures => response = metrics::add_warm(name, &self.cache.figures(name), response),
            // An import that breaks off has committed what came before.
            CachePlan::ForgetImported if refused && wrote_nothing => {}
            CachePlan::ForgetImported => self.cache.forget_generation(name).await,
            _ if refused => {}
            CachePlan::ForgetDocument { collection, id } => self.cache.forget(name, &collection, &id).await,
            CachePlan::ForgetCreated { collection } => {
                if let Some(id) = response.header("location").and_then(made_id) {
                    self.cache.forget(name, &collection, &id).await;
                }
            }
            CachePlan::ForgetGeneration => self.cache.forget_generation(name).await,
        }
        response
    }
}

/// What is to be kept of an answer to a read of a document: the document, or that there is none.
fn entry_of(response: &Response) -> Option<Entry> {
    let body = match response.status {
        200 => Some(response.body.bytes().to_vec()),
        404 => None,
        _ => return None,
    };
    let sequence = response.header(SEQUENCE_HEADER)?.parse().ok()?;
    Some(Entry { sequence, tag: response.header("etag").unwrap_or_default().to_owned(), body })
}

/// The id of the document at a location.
fn made_id(location: &str) -> Option<String> {
    let (_, id) = location.rsplit_once('/')?;
    percent_decode_str(id).decode_utf8().ok().map(Cow::into_owned)
}

fn reader(principal: Principal) -> Result<Principal> {
    principal.check_role(Role::Reader).map(|()| principal)
}

/// The answer to every request when the Worker cannot work as it is configured. Who watches `/healthz` is told that it is
/// unavailable, and why.
pub fn misconfigured(path: &str, error: &StorageError) -> Response {
    if path != "/healthz" {
        return problem::response(error);
    }
    problem::response(&StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "start", error.message()))
}

/// A conditional read goes to the object, which answers it.
fn wants_cached(head: &RequestHead) -> bool {
    let cached = QueryParams::read(&head.query, &["consistency"])
        .is_ok_and(|params| params.get("consistency") == Some("cached"));
    cached && header(&head.headers, "if-none-match").is_none()
}

fn healthz(method: &str) -> Response {
    match method {
        "GET" => Response::json(200, "{\"status\":\"ok\"}"),
        "HEAD" => Response::json(200, ""),
        _ => {
            let error = StorageError::new(
                ErrorKind::MethodNotAllowed,
                StorageTier::Api,
                "route request",
                "expected one of GET, HEAD, got another method",
            );
            problem::response(&error).with_header("allow", "GET, HEAD")
        }
    }
}
