//! Named consumers of the feed: their positions, and whether these can still be read from.
//!
//! A position may go forward up to the last event, and back as far as events are kept. What is trimmed from the hot log
//! is kept for a consumer where it is archived; a consumer whose next event is in neither has lagged.

use super::Engine;
use crate::cdc::Consumer;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Sequence, StorageTier};

/// A consumer, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// Its name and position.
    pub consumer: Consumer,
    /// Events that it has not acknowledged.
    pub pending: i64,
    /// Whether events that it has not acknowledged are kept no longer.
    pub lagged: bool,
    /// The oldest event that is kept, or the next one when none is.
    pub oldest: Sequence,
}

impl Engine {
    /// The oldest position that the feed can be read from.
    pub fn oldest_position(&self) -> Result<Sequence> {
        let before = self.hot.log().first_sequence()?.saturating_sub(1);
        if before <= 0 || self.ports.objects.is_none() || self.snapshotter.archived()? < before {
            return Ok(before.max(0));
        }
        Ok(self.snapshotter.archived_from()?.min(before))
    }

    /// A consumer; one that is unknown is an error.
    pub fn consumer(&self, name: &str) -> Result<ConsumerState> {
        let consumer = self.consumers.get(name)?.ok_or_else(|| unknown(name))?;
        self.state_of(consumer)
    }

    /// All consumers, by name.
    pub fn consumers(&self) -> Result<Vec<ConsumerState>> {
        self.consumers.all()?.into_iter().map(|consumer| self.state_of(consumer)).collect()
    }

    /// Notes how far a consumer has come; `true` when it is new.
    pub fn acknowledge(&self, name: &str, sequence: Sequence) -> Result<(ConsumerState, bool)> {
        let last = self.last_sequence()?;
        if sequence > last {
            let detail = format!("expected a position up to {last}, the last sequence of this object, got {sequence}");
            let message = "the request is well-formed but not valid; see errors";
            let error = StorageError::new(ErrorKind::Invalid, StorageTier::Hot, "acknowledge", message);
            return Err(error.at("/sequence", detail));
        }
        let oldest = self.oldest_position()?;
        if sequence < oldest {
            return Err(gone("acknowledge", oldest, sequence));
        }
        let created = self.consumers.put(name, sequence, self.now_ms())?;
        Ok((self.consumer(name)?, created))
    }

    /// Forgets a consumer; one that is unknown is an error.
    pub fn forget_consumer(&self, name: &str) -> Result<()> {
        if self.consumers.delete(name)? { Ok(()) } else { Err(unknown(name)) }
    }

    fn state_of(&self, consumer: Consumer) -> Result<ConsumerState> {
        let oldest = self.oldest_position()?;
        let pending = self.last_sequence()?.saturating_sub(consumer.sequence);
        let lagged = consumer.sequence < oldest;
        Ok(ConsumerState { consumer, pending, lagged, oldest: oldest.saturating_add(1) })
    }
}

/// The error for a position whose next event is kept no longer.
pub(super) fn gone(operation: &'static str, oldest: Sequence, got: Sequence) -> StorageError {
    let message = format!(
        "expected a position from sequence {oldest} on, because {} is the oldest that is kept, got {got}; \
         read the documents, and go on from there",
        oldest.saturating_add(1)
    );
    StorageError::new(ErrorKind::Gone, StorageTier::Hot, operation, message)
}

fn unknown(name: &str) -> StorageError {
    let message = format!("expected a consumer of this object, got \"{name}\"; PUT its position to make it");
    StorageError::new(ErrorKind::NotFound, StorageTier::Hot, "find consumer", message)
}
