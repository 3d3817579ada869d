//! Reading the log: whole records, a bounded number of bytes at a time, and the rows that they refer to.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;

use super::{ChangeLog, TABLE_PREFIX, corrupt};
use crate::cdc::record::{Body, Image, LoggedEvent, Record, RowsReference, SegmentReference};
use crate::cdc::segment_events::{After, InlineEvent, SegmentEvents};
use crate::error::Result;
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::ports::{SqlParam, SqlValue, expect_blob, expect_integer};
use crate::types::{ChangeContext, CollectionId, Document, Operation, Sequence, Timestamp};

/// Bytes of records that a reader is given first.
const READ_FIRST_BYTES: usize = 256 * 1024;
/// Documents of a segment that a reader is given first, and at most, at a time.
const VERSIONS_FIRST: usize = 1_024;
const VERSIONS_MAX: usize = 8_192;
/// Rows whose sizes are looked up before the rows themselves are read.
const SIZES_PAGE_ROWS: i64 = 500;

/// A record's last sequence and its bytes.
type StoredRecord = (Sequence, Vec<u8>);

/// Where to go on reading rows that the log refers to.
#[derive(Clone, Copy, Debug)]
pub enum RowsPosition<'a> {
    /// After so many rows.
    Skip(i64),
    /// After the row with this id.
    After(&'a str),
}

/// Documents kept elsewhere that the log refers to.
pub trait Referenced {
    /// The next documents of a dropped collection in the order of ids, bounded in number and bytes; empty at the end.
    fn dropped(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>>;

    /// Told of a dropped collection whose events are passed over.
    fn passed_over(&self, _rows: RowsReference) {}

    /// The first documents of a segment whose versions are from `from` to `through`, in the order of versions, whether
    /// they are current or not; at most `limit`, and bounded in bytes but for one; empty when there are none.
    fn versions(
        &self,
        segment: SegmentReference,
        from: Sequence,
        through: Sequence,
        limit: usize,
    ) -> Result<Vec<Document>>;
}

/// Which references a reader follows.
#[derive(Clone, Copy)]
pub struct References<'r> {
    /// Where the documents are.
    pub documents: &'r dyn Referenced,
    /// Whether the events of dropped collections are wanted; otherwise they are passed over.
    pub dropped: bool,
}

impl ChangeLog {
    /// Visits the events after `after` and up to `through` in order, until the visitor breaks.
    pub fn read(
        &self,
        after: Sequence,
        through: Sequence,
        references: References<'_>,
        visit: &mut dyn FnMut(LoggedEvent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut cursor = Cursor { after, through, references, ended: false, visit };
        // Most readers want a page of events; one that goes on is given more at a time.
        let mut budget = READ_FIRST_BYTES;
        for generation in self.state()?.generations {
            while let Some(records) = self.page(generation, cursor.after, budget)? {
                budget = budget.saturating_mul(2).min(SCAN_PAGE_MAX_BYTES);
                for (last, bytes) in records {
                    if cursor.record(&bytes)?.is_break() || last >= through {
                        return Ok(());
                    }
                    cursor.after = last;
                }
            }
        }
        Ok(())
    }

    /// Whether what is remembered is what is stored: not so once another instance of the object has logged something.
    pub fn is_current(&self) -> Result<bool> {
        let state = self.state()?;
        let Some(open) = state.generations.last() else { return Ok(true) };
        let last = self.sql.query(&format!("SELECT max(last) FROM {TABLE_PREFIX}{open}"), &[])?;
        Ok(match last.first().and_then(|row| row.first()) {
            Some(SqlValue::Integer(last)) => *last == state.last_sequence,
            _ => true,
        })
    }

    /// The collections that the events after `after` and up to `through` belong to.
    pub fn collections_between(&self, after: Sequence, through: Sequence) -> Result<BTreeSet<CollectionId>> {
        let mut collections = BTreeSet::new();
        for generation in self.state()?.generations {
            let mut position = after;
            while let Some(records) = self.page(generation, position, SCAN_PAGE_MAX_BYTES)? {
                for (last, bytes) in records {
                    let record = Record::read(&bytes)?;
                    if record.first > through {
                        return Ok(collections);
                    }
                    collections.extend(record.collection_ids());
                    position = last;
                }
            }
        }
        Ok(collections)
    }

    /// The next whole records of a generation, at least one and otherwise `budget` bytes at most; `None` at its end.
    pub(super) fn page(&self, generation: i64, after: Sequence, budget: usize) -> Result<Option<Vec<StoredRecord>>> {
        let sizes = format!(
            "SELECT last, octet_length(data) FROM {TABLE_PREFIX}{generation} WHERE last > ? ORDER BY last, part LIMIT {SIZES_PAGE_ROWS}"
        );
        let mut through = None;
        let mut total = 0usize;
        for row in self.sql.query(&sizes, &[SqlParam::Integer(after)])? {
            let last = expect_integer(row.first())?;
            total = total.saturating_add(usize::try_from(expect_integer(row.get(1))?).unwrap_or(usize::MAX));
            if through.is_some_and(|through| through != last) && total > budget {
                break;
            }
            through = Some(last);
        }
        let Some(through) = through else { return Ok(None) };
        let statement = format!(
            "SELECT last, data FROM {TABLE_PREFIX}{generation} WHERE last > ? AND last <= ? ORDER BY last, part"
        );
        let mut records: Vec<StoredRecord> = Vec::new();
        for row in self.sql.query(&statement, &[SqlParam::Integer(after), SqlParam::Integer(through)])? {
            let last = expect_integer(row.first())?;
            let mut data = expect_blob(row.into_iter().nth(1))?;
            match records.last_mut() {
                Some((known, record)) if *known == last => record.append(&mut data),
                _ => records.push((last, data)),
            }
        }
        Ok(Some(records))
    }
}

/// What the events of one batch have in common.
struct Origin {
    timestamp: Timestamp,
    collection_id: CollectionId,
    collection: Rc<str>,
    context: Rc<ChangeContext>,
}

impl Origin {
    fn event(
        &self,
        sequence: Sequence,
        operation: Operation,
        document_id: String,
        before: Option<Image>,
        after: Option<String>,
    ) -> LoggedEvent {
        LoggedEvent {
            sequence,
            timestamp: self.timestamp,
            operation,
            collection_id: self.collection_id,
            collection: Rc::clone(&self.collection),
            document_id,
            before,
            after,
            context: Rc::clone(&self.context),
        }
    }

    fn told(&self, event: InlineEvent, stored: &mut Stored<'_>) -> Result<LoggedEvent> {
        let operation = event.operation();
        let after = match event.after {
            After::InSegment => Some(stored.take(event.sequence)?.text),
            After::Text(text) => Some(text.to_string()),
            After::Deleted => None,
        };
        Ok(self.event(event.sequence, operation, event.document_id, event.before, after))
    }
}

/// The documents of a segment, in the order of their versions.
struct Stored<'s> {
    documents: VecDeque<Document>,
    /// How many are brought next.
    limit: usize,
    reference: SegmentReference,
    through: Sequence,
    source: &'s dyn Referenced,
}

impl Stored<'_> {
    /// The document of a version; the versions asked for ascend.
    fn take(&mut self, sequence: Sequence) -> Result<Document> {
        if self.documents.is_empty() {
            self.documents = self.source.versions(self.reference, sequence, self.through, self.limit)?.into();
            self.limit = self.limit.saturating_mul(2).min(VERSIONS_MAX);
        }
        match self.documents.pop_front() {
            Some(document) if document.sequence == sequence => Ok(document),
            other => Err(corrupt(format!(
                "expected version {sequence} in segment {}, got {:?}",
                self.reference.segment,
                other.map(|document| document.sequence)
            ))),
        }
    }
}

struct Cursor<'c> {
    after: Sequence,
    through: Sequence,
    references: References<'c>,
    /// Whether the visitor has had enough.
    ended: bool,
    visit: &'c mut dyn FnMut(LoggedEvent) -> Result<ControlFlow<()>>,
}

impl Cursor<'_> {
    fn record(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>> {
        let record = Record::read(bytes)?;
        match record.body {
            Body::Events(mut events) => {
                while let Some(event) = events.next_event(self.after)? {
                    if event.sequence > self.through || (self.visit)(event)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Body::Rows { reference, ref collection } => self.dropped(&record, reference, collection),
            Body::Segment { reference, collection, inline } => {
                let origin = Origin {
                    timestamp: record.timestamp,
                    collection_id: reference.collection,
                    collection,
                    context: record.context,
                };
                let end = record.first.saturating_add(i64::from(record.count)).saturating_sub(1);
                let from = record.first.max(self.after.saturating_add(1));
                self.segment(&origin, reference, inline, (from, end.min(self.through)))?;
                let all = end <= self.through;
                Ok(if all && !self.ended { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            }
        }
    }

    /// Visits the events of a batch from the first to the last of these sequences.
    fn segment(
        &mut self,
        origin: &Origin,
        reference: SegmentReference,
        mut inline: SegmentEvents<'_>,
        (from, through): (Sequence, Sequence),
    ) -> Result<()> {
        let mut stored = Stored {
            documents: VecDeque::new(),
            limit: VERSIONS_FIRST,
            reference,
            through,
            source: self.references.documents,
        };
        let mut told = inline.next_event()?;
        let mut sequence = from;
        while sequence <= through && !self.ended {
            while told.as_ref().is_some_and(|event| event.sequence < sequence) {
                told = inline.next_event()?;
            }
            let event = match told.take_if(|event| event.sequence == sequence) {
                Some(event) => {
                    told = inline.next_event()?;
                    origin.told(event, &mut stored)?
                }
                None => {
                    let document = stored.take(sequence)?;
                    origin.event(sequence, Operation::Insert, document.id, None, Some(document.text))
                }
            };
            self.ended = (self.visit)(event)?.is_break();
            sequence = sequence.saturating_add(1);
        }
        Ok(())
    }

    fn dropped(
        &mut self,
        record: &Record<'_>,
        reference: RowsReference,
        collection: &Rc<str>,
    ) -> Result<ControlFlow<()>> {
        if !self.references.dropped {
            self.references.documents.passed_over(reference);
            return Ok(ControlFlow::Continue(()));
        }
        let rows = self.references.documents;
        let skip = self.after.saturating_sub(record.first).saturating_add(1).max(0);
        let end = record.first.saturating_add(i64::from(record.count));
        let mut sequence = record.first.saturating_add(skip);
        let mut page = rows.dropped(reference, RowsPosition::Skip(skip))?;
        while let Some(last_id) = page.last().map(|row| row.id.clone()) {
            for row in page {
                if sequence > self.through {
                    return Ok(ControlFlow::Break(()));
                }
                let event = LoggedEvent {
                    sequence,
                    timestamp: record.timestamp,
                    operation: Operation::Delete,
                    collection_id: reference.collection,
                    collection: Rc::clone(collection),
                    document_id: row.id.clone(),
                    before: Some(row.into()),
                    after: None,
                    context: Rc::clone(&record.context),
                };
                if (self.visit)(event)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                sequence = sequence.saturating_add(1);
            }
            page = rows.dropped(reference, RowsPosition::After(&last_id))?;
        }
        if sequence == end {
            return Ok(ControlFlow::Continue(()));
        }
        Err(corrupt(format!("expected the rows of a dropped generation to reach sequence {end}, got {sequence}")))
    }
}
