//! The change feed: from the hot log, and from the archived one for what is trimmed.

use super::Engine;
use crate::cdc::feed::{PageBuilder, check_position, read_page};
use crate::cdc::{FeedFilter, FeedPage};
use crate::error::Result;

/// How often a waiting reader looks for events, in ms.
const POLL_MS: u32 = 50;

impl Engine {
    /// A page of events. When there is none yet, waits up to `wait_ms` for one.
    pub async fn changes(&self, filter: &FeedFilter, wait_ms: u32) -> Result<FeedPage> {
        check_position(self.hot.log(), filter.after)?;
        let mut waited = 0;
        while waited < wait_ms && self.last_sequence()? <= filter.after {
            self.ports.clock.sleep_ms(POLL_MS).await;
            waited = waited.saturating_add(POLL_MS);
        }
        let name = self.name()?;
        if filter.after.saturating_add(1) >= self.hot.log().first_sequence()? {
            return read_page(self.hot.log(), &name, self.hot.as_ref(), filter);
        }
        self.archived_changes(filter).await
    }

    /// A page that starts before the hot log does.
    async fn archived_changes(&self, filter: &FeedFilter) -> Result<FeedPage> {
        let mut builder = PageBuilder::new(&self.name()?, filter);
        self.snapshotter.read_archived_changes(filter.after, &mut |event| builder.push(event)).await?;
        Ok(builder.finish(self.hot.log().last_timestamp()?))
    }
}
