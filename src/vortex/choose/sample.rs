//! The sample: whole blocks, about one in a hundred, at least four, spread evenly and moved about within their share by
//! a fixed seed.

use crate::vortex::choose::distinct::mix;
use crate::vortex::encoding::bits::BLOCK;

/// Of so many blocks one is taken.
const ONE_IN: usize = 100;
/// Blocks that are taken, at least.
const LEAST: usize = 4;
const SEED: u64 = 0x7468_6572_6d6f_636c;

/// The sampled blocks of values.
pub(super) fn blocks<T>(values: &[T]) -> impl Iterator<Item = &[T]> {
    let all = values.len().div_ceil(BLOCK);
    let taken = (all / ONE_IN).max(LEAST).min(all);
    (0..taken).filter_map(move |share| {
        let (first, end) = (share * all / taken, (share + 1) * all / taken);
        let within = usize::try_from(mix(SEED ^ u64::try_from(share).ok()?) >> 32).ok()? % (end - first).max(1);
        values.chunks(BLOCK).nth(first + within)
    })
}

/// What the sample's `bytes` of `sampled` values are for `all` values.
pub(super) fn scaled(bytes: usize, sampled: usize, all: usize) -> usize {
    let scaled = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(u128::try_from(all).unwrap_or(u128::MAX));
    usize::try_from(scaled / u128::try_from(sampled.max(1)).unwrap_or(1)).unwrap_or(usize::MAX)
}
