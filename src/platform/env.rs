//! What `wrangler.toml` binds, and the ports made of it.
//!
//! A binding that is absent is `None`; one that is there but of the wrong kind is an error, not absence.

use std::rc::Rc;

use js_sys::{JSON, Reflect};
use wasm_bindgen::JsValue;
use worker::{Bucket, Env, ObjectNamespace, Request, Response, State};

use super::bucket::WorkerBucket;
use super::cache::WorkerCache;
use super::clock::{WorkerAlarm, WorkerClock, WorkerIds};
use super::exception::Exception;
use super::peers::WorkerPeers;
use super::queue::WorkerQueue;
use super::signatures::WorkerSignatures;
use super::sockets::WorkerSockets;
use super::sql::WorkerSql;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Clock, EdgePorts, Ids, ObjectFolders, ObjectStore, Ports, Queue, Signatures};
use crate::types::StorageTier;
use crate::types::names::ObjectName;

/// The bucket of the cold tier.
const BUCKET: &str = "COLD";
/// The queue that events are pushed to.
const QUEUE: &str = "CDC_QUEUE";
/// The secret that exports are encrypted with.
const EXPORT_KEY: &str = "EXPORT_KEY";
const EXPORT_KEY_DIGITS: usize = 64;
/// The namespace of the Durable Objects.
const OBJECTS: &str = "OBJECTS";

/// The variable or secret `name`: its text, or its JSON where it was configured as a table.
pub fn variable(env: &Env, name: &str) -> Option<String> {
    let value = binding(env, name)?;
    value.as_string().or_else(|| JSON::stringify(&value).ok()?.as_string())
}

/// The bucket of the cold tier, if one is bound.
pub fn worker_bucket(env: &Env) -> Result<Option<WorkerBucket>> {
    Ok(bucket(env)?.map(WorkerBucket::new))
}

fn bucket(env: &Env) -> Result<Option<Bucket>> {
    if binding(env, BUCKET).is_none() {
        return Ok(None);
    }
    env.bucket(BUCKET).map(Some).map_err(|error| wrong_kind("the binding COLD to be an R2 bucket", error))
}

/// The namespace of the Durable Objects.
fn objects(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object(OBJECTS)
        .map_err(|error| wrong_kind("the binding OBJECTS to be a namespace of Durable Objects", error))
}

/// The ports of the Worker in front of the objects.
pub fn edge_ports(env: &Env) -> Result<EdgePorts> {
    Ok(EdgePorts {
        cache: Rc::new(WorkerCache::new()),
        bucket: worker_bucket(env)?.map(|bucket| -> Rc<dyn ObjectFolders> { Rc::new(bucket) }),
        clock: clock(),
        ids: ids(),
    })
}

/// Sends a request, body and all, to the object of a name.
pub async fn fetch_object(env: &Env, name: &ObjectName, request: Request) -> Result<Response> {
    let unavailable = |error: worker::Error| {
        StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Hot,
            "reach object",
            "expected the object to answer, got a failure; try again",
        )
        .caused_by(Exception::from(error))
    };
    let stub = objects(env)?.get_by_name(&name.path()).map_err(unavailable)?;
    stub.fetch_with_request(request).await.map_err(unavailable)
}

/// The time.
pub fn clock() -> Rc<dyn Clock> {
    Rc::new(WorkerClock)
}

/// Randomness for ids.
pub fn ids() -> Rc<dyn Ids> {
    Rc::new(WorkerIds)
}

/// What checks the signatures of tokens.
pub fn signatures() -> Rc<dyn Signatures> {
    Rc::new(WorkerSignatures)
}

/// The ports of one object.
pub fn ports(state: &State, env: &Env) -> Result<Ports> {
    let objects = worker_bucket(env)?.map(|bucket| -> Rc<dyn ObjectStore> { Rc::new(bucket) });
    let exports = match (bucket(env)?, export_key(env)?) {
        (Some(bucket), Some(key)) => Some(WorkerBucket::with_customer_key(bucket, key)),
        _ => None,
    };
    Ok(Ports {
        exports: exports.map(|bucket| -> Rc<dyn ObjectStore> { Rc::new(bucket) }),
        sql: Rc::new(WorkerSql::new(state)?),
        objects,
        cache: Rc::new(WorkerCache::new()),
        clock: Rc::new(WorkerClock),
        ids: Rc::new(WorkerIds),
        alarm: Rc::new(WorkerAlarm::new(state)),
        peers: Rc::new(WorkerPeers::new(env.clone())),
        sockets: Rc::new(WorkerSockets::new(state)),
        queue: binding(env, QUEUE).map(|queue| -> Rc<dyn Queue> { Rc::new(WorkerQueue::new(queue)) }),
    })
}

/// The key that exports are encrypted with: 32 bytes in hexadecimal digits.
fn export_key(env: &Env) -> Result<Option<String>> {
    let Some(key) = variable(env, EXPORT_KEY) else { return Ok(None) };
    if key.len() == EXPORT_KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(key));
    }
    let message = "expected the secret EXPORT_KEY to be 64 hexadecimal digits, got something else; make one with `openssl rand -hex 32`";
    Err(StorageError::new(ErrorKind::Internal, StorageTier::Api, "read bindings", message))
}

fn binding(env: &Env, name: &str) -> Option<JsValue> {
    Reflect::get(env, &JsValue::from_str(name)).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

fn wrong_kind(expected: &str, error: worker::Error) -> StorageError {
    let message = format!("expected {expected}; see [[r2_buckets]] and [[durable_objects.bindings]] in wrangler.toml");
    StorageError::new(ErrorKind::Internal, StorageTier::Api, "read bindings", message).caused_by(Exception::from(error))
}
