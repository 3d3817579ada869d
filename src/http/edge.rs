//! What the Worker does before a request reaches its object, and after: access, routing, cached reads. The catalogue and
//! the files of its tables it serves by itself.
//!
//! Every route but `/healthz` wants to know who asks. The files of tables are opened by the token of a session, which only
//! those get who may load the table.

use std::rc::Rc;

use super::access::{Access, Principal, Role};
use super::documents::GENERATION_HEADER;
use super::iceberg::IcebergService;
use super::message::{RequestHead, Response, header};
use super::metrics;
use super::object::{SEQUENCE_HEADER, masked};
use super::params::QueryParams;
use super::problem;
use super::routes::{Route, Routes};
use super::s3::{ObjectRead, S3Service};
use crate::config::{Masking, StorageConfig};
use crate::engine::DocumentCache;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{CachedEntry, EdgePorts};
use crate::types::names::ObjectName;
use crate::types::{Masks, Sequence, StorageTier};

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
        /// What is hidden from whoever asks: the object has answered without masks.
        masks: Masks,
    },
    /// The document has changed.
    ForgetDocument {
        /// The collection.
        collection: String,
        /// The document's id.
        id: String,
    },
    /// Many documents may have changed.
    ForgetGeneration,
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
    masking: Masking,
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
                config.warm.default_ttl_secs,
                Rc::clone(&clock),
            ),
            s3: S3Service::new(bucket.is_some(), Rc::clone(&clock), &config.cold, key.clone()),
            iceberg: IcebergService::new(bucket, clock, config, key)?,
            masking: config.security.data_masking.clone(),
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
                let masks = Masks::of(&self.masking, principal.viewer());
                if let Some(response) = self.cached(head, &name, &collection, &id).await {
                    return masked(response, &collection, &masks).map(Decision::Respond);
                }
                Some(CachePlan::Keep { collection, id, masks })
            }
            (Route::Document(collection, id), "PUT" | "PATCH" | "DELETE") => {
                Some(CachePlan::ForgetDocument { collection, id })
            }
            (Route::Batch | Route::Import(_), "POST") | (Route::Collection(_), "DELETE") => {
                Some(CachePlan::ForgetGeneration)
            }
            (Route::Metrics, "GET" | "HEAD") => Some(CachePlan::AddFigures),
            _ => None,
        };
        // What is kept for everyone is asked for unmasked.
        let keeps = matches!(plan, Some(CachePlan::Keep { .. }));
        let header = || if keeps { principal.unmasked().to_header() } else { principal.to_header() };
        let principal = (!self.access.is_open()).then(header);
        Ok(Decision::Forward { name, plan, principal })
    }

    async fn cached(&self, head: &RequestHead, name: &ObjectName, collection: &str, id: &str) -> Option<Response> {
        let entry = self.cache.get(name, collection, id).await?;
        let loaded_at: Sequence = header(&entry.headers, SEQUENCE_HEADER)?.parse().ok()?;
        let tag = header(&entry.headers, "etag")?.to_owned();
        if let Some(wanted) = header(&head.headers, "min-sequence") {
            let wanted: Sequence = wanted.trim().parse().ok()?;
            if loaded_at < wanted {
                return None;
            }
        }
        let response = Response::json(200, entry.body)
            .with_header("etag", tag)
            .with_header(SEQUENCE_HEADER, loaded_at.to_string())
            .with_header("thermocline-cache", "hit")
            .with_header("thermocline-rows-read", "0")
            .with_header("thermocline-rows-written", "0");
        Some(response)
    }

    /// Keeps an object's answer, which is unmasked.
    async fn keep(
        &self,
        name: &ObjectName,
        generation: i64,
        (collection, id): (&str, &str),
        response: Response,
    ) -> Response {
        let kept = |header: &&(String, String)| header.0 == "etag" || header.0 == SEQUENCE_HEADER;
        let headers = response.headers.iter().filter(kept).cloned().collect();
        let entry = CachedEntry { headers, body: response.body.bytes().to_vec() };
        self.cache.put(name, generation, collection, id, &entry).await;
        response.with_header("thermocline-cache", "miss")
    }

    /// Takes an object's answer to a request that had a plan; what comes out goes to the client.
    pub async fn after(&self, name: &ObjectName, plan: CachePlan, mut response: Response) -> Response {
        let generation = response.header(GENERATION_HEADER).and_then(|text| text.parse::<i64>().ok());
        response.headers.retain(|(header, _)| header != GENERATION_HEADER);
        let succeeded = (200..300).contains(&response.status);
        match (plan, generation) {
            (CachePlan::Keep { collection, id, masks }, generation) => {
                if let (Some(generation), 200) = (generation, response.status) {
                    response = self.keep(name, generation, (&collection, &id), response).await;
                }
                response = masked(response, &collection, &masks).unwrap_or_else(|error| problem::response(&error));
            }
            (CachePlan::ForgetDocument { collection, id }, _) if succeeded => {
                self.cache.forget(name, &collection, &id).await
            }
            (CachePlan::AddFigures, _) => response = metrics::add_warm(name, &self.cache.figures(name), response),
            // An import that breaks off has committed what came before.
            (CachePlan::ForgetGeneration, _) => self.cache.forget_generation(name).await,
            _ => {}
        }
        response
    }
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
