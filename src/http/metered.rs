//! What one request costs SQLite, although requests interleave: counted around each of its turns.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::ports::SqlCounters;

/// A future that counts the rows its own turns read and write.
pub struct Metered<'f, T> {
    future: Pin<Box<dyn Future<Output = T> + 'f>>,
    counters: &'f dyn Fn() -> SqlCounters,
    total: SqlCounters,
}

impl<'f, T> Metered<'f, T> {
    /// Counts `future` by `counters`, which are totals.
    pub fn new(future: impl Future<Output = T> + 'f, counters: &'f dyn Fn() -> SqlCounters) -> Self {
        Self { future: Box::pin(future), counters, total: SqlCounters::default() }
    }
}

impl<T> Future for Metered<'_, T> {
    type Output = (T, SqlCounters);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = (self.counters)();
        let polled = self.future.as_mut().poll(context);
        let turn = (self.counters)().since(before);
        self.total.rows_read = self.total.rows_read.saturating_add(turn.rows_read);
        self.total.rows_written = self.total.rows_written.saturating_add(turn.rows_written);
        match polled {
            Poll::Ready(value) => Poll::Ready((value, self.total)),
            Poll::Pending => Poll::Pending,
        }
    }
}
