//! Blocks of bit-packed values, each with one base or more, a width and the few values that do not fit it.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | base width | 1 | bytes of a base, 0 to 8 |
//! | directory | | an entry a block: bit width (1), 0 to 64; number of exceptions (2), at most 256; offset of the block's data from the end of the directory (4); its bases (base width each) |
//! | data | rest | block after block |
//!
//! A block holds [`BLOCK`] values, the last one what remains. Who uses the blocks says how many values share a base, 1,024
//! or 256; a last block of fewer values has fewer bases. A block's data is the packed values ([`bits`](super::bits)) and,
//! if there are exceptions, the width of an exception in bytes (1, from 1 to 8), their positions in the block (2 each,
//! ascending without two alike) and their values (little-endian). What is packed in their place has no meaning, nor have
//! the bits that fill up the last byte. Data follows data
//! without a gap, and nothing follows the last.
//! What a base and a packed value mean is the matter of who uses the blocks.

use std::ops::Range;

use super::Encoded;
use super::bits::{self, BLOCK};
use super::budget::Touched;
use super::wire::{Bytes, byte_width, corrupt, partial_u64, put_low_bytes, unwritable};
use crate::error::{ErrorKind, Result};

/// Exceptions of one block, at most: they are searched one by one when one value is read.
const MAX_EXCEPTIONS: usize = 256;
/// Bytes of a directory entry beside the base.
const ENTRY_BYTES: usize = 7;
/// Bytes that reading one value looks at, at most: the entry and its neighbour's offset, two words, all exceptions' positions.
pub(super) const SINGLE_MAX_BYTES: usize = 8 + ENTRY_BYTES + 4 + 16 + 1 + MAX_EXCEPTIONS * POSITION_BYTES + 8;
/// Bytes of an exception's position.
const POSITION_BYTES: usize = 2;
/// What an exception costs beyond its bytes, in bytes: it is put in its place one by one.
const EXCEPTION_WEIGHT: usize = 1;

/// A list of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks<'b> {
    count: usize,
    /// How many values share a base.
    stride: usize,
    base_bytes: usize,
    directory: &'b [u8],
    data: &'b [u8],
}

/// One block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'b> {
    width: u32,
    /// How many values it holds.
    pub length: usize,
    bases: &'b [u8],
    base_bytes: usize,
    packed: &'b [u8],
    positions: &'b [u8],
    values: &'b [u8],
    value_bytes: usize,
}

impl<'b> Blocks<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize, stride: usize) -> Result<Self> {
        let base_bytes = usize::from(bytes.u8()?);
        if base_bytes > 8 {
            return Err(corrupt(format!("expected bases of at most 8 bytes, got {base_bytes}")));
        }
        let entries = count.div_ceil(BLOCK).saturating_mul(ENTRY_BYTES);
        let directory = bytes.take(count.div_ceil(stride).saturating_mul(base_bytes).saturating_add(entries))?;
        if count == 0 {
            bytes.finish("a list without blocks")?;
        }
        Ok(Self { count, stride, base_bytes, directory, data: bytes.rest() })
    }

    /// How many values there are in all.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many bases there are.
    pub(super) fn bases(&self) -> usize {
        self.count.div_ceil(self.stride)
    }

    /// A block's entry and all after it.
    fn entry(&self, index: usize) -> Bytes<'b> {
        let size = ENTRY_BYTES + BLOCK / self.stride * self.base_bytes;
        Bytes::new(self.directory.get(index.saturating_mul(size)..).unwrap_or_default())
    }

    /// One base of all; only the directory is looked at.
    pub(super) fn base(&self, index: usize, touched: &mut Touched) -> Result<u64> {
        touched.add(self.base_bytes, 0);
        let a_block = BLOCK / self.stride;
        let mut entry = self.entry(index / a_block);
        entry.take(ENTRY_BYTES + index % a_block * self.base_bytes)?;
        entry.take(self.base_bytes).map(partial_u64)
    }

    fn offset(&self, index: usize) -> Result<usize> {
        if index >= self.count.div_ceil(BLOCK) {
            return Ok(self.data.len());
        }
        let mut entry = self.entry(index);
        entry.take(ENTRY_BYTES - size_of::<u32>())?;
        to_usize(entry.u32()?)
    }

    /// A block, its parts checked against its neighbours'.
    pub(super) fn block(&self, index: usize) -> Result<Block<'b>> {
        let length = self.count.saturating_sub(index.saturating_mul(BLOCK)).min(BLOCK);
        if length == 0 {
            return Err(corrupt(format!("expected a block of {} values, got block {index}", self.count)));
        }
        let mut entry = self.entry(index);
        let (width, exceptions) = (u32::from(entry.u8()?), usize::from(entry.u16()?));
        let (start, end) = (to_usize(entry.u32()?)?, self.offset(index.saturating_add(1))?);
        let bases = entry.take(length.div_ceil(self.stride) * self.base_bytes)?;
        if width > 64 || exceptions > MAX_EXCEPTIONS.min(length) || index == 0 && start != 0 {
            return Err(corrupt(format!(
                "expected a block of at most 64 bits a value and {MAX_EXCEPTIONS} exceptions that follows the one before, got {width} bits, {exceptions} exceptions, offset {start}"
            )));
        }
        let mut data =
            Bytes::new(self.data.get(start..end).ok_or_else(|| corrupt("expected blocks one after the other"))?);
        let packed = data.take(bits::packed_bytes(length, width))?;
        let value_bytes = if exceptions > 0 { usize::from(data.u8()?) } else { 0 };
        if exceptions > 0 && !(1..=8).contains(&value_bytes) {
            return Err(corrupt(format!("expected exceptions of 1 to 8 bytes, got {value_bytes}")));
        }
        let positions = data.take(exceptions * POSITION_BYTES)?;
        let values = data.take(exceptions * value_bytes)?;
        data.finish("a block")?;
        Ok(Block { width, length, bases, base_bytes: self.base_bytes, packed, positions, values, value_bytes })
    }

    /// The blocks that hold a range of values: each with the part of it that is in the range.
    pub(super) fn within(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<'b> {
        let range = range.start.min(self.count)..range.end.min(self.count);
        let blocks = if range.is_empty() { 0..0 } else { range.start / BLOCK..range.end.div_ceil(BLOCK) };
        blocks.map(move |index| {
            let first = index.saturating_mul(BLOCK);
            (index, range.start.saturating_sub(first)..range.end.saturating_sub(first).min(BLOCK))
        })
    }
}

impl Block<'_> {
    /// The base of the values from `index` times the stride on; 0 where there are none.
    pub(super) fn base(&self, index: usize) -> u64 {
        let at = index.saturating_mul(self.base_bytes);
        self.bases.get(at..at.saturating_add(self.base_bytes)).map_or(0, partial_u64)
    }

    /// Whether it is whole, and packed into 32 bits at most.
    pub(super) fn is_narrow(&self) -> bool {
        self.width <= 32 && self.length == BLOCK
    }

    /// Whether some of its values are not packed.
    pub(super) fn has_exceptions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// All values of a narrow block but its exceptions.
    pub(super) fn unpack_narrow(&self, out: &mut [u32; BLOCK]) {
        bits::unpack_32(self.packed, self.width, out);
    }

    /// All values; those of `out` beyond the block's length are of no meaning.
    pub(super) fn unpack(&self, out: &mut [u64; BLOCK]) -> Result<()> {
        if self.length < BLOCK {
            bits::unpack_tail(self.packed, self.width, out.get_mut(..self.length).unwrap_or_default());
        } else if self.width <= 32 {
            let mut narrow = [0; BLOCK];
            bits::unpack_32(self.packed, self.width, &mut narrow);
            // By place, for a step of two iterators together is a call.
            for place in 0..BLOCK {
                if let (Some(wide), Some(narrow)) = (out.get_mut(place), narrow.get(place)) {
                    *wide = u64::from(*narrow);
                }
            }
        } else {
            bits::unpack_64(self.packed, self.width, out);
        }
        self.place_exceptions(0..self.length, |position, value| {
            if let Some(place) = out.get_mut(position) {
                *place = value;
            }
            Ok(())
        })
    }

    /// Gives each exception of a part of the block to `place`, with its position in the part.
    pub(super) fn place_exceptions(
        &self,
        part: Range<usize>,
        mut place: impl FnMut(usize, u64) -> Result<()>,
    ) -> Result<()> {
        let mut least = 0;
        for (position, value) in self.exceptions() {
            if position < least || position >= self.length {
                return Err(corrupt("expected the positions of exceptions to ascend within the block"));
            }
            if part.contains(&position) {
                place(position - part.start, value)?;
            }
            least = position + 1;
        }
        Ok(())
    }

    fn exceptions(&self) -> impl Iterator<Item = (usize, u64)> {
        let (positions, _) = self.positions.as_chunks::<POSITION_BYTES>();
        let values = self.values.chunks_exact(self.value_bytes.max(1)).map(partial_u64);
        positions.iter().map(|position| usize::from(u16::from_le_bytes(*position))).zip(values)
    }

    /// One value, without decoding the others.
    pub(super) fn single(&self, position: usize, touched: &mut Touched) -> u64 {
        let (value, bytes) = self.packed_single(position);
        let exception = self.exceptions().find(|(at, _)| *at == position).map(|(_, value)| value);
        let own = if exception.is_some() { self.value_bytes } else { 0 };
        touched.add(ENTRY_BYTES + self.base_bytes + bytes + self.positions.len() + own, 1);
        exception.unwrap_or(value)
    }

    fn packed_single(&self, position: usize) -> (u64, usize) {
        if self.length < BLOCK {
            bits::single_tail(self.packed, self.width, position)
        } else if self.width <= 32 {
            let (value, bytes) = bits::single_32(self.packed, self.width, position);
            (u64::from(value), bytes)
        } else {
            bits::single_64(self.packed, self.width, position)
        }
    }

    /// The values of a part, one after the other, without decoding the others.
    pub(super) fn walk(&self, part: Range<usize>, touched: &mut Touched) -> impl Iterator<Item = u64> {
        let exceptions = self.positions.len() + self.values.len() + usize::from(self.value_bytes > 0);
        touched.add(ENTRY_BYTES + size_of::<u32>() + self.bases.len() + exceptions, part.len());
        // One word or two of each value.
        let words = part.len().saturating_mul(if self.width <= 32 { 8 } else { 16 });
        touched.add(self.packed.len().min(words), 0);
        let mut exceptions = self.exceptions().peekable();
        part.map(move |position| {
            while exceptions.next_if(|(at, _)| *at < position).is_some() {}
            let exception = exceptions.next_if(|(at, _)| *at == position);
            exception.map_or_else(|| self.packed_single(position).0, |(_, value)| value)
        })
    }
}

/// How a block is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packing {
    width: u32,
    exceptions: usize,
    exception_bytes: usize,
    bytes: usize,
}

impl Packing {
    /// The packing of the fewest bytes.
    fn of(values: &[u64]) -> Self {
        let mut lengths = [0_usize; 65];
        for value in values {
            let bits = usize::try_from(64 - value.leading_zeros()).unwrap_or(64);
            if let Some(count) = lengths.get_mut(bits) {
                *count += 1;
            }
        }
        let widest =
            (0..=64_u32).rev().zip(lengths.iter().rev()).find(|(_, count)| **count > 0).map_or(0, |(bits, _)| bits);
        let exception_bytes = usize::try_from(widest.div_ceil(8)).unwrap_or(8);
        let (mut best, mut exceptions) = (None::<(usize, Self)>, 0);
        for width in (0..=widest).rev() {
            let own = if exceptions > 0 { 1 + exceptions * (POSITION_BYTES + exception_bytes) } else { 0 };
            let bytes = bits::packed_bytes(values.len(), width) + own;
            let weight = bytes + exceptions * EXCEPTION_WEIGHT;
            if best.is_none_or(|(least, _)| weight < least) {
                best = Some((weight, Self { width, exceptions, exception_bytes, bytes }));
            }
            exceptions += usize::try_from(width).ok().and_then(|width| lengths.get(width)).copied().unwrap_or(0);
            if exceptions > MAX_EXCEPTIONS {
                break;
            }
        }
        best.map_or(Self { width: 0, exceptions: 0, exception_bytes: 0, bytes: 0 }, |(_, packing)| packing)
    }
}

/// Bytes that a block of these values takes in a list of blocks whose bases are not wide.
pub(super) fn estimate(values: &[u64]) -> usize {
    Packing::of(values).bytes + ENTRY_BYTES + 2
}

/// Encodes values as blocks. `bases`: one for every `stride` values.
pub(super) fn encode(values: &[u64], bases: &[u64], stride: usize, out: &mut Encoded) -> Result<()> {
    let base_bytes = bases.iter().copied().max().map_or(0, byte_width);
    out.bytes.push(u8::try_from(base_bytes).unwrap_or(8));
    let mut data = Vec::new();
    let mut most = 0;
    for (block, bases) in values.chunks(BLOCK).zip(bases.chunks(BLOCK / stride)) {
        let packing = Packing::of(block);
        out.bytes.push(u8::try_from(packing.width).unwrap_or(64));
        out.bytes.extend(u16::try_from(packing.exceptions).unwrap_or(u16::MAX).to_le_bytes());
        let offset = u32::try_from(data.len())
            .map_err(|_| unwritable(ErrorKind::TooLarge, "expected at most 4 GiB of values in one column, got more"))?;
        out.bytes.extend(offset.to_le_bytes());
        bases.iter().for_each(|base| put_low_bytes(&mut out.bytes, *base, base_bytes));
        put_block(block, packing, &mut data);
        most = most.max(packing.bytes);
    }
    out.bytes.append(&mut data);
    let walked =
        most.min(stride.saturating_mul(2 * size_of::<u64>()).saturating_add(MAX_EXCEPTIONS * (POSITION_BYTES + 8)));
    let directory = ENTRY_BYTES + base_bytes * (BLOCK / stride + 32);
    out.point_bytes = out.point_bytes.saturating_add(walked + directory);
    Ok(())
}

fn put_block(block: &[u64], packing: Packing, data: &mut Vec<u8>) {
    let width = packing.width;
    let limit = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let kept = |value: &u64| if *value > limit { 0 } else { *value };
    if block.len() < BLOCK {
        let kept: Vec<u64> = block.iter().map(kept).collect();
        bits::pack_tail(&kept, width, data);
    } else if width <= 32 {
        let mut narrow = [0; BLOCK];
        for (narrow, value) in narrow.iter_mut().zip(block) {
            *narrow = u32::try_from(kept(value)).unwrap_or(0);
        }
        bits::pack_32(&narrow, width, data);
    } else {
        let mut wide = [0; BLOCK];
        for (wide, value) in wide.iter_mut().zip(block) {
            *wide = kept(value);
        }
        bits::pack_64(&wide, width, data);
    }
    if packing.exceptions > 0 {
        data.push(u8::try_from(packing.exception_bytes).unwrap_or(8));
        let exceptions = || (0_u16..).zip(block).filter(|(_, value)| **value > limit);
        data.extend(exceptions().flat_map(|(position, _)| position.to_le_bytes()));
        for (_, value) in exceptions() {
            put_low_bytes(data, *value, packing.exception_bytes);
        }
    }
}

fn to_usize(value: u32) -> Result<usize> {
    usize::try_from(value).map_err(|_| corrupt("expected an offset that this machine can hold"))
}
