//! Columns composed from the description: every form that it allows, most of which no writer chooses, and now and then
//! one that it does not.

use super::pieces::{Piece, Pieces};
use super::written::{bits, blocks, lengths_to_starts, put_part, put_varint, put_zigzag, rarely, starts};
use crate::naive::node::Kind;
use crate::naive::packed::{BLOCK, STRIDE};
use crate::support::Random;

/// Numbers, precisions and scales of all types, and what their values are.
const TYPES: [([u8; 3], Kind); 12] = [
    ([0, 0, 0], Kind::Boolean),
    ([1, 0, 0], Kind::Integer),
    ([2, 0, 0], Kind::Integer),
    ([3, 0, 0], Kind::Float),
    ([4, 0, 0], Kind::Double),
    ([5, 20, 4], Kind::Decimal),
    ([6, 0, 0], Kind::Integer),
    ([7, 0, 0], Kind::Integer),
    ([8, 0, 0], Kind::Bytes),
    ([9, 0, 0], Kind::Uuid),
    ([10, 0, 0], Kind::Bytes),
    ([11, 0, 0], Kind::Bytes),
];

/// A blob of one to three columns.
pub fn composed(random: &mut Random) -> Pieces {
    let rows = match random.below(8) {
        0 => [0, 1, 255, 256, 257, 511, 1_023, 1_024, 1_025, 1_280, 2_048, 4_096, 4_097, 9_000]
            [random.below(14) as usize],
        1 => random.below(3_000) as usize,
        _ => random.below(40) as usize,
    };
    let columns = (0..=random.below(3)).map(|number| column(number, rows, random)).collect();
    Pieces { rows: rows as u32, more: skipped(random), columns }
}

fn column(number: u64, rows: usize, random: &mut Random) -> Piece {
    let (column_type, kind) = TYPES[random.below(TYPES.len() as u64) as usize];
    let (validity, count) = validity(rows, random);
    let mut bytes = column_type.to_vec();
    put_part(&mut bytes, &validity);
    let node = node(kind, count, 0, random);
    let mut description = column_type.to_vec();
    description.push(node[0]);
    description.extend((rows.saturating_sub(count) as u32).to_le_bytes());
    // No value is known but how many there are.
    description.extend((count as u32).to_le_bytes());
    description.push(0);
    description.extend(skipped(random));
    bytes.extend(node);
    Piece { name: format!("column {number}").into_bytes(), description, bytes }
}

/// A part for later versions: empty, rarely not, rarely not a part.
fn skipped(random: &mut Random) -> Vec<u8> {
    let length = below(1, 4, random) as u8;
    (0..=length + u8::from(rarely(random))).map(|at| if at == 0 { length } else { random.next() as u8 }).collect()
}

/// Below `usual`, rarely beyond, below `rare`.
fn below(usual: u64, rare: u64, random: &mut Random) -> u64 {
    let limit = if rarely(random) { rare } else { usual };
    random.below(limit)
}

/// Which rows have a value, and how many.
fn validity(rows: usize, random: &mut Random) -> (Vec<u8>, usize) {
    let share = [0, 3, 50, 97, 100][random.below(5) as usize];
    let valid: Vec<bool> = (0..rows).map(|_| random.below(100) < share).collect();
    let count = valid.iter().filter(|valid| **valid).count();
    let listed = |listed: bool| (0..rows as u64).filter(|row| valid[*row as usize] == listed).collect::<Vec<u64>>();
    let mut bytes = Vec::new();
    match random.below(4) {
        0 if count == rows => bytes.push(0),
        0 | 1 if count == 0 => bytes.push(1),
        2 if count > 0 => {
            bytes.push(4);
            put_varint(&mut bytes, count as u64, random);
            bytes.extend(starts(&listed(true), random));
        }
        3 if count < rows => {
            bytes.push(3);
            put_varint(&mut bytes, (rows - count) as u64, random);
            bytes.extend(starts(&listed(false), random));
        }
        _ => {
            bytes.push(2);
            for group in 1..rows.div_ceil(4_096) {
                let rank = valid[..group * 4_096].iter().filter(|valid| **valid).count() as u32;
                bytes.extend((rank + u32::from(rarely(random))).to_le_bytes());
            }
            bytes.extend(bits(&valid));
        }
    }
    (bytes, count)
}

/// Some of the first `limit` numbers, in order.
fn some(count: usize, limit: usize, random: &mut Random) -> Vec<u64> {
    let mut some: Vec<u64> = (0..count).map(|_| random.below(limit.max(1) as u64)).collect();
    some.sort_unstable();
    some.dedup();
    some
}

fn fixed(kind: Kind, random: &mut Random) -> Vec<u8> {
    let value = match random.below(4) {
        0 => random.next(),
        1 => (random.below(100) as i64 - 50) as u64,
        2 => (random.below(1_000) as f64 / 10.0).to_bits(),
        _ => random.below(3),
    };
    let wide = [value.to_le_bytes(), if random.below(2) == 0 { [0; 8] } else { random.next().to_le_bytes() }].concat();
    match kind {
        // Mostly of 32 bits, as those are integers of every type.
        Kind::Integer if !rarely(random) => i64::from(value as i32).to_le_bytes().to_vec(),
        Kind::Integer | Kind::Double => wide[..8].to_vec(),
        Kind::Float => wide[..4].to_vec(),
        _ => wide,
    }
}

fn word(random: &mut Random) -> &'static [u8] {
    let words: [&[u8]; 7] = [b"", b"a", b"word", "\u{e9}t\u{e9}".as_bytes(), b"https://example.com/", b"12", b"\xff"];
    words[below(6, 7, random) as usize]
}

/// A node of `count` values.
fn node(kind: Kind, count: usize, level: u8, random: &mut Random) -> Vec<u8> {
    let encodings: &[u8] = match kind {
        Kind::Boolean => &[0, 1, 3],
        Kind::Integer | Kind::Code => &[0, 1, 2, 3, 4, 5],
        Kind::Float | Kind::Double => &[0, 1, 2, 3, 7],
        Kind::Decimal | Kind::Uuid => &[0, 1, 2, 3, 8],
        Kind::Bytes => &[0, 1, 2, 6],
    };
    let leaves = if level < 2 || random.below(30) == 0 { encodings.len() } else { 2 };
    let encoding = encodings[random.below(leaves as u64) as usize];
    let mut bytes = vec![if rarely(random) { random.below(10) as u8 } else { encoding }];
    let within = level + 1;
    let count = (count + usize::from(rarely(random))).saturating_sub(usize::from(rarely(random)));
    match (encoding, kind) {
        (0, Kind::Boolean) => bytes.extend(bits(&(0..count).map(|_| random.below(2) == 0).collect::<Vec<_>>())),
        (1, Kind::Boolean) => bytes.push(below(2, 3, random) as u8),
        (0, Kind::Bytes) => {
            let words: Vec<_> = (0..count).map(|_| word(random)).collect();
            put_part(&mut bytes, &starts(&lengths_to_starts(words.iter().map(|word| word.len())), random));
            bytes.extend(words.concat());
        }
        (1, Kind::Bytes) => bytes.extend(word(random)),
        (0, _) => (0..count).for_each(|_| bytes.extend(fixed(kind, random))),
        (1, Kind::Integer) => {
            let value: [u8; 8] = fixed(kind, random).try_into().unwrap();
            put_zigzag(&mut bytes, i64::from_le_bytes(value), random);
        }
        (1, _) => bytes.extend(fixed(kind, random)),
        (2, _) => dictionary(kind, count, within, &mut bytes, random),
        (3, _) => {
            let runs = random.below(count as u64 + 1).max(u64::from(count > 0)) as usize;
            let mut runs = some(runs, count, random);
            runs.iter_mut().take(usize::from(!rarely(random))).for_each(|first| *first = 0);
            put_varint(&mut bytes, runs.len() as u64, random);
            put_part(&mut bytes, &starts(&runs, random));
            match kind {
                Kind::Boolean => bytes.push(random.below(2) as u8),
                _ => bytes.extend(node(kind, runs.len(), within, random)),
            }
        }
        (4 | 5, _) => stepped(encoding, count, &mut bytes, random),
        (6, _) => symbols(count, &mut bytes, random),
        (7, _) => {
            bytes.push(below(23, 25, random) as u8);
            let exceptions = random.below(count as u64 + 1) as usize;
            let positions = some(exceptions, count, random);
            put_varint(&mut bytes, positions.len() as u64, random);
            put_part(&mut bytes, &starts(&positions, random));
            put_part(&mut bytes, &positions.iter().flat_map(|_| fixed(kind, random)).collect::<Vec<_>>());
            bytes.extend(node(Kind::Integer, count, within, random));
        }
        _ => bytes.extend(node(Kind::Integer, count, within, random)),
    }
    if rarely(random) {
        bytes.push(random.below(3) as u8);
    }
    bytes
}

fn dictionary(kind: Kind, count: usize, within: u8, bytes: &mut Vec<u8>, random: &mut Random) {
    let least = u64::from(count > 0);
    let distinct = least + random.below((count as u64 - least).min(20) + 1);
    put_varint(bytes, distinct + u64::from(rarely(random)), random);
    put_part(bytes, &node(kind, distinct as usize, within, random));
    // Codes that are below the number of values by their width.
    let codes: Vec<u64> = (0..count).map(|_| random.below(distinct.max(1))).collect();
    match random.below(4) {
        0 => {
            bytes.push(0);
            bytes.extend(codes.iter().flat_map(|code| (code + u64::from(rarely(random) && count < 50)).to_le_bytes()));
        }
        1 => bytes.extend(node(Kind::Integer, count, within, random)),
        2 => bytes.extend([1, random.below(distinct.max(1)) as u8 * 2]),
        _ => {
            let from = random.below(3);
            bytes.push(5);
            put_zigzag(bytes, -(from as i64), random);
            put_varint(bytes, 1, random);
            let codes: Vec<u64> = codes.iter().map(|code| code + from).collect();
            let bases = vec![0; count.div_ceil(BLOCK)];
            bytes.extend(blocks(&codes, &bases, BLOCK, random));
        }
    }
}

/// Delta and bit-packed.
fn stepped(encoding: u8, count: usize, bytes: &mut Vec<u8>, random: &mut Random) {
    let small = random.below(4) > 0;
    let mut any = |limit: u64| if small { random.below(limit) } else { random.next() >> random.below(64) };
    let (reference, scale, least) = (any(2_000) as i64 - 1_000, any(4), any(20) as i64 - 10);
    let packed: Vec<u64> = (0..count).map(|_| any(30)).collect();
    let first = any(100);
    put_zigzag(bytes, reference, random);
    put_varint(bytes, scale, random);
    if encoding == 5 {
        let bases: Vec<u64> = (0..count.div_ceil(BLOCK)).map(|_| random.below(500)).collect();
        return bytes.extend(blocks(&packed, &bases, BLOCK, random));
    }
    put_zigzag(bytes, least, random);
    let (mut bases, mut base) = (Vec::new(), first);
    for (position, packed) in packed.iter().enumerate() {
        base = match position % BLOCK {
            0 => base.wrapping_add(random.below(50)),
            _ => base.wrapping_add(least as u64).wrapping_add(*packed),
        };
        if position % STRIDE == 0 {
            bases.push(base);
        }
    }
    bytes.extend(blocks(&packed, &bases, STRIDE, random));
}

fn symbols(count: usize, bytes: &mut Vec<u8>, random: &mut Random) {
    let symbols = below(30, 256, random);
    let table: Vec<&[u8]> = (0..symbols).map(|_| word(random)).map(|word| &word[..word.len().min(8)]).collect();
    let table: Vec<&[u8]> = table.into_iter().filter(|symbol| !symbol.is_empty() || rarely(random)).collect();
    bytes.push(table.len() as u8);
    bytes.extend(table.iter().map(|symbol| symbol.len() as u8));
    bytes.extend(table.concat());
    let code = |random: &mut Random| match random.below(table.len() as u64 + 1) as usize {
        code if code < table.len() || rarely(random) => vec![code as u8],
        _ if rarely(random) => vec![255],
        _ => vec![255, b'a' + random.below(20) as u8],
    };
    let codes: Vec<Vec<u8>> = (0..count).map(|_| (0..random.below(5)).flat_map(|_| code(random)).collect()).collect();
    put_part(bytes, &starts(&lengths_to_starts(codes.iter().map(Vec::len)), random));
    bytes.extend(codes.concat());
}
