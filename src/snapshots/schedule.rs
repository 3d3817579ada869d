//! When the alarm is due. Pure: state in, time out.

use crate::config::SnapshotsConfig;
use crate::types::Timestamp;

/// The first pause after a failed run, in ms; it doubles with each failure that follows.
const RETRY_MS: i64 = 10_000;
/// The longest pause, in ms.
const RETRY_MAX_MS: i64 = 600_000;

/// What the time of the alarm depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Since when changes wait to be archived; `None` when none do.
    pub changes_since: Option<Timestamp>,
    /// Bytes of log that wait.
    pub bytes: u64,
    /// Whether committed states wait to be published.
    pub unpublished: bool,
    /// When states were last published.
    pub published_at: Option<Timestamp>,
    /// When a plan that is not committed, and may have no changes, is tried again.
    pub planned: Option<Timestamp>,
    /// Whether there are files to be merged.
    pub merge: bool,
    /// Whether a table is to get columns that were declared.
    pub declared: bool,
    /// When the next garbage may be deleted.
    pub garbage_at: Option<Timestamp>,
    /// When a named snapshot expires.
    pub expiry_at: Option<Timestamp>,
    /// Nothing is tried before this, after failures.
    pub not_before: Option<Timestamp>,
}

/// When the next run is due; `None` when there is nothing to do.
pub fn due_ms(config: &SnapshotsConfig, pending: &Pending, now: Timestamp) -> Option<Timestamp> {
    let flush = pending.changes_since.map(|since| {
        if pending.bytes >= config.max_pending_bytes { now } else { since.saturating_add(config.flush_delay_ms) }
    });
    let publish = pending.unpublished.then(|| publishable_ms(config, pending.published_at, now));
    // Committed states are published before the next changes are archived.
    let merge = (pending.merge || pending.declared).then(|| publishable_ms(config, pending.published_at, now));
    let work = publish.or(flush).or(pending.planned).or(merge);
    // What has expired goes when nothing else waits.
    let expiry = pending.expiry_at.filter(|_| work.is_none());
    let earliest = pending.not_before.map_or(now, |not_before| not_before.max(now));
    [work, pending.garbage_at, expiry].into_iter().flatten().min().map(|due| due.max(earliest))
}

/// When the alarm may publish next.
pub fn publishable_ms(config: &SnapshotsConfig, published_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    published_at.map_or(now, |at| at.saturating_add(config.publish_interval_ms))
}

/// When to try again after so many failures in a row, of a plan that was made at `planned_at`. An instance that has just
/// woken knows of no failures, but a plan that is old has not gone well for as long.
pub fn retry_ms(failures: u32, planned_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let pause = RETRY_MS.saturating_mul(1i64.checked_shl(failures.min(16)).unwrap_or(i64::MAX));
    let age = planned_at.map_or(0, |at| now.saturating_sub(at));
    now.saturating_add(pause.max(age).min(RETRY_MAX_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_000_000;

    fn due(pending: Pending) -> Option<Timestamp> {
        due_ms(&SnapshotsConfig::default(), &pending, NOW)
    }

    #[test]
    fn a_flush_starts_some_seconds_after_the_first_change_or_when_much_is_pending() {
        assert_eq!(due(Pending::default()), None);
        let changes = Pending { changes_since: Some(NOW), ..Pending::default() };
        assert_eq!(due(changes), Some(NOW + 5_000));
        assert_eq!(due(Pending { bytes: 8 * 1024 * 1024, ..changes }), Some(NOW));
        assert_eq!(due(Pending { changes_since: Some(NOW - 60_000), ..changes }), Some(NOW));
    }

    #[test]
    fn publishing_keeps_its_interval_and_comes_before_the_next_flush() {
        let waiting = Pending {
            changes_since: Some(NOW - 60_000),
            unpublished: true,
            published_at: Some(NOW - 4_000),
            ..Pending::default()
        };
        assert_eq!(due(waiting), Some(NOW + 6_000));
        assert_eq!(due(Pending { published_at: None, ..waiting }), Some(NOW));
    }

    #[test]
    fn whatever_is_due_waits_after_failures() {
        let changes =
            Pending { changes_since: Some(NOW - 60_000), not_before: Some(NOW + 20_000), ..Pending::default() };
        assert_eq!(due(changes), Some(NOW + 20_000));
        assert_eq!(due(Pending { bytes: 8 * 1024 * 1024, ..changes }), Some(NOW + 20_000));
        assert_eq!(due(Pending { changes_since: None, garbage_at: Some(1), ..changes }), Some(NOW + 20_000));
        assert_eq!(due(Pending { not_before: Some(NOW - 1), ..changes }), Some(NOW));
        assert_eq!(due(Pending { not_before: Some(NOW), ..Pending::default() }), None);
    }

    #[test]
    fn retries_back_off() {
        assert_eq!([0, 1, 2, 60].map(|failures| retry_ms(failures, None, 0)), [10_000, 20_000, 40_000, 600_000]);
        let pauses = [NOW, NOW + 1, NOW - 9_000, NOW - 35_000, 0].map(|at| retry_ms(0, Some(at), NOW) - NOW);
        assert_eq!(pauses, [10_000, 10_000, 10_000, 35_000, 600_000]);
    }
}
