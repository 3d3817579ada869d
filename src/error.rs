//! The one error type of every tier.
//!
//! A [`StorageError`] names the tier and the operation that failed, what was expected, what was got and the remedy.
//! Its kinds are few and each maps to one HTTP status; the mapping lives in `http/`.
//! The message is written for the caller: it never carries a source's own text, which stays in `cause`.

use std::error::Error;
use std::fmt;

use crate::types::StorageTier;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be read: not UTF-8, not JSON, a bad name.
    Malformed,
    /// No identity, or one that does not hold.
    Unauthenticated,
    /// A known identity without the right.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// The route exists, but not for this method.
    MethodNotAllowed,
    /// The thing exists already, or another writer was faster.
    Conflict,
    /// It existed and is out of retention.
    Gone,
    /// `If-Match`, `If-None-Match`, `ifVersion` or `Min-Sequence` does not hold.
    Precondition,
    /// Over a documented size.
    TooLarge,
    /// A content type that this route does not read.
    UnsupportedMedia,
    /// Well-formed, but not valid here.
    Invalid,
    /// As many as there may be at once; trying again later may help.
    TooMany,
    /// A tier cannot answer now; trying again later may help.
    Unavailable,
    /// The object is out of space.
    Full,
    /// Stored bytes are not what they should be.
    Corrupt,
    /// A defect of this program.
    Internal,
}

/// One invalid place in a request: an RFC 6901 pointer and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// RFC 6901 JSON pointer into the request body.
    pub pointer: String,
    /// What was expected and what was got.
    pub detail: String,
}

struct Inner {
    kind: ErrorKind,
    tier: StorageTier,
    operation: &'static str,
    message: String,
    fields: Vec<FieldProblem>,
    retry_after_secs: Option<u32>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// A failure of a tier's operation.
pub struct StorageError(Box<Inner>);

/// What every fallible operation of this crate returns.
pub type Result<T> = std::result::Result<T, StorageError>;

impl StorageError {
    /// An error of `kind` in `tier` while doing `operation` (a short verb phrase such as `insert document`).
    pub fn new(kind: ErrorKind, tier: StorageTier, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            tier,
            operation,
            message: message.into(),
            fields: Vec::new(),
            retry_after_secs: None,
            cause: None,
        }))
    }

    /// Keeps the failure underneath, for logs only.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Box::new(cause));
        self
    }

    /// The failure underneath, when it is of this type.
    pub fn cause_as<T: Error + 'static>(&self) -> Option<&T> {
        self.0.cause.as_deref().and_then(|cause| cause.downcast_ref())
    }

    /// Adds an invalid place of the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.fields.push(FieldProblem { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Puts `prefix` before every pointer: the error of a part becomes the error of the whole.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for field in &mut self.0.fields {
            field.pointer.insert_str(0, prefix);
        }
        self
    }

    /// The same failure, told as the failure of `operation`.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// Says when the same request may succeed.
    #[must_use]
    pub fn retry_after(mut self, secs: u32) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }

    /// In how many seconds the same request may succeed, where that is known.
    pub fn retry_after_secs(&self) -> Option<u32> {
        self.0.retry_after_secs
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The tier it happened in.
    pub fn tier(&self) -> StorageTier {
        self.0.tier
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What was expected, what was got, what to do.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The invalid places of the request, if any.
    pub fn fields(&self) -> &[FieldProblem] {
        &self.0.fields
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::TooMany)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tier, {}: {}", self.0.tier.name(), self.0.operation, self.0.message)?;
        for field in &self.0.fields {
            write!(f, "; {}: {}", field.pointer, field.detail)?;
        }
        Ok(())
    }
}

impl fmt::Debug for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({self})", self.0.kind)?;
        match &self.0.cause {
            Some(cause) => write!(f, " caused by: {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
