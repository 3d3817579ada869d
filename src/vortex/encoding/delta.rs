//! Delta: what each integer exceeds the one before, bit-packed.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | reference | zigzag | |
//! | scale | varint | |
//! | least difference | zigzag | |
//! | blocks | rest | a base for every 256 values, `b`: the first of them is `reference + scale * b`; packed `p` of a value: it exceeds the one before by `scale * (least difference + p)`; all modulo 2^64. A block's first `p` is written as 0 and not looked at; the others must agree with the bases |
//!
//! One value is read by a walk of at most 255 others.

use std::ops::Range;

use super::bits::BLOCK;
use super::blocks::{self, Block, Blocks};
use super::budget::Touched;
use super::integers::{Framed, Integer, Line};
use super::wire::{Bytes, corrupt, put_varint, put_zigzag};
use super::{Encoded, Encoding};
use crate::error::Result;

/// Values that share a base: as many are walked to read one, less one.
pub(super) const STRIDE: usize = 256;

/// Delta-encoded integers, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Delta<'b> {
    line: Line,
    least: u64,
    blocks: Blocks<'b>,
}

impl<'b> Delta<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize) -> Result<Self> {
        let line = Line { offset: bytes.zigzag()?, scale: bytes.varint()? };
        let least = bytes.zigzag()?.cast_unsigned();
        Ok(Self { line, least, blocks: Blocks::parse(bytes, count, STRIDE)? })
    }

    pub(super) fn decode<V: Integer>(&self, range: Range<usize>, out: &mut Vec<V>) -> Result<()> {
        for (index, part) in self.blocks.within(range) {
            let block = self.blocks.block(index)?;
            let mut values = [0; BLOCK];
            block.unpack(&mut values)?;
            accumulate(&block, self.least, &mut values)?;
            V::append(out, values.get(part).unwrap_or_default().iter().map(|value| self.line.at(*value)))?;
        }
        Ok(())
    }

    pub(super) fn get(&self, position: usize, touched: &mut Touched) -> Result<i64> {
        let block = self.blocks.block(position / BLOCK)?;
        let within = position % BLOCK;
        let first = within / STRIDE * STRIDE;
        let differences = block.walk(first + 1..within + 1, touched);
        let value = differences
            .fold(block.base(first / STRIDE), |value, packed| value.wrapping_add(packed).wrapping_add(self.least));
        Ok(self.line.at(value))
    }
}

/// Makes differences the values that they lead to, and checks the bases on the way.
pub(super) fn accumulate(block: &Block<'_>, least: u64, values: &mut [u64; BLOCK]) -> Result<()> {
    let values = values.get_mut(..block.length).unwrap_or_default();
    if let Some(first) = values.first_mut() {
        *first = block.base(0).wrapping_sub(least);
    }
    let mut value = 0_u64;
    for (index, part) in values.chunks_mut(STRIDE).enumerate() {
        for place in part.iter_mut() {
            value = value.wrapping_add(*place).wrapping_add(least);
            *place = value;
        }
        if part.first().is_some_and(|first| *first != block.base(index)) {
            return Err(corrupt("expected bases that are what the differences lead to"));
        }
    }
    Ok(())
}

/// Encodes integers.
pub(in crate::vortex) fn encode(framed: &Framed) -> Result<Encoded> {
    let least = differences(&framed.values).map(u64::cast_signed).min().unwrap_or(0);
    let mut packed = Vec::with_capacity(framed.values.len());
    let bases: Vec<u64> = framed.values.iter().copied().step_by(STRIDE).collect();
    for block in framed.values.chunks(BLOCK) {
        packed.push(0);
        packed.extend(differences(block).map(|value| value.wrapping_sub(least.cast_unsigned())));
    }
    let mut out = Encoded::new(Encoding::Delta);
    put_zigzag(&mut out.bytes, framed.reference);
    put_varint(&mut out.bytes, framed.scale);
    put_zigzag(&mut out.bytes, least);
    blocks::encode(&packed, &bases, STRIDE, &mut out)?;
    Ok(out)
}

/// What each value exceeds the one before by.
fn differences(values: &[u64]) -> impl Iterator<Item = u64> {
    values.iter().zip(values.iter().skip(1)).map(|(value, next)| next.wrapping_sub(*value))
}

/// Bytes that a sample block of framed integers takes when the least difference is its own.
pub(in crate::vortex) fn estimate(block: &[u64]) -> usize {
    let least = differences(block).map(u64::cast_signed).min().unwrap_or(0).cast_unsigned();
    blocks::estimate(&differences(block).map(|value| value.wrapping_sub(least)).collect::<Vec<_>>())
}
