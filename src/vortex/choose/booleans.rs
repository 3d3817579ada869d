//! The encoding of booleans.

use super::{Best, Wanted, run_starts};
use crate::error::Result;
use crate::vortex::encoding::{Encoded, Encoding, booleans};

pub(super) fn encode(values: &[bool], wanted: Wanted) -> Result<Encoded> {
    let mut best = Best::new(wanted);
    let Some(first) = values.first().copied() else {
        best.offer(booleans::encode_plain(values))?;
        return best.take();
    };
    if wanted.may_be(Encoding::Constant) && values.iter().all(|value| *value == first) {
        best.offer(booleans::encode_constant(first))?;
        return best.take();
    }
    if wanted.may_be(Encoding::Plain) {
        best.offer(booleans::encode_plain(values))?;
    }
    let most = if wanted.force.is_some() { values.len() } else { values.len() / 8 };
    if wanted.may_be(Encoding::RunLength)
        && let Some(starts) = run_starts(values.len(), most, |left, right| values.get(left) == values.get(right))
    {
        best.offer(booleans::encode_runs(first, &starts)?)?;
    }
    best.take()
}
