//! What survives a crash: the object's SQLite, and the bucket.
//!
//! A step changes the SQLite part in one transaction or not at all. Objects of the bucket are created once and never
//! overwritten; only the pointers in `published` move.

use std::collections::{BTreeMap, BTreeSet};

use crate::vocabulary::{
    Collection, Event, FileKey, Found, GenerationId, Id, LifeId, Month, Row, SegmentId, Sequence, TableName, Time,
    Version, missing,
};

#[derive(Clone, Debug, Default)]
pub struct State {
    pub clock: Time,
    pub lives: BTreeMap<LifeId, Life>,
    pub generations: BTreeMap<GenerationId, Generation>,
    pub segments: BTreeMap<SegmentId, Segment>,
    pub log: Log,
    pub plan: Option<Plan>,
    /// The authority on what each table of the cold tier is.
    pub committed: BTreeMap<TableName, Table>,
    /// Objects of the bucket that no committed table needs any more, to be deleted when nothing else needs them.
    pub garbage: BTreeSet<FileKey>,
    pub bucket: Bucket,
    /// The source of every number that names something.
    pub named: u64,
}

#[derive(Clone, Debug)]
pub struct Life {
    pub collection: Collection,
    pub dropped: bool,
}

/// Row form: a table of rows.
#[derive(Clone, Debug)]
pub struct Generation {
    pub life: LifeId,
    pub closed: bool,
    pub rows: BTreeMap<Id, Version>,
}

/// Segment form: rows that never change, and a bitmap of those that are deleted.
#[derive(Clone, Debug)]
pub struct Segment {
    pub life: LifeId,
    pub month: Month,
    /// In order. A stub keeps them.
    pub ids: Vec<Id>,
    /// A version for each id; none once evicted.
    pub bytes: Option<Vec<Version>>,
    pub deleted: BTreeSet<usize>,
    /// Where a committed cold file has these rows.
    pub place: Option<Place>,
    /// The segments that reads do not see because of this one.
    pub supersedes: BTreeSet<SegmentId>,
}

impl Segment {
    /// Whether every row is deleted.
    pub fn spent(&self) -> bool {
        self.deleted.len() == self.ids.len()
    }

    pub fn live_positions(&self) -> impl Iterator<Item = (usize, Id)> {
        self.ids.iter().copied().enumerate().filter(|(position, _)| !self.deleted.contains(position))
    }

    /// The rows as they are in the object itself; an evicted segment has none.
    pub fn own_rows(&self) -> Option<Vec<Row>> {
        let versions = self.bytes.as_ref()?;
        Some(self.ids.iter().zip(versions).map(|(&id, &version)| Row { id, version }).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: FileKey,
    pub first: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The last sequence given out.
    pub head: Sequence,
    /// Everything up to here has been trimmed.
    pub trimmed: Sequence,
    pub records: Vec<Record>,
}

/// One transaction of the log.
#[derive(Clone, Debug)]
pub struct Record {
    pub time: Time,
    pub collection: Collection,
    pub first: Sequence,
    pub last: Sequence,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Changes(Vec<LogChange>),
    /// A deletion for each document that the life held, in the order of ids.
    Drop(LifeId),
}

#[derive(Clone, Debug)]
pub struct LogChange {
    pub id: Id,
    pub before: Option<Version>,
    pub after: After,
}

#[derive(Clone, Debug)]
pub enum After {
    Gone,
    Inline(Version),
    /// The row of this id, whatever the segment's bitmap says.
    InSegment(SegmentId),
}

/// What an archiving is to write, decided in one transaction.
#[derive(Clone, Debug)]
pub struct Plan {
    pub attempt: u64,
    /// What the archiving before it reached.
    pub after: Sequence,
    pub sequence: Sequence,
    pub segments: Vec<Planned>,
    /// The data files of the committed tables, with their numbers of rows.
    pub files: BTreeMap<FileKey, usize>,
}

#[derive(Clone, Debug)]
pub struct Planned {
    pub collection: Collection,
    pub month: Month,
    pub segment: SegmentId,
    pub deleted: BTreeSet<usize>,
    pub place: Option<Place>,
}

/// One state of one table: what its metadata lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub sequence: Sequence,
    /// With their numbers of rows.
    pub data: BTreeMap<FileKey, usize>,
    pub tails: BTreeSet<FileKey>,
    pub deletes: Option<FileKey>,
}

/// A table before its first commit.
static EMPTY: Table = Table { sequence: 0, data: BTreeMap::new(), tails: BTreeSet::new(), deletes: None };

impl Table {
    pub fn files(&self) -> impl Iterator<Item = FileKey> {
        self.data.keys().copied().chain(self.tails.iter().copied()).chain(self.deletes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    Rows(Vec<Row>),
    Deletes(BTreeMap<FileKey, BTreeSet<usize>>),
    Events(Vec<Event>),
}

#[derive(Clone, Debug, Default)]
pub struct Bucket {
    pub files: BTreeMap<FileKey, Contents>,
    /// What a foreign reader finds as the present state of a table.
    pub published: BTreeMap<TableName, Table>,
}

impl State {
    pub fn name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    pub fn segment(&self, id: SegmentId) -> Found<&Segment> {
        self.segments.get(&id).map_or_else(|| missing(format!("{id:?} is not there")), Ok)
    }

    pub fn committed(&self, table: TableName) -> &Table {
        self.committed.get(&table).unwrap_or(&EMPTY)
    }

    pub fn published(&self, table: TableName) -> &Table {
        self.bucket.published.get(&table).unwrap_or(&EMPTY)
    }

    /// What every table of the cold tier has been committed up to.
    pub fn archived(&self) -> Sequence {
        self.committed(TableName::Changes).sequence
    }
}
