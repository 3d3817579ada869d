//! Merge: several segments of one month become one, over several turns.
//!
//! The inputs are immutable, so each is read in a turn of its own while writes go on. The transaction that swaps the
//! result in reads the inputs' bitmaps again, and marks in the result what was deleted meanwhile. If an input is not
//! visible any more, or the life has ended, the merge is given up.
//!
//! The result lists what it supersedes: its inputs, and what they list that is still there.

use std::collections::{BTreeMap, BTreeSet};

use crate::bug::Bug;
use crate::process::Merge;
use crate::step::{Effect, Pick, pick};
use crate::vocabulary::{Found, LifeId, Month, SegmentId};
use crate::world::World;

impl World {
    /// The visible segments of each month of each present life, the fullest month first.
    pub fn merge_groups(&self) -> Vec<(LifeId, Month, Vec<SegmentId>)> {
        let mut groups: BTreeMap<(LifeId, Month), Vec<SegmentId>> = BTreeMap::new();
        for life in self.state.lives.keys().filter(|life| !self.state.is_dropped(**life)) {
            for (id, segment) in self.state.visible(*life) {
                let month = if self.has(Bug::MergeMixesMonths) { 0 } else { segment.month };
                groups.entry((*life, month)).or_default().push(id);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().map(|((life, month), inputs)| (life, month, inputs)).collect();
        groups.retain(|(_, _, inputs)| inputs.len() > 1);
        groups.sort_by_key(|(_, _, inputs)| std::cmp::Reverse(inputs.len()));
        groups
    }

    pub fn merge_start(&mut self, group: Pick, count: usize) -> Effect {
        let Some((life, month, inputs)) = pick(self.merge_groups(), group) else { return Effect::Idle };
        if self.process.merge.is_some() {
            return Effect::Idle;
        }
        let count = if count == 0 { inputs.len() } else { 2 + (count - 1) % (inputs.len() - 1) };
        let inputs = inputs.into_iter().take(count);
        let inputs = inputs.map(|id| (id, self.state.segments[&id].deleted.clone())).collect();
        self.process.merge = Some(Merge { life, month, inputs, read: 0, rows: Vec::new() });
        Effect::Done
    }

    fn can_go_on(&self, merge: &Merge) -> bool {
        let visible: BTreeSet<SegmentId> = self.state.visible(merge.life).map(|(id, _)| id).collect();
        !self.state.is_dropped(merge.life) && merge.inputs.iter().all(|(id, _)| visible.contains(id))
    }

    /// Reads one input: its own bytes, or those of the cold file if it is evicted. One of which every row is deleted
    /// by then is not read: nothing keeps its file.
    pub fn merge_read(&mut self) -> Found<Effect> {
        let Some(mut merge) = self.process.merge.take_if(|merge| merge.read < merge.inputs.len()) else {
            return Ok(Effect::Idle);
        };
        if !self.can_go_on(&merge) {
            return Ok(Effect::Done);
        }
        let (id, deleted) = &merge.inputs[merge.read];
        let input = self.state.segment(*id)?;
        let rows =
            if input.spent() && !self.has(Bug::MergeReadsSpent) { Vec::new() } else { self.state.rows(input)? };
        let kept = rows.into_iter().enumerate().filter(|(position, _)| !deleted.contains(position));
        merge.rows.extend(kept.map(|(position, row)| (row, *id, position)));
        merge.read += 1;
        self.process.merge = Some(merge);
        Ok(Effect::Done)
    }

    /// The transaction that makes the result visible and the inputs invisible.
    pub fn merge_swap(&mut self) -> Effect {
        let Some(mut merge) = self.process.merge.take_if(|merge| merge.read == merge.inputs.len()) else {
            return Effect::Idle;
        };
        if !self.can_go_on(&merge) {
            return Effect::Done;
        }
        merge.rows.sort();
        let gone = |(_, from, position): &(_, SegmentId, usize)| self.state.segments[from].deleted.contains(position);
        let deleted = merge.rows.iter().enumerate().filter(|(_, row)| gone(row)).map(|(at, _)| at).collect();
        let inputs: BTreeSet<SegmentId> = merge.inputs.iter().map(|(id, _)| *id).collect();
        let mut supersedes = inputs.clone();
        if !self.has(Bug::ListNotInherited) {
            let inherited = inputs.iter().flat_map(|id| &self.state.segments[id].supersedes);
            supersedes.extend(inherited.filter(|id| self.state.segments.contains_key(id)));
        }
        let rows = merge.rows.iter().map(|(row, _, _)| (row.id, row.version));
        let id = self.add_segment(merge.life, merge.month, rows);
        let forgets = self.has(Bug::MergeForgetsDeletions);
        if let Some(segment) = self.state.segments.get_mut(&id) {
            segment.supersedes = supersedes;
            segment.deleted = if forgets { BTreeSet::new() } else { deleted };
        }
        Effect::Done
    }
}
