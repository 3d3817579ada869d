//! The rows of a segment that may be answered: those that satisfy the condition and are among the first of the order.
//! Only these are told by their keys; their documents are read once it is known which are answered.

use std::cmp::Ordering;

use super::super::Query;
use super::super::meter::Meter;
use super::super::order::OrderKey;
use super::super::top::{Candidate, RowAt, TopRows};
use super::bounds::first_key_bounds;
use super::keys::KeyColumn;
use super::plan::Node;
use super::{Field, ID, SegmentScan, Selected, blob, missing};
use crate::error::Result;
use crate::vortex::{Bitmap, Scalar};

/// Offers the rows of segment number `segment` to the first rows of an order by fields.
pub(in super::super) fn scan_rows(
    scan: &mut SegmentScan<'_>,
    segment: usize,
    node: &Node<'_>,
    query: &Query,
    top: &mut TopRows<'_>,
    meter: &mut Meter,
) -> Result<()> {
    let selected = scan.select(node, meter)?;
    if scan.was_read() {
        meter.look(scan.source.live().count());
    }
    if selected.count == 0 {
        return Ok(());
    }
    let read = scan.was_read();
    let id = scan.id_position()?;
    let fields: Vec<Field<'_>> = query.order_by.iter().map(|order| Field::of(scan.source, &order.path)).collect();
    scan.load(fields.iter().flat_map(Field::positions).chain([id]).collect::<Vec<_>>(), meter)?;
    if !read {
        meter.look(scan.source.live().count());
    }
    let keys = fields.iter().map(|field| scan.keys(field, &selected)).collect::<Result<Vec<_>>>()?;
    let mut rows = within(scan, &keys, &selected, query, top)?;
    keep_first(&keys, query, &mut rows, top);
    // In the order of the segment, which is that of ids.
    rows.sort_unstable();
    let positions = selected.positions();
    let mut kept = Bitmap::repeated(false, selected.rows.len());
    rows.iter().filter_map(|row| positions.get(*row)).for_each(|row| kept.set(*row, true));
    let ids = scan.keys(&Field::Column(id), &Selected::new(kept))?;
    for (at, row) in rows.into_iter().enumerate() {
        let mut place = Vec::with_capacity(keys.len().saturating_add(1));
        for key in &keys {
            place.push(key.get(row)?.into_owned());
        }
        place.push(ids.get(at)?.into_owned());
        if top.wants(&place) {
            let row = positions.get(row).copied().ok_or_else(|| missing("the position of a row"))?;
            top.push(Candidate { keys: place, row: RowAt::Segment { segment, row } });
        }
    }
    Ok(())
}

/// The selected rows that come after where the page starts and not after the last row wanted.
fn within(
    scan: &mut SegmentScan<'_>,
    keys: &[KeyColumn],
    selected: &Selected,
    query: &Query,
    top: &mut TopRows<'_>,
) -> Result<Vec<usize>> {
    let bound = top.bound().map(<[OrderKey]>::to_vec);
    if query.after.is_none() && bound.is_none() {
        return Ok((0..selected.count).collect());
    }
    // Ids are read only where the fields do not tell.
    let mut ids = None;
    let mut rows = Vec::new();
    for row in 0..selected.count {
        let mut against = |place: &Option<Vec<OrderKey>>| -> Result<Option<Ordering>> {
            let Some(place) = place else { return Ok(None) };
            let order = compare_fields(keys, row, query, place)?;
            if order.is_ne() {
                return Ok(Some(order));
            }
            if ids.is_none() {
                let id = scan.id_position()?;
                ids = Some(scan.keys(&Field::Column(id), selected)?);
            }
            let (Some(ids), Some(id)) = (&ids, place.last()) else { return Ok(None) };
            Ok(Some(ids.get(row)?.compare(&id.borrowed())))
        };
        if against(&query.after)?.is_some_and(Ordering::is_le) {
            continue;
        }
        if against(&bound)?.is_some_and(Ordering::is_ge) {
            top.leave_out();
            continue;
        }
        rows.push(row);
    }
    Ok(rows)
}

fn compare_fields(keys: &[KeyColumn], row: usize, query: &Query, place: &[OrderKey]) -> Result<Ordering> {
    for ((key, order), other) in keys.iter().zip(&query.order_by).zip(place) {
        let found = key.compare_with(row, other)?;
        if found.is_ne() {
            return Ok(if order.descending { found.reverse() } else { found });
        }
    }
    Ok(Ordering::Equal)
}

/// Keeps of the rows no more than are wanted, the first ones.
fn keep_first(keys: &[KeyColumn], query: &Query, rows: &mut Vec<usize>, top: &mut TopRows<'_>) {
    let capacity = top.capacity();
    let Some(last) = capacity.checked_sub(1).filter(|_| rows.len() > capacity) else { return };
    rows.select_nth_unstable_by(last, |left, right| {
        let fields = keys.iter().zip(&query.order_by).map(|(key, order)| {
            let found = key.compare(*left, *right);
            if order.descending { found.reverse() } else { found }
        });
        // Rows of a segment are in the order of ids.
        fields.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| left.cmp(right))
    });
    rows.truncate(capacity);
    top.leave_out();
}

/// Reading a segment in the order of ids.
pub(in super::super) struct IdScan;

impl IdScan {
    /// Offers the rows of segment number `segment` after where the page starts to the first rows by id; tells whether
    /// there are any.
    pub(in super::super) fn scan(
        scan: &mut SegmentScan<'_>,
        segment: usize,
        node: &Node<'_>,
        query: &Query,
        top: &mut TopRows<'_>,
        meter: &mut Meter,
    ) -> Result<bool> {
        let id = scan.id_position()?;
        if let Some(after) = query.after_id()
            && scan.is_before(id, after, meter)?
        {
            return Ok(false);
        }
        let every = node.always_holds();
        let selected = scan.select(node, meter)?;
        if !every {
            meter.look(scan.source.live().count());
        }
        if selected.count == 0 {
            return Ok(true);
        }
        scan.load([id], meter)?;
        let start = match query.after_id() {
            Some(after) => scan.first_row(id, |found| found <= after.as_bytes())?,
            None => 0,
        };
        let mut taken = Bitmap::repeated(false, selected.rows.len());
        let mut left = top.capacity();
        let mut positions = Vec::new();
        for row in selected.rows.positions().skip_while(|row| *row < start) {
            if left == 0 {
                top.leave_out();
                break;
            }
            left = left.saturating_sub(1);
            taken.set(row, true);
            positions.push(row);
        }
        if every {
            meter.look(positions.len());
        }
        let ids = scan.keys(&Field::Column(id), &Selected::new(taken))?;
        for (at, row) in positions.into_iter().enumerate() {
            let keys = vec![ids.get(at)?.into_owned()];
            if top.wants(&keys) {
                top.push(Candidate { keys, row: RowAt::Segment { segment, row } });
            }
        }
        Ok(true)
    }

    /// The greatest id of a segment that is less than `end`.
    pub(in super::super) fn last_before(
        scan: &mut SegmentScan<'_>,
        end: &[u8],
        meter: &mut Meter,
    ) -> Result<Option<String>> {
        let id = scan.id_position()?;
        scan.load([id], meter)?;
        let first = scan.first_row(id, |found| found < end)?;
        let Some(last) = first.checked_sub(1) else { return Ok(None) };
        match blob(scan.source, &scan.loaded, id)?.value(id, last)?.value {
            Some(Scalar::Text(text)) => Ok(Some(text.into_owned())),
            _ => Err(missing("the id of a row")),
        }
    }
}

impl SegmentScan<'_> {
    fn id_position(&self) -> Result<usize> {
        self.source.index().position(ID).ok_or_else(|| missing("a column of ids"))
    }

    /// Whether no id is greater than `after`.
    fn is_before(&mut self, id: usize, after: &str, meter: &mut Meter) -> Result<bool> {
        if let (_, Some(OrderKey::Text(greatest))) = first_key_bounds(self.source, &Field::Column(id)) {
            return Ok(greatest.as_str() <= after);
        }
        self.load([id], meter)?;
        Ok(self.first_row(id, |found| found <= after.as_bytes())? == self.source.index().rows())
    }

    /// The first row whose id does not satisfy what the ids of a beginning of the rows do.
    fn first_row(&self, id: usize, holds: impl Fn(&[u8]) -> bool) -> Result<usize> {
        let blob = blob(self.source, &self.loaded, id)?;
        let (mut low, mut high) = (0, blob.rows());
        while low < high {
            let middle = low.midpoint(high);
            let found = match blob.value(id, middle)?.value {
                Some(Scalar::Text(text)) => holds(text.as_bytes()),
                _ => return Err(missing("the id of a row")),
            };
            if found { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}
