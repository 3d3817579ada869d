//! Plain: fixed-size values one after the other, little-endian. Booleans: a bit each, low bits first.

use std::ops::Range;

use super::budget::Touched;
use super::wire::{Bytes, corrupt};
use super::{Encoded, Encoding};
use crate::error::Result;

/// Values of one size.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Plain<'b> {
    values: &'b [u8],
}

impl<'b> Plain<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize, width: usize) -> Result<Self> {
        let values = bytes.take(count.saturating_mul(width))?;
        bytes.finish("plain values")?;
        Ok(Self { values })
    }

    /// The bytes of the values in `range`, `N` each.
    pub(super) fn within<const N: usize>(&self, range: Range<usize>) -> Result<&'b [[u8; N]]> {
        let (values, _) = self.values.as_chunks::<N>();
        values.get(range).ok_or_else(|| corrupt("expected a range within the column"))
    }

    /// The bytes of one value.
    pub(super) fn get<const N: usize>(&self, position: usize, touched: &mut Touched) -> Result<[u8; N]> {
        touched.add(N, 1);
        let (values, _) = self.values.as_chunks::<N>();
        values.get(position).copied().ok_or_else(|| corrupt("expected a position within the column"))
    }
}

/// Encodes values, given as their bytes.
pub(in crate::vortex) fn encode<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Encoded {
    let mut out = Encoded::new(Encoding::Plain);
    out.bytes.extend(values.flatten());
    out
}
