//! Running a query over documents that are pushed into it.
//!
//! Documents that come in the order wanted stream through; otherwise the best so far are kept, never more than the
//! limit nor more bytes than a page holds. Work is counted in rows and bytes, because clocks stand still meanwhile.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::Query;
use super::order::OrderKey;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::PAGE_MAX_BYTES;
use crate::types::json::write_string;
use crate::types::{Document, Json, StorageTier};

/// What a query may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Rows looked at.
    pub max_rows: u64,
    /// Bytes of documents decoded.
    pub max_bytes: u64,
}

/// What a query did cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Documents looked at.
    pub rows_read: u64,
    /// Segments read.
    pub segments_scanned: u64,
    /// Segments skipped by their statistics.
    pub segments_pruned: u64,
    /// Data files read.
    pub files_scanned: u64,
    /// Data files skipped by their statistics.
    pub files_pruned: u64,
    /// Bytes of documents and columns decoded.
    pub bytes_decoded: u64,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryAnswer {
    /// The rows as JSON text.
    pub rows: Vec<String>,
    /// After which row to go on; `None` when there is no more.
    pub next: Option<Vec<OrderKey>>,
    /// What it cost.
    pub stats: QueryStats,
}

struct Candidate {
    keys: Vec<OrderKey>,
    row: String,
}

/// A query on its way.
pub struct Execution<'q> {
    query: &'q Query,
    budget: Budget,
    sorted_input: bool,
    /// The rows found, in order.
    best: Vec<Candidate>,
    /// How many rows may be kept; shrinks when they are large.
    capacity: usize,
    bytes: usize,
    /// Whether a row that belongs after the kept ones was left out.
    left_out: bool,
    /// Where a query in the order of ids stopped for its budget.
    stopped_after: Option<String>,
    stats: QueryStats,
}

impl<'q> Execution<'q> {
    /// Starts a query. `sorted_input` says that documents will come in the order of ids, from `after_id` on.
    pub fn new(query: &'q Query, budget: Budget, sorted_input: bool) -> Self {
        Self {
            query,
            budget,
            sorted_input: sorted_input && query.order_by.is_empty(),
            best: Vec::new(),
            capacity: query.limit,
            bytes: 0,
            left_out: false,
            stopped_after: None,
            stats: QueryStats::default(),
        }
    }

    /// Looks at a document; breaks when no further one can matter.
    pub fn push(&mut self, document: &Document) -> Result<ControlFlow<()>> {
        if self.sorted_input && self.best.len() >= self.capacity {
            self.left_out = true;
            return Ok(ControlFlow::Break(()));
        }
        self.stats.rows_read = self.stats.rows_read.saturating_add(1);
        self.stats.bytes_decoded =
            self.stats.bytes_decoded.saturating_add(u64::try_from(document.text.len()).unwrap_or(u64::MAX));
        let parsed = Json::parse(&document.text)?;
        if self.query.filter.as_ref().is_none_or(|filter| filter.evaluate(&parsed) == Some(true)) {
            self.take(document, &parsed);
        }
        self.check_budget(document)
    }

    fn take(&mut self, document: &Document, parsed: &Json<'_>) {
        let mut keys: Vec<OrderKey> =
            self.query.order_by.iter().map(|order| OrderKey::of(order.path.find(parsed))).collect();
        keys.push(OrderKey::Text(document.id.clone()));
        if self.query.after.as_ref().is_some_and(|after| self.compare(&keys, after).is_le()) {
            return;
        }
        let place = self.best.partition_point(|candidate| self.compare(&candidate.keys, &keys).is_lt());
        if place >= self.capacity {
            self.left_out = true;
            return;
        }
        let row = self.project(document, parsed);
        self.bytes = self.bytes.saturating_add(size(&keys, &row));
        self.best.insert(place, Candidate { keys, row });
        while self.best.len() > self.capacity || (self.bytes > PAGE_MAX_BYTES && self.best.len() > 1) {
            if let Some(last) = self.best.pop() {
                self.bytes = self.bytes.saturating_sub(size(&last.keys, &last.row));
            }
            self.capacity = self.best.len();
            self.left_out = true;
        }
    }

    fn compare(&self, left: &[OrderKey], right: &[OrderKey]) -> Ordering {
        for (position, (left, right)) in left.iter().zip(right).enumerate() {
            let descending = self.query.order_by.get(position).is_some_and(|order| order.descending);
            let order = if descending { right.compare(left) } else { left.compare(right) };
            if order.is_ne() {
                return order;
            }
        }
        left.len().cmp(&right.len())
    }

    fn project(&self, document: &Document, parsed: &Json<'_>) -> String {
        let Some(select) = &self.query.select else { return document.text.clone() };
        let mut row = String::from("{");
        for (position, path) in select.iter().enumerate() {
            if position > 0 {
                row.push(',');
            }
            write_string(path.as_str(), &mut row);
            row.push(':');
            path.find(parsed).unwrap_or(&Json::Null).write(&mut row);
        }
        row.push('}');
        row
    }

    fn check_budget(&mut self, document: &Document) -> Result<ControlFlow<()>> {
        let exceeded = if self.stats.rows_read > self.budget.max_rows {
            Some(("query.maxRows", self.budget.max_rows))
        } else if self.stats.bytes_decoded > self.budget.max_bytes {
            Some(("query.maxDecodedBytes", self.budget.max_bytes))
        } else {
            None
        };
        match exceeded {
            None => Ok(ControlFlow::Continue(())),
            // In the order of ids a page can end anywhere.
            Some(_) if self.sorted_input => {
                self.stopped_after = Some(document.id.clone());
                Ok(ControlFlow::Break(()))
            }
            Some((key, limit)) => Err(StorageError::new(
                ErrorKind::Unavailable,
                StorageTier::Hot,
                "query",
                format!(
                    "expected the query to stay within {key} = {limit}, got more work; narrow its condition, or raise {key}"
                ),
            )),
        }
    }

    /// Adds what the tier that feeds this query has counted.
    pub fn count(&mut self, files_scanned: u64, files_pruned: u64) {
        self.stats.files_scanned = self.stats.files_scanned.saturating_add(files_scanned);
        self.stats.files_pruned = self.stats.files_pruned.saturating_add(files_pruned);
    }

    /// The answer.
    pub fn finish(self) -> QueryAnswer {
        let next = match (self.stopped_after, self.left_out) {
            (Some(id), _) => Some(vec![OrderKey::Text(id)]),
            (None, true) => self.best.last().map(|candidate| candidate.keys.clone()),
            (None, false) => None,
        };
        QueryAnswer { rows: self.best.into_iter().map(|candidate| candidate.row).collect(), next, stats: self.stats }
    }
}

fn size(keys: &[OrderKey], row: &str) -> usize {
    keys.iter().map(OrderKey::size).fold(row.len(), usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::{FieldPath, OrderBy};
    use super::*;

    const BUDGET: Budget = Budget { max_rows: 1_000, max_bytes: 1_000_000_000 };

    fn document(id: &str, text: String) -> Document {
        Document { id: id.to_owned(), sequence: 1, timestamp: 0, text }
    }

    fn run(query: &Query, documents: &[Document], sorted: bool) -> QueryAnswer {
        let mut execution = Execution::new(query, BUDGET, sorted);
        for document in documents {
            if execution.push(document).unwrap().is_break() {
                break;
            }
        }
        execution.finish()
    }

    fn walk(query: &Query, documents: &[Document]) -> Vec<String> {
        let mut query = query.clone();
        let mut rows = Vec::new();
        loop {
            let answer = run(&query, documents, false);
            rows.extend(answer.rows);
            match answer.next {
                Some(next) => query.after = Some(next),
                None => return rows,
            }
        }
    }

    #[test]
    fn pages_of_any_size_give_the_same_rows() {
        let documents: Vec<_> = (0..50)
            .map(|n| document(&format!("{n:02}"), format!(r#"{{"id":"{n:02}","k":{},"s":"{}"}}"#, n % 7, n % 3)))
            .collect();
        let order = |name: &str, descending| OrderBy { path: FieldPath::new(name), descending };
        let all = Query { order_by: vec![order("k", true), order("s", false)], limit: 1_000, ..Query::default() };
        let whole = walk(&all, &documents);
        assert_eq!(whole.len(), 50);
        for limit in [1, 3, 49, 50] {
            assert_eq!(walk(&Query { limit, ..all.clone() }, &documents), whole, "limit {limit}");
        }
    }

    #[test]
    fn large_rows_end_a_page_early() {
        let documents: Vec<_> = (0..20)
            .map(|n| {
                document(
                    &format!("{n:02}"),
                    format!(r#"{{"id":"{n:02}","k":{},"x":"{}"}}"#, 20 - n, "x".repeat(1_000_000)),
                )
            })
            .collect();
        let query = Query {
            order_by: vec![OrderBy { path: FieldPath::new("k"), descending: false }],
            limit: 100,
            ..Query::default()
        };
        let first = run(&query, &documents, false);
        assert_eq!(first.rows.len(), 8);
        assert_eq!(walk(&query, &documents).len(), 20);
    }

    #[test]
    fn a_budget_ends_an_ordered_query_and_pauses_one_by_id() {
        let documents: Vec<_> = (0..20).map(|n| document(&format!("{n:02}"), "{\"x\":1}".to_owned())).collect();
        let query = Query { limit: 100, ..Query::default() };
        let budget = Budget { max_rows: 5, ..BUDGET };
        let mut by_id = Execution::new(&query, budget, true);
        let looked = documents.iter().take_while(|document| by_id.push(document).unwrap().is_continue()).count();
        assert_eq!(looked, 5);
        assert_eq!(by_id.finish().next, Some(vec![OrderKey::Text("05".to_owned())]));
        let mut ordered = Execution::new(&query, budget, false);
        let error = documents.iter().find_map(|document| ordered.push(document).err()).unwrap();
        assert!(error.message().contains("query.maxRows = 5"), "{error}");
    }

    #[test]
    fn select_names_every_field_asked_for() {
        let query =
            Query { select: Some(vec![FieldPath::new("a.b"), FieldPath::new("none")]), limit: 1, ..Query::default() };
        let answer = run(&query, &[document("x", r#"{"id":"x","a":{"b":1.50}}"#.to_owned())], true);
        assert_eq!(answer.rows, [r#"{"a.b":1.50,"none":null}"#]);
    }
}
