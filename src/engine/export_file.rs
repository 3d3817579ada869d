//! An export into the bucket: the lines of a collection as one object, put in parts while they are made.
//!
//! Its key is new each time, and begins with the object's own folder, so that erasing the object finds it. Where a key for
//! exports is configured, the port puts it with each part (R2's SSE-C), and the object can be read with that key alone.
//!
//! Invariants: at most a part and a chunk are in memory; an export that breaks off leaves no object, but at worst an upload
//! that nobody completes, which the bucket drops; one whose completion was answered by an error may be there, whole.

use std::cell::Cell;
use std::mem;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::message::BodySource;
use crate::ports::{ObjectMetadata, ObjectStore, PartUploads, PutCondition, UploadedPart, uuid_v7};
use crate::types::StorageTier;
use crate::types::names::ObjectName;

/// Parts are no larger than this, whatever is configured: one is in memory.
const PART_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What the keys of exports begin with.
pub const ROOT: &str = "exports";
/// Parts of one upload. <https://developers.cloudflare.com/r2/platform/limits/>
const PARTS_MAX: u16 = 10_000;

/// An export that is in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFile {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Its lines.
    pub documents: u64,
    /// Whether it can only be read with the key for exports.
    pub customer_key: bool,
}

/// The folder of an object's exports, with a slash at the end.
pub fn folder(object: &ObjectName) -> String {
    format!("{ROOT}/{}/", object.path())
}

impl Engine {
    /// Puts all lines into the bucket.
    pub async fn export_file(&self, collection: &str, lines: &mut dyn BodySource) -> Result<ExportFile> {
        let Some(bucket) = &self.export_bucket else {
            let message = "expected an R2 bucket bound as COLD, got none; bind one in wrangler.toml to export into it";
            return Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "export", message));
        };
        let id = uuid_v7(self.ports.ids.as_ref(), self.now_ms())?;
        let key = format!("{}{collection}/{id}.ndjson", folder(&self.name()?));
        let part_bytes = usize::try_from(self.config.objects.multipart_part_bytes).unwrap_or(usize::MAX);
        let _putting = Putting::begin(&self.puts);
        let mut file = Parts::new(bucket.as_ref(), &key, part_bytes.min(PART_MAX_BYTES));
        let put = file.put_all(lines).await;
        if put.is_err() {
            file.give_up().await;
        }
        put?;
        if self.is_closed() {
            // The object was erased meanwhile. Should this fail, the erasing looks again.
            bucket.delete(&[key]).await?;
            return Err(super::erase::busy());
        }
        let customer_key = self.ports.exports.is_some();
        Ok(ExportFile { bytes: file.bytes, documents: file.lines, customer_key, key })
    }
}

/// An export that is being put, until it is dropped.
struct Putting<'p>(&'p Cell<usize>);

impl<'p> Putting<'p> {
    fn begin(puts: &'p Cell<usize>) -> Self {
        puts.set(puts.get().saturating_add(1));
        Self(puts)
    }
}

impl Drop for Putting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// An object on its way into the bucket.
struct Parts<'b> {
    bucket: &'b dyn ObjectStore,
    key: &'b str,
    part_bytes: usize,
    upload: Option<String>,
    done: Vec<UploadedPart>,
    pending: Vec<u8>,
    bytes: u64,
    lines: u64,
}

impl<'b> Parts<'b> {
    fn new(bucket: &'b dyn ObjectStore, key: &'b str, part_bytes: usize) -> Self {
        Self { bucket, key, part_bytes, upload: None, done: Vec::new(), pending: Vec::new(), bytes: 0, lines: 0 }
    }

    async fn put_all(&mut self, lines: &mut dyn BodySource) -> Result<()> {
        while let Some(mut chunk) = lines.next_chunk().await? {
            self.bytes = self.bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            let ends = chunk.iter().filter(|byte| **byte == b'\n').count();
            self.lines = self.lines.saturating_add(u64::try_from(ends).unwrap_or(u64::MAX));
            self.pending.append(&mut chunk);
            while self.pending.len() > self.part_bytes {
                let rest = self.pending.split_off(self.part_bytes);
                let part = mem::replace(&mut self.pending, rest);
                self.put_part(&part).await?;
            }
        }
        let last = mem::take(&mut self.pending);
        if self.upload.is_none() {
            let condition = PutCondition::IfAbsent;
            return self.bucket.put(self.key, &last, condition, &metadata()).await.map(|_| ());
        }
        self.put_part(&last).await?;
        // Whether it was completed is not known when this fails: nothing is given up then.
        let Some(upload) = self.upload.take() else { return Ok(()) };
        self.uploads()?.complete_upload(self.key, &upload, &self.done).await.map(|_| ())
    }

    async fn put_part(&mut self, bytes: &[u8]) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.uploads()?.begin_upload(self.key, &metadata()).await?);
        }
        let Some(upload) = &self.upload else { return Ok(()) };
        let number = u16::try_from(self.done.len()).unwrap_or(u16::MAX).saturating_add(1);
        if number > PARTS_MAX {
            let message =
                "expected an export of at most 10,000 parts of objects.multipartPartBytes (16 MiB at most), got more";
            return Err(StorageError::new(ErrorKind::TooLarge, StorageTier::Cold, "export", message));
        }
        self.done.push(self.uploads()?.upload_part(self.key, upload, number, bytes).await?);
        Ok(())
    }

    async fn give_up(&mut self) {
        if let (Some(upload), Ok(uploads)) = (self.upload.take(), self.uploads()) {
            // The error that matters is the one before.
            let _ = uploads.abort_upload(self.key, &upload).await;
        }
    }

    fn uploads(&self) -> Result<&'b dyn PartUploads> {
        self.bucket.uploads().ok_or_else(|| {
            let message = "expected a bucket that takes parts, got another";
            StorageError::new(ErrorKind::Internal, StorageTier::Cold, "export", message)
        })
    }
}

fn metadata() -> ObjectMetadata {
    ObjectMetadata { content_type: "application/x-ndjson", ..ObjectMetadata::default() }
}
