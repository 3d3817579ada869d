//! Finding documents by id, whichever form they are in: row form first, then segments, the newest first.

use std::collections::HashMap;
use std::rc::Rc;

use super::HotStore;
use super::directory::{Forms, LifeKey, Segment};
use super::evicted::Missing;
use super::rows::{self, Generation};
use super::segment::{corrupt, read};
use crate::error::Result;
use crate::limits::{SCAN_PAGE_MAX_BYTES, SQL_MAX_PARAMETERS};
use crate::types::Document;
use crate::vortex::Bitmap;
use crate::vortex::blob::Budget;

/// Ids that may be in a segment are looked up one by one, unless they are more than these: then its ids are decoded.
const POINT_LOOKUPS_MAX: usize = 64;
/// Memory that reading documents of one segment may take.
pub(super) const READ_MAX_BYTES: usize = 96 * 1024 * 1024;

/// Where a document is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a row generation.
    Row(Generation),
    /// At a row of a segment.
    Segment(Rc<Segment>, usize),
}

/// Where a document is, and about how many bytes its text has.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub place: Place,
    pub bytes: usize,
}

impl HotStore {
    /// The current version of a document.
    pub(super) fn find(&self, life: LifeKey, id: &str) -> Result<Option<(Place, Document)>> {
        let forms = self.directory.forms(life)?;
        if let Some((table, document)) = rows::get(self.sql.as_ref(), &tables(&forms), id)? {
            return Ok(Some((Place::Row(table), document)));
        }
        for segment in forms.segments.iter().rev().filter(|segment| segment.live_rows() > 0) {
            if let Some(row) = self.row_of(segment, id)? {
                let document = self.segment_document(segment, row)?;
                return Ok(Some((Place::Segment(Rc::clone(segment), row), document)));
            }
        }
        Ok(None)
    }

    /// The current row of a segment that has this id.
    fn row_of(&self, segment: &Segment, id: &str) -> Result<Option<usize>> {
        if id < segment.first_id.as_str() || id > segment.last_id.as_str() {
            return Ok(None);
        }
        let head = self.directory.head(segment.number)?;
        if !head.may_have_id(id) {
            return Ok(None);
        }
        let columns = self.directory.id_column(segment, &head)?;
        let row = read::find(&columns.blob(&head.index), id)?;
        Ok(row.filter(|row| segment.is_live(*row)))
    }

    fn segment_document(&self, segment: &Segment, row: usize) -> Result<Document> {
        if segment.place.is_some() {
            let mut only = Bitmap::repeated(false, segment.rows);
            only.set(row, true);
            let found = self.segment_documents(segment, &only)?.pop();
            return found.ok_or_else(|| corrupt("expected a document to be lent, got none"));
        }
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.all_columns(segment.number, &head)?;
        read::document(&head, &columns.blob(&head.index), row)
    }

    /// The documents at rows of a segment, in the order of rows.
    pub(super) fn segment_documents(&self, segment: &Segment, rows: &Bitmap) -> Result<Vec<Document>> {
        if let Some(place) = &segment.place {
            return self.lent_documents(segment, place, rows);
        }
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.all_columns(segment.number, &head)?;
        read::documents(&head, &columns.blob(&head.index), rows, &mut Budget::new(READ_MAX_BYTES))
    }

    /// The first of these ids that no current document of a collection has.
    pub fn missing<'i>(&self, collection: &str, ids: &[&'i str]) -> Result<Option<&'i str>> {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let located = match self.catalog()?.live(collection) {
            Some(collection) => self.locate(collection.life(), &sorted)?,
            None => HashMap::new(),
        };
        Ok(ids.iter().find(|id| !located.contains_key(**id)).copied())
    }

    /// Where these documents are; those that do not exist are missing. `ids` ascend and are unique.
    pub(super) fn locate(&self, life: LifeKey, ids: &[&str]) -> Result<HashMap<String, Located>> {
        let forms = self.directory.forms(life)?;
        let mut found = HashMap::new();
        for table in tables(&forms) {
            for chunk in ids.chunks(SQL_MAX_PARAMETERS) {
                for (id, bytes) in table.sizes(self.sql.as_ref(), chunk)? {
                    found.insert(id, Located { place: Place::Row(table), bytes });
                }
            }
        }
        for segment in forms.segments.iter().rev().filter(|segment| segment.live_rows() > 0) {
            self.locate_in(segment, ids, &mut found)?;
        }
        Ok(found)
    }

    /// The current documents of a collection with the first of these ids, which ascend and are unique, and how many of the
    /// ids these are: those whose documents are some MiB together. Evicted ones that `find` has are lent.
    pub fn some_documents(
        &self,
        collection: &str,
        ids: &[&str],
        find: &dyn Fn(&str) -> Result<Option<Document>>,
    ) -> Result<(Vec<Document>, usize)> {
        let catalog = self.catalog()?;
        let Some(collection) = catalog.live(collection) else { return Ok((Vec::new(), ids.len())) };
        let located = self.locate(collection.life(), ids)?;
        let (mut places, mut bytes, mut taken) = (Vec::new(), 0_usize, 0_usize);
        for id in ids {
            if let Some(found) = located.get(*id) {
                bytes = bytes.saturating_add(found.bytes);
                if bytes > SCAN_PAGE_MAX_BYTES && taken > 0 {
                    break;
                }
                if let Place::Segment(segment, row) = &found.place
                    && segment.place.is_some()
                    && let Some(document) = find(id)?
                {
                    self.lend(segment.number, [(*row, document)]);
                }
                places.push((*id, &found.place));
            }
            taken = taken.saturating_add(1);
        }
        Ok((self.documents_at(&places)?, taken))
    }

    fn locate_in(&self, segment: &Rc<Segment>, ids: &[&str], found: &mut HashMap<String, Located>) -> Result<()> {
        let start = ids.partition_point(|id| *id < segment.first_id.as_str());
        let end = ids.partition_point(|id| *id <= segment.last_id.as_str());
        let within = ids.get(start..end).unwrap_or_default();
        if within.is_empty() {
            return Ok(());
        }
        let head = self.directory.head(segment.number)?;
        let candidates: Vec<&str> =
            within.iter().copied().filter(|id| head.may_have_id(id) && !found.contains_key(*id)).collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let columns = self.directory.id_column(segment, &head)?;
        let blob = columns.blob(&head.index);
        let rows = if candidates.len() <= POINT_LOOKUPS_MAX {
            candidates.iter().map(|id| read::find(&blob, id)).collect::<Result<Vec<_>>>()?
        } else {
            read::find_all(&blob, &candidates, &mut Budget::new(READ_MAX_BYTES))?
        };
        let bytes = segment.average_bytes();
        for (id, row) in candidates.into_iter().zip(rows) {
            if let Some(row) = row.filter(|row| segment.is_live(*row)) {
                found.insert(id.to_owned(), Located { place: Place::Segment(Rc::clone(segment), row), bytes });
            }
        }
        Ok(())
    }

    /// The documents at these places, by id.
    pub(super) fn documents_at(&self, places: &[(&str, &Place)]) -> Result<Vec<Document>> {
        let mut by_table: HashMap<Generation, Vec<&str>> = HashMap::new();
        let mut by_segment: HashMap<i64, (Rc<Segment>, Bitmap)> = HashMap::new();
        for (id, place) in places {
            match place {
                Place::Row(table) => by_table.entry(*table).or_default().push(id),
                Place::Segment(segment, row) => {
                    let entry = by_segment.entry(segment.number);
                    let (_, rows) =
                        entry.or_insert_with(|| (Rc::clone(segment), Bitmap::repeated(false, segment.rows)));
                    rows.set(*row, true);
                }
            }
        }
        let mut documents = Vec::with_capacity(places.len());
        for (table, ids) in by_table {
            for chunk in ids.chunks(SQL_MAX_PARAMETERS) {
                documents.append(&mut table.get_all(self.sql.as_ref(), chunk)?);
            }
        }
        let mut missing = Missing::default();
        for (segment, rows) in by_segment.into_values() {
            documents.append(&mut missing.take(self.segment_documents(&segment, &rows))?);
        }
        missing.check()?;
        Ok(documents)
    }
}

/// The tables that may hold something, the newest first.
fn tables(forms: &Forms) -> Vec<Generation> {
    forms
        .generations
        .iter()
        .rev()
        .filter(|generation| !generation.is_empty())
        .map(|generation| generation.table)
        .collect()
}
