//! When archived events expire, and who asks for those that have.

use super::Snapshotter;
use super::plan::change_files;
use crate::cold::expiry::last_event_ms;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Sequence, StorageTier, Timestamp};

const DAY_MS: i64 = 86_400_000;

impl Snapshotter {
    /// When events leave the change logs next; `None` when there are none. What is looked up for it is remembered.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>> {
        if self.ports.objects.is_none() {
            return Ok(None);
        }
        let oldest = match self.oldest_events.get() {
            Some(oldest) => oldest,
            None => {
                let mut oldest: Option<Timestamp> = None;
                for collection in self.hot.catalog()?.all() {
                    let files = change_files(&self.catalog, collection.id)?;
                    let last = files.iter().filter_map(|file| last_event_ms(&file.file.file)).min();
                    oldest = [oldest, last].into_iter().flatten().min();
                }
                self.oldest_events.set(Some(oldest));
                oldest
            }
        };
        Ok(oldest.map(|oldest| oldest.saturating_add(self.expiry_ms()).saturating_add(1)))
    }

    pub(super) fn expiry_ms(&self) -> i64 {
        self.config.objects.expiry_days.saturating_mul(DAY_MS)
    }

    /// Refuses a position of the change feed after which archived events have expired.
    pub fn check_archived_from(&self, after: Sequence) -> Result<()> {
        let through = self.catalog.expired()?.through;
        if after >= through {
            return Ok(());
        }
        let message = format!("expected a position from sequence {through} on, the oldest that is kept, got {after}");
        Err(StorageError::new(ErrorKind::Gone, StorageTier::Cold, "read change feed", message))
    }
}
