//! The encoding of text and bytes.

use std::collections::HashMap;

use xxhash_rust::xxh64::xxh64;

use super::{Best, Distinct, Wanted, integers, sample};
use crate::error::Result;
use crate::vortex::encoding::starts::index;
use crate::vortex::encoding::{Encoded, Encoding, bytes, dictionary, fsst};

/// Fewer bytes than this do not pay for a table of symbols.
const SYMBOLS_FROM_BYTES: usize = 1_024;
/// Bytes that a table of symbols is made from, at most.
const TRAINING_MAX_BYTES: usize = 16_383;
/// Of one of them, at most.
const TRAINING_VALUE_BYTES: usize = 512;
/// A sampled value is looked at up to here.
const SAMPLED_VALUE_BYTES: usize = 4_096;

/// `bytes[offsets[i]..offsets[i + 1]]` is value `i`.
pub(super) fn encode(offsets: &[u32], all: &[u8], wanted: Wanted) -> Result<Encoded> {
    let spans = offsets.iter().zip(offsets.iter().skip(1));
    let values: Vec<&[u8]> =
        spans.map(|(start, end)| all.get(index(*start)..index(*end)).unwrap_or_default()).collect();
    encode_values(&values, wanted)
}

fn encode_values(values: &[&[u8]], wanted: Wanted) -> Result<Encoded> {
    let mut best = Best::new(wanted);
    if let Some(first) =
        values.first().filter(|first| wanted.may_be(Encoding::Constant) && values.iter().all(|value| value == *first))
    {
        best.offer(bytes::encode_constant(first))?;
        return best.take();
    }
    offer_dictionary(values, wanted, &mut best)?;
    let total: usize = values.iter().map(|value| value.len()).sum();
    if wanted.may_be(Encoding::Plain) && best.is_beaten_by(Encoding::Plain, total) {
        best.offer(bytes::encode_plain(values.iter().copied())?)?;
    }
    offer_symbols(values, total, wanted, &mut best)?;
    best.take()
}

fn offer_dictionary(values: &[&[u8]], wanted: Wanted, best: &mut Best) -> Result<()> {
    if !wanted.nests() || !wanted.may_be(Encoding::Dictionary) || values.is_empty() {
        return Ok(());
    }
    let estimate = Distinct::of_hashes(values.iter().map(|value| xxh64(value, 0))).estimate(values.len());
    if wanted.force.is_none() && estimate > values.len() / 2 {
        return Ok(());
    }
    let (distinct, codes) = codes(values, estimate);
    let codes = integers::encode(&codes, wanted.inner())?;
    best.offer(dictionary::encode(distinct.len(), &encode_values(&distinct, wanted.inner())?, &codes))
}

/// The distinct values in order, and each value's place among them.
fn codes<'v>(values: &[&'v [u8]], expected: usize) -> (Vec<&'v [u8]>, Vec<i64>) {
    let mut seen: HashMap<&[u8], u32> = HashMap::with_capacity(expected);
    let mut distinct: Vec<(&[u8], u32)> = Vec::with_capacity(expected);
    let mut codes = Vec::with_capacity(values.len());
    for value in values {
        let next = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
        let first_seen = *seen.entry(value).or_insert_with(|| {
            distinct.push((value, next));
            next
        });
        codes.push(first_seen);
    }
    distinct.sort_unstable();
    let mut places = vec![0; distinct.len()];
    for (place, (_, first_seen)) in (0_i64..).zip(&distinct) {
        if let Some(code) = places.get_mut(index(*first_seen)) {
            *code = place;
        }
    }
    let codes = codes.into_iter().map(|first_seen| places.get(index(first_seen)).copied().unwrap_or(0)).collect();
    (distinct.into_iter().map(|(value, _)| value).collect(), codes)
}

/// Every so many of the sampled values, fewer bytes in all than the `fsst` crate takes a sample of its own from: that
/// one would differ between machines of 32 and of 64 bits.
fn training<'v>(sampled: &[&'v [u8]], sampled_bytes: usize) -> Vec<&'v [u8]> {
    let mut left = TRAINING_MAX_BYTES;
    let step = sampled_bytes / TRAINING_MAX_BYTES + 1;
    let values = sampled.iter().step_by(step).map(|value| value.get(..TRAINING_VALUE_BYTES).unwrap_or(value));
    let fits = |value: &&[u8]| {
        let fits = value.len() <= left;
        left -= if fits { value.len() } else { 0 };
        fits
    };
    values.filter(fits).collect()
}

fn offer_symbols(values: &[&[u8]], total: usize, wanted: Wanted, best: &mut Best) -> Result<()> {
    let least = if wanted.force.is_some() { 1 } else { SYMBOLS_FROM_BYTES };
    if !wanted.may_be(Encoding::Fsst) || total < least {
        return Ok(());
    }
    let sampled: Vec<&[u8]> =
        sample::blocks(values).flatten().map(|value| value.get(..SAMPLED_VALUE_BYTES).unwrap_or(value)).collect();
    let sampled_bytes = sampled.iter().map(|value| value.len()).sum();
    let compressor = fsst::train(&training(&sampled, sampled_bytes));
    let estimate = sample::scaled(fsst::estimate(&compressor, &sampled), sampled_bytes, total);
    if best.is_beaten_by(Encoding::Fsst, estimate) {
        best.offer(fsst::encode(&compressor, values)?)?;
    }
    Ok(())
}
