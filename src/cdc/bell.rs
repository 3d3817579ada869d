//! Who waits for events is woken by the commit that makes them, instead of looking again and again.
//!
//! A ring only marks those who wait as ready: nothing of their work is done in the turn that rings. What waits and is
//! dropped leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Rung by every commit that logs something.
#[derive(Default)]
pub struct Bell {
    rung: Cell<u64>,
    last_key: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waker)>>,
}

impl Bell {
    /// Wakes everybody who waits.
    pub fn ring(&self) {
        self.rung.set(self.rung.get().wrapping_add(1));
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
    }

    /// Lets nobody wait any more, and wakes none: what waits is dropped.
    pub fn silence(&self) {
        drop(self.waiting.take());
    }

    /// How often it was rung: taken before a look at the log, it tells [`wait`](Self::wait) what was missed since.
    pub fn rung(&self) -> u64 {
        self.rung.get()
    }

    /// Waits until it was rung since `seen`.
    pub fn wait(&self, seen: u64) -> Ringing<'_> {
        let key = self.last_key.get().wrapping_add(1);
        self.last_key.set(key);
        Ringing { bell: self, seen, key }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }
}

/// Ready when the bell has rung.
pub struct Ringing<'b> {
    bell: &'b Bell,
    seen: u64,
    key: u64,
}

impl Future for Ringing<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.bell.rung.get() != self.seen {
            return Poll::Ready(());
        }
        let mut waiting = self.bell.waiting.borrow_mut();
        match waiting.iter_mut().find(|(key, _)| *key == self.key) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => waiting.push((self.key, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Ringing<'_> {
    fn drop(&mut self) {
        self.bell.waiting.borrow_mut().retain(|(key, _)| *key != self.key);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::ports::native::{Outcome, join_seeded, run, yield_now};

    #[test]
    fn a_ring_wakes_all_who_wait_and_is_not_missed_by_who_looked_before() {
        let bell = Bell::default();
        let seen = bell.rung();
        let waits = |_| -> Pin<Box<dyn Future<Output = ()> + '_>> { Box::pin(bell.wait(seen)) };
        let mut futures: Vec<_> = (0..5).map(waits).collect();
        futures.push(Box::pin(async {
            yield_now().await;
            bell.ring();
        }));
        assert!(join_seeded(3, futures).into_iter().all(|outcome| outcome == Outcome::Done(())));
        assert_eq!(run(bell.wait(seen)), Outcome::Done(()), "it was rung since");
        assert_eq!(run(bell.wait(bell.rung())), Outcome::Stalled);
    }

    #[test]
    fn who_does_not_wait_any_more_leaves_nothing() {
        let bell = Bell::default();
        for _ in 0..1_000 {
            assert_eq!(run(bell.wait(bell.rung())), Outcome::Stalled);
        }
        assert_eq!(bell.waiting(), 0);
    }
}
