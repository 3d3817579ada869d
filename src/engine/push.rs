//! Events pushed to a queue by the alarm, where one is bound; otherwise nothing happens.
//!
//! The position is that of a consumer of the program's own, stored when a batch was sent: what fails, or is cut off in
//! between, is sent again with the same ids. The first push begins at the oldest event that is kept. Failures wait longer
//! and longer, and concern nobody else. How many there were in a row, and how long is waited, is stored, so that an object
//! that sleeps in between does not begin anew: a row written a failure, and one when it is over.

use std::cell::Cell;
use std::pin::pin;

use futures_util::future::{Either, select};

use super::Engine;
use crate::cdc::push::{Batch, batch, gap};
use crate::cdc::{FeedFilter, Subscription};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{QUEUE_BATCH_MAX_BYTES, QUEUE_BATCH_MAX_MESSAGES};
use crate::ports::Queue;
use crate::types::{Masks, Sequence, StorageTier, Timestamp, Viewer};

/// The name of the consumer; the colon keeps it apart from those of requests.
const CONSUMER: &str = "queue:CDC_QUEUE";
/// The name under which failures are stored: their number as the position, and until when is waited as its time.
const FAILURES: &str = "queue:CDC_QUEUE:failures";
/// Batches of one alarm; what is left is for the next.
const BATCHES: usize = 100;
/// The first pause after a failure, in ms; it doubles with each that follows.
const RETRY_MS: i64 = 5_000;
/// How long a queue may take to answer, in ms: the alarm has more to do.
const SEND_MAX_MS: u32 = 30_000;
/// The longest pause, in ms.
const RETRY_MAX_MS: i64 = 600_000;

/// What an instance remembers of its pushes.
#[derive(Default)]
pub(super) struct Pushing {
    pushed: Cell<Option<Sequence>>,
    /// Failures in a row, and until when is waited; `None` until it was looked up.
    failures: Cell<Option<(Sequence, Timestamp)>>,
}

impl Engine {
    /// When to push next; `None` when there is nothing to push, or no queue.
    pub(super) fn push_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        if self.ports.queue.is_none() || self.last_sequence()? <= self.pushed()? {
            return Ok(None);
        }
        let (_, not_before) = self.push_failures()?;
        Ok(Some(not_before.max(now)))
    }

    /// Pushes what waits.
    pub(super) async fn push(&self) -> Result<()> {
        let now = self.now_ms();
        if self.push_due(now)?.is_none_or(|due| due > now) {
            return Ok(());
        }
        let pushed = self.push_batches().await;
        let (failures, _) = self.push_failures()?;
        let stored = match &pushed {
            Ok(()) if failures == 0 => Ok(()),
            Ok(()) => {
                self.pushing.failures.set(Some((0, 0)));
                self.consumers.delete(FAILURES).map(|_| ())
            }
            Err(_) => {
                let doubled = u32::try_from(failures.clamp(0, 16)).unwrap_or(0);
                let pause = RETRY_MS.saturating_mul(1_i64.checked_shl(doubled).unwrap_or(i64::MAX));
                let not_before = self.now_ms().saturating_add(pause.min(RETRY_MAX_MS));
                let failures = failures.saturating_add(1);
                self.pushing.failures.set(Some((failures, not_before)));
                self.consumers.put(FAILURES, failures, not_before).map(|_| ())
            }
        };
        pushed.and(stored)
    }

    /// Failures in a row, and until when is waited.
    fn push_failures(&self) -> Result<(Sequence, Timestamp)> {
        if let Some(known) = self.pushing.failures.get() {
            return Ok(known);
        }
        let stored = self.consumers.get(FAILURES)?;
        let known = stored.map_or((0, 0), |stored| (stored.sequence, stored.acknowledged));
        self.pushing.failures.set(Some(known));
        Ok(known)
    }

    async fn push_batches(&self) -> Result<()> {
        let Some(queue) = self.ports.queue.clone() else { return Ok(()) };
        self.bind_by_record()?;
        for _ in 0..BATCHES {
            let after = self.pushed()?;
            if after >= self.last_sequence()? {
                return Ok(());
            }
            let Batch { messages, through } = self.next_batch(after).await?;
            if !messages.is_empty() {
                self.send(queue.as_ref(), &messages).await?;
            }
            self.consumers.put(CONSUMER, through, self.now_ms())?;
            self.pushing.pushed.set(Some(through));
        }
        Ok(())
    }

    /// Sends messages, and takes a queue that does not answer for one that has failed.
    async fn send(&self, queue: &dyn Queue, messages: &[String]) -> Result<()> {
        match select(queue.send(messages), pin!(self.ports.clock.sleep_ms(SEND_MAX_MS))).await {
            Either::Left((sent, _)) => sent,
            Either::Right(_) => {
                let message = "expected the queue to answer within 30 s, got nothing; it is tried again";
                Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "push changes", message))
            }
        }
    }

    async fn next_batch(&self, after: Sequence) -> Result<Batch> {
        let oldest = self.oldest_position()?;
        if after < oldest {
            return Ok(Batch { messages: vec![gap(after, oldest)], through: oldest });
        }
        // Whoever reads the queue has no roles here.
        let masks = Masks::of(&self.config.security.data_masking, Viewer::NOBODY);
        let filter = FeedFilter {
            limit: QUEUE_BATCH_MAX_MESSAGES,
            max_bytes: QUEUE_BATCH_MAX_BYTES,
            ..FeedFilter::page(Subscription { masks, ..Subscription::default() }, after)
        };
        batch(&self.changes(&filter, 0).await?, &self.name()?)
    }

    /// Everything up to here was pushed.
    fn pushed(&self) -> Result<Sequence> {
        if let Some(pushed) = self.pushing.pushed.get() {
            return Ok(pushed);
        }
        let stored = self.consumers.get(CONSUMER)?.map(|consumer| consumer.sequence);
        let pushed = match stored {
            Some(stored) => stored,
            None => self.oldest_position()?,
        };
        self.pushing.pushed.set(Some(pushed));
        Ok(pushed)
    }
}
