//! Runs futures without threads, time or chance, so that a run repeats exactly.
//!
//! Nothing outside wakes a future here: one that is pending and was not woken never goes on, and is reported as
//! stalled. That is how a crashed instance looks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::numbers::SplitMix64;

/// How a future ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It completed.
    Done(T),
    /// It is pending and nothing will wake it.
    Stalled,
}

impl<T> Outcome<T> {
    /// The result of a future that completed.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Stalled => None,
        }
    }
}

/// Whether a future was woken since it was last polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One future and its result, once it has one.
struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    woken: Arc<Woken>,
    result: Option<T>,
}

impl<'a, T> Task<'a, T> {
    fn new(future: Pin<Box<dyn Future<Output = T> + 'a>>) -> Self {
        Self { future, woken: Arc::new(Woken(AtomicBool::new(true))), result: None }
    }

    fn is_ready(&self) -> bool {
        self.result.is_none() && self.woken.0.load(Ordering::Relaxed)
    }

    fn poll(&mut self) {
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken));
        if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.result = Some(result);
        }
    }

    fn outcome(self) -> Outcome<T> {
        self.result.map_or(Outcome::Stalled, Outcome::Done)
    }
}

/// Polls `future` until it completes or stalls.
pub fn run<T>(future: impl Future<Output = T>) -> Outcome<T> {
    let mut task = Task::new(Box::pin(future));
    while task.is_ready() {
        task.poll();
    }
    task.outcome()
}

/// Polls all `futures`, each time one of those that can go on, chosen by `seed`: they interleave at every await.
/// Ends when each has completed or stalled; outcomes are in the order of the futures.
pub fn join_seeded<'a, T>(seed: u64, futures: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<Outcome<T>> {
    let mut generator = SplitMix64::new(seed);
    let mut tasks: Vec<Task<'a, T>> = futures.into_iter().map(Task::new).collect();
    loop {
        let mut ready: Vec<&mut Task<'a, T>> = tasks.iter_mut().filter(|task| task.is_ready()).collect();
        let chosen = generator.below(ready.len());
        let Some(task) = ready.get_mut(chosen) else { break };
        task.poll();
    }
    tasks.into_iter().map(Task::outcome).collect()
}

/// Lets every other future go on once.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_future_is_run_to_its_end_or_to_where_it_stalls() {
        let steps = run(async {
            yield_now().await;
            yield_now().await;
            7
        });
        assert_eq!(steps, Outcome::Done(7));
        assert_eq!(run(std::future::pending::<()>()), Outcome::Stalled);
    }

    fn trace(seed: u64) -> (Vec<usize>, Vec<Outcome<usize>>) {
        let order = RefCell::new(Vec::new());
        let futures = (0..4).map(|number| {
            let order = &order;
            let future: Pin<Box<dyn Future<Output = usize>>> = Box::pin(async move {
                for _ in 0..5 {
                    order.borrow_mut().push(number);
                    yield_now().await;
                }
                if number == 3 {
                    std::future::pending::<()>().await;
                }
                number
            });
            future
        });
        let outcomes = join_seeded(seed, futures.collect());
        (order.into_inner(), outcomes)
    }

    #[test]
    fn interleavings_repeat_with_their_seed_and_differ_between_seeds() {
        let (order, outcomes) = trace(1);
        assert_eq!(order.len(), 20);
        let expected = [Outcome::Done(0), Outcome::Done(1), Outcome::Done(2), Outcome::Stalled];
        assert_eq!(outcomes, expected);
        assert_eq!(trace(1).0, order);
        assert!((2..10).any(|seed| trace(seed).0 != order));
    }
}
