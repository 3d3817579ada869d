//! Evicted segments: their rows are in a cold file, a stub of them stays.
//!
//! - A stub has the segment's head, its ids, its deleted rows, and the *place* of its rows, which only those who evict
//!   understand. So it is known here which documents there are, and which a segment cannot have.
//! - Who needs a document of an evicted segment gets an error caused by [`NeedsCold`]. The documents are then fetched and
//!   lent to the store, and the work is done again. A row of a segment never changes, so a lent document is right for ever;
//!   whether it is current is looked up in the stub each time.
//! - What the log or a plan on its way refers to is not evicted.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use lru::LruCache;

use super::HotStore;
use super::directory::{LifeKey, Segment};
use super::lookup::{Located, Place};
use super::write::{TRANSACTION_MAX_BYTES, Write, too_many_images};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Document, StorageTier, sorting};
use crate::vortex::Bitmap;

/// Bytes of lent documents that are kept, at most: what one transaction may replace, and some more.
const LENT_MAX_BYTES: usize = 72 * 1024 * 1024;

/// And of those that are kept for later when no work is waiting for them.
const LENT_IDLE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Rows of an evicted segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvictedRows {
    /// The segment's number.
    pub segment: i64,
    /// Where its rows are, as it was told when it was evicted.
    pub place: String,
    /// Which rows, ascending.
    pub rows: Vec<usize>,
}

impl EvictedRows {
    /// The current rows of a segment; `None` when it is not evicted.
    pub fn live(segment: &Segment) -> Option<Self> {
        let place = segment.place.as_deref()?.to_owned();
        Some(Self { segment: segment.number, place, rows: segment.live().positions().collect() })
    }
}

/// The documents that are needed of evicted segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedsCold(pub Vec<EvictedRows>);

impl fmt::Display for NeedsCold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.0.iter().map(|evicted| evicted.rows.len()).sum();
        write!(f, "{rows} documents of {} evicted segments", self.0.len())
    }
}

impl std::error::Error for NeedsCold {}

/// Documents of evicted segments, by segment and row. The least recently used go first.
pub(super) struct Lent {
    documents: LruCache<(i64, usize), Document>,
    bytes: Cell<usize>,
}

impl Default for Lent {
    fn default() -> Self {
        Self { documents: LruCache::unbounded(), bytes: Cell::new(0) }
    }
}

impl Lent {
    fn insert(&mut self, segment: i64, row: usize, document: Document) {
        self.bytes.set(self.bytes.get().saturating_add(size(&document)));
        if let Some((_, before)) = self.documents.push((segment, row), document) {
            self.bytes.set(self.bytes.get().saturating_sub(size(&before)));
        }
        self.shrink(LENT_MAX_BYTES);
    }

    fn shrink(&mut self, most: usize) {
        while self.bytes.get() > most
            && let Some((_, oldest)) = self.documents.pop_lru()
        {
            self.bytes.set(self.bytes.get().saturating_sub(size(&oldest)));
        }
    }
}

fn size(document: &Document) -> usize {
    document.text.len().saturating_add(document.id.len()).saturating_add(size_of::<Document>())
}

/// A current document of an evicted segment.
struct EvictedDocument {
    collection: Rc<str>,
    id: String,
    segment: Rc<Segment>,
    row: usize,
    /// About how many its text has.
    bytes: usize,
}

/// What several evicted segments lack, put together.
#[derive(Default)]
pub(super) struct Missing(Vec<EvictedRows>);

impl Missing {
    /// Takes documents, or notes what is missing of them.
    pub(super) fn take(&mut self, found: Result<Vec<Document>>) -> Result<Vec<Document>> {
        match found {
            Err(error) => match error.cause_as::<NeedsCold>() {
                Some(NeedsCold(rows)) => {
                    self.0.extend(rows.iter().cloned());
                    Ok(Vec::new())
                }
                None => Err(error),
            },
            found => found,
        }
    }

    /// The error that says what is missing, if anything is.
    pub(super) fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(needs_cold(self.0)) }
    }
}

fn needs_cold(rows: Vec<EvictedRows>) -> StorageError {
    let needed = NeedsCold(rows);
    let message = format!("expected the bucket to have given {needed}, got them not; try again later");
    StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "read evicted documents", message).caused_by(needed)
}

impl HotStore {
    /// Whether there are evicted segments.
    pub fn has_evicted(&self) -> Result<bool> {
        self.directory.has_stubs()
    }

    /// Fails with [`NeedsCold`] when documents of evicted segments that these mutations replace or delete are not lent.
    pub fn check_recalled(&self, writes: &[Write]) -> Result<()> {
        let (mut rows, mut bytes) = (BTreeMap::<i64, EvictedRows>::new(), 0_usize);
        for evicted in self.evicted_of(writes)? {
            bytes = bytes.saturating_add(evicted.bytes);
            let segment = evicted.segment.number;
            if self.lent.borrow_mut().documents.get(&(segment, evicted.row)).is_none() {
                let place = evicted.segment.place.as_deref().unwrap_or_default();
                let missing = || EvictedRows { segment, place: place.to_owned(), rows: Vec::new() };
                rows.entry(segment).or_insert_with(missing).rows.push(evicted.row);
            }
        }
        if bytes > TRANSACTION_MAX_BYTES {
            return Err(too_many_images());
        }
        rows.values_mut().for_each(|evicted| evicted.rows.sort_unstable());
        Missing(rows.into_values().collect()).check()
    }

    /// About how many bytes the evicted documents have that these mutations replace or delete.
    pub fn evicted_bytes(&self, writes: &[Write]) -> Result<usize> {
        let evicted = self.evicted_of(writes)?;
        Ok(evicted.iter().map(|evicted| evicted.bytes).fold(0, usize::saturating_add))
    }

    /// The evicted documents that these mutations replace or delete, each once.
    fn evicted_of(&self, writes: &[Write]) -> Result<Vec<EvictedDocument>> {
        let catalog = self.catalog()?;
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for write in writes.iter().filter(|write| !write.is_blind()) {
            ids.entry(&write.collection).or_default().insert(write.mutation.id());
        }
        let mut evicted = Vec::new();
        for (collection, ids) in ids {
            let Some(collection) = catalog.live(collection) else { continue };
            let located = self.locate(collection.life(), &ids.into_iter().collect::<Vec<_>>())?;
            for (id, Located { place, bytes }) in located {
                if let Place::Segment(segment, row) = place
                    && segment.place.is_some()
                {
                    evicted.push(EvictedDocument { collection: Rc::clone(&collection.name), id, segment, row, bytes });
                }
            }
        }
        Ok(evicted)
    }

    /// Keeps documents of an evicted segment for those who need them next.
    pub fn lend(&self, segment: i64, documents: impl IntoIterator<Item = (usize, Document)>) {
        let mut lent = self.lent.borrow_mut();
        for (row, document) in documents {
            lent.insert(segment, row, document);
        }
    }

    /// Lends the evicted documents that these mutations replace or delete, where `find` has them by collection and id.
    pub fn lend_replaced(&self, writes: &[Write], find: &dyn Fn(&str, &str) -> Result<Option<Document>>) -> Result<()> {
        for evicted in self.evicted_of(writes)? {
            if let Some(document) = find(&evicted.collection, &evicted.id)? {
                self.lend(evicted.segment.number, [(evicted.row, document)]);
            }
        }
        Ok(())
    }

    /// Takes back what was lent but for some: the work that needed it is done.
    pub fn take_back_lent(&self) {
        self.lent.borrow_mut().shrink(LENT_IDLE_MAX_BYTES);
    }

    /// Documents of an evicted segment that were lent.
    pub(super) fn lent_documents(&self, segment: &Segment, place: &str, rows: &Bitmap) -> Result<Vec<Document>> {
        let mut lent = self.lent.borrow_mut();
        let (mut documents, mut missing) = (Vec::new(), Vec::new());
        for row in rows.positions() {
            match lent.documents.get(&(segment.number, row)) {
                Some(document) => documents.push(document.clone()),
                None => missing.push(row),
            }
        }
        if missing.is_empty() {
            return Ok(documents);
        }
        Err(needs_cold(vec![EvictedRows { segment: segment.number, place: place.to_owned(), rows: missing }]))
    }

    /// The segments of collections that exist which could be evicted: visible ones whose bytes are here, and to which
    /// neither the log nor a plan refers. Those that were used longest ago come first.
    pub fn evictable(&self) -> Result<Vec<(LifeKey, Rc<Segment>)>> {
        let (first, planned) = (self.log.first_sequence()?, self.planned_before()?);
        let mut found = Vec::new();
        for collection in self.catalog()?.all_live() {
            let life = collection.life();
            let forms = self.directory.forms(life)?;
            let here = forms.segments.iter().filter(|segment| segment.place.is_none());
            let free = here.filter(|segment| {
                !segment.is_pinned(first) && segment.number >= planned && !self.maintenance.reads(segment.number)
            });
            found.extend(free.map(|segment| (life, Rc::clone(segment))));
        }
        sorting::sort_by_key(&mut found, |(_, segment)| (self.directory.last_used(segment.number), segment.number));
        Ok(found)
    }

    /// Evicts a segment whose rows are at `place`; `false` when it can not be any more.
    pub fn evict(&self, life: LifeKey, number: i64, place: &str) -> Result<bool> {
        let is_free = self.evictable()?.iter().any(|(known, segment)| *known == life && segment.number == number);
        if is_free {
            self.transaction(|| self.directory.evict(life, number, place))?;
        }
        Ok(is_free)
    }

    /// The places of all evicted segments with a current row, or that are held, also of dropped collections, and of those
    /// that are read where they were before.
    pub fn evicted_places(&self) -> Result<Vec<Rc<str>>> {
        let mut places = self.holds.places();
        for life in self.directory.lives()? {
            let forms = self.directory.forms(life)?;
            let all = forms.segments.iter().chain(forms.superseded.iter());
            let needed = all.filter(|segment| segment.live_rows() > 0 || self.holds.has(segment.number));
            places.extend(needed.filter_map(|segment| segment.place.clone()));
        }
        Ok(places)
    }
}
