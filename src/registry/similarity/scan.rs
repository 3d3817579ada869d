//! Looking at every hash: for distances that bands do not reach, and for hashes that are not indexed.
//!
//! The second half is looked at only where the first is near enough: half of the memory is read where a search asks for less
//! than most hashes differ by in a half (64 bits, for random ones).

use std::collections::BinaryHeap;

use super::Found;
use super::hash::{Half, Halves, PdqHash, half_distance};

/// Hashes looked at by one call of a kernel: short ones are compiled best.
const BLOCK: usize = 4_096;

/// Adds every hash from a position on that is within a distance.
pub fn within(halves: &Halves, from: usize, query: PdqHash, max_distance: u32, found: &mut Vec<Found>) {
    let (firsts, seconds) = (halves.firsts(), halves.seconds());
    let (Some(firsts), Some(seconds)) = (firsts.get(from..), seconds.get(from..)) else { return };
    let mut position = u32::try_from(from).unwrap_or(u32::MAX);
    for (firsts, seconds) in firsts.chunks(BLOCK).zip(seconds.chunks(BLOCK)) {
        block_within(firsts, seconds, query, max_distance, position, found);
        position = position.saturating_add(u32::try_from(firsts.len()).unwrap_or(0));
    }
}

fn block_within(
    firsts: &[Half],
    seconds: &[Half],
    query: PdqHash,
    max_distance: u32,
    from: u32,
    found: &mut Vec<Found>,
) {
    for ((position, first), second) in (from..).zip(firsts).zip(seconds) {
        let distance = half_distance(*first, query.first());
        if distance <= max_distance {
            let distance = distance + half_distance(*second, query.second());
            if distance <= max_distance {
                found.push(Found { distance, position });
            }
        }
    }
}

/// The nearest `k` of those that are wanted, by distance and then by position.
pub fn nearest(halves: &Halves, query: PdqHash, k: usize, wanted: &dyn Fn(u32) -> bool) -> Vec<Found> {
    // The farthest of those kept is on top.
    let mut kept: BinaryHeap<Found> = BinaryHeap::new();
    for ((position, first), second) in (0_u32..).zip(halves.firsts()).zip(halves.seconds()) {
        let farthest = kept.peek().filter(|_| kept.len() >= k).map_or(u32::MAX, |found| found.distance);
        let distance = half_distance(*first, query.first());
        if distance >= farthest {
            continue;
        }
        let distance = distance + half_distance(*second, query.second());
        if distance < farthest && wanted(position) {
            if kept.len() >= k {
                kept.pop();
            }
            kept.push(Found { distance, position });
        }
    }
    kept.into_sorted_vec()
}
