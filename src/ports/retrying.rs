//! A bucket whose failed calls are tried again, as `timeouts.retries` and `timeouts.retryDelayMs` say.
//!
//! Invariants:
//!
//! - Only what may be repeated is: reads, puts with the condition that nothing is there, and parts of an upload. When a put
//!   had happened although it was told as failed, its repetition finds the object there, and whoever puts it looks at what
//!   it finds, as after any other unknown outcome. What replaces, deletes, begins or completes is done once.
//! - Only a failure that may pass is met with another try.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::object_store::{
    KeyListing, ObjectMetadata, ObjectStore, PartUploads, PutCondition, PutOutcome, StoredObject, UploadedPart,
    expect_listing, expect_uploads,
};
use super::{Clock, FolderPage, Ids, ObjectFolders};
use crate::config::TimeoutsConfig;
use crate::error::Result;

/// How often a failed call is tried again, and after how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Further tries after the first.
    pub count: u32,
    /// How long the first of them waits, at most; each further one twice as long.
    pub delay_ms: u32,
}

impl From<&TimeoutsConfig> for Retries {
    fn from(config: &TimeoutsConfig) -> Self {
        Self { count: config.retries, delay_ms: config.retry_delay_ms }
    }
}

/// A bucket that is asked again.
pub struct Retrying {
    objects: Rc<dyn ObjectStore>,
    clock: Rc<dyn Clock>,
    ids: Rc<dyn Ids>,
    retries: Retries,
}

impl Retrying {
    /// Asks `objects` again.
    pub fn new(objects: Rc<dyn ObjectStore>, clock: Rc<dyn Clock>, ids: Rc<dyn Ids>, retries: Retries) -> Self {
        Self { objects, clock, ids, retries }
    }

    async fn trying<T>(&self, mut call: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        for tried in 0..self.retries.count {
            match call().await {
                Err(error) if error.is_retryable() => self.clock.sleep_ms(self.wait_ms(tried)).await,
                done => return done,
            }
        }
        call().await
    }

    /// How long the next try waits: at least half of the time, and by chance more, so that those who failed together do
    /// not come back together.
    fn wait_ms(&self, tried: u32) -> u32 {
        let longest = u32::try_from(u64::from(self.retries.delay_ms) << tried.min(31)).unwrap_or(u32::MAX);
        let half = longest / 2;
        let Ok([first, second, third, fourth, ..]) = self.ids.random() else { return longest };
        let chance = u32::from_le_bytes([first, second, third, fourth]);
        half.saturating_add(chance % longest.saturating_sub(half).saturating_add(1))
    }

    fn parts(&self) -> Result<&dyn PartUploads> {
        expect_uploads(self.objects.as_ref())
    }
}

#[async_trait(?Send)]
impl ObjectStore for Retrying {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        match condition {
            PutCondition::IfAbsent => {
                self.trying(async || self.objects.put(key, bytes, condition, metadata).await).await
            }
            PutCondition::IfMatch(_) => self.objects.put(key, bytes, condition, metadata).await,
        }
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.trying(async || self.objects.get(key, range.clone()).await).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete(keys).await
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        self.objects.uploads().map(|_| -> &dyn PartUploads { self })
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        self.objects.listing().map(|_| -> &dyn KeyListing { self })
    }
}

/// A bucket of which only reads are asked for, each of them again when it fails.
pub struct RetryingFolders {
    folders: Rc<dyn ObjectFolders>,
    objects: Retrying,
}

impl RetryingFolders {
    /// Asks `folders` again.
    pub fn new(folders: Rc<dyn ObjectFolders>, clock: Rc<dyn Clock>, ids: Rc<dyn Ids>, retries: Retries) -> Self {
        let objects: Rc<dyn ObjectStore> = folders.clone();
        Self { folders, objects: Retrying::new(objects, clock, ids, retries) }
    }
}

#[async_trait(?Send)]
impl ObjectStore for RetryingFolders {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        self.objects.put(key, bytes, condition, metadata).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.objects.get(key, range).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete(keys).await
    }
}

#[async_trait(?Send)]
impl ObjectFolders for RetryingFolders {
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage> {
        self.objects.trying(async || self.folders.folders(prefix, limit, cursor).await).await
    }
}

#[async_trait(?Send)]
impl KeyListing for Retrying {
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let listing = expect_listing(self.objects.as_ref())?;
        self.trying(async || listing.keys(prefix, limit).await).await
    }
}

#[async_trait(?Send)]
impl PartUploads for Retrying {
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String> {
        self.parts()?.begin_upload(key, metadata).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart> {
        let parts = self.parts()?;
        self.trying(async || parts.upload_part(key, upload, number, bytes).await).await
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String> {
        self.parts()?.complete_upload(key, upload, parts).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<()> {
        self.parts()?.abort_upload(key, upload).await
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::native::{Fault, FaultPlan, World, run};
    use super::*;
    use crate::error::ErrorKind;

    const RETRIES: Retries = Retries { count: 3, delay_ms: 100 };

    /// A bucket whose first `failures` calls meet `fault`.
    fn retrying(world: &World, plan: &FaultPlan, failures: usize, fault: Fault, retries: Retries) -> Retrying {
        (0..failures).for_each(|call| plan.arm(call, fault));
        let ports = plan.wrap(&world.ports());
        Retrying::new(ports.objects.unwrap(), ports.clock, ports.ids, retries)
    }

    fn put(bucket: &Retrying, condition: PutCondition<'_>) -> Result<PutOutcome> {
        run(bucket.put("a", b"bytes", condition, &ObjectMetadata::default())).done().unwrap()
    }

    #[test]
    fn a_read_is_tried_as_often_as_configured_and_waits_longer_each_time() {
        for failures in 0..=5 {
            let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
            world.bucket.overwrite("a", "bytes");
            let bucket = retrying(&world, &plan, failures, Fault::Fail, RETRIES);
            let before = world.clock.now_ms();
            let read = run(bucket.get("a", None)).done().unwrap();
            let waited = world.clock.now_ms() - before;
            assert_eq!(read.is_ok(), failures <= 3, "{failures}");
            assert_eq!(plan.calls().len(), failures.min(3) + 1, "{failures}");
            let longest = [0, 100, 300, 700][failures.min(3)];
            assert!((longest / 2..=longest).contains(&waited), "{failures} failures, waited {waited} ms");
        }
    }

    #[test]
    fn without_retries_nothing_is_repeated() {
        let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
        let bucket = retrying(&world, &plan, 1, Fault::Fail, Retries { count: 0, delay_ms: 100 });
        assert!(run(bucket.get("a", None)).done().unwrap().is_err());
        assert_eq!(plan.calls().len(), 1);
    }

    #[test]
    fn a_put_of_what_is_not_there_is_repeated_and_one_that_replaces_is_not() {
        let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
        let bucket = retrying(&world, &plan, 2, Fault::Fail, RETRIES);
        assert!(matches!(put(&bucket, PutCondition::IfAbsent), Ok(PutOutcome::Written { .. })));
        assert_eq!((plan.calls().len(), world.bucket.object("a").unwrap().bytes), (3, b"bytes".to_vec()));

        let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
        let bucket = retrying(&world, &plan, 1, Fault::FailAfter, RETRIES);
        assert_eq!(put(&bucket, PutCondition::IfAbsent).unwrap(), PutOutcome::ConditionFailed, "it had happened");
        assert_eq!(world.bucket.object("a").unwrap().bytes, b"bytes");

        let plan = FaultPlan::new();
        let bucket = retrying(&world, &plan, 1, Fault::Fail, RETRIES);
        let etag = world.bucket.object("a").unwrap().etag;
        assert!(put(&bucket, PutCondition::IfMatch(&etag)).is_err());
        assert_eq!(plan.calls().len(), 1);
        let bucket = retrying(&world, &FaultPlan::new(), 1, Fault::Fail, RETRIES);
        assert!(run(bucket.delete(&["a".to_owned()])).done().unwrap().is_err());
        assert!(world.bucket.object("a").is_some());
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
        world.bucket.overwrite("a", "bytes");
        let bucket = retrying(&world, &plan, 0, Fault::Fail, RETRIES);
        let error = run(bucket.get("a", Some(7..9))).done().unwrap().unwrap_err();
        assert_eq!((error.kind(), plan.calls().len()), (ErrorKind::Corrupt, 1));
    }
}
