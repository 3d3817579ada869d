//! [`Clock`], [`Ids`] and [`Alarm`] of the platform.

use std::time::Duration;

use async_trait::async_trait;
use js_sys::Date;
use wasm_bindgen::JsValue;
use worker::{Delay, ScheduledTime, State, Storage};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Alarm, Clock, Ids};
use crate::types::{StorageTier, Timestamp};

/// The longest single time-out that JavaScript takes, in ms.
const LONGEST_TIMEOUT_MS: u32 = i32::MAX.unsigned_abs();

/// The isolate's clock. In production it stands still between two I/O calls.
pub struct WorkerClock;

#[async_trait(?Send)]
impl Clock for WorkerClock {
    fn now_ms(&self) -> Timestamp {
        Timestamp::try_from(worker::Date::now().as_millis()).unwrap_or(Timestamp::MAX)
    }

    async fn sleep_ms(&self, duration_ms: u32) {
        Delay::from(Duration::from_millis(u64::from(duration_ms.min(LONGEST_TIMEOUT_MS)))).await;
    }
}

/// The platform's cryptographic randomness.
pub struct WorkerIds;

impl Ids for WorkerIds {
    fn random(&self) -> Result<[u8; 16]> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|error| {
            let message = "the platform gave no randomness";
            StorageError::new(ErrorKind::Internal, StorageTier::Api, "make id", message).caused_by(error)
        })?;
        Ok(bits)
    }
}

/// The alarm of one object.
pub struct WorkerAlarm(Storage);

impl WorkerAlarm {
    /// The alarm of this object.
    pub fn new(state: &State) -> Self {
        Self(state.storage())
    }
}

#[async_trait(?Send)]
impl Alarm for WorkerAlarm {
    async fn due_ms(&self) -> Result<Option<Timestamp>> {
        self.0.get_alarm().await.map_err(|error| failure("read alarm", error.into()))
    }

    async fn set(&self, at_ms: Timestamp) -> Result<()> {
        // A date, because the crate takes a number for an offset from now; after 1970, because the platform wants it.
        #[expect(clippy::cast_precision_loss, reason = "JavaScript's dates end long before 2^53 ms")]
        let at = Date::new(&JsValue::from_f64(at_ms.max(1) as f64));
        self.0.set_alarm(ScheduledTime::new(at)).await.map_err(|error| failure("set alarm", error.into()))
    }
}

fn failure(operation: &'static str, exception: Exception) -> StorageError {
    let message = "the object's alarm did not answer; trying again later may help";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, operation, message).caused_by(exception)
}
