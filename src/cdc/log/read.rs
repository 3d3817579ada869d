//! Reading the log: whole records, a bounded number of bytes at a time, and the rows that they refer to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::{ChangeLog, TABLE_PREFIX, corrupt};
use crate::cdc::record::{Body, LoggedEvent, Record, RowsReference};
use crate::error::Result;
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::ports::{SqlParam, expect_blob, expect_integer};
use crate::types::{CollectionId, Document, Operation, Sequence};

/// Bytes of records that a reader is given first.
const READ_FIRST_BYTES: usize = 256 * 1024;
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

/// Rows kept elsewhere that the log refers to.
pub trait ReferencedRows {
    /// The next rows in the order of ids, bounded in number and bytes; empty at the end.
    fn page(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>>;
}

impl ChangeLog {
    /// Visits the events after `after` and up to `through` in order, until the visitor breaks. Without `rows`, the
    /// events of rows that the log refers to are passed over.
    pub fn read(
        &self,
        after: Sequence,
        through: Sequence,
        rows: Option<&dyn ReferencedRows>,
        visit: &mut dyn FnMut(LoggedEvent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut cursor = Cursor { after, through, rows, visit };
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

struct Cursor<'c> {
    after: Sequence,
    through: Sequence,
    rows: Option<&'c dyn ReferencedRows>,
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
            Body::Rows { reference, ref collection } => self.referenced(&record, reference, collection),
        }
    }

    fn referenced(
        &mut self,
        record: &Record<'_>,
        reference: RowsReference,
        collection: &Rc<str>,
    ) -> Result<ControlFlow<()>> {
        let Some(rows) = self.rows else { return Ok(ControlFlow::Continue(())) };
        let skip = self.after.saturating_sub(record.first).saturating_add(1).max(0);
        let end = record.first.saturating_add(i64::from(record.count));
        let mut sequence = record.first.saturating_add(skip);
        let mut page = rows.page(reference, RowsPosition::Skip(skip))?;
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
            page = rows.page(reference, RowsPosition::After(&last_id))?;
        }
        if sequence == end {
            return Ok(ControlFlow::Continue(()));
        }
        Err(corrupt(format!("expected the rows of a dropped generation to reach sequence {end}, got {sequence}")))
    }
}
