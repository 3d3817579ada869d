//! The read side of the Iceberg REST catalogue, below `/iceberg/v1`.
//!
//! Answers and errors have the forms of the Iceberg REST specification, because its clients read them. Namespaces have two
//! levels, an object's type and its id, joined by the unit separator. What writes is refused: an object is the only
//! writer of its tables.

mod answers;
mod refusal;
mod routes;

use std::rc::Rc;

use super::access::Principal;
use super::cursor::query_hash;
use super::message::{RequestHead, Response};
use super::params::find_param;
use crate::catalog::{Namespace, Page, PageRequest, S3Base, SessionKey, TablePath, Tables};
use crate::config::{Masking, StorageConfig};
use crate::error::StorageError;
use crate::ports::{Clock, ObjectFolders};
use crate::types::names::{CHANGES_SUFFIX, ObjectName};
use crate::types::{Masks, Timestamp};
use refusal::Refusal;
pub use routes::paths as catalog_paths;
use routes::{Route, Routes};

/// Names of a page whose size is not said.
const PAGE_DEFAULT_NAMES: u32 = 100;
/// A page token is a cursor of the bucket, which is far shorter.
const PAGE_TOKEN_MAX_BYTES: usize = 4_096;

/// Where engines read a table's files.
enum Files {
    /// At this worker, with a session's credentials.
    Here(Option<SessionKey>),
    /// At an S3 endpoint, with credentials of their own.
    Endpoint(String),
    /// Nowhere that the catalogue could name: the base is no address of S3.
    Elsewhere,
}

/// The catalogue.
pub struct IcebergService {
    routes: Routes,
    tables: Option<Tables>,
    clock: Rc<dyn Clock>,
    base_uri: String,
    region: String,
    files: Files,
    masking: Masking,
}

impl IcebergService {
    /// The catalogue of a bucket; `key` signs the sessions of those who load a table.
    pub fn new(
        bucket: Option<Rc<dyn ObjectFolders>>,
        clock: Rc<dyn Clock>,
        config: &StorageConfig,
        key: Option<SessionKey>,
    ) -> crate::error::Result<Self> {
        let masking = config.security.data_masking.clone();
        let config = &config.cold;
        let files = match (&config.s3_endpoint, S3Base::parse(&config.base_uri)) {
            (_, None) => Files::Elsewhere,
            (Some(endpoint), _) => Files::Endpoint(endpoint.clone()),
            (None, _) => Files::Here(key),
        };
        Ok(Self {
            routes: Routes::new()?,
            tables: bucket.map(Tables::new),
            clock,
            base_uri: config.base_uri.clone(),
            region: config.s3_region.clone(),
            files,
            masking,
        })
    }

    /// The pattern of a path, for the log.
    pub fn pattern(&self, path: &str) -> Option<&'static str> {
        self.routes.pattern(path)
    }

    /// Answers a request of whoever may read; of what is not theirs nothing is told, not even whether it exists.
    pub async fn answer(&self, head: &RequestHead, principal: &Principal) -> Response {
        let mut response = match self.route(head, principal).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        };
        if head.method == "HEAD" {
            response.body.clear();
        }
        // What is loaded carries credentials, and the rest changes with every commit.
        response.with_header("cache-control", "private, no-store")
    }

    /// The answer to whoever may not be told anything.
    pub fn refuse(head: &RequestHead, error: &StorageError) -> Response {
        let mut response = Refusal::of(error).response();
        if head.method == "HEAD" {
            response.body.clear();
        }
        response
    }

    async fn route(&self, head: &RequestHead, principal: &Principal) -> Result<Response, Refusal> {
        let route = self.routes.find(&head.path, &head.method)?;
        match route {
            Route::Config => Ok(answers::config()),
            Route::Namespaces => self.namespaces(head, principal).await,
            Route::Namespace(name) => self.namespace(head, &name, &namespace_of(&name, principal)?).await,
            Route::Tables(name) => self.table_list(head, &name, &namespace_of(&name, principal)?).await,
            Route::Table(namespace, table) => {
                let path = table_path(&namespace, &table, principal)?;
                if head.method != "HEAD" {
                    self.check_masks(&table, principal)?;
                }
                self.table(head, path, principal, || Refusal::no_table(&namespace, &table)).await
            }
        }
    }

    fn tables(&self) -> Result<&Tables, Refusal> {
        self.tables.as_ref().ok_or_else(Refusal::no_bucket)
    }

    async fn namespaces(&self, head: &RequestHead, principal: &Principal) -> Result<Response, Refusal> {
        let tables = self.tables()?;
        let parent = find_param(&head.query, "parent")?.filter(|parent| !parent.is_empty());
        let Some(parent) = parent else {
            let mut listed = with_token(tables.types(&page_request(&head.query, "")?).await?, "");
            listed.names.retain(|doc_type| principal.covers_some_of(doc_type));
            return Ok(answers::namespaces(&listed, &[]));
        };
        let namespace = namespace_of(&parent, principal)?;
        let page = page_request(&head.query, &parent)?;
        let mut listed = match &namespace {
            Namespace::Type(doc_type) => with_token(tables.objects(doc_type, &page).await?, &parent),
            // An object has tables and no namespaces.
            Namespace::Object(_) => Page { names: Vec::new(), cursor: None },
        };
        if listed.names.is_empty() && listed.cursor.is_none() {
            self.expect(&namespace, &parent).await?;
        }
        if let Namespace::Type(doc_type) = &namespace {
            let is_theirs = |id: &str| ObjectName::new(doc_type, id).is_ok_and(|name| principal.covers(&name));
            listed.names.retain(|id| is_theirs(id));
        }
        Ok(answers::namespaces(&listed, &namespace.levels()))
    }

    async fn namespace(&self, head: &RequestHead, name: &str, namespace: &Namespace) -> Result<Response, Refusal> {
        self.expect(namespace, name).await?;
        if head.method == "HEAD" {
            return Ok(Response::empty(204));
        }
        Ok(answers::namespace(&namespace.levels(), &format!("{}/{}", self.base_uri, namespace.folder())))
    }

    async fn table_list(&self, head: &RequestHead, name: &str, namespace: &Namespace) -> Result<Response, Refusal> {
        let (tables, page) = (self.tables()?, page_request(&head.query, name)?);
        let listed = match namespace {
            // A type has namespaces and no tables.
            Namespace::Type(_) => Page { names: Vec::new(), cursor: None },
            Namespace::Object(object) => with_token(tables.tables(object, &page).await?, name),
        };
        if listed.names.is_empty() && listed.cursor.is_none() {
            self.expect(namespace, name).await?;
        }
        Ok(answers::tables(&listed, &namespace.levels()))
    }

    async fn table(
        &self,
        head: &RequestHead,
        path: Option<TablePath>,
        principal: &Principal,
        missing: impl Fn() -> Refusal,
    ) -> Result<Response, Refusal> {
        let tables = self.tables()?;
        let path = path.ok_or_else(&missing)?;
        if head.method == "HEAD" {
            return if tables.exists(&path).await? { Ok(Response::empty(204)) } else { Err(missing()) };
        }
        let loaded = tables.load(&path).await?.ok_or_else(missing)?;
        Ok(answers::table(&loaded, self.properties(&head.origin, &path, principal.ends_at)?))
    }

    /// Refuses those from whom some of a table's fields are hidden: its files show all.
    fn check_masks(&self, table: &str, principal: &Principal) -> Result<(), Refusal> {
        let collection = table.strip_suffix(CHANGES_SUFFIX).unwrap_or(table);
        if Masks::of(&self.masking, principal.viewer()).hide_some_of(collection) {
            return Err(Refusal::masked());
        }
        Ok(())
    }

    /// What a client needs to read the files of a table.
    fn properties(
        &self,
        origin: &str,
        table: &TablePath,
        ends_at: Option<Timestamp>,
    ) -> Result<Vec<(&'static str, String)>, Refusal> {
        let (endpoint, credentials) = match &self.files {
            Files::Elsewhere => return Ok(Vec::new()),
            Files::Endpoint(endpoint) => (endpoint.clone(), None),
            Files::Here(None) => return Err(Refusal::no_secret()),
            Files::Here(Some(key)) => (format!("{origin}/s3"), Some(key.issue(table, self.clock.now_ms(), ends_at))),
        };
        let mut properties = vec![
            ("s3.endpoint", endpoint),
            ("s3.region", self.region.clone()),
            ("client.region", self.region.clone()),
            ("s3.path-style-access", "true".to_owned()),
            ("s3.force-virtual-addressing", "false".to_owned()),
        ];
        if let Some(credentials) = credentials {
            properties.push(("s3.access-key-id", credentials.access_key_id));
            properties.push(("s3.secret-access-key", credentials.secret_access_key));
            properties.push(("s3.session-token", credentials.session_token));
        }
        Ok(properties)
    }

    /// Refuses a namespace in which there is nothing.
    async fn expect(&self, namespace: &Namespace, name: &str) -> Result<(), Refusal> {
        if self.tables()?.has(namespace).await? { Ok(()) } else { Err(Refusal::no_namespace(name)) }
    }
}

/// The namespace of a name, if it is theirs.
fn namespace_of(name: &str, principal: &Principal) -> Result<Namespace, Refusal> {
    let namespace = routes::namespace_of(name).ok_or_else(|| Refusal::no_namespace(name))?;
    match &namespace {
        Namespace::Type(doc_type) => principal.check_type(doc_type)?,
        Namespace::Object(object) => principal.check_object(object)?,
    }
    Ok(namespace)
}

/// Where a table of theirs lies; `None` for what can be no table.
fn table_path(namespace: &str, name: &str, principal: &Principal) -> Result<Option<TablePath>, Refusal> {
    let Some(Namespace::Object(object)) = routes::namespace_of(namespace) else { return Ok(None) };
    principal.check_object(&object)?;
    Ok(TablePath::named(&object, name))
}

/// By the specification a client asks for pages by sending a token, an empty one at first; PyIceberg sends a size alone.
fn page_request(query: &str, of: &str) -> Result<PageRequest, Refusal> {
    let token = find_param(query, "pageToken")?;
    let size = find_param(query, "pageSize")?;
    if token.is_none() && size.is_none() {
        return Ok(PageRequest::All);
    }
    let size = match size {
        None => PAGE_DEFAULT_NAMES,
        Some(size) => {
            let size = size.parse::<u32>().ok().filter(|size| *size > 0);
            size.ok_or_else(|| Refusal::malformed("expected pageSize to be a whole number above 0"))?
        }
    };
    let cursor = match token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(cursor_of(&token, of).ok_or_else(|| {
            Refusal::malformed("expected pageToken to be the next-page-token of the same list, got another")
        })?),
    };
    Ok(PageRequest::Page { size, cursor })
}

/// Hexadecimal digits of a hash, before the cursor of a page token.
const TOKEN_HASH_DIGITS: usize = 16;

/// The token of a list's next page: the bucket's cursor, and a hash that ties it to the list, so that the bucket is not asked with
/// what it would fail at. It protects nothing.
fn page_token(cursor: &str, of: &str) -> String {
    format!("{:016x}{cursor}", query_hash(&format!("{of}\n{cursor}")))
}

/// The cursor of such a token; `None` of any other text.
fn cursor_of(token: &str, of: &str) -> Option<String> {
    let cursor = token.get(TOKEN_HASH_DIGITS..).filter(|_| token.len() <= PAGE_TOKEN_MAX_BYTES)?;
    (page_token(cursor, of) == token).then(|| cursor.to_owned())
}

fn with_token(page: Page, of: &str) -> Page {
    Page { cursor: page.cursor.map(|cursor| page_token(&cursor, of)), ..page }
}
