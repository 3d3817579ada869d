//! The months whose segments are not as the committed table has them.
//!
//! A month has not changed when no segment of it is new, and as many of its archived rows are current as the committed
//! table has: archived rows are only ever deleted.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{corrupt, unwritable};
use crate::cold::FileContent;
use crate::cold::catalog::CatalogFile;
use crate::error::Result;
use crate::hot::directory::Segment;
use crate::types::sorting;

/// All segments of a month, as they were when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMonth {
    /// The month, counted from January 1970.
    pub month: i32,
    /// Its segments that had a current row, ascending by number.
    pub segments: Vec<PlannedSegment>,
}

/// A segment as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSegment {
    /// Its number.
    pub number: i64,
    /// Its rows, deleted ones included.
    pub rows: i64,
    /// Its deleted rows: a Roaring bitmap in its portable format, as Base64; missing when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
}

impl PlannedSegment {
    fn of(segment: &Segment) -> Result<Self> {
        let mut bytes = Vec::new();
        if !segment.deleted.is_empty() {
            segment.deleted.serialize_into(&mut bytes).map_err(|error| unwritable().caused_by(error))?;
        }
        Ok(Self {
            number: segment.number,
            rows: i64::try_from(segment.rows).unwrap_or(i64::MAX),
            deleted: (!bytes.is_empty()).then(|| STANDARD.encode(bytes)),
        })
    }

    /// Its deleted rows.
    pub fn deleted(&self) -> Result<RoaringBitmap> {
        let Some(text) = &self.deleted else { return Ok(RoaringBitmap::new()) };
        let bytes = STANDARD.decode(text).map_err(|_| corrupt("expected Base64, got another text"))?;
        RoaringBitmap::deserialize_from(bytes.as_slice())
            .map_err(|error| corrupt("expected a Roaring bitmap, got other bytes").caused_by(error))
    }
}

/// What a committed table has of a month.
#[derive(Default)]
struct Archived {
    /// The numbers of the segments in its files.
    parts: HashSet<i64>,
    /// Rows that are not deleted.
    live_rows: i64,
}

/// The months whose segments are not as the table's files have them, with those of their segments that have a current row.
pub(super) fn changed_segments<'s>(
    segments: &'s [Rc<Segment>],
    files: &[CatalogFile],
) -> BTreeMap<i32, Vec<&'s Rc<Segment>>> {
    let mut months: BTreeMap<i32, (Archived, Vec<&Rc<Segment>>)> = BTreeMap::new();
    for file in files.iter().map(|file| &file.file.file) {
        match file.content {
            FileContent::Data if file.parts.is_empty() => {}
            FileContent::Data => {
                let (archived, _) = months.entry(file.month).or_default();
                archived.live_rows = archived.live_rows.saturating_add(file.record_count);
                archived.parts.extend(file.parts.iter().map(|part| part.number));
            }
            FileContent::PositionDeletes => {
                let (archived, _) = months.entry(file.month).or_default();
                archived.live_rows = archived.live_rows.saturating_sub(file.record_count);
            }
        }
    }
    for segment in segments.iter().filter(|segment| segment.live_rows() > 0) {
        months.entry(segment.month).or_default().1.push(segment);
    }
    let changed = months.into_iter().filter(|(_, (archived, segments))| {
        let mut all = segments.iter();
        let live = segments.iter().map(|segment| i64::try_from(segment.live_rows()).unwrap_or(i64::MAX));
        !all.all(|segment| archived.parts.contains(&segment.number))
            || live.fold(0, i64::saturating_add) != archived.live_rows
    });
    sorting::map_of(changed.map(|(month, (_, segments))| (month, segments)))
}

/// The same, as a plan has them.
pub(super) fn changed_months(segments: &[Rc<Segment>], files: &[CatalogFile]) -> Result<Vec<PlannedMonth>> {
    let mut changed = Vec::new();
    for (month, segments) in changed_segments(segments, files) {
        let segments = segments.into_iter().map(|segment| PlannedSegment::of(segment)).collect::<Result<_>>()?;
        changed.push(PlannedMonth { month, segments });
    }
    Ok(changed)
}
