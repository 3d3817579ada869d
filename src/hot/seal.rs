//! Row generations become segments.

use std::collections::BTreeMap;

use super::directory::LifeKey;
use super::rows::Generation;
use super::segment::build::{NewRow, SegmentBuilder};
use super::segment::{Origin, SEGMENT_MAX_ROWS};
use super::{Collection, HotStore};
use crate::error::Result;
use crate::types::time::Month;

/// Closed row generations that may wait for the alarm; one more, and a write seals the oldest itself.
pub(super) const CLOSED_GENERATIONS_MAX: usize = 4;

impl HotStore {
    /// Seals the oldest closed generation, within a transaction, when more wait than may.
    pub(super) fn seal_overdue(&self, collection: &Collection) -> Result<()> {
        let forms = self.directory.forms(collection.life())?;
        match forms.generations.as_slice() {
            [oldest, rest @ ..] if rest.len() > CLOSED_GENERATIONS_MAX => self.seal(collection, oldest.table),
            _ => Ok(()),
        }
    }

    /// Makes segments of a generation's documents, one a month, and drops the generation, within a transaction.
    pub(super) fn seal(&self, collection: &Collection, table: Generation) -> Result<()> {
        let (life, layout) = (collection.life(), collection.layout());
        let max_bytes = u64::try_from(self.config.segment_max_bytes).unwrap_or(u64::MAX);
        let max_rows = self.config.segment_max_rows.min(SEGMENT_MAX_ROWS);
        let mut open: BTreeMap<Month, SegmentBuilder> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = table.page_after(self.sql.as_ref(), after.as_deref())?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for document in page {
                let month = Month::of(document.timestamp);
                if open.get(&month).is_some_and(|open| open.rows() >= max_rows || open.text_bytes() >= max_bytes)
                    && let Some(full) = open.remove(&month)
                {
                    self.add_sealed(life, full)?;
                }
                let builder = match open.entry(month) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(SegmentBuilder::new(&layout.columns, &layout.indexes)?)
                    }
                };
                let (sequence, timestamp) = (document.sequence, document.timestamp);
                builder.push(NewRow { id: &document.id, sequence, timestamp, text: &document.text })?;
            }
        }
        for builder in open.into_values() {
            self.add_sealed(life, builder)?;
        }
        self.directory.drop_generation(life, table)
    }

    fn add_sealed(&self, life: LifeKey, builder: SegmentBuilder) -> Result<()> {
        let number = self.directory.next_number()?;
        self.directory.add_segment(life, number, builder.finish(Origin::Sealed, Vec::new())?)?;
        Ok(())
    }
}
