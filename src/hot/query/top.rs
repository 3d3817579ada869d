//! The first rows of an order after a given place: never many more than asked for, nor many more bytes than a page holds.

use super::Query;
use super::order::OrderKey;
use crate::limits::PAGE_MAX_BYTES;

/// Where the text of a row comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RowAt {
    /// It is this.
    Text(String),
    /// From a row of a segment, once it is known to be answered.
    Segment { segment: usize, row: usize },
}

/// A row that may be answered, and its place in the order.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub keys: Vec<OrderKey>,
    pub row: RowAt,
}

impl Candidate {
    fn size(&self) -> usize {
        let text = match &self.row {
            RowAt::Text(text) => text.len(),
            RowAt::Segment { .. } => 0,
        };
        self.keys.iter().map(OrderKey::size).fold(text, usize::saturating_add)
    }
}

/// Rows kept beyond those asked for before the last of them are let go, at least.
const SLACK: usize = 64;

/// The first rows.
pub(super) struct TopRows<'q> {
    query: &'q Query,
    kept: Vec<Candidate>,
    /// How many are wanted; less once so many are known to fill a page.
    capacity: usize,
    bytes: usize,
    /// The last of as many as are wanted: nothing after it matters.
    bound: Option<Vec<OrderKey>>,
    left_out: bool,
}

impl<'q> TopRows<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        Self { query, kept: Vec::new(), capacity: query.limit, bytes: 0, bound: None, left_out: false }
    }

    /// How many rows are wanted.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The keys of the last row wanted, once there are as many as wanted.
    pub(super) fn bound(&self) -> Option<&[OrderKey]> {
        self.bound.as_deref()
    }

    /// Notes that a row belongs after those kept.
    pub(super) fn leave_out(&mut self) {
        self.left_out = true;
    }

    /// Whether a row of these keys may be answered.
    pub(super) fn wants(&mut self, keys: &[OrderKey]) -> bool {
        if self.query.after.as_ref().is_some_and(|after| self.query.compare(keys, after).is_le()) {
            return false;
        }
        let late = self.bound.as_ref().is_some_and(|bound| self.query.compare(keys, bound).is_ge());
        self.left_out |= late || self.capacity == 0;
        !late && self.capacity > 0
    }

    /// Adds a row that is [wanted](Self::wants).
    pub(super) fn push(&mut self, candidate: Candidate) {
        self.bytes = self.bytes.saturating_add(candidate.size());
        self.kept.push(candidate);
        let full = self.bound.is_none() && self.kept.len() >= self.capacity;
        let many = self.kept.len() >= self.capacity.saturating_mul(2).max(self.capacity.saturating_add(SLACK));
        if full || many || self.bytes > PAGE_MAX_BYTES.saturating_mul(2) {
            self.compact();
        }
    }

    /// Lets go what does not belong to the first.
    fn compact(&mut self) {
        let Some(last) = self.capacity.checked_sub(1) else { return };
        let query = self.query;
        let order = |left: &Candidate, right: &Candidate| query.compare(&left.keys, &right.keys);
        if last < self.kept.len() {
            self.kept.select_nth_unstable_by(last, order);
            self.left_out |= self.kept.len() > self.capacity;
            self.kept.truncate(self.capacity);
            self.bound = self.kept.last().map(|candidate| candidate.keys.clone());
        }
        self.bytes = self.kept.iter().map(Candidate::size).fold(0, usize::saturating_add);
        if self.bytes > PAGE_MAX_BYTES {
            self.kept.sort_unstable_by(order);
            self.cut_to_page();
        }
    }

    /// Of rows in order, keeps those that a page has room for.
    fn cut_to_page(&mut self) {
        while self.bytes > PAGE_MAX_BYTES && self.kept.len() > 1 {
            if let Some(last) = self.kept.pop() {
                self.bytes = self.bytes.saturating_sub(last.size());
            }
            self.left_out = true;
            self.capacity = self.kept.len();
            self.bound = self.kept.last().map(|candidate| candidate.keys.clone());
        }
    }

    /// The rows in order, and whether others come after them.
    pub(super) fn finish(mut self) -> (Vec<Candidate>, bool) {
        self.compact();
        let query = self.query;
        self.kept.sort_unstable_by(|left, right| query.compare(&left.keys, &right.keys));
        self.cut_to_page();
        (self.kept, self.left_out)
    }
}
