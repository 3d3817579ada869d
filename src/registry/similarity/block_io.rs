//! Blocks of packed hashes, read and written many at a time.

use roaring::RoaringBitmap;

use super::packed::{
    HASHES_PER_BLOCK, Hashed, Head, NAMES_PER_BLOCK, Names, hashes_to_bytes, names_to_bytes, read_hashes,
};
use super::state::State;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::types::StorageTier;

/// Writes the blocks again without what is removed. A block is written after all that goes into it is read.
pub(super) fn compact(sql: &dyn SqlStore, state: &State) -> Result<()> {
    let Some(packed) = &state.packed else {
        return Err(blocks::corrupt("expected an index that is packed, got one that is not".to_owned()));
    };
    let (mut hashes, mut names): (Vec<Hashed>, Vec<Box<str>>) = (Vec::new(), Vec::new());
    let (mut hash_blocks, mut name_blocks, mut left) = (0_usize, 0_usize, 0_u32);
    let flush_hashes = |hashes: &mut Vec<Hashed>, block: &mut usize| {
        blocks::put(sql, Kind::Hashes, number(*block), &hashes_to_bytes(hashes)?)?;
        hashes.clear();
        *block = block.saturating_add(1);
        Ok::<_, StorageError>(())
    };
    let flush_names = |names: &mut Vec<Box<str>>, block: &mut usize| {
        let bytes = names_to_bytes(Kind::HashNames, names.iter().map(AsRef::as_ref))?;
        blocks::put(sql, Kind::HashNames, number(*block), &bytes)?;
        names.clear();
        *block = block.saturating_add(1);
        Ok::<_, StorageError>(())
    };
    each_block(sql, packed.positions, &mut |first, block| {
        for (position, hashed) in (first..).zip(block) {
            if state.removed.contains(position) {
                continue;
            }
            names.push(state.name(sql, position)?);
            hashes.push(*hashed);
            left = left.saturating_add(1);
            if names.len() == NAMES_PER_BLOCK {
                flush_names(&mut names, &mut name_blocks)?;
            }
            if hashes.len() == HASHES_PER_BLOCK {
                flush_hashes(&mut hashes, &mut hash_blocks)?;
            }
        }
        Ok(())
    })?;
    if !names.is_empty() {
        flush_names(&mut names, &mut name_blocks)?;
    }
    if !hashes.is_empty() {
        flush_hashes(&mut hashes, &mut hash_blocks)?;
    }
    remove_after(sql, places(left))?;
    let head = Head { through: packed.through, positions: left, removed: RoaringBitmap::new() };
    blocks::put(sql, Kind::HashHead, 0, &head.to_bytes(Kind::HashHead)?)
}

/// Calls with the hashes of each block of the first `positions`, and the position of its first.
pub(super) fn each_block(
    sql: &dyn SqlStore,
    positions: u32,
    visit: &mut dyn FnMut(u32, &[Hashed]) -> Result<()>,
) -> Result<()> {
    let all = places(positions);
    for block in 0..all.div_ceil(HASHES_PER_BLOCK) {
        let first = block.saturating_mul(HASHES_PER_BLOCK);
        let hashes = read_block(sql, number(block))?;
        let expected = all.saturating_sub(first).min(HASHES_PER_BLOCK);
        if hashes.len() != expected {
            return Err(blocks::corrupt(format!("expected a block of {expected} hashes, got {}", hashes.len())));
        }
        visit(u32::try_from(first).map_err(|_| full())?, &hashes)?;
    }
    Ok(())
}

pub(super) fn read_block(sql: &dyn SqlStore, number: i64) -> Result<Vec<Hashed>> {
    let bytes = blocks::get(sql, Kind::Hashes, number)?;
    read_hashes(&bytes.ok_or_else(|| blocks::corrupt(format!("expected block {number} of hashes, got none")))?)
}

/// The names of a block, of hashes or of embeddings.
pub fn read_names(sql: &dyn SqlStore, kind: Kind, block: usize) -> Result<Names> {
    let bytes = blocks::get(sql, kind, number(block))?;
    Names::read(kind, &bytes.ok_or_else(|| blocks::corrupt(format!("expected block {block} of names, got none")))?)
}

/// Removes the blocks after those of so many positions.
pub(super) fn remove_after(sql: &dyn SqlStore, positions: usize) -> Result<()> {
    blocks::remove_from(sql, Kind::Hashes, number(positions.div_ceil(HASHES_PER_BLOCK)))?;
    blocks::remove_from(sql, Kind::HashNames, number(positions.div_ceil(NAMES_PER_BLOCK)))
}

/// The number of a block in its key.
pub fn number(block: usize) -> i64 {
    i64::try_from(block).unwrap_or(i64::MAX)
}

/// Positions as places in memory.
pub fn places(positions: u32) -> usize {
    usize::try_from(positions).unwrap_or(usize::MAX)
}

pub(super) fn full() -> StorageError {
    let message = "expected fewer than 2^32 hashes in one registry, got one more; use another tenant";
    StorageError::new(ErrorKind::Full, StorageTier::Hot, "index hash", message)
}
