//! Which named snapshots expire. Pure: the same snapshots and time expire the same.
//!
//! A snapshot goes when there are enough newer ones, or when it is too old; not while one that stays goes on from it, nor
//! while it is held.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::cold::catalog::NamedSnapshot;
use crate::config::SnapshotsConfig;
use crate::types::Timestamp;
use crate::types::time::DAY_MS;

/// The snapshots of `named`, which is by version, that go at `now`.
pub fn expired(named: &[NamedSnapshot], held: &BTreeSet<Uuid>, config: &SnapshotsConfig, now: Timestamp) -> Vec<Uuid> {
    let surplus = named.len().saturating_sub(config.keep_count);
    let mut needed: BTreeSet<Uuid> = held.clone();
    let mut expired = Vec::new();
    // The newest first: what one that stays goes on from is known before it is looked at.
    for (position, snapshot) in named.iter().enumerate().rev() {
        let goes = position < surplus || expires_at(snapshot, config) <= now;
        if goes && !needed.contains(&snapshot.id) {
            expired.push(snapshot.id);
        } else {
            needed.extend(snapshot.parent);
        }
    }
    expired.reverse();
    expired
}

/// When the next of them goes; `None` when none will.
pub fn next_expiry(
    named: &[NamedSnapshot],
    held: &BTreeSet<Uuid>,
    config: &SnapshotsConfig,
    now: Timestamp,
) -> Option<Timestamp> {
    if !expired(named, held, config, now).is_empty() {
        return Some(now);
    }
    // A chain goes from its end: what is needed now may not be then, so that each time is looked at.
    let times = named.iter().map(|snapshot| expires_at(snapshot, config)).filter(|at| *at > now);
    times.filter(|at| !expired(named, held, config, *at).is_empty()).min()
}

fn expires_at(snapshot: &NamedSnapshot, config: &SnapshotsConfig) -> Timestamp {
    snapshot.timestamp.saturating_add(config.keep_days.saturating_mul(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots made on these days, each after the one at the given place, counted from 1.
    fn made(days: &[(i64, usize)]) -> Vec<NamedSnapshot> {
        let id = |version: i64| Uuid::from_u128(u128::try_from(version).unwrap());
        (1..)
            .zip(days)
            .map(|(version, (day, parent))| NamedSnapshot {
                version,
                id: id(version),
                timestamp: day * DAY_MS,
                parent: (*parent > 0).then(|| id(i64::try_from(*parent).unwrap())),
            })
            .collect()
    }

    fn gone(named: &[NamedSnapshot], held: &[i64], keep: (usize, i64), day: i64) -> Vec<i64> {
        let config = SnapshotsConfig { keep_count: keep.0, keep_days: keep.1, ..SnapshotsConfig::default() };
        let version = |id: &Uuid| named.iter().find(|snapshot| snapshot.id == *id).unwrap().version;
        let held = named.iter().filter(|one| held.contains(&one.version)).map(|one| one.id).collect();
        expired(named, &held, &config, day * DAY_MS).iter().map(version).collect()
    }

    #[test]
    fn those_beyond_the_count_or_the_age_go() {
        let named = made(&[(1, 0), (2, 0), (3, 0), (10, 0)]);
        assert_eq!(gone(&named, &[], (100, 30), 10), Vec::<i64>::new());
        assert_eq!(gone(&named, &[], (2, 30), 10), [1, 2]);
        assert_eq!(gone(&named, &[], (100, 8), 10), [1, 2]);
        assert_eq!(gone(&named, &[], (100, 8), 1_000), [1, 2, 3, 4]);
        assert_eq!(gone(&named, &[1], (2, 30), 10), [2], "one that is held stays");
    }

    #[test]
    fn what_one_that_stays_goes_on_from_stays() {
        // 1 full, 2 and 3 after it, 4 full, 5 after it.
        let named = made(&[(1, 0), (2, 1), (3, 2), (4, 0), (5, 4)]);
        assert_eq!(gone(&named, &[], (3, 100), 5), Vec::<i64>::new(), "3 needs 2, and 2 needs 1");
        assert_eq!(gone(&named, &[], (2, 100), 5), [1, 2, 3]);
        assert_eq!(gone(&named, &[], (1, 100), 5), [1, 2, 3]);
        assert_eq!(gone(&named, &[2], (1, 100), 5), [3]);
    }

    #[test]
    fn the_next_expiry_is_the_first_at_which_one_goes() {
        let config = SnapshotsConfig { keep_count: 100, keep_days: 10, ..SnapshotsConfig::default() };
        let next = |named: &[NamedSnapshot], day: i64| {
            next_expiry(named, &BTreeSet::new(), &config, day * DAY_MS).map(|at| at / DAY_MS)
        };
        assert_eq!(next(&[], 0), None);
        assert_eq!(next(&made(&[(1, 0), (5, 0)]), 6), Some(11));
        assert_eq!(next(&made(&[(1, 0), (5, 1)]), 6), Some(15), "the older is needed until then");
        assert_eq!(next(&made(&[(1, 0), (5, 1)]), 20), Some(20), "now");
    }
}
