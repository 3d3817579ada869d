//! An [`ObjectStore`] in memory with the bucket's semantics.
//!
//! As on R2: an ETag depends on the content alone; a condition that does not hold changes nothing; a range may pass
//! the end but not begin there; keys and custom metadata are bounded. Everything happens at once: delays and the failure
//! of one call come from [`FaultPlan`](super::FaultPlan). A bucket may [go away](MemoryBucket::go_away) for a while: then
//! every call fails as R2's do that answers 429 or 500.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use xxhash_rust::xxh64::xxh64;

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::R2_KEY_MAX_BYTES;
use crate::ports::message::{Body, WholeBody};
use crate::ports::{
    ByteRange, FolderPage, KeyListing, ObjectDescription, ObjectFolders, ObjectInfo, ObjectMetadata, ObjectStore,
    ObjectStreams, Opened, PartUploads, PutCondition, PutOutcome, StoredObject, UploadedPart,
};
use crate::types::StorageTier;

/// Custom metadata of one object, names and values together: the smaller of the local and the production limit.
const CUSTOM_METADATA_MAX_BYTES: usize = 2_048;
/// Bytes of a part of an upload, the last one apart.
const PART_MIN_BYTES: usize = 5 * 1024 * 1024;
/// Keys of one delete.
const DELETE_MAX_KEYS: usize = 1_000;

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryObject {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its ETag, without quotes.
    pub etag: String,
    /// What was stored beside it.
    pub metadata: ObjectMetadata,
}

/// What a bucket was asked to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Puts, those whose condition failed included.
    pub puts: u64,
    /// Gets, those that found nothing included.
    pub gets: u64,
    /// Delete calls, whatever their number of keys.
    pub deletes: u64,
    /// Listings of keys.
    pub lists: u64,
    /// Parts of uploads.
    pub parts: u64,
    /// Uploads completed.
    pub completed: u64,
    /// Uploads given up.
    pub aborted: u64,
    /// Bytes of all puts and parts.
    pub bytes_in: u64,
    /// Bytes returned by all gets.
    pub bytes_out: u64,
}

/// An upload that is neither completed nor given up.
struct Upload {
    key: String,
    metadata: ObjectMetadata,
    parts: BTreeMap<u16, (String, Vec<u8>)>,
}

#[derive(Default)]
struct Stored {
    objects: RefCell<BTreeMap<String, MemoryObject>>,
    uploads: RefCell<BTreeMap<String, Upload>>,
    counts: Cell<OperationCounts>,
    /// How many calls it answers before it is away.
    answered: Cell<Option<u64>>,
    refused: Cell<u64>,
}

/// A handle on one bucket; clones share it.
#[derive(Clone, Default)]
pub struct MemoryBucket(Rc<Stored>);

impl MemoryBucket {
    /// An empty bucket.
    pub fn new() -> Self {
        Self::default()
    }

    /// All keys, in byte order.
    pub fn keys(&self) -> Vec<String> {
        self.0.objects.borrow().keys().cloned().collect()
    }

    /// The object under `key`.
    pub fn object(&self, key: &str) -> Option<MemoryObject> {
        self.0.objects.borrow().get(key).cloned()
    }

    /// Puts `bytes` under `key` behind the engine's back, as a test that damages a file does; not counted.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.store(key, bytes.into(), ObjectMetadata::default());
    }

    /// Takes away what is under `key` behind the engine's back; not counted.
    pub fn remove(&self, key: &str) {
        self.0.objects.borrow_mut().remove(key);
    }

    /// After this many more calls every call fails, as one that the bucket answers with 429 or 500, until it is
    /// [back](Self::come_back).
    pub fn go_away(&self, after_calls: u64) {
        self.0.answered.set(Some(after_calls));
    }

    /// Answers again.
    pub fn come_back(&self) {
        self.0.answered.set(None);
    }

    /// Calls that failed because it was away.
    pub fn refused(&self) -> u64 {
        self.0.refused.get()
    }

    /// Fails while the bucket is away.
    fn answers(&self, operation: &'static str) -> Result<()> {
        match self.0.answered.get() {
            None => return Ok(()),
            Some(0) => {}
            Some(left) => {
                self.0.answered.set(Some(left.saturating_sub(1)));
                return Ok(());
            }
        }
        self.0.refused.set(self.0.refused.get().saturating_add(1));
        let message = "the bucket did not answer; trying again later may help";
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, operation, message))
    }

    /// The keys of uploads that are neither completed nor given up.
    pub fn open_uploads(&self) -> Vec<String> {
        self.0.uploads.borrow().values().map(|upload| upload.key.clone()).collect()
    }

    /// Operations so far.
    pub fn counts(&self) -> OperationCounts {
        self.0.counts.get()
    }

    fn store(&self, key: &str, bytes: Vec<u8>, metadata: ObjectMetadata) -> String {
        let etag = format!("{:016x}{:016x}", xxh64(&bytes, 0), xxh64(&bytes, 1));
        let object = MemoryObject { bytes, etag: etag.clone(), metadata };
        self.0.objects.borrow_mut().insert(key.to_owned(), object);
        etag
    }

    fn count(&self, change: impl FnOnce(&mut OperationCounts)) {
        let mut counts = self.0.counts.get();
        change(&mut counts);
        self.0.counts.set(counts);
    }

    fn holds(&self, key: &str, condition: PutCondition<'_>) -> bool {
        let objects = self.0.objects.borrow();
        match condition {
            PutCondition::IfAbsent => !objects.contains_key(key),
            PutCondition::IfMatch(etag) => objects.get(key).is_some_and(|object| object.etag == etag),
        }
    }
}

#[async_trait(?Send)]
impl ObjectStore for MemoryBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.answers("put object")?;
        check_key(key)?;
        let custom: usize = metadata.custom.iter().map(|(name, value)| name.len() + value.len()).sum();
        if custom > CUSTOM_METADATA_MAX_BYTES {
            return Err(refused(format!(
                "expected at most {CUSTOM_METADATA_MAX_BYTES} bytes of metadata, got {custom}"
            )));
        }
        self.count(|counts| {
            counts.puts += 1;
            counts.bytes_in += length(bytes);
        });
        if !self.holds(key, condition) {
            return Ok(PutOutcome::ConditionFailed);
        }
        Ok(PutOutcome::Written { etag: self.store(key, bytes.to_vec(), metadata.clone()) })
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.answers("get object")?;
        check_key(key)?;
        if let Some(range) = range.as_ref().filter(|range| range.is_empty()) {
            return Err(past_the_end(key, range));
        }
        self.count(|counts| counts.gets += 1);
        let objects = self.0.objects.borrow();
        let Some(object) = objects.get(key) else { return Ok(None) };
        let bytes = match range {
            None => object.bytes.clone(),
            Some(range) => slice(&object.bytes, &range).ok_or_else(|| past_the_end(key, &range))?.to_vec(),
        };
        self.count(|counts| counts.bytes_out += length(&bytes));
        let info = ObjectInfo { etag: object.etag.clone(), size: length(&object.bytes) };
        Ok(Some(StoredObject { info, bytes }))
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.answers("delete objects")?;
        if keys.len() > DELETE_MAX_KEYS {
            return Err(refused(format!(
                "expected at most {DELETE_MAX_KEYS} keys to delete at once, got {}",
                keys.len()
            )));
        }
        self.count(|counts| counts.deletes += 1);
        let mut objects = self.0.objects.borrow_mut();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        Some(self)
    }
}

#[async_trait(?Send)]
impl KeyListing for MemoryBucket {
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>> {
        self.answers("list objects")?;
        self.count(|counts| counts.lists += 1);
        let limit = usize::try_from(limit.min(1_000)).unwrap_or(1_000);
        let objects = self.0.objects.borrow();
        Ok(objects.keys().filter(|key| key.starts_with(prefix)).take(limit).cloned().collect())
    }
}

#[async_trait(?Send)]
impl PartUploads for MemoryBucket {
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String> {
        self.answers("begin upload")?;
        check_key(key)?;
        let mut uploads = self.0.uploads.borrow_mut();
        let id = format!("upload-{}-{}", self.counts().puts, uploads.len());
        let upload = Upload { key: key.to_owned(), metadata: metadata.clone(), parts: BTreeMap::new() };
        self.count(|counts| counts.puts += 1);
        uploads.insert(id.clone(), upload);
        Ok(id)
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart> {
        self.answers("upload part")?;
        self.count(|counts| {
            counts.parts += 1;
            counts.bytes_in += length(bytes);
        });
        let etag = format!("{:016x}", xxh64(bytes, 2));
        let mut uploads = self.0.uploads.borrow_mut();
        let upload = uploads.get_mut(upload).filter(|upload| upload.key == key);
        let upload = upload.ok_or_else(|| refused(format!("expected an upload of {key}, got none")))?;
        upload.parts.insert(number, (etag.clone(), bytes.to_vec()));
        Ok(UploadedPart { number, etag })
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String> {
        self.answers("complete upload")?;
        let mut uploads = self.0.uploads.borrow_mut();
        let known = uploads.get(upload).filter(|upload| upload.key == key);
        let known = known.ok_or_else(|| refused(format!("expected an upload of {key}, got none")))?;
        let mut bytes = Vec::new();
        let mut size = None;
        for (place, part) in parts.iter().enumerate() {
            let (etag, content) = known
                .parts
                .get(&part.number)
                .ok_or_else(|| refused(format!("expected part {} to be there", part.number)))?;
            let is_last = place + 1 == parts.len();
            let fits =
                is_last || (content.len() >= PART_MIN_BYTES && *size.get_or_insert(content.len()) == content.len());
            if *etag != part.etag || !fits || (is_last && size.is_some_and(|size| content.len() > size)) {
                return Err(refused(format!(
                    "expected part {} to be as it was put, and of the size of all",
                    part.number
                )));
            }
            bytes.extend_from_slice(content);
        }
        let metadata = known.metadata.clone();
        uploads.remove(upload);
        self.count(|counts| counts.completed += 1);
        Ok(self.store(key, bytes, metadata))
    }

    async fn abort_upload(&self, _: &str, upload: &str) -> Result<()> {
        self.answers("abort upload")?;
        self.count(|counts| counts.aborted += 1);
        self.0.uploads.borrow_mut().remove(upload);
        Ok(())
    }
}

#[async_trait(?Send)]
impl ObjectFolders for MemoryBucket {
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage> {
        self.answers("list objects")?;
        let objects = self.0.objects.borrow();
        let folder = |key: &String| Some(key.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
        let mut names: Vec<String> = objects.keys().filter_map(folder).collect();
        names.dedup();
        names.retain(|name| cursor.is_none_or(|cursor| name.as_str() > cursor));
        let more = names.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        names.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let cursor = names.last().filter(|_| more).cloned();
        Ok(FolderPage { names, cursor })
    }
}

#[async_trait(?Send)]
impl ObjectStreams for MemoryBucket {
    async fn describe(&self, key: &str) -> Result<Option<ObjectDescription>> {
        self.answers("look up object")?;
        check_key(key)?;
        Ok(self.object(key).as_ref().map(description))
    }

    async fn open(&self, key: &str, range: Option<ByteRange>) -> Result<Opened> {
        self.answers("open object")?;
        check_key(key)?;
        self.count(|counts| counts.gets += 1);
        let Some(object) = self.object(key) else { return Ok(Opened::Missing) };
        let found = description(&object);
        let Some(range) = range else { return Ok(Opened::Found(found, Body::stream(WholeBody::new(object.bytes)))) };
        match range.within(found.size).and_then(|(first, length)| slice(&object.bytes, &(first..first + length))) {
            Some(bytes) => Ok(Opened::Found(found, Body::stream(WholeBody::new(bytes)))),
            None => Ok(Opened::OutOfRange(found)),
        }
    }
}

/// Everything here was stored when time began.
fn description(object: &MemoryObject) -> ObjectDescription {
    let content_type = Some(object.metadata.content_type.to_owned()).filter(|stored| !stored.is_empty());
    ObjectDescription { etag: object.etag.clone(), size: length(&object.bytes), uploaded_ms: 0, content_type }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The part of `bytes` in `range`; `None` when the range is empty or begins at the end or later.
fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    let end = range.end.min(length(bytes));
    if range.start >= end {
        return None;
    }
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(end).ok()?)
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > R2_KEY_MAX_BYTES {
        return Err(refused(format!("expected a key of 1 to {R2_KEY_MAX_BYTES} bytes, got {}", key.len())));
    }
    Ok(())
}

fn refused(message: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "use bucket", message)
}

fn past_the_end(key: &str, range: &Range<u64>) -> StorageError {
    let message = format!("expected {key} to reach into bytes {} to {}, but it ends before", range.start, range.end);
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "get object", message)
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, run};
    use super::*;

    fn put(bucket: &MemoryBucket, key: &str, bytes: &[u8], condition: PutCondition<'_>) -> PutOutcome {
        match run(bucket.put(key, bytes, condition, &ObjectMetadata::default())) {
            Outcome::Done(outcome) => outcome.unwrap(),
            Outcome::Stalled => panic!("stalled"),
        }
    }

    fn get(bucket: &MemoryBucket, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        run(bucket.get(key, range)).done().unwrap()
    }

    #[test]
    fn conditions_decide_and_change_nothing_when_they_fail() {
        let bucket = MemoryBucket::new();
        let PutOutcome::Written { etag } = put(&bucket, "a", b"one", PutCondition::IfAbsent) else { panic!() };
        assert_eq!(put(&bucket, "a", b"two", PutCondition::IfAbsent), PutOutcome::ConditionFailed);
        assert_eq!(put(&bucket, "a", b"two", PutCondition::IfMatch("other")), PutOutcome::ConditionFailed);
        assert_eq!(put(&bucket, "b", b"two", PutCondition::IfMatch(&etag)), PutOutcome::ConditionFailed);
        assert_eq!(bucket.object("a").unwrap().bytes, b"one");
        assert!(matches!(put(&bucket, "a", b"two", PutCondition::IfMatch(&etag)), PutOutcome::Written { .. }));
        assert_eq!(bucket.object("a").unwrap().bytes, b"two");
        assert_eq!(bucket.keys(), ["a"]);
        // The same content has the same ETag anywhere.
        let PutOutcome::Written { etag: again } = put(&bucket, "c", b"one", PutCondition::IfAbsent) else { panic!() };
        assert_eq!(again, etag);
    }

    #[test]
    fn ranges_are_cut_at_the_end_and_must_begin_before_it() {
        let bucket = MemoryBucket::new();
        put(&bucket, "a", b"0123456789", PutCondition::IfAbsent);
        let found = get(&bucket, "a", Some(8..20)).unwrap().unwrap();
        assert_eq!((found.bytes.as_slice(), found.info.size), (b"89".as_slice(), 10));
        assert_eq!(get(&bucket, "a", None).unwrap().unwrap().bytes, b"0123456789");
        for range in [10..11, 5..5, 11..12] {
            assert_eq!(get(&bucket, "a", Some(range)).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(get(&bucket, "b", Some(0..1)).unwrap(), None);
        assert!(get(&bucket, "b", Some(1..1)).is_err(), "an empty range is refused before anything is looked for");
    }

    #[test]
    fn deletes_are_silent_and_everything_is_counted() {
        let bucket = MemoryBucket::new();
        put(&bucket, "a", b"123", PutCondition::IfAbsent);
        get(&bucket, "a", Some(0..2)).unwrap();
        run(bucket.delete(&["a".to_owned(), "b".to_owned()])).done().unwrap().unwrap();
        assert_eq!(get(&bucket, "a", None).unwrap(), None);
        let counts =
            OperationCounts { puts: 1, gets: 2, deletes: 1, bytes_in: 3, bytes_out: 2, ..OperationCounts::default() };
        assert_eq!(bucket.counts(), counts);
    }

    #[test]
    fn what_the_bucket_refuses_is_refused() {
        let bucket = MemoryBucket::new();
        assert!(get(&bucket, &"k".repeat(1_025), None).is_err());
        let metadata = ObjectMetadata { custom: vec![("name", "v".repeat(2_100))], ..ObjectMetadata::default() };
        assert!(run(bucket.put("a", b"", PutCondition::IfAbsent, &metadata)).done().unwrap().is_err());
        assert!(run(bucket.delete(&vec![String::new(); 1_001])).done().unwrap().is_err());
    }
}
