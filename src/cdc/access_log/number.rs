//! Numbers of packs: by stream, then by the time of a pack's last entry within its table's period, then by place.
//!
//! A number has 52 bits, as many as statements are bound with exactly: 4 of the stream, 32 of the time in milliseconds, 16 of
//! the place. Packs of before have numbers from 1 on, in both streams together, which are below all of these.

use super::{PERIOD_MS, Stream};
use crate::types::Timestamp;

const STREAM_BITS: u32 = 48;
const PLACE_BITS: u32 = 16;
/// Below are packs that have no number of their stream.
pub const FIRST: i64 = 1 << STREAM_BITS;

const _: () = assert!(PERIOD_MS < 1 << (STREAM_BITS - PLACE_BITS), "a time in a period has its bits");

/// The numbers of a stream: from the first on, and below the second.
pub fn range(stream: Stream) -> (i64, i64) {
    let begin = stream.number().saturating_add(1).saturating_mul(FIRST);
    (begin, begin.saturating_add(FIRST))
}

/// The least number of a pack whose last entry is of this time or later, in the table of a period.
pub fn of(stream: Stream, period: i64, last: Timestamp) -> i64 {
    let within = last.saturating_sub(period.saturating_mul(PERIOD_MS)).clamp(0, PERIOD_MS);
    range(stream).0.saturating_add(within.saturating_mul(1 << PLACE_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_by_stream_and_time_and_are_bound_exactly() {
        let at = |stream, ms| of(stream, 600, 600 * PERIOD_MS + ms);
        let order = [
            FIRST - 1,
            at(Stream::Writes, -1),
            at(Stream::Writes, 1),
            at(Stream::Writes, PERIOD_MS - 1),
            at(Stream::Others, 0),
            at(Stream::Others, PERIOD_MS + 5),
            range(Stream::Others).1,
            1 << 53,
        ];
        assert!(order.is_sorted_by(|one, next| one < next), "{order:?}");
        assert_eq!(at(Stream::Writes, -1), range(Stream::Writes).0);
        assert_eq!(range(Stream::Writes).1, range(Stream::Others).0);
    }
}
