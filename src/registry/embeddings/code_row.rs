//! The bytes of a block of codes, version 1: a row of SQLite each. Little-endian throughout.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic `TCEC` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | flags, 0 |
//! | 8 | 8 | xxh64 (seed 0) of every byte from offset 16 on |
//! | 16 | 4 | components of a vector, 1 to 4,096 |
//! | 20 | 4 | number of the block |
//! | 24 | 4 | number of codes, from 1 on |
//! | 28 | 4 | mean of the squared lengths of this block's vectors and those before: float |
//! | 32 | 4 each | the centre: a float for each bit of a code |
//! | | 4 each | mean of the rotated vectors of this block and those before: as many floats |
//! | | 4 each | for each code its scale: float |
//! | | 4 each | for each code its shift: float |
//! | | 4 each | for each code its length: float |
//! | | 16 each | for each sixteen codes, the last group filled up with 0, and each byte of a code that byte of the sixteen |
//!
//! The lowest bit of a code's first byte is the sign of the first component, 1 where it is not negative.
//!
//! A code has as many bits as the dimension, up to a multiple of 64, and 256 at least. The rotation is told in
//! [`rotation`](super::rotation), the positions of a block's vectors in [`codes`](super::codes).

use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::bytes::{Bytes, put_head, take_head};
use super::codes::{Centre, CodeBlock, Mean, block_bounds};
use super::lanes::{GROUP, column_bytes};
use super::rotation::code_bits;
use super::vector::corrupt;
use crate::error::Result;

const MAGIC: [u8; 4] = *b"TCEC";

/// The bytes of a block of vectors of `dimension` components, with the mean after it.
pub fn write(dimension: usize, number: usize, block: &CodeBlock, mean: &Mean) -> Vec<u8> {
    let mut body = Vec::new();
    for count in [dimension, number, block.count()] {
        body.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    let mut put = |float: f32| body.extend(float.to_le_bytes());
    put(mean.squared_length);
    block.centre.values.iter().chain(&mean.values).for_each(|value| put(*value));
    block.factors().into_iter().flatten().for_each(|factor| put(*factor));
    block.groups().for_each(|group| body.extend(group.iter().flat_map(column_bytes)));
    put_head(MAGIC, &body, 0)
}

/// Reads the block of this number of vectors of `dimension` components, and the mean after it. Bytes that are not exactly that are an error.
pub fn read(bytes: &[u8], dimension: usize, number: usize) -> Result<(CodeBlock, Mean)> {
    let (checksum, body) = take_head(MAGIC, bytes)?;
    if xxh64(body, 0) != checksum {
        return Err(corrupt("the checksum of a block of codes does not hold"));
    }
    let mut rest = Bytes::new(body);
    let [found_dimension, found_number, count] = [rest.count()?, rest.count()?, rest.count()?];
    if (found_dimension, found_number) != (dimension, number) {
        return Err(corrupt(format!(
            "expected the block {number} of codes of {dimension} components, got {found_number} of {found_dimension}"
        )));
    }
    let bounds = block_bounds(number);
    let Some((first, room)) = bounds.map(|(first, end)| (first, end.saturating_sub(first))) else {
        return Err(corrupt("expected a block of codes, got one beyond the last"));
    };
    if !(1..=room).contains(&u32::try_from(count).unwrap_or(u32::MAX)) {
        return Err(corrupt(format!("expected 1 to {room} codes, got {count}")));
    }
    let bits = code_bits(dimension);
    let squared_length = rest.floats(1)?.first().copied().unwrap_or(0.0);
    let centre = Centre::new(rest.floats(bits)?);
    let mean = Mean { values: rest.floats(bits)?, squared_length };
    let factors = [rest.floats(count)?, rest.floats(count)?, rest.floats(count)?];
    let groups = count.div_ceil(GROUP).saturating_mul(bits / 8);
    let columns = rest.take_all(groups.saturating_mul(GROUP))?.as_chunks().0;
    let mut block = CodeBlock::new(first, Rc::new(centre), room);
    let [scales, shifts, lengths] = factors.each_ref().map(|numbers| numbers.chunks(GROUP));
    for (((columns, scales), shifts), lengths) in columns.chunks_exact(bits / 8).zip(scales).zip(shifts).zip(lengths) {
        block.push_stored(columns, [scales, shifts, lengths]);
    }
    Ok((block, mean))
}
