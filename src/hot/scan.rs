//! Documents in the order of their ids, page by page, whichever form they are in.
//!
//! A page is read in one turn and remembers nothing but its last id, so that anything may be written between two pages.

use std::rc::Rc;

use super::HotStore;
use super::directory::{LifeKey, Segment};
use super::evicted::Missing;
use super::rows::Generation;
use super::segment::read;
use crate::cdc::SegmentReference;
use crate::error::Result;
use crate::limits::{SCAN_PAGE_MAX_BYTES, SCAN_PAGE_MAX_ROWS};
use crate::types::{Document, Sequence, sorting};
use crate::vortex::Bitmap;
use crate::vortex::blob::Budget;

/// Ids that are looked at in each segment for one page.
const SEGMENT_PAGE_ROWS: usize = 1_024;

/// The next ids of one form.
struct Ids {
    source: Source,
    /// The ids, with their rows in a segment and about how many bytes their documents have.
    ids: Vec<(String, usize, usize)>,
    /// Whether there may be more after them.
    more: bool,
}

enum Source {
    Rows(Generation),
    Segment(Rc<Segment>),
}

/// The next ids over all forms.
struct IdPage {
    sources: Vec<Ids>,
    /// The last id of the page; `None` when there are no more.
    last: Option<String>,
}

impl HotStore {
    /// The current documents of a collection after an id, bounded in number and bytes; empty at the end.
    pub fn page(&self, collection: &str, after: Option<&str>) -> Result<Vec<Document>> {
        match self.catalog()?.live(collection) {
            Some(collection) => self.page_of(collection.life(), after),
            None => Ok(Vec::new()),
        }
    }

    /// Tells the ids and versions of all current documents of a collection that are not evicted, in no order.
    pub fn each_version(&self, collection: &str, sink: &mut dyn FnMut(&str, Sequence) -> Result<()>) -> Result<()> {
        let catalog = self.catalog()?;
        let Some(collection) = catalog.live(collection) else { return Ok(()) };
        let forms = self.directory.forms(collection.life())?;
        for generation in forms.generations.iter().filter(|generation| !generation.is_empty()) {
            let mut after = String::new();
            loop {
                let page = generation.table.versions_after(self.sql.as_ref(), &after)?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                page.iter().try_for_each(|(id, version)| sink(id, *version))?;
            }
        }
        for segment in forms.segments.iter().filter(|segment| segment.place.is_none() && segment.live_rows() > 0) {
            let head = self.directory.head(segment.number)?;
            let positions = [read::ID_POSITION, read::SEQUENCE_POSITION];
            let columns = self.directory.columns(segment.number, &head, &positions)?;
            let (blob, mut budget) = (columns.blob(&head.index), Budget::new(super::lookup::READ_MAX_BYTES));
            let live = segment.live();
            let versions = read::versions(&blob, &live, &mut budget)?;
            let ids = read::ids(&blob, &live, &mut budget)?;
            ids.iter().zip(versions).try_for_each(|(id, version)| sink(id, version))?;
        }
        Ok(())
    }

    /// The documents of a life after an id, bounded in number and bytes; empty at the end.
    pub(super) fn page_of(&self, life: LifeKey, after: Option<&str>) -> Result<Vec<Document>> {
        self.page_without(life, i64::MIN, after)
    }

    /// The same without the documents of segments with numbers below `bound`, or that come from such.
    pub(super) fn page_without(&self, life: LifeKey, bound: i64, after: Option<&str>) -> Result<Vec<Document>> {
        let page = self.id_page(life, bound, after)?;
        let Some(last) = &page.last else { return Ok(Vec::new()) };
        let (mut documents, mut missing) = (Vec::new(), Missing::default());
        for ids in &page.sources {
            let wanted = ids.ids.iter().take_while(|(id, ..)| id <= last);
            match &ids.source {
                Source::Rows(table) if wanted.clone().next().is_some() => {
                    documents.append(&mut table.between(self.sql.as_ref(), after, last)?);
                }
                Source::Rows(_) => {}
                Source::Segment(segment) => {
                    let mut rows = Bitmap::repeated(false, segment.rows);
                    let mut any = false;
                    for (_, row, _) in wanted {
                        rows.set(*row, true);
                        any = true;
                    }
                    if any {
                        documents.append(&mut missing.take(self.segment_documents(segment, &rows))?);
                    }
                }
            }
        }
        missing.check()?;
        if page.sources.len() > 1 {
            sorting::sort_by(&mut documents, |left, right| left.id.cmp(&right.id));
        }
        Ok(documents)
    }

    /// The id after which there are `count` documents less; `None` when there are not as many.
    pub(super) fn id_at(&self, life: LifeKey, count: usize) -> Result<Option<String>> {
        let mut left = count;
        let mut after: Option<String> = None;
        loop {
            let page = self.id_page(life, i64::MIN, after.as_deref())?;
            let Some(last) = page.last else { return Ok(None) };
            let mut ids: Vec<&String> = page
                .sources
                .iter()
                .flat_map(|ids| ids.ids.iter().map(|(id, ..)| id))
                .filter(|id| **id <= last)
                .collect();
            if ids.len() >= left {
                sorting::sort_by(&mut ids, Ord::cmp);
                return Ok(left.checked_sub(1).and_then(|place| ids.get(place)).map(|id| (*id).clone()));
            }
            left = left.saturating_sub(ids.len());
            after = Some(last);
        }
    }

    /// The first versions that a segment has from one sequence to another, in their order, deleted ones included.
    pub(super) fn segment_versions(
        &self,
        reference: SegmentReference,
        from: Sequence,
        through: Sequence,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let segment = self.directory.segment(reference.segment)?;
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.all_columns(segment.number, &head)?;
        let blob = columns.blob(&head.index);
        let mut budget = Budget::new(super::lookup::READ_MAX_BYTES);
        let fitting = SCAN_PAGE_MAX_BYTES.checked_div(segment.average_bytes().max(1)).unwrap_or(1);
        let wanted = limit.min(fitting).max(1);
        let mut rows = Bitmap::repeated(false, segment.rows);
        for row in read::rows_by_sequence(&head, &blob, from..=through, wanted, &mut budget)? {
            rows.set(row, true);
        }
        let mut documents = read::documents(&head, &blob, &rows, &mut budget)?;
        sorting::sort_by_key(&mut documents, |document| document.sequence);
        Ok(documents)
    }

    fn id_page(&self, life: LifeKey, bound: i64, after: Option<&str>) -> Result<IdPage> {
        let forms = self.directory.forms(life)?;
        let mut sources = Vec::new();
        for generation in forms.generations.iter().filter(|generation| !generation.is_empty()) {
            let sizes = generation.table.sizes_after(self.sql.as_ref(), after)?;
            let more = sizes.len() >= SCAN_PAGE_MAX_ROWS;
            let ids = sizes.into_iter().map(|(id, bytes)| (id, 0, bytes)).collect();
            sources.push(Ids { source: Source::Rows(generation.table), ids, more });
        }
        for segment in forms.segments.iter().filter(|segment| !segment.comes_from_before(bound)) {
            if after.is_none_or(|after| after < segment.last_id.as_str()) && segment.live_rows() > 0 {
                sources.push(self.segment_ids(segment, after)?);
            }
        }
        let horizon = sources.iter().filter(|ids| ids.more).filter_map(|ids| ids.ids.last()).map(|(id, ..)| id).min();
        let mut all: Vec<(&String, usize)> = sources
            .iter()
            .flat_map(|ids| ids.ids.iter().map(|(id, _, bytes)| (id, *bytes)))
            .filter(|(id, _)| horizon.is_none_or(|horizon| *id <= horizon))
            .collect();
        sorting::sort_by(&mut all, Ord::cmp);
        let mut bytes = 0usize;
        let mut last = None;
        for (place, (id, size)) in all.into_iter().enumerate() {
            bytes = bytes.saturating_add(size);
            if last.is_some() && (bytes > SCAN_PAGE_MAX_BYTES || place >= SCAN_PAGE_MAX_ROWS) {
                break;
            }
            last = Some(id.clone());
        }
        Ok(IdPage { sources, last })
    }

    fn segment_ids(&self, segment: &Rc<Segment>, after: Option<&str>) -> Result<Ids> {
        let head = self.directory.head(segment.number)?;
        let columns = self.directory.id_column(segment, &head)?;
        let blob = columns.blob(&head.index);
        let bytes = segment.average_bytes();
        let mut start = read::first_after(&blob, after)?;
        let mut ids = Vec::new();
        while ids.len() < SEGMENT_PAGE_ROWS && start < segment.rows {
            let end = start.saturating_add(SEGMENT_PAGE_ROWS).min(segment.rows);
            let decoded = read::ids(&blob, start..end, &mut Budget::new(super::lookup::READ_MAX_BYTES))?;
            let live = (start..end).zip(decoded).filter(|(row, _)| segment.is_live(*row));
            ids.extend(live.map(|(row, id)| (id, row, bytes)));
            start = end;
        }
        Ok(Ids { source: Source::Segment(Rc::clone(segment)), ids, more: start < segment.rows })
    }
}
