//! Reads of the past.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::Engine;
use super::query::{Execution, Filter, Query, QueryAnswer};
use crate::error::{ErrorKind, Result, StorageError};
use crate::snapshots::named::unknown;
use crate::snapshots::{Moment, Wanted, replanning};
use crate::types::{Document, Sequence, StorageTier, Timestamp};

/// A moment of an object's past, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Everything that was committed at or before a time, Unix ms.
    Time(Timestamp),
    /// The state right after an event.
    Sequence(Sequence),
    /// The state that a named snapshot is of.
    Snapshot(Uuid),
}

impl Engine {
    /// One document as of a moment.
    pub async fn get_as_of(&self, collection: &str, id: &str, as_of: AsOf) -> Result<Option<Document>> {
        let moment = self.moment(as_of)?;
        let is_it = Filter::is_id(id);
        let wanted = Wanted { id: Some(id), may_match: &|statistics| is_it.may_match(statistics) };
        replanning(async || {
            let mut found = None;
            let mut take = |document: Document| {
                found = Some(document);
                Ok(ControlFlow::Break(()))
            };
            self.snapshotter.scan_as_of(collection, moment, &wanted, &mut take).await?;
            Ok(found)
        })
        .await
    }

    /// Answers a query over a collection as of a moment.
    pub async fn query_as_of(&self, collection: &str, query: &Query, as_of: AsOf) -> Result<QueryAnswer> {
        self.within_time(self.query_past(collection, query, as_of)).await
    }

    async fn query_past(&self, collection: &str, query: &Query, as_of: AsOf) -> Result<QueryAnswer> {
        let moment = self.moment(as_of)?;
        let wanted = Wanted { id: None, may_match: &|statistics| query.may_match(statistics) };
        replanning(async || {
            let mut execution = Execution::new(query, self.budget(), false);
            let mut push = |document: Document| execution.push(&document);
            let stats = self.snapshotter.scan_as_of(collection, moment, &wanted, &mut push).await?;
            execution.count(stats.files_scanned, stats.files_pruned);
            execution.finish()
        })
        .await
    }

    /// The moment that is asked for. One that is yet to come is refused: what is asked for could still change.
    pub(super) fn moment(&self, as_of: AsOf) -> Result<Moment> {
        let (what, last) = match as_of {
            AsOf::Time(time) if time > self.now_ms() => (time, self.now_ms()),
            AsOf::Sequence(sequence) if sequence > self.last_sequence()? => (sequence, self.last_sequence()?),
            AsOf::Time(time) => return Ok(Moment::Time(time)),
            AsOf::Sequence(sequence) => return Ok(Moment::Sequence(sequence)),
            AsOf::Snapshot(id) => {
                let snapshot = self.snapshotter.snapshot(id)?.ok_or_else(|| unknown(id))?;
                return Ok(Moment::Named(id, snapshot.sequence));
            }
        };
        let message = format!("expected asOf to be at most {last}, the present, got {what}");
        Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read the past", message))
    }
}
