//! Row generations become segments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::directory::Extent;
use super::directory::LifeKey;
use super::rows::Generation;
use super::segment::build::{NewRow, SegmentBuilder};
use super::segment::{Origin, SEGMENT_MAX_ROWS};
use super::{Collection, HotStore, signed};
use crate::error::Result;
use crate::types::Document;
use crate::types::time::Month;

/// Closed row generations that may wait for the alarm; one more, and a write seals the oldest itself.
pub(super) const CLOSED_GENERATIONS_MAX: usize = 4;
/// Documents, and bytes of their text, that a write seals: a larger generation is left to the alarm.
const INLINE_MAX_ROWS: i64 = 2_048;
const INLINE_MAX_BYTES: i64 = 4 * 1024 * 1024;
/// Documents, and bytes of their text, that are sealed in one turn. A generation has more only where it was written before
/// there were segments, or where batches are configured to stay in row form.
const TURN_MAX_ROWS: i64 = 16_384;
const TURN_MAX_BYTES: i64 = 16 * 1024 * 1024;

impl HotStore {
    /// Seals the oldest closed generation that is small, within a transaction, when more wait than may.
    pub(super) fn seal_overdue(&self, collection: &Collection) -> Result<()> {
        let forms = self.directory.forms(collection.life())?;
        let Some((_, closed)) = forms.generations.split_last() else { return Ok(()) };
        if closed.len() <= CLOSED_GENERATIONS_MAX || collection.definition.constraints.append_only {
            return Ok(());
        }
        let is_small = |extent: Extent| extent.rows <= INLINE_MAX_ROWS && extent.bytes <= INLINE_MAX_BYTES;
        let small = closed.iter().find(|generation| generation.extent.is_some_and(is_small));
        small.map_or(Ok(()), |generation| self.seal(collection, generation.table))
    }

    /// Makes segments of a generation's documents, one a month, and drops the generation, within a transaction. Of one
    /// that is too large for one turn only the first documents are taken, and deleted there.
    pub(super) fn seal(&self, collection: &Collection, table: Generation) -> Result<()> {
        let life = collection.life();
        let extent = self.directory.extent(life, table)?;
        let mut sealing = Sealing { store: self, collection, open: BTreeMap::new(), ids: Vec::new(), bytes: 0 };
        if extent.rows <= TURN_MAX_ROWS && extent.bytes <= TURN_MAX_BYTES {
            while sealing.take_page(table)? {}
            sealing.finish()?;
            return self.directory.drop_generation(life, table);
        }
        while sealing.take_page(table)? && !sealing.is_turn_full() {}
        let (ids, bytes) = (sealing.ids.clone(), sealing.bytes);
        sealing.finish()?;
        table.delete_all(self.sql.as_ref(), &ids.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.directory.note_rows(life, table, |extent| {
            extent.rows = extent.rows.saturating_sub(signed(ids.len()));
            extent.bytes = extent.bytes.saturating_sub(bytes);
        })
    }

    fn add_sealed(&self, life: LifeKey, builder: SegmentBuilder) -> Result<()> {
        let number = self.directory.next_number()?;
        self.directory.add_segment(life, number, builder.finish(Origin::Sealed, Vec::new())?)?;
        Ok(())
    }
}

/// Documents on their way from a row generation to segments.
struct Sealing<'s> {
    store: &'s HotStore,
    collection: &'s Collection,
    open: BTreeMap<Month, SegmentBuilder>,
    /// The documents taken so far, ascending, and the bytes of their text.
    ids: Vec<String>,
    bytes: i64,
}

impl Sealing<'_> {
    /// Takes the next documents; `false` when there are none.
    fn take_page(&mut self, table: Generation) -> Result<bool> {
        let page = table.page_after(self.store.sql.as_ref(), self.ids.last().map(String::as_str))?;
        let any = !page.is_empty();
        for document in page {
            self.take(&document)?;
            self.bytes = self.bytes.saturating_add(signed(document.text.len()));
            self.ids.push(document.id);
        }
        Ok(any)
    }

    fn is_turn_full(&self) -> bool {
        signed(self.ids.len()) >= TURN_MAX_ROWS || self.bytes >= TURN_MAX_BYTES
    }

    fn take(&mut self, document: &Document) -> Result<()> {
        let config = &self.store.config;
        let (max_rows, max_bytes) = (config.segment_max_rows.min(SEGMENT_MAX_ROWS), config.segment_max_bytes);
        let is_full = |open: &SegmentBuilder| {
            open.rows() >= max_rows || usize::try_from(open.text_bytes()).is_ok_and(|bytes| bytes >= max_bytes)
        };
        let month = Month::of(document.timestamp);
        if self.open.get(&month).is_some_and(is_full)
            && let Some(full) = self.open.remove(&month)
        {
            self.store.add_sealed(self.collection.life(), full)?;
        }
        let builder = match self.open.entry(month) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.collection.segment_builder()?),
        };
        let Document { id, sequence, timestamp, text } = document;
        builder.push(NewRow { id, sequence: *sequence, timestamp: *timestamp, text })
    }

    fn finish(self) -> Result<()> {
        let life = self.collection.life();
        self.open.into_values().try_for_each(|builder| self.store.add_sealed(life, builder))
    }
}
