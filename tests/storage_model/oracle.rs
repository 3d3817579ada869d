//! What the store is to answer: a plain map of documents, and a plain list of events.

use std::collections::BTreeMap;

use crate::vocabulary::{Change, Collection, Event, Id, Row, Sequence, Time, Version};

pub type Documents = BTreeMap<(Collection, Id), Version>;

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub documents: Documents,
    /// The event of sequence n at n - 1.
    pub events: Vec<Event>,
}

impl Oracle {
    fn set(&mut self, time: Time, (collection, id): (Collection, Id), value: Option<u8>) {
        let sequence = self.head() + 1;
        let after = value.map(|value| Version { sequence, time, value });
        let before = match after {
            Some(version) => self.documents.insert((collection, id), version),
            None => self.documents.remove(&(collection, id)),
        };
        if before.is_some() || after.is_some() {
            self.events.push(Event { sequence, time, collection, id, before, after });
        }
    }

    pub fn write(&mut self, time: Time, collection: Collection, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Put(id, value) => self.set(time, (collection, id), Some(value)),
                Change::Delete(id) => self.set(time, (collection, id), None),
            }
        }
    }

    pub fn drop_collection(&mut self, time: Time, collection: Collection) {
        for row in rows_of(&self.documents, collection) {
            self.set(time, (collection, row.id), None);
        }
    }

    pub fn head(&self) -> Sequence {
        self.events.last().map_or(0, |event| event.sequence)
    }

    /// The events after one sequence and up to another.
    pub fn events_between(&self, after: Sequence, through: Sequence) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.sequence > after && event.sequence <= through)
    }

    /// The rows of one collection as of a sequence, in the order of ids.
    pub fn rows_at(&self, collection: Collection, sequence: Sequence) -> Vec<Row> {
        if sequence == self.head() {
            return rows_of(&self.documents, collection);
        }
        let mut rows = BTreeMap::new();
        for event in self.events_between(0, sequence).filter(|event| event.collection == collection) {
            match event.after {
                Some(version) => rows.insert(event.id, version),
                None => rows.remove(&event.id),
            };
        }
        rows.into_iter().map(|(id, version)| Row { id, version }).collect()
    }
}

/// The rows of one collection, in the order of ids.
pub fn rows_of(documents: &Documents, collection: Collection) -> Vec<Row> {
    documents
        .range((collection, Id::MIN)..=(collection, Id::MAX))
        .map(|(&(_, id), &version)| Row { id, version })
        .collect()
}
