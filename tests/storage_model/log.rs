//! The change log: what a record refers to, how its events are made whole, and how it is trimmed.
//!
//! A record stands for its events for as long as it is there: what it refers to is pinned. The bitmap of a segment
//! means nothing to the log. Only records whose events every published table contains are trimmed.

use std::collections::BTreeSet;

use crate::bug::Bug;
use crate::state::{After, Body, Record, State};
use crate::step::Effect;
use crate::vocabulary::{Event, Found, LifeId, SegmentId, Sequence, TABLES, missing};
use crate::world::World;

impl State {
    /// The events of a record, with their images.
    pub fn events_of(&self, record: &Record) -> Found<Vec<Event>> {
        let event = |sequence, id, before, after| {
            let (time, collection) = (record.time, record.collection);
            Event { sequence, time, collection, id, before, after }
        };
        let sequences = record.first..=record.last;
        match &record.body {
            Body::Changes(changes) => sequences
                .zip(changes)
                .map(|(sequence, change)| {
                    let after = match change.after {
                        After::Gone => None,
                        After::Inline(version) => Some(version),
                        After::InSegment(segment) => {
                            let rows = self.segment(segment)?.own_rows();
                            match rows.and_then(|rows| rows.into_iter().find(|row| row.id == change.id)) {
                                Some(row) => Some(row.version),
                                None => return missing(format!("{segment:?} has no bytes for the log")),
                            }
                        }
                    };
                    Ok(event(sequence, change.id, change.before, after))
                })
                .collect(),
            Body::Drop(life) => {
                let rows = self.scan(*life)?;
                Ok(sequences.zip(rows).map(|(n, row)| event(n, row.id, Some(row.version), None)).collect())
            }
        }
    }

    /// The events after a sequence, as the feed gives them.
    pub fn feed(&self, after: Sequence) -> Found<Vec<Event>> {
        let mut events = Vec::new();
        for record in self.log.records.iter().filter(|record| record.last > after) {
            events.extend(self.events_of(record)?.into_iter().filter(|event| event.sequence > after));
        }
        Ok(events)
    }

    /// The segments whose bytes the log refers to.
    pub fn logged_segments(&self) -> BTreeSet<SegmentId> {
        let bodies = self.log.records.iter().map(|record| &record.body);
        let changes = bodies.filter_map(|body| match body {
            Body::Changes(changes) => Some(changes),
            Body::Drop(_) => None,
        });
        changes
            .flatten()
            .filter_map(|change| match change.after {
                After::InSegment(segment) => Some(segment),
                After::Gone | After::Inline(_) => None,
            })
            .collect()
    }

    /// The dropped lives whose rows the log refers to.
    pub fn logged_lives(&self) -> BTreeSet<LifeId> {
        let bodies = self.log.records.iter().map(|record| &record.body);
        bodies
            .filter_map(|body| match body {
                Body::Drop(life) => Some(*life),
                Body::Changes(_) => None,
            })
            .collect()
    }
}

impl World {
    /// What may be trimmed: all published tables reach it.
    pub fn trim_bound(&self) -> Sequence {
        if self.has(Bug::TrimBeyondArchive) {
            return self.state.log.head;
        }
        TABLES.into_iter().map(|table| self.state.published(table).sequence).min().unwrap_or(0)
    }

    /// Trims the oldest records, at most so many.
    pub fn trim(&mut self, records: usize) -> Effect {
        let bound = self.trim_bound();
        let log = &mut self.state.log;
        let count = log.records.iter().take(records).take_while(|record| record.last <= bound).count();
        let Some(last) = log.records.drain(..count).next_back() else { return Effect::Idle };
        log.trimmed = last.last;
        Effect::Done
    }
}
