//! Archiving: plan, stage, commit, publish.
//!
//! A plan is one transaction: the sequence it reaches, and the visible segments with copies of their bitmaps. Files
//! are staged from it alone, created once; staging again finds what is there. The commit is one transaction that
//! makes the tables those of the plan and tells the segments where their rows are. What is committed is published
//! before the next plan is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::bug::Bug;
use crate::process::Staging;
use crate::stage::{Staged, staged};
use crate::state::{Plan, Planned};
use crate::step::Effect;
use crate::vocabulary::{COLLECTIONS, FileKey, Found, TABLES, TableName, missing};
use crate::world::World;

impl World {
    pub fn unpublished(&self) -> Option<TableName> {
        TABLES.into_iter().find(|table| self.state.published(*table) != self.state.committed(*table))
    }

    pub fn plan(&mut self) -> Effect {
        if self.state.plan.is_some() || self.unpublished().is_some() {
            return Effect::Idle;
        }
        let attempt = self.state.name();
        let mut segments = Vec::new();
        let mut files = BTreeMap::new();
        for collection in COLLECTIONS {
            files.extend(&self.state.committed(TableName::Documents(collection)).data);
            let Some(life) = self.state.live_life(collection) else { continue };
            for (segment, found) in self.state.visible(life).filter(|(_, segment)| !segment.spent()) {
                let (month, deleted, place) = (found.month, found.deleted.clone(), found.place);
                segments.push(Planned { collection, month, segment, deleted, place });
            }
        }
        let (after, sequence) = (self.state.archived(), self.state.log.head);
        self.state.plan = Some(Plan { attempt, after, sequence, segments, files });
        Effect::Done
    }

    /// What the plan makes, without the files that this process has put.
    fn unstaged(&self, plan: &Plan) -> Found<Staged> {
        let staging = self.process.staging.as_ref().filter(|staging| staging.attempt == plan.attempt);
        let mut staged = staged(&self.state, plan, self.bug)?;
        staged.files.retain(|key, _| !staging.is_some_and(|staging| staging.done.contains(key)));
        Ok(staged)
    }

    /// Whether the plan has a file that this process has not put.
    pub fn to_stage(&self) -> Found<bool> {
        let plan = self.state.plan.as_ref();
        plan.map_or(Ok(false), |plan| Ok(!self.unstaged(plan)?.files.is_empty()))
    }

    pub fn stage_one(&mut self) -> Found<Effect> {
        let Some(plan) = &self.state.plan else { return Ok(Effect::Idle) };
        let Some((key, contents)) = self.unstaged(plan)?.files.pop_first() else { return Ok(Effect::Idle) };
        if *self.state.bucket.files.entry(key).or_insert_with(|| contents.clone()) != contents {
            return missing(format!("{key:?} as it was staged before"));
        }
        let staging = self.process.staging.take_if(|staging| staging.attempt == key.attempt);
        let mut staging = staging.unwrap_or(Staging { attempt: key.attempt, done: BTreeSet::new() });
        staging.done.insert(key);
        self.process.staging = Some(staging);
        Ok(Effect::Done)
    }

    pub fn commit(&mut self) -> Found<Effect> {
        let Some(plan) = &self.state.plan else { return Ok(Effect::Idle) };
        let staged = self.unstaged(plan)?;
        if !staged.files.is_empty() {
            return Ok(Effect::Idle);
        }
        self.state.plan = None;
        for (name, mut table) in staged.tables {
            let before = self.state.committed(name).clone();
            if self.has(Bug::TailNotReplaced) {
                table.tails.extend(&before.tails);
            }
            let kept: BTreeSet<FileKey> = table.files().collect();
            self.state.garbage.extend(before.files().filter(|key| !kept.contains(key)));
            self.state.committed.insert(name, table);
        }
        for (segment, place) in staged.places {
            if let Some(segment) = self.state.segments.get_mut(&segment) {
                segment.place = Some(place);
            }
        }
        self.process.staging = None;
        Ok(Effect::Done)
    }

    pub fn abandon(&mut self) -> Found<Effect> {
        let Some(plan) = self.state.plan.take() else { return Ok(Effect::Idle) };
        let keys = staged(&self.state, &plan, self.bug)?.files.into_keys();
        self.state.garbage.extend(keys);
        self.process.staging = None;
        Ok(Effect::Done)
    }

    pub fn publish(&mut self, name: TableName) -> Effect {
        let table = self.state.committed(name).clone();
        if *self.state.published(name) == table {
            return Effect::Idle;
        }
        self.state.bucket.published.insert(name, table);
        Effect::Done
    }
}
