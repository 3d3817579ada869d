//! A queue that events are pushed to.

use async_trait::async_trait;

use crate::error::Result;

/// A queue. What was sent is delivered at least once, in no order that can be relied on.
#[async_trait(?Send)]
pub trait Queue {
    /// Sends messages together, each a text. A failure may have sent them all the same.
    async fn send(&self, messages: &[String]) -> Result<()>;
}
