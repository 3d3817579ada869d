//! Requests in and responses out, between workerd and this project's own types.
//!
//! Invariants: path and query stay percent-encoded as workerd serialises them (it resolves `.` and `..` segments,
//! encoded ones too, before anyone sees them); a body that ends before its announced length, or whose stream fails, is
//! an error and never an end; a response that JavaScript would not construct becomes an empty 500; the stream of a
//! response whose body fails is aborted; that workerd's own HTTP server ends a chunked answer all the same is for the body.
//!
//! The crate's own `ByteStream` is not used: it takes an aborted stream for one that has ended.

use std::any::Any;
use std::mem;

use async_trait::async_trait;
use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use worker::web_sys::{self, ReadableStream};
use worker::{Headers, ResponseBuilder, console_error};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::message::{Body, BodySource, Request, RequestHead, Response, WholeBody, header};
use crate::types::StorageTier;

/// Bytes that one read brings at most. Without a buffer of ours workerd brings 4 KiB at a time, several times slower.
const READ_MAX_BYTES: u32 = 256 * 1024;

#[wasm_bindgen]
extern "C" {
    type Stream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader(this: &Stream, options: &Object) -> std::result::Result<Reader, JsValue>;

    type Reader;

    #[wasm_bindgen(method, catch)]
    async fn read(this: &Reader, into: &Uint8Array) -> std::result::Result<JsValue, JsValue>;

    type Chunk;

    #[wasm_bindgen(method, getter)]
    fn done(this: &Chunk) -> bool;

    #[wasm_bindgen(method, getter)]
    fn value(this: &Chunk) -> JsValue;

    #[wasm_bindgen(js_name = IdentityTransformStream)]
    type Pipe;

    #[wasm_bindgen(constructor, catch, js_class = "IdentityTransformStream")]
    fn new() -> std::result::Result<Pipe, JsValue>;

    #[wasm_bindgen(method, getter, js_class = "IdentityTransformStream")]
    fn readable(this: &Pipe) -> ReadableStream;

    #[wasm_bindgen(method, getter, js_class = "IdentityTransformStream")]
    fn writable(this: &Pipe) -> Writable;

    type Writable;

    #[wasm_bindgen(method, catch, js_name = getWriter)]
    fn get_writer(this: &Writable) -> std::result::Result<Writer, JsValue>;

    type Writer;

    #[wasm_bindgen(method, catch)]
    async fn write(this: &Writer, chunk: &Uint8Array) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn close(this: &Writer) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn abort(this: &Writer, reason: &JsValue) -> std::result::Result<JsValue, JsValue>;
}

/// How far a body has been read.
enum Progress {
    /// There may be more, to be read into this buffer, which the stream owns while it reads.
    Reading(ArrayBuffer),
    /// All of it was read.
    Ended,
    /// The rest will never come.
    Broken,
}

/// Reads the body of a request through its stream.
struct StreamBody {
    reader: Reader,
    progress: Progress,
    /// Bytes that were announced and have not come; `None` when nothing was announced.
    missing: Option<u64>,
}

impl StreamBody {
    fn new(stream: &Stream, announced: Option<u64>) -> std::result::Result<Self, JsValue> {
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &"byob".into())?;
        let length = announced.and_then(|length| u32::try_from(length).ok()).unwrap_or(READ_MAX_BYTES);
        let buffer = ArrayBuffer::new(length.clamp(1, READ_MAX_BYTES));
        Ok(Self { reader: stream.get_reader(&options)?, progress: Progress::Reading(buffer), missing: announced })
    }
}

#[async_trait(?Send)]
impl BodySource for StreamBody {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let buffer = match mem::replace(&mut self.progress, Progress::Broken) {
            Progress::Reading(buffer) => buffer,
            Progress::Broken => return Err(broke_off()),
            Progress::Ended => {
                self.progress = Progress::Ended;
                return Ok(None);
            }
        };
        let read = self.reader.read(&Uint8Array::new(&buffer)).await;
        let read = read.map_err(|thrown| broke_off().caused_by(Exception::from(thrown)))?;
        let chunk: &Chunk = read.unchecked_ref();
        if chunk.done() {
            if self.missing.is_some_and(|missing| missing > 0) {
                return Err(broke_off());
            }
            self.progress = Progress::Ended;
            return Ok(None);
        }
        let bytes: Uint8Array = chunk.value().dyn_into().map_err(|_| not_bytes())?;
        self.progress = Progress::Reading(bytes.buffer());
        self.missing = self.missing.map(|missing| missing.saturating_sub(u64::from(bytes.length())));
        Ok(Some(bytes.to_vec()))
    }
}

/// A request as this project reads it. The body is read as it is asked for.
pub fn request_from_worker(request: &worker::Request) -> Result<Request> {
    let raw = request.inner();
    let (path, query) = target(&raw.url());
    let headers: Vec<(String, String)> = request.headers().entries().collect();
    let body: Box<dyn BodySource> = match raw.body() {
        None => Box::new(WholeBody::new(Vec::new())),
        Some(stream) => {
            let announced = header(&headers, "content-length").and_then(|length| length.parse().ok());
            let body = StreamBody::new(stream.unchecked_ref(), announced);
            Box::new(body.map_err(|thrown| not_bytes().caused_by(Exception::from(thrown)))?)
        }
    };
    Ok(Request { method: raw.method().to_ascii_uppercase(), path, query, headers, body })
}

/// The same request with headers set, each in place of any of its name. The body goes along and is not read here.
pub fn with_headers(request: &worker::Request, headers: &[(&str, &str)]) -> Result<worker::Request> {
    let refused = |thrown| not_bytes().caused_by(Exception::from(thrown));
    let copy = web_sys::Request::new_with_request(request.inner()).map_err(refused)?;
    for (name, value) in headers {
        copy.headers().set(name, value).map_err(refused)?;
    }
    Ok(worker::Request::from(copy))
}

/// The same response with those of its headers that may be told and with others set, each in place of any of its name. The
/// body is not read, and a socket stays open. Headers of an object's answer cannot be changed, so that they are copied.
pub fn answer_with_headers(
    response: worker::Response,
    is_told: fn(&str) -> bool,
    set: &[(&str, String)],
) -> worker::Response {
    let headers: Headers = response.headers().entries().filter(|(name, _)| is_told(name)).collect();
    for (name, value) in set {
        // All of them are our own, and well-formed.
        let _ = headers.set(name, value);
    }
    response.with_headers(headers)
}

/// What is decided on before a request's body is looked at.
pub fn head_from_worker(request: &worker::Request) -> RequestHead {
    let raw = request.inner();
    let url = raw.url();
    let (path, query) = target(&url);
    RequestHead {
        method: raw.method().to_ascii_uppercase(),
        origin: origin(&url).to_owned(),
        path,
        query,
        headers: request.headers().entries().collect(),
    }
}

/// A whole response of an object.
pub async fn response_from_worker(mut response: worker::Response) -> Result<Response> {
    let (status, headers) = (response.status_code(), response.headers().entries().collect());
    let body = response.bytes().await.map_err(|error| {
        StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Api,
            "read response",
            "expected the object's whole answer, got a part; try again",
        )
        .caused_by(Exception::from(error))
    })?;
    Ok(Response { status, headers, body: Body::Whole(body) })
}

/// A body of the platform that is passed on as it is: its bytes never come here.
pub struct PassedOn(pub ReadableStream);

#[async_trait(?Send)]
impl BodySource for PassedOn {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        Err(not_bytes())
    }
}

/// The response for workerd.
pub fn response_to_worker(response: Response) -> worker::Response {
    let Some(builder) = builder_of(&response) else { return refused() };
    // These have no body by definition, and JavaScript refuses to give them one.
    if matches!(response.status, 204 | 205 | 304) {
        return builder.empty();
    }
    match response.body {
        Body::Whole(bytes) if bytes.is_empty() => builder.empty(),
        Body::Whole(bytes) => builder.fixed(bytes),
        // Only the object itself can open one.
        Body::Socket(_) => refused(),
        Body::Stream(source) if (source.as_ref() as &dyn Any).is::<PassedOn>() => {
            let passed: Box<dyn Any> = source;
            passed.downcast::<PassedOn>().map_or_else(|_| refused(), |passed| builder.stream(passed.0))
        }
        Body::Stream(source) => made_stream(source).map_or_else(|_| refused(), |stream| builder.stream(stream)),
    }
}

/// A stream of the platform that chunks are written to as fast as they are taken. When nobody takes them any more a write
/// fails, and the source is dropped.
///
/// Not a stream that is pulled: workerd tells the end of a client only to a pull that is not under way.
fn made_stream(mut source: Box<dyn BodySource>) -> std::result::Result<ReadableStream, JsValue> {
    let pipe = Pipe::new()?;
    let (stream, writer) = (pipe.readable(), pipe.writable().get_writer()?);
    spawn_local(async move {
        loop {
            match source.next_chunk().await {
                Ok(Some(chunk)) => {
                    // Not both copies while a client takes its time.
                    let bytes = Uint8Array::new_from_slice(&chunk);
                    drop(chunk);
                    if writer.write(&bytes).await.is_err() {
                        return;
                    }
                }
                // That nobody waits for the end, or for the failure, changes nothing.
                Ok(None) => {
                    let _ = writer.close().await;
                    return;
                }
                Err(error) => {
                    console_error!("a body breaks off: {error:?}");
                    let _ = writer.abort(&JsValue::from_str("the body broke off")).await;
                    return;
                }
            }
        }
    });
    Ok(stream)
}

/// Status and headers; `None` for what JavaScript would not take.
fn builder_of(response: &Response) -> Option<ResponseBuilder> {
    if !(200..=599).contains(&response.status) {
        return None;
    }
    let headers = Headers::new();
    for (name, value) in &response.headers {
        headers.append(name, value).ok()?;
    }
    Some(worker::Response::builder().with_status(response.status).with_headers(headers))
}

fn refused() -> worker::Response {
    worker::Response::builder().with_status(500).empty()
}

/// Scheme and authority of an absolute URL.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |position| position + 3);
    let length = url.get(authority..).and_then(|rest| rest.find(['/', '?', '#']));
    length.and_then(|length| url.get(..authority + length)).unwrap_or(url)
}

/// Path and query of an absolute URL, both still encoded.
fn target(url: &str) -> (String, String) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = after_scheme.find('/').and_then(|position| after_scheme.get(position..)).unwrap_or("/");
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), query.to_owned())
}

fn broke_off() -> StorageError {
    StorageError::new(ErrorKind::Malformed, StorageTier::Api, "read body", "the body broke off; send the request again")
}

fn not_bytes() -> StorageError {
    let message = "expected the body to be a stream of bytes that nobody has read, got something else";
    StorageError::new(ErrorKind::Internal, StorageTier::Api, "read body", message)
}
