//! What one request costs, although requests interleave: counted around each of its turns.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::ports::Spent;

/// A future that counts what its own turns use.
pub struct Metered<'f, T> {
    future: Pin<Box<dyn Future<Output = T> + 'f>>,
    spent: &'f dyn Fn() -> Spent,
    total: Spent,
}

impl<'f, T> Metered<'f, T> {
    /// Counts `future` by `spent`, which are totals.
    pub fn new(future: impl Future<Output = T> + 'f, spent: &'f dyn Fn() -> Spent) -> Self {
        Self { future: Box::pin(future), spent, total: Spent::default() }
    }
}

impl<T> Future for Metered<'_, T> {
    type Output = (T, Spent);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = (self.spent)();
        let polled = self.future.as_mut().poll(context);
        let turn = (self.spent)().since(before);
        self.total = self.total.and(turn);
        match polled {
            Poll::Ready(value) => Poll::Ready((value, self.total)),
            Poll::Pending => Poll::Pending,
        }
    }
}
