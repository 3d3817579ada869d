//! Documents that come in the order of a query's first key: they are looked at until no further one can matter.
//!
//! Invariant: documents whose first values the order does not tell apart are looked at all before a page ends after
//! them, so that no end and no cursor leaves one of them out.

use super::execution::Found;
use super::hot::{Hot, RowSource, add};
use super::meter::QueryStats;
use super::order::OrderKey;
use crate::error::Result;
use crate::types::Json;

impl Hot<'_, '_> {
    /// Feeds documents in order. Tells up to which place all were looked at, where the budget ended that.
    pub(super) fn feed_in_order(&mut self, rows: &mut dyn RowSource) -> Result<Option<Vec<OrderKey>>> {
        // What was looked at in no order is not of the page, nor is what the page before has looked at.
        let mut aside = std::mem::take(&mut self.execution.meter.stats);
        let pause = self.walk(rows, &mut aside);
        add(&mut self.execution.meter.stats, &aside);
        pause
    }

    fn walk(&mut self, rows: &mut dyn RowSource, aside: &mut QueryStats) -> Result<Option<Vec<OrderKey>>> {
        let begin = self.query.after.clone().unwrap_or_default();
        // The last place of the values at hand, which are not told apart, and of all before them. An empty one is before all.
        let (mut latest, mut complete) = (Vec::new(), begin.clone());
        let (mut limit, mut is_new) = (self.query.limit.saturating_add(1), false);
        loop {
            let page = rows.next_in_order(limit)?;
            if page.is_empty() {
                return Ok(None);
            }
            limit = limit.saturating_mul(2);
            for document in &page {
                let parsed = Json::parse(&document.text)?;
                let place = self.execution.place(document, &parsed);
                if !is_new && !alike(rows, &place, &begin) {
                    is_new = true;
                    add(aside, &std::mem::take(&mut self.execution.meter.stats));
                }
                if !alike(rows, &place, &latest) {
                    if self.ends_before(rows, &place) {
                        return Ok(None);
                    }
                    complete = self.later(complete, std::mem::take(&mut latest));
                }
                latest = self.later(latest, place);
                self.execution.look_at_parsed(document, &parsed)?;
                if self.execution.meter.is_exceeded() {
                    // A page may end anywhere, once it is beyond the one before.
                    let is_beyond = self.query.compare(&complete, &begin).is_gt();
                    return if is_beyond { Ok(Some(complete)) } else { self.execution.meter.check().map(|()| None) };
                }
            }
        }
    }

    /// Whether all rows that are wanted come before a place and those alike it.
    fn ends_before(&mut self, rows: &dyn RowSource, place: &[OrderKey]) -> bool {
        let Found::Rows(top) = &mut self.execution.found else { return false };
        let ends =
            top.bound().is_some_and(|bound| self.query.compare(bound, place).is_lt() && !alike(rows, bound, place));
        if ends {
            top.leave_out();
        }
        ends
    }

    fn later(&self, left: Vec<OrderKey>, right: Vec<OrderKey>) -> Vec<OrderKey> {
        if self.query.compare(&left, &right).is_ge() { left } else { right }
    }
}

/// Whether the first values of two places are not told apart.
fn alike(rows: &dyn RowSource, left: &[OrderKey], right: &[OrderKey]) -> bool {
    matches!((left.first(), right.first()), (Some(left), Some(right)) if rows.are_alike(left, right))
}
