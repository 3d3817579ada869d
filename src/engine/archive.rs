//! When archiving happens: on the alarm some time after a change, or at once when asked for.

use super::Engine;
use crate::error::Result;
use crate::types::{SyncResult, Timestamp};

impl Engine {
    /// Asks once in an instance's life when the alarm is due, so that later it is known without an await.
    pub(super) async fn learn_alarm(&self) -> Result<()> {
        if self.alarm_due.get().is_none() {
            let due = self.ports.alarm.due_ms().await?;
            self.alarm_due.set(Some(due));
        }
        Ok(())
    }

    /// Sets the alarm when changes are pending and it is not set, or is later than it should be. The storage write
    /// is issued by the first poll, so that it commits with the SQL before it.
    pub(super) async fn schedule_archive(&self) -> Result<()> {
        self.snapshotter.bound_log()?;
        let now = self.now_ms();
        let Some(wanted) = self.snapshotter.next_alarm(now)? else { return Ok(()) };
        // An alarm whose time has passed may have been lost with the process that was to fire it: it is set again.
        if self.alarm_due.get().flatten().is_some_and(|due| (now..=wanted).contains(&due)) {
            return Ok(());
        }
        self.set_alarm(wanted).await
    }

    /// Sets the alarm if changes are pending without one, as when the instance that made them went away in between.
    /// Called after every request; it costs nothing when nothing is pending.
    pub async fn ensure_archive_scheduled(&self) -> Result<()> {
        if self.snapshotter.next_alarm(self.now_ms())?.is_none() {
            return Ok(());
        }
        self.learn_alarm().await?;
        self.schedule_archive().await
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<()> {
        self.ports.alarm.set(at).await?;
        self.alarm_due.set(Some(Some(at)));
        Ok(())
    }

    /// The alarm's work: archives what is pending. The alarm is set again first, so that nothing that happens here,
    /// an eviction included, ends the archiving for good. The outer error says that it could not be set.
    pub async fn alarm(&self) -> Result<Result<()>> {
        self.alarm_due.set(Some(None));
        let now = self.now_ms();
        let due = self.snapshotter.next_alarm(now);
        if let Ok(None) = due {
            return Ok(Ok(()));
        }
        self.set_alarm(self.snapshotter.retry_alarm(now)).await?;
        Ok(self.run_alarm(due).await)
    }

    async fn run_alarm(&self, due: Result<Option<Timestamp>>) -> Result<()> {
        due?;
        self.snapshotter.alarm().await?;
        match self.snapshotter.next_alarm(self.now_ms())? {
            Some(next) => self.set_alarm(next).await,
            None => Ok(()),
        }
    }

    /// Archives everything committed so far and publishes it. Joins an archiving in flight.
    pub async fn sync(&self, force: bool) -> Result<SyncResult> {
        self.learn_alarm().await?;
        let result = self.snapshotter.sync(force).await;
        self.schedule_archive().await?;
        result
    }
}
