//! Faults at any port call, chosen by its number.
//!
//! A [`FaultPlan`] numbers every call that one instance of the engine makes and remembers its label; a scenario run
//! once without faults says how many there are, and is then run again with a [`Fault`] at each. A crash takes the
//! instance away: a call that awaits never returns, one that cannot await fails, nothing of an open transaction
//! stays, and every later call fails without happening. The test drops the instance and starts a new one, with a new
//! plan, over the same stores. What an instance answered after its plan [`crashed`](FaultPlan::crashed) nobody saw.
//!
//! The clock and the ids do not fail.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::executor::yield_now;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{
    Alarm, EdgeCache, KeyListing, ObjectMetadata, ObjectStore, PartUploads, PeerAnswer, Peers, Ports, PutCondition,
    PutOutcome, SqlCounters, SqlParam, SqlRow, SqlStore, StoredObject, UploadedPart, expect_listing,
};
use crate::types::names::ObjectName;
use crate::types::{StorageTier, Timestamp};

/// Characters of a statement that its label shows.
const LABEL_STATEMENT_CHARACTERS: usize = 80;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and did not happen.
    Fail,
    /// It happened, and is reported as failed.
    FailAfter,
    /// The instance is gone before the call happens.
    CrashBefore,
    /// The instance is gone after the call happened.
    CrashAfter,
    /// Everything else goes on this many times first. Calls that do not await are as fast as ever.
    Slow(u32),
}

#[derive(Default)]
struct State {
    calls: RefCell<Vec<String>>,
    armed: RefCell<BTreeMap<usize, Fault>>,
    crashed: Cell<bool>,
}

/// The faults of one instance, and the calls it made; clones share both.
#[derive(Clone, Default)]
pub struct FaultPlan(Rc<State>);

impl FaultPlan {
    /// A plan without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets call number `call` (the first is 0) meet `fault`.
    pub fn arm(&self, call: usize, fault: Fault) {
        self.0.armed.borrow_mut().insert(call, fault);
    }

    /// Labels of all calls so far, in order: their index is their number.
    pub fn calls(&self) -> Vec<String> {
        self.0.calls.borrow().clone()
    }

    /// How many armed faults have not been met yet.
    pub fn unmet(&self) -> usize {
        self.0.armed.borrow().len()
    }

    /// Whether the instance is gone.
    pub fn crashed(&self) -> bool {
        self.0.crashed.get()
    }

    /// The same ports, under this plan.
    #[must_use]
    pub fn wrap(&self, ports: &Ports) -> Ports {
        let faulty = |objects: &Option<Rc<dyn ObjectStore>>| {
            objects.as_ref().map(|objects| -> Rc<dyn ObjectStore> {
                Rc::new(FaultyBucket { inner: Rc::clone(objects), plan: self.clone() })
            })
        };
        Ports {
            sql: Rc::new(FaultySql { inner: Rc::clone(&ports.sql), plan: self.clone() }),
            objects: faulty(&ports.objects),
            exports: faulty(&ports.exports),
            cache: Rc::new(FaultyCache { inner: Rc::clone(&ports.cache), plan: self.clone() }),
            clock: Rc::clone(&ports.clock),
            ids: Rc::clone(&ports.ids),
            alarm: Rc::new(FaultyAlarm { inner: Rc::clone(&ports.alarm), plan: self.clone() }),
            peers: Rc::new(FaultyPeers { inner: Rc::clone(&ports.peers), plan: self.clone() }),
            sockets: Rc::clone(&ports.sockets),
            queue: ports.queue.clone(),
        }
    }

    /// Numbers a call and takes its fault.
    fn begin(&self, label: String) -> Option<Fault> {
        let mut calls = self.0.calls.borrow_mut();
        calls.push(label);
        self.0.armed.borrow_mut().remove(&(calls.len() - 1))
    }

    fn alive(&self, tier: StorageTier) -> Result<()> {
        if self.crashed() { Err(self.crash(tier)) } else { Ok(()) }
    }

    /// Takes the instance away; what a call that cannot await returns.
    fn crash(&self, tier: StorageTier) -> StorageError {
        self.0.crashed.set(true);
        injected(tier, "the instance has crashed")
    }

    fn call<T>(&self, label: String, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let tier = StorageTier::Hot;
        self.alive(tier)?;
        let fault = self.begin(label);
        match fault {
            None | Some(Fault::Slow(_)) => call(),
            Some(Fault::Fail) => Err(injected(tier, "the call failed")),
            Some(Fault::FailAfter) => call().and_then(|_| Err(injected(tier, "the call failed after it happened"))),
            Some(Fault::CrashBefore) => Err(self.crash(tier)),
            Some(Fault::CrashAfter) => {
                // Whether it succeeded is known to nobody.
                let _ = call();
                Err(self.crash(tier))
            }
        }
    }

    async fn call_async<T>(
        &self,
        tier: StorageTier,
        label: String,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.alive(tier)?;
        let fault = self.begin(label);
        match fault {
            None => call.await,
            Some(Fault::Slow(times)) => {
                for _ in 0..times {
                    yield_now().await;
                }
                self.alive(tier)?;
                call.await
            }
            Some(Fault::Fail) => Err(injected(tier, "the call failed")),
            Some(Fault::FailAfter) => {
                call.await?;
                Err(injected(tier, "the call failed after it happened"))
            }
            Some(fault @ (Fault::CrashBefore | Fault::CrashAfter)) => {
                if fault == Fault::CrashAfter {
                    let _ = call.await;
                }
                self.crash(tier);
                std::future::pending().await
            }
        }
    }
}

/// A database under a plan.
struct FaultySql {
    inner: Rc<dyn SqlStore>,
    plan: FaultPlan,
}

impl SqlStore for FaultySql {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        let shown: String = statement.chars().take(LABEL_STATEMENT_CHARACTERS).collect();
        self.plan.call(format!("sql query {shown}"), || self.inner.query(statement, params))
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        // A crash inside takes the transaction with it, whatever `work` made of the error.
        let mut work = || work().and_then(|()| self.plan.alive(StorageTier::Hot));
        self.plan.call("sql transaction".to_owned(), || self.inner.transaction(&mut work))
    }

    fn counters(&self) -> SqlCounters {
        self.inner.counters()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
}

/// A bucket under a plan.
struct FaultyBucket {
    inner: Rc<dyn ObjectStore>,
    plan: FaultPlan,
}

#[async_trait(?Send)]
impl ObjectStore for FaultyBucket {
    async fn put(
        &self,
        key: &str,
        bytes: &[u8],
        condition: PutCondition<'_>,
        metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        let call = self.inner.put(key, bytes, condition, metadata);
        self.plan.call_async(StorageTier::Cold, format!("put {key}"), call).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.plan.call_async(StorageTier::Cold, format!("get {key}"), self.inner.get(key, range)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.plan.call_async(StorageTier::Cold, format!("delete {}", keys.join(" ")), self.inner.delete(keys)).await
    }

    fn uploads(&self) -> Option<&dyn PartUploads> {
        self.inner.uploads().is_some().then_some(self)
    }

    fn listing(&self) -> Option<&dyn KeyListing> {
        self.inner.listing().is_some().then_some(self)
    }
}

#[async_trait(?Send)]
impl KeyListing for FaultyBucket {
    async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let call = expect_listing(self.inner.as_ref())?.keys(prefix, limit);
        self.plan.call_async(StorageTier::Cold, format!("list {prefix}"), call).await
    }
}

impl FaultyBucket {
    fn inner_uploads(&self) -> Result<&dyn PartUploads> {
        self.inner.uploads().ok_or_else(|| injected(StorageTier::Cold, "the bucket takes no parts"))
    }
}

#[async_trait(?Send)]
impl PartUploads for FaultyBucket {
    async fn begin_upload(&self, key: &str, metadata: &ObjectMetadata) -> Result<String> {
        let call = self.inner_uploads()?.begin_upload(key, metadata);
        self.plan.call_async(StorageTier::Cold, format!("begin upload {key}"), call).await
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u16, bytes: &[u8]) -> Result<UploadedPart> {
        let call = self.inner_uploads()?.upload_part(key, upload, number, bytes);
        self.plan.call_async(StorageTier::Cold, format!("upload part {number} {key}"), call).await
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[UploadedPart]) -> Result<String> {
        let call = self.inner_uploads()?.complete_upload(key, upload, parts);
        self.plan.call_async(StorageTier::Cold, format!("complete upload {key}"), call).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<()> {
        let call = self.inner_uploads()?.abort_upload(key, upload);
        self.plan.call_async(StorageTier::Cold, format!("abort upload {key}"), call).await
    }
}

/// A cache under a plan.
struct FaultyCache {
    inner: Rc<dyn EdgeCache>,
    plan: FaultPlan,
}

#[async_trait(?Send)]
impl EdgeCache for FaultyCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.plan.call_async(StorageTier::Warm, format!("cache get {key}"), self.inner.get(key)).await
    }

    async fn put(&self, key: &str, bytes: &[u8], ttl_secs: u32) -> Result<()> {
        let call = self.inner.put(key, bytes, ttl_secs);
        self.plan.call_async(StorageTier::Warm, format!("cache put {key}"), call).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.plan.call_async(StorageTier::Warm, format!("cache delete {key}"), self.inner.delete(key)).await
    }
}

/// An alarm under a plan.
struct FaultyAlarm {
    inner: Rc<dyn Alarm>,
    plan: FaultPlan,
}

#[async_trait(?Send)]
impl Alarm for FaultyAlarm {
    async fn due_ms(&self) -> Result<Option<Timestamp>> {
        self.plan.call_async(StorageTier::Hot, "alarm due".to_owned(), self.inner.due_ms()).await
    }

    async fn set(&self, at_ms: Timestamp) -> Result<()> {
        self.plan.call_async(StorageTier::Hot, "alarm set".to_owned(), self.inner.set(at_ms)).await
    }
}

/// Other objects under a plan.
struct FaultyPeers {
    inner: Rc<dyn Peers>,
    plan: FaultPlan,
}

#[async_trait(?Send)]
impl Peers for FaultyPeers {
    async fn send(&self, to: &ObjectName, method: &str, path: &str, body: Option<&str>) -> Result<PeerAnswer> {
        let call = self.inner.send(to, method, path, body);
        self.plan.call_async(StorageTier::Api, format!("peer {method} {path}"), call).await
    }
}

/// The failure that the platform's implementation would report.
fn injected(tier: StorageTier, what: &str) -> StorageError {
    let kind = if tier == StorageTier::Hot { ErrorKind::Internal } else { ErrorKind::Unavailable };
    StorageError::new(kind, tier, "meet an injected fault", what)
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
