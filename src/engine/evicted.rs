//! Work over documents that may be evicted: what is missing is recalled, and the work is done again.

use super::Engine;
use crate::error::Result;
use crate::hot::Write;

impl Engine {
    /// Does some work of one turn, with the documents of evicted segments that it asks for.
    pub(super) async fn with_recalls<T>(&self, work: impl FnMut() -> Result<T>) -> Result<T> {
        let done = self.snapshotter.recalling(work).await?;
        self.hot.take_back_lent();
        Ok(done)
    }

    /// Recalls the documents that mutations replace or delete. They stay lent for the write.
    pub(super) async fn recall_replaced(&self, writes: &[Write]) -> Result<()> {
        if self.hot.has_evicted()? {
            self.snapshotter.recalling(|| self.hot.check_recalled(writes)).await?;
        }
        Ok(())
    }
}
