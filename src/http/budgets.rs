//! What may be asked of an object in a minute, by one principal and by all together.
//!
//! A request is counted when it comes, and what it cost when that is known, at the platform's prices; who has used up a
//! minute's allowance is answered 429 until enough of it has come back. An allowance comes back evenly (GCRA, the generic
//! cell rate algorithm of ATM Forum TM 4.0): all that is kept of one is the moment at which it is whole again.
//!
//! Invariants: what is kept is bounded; a request that was let in is never broken off. This instance alone counts: an object
//! that has slept begins anew.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::config::BudgetsConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::BUDGET_SUBJECTS_MAX;
use crate::ports::Spent;
use crate::types::{StorageTier, Timestamp};

const MINUTE_US: u128 = 60_000_000;
const NANO_PER_MICRO: u128 = 1_000;

/// An allowance a minute: when it is whole again, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    whole_at_us: u128,
}

impl Allowance {
    /// Microseconds until `amount` of `a_minute` is left; 0 when it is.
    fn wait_us(self, amount: u128, a_minute: u128, now_us: u128) -> u128 {
        let whole_at_us = self.whole_at_us.saturating_add(time_of(amount, a_minute));
        whole_at_us.saturating_sub(now_us.saturating_add(MINUTE_US))
    }

    /// Takes `amount` of `a_minute`.
    fn take(&mut self, amount: u128, a_minute: u128, now_us: u128) {
        self.whole_at_us = self.whole_at_us.max(now_us).saturating_add(time_of(amount, a_minute));
    }
}

/// How long `amount` of `a_minute` takes to come back, in microseconds.
fn time_of(amount: u128, a_minute: u128) -> u128 {
    amount.saturating_mul(MINUTE_US) / a_minute.max(1)
}

/// The allowances of one principal, or of all.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    requests: Allowance,
    cost: Allowance,
}

/// How much of each an account has a minute; `None` where there is no limit.
#[derive(Clone, Copy)]
struct Limits {
    requests: Option<i64>,
    cost_micro_usd: Option<i64>,
    /// The keys that say so.
    keys: [&'static str; 2],
}

impl Limits {
    fn none(self) -> bool {
        self.requests.is_none() && self.cost_micro_usd.is_none()
    }

    fn check(self, account: &Account, now_us: u128) -> Result<()> {
        let [requests, cost] = self.keys;
        let asked = [
            (self.requests, account.requests, 1, requests, "requests"),
            // What a request will cost is not known: it may begin when anything is left.
            (self.cost_micro_usd, account.cost, NANO_PER_MICRO, cost, "millionths of a dollar"),
        ];
        for (limit, allowance, unit, key, of_what) in asked {
            let Some(limit) = limit else { continue };
            let whole = u128::from(limit.unsigned_abs()).saturating_mul(unit);
            let wait_us = allowance.wait_us(1, whole, now_us);
            if wait_us > 0 {
                let secs = u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX);
                let message =
                    format!("expected at most {key} = {limit} {of_what} a minute, got more; try again in {secs} s");
                let error = StorageError::new(ErrorKind::TooMany, StorageTier::Api, "take request", message);
                return Err(error.retry_after(secs));
            }
        }
        Ok(())
    }

    fn count(self, account: &mut Account, now_us: u128) {
        if let Some(limit) = self.requests {
            account.requests.take(1, u128::from(limit.unsigned_abs()), now_us);
        }
    }

    fn charge(self, account: &mut Account, nano_usd: u64, now_us: u128) {
        if let Some(limit) = self.cost_micro_usd {
            let a_minute = u128::from(limit.unsigned_abs()).saturating_mul(NANO_PER_MICRO);
            account.cost.take(u128::from(nano_usd), a_minute, now_us);
        }
    }
}

/// What the callers of an object have used of their allowances.
pub struct Budgets {
    object: Limits,
    token: Limits,
    all: RefCell<Account>,
    subjects: RefCell<HashMap<String, Account>>,
}

impl Budgets {
    /// By what is configured.
    pub fn new(config: &BudgetsConfig) -> Self {
        Self {
            object: Limits {
                requests: config.object_requests,
                cost_micro_usd: config.object_cost_micro_usd,
                keys: ["budgets.objectRequests", "budgets.objectCostMicroUsd"],
            },
            token: Limits {
                requests: config.token_requests,
                cost_micro_usd: config.token_cost_micro_usd,
                keys: ["budgets.tokenRequests", "budgets.tokenCostMicroUsd"],
            },
            all: RefCell::default(),
            subjects: RefCell::default(),
        }
    }

    /// Lets a request of `subject` in, or says when it may come again.
    pub fn admit(&self, subject: &str, now: Timestamp) -> Result<()> {
        let now_us = micros(now);
        let mut all = self.all.borrow_mut();
        self.object.check(&all, now_us)?;
        if !self.token.none() {
            let mut subjects = self.subjects.borrow_mut();
            if subjects.len() >= BUDGET_SUBJECTS_MAX && !subjects.contains_key(subject) {
                make_room(&mut subjects, now_us);
            }
            let account = subjects.entry(subject.to_owned()).or_default();
            self.token.check(account, now_us)?;
            self.token.count(account, now_us);
        }
        self.object.count(&mut all, now_us);
        Ok(())
    }

    /// Charges what a request of `subject` has cost.
    pub fn charge(&self, subject: &str, spent: Spent, now: Timestamp) {
        let now_us = micros(now);
        let nano_usd = spent.nano_usd();
        self.object.charge(&mut self.all.borrow_mut(), nano_usd, now_us);
        if !self.token.none() {
            let mut subjects = self.subjects.borrow_mut();
            if subjects.len() >= BUDGET_SUBJECTS_MAX && !subjects.contains_key(subject) {
                make_room(&mut subjects, now_us);
            }
            self.token.charge(subjects.entry(subject.to_owned()).or_default(), nano_usd, now_us);
        }
    }
}

/// Forgets whoever has all of their allowance, or else who has used the least of it.
fn make_room(subjects: &mut HashMap<String, Account>, now_us: u128) {
    let owed = |account: &Account| account.requests.whole_at_us.max(account.cost.whole_at_us);
    subjects.retain(|_, account| owed(account) > now_us);
    if subjects.len() < BUDGET_SUBJECTS_MAX {
        return;
    }
    if let Some(least) = subjects.iter().min_by_key(|(_, account)| owed(account)).map(|(subject, _)| subject.clone()) {
        subjects.remove(&least);
    }
}

fn micros(now: Timestamp) -> u128 {
    u128::from(now.max(0).unsigned_abs()).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(token_requests: Option<i64>, token_cost_micro_usd: Option<i64>) -> Budgets {
        Budgets::new(&BudgetsConfig { token_requests, token_cost_micro_usd, ..BudgetsConfig::default() })
    }

    #[test]
    fn an_allowance_is_used_at_once_or_evenly_and_comes_back() {
        let budgets = budgets(Some(60), None);
        let used = (0..100).take_while(|_| budgets.admit("ann", 1_000_000).is_ok()).count();
        assert_eq!(used, 60);
        let error = budgets.admit("ann", 1_000_000).unwrap_err();
        assert_eq!((error.kind(), error.retry_after_secs()), (ErrorKind::TooMany, Some(1)));
        assert!(error.message().contains("budgets.tokenRequests = 60"), "{error}");
        assert!(budgets.admit("bob", 1_000_000).is_ok(), "each has their own");
        assert!(budgets.admit("ann", 1_001_000).is_ok(), "one a second comes back");
        assert!(budgets.admit("ann", 1_001_000).is_err());
        for second in 2..200 {
            assert!(budgets.admit("ann", 1_000_000 + second * 1_000).is_ok(), "{second}");
        }
        assert_eq!((0..100).take_while(|_| budgets.admit("ann", 9_000_000).is_ok()).count(), 60, "never more");
    }

    #[test]
    fn what_was_spent_is_charged_afterwards() {
        let budgets = budgets(None, Some(1_000));
        let a_row = Spent { rows_written: 1, ..Spent::default() };
        let mut let_in = 0;
        while budgets.admit("ann", 5_000).is_ok() {
            budgets.charge("ann", a_row, 5_000);
            let_in += 1;
        }
        assert_eq!(let_in, 1_000, "a thousand rows written are a thousandth of a dollar");
        let large = Spent { rows_written: 5_000, ..Spent::default() };
        assert!(budgets.admit("bob", 5_000).is_ok());
        budgets.charge("bob", large, 5_000);
        assert_eq!(budgets.admit("bob", 5_000).unwrap_err().retry_after_secs(), Some(241), "the debt is paid first");
    }

    #[test]
    fn those_who_are_remembered_are_bounded_and_who_has_used_most_stays() {
        let budgets = budgets(Some(1), None);
        assert!(budgets.admit("greedy", 0).is_ok());
        budgets.subjects.borrow_mut().get_mut("greedy").unwrap().requests.whole_at_us *= 2;
        for subject in 0..BUDGET_SUBJECTS_MAX * 2 {
            assert!(budgets.admit(&format!("{subject}"), 0).is_ok());
        }
        assert_eq!(budgets.subjects.borrow().len(), BUDGET_SUBJECTS_MAX);
        assert!(budgets.admit("greedy", 0).is_err());
    }

    #[test]
    fn without_limits_nothing_is_refused_or_remembered() {
        let budgets = budgets(None, None);
        assert!((0..10_000).all(|_| budgets.admit("ann", 0).is_ok()));
        budgets.charge("ann", Spent { rows_written: u64::MAX, ..Spent::default() }, 0);
        assert!(budgets.admit("ann", 0).is_ok() && budgets.subjects.borrow().is_empty());
    }
}
