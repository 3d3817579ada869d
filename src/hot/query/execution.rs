//! Running a query over documents that are pushed into it, in any order and from any tier.

use std::ops::ControlFlow;

use super::Query;
use super::group::Groups;
use super::meter::{Budget, Meter, QueryStats};
use super::order::{KeyRef, OrderKey};
use super::path::FieldPath;
use super::top::{Candidate, RowAt, TopRows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::json::write_string;
use crate::types::{Document, Json, StorageTier};

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

/// What becomes of the documents that satisfy the condition.
pub(super) enum Found<'q> {
    Rows(TopRows<'q>),
    Groups(Box<Groups<'q>>),
}

/// A query on its way.
pub struct Execution<'q> {
    pub(super) query: &'q Query,
    pub(super) meter: Meter,
    pub(super) found: Found<'q>,
    /// Whether documents come in the order of ids and are answered in it.
    by_id: bool,
    /// Where a query in the order of ids stopped for its budget: all up to this id was looked at.
    pub(super) stopped_after: Option<String>,
}

impl<'q> Execution<'q> {
    /// Starts a query. `sorted_input` says that documents will come in the order of ids, from `after_id` on.
    pub fn new(query: &'q Query, budget: Budget, sorted_input: bool) -> Self {
        let found = if query.is_grouped() {
            Found::Groups(Box::new(Groups::new(query)))
        } else {
            Found::Rows(TopRows::new(query))
        };
        let by_id = sorted_input && query.is_by_id();
        Self { query, meter: Meter::new(budget), found, by_id, stopped_after: None }
    }

    /// Looks at a document; breaks when no further one can matter.
    pub fn push(&mut self, document: &Document) -> Result<ControlFlow<()>> {
        if let Found::Rows(top) = &mut self.found
            && self.by_id
            && top.bound().is_some_and(|bound| matches!(bound, [OrderKey::Text(id)] if document.id > *id))
        {
            top.leave_out();
            return Ok(ControlFlow::Break(()));
        }
        self.look_at(document)?;
        if self.by_id && self.meter.is_exceeded() {
            // In the order of ids a page can end anywhere.
            self.stop_after(&document.id);
            return Ok(ControlFlow::Break(()));
        }
        self.meter.check()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Looks at a document that comes in no order, before those that come in the order of ids.
    pub fn push_unordered(&mut self, document: &Document) -> Result<()> {
        self.look_at(document)?;
        self.meter.check()
    }

    /// Says that in the order of ids not everything after this one is looked at.
    pub fn stop_after(&mut self, id: &str) {
        if self.stopped_after.as_deref().is_none_or(|known| id < known) {
            self.stopped_after = Some(id.to_owned());
        }
    }

    fn look_at(&mut self, document: &Document) -> Result<()> {
        let parsed = Json::parse(&document.text)?;
        self.look_at_parsed(document, &parsed)
    }

    pub(super) fn look_at_parsed(&mut self, document: &Document, parsed: &Json<'_>) -> Result<()> {
        self.meter.look(1);
        self.meter.decode(document.text.len());
        if self.query.filter.as_ref().is_none_or(|filter| filter.evaluate(parsed) == Some(true)) {
            self.take(document, parsed)?;
        }
        Ok(())
    }

    /// The place of a document in the order.
    pub(super) fn place(&self, document: &Document, parsed: &Json<'_>) -> Vec<OrderKey> {
        let keys = self.query.order_by.iter().map(|order| OrderKey::of(order.path.find(parsed)));
        keys.chain([OrderKey::Text(document.id.clone())]).collect()
    }

    fn take(&mut self, document: &Document, parsed: &Json<'_>) -> Result<()> {
        let keys = if self.query.is_grouped() { Vec::new() } else { self.place(document, parsed) };
        match &mut self.found {
            Found::Rows(top) => {
                if top.wants(&keys) {
                    let row = RowAt::Text(project(self.query.select.as_deref(), &document.text, parsed));
                    top.push(Candidate { keys, row });
                }
                Ok(())
            }
            Found::Groups(groups) => take_into_group(groups, parsed),
        }
    }

    /// Adds what the tier that feeds this query has counted.
    pub fn count(&mut self, files_scanned: u64, files_pruned: u64) {
        let stats = &mut self.meter.stats;
        stats.files_scanned = stats.files_scanned.saturating_add(files_scanned);
        stats.files_pruned = stats.files_pruned.saturating_add(files_pruned);
    }

    /// The answer.
    pub fn finish(self) -> Result<QueryAnswer> {
        let stopped_after = self.stopped_after.map(|id| vec![OrderKey::Text(id)]);
        let (candidates, left_out) = match self.found {
            Found::Rows(top) => top.finish(),
            Found::Groups(groups) => groups.finish()?,
        };
        let last = candidates.last().map(|candidate| candidate.keys.clone());
        let next = if left_out { last } else { stopped_after };
        let rows = candidates.into_iter().map(|candidate| match candidate.row {
            RowAt::Text(text) => Ok(text),
            RowAt::Segment { .. } => Err(StorageError::new(
                ErrorKind::Internal,
                StorageTier::Hot,
                "query",
                "expected rows of documents, got one of a segment",
            )),
        });
        Ok(QueryAnswer { rows: rows.collect::<Result<_>>()?, next, stats: self.meter.stats })
    }
}

fn take_into_group(groups: &mut Groups<'_>, parsed: &Json<'_>) -> Result<()> {
    let group = groups.group(groups.keys().iter().map(|path| KeyRef::of(path.find(parsed))))?;
    groups.add_rows(group, 1);
    for column in 0..groups.plan.columns.len() {
        let value = groups.plan.columns.get(column).and_then(|wanted| wanted.path.find(parsed));
        groups.add(group, column, &KeyRef::of(value))?;
    }
    Ok(())
}

/// A document as the row that is answered.
pub(super) fn project(select: Option<&[FieldPath]>, text: &str, parsed: &Json<'_>) -> String {
    let Some(select) = select else { return text.to_owned() };
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
        execution.finish().unwrap()
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
        assert_eq!(by_id.finish().unwrap().next, Some(vec![OrderKey::Text("05".to_owned())]));
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
