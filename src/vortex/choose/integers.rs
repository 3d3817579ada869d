//! The encoding of integers.

use super::fixed::{offer_constant, offer_dictionary, offer_runs};
use super::{Best, Distinct, Wanted, sample};
use crate::error::Result;
use crate::vortex::encoding::integers::Framed;
use crate::vortex::encoding::{Encoded, Encoding, bit_packed, delta, dictionary, plain};

/// Spans of values up to this many times their number are told apart by a table instead of by hashing.
const TABLE_PER_VALUE: usize = 4;
/// Such a table in entries, at least.
const TABLE_LEAST: usize = 65_536;

pub(super) fn encode(values: &[i64], wanted: Wanted) -> Result<Encoded> {
    let mut best = Best::new(wanted);
    if wanted.may_be(Encoding::Constant) && offer_constant(values, |value| value, &mut best)? {
        return best.take();
    }
    let framed = Framed::of(values);
    let estimated = |estimate: fn(&[u64]) -> usize| {
        let sums = sample::blocks(&framed.values)
            .fold((0, 0), |(bytes, count), block| (bytes + estimate(block), count + block.len()));
        sample::scaled(sums.0, sums.1, values.len())
    };
    let plain_bytes = values.len().saturating_mul(size_of::<i64>());
    if wanted.may_be(Encoding::BitPacked) && (wanted.force.is_some() || estimated(bit_packed::estimate) < plain_bytes) {
        best.offer(bit_packed::encode(&framed)?)?;
    }
    if wanted.may_be(Encoding::Plain) && best.is_beaten_by(Encoding::Plain, plain_bytes) {
        best.offer(plain::encode(values.iter().map(|value| value.to_le_bytes())))?;
    }
    if wanted.may_be(Encoding::Delta) && best.is_beaten_by(Encoding::Delta, estimated(delta::estimate)) {
        best.offer(delta::encode(&framed)?)?;
    }
    offer_runs(values, |value| value, wanted, &mut best, encode)?;
    if wanted.nests() && wanted.may_be(Encoding::Dictionary) {
        let distinct = Distinct::of_numbers(framed.values.iter().copied()).estimate(values.len());
        let code_bits = usize::try_from(usize::BITS - distinct.saturating_sub(1).leading_zeros()).unwrap_or(0);
        // A distinct value takes two bytes or so: neighbours in order are close.
        let bytes = (values.len().saturating_mul(code_bits) / 8).saturating_add(distinct.saturating_mul(2));
        if best.is_beaten_by(Encoding::Dictionary, bytes) {
            offer_integer_dictionary(values, &framed, wanted, &mut best)?;
        }
    }
    best.take()
}

/// As for any values, by a table where the span of the values allows.
fn offer_integer_dictionary(values: &[i64], framed: &Framed, wanted: Wanted, best: &mut Best) -> Result<()> {
    let span = framed.values.iter().copied().max().and_then(|span| usize::try_from(span).ok()).unwrap_or(usize::MAX);
    if span >= values.len().saturating_mul(TABLE_PER_VALUE).max(TABLE_LEAST) {
        return offer_dictionary(values, |value| value, wanted, best, encode);
    }
    let place = |value: &u64| usize::try_from(*value).unwrap_or(usize::MAX);
    let mut table = vec![-1_i64; span + 1];
    for value in &framed.values {
        if let Some(code) = table.get_mut(place(value)) {
            *code = 0;
        }
    }
    let mut distinct = Vec::new();
    for (offset, code) in (0_u64..).zip(&mut table).filter(|(_, code)| **code == 0) {
        *code = i64::try_from(distinct.len()).unwrap_or(i64::MAX);
        distinct.push(framed.reference.wrapping_add(framed.scale.wrapping_mul(offset).cast_signed()));
    }
    let codes: Vec<i64> = framed.values.iter().map(|value| table.get(place(value)).copied().unwrap_or(0)).collect();
    let codes = encode(&codes, wanted.inner())?;
    best.offer(dictionary::encode(distinct.len(), &encode(&distinct, wanted.inner())?, &codes))
}
