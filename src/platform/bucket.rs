//! [`ObjectStore`], and what of a bucket is only looked at, over an R2 binding.
//!
//! Invariants: every put has a condition; an exception is an unknown outcome, told as unavailable; a body that is passed
//! on stays in JavaScript.
//!
//! Bytes are put through a binding of our own, because the crate's wants a vector of its own to copy from and knows no
//! storage classes.

use std::ops::Range;

use async_trait::async_trait;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Bucket, ResponseBody};

use super::exception::Exception;
use super::http::PassedOn;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SQL_MAX_EXACT_INTEGER;
use crate::ports::message::Body;
use crate::ports::{
    ByteRange, FolderPage, KeyListing, ObjectDescription, ObjectFolders, ObjectInfo, ObjectMetadata, ObjectStore,
    ObjectStreams, Opened, PartUploads, PutCondition, PutOutcome, StorageClass, StoredObject, UploadedPart,
};
use crate::types::{StorageTier, Timestamp};

/// R2's code of a range that holds no byte of the object.
const RANGE_NOT_SATISFIABLE: &str = "(10039)";
/// Keys of one page. <https://developers.cloudflare.com/r2/api/workers/workers-api-reference/#r2listoptions>
const LIST_MAX_KEYS: u32 = 1_000;

#[wasm_bindgen]
extern "C" {
    type Binding;

    #[wasm_bindgen(method, catch)]
    async fn put(
        this: &Binding,
        key: &str,
        bytes: &Uint8Array,
        options: &Object,
    ) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = createMultipartUpload)]
    async fn create_multipart_upload(
        this: &Binding,
        key: &str,
        options: &Object,
    ) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = resumeMultipartUpload)]
    fn resume_multipart_upload(this: &Binding, key: &str, upload: &str) -> std::result::Result<Upload, JsValue>;

    type Put;

    #[wasm_bindgen(method, getter)]
    fn etag(this: &Put) -> JsValue;

    type Upload;

    #[wasm_bindgen(method, getter, js_name = uploadId)]
    fn upload_id(this: &Upload) -> JsValue;

    #[wasm_bindgen(method, catch, js_name = uploadPart)]
    async fn upload_part(
        this: &Upload,
        number: u16,
        bytes: &Uint8Array,
        options: &Object,
    ) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn complete(this: &Upload, parts: &Array) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn abort(this: &Upload) -> std::result::Result<JsValue, JsValue>;
}

/// A bucket.
pub struct WorkerBucket {
    bucket: Bucket,
    /// What is put can be read with this key alone: 32 bytes in hexadecimal digits (R2's SSE-C).
    customer_key: Option<String>,
}

impl WorkerBucket {
    /// The bucket of this binding.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, customer_key: None }
    }

    /// The same, where what is put is encrypted with a key; nothing is read through it.
    pub fn with_customer_key(bucket: Bucket, key: String) -> Self {
        Self { bucket, customer_key: Some(key) }
    }

    /// Options of a call that puts bytes, with the key.
    fn keyed(&self, options: Object) -> std::result::Result<Object, JsValue> {
        if let Some(key) = &self.customer_key {
            Reflect::set(&options, &"ssecKey".into(), &key.as_str().into())?;
        }
        Ok(options)
    }
}

#[async_trait(?Send)]
impl ObjectStore for WorkerBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        let failed = |thrown: JsValue| failure("put object", thrown.into());
        let options = put_options(condition, metadata).and_then(|options| self.keyed(options)).map_err(failed)?;
        let bytes = Uint8Array::new_from_slice(bytes);
        let put = self.binding().put(key, &bytes, &options).await.map_err(failed)?;
        if put.is_null() {
            return Ok(PutOutcome::ConditionFailed);
        }
        Ok(PutOutcome::Written { etag: etag_of(&put)? })
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        let mut get = self.bucket.get(key);
        if let Some(range) = &range {
            get = get.range(bucket_range(key, range)?);
        }
        let failed = |error: worker::Error| match &range {
            Some(range) if error.to_string().contains(RANGE_NOT_SATISFIABLE) => past_the_end(key, range),
            _ => failure("get object", error.into()),
        };
        let Some(object) = get.execute().await.map_err(failed)? else { return Ok(None) };
        let info = ObjectInfo { etag: object.etag(), size: object.size() };
        let body = object.body().ok_or_else(|| failure("get object", JsValue::from_str("no body").into()))?;
        Ok(Some(StoredObject { info, bytes: body.bytes().await.map_err(failed)? }))
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let keys = keys.iter().map(String::as_str).collect();
        self.bucket.delete_multiple(keys).await.map_err(|error| failure("delete objects", error.into()))
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        Some(self)
    }
}

#[async_trait(?Send)]
impl PartUploads for WorkerBucket {
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String> {
        let failed = |thrown: JsValue| failure("begin upload", thrown.into());
        let options = object_options(metadata).and_then(|options| self.keyed(options)).map_err(failed)?;
        let upload = self.binding().create_multipart_upload(key, &options).await.map_err(failed)?;
        let id = upload.unchecked_ref::<Upload>().upload_id().as_string();
        id.ok_or_else(|| incomplete("begin upload", "expected an upload's id from R2, got none"))
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart> {
        let failed = |thrown: JsValue| failure("upload part", thrown.into());
        let upload = self.binding().resume_multipart_upload(key, upload).map_err(failed)?;
        let options = self.keyed(Object::new()).map_err(failed)?;
        let put = upload.upload_part(number, &Uint8Array::new_from_slice(bytes), &options).await.map_err(failed)?;
        Ok(UploadedPart { number, etag: etag_of(&put)? })
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String> {
        let failed = |thrown: JsValue| failure("complete upload", thrown.into());
        let list = Array::new();
        for part in parts {
            let told = record([("etag", part.etag.as_str())]).map_err(failed)?;
            Reflect::set(&told, &"partNumber".into(), &part.number.into()).map_err(failed)?;
            list.push(&told);
        }
        let upload = self.binding().resume_multipart_upload(key, upload).map_err(failed)?;
        etag_of(&upload.complete(&list).await.map_err(failed)?)
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<()> {
        let failed = |thrown: JsValue| failure("abort upload", thrown.into());
        let upload = self.binding().resume_multipart_upload(key, upload).map_err(failed)?;
        upload.abort().await.map(|_| ()).map_err(failed)
    }
}

/// The ETag of what was put: of an object, or of a part.
fn etag_of(put: &JsValue) -> Result<String> {
    let etag = put.unchecked_ref::<Put>().etag().as_string();
    etag.ok_or_else(|| incomplete("put object", "expected an ETag from R2, got none"))
}

fn incomplete(operation: &'static str, message: &str) -> StorageError {
    StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, operation, message)
}

#[async_trait(?Send)]
impl KeyListing for WorkerBucket {
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let mut cursor = None;
        loop {
            let mut list = self.bucket.list().prefix(prefix).limit(limit.min(LIST_MAX_KEYS));
            if let Some(cursor) = cursor {
                list = list.cursor(cursor);
            }
            let listed = list.execute().await.map_err(|error| failure("list objects", error.into()))?;
            let keys: Vec<String> = listed.objects().into_iter().map(|object| object.key()).collect();
            cursor = if listed.truncated() { listed.cursor() } else { None };
            // A page may be empty and not the last.
            if !keys.is_empty() || cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

#[async_trait(?Send)]
impl ObjectFolders for WorkerBucket {
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage> {
        let mut list = self.bucket.list().prefix(prefix).delimiter("/").limit(limit);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let listed = list.execute().await.map_err(|error| failure("list objects", error.into()))?;
        let name = |folder: String| Some(folder.strip_prefix(prefix)?.strip_suffix('/')?.to_owned());
        let cursor = if listed.truncated() { listed.cursor() } else { None };
        Ok(FolderPage { names: listed.delimited_prefixes().into_iter().filter_map(name).collect(), cursor })
    }
}

#[async_trait(?Send)]
impl ObjectStreams for WorkerBucket {
    async fn describe(&self, key: &str) -> Result<Option<ObjectDescription>> {
        let found = self.bucket.head(key).await.map_err(|error| failure("look up object", error.into()))?;
        Ok(found.as_ref().map(description))
    }

    async fn open(&self, key: &str, range: Option<ByteRange>) -> Result<Opened> {
        let mut get = self.bucket.get(key);
        if let Some(range) = range {
            let Some(range) = open_range(range) else { return self.out_of_range(key).await };
            get = get.range(range);
        }
        let found = match (get.execute().await, range) {
            (Ok(found), _) => found,
            (Err(error), None) => return Err(failure("open object", error.into())),
            // Whatever code it has: a range from the very end is an unspecified error to some implementations.
            (Err(error), Some(range)) => return self.failed_range(key, range, error).await,
        };
        let Some(object) = found else { return Ok(Opened::Missing) };
        let failed = || failure("open object", JsValue::from_str("no body").into());
        let body = object.body().ok_or_else(failed)?.response_body();
        match body.map_err(|error| failure("open object", error.into()))? {
            ResponseBody::Stream(stream) => Ok(Opened::Found(description(&object), Body::stream(PassedOn(stream)))),
            ResponseBody::Empty | ResponseBody::Body(_) => Err(failed()),
        }
    }
}

impl WorkerBucket {
    fn binding(&self) -> &Binding {
        AsRef::<JsValue>::as_ref(&self.bucket).unchecked_ref()
    }

    async fn out_of_range(&self, key: &str) -> Result<Opened> {
        Ok(self.describe(key).await?.map_or(Opened::Missing, Opened::OutOfRange))
    }

    /// What a failed read of a range was: the fault of the range, or of the bucket.
    async fn failed_range(&self, key: &str, range: ByteRange, error: worker::Error) -> Result<Opened> {
        match self.describe(key).await? {
            None => Ok(Opened::Missing),
            Some(found) if range.within(found.size).is_none() => Ok(Opened::OutOfRange(found)),
            Some(_) => Err(failure("open object", error.into())),
        }
    }
}

fn description(object: &worker::Object) -> ObjectDescription {
    ObjectDescription {
        etag: object.etag(),
        size: object.size(),
        uploaded_ms: Timestamp::try_from(object.uploaded().as_millis()).unwrap_or(Timestamp::MAX),
        content_type: object.http_metadata().content_type,
    }
}

/// A range for the binding; `None` for one that no object reaches.
fn open_range(range: ByteRange) -> Option<worker::Range> {
    let countable = |number: u64| number.min(SQL_MAX_EXACT_INTEGER.unsigned_abs());
    match range {
        ByteRange::Between { first, last } => {
            let end = countable(last.saturating_add(1));
            (first < end).then(|| worker::Range::OffsetWithLength { offset: first, length: end - first })
        }
        ByteRange::From(offset) => (countable(offset) == offset).then_some(worker::Range::OffsetToEnd { offset }),
        ByteRange::Last(0) => None,
        ByteRange::Last(suffix) => Some(worker::Range::Suffix { suffix: countable(suffix) }),
    }
}

fn put_options(condition: PutCondition<'_>, metadata: &ObjectMetadata) -> std::result::Result<Object, JsValue> {
    let only_if = match condition {
        PutCondition::IfAbsent => record([("etagDoesNotMatch", "*")])?,
        PutCondition::IfMatch(etag) => record([("etagMatches", etag)])?,
    };
    let options = object_options(metadata)?;
    Reflect::set(&options, &"onlyIf".into(), &only_if)?;
    Ok(options)
}

fn object_options(metadata: &ObjectMetadata) -> std::result::Result<Object, JsValue> {
    let options = Object::new();
    if metadata.storage_class == StorageClass::InfrequentAccess {
        Reflect::set(&options, &"storageClass".into(), &"InfrequentAccess".into())?;
    }
    Reflect::set(&options, &"httpMetadata".into(), &record([("contentType", metadata.content_type)])?.into())?;
    let custom = record(metadata.custom.iter().map(|(name, value)| (*name, value.as_str())))?;
    Reflect::set(&options, &"customMetadata".into(), &custom)?;
    Ok(options)
}

fn record<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> std::result::Result<Object, JsValue> {
    let record = Object::new();
    for (name, value) in members {
        Reflect::set(&record, &name.into(), &value.into())?;
    }
    Ok(record)
}

/// The range for the binding, which takes no empty one and panics at one that JavaScript cannot count.
fn bucket_range(key: &str, range: &Range<u64>) -> Result<worker::Range> {
    let countable = i64::try_from(range.end).is_ok_and(|end| end <= SQL_MAX_EXACT_INTEGER);
    if range.is_empty() || !countable {
        return Err(past_the_end(key, range));
    }
    Ok(worker::Range::OffsetWithLength { offset: range.start, length: range.end - range.start })
}

fn past_the_end(key: &str, range: &Range<u64>) -> StorageError {
    let message = format!("expected {key} to reach into bytes {} to {}, but it ends before", range.start, range.end);
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "get object", message)
}

fn failure(operation: &'static str, exception: Exception) -> StorageError {
    let message = "the bucket did not answer; trying again later may help";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, operation, message).caused_by(exception)
}
