//! Documents and the events that change them.

use uuid::Uuid;

/// The position of an event in an object's change log: 1, 2, 3, ... without gaps. 0 is "before the first".
///
/// Signed, because SQLite's and Iceberg's integers are, so that no conversion can lose anything.
pub type Sequence = i64;

/// Milliseconds since the Unix epoch, UTC.
pub type Timestamp = i64;

/// The number by which a collection is known inside an object; its tables are named by it, never by its name.
pub type CollectionId = i64;

/// What an event did to its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The document did not exist before.
    Insert,
    /// It existed and has a new version.
    Update,
    /// It exists no longer.
    Delete,
}

impl Operation {
    /// The name used by the change feed and the change-log table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// One version of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Unique in its collection.
    pub id: String,
    /// The version: the sequence of the event that made it.
    pub sequence: Sequence,
    /// When that event was committed.
    pub timestamp: Timestamp,
    /// The document as JSON text, one line, `id` included.
    pub text: String,
}

/// Who or what caused a change; one for all events of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeContext {
    /// Where the change came from, when not from a client (such as `snapshot:<id>`).
    pub source: Option<String>,
    /// The caller's own id for following a change through systems.
    pub correlation_id: Option<String>,
    /// The access that it was, for the access log: no reader of events is told.
    pub access: Option<Access>,
}

/// Who did what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who; `None` where nobody has to say.
    pub principal: Option<String>,
    /// What: a method and the name of a route.
    pub action: String,
}

/// One change of one document, as the change feed tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdcEvent {
    /// Derived from the object's name and the sequence: the same event always has the same id.
    pub id: Uuid,
    /// What was done.
    pub operation: Operation,
    /// The collection's name.
    pub collection: String,
    /// The document's id.
    pub document_id: String,
    /// Commit time in Unix milliseconds; never decreases along the sequence.
    pub timestamp: Timestamp,
    /// Position in the object's log.
    pub sequence: Sequence,
    /// JSON text of the version before; `None` for an insert.
    pub before: Option<String>,
    /// JSON text of the version after; `None` for a delete.
    pub after: Option<String>,
    /// The top-level fields that an update changed, removed or added.
    pub changed_fields: Option<Vec<String>>,
    /// Who caused it.
    pub context: ChangeContext,
}
