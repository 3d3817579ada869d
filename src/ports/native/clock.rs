//! Time, ids and the alarm as a test moves them.
//!
//! Time stands still until a test moves it, or something sleeps: code that measures synchronous work by the clock
//! finds, as in production, that no time has passed.

use std::cell::{Cell, RefCell};

use async_trait::async_trait;

use super::executor::yield_now;
use super::numbers::SplitMix64;
use crate::error::Result;
use crate::ports::{Alarm, Clock, Ids};
use crate::types::Timestamp;

/// A clock that a test sets. Sleeping moves it on and lets others run once.
#[derive(Debug)]
pub struct ManualClock(Cell<Timestamp>);

impl ManualClock {
    /// A clock that stands at `now_ms`, in Unix ms.
    pub fn new(now_ms: Timestamp) -> Self {
        Self(Cell::new(now_ms))
    }

    /// Sets the time, backwards too.
    pub fn set(&self, now_ms: Timestamp) {
        self.0.set(now_ms);
    }

    /// Moves the time on.
    pub fn advance(&self, duration_ms: i64) {
        self.0.set(self.0.get().saturating_add(duration_ms));
    }
}

#[async_trait(?Send)]
impl Clock for ManualClock {
    fn now_ms(&self) -> Timestamp {
        self.0.get()
    }

    async fn sleep_ms(&self, duration_ms: u32) {
        // The time is reached at the end of the sleep, never before others have run; and it does not go back when
        // they have moved it further.
        let until = self.0.get().saturating_add(i64::from(duration_ms));
        yield_now().await;
        self.0.set(self.0.get().max(until));
    }
}

/// Ids that repeat with their seed.
pub struct SeededIds(RefCell<SplitMix64>);

impl SeededIds {
    /// The ids of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(RefCell::new(SplitMix64::new(seed)))
    }
}

impl Ids for SeededIds {
    fn random(&self) -> Result<[u8; 16]> {
        let mut generator = self.0.borrow_mut();
        let number = (u128::from(generator.next_u64()) << 64) | u128::from(generator.next_u64());
        Ok(number.to_be_bytes())
    }
}

/// The alarm of one object, kept until a test takes it.
#[derive(Debug, Default)]
pub struct ManualAlarm(Cell<Option<Timestamp>>);

impl ManualAlarm {
    /// An alarm that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the alarm is due at `now_ms`. If so it is no longer set, as when the platform calls the handler.
    pub fn take_due(&self, now_ms: Timestamp) -> bool {
        let due = self.0.get().is_some_and(|at_ms| at_ms <= now_ms);
        if due {
            self.0.set(None);
        }
        due
    }

    /// When the alarm is due, as a test asks.
    pub fn at_ms(&self) -> Option<Timestamp> {
        self.0.get()
    }
}

#[async_trait(?Send)]
impl Alarm for ManualAlarm {
    async fn due_ms(&self) -> Result<Option<Timestamp>> {
        Ok(self.0.get())
    }

    async fn set(&self, at_ms: Timestamp) -> Result<()> {
        self.0.set(Some(at_ms));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, run};
    use super::*;

    #[test]
    fn time_stands_still_until_it_is_moved() {
        let clock = ManualClock::new(5);
        assert_eq!((clock.now_ms(), clock.now_ms()), (5, 5));
        clock.advance(10);
        assert_eq!(clock.now_ms(), 15);
        assert!(matches!(run(clock.sleep_ms(100)), Outcome::Done(())));
        assert_eq!(clock.now_ms(), 115);
        clock.set(1);
        assert_eq!(clock.now_ms(), 1);
    }

    #[test]
    fn ids_repeat_with_their_seed_and_differ_from_each_other() {
        let (left, right, other) = (SeededIds::new(1), SeededIds::new(1), SeededIds::new(2));
        let first = left.random().unwrap();
        assert_eq!(first, right.random().unwrap());
        assert_ne!(first, left.random().unwrap());
        assert_ne!(first, other.random().unwrap());
    }

    #[test]
    fn an_alarm_is_taken_once_and_not_early() {
        let alarm = ManualAlarm::new();
        assert!(!alarm.take_due(i64::MAX));
        run(alarm.set(100)).done().unwrap().unwrap();
        assert_eq!(run(alarm.due_ms()).done().unwrap().unwrap(), Some(100));
        assert!(!alarm.take_due(99));
        assert_eq!(alarm.at_ms(), Some(100));
        assert!(alarm.take_due(100));
        assert!(!alarm.take_due(100));
    }
}
