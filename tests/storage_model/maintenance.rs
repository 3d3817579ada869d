//! Maintenance: what the alarm does next, until there is nothing left to do.
//!
//! The next step is chosen from the persistent state and what this process has in hand, so that going on after a
//! crash is the same as going on.

use std::collections::BTreeSet;

use crate::invariants::Violation;
use crate::step::{Effect, Step};
use crate::vocabulary::{MERGE_MIN, Missing, TABLES};
use crate::world::World;

const STEPS_MAX: usize = 5000;

impl World {
    /// The archiving's next step; none if what is committed and published is all there is.
    pub fn next_of_archive(&self) -> Result<Option<Step>, Missing> {
        if self.state.plan.is_some() {
            return Ok(Some(if self.to_stage()? { Step::Stage } else { Step::Commit }));
        }
        if let Some(table) = self.unpublished() {
            return Ok(Some(Step::Publish(table)));
        }
        if self.state.log.records.first().is_some_and(|record| record.last <= self.trim_bound()) {
            return Ok(Some(Step::Trim(usize::MAX)));
        }
        let visible = self.state.lives.keys().filter(|life| !self.state.is_dropped(**life));
        let mut visible = visible.flat_map(|life| self.state.visible(*life));
        let unwritten = visible.any(|(_, segment)| segment.place.is_none() && !segment.spent());
        Ok((unwritten || self.state.archived() < self.state.log.head).then_some(Step::Plan))
    }

    /// The next step of all work; none at rest.
    pub fn next_of_all(&self) -> Result<Option<Step>, Missing> {
        if let Some(write) = self.process.writes.first() {
            return Ok(Some(if self.unfetched(write).is_some() { Step::Fetch(0) } else { Step::Finish(0) }));
        }
        if let Some(merge) = &self.process.merge {
            return Ok(Some(if merge.read < merge.inputs.len() { Step::MergeRead } else { Step::MergeSwap }));
        }
        if !self.closed().is_empty() {
            return Ok(Some(Step::Seal(0)));
        }
        if self.merge_groups().first().is_some_and(|(_, _, inputs)| inputs.len() >= MERGE_MIN) {
            return Ok(Some(Step::MergeStart(0, 0)));
        }
        if !self.unneeded().is_empty() {
            return Ok(Some(Step::Sweep(0)));
        }
        if let Some(step) = self.next_of_archive()? {
            return Ok(Some(step));
        }
        Ok((!self.collectable().is_empty()).then_some(Step::Collect(0)))
    }

    /// Runs all work to its end and checks that nothing is left over. Returns how many steps that took.
    pub fn settle(&mut self) -> Result<usize, Violation> {
        for taken in 0..STEPS_MAX {
            let step = self.next_of_all().map_err(|missing| Violation {
                invariant: "every_step_finds_what_it_needs",
                what: format!("the next step of maintenance: {}", missing.0),
            })?;
            let Some(step) = step else { return self.left_over().map(|()| taken) };
            if self.apply(&step)? == Effect::Idle {
                return garbage(format!("{step:?} has no effect"));
            }
        }
        garbage(format!("no end after {STEPS_MAX} steps"))
    }

    /// At rest there is no plan, no log, nothing superseded or dropped, no object that nothing lists; everything is
    /// published.
    fn left_over(&self) -> Result<(), Violation> {
        let state = &self.state;
        let head = state.log.head;
        if state.plan.is_some() || !state.log.records.is_empty() || !state.garbage.is_empty() {
            return garbage(format!("{:?}, {:?}, {:?}", state.plan, state.log.records, state.garbage));
        }
        for name in TABLES {
            let sequence = state.published(name).sequence;
            if sequence != head {
                return garbage(format!("{name:?} is published at {sequence} of {head}"));
            }
        }
        let superseded = state.superseded();
        for (id, segment) in &state.segments {
            if superseded.contains(id) || segment.spent() || state.is_dropped(segment.life) || segment.place.is_none() {
                return garbage(format!("{id:?}: {segment:?}"));
            }
        }
        let over = |life| state.is_dropped(life);
        if state.lives.values().any(|life| life.dropped) || state.generations.values().any(|of| over(of.life)) {
            return garbage(format!("{:?}, {:?}", state.lives, state.generations));
        }
        let listed: BTreeSet<_> = TABLES.into_iter().flat_map(|name| state.published(name).files()).collect();
        let kept: BTreeSet<_> = state.bucket.files.keys().copied().collect();
        if listed != kept {
            return garbage(format!("listed {listed:?}, in the bucket {kept:?}"));
        }
        Ok(())
    }
}

fn garbage<T>(what: String) -> Result<T, Violation> {
    Err(Violation { invariant: "maintenance_leaves_no_garbage", what })
}
