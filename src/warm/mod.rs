//! The warm tier: documents read through the Cache API.
//!
//! Every key carries the object and its cache generation, so that bumping the generation makes everything older miss.
//! Keys are `https://thermocline.cache/{type}/{id}/{generation}/{class}/{key}`; the current generation itself is kept
//! for [`GENERATION_TTL_SECS`], which bounds how long another data centre serves what was invalidated here.
//! A cache that misses, fails or holds something foreign is never an error.

mod meter;

use std::cell::Cell;
use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::meter::WarmMeter;
use crate::limits::CACHE_MAX_BYTES;
use crate::ports::{CachedEntry, Clock, EdgeCache};
use crate::types::Sequence;
use crate::types::names::ObjectName;

pub use meter::WarmFigures;

/// How long a data centre believes the generation it last saw, in seconds.
pub const GENERATION_TTL_SECS: u32 = 10;

const ORIGIN: &str = "https://thermocline.cache";
/// What needs no encoding in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The key of an object's current generation.
pub fn generation_key(name: &ObjectName) -> String {
    format!("{ORIGIN}/{}/generation", name.path())
}

/// The key of a document of an object's generation.
pub fn document_key(name: &ObjectName, generation: i64, collection: &str, id: &str) -> String {
    format!("{ORIGIN}/{}/{generation}/document/{collection}/{}", name.path(), utf8_percent_encode(id, SEGMENT))
}

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

/// The cache as the Worker uses it: to answer without the object.
pub struct DocumentCache {
    /// `None` where nothing is to be cached.
    cache: Option<Rc<dyn EdgeCache>>,
    ttl_secs: u32,
    meter: WarmMeter,
}

impl DocumentCache {
    /// Documents live for `ttl_secs`. Without a cache every document is missed, and none is kept.
    pub fn new(cache: Option<Rc<dyn EdgeCache>>, ttl_secs: u32, clock: Rc<dyn Clock>) -> Self {
        Self { cache, ttl_secs, meter: WarmMeter::new(clock) }
    }

    /// What was counted of an object.
    pub fn figures(&self, name: &ObjectName) -> WarmFigures {
        self.meter.figures(name)
    }

    /// The generation last seen here, unless that was too long ago.
    async fn generation(&self, name: &ObjectName) -> Option<i64> {
        let entry = self.look_up(name, &generation_key(name)).await?;
        std::str::from_utf8(&entry.body).ok()?.parse().ok()
    }

    /// A cached document.
    pub async fn get(&self, name: &ObjectName, collection: &str, id: &str) -> Option<CachedEntry> {
        self.cache.as_ref()?;
        let found = match self.generation(name).await {
            Some(generation) => self.look_up(name, &document_key(name, generation, collection, id)).await,
            None => None,
        };
        self.meter.note(name, |counted| {
            let counter = if found.is_some() { &mut counted.hits } else { &mut counted.misses };
            *counter = counter.saturating_add(1);
        });
        found
    }

    /// Keeps a document that was loaded in `generation`, unless it is large.
    pub async fn put(&self, name: &ObjectName, generation: i64, collection: &str, id: &str, entry: &CachedEntry) {
        let Some(cache) = self.cache.as_ref().filter(|_| entry.body.len() <= CACHE_MAX_BYTES) else { return };
        let current = CachedEntry { headers: Vec::new(), body: generation.to_string().into_bytes() };
        self.count_call(name);
        let _ = cache.put(&generation_key(name), &current, GENERATION_TTL_SECS).await;
        self.count_call(name);
        let put = cache.put(&document_key(name, generation, collection, id), entry, self.ttl_secs).await;
        let written = u64::from(put.is_ok());
        self.meter.note(name, |counted| counted.keys_written = counted.keys_written.saturating_add(written));
    }

    /// Takes a document back after its change went through here.
    pub async fn forget(&self, name: &ObjectName, collection: &str, id: &str) {
        if let Some(generation) = self.generation(name).await {
            self.delete(name, &document_key(name, generation, collection, id)).await;
        }
    }

    /// Takes everything of an object back: the next cached read asks the object for its generation.
    pub async fn forget_generation(&self, name: &ObjectName) {
        self.delete(name, &generation_key(name)).await;
    }

    async fn look_up(&self, name: &ObjectName, key: &str) -> Option<CachedEntry> {
        let cache = self.cache.as_ref()?;
        self.count_call(name);
        cache.get(key).await.ok().flatten()
    }

    async fn delete(&self, name: &ObjectName, key: &str) {
        if let Some(cache) = &self.cache {
            self.count_call(name);
            let _ = cache.delete(key).await;
        }
    }

    fn count_call(&self, name: &ObjectName) {
        self.meter.note(name, |counted| counted.operations = counted.operations.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_objects_generations_and_documents_apart() {
        let name = ObjectName::new("demo", "1").unwrap();
        assert_eq!(
            document_key(&name, 3, "movies", "a/b?é"),
            "https://thermocline.cache/demo/1/3/document/movies/a%2Fb%3F%C3%A9"
        );
        assert_eq!(generation_key(&name), "https://thermocline.cache/demo/1/generation");
    }
}
