//! Documents kept by the Worker, to answer without the object.
//!
//! Invariants: an answer is of the generation that this data centre saw within [`GENERATION_TTL_SECS`], and was loaded at
//! or after the sequence that the reader asks for. A document that is not there is remembered, too, for
//! [`ABSENT_TTL_SECS`].
//!
//! A read that loads while the document is written may put what it has loaded after the write has taken the key back. Then
//! the older version is there until its time to live ends, as it is in other data centres; whoever must not see it
//! sends `Min-Sequence`.

use std::rc::Rc;

use super::entry::{Entry, FoundEntry};
use super::keys::{CacheClass, document_key, generation_key, is_generation_name};
use super::meter::{CacheFigures, WarmFigures, WarmMeter};
use super::store::{LookUp, WarmStore};
use crate::config::WarmConfig;
use crate::limits::CACHE_MAX_BYTES;
use crate::ports::{Clock, EdgeCache};
use crate::types::Sequence;
use crate::types::names::ObjectName;

/// How long a data centre believes the generation it last saw, in seconds.
pub const GENERATION_TTL_SECS: u32 = 10;
/// How long it is remembered that a document is not there, in seconds.
pub const ABSENT_TTL_SECS: u32 = 5;

/// The cache as the Worker uses it.
pub struct DocumentCache {
    /// `None` where nothing is to be cached.
    store: Option<WarmStore>,
    ttl_secs: u32,
    meter: WarmMeter,
}

impl DocumentCache {
    /// Documents in a cache. Without one every document is missed, and none is kept.
    pub fn new(cache: Option<Rc<dyn EdgeCache>>, config: &WarmConfig, clock: Rc<dyn Clock>) -> Self {
        Self {
            store: cache.map(|cache| WarmStore::new(cache, Rc::clone(&clock))),
            ttl_secs: CacheClass::Document.ttl_secs(config),
            meter: WarmMeter::new(clock),
        }
    }

    /// What was counted of an object.
    pub fn figures(&self, name: &ObjectName) -> WarmFigures {
        self.meter.figures(name)
    }

    /// What is known of a document, at or after a sequence.
    pub async fn get(&self, name: &ObjectName, collection: &str, id: &str, least: Sequence) -> Option<Entry> {
        self.store.as_ref()?;
        let found = self.find(name, collection, id).await;
        let too_old = found.as_ref().is_some_and(|found| found.entry.sequence < least);
        let found = found.filter(|_| !too_old);
        self.meter.note(name, |counted| match &found {
            Some(found) => counted.note_hit(found),
            None => {
                counted.misses = counted.misses.saturating_add(1);
                counted.too_old = counted.too_old.saturating_add(u64::from(too_old));
            }
        });
        found.map(|found| found.entry)
    }

    async fn find(&self, name: &ObjectName, collection: &str, id: &str) -> Option<FoundEntry> {
        let generation = self.generation(name).await?;
        self.look_up(name, &document_key(name, &generation, collection, id)).await
    }

    /// The generation last seen here, unless that was too long ago.
    async fn generation(&self, name: &ObjectName) -> Option<String> {
        let found = self.look_up(name, &generation_key(name)).await?;
        Some(found.entry.tag).filter(|generation| is_generation_name(generation))
    }

    /// Keeps what the object answered for a document in `generation`, unless it is large.
    pub async fn put(&self, name: &ObjectName, generation: &str, collection: &str, id: &str, entry: &Entry) {
        let length = entry.body.as_ref().map_or(0, Vec::len);
        let Some(store) = self.store.as_ref().filter(|_| length <= CACHE_MAX_BYTES && is_generation_name(generation))
        else {
            return;
        };
        let current = Entry { tag: generation.to_owned(), ..Entry::default() };
        self.count_call(name);
        // Without its generation nobody finds the document.
        if !store.put(&generation_key(name), &current, GENERATION_TTL_SECS).await {
            return self.meter.note(name, CacheFigures::note_failure);
        }
        self.count_call(name);
        let ttl_secs = if entry.body.is_some() { self.ttl_secs } else { ABSENT_TTL_SECS.min(self.ttl_secs) };
        if store.put(&document_key(name, generation, collection, id), entry, ttl_secs).await {
            self.meter.note(name, |counted| counted.note_put(length));
        } else {
            self.meter.note(name, CacheFigures::note_failure);
        }
    }

    /// Takes a document back after its change went through here. The generation is what the object says; what was last seen
    /// here may be forgotten, and come back.
    pub async fn forget(&self, name: &ObjectName, generation: Option<&str>, collection: &str, id: &str) {
        let known = match generation.filter(|generation| is_generation_name(generation)) {
            Some(generation) => Some(generation.to_owned()),
            None => self.generation(name).await,
        };
        if let Some(generation) = known {
            self.delete(name, &document_key(name, &generation, collection, id)).await;
        }
    }

    /// Takes everything of an object back: the next cached read asks the object for its generation.
    pub async fn forget_generation(&self, name: &ObjectName) {
        self.delete(name, &generation_key(name)).await;
    }

    async fn look_up(&self, name: &ObjectName, key: &str) -> Option<FoundEntry> {
        let store = self.store.as_ref()?;
        self.count_call(name);
        let found = store.get(key).await;
        match found {
            LookUp::Rejected => {
                self.meter.note(name, |counted| counted.rejected = counted.rejected.saturating_add(1));
            }
            LookUp::Failed => self.meter.note(name, CacheFigures::note_failure),
            LookUp::Hit(_) | LookUp::Miss => {}
        }
        found.hit()
    }

    async fn delete(&self, name: &ObjectName, key: &str) {
        if let Some(store) = &self.store {
            self.count_call(name);
            if !store.forget(key).await {
                self.meter.note(name, CacheFigures::note_failure);
            }
        }
    }

    fn count_call(&self, name: &ObjectName) {
        self.meter.note(name, |counted| counted.operations = counted.operations.saturating_add(1));
    }
}
