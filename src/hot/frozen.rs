//! A collection as it was at a sequence, read page by page while writes go on.
//!
//! The documents are read as they are now, and changes after the sequence are undone with the before-images of the change
//! log. Every reading at the same sequence gives the same documents in the same order, however often it is
//! interrupted, so that what is staged from it can be staged again.
//!
//! With a bound only those documents are read that were not in a segment with a lower number: what a plan has still to
//! archive beside the segments that it names.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::{HotStore, LifeKey};
use crate::cdc::{Referenced, References, RowsPosition, RowsReference, SegmentReference};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{CollectionId, Document, Sequence, StorageTier};

/// Bytes of undone changes that are kept in memory.
const OVERLAY_MAX_BYTES: usize = 24 * 1024 * 1024;

/// The documents of a collection at a sequence, in the order of ids.
pub struct FrozenRows<'s> {
    store: &'s HotStore,
    collection: CollectionId,
    /// The life current at the sequence; `None` when the collection did not exist then.
    life: Option<LifeKey>,
    at: Sequence,
    /// Documents of segments with numbers below it are left out.
    bound: i64,
    cursor: Option<String>,
    done: bool,
    /// What documents changed since were at the sequence; `None` for those that did not exist.
    overlay: BTreeMap<String, Option<Document>>,
    overlay_bytes: usize,
    /// The ids whose images were taken since it was looked up where they are.
    unplaced: Vec<String>,
    overlay_through: Sequence,
    /// Whether the life was dropped since: what comes after that is of another.
    dropped: Cell<bool>,
}

/// What the log refers to, for one who undoes what happened to one life.
struct UntilDropped<'f> {
    store: &'f HotStore,
    life: LifeKey,
    dropped: &'f Cell<bool>,
}

impl Referenced for UntilDropped<'_> {
    fn dropped(&self, rows: RowsReference, position: RowsPosition<'_>) -> Result<Vec<Document>> {
        self.store.dropped(rows, position)
    }

    fn passed_over(&self, rows: RowsReference) {
        if (LifeKey { collection: rows.collection, number: rows.life }) == self.life {
            self.dropped.set(true);
        }
    }

    fn versions(
        &self,
        segment: SegmentReference,
        from: Sequence,
        through: Sequence,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.store.versions(segment, from, through, limit)
    }
}

impl<'s> FrozenRows<'s> {
    /// The collection as it was right after the event `at`. The log must still hold all events after it.
    pub fn new(store: &'s HotStore, collection: CollectionId, life: Option<LifeKey>, at: Sequence) -> Self {
        Self {
            store,
            collection,
            life,
            at,
            bound: i64::MIN,
            cursor: None,
            done: life.is_none(),
            overlay: BTreeMap::new(),
            overlay_bytes: 0,
            unplaced: Vec::new(),
            overlay_through: at,
            dropped: Cell::new(false),
        }
    }

    /// Leaves out what was in a segment with a number below `bound`. All these segments must still be there.
    pub fn without_segments_before(mut self, bound: i64) -> Self {
        self.bound = bound;
        self
    }

    /// Of a life that was dropped already at the sequence: nothing of it changes, and the log tells of others.
    pub fn of_dropped(self) -> Self {
        self.dropped.set(true);
        self
    }

    /// The next documents, bounded in number and bytes; `None` at the end. Between two calls anything may be written.
    pub fn next_page(&mut self) -> Result<Option<Vec<Document>>> {
        let Some(life) = self.life else { return Ok(None) };
        while !self.done {
            self.store.check_alone()?;
            self.check_log()?;
            self.undo_newer(life)?;
            self.forget_planned(life)?;
            let rows = self.store.page_without(life, self.bound, self.cursor.as_deref())?;
            let end = rows.last().map(|row| row.id.clone());
            let page = self.merge(rows, end.as_deref())?;
            self.done = end.is_none();
            self.cursor = end;
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Without the events after the sequence, and the drop of the life, it can not be told what was there.
    fn check_log(&self) -> Result<()> {
        let first = self.store.log().first_sequence()?;
        if first <= self.at.saturating_add(1) {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Hot,
            "read frozen rows",
            format!(
                "expected the change log to have all events after {}, got those from {first} on; try again",
                self.at
            ),
        ))
    }

    /// Takes the before-images of all changes that happened since the last look.
    fn undo_newer(&mut self, life: LifeKey) -> Result<()> {
        let through = self.store.log().last_sequence()?;
        let (collection, overlay, bytes) = (self.collection, &mut self.overlay, &mut self.overlay_bytes);
        let (bounded, unplaced) = (self.bound > i64::MIN, &mut self.unplaced);
        // The documents of a collection that was dropped since are still where they were.
        let dropped = &self.dropped;
        let documents = UntilDropped { store: self.store, life, dropped };
        let references = References { documents: &documents, dropped: false };
        self.store.log().read(self.overlay_through, through, references, &mut |event| {
            if event.collection_id == collection && !dropped.get() && !overlay.contains_key(&event.document_id) {
                let id = event.document_id;
                *bytes = bytes.saturating_add(id.len());
                let before = event.before.map(|image| {
                    *bytes = bytes.saturating_add(image.text.len());
                    Document { id: id.clone(), sequence: image.sequence, timestamp: image.timestamp, text: image.text }
                });
                if bounded && before.is_some() {
                    unplaced.push(id.clone());
                }
                overlay.insert(id, before);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.overlay_through = through;
        if self.overlay_bytes <= OVERLAY_MAX_BYTES {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::Conflict,
            StorageTier::Hot,
            "read frozen rows",
            format!("expected at most {OVERLAY_MAX_BYTES} bytes to be changed while an archive is made, got more"),
        ))
    }

    /// Finds out which of the images taken are of documents in segments that are left out.
    fn forget_planned(&mut self, life: LifeKey) -> Result<()> {
        for id in std::mem::take(&mut self.unplaced) {
            if let Some(before) = self.overlay.get_mut(&id)
                && let Some(document) = before
                && self.store.is_in_planned(life, self.bound, &id, document.sequence)?
            {
                self.overlay_bytes = self.overlay_bytes.saturating_sub(document.text.len());
                *before = None;
            }
        }
        Ok(())
    }

    /// The rows up to `end` (all that are left without one) with newer versions replaced by those at the sequence.
    fn merge(&self, rows: Vec<Document>, end: Option<&str>) -> Result<Vec<Document>> {
        let lower = self.cursor.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let upper = end.map_or(Bound::Unbounded, Bound::Included);
        let mut changed = self.overlay.range::<str, _>((lower, upper)).peekable();
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            while let Some((_, before)) = changed.next_if(|(id, _)| **id < row.id) {
                page.extend(before.clone());
            }
            match changed.next_if(|(id, _)| **id == row.id) {
                Some((_, before)) => page.extend(before.clone()),
                None if row.sequence <= self.at => page.push(row),
                None => return Err(self.unexplained(&row)),
            }
        }
        page.extend(changed.filter_map(|(_, before)| before.clone()));
        Ok(page)
    }

    fn unexplained(&self, row: &Document) -> StorageError {
        StorageError::new(
            ErrorKind::Corrupt,
            StorageTier::Hot,
            "read frozen rows",
            format!(
                "expected the change log to tell of version {} of a document after sequence {}, got no such event",
                row.sequence, self.at
            ),
        )
    }
}
