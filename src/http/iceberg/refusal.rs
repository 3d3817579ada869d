//! Errors as the Iceberg REST specification's ErrorModel: `{"error": {"message", "type", "code"}}`.

use serde::Serialize;

use super::super::message::Response;
use super::super::problem;
use crate::error::{ErrorKind, StorageError};
use crate::types::names::quoted;

/// Seconds after which a request that met an unavailable bucket may be tried again.
const RETRY_AFTER_SECS: &str = "5";

/// Why a request is not answered.
#[derive(Debug)]
pub struct Refusal {
    status: u16,
    /// The name of the exception that the reference implementation has for it.
    exception: &'static str,
    message: String,
    header: Option<(&'static str, String)>,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: ErrorModel<'a>,
}

#[derive(Serialize)]
struct ErrorModel<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    exception: &'static str,
    code: u16,
}

impl Refusal {
    fn new(status: u16, exception: &'static str, message: impl Into<String>) -> Self {
        Self { status, exception, message: message.into(), header: None }
    }

    /// The request cannot be read.
    pub fn malformed(message: &str) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    /// No object has such a name, or none that has it has tables.
    pub fn no_namespace(name: &str) -> Self {
        let name = name.replace('\u{1f}', ".");
        Self::new(404, "NoSuchNamespaceException", format!("Namespace does not exist: {}", quoted(&name)))
    }

    /// The table was never published.
    pub fn no_table(namespace: &str, table: &str) -> Self {
        let name = format!("{}.{table}", namespace.replace('\u{1f}', "."));
        Self::new(404, "NoSuchTableException", format!("Table does not exist: {}", quoted(&name)))
    }

    /// No route of this catalogue.
    pub fn no_route() -> Self {
        let message = "expected one of the endpoints that GET /iceberg/v1/config lists, got another";
        Self::new(404, "NotFoundException", message)
    }

    /// A write.
    pub fn read_only(allowed: &str) -> Self {
        let message = "this catalogue is for reading: the object that a table belongs to is its only writer";
        let refusal = Self::new(405, "UnsupportedOperationException", message);
        Self { header: Some(("allow", allowed.to_owned())), ..refusal }
    }

    /// Some fields of the table are masked.
    pub fn masked() -> Self {
        let message = "expected a token whose roles see all fields of this table, got one from which some are masked: \
                       files cannot be masked; read by queries or exports";
        Self::new(403, "ForbiddenException", message)
    }

    /// There is no bucket.
    pub fn no_bucket() -> Self {
        let message = "expected a bucket bound as COLD, got none; bind one in wrangler.toml";
        Self::new(503, "ServiceUnavailableException", message)
    }

    /// Sessions cannot be signed.
    pub fn no_secret() -> Self {
        let message = "expected the secret AUTH_SECRET, which sessions are signed with, got none";
        Self::new(503, "ServiceUnavailableException", message)
    }

    /// The failure of a tier.
    pub fn of(error: &StorageError) -> Self {
        let (status, exception) = match error.kind() {
            ErrorKind::Unauthenticated => (401, "NotAuthorizedException"),
            ErrorKind::Forbidden => (403, "ForbiddenException"),
            ErrorKind::Malformed => (400, "BadRequestException"),
            ErrorKind::Unavailable => (503, "ServiceUnavailableException"),
            kind => (problem::status(kind).0, "InternalServerError"),
        };
        let header = match status {
            401 => Some(("www-authenticate", "Bearer".to_owned())),
            503 => Some(("retry-after", RETRY_AFTER_SECS.to_owned())),
            _ => None,
        };
        Self { status, exception, message: error.message().to_owned(), header }
    }

    /// The response that tells of it.
    pub fn response(&self) -> Response {
        let error = ErrorModel { message: &self.message, exception: self.exception, code: self.status };
        let response = Response::json(self.status, serde_json::to_vec(&ErrorAnswer { error }).unwrap_or_default());
        match &self.header {
            Some((name, value)) => response.with_header(name, value.clone()),
            None => response,
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Self::of(&error)
    }
}
