//! Which positions an asset may have: sixteen bits of the hash of each position's name, in memory.
//!
//! Invariants: a position whose name is asked for is among those that are told; about one in 65,536 others is, too, so that
//! whoever asks looks at their names.

use xxhash_rust::xxh64::xxh64;

use super::blocks::{self, Kind};
use super::similarity::block_io::{places, read_names};
use super::similarity::packed::NAMES_PER_BLOCK;
use crate::error::Result;
use crate::ports::SqlStore;

/// Tags that are looked at before any of them is looked at by itself.
const AT_ONCE: usize = 1_024;

/// The tags of all positions.
#[derive(Default)]
pub struct Tags(Vec<u16>);

impl Tags {
    /// Of the first `positions`, whose names are packed.
    pub fn read(sql: &dyn SqlStore, kind: Kind, positions: u32) -> Result<Self> {
        let wanted = places(positions);
        let mut tags = Self(Vec::with_capacity(wanted));
        for block in 0..wanted.div_ceil(NAMES_PER_BLOCK) {
            let names = read_names(sql, kind, block)?;
            let left = wanted.saturating_sub(tags.0.len());
            (0..names.len().min(left)).filter_map(|place| names.get(place)).for_each(|name| tags.push(name));
        }
        if tags.0.len() == wanted {
            return Ok(tags);
        }
        Err(blocks::corrupt(format!("expected {positions} names, got {}", tags.0.len())))
    }

    /// Adds the name of the next position.
    pub fn push(&mut self, name: &str) {
        if self.0.len() == self.0.capacity() {
            // An eighth more, not twice as much.
            self.0.reserve_exact((self.0.len() / 8).max(AT_ONCE));
        }
        self.0.push(tag(name));
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.0.capacity().saturating_mul(size_of::<u16>())
    }

    /// The positions that may have a name.
    pub fn positions<'t>(&'t self, name: &str) -> impl Iterator<Item = u32> + use<'t> {
        let wanted = tag(name);
        let firsts = (0_u32..).step_by(AT_ONCE);
        let chunks = firsts.zip(self.0.chunks(AT_ONCE)).filter(move |(_, tags)| tags.contains(&wanted));
        chunks.flat_map(move |(first, tags)| {
            (first..).zip(tags).filter(move |(_, tag)| **tag == wanted).map(|(position, _)| position)
        })
    }
}

fn tag(name: &str) -> u16 {
    let [low, high, ..] = xxh64(name.as_bytes(), 0).to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_among_the_positions_that_it_may_have() {
        let mut tags = Tags::default();
        let names: Vec<String> = (0..5_000).map(|number| format!("asset-{}", number % 4_000)).collect();
        names.iter().for_each(|name| tags.push(name));
        for (position, name) in (0_u32..).zip(&names) {
            assert!(tags.positions(name).any(|found| found == position), "{name}");
            assert!(tags.positions(name).count() < 10, "few others");
        }
        assert!(tags.bytes() >= 10_000 && tags.bytes() < 15_000);
    }
}
