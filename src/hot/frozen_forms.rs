//! A collection as it was right after an event, form by form, while writes, seals, merges and evictions go on.
//!
//! What is there in the turn in which the reading begins, the present, is frozen: the segments are held, with their deleted
//! rows as they were, and row form is read as a plan's is, by undoing with the log what came after. A version that was
//! current at an earlier moment is still in the present, or an event since has it as its image before; so the two together,
//! without versions newer than the moment, are the documents of the moment, each once, and nothing is remembered of
//! those that were read.
//!
//! Form by form, because segments overlap in their ids: a page of ids over all of them reads from each of them, and from
//! the bucket where they are evicted, for every page. This way a segment is read once. The order is none.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::directory::{LifeKey, Segment};
use super::frozen::FrozenRows;
use super::holds::Hold;
use super::lookup::READ_MAX_BYTES;
use super::segment::read;
use super::{Collection, HotStore};
use crate::cdc::References;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::types::{Document, Sequence, StorageTier};
use crate::vortex::Bitmap;
use crate::vortex::blob::Budget;

/// Bytes of documents that are read of a segment in one turn, about, and their number.
const SEGMENT_PAGE_BYTES: usize = 1024 * 1024;
const SEGMENT_PAGE_ROWS: usize = 4_096;
/// Events that are looked at in one turn.
const EVENTS_MAX: usize = 10_000;

/// A collection's forms in the turn in which their reading began.
pub struct FrozenForms {
    collection: Collection,
    /// The moment: right after this event.
    at: Sequence,
    /// The last event when the reading began.
    present: Sequence,
    /// The life whose documents may be of the moment; `None` when there is none.
    life: Option<LifeKey>,
    /// Whether it was dropped since the forms.
    is_dropped: bool,
    bound: i64,
    /// The segments that are still to be read, the next one last.
    segments: Vec<Rc<Segment>>,
    hold: Hold,
}

/// Of a segment what one turn has read.
pub enum SegmentPage {
    /// Documents, some of them maybe newer than the moment, and the row after them.
    Here(Vec<Document>, usize),
    /// The rest is evicted, and at this place.
    Evicted(Rc<str>),
}

impl HotStore {
    /// Begins to read a collection as it was right after the event `at`. The log must still hold all events after it.
    pub fn freeze(&self, collection: &Collection, at: Sequence) -> Result<FrozenForms> {
        self.check_alone()?;
        let present = self.log.last_sequence()?;
        // Of one that was dropped without documents the log does not tell, but of what happened to them before.
        let dropped = if at < present { self.log.life_dropped_after(collection.id, at)? } else { None };
        let current = collection.live.then_some(collection.life);
        let life = dropped.or(current).map(|number| LifeKey { collection: collection.id, number });
        let bound = self.segments_bound()?;
        let mut segments: Vec<Rc<Segment>> = match life {
            Some(life) => self.directory.forms(life)?.segments.iter().map(Rc::clone).collect(),
            None => Vec::new(),
        };
        segments.retain(|segment| segment.live_rows() > 0 && segment.first_sequence <= at);
        segments.reverse();
        let hold = self.holds.hold(segments.iter().map(|segment| segment.number), bound, at);
        Ok(FrozenForms {
            collection: collection.clone(),
            at,
            present,
            life,
            is_dropped: dropped.is_some(),
            bound,
            segments,
            hold,
        })
    }

    /// Versions of the moment that were replaced or deleted between it and the present, from the events after `after` on,
    /// with the last event that was looked at; `None` at the end.
    pub fn replaced_since(&self, forms: &FrozenForms, after: Sequence) -> Result<Option<(Vec<Document>, Sequence)>> {
        if after >= forms.present {
            return Ok(None);
        }
        self.check_alone()?;
        self.check_log_after(after)?;
        let (mut images, mut bytes, mut events, mut last) = (Vec::new(), 0_usize, 0_usize, forms.present);
        // The documents of the life that was dropped are where they were.
        let references = References { documents: self, dropped: false };
        self.log.read(after, forms.present, references, &mut |event| {
            let image = event.before.filter(|before| before.sequence <= forms.at);
            if let Some(image) = image
                && event.collection_id == forms.collection.id
            {
                bytes = bytes.saturating_add(image.text.len());
                let (sequence, timestamp, text) = (image.sequence, image.timestamp, image.text);
                images.push(Document { id: event.document_id, sequence, timestamp, text });
            }
            events = events.saturating_add(1);
            if bytes < SCAN_PAGE_MAX_BYTES && events < EVENTS_MAX {
                return Ok(ControlFlow::Continue(()));
            }
            last = event.sequence;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Some((images, last)))
    }

    /// What is in row form.
    pub fn frozen_rows<'s>(&'s self, forms: &FrozenForms) -> FormRows<'s> {
        let rows = FrozenRows::new(self, forms.collection.id, forms.life, forms.present);
        let rows = rows.without_segments_before(forms.bound);
        let (needed, rows) = match forms.is_dropped {
            true => (forms.at, rows.of_dropped()),
            false => (forms.present, rows),
        };
        FormRows { store: self, rows, needed }
    }

    /// What a segment had at the moment, from a row on; `None` at its end.
    pub fn frozen_segment(&self, segment: &Segment, from: usize) -> Result<Option<SegmentPage>> {
        if from >= segment.rows {
            return Ok(None);
        }
        self.check_alone()?;
        // Where it is may have changed, what is in it never does.
        if let Some(place) = &self.directory.segment(segment.number)?.place {
            return Ok(Some(SegmentPage::Evicted(Rc::clone(place))));
        }
        let fitting = SEGMENT_PAGE_BYTES.checked_div(segment.average_bytes().max(1)).unwrap_or(1);
        let end = from.saturating_add(fitting.clamp(1, SEGMENT_PAGE_ROWS)).min(segment.rows);
        let mut rows = Bitmap::repeated(false, segment.rows);
        (from..end).filter(|row| segment.is_live(*row)).for_each(|row| rows.set(row, true));
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.all_columns(segment.number, &head)?;
        let documents = read::documents(&head, &columns.blob(&head.index), &rows, &mut Budget::new(READ_MAX_BYTES))?;
        Ok(Some(SegmentPage::Here(documents, end)))
    }

    /// Without these events it can not be told what was there.
    fn check_log_after(&self, sequence: Sequence) -> Result<()> {
        let first = self.log.first_sequence()?;
        if first <= sequence.saturating_add(1) {
            return Ok(());
        }
        let message = format!(
            "expected the change log to have all events after {sequence}, got those from {first} on; try again"
        );
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "read the past", message))
    }
}

impl FrozenForms {
    /// The event right after which it is.
    pub fn sequence(&self) -> Sequence {
        self.at
    }

    /// Whether a version is not newer than the forms.
    pub fn has(&self, document: &Document) -> bool {
        document.sequence <= self.at
    }

    /// Lets go of what was kept for row form: all of it is read.
    pub fn rows_read(&self) {
        self.hold.lift_bound();
    }

    /// Lets go of the log: all of it is read.
    pub fn log_read(&self) {
        self.hold.let_go_of_log();
    }

    /// The next segment to be read.
    pub fn next_segment(&mut self) -> Option<Rc<Segment>> {
        self.segments.pop()
    }

    /// Lets go of a segment: all of it is read.
    pub fn segment_read(&self, segment: &Segment) {
        self.hold.let_go(segment.number);
    }
}

/// What was in row form at the present of a moment, page by page.
pub struct FormRows<'s> {
    store: &'s HotStore,
    rows: FrozenRows<'s>,
    /// The log must hold all events after it, or what a dropped life had is gone.
    needed: Sequence,
}

impl FormRows<'_> {
    /// The next documents, bounded in number and bytes; `None` at the end.
    pub fn next_page(&mut self) -> Result<Option<Vec<Document>>> {
        self.store.check_log_after(self.needed)?;
        self.rows.next_page()
    }
}
