//! Writes: one document or a batch, in row form or straight to a segment; the drop of a collection.
//!
//! A write is one transaction: documents and log record. It needs the image before of each document it changes. One
//! that is evicted has to be fetched first, which takes an await; so the transaction looks again where each document
//! is, and commits only with images that were fetched from exactly there.
//!
//! A row of row form is changed where it is, also in a closed generation. What takes its version elsewhere is a direct
//! batch; what takes it from a segment is every change.

use std::collections::{BTreeMap, BTreeSet};

use crate::bug::Bug;
use crate::process::Waiting;
use crate::read::Spot;
use crate::state::{After, Body, Generation, Life, LogChange, Record, Segment};
use crate::step::{Effect, Pick};
use crate::vocabulary::{
    Change, Collection, DIRECT_MIN, Found, GENERATION_ROWS, GenerationId, Id, LifeId, SegmentId, Version, month_of,
};
use crate::world::World;

/// Writes that can wait for the cold tier at a time.
const WAITING_MAX: usize = 2;

impl World {
    pub fn begin_write(&mut self, collection: Collection, changes: &[Change]) -> Found<Effect> {
        let life = self.state.live_life(collection);
        let spot = |change: &Change| Some((change.id(), self.state.spot(life?, change.id())?));
        let spots = changes.iter().filter_map(spot).collect();
        let write = Waiting { collection, changes: changes.to_vec(), spots, fetched: BTreeMap::new() };
        if self.unfetched(&write).is_none() {
            return self.commit_write(&write);
        }
        if self.process.writes.len() == WAITING_MAX {
            return Ok(Effect::Idle);
        }
        self.process.writes.push(write);
        Ok(Effect::Done)
    }

    /// Where the documents are as far as the write may believe.
    fn spots_for(&self, write: &Waiting) -> BTreeMap<Id, Spot> {
        if self.has(Bug::WriteWithoutRecheck) {
            return write.spots.clone();
        }
        let Some(life) = self.state.live_life(write.collection) else { return BTreeMap::new() };
        let ids = write.changes.iter().map(|change| change.id());
        ids.filter_map(|id| Some((id, self.state.spot(life, id)?))).collect()
    }

    /// The first evicted position whose row the write still needs.
    pub fn unfetched(&self, write: &Waiting) -> Option<(SegmentId, usize)> {
        self.spots_for(write).into_values().find_map(|spot| match spot {
            Spot::Position(segment, position) => {
                let evicted = self.state.segments.get(&segment).is_some_and(|segment| segment.bytes.is_none());
                (evicted && !write.fetched.contains_key(&(segment, position))).then_some((segment, position))
            }
            Spot::Row(_) => None,
        })
    }

    pub fn fetch_before(&mut self, pick: Pick) -> Found<Effect> {
        let Some(at) = pick.checked_rem(self.process.writes.len()) else { return Ok(Effect::Idle) };
        let Some((segment, position)) = self.unfetched(&self.process.writes[at]) else { return Ok(Effect::Idle) };
        let id = self.state.segment(segment)?.ids[position];
        let version = self.state.version_at(Spot::Position(segment, position), id)?;
        self.process.writes[at].fetched.insert((segment, position), version);
        Ok(Effect::Done)
    }

    pub fn finish_write(&mut self, pick: Pick) -> Found<Effect> {
        let Some(at) = pick.checked_rem(self.process.writes.len()) else { return Ok(Effect::Idle) };
        if self.unfetched(&self.process.writes[at]).is_some() {
            return Ok(Effect::Idle);
        }
        let write = self.process.writes.remove(at);
        self.commit_write(&write)?;
        Ok(Effect::Done)
    }

    /// The transaction of a write.
    fn commit_write(&mut self, write: &Waiting) -> Found<Effect> {
        let spots = self.spots_for(write);
        let mut documents = self.images(write, &spots)?;
        let mut log = self.log_of(write, &mut documents);
        if log.is_empty() {
            return Ok(Effect::Idle);
        }
        let life = self.state.live_life(write.collection).unwrap_or_else(|| self.new_life(write.collection));
        let touched: BTreeSet<Id> = log.iter().map(|change| change.id).collect();
        let left: BTreeMap<Id, Version> = touched.iter().filter_map(|id| Some((*id, *documents.get(id)?))).collect();
        let direct = left.len() >= DIRECT_MIN;
        for (id, spot) in spots.into_iter().filter(|(id, _)| touched.contains(id)) {
            match spot {
                Spot::Row(generation) if !direct && left.contains_key(&id) => {
                    self.generation(generation).rows.insert(id, left[&id]);
                }
                _ if direct && self.has(Bug::DirectLeavesOlder) => {}
                Spot::Row(generation) => {
                    self.generation(generation).rows.remove(&id);
                }
                Spot::Position(segment, position) => {
                    let segment = self.state.segments.get_mut(&segment);
                    segment.map(|segment| segment.deleted.insert(position));
                }
            }
        }
        if direct {
            let segment = self.add_segment(life, month_of(self.state.clock), left);
            for change in &mut log {
                if matches!(change.after, After::Inline(version) if documents.get(&change.id) == Some(&version)) {
                    change.after = After::InSegment(segment);
                }
            }
        } else {
            for (id, version) in left {
                if !matches!(self.state.spot(life, id), Some(Spot::Row(_))) {
                    self.insert_row(life, id, version);
                }
            }
            // Last, because it moves rows that were found above.
            self.seal_inline(life);
        }
        self.append(write.collection, log.len(), Body::Changes(log));
        self.oracle.write(self.state.clock, write.collection, &write.changes);
        Ok(Effect::Done)
    }

    /// The documents before the write: those that were evicted as fetched.
    fn images(&self, write: &Waiting, spots: &BTreeMap<Id, Spot>) -> Found<BTreeMap<Id, Version>> {
        let image = |(&id, &spot): (&Id, &Spot)| {
            let fetched = match spot {
                Spot::Position(segment, position) => write.fetched.get(&(segment, position)),
                Spot::Row(_) => None,
            };
            Ok((id, fetched.map_or_else(|| self.state.version_at(spot, id), |version| Ok(*version))?))
        };
        spots.iter().map(image).collect()
    }

    /// Applies the changes to the documents; what the log says of them, every image inline.
    fn log_of(&self, write: &Waiting, documents: &mut BTreeMap<Id, Version>) -> Vec<LogChange> {
        let mut log = Vec::new();
        let (mut sequence, time) = (self.state.log.head + 1, self.state.clock);
        for change in &write.changes {
            let id = change.id();
            let (before, after) = match *change {
                Change::Put(_, value) => {
                    let version = Version { sequence, time, value };
                    (documents.insert(id, version), After::Inline(version))
                }
                Change::Delete(_) => (documents.remove(&id), After::Gone),
            };
            if before.is_some() || !matches!(after, After::Gone) {
                log.push(LogChange { id, before, after });
                sequence += 1;
            }
        }
        log
    }

    fn append(&mut self, collection: Collection, count: usize, body: Body) {
        let log = &mut self.state.log;
        let (first, last) = (log.head + 1, log.head + u64::try_from(count).unwrap());
        log.records.push(Record { time: self.state.clock, collection, first, last, body });
        log.head = last;
    }

    fn new_life(&mut self, collection: Collection) -> LifeId {
        let id = LifeId(self.state.name());
        self.state.lives.insert(id, Life { collection, dropped: false });
        id
    }

    pub fn add_segment(
        &mut self,
        life: LifeId,
        month: u64,
        rows: impl IntoIterator<Item = (Id, Version)>,
    ) -> SegmentId {
        let id = SegmentId(self.state.name());
        let (ids, versions) = rows.into_iter().unzip();
        let (deleted, supersedes) = (BTreeSet::new(), BTreeSet::new());
        let segment = Segment { life, month, ids, bytes: Some(versions), deleted, place: None, supersedes };
        self.state.segments.insert(id, segment);
        id
    }

    fn generation(&mut self, id: GenerationId) -> &mut Generation {
        self.state.generations.get_mut(&id).unwrap()
    }

    /// Puts a row into the open generation, and closes that when it is full.
    fn insert_row(&mut self, life: LifeId, id: Id, version: Version) {
        let generations = &self.state.generations;
        let open = generations.iter().find(|(_, generation)| generation.life == life && !generation.closed);
        let open = open.map(|(&id, _)| id).unwrap_or_else(|| {
            let id = GenerationId(self.state.name());
            self.state.generations.insert(id, Generation { life, closed: false, rows: BTreeMap::new() });
            id
        });
        let generation = self.generation(open);
        generation.rows.insert(id, version);
        if generation.rows.len() >= GENERATION_ROWS {
            generation.closed = true;
        }
    }

    /// Ends the collection's life. Its rows stay as they are, for the one record that refers to all of them.
    pub fn drop_collection(&mut self, collection: Collection) -> Found<Effect> {
        let Some(life) = self.state.live_life(collection) else { return Ok(Effect::Idle) };
        let count = self.state.count(life);
        self.state.lives.insert(life, Life { collection, dropped: true });
        if count > 0 {
            self.append(collection, count, Body::Drop(life));
        }
        self.oracle.drop_collection(self.state.clock, collection);
        Ok(Effect::Done)
    }
}
