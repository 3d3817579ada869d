//! Which snapshots and metadata versions a table keeps, and what nothing reaches then.
//!
//! Snapshots are kept so that any moment of the last days has one not long before it, without their number growing:
//! the older they are, the farther apart. Kept in any case are the current one, those that a tag names, and the newest
//! one that is older than the days to keep, from which moments at the beginning of these are reached. Pure: the same
//! history keeps the same snapshots.

use super::table::{LoggedMetadata, METADATA_LOG_MAX, RetiredObject, TableState};
use crate::types::Timestamp;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Snapshots without a tag, and old metadata versions, to keep at most; at least 1.
    pub keep_snapshots: usize,
    /// Milliseconds for which moments of the past stay reachable.
    pub keep_ms: i64,
}

/// A snapshot as far as retention looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    snapshot_id: i64,
    timestamp_ms: Timestamp,
    pinned: bool,
}

/// Expires snapshots and old metadata versions of `next`, the state after `previous`, as of its `last_updated_ms`; the
/// keys that nothing kept reaches then.
pub(super) fn expire(next: &mut TableState, previous: &TableState, retention: Retention) -> Vec<String> {
    let kept = kept(&candidates(next), next.last_updated_ms, retention);
    let is_kept = |id: i64| kept.iter().any(|candidate| candidate.snapshot_id == id);
    let (stay, expired): (Vec<_>, Vec<_>) =
        std::mem::take(&mut next.snapshots).into_iter().partition(|snapshot| is_kept(snapshot.snapshot_id));
    next.snapshots = stay;
    let mut garbage: Vec<String> = expired.iter().map(|snapshot| next.manifest_list_key(snapshot)).collect();

    let numbers: Vec<i64> = next.snapshots.iter().map(|snapshot| snapshot.sequence_number).collect();
    let reached = |object: &RetiredObject| numbers.iter().any(|number| (object.from..object.until).contains(number));
    let (waiting, free): (Vec<_>, Vec<_>) = std::mem::take(&mut next.retired).into_iter().partition(reached);
    next.retired = waiting;
    garbage.extend(free.into_iter().map(|object| object.key));

    if previous.version > 0 {
        next.metadata_log.push(LoggedMetadata { version: previous.version, timestamp_ms: previous.last_updated_ms });
    }
    let keep = retention.keep_snapshots.clamp(1, METADATA_LOG_MAX);
    let surplus = next.metadata_log.len().saturating_sub(keep);
    garbage.extend(next.metadata_log.drain(..surplus).map(|logged| next.path.metadata(logged.version)));
    garbage
}

/// When a table that is not committed to any more needs none of its older snapshots; `None` when all that it has are kept for
/// another reason.
pub fn next_expiry(state: &TableState, keep_ms: i64) -> Option<Timestamp> {
    let candidates = candidates(state);
    let (current, older) = candidates.split_last()?;
    older.iter().any(|snapshot| !snapshot.pinned).then(|| current.timestamp_ms.saturating_add(keep_ms))
}

fn candidates(state: &TableState) -> Vec<Candidate> {
    let pinned = |id: i64| state.tags.values().any(|tagged| *tagged == id);
    let snapshots = state.snapshots.iter();
    snapshots
        .map(|snapshot| Candidate {
            snapshot_id: snapshot.snapshot_id,
            timestamp_ms: snapshot.timestamp_ms,
            pinned: pinned(snapshot.snapshot_id),
        })
        .collect()
}

/// The snapshots to keep of `snapshots`, oldest first, the last of which is the current one.
fn kept(snapshots: &[Candidate], now: Timestamp, retention: Retention) -> Vec<Candidate> {
    let oldest = now.saturating_sub(retention.keep_ms);
    let successors = snapshots.iter().skip(1).map(Some).chain(std::iter::once(None));
    // One whose successor is old as well is not needed to reach any moment that is kept.
    let too_old = |next: Option<&Candidate>| next.is_some_and(|next| next.timestamp_ms <= oldest);
    let in_time = snapshots.iter().zip(successors).filter(|(snapshot, next)| snapshot.pinned || !too_old(*next));
    let mut kept: Vec<Candidate> = in_time.map(|(snapshot, _)| *snapshot).collect();
    let mut unpinned = kept.iter().filter(|snapshot| !snapshot.pinned).count();
    while unpinned > retention.keep_snapshots.max(1) {
        let Some(position) = least_missed(&kept, now).or_else(|| kept.iter().position(|snapshot| !snapshot.pinned))
        else {
            break;
        };
        kept.remove(position);
        unpinned = unpinned.saturating_sub(1);
    }
    kept
}

/// The unpinned snapshot between two others whose loss leaves the smallest gap in relation to its age; of several the
/// oldest.
fn least_missed(kept: &[Candidate], now: Timestamp) -> Option<usize> {
    let mut least: Option<(usize, i128, i128)> = None;
    for (position, window) in (1..).zip(kept.windows(3)) {
        let [before, snapshot, after] = window else { continue };
        if snapshot.pinned {
            continue;
        }
        let gap = i128::from(after.timestamp_ms) - i128::from(before.timestamp_ms);
        let age = (i128::from(now) - i128::from(snapshot.timestamp_ms)).max(1);
        // Fractions are compared by their products, so that rounding never decides.
        if least.is_none_or(|(_, least_gap, least_age)| gap * least_age < least_gap * age) {
            least = Some((position, gap, age));
        }
    }
    least.map(|(position, _, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const WEEK: Retention = Retention { keep_snapshots: 20, keep_ms: 168 * HOUR };

    fn at(times: &[i64]) -> Vec<Candidate> {
        let candidate = |(id, time): (i64, &i64)| Candidate { snapshot_id: id, timestamp_ms: *time, pinned: false };
        (1..).zip(times).map(candidate).collect()
    }

    fn times(kept: &[Candidate]) -> Vec<i64> {
        kept.iter().map(|snapshot| snapshot.timestamp_ms).collect()
    }

    #[test]
    fn the_newest_that_is_too_old_is_kept() {
        let now = 1_000 * HOUR;
        let oldest = now - WEEK.keep_ms;
        let kept_of = |hours: &[i64]| times(&kept(&at(hours), now, WEEK));
        assert_eq!(kept_of(&[1, 2, oldest - 1, oldest + 1, now]), [oldest - 1, oldest + 1, now]);
        assert_eq!(kept_of(&[1, oldest - 1, oldest, now]), [oldest, now]);
        assert_eq!(kept_of(&[1, 2, 3]), [3], "the current one, however old");
        assert_eq!(kept_of(&[1, now]), [1, now]);
    }

    #[test]
    fn the_least_missed_goes_first() {
        let few = |keep_snapshots: usize| Retention { keep_snapshots, ..WEEK };
        let all = at(&[0, 10, 50, 60, 90, 100]);
        let kept_of = |keep: usize| times(&kept(&all, 100, few(keep)));
        // Gap by age: 10: 50/90, 50: 50/50, 60: 40/40, 90: 40/10.
        assert_eq!(kept_of(5), [0, 50, 60, 90, 100]);
        // 50: 60/50, 60: 40/40, 90: 40/10.
        assert_eq!(kept_of(4), [0, 50, 90, 100]);
        assert_eq!(kept_of(2), [0, 100]);
        assert_eq!((kept_of(1), kept_of(0)), (vec![100], vec![100]));
        // Of equals the oldest.
        assert_eq!(times(&kept(&at(&[7; 5]), 7, few(4))), [7; 4]);
        let ids: Vec<i64> = kept(&at(&[7; 5]), 7, few(3)).iter().map(|snapshot| snapshot.snapshot_id).collect();
        assert_eq!(ids, [1, 4, 5]);
    }

    #[test]
    fn pinned_ones_stay_and_do_not_count() {
        let mut all = at(&[0, 10, 20, 30, 40, 1_000 * HOUR]);
        all.iter_mut().filter(|snapshot| [10, 30].contains(&snapshot.timestamp_ms)).for_each(|snapshot| {
            snapshot.pinned = true;
        });
        assert_eq!(times(&kept(&all, 1_000 * HOUR, WEEK)), [10, 30, 40, 1_000 * HOUR]);
        let two = Retention { keep_snapshots: 2, keep_ms: i64::MAX };
        assert_eq!(times(&kept(&all, 50, two)), [0, 10, 30, 1_000 * HOUR]);
        let one = Retention { keep_snapshots: 1, keep_ms: i64::MAX };
        assert_eq!(times(&kept(&all, 50, one)), [10, 30, 1_000 * HOUR]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = at(&[i64::MIN, -1, 0, i64::MAX]);
        let two = Retention { keep_snapshots: 2, keep_ms: i64::MAX };
        assert_eq!(times(&kept(&all, i64::MAX, two)).len(), 2);
    }
}
