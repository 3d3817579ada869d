//! When archived events and snapshots expire, and which events are left.

use super::Snapshotter;
use super::plan::{Expiring, change_files, next_thinning};
use crate::cold::expiry::last_event_ms;
use crate::error::Result;
use crate::types::time::DAY_MS;
use crate::types::{Sequence, Timestamp};

/// When something expires next, at the earliest. What comes later expires later.
#[derive(Clone, Copy)]
pub(super) struct Expiries {
    /// Events; `None` when there are none.
    events: Option<Timestamp>,
    /// Snapshots; `None` when there are none.
    snapshots: Option<Timestamp>,
}

impl Expiries {
    /// Whether another commit leaves it as it is.
    pub fn stay_true(&self) -> bool {
        self.events.is_some() && self.snapshots.is_some()
    }
}

impl Snapshotter {
    /// When events or snapshots leave the tables next; `None` when there are none. What is looked up for it is remembered.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>> {
        if self.ports.objects.is_none() {
            return Ok(None);
        }
        let expiries = match self.expiries.get() {
            Some(known) => known,
            None => self.look_up_expiries()?,
        };
        self.expiries.set(Some(expiries));
        Ok([expiries.events, expiries.snapshots].into_iter().flatten().min())
    }

    fn look_up_expiries(&self) -> Result<Expiries> {
        let (mut events, mut snapshots) = (None, None);
        let keep_ms = self.expiring(0).snapshots_keep_ms;
        for collection in self.hot.catalog()?.all() {
            let files = change_files(&self.catalog, collection.id)?;
            let last = files.iter().filter_map(|file| last_event_ms(&file.file.file)).min();
            events = [events, last].into_iter().flatten().min();
            let thinning = next_thinning(&self.catalog, collection.id, keep_ms)?;
            snapshots = [snapshots, thinning].into_iter().flatten().min();
        }
        let after = self.config.objects.expiry_days.saturating_mul(DAY_MS).saturating_add(1);
        Ok(Expiries { events: events.map(|last| last.saturating_add(after)), snapshots })
    }

    /// When upkeep has something to take away next: what expires, and objects that nothing reaches.
    pub fn next_upkeep(&self) -> Result<Option<Timestamp>> {
        if self.ports.objects.is_none() {
            return Ok(None);
        }
        let known = self.known()?;
        Ok([self.next_expiry()?, known.garbage_at, known.expiry_at].into_iter().flatten().min())
    }

    /// What has expired at a moment.
    pub(super) fn expiring(&self, now: Timestamp) -> Expiring {
        Expiring {
            events_before: now.saturating_sub(self.config.objects.expiry_days.saturating_mul(DAY_MS)),
            snapshots_keep_ms: self.config.cold.iceberg_keep_days.saturating_mul(DAY_MS),
        }
    }

    /// Archived events after this sequence are kept.
    pub fn archived_from(&self) -> Result<Sequence> {
        Ok(self.catalog.expired()?.through)
    }
}
