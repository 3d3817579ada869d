//! Blocks of packed values, bit by bit.

use super::input::Input;
use super::{Refusal, refuse};

/// Values of a block.
pub const BLOCK: usize = 1_024;
const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// Starts and differences have a base for as many values.
pub const STRIDE: usize = 256;

/// What is packed of up to 1,024 values.
pub struct Block {
    pub bases: Vec<u64>,
    pub packed: Vec<u64>,
}

impl Block {
    /// The base that begins at a value.
    pub fn base(&self, position: usize) -> Option<u64> {
        if position.is_multiple_of(STRIDE) { self.bases.get(position / STRIDE).copied() } else { None }
    }
}

/// All blocks of `count` values of which `stride` share a base.
pub fn blocks(bytes: &[u8], count: usize, stride: usize) -> Result<Vec<Block>, Refusal> {
    let mut input = Input::new(bytes);
    let base_width = usize::from(input.byte()?);
    if base_width > 8 {
        return refuse(format!("a base of {base_width} bytes"));
    }
    let mut entries = Vec::new();
    for block in 0..count.div_ceil(BLOCK) {
        let values = BLOCK.min(count - block * BLOCK);
        let (width, exceptions, offset) = (usize::from(input.byte()?), usize::from(input.u16()?), input.u32()?);
        if width > 64 || exceptions > 256 {
            return refuse(format!("a block of {width} bits and {exceptions} exceptions"));
        }
        let mut bases = Vec::new();
        for _ in 0..values.div_ceil(stride) {
            bases.push(input.number(base_width)? as u64);
        }
        entries.push((bases, width, exceptions, offset, values));
    }
    let all = input.rest();
    let mut data = Input::new(all);
    let mut at = 0;
    let mut blocks = Vec::new();
    for (bases, width, exceptions, offset, values) in entries {
        if offset as usize != at {
            return refuse(format!("a block at {offset} where the one before ends at {at}"));
        }
        let mut packed = unpacked(data.take((values * width).div_ceil(8))?, width, values);
        at += (values * width).div_ceil(8);
        if exceptions > 0 {
            at += replace(&mut data, exceptions, &mut packed)?;
        }
        blocks.push(Block { bases, packed });
    }
    data.end()?;
    Ok(blocks)
}

/// Puts the exceptions into their positions; how many bytes they take.
fn replace(data: &mut Input<'_>, exceptions: usize, packed: &mut [u64]) -> Result<usize, Refusal> {
    let width = usize::from(data.byte()?);
    if width == 0 || width > 8 {
        return refuse(format!("exceptions of {width} bytes"));
    }
    let mut positions = Vec::new();
    for _ in 0..exceptions {
        let position = data.u16()?;
        if positions.last().is_some_and(|before| *before >= position) {
            return refuse("positions of exceptions that do not ascend");
        }
        positions.push(position);
    }
    for position in positions {
        let value = data.number(width)? as u64;
        match packed.get_mut(usize::from(position)) {
            Some(packed) => *packed = value,
            None => return refuse(format!("an exception at {position} beyond its block")),
        }
    }
    Ok(1 + exceptions * (2 + width))
}

/// Each value gathered from its bits, wherever they are. Bits after the last value are not looked at.
fn unpacked(bytes: &[u8], width: usize, count: usize) -> Vec<u64> {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    let value = |position| (0..width).map(|place| u64::from(bit(bit_of(position, place, width, count))) << place).sum();
    (0..count).map(value).collect()
}

/// Where bit `place` of a value is among all bits of a block of `count` values of `width` bits.
pub fn bit_of(position: usize, place: usize, width: usize, count: usize) -> usize {
    if count < BLOCK {
        return position * width + place;
    }
    let word_bits = if width <= 32 { 32 } else { 64 };
    let lanes = BLOCK / word_bits;
    // Of the row of the position only the eighth that it is in is not told by division.
    let lane = position % lanes;
    let eighth = (0..word_bits / 8).find(|eighth| ORDER[*eighth] * 16 == position % 128 - lane).unwrap_or(0);
    let row = eighth * 8 + position / 128;
    // The lane's own bits go on from word to word; word w of lane l is word w * lanes + l of all.
    let at = row * width + place;
    (at / word_bits * lanes + lane) * word_bits + at % word_bits
}

/// `count` starts: never descending, none above `limit`.
pub fn starts(bytes: &[u8], count: usize, limit: usize) -> Result<Vec<usize>, Refusal> {
    let mut input = Input::new(bytes);
    let least = input.varint()?;
    let mut starts: Vec<usize> = Vec::new();
    for block in blocks(input.rest(), count, STRIDE)? {
        for (position, packed) in block.packed.iter().enumerate() {
            let before = starts.last().copied().unwrap_or(0);
            let next = (before as u64).wrapping_add(least).wrapping_add(*packed);
            let start = match block.base(position) {
                Some(base) if position == 0 || base == next => base,
                Some(base) => return refuse(format!("a base {base} where the differences lead to {next}")),
                None => next,
            };
            match usize::try_from(start) {
                Ok(start) if start <= limit && start >= before => starts.push(start),
                _ => return refuse(format!("a start {start} after {before} with a limit of {limit}")),
            }
        }
    }
    Ok(starts)
}

/// `count` positions below `limit`, none twice.
pub fn positions(bytes: &[u8], count: usize, limit: usize) -> Result<Vec<usize>, Refusal> {
    let positions = starts(bytes, count, limit)?;
    if positions.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("a position told twice");
    }
    if positions.last().is_some_and(|last| *last >= limit) {
        return refuse("a position at the limit");
    }
    Ok(positions)
}
