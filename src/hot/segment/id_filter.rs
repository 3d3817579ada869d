//! A set of keys that never says no of a key it holds: the split-block Bloom filter of Apache Parquet
//! (`BloomFilter.md` of parquet-format), with xxh64 and seed 0 as its hash.
//!
//! About 16 bits a key, so that about one in a thousand other keys is taken for one it holds. The bytes are Parquet's
//! bitset; the number of blocks is any from 1 on, where Parquet's writers use powers of two.

use xxhash_rust::xxh64::xxh64;

use super::corrupt;
use crate::error::Result;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 32;
/// Keys for which there is a block: 256 bits are 16 a key.
const BLOCK_KEYS: usize = 16;
const WORDS: usize = 8;
/// The salts of the specification.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdFilter {
    blocks: Vec<[u32; WORDS]>,
}

impl IdFilter {
    /// An empty filter for so many different keys.
    pub fn for_keys(keys: usize) -> Self {
        Self { blocks: vec![[0; WORDS]; Self::blocks_for(keys)] }
    }

    fn blocks_for(keys: usize) -> usize {
        keys.div_ceil(BLOCK_KEYS).max(1)
    }

    /// Bytes that a filter for so many different keys takes.
    pub fn bytes_for(keys: usize) -> usize {
        Self::blocks_for(keys).saturating_mul(BLOCK_BYTES)
    }

    /// The hash by which a key is told from others.
    pub fn hash(key: &[u8]) -> u64 {
        xxh64(key, 0)
    }

    /// Adds the key of a hash.
    pub fn insert(&mut self, hash: u64) {
        let at = self.block_of(hash);
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(mask(hash)).for_each(|(word, bit)| *word |= bit);
        }
    }

    /// `false` only when no key of this hash was added.
    pub fn may_have(&self, hash: u64) -> bool {
        let block = self.blocks.get(self.block_of(hash));
        block.is_none_or(|block| block.iter().zip(mask(hash)).all(|(word, bit)| word & bit != 0))
    }

    fn block_of(&self, hash: u64) -> usize {
        let blocks = u64::try_from(self.blocks.len()).unwrap_or(u64::MAX);
        usize::try_from((hash >> 32).wrapping_mul(blocks) >> 32).unwrap_or(usize::MAX)
    }

    /// How many bytes [`write`](Self::write) appends.
    pub fn byte_size(&self) -> usize {
        self.blocks.len().saturating_mul(BLOCK_BYTES)
    }

    /// Appends the bitset.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()));
    }

    /// The filter of a bitset: at least one whole block.
    pub fn read(bitset: &[u8]) -> Result<Self> {
        let (blocks, rest) = bitset.as_chunks::<BLOCK_BYTES>();
        if blocks.is_empty() || !rest.is_empty() {
            return Err(corrupt(format!(
                "expected a filter of whole blocks of {BLOCK_BYTES} bytes, got {} bytes",
                bitset.len()
            )));
        }
        let words = |block: &[u8; BLOCK_BYTES]| {
            let mut words = [0; WORDS];
            let bytes = block.as_chunks::<4>().0;
            words.iter_mut().zip(bytes).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
            words
        };
        Ok(Self { blocks: blocks.iter().map(words).collect() })
    }
}

/// One bit a word, chosen by the low half of the hash.
fn mask(hash: u64) -> [u32; WORDS] {
    let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0);
    SALTS.map(|salt| 1 << (low.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use parquet::bloom_filter::Sbbf;

    use super::*;

    fn key(number: usize) -> String {
        format!("document-{number}")
    }

    fn filled(keys: usize) -> IdFilter {
        let mut filter = IdFilter::for_keys(keys);
        (0..keys).for_each(|number| filter.insert(IdFilter::hash(key(number).as_bytes())));
        filter
    }

    #[test]
    fn what_was_added_is_found_and_little_else() {
        for keys in [1, 16, 17, 1_000, 10_007, 65_536] {
            let filter = filled(keys);
            assert_eq!(filter.byte_size(), IdFilter::bytes_for(keys));
            assert!((0..keys).all(|number| filter.may_have(IdFilter::hash(key(number).as_bytes()))));
            let others = 200_000;
            let found = |number: &usize| filter.may_have(IdFilter::hash(key(keys + number).as_bytes()));
            let wrong = (0..others).filter(found).count();
            println!("{keys} keys: {wrong} of {others} others are taken for one of them");
            assert!(wrong * 1_000 <= others * 2, "{keys} keys: {wrong} of {others}");
        }
    }

    #[test]
    fn the_bitset_is_that_of_parquet() {
        let keys = 1_024;
        let filter = filled(keys);
        let mut theirs = Sbbf::new_with_num_of_bytes(IdFilter::bytes_for(keys));
        (0..keys).for_each(|number| theirs.insert(key(number).as_str()));
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        filter.write(&mut ours);
        theirs.write_bitset(&mut other).unwrap();
        assert!(ours == other);
        assert_eq!(IdFilter::read(&ours).unwrap(), filter);
    }

    #[test]
    fn a_bitset_is_whole_blocks() {
        for length in [0, 1, 31, 33, 63] {
            assert!(IdFilter::read(&vec![0; length]).is_err(), "{length}");
        }
    }
}
