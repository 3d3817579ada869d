//! Whoever takes documents one by one from a scan.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use super::Document;
use crate::error::Result;

/// Takes documents; a closure does, and always has room.
pub trait DocumentSink {
    /// Takes one more. Breaks when no further one is wanted.
    fn take(&mut self, document: Document) -> Result<ControlFlow<()>>;

    /// Whether there is room for one more; a scan waits until there is, so that whoever takes slowly is not given more than
    /// fits its memory.
    fn poll_room(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<F: FnMut(Document) -> Result<ControlFlow<()>>> DocumentSink for F {
    fn take(&mut self, document: Document) -> Result<ControlFlow<()>> {
        self(document)
    }
}

/// Waits until a sink has room.
pub async fn room(sink: &mut dyn DocumentSink) {
    poll_fn(|context| sink.poll_room(context)).await;
}
