//! How often documents were found in the cache, object by object, as one isolate of the Worker has seen it.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;

use crate::ports::Clock;
use crate::types::Timestamp;
use crate::types::names::ObjectName;

/// Objects that are counted at a time; of more, those used longest ago begin anew.
const OBJECTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Counts of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmFigures {
    /// Since when.
    pub since: Timestamp,
    /// When this was read.
    pub now: Timestamp,
    /// Cached reads that found their document,
    pub hits: u64,
    /// and those that did not.
    pub misses: u64,
    /// Documents that were put into the cache.
    pub keys_written: u64,
    /// Calls of the cache.
    pub operations: u64,
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
    pub fn note(&self, name: &ObjectName, change: impl FnOnce(&mut WarmFigures)) {
        let since = self.clock.now_ms();
        let zero = || WarmFigures { since, now: since, hits: 0, misses: 0, keys_written: 0, operations: 0 };
        change(self.objects.borrow_mut().get_or_insert_mut(name.path(), zero));
    }

    /// What was counted of an object; nothing, from now on, when it was not met before.
    pub fn figures(&self, name: &ObjectName) -> WarmFigures {
        let now = self.clock.now_ms();
        let mut figures = WarmFigures { since: now, now, hits: 0, misses: 0, keys_written: 0, operations: 0 };
        self.note(name, |counted| figures = WarmFigures { now, ..*counted });
        figures
    }
}
