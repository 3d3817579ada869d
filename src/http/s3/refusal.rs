//! Errors as S3 has them: `<Error><Code>…</Code><Message>…</Message></Error>`. Every text here is our own, and needs no
//! escaping.

use super::super::message::{Body, Response};
use super::super::problem;
use crate::error::{ErrorKind, StorageError};

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    message: &'static str,
}

impl Refusal {
    pub const METHOD: Self = Self::new(405, "MethodNotAllowed", "this endpoint is for reading: GET and HEAD");
    pub const NO_TOKEN: Self = Self::new(
        403,
        "AccessDenied",
        "expected the session token of a loaded table in X-Amz-Security-Token, got none",
    );
    pub const INVALID_TOKEN: Self =
        Self::new(403, "InvalidToken", "expected the session token of a loaded table, got something else");
    pub const EXPIRED_TOKEN: Self =
        Self::new(403, "ExpiredToken", "the session token has expired; load the table again for a new one");
    pub const NOT_COVERED: Self =
        Self::new(403, "AccessDenied", "the session token opens the files of its table, and no other keys");
    pub const NO_KEY: Self = Self::new(404, "NoSuchKey", "the key does not exist");
    pub const RANGE: Self = Self::new(416, "InvalidRange", "the range begins behind the end of the object");
    pub const PRECONDITION: Self = Self::new(412, "PreconditionFailed", "the object has another ETag");
    pub const MALFORMED: Self = Self::new(400, "InvalidArgument", "expected the query to be percent-encoded UTF-8");
    pub const NOT_IMPLEMENTED: Self =
        Self::new(501, "NotImplemented", "this endpoint gives the bytes of objects, and nothing else of them");
    pub const NO_BUCKET: Self =
        Self::new(503, "ServiceUnavailable", "expected a bucket bound as COLD, got none; bind one in wrangler.toml");
    const UNAVAILABLE: Self = Self::new(503, "ServiceUnavailable", "the bucket did not answer; try again");

    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// The failure of a tier.
    pub fn of(error: &StorageError) -> Self {
        match error.kind() {
            ErrorKind::Unavailable => Self::UNAVAILABLE,
            kind => Self::new(problem::status(kind).0, "InternalError", "the request failed here"),
        }
    }

    /// The response that tells of it; an answer to HEAD has no body.
    pub fn response(self, method: &str) -> Response {
        let body = if method == "HEAD" { String::new() } else { self.xml() };
        let response = Response::empty(self.status)
            .with_body(Body::Whole(body.into_bytes()))
            .with_header("content-type", "application/xml")
            .with_header("cache-control", "private, no-store");
        match self.status {
            405 => response.with_header("allow", "GET, HEAD"),
            _ => response,
        }
    }

    fn xml(self) -> String {
        let Self { code, message, .. } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    }
}
