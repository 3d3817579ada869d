//! [`EdgeCache`] over the default cache of the data centre.
//!
//! Invariants: an entry is only bytes; what headers the cache answers with means nothing here, but for the length that it
//! promises: a longer answer than any entry is not read.

use async_trait::async_trait;
use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use worker::{Cache, Headers, Response, ResponseBody, web_sys};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::CACHE_MAX_BYTES;
use crate::ports::EdgeCache;
use crate::types::StorageTier;

/// The longest entry: the largest value, and what is said of it.
const ENTRY_MAX_BYTES: usize = CACHE_MAX_BYTES + 16 * 1024;

/// The default cache.
pub struct WorkerCache(Cache);

impl WorkerCache {
    /// The cache of this data centre.
    pub fn new() -> Self {
        Self(Cache::default())
    }
}

#[async_trait(?Send)]
impl EdgeCache for WorkerCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let found = self.0.get(key, false).await.map_err(|error| failure("get entry", error.into()))?;
        let Some(response) = found else { return Ok(None) };
        let length = response.headers().get("content-length").ok().flatten();
        if length.and_then(|length| length.parse::<usize>().ok()).is_none_or(|length| length > ENTRY_MAX_BYTES) {
            return Ok(None);
        }
        read_body(response).await.map(Some).map_err(|exception| failure("get entry", exception))
    }

    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()> {
        let response = stored(bytes, ttl_secs).map_err(|error| failure("put entry", error.into()))?;
        self.0.put(key, response).await.map_err(|error| failure("put entry", error.into()))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        // Whether there was one does not matter.
        self.0.delete(key, false).await.map(drop).map_err(|error| failure("delete entry", error.into()))
    }
}

/// The whole body, or an error: a body that broke off is no entry.
async fn read_body(response: Response) -> std::result::Result<Vec<u8>, Exception> {
    let bytes = web_sys::Response::from(response).array_buffer()?;
    Ok(Uint8Array::new(&JsFuture::from(bytes).await?).to_vec())
}

fn stored(bytes: &[u8], ttl_secs: u32) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("cache-control", &format!("max-age={ttl_secs}"))?;
    Ok(Response::from_body(ResponseBody::Body(bytes.to_vec()))?.with_headers(headers))
}

fn failure(operation: &'static str, exception: Exception) -> StorageError {
    let message = "the edge cache did not answer";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Warm, operation, message).caused_by(exception)
}
