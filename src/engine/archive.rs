//! The alarm's work: maintenance of the hot tier, archiving some time after a change, and what expires; or archiving at
//! once when asked for.

use super::Engine;
use crate::error::Result;

/// Steps of maintenance in one alarm; what is left is for the next.
const MAINTENANCE_STEPS: usize = 128;
/// How long maintenance may wait for more to do, in ms: an alarm is a row written.
const MAINTENANCE_DELAY_MS: i64 = 1_000;

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
        // An alarm whose time has passed may have been lost with the process that was to fire it: it is set again.
        let set = self.alarm_due.get().flatten().filter(|due| *due >= now);
        // What seems to have expired may not have, as far as is known after a wake. Every alarm looks at it, and sets the
        // next by what it has found.
        let expiry = self.next_hot_expiry()?.filter(|due| set.is_none() || *due > now).map(|due| soon(due, now));
        match [self.next_work(now)?, expiry].into_iter().flatten().min() {
            Some(wanted) if set.is_none_or(|due| due > wanted) => self.set_alarm(wanted).await,
            _ => Ok(()),
        }
    }

    /// Sets the alarm if changes are pending without one, as when the instance that made them went away in between.
    /// Called after every request; it costs nothing when nothing is pending.
    pub async fn ensure_archive_scheduled(&self) -> Result<()> {
        if self.next_work(self.now_ms())?.is_none() && self.next_hot_expiry()?.is_none() {
            return Ok(());
        }
        self.learn_alarm().await?;
        self.schedule_archive().await
    }

    /// When archiving, maintenance or a restore is due; `None` when there is nothing to do.
    fn next_work(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let maintenance = self.hot.maintenance_due(now)?.map(|due| soon(due, now));
        let push = self.push_due(now)?.map(|due| soon(due, now));
        let restore = self.restore_due(now);
        let access = self.access_due(now).map(|due| soon(due, now));
        Ok([self.snapshotter.next_alarm(now)?, maintenance, restore, push, access].into_iter().flatten().min())
    }

    /// When documents, kept answers or temporary values expire next.
    fn next_hot_expiry(&self) -> Result<Option<Timestamp>> {
        let kept = [self.hot.next_expiry()?, self.hot.answers().next_drop()?, self.next_temporary()];
        Ok(kept.into_iter().flatten().min())
    }

    /// When anything that is kept for a time, archived events among it, expires next.
    fn next_expiry(&self) -> Result<Option<Timestamp>> {
        Ok([self.next_hot_expiry()?, self.snapshotter.next_expiry()?].into_iter().flatten().min())
    }

    pub(super) async fn set_alarm(&self, at: Timestamp) -> Result<()> {
        self.ports.alarm.set(at).await?;
        self.alarm_due.set(Some(Some(at)));
        Ok(())
    }

    /// The alarm's work. The alarm is set again first, so that nothing that happens here, an eviction included, ends it for
    /// good. The outer error says that it could not be set.
    pub async fn alarm(&self) -> Result<Result<()>> {
        self.alarm_due.set(Some(None));
        self.request_began();
        let now = self.now_ms();
        self.exports.end_abandoned(now);
        match self.go_on_erasing().await {
            Ok(false) => {}
            Ok(true) => return Ok(Ok(())),
            Err(error) => return Err(error),
        }
        // One that cannot be looked at is closed when it is next sent something.
        let _ = self.end_sockets();
        let due = self.learn_temporary().and_then(|()| self.work(now));
        match due {
            Ok(Work { any: false, expiry: None, .. }) => return Ok(Ok(())),
            Ok(Work { any: false, expiry: Some(expiry), .. }) if expiry > now => {
                self.set_alarm(expiry).await?;
                return Ok(Ok(()));
            }
            _ => {}
        }
        let retry = self.snapshotter.retry_alarm(now);
        self.set_alarm(retry).await?;
        Ok(self.run_alarm(due, retry).await)
    }

    /// What an alarm has to do. It finds more than what a request looks for: a row generation that was not counted since
    /// the wake is counted here.
    fn work(&self, now: Timestamp) -> Result<Work> {
        let archive = self.snapshotter.is_alarm_due(now)?;
        let restores = self.snapshotter.running_restore()?.is_some() || !self.snapshotter.delegated()?.is_empty();
        let any = archive || restores || self.hot.maintenance_pending()? || self.next_work(now)?.is_some();
        Ok(Work { archive, any, expiry: self.next_expiry()? })
    }

    async fn run_alarm(&self, due: Result<Work>, retry: Timestamp) -> Result<()> {
        let Work { archive, expiry, .. } = due?;
        self.bind_by_record()?;
        // Each does its part whatever becomes of the other.
        let maintained = self.maintain().await;
        // Before the log loses what the index follows.
        let indexed = self.keep_similarity().await.and(self.keep_embeddings().await);
        let has_expired = expiry.is_some_and(|due| due <= self.now_ms());
        let archive = archive || self.snapshotter.next_expiry()?.is_some_and(|due| due <= self.now_ms());
        let archived = if archive { self.snapshotter.alarm().await } else { Ok(()) };
        let evicted = self.snapshotter.evict().await.map(|_| ());
        let restored = self.restore_some().await;
        let asked = self.ask_others().await;
        let expired = self.expire().await.map(|_| ());
        let passed = self.remove_passed_temporary().await;
        // What a queue does concerns nobody else.
        let pushed = self.push().await;
        let kept = self.keep_access();
        maintained
            .and(indexed)
            .and(kept)
            .and(archived)
            .and(evicted)
            .and(restored)
            .and(asked)
            .and(expired)
            .and(passed)?;
        let now = self.now_ms();
        let (work, expiry) = (self.next_work(now)?, self.next_expiry()?.map(|due| soon(due, now)));
        match [work, expiry].into_iter().flatten().min() {
            // The alarm that is set finds what is far off, and is set to it then, unless there was a write before. What was
            // found out by a pass is not found out again.
            Some(next) if work.is_some() || next <= retry || has_expired => self.set_alarm(next).await?,
            _ => {}
        }
        pushed
    }

    /// Maintains the hot tier, a turn a step, and drops answers that count no more.
    async fn maintain(&self) -> Result<()> {
        self.drop_answers()?;
        self.maintain_hot().await
    }

    /// Drops the answers of days that count no more; tells of how many days.
    pub(super) fn drop_answers(&self) -> Result<usize> {
        self.hot.transaction(|| self.hot.answers().drop_old(self.now_ms()))
    }

    /// Maintains the hot tier, a turn a step.
    pub(super) async fn maintain_hot(&self) -> Result<()> {
        for _ in 0..MAINTENANCE_STEPS {
            if !self.hot.maintain(self.now_ms())? {
                return Ok(());
            }
            self.ports.clock.sleep_ms(0).await;
        }
        Ok(())
    }

    /// Archives everything committed so far and publishes it. Joins an archiving in flight.
    pub async fn sync(&self, force: bool) -> Result<SyncResult> {
        self.learn_alarm().await?;
        let result = self.snapshotter.sync(force).await;
        self.schedule_archive().await?;
        result
    }
}

/// What an alarm has to do.
struct Work {
    /// Whether archiving is due.
    archive: bool,
    /// Whether there is anything to archive or to maintain, now or later.
    any: bool,
    /// When something expires.
    expiry: Option<Timestamp>,
}

/// When to do what is due: not at once, because an alarm is a row written.
fn soon(due: Timestamp, now: Timestamp) -> Timestamp {
    due.max(now.saturating_add(MAINTENANCE_DELAY_MS))
}
