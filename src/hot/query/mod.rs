//! Queries over documents: what is asked ([`Query`]), an [`Execution`] that is fed documents from any tier, and
//! [`run_hot`], which reads segments column by column.
//!
//! NULL and an absent field are the same and follow SQL's three-valued logic. Numbers compare by value across
//! spellings, strings by bytes. Values of different kinds are never equal and in no order to each other.
//!
//! Invariant: where a document lies, in row form or in which segment, changes no answer. So a column's value is what its
//! canonical text says, sums are exact until they are told, and what is told of a group is the canonical text of its
//! values. Only stats tell segments from rows.

mod aggregate;
mod exact_sum;
mod execution;
mod filter;
mod group;
mod hot;
mod in_order;
mod meter;
mod order;
mod path;
mod prune;
mod segment;
pub mod source;
mod top;

use std::collections::BTreeSet;

pub use aggregate::{Aggregate, AggregateFunction};
pub use execution::{Execution, QueryAnswer};
pub use filter::{Comparison, Filter, Operand, Operands};
pub use group::{GROUP_STATE_MAX_BYTES, GROUPS_MAX};
pub use hot::{RowSource, may_answer, run_hot, run_hot_after};
pub use meter::{Budget, QueryStats};
pub use order::{KeyRef, OrderBy, OrderKey};
pub use path::FieldPath;
pub use source::SegmentSource;

use crate::types::statistics::ColumnStatistics;

/// A query over one collection: of documents or, with group keys or aggregates, of groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// The fields wanted; `None` for whole documents.
    pub select: Option<Vec<FieldPath>>,
    /// Which documents.
    pub filter: Option<Filter>,
    /// The fields whose values make a group.
    pub group_by: Vec<FieldPath>,
    /// What is told of a group; without group keys all documents are one.
    pub aggregates: Vec<Aggregate>,
    /// In which order; of groups by the names of group keys and aggregates. By id, or by the group keys, at last.
    pub order_by: Vec<OrderBy>,
    /// At most so many rows.
    pub limit: usize,
    /// After which row of this order.
    pub after: Option<Vec<OrderKey>>,
}

impl Query {
    /// Whether groups are asked for, and not documents.
    pub fn is_grouped(&self) -> bool {
        !self.group_by.is_empty() || !self.aggregates.is_empty()
    }

    /// `false` for statistics of documents none of which matches.
    pub fn may_match(&self, statistics: &dyn ColumnStatistics) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_match(statistics))
    }

    /// How many keys the place of a row in the order has.
    pub fn key_width(&self) -> usize {
        let last = if self.is_grouped() { self.group_by.len() } else { 1 };
        self.order_by.len().saturating_add(last)
    }

    /// Whether documents are wanted in the order of ids.
    pub fn is_by_id(&self) -> bool {
        self.order_by.is_empty() && !self.is_grouped()
    }

    /// The id after which to go on, when documents are wanted in the order of ids.
    pub fn after_id(&self) -> Option<&str> {
        match (self.is_by_id(), self.after.as_deref()) {
            (true, Some([OrderKey::Text(id)])) => Some(id),
            _ => None,
        }
    }

    /// The fields of a document that matter to the query, as members of the document by name; `None` when all do.
    pub fn fields(&self) -> Option<BTreeSet<&str>> {
        let mut paths: Vec<&FieldPath> = Vec::new();
        if !self.is_grouped() {
            paths.extend(self.select.as_ref()?);
        }
        paths.extend(&self.group_by);
        paths.extend(self.aggregates.iter().filter_map(|aggregate| aggregate.column.as_ref()));
        paths.extend(self.order_by.iter().map(|order| &order.path));
        if let Some(filter) = &self.filter {
            filter.visit_paths(&mut |path| paths.push(path));
        }
        // A path is the name of a member with dots, or leads into the member before its first dot.
        let names = paths.into_iter().flat_map(|path| [Some(path.as_str()), path.as_str().split('.').next()]);
        Some(crate::types::sorting::set_of(names.flatten()))
    }

    /// The order of two rows by their keys.
    fn compare(&self, left: &[OrderKey], right: &[OrderKey]) -> std::cmp::Ordering {
        for (position, (left, right)) in left.iter().zip(right).enumerate() {
            let descending = self.order_by.get(position).is_some_and(|order| order.descending);
            let order = if descending { right.compare(left) } else { left.compare(right) };
            if order.is_ne() {
                return order;
            }
        }
        left.len().cmp(&right.len())
    }
}
