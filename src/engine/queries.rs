//! Queries over the tier asked for.

use super::query::{Budget, Execution, Query, QueryAnswer, run_hot};
use super::{Engine, Tier};
use crate::error::Result;
use crate::hot::QuerySources;

impl Engine {
    /// Answers a query over one collection; one that does not exist is empty.
    pub async fn query(&self, collection: &str, query: &Query, tier: Tier) -> Result<QueryAnswer> {
        let budget = Budget { max_rows: self.config.query.max_rows, max_bytes: self.config.query.max_decoded_bytes };
        match tier {
            Tier::Current | Tier::Hot => self.query_hot(collection, query, budget),
            Tier::Cold => self.query_cold(collection, query, budget).await,
        }
    }

    async fn query_cold(&self, collection: &str, query: &Query, budget: Budget) -> Result<QueryAnswer> {
        let mut execution = Execution::new(query, budget, false);
        let stats = self
            .snapshotter
            .scan_published(
                collection,
                &|statistics| query.filter.as_ref().is_none_or(|filter| filter.may_match(statistics)),
                &mut |document| execution.push(&document),
            )
            .await?;
        execution.count(stats.files_scanned, stats.files_pruned);
        execution.finish()
    }

    /// In one turn, so that the answer is of one moment.
    fn query_hot(&self, collection: &str, query: &Query, budget: Budget) -> Result<QueryAnswer> {
        let before = self.counters();
        let QuerySources { segments, mut rows } = self.hot.query_sources(collection, query.filter.as_ref())?;
        let mut answer = run_hot(query, budget, &segments, rows.as_mut())?;
        answer.stats.set_rows_read(self.counters().since(before).rows_read);
        Ok(answer)
    }
}
