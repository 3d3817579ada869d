//! The forms of a collection as a query reads them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::HotStore;
use super::directory::{Directory, LifeKey, RowGeneration, Segment};
use super::evicted::EvictedRows;
use super::lookup::READ_MAX_BYTES;
use super::query::{OrderKey, Query, RowSource, SegmentSource, may_answer};
use super::row_index::{self, IndexUse};
use super::rows::IndexPlace;
use super::segment::{ColumnBytes, SegmentHead, read};
use crate::error::Result;
use crate::limits::{PAGE_MAX_BYTES, SCAN_PAGE_MAX_BYTES, SCAN_PAGE_MAX_ROWS};
use crate::ports::SqlStore;
use crate::types::{Document, sorting};
use crate::vortex::blob::{BlobIndex, Budget};
use crate::vortex::{Bitmap, StrayFields};

/// A segment and where its columns are.
struct StoredSegment<'s> {
    directory: &'s Directory,
    number: i64,
    head: Rc<SegmentHead>,
    live: Bitmap,
}

impl SegmentSource for StoredSegment<'_> {
    fn index(&self) -> &BlobIndex {
        &self.head.index
    }

    fn stray(&self) -> &StrayFields {
        &self.head.stray
    }

    fn live(&self) -> &Bitmap {
        &self.live
    }

    fn may_have(&self, values: &[(&str, &OrderKey)]) -> bool {
        self.head.may_have(values)
    }

    fn load(&self, positions: &[usize]) -> Result<ColumnBytes> {
        self.directory.columns(self.number, &self.head, positions)
    }
}

/// The documents in row form, or those of them that an index finds.
struct StoredRows<'s> {
    sql: &'s dyn SqlStore,
    generations: Vec<RowGeneration>,
    index: Option<IndexUse>,
    /// Up to where documents were given in the order of the index.
    place: Option<IndexPlace>,
    count: Option<u64>,
}

impl RowSource for StoredRows<'_> {
    fn page_after(&mut self, after: Option<&str>) -> Result<Vec<Document>> {
        let mut documents: Vec<Document> = Vec::new();
        let mut horizon: Option<String> = None;
        for generation in &self.generations {
            let page = self.page_of(generation, after)?;
            // It may go on after its last document.
            if let Some(last) = page.last()
                && horizon.as_ref().is_none_or(|horizon| last.id < *horizon)
            {
                horizon = Some(last.id.clone());
            }
            documents.extend(page);
        }
        if self.generations.len() > 1 {
            sorting::sort_by(&mut documents, |left, right| left.id.cmp(&right.id));
            let end = documents.partition_point(|document| Some(&document.id) <= horizon.as_ref());
            documents.truncate(end);
        }
        Ok(documents)
    }

    fn count(&mut self) -> Result<Option<u64>> {
        Ok(self.count)
    }

    fn is_in_order(&self) -> bool {
        matches!(self.index, Some(IndexUse::Order(_)))
    }

    fn are_alike(&self, left: &OrderKey, right: &OrderKey) -> bool {
        matches!(&self.index, Some(IndexUse::Order(order)) if order.are_alike(left, right))
    }

    fn next_in_order(&mut self, limit: usize) -> Result<Vec<Document>> {
        let Some(IndexUse::Order(order)) = &self.index else { return Ok(Vec::new()) };
        let mut documents: Vec<(Vec<u8>, Document)> = Vec::new();
        let compare = |left: &(Vec<u8>, Document), right: &(Vec<u8>, Document)| {
            let ascending = left.0.cmp(&right.0).then_with(|| left.1.id.cmp(&right.1.id));
            if order.descending { ascending.reverse() } else { ascending }
        };
        let mut horizon: Option<(Vec<u8>, Document)> = None;
        for generation in self.generations.iter().filter(|generation| generation.indexes.contains(&order.index)) {
            let page = generation.table.ordered_after(self.sql, order, self.place.as_ref(), limit)?;
            if page.is_cut
                && let Some(last) = page.documents.last()
                && horizon.as_ref().is_none_or(|horizon| compare(last, horizon).is_lt())
            {
                horizon = Some(last.clone());
            }
            documents.extend(page.documents);
        }
        sorting::sort_by(&mut documents, compare);
        if let Some(horizon) = horizon {
            documents.truncate(documents.partition_point(|document| compare(document, &horizon).is_le()));
        }
        if let Some((key, document)) = documents.last() {
            self.place = Some((key.clone(), document.id.clone()));
        }
        Ok(documents.into_iter().map(|(_, document)| document).collect())
    }
}

impl StoredRows<'_> {
    fn page_of(&self, generation: &RowGeneration, after: Option<&str>) -> Result<Vec<Document>> {
        let index = self.index.as_ref().map(|index| match index {
            IndexUse::Range(range) => (range.index, range.keys.as_slice()),
            // Those that it has are given in its order.
            IndexUse::Order(order) => (order.index, &[][..]),
        });
        let Some((index, ranges)) = index.filter(|(index, _)| generation.indexes.contains(index)) else {
            let small = i64::try_from(SCAN_PAGE_MAX_BYTES).unwrap_or(i64::MAX);
            let is_small = generation.extent.is_some_and(|extent| extent.bytes <= small);
            let table = generation.table;
            return if is_small { table.few_after(self.sql, after) } else { table.page_after(self.sql, after) };
        };
        let mut documents = Vec::new();
        let mut horizon: Option<String> = None;
        // A document that was written while the index was not declared has no key.
        for keys in ranges.iter().map(Some).chain([None]) {
            let page = generation.table.indexed_after(self.sql, index, keys, after)?;
            if page.is_cut
                && let Some(last) = page.documents.last()
                && horizon.as_ref().is_none_or(|horizon| last.id < *horizon)
            {
                horizon = Some(last.id.clone());
            }
            documents.extend(page.documents);
        }
        sorting::sort_by(&mut documents, |left, right| left.id.cmp(&right.id));
        // Keys are cut, so that ranges of different values may be the same.
        documents.dedup_by(|left, right| left.id == right.id);
        if let Some(horizon) = horizon {
            documents.truncate(documents.partition_point(|document| document.id <= horizon));
        }
        documents.truncate(SCAN_PAGE_MAX_ROWS);
        Ok(documents)
    }
}

/// What a query reads of a collection.
pub struct QuerySources<'s> {
    /// Its segments, but for those that are evicted.
    pub segments: Vec<Rc<dyn SegmentSource + 's>>,
    /// Its documents in row form; where an index serves the query, at least those that can be answered, or in its order.
    pub rows: Box<dyn RowSource + 's>,
}

impl HotStore {
    /// What a query reads of a collection; one that does not exist is empty. It holds for this turn.
    pub fn query_sources(&self, collection: &str, query: &Query) -> Result<QuerySources<'_>> {
        let catalog = self.catalog()?;
        let (sql, place) = (self.sql.as_ref(), None);
        let Some(collection) = catalog.live(collection) else {
            let rows = StoredRows { sql, generations: Vec::new(), index: None, place, count: Some(0) };
            return Ok(QuerySources { segments: Vec::new(), rows: Box::new(rows) });
        };
        let life = collection.life();
        let forms = self.directory.forms(life)?;
        let segments = forms.segments.iter().filter(|segment| segment.place.is_none() && segment.live_rows() > 0);
        let segments = segments.map(|segment| self.segment_source(segment)).collect::<Result<Vec<_>>>()?;
        let generations = forms.generations.iter().filter(|generation| !generation.is_empty()).cloned().collect();
        let index = row_index::choose(query, &collection.definition.indexes);
        let rows = StoredRows { sql, generations, index, place, count: self.counted_rows(life)? };
        Ok(QuerySources { segments, rows: Box::new(rows) })
    }

    fn segment_source<'s>(&'s self, segment: &Segment) -> Result<Rc<dyn SegmentSource + 's>> {
        let head = self.directory.head(segment.number)?;
        Ok(Rc::new(StoredSegment { directory: &self.directory, number: segment.number, head, live: segment.live() }))
    }

    /// The evicted segments of a collection that have a current row; none of one that does not exist.
    pub fn evicted_segments(&self, collection: &str) -> Result<Vec<Rc<Segment>>> {
        let catalog = self.catalog()?;
        let Some(collection) = catalog.live(collection) else { return Ok(Vec::new()) };
        let forms = self.directory.forms(collection.life())?;
        let evicted = forms.segments.iter().filter(|segment| segment.place.is_some() && segment.live_rows() > 0);
        Ok(evicted.map(Rc::clone).collect())
    }

    /// Whether an evicted segment can have a document that a query answers.
    pub fn may_answer(&self, query: &Query, segment: &Segment) -> Result<bool> {
        Ok(may_answer(query, self.segment_source(segment)?.as_ref()))
    }

    /// The first current rows of evicted segments after an id, by segment and row: at most `limit`, and about a page's bytes.
    /// Where these end it, the last id is told up to which they are all there are.
    pub fn first_evicted_rows(
        &self,
        segments: &[Rc<Segment>],
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<EvictedRows>, Option<String>)> {
        let mut first: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (position, segment) in segments.iter().enumerate() {
            let head = self.directory.head(segment.number)?;
            let columns = self.directory.id_column(segment, &head)?;
            let blob = columns.blob(&head.index);
            let mut start = read::first_after(&blob, after)?;
            let mut left = limit;
            while left > 0 && start < segment.rows {
                let end = start.saturating_add(limit).min(segment.rows);
                let ids = read::ids(&blob, start..end, &mut Budget::new(READ_MAX_BYTES))?;
                for (row, id) in (start..end).zip(ids).filter(|(row, _)| segment.is_live(*row)).take(left) {
                    left = left.saturating_sub(1);
                    first.insert(id, (position, row));
                }
                start = end;
            }
            while first.len() > limit {
                first.pop_last();
            }
        }
        let mut rows: Vec<Vec<usize>> = segments.iter().map(|_| Vec::new()).collect();
        let (mut bytes, mut last, mut is_cut) = (0_usize, None, false);
        for (id, (position, row)) in first {
            let size = segments.get(position).map_or(0, |segment| segment.average_bytes());
            if last.is_some() && bytes.saturating_add(size) > PAGE_MAX_BYTES {
                is_cut = true;
                break;
            }
            bytes = bytes.saturating_add(size);
            rows.get_mut(position).into_iter().for_each(|rows| rows.push(row));
            last = Some(id);
        }
        let of_segment = |(segment, rows): (&Rc<Segment>, Vec<usize>)| EvictedRows {
            segment: segment.number,
            place: segment.place.as_deref().unwrap_or_default().to_owned(),
            rows,
        };
        let rows = segments.iter().zip(rows).map(of_segment).filter(|evicted| !evicted.rows.is_empty()).collect();
        Ok((rows, last.filter(|_| is_cut)))
    }

    /// The documents in row form, if they were counted since the wake.
    fn counted_rows(&self, life: LifeKey) -> Result<Option<u64>> {
        let forms = self.directory.forms(life)?;
        let rows = forms.generations.iter().map(|generation| generation.extent.map(|extent| extent.rows));
        let total = rows.sum::<Option<i64>>();
        Ok(total.and_then(|rows| u64::try_from(rows).ok()))
    }
}
