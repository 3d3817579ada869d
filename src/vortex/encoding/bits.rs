//! Packing unsigned integers into a fixed number of bits each.
//!
//! [`BLOCK`] values are packed in the order of FastLanes (Afroozeh and Boncz, "The FastLanes Compression Layout", VLDB
//! 2023): 32 lanes of 32-bit words for widths up to 32, 16 lanes of 64-bit words beyond. Lane `l` holds the values at
//! `ORDER[row / 8] * 16 + (row % 8) * 128 + l`, row after row, low bits first, and word `w` of all lanes lies together:
//! a row is unpacked by the same shifts in all lanes, which is what SIMD units do. Fewer values than a block are packed
//! one after the other, low bits first.
//!
//! The kernels take the width at run time: one loop over lanes instead of one unrolled function a width keeps the
//! worker small, and the shifts are uniform in either case.

/// Values in a block.
pub(in crate::vortex) const BLOCK: usize = 1_024;
/// A word of every lane, in bytes.
const WORDS_BYTES: usize = 128;
/// The order of eighths of a block, its own inverse.
const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

macro_rules! lanes {
    ($unsigned:ty, $bits:literal, $lanes:literal, $pack:ident, $unpack:ident, $single:ident, $row:ident) => {
        /// One row of all lanes: `width` bits from bit `shift` of the words, and of the next words where they run over.
        #[inline]
        fn $row(
            words: &[u8; WORDS_BYTES],
            next: Option<&[u8; WORDS_BYTES]>,
            shift: u32,
            mask: $unsigned,
            out: &mut [$unsigned; $lanes],
        ) {
            let Some(words) = words.as_chunks::<{ $bits / 8 }>().0.first_chunk::<$lanes>() else { return };
            match next.and_then(|next| next.as_chunks::<{ $bits / 8 }>().0.first_chunk::<$lanes>()) {
                None => {
                    for (value, word) in out.iter_mut().zip(words) {
                        *value = <$unsigned>::from_le_bytes(*word) >> shift & mask;
                    }
                }
                Some(next) => {
                    let left = ($bits - shift) & ($bits - 1);
                    for ((value, word), next) in out.iter_mut().zip(words).zip(next) {
                        let low = <$unsigned>::from_le_bytes(*word) >> shift;
                        *value = (low | <$unsigned>::from_le_bytes(*next) << left) & mask;
                    }
                }
            }
        }

        /// Unpacks a block; `packed` must be `128 * width` bytes, what it lacks is taken as 0.
        pub(super) fn $unpack(packed: &[u8], width: u32, out: &mut [$unsigned; BLOCK]) {
            let Some(mask) = mask(width, $bits) else {
                out.fill(0);
                return;
            };
            let mask = <$unsigned>::MAX >> mask;
            let (words, _) = packed.as_chunks::<WORDS_BYTES>();
            let (rows, _) = out.as_chunks_mut::<$lanes>();
            for row in 0..$bits {
                let bit = row * width;
                let (word, shift) = (bit / $bits, bit % $bits);
                let word = usize::try_from(word).unwrap_or(usize::MAX);
                let Some(first) = words.get(word) else { return };
                let next = if shift + width > $bits { words.get(word + 1) } else { None };
                if let Some(out) = rows.get_mut(row_chunk(row, $lanes)) {
                    $row(first, next, shift, mask, out);
                }
            }
        }

        /// Packs a block into `128 * width` bytes. Bits of values beyond `width` are left out.
        pub(super) fn $pack(values: &[$unsigned; BLOCK], width: u32, out: &mut Vec<u8>) {
            let Some(mask) = mask(width, $bits) else { return };
            let mask = <$unsigned>::MAX >> mask;
            let (rows, _) = values.as_chunks::<$lanes>();
            let mut words = [0; $lanes];
            let mut filled = 0;
            for row in 0..$bits {
                let Some(row) = rows.get(row_chunk(row, $lanes)) else { return };
                for (word, value) in words.iter_mut().zip(row) {
                    *word |= (value & mask) << filled;
                }
                filled += width;
                if filled >= $bits {
                    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                    filled -= $bits;
                    let used = width - filled;
                    for (word, value) in words.iter_mut().zip(row) {
                        *word = (value & mask).checked_shr(used).unwrap_or(0);
                    }
                }
            }
        }

        /// The value at `position` of a block, and how many bytes that took.
        pub(super) fn $single(packed: &[u8], width: u32, position: usize) -> ($unsigned, usize) {
            let Some(mask) = mask(width, $bits) else { return (0, 0) };
            let mask = <$unsigned>::MAX >> mask;
            let (eighth, within) = (position / 128 % 8, position % 128);
            let lane = within % $lanes;
            let order = ORDER.get((within - lane) / 16).copied().unwrap_or(0);
            let row = u32::try_from(order * 8 + eighth).unwrap_or(0);
            let (word, shift) = (row * width / $bits, row * width % $bits);
            let read = |word: u32| {
                let at = usize::try_from(word).unwrap_or(usize::MAX).saturating_mul(WORDS_BYTES) + lane * ($bits / 8);
                let bytes = packed.get(at..).and_then(|bytes| bytes.first_chunk());
                bytes.map_or(0, |bytes| <$unsigned>::from_le_bytes(*bytes))
            };
            let low = read(word) >> shift;
            if shift + width <= $bits {
                return (low & mask, $bits / 8);
            }
            ((low | read(word + 1) << ($bits - shift)) & mask, $bits / 4)
        }
    };
}

lanes!(u32, 32, 32, pack_32, unpack_32, single_32, row_32);
lanes!(u64, 64, 16, pack_64, unpack_64, single_64, row_64);

/// By how much to shift a word of ones to get the mask of a width; `None` for width 0.
fn mask(width: u32, bits: u32) -> Option<u32> {
    if width == 0 { None } else { Some(bits.saturating_sub(width)) }
}

/// Which chunk of `lanes` values a row is, in the order of the block.
#[inline]
fn row_chunk(row: u32, lanes: usize) -> usize {
    let row = usize::try_from(row).unwrap_or(0);
    let order = ORDER.get(row / 8).copied().unwrap_or(0);
    (order * 16 + row % 8 * 128) / lanes
}

/// Bytes that `count` values of `width` bits take.
pub(super) fn packed_bytes(count: usize, width: u32) -> usize {
    let width = usize::try_from(width).unwrap_or(0);
    if count == BLOCK { width * WORDS_BYTES } else { (count * width).div_ceil(8) }
}

/// Packs fewer values than a block.
pub(super) fn pack_tail(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mask = u128::from(u64::MAX.checked_shr(64_u32.saturating_sub(width)).unwrap_or(0));
    let (mut pending, mut filled) = (0_u128, 0);
    for value in values {
        pending |= (u128::from(*value) & mask) << filled;
        filled += width;
        while filled >= 8 {
            let [low, ..] = pending.to_le_bytes();
            out.push(low);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        let [low, ..] = pending.to_le_bytes();
        out.push(low);
    }
}

/// Unpacks fewer values than a block, into the front of `out`.
pub(super) fn unpack_tail(packed: &[u8], width: u32, out: &mut [u64]) {
    let mask = u128::from(u64::MAX.checked_shr(64_u32.saturating_sub(width)).unwrap_or(0));
    let mut rest = packed.iter();
    let (mut pending, mut filled) = (0_u128, 0);
    for value in out {
        while filled < width {
            pending |= u128::from(rest.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        *value = low_u64(pending & mask);
        pending >>= width;
        filled -= width;
    }
}

/// The value at `position` of fewer values than a block, and how many bytes that took.
pub(super) fn single_tail(packed: &[u8], width: u32, position: usize) -> (u64, usize) {
    let bit = position.saturating_mul(usize::try_from(width).unwrap_or(0));
    let shift = bit % 8;
    let length = (shift + usize::try_from(width).unwrap_or(0)).div_ceil(8);
    let bytes = packed.get(bit / 8..).unwrap_or_default().iter().take(length);
    let word = bytes.rev().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
    let mask = u64::MAX.checked_shr(64_u32.saturating_sub(width)).unwrap_or(0);
    (low_u64(word >> shift) & mask, length)
}

fn low_u64(value: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = value.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
