//! Large objects, put in parts: no request is larger than a part.
//!
//! Invariants:
//!
//! - Only a put with the condition that nothing is there is done in parts. The bucket has no conditions for these, so it
//!   is looked first, and what is there stays. Whoever puts concurrently under one key puts the same bytes: keys of large
//!   objects contain the attempt that made them.
//! - An upload of which a part could not be put is given up. When it is not known whether an upload was completed nothing
//!   more is done: the next try finds the object there, or puts it. The bucket drops uploads that nobody completes.
//! - All parts have the same size, the last one apart.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::object_store::{
    KeyListing, ObjectMetadata, ObjectStore, PartUploads, PutCondition, PutOutcome, StoredObject,
};
use crate::config::ObjectsConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// When and how objects are put in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSizes {
    /// Larger objects are.
    pub threshold_bytes: usize,
    /// The size of a part.
    pub part_bytes: usize,
}

impl From<&ObjectsConfig> for PartSizes {
    fn from(config: &ObjectsConfig) -> Self {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            threshold_bytes: bytes(config.multipart_threshold_bytes),
            part_bytes: bytes(config.multipart_part_bytes).max(1),
        }
    }
}

/// A bucket whose large objects are put in parts.
pub struct InParts {
    objects: Rc<dyn ObjectStore>,
    sizes: PartSizes,
}

impl InParts {
    /// Puts large objects to `objects` in parts.
    pub fn new(objects: Rc<dyn ObjectStore>, sizes: PartSizes) -> Self {
        Self { objects, sizes }
    }

    async fn put_parts(
        &self,
        uploads: &dyn PartUploads,
        key: &str,
        bytes: &[u8],
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        if self.objects.get(key, Some(0..1)).await?.is_some() {
            return Ok(PutOutcome::ConditionFailed);
        }
        let upload = uploads.begin_upload(key, metadata).await?;
        let mut parts = Vec::new();
        for (number, part) in (1..).zip(bytes.chunks(self.sizes.part_bytes)) {
            let put = match u16::try_from(number) {
                Ok(number) => uploads.upload_part(key, &upload, number, part).await,
                Err(_) => Err(too_many(key)),
            };
            match put {
                Ok(part) => parts.push(part),
                Err(error) => {
                    // The error that matters is the part's.
                    let _ = uploads.abort_upload(key, &upload).await;
                    return Err(error);
                }
            }
        }
        Ok(PutOutcome::Written { etag: uploads.complete_upload(key, &upload, &parts).await? })
    }
}

fn too_many(key: &str) -> StorageError {
    let message = format!("expected {key} to have fewer parts; set objects.multipartPartBytes higher");
    StorageError::new(ErrorKind::TooLarge, StorageTier::Cold, "put object", message)
}

#[async_trait(?Send)]
impl ObjectStore for InParts {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        let is_large = bytes.len() > self.sizes.threshold_bytes && condition == PutCondition::IfAbsent;
        match self.objects.uploads().filter(|_| is_large) {
            Some(uploads) => self.put_parts(uploads, key, bytes, metadata).await,
            None => self.objects.put(key, bytes, condition, metadata).await,
        }
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.objects.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete(keys).await
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        self.objects.listing()
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[path = "multipart_tests.rs"]
mod tests;
