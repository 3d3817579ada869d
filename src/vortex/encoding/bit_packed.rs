//! Bit-packed: what exceeds a frame of reference, in as many bits as a block of it needs.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | reference | zigzag | |
//! | scale | varint | |
//! | blocks | rest | one base a block, `b`, and packed `p`: the value is `reference + scale * (b + p)`, modulo 2^64 |
//!
//! The scale makes times of whole seconds, kept in microseconds, six digits shorter.

use std::ops::Range;

use super::bits::BLOCK;
use super::blocks::{self, Blocks};
use super::budget::Touched;
use super::integers::{Framed, Integer, Line, narrow};
use super::wire::{Bytes, put_varint, put_zigzag};
use super::{Encoded, Encoding};
use crate::error::Result;

/// Bit-packed integers, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct BitPacked<'b> {
    line: Line,
    blocks: Blocks<'b>,
}

impl<'b> BitPacked<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize) -> Result<Self> {
        let line = Line { offset: bytes.zigzag()?, scale: bytes.varint()? };
        Ok(Self { line, blocks: Blocks::parse(bytes, count, BLOCK)? })
    }

    /// The line of a block: its base added to the reference.
    fn line(&self, base: u64) -> Line {
        Line { offset: self.line.at(base), scale: self.line.scale }
    }

    pub(super) fn decode<V: Integer>(&self, range: Range<usize>, out: &mut Vec<V>) -> Result<()> {
        for (index, part) in self.blocks.within(range) {
            let block = self.blocks.block(index)?;
            let line = self.line(block.base(0));
            // What is packed in place of an exception must not be judged.
            if block.is_narrow() && (V::HOLDS_ALL || !block.has_exceptions()) {
                let mut packed = [0; BLOCK];
                block.unpack_narrow(&mut packed);
                let first = out.len();
                V::extend(out, packed.get(part.clone()).unwrap_or_default(), line)?;
                block.place_exceptions(part, |position, value| {
                    if let Some(place) = out.get_mut(first + position) {
                        *place = narrow(line.at(value))?;
                    }
                    Ok(())
                })?;
            } else {
                let mut packed = [0; BLOCK];
                block.unpack(&mut packed)?;
                V::append(out, packed.get(part).unwrap_or_default().iter().map(|packed| line.at(*packed)))?;
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, position: usize, touched: &mut Touched) -> Result<i64> {
        let block = self.blocks.block(position / BLOCK)?;
        Ok(self.line(block.base(0)).at(block.single(position % BLOCK, touched)))
    }
}

/// Encodes integers.
pub(in crate::vortex) fn encode(framed: &Framed) -> Result<Encoded> {
    let bases: Vec<u64> = framed.values.chunks(BLOCK).map(base).collect();
    let mut packed = framed.values.clone();
    for (block, base) in packed.chunks_mut(BLOCK).zip(&bases) {
        block.iter_mut().for_each(|value| *value = value.wrapping_sub(*base));
    }
    let mut out = Encoded::new(Encoding::BitPacked);
    put_zigzag(&mut out.bytes, framed.reference);
    put_varint(&mut out.bytes, framed.scale);
    // One value is read without decoding its block.
    let point_bytes = out.point_bytes;
    blocks::encode(&packed, &bases, BLOCK, &mut out)?;
    out.point_bytes = point_bytes.saturating_add(blocks::SINGLE_MAX_BYTES);
    Ok(out)
}

/// One in so many values of a block may be far from the others, at either end, and is left out of account.
const OUTLIERS_ONE_IN: usize = 64;

/// The base of a block: its least value; or the least of most of them, where the others are so far below that they are
/// better exceptions, which wrap around.
fn base(block: &[u64]) -> u64 {
    let least = block.iter().copied().min().unwrap_or(0);
    let few = block.len() / OUTLIERS_ONE_IN;
    if few == 0 {
        return least;
    }
    let mut ordered = block.to_vec();
    let low = *ordered.select_nth_unstable(few).1;
    let spread = *ordered.select_nth_unstable(block.len() - 1 - few).1 - low;
    if low - least <= spread {
        return least;
    }
    let near = block.iter().copied().filter(|value| low.saturating_sub(*value) <= spread).min().unwrap_or(low);
    let bytes = |base: u64| blocks::estimate(&block.iter().map(|value| value.wrapping_sub(base)).collect::<Vec<_>>());
    if bytes(near) < bytes(least) { near } else { least }
}

/// Bytes that a sample block of framed integers takes.
pub(in crate::vortex) fn estimate(block: &[u64]) -> usize {
    let base = base(block);
    blocks::estimate(&block.iter().map(|value| value.wrapping_sub(base)).collect::<Vec<_>>())
}
