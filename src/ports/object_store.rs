//! A bucket: immutable objects under keys, conditional writes, ranged reads.

use std::ops::Range;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// When a put may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutCondition<'a> {
    /// Only when no object has this key.
    IfAbsent,
    /// Only over the object with this ETag.
    IfMatch(&'a str),
}

/// What a put did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is stored under this ETag.
    Written {
        /// The new object's ETag, without quotes.
        etag: String,
    },
    /// The condition did not hold; nothing was changed.
    ConditionFailed,
}

/// What an object's bytes cost to keep and to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageClass {
    /// Cheap to read.
    #[default]
    Standard,
    /// Cheap to keep, and to be kept for some weeks.
    InfrequentAccess,
}

/// What is stored beside an object's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// The MIME type.
    pub content_type: &'static str,
    /// The class it is put in.
    pub storage_class: StorageClass,
    /// Custom metadata, 2 KB at most in all.
    pub custom: Vec<(&'static str, String)>,
}

/// What is known of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// An object, or a range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The whole object's ETag and size.
    pub info: ObjectInfo,
    /// The bytes asked for; fewer than asked where the range passes the end.
    pub bytes: Vec<u8>,
}

/// A bucket with strong read-after-write.
///
/// A call that returns an error has an unknown outcome: it may have happened. Callers write idempotently.
#[async_trait(?Send)]
pub trait ObjectStore {
    /// Stores `bytes` under `key` when `condition` holds.
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome>;

    /// Reads an object, or the byte range of it; `None` when there is none.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>>;

    /// Deletes objects, 1,000 at most; keys without an object are no error.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// Told by a reader for whom the bytes that [`get`](Self::get) gave do not hold: they are not kept to be given again.
    async fn distrust(&self, _key: &str, _range: Option<Range<u64>>) {}

    /// Puts in parts; `None` where the bucket takes none.
    fn uploads(&self) -> Option<&dyn PartUploads> {
        None
    }

    /// The keys that there are; `None` where the bucket does not tell.
    fn listing(&self) -> Option<&dyn KeyListing> {
        None
    }
}

/// The keys of a bucket.
#[async_trait(?Send)]
pub trait KeyListing {
    /// The first keys that begin with `prefix`: at least one where there is any, `limit` at most and never more than 1,000.
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>>;
}

/// The keys of a bucket that is known to tell them.
pub(crate) fn expect_listing(objects: &dyn ObjectStore) -> Result<&dyn KeyListing> {
    objects.listing().ok_or_else(|| {
        let message = "expected a bucket that tells its keys, got another";
        StorageError::new(ErrorKind::Internal, StorageTier::Cold, "list objects", message)
    })
}

/// A part that the bucket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its number, from 1 on.
    pub number: u16,
    /// Its ETag.
    pub etag: String,
}

/// Puts in parts to a bucket that is known to take them.
pub(super) fn expect_uploads(objects: &dyn ObjectStore) -> Result<&dyn PartUploads> {
    objects.uploads().ok_or_else(|| {
        let message = "expected a bucket that takes parts, got another";
        StorageError::new(ErrorKind::Internal, StorageTier::Cold, "put object", message)
    })
}

/// Puts in parts, without conditions: an object is there, whole, once its upload is completed.
#[async_trait(?Send)]
pub trait PartUploads {
    /// Begins an upload, and returns its id.
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String>;

    /// Uploads a part, or uploads it again.
    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart>;

    /// Makes the object of its parts, in this order, and returns its ETag.
    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String>;

    /// Gives up an upload that is not complete.
    async fn abort_upload(&self, key: &str, upload: &str) -> Result<()>;
}
