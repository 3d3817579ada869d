//! Sweep and collect: what nothing needs is deleted, first in SQLite, then in the bucket.
//!
//! A segment goes when reads do not see it, or all its rows are deleted, or its life is dropped and trimmed from the
//! log; and neither the log nor the plan refers to it. One that reads see goes after all that it supersedes, which they
//! would see again without it.
//!
//! An object of the bucket goes when no committed or published table lists it and no stub has its rows there.

use std::collections::BTreeSet;

use crate::bug::Bug;
use crate::state::State;
use crate::step::{Effect, Pick, pick};
use crate::vocabulary::{FileKey, GenerationId, LifeId, SegmentId, TABLES};
use crate::world::World;

#[derive(Clone, Copy, Debug)]
pub enum Unneeded {
    Generation(GenerationId),
    Segment(SegmentId),
    Life(LifeId),
}

impl State {
    /// The files that hold the only rows of a stub.
    pub fn files_of_stubs(&self) -> BTreeSet<FileKey> {
        let visible = self.lives.keys().flat_map(|life| self.visible(*life));
        let stubs = visible.filter(|(_, segment)| segment.bytes.is_none() && !segment.spent());
        stubs.filter_map(|(_, segment)| segment.place.map(|place| place.file)).collect()
    }
}

impl World {
    /// What may be deleted of SQLite.
    pub fn unneeded(&self) -> Vec<Unneeded> {
        let state = &self.state;
        let logged_lives = if self.has(Bug::DropReleasesRows) { BTreeSet::new() } else { state.logged_lives() };
        let over = |life: LifeId| state.is_dropped(life) && !logged_lives.contains(&life);
        let mut pinned = if self.has(Bug::SweepIgnoresLog) { BTreeSet::new() } else { state.logged_segments() };
        if let (Some(plan), false) = (&state.plan, self.has(Bug::SweepIgnoresPlan)) {
            pinned.extend(plan.segments.iter().map(|planned| planned.segment));
        }
        let superseded = state.superseded();
        let mut found = Vec::new();
        for (id, _) in state.generations.iter().filter(|(_, generation)| over(generation.life)) {
            found.push(Unneeded::Generation(*id));
        }
        for (id, segment) in state.segments.iter().filter(|(id, _)| !pinned.contains(id)) {
            let hides_none = self.has(Bug::SweepUncovers)
                || !segment.supersedes.iter().any(|other| state.segments.contains_key(other));
            if superseded.contains(id) || (hides_none && (over(segment.life) || segment.spent())) {
                found.push(Unneeded::Segment(*id));
            }
        }
        for (id, _) in state.lives.iter().filter(|(id, _)| over(**id)) {
            let rows = state.generations.values().any(|generation| generation.life == *id);
            if !rows && !state.segments.values().any(|segment| segment.life == *id) {
                found.push(Unneeded::Life(*id));
            }
        }
        found
    }

    pub fn sweep(&mut self, choice: Pick) -> Effect {
        match pick(self.unneeded(), choice) {
            None => return Effect::Idle,
            Some(Unneeded::Generation(id)) => drop(self.state.generations.remove(&id)),
            Some(Unneeded::Segment(id)) => drop(self.state.segments.remove(&id)),
            Some(Unneeded::Life(id)) => drop(self.state.lives.remove(&id)),
        }
        Effect::Done
    }

    /// The noted objects that nothing needs any more.
    pub fn collectable(&self) -> Vec<FileKey> {
        let state = &self.state;
        let mut needed = BTreeSet::new();
        for table in TABLES {
            needed.extend(state.committed(table).files());
            if !self.has(Bug::CollectIgnoresPublished) {
                needed.extend(state.published(table).files());
            }
        }
        if !self.has(Bug::CollectIgnoresStubs) {
            needed.extend(state.files_of_stubs());
        }
        state.garbage.difference(&needed).copied().collect()
    }

    pub fn collect(&mut self, choice: Pick) -> Effect {
        let Some(key) = pick(self.collectable(), choice) else { return Effect::Idle };
        if self.state.bucket.files.remove(&key).is_none() {
            self.state.garbage.remove(&key);
        }
        Effect::Done
    }
}
