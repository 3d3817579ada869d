//! What a digital object answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::access::{Callers, Principal};
use super::access_log::Observed;
use super::body::invalid;
use super::budgets::Budgets;
use super::documents::GENERATION_HEADER;
use super::exchange::{REQUEST_ID_HEADER, with_instance};
use super::message::{Body, Request, Response};
use super::metered::Metered;
use super::params::refuse;
use super::problem;
use super::routes::{Route, Routes};
use super::{
    access_log, batch, cache, cdc, collections, documents, erase, export, import, maintenance, metrics, object_info,
    query, registry, restore, snapshots, sync,
};
use crate::engine::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::CORRELATION_ID_MAX_BYTES;
use crate::types::names::ObjectName;
use crate::types::{ChangeContext, Masks, Sequence, StorageTier};

/// The header of a write that names the sequence reached.
pub const SEQUENCE_HEADER: &str = "thermocline-sequence";
/// The header of every answer that names the rows written for it.
pub const ROWS_WRITTEN_HEADER: &str = "thermocline-rows-written";

/// An object behind its routes.
pub struct ObjectService {
    /// Shared with the bodies of responses that are still sent. Another one once the object was erased.
    engine: RefCell<Rc<Engine>>,
    routes: Routes,
    callers: Callers,
    /// Requests that are worked on.
    in_progress: Cell<usize>,
    budgets: Budgets,
}

impl ObjectService {
    /// Serves an engine to these callers.
    pub fn new(engine: Engine, callers: Callers) -> Result<Self> {
        Ok(Self {
            budgets: Budgets::new(&engine.config().budgets),
            engine: RefCell::new(Rc::new(engine)),
            routes: Routes::new()?,
            callers,
            in_progress: Cell::new(0),
        })
    }

    /// The object itself.
    pub fn engine(&self) -> Rc<Engine> {
        Rc::clone(&self.engine.borrow())
    }

    /// Answers a request; errors become problem documents.
    pub async fn handle(&self, request: Request) -> Response {
        self.handle_telling(request, &|_| {}).await
    }

    /// The same, and tells of an error before it becomes a problem document, which leaves its causes out.
    pub async fn handle_telling(&self, mut request: Request, tell: &dyn Fn(&StorageError)) -> Response {
        let head = request.method == "HEAD";
        let spent = || self.engine().spent();
        let subject = RefCell::new(None);
        let answered = async {
            let observed = self.observe(&mut request);
            let result = self.answer(&mut request, &subject).await;
            if let Some(observed) = observed {
                let status = match &result {
                    Ok(response) => response.status,
                    Err(error) => problem::status(error.kind()).0,
                };
                // What cannot be noted now does not change the answer.
                if let Err(error) = observed.answered(&self.engine(), status) {
                    tell(&error);
                }
            }
            if result.is_err() {
                request.discard_body().await;
            }
            // What was asked is answered, whether or not the archive can be scheduled now: the next request tries again.
            let _ = self.engine().ensure_archive_scheduled().await;
            result
        };
        let (result, cost) = Metered::new(answered, &spent).await;
        if let Some(subject) = subject.take() {
            self.budgets.charge(&subject, cost, self.engine().now_ms());
        }
        let mut response = result.unwrap_or_else(|error| {
            tell(&error);
            problem::response(&error)
        });
        // For the Worker, which takes back what was changed.
        if cost.rows_written > 0
            && response.header(GENERATION_HEADER).is_none()
            && let Some(generation) = self.engine().generation_in_use()
        {
            response = response.with_header(GENERATION_HEADER, generation);
        }
        if let Some(id) = request.header(REQUEST_ID_HEADER).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
            response = with_instance(response, id);
        }
        if let Body::Whole(body) = &response.body
            && (head || !body.is_empty())
        {
            let length = body.len().to_string();
            response = response.with_header("content-length", length);
        }
        if head {
            response.body.clear();
        }
        response
            .with_header("thermocline-rows-read", cost.rows_read.to_string())
            .with_header(ROWS_WRITTEN_HEADER, cost.rows_written.to_string())
    }

    /// What is to be noted of a request; `None` where nothing is, and of what is between objects but a restore.
    fn observe(&self, request: &mut Request) -> Option<Observed> {
        access_log::forget_claims(request);
        let (_, route) = self.routes.find(&request.path).ok()?;
        let is_asked = route.role(&request.method).is_some() || route == Route::ForeignRestore;
        if !is_asked || !self.engine().notes_access() {
            return None;
        }
        Some(Observed::new(request, &route, self.callers == Callers::Anyone, self.engine().now_ms()))
    }

    /// The answer; `subject` becomes whoever is to be charged for it.
    async fn answer(&self, request: &mut Request, subject: &RefCell<Option<String>>) -> Result<Response> {
        let (name, route) = self.routes.find(&request.path)?;
        if let Err(error) = route.check_method(&request.method) {
            return Ok(problem::response(&error).with_header("allow", route.methods().join(", ")));
        }
        let role = route.role(&request.method);
        let principal = if role.is_some() { self.callers.caller(request)? } else { Principal::anyone() };
        let engine = &self.engine();
        engine.bind(&name)?;
        engine.request_began();
        self.budgets.admit(&principal.subject, engine.now_ms())?;
        subject.replace(Some(principal.subject.clone()));
        // After the budgets: whoever is refused for want of a role has asked all the same.
        if let Some(role) = role {
            principal.check_role(role)?;
        }
        // Readers of the change feed may only wait: they take a place when they read a large page.
        let _place = if route == Route::Cdc { None } else { Some(self.take_place()?) };
        if let Some(wanted) = min_sequence(request)? {
            engine.check_min_sequence(wanted)?;
        }
        let method = request.method.clone();
        if (&route, method.as_str()) == (&Route::Object, "DELETE") {
            return self.erase(engine, &name, request, &principal).await;
        }
        engine.check_not_erasing()?;
        let masks = Masks::of(&engine.config().security.data_masking, principal.viewer());
        match (route, method.as_str()) {
            (Route::Object, _) => object_info::get(engine, request),
            (Route::Collections, _) => collections::list(engine, request),
            (Route::Collection(name), "PUT") => collections::declare(engine, request, &name).await,
            (Route::Collection(name), "DELETE") => collections::drop(engine, request, &name).await,
            (Route::Collection(name), _) => collections::get(engine, request, &name),
            (Route::Documents(collection), _) => {
                masked(documents::insert(engine, request, &collection, &principal).await?, &collection, &masks)
            }
            (Route::Document(collection, id), "PUT") => {
                masked(documents::upsert(engine, request, &collection, &id).await?, &collection, &masks)
            }
            (Route::Document(collection, id), "PATCH") => {
                masked(documents::patch(engine, request, &collection, &id).await?, &collection, &masks)
            }
            (Route::Document(collection, id), "DELETE") => documents::delete(engine, request, &collection, &id).await,
            (Route::Document(collection, id), _) => {
                masked(documents::get(engine, request, &collection, &id).await?, &collection, &masks)
            }
            (Route::Export(collection), "POST") => export::export_file(engine, request, &collection, &masks).await,
            (Route::Export(collection), _) => export::export(engine, request, &collection, &masks).await,
            (Route::Import(collection), _) => import::import(engine, request, &collection).await,
            (Route::Query(collection), _) => query::query(engine, request, &collection, &masks).await,
            (Route::Batch, _) => batch::batch(engine, request, &principal).await,
            (Route::Cdc, _) => cdc::read(engine, request, &principal, &|| self.take_place()).await,
            (Route::Consumers, _) => cdc::consumers::list(engine, request),
            (Route::Consumer(name), "PUT") => cdc::consumers::acknowledge(engine, request, &name).await,
            (Route::Consumer(name), "DELETE") => cdc::consumers::forget(engine, request, &name),
            (Route::Consumer(name), _) => cdc::consumers::get(engine, request, &name),
            (Route::Cache, _) => cache::drop_cached(engine, request),
            (Route::Maintenance, _) => maintenance::maintain(engine, request).await,
            (Route::AccessLog, _) => access_log::list(engine, request),
            (Route::Metrics, _) => metrics::get(engine, request),
            (Route::Sync, "POST") => sync::sync(engine, request).await,
            (Route::Sync, _) => sync::state(engine, request),
            (Route::Snapshots, "POST") => snapshots::create(engine, request).await,
            (Route::Snapshots, _) => snapshots::list(engine, request),
            (Route::Snapshot(id), "DELETE") => snapshots::delete(engine, request, id).await,
            (Route::Snapshot(id), _) => snapshots::get(engine, request, id),
            (Route::Restore(id), _) => restore::restore(engine, request, id, &principal).await,
            (Route::ForeignRestore, _) => restore::restore_foreign(engine, request).await,
            (Route::Registry(route), _) => registry::answer(engine, request, route, &principal, &masks).await,
            (Route::Job(id), "DELETE") => restore::cancel(engine, request, id),
            (Route::Job(id) | Route::ForeignJob(id), _) => restore::job(engine, request, id).await,
        }
    }
}

impl ObjectService {
    /// Erases the object. Whoever comes next meets another instance of it.
    async fn erase(
        &self,
        engine: &Engine,
        name: &ObjectName,
        request: &Request,
        principal: &Principal,
    ) -> Result<Response> {
        erase::check(request)?;
        let erased = engine.erase_tables(&principal.subject).await;
        if engine.is_closed() {
            self.engine.replace(Rc::new(engine.renewed()));
        }
        let none_on_their_way = erased? && !engine.is_putting();
        let engine = self.engine();
        engine.bind(name)?;
        erase::files(&engine, none_on_their_way).await
    }
}

/// An answer that is a document, as its reader may see it.
pub fn masked(mut response: Response, collection: &str, masks: &Masks) -> Result<Response> {
    let is_document = matches!(response.status, 200 | 201) && masks.hide_some_of(collection);
    if let Body::Whole(bytes) = &mut response.body
        && is_document
    {
        let text = String::from_utf8(std::mem::take(bytes)).map_err(|error| {
            let message = "expected a document to be UTF-8, got other bytes";
            StorageError::new(ErrorKind::Corrupt, StorageTier::Api, "mask document", message).caused_by(error)
        })?;
        *bytes = masks.apply(collection, text)?.into_bytes();
        // The platform counts anew.
        response.headers.retain(|(name, _)| name != "content-length");
    }
    Ok(response)
}

/// One of the requests that are worked on, until it is dropped.
pub struct Place<'s>(&'s Cell<usize>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl ObjectService {
    /// Takes a place among the requests that are worked on.
    fn take_place(&self) -> Result<Place<'_>> {
        let most = self.engine().config().performance.max_concurrent_operations;
        let others = self.in_progress.get();
        if others >= most {
            let message = format!(
                "expected at most performance.maxConcurrentOperations = {most} requests at once, got more; try again"
            );
            return Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "take request", message));
        }
        self.in_progress.set(others.saturating_add(1));
        Ok(Place(&self.in_progress))
    }
}

/// Who caused a change, as the request tells it.
pub fn change_context(request: &Request) -> Result<ChangeContext> {
    let correlation_id = match request.header("x-correlation-id") {
        None | Some("") => None,
        Some(id) if id.len() <= CORRELATION_ID_MAX_BYTES => Some(id.to_owned()),
        Some(id) => {
            return Err(refuse(format!(
                "expected X-Correlation-Id to have at most {CORRELATION_ID_MAX_BYTES} bytes, got {}",
                id.len()
            )));
        }
    };
    Ok(ChangeContext { source: None, correlation_id, access: access_log::access(request) })
}

fn min_sequence(request: &Request) -> Result<Option<Sequence>> {
    let Some(text) = request.header("min-sequence") else { return Ok(None) };
    match text.trim().parse::<Sequence>() {
        Ok(sequence) if sequence >= 0 => Ok(Some(sequence)),
        _ => Err(refuse(format!("expected Min-Sequence to be a sequence, got {}", crate::types::names::quoted(text)))),
    }
}

/// A parameter or body key that belongs to a later version of this program.
pub fn not_supported(pointer: &str, what: &str) -> StorageError {
    invalid("read request")
        .at(pointer, format!("expected nothing here, got {what}, which this version does not have yet"))
}
