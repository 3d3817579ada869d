//! Heads and columns of segments in memory, within a number of bytes; the least recently used go first.
//!
//! Objects of one isolate share its memory, so that the bound is shared by all directories of the isolate: each gives way
//! with its own when all of them together are beyond it, but for a small share, which an instance that is gone and not
//! collected yet cannot take from the one in its place.

use std::cell::Cell;
use std::rc::Rc;

use lru::LruCache;

use crate::hot::segment::SegmentHead;

thread_local! {
    /// Bytes that all caches of this isolate hold.
    static ISOLATE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The part of the bound that a cache may always use is one in this many.
const OWN_SHARE: usize = 16;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The head of a segment.
    Head(i64),
    /// A group of columns of a segment.
    Group(i64, usize),
    /// The column of ids of an evicted segment.
    StubIds(i64),
}

enum Value {
    Head(Rc<SegmentHead>),
    Bytes(Rc<[u8]>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Head(head) => head.memory_bytes(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// The cache of one directory.
pub struct Cache {
    entries: LruCache<Key, Value>,
    used: usize,
    max: usize,
}

impl Cache {
    /// A cache that keeps the isolate's caches below `max` bytes as far as its own entries allow.
    pub fn new(max: usize) -> Self {
        Self { entries: LruCache::unbounded(), used: 0, max }
    }

    /// Bytes of what is kept.
    pub fn used_bytes(&self) -> usize {
        self.used
    }

    /// A segment's head.
    pub fn head(&mut self, number: i64) -> Option<Rc<SegmentHead>> {
        match self.entries.get(&Key::Head(number)) {
            Some(Value::Head(head)) => Some(Rc::clone(head)),
            _ => None,
        }
    }

    /// A group's bytes.
    pub fn bytes(&mut self, key: Key) -> Option<Rc<[u8]>> {
        match self.entries.get(&key) {
            Some(Value::Bytes(bytes)) => Some(Rc::clone(bytes)),
            _ => None,
        }
    }

    /// Keeps a head.
    pub fn insert_head(&mut self, number: i64, head: Rc<SegmentHead>) {
        self.insert(Key::Head(number), Value::Head(head));
    }

    /// Keeps a group.
    pub fn insert_bytes(&mut self, key: Key, bytes: Rc<[u8]>) {
        self.insert(key, Value::Bytes(bytes));
    }

    fn insert(&mut self, key: Key, value: Value) {
        let bytes = value.bytes();
        if bytes > self.max {
            return;
        }
        self.take(bytes);
        if let Some(before) = self.entries.put(key, value) {
            self.give_back(before.bytes());
        }
        while ISOLATE_BYTES.get() > self.max && self.used > self.max / OWN_SHARE {
            let Some((_, value)) = self.entries.pop_lru() else { return };
            self.give_back(value.bytes());
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.give_back(self.used);
    }

    fn take(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        ISOLATE_BYTES.set(ISOLATE_BYTES.get().saturating_add(bytes));
    }

    fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
        ISOLATE_BYTES.set(ISOLATE_BYTES.get().saturating_sub(bytes));
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.give_back(self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Rc<[u8]> {
        vec![7; length].into()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_is_of_the_isolate() {
        let mut one = Cache::new(100);
        one.insert_bytes(Key::Group(1, 0), bytes(40));
        one.insert_bytes(Key::Group(2, 0), bytes(40));
        assert!(one.bytes(Key::Group(1, 0)).is_some());
        one.insert_bytes(Key::Group(3, 0), bytes(40));
        assert!(one.bytes(Key::Group(2, 0)).is_none() && one.bytes(Key::Group(1, 0)).is_some());
        assert_eq!(one.used_bytes(), 80);
        let mut other = Cache::new(100);
        other.insert_bytes(Key::Group(1, 0), bytes(6));
        other.insert_bytes(Key::Group(2, 0), bytes(40));
        assert_eq!(other.used_bytes(), 0, "the other cache holds too much already");
        other.insert_bytes(Key::Group(1, 0), bytes(6));
        assert_eq!(other.used_bytes(), 6, "a small share is its own");
        drop(one);
        other.insert_bytes(Key::Group(1, 0), bytes(40));
        other.insert_bytes(Key::Group(1, 0), bytes(50));
        assert_eq!(other.used_bytes(), 50);
        other.insert_bytes(Key::Group(2, 0), bytes(101));
        assert_eq!(other.used_bytes(), 50, "what is larger than everything is not kept");
    }
}
