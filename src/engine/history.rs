//! Reads of the past.

use std::ops::ControlFlow;

use super::Engine;
use super::query::{Execution, Filter, Query, QueryAnswer};
use crate::error::{ErrorKind, Result, StorageError};
use crate::snapshots::Wanted;
use crate::types::{Document, StorageTier};

pub use crate::snapshots::AsOf;

impl Engine {
    /// One document as of a moment.
    pub async fn get_as_of(&self, collection: &str, id: &str, as_of: AsOf) -> Result<Option<Document>> {
        self.check_past(as_of)?;
        let is_it = Filter::is_id(id);
        let wanted = Wanted { id: Some(id), may_match: &|statistics| is_it.may_match(statistics) };
        let mut found = None;
        let mut take = |document| {
            found = Some(document);
            Ok(ControlFlow::Break(()))
        };
        self.snapshotter.scan_as_of(collection, as_of, &wanted, &mut take).await?;
        Ok(found)
    }

    /// Answers a query over a collection as of a moment.
    pub async fn query_as_of(&self, collection: &str, query: &Query, as_of: AsOf) -> Result<QueryAnswer> {
        self.check_past(as_of)?;
        let mut execution = Execution::new(query, self.budget(), false);
        let wanted = Wanted { id: None, may_match: &|statistics| query.may_match(statistics) };
        let mut push = |document| execution.push(&document);
        let stats = self.snapshotter.scan_as_of(collection, as_of, &wanted, &mut push).await?;
        execution.count(stats.files_scanned, stats.files_pruned);
        execution.finish()
    }

    /// Refuses a moment that is yet to come: what is asked for could still change.
    fn check_past(&self, as_of: AsOf) -> Result<()> {
        let (what, last) = match as_of {
            AsOf::Time(moment) if moment > self.now_ms() => (moment, self.now_ms()),
            AsOf::Sequence(sequence) if sequence > self.last_sequence()? => (sequence, self.last_sequence()?),
            _ => return Ok(()),
        };
        let message = format!("expected asOf to be at most {last}, the present, got {what}");
        Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read the past", message))
    }
}
