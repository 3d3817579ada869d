//! What a run did, counted.

use std::cell::Cell;
use std::fmt;

#[derive(Default)]
pub struct Count(Cell<u64>);

impl Count {
    pub fn add(&self, count: usize) {
        self.0.set(self.0.get() + count as u64);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get().fmt(formatter)
    }
}

/// Operations are changes of one document that were sent, refused ones too, and declarations, drops and archivings.
/// Reads are answers compared: documents by id, pages of queries and of the feed, descriptions of collections.
#[derive(Default)]
pub struct Tally {
    pub histories: Count,
    pub steps: Count,
    pub operations: Count,
    pub refused: Count,
    pub events: Count,
    pub reads: Count,
    pub queries: Count,
    pub rows: Count,
    pub sealed: Count,
    pub renamed: Count,
    pub dropped: Count,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, steps, operations, refused, events, reads, queries, rows, sealed, renamed, dropped } =
            self;
        write!(
            formatter,
            "{histories} histories, {steps} steps, {operations} operations, {refused} refused, {events} events, \
             {reads} reads, {queries} queries, {rows} rows compared, {sealed} times documents seen in segments, \
             {renamed} columns renamed, {dropped} dropped"
        )
    }
}
