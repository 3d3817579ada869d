//! Files of tables, read through the cache.
//!
//! Invariants:
//!
//! - Only what never changes is kept: files whose names contain the attempt that made them, and ranges of them. Which these
//!   are the caller says. So an answer from the cache is right however old it is, and a file that was deleted since is
//!   read by nobody who does not still need it: what is read is what the object's catalogue names.
//! - What is kept is as long as it should be, and of that file and range; otherwise the bucket is asked. Whether its bytes
//!   are those that were once written only its reader can tell, who says so when they are not.
//! - Concurrent reads of one range are one load. A load that fails is told to who began it; the others ask for themselves.
//!   It is not lost with who began it: any of those who wait carries it on.
//! - A request, or an alarm, makes a bounded number of calls of the cache, none after one that failed, and puts a bounded
//!   number of bytes there. What is beyond is read from the bucket.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};

use super::entry::Entry;
use super::keys::file_key;
use super::meter::CacheFigures;
use super::store::{LookUp, WarmStore};
use crate::error::Result;
use crate::limits::CACHE_MAX_BYTES;
use crate::ports::{
    KeyListing, ObjectInfo, ObjectMetadata, ObjectStore, PartUploads, PutCondition, PutOutcome, StoredObject,
};
use crate::types::names::ObjectName;

/// How long a range of a file is kept. Any time would be right; this bounds how long bytes of a deleted file are left.
pub const FILE_TTL_SECS: u32 = 86_400;
/// Calls of the cache a request.
const REQUEST_MAX_CALLS: u32 = 128;
/// Bytes that a request puts into the cache.
const REQUEST_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What was loaded for several; `None` when the load came to nothing that can be shared.
type Load = LocalBoxFuture<'static, Option<Rc<StoredObject>>>;
/// What a load came to that is not shared: who began it takes it.
type Unshared = Rc<RefCell<Option<Result<Option<StoredObject>>>>>;

/// A bucket whose immutable objects are read through the cache.
pub struct CachedBucket {
    files: Rc<Files>,
    loading: RefCell<HashMap<String, WeakShared<Load>>>,
    /// The object that an immutable object of the bucket belongs to; `None` of any other.
    owner: fn(&str) -> Option<ObjectName>,
}

struct Files {
    objects: Rc<dyn ObjectStore>,
    store: WarmStore,
    calls_left: Cell<u32>,
    bytes_left: Cell<usize>,
    figures: RefCell<CacheFigures>,
}

impl CachedBucket {
    /// Reads `objects` through a cache.
    pub fn new(objects: Rc<dyn ObjectStore>, store: WarmStore, owner: fn(&str) -> Option<ObjectName>) -> Self {
        let files = Files {
            objects,
            store,
            calls_left: Cell::new(REQUEST_MAX_CALLS),
            bytes_left: Cell::new(REQUEST_MAX_BYTES),
            figures: RefCell::default(),
        };
        Self { files: Rc::new(files), loading: RefCell::default(), owner }
    }

    /// Notes that a request or an alarm begins, which may use the cache as much as any.
    pub fn request_began(&self) {
        self.files.calls_left.set(REQUEST_MAX_CALLS);
        self.files.bytes_left.set(REQUEST_MAX_BYTES);
    }

    /// What was counted.
    pub fn figures(&self) -> CacheFigures {
        *self.files.figures.borrow()
    }

    /// The load of a range, begun here or before; the second part is there when it was begun here.
    fn load(&self, cached: String, key: &str, range: Option<Range<u64>>) -> (Shared<Load>, Option<Unshared>) {
        let mut loading = self.loading.borrow_mut();
        if let Some(load) = loading.get(&cached).and_then(WeakShared::upgrade) {
            return (load, None);
        }
        loading.retain(|_, load| load.upgrade().is_some());
        let (files, unshared) = (Rc::clone(&self.files), Unshared::default());
        let (kept, key, name) = (Rc::clone(&unshared), key.to_owned(), cached.clone());
        let load = async move {
            match files.read(&name, &key, range).await {
                Ok(Some(object)) => Some(Rc::new(object)),
                other => {
                    kept.replace(Some(other));
                    None
                }
            }
        };
        let load = load.boxed_local().shared();
        if let Some(weak) = load.downgrade() {
            loading.insert(cached, weak);
        }
        (load, Some(unshared))
    }
}

impl Files {
    /// Reads a range from the cache, or from the bucket, and then keeps it.
    async fn read(&self, cached: &str, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        if let Some(object) = self.look_up(cached, range.as_ref()).await {
            return Ok(Some(object));
        }
        let found = self.objects.get(key, range.clone()).await?;
        if let Some(object) = found.as_ref().filter(|object| is_whole(object, range.as_ref())) {
            self.keep(cached, object).await;
        }
        Ok(found)
    }

    /// The cache, unless this request has used it enough.
    fn call(&self) -> Option<&WarmStore> {
        self.calls_left.set(self.calls_left.get().checked_sub(1)?);
        let mut figures = self.figures.borrow_mut();
        figures.operations = figures.operations.saturating_add(1);
        Some(&self.store)
    }

    async fn look_up(&self, cached: &str, range: Option<&Range<u64>>) -> Option<StoredObject> {
        let store = self.call()?;
        let answer = store.get(cached).await;
        if answer == LookUp::Failed {
            self.failed();
        }
        let rejected = answer == LookUp::Rejected;
        let found = answer.hit();
        let object = found.as_ref().and_then(|found| object_of(&found.entry)).filter(|object| is_whole(object, range));
        let mut figures = self.figures.borrow_mut();
        match (&found, &object) {
            (Some(found), Some(_)) => figures.note_hit(found),
            (found, _) => {
                figures.misses = figures.misses.saturating_add(1);
                figures.rejected = figures.rejected.saturating_add(u64::from(rejected || found.is_some()));
            }
        }
        object
    }

    async fn keep(&self, cached: &str, object: &StoredObject) {
        let length = object.bytes.len();
        let Some(left) = self.bytes_left.get().checked_sub(length).filter(|_| length <= CACHE_MAX_BYTES) else {
            return;
        };
        let Some(store) = self.call() else { return };
        self.bytes_left.set(left);
        let tag = format!("{} {}", object.info.size, object.info.etag);
        let entry = Entry { sequence: 0, tag, body: Some(object.bytes.clone()) };
        if store.put(cached, &entry, FILE_TTL_SECS).await {
            self.figures.borrow_mut().note_put(length);
        } else {
            self.failed();
        }
    }

    /// Counts a call that failed. It may have taken long: this request asks the cache for nothing more.
    fn failed(&self) {
        self.calls_left.set(0);
        self.figures.borrow_mut().note_failure();
    }
}

fn object_of(entry: &Entry) -> Option<StoredObject> {
    let (size, etag) = entry.tag.split_once(' ')?;
    let info = ObjectInfo { etag: etag.to_owned(), size: size.parse().ok()? };
    Some(StoredObject { info, bytes: entry.body.clone()? })
}

/// Whether an object's bytes are all that were asked for.
fn is_whole(object: &StoredObject, range: Option<&Range<u64>>) -> bool {
    let size = object.info.size;
    let expected = range.map_or(size, |range| range.end.min(size).saturating_sub(range.start));
    u64::try_from(object.bytes.len()) == Ok(expected)
}

#[async_trait(?Send)]
impl ObjectStore for CachedBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.files.objects.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        let most = u64::try_from(CACHE_MAX_BYTES).unwrap_or(u64::MAX);
        let is_small = range.as_ref().is_none_or(|range| range.end.saturating_sub(range.start) <= most);
        let Some(owner) = (self.owner)(key).filter(|_| is_small) else {
            return self.files.objects.get(key, range).await;
        };
        let (load, begun) = self.load(file_key(&owner, key, range.as_ref()), key, range.clone());
        match (load.await, begun) {
            (Some(object), Some(_)) => Ok(Some(Rc::unwrap_or_clone(object))),
            (Some(object), None) => {
                let mut figures = self.files.figures.borrow_mut();
                figures.joined = figures.joined.saturating_add(1);
                Ok(Some(Rc::unwrap_or_clone(object)))
            }
            (None, begun) => match begun.and_then(|unshared| unshared.take()) {
                Some(failed) => failed,
                None => self.files.objects.get(key, range).await,
            },
        }
    }

    async fn distrust(&self, key: &str, range: Option<Range<u64>>) {
        if let Some(owner) = (self.owner)(key)
            && !self.files.store.forget(&file_key(&owner, key, range.as_ref())).await
        {
            self.files.failed();
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.files.objects.delete(keys).await
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        self.files.objects.listing()
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        self.files.objects.uploads()
    }
}
