//! The encoding of floating-point numbers.

use super::fixed::{offer_constant, offer_dictionary, offer_runs};
use super::{Best, Distinct, Wanted, integers, sample};
use crate::error::Result;
use crate::vortex::encoding::alp::{self, Decimals};
use crate::vortex::encoding::floats::Float;
use crate::vortex::encoding::{Encoded, Encoding, plain};

/// Of a sample block every so many values are tried at every exponent.
const SAMPLE_STEP: usize = 16;
/// ALP is not tried when more than one in so many of the sample are exceptions.
const EXCEPTIONS_ONE_IN: usize = 4;

/// A number's bits, in an order in which equal bits are equal: NaN and the sign of zero count.
trait Bits: Float {
    fn bits(self) -> u64;
    fn encode_plain(values: &[Self]) -> Encoded;
}

impl Bits for f64 {
    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn encode_plain(values: &[Self]) -> Encoded {
        plain::encode(values.iter().map(|value| value.to_le_bytes()))
    }
}

impl Bits for f32 {
    fn bits(self) -> u64 {
        u64::from(self.to_bits())
    }

    fn encode_plain(values: &[Self]) -> Encoded {
        plain::encode(values.iter().map(|value| value.to_le_bytes()))
    }
}

#[allow(private_bounds, reason = "the two precisions and no others")]
pub(super) fn encode<V: Bits>(values: &[V], wanted: Wanted) -> Result<Encoded> {
    let mut best = Best::new(wanted);
    if wanted.may_be(Encoding::Constant) && offer_constant(values, V::bits, &mut best)? {
        return best.take();
    }
    if wanted.may_be(Encoding::Plain) {
        best.offer(V::encode_plain(values))?;
    }
    offer_alp(values, wanted, &mut best)?;
    offer_runs(values, V::bits, wanted, &mut best, encode)?;
    let distinct = Distinct::of_numbers(values.iter().map(|value| value.bits())).estimate(values.len());
    let code_bits = usize::try_from(usize::BITS - distinct.saturating_sub(1).leading_zeros()).unwrap_or(0);
    let bytes = (values.len().saturating_mul(code_bits) / 8).saturating_add(distinct.saturating_mul(3));
    if best.is_beaten_by(Encoding::Dictionary, bytes) {
        offer_dictionary(values, V::bits, wanted, &mut best, encode)?;
    }
    best.take()
}

fn offer_alp<V: Bits>(values: &[V], wanted: Wanted, best: &mut Best) -> Result<()> {
    if !wanted.nests() || !wanted.may_be(Encoding::Alp) || values.is_empty() {
        return Ok(());
    }
    let sample: Vec<V> = sample::blocks(values).flat_map(|block| block.iter().copied().step_by(SAMPLE_STEP)).collect();
    let (exponent, exceptions) = alp::best_exponent(&sample);
    if wanted.force.is_none() && exceptions * EXCEPTIONS_ONE_IN > sample.len() {
        return Ok(());
    }
    let decimals = Decimals::of(values, exponent);
    let plain_bytes = values.len().saturating_mul(V::BYTES);
    if wanted.force.is_none() && decimals.exception_bytes() > plain_bytes {
        return Ok(());
    }
    best.offer(alp::encode(&decimals, &integers::encode(&decimals.integers, wanted.inner())?)?)
}
