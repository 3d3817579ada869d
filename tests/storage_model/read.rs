//! How documents are read: by id, whole, and by a foreign reader of a table.
//!
//! A read sees the generations of rows and the visible segments of the collection's present life. It does not change
//! anything, and an evicted row is fetched from the file that its stub names.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::{Contents, Place, Segment, State, Table};
use crate::vocabulary::{
    Collection, Event, FileKey, Found, GenerationId, Id, LifeId, Row, SegmentId, Version, missing,
};

/// The one place that a document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Row(GenerationId),
    Position(SegmentId, usize),
}

impl State {
    pub fn live_life(&self, collection: Collection) -> Option<LifeId> {
        self.lives.iter().find(|(_, life)| life.collection == collection && !life.dropped).map(|(&id, _)| id)
    }

    pub fn is_dropped(&self, life: LifeId) -> bool {
        self.lives.get(&life).is_none_or(|life| life.dropped)
    }

    /// Every segment that another lists: reads do not see it.
    pub fn superseded(&self) -> BTreeSet<SegmentId> {
        self.segments.values().flat_map(|segment| segment.supersedes.iter().copied()).collect()
    }

    pub fn visible(&self, life: LifeId) -> impl Iterator<Item = (SegmentId, &Segment)> {
        let hidden = |id: &SegmentId| self.segments.values().any(|segment| segment.supersedes.contains(id));
        let of_life = self.segments.iter().filter(move |(_, segment)| segment.life == life);
        of_life.filter(move |(id, _)| !hidden(id)).map(|(&id, segment)| (id, segment))
    }

    /// Where a document is. That it is nowhere else the invariants check.
    pub fn spot(&self, life: LifeId, id: Id) -> Option<Spot> {
        let mut generations = self.generations.iter().filter(|(_, generation)| generation.life == life);
        let row =
            generations.find(|(_, generation)| generation.rows.contains_key(&id)).map(|(&name, _)| Spot::Row(name));
        row.or_else(|| {
            self.visible(life).find_map(|(name, segment)| {
                let position = segment.ids.binary_search(&id).ok()?;
                (!segment.deleted.contains(&position)).then_some(Spot::Position(name, position))
            })
        })
    }

    pub fn version_at(&self, spot: Spot, id: Id) -> Found<Version> {
        match spot {
            Spot::Row(generation) => {
                let row = self.generations.get(&generation).and_then(|generation| generation.rows.get(&id));
                row.map_or_else(|| missing(format!("{generation:?} has no row {id}")), |version| Ok(*version))
            }
            Spot::Position(segment, position) => {
                let found = self.segment(segment)?;
                match (&found.bytes, found.place) {
                    (Some(versions), _) => Ok(versions[position]),
                    (None, Some(Place { file, first })) => {
                        Ok(self.fetch(Place { file, first: first + position }, 1)?[0].version)
                    }
                    (None, None) => missing(format!("neither bytes nor a place for {segment:?}")),
                }
            }
        }
    }

    /// The rows of a segment: its own, or those of the cold file if it is evicted.
    pub fn rows(&self, segment: &Segment) -> Found<Vec<Row>> {
        match (segment.own_rows(), segment.place) {
            (Some(rows), _) => Ok(rows),
            (None, Some(place)) => Ok(self.fetch(place, segment.ids.len())?.to_vec()),
            (None, None) => missing(format!("neither bytes nor a place for {:?}", segment.ids)),
        }
    }

    /// Rows of a cold file.
    pub fn fetch(&self, place: Place, count: usize) -> Found<&[Row]> {
        let objects = |key: &FileKey| self.bucket.files.get(key);
        let rows = rows_in(&objects, &place.file)?;
        rows.get(place.first..place.first + count).map_or_else(|| missing(format!("{place:?} is beyond the file")), Ok)
    }

    /// A read by id.
    pub fn get(&self, collection: Collection, id: Id) -> Found<Option<Version>> {
        let spot = self.live_life(collection).and_then(|life| self.spot(life, id));
        spot.map(|spot| self.version_at(spot, id)).transpose()
    }

    /// A whole scan, in the order of ids.
    pub fn scan(&self, life: LifeId) -> Found<Vec<Row>> {
        let mut found = Vec::new();
        for generation in self.generations.values().filter(|generation| generation.life == life) {
            found.extend(generation.rows.iter().map(|(&id, &version)| Row { id, version }));
        }
        for (_, segment) in self.visible(life).filter(|(_, segment)| !segment.spent()) {
            let rows = self.rows(segment)?;
            found.extend(segment.live_positions().filter_map(|(position, _)| rows.get(position)));
        }
        found.sort();
        Ok(found)
    }

    /// How many documents a life holds, which stubs tell without the cold tier.
    pub fn count(&self, life: LifeId) -> usize {
        let generations = self.generations.values().filter(|generation| generation.life == life);
        let rows: usize = generations.map(|generation| generation.rows.len()).sum();
        rows + self.visible(life).map(|(_, segment)| segment.live_positions().count()).sum::<usize>()
    }
}

/// The objects that a reader finds, by key.
pub type Objects<'o, 'a> = &'o dyn Fn(&FileKey) -> Option<&'a Contents>;

fn rows_in<'a>(objects: Objects<'_, 'a>, key: &FileKey) -> Found<&'a Vec<Row>> {
    match objects(key) {
        Some(Contents::Rows(rows)) => Ok(rows),
        _ => missing(format!("{key:?} is not in the bucket")),
    }
}

/// What a foreign reader makes of a table of documents: the rows of its files without the deleted positions.
pub fn table_rows(objects: Objects<'_, '_>, table: &Table) -> Found<Vec<Row>> {
    let none = BTreeMap::new();
    let deletes = match table.deletes.map(|key| (key, objects(&key))) {
        None => &none,
        Some((_, Some(Contents::Deletes(deletes)))) => deletes,
        Some((key, _)) => return missing(format!("{key:?} is not in the bucket")),
    };
    let mut found = Vec::new();
    for file in table.data.keys().chain(&table.tails) {
        let deleted = deletes.get(file);
        let rows = rows_in(objects, file)?.iter().enumerate();
        let live = rows.filter(|(position, _)| !deleted.is_some_and(|deleted| deleted.contains(position)));
        found.extend(live.map(|(_, row)| *row));
    }
    found.sort();
    Ok(found)
}

/// What a foreign reader makes of the table of changes.
pub fn table_events<'a>(objects: Objects<'_, 'a>, table: &Table) -> Found<Vec<&'a Event>> {
    let mut found = Vec::new();
    for file in table.data.keys() {
        match objects(file) {
            Some(Contents::Events(events)) => found.extend(events),
            _ => return missing(format!("{file:?} is not in the bucket")),
        }
    }
    found.sort_by_key(|event| event.sequence);
    Ok(found)
}
