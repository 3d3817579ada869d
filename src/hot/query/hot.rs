//! A query over the hot tier, in one turn: segments column by column, and documents in row form.
//!
//! Segments whose statistics exclude an answer are not read. For an order by fields the segments that may begin it are
//! read first, and those that cannot reach the last row wanted are not read. In the order of ids a page may end early:
//! where everything before an id has been looked at, a cursor goes on from there.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Query;
use super::execution::{Execution, Found, QueryAnswer};
use super::meter::{Budget, Meter, QueryStats};
use super::order::OrderKey;
use super::segment::{
    Field, IdScan, Materialiser, Node, SegmentScan, equalities, first_key_bounds, least_id, plan, scan_groups,
    scan_rows,
};
use super::source::SegmentSource;
use super::top::{Candidate, RowAt, TopRows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::PAGE_MAX_BYTES;
use crate::types::{Document, StorageTier, sorting};

/// Bytes of segments' columns kept from finding rows until they are answered.
const KEPT_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Rows of segments that are made into text at first; later as many as fill a page by what the first took.
const ROWS_AT_FIRST: usize = 32;

/// Documents in row form.
pub trait RowSource {
    /// Some documents in the order of ids, the first ones after `after`; none when there are no more.
    fn page_after(&mut self, after: Option<&str>) -> Result<Vec<Document>>;

    /// How many there are, where that is told without reading them.
    fn count(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Whether documents come in the order of the query's first key. [`page_after`](Self::page_after) then gives those
    /// that do not.
    fn is_in_order(&self) -> bool {
        false
    }

    /// The next documents in that order, at most so many; none when there are no more. Of a value and those that are
    /// [alike](Self::are_alike) they come in any order.
    fn next_in_order(&mut self, _limit: usize) -> Result<Vec<Document>> {
        Ok(Vec::new())
    }

    /// Whether two values of the first key are not told apart by that order.
    fn are_alike(&self, _left: &OrderKey, _right: &OrderKey) -> bool {
        false
    }
}

/// Answers a query over segments and documents in row form. Each document is in one place alone.
pub fn run_hot(
    query: &Query,
    budget: Budget,
    segments: &[Rc<dyn SegmentSource + '_>],
    rows: &mut dyn RowSource,
) -> Result<QueryAnswer> {
    run_hot_after(Execution::new(query, budget, true), segments, rows)
}

/// The same with a query that has looked at some documents already.
pub fn run_hot_after(
    execution: Execution<'_>,
    segments: &[Rc<dyn SegmentSource + '_>],
    rows: &mut dyn RowSource,
) -> Result<QueryAnswer> {
    let query = execution.query;
    let scans = segments.iter().map(|segment| SegmentScan::new(segment.as_ref())).collect();
    let hot = Hot { query, execution, scans, held: 0 };
    if query.is_grouped() {
        hot.groups(rows)
    } else if query.is_by_id() {
        hot.by_id(rows)
    } else {
        hot.ordered(rows)
    }
}

pub(super) struct Hot<'q, 's> {
    pub(super) query: &'q Query,
    pub(super) execution: Execution<'q>,
    scans: Vec<SegmentScan<'s>>,
    /// Bytes of columns that the scans hold.
    held: u64,
}

/// Whether a segment can have a document that a query answers, by what is known without its columns.
pub fn may_answer(query: &Query, source: &dyn SegmentSource) -> bool {
    examine(query, source).is_some()
}

/// What may be answered of a segment that its statistics do not exclude.
fn examine<'q>(query: &'q Query, source: &dyn SegmentSource) -> Option<Node<'q>> {
    let node = query.filter.as_ref().map_or(Node::Known(Some(true)), |filter| plan(filter, source));
    let equal = equalities(query.filter.as_ref());
    let values: Vec<(&str, &OrderKey)> = equal.iter().map(|(path, key)| (path.as_str(), *key)).collect();
    (node.may_hold() && (values.is_empty() || source.may_have(&values))).then_some(node)
}

impl<'q> Hot<'q, '_> {
    /// Feeds documents, those before `end`, until they matter no more.
    fn feed(&mut self, rows: &mut dyn RowSource, end: Option<&[u8]>) -> Result<Option<String>> {
        let mut after = self.query.after_id().map(str::to_owned);
        let mut last = None;
        loop {
            let page = rows.page_after(after.as_deref())?;
            let Some(end_of_page) = page.last() else { return Ok(last) };
            after = Some(end_of_page.id.clone());
            for document in &page {
                if end.is_some_and(|end| document.id.as_bytes() >= end) {
                    return Ok(last);
                }
                last = Some(document.id.clone());
                if self.execution.push(document)?.is_break() {
                    return Ok(last);
                }
            }
        }
    }

    fn groups(mut self, rows: &mut dyn RowSource) -> Result<QueryAnswer> {
        for scan in &mut self.scans {
            let Execution { found: Found::Groups(groups), meter, .. } = &mut self.execution else { break };
            if let Some(node) = examine(self.query, scan.source) {
                scan_groups(scan, &node, groups, meter)?;
            }
            meter.count_segment(scan.was_read());
            meter.check()?;
            scan.release();
        }
        if let Found::Groups(groups) = &mut self.execution.found
            && self.query.filter.is_none()
            && groups.keys().is_empty()
            && groups.plan.columns.is_empty()
            && let Some(count) = rows.count()?
        {
            groups.add_rows(0, count);
            return self.execution.finish();
        }
        self.feed(rows, None)?;
        self.execution.finish()
    }

    fn ordered(mut self, rows: &mut dyn RowSource) -> Result<QueryAnswer> {
        self.feed(rows, None)?;
        let pause = if rows.is_in_order() { self.feed_in_order(rows)? } else { None };
        let query = self.query;
        let Some(first) = query.order_by.first() else { return self.answer(None) };
        // Segments have a budget of their own: else a page after many rows would end at the first of them.
        let of_rows = std::mem::take(&mut self.execution.meter.stats);
        let mut order: Vec<(usize, Option<OrderKey>, Option<OrderKey>)> = Vec::with_capacity(self.scans.len());
        for (segment, scan) in self.scans.iter().enumerate() {
            let (least, greatest) = first_key_bounds(scan.source, &Field::of(scan.source, &first.path));
            // Where the segment's rows begin in the order, and where they end.
            order.push(if first.descending { (segment, greatest, least) } else { (segment, least, greatest) });
        }
        let direction = |order: Ordering| if first.descending { order.reverse() } else { order };
        sorting::sort_by(&mut order, |(_, left, _), (_, right, _)| match (left, right) {
            (Some(left), Some(right)) => direction(left.compare(right)),
            (left, right) => left.is_some().cmp(&right.is_some()),
        });
        for (segment, begin, end) in order {
            let Execution { found: Found::Rows(top), meter, .. } = &mut self.execution else { break };
            let Some(scan) = self.scans.get_mut(segment) else { break };
            let too_late = place_is(begin.as_ref(), top.bound(), |order| direction(order).is_gt());
            let too_early = place_is(end.as_ref(), query.after.as_deref(), |order| direction(order).is_lt());
            let is_beyond = place_is(begin.as_ref(), pause.as_deref(), |order| direction(order).is_gt());
            if let Some(node) = examine(query, scan.source)
                && !too_early
                && !is_beyond
            {
                if too_late {
                    note_others(&node, scan, top);
                } else {
                    scan_rows(scan, segment, &node, query, top, meter)?;
                }
            }
            meter.count_segment(scan.was_read());
            meter.check()?;
            self.keep_or_release(segment);
        }
        add(&mut self.execution.meter.stats, &of_rows);
        self.answer(pause)
    }

    fn by_id(mut self, rows: &mut dyn RowSource) -> Result<QueryAnswer> {
        let query = self.query;
        let mut order: Vec<(Vec<u8>, usize)> =
            self.scans.iter().enumerate().map(|(segment, scan)| (least_id(scan.source), segment)).collect();
        sorting::sort_by(&mut order, Ord::cmp);
        let mut end: Option<Vec<u8>> = None;
        let mut read = Vec::new();
        for (least, segment) in order {
            let Execution { found: Found::Rows(top), meter, .. } = &mut self.execution else { break };
            let Some(scan) = self.scans.get_mut(segment) else { break };
            let too_late = matches!(top.bound(), Some([OrderKey::Text(id)]) if least.as_slice() > id.as_bytes());
            let node = examine(query, scan.source);
            if let Some(node) = node {
                if too_late {
                    note_others(&node, scan, top);
                } else if meter.is_exceeded() && !read.is_empty() {
                    // Nothing from here on was looked at.
                    end = Some(least);
                    break;
                } else {
                    if IdScan::scan(scan, segment, &node, query, top, meter)? {
                        read.push(segment);
                    }
                }
            }
            meter.count_segment(scan.was_read());
            self.keep_or_release(segment);
        }
        // Rows have a budget of their own: else a page after large segments would end at the first of them.
        let segments = std::mem::take(&mut self.execution.meter.stats);
        let last = self.feed(rows, end.as_deref())?;
        add(&mut self.execution.meter.stats, &segments);
        let pause = self.pause(end, last, &read)?;
        self.answer(pause.map(|id| vec![OrderKey::Text(id)]))
    }

    /// The last id up to which everything was looked at, when that is not all.
    fn pause(&mut self, end: Option<Vec<u8>>, last: Option<String>, read: &[usize]) -> Result<Option<String>> {
        let stopped = self.execution.stopped_after.take();
        let Some(end) = end.filter(|_| stopped.is_none()) else { return Ok(stopped) };
        let mut pause = last;
        for segment in read {
            if let Some(scan) = self.scans.get_mut(*segment) {
                pause = pause.max(IdScan::last_before(scan, &end, &mut self.execution.meter)?);
            }
        }
        // Segments that overlap all along give no place to pause at.
        match pause.filter(|pause| self.query.after_id().is_none_or(|after| pause.as_str() > after)) {
            Some(pause) => Ok(Some(pause)),
            None => {
                self.execution.meter.check()?;
                Ok(None)
            }
        }
    }

    fn keep_or_release(&mut self, segment: usize) {
        let Some(scan) = self.scans.get_mut(segment) else { return };
        self.held = self.held.saturating_add(scan.held_bytes());
        if self.held > KEPT_MAX_BYTES {
            self.held = self.held.saturating_sub(scan.held_bytes());
            scan.release();
        }
    }

    /// The answer; `pause`: up to which place all was looked at, where that is not the end.
    fn answer(self, pause: Option<Vec<OrderKey>>) -> Result<QueryAnswer> {
        let Self { query, execution, mut scans, .. } = self;
        let Execution { found, mut meter, .. } = execution;
        let Found::Rows(top) = found else { return Ok(QueryAnswer::default()) };
        let (mut candidates, mut more) = top.finish();
        if let Some(pause) = &pause {
            let found = candidates.len();
            // Rows beyond may have others before them that were not looked at. What was left out comes after all kept.
            candidates.retain(|candidate| query.compare(&candidate.keys, pause).is_le());
            more = more && candidates.len() == found;
        }
        let mut page = Page::default();
        // What was looked at to find the rows does not end the page among them.
        let finding = std::mem::take(&mut meter.stats);
        page.fill(&candidates, &mut Materialiser { query, scans: &mut scans }, &mut meter)?;
        add(&mut meter.stats, &finding);
        let last = candidates.get(page.rows.len().wrapping_sub(1)).map(|candidate| candidate.keys.clone());
        let next = if more || page.rows.len() < candidates.len() { last } else { pause };
        Ok(QueryAnswer { rows: page.rows, next, stats: meter.stats })
    }
}

/// Whether the first key of a place, where both are known, stands so to another.
fn place_is(key: Option<&OrderKey>, other: Option<&[OrderKey]>, holds: impl Fn(Ordering) -> bool) -> bool {
    match (key, other.and_then(<[OrderKey]>::first)) {
        (Some(key), Some(other)) => holds(key.compare(other)),
        _ => false,
    }
}

/// A segment that is not read has rows after the page, perhaps; a cursor then says so rather than that all was answered.
fn note_others(node: &Node<'_>, scan: &SegmentScan<'_>, top: &mut TopRows<'_>) {
    if node.may_hold() && !scan.source.live().is_clear() {
        top.leave_out();
    }
}

pub(super) fn add(stats: &mut QueryStats, other: &QueryStats) {
    stats.rows_read = stats.rows_read.saturating_add(other.rows_read);
    stats.segments_scanned = stats.segments_scanned.saturating_add(other.segments_scanned);
    stats.segments_pruned = stats.segments_pruned.saturating_add(other.segments_pruned);
    stats.bytes_decoded = stats.bytes_decoded.saturating_add(other.bytes_decoded);
}

/// Rows as text, up to a page's bytes.
#[derive(Default)]
struct Page {
    rows: Vec<String>,
    bytes: usize,
}

impl Page {
    fn fill(&mut self, candidates: &[Candidate], from: &mut Materialiser<'_, '_>, meter: &mut Meter) -> Result<()> {
        let mut at_once = ROWS_AT_FIRST;
        while let Some(rest) = candidates.get(self.rows.len()..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..at_once.min(rest.len())).unwrap_or(rest);
            let rows: Vec<(usize, usize)> = some
                .iter()
                .filter_map(|candidate| match &candidate.row {
                    RowAt::Segment { segment, row } => Some((*segment, *row)),
                    RowAt::Text(_) => None,
                })
                .collect();
            let mut texts = match from.texts(&rows, meter) {
                // Fewer rows take less memory.
                Err(error) if error.kind() == ErrorKind::Unavailable && at_once > 1 => {
                    at_once /= 4;
                    at_once = at_once.max(1);
                    continue;
                }
                texts => texts?,
            };
            for candidate in some {
                let text = match &candidate.row {
                    RowAt::Text(text) => text.clone(),
                    RowAt::Segment { segment, row } => texts.remove(&(*segment, *row)).ok_or_else(lost)?,
                };
                if !self.rows.is_empty() && self.bytes.saturating_add(text.len()) > PAGE_MAX_BYTES {
                    return Ok(());
                }
                self.bytes = self.bytes.saturating_add(text.len());
                self.rows.push(text);
            }
            if meter.is_exceeded() {
                // A page may end anywhere.
                return Ok(());
            }
            let average = self.bytes.checked_div(self.rows.len()).unwrap_or(0).max(1);
            at_once = (PAGE_MAX_BYTES.saturating_sub(self.bytes) / average).max(1);
        }
        Ok(())
    }
}

fn lost() -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "query segment", "expected the text of each row, got none")
}
