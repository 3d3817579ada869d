//! The documents that a run of mutations touches: as they are stored, and as the mutations so far have made them.

use std::collections::HashMap;
use std::rc::Rc;

use roaring::RoaringBitmap;

use super::mutation::Write;
use crate::cdc::Image;
use crate::error::Result;
use crate::hot::directory::LifeKey;
use crate::hot::lookup::{Located, Place};
use crate::hot::row_index::KeyColumns;
use crate::hot::rows::Generation;
use crate::hot::segment::NewRow;
use crate::hot::{Collection, HotStore, signed};
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::types::{Sequence, Timestamp, sorting};

/// What is known of a document.
pub(super) enum Current {
    /// It exists, and its text is not loaded.
    Present,
    /// It exists.
    Stored(Image),
    /// It does not exist.
    Absent,
    /// The transaction has made this version.
    Made(Made),
    /// The transaction has deleted it.
    Deleted,
}

/// A version that the transaction has made.
pub(super) struct Made {
    pub sequence: Sequence,
    pub timestamp: Timestamp,
    pub text: Rc<str>,
}

impl Made {
    pub fn image(&self) -> Image {
        Image { sequence: self.sequence, timestamp: self.timestamp, text: self.text.to_string() }
    }
}

/// The documents of a run.
pub(super) struct Documents {
    /// Those that were stored before the run.
    places: HashMap<String, Located>,
    /// Those that were loaded or changed.
    current: HashMap<Rc<str>, Current>,
}

/// Rows of one table to be written.
#[derive(Default)]
struct TableChange<'d> {
    put: Vec<NewRow<'d>>,
    delete: Vec<&'d str>,
    added_rows: i64,
    added_bytes: i64,
}

impl Documents {
    /// Finds where the documents of these mutations are.
    pub fn locate(store: &HotStore, life: LifeKey, writes: &[Write]) -> Result<Self> {
        if let [write] = writes
            && !write.is_blind()
        {
            return Self::locate_one(store, life, write.mutation.id());
        }
        let mut ids: Vec<&str> = writes.iter().map(|write| write.mutation.id().as_ref()).collect();
        ids.sort_unstable();
        ids.dedup();
        let places = store.locate(life, &ids)?;
        Ok(Self { places, current: HashMap::with_capacity(ids.len()) })
    }

    fn locate_one(store: &HotStore, life: LifeKey, id: &str) -> Result<Self> {
        let (mut places, mut current) = (HashMap::new(), HashMap::new());
        if let Some((place, document)) = store.find(life, id)? {
            places.insert(id.to_owned(), Located { place, bytes: document.text.len() });
            current.insert(id.into(), Current::Stored(document.into()));
        }
        Ok(Self { places, current })
    }

    /// Loads the texts that the first of these mutations need, some MiB of them, and says how many mutations that are.
    pub fn load(&mut self, store: &HotStore, writes: &[Write]) -> Result<usize> {
        if self.places.is_empty() {
            return Ok(writes.len());
        }
        let mut wanted: HashMap<&str, &Place> = HashMap::new();
        let mut bytes = 0usize;
        let mut taken = 0;
        for write in writes {
            let id: &str = write.mutation.id();
            if let (Some(located), false, false) =
                (self.places.get(id), write.is_blind(), self.current.contains_key(id))
            {
                bytes = bytes.saturating_add(located.bytes);
                if bytes > SCAN_PAGE_MAX_BYTES && !wanted.is_empty() {
                    break;
                }
                wanted.insert(id, &located.place);
            }
            taken += 1;
        }
        let wanted: Vec<(&str, &Place)> = wanted.into_iter().collect();
        for document in store.documents_at(&wanted)? {
            self.current.insert(document.id.as_str().into(), Current::Stored(document.into()));
        }
        Ok(taken)
    }

    /// What is known of a document.
    pub fn current(&self, id: &str) -> &Current {
        match self.current.get(id) {
            Some(current) => current,
            None if self.places.contains_key(id) => &Current::Present,
            None => &Current::Absent,
        }
    }

    /// Notes what a mutation has made of a document.
    pub fn set(&mut self, id: &Rc<str>, current: Current) {
        match self.current.get_mut(id) {
            Some(known) => *known = current,
            None => {
                self.current.insert(Rc::clone(id), current);
            }
        }
    }

    /// The versions made, in the order of ids.
    pub fn made(&self) -> Vec<(&str, &Made)> {
        let made = self.current.iter().filter_map(|(id, current)| match current {
            Current::Made(made) => Some((id.as_ref(), made)),
            _ => None,
        });
        let mut made: Vec<_> = made.collect();
        made.sort_unstable_by_key(|(id, _)| *id);
        made
    }

    /// Whether the version made at `sequence` is the one that is left of a document.
    pub fn is_current(&self, id: &str, sequence: Sequence) -> bool {
        matches!(self.current.get(id), Some(Current::Made(made)) if made.sequence == sequence)
    }

    /// Writes each document that was made or deleted once: made ones to where they were when that is a row, else to the
    /// open generation.
    pub fn store_as_rows(&self, store: &HotStore, collection: &Collection) -> Result<()> {
        let mut tables: HashMap<Generation, TableChange<'_>> = HashMap::new();
        let made = self.made();
        let mut open = None;
        for (id, made) in &made {
            let located = self.places.get(*id);
            let table = match located.map(|located| &located.place) {
                Some(Place::Row(table)) => *table,
                _ => match open {
                    Some(open) => open,
                    None => *open.insert(store.open_generation(collection)?),
                },
            };
            let change = tables.entry(table).or_default();
            let old = match located {
                Some(Located { place: Place::Row(_), bytes }) => Some(*bytes),
                _ => None,
            };
            change.added_rows = change.added_rows.saturating_add(i64::from(old.is_none()));
            change.added_bytes = change.added_bytes.saturating_add(difference(made.text.len(), old.unwrap_or(0)));
            change.put.push(NewRow { id, sequence: made.sequence, timestamp: made.timestamp, text: &made.text });
        }
        for (id, located) in self.deleted() {
            if let Place::Row(table) = &located.place {
                tables.entry(*table).or_default().remove(id, located.bytes);
            }
        }
        store_tables(store, collection, tables)?;
        self.mark_replaced(store, collection.life())
    }

    /// Takes the old versions of all documents that were made or deleted out of their places.
    pub fn remove_replaced(&self, store: &HotStore, collection: &Collection) -> Result<()> {
        let mut tables: HashMap<Generation, TableChange<'_>> = HashMap::new();
        for (id, located) in self.replaced() {
            if let Place::Row(table) = &located.place {
                tables.entry(*table).or_default().remove(id, located.bytes);
            }
        }
        store_tables(store, collection, tables)?;
        self.mark_replaced(store, collection.life())
    }

    /// Marks the old versions that are in segments as deleted.
    fn mark_replaced(&self, store: &HotStore, life: LifeKey) -> Result<()> {
        let mut segments: HashMap<i64, RoaringBitmap> = HashMap::new();
        for (_, located) in self.replaced() {
            if let Place::Segment(segment, row) = &located.place
                && let Ok(row) = u32::try_from(*row)
            {
                segments.entry(segment.number).or_default().insert(row);
            }
        }
        let mut segments: Vec<_> = segments.into_iter().collect();
        sorting::sort_by_key(&mut segments, |(number, _)| *number);
        segments.iter().try_for_each(|(number, rows)| store.directory.delete_rows(life, *number, rows))
    }

    fn replaced(&self) -> impl Iterator<Item = (&str, &Located)> {
        let is_replaced = |id: &str| matches!(self.current.get(id), Some(Current::Made(_) | Current::Deleted));
        self.places.iter().map(|(id, located)| (id.as_str(), located)).filter(move |(id, _)| is_replaced(id))
    }

    fn deleted(&self) -> impl Iterator<Item = (&str, &Located)> {
        self.replaced().filter(|(id, _)| matches!(self.current.get(*id), Some(Current::Deleted)))
    }
}

impl<'d> TableChange<'d> {
    fn remove(&mut self, id: &'d str, bytes: usize) {
        self.delete.push(id);
        self.added_rows = self.added_rows.saturating_sub(1);
        self.added_bytes = self.added_bytes.saturating_add(difference(0, bytes));
    }
}

/// Writes the rows of tables, in an order that equal calls repeat.
fn store_tables(store: &HotStore, collection: &Collection, tables: HashMap<Generation, TableChange<'_>>) -> Result<()> {
    let life = collection.life();
    let mut tables: Vec<_> = tables.into_iter().collect();
    sorting::sort_by_key(&mut tables, |(table, _)| table.number);
    for (table, mut change) in tables {
        change.put.sort_unstable_by_key(|row| row.sequence);
        change.delete.sort_unstable();
        // Counted before it is written to, should it not be counted yet.
        store.directory.extent(life, table)?;
        let forms = store.directory.forms(life)?;
        let of_table = forms.generation(table.number).map(|generation| Rc::clone(&generation.indexes));
        let keys = KeyColumns::new(&collection.definition.indexes, &of_table.unwrap_or_default());
        table.put_all(store.sql.as_ref(), &change.put, &keys)?;
        table.delete_all(store.sql.as_ref(), &change.delete)?;
        let newest = change.put.last().map_or(0, |row| row.timestamp);
        store.directory.note_rows(life, table, |extent| {
            extent.rows = extent.rows.saturating_add(change.added_rows);
            extent.bytes = extent.bytes.saturating_add(change.added_bytes);
            extent.newest = extent.newest.max(newest);
        })?;
    }
    Ok(())
}

fn difference(new: usize, old: usize) -> i64 {
    signed(new).saturating_sub(signed(old))
}
