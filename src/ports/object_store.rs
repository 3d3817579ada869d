//! A bucket: immutable objects under keys, conditional writes, ranged reads.

use std::ops::Range;

use async_trait::async_trait;

use crate::error::Result;

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

/// What is stored beside an object's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// The MIME type.
    pub content_type: &'static str,
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
}
