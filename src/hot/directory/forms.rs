//! The forms in which the documents of one collection's life are kept.

use std::rc::Rc;

use roaring::RoaringBitmap;

use crate::hot::row_index::IndexId;
use crate::hot::rows::Generation;
use crate::hot::segment::{Origin, SegmentHead};
use crate::types::{CollectionId, Sequence, Timestamp};
use crate::vortex::Bitmap;

/// A life of a collection: one made again under a name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LifeKey {
    /// The collection's number.
    pub collection: CollectionId,
    /// The life's number.
    pub number: i64,
}

/// What a row generation holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its documents.
    pub rows: i64,
    /// Bytes of their JSON text.
    pub bytes: i64,
    /// When the last one was written.
    pub newest: Timestamp,
}

/// A row generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGeneration {
    /// Its table.
    pub table: Generation,
    /// The indexes that it has.
    pub indexes: Rc<[IndexId]>,
    /// What it holds, once counted.
    pub extent: Option<Extent>,
    /// When it was last written to before it was closed, if this instance has closed it.
    pub closed_at: Option<Timestamp>,
}

impl RowGeneration {
    /// Whether it is known to hold nothing.
    pub fn is_empty(&self) -> bool {
        self.extent.is_some_and(|extent| extent.rows == 0)
    }
}

/// A segment, as the directory knows it without its head.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its number in this object.
    pub number: i64,
    /// The month of its documents, counted from January 1970.
    pub month: i32,
    /// How it came to be.
    pub origin: Origin,
    /// How many rows it has, deleted ones included.
    pub rows: usize,
    /// Bytes of JSON text of its documents when it was built.
    pub text_bytes: u64,
    /// The least version in it.
    pub first_sequence: Sequence,
    /// The greatest version in it.
    pub last_sequence: Sequence,
    /// The least id in it.
    pub first_id: String,
    /// The greatest id in it.
    pub last_id: String,
    /// The numbers of the segments that it was merged from, and of those that these were.
    pub supersedes: Vec<i64>,
    /// Its deleted rows.
    pub deleted: RoaringBitmap,
    /// Where its rows are, when it is evicted: what whoever evicted it has told.
    pub place: Option<Rc<str>>,
}

impl Segment {
    /// A segment that was just built.
    pub fn of(number: i64, head: &SegmentHead) -> Self {
        Self {
            number,
            month: head.month.ordinal(),
            origin: head.origin,
            rows: head.rows,
            text_bytes: head.text_bytes,
            first_sequence: head.first_sequence,
            last_sequence: head.last_sequence,
            first_id: head.first_id.clone(),
            last_id: head.last_id.clone(),
            supersedes: head.supersedes.clone(),
            deleted: RoaringBitmap::new(),
            place: None,
        }
    }

    /// How many of its rows are current.
    pub fn live_rows(&self) -> usize {
        self.rows.saturating_sub(usize::try_from(self.deleted.len()).unwrap_or(usize::MAX))
    }

    /// About how many bytes of JSON text its current documents have.
    pub fn live_bytes(&self) -> u64 {
        let (rows, live) = (u64::try_from(self.rows).unwrap_or(1), u64::try_from(self.live_rows()).unwrap_or(0));
        self.text_bytes.saturating_mul(live).checked_div(rows).unwrap_or(0)
    }

    /// About how many bytes of JSON text a document of it has.
    pub fn average_bytes(&self) -> usize {
        usize::try_from(self.text_bytes).unwrap_or(usize::MAX).checked_div(self.rows).unwrap_or(0)
    }

    /// Whether a row is current.
    pub fn is_live(&self, row: usize) -> bool {
        row < self.rows && u32::try_from(row).is_ok_and(|row| !self.deleted.contains(row))
    }

    /// Its current rows.
    pub fn live(&self) -> Bitmap {
        let mut live = Bitmap::repeated(true, self.rows);
        for row in &self.deleted {
            live.set(usize::try_from(row).unwrap_or(usize::MAX), false);
        }
        live
    }

    /// Whether its rows were in segments with numbers below `bound`, all of which are still there.
    pub fn comes_from_before(&self, bound: i64) -> bool {
        self.number < bound || self.supersedes.iter().any(|number| *number < bound)
    }

    /// Whether records of a log that begins at `first` may refer to it.
    pub fn is_pinned(&self, first: Sequence) -> bool {
        self.origin == Origin::Direct && self.last_sequence >= first
    }
}

/// The forms of one life of a collection.
#[derive(Clone, Debug, Default)]
pub struct Forms {
    /// Its row generations, ascending; new rows go to the last.
    pub generations: Vec<RowGeneration>,
    /// Its visible segments, ascending by number.
    pub segments: Rc<Vec<Rc<Segment>>>,
    /// Segments that visible ones supersede.
    pub superseded: Rc<Vec<Rc<Segment>>>,
}

impl Forms {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.segments.is_empty() && self.superseded.is_empty()
    }

    /// The generation of a number.
    pub fn generation(&self, number: i64) -> Option<&RowGeneration> {
        self.generations.iter().find(|generation| generation.table.number == number)
    }

    /// Sets what a generation holds.
    pub fn set_extent(&mut self, number: i64, extent: Extent) {
        if let Some(generation) = self.generations.iter_mut().find(|generation| generation.table.number == number) {
            generation.extent = Some(extent);
        }
    }

    /// The visible segment of a number.
    pub fn visible(&self, number: i64) -> Option<&Rc<Segment>> {
        self.segments.iter().find(|segment| segment.number == number)
    }

    /// The segment of a number, visible or not.
    pub fn any(&self, number: i64) -> Option<&Rc<Segment>> {
        self.visible(number).or_else(|| self.superseded.iter().find(|segment| segment.number == number))
    }

    /// Adds a segment; those that it supersedes become invisible.
    pub fn add(&mut self, segment: Rc<Segment>) {
        let segments = Rc::make_mut(&mut self.segments);
        let (gone, mut kept): (Vec<_>, Vec<_>) =
            segments.drain(..).partition(|other| segment.supersedes.contains(&other.number));
        kept.push(segment);
        *segments = kept;
        if !gone.is_empty() {
            Rc::make_mut(&mut self.superseded).extend(gone);
        }
    }

    /// Puts a segment in the place of the one of its number.
    pub fn replace(&mut self, segment: Rc<Segment>) {
        let known = Rc::make_mut(&mut self.segments).iter_mut().find(|other| other.number == segment.number);
        if let Some(known) = known {
            *known = segment;
        }
    }

    /// Removes segments.
    pub fn remove(&mut self, numbers: &[i64]) {
        Rc::make_mut(&mut self.segments).retain(|segment| !numbers.contains(&segment.number));
        Rc::make_mut(&mut self.superseded).retain(|segment| !numbers.contains(&segment.number));
    }

    /// Sorts segments that were read into visible ones and those that others supersede.
    pub fn with_segments(mut self, all: Vec<Segment>) -> Self {
        let hidden: std::collections::HashSet<i64> =
            all.iter().flat_map(|segment| segment.supersedes.iter().copied()).collect();
        let (superseded, segments) =
            all.into_iter().map(Rc::new).partition::<Vec<_>, _>(|segment| hidden.contains(&segment.number));
        self.segments = Rc::new(segments);
        self.superseded = Rc::new(superseded);
        self
    }
}
