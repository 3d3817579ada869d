//! The words that every part of the model uses: versions, events, names of things, thresholds.
//!
//! A version is named by the sequence of the event that made it, so no two versions share a name.

/// The number of an event in the log; the name of the version that the event made.
pub type Sequence = u64;
pub type Time = u64;
/// The month of commit time, the partition of every table.
pub type Month = u64;
pub type Collection = u8;
pub type Id = u8;

pub const COLLECTIONS: [Collection; 2] = [0, 1];
pub const MONTH: Time = 10;
/// An open generation of rows is closed when it holds this many.
pub const GENERATION_ROWS: usize = 2;
/// One more closed generation than this, and the oldest is sealed in the transaction that closed one.
pub const CLOSED_MAX: usize = 4;
/// A batch that leaves at least this many documents becomes a segment at once.
pub const DIRECT_MIN: usize = 3;
/// Maintenance merges the segments of a month when there are this many.
pub const MERGE_MIN: usize = 3;

pub fn month_of(time: Time) -> Month {
    time / MONTH
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub sequence: Sequence,
    pub time: Time,
    pub value: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: Id,
    pub version: Version,
}

/// One change of one document as a consumer sees it, with complete images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub sequence: Sequence,
    pub time: Time,
    pub collection: Collection,
    pub id: Id,
    pub before: Option<Version>,
    pub after: Option<Version>,
}

/// What a client asks for; deleting an absent document changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Id, u8),
    Delete(Id),
}

impl Change {
    pub fn id(self) -> Id {
        match self {
            Change::Put(id, _) | Change::Delete(id) => id,
        }
    }
}

/// One life of a collection, from its first document to its drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenerationId(pub u64);

/// Never used twice: a position in a segment names the same row for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    Documents(Collection),
    Changes,
}

pub const TABLES: [TableName; 3] = [TableName::Documents(0), TableName::Documents(1), TableName::Changes];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The rows of the segments that a plan takes from one month, in the plan's order.
    Data(Month),
    /// The rows that were in row form at the plan's sequence.
    Tail(Month),
    /// The position deletes of all data files of the table.
    Deletes,
    /// The events of one plan.
    Changes,
}

/// The key of an object in the bucket. It contains the attempt, so no two plans share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileKey {
    pub attempt: u64,
    pub table: TableName,
    pub part: Part,
}

/// Something that a record, a plan or a table refers to is not there.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

pub type Found<T> = Result<T, Missing>;

pub fn missing<T>(what: String) -> Found<T> {
    Err(Missing(what))
}
