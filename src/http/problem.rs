//! Errors as RFC 9457 problem documents: the one place that maps kinds to statuses.

use serde::Serialize;

use super::message::{Body, Response};
use crate::error::{ErrorKind, StorageError};

/// Seconds after which a request may be tried again, where nothing better is known.
const RETRY_AFTER_SECS: u32 = 5;

#[derive(Serialize)]
struct Problem<'e> {
    #[serde(rename = "type")]
    type_uri: &'static str,
    title: &'static str,
    status: u16,
    detail: &'e str,
    tier: &'static str,
    operation: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Field<'e>>,
}

#[derive(Serialize)]
struct Field<'e> {
    pointer: &'e str,
    detail: &'e str,
}

/// The status and title of a kind of error.
pub fn status(kind: ErrorKind) -> (u16, &'static str) {
    match kind {
        ErrorKind::Malformed => (400, "Malformed request"),
        ErrorKind::Unauthenticated => (401, "Not authenticated"),
        ErrorKind::Forbidden => (403, "Forbidden"),
        ErrorKind::NotFound => (404, "Not found"),
        ErrorKind::MethodNotAllowed => (405, "Method not allowed"),
        ErrorKind::Conflict => (409, "Conflict"),
        ErrorKind::Gone => (410, "Out of retention"),
        ErrorKind::Precondition => (412, "Precondition failed"),
        ErrorKind::TooLarge => (413, "Too large"),
        ErrorKind::UnsupportedMedia => (415, "Unsupported media type"),
        ErrorKind::Invalid => (422, "Not valid"),
        ErrorKind::TooMany => (429, "Too many"),
        ErrorKind::Unavailable => (503, "Unavailable"),
        ErrorKind::Full => (507, "Out of storage"),
        ErrorKind::Corrupt => (500, "Stored data is damaged"),
        ErrorKind::Internal => (500, "Internal error"),
    }
}

/// The response that tells of an error.
pub fn response(error: &StorageError) -> Response {
    let (status, title) = status(error.kind());
    let problem = Problem {
        type_uri: "about:blank",
        title,
        status,
        detail: error.message(),
        tier: error.tier().name(),
        operation: error.operation(),
        retryable: error.is_retryable(),
        errors: error.fields().iter().map(|field| Field { pointer: &field.pointer, detail: &field.detail }).collect(),
    };
    let body = Body::Whole(serde_json::to_vec(&problem).unwrap_or_default());
    let mut response = Response::empty(status).with_body(body).with_header("content-type", "application/problem+json");
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::TooMany => {
            let secs = error.retry_after_secs().unwrap_or(RETRY_AFTER_SECS);
            response = response.with_header("retry-after", secs.to_string());
        }
        ErrorKind::Unauthenticated => response = response.with_header("www-authenticate", "Bearer"),
        _ => {}
    }
    response
}
