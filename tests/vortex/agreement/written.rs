//! Writing the parts that nodes are made of, in every way that means the same.

use crate::naive::packed::{BLOCK, STRIDE, bit_of};
use crate::support::Random;

/// Once in a while.
pub fn rarely(random: &mut Random) -> bool {
    random.below(150) == 0
}

pub fn put_varint(bytes: &mut Vec<u8>, mut value: u64, random: &mut Random) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    // More bytes than are needed say the same, up to ten; what is beyond 64 bits says nothing.
    if rarely(random) {
        let last = bytes.len() - 1;
        bytes[last] |= 0x80;
        bytes.extend(vec![0x80; random.below(9) as usize]);
        bytes.push(if random.below(4) == 0 { random.below(4) as u8 } else { 0 });
    }
}

pub fn put_zigzag(bytes: &mut Vec<u8>, value: i64, random: &mut Random) {
    put_varint(bytes, (value << 1 ^ value >> 63) as u64, random);
}

pub fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    put_varint(bytes, part.len() as u64, &mut Random::new(0));
    bytes.extend(part);
}

pub fn bits(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

/// Blocks of values, `bases` one for every `stride`.
pub fn blocks(packed: &[u64], bases: &[u64], stride: usize, random: &mut Random) -> Vec<u8> {
    let bytes_of = |value: u64| 8 - value.leading_zeros() as usize / 8;
    let base_width = bases.iter().map(|base| bytes_of(*base)).max().unwrap_or(0);
    let base_width = base_width + random.below(9 - base_width as u64) as usize * usize::from(random.below(3) == 0);
    let (mut directory, mut data) = (vec![base_width as u8], Vec::new());
    for (values, bases) in packed.chunks(BLOCK).zip(bases.chunks(BLOCK / stride)) {
        let widest = values.iter().map(|value| 64 - value.leading_zeros() as usize).max().unwrap_or(0);
        let mut width = if random.below(2) == 0 { widest } else { random.below(65) as usize };
        let fits = |value: u64, width: usize| width == 64 || value >> width == 0;
        let mut exceptions: Vec<usize> = (0..values.len()).filter(|at| !fits(values[*at], width)).collect();
        if exceptions.len() > 256 {
            (width, exceptions) = (widest, Vec::new());
        }
        if exceptions.is_empty() && random.below(4) == 0 {
            let one_in = if rarely(random) { 2 } else { 20 };
            let most = if rarely(random) { 257 } else { 256 };
            exceptions = (0..values.len()).filter(|_| random.below(one_in) == 0).take(most).collect();
        }
        if rarely(random) {
            // A gap.
            data.push(0);
        }
        directory.push(width as u8);
        directory.extend((exceptions.len() as u16).to_le_bytes());
        directory.extend((data.len() as u32 + u32::from(rarely(random))).to_le_bytes());
        directory.extend(bases.iter().flat_map(|base| base.to_le_bytes().into_iter().take(base_width)));
        let mut block = vec![0; (values.len() * width).div_ceil(8)];
        for (position, value) in values.iter().enumerate() {
            let value = if exceptions.contains(&position) { random.next() } else { *value };
            for place in (0..width).filter(|place| value >> place & 1 == 1) {
                let bit = bit_of(position, place, width, values.len());
                block[bit / 8] |= 1 << (bit % 8);
            }
        }
        data.extend(block);
        if !exceptions.is_empty() {
            let wide = exceptions.iter().map(|at| bytes_of(values[*at])).max().unwrap_or(0).max(1);
            let wide = wide + random.below(9 - wide as u64) as usize;
            data.push(wide as u8);
            let mut told: Vec<u16> = exceptions.iter().map(|position| *position as u16).collect();
            if rarely(random) {
                let at = random.below(told.len() as u64) as usize;
                told[at] = [told[0], told[at] + 1, values.len() as u16, random.next() as u16][random.below(4) as usize];
            }
            data.extend(told.iter().flat_map(|position| position.to_le_bytes()));
            data.extend(exceptions.iter().flat_map(|at| values[*at].to_le_bytes().into_iter().take(wide)));
        }
    }
    directory.extend(data);
    directory
}

pub fn starts(starts: &[u64], random: &mut Random) -> Vec<u8> {
    let mut starts = starts.to_vec();
    if rarely(random) && !starts.is_empty() {
        // One that is not in its place: too early, too late, like its neighbour.
        let at = random.below(starts.len() as u64) as usize;
        let like = starts[random.below(starts.len() as u64) as usize];
        starts[at] = [starts[at] + 1, starts[at].saturating_sub(1), like, like + 1_000][random.below(4) as usize];
    }
    let differences: Vec<u64> = starts.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let least = differences.iter().copied().min().unwrap_or(0);
    let least = match random.below(20) {
        // Differences are modulo 2^64, so that any will do.
        0 => random.next() >> random.below(64),
        1..10 => random.below(least.max(1)),
        _ => least,
    };
    let mut packed: Vec<u64> = std::iter::once(0).chain(differences).map(|one| one.wrapping_sub(least)).collect();
    packed.truncate(starts.len());
    packed.iter_mut().step_by(BLOCK).for_each(|first| *first = random.next() * u64::from(rarely(random)));
    let mut bases: Vec<u64> = starts.iter().copied().step_by(STRIDE).collect();
    if rarely(random) {
        bases.iter_mut().for_each(|base| *base += random.below(3));
    }
    let mut bytes = Vec::new();
    put_varint(&mut bytes, least, random);
    bytes.extend(blocks(&packed, &bases, STRIDE, random));
    bytes
}

pub fn lengths_to_starts(lengths: impl Iterator<Item = usize>) -> Vec<u64> {
    let starts = lengths.scan(0, |start, length| {
        *start += length as u64;
        Some(*start - length as u64)
    });
    starts.collect()
}
