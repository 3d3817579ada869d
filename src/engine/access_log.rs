//! The access log: what is noted besides writes, which the change log tells of, and when it is packed.
//!
//! Invariants: an object that was never written notes nothing, so that no refused call makes one; what is refused makes
//! at most a pack in ten seconds, however often it is tried.

use super::Engine;
use crate::cdc::access_log::{AccessEntry, AccessFilter, AccessKey, AccessPage};
use crate::error::Result;
use crate::types::Timestamp;

impl Engine {
    /// Whether it is noted who does what.
    pub fn notes_access(&self) -> bool {
        self.config.security.access_logging
    }

    /// Notes what was refused. It waits in memory for the next pack, so that what is refused writes nothing.
    pub fn note_access(&self, entry: AccessEntry) -> Result<()> {
        if !self.notes_access() || self.hot.object_record()?.is_none() {
            return Ok(());
        }
        self.hot.log().access().note(entry);
        if self.hot.log().access().is_crowded() { self.pack_if_allowed() } else { Ok(()) }
    }

    /// Notes what was done without a change of documents: at once, where the last pack is long enough ago.
    pub fn note_use(&self, entry: AccessEntry) -> Result<()> {
        self.note_access(entry)?;
        if self.notes_access() { self.pack_if_allowed() } else { Ok(()) }
    }

    /// Notes what somebody has done to the object as a whole, at once, so that it is not lost with this instance.
    pub fn note_admin_action(&self, entry: AccessEntry) -> Result<()> {
        if !self.notes_access() || self.hot.object_record()?.is_none() {
            return Ok(());
        }
        self.hot.log().access().note(entry);
        self.pack_access()
    }

    /// A page of what was noted, the oldest first, after a key.
    pub fn access_page(&self, filter: &AccessFilter, after: AccessKey, limit: usize) -> Result<AccessPage> {
        if self.hot.object_record()?.is_none() {
            return Ok(AccessPage { entries: Vec::new(), next: None });
        }
        self.hot.log().access_page(filter, after, limit)
    }

    /// When what waits in memory is to be packed.
    pub(super) fn access_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.hot.log().access().due().map(|due| due.max(now))
    }

    /// The alarm's part: packs what waits, and drops what is older than is kept.
    pub(super) fn keep_access(&self) -> Result<()> {
        let (access, now) = (self.hot.log().access(), self.now_ms());
        if access.due().is_some() {
            self.pack_if_allowed()?;
        }
        if self.hot.object_record()?.is_none() {
            return Ok(());
        }
        let days = self.config.worm.audit_log_retention_days;
        self.hot.transaction(|| access.drop_old(days, now))
    }

    fn pack_if_allowed(&self) -> Result<()> {
        if self.hot.log().access().may_pack(self.now_ms())? { self.pack_access() } else { Ok(()) }
    }

    fn pack_access(&self) -> Result<()> {
        let (access, now) = (self.hot.log().access(), self.now_ms());
        self.hot.transaction(|| access.pack_waiting(now, None))?;
        access.packed(now);
        Ok(())
    }
}
