//! What the Worker does before a request reaches its object, and after: access, routing, cached reads. The catalogue and
//! the files of its tables it serves by itself.
//!
//! Every route but `/healthz` and `/openapi.json` wants to know who asks. The files of tables are opened by the token of a session, which only
//! those get who may load the table.

use std::borrow::Cow;
use std::rc::Rc;

use percent_encoding::percent_decode_str;

use super::access::{Access, Principal, Role};
use super::batch::CHANGED_HEADER;
use super::cors::Cors;
use super::documents::GENERATION_HEADER;
use super::exchange::{AnswerHead, Exchange, Failure, Finished, with_instance};
use super::iceberg::IcebergService;
use super::message::{RequestHead, Response, header};
use super::metrics;
use super::object::{ROWS_WRITTEN_HEADER, SEQUENCE_HEADER};
use super::openapi;
use super::problem;
use super::registry::cached::{COLLIDED_HEADER, DocumentRead};
use super::registry::routes::RegistryRoute;
use super::routes::{Route, Routes};
use super::s3::{ObjectRead, S3Service};
use crate::config::{Masking, StorageConfig};
use crate::engine::DocumentCache;
use crate::engine::registry::schema::{ASSETS, HASHES};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Clock, EdgeCache, EdgePorts, Ids, ObjectFolders, Retries, RetryingFolders, TimelyCache};
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
    /// The documents may be kept.
    Keep {
        /// What was read.
        read: DocumentRead,
        /// What is hidden from whoever asks: the object has answered without masks.
        masks: Masks,
    },
    /// A document has changed, or one in each collection.
    ForgetDocuments {
        /// The collections.
        collections: Vec<String>,
        /// The id that they have.
        id: String,
    },
    /// A document was made, or one in each collection, whose id the answer tells.
    ForgetCreated {
        /// The collections.
        collections: Vec<String>,
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
    cors: Cors,
    logs_reads: bool,
    clock: Rc<dyn Clock>,
    ids: Rc<dyn Ids>,
    masking: Masking,
}

impl Edge {
    /// The Worker's part over its ports.
    pub fn new(ports: EdgePorts, config: &StorageConfig, access: Access) -> Result<Self> {
        let EdgePorts { cache, bucket, clock, ids } = ports;
        let key = access.session_key();
        let retries = Retries::from(&config.timeouts);
        let retried = |bucket| -> Rc<dyn ObjectFolders> {
            Rc::new(RetryingFolders::new(bucket, Rc::clone(&clock), Rc::clone(&ids), retries))
        };
        let folders = bucket.map(retried);
        let cache: Rc<dyn EdgeCache> = Rc::new(TimelyCache::new(cache, Rc::clone(&clock)));
        Ok(Self {
            routes: Routes::new()?,
            cache: DocumentCache::new(
                config.performance.query_caching.then_some(cache),
                &config.warm,
                Rc::clone(&clock),
            ),
            s3: S3Service::new(folders.is_some(), Rc::clone(&clock), &config.cold, key.clone()),
            iceberg: IcebergService::new(folders, Rc::clone(&clock), config, key)?,
            masking: config.security.data_masking.clone(),
            cors: Cors::new(&config.security.cors_origins),
            logs_reads: config.security.access_logging,
            clock,
            ids,
            access,
        })
    }

    /// Takes a request in.
    pub fn begin(&self, head: &RequestHead) -> Exchange {
        Exchange::begin(head, self.ids.as_ref(), self.clock.now_ms())
    }

    /// What an answer gets on its way out, and what is logged of its request.
    pub fn finish(&self, exchange: &Exchange, answer: &AnswerHead<'_>) -> Finished {
        exchange.finish(answer, &self.cors, self.logs_reads, self.clock.now_ms())
    }

    /// Decides on a request.
    pub async fn decide(&self, head: &RequestHead, exchange: &mut Exchange) -> Decision {
        if let Some(response) = self.cors.preflight(head) {
            return Decision::Respond(response);
        }
        match (head.path.as_str(), head.path.split('/').nth(1)) {
            ("/healthz", _) => {
                exchange.route = Some("/healthz");
                Decision::Respond(service(head, exchange, |_| Response::json(200, "{\"status\":\"ok\"}")))
            }
            ("/openapi.json", _) => {
                exchange.route = Some("/openapi.json");
                Decision::Respond(service(head, exchange, openapi::answer))
            }
            (_, Some("s3")) => {
                exchange.route = Some("/s3/{bucket}/{key}");
                self.s3.plan(head).map_or_else(Decision::Respond, Decision::Read)
            }
            (_, Some("iceberg")) => {
                exchange.route = self.iceberg.pattern(&head.path);
                Decision::Respond(match self.authenticate(head, exchange).await.and_then(reader) {
                    Ok(principal) => self.iceberg.answer(head, &principal).await,
                    Err(error) => IcebergService::refuse(head, &error),
                })
            }
            _ => {
                exchange.route = self.routes.pattern(&head.path);
                let routed = self.route(head, exchange).await;
                routed.unwrap_or_else(|error| Decision::Respond(refused(exchange, &error)))
            }
        }
    }

    async fn authenticate(&self, head: &RequestHead, exchange: &mut Exchange) -> Result<Principal> {
        let principal = self.access.authenticate(head).await?;
        exchange.subject = Some(principal.subject.clone());
        Ok(principal)
    }

    async fn route(&self, head: &RequestHead, exchange: &mut Exchange) -> Result<Decision> {
        let principal = self.authenticate(head, exchange).await?;
        let (name, route) = self.routes.find_public(&head.path)?;
        exchange.object = Some(name.path());
        self.cors.check_socket(head)?;
        principal.check_object(&name)?;
        let masks = Masks::of(&self.masking, principal.viewer());
        let read = (head.method == "GET").then(|| DocumentRead::of(&route, &head.query, &head.headers)).flatten();
        let plan = match (read, route, head.method.as_str()) {
            (Some(read), ..) if read.can_be_masked(&masks) => {
                principal.check_role(Role::Reader)?;
                if let Some(response) = self.cached(head, &name, &read, &masks).await? {
                    return Ok(Decision::Respond(with_instance(response, exchange.id())));
                }
                Some(CachePlan::Keep { read, masks })
            }
            (_, Route::Document(collection, id), "PUT" | "PATCH" | "DELETE") => {
                Some(CachePlan::ForgetDocuments { collections: vec![collection], id })
            }
            (_, Route::Documents(collection), "POST") => {
                Some(CachePlan::ForgetCreated { collections: vec![collection] })
            }
            (_, Route::Registry(RegistryRoute::Records | RegistryRoute::Assets | RegistryRoute::Hashes), "POST") => {
                Some(CachePlan::ForgetCreated { collections: [ASSETS, HASHES].map(str::to_owned).to_vec() })
            }
            (_, Route::Import(_) | Route::Registry(RegistryRoute::HashBatch), "POST") => {
                Some(CachePlan::ForgetImported)
            }
            (
                _,
                Route::Registry(RegistryRoute::Cleanup | RegistryRoute::Collisions | RegistryRoute::Reviews(_)),
                "POST",
            ) => Some(CachePlan::ForgetGeneration),
            (_, Route::Registry(RegistryRoute::Record(id)), "DELETE") => {
                Some(CachePlan::ForgetDocuments { collections: [ASSETS, HASHES].map(str::to_owned).to_vec(), id })
            }
            (_, Route::Registry(RegistryRoute::Asset(id)), "PATCH") => {
                Some(CachePlan::ForgetDocuments { collections: vec![ASSETS.to_owned()], id })
            }
            (_, Route::Registry(RegistryRoute::Hash(id)), "DELETE") => {
                Some(CachePlan::ForgetDocuments { collections: vec![HASHES.to_owned()], id })
            }
            (_, Route::Batch | Route::Maintenance, "POST")
            | (_, Route::Collection(_) | Route::Object | Route::Cache, "DELETE") => Some(CachePlan::ForgetGeneration),
            (_, Route::Metrics, "GET" | "HEAD") => Some(CachePlan::AddFigures),
            _ => None,
        };
        // What is kept for everyone is asked for unmasked.
        let keeps = matches!(plan, Some(CachePlan::Keep { .. }));
        let header = || if keeps { principal.unmasked().to_header() } else { principal.to_header() };
        let principal = (!self.access.is_open()).then(header);
        Ok(Decision::Forward { name, plan, principal })
    }

    async fn cached(
        &self,
        head: &RequestHead,
        name: &ObjectName,
        read: &DocumentRead,
        masks: &Masks,
    ) -> Result<Option<Response>> {
        // What is no number is the object's to refuse.
        let least: Option<Sequence> = match header(&head.headers, "min-sequence") {
            Some(wanted) => wanted.trim().parse().ok(),
            None => Some(0),
        };
        let Some(least) = least else { return Ok(None) };
        let (collections, id) = read.documents();
        let mut entries = Vec::new();
        for collection in collections {
            let Some(entry) = self.cache.get(name, collection, id, least).await else { return Ok(None) };
            // Nothing else is told of what is not there.
            let is_absent = entry.body.is_none() && entries.is_empty();
            entries.push(entry);
            if is_absent {
                break;
            }
        }
        let sequence = entries.first().map_or(0, |entry| entry.sequence);
        let response = read.answer(name, entries, masks)?.map(|response| {
            response
                .with_header(SEQUENCE_HEADER, sequence.to_string())
                .with_header("thermocline-cache", "hit")
                .with_header("thermocline-rows-read", "0")
                .with_header(ROWS_WRITTEN_HEADER, "0")
        });
        Ok(response)
    }

    /// Takes an object's answer to a request that had a plan; what comes out goes to the client.
    pub async fn after(&self, name: &ObjectName, plan: CachePlan, mut response: Response) -> Response {
        let generation = response.header(GENERATION_HEADER).map(str::to_owned);
        let has_collided = response.header(COLLIDED_HEADER).is_some();
        let changed = response.header(CHANGED_HEADER).map(str::to_owned);
        let internal = [GENERATION_HEADER, COLLIDED_HEADER, CHANGED_HEADER];
        response.headers.retain(|(header, _)| !internal.contains(&header.as_str()));
        // What was refused changed nothing; what failed may have.
        let refused = (400..500).contains(&response.status);
        let wrote_nothing = response.header(ROWS_WRITTEN_HEADER) == Some("0");
        match plan {
            CachePlan::Keep { read, masks } => {
                if let (Some(generation), Some(entries)) = (generation, read.entries(&response)) {
                    let (collections, id) = read.documents();
                    for (collection, entry) in collections.into_iter().zip(&entries) {
                        self.cache.put(name, &generation, collection, id, entry).await;
                    }
                    response = response.with_header("thermocline-cache", "miss");
                }
                response = read.shape(name, response, &masks).unwrap_or_else(|error| problem::response(&error));
            }
            CachePlan::AddFigures => response = metrics::add_warm(name, &self.cache.figures(name), response),
            // An import that breaks off has committed what came before.
            CachePlan::ForgetImported if refused && wrote_nothing => {}
            CachePlan::ForgetImported => self.cache.forget_generation(name).await,
            _ if refused => {}
            CachePlan::ForgetDocuments { collections, id } => {
                self.forget(name, generation.as_deref(), &collections, &id).await
            }
            CachePlan::ForgetCreated { collections } => {
                if let Some(id) = response.header("location").and_then(made_id) {
                    self.forget(name, generation.as_deref(), &collections, &id).await;
                }
                if has_collided {
                    self.cache.forget_generation(name).await;
                }
            }
            CachePlan::ForgetGeneration => {
                for (collection, id) in changed.iter().flat_map(|changed| changed.split(' ')).filter_map(made_document)
                {
                    self.cache.forget(name, generation.as_deref(), collection, &id).await;
                }
                self.cache.forget_generation(name).await;
            }
        }
        response
    }

    async fn forget(&self, name: &ObjectName, generation: Option<&str>, collections: &[String], id: &str) {
        for collection in collections {
            self.cache.forget(name, generation, collection, id).await;
        }
    }
}

/// The id of the document at a location.
fn made_id(location: &str) -> Option<String> {
    made_document(location).map(|(_, id)| id)
}

/// A document by its collection, or more of its location, and its id.
fn made_document(location: &str) -> Option<(&str, String)> {
    let (collection, id) = location.rsplit_once('/')?;
    let id = percent_decode_str(id).decode_utf8().ok().map(Cow::into_owned)?;
    Some((collection, id))
}

fn reader(principal: Principal) -> Result<Principal> {
    principal.check_role(Role::Reader).map(|()| principal)
}

/// The answer to every request when the Worker cannot work as it is configured. Who watches `/healthz` is told that it is
/// unavailable, and why.
pub fn misconfigured(path: &str, exchange: &mut Exchange, error: &StorageError) -> Response {
    let response = refused(exchange, error);
    if path != "/healthz" {
        return response;
    }
    let unavailable = StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "start", error.message());
    with_instance(problem::response(&unavailable), exchange.id())
}

/// The problem of a request that goes no further; a failure of ours is kept for the log.
pub fn refused(exchange: &mut Exchange, error: &StorageError) -> Response {
    let response = problem::response(error);
    if response.status >= 500 {
        exchange.failure = Some(Failure::of(error));
    }
    with_instance(response, exchange.id())
}

/// A route of the service itself, which is for reading.
fn service(head: &RequestHead, exchange: &mut Exchange, answer: impl Fn(&RequestHead) -> Response) -> Response {
    match head.method.as_str() {
        "GET" => answer(head),
        "HEAD" => {
            let mut response = answer(head);
            response.body.clear();
            response
        }
        _ => {
            let message = "expected one of GET, HEAD, got another method";
            let error = StorageError::new(ErrorKind::MethodNotAllowed, StorageTier::Api, "route request", message);
            refused(exchange, &error).with_header("allow", "GET, HEAD")
        }
    }
}
