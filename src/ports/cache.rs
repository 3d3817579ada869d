//! The Cache API of one data centre, and how long it is waited for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::Clock;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::CACHE_CALL_MAX_MS;
use crate::types::StorageTier;

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

/// A cache whose calls end in time: one that takes longer than [`CACHE_CALL_MAX_MS`] has failed. What it does after that
/// nobody waits for.
pub struct TimelyCache {
    inner: Rc<dyn EdgeCache>,
    clock: Rc<dyn Clock>,
}

impl TimelyCache {
    /// `inner`, by this clock.
    pub fn new(inner: Rc<dyn EdgeCache>, clock: Rc<dyn Clock>) -> Self {
        Self { inner, clock }
    }

    async fn in_time<T>(&self, call: Pin<Box<dyn Future<Output = Result<T>> + '_>>) -> Result<T> {
        match select(call, pin!(self.clock.sleep_ms(CACHE_CALL_MAX_MS))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let message = format!("expected the cache to answer within {CACHE_CALL_MAX_MS} ms, got nothing");
                Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Warm, "use cache", message))
            }
        }
    }
}

#[async_trait(?Send)]
impl EdgeCache for TimelyCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.in_time(self.inner.get(key)).await
    }

    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()> {
        self.in_time(self.inner.put(key, bytes, ttl_secs)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.in_time(self.inner.delete(key)).await
    }
}
