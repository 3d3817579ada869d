//! What a crash loses: a merge being built, a staging under way, writes that wait for the cold tier.
//!
//! Nothing here may be needed to go on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use crate::read::Spot;
use crate::vocabulary::{Change, Collection, FileKey, Id, LifeId, Month, Row, SegmentId, Version};

#[derive(Clone, Debug, Default)]
pub struct Process {
    pub merge: Option<Merge>,
    pub staging: Option<Staging>,
    pub writes: Vec<Waiting>,
}

/// A merge under way. Its inputs never change but for their bitmaps.
#[derive(Clone, Debug)]
pub struct Merge {
    pub life: LifeId,
    pub month: Month,
    /// With the bitmaps that they had at the start.
    pub inputs: Vec<(SegmentId, BTreeSet<usize>)>,
    /// How many inputs have been read.
    pub read: usize,
    /// Each with the segment and position it is from.
    pub rows: Vec<(Row, SegmentId, usize)>,
}

#[derive(Clone, Debug)]
pub struct Staging {
    pub attempt: u64,
    pub done: BTreeSet<FileKey>,
}

/// A write that met an evicted document, and needs the image before from the cold tier.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub collection: Collection,
    pub changes: Vec<Change>,
    /// Where the documents were when the write came. Not to be relied on after an await.
    pub spots: BTreeMap<Id, Spot>,
    pub fetched: BTreeMap<(SegmentId, usize), Version>,
}
