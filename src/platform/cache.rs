//! [`EdgeCache`] over the default cache of the data centre.
//!
//! Invariants: an entry comes back as it was put. Its headers travel under a prefix of our own, so that neither the
//! cache reads a meaning into them (`etag`, `vary`, `set-cookie`) nor its own headers are taken for the entry's.

use async_trait::async_trait;
use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use worker::{Cache, Headers, Response, ResponseBody, web_sys};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{CachedEntry, EdgeCache};
use crate::types::StorageTier;

/// What the name of each header of an entry begins with in the cache.
const HEADER_PREFIX: &str = "x-entry-";

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
    async fn get(&self, key: &str) -> Result<Option<CachedEntry>> {
        let found = self.0.get(key, false).await.map_err(|error| failure("get entry", error.into()))?;
        let Some(response) = found else { return Ok(None) };
        let headers = response.headers().entries();
        let headers = headers.filter_map(|(name, value)| Some((name.strip_prefix(HEADER_PREFIX)?.to_owned(), value)));
        let headers = headers.collect();
        Ok(Some(CachedEntry {
            headers,
            body: read_body(response).await.map_err(|exception| failure("get entry", exception))?,
        }))
    }

    async fn put(&self, key: &str, entry: &CachedEntry, ttl_secs: u32) -> Result<()> {
        let response = stored(entry, ttl_secs).map_err(|error| failure("put entry", error.into()))?;
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

fn stored(entry: &CachedEntry, ttl_secs: u32) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in &entry.headers {
        headers.append(&format!("{HEADER_PREFIX}{name}"), value)?;
    }
    headers.set("cache-control", &format!("max-age={ttl_secs}"))?;
    Ok(Response::from_body(ResponseBody::Body(entry.body.clone()))?.with_headers(headers))
}

fn failure(operation: &'static str, exception: Exception) -> StorageError {
    let message = "the edge cache did not answer";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Warm, operation, message).caused_by(exception)
}
