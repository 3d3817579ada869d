//! Changes to bytes that leave most of them as they were, so that what is wrong is found deep within.

use super::pieces::{Pieces, put_together, repair};
use crate::support::Random;

/// Bytes that mean something: tags, widths, limits of varints, signs.
const TELLING: [u8; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 0x7f, 0x80, 0xff];

/// A blob like the one in pieces but for one to four changes, its checksums right.
pub fn mutated(pieces: &Pieces, random: &mut Random) -> Vec<u8> {
    let mut pieces = pieces.clone();
    let mut whole = Vec::new();
    for _ in 0..=random.below(8).saturating_sub(4) {
        match random.below(24) {
            0 => pieces.rows = near(pieces.rows, random),
            1 | 2 => describe_otherwise(&mut pieces, random),
            3 if random.below(4) == 0 => change(&mut pieces.more, random),
            3 => exchange(&mut pieces, random),
            4 => whole.push(random.next()),
            _ => {
                let column = random.below(pieces.columns.len().max(1) as u64) as usize;
                if let Some(column) = pieces.columns.get_mut(column) {
                    change(&mut column.bytes, random);
                }
            }
        }
    }
    let mut blob = put_together(&pieces);
    for seed in whole {
        change_ends(&mut blob, &mut Random::new(seed));
    }
    blob
}

/// Another number of rows, seldom far away, as far takes long.
fn near(rows: u32, random: &mut Random) -> u32 {
    match random.below(8) {
        0 if random.below(8) == 0 => 16_777_215 + random.below(3) as u32,
        0 => random.below(200_000) as u32,
        1 => random.next() as u32,
        2 => 0,
        3 | 4 => rows.wrapping_add(1),
        5 => rows.wrapping_sub(1),
        _ => random.below(5_000) as u32,
    }
}

/// Changes what the index says of a column, or its name.
fn describe_otherwise(pieces: &mut Pieces, random: &mut Random) {
    let columns = pieces.columns.len().max(1) as u64;
    let (from, to) = (random.below(columns) as usize, random.below(columns) as usize);
    let Some(name) = pieces.columns.get(from).map(|column| column.name.clone()) else { return };
    let column = &mut pieces.columns[to];
    match random.below(6) {
        0 => column.name = name,
        1 => change(&mut column.name, random),
        _ => change(&mut column.description, random),
    }
}

/// Puts a part of one column into another.
fn exchange(pieces: &mut Pieces, random: &mut Random) {
    let columns = pieces.columns.len().max(1) as u64;
    let (from, to) = (random.below(columns) as usize, random.below(columns) as usize);
    let Some(source) = pieces.columns.get(from).map(|column| column.bytes.clone()) else { return };
    let start = at(&source, random);
    let end = start + random.below((source.len() - start) as u64 + 1) as usize;
    let bytes = &mut pieces.columns[to].bytes;
    let into = at(bytes, random);
    let until = if random.below(2) == 0 { bytes.len() } else { (into + end - start).min(bytes.len()) };
    bytes.splice(into..until, source[start..end].iter().copied());
}

/// Changes header, index or footer, in place: tiling and counts.
fn change_ends(blob: &mut [u8], random: &mut Random) {
    let Some(tail) = blob.len().checked_sub(8) else { return };
    let index = u32::from_le_bytes(blob[tail + 4..].try_into().unwrap()) as usize;
    let position = match random.below(4) {
        0 => random.below(16) as usize,
        1 => tail + 4 + random.below(4) as usize,
        _ => (index + random.below((tail.saturating_sub(index)) as u64 + 1) as usize).min(blob.len() - 1),
    };
    let before = blob[position];
    blob[position] = byte_like(before, random);
    // A change of the header is found by its copy, unless that changes as well.
    if let Some(copy) = blob.get_mut(index + position).filter(|_| position < 16 && random.below(4) > 0) {
        *copy = byte_like(before, random);
        blob[position] = blob[index + position];
    }
    if random.below(8) > 0 {
        repair(blob);
    }
}

fn at(bytes: &[u8], random: &mut Random) -> usize {
    let near_start = random.below(3) == 0;
    let limit = if near_start { bytes.len().min(24) } else { bytes.len() };
    random.below(limit as u64 + 1) as usize
}

fn byte_like(byte: u8, random: &mut Random) -> u8 {
    match random.below(5) {
        0 => byte ^ 1 << random.below(8),
        1 => byte.wrapping_add(1),
        2 => byte.wrapping_sub(1),
        3 => TELLING[random.below(TELLING.len() as u64) as usize],
        _ => random.next() as u8,
    }
}

/// One change of bytes.
pub fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    let position = at(bytes, random);
    let some = |random: &mut Random| match random.below(4) {
        0 => 8,
        1 => random.below(64) as usize,
        _ => 1 + random.below(3) as usize,
    };
    match random.below(16) {
        0 => bytes.truncate(position),
        1 => drop(bytes.drain(position..(position + some(random)).min(bytes.len()))),
        2 => {
            let new: Vec<u8> = (0..some(random)).map(|_| random.next() as u8).collect();
            drop(bytes.splice(position..position, new));
        }
        3 => bytes.insert(position, byte_like(0, random)),
        4 => {
            // The same again, or what comes later sooner.
            let start = at(bytes, random);
            let copied = bytes[start..(start + some(random)).min(bytes.len())].to_vec();
            let until = if random.below(2) == 0 { position } else { (position + copied.len()).min(bytes.len()) };
            drop(bytes.splice(position..until, copied));
        }
        5 => {
            let other = at(bytes, random);
            if position.max(other) < bytes.len() {
                bytes.swap(position, other);
            }
        }
        6 => lengthen(bytes, position, random),
        7 => respell(bytes, position),
        8 => {
            // A number of four or eight bytes.
            let width = if random.below(2) == 0 { 4 } else { 8 };
            let number = if random.below(2) == 0 { random.next() } else { random.below(300).wrapping_sub(4) };
            if let Some(place) = bytes.get_mut(position..position + width) {
                place.copy_from_slice(&number.to_le_bytes()[..width]);
            }
        }
        9 => {
            let end = bytes.len();
            if let Some(last) = bytes.last_mut().filter(|_| end > 0) {
                *last = byte_like(*last, random);
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(position) {
                *byte = byte_like(*byte, random);
            }
        }
    }
}

/// Puts bytes into what may be a part, or takes some out, and tells its length rightly.
fn lengthen(bytes: &mut Vec<u8>, position: usize, random: &mut Random) {
    let Some(length) = bytes.get(position).copied().filter(|length| *length < 0x7e) else { return };
    let within = position + 1 + random.below(u64::from(length) + 1) as usize;
    if within > bytes.len() {
        return;
    }
    if random.below(2) == 0 {
        bytes.insert(within, byte_like(0, random));
        bytes[position] += 1;
    } else if within < bytes.len() && length > 0 && within <= position + usize::from(length) {
        bytes.remove(within);
        bytes[position] -= 1;
    }
}

/// A byte that may be a varint, in two bytes that say the same.
fn respell(bytes: &mut Vec<u8>, position: usize) {
    if let Some(byte) = bytes.get_mut(position).filter(|byte| **byte < 0x80) {
        *byte |= 0x80;
        bytes.insert(position + 1, 0);
    }
}
