//! Hashes as they come: uniform, skewed (few values in some bands, copies, zeros), and near to those of real images.

use thermocline::ports::native::SplitMix64;

pub type Hash = [u8; 32];

const REAL: &str = include_str!("../../benches/similarity/pdq-hashes.txt");

pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn distance(one: &Hash, other: &Hash) -> u32 {
    one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum()
}

pub fn flip(hash: &mut Hash, bits: usize, random: &mut SplitMix64) {
    for _ in 0..bits {
        let bit = random.below(256);
        hash[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A hash of the kind that a seed is about.
pub fn draw(seed: u64, random: &mut SplitMix64) -> Hash {
    match seed % 3 {
        0 => uniform(random),
        1 => skewed(random),
        _ => real(random),
    }
}

fn uniform(random: &mut SplitMix64) -> Hash {
    let mut hash = [0; 32];
    for eight in hash.chunks_exact_mut(8) {
        eight.copy_from_slice(&random.next_u64().to_le_bytes());
    }
    hash
}

fn skewed(random: &mut SplitMix64) -> Hash {
    let mut hash = [0; 32];
    if random.below(4) == 0 {
        return hash;
    }
    let centre = u8::try_from(random.below(3)).unwrap();
    for (place, byte) in hash.iter_mut().enumerate().skip(8) {
        *byte = centre.wrapping_mul(u8::try_from(place * 5 + 1).unwrap());
    }
    let bits = random.below(40);
    flip(&mut hash, bits, random);
    hash
}

fn real(random: &mut SplitMix64) -> Hash {
    let lines: Vec<&str> = REAL.lines().filter(|line| line.len() == 64).collect();
    let line = lines[random.below(lines.len())];
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(line.get(place * 2..place * 2 + 2).unwrap(), 16).unwrap();
    }
    let bits = random.below(6);
    flip(&mut hash, bits, random);
    hash
}
