//! Time, randomness and the alarm.

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::types::Timestamp;

/// The wall clock. In production it stands still between two I/O calls.
#[async_trait(?Send)]
pub trait Clock {
    /// Unix time in ms.
    fn now_ms(&self) -> Timestamp;

    /// Lets at least `duration_ms` pass.
    async fn sleep_ms(&self, duration_ms: u32);
}

/// Randomness for ids.
pub trait Ids {
    /// 128 random bits.
    fn random(&self) -> Result<[u8; 16]>;
}

/// The object's one alarm: at least once, at or after the time set.
#[async_trait(?Send)]
pub trait Alarm {
    /// When the alarm is due, in Unix ms; `None` when it is not set.
    async fn due_ms(&self) -> Result<Option<Timestamp>>;

    /// Sets or moves the alarm. Commits together with the SQL before it when no await lies between.
    async fn set(&self, at_ms: Timestamp) -> Result<()>;
}

/// A time-ordered UUID (RFC 9562, version 7) of a moment and 128 random bits.
pub fn uuid_v7(ids: &dyn Ids, now_ms: Timestamp) -> Result<Uuid> {
    let random = ids.random()?;
    let [_, _, _, _, _, _, rest @ ..] = random;
    Ok(uuid::Builder::from_unix_timestamp_millis(u64::try_from(now_ms).unwrap_or(0), &rest).into_uuid())
}
