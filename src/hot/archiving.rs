//! What archiving reads of the segments, and what stays as it is while it goes on.
//!
//! A plan names all segments that there are when it is made: those with numbers below its bound. Invariants, until it is
//! committed or given up:
//!
//! - none of them is removed, so that its rows can be read, and an image before be looked up in it;
//! - none is merged with one that came later, so that a segment's rows were in segments when the plan was made, or none
//!   of them was.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::directory::{LifeKey, Segment};
use super::lookup::READ_MAX_BYTES;
use super::segment::read;
use super::{Collection, HotStore};
use crate::cdc::References;
use crate::error::Result;
use crate::limits::{SCAN_PAGE_MAX_BYTES, SCAN_PAGE_MAX_ROWS};
use crate::types::{Document, Sequence};
use crate::vortex::Bitmap;
use crate::vortex::blob::Budget;

/// Who knows whether a plan is on its way.
pub trait PlannedSegments {
    /// The bound of the plan on its way: it names the segments with numbers below it. `None` when there is no plan, or it
    /// is committed.
    fn planned_before(&self) -> Result<Option<i64>>;
}

impl HotStore {
    /// Tells who plans archives.
    pub fn set_planned_segments(&self, planned: Rc<dyn PlannedSegments>) {
        self.planned.replace(Some(planned));
    }

    /// The number below which segments are named by a plan on its way.
    pub(super) fn planned_before(&self) -> Result<i64> {
        let planned = self.planned.borrow().clone();
        let bound = planned.map(|planned| planned.planned_before()).transpose()?.flatten();
        Ok(bound.unwrap_or(i64::MIN))
    }

    /// A number above those of all segments that there are.
    pub fn segments_bound(&self) -> Result<i64> {
        Ok(self.directory.last_number()?.saturating_add(1))
    }

    /// The visible segments of a life, ascending by number.
    pub fn segments(&self, life: LifeKey) -> Result<Rc<Vec<Rc<Segment>>>> {
        Ok(Rc::clone(&self.directory.forms(life)?.segments))
    }

    /// Documents of a segment from a row on, deleted ones included, bounded in number and bytes; empty at the end.
    pub fn segment_rows(&self, number: i64, from: usize) -> Result<Vec<Document>> {
        self.check_alone()?;
        let segment = self.directory.segment(number)?;
        let head = self.directory.head(number)?;
        let fitting = SCAN_PAGE_MAX_BYTES.checked_div(segment.average_bytes().max(1)).unwrap_or(1);
        let end = from.saturating_add(fitting.clamp(1, SCAN_PAGE_MAX_ROWS)).min(segment.rows);
        if from >= end {
            return Ok(Vec::new());
        }
        let columns = self.directory.all_columns(number, &head)?;
        read::documents(&head, &columns.blob(&head.index), from..end, &mut Budget::new(READ_MAX_BYTES))
    }

    /// A document as it was right after the event `at`. The log must still hold all events after it.
    pub fn get_as_of(&self, collection: &Collection, id: &str, at: Sequence) -> Result<Option<Document>> {
        let mut before: Option<Option<Document>> = None;
        let references = References { documents: self, dropped: true };
        self.log.read(at, self.log.last_sequence()?, references, &mut |event| {
            if event.collection_id != collection.id || event.document_id != id {
                return Ok(ControlFlow::Continue(()));
            }
            before = Some(event.before.map(|image| Document {
                id: id.to_owned(),
                sequence: image.sequence,
                timestamp: image.timestamp,
                text: image.text,
            }));
            Ok(ControlFlow::Break(()))
        })?;
        match before {
            Some(before) => Ok(before),
            None if collection.live => Ok(self.find(collection.life(), id)?.map(|(_, document)| document)),
            None => Ok(None),
        }
    }

    /// Whether a version of a document is in one of the segments of a life that a plan with this bound names.
    pub(super) fn is_in_planned(&self, life: LifeKey, bound: i64, id: &str, version: Sequence) -> Result<bool> {
        let forms = self.directory.forms(life)?;
        let named = forms.segments.iter().chain(forms.superseded.iter()).filter(|segment| {
            segment.number < bound && (segment.first_sequence..=segment.last_sequence).contains(&version)
        });
        for segment in named {
            if id < segment.first_id.as_str() || id > segment.last_id.as_str() {
                continue;
            }
            let head = self.directory.head(segment.number)?;
            if !head.may_have_id(id) {
                continue;
            }
            let columns = self.directory.id_column(segment, &head)?;
            let Some(row) = read::find(&columns.blob(&head.index), id)? else { continue };
            if segment.place.is_some() {
                // A version in the segment's range that was current when the segment was there is the segment's own.
                return Ok(true);
            }
            let columns = self.directory.columns(segment.number, &head, &[read::SEQUENCE_POSITION])?;
            let blob = columns.blob(&head.index);
            let mut only = Bitmap::repeated(false, segment.rows);
            only.set(row, true);
            if read::versions(&blob, &only, &mut Budget::new(READ_MAX_BYTES))?.first() == Some(&version) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The bounds over which no merge may reach: those of the plan on its way, and of those who read row form.
    pub(super) fn merge_bounds(&self) -> Result<Vec<i64>> {
        let mut bounds = self.holds.bounds();
        bounds.push(self.planned_before()?);
        Ok(bounds)
    }

    /// Does what waited for a plan to be committed or given up, or for a hold to end.
    pub fn plan_ended(&self) -> Result<()> {
        self.maintenance.look_for_merges();
        self.transaction(|| self.remove_unreachable())
    }
}
