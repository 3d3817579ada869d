//! An [`EdgeCache`] in memory that expires by the test's clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Clock, EdgeCache};
use crate::types::{StorageTier, Timestamp};

struct Kept {
    bytes: Vec<u8>,
    /// The first moment at which it is no longer there.
    expires: Timestamp,
}

/// A handle on one data centre's cache; clones share it.
#[derive(Clone)]
pub struct MemoryCache {
    clock: Rc<dyn Clock>,
    entries: Rc<RefCell<HashMap<String, Kept>>>,
}

impl MemoryCache {
    /// An empty cache that reads the time from `clock`.
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Self { clock, entries: Rc::default() }
    }

    /// Forgets everything, as a cache may at any time.
    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }
}

#[async_trait(?Send)]
impl EdgeCache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        let mut entries = self.entries.borrow_mut();
        let now = self.clock.now_ms();
        if entries.get(key).is_some_and(|kept| kept.expires <= now) {
            entries.remove(key);
        }
        Ok(entries.get(key).map(|kept| kept.bytes.clone()))
    }

    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()> {
        check_key(key)?;
        let expires = self.clock.now_ms().saturating_add(i64::from(ttl_secs) * 1_000);
        self.entries.borrow_mut().insert(key.to_owned(), Kept { bytes: bytes.to_vec(), expires });
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        self.entries.borrow_mut().remove(key);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.starts_with("https://") || key.starts_with("http://") {
        return Ok(());
    }
    let message = format!("expected an absolute URL as the key, got {key}");
    Err(StorageError::new(ErrorKind::Internal, StorageTier::Warm, "use cache", message))
}

#[cfg(test)]
mod tests {
    use super::super::{ManualClock, run};
    use super::*;

    #[test]
    fn entries_expire_by_the_clock() {
        let clock = Rc::new(ManualClock::new(1_000));
        let cache = MemoryCache::new(clock.clone());
        let bytes = vec![0, 255];
        let get = |key: &str| run(cache.get(key)).done().unwrap().unwrap();
        run(cache.put("https://c/1", &bytes, 10)).done().unwrap().unwrap();
        run(cache.put("https://c/2", &bytes, 0)).done().unwrap().unwrap();
        assert_eq!(get("https://c/1"), Some(bytes.clone()));
        assert_eq!(get("https://c/2"), None);
        clock.advance(9_999);
        assert_eq!(get("https://c/1"), Some(bytes.clone()));
        clock.advance(1);
        assert_eq!(get("https://c/1"), None);
    }

    #[test]
    fn entries_can_be_forgotten_and_keys_are_urls() {
        let cache = MemoryCache::new(Rc::new(ManualClock::new(0)));
        for key in ["https://c/1", "https://c/2"] {
            run(cache.put(key, b"bytes", 10)).done().unwrap().unwrap();
        }
        run(cache.delete("https://c/1")).done().unwrap().unwrap();
        assert_eq!(run(cache.get("https://c/1")).done().unwrap().unwrap(), None);
        assert!(run(cache.clone().get("https://c/2")).done().unwrap().unwrap().is_some());
        cache.clear();
        assert_eq!(run(cache.get("https://c/2")).done().unwrap().unwrap(), None);
        assert!(run(cache.get("tenant/key")).done().unwrap().is_err());
    }
}
