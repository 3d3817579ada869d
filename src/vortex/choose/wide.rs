//! The encoding of 16-byte values.

use super::fixed::{offer_constant, offer_dictionary, offer_runs};
use super::{Best, Wanted, integers};
use crate::error::Result;
use crate::vortex::encoding::wide::encode_narrow;
use crate::vortex::encoding::{Encoded, Encoding, plain};

/// `signed`: the values are integers, not just bits.
pub(super) fn encode(values: &[u128], signed: bool, wanted: Wanted) -> Result<Encoded> {
    let mut best = Best::new(wanted);
    if wanted.may_be(Encoding::Constant) && offer_constant(values, |value| value, &mut best)? {
        return best.take();
    }
    if wanted.may_be(Encoding::Plain) {
        best.offer(plain::encode(values.iter().map(|value| value.to_le_bytes())))?;
    }
    if signed && wanted.nests() && wanted.may_be(Encoding::Narrow) {
        let narrow: Option<Vec<i64>> = values.iter().map(|value| i64::try_from(value.cast_signed()).ok()).collect();
        if let Some(narrow) = narrow.filter(|narrow| !narrow.is_empty()) {
            best.offer(encode_narrow(&integers::encode(&narrow, wanted.inner())?))?;
        }
    }
    let inner = |values: &[u128], wanted: Wanted| encode(values, signed, wanted);
    offer_runs(values, |value| value, wanted, &mut best, inner)?;
    offer_dictionary(values, |value| value, wanted, &mut best, inner)?;
    best.take()
}
