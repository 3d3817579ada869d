//! State, process and oracle together, and what a step does to them.
//!
//! A transaction changes state and oracle alike. A crash takes the process, a failed transaction what it would have
//! changed and the work that asked for it.

use std::collections::BTreeMap;

use crate::bug::Bug;
use crate::invariants::{self, Violation};
use crate::oracle::Oracle;
use crate::process::Process;
use crate::state::{Contents, State};
use crate::step::{Effect, Step};
use crate::vocabulary::{FileKey, Found, Row, SegmentId};

#[derive(Clone, Debug, Default)]
pub struct World {
    pub state: State,
    pub process: Process,
    pub oracle: Oracle,
    pub seen: Seen,
    pub bug: Option<Bug>,
}

/// What has ever been there, to notice that something immutable changed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub segments: BTreeMap<SegmentId, Vec<Row>>,
    pub files: BTreeMap<FileKey, Contents>,
}

impl World {
    pub fn with(bug: Option<Bug>) -> Self {
        World { bug, ..World::default() }
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Takes a step and checks every invariant.
    pub fn apply(&mut self, step: &Step) -> Result<Effect, Violation> {
        let effect = self.take(step).map_err(|missing| Violation {
            invariant: "every_step_finds_what_it_needs",
            what: format!("{step:?}: {}", missing.0),
        })?;
        invariants::check(self)?;
        self.remember();
        Ok(effect)
    }

    fn take(&mut self, step: &Step) -> Found<Effect> {
        Ok(match step {
            Step::Wait(time) => {
                self.state.clock += time;
                Effect::Done
            }
            Step::Write(collection, changes) => self.begin_write(*collection, changes)?,
            Step::Fetch(pick) => self.fetch_before(*pick)?,
            Step::Finish(pick) => self.finish_write(*pick)?,
            Step::Drop(collection) => self.drop_collection(*collection)?,
            Step::Seal(pick) => self.seal_one(*pick),
            Step::MergeStart(group, count) => self.merge_start(*group, *count),
            Step::MergeRead => self.merge_read()?,
            Step::MergeSwap => self.merge_swap(),
            Step::Plan => self.plan(),
            Step::Stage => self.stage_one()?,
            Step::Commit => self.commit()?,
            Step::Abandon => self.abandon()?,
            Step::Publish(table) => self.publish(*table),
            Step::Trim(records) => self.trim(*records),
            Step::Evict(pick) => self.evict(*pick),
            Step::Sweep(pick) => self.sweep(*pick),
            Step::Collect(pick) => self.collect(*pick),
            Step::Crash => {
                self.process = Process::default();
                Effect::Done
            }
            Step::Failed(step) => {
                let (state, oracle, process) = (self.state.clone(), self.oracle.clone(), self.process.clone());
                let effect = self.take(step)?;
                (self.state, self.oracle, self.process) = (state, oracle, process);
                self.give_up(step);
                effect
            }
            Step::Lost(step) => {
                let effect = self.take(step)?;
                self.process = Process::default();
                effect
            }
        })
    }

    /// What a process does with work of which a transaction or a put has failed.
    fn give_up(&mut self, step: &Step) {
        match step {
            Step::MergeStart(..) | Step::MergeRead | Step::MergeSwap => self.process.merge = None,
            Step::Plan | Step::Stage | Step::Commit | Step::Abandon => self.process.staging = None,
            Step::Fetch(pick) | Step::Finish(pick) => {
                if let Some(at) = pick.checked_rem(self.process.writes.len()) {
                    self.process.writes.remove(at);
                }
            }
            _ => {}
        }
    }

    fn remember(&mut self) {
        for (id, segment) in &self.state.segments {
            if let (Some(rows), false) = (segment.own_rows(), self.seen.segments.contains_key(id)) {
                self.seen.segments.insert(*id, rows);
            }
        }
        for (key, contents) in &self.state.bucket.files {
            if !self.seen.files.contains_key(key) {
                self.seen.files.insert(*key, contents.clone());
            }
        }
    }
}
