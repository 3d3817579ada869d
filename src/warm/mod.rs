//! The warm tier: the Cache API of the data centre, beside the object and in front of it.
//!
//! Invariants:
//!
//! - What is answered from the cache is what was put under that key of that object, and is not older than its time to live.
//!   A cache that misses, fails, forgets or lies is never an error and never another object's data.
//! - Every key of what changes carries the object's cache generation, so that bumping the generation makes everything older
//!   miss. The current generation itself is kept for [`GENERATION_TTL_SECS`], which bounds how long another data centre
//!   serves what was invalidated as a whole.
//! - Files of tables never change under their names, so parts of them are kept without a generation, and reading them from
//!   the cache is as strong as reading them from the bucket.

mod documents;
mod entry;
mod files;
mod keys;
mod meter;
mod store;

use std::cell::Cell;
use std::rc::Rc;

use crate::ports::EdgeCache;
use crate::types::Sequence;

pub use documents::{ABSENT_TTL_SECS, DocumentCache, GENERATION_TTL_SECS};
pub use entry::{Entry, FoundEntry, decode, encode};
pub use files::{CachedBucket, FILE_TTL_SECS};
pub use keys::{CacheClass, class_key, document_key, file_key, generation_key, generation_name};
pub use meter::{CacheFigures, WarmFigures};
pub use store::{LookUp, WarmStore};

/// The cache as one object uses it: to take back what it has changed.
pub struct Warm {
    cache: Rc<dyn EdgeCache>,
    /// Whether a cached read may have happened since the last bump of the generation; unknown after a wake.
    may_hold_documents: Cell<bool>,
    /// The last sequence whose invalidation was applied, in this instance.
    sequence: Cell<Option<Sequence>>,
}

impl Warm {
    /// The warm tier over a cache.
    pub fn new(cache: Rc<dyn EdgeCache>) -> Self {
        Self { cache, may_hold_documents: Cell::new(true), sequence: Cell::new(None) }
    }

    /// Whether documents of the current generation may be cached anywhere.
    pub fn may_hold_documents(&self) -> bool {
        self.may_hold_documents.get()
    }

    /// Notes that a document goes out to be cached.
    pub fn document_loaded(&self) {
        self.may_hold_documents.set(true);
    }

    /// Notes that nothing of the current generation is cached.
    pub fn generation_bumped(&self) {
        self.may_hold_documents.set(false);
    }

    /// Notes that everything up to `sequence` has been taken back.
    pub fn invalidated(&self, sequence: Sequence) {
        self.sequence.set(Some(sequence));
    }

    /// The last sequence noted; `None` when this instance has changed nothing yet.
    pub fn sequence(&self) -> Option<Sequence> {
        self.sequence.get()
    }

    /// Takes one document back. A cache that fails keeps it until its time to live ends.
    pub async fn forget(&self, key: &str) {
        let _ = self.cache.delete(key).await;
    }
}
