//! The decorators that count for a [`Meter`]: SQLite, and the bucket.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::Clock;
use super::meter::{BucketCall, Meter};
use super::object_store::{
    KeyListing, ObjectMetadata, ObjectStore, PartUploads, PutCondition, PutOutcome, StoredObject, UploadedPart,
    expect_listing, expect_uploads,
};
use super::sql::{SqlCounters, SqlParam, SqlRow, SqlStore};
use crate::error::Result;

/// SQLite, counted.
pub struct MeteredSql {
    sql: Rc<dyn SqlStore>,
    meter: Rc<Meter>,
}

impl MeteredSql {
    /// Counts what `sql` does.
    pub fn new(sql: Rc<dyn SqlStore>, meter: Rc<Meter>) -> Self {
        Self { sql, meter }
    }
}

impl SqlStore for MeteredSql {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        let answer = self.sql.query(statement, params);
        self.meter.note_statement(answer.is_err());
        answer
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.sql.transaction(work)
    }

    fn counters(&self) -> SqlCounters {
        self.sql.counters()
    }

    fn size_bytes(&self) -> u64 {
        self.sql.size_bytes()
    }
}

/// A bucket, counted.
pub struct MeteredBucket {
    objects: Rc<dyn ObjectStore>,
    clock: Rc<dyn Clock>,
    meter: Rc<Meter>,
}

impl MeteredBucket {
    /// Counts what is done to `objects`, and how long it takes by `clock`.
    pub fn new(objects: Rc<dyn ObjectStore>, clock: Rc<dyn Clock>, meter: Rc<Meter>) -> Self {
        Self { objects, clock, meter }
    }

    async fn counted<T>(&self, call: BucketCall, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = self.clock.now_ms();
        let done = work.await;
        let took = u64::try_from(self.clock.now_ms().saturating_sub(began)).unwrap_or(0);
        self.meter.note_call(call, took, done.is_err());
        done
    }

    fn parts(&self) -> Result<&dyn PartUploads> {
        expect_uploads(self.objects.as_ref())
    }
}

#[async_trait(?Send)]
impl ObjectStore for MeteredBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        let outcome = self.counted(BucketCall::Put, self.objects.put(key, bytes, condition, metadata)).await?;
        if outcome != PutOutcome::ConditionFailed {
            self.meter.note_stored(1, bytes.len());
        }
        Ok(outcome)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        let found = self.counted(BucketCall::Get, self.objects.get(key, range)).await?;
        if let Some(object) = &found {
            self.meter.note_read(object.bytes.len());
        }
        Ok(found)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.counted(BucketCall::Delete, self.objects.delete(keys)).await
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        self.objects.uploads().map(|_| -> &dyn PartUploads { self })
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        self.objects.listing().map(|_| -> &dyn KeyListing { self })
    }
}

#[async_trait(?Send)]
impl KeyListing for MeteredBucket {
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>> {
        self.counted(BucketCall::List, expect_listing(self.objects.as_ref())?.keys(prefix, limit)).await
    }
}

#[async_trait(?Send)]
impl PartUploads for MeteredBucket {
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String> {
        self.counted(BucketCall::BeginUpload, self.parts()?.begin_upload(key, metadata)).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart> {
        let call = self.parts()?.upload_part(key, upload, number, bytes);
        let part = self.counted(BucketCall::UploadPart, call).await?;
        self.meter.note_stored(0, bytes.len());
        Ok(part)
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String> {
        let call = self.parts()?.complete_upload(key, upload, parts);
        let etag = self.counted(BucketCall::CompleteUpload, call).await?;
        self.meter.note_stored(1, 0);
        Ok(etag)
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<()> {
        self.counted(BucketCall::AbortUpload, self.parts()?.abort_upload(key, upload)).await
    }
}
