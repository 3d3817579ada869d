//! Retention: which documents of a collection are older than is declared, and when the next will be.
//!
//! Commit times never decrease along the log. So what was the oldest commit time of a collection's documents is, for
//! ever, not greater than that of any; it is looked up once, and again when it has passed. Which rows of a segment have
//! passed is told by the bounds of its commit times where they do not lie on both sides of the moment; otherwise by the
//! commit times, which of an evicted segment have to be fetched. A pass begins some time after the last one has ended, so that
//! documents that were written one by one are not deleted one by one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::directory::{LifeKey, Segment};
use super::lookup::READ_MAX_BYTES;
use super::segment::read;
use super::{Collection, EvictedRows, HotStore};
use crate::error::Result;
use crate::types::time::DAY_MS;
use crate::types::{Sequence, Timestamp};
use crate::vortex::Bitmap;
use crate::vortex::blob::Budget;

/// The pause after a pass that left nothing, in ms.
const PAUSE_MS: i64 = 3_600_000;
/// Documents that are deleted in one turn.
const TURN_MAX_ROWS: usize = 2_000;
/// And bytes of their text; here those of segments are counted by averages.
pub const EXPIRY_TURN_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Segments that are remembered of, at most; many of them may be gone.
const SEGMENTS_MAX: usize = 4_096;

/// What is remembered between passes.
#[derive(Default)]
pub(super) struct Expiry {
    /// No document of a life was committed earlier.
    oldest: RefCell<HashMap<LifeKey, Oldest>>,
    /// No current row of a segment was: more exact than the segment's own bounds.
    segments: RefCell<HashMap<i64, Timestamp>>,
    /// When the next pass may begin.
    not_before: Cell<Timestamp>,
}

#[derive(Clone, Copy)]
enum Oldest {
    At(Timestamp),
    /// There was no document, at the sequence and the time of the last event.
    Empty(Sequence, Timestamp),
}

impl Expiry {
    pub(super) fn forget(&self) {
        self.oldest.borrow_mut().clear();
        self.segments.borrow_mut().clear();
    }
}

/// What of a collection has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing.
    None,
    /// These documents, some of all.
    Documents(Vec<Rc<str>>),
    /// Some of these, perhaps: their commit times have to be fetched.
    Some(EvictedRows),
}

impl HotStore {
    /// The collections with a retention, and the moment before which their documents have passed.
    pub fn expiring(&self, now: Timestamp) -> Result<Vec<(Collection, Timestamp)>> {
        let catalog = self.catalog()?;
        let with = catalog.all_live().filter_map(|collection| {
            let days = collection.definition.retention?.days;
            Some((collection.clone(), now.saturating_sub(days.saturating_mul(DAY_MS))))
        });
        Ok(with.collect())
    }

    /// When the next pass is due; `None` when no document will ever pass.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>> {
        let mut next: Option<Timestamp> = None;
        for (collection, _) in self.expiring(0)? {
            let days = collection.definition.retention.map_or(0, |retention| retention.days);
            if let Some(oldest) = self.oldest(collection.life())? {
                let due = oldest.saturating_add(days.saturating_mul(DAY_MS)).saturating_add(1);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        Ok(next.map(|due| due.max(self.expiry.not_before.get())))
    }

    /// Notes that a pass has left nothing that has passed.
    pub fn expiry_ended(&self, now: Timestamp) {
        self.expiry.oldest.borrow_mut().clear();
        let mut segments = self.expiry.segments.borrow_mut();
        if segments.len() > SEGMENTS_MAX {
            segments.clear();
        }
        self.expiry.not_before.set(now.saturating_add(PAUSE_MS));
    }

    /// Lets the next pass begin without the pause.
    pub fn expiry_asked_for(&self) {
        self.expiry.not_before.set(0);
    }

    /// Documents of a collection that were committed before a moment, as many as are deleted in one turn.
    pub fn expired(&self, collection: &Collection, before: Timestamp) -> Result<Expired> {
        let forms = self.directory.forms(collection.life())?;
        let mut turn = Turn::default();
        for generation in forms.generations.iter().filter(|generation| !generation.is_empty()) {
            turn.take(generation.table.older_than(self.sql.as_ref(), before, turn.room())?);
        }
        for segment in forms.segments.iter().filter(|segment| segment.live_rows() > 0) {
            if turn.room() == 0 {
                break;
            }
            let Some(rows) = self.expired_rows(segment, before)? else {
                // What is found already comes first: the commit times of this one are fetched in the next turn.
                if turn.ids.is_empty() {
                    return Ok(EvictedRows::live(segment).map_or(Expired::None, Expired::Some));
                }
                continue;
            };
            let bytes = segment.average_bytes();
            turn.take(self.ids_of(segment, rows, turn.room())?.into_iter().map(|id| (id, bytes)));
        }
        Ok(if turn.ids.is_empty() { Expired::None } else { Expired::Documents(turn.ids) })
    }

    /// Takes the commit times of the rows that [`Expired::Some`] names, and says which documents have passed.
    pub fn expired_of(&self, evicted: &EvictedRows, times: &[(String, Timestamp)], before: Timestamp) -> Expired {
        let (passed, kept): (Vec<_>, Vec<_>) = times.iter().partition(|(_, time)| *time < before);
        if passed.is_empty() {
            let oldest = kept.iter().map(|(_, time)| *time).min().unwrap_or(before);
            self.expiry.segments.borrow_mut().insert(evicted.segment, oldest);
            return Expired::None;
        }
        Expired::Documents(passed.iter().take(TURN_MAX_ROWS).map(|(id, _)| id.as_str().into()).collect())
    }

    /// The current rows of a segment that have passed; `None` when that can not be told here.
    fn expired_rows(&self, segment: &Segment, before: Timestamp) -> Result<Option<Bitmap>> {
        let none = || Some(Bitmap::repeated(false, segment.rows));
        if self.segment_oldest(segment)?.is_some_and(|oldest| oldest >= before) {
            return Ok(none());
        }
        let head = self.directory.head(segment.number)?;
        if read::commit_span(&head).is_some_and(|(_, last)| last < before) {
            return Ok(Some(segment.live()));
        }
        if segment.place.is_some() {
            return Ok(None);
        }
        let columns = self.directory.columns(segment.number, &head, &[read::TIMESTAMP_POSITION])?;
        let mut budget = Budget::new(READ_MAX_BYTES);
        let times = read::commit_times(&columns.blob(&head.index), 0..segment.rows, &mut budget)?;
        let mut rows = Bitmap::repeated(false, segment.rows);
        let (mut any, mut oldest) = (false, Timestamp::MAX);
        for (row, time) in times.into_iter().enumerate().filter(|(row, _)| segment.is_live(*row)) {
            rows.set(row, time < before);
            any |= time < before;
            oldest = oldest.min(time);
        }
        if !any {
            self.expiry.segments.borrow_mut().insert(segment.number, oldest);
        }
        Ok(Some(rows))
    }

    fn ids_of(&self, segment: &Segment, mut rows: Bitmap, most: usize) -> Result<Vec<String>> {
        let all: Vec<usize> = rows.positions().collect();
        all.iter().skip(most).for_each(|row| rows.set(*row, false));
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.id_column(segment, &head)?;
        read::ids(&columns.blob(&head.index), &rows, &mut Budget::new(READ_MAX_BYTES))
    }

    /// A moment before which no current row of a segment was committed.
    fn segment_oldest(&self, segment: &Segment) -> Result<Option<Timestamp>> {
        let known = self.expiry.segments.borrow().get(&segment.number).copied();
        match known {
            Some(known) => Ok(Some(known)),
            None => Ok(read::commit_span(self.directory.head(segment.number)?.as_ref()).map(|(first, _)| first)),
        }
    }

    /// A moment before which no document of a life was committed; `None` when there is none.
    fn oldest(&self, life: LifeKey) -> Result<Option<Timestamp>> {
        let last = self.log.last_sequence()?;
        let known = self.expiry.oldest.borrow().get(&life).copied();
        match known {
            Some(Oldest::At(oldest)) => return Ok(Some(oldest)),
            Some(Oldest::Empty(sequence, _)) if sequence == last => return Ok(None),
            // Whatever came since came later.
            Some(Oldest::Empty(_, time)) => return Ok(Some(time)),
            None => {}
        }
        let forms = self.directory.forms(life)?;
        let mut oldest: Option<Timestamp> = None;
        for generation in forms.generations.iter().filter(|generation| !generation.is_empty()) {
            let of_table = generation.table.oldest(self.sql.as_ref())?;
            oldest = [oldest, of_table].into_iter().flatten().min();
        }
        for segment in forms.segments.iter().filter(|segment| segment.live_rows() > 0) {
            let of_segment = self.segment_oldest(segment)?.unwrap_or(0);
            oldest = Some(oldest.map_or(of_segment, |oldest| oldest.min(of_segment)));
        }
        let found = match oldest {
            Some(oldest) => Oldest::At(oldest),
            None => Oldest::Empty(last, self.log.last_timestamp()?),
        };
        self.expiry.oldest.borrow_mut().insert(life, found);
        Ok(oldest)
    }
}

/// The documents of one turn.
#[derive(Default)]
struct Turn {
    ids: Vec<Rc<str>>,
    bytes: usize,
}

impl Turn {
    /// How many documents it can still take.
    fn room(&self) -> usize {
        if self.bytes >= EXPIRY_TURN_MAX_BYTES { 0 } else { TURN_MAX_ROWS.saturating_sub(self.ids.len()) }
    }

    fn take(&mut self, found: impl IntoIterator<Item = (String, usize)>) {
        for (id, bytes) in found {
            if self.room() == 0 {
                return;
            }
            self.bytes = self.bytes.saturating_add(bytes);
            self.ids.push(id.into());
        }
    }
}
