//! A history told step by step: each step has to have an effect, and every invariant holds after it.

use crate::read::Spot;
use crate::state::Segment;
use crate::step::{Effect, Step};
use crate::vocabulary::{Change, Collection, Id, SegmentId, TableName, Version};
use crate::world::World;

#[derive(Default)]
pub struct Script {
    pub world: World,
    pub steps: Vec<Step>,
}

impl Script {
    pub fn step(&mut self, step: Step) {
        match self.world.apply(&step) {
            Ok(Effect::Done) => self.steps.push(step),
            Ok(Effect::Idle) => panic!("{step:?} has no effect after {:?}", self.steps),
            Err(violation) => panic!("{violation}"),
        }
    }

    /// Writes documents of the first collection, each on its own.
    pub fn put(&mut self, ids: impl IntoIterator<Item = Id>, value: u8) {
        for id in ids {
            self.step(Step::Write(0, vec![Change::Put(id, value)]));
        }
    }

    pub fn delete(&mut self, id: Id) {
        self.step(Step::Write(0, vec![Change::Delete(id)]));
    }

    /// Writes documents of the first collection in one transaction.
    pub fn batch(&mut self, ids: impl IntoIterator<Item = Id>, value: u8) {
        self.step(Step::Write(0, ids.into_iter().map(|id| Change::Put(id, value)).collect()));
    }

    /// Stages all files of the plan.
    pub fn stage(&mut self) {
        while self.world.to_stage().unwrap() {
            self.step(Step::Stage);
        }
    }

    pub fn publish(&mut self) {
        while let Some(table) = self.world.unpublished() {
            self.step(Step::Publish(table));
        }
    }

    pub fn archive(&mut self) {
        self.step(Step::Plan);
        self.stage();
        self.step(Step::Commit);
        self.publish();
    }

    /// Builds a merge of all segments of the fullest month, as far as the swap.
    pub fn merge(&mut self) {
        self.step(Step::MergeStart(0, 0));
        while self.world.process.merge.as_ref().is_some_and(|merge| merge.read < merge.inputs.len()) {
            self.step(Step::MergeRead);
        }
    }

    pub fn sweep_all(&mut self) {
        while !self.world.unneeded().is_empty() {
            self.step(Step::Sweep(0));
        }
    }

    pub fn evict_all(&mut self) {
        while !self.world.evictable().is_empty() {
            self.step(Step::Evict(0));
        }
    }

    pub fn settle(&mut self) {
        if let Err(violation) = self.world.settle() {
            panic!("{violation}");
        }
    }

    /// Where a document of the first collection is.
    pub fn spot(&self, id: Id) -> Option<Spot> {
        self.world.state.spot(self.world.state.live_life(0)?, id)
    }

    /// The segment that a document of the first collection is in.
    pub fn segment_of(&self, id: Id) -> (SegmentId, &Segment) {
        match self.spot(id) {
            Some(Spot::Position(segment, _)) => (segment, self.world.state.segment(segment).unwrap()),
            other => panic!("{id} is in no segment: {other:?}"),
        }
    }

    pub fn get(&self, collection: Collection, id: Id) -> Option<Version> {
        self.world.state.get(collection, id).unwrap()
    }

    /// The ids and values that a foreign reader finds of a collection.
    pub fn published(&self, collection: Collection) -> Vec<(Id, u8)> {
        let state = &self.world.state;
        let table = state.published(TableName::Documents(collection));
        let rows = crate::read::table_rows(&|key| state.bucket.files.get(key), table).unwrap();
        rows.into_iter().map(|row| (row.id, row.version.value)).collect()
    }
}
