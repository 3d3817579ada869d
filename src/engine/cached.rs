//! Cached reads: what the object does so that no reader keeps an old version for long.

use super::Engine;
use crate::error::Result;
use crate::hot::Write;
use crate::types::names::ObjectName;
use crate::warm::document_key;

pub use crate::warm::{DocumentCache, WarmFigures};

impl Engine {
    /// The generation under which a document read now may be cached.
    pub fn cache_generation(&self) -> Result<i64> {
        self.warm.document_loaded();
        Ok(self.hot.object_record()?.map_or(0, |record| record.cache_generation))
    }

    /// Takes back what one write has changed. Several at once have bumped the generation in their transaction.
    pub(super) async fn invalidate(&self, name: &ObjectName, writes: &[Write]) -> Result<()> {
        let last = self.last_sequence()?;
        if let ([write], true) = (writes, self.warm.may_hold_documents()) {
            let generation = self.hot.object_record()?.map_or(0, |record| record.cache_generation);
            self.warm.forget(&document_key(name, generation, &write.collection, write.mutation.id())).await;
        }
        self.warm.invalidated(last);
        Ok(())
    }
}
