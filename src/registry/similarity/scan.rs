//! Looking at every hash: for distances that bands do not reach, and for hashes that are not indexed.
//!
//! The second half is looked at only where the first is near enough: half of the memory is read where a search asks for less
//! than most hashes differ by in a half (64 bits, for random ones). Where many first halves are near, both are read at once:
//! a branch that goes either way costs more than reading.
//!
//! Kernels are small functions called a block at a time, which look at several hashes before they branch: that is what
//! engines of wasm compile best.

use std::ops::Range;

use super::Found;
use super::hash::{Half, Halves, PdqHash, half_distance};

/// Hashes looked at by one call of a kernel.
const BLOCK: usize = 4_096;
/// Hashes looked at before a branch.
const GROUP: usize = 8;
/// When more groups of a block than this have a first half that is near, so many blocks after it are read whole.
const NEAR_GROUPS_MAX: usize = BLOCK / GROUP / 8;
const WHOLE_BLOCKS: usize = 15;

/// A block of hashes, and what is looked for.
struct Block<'b> {
    firsts: &'b [Half],
    seconds: &'b [Half],
    /// The position of its first hash.
    from: u32,
    query: PdqHash,
    max_distance: u32,
}

/// Adds every hash of some positions that is within a distance.
pub fn within(halves: &Halves, positions: Range<usize>, query: PdqHash, max_distance: u32, found: &mut Vec<Found>) {
    let mut from = u32::try_from(positions.start).unwrap_or(u32::MAX);
    let (firsts, seconds) = (halves.firsts().get(positions.clone()), halves.seconds().get(positions));
    let (Some(firsts), Some(seconds)) = (firsts, seconds) else { return };
    let mut whole_blocks = 0_usize;
    for (firsts, seconds) in firsts.chunks(BLOCK).zip(seconds.chunks(BLOCK)) {
        let block = Block { firsts, seconds, from, query, max_distance };
        // Called by a pointer, for optimizers of wasm inline what is called in one place, and large functions run worse.
        let kernel = if whole_blocks > 0 { Block::both } else { Block::first_then_second };
        let near_groups = kernel(&block, found);
        whole_blocks = if near_groups > NEAR_GROUPS_MAX { WHOLE_BLOCKS } else { whole_blocks.saturating_sub(1) };
        from = from.saturating_add(u32::try_from(firsts.len()).unwrap_or(0));
    }
}

/// Whether one of the first halves of a group is near: the sign bit of the answer.
#[inline(never)]
fn near_firsts([a, b, c, d, e, f, g, h]: &[Half; GROUP], query: Half, beyond: u32) -> u32 {
    let near = |first: &Half| half_distance(*first, query).wrapping_sub(beyond);
    (near(a) | near(b)) | (near(c) | near(d)) | (near(e) | near(f)) | (near(g) | near(h))
}

struct Nearness {
    first: Half,
    second: Half,
    beyond: u32,
}

impl Nearness {
    #[inline(always)]
    fn of(&self, first: &Half, second: &Half) -> u32 {
        (half_distance(*first, self.first) + half_distance(*second, self.second)).wrapping_sub(self.beyond)
    }
}

/// The same of whole hashes. Written out, for it is called for each group and has to call nothing.
#[inline(never)]
fn near_hashes(firsts: &[Half; GROUP], seconds: &[Half; GROUP], queries: [Half; 2], beyond: u32) -> u32 {
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (firsts, seconds);
    let near = Nearness { first: queries[0], second: queries[1], beyond };
    (near.of(a, i) | near.of(b, j))
        | (near.of(c, k) | near.of(d, l))
        | (near.of(e, m) | near.of(f, n))
        | (near.of(g, o) | near.of(h, p))
}

impl Block<'_> {
    /// Reads second halves where a first one is near. Answers in how many groups one was.
    #[inline(never)]
    fn first_then_second(&self, found: &mut Vec<Found>) -> usize {
        let (query, beyond) = (self.query.first(), self.max_distance.saturating_add(1));
        let (groups, rest) = self.firsts.as_chunks::<GROUP>();
        let mut near_groups = 0;
        for (group, firsts) in groups.iter().enumerate() {
            if near_firsts(firsts, query, beyond) > i32::MAX.unsigned_abs() {
                near_groups += 1;
                self.add(group * GROUP, GROUP, found);
            }
        }
        self.add(groups.len() * GROUP, rest.len(), found);
        near_groups
    }

    /// Reads all of both halves. Answers nothing of the first ones.
    #[inline(never)]
    fn both(&self, found: &mut Vec<Found>) -> usize {
        let queries = [self.query.first(), self.query.second()];
        let beyond = self.max_distance.saturating_add(1);
        let (groups, rest) = self.firsts.as_chunks::<GROUP>();
        let mut number = 0;
        for (firsts, seconds) in groups.iter().zip(self.seconds.as_chunks::<GROUP>().0) {
            if near_hashes(firsts, seconds, queries, beyond) > i32::MAX.unsigned_abs() {
                self.add(number, GROUP, found);
            }
            number += GROUP;
        }
        self.add(number, rest.len(), found);
        0
    }

    /// Adds those of some hashes of the block that are within the distance.
    #[inline(never)]
    fn add(&self, start: usize, count: usize, found: &mut Vec<Found>) {
        for place in start..start.saturating_add(count) {
            let (Some(first), Some(second)) = (self.firsts.get(place), self.seconds.get(place)) else { return };
            let distance = half_distance(*first, self.query.first()) + half_distance(*second, self.query.second());
            if distance <= self.max_distance {
                let position = self.from.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
                found.push(Found { distance, position });
            }
        }
    }
}
