//! Queries over documents: what is asked ([`Query`]), and an [`Execution`] that is fed documents from any tier.
//!
//! NULL and an absent field are the same and follow SQL's three-valued logic. Numbers compare by value across
//! spellings, strings by bytes. Values of different kinds are never equal and in no order to each other.

mod execution;
mod filter;
mod order;
mod path;
mod prune;
pub mod source;

pub use execution::{Budget, Execution, QueryAnswer, QueryStats};
pub use filter::{Comparison, Filter, Operand};
pub use order::{OrderBy, OrderKey};
pub use path::FieldPath;
pub use source::SegmentSource;

/// A query over one collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// The fields wanted; `None` for whole documents.
    pub select: Option<Vec<FieldPath>>,
    /// Which documents.
    pub filter: Option<Filter>,
    /// In which order; by id at last.
    pub order_by: Vec<OrderBy>,
    /// At most so many rows.
    pub limit: usize,
    /// After which row of this order.
    pub after: Option<Vec<OrderKey>>,
}

impl Query {
    /// The id after which to go on, when documents are wanted in the order of ids.
    pub fn after_id(&self) -> Option<&str> {
        match (self.order_by.is_empty(), self.after.as_deref()) {
            (true, Some([OrderKey::Text(id)])) => Some(id),
            _ => None,
        }
    }
}
