//! Queries over the tier asked for.
//!
//! Evicted documents are read first, over some turns, and the others in one turn after. That turn goes on only when the
//! evicted documents are still those that were read; so the answer is of its moment.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;

use super::query::{Budget, Execution, Query, QueryAnswer, run_hot_after};
use super::{AsOf, Engine, Tier};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::QuerySources;
use crate::hot::directory::Segment;
use crate::snapshots::{EvictedFiles, Replans, replanning};
use crate::types::statistics::ColumnStatistics;
use crate::types::{Document, StorageTier};

/// How often a query begins again because evicted documents were changed while it read them. Then it reads the present as if
/// it were the past, which takes longer, but does not change.
const TRIES: usize = 4;

impl Engine {
    /// Answers a query over one collection, within the time that is configured; one that does not exist is empty.
    pub async fn query(&self, collection: &str, query: &Query, tier: Tier) -> Result<QueryAnswer> {
        self.within_time(self.query_tier(collection, query, tier)).await
    }

    async fn query_tier(&self, collection: &str, query: &Query, tier: Tier) -> Result<QueryAnswer> {
        match tier {
            Tier::Hot => self.query_rest(collection, query, Execution::new(query, self.budget(), true)),
            Tier::Cold => self.query_cold(collection, query).await,
            Tier::Current => self.query_current(collection, query).await,
        }
    }

    /// Ends a query that is not done when its time is. The time is looked at before each of its turns: it passes only while
    /// the query waits.
    pub(super) async fn within_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (started, limit) = (self.now_ms(), self.config.timeouts.query_ms);
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            let took = self.now_ms().saturating_sub(started);
            if took <= limit {
                return work.as_mut().poll(context);
            }
            let message =
                format!("expected the query to be done within timeouts.queryMs = {limit}, got {took} ms; ask for less");
            Poll::Ready(Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "query", message)))
        })
        .await
    }

    pub(super) fn budget(&self) -> Budget {
        Budget { max_rows: self.config.query.max_rows, max_bytes: self.config.query.max_decoded_bytes }
    }

    async fn query_cold(&self, collection: &str, query: &Query) -> Result<QueryAnswer> {
        replanning(async || self.query_published(collection, query).await).await
    }

    async fn query_published(&self, collection: &str, query: &Query) -> Result<QueryAnswer> {
        let mut execution = Execution::new(query, self.budget(), false);
        let stats = self
            .snapshotter
            .scan_published(collection, &|statistics| query.may_match(statistics), &mut |document: Document| {
                execution.push(&document)
            })
            .await?;
        execution.count(stats.files_scanned, stats.files_pruned);
        execution.finish()
    }

    async fn query_current(&self, collection: &str, query: &Query) -> Result<QueryAnswer> {
        let mut replans = Replans::default();
        for _ in 0..TRIES {
            let evicted = self.hot.evicted_segments(collection)?;
            let mut execution = Execution::new(query, self.budget(), true);
            match self.look_at_evicted(query, &evicted, &mut execution).await {
                Err(error) if replans.again(&error) => continue,
                looked => looked?,
            }
            if self.hot.evicted_segments(collection)? == evicted {
                return self.query_rest(collection, query, execution);
            }
        }
        self.query_as_of(collection, query, AsOf::Sequence(self.last_sequence()?)).await
    }

    /// In one turn, so that the answer is of one moment.
    fn query_rest(&self, collection: &str, query: &Query, execution: Execution<'_>) -> Result<QueryAnswer> {
        let before = self.counters();
        let QuerySources { segments, mut rows } = self.hot.query_sources(collection, query)?;
        let mut answer = run_hot_after(execution, &segments, rows.as_mut())?;
        answer.stats.set_rows_read(self.counters().since(before).rows_read);
        Ok(answer)
    }

    async fn look_at_evicted(
        &self,
        query: &Query,
        segments: &[Rc<Segment>],
        execution: &mut Execution<'_>,
    ) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        if query.is_by_id() && query.filter.is_none() {
            // The ids tell which documents the page can have, and one more tells that there are more.
            let limit = query.limit.saturating_add(1);
            let (rows, cut_after) = self.hot.first_evicted_rows(segments, query.after_id(), limit)?;
            if let Some(last) = &cut_after {
                execution.stop_after(last);
            }
            let mut look = |document: Document| execution.push_unordered(&document).map(ControlFlow::Continue);
            let files = EvictedFiles::of(&rows)?;
            let stats = self.snapshotter.scan_evicted(&files, None, &|_| true, &mut look).await?;
            execution.count(stats.files_scanned, 0);
            return Ok(());
        }
        let fields: Option<Vec<&str>> = query.fields().map(|fields| fields.into_iter().collect());
        let may_match = |statistics: &dyn ColumnStatistics| query.may_match(statistics);
        let mut files = EvictedFiles::default();
        for segment in segments {
            let is_before = query.after_id().is_some_and(|after| segment.last_id.as_str() <= after);
            if is_before || !self.hot.may_answer(query, segment)? {
                execution.count(0, 1);
                continue;
            }
            files.add_current(segment)?;
        }
        let mut look = |document: Document| execution.push_unordered(&document).map(ControlFlow::Continue);
        let stats = self.snapshotter.scan_evicted(&files, fields.as_deref(), &may_match, &mut look).await?;
        execution.count(stats.files_scanned, stats.files_pruned);
        Ok(())
    }
}
