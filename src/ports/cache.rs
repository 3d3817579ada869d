//! The Cache API of one data centre.

use async_trait::async_trait;

use crate::error::Result;

/// A cached response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachedEntry {
    /// The headers that were stored with it, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A cache that may forget anything at any time. An error from it is a miss to its callers.
#[async_trait(?Send)]
pub trait EdgeCache {
    /// The entry under `key`, when there is one that has not expired. A key is an absolute URL.
    async fn get(&self, key: &str) -> Result<Option<CachedEntry>>;

    /// Keeps `entry` for at most `ttl_secs`.
    async fn put(&self, key: &str, entry: &CachedEntry, ttl_secs: u32) -> Result<()>;

    /// Forgets `key` in this data centre.
    async fn delete(&self, key: &str) -> Result<()>;
}
