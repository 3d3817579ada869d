//! What the cache was good for: hits, misses, how old what it answered was.
//!
//! There is no truth about a whole data centre: the Worker counts the cached reads of one isolate, object by object, and an
//! object counts the reads of files that it made itself.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;

use super::entry::FoundEntry;
use crate::ports::Clock;
use crate::types::Timestamp;
use crate::types::names::ObjectName;

/// Objects that are counted at a time; of more, those used longest ago begin anew.
const OBJECTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Counts of some reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Reads that the cache answered,
    pub hits: u64,
    /// and those that it did not.
    pub misses: u64,
    /// Of these, those for which it had something that was not what was asked for,
    pub rejected: u64,
    /// and those for which it had an answer that was older than `Min-Sequence` allows.
    pub too_old: u64,
    /// Calls that failed, or were not answered in time.
    pub failed: u64,
    /// Reads that waited for another one's load, and then needed none.
    pub joined: u64,
    /// Entries that were put.
    pub keys_written: u64,
    /// Calls of the cache.
    pub operations: u64,
    /// Bytes of the bodies that were answered,
    pub bytes_read: u64,
    /// and of those that were put.
    pub bytes_written: u64,
    /// How old the answers were, all together, in ms,
    pub age_ms: u64,
    /// and the oldest.
    pub age_max_ms: u64,
}

impl CacheFigures {
    /// Counts an answer.
    pub fn note_hit(&mut self, found: &FoundEntry) {
        self.hits = self.hits.saturating_add(1);
        add(&mut self.bytes_read, found.entry.body.as_ref().map_or(0, Vec::len));
        self.age_ms = self.age_ms.saturating_add(found.age_ms);
        self.age_max_ms = self.age_max_ms.max(found.age_ms);
    }

    /// Counts a call that failed.
    pub fn note_failure(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Counts a put of so many bytes.
    pub fn note_put(&mut self, bytes: usize) {
        self.keys_written = self.keys_written.saturating_add(1);
        add(&mut self.bytes_written, bytes);
    }
}

fn add(counter: &mut u64, bytes: usize) {
    *counter = counter.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// Counts of one object's cached reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmFigures {
    /// Since when.
    pub since: Timestamp,
    /// When this was read.
    pub now: Timestamp,
    /// The counts.
    pub counts: CacheFigures,
}

/// The counts of all objects that requests came for.
pub struct WarmMeter {
    clock: Rc<dyn Clock>,
    objects: RefCell<LruCache<String, WarmFigures>>,
}

impl WarmMeter {
    /// Nothing counted.
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Self { clock, objects: RefCell::new(LruCache::new(OBJECTS_MAX)) }
    }

    /// Counts something of an object.
    pub fn note(&self, name: &ObjectName, change: impl FnOnce(&mut CacheFigures)) {
        let since = self.clock.now_ms();
        let zero = || WarmFigures { since, now: since, counts: CacheFigures::default() };
        change(&mut self.objects.borrow_mut().get_or_insert_mut(name.path(), zero).counts);
    }

    /// What was counted of an object; nothing, from now on, when it was not met before.
    pub fn figures(&self, name: &ObjectName) -> WarmFigures {
        let now = self.clock.now_ms();
        self.note(name, |_| {});
        let objects = self.objects.borrow();
        let counted = objects.peek(&name.path()).copied();
        counted.map_or(WarmFigures { since: now, now, counts: CacheFigures::default() }, |counted| WarmFigures {
            now,
            ..counted
        })
    }
}
