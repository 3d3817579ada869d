//! Paths to routes. Segments are matched as they were sent and decoded after, so that an encoded slash stays in its
//! segment.

use std::borrow::Cow;

use matchit::{Params, Router};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::access::Role;
use super::registry::routes::{PATTERNS as REGISTRY_PATTERNS, RegistryPattern, RegistryRoute};
use crate::engine::registry::OBJECT_TYPE;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::names::{ObjectName, check_collection, check_id_member, check_name};

/// A route below `/v1/{type}/{id}`, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The object itself.
    Object,
    /// All collections.
    Collections,
    /// One collection.
    Collection(String),
    /// A collection's documents.
    Documents(String),
    /// One document.
    Document(String, String),
    /// A collection's import.
    Import(String),
    /// A collection's export.
    Export(String),
    /// A collection's queries.
    Query(String),
    /// Transactions over several documents.
    Batch,
    /// The change feed.
    Cdc,
    /// All consumers of the change feed.
    Consumers,
    /// One consumer.
    Consumer(String),
    /// What is cached.
    Cache,
    /// What the alarm does, at once.
    Maintenance,
    /// Who did what.
    AccessLog,
    /// Figures.
    Metrics,
    /// Archiving.
    Sync,
    /// All snapshots.
    Snapshots,
    /// One snapshot.
    Snapshot(Uuid),
    /// The restoring of a snapshot.
    Restore(Uuid),
    /// One job.
    Job(Uuid),
    /// A restore that another object asks for.
    ForeignRestore,
    /// A job that another object asks after.
    ForeignJob(Uuid),
    /// What an asset registry has beside all that.
    Registry(RegistryRoute),
}

#[derive(Clone, Copy)]
enum Pattern {
    Object,
    Collections,
    Collection,
    Documents,
    Document,
    Import,
    Export,
    Query,
    Batch,
    Cdc,
    Consumers,
    Consumer,
    Cache,
    Maintenance,
    AccessLog,
    Metrics,
    Sync,
    Snapshots,
    Snapshot,
    Restore,
    Job,
    ForeignRestore,
    ForeignJob,
    Registry(RegistryPattern),
}

const PATTERNS: [(&str, Pattern); 24] = [
    ("/v1/{type}/{id}", Pattern::Object),
    ("/v1/{type}/{id}/", Pattern::Object),
    ("/v1/{type}/{id}/collections", Pattern::Collections),
    ("/v1/{type}/{id}/collections/{collection}", Pattern::Collection),
    ("/v1/{type}/{id}/collections/{collection}/docs", Pattern::Documents),
    ("/v1/{type}/{id}/collections/{collection}/docs/{document}", Pattern::Document),
    ("/v1/{type}/{id}/collections/{collection}/import", Pattern::Import),
    ("/v1/{type}/{id}/collections/{collection}/export", Pattern::Export),
    ("/v1/{type}/{id}/collections/{collection}/query", Pattern::Query),
    ("/v1/{type}/{id}/batch", Pattern::Batch),
    ("/v1/{type}/{id}/cdc", Pattern::Cdc),
    ("/v1/{type}/{id}/cdc/consumers", Pattern::Consumers),
    ("/v1/{type}/{id}/cdc/consumers/{consumer}", Pattern::Consumer),
    ("/v1/{type}/{id}/cache", Pattern::Cache),
    ("/v1/{type}/{id}/maintenance", Pattern::Maintenance),
    ("/v1/{type}/{id}/access", Pattern::AccessLog),
    ("/v1/{type}/{id}/metrics", Pattern::Metrics),
    ("/v1/{type}/{id}/sync", Pattern::Sync),
    ("/v1/{type}/{id}/snapshots", Pattern::Snapshots),
    ("/v1/{type}/{id}/snapshots/{snapshot}", Pattern::Snapshot),
    ("/v1/{type}/{id}/snapshots/{snapshot}/restore", Pattern::Restore),
    ("/v1/{type}/{id}/jobs/{job}", Pattern::Job),
    ("/internal/{type}/{id}/restores", Pattern::ForeignRestore),
    ("/internal/{type}/{id}/jobs/{job}", Pattern::ForeignJob),
];

fn all_patterns() -> impl Iterator<Item = (&'static str, Pattern)> {
    PATTERNS.into_iter().chain(REGISTRY_PATTERNS.into_iter().map(|(path, pattern)| (path, Pattern::Registry(pattern))))
}

/// Finds routes.
pub struct Routes(Router<(&'static str, Pattern)>);

impl Routes {
    /// All routes of an object.
    pub fn new() -> Result<Self> {
        let patterns: Vec<_> = all_patterns().collect();
        router(&patterns).map(Self)
    }

    /// All paths that there are, with the names of their parameters in braces.
    pub fn paths() -> impl Iterator<Item = &'static str> {
        all_patterns().map(|(path, _)| path)
    }

    /// The pattern of an encoded path from outside, for the log; `None` of what is no route.
    pub fn pattern(&self, path: &str) -> Option<&'static str> {
        let (pattern, _) = self.0.at(path).ok()?.value;
        (!pattern.starts_with("/internal")).then_some(*pattern)
    }

    /// The same of a request from outside, which has no routes that are between objects.
    pub fn find_public(&self, path: &str) -> Result<(ObjectName, Route)> {
        match self.find(path)? {
            (_, Route::ForeignRestore | Route::ForeignJob(_)) => Err(unknown(path)),
            found => Ok(found),
        }
    }

    /// The object and route of an encoded path.
    pub fn find(&self, path: &str) -> Result<(ObjectName, Route)> {
        let found = self.0.at(path).map_err(|_| unknown(path))?;
        let params = &found.params;
        let name = match found.value.1 {
            Pattern::Registry(_) => ObjectName::new(OBJECT_TYPE, &decoded(params, "tenant")?)?,
            _ => ObjectName::new(&decoded(params, "type")?, &decoded(params, "id")?)?,
        };
        let route = match found.value.1 {
            Pattern::Object => Route::Object,
            Pattern::Collections => Route::Collections,
            Pattern::Collection => Route::Collection(collection(params)?),
            Pattern::Documents => Route::Documents(collection(params)?),
            Pattern::Document => {
                let id = decoded(params, "document")?.into_owned();
                check_id_member(&id)?;
                Route::Document(collection(params)?, id)
            }
            Pattern::Import => Route::Import(collection(params)?),
            Pattern::Export => Route::Export(collection(params)?),
            Pattern::Query => Route::Query(collection(params)?),
            Pattern::Batch => Route::Batch,
            Pattern::Cdc => Route::Cdc,
            Pattern::Consumers => Route::Consumers,
            Pattern::Consumer => Route::Consumer(consumer(params)?),
            Pattern::Cache => Route::Cache,
            Pattern::Maintenance => Route::Maintenance,
            Pattern::AccessLog => Route::AccessLog,
            Pattern::Metrics => Route::Metrics,
            Pattern::Sync => Route::Sync,
            Pattern::Snapshots => Route::Snapshots,
            Pattern::Snapshot => Route::Snapshot(uuid(params, "snapshot")?),
            Pattern::Restore => Route::Restore(uuid(params, "snapshot")?),
            Pattern::Job => Route::Job(uuid(params, "job")?),
            Pattern::ForeignRestore => Route::ForeignRestore,
            Pattern::ForeignJob => Route::ForeignJob(uuid(params, "job")?),
            Pattern::Registry(pattern) => Route::Registry(RegistryRoute::find(pattern, params)?),
        };
        Ok((name, route))
    }
}

impl Route {
    /// The methods that this route has.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Object => &["GET", "HEAD", "DELETE"],
            Self::Export(_) => &["GET", "HEAD", "POST"],
            Self::Collections | Self::Cdc | Self::Consumers | Self::AccessLog | Self::Metrics => &["GET", "HEAD"],
            Self::Collection(_) | Self::Consumer(_) => &["GET", "HEAD", "PUT", "DELETE"],
            Self::Documents(_)
            | Self::Import(_)
            | Self::Query(_)
            | Self::Batch
            | Self::Maintenance
            | Self::Restore(_)
            | Self::ForeignRestore => &["POST"],
            Self::Cache => &["DELETE"],
            Self::ForeignJob(_) => &["GET"],
            Self::Document(..) => &["GET", "HEAD", "PUT", "PATCH", "DELETE"],
            Self::Sync | Self::Snapshots => &["GET", "HEAD", "POST"],
            Self::Snapshot(_) | Self::Job(_) => &["GET", "HEAD", "DELETE"],
            Self::Registry(route) => route.methods(),
        }
    }

    /// What it is called in the access log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Collections => "collections",
            Self::Collection(_) => "collection",
            Self::Documents(_) => "documents",
            Self::Document(..) => "document",
            Self::Import(_) => "import",
            Self::Export(_) => "export",
            Self::Query(_) => "query",
            Self::Batch => "batch",
            Self::Cdc => "cdc",
            Self::Consumers => "consumers",
            Self::Consumer(_) => "consumer",
            Self::AccessLog => "access",
            Self::Cache => "cache",
            Self::Maintenance => "maintenance",
            Self::Metrics => "metrics",
            Self::Sync => "sync",
            Self::Snapshots => "snapshots",
            Self::Snapshot(_) => "snapshot",
            Self::Restore(_) | Self::ForeignRestore => "restore",
            Self::Job(_) | Self::ForeignJob(_) => "job",
            Self::Registry(route) => route.name(),
        }
    }

    /// The role that a method of this route asks for; `None` for what only objects ask each other.
    pub fn role(&self, method: &str) -> Option<Role> {
        match (self, method) {
            (Self::ForeignRestore | Self::ForeignJob(_), _) => None,
            (Self::Maintenance, _) => Some(Role::Admin),
            (Self::Registry(route), _) => Some(route.role(method)),
            (Self::AccessLog, _) => Some(Role::Auditor),
            // Whoever may read the feed may say how far they have come.
            (_, "GET" | "HEAD") | (Self::Query(_), _) | (Self::Consumer(_), "PUT") => Some(Role::Reader),
            (Self::Object, "DELETE") => Some(Role::Admin),
            _ => Some(Role::Writer),
        }
    }

    /// Refuses a method that this route does not have.
    pub fn check_method(&self, method: &str) -> Result<()> {
        if self.methods().contains(&method) {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::MethodNotAllowed,
            StorageTier::Api,
            "route request",
            format!("expected one of {}, got {}", self.methods().join(", "), crate::types::names::quoted(method)),
        ))
    }
}

/// A router with these patterns, which finds them with their paths.
pub fn router<P: Copy>(patterns: &[(&'static str, P)]) -> Result<Router<(&'static str, P)>> {
    let mut router = Router::new();
    for (path, pattern) in patterns {
        router.insert(*path, (*path, *pattern)).map_err(|error| {
            let message = "expected routes that do not overlap";
            StorageError::new(ErrorKind::Internal, StorageTier::Api, "build routes", message).caused_by(error)
        })?;
    }
    Ok(router)
}

fn collection(params: &Params<'_, '_>) -> Result<String> {
    let name = decoded(params, "collection")?;
    check_collection(&name)?;
    Ok(name.into_owned())
}

fn consumer(params: &Params<'_, '_>) -> Result<String> {
    let name = decoded(params, "consumer")?;
    check_name("consumer", &name)?;
    Ok(name.into_owned())
}

/// An id that this API has given; what is none is the id of nothing.
pub(super) fn uuid(params: &Params<'_, '_>, name: &str) -> Result<Uuid> {
    let text = decoded(params, name)?;
    Uuid::parse_str(&text).map_err(|_| {
        let message = format!("expected the id of a {name}, got {}", crate::types::names::quoted(&text));
        StorageError::new(ErrorKind::NotFound, StorageTier::Api, "route request", message)
    })
}

pub(super) fn decoded<'p>(params: &Params<'_, 'p>, name: &str) -> Result<Cow<'p, str>> {
    percent_decode_str(params.get(name).unwrap_or_default()).decode_utf8().map_err(|error| {
        StorageError::new(
            ErrorKind::Malformed,
            StorageTier::Api,
            "route request",
            "expected the path to be percent-encoded UTF-8, got other bytes",
        )
        .caused_by(error)
    })
}

fn unknown(path: &str) -> StorageError {
    StorageError::new(
        ErrorKind::NotFound,
        StorageTier::Api,
        "route request",
        format!("expected a route of this API, got {}", crate::types::names::quoted(path)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_after_they_are_matched() {
        let routes = Routes::new().unwrap();
        let (name, route) = routes.find("/v1/demo/1/collections/movies/docs/a%2Fb%20%C3%A9").unwrap();
        assert_eq!(name.path(), "demo/1");
        assert_eq!(route, Route::Document("movies".to_owned(), "a/b é".to_owned()));
        let (name, route) = routes.find("/v1/registry/acme/records/a%2Fb").unwrap();
        assert_eq!(
            (name.path().as_str(), route),
            ("registry/acme", Route::Registry(RegistryRoute::Record("a/b".to_owned())))
        );
        let (name, route) = routes.find("/v1/registry/acme/collections/movies").unwrap();
        assert_eq!((name.path().as_str(), route), ("registry/acme", Route::Collection("movies".to_owned())));
        assert_eq!(routes.find("/v1/registry/acme").unwrap().1, Route::Object);
        assert_eq!(routes.find("/v1/demo/acme/records").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(routes.find("/v1/demo/1").unwrap().1, Route::Object);
        assert_eq!(routes.find("/v1/demo/1/").unwrap().1, Route::Object);
        assert_eq!(routes.find("/internal/demo/1/restores").unwrap().1, Route::ForeignRestore);
        let job = "/internal/demo/1/jobs/00000000-0000-0000-0000-000000000001";
        assert!(matches!(routes.find(job).unwrap().1, Route::ForeignJob(_)));
        assert_eq!(routes.find_public(job).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(routes.find_public("/internal/demo/1/restores").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(routes.find_public("/v1/demo/1").unwrap().1, Route::Object);
    }

    #[test]
    fn what_is_no_route_or_no_name_is_refused() {
        let routes = Routes::new().unwrap();
        let kind = |path: &str| routes.find(path).unwrap_err().kind();
        for path in
            ["/", "", "/v1", "/v1/demo", "/v2/demo/1", "/v1/demo/1/nothing", "/v1/demo/1/collections/a/docs/b/c"]
        {
            assert_eq!(kind(path), ErrorKind::NotFound, "{path}");
        }
        for path in [
            "/v1/demo/%2E%2E",
            "/v1/de%22mo/1",
            "/v1/demo/1/collections/mo\"vies",
            "/v1/demo/1/collections/a__changes",
            "/v1/demo/1/collections/movies/docs/%ff",
            "/v1/demo/1/collections/movies/docs/%2E",
        ] {
            assert_eq!(kind(path), ErrorKind::Malformed, "{path}");
        }
    }
}
