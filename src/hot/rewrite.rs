//! Evicted segments that are written again without their deleted rows, and segments whose rows were moved in the bucket.
//!
//! A row of a segment never changes, nor does its number; so what is written again is another segment, which takes the
//! place of the first one as a merged one does, and is evicted in the same transaction.

use std::rc::Rc;

use roaring::RoaringBitmap;

use super::directory::{LifeKey, Segment};
use super::segment::Origin;
use super::segment::build::{BuiltSegment, NewRow, SegmentBuilder};
use super::{Collection, HotStore};
use crate::error::Result;
use crate::types::Document;

/// A segment on its way.
pub struct Rewrite {
    life: LifeKey,
    segment: i64,
    rows: RoaringBitmap,
    builder: SegmentBuilder,
}

/// A segment that was written again.
pub struct Rewritten {
    life: LifeKey,
    /// The segment that it takes the place of.
    pub segment: i64,
    /// The rows of that, which are its own in their order.
    rows: RoaringBitmap,
    built: BuiltSegment,
}

impl Rewrite {
    /// Begins to write these `rows` of a segment again.
    pub fn begin(collection: &Collection, segment: i64, rows: RoaringBitmap) -> Result<Self> {
        Ok(Self { life: collection.life(), segment, rows, builder: collection.segment_builder()? })
    }

    /// Takes the next row.
    pub fn push(&mut self, document: &Document) -> Result<()> {
        let Document { id, sequence, timestamp, text } = document;
        self.builder.push(NewRow { id, sequence: *sequence, timestamp: *timestamp, text })
    }

    /// All rows are taken.
    pub fn finish(self) -> Result<Rewritten> {
        let Self { life, segment, rows, builder } = self;
        Ok(Rewritten { life, segment, rows, built: builder.finish(Origin::Merged, Vec::new())? })
    }
}

impl HotStore {
    /// Puts a segment in the place of the one that it was written from, within a transaction; its number. `None`, and
    /// nothing has happened, when that one is not there any more.
    pub fn put_rewritten(&self, rewritten: Rewritten) -> Result<Option<i64>> {
        let Rewritten { life, segment, rows, mut built } = rewritten;
        let is_current = self.catalog()?.all_live().any(|collection| collection.life() == life);
        let forms = self.directory.forms(life)?;
        let Some(now) = forms.visible(segment).filter(|now| is_current && now.place.is_some()) else { return Ok(None) };
        built.head.supersedes = self.supersede(life, std::slice::from_ref(now))?;
        // Those that were deleted since are deleted, too.
        let deleted =
            (&now.deleted & &rows).into_iter().filter_map(|row| u32::try_from(rows.rank(row).checked_sub(1)?).ok());
        let deleted: RoaringBitmap = deleted.collect();
        let number = self.directory.next_number()?;
        self.directory.add_segment(life, number, built)?;
        if !deleted.is_empty() {
            self.directory.delete_rows(life, number, &deleted)?;
        }
        Ok(Some(number))
    }

    /// Tells, within a transaction, that the rows of segments are somewhere else: `place` says where those of a segment
    /// are, of which it knows. A segment that is in the object stays there, unless it is one of `evict`.
    pub fn move_places(&self, evict: &[i64], place: &dyn Fn(i64) -> Result<Option<String>>) -> Result<()> {
        for life in self.directory.lives()? {
            let forms = self.directory.forms(life)?;
            let concerned = |segment: &&Rc<Segment>| segment.place.is_some() || evict.contains(&segment.number);
            for segment in forms.segments.iter().filter(concerned) {
                let Some(place) = place(segment.number)? else { continue };
                match &segment.place {
                    None => self.directory.evict(life, segment.number, &place)?,
                    Some(before) => {
                        self.holds.keep_place(segment.number, before);
                        self.directory.set_place(life, segment.number, &place)?;
                    }
                }
            }
        }
        Ok(())
    }
}
