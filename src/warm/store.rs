//! Values kept in the cache: got, put and forgotten by their keys.
//!
//! Invariants: whatever the cache does, a caller gets what was put under the key and is not too old, or a miss; a failure of
//! the cache is a miss, and a put that fails is none; nothing over [`CACHE_MAX_BYTES`] is put.

use std::rc::Rc;

use super::entry::{Entry, FoundEntry, decode, encode};
use crate::limits::CACHE_MAX_BYTES;
use crate::ports::{Clock, EdgeCache};

/// What a look at the cache came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// The entry that was asked for.
    Hit(FoundEntry),
    /// Nothing.
    Miss,
    /// Something that is not what was asked for: as good as nothing.
    Rejected,
    /// The cache failed, or did not answer in time.
    Failed,
}

impl LookUp {
    /// The entry, if that is what was found.
    pub fn hit(self) -> Option<FoundEntry> {
        match self {
            Self::Hit(found) => Some(found),
            Self::Miss | Self::Rejected | Self::Failed => None,
        }
    }
}

/// The cache of this data centre.
#[derive(Clone)]
pub struct WarmStore {
    cache: Rc<dyn EdgeCache>,
    clock: Rc<dyn Clock>,
}

impl WarmStore {
    /// Values in `cache`, whose age is told by `clock`.
    pub fn new(cache: Rc<dyn EdgeCache>, clock: Rc<dyn Clock>) -> Self {
        Self { cache, clock }
    }

    /// Looks for the entry of a key.
    pub async fn get(&self, key: &str) -> LookUp {
        let bytes = match self.cache.get(key).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return LookUp::Miss,
            Err(_) => return LookUp::Failed,
        };
        decode(&bytes, key, self.clock.now_ms()).map_or(LookUp::Rejected, LookUp::Hit)
    }

    /// Keeps an entry under a key, unless it is large; tells whether it did, as far as is known.
    pub async fn put(&self, key: &str, entry: &Entry, ttl_secs: u32) -> bool {
        if entry.body.as_ref().is_some_and(|body| body.len() > CACHE_MAX_BYTES) {
            return false;
        }
        let bytes = encode(entry, key, self.clock.now_ms(), ttl_secs);
        self.cache.put(key, &bytes, ttl_secs).await.is_ok()
    }

    /// Forgets a key; tells whether the cache has. One that fails keeps it until its time to live ends.
    pub async fn forget(&self, key: &str) -> bool {
        self.cache.delete(key).await.is_ok()
    }
}
