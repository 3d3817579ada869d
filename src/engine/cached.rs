//! The cache, as the object uses it: files of tables are read through it, and no reader keeps an old version for long.

use std::rc::Rc;

use super::Engine;
use crate::cold::paths::owner_of_immutable;
use crate::config::StorageConfig;
use crate::error::Result;
use crate::hot::Write;
use crate::ports::Ports;
use crate::types::names::ObjectName;
use crate::warm::{CacheClass, CachedBucket, WarmStore, document_key, generation_name};

pub use crate::warm::{CacheFigures, DocumentCache, Entry, WarmFigures};

/// The classes of cached values, by their names in keys.
pub const CACHE_CLASSES: [&str; 4] = CacheClass::NAMES;

/// Writes of one call whose documents are taken out of the cache one by one.
pub const FORGOTTEN_ONE_BY_ONE_MAX: usize = 4;

/// What a drop of cached documents did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheDrop {
    /// The generation before,
    pub before: i64,
    /// and since.
    pub after: i64,
}

/// The files of `ports`' bucket, read through its cache; `None` without a bucket, or where no cache is wanted.
pub(super) fn cached_files(ports: &Ports, config: &StorageConfig) -> Option<Rc<CachedBucket>> {
    let objects = ports.objects.as_ref().filter(|_| config.performance.query_caching).map(Rc::clone)?;
    let store = WarmStore::new(Rc::clone(&ports.cache), Rc::clone(&ports.clock));
    Some(Rc::new(CachedBucket::new(objects, store, owner_of_immutable)))
}

impl Engine {
    /// The name of the generation under which a document read now may be cached; `None` of an object that was never written.
    pub fn cache_generation(&self) -> Result<Option<String>> {
        self.warm.document_loaded();
        self.generation_name()
    }

    /// The name of the generation under which documents may be cached, as the last read or write of one has met it; `None`
    /// when none is.
    pub fn generation_in_use(&self) -> Option<String> {
        self.generation.borrow().clone().filter(|_| self.warm.may_hold_documents())
    }

    fn generation_name(&self) -> Result<Option<String>> {
        let record = self.hot.object_record()?;
        let name = record.map(|record| generation_name(record.created, record.cache_generation));
        self.generation.replace(name.clone());
        Ok(name)
    }

    /// Makes all later cached reads of this object miss what is cached. Of an object that was never written nothing is.
    pub fn drop_cached(&self) -> Result<CacheDrop> {
        let Some(before) = self.hot.object_record()?.map(|record| record.cache_generation) else {
            return Ok(CacheDrop { before: 0, after: 0 });
        };
        self.hot.transaction(|| self.hot.bump_cache_generation())?;
        self.warm.generation_bumped();
        let after = self.hot.object_record()?.map_or(before, |record| record.cache_generation);
        Ok(CacheDrop { before, after })
    }

    /// Makes later cached reads miss, if any document may be cached: after writes of which nobody knows how many there were.
    pub fn forget_cached(&self) -> Result<()> {
        if self.warm.may_hold_documents() { self.drop_cached().map(|_| ()) } else { Ok(()) }
    }

    /// Notes that a request or an alarm begins: it may use the cache as much as any.
    pub fn request_began(&self) {
        if let Some(files) = &self.files {
            files.request_began();
        }
    }

    /// What the cache was good for to this instance's reads of files.
    pub fn file_cache_figures(&self) -> CacheFigures {
        self.files.as_ref().map(|files| files.figures()).unwrap_or_default()
    }

    /// Takes back what a few writes have changed. More at once have bumped the generation in their transaction.
    pub(super) async fn invalidate(&self, name: &ObjectName, writes: &[Write]) -> Result<()> {
        let last = self.last_sequence()?;
        let are_few = writes.len() <= FORGOTTEN_ONE_BY_ONE_MAX;
        if are_few
            && self.warm.may_hold_documents()
            && let Some(generation) = self.generation_name()?
        {
            for write in writes {
                self.warm.forget(&document_key(name, &generation, &write.collection, write.mutation.id())).await;
            }
        }
        self.warm.invalidated(last);
        Ok(())
    }
}
