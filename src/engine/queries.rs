//! Queries over the tier asked for.

use super::query::{Budget, Execution, Query, QueryAnswer};
use super::{Engine, Tier};
use crate::error::Result;
use crate::hot::HotStore;

impl Engine {
    /// Answers a query over one collection; one that does not exist is empty.
    pub async fn query(&self, collection: &str, query: &Query, tier: Tier) -> Result<QueryAnswer> {
        let budget = Budget { max_rows: self.config.query.max_rows, max_bytes: self.config.query.max_decoded_bytes };
        match tier {
            Tier::Current | Tier::Hot => query_hot(&self.hot, collection, query, budget),
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
        Ok(execution.finish())
    }
}

/// In one turn, so that the answer is of one moment.
fn query_hot(hot: &HotStore, collection: &str, query: &Query, budget: Budget) -> Result<QueryAnswer> {
    let mut execution = Execution::new(query, budget, true);
    let mut after = query.after_id().map(str::to_owned);
    loop {
        let page = hot.page(collection, after.as_deref())?;
        let Some(last) = page.documents.last() else { return Ok(execution.finish()) };
        after = Some(last.id.clone());
        for document in &page.documents {
            if execution.push(document)?.is_break() {
                return Ok(execution.finish());
            }
        }
    }
}
