//! The Cache API of one data centre.

use async_trait::async_trait;

use crate::error::Result;

/// A cache that may forget anything at any time, and whose answers prove nothing. An error from it is a miss to its callers.
#[async_trait(?Send)]
pub trait EdgeCache {
    /// The bytes under `key`, when there are some that have not expired. A key is an absolute URL.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Keeps `bytes` for at most `ttl_secs`.
    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()>;

    /// Forgets `key` in this data centre.
    async fn delete(&self, key: &str) -> Result<()>;
}
