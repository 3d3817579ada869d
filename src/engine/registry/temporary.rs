//! Values that are kept for a time: stored and read by requests, removed by the alarm.

use crate::engine::Engine;
use crate::error::Result;
use crate::registry::temporary::{TemporaryClass, TemporaryValue};
use crate::types::Timestamp;

/// Steps of one alarm; what is left is for the next.
const STEPS: usize = 32;

impl Engine {
    /// Stores a value.
    pub async fn put_temporary(&self, class: TemporaryClass, key: &str, value: &TemporaryValue) -> Result<()> {
        self.tenant()?;
        let name = self.name()?;
        self.learn_alarm().await?;
        self.hot.check_space()?;
        let now = self.now_ms();
        self.hot.transaction(|| {
            self.hot.ensure_object(&name, now)?;
            self.ensure_registry(&name)?;
            self.temporary.put(class, key, value)
        })?;
        self.schedule_archive().await
    }

    /// A value whose time has not passed.
    pub fn temporary(&self, class: TemporaryClass, key: &str) -> Result<Option<TemporaryValue>> {
        self.tenant()?;
        self.temporary.get(class, key, self.now_ms())
    }

    /// Removes a value; whether there was one.
    pub fn remove_temporary(&self, class: TemporaryClass, key: &str) -> Result<bool> {
        self.tenant()?;
        self.temporary.remove(class, key, self.now_ms())
    }

    /// Removes values that have passed, if any has. The alarm's part.
    pub(in crate::engine) async fn remove_passed_temporary(&self) -> Result<()> {
        let now = self.now_ms();
        if self.temporary.next_removal().is_none_or(|due| due > now) {
            return Ok(());
        }
        for _ in 0..STEPS {
            if !self.temporary.remove_passed(now)? {
                break;
            }
            self.ports.clock.sleep_ms(0).await;
        }
        self.temporary.learn()
    }

    /// When values have passed that the alarm is to remove.
    pub(in crate::engine) fn next_temporary(&self) -> Option<Timestamp> {
        self.temporary.next_removal()
    }

    /// Learns when the next value expires, which nobody knows after a wake. The alarm's part.
    pub(in crate::engine) fn learn_temporary(&self) -> Result<()> {
        if self.temporary.next_removal().is_none() { self.temporary.learn() } else { Ok(()) }
    }
}
