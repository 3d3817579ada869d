//! Requests and responses as this crate sees them, on any platform.

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// Bytes of a refused body that are read all the same.
const DISCARD_MAX_BYTES: usize = 128 * 1024 * 1024;

/// A body that comes in pieces, each when it is asked for: of a request, or of a response that is passed on or made while
/// it is sent. Dropping it ends the work.
#[async_trait(?Send)]
pub trait BodySource: Any {
    /// The next piece; `None` at the end. A body that breaks off is an error, never an end, and has no piece after it.
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>>;
}

/// The head of a request: what is decided on without its body.
pub struct RequestHead {
    /// The method in upper case.
    pub method: String,
    /// Scheme, host and port as the client called them, without a slash at the end.
    pub origin: String,
    /// The path, still encoded.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
}

/// A request.
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path as it was sent, still percent-encoded, without the query.
    pub path: String,
    /// The query without `?`, still percent-encoded; empty when there is none.
    pub query: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn BodySource>,
}

impl Request {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The media type of the body in lower case, without parameters; `None` when not said.
    pub fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Reads the whole body, `limit` bytes at most.
    pub async fn read_body(&mut self, limit: usize) -> Result<Vec<u8>> {
        let too_large = || {
            StorageError::new(
                ErrorKind::TooLarge,
                StorageTier::Api,
                "read body",
                format!("expected a body of at most {limit} bytes, got more"),
            )
        };
        let announced = self.header("content-length").and_then(|value| value.parse::<u64>().ok());
        if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.body.next_chunk().await? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            if body.is_empty() {
                body = chunk;
            } else {
                body.extend_from_slice(&chunk);
            }
        }
        Ok(body)
    }

    /// Reads what is left of the body, within bounds, and forgets it: a connection whose request is answered while the
    /// client still sends is reset, and the client may never see the answer.
    pub async fn discard_body(&mut self) {
        let mut left = DISCARD_MAX_BYTES;
        while let Ok(Some(chunk)) = self.body.next_chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    }
}

/// The first header of a lower-case name.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The body of a response.
pub enum Body {
    /// All of it is there.
    Whole(Vec<u8>),
    /// It comes while it is sent.
    Stream(Box<dyn BodySource>),
    /// There is none: the connection becomes a socket, with this attached to it.
    Socket(String),
}

impl Body {
    /// A body that comes in pieces.
    pub fn stream(source: impl BodySource) -> Self {
        Self::Stream(Box::new(source))
    }

    /// The bytes that are there: none of a stream.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Stream(_) | Self::Socket(_) => &[],
        }
    }

    /// Leaves nothing of it.
    pub fn clear(&mut self) {
        *self = Self::Whole(Vec::new());
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Stream(_) => f.write_str("a stream"),
            Self::Socket(_) => f.write_str("a socket"),
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// A JSON response.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: Body::Whole(body.into()) }
    }

    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(Vec::new()) }
    }

    /// The same response with a body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A body that is there already.
pub struct WholeBody(Option<Vec<u8>>);

impl WholeBody {
    /// A body of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Some(bytes.into()))
    }
}

#[async_trait(?Send)]
impl BodySource for WholeBody {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}
