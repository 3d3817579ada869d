//! Work over documents that may be evicted: what is missing is recalled, and the work is done again.

use super::Engine;
use crate::error::Result;
use crate::hot::{NeedsCold, Write};

/// How often one piece of work may find that more is missing.
const RECALLS_MAX: usize = 64;

impl Engine {
    /// Does some work of one turn. As long as documents of evicted segments are missing they are recalled, and it is done
    /// again from the beginning.
    pub(super) async fn with_recalls<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..RECALLS_MAX {
            match work() {
                Err(error) => match error.cause_as::<NeedsCold>() {
                    Some(needed) => self.snapshotter.recall(&needed.clone()).await?,
                    None => return Err(error),
                },
                done => {
                    self.hot.take_back_lent();
                    return done;
                }
            }
        }
        work()
    }

    /// Recalls the documents that mutations replace or delete.
    pub(super) async fn recall_replaced(&self, writes: &[Write]) -> Result<()> {
        if self.hot.has_evicted()? {
            for _ in 0..RECALLS_MAX {
                match self.hot.check_recalled(writes) {
                    Err(error) => match error.cause_as::<NeedsCold>() {
                        Some(needed) => self.snapshotter.recall(&needed.clone()).await?,
                        None => return Err(error),
                    },
                    done => return done,
                }
            }
        }
        Ok(())
    }
}
