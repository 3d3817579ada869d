//! What the alarm does for the hot tier: seals row generations, merges segments, removes what nobody can ask for.
//!
//! Work is done in steps, each one turn long; between two anything may be written. A step that fails is tried again, and
//! an instance that goes away in the middle of a merge loses nothing but the time.

use std::cell::{Cell, RefCell};

use super::directory::{LifeKey, Segment};
use super::merge::Merge;
use super::rows::Generation;
use super::{Collection, HotStore};
use crate::error::Result;
use crate::types::{CollectionId, Timestamp};

/// The pause after a step that failed, in ms.
const RETRY_MS: i64 = 30_000;

/// What is remembered between steps.
#[derive(Default)]
pub(super) struct Maintenance {
    merge: RefCell<Option<Merge>>,
    /// When to try again after a failure.
    not_before: Cell<Timestamp>,
    /// The collection whose step failed last: others go before it.
    failed: Cell<Option<CollectionId>>,
    /// Whether a merge may be due: something was added or deleted since none was.
    look_for_merges: Cell<bool>,
    looked_at: Cell<usize>,
    /// Generations that were sealed, and merges that were finished, by this instance.
    done: Cell<(u64, u64)>,
}

impl Maintenance {
    /// Whether a merge on its way reads a segment.
    pub(super) fn reads(&self, number: i64) -> bool {
        self.merge.borrow().as_ref().is_some_and(|merge| merge.reads(number))
    }

    /// Looks again although no segment has changed.
    pub(super) fn look_for_merges(&self) {
        self.look_for_merges.set(true);
    }
}

impl HotStore {
    /// When the next step is due; `None` when there is none.
    pub fn maintenance_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut due: Option<Timestamp> = None;
        let left_over = self.holds.has_left_over();
        if left_over || self.maintenance.merge.borrow().is_some() || self.merge_candidate()?.is_some() {
            due = Some(now);
        }
        for collection in self.catalog()?.all_live() {
            let sealable = self.next_seal(collection, false)?.map(|(_, at)| at);
            due = [due, sealable].into_iter().flatten().min();
        }
        Ok(due.map(|due| due.max(now).max(self.maintenance.not_before.get())))
    }

    /// Whether a step is due now or later.
    pub fn maintenance_pending(&self) -> Result<bool> {
        let live: Vec<Collection> = self.catalog()?.all_live().cloned().collect();
        for collection in live {
            if self.next_seal(&collection, true)?.is_some() {
                return Ok(true);
            }
        }
        Ok(self.holds.has_left_over() || self.merge_candidate()?.is_some())
    }

    /// Does the next step that is due; `false` when there is none.
    pub fn maintain(&self, now: Timestamp) -> Result<bool> {
        if now < self.maintenance.not_before.get() {
            return Ok(false);
        }
        let done = self.maintenance_step(now);
        match &done {
            Ok(_) => self.maintenance.not_before.set(0),
            Err(_) => {
                self.maintenance.merge.replace(None);
                self.maintenance.not_before.set(now.saturating_add(RETRY_MS));
            }
        }
        done
    }

    /// How many generations were sealed, and how many merges finished, by this instance.
    pub fn maintenance_done(&self) -> (u64, u64) {
        self.maintenance.done.get()
    }

    fn maintenance_step(&self, now: Timestamp) -> Result<bool> {
        self.check_alone()?;
        if self.holds.take_left_over() {
            self.plan_ended()?;
            return Ok(true);
        }
        let merge = self.maintenance.merge.borrow_mut().take();
        if let Some(mut merge) = merge {
            self.maintenance.failed.set(Some(merge.collection_id()));
            let done = merge.step(self)?;
            self.maintenance.failed.set(None);
            if done {
                merge.finish(self)?;
                let (seals, merges) = self.maintenance.done.get();
                self.maintenance.done.set((seals, merges.saturating_add(1)));
            } else {
                self.maintenance.merge.replace(Some(merge));
            }
            return Ok(true);
        }
        let live: Vec<Collection> = self.catalog()?.all_live().cloned().collect();
        for collection in live {
            if let Some((table, at)) = self.next_seal(&collection, true)?
                && at <= now
            {
                self.transaction(|| self.seal(&collection, table))?;
                let (seals, merges) = self.maintenance.done.get();
                self.maintenance.done.set((seals.saturating_add(1), merges));
                return Ok(true);
            }
        }
        if let Some(collection) = self.merge_candidate()? {
            self.maintenance.merge.replace(Merge::begin(self, &collection)?);
            return Ok(true);
        }
        Ok(false)
    }

    /// The generation to be sealed next, and when. Without `counted`, one that is not counted yet since the wake is not
    /// looked at, unless it is closed.
    fn next_seal(&self, collection: &Collection, counted: bool) -> Result<Option<(Generation, Timestamp)>> {
        if collection.definition.constraints.append_only {
            return Ok(None);
        }
        let life = collection.life();
        let forms = self.directory.forms(life)?;
        let Some((last, closed)) = forms.generations.split_last() else { return Ok(None) };
        if let Some(oldest) = closed.first() {
            // Not by its newest row: one that is changed again and again would keep it from being sealed.
            let closed = oldest.closed_at.unwrap_or(0);
            return Ok(Some((oldest.table, closed.saturating_add(self.seal_min_age_ms(collection)))));
        }
        let extent = match last.extent {
            Some(extent) => extent,
            None if counted => self.directory.extent(life, last.table)?,
            None => return Ok(None),
        };
        let at = self.seal_at(collection);
        let due = extent.rows >= at.rows || extent.bytes >= at.bytes;
        Ok(due.then(|| (last.table, extent.newest.saturating_add(self.seal_min_age_ms(collection)))))
    }

    fn seal_min_age_ms(&self, collection: &Collection) -> i64 {
        collection.definition.columnar.min_age_ms.unwrap_or(self.config.seal_min_age_ms)
    }

    /// A collection with segments to be merged.
    fn merge_candidate(&self) -> Result<Option<Collection>> {
        let version = self.directory.version();
        if self.maintenance.looked_at.get() == version && !self.maintenance.look_for_merges.get() {
            return Ok(None);
        }
        let found = self.find_merge()?;
        self.maintenance.looked_at.set(version);
        self.maintenance.look_for_merges.set(found.is_some());
        Ok(found)
    }

    fn find_merge(&self) -> Result<Option<Collection>> {
        let failed = self.maintenance.failed.get();
        let mut last = None;
        for collection in self.catalog()?.all_live() {
            if Merge::is_due(self, collection.life())? {
                if failed != Some(collection.id) {
                    return Ok(Some(collection.clone()));
                }
                last = Some(collection.clone());
            }
        }
        Ok(last)
    }

    /// Removes, within a transaction, the segments whose documents nobody can ask for any more: those that others
    /// supersede, and those without a current row, once neither the log nor a plan needs them.
    pub(super) fn remove_unreachable(&self) -> Result<()> {
        let (first, planned) = (self.log.first_sequence()?, self.planned_before()?);
        let is_pinned = |segment: &Segment| self.stays(segment, first, planned);
        let lives: Vec<LifeKey> = self.directory.lives()?;
        for life in lives {
            let forms = self.directory.forms(life)?;
            let mut free: Vec<i64> =
                forms.superseded.iter().filter(|segment| !is_pinned(segment)).map(|segment| segment.number).collect();
            // Of a dropped life too: the images of its drop are its current rows.
            let empty = forms.segments.iter().filter(|segment| segment.live_rows() == 0);
            let hides = |numbers: &[i64]| {
                forms.superseded.iter().any(|hidden| numbers.contains(&hidden.number) && is_pinned(hidden))
            };
            free.extend(
                empty
                    .filter(|segment| !is_pinned(segment) && !hides(&segment.supersedes))
                    .map(|segment| segment.number),
            );
            if !free.is_empty() {
                self.directory.remove_segments(life, &free)?;
            }
        }
        Ok(())
    }
}
