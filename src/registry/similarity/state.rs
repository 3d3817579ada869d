//! What is in memory of the index of hashes, and how it is searched, changed and packed.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use roaring::RoaringBitmap;

use super::block_io::{each_block, full, number, places, read_block, read_names, remove_after};
use super::packed::{HASHES_PER_BLOCK, Head, NAMES_PER_BLOCK, Names, hashes_to_bytes, names_to_bytes};
use super::store::{HashChange, Match, Matches, Reach, Wanted};
use super::{HashIndex, PdqHash, SearchStats};
use crate::error::Result;
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::registry::records::StoredHash;
use crate::types::{Sequence, sorting};

/// Bytes of a hash in memory, with its quality, and of one that is in the bands, too.
const BYTES_PER_HASH: usize = 34;
const BYTES_PER_INDEXED_HASH: usize = 80;
/// Bits of a hash.
const BITS: usize = 256;
/// Blocks of names that stay in memory.
const NAME_BLOCKS_MAX: usize = 64;
/// Names by block, shared with who reads them.
type NameBlocks = LruCache<usize, Rc<Names>>;

/// A hash that was found, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Located {
    pub(super) distance: u32,
    pub(super) position: u32,
    pub(super) hash: PdqHash,
    pub(super) quality: u8,
}

/// The index.
pub(super) struct State {
    /// Hashes from position `base` on, by how far they are after it.
    pub(super) index: HashIndex,
    pub(super) qualities: Vec<u8>,
    /// Positions below it are looked at in their blocks.
    pub(super) base: u32,
    /// Bytes that all this may take.
    pub(super) max_bytes: usize,
    pub(super) removed: RoaringBitmap,
    pub(super) through: Sequence,
    /// What is packed.
    pub(super) packed: Head,
    /// Names of the positions that are not packed.
    pub(super) names: Vec<Box<str>>,
    /// Events taken in that are not packed.
    pub(super) unpacked: u64,
    /// Up to which event records may be in the index already, because it was made of what they are now.
    pub(super) overlap: Sequence,
    /// Searches since the blocks were read: the first one is not to wait for an index to be built.
    pub(super) searches: u64,
    pub(super) name_blocks: RefCell<NameBlocks>,
}

impl State {
    pub(super) fn empty(through: Sequence, max_bytes: usize) -> Self {
        Self {
            index: HashIndex::default(),
            qualities: Vec::new(),
            base: 0,
            max_bytes,
            removed: RoaringBitmap::new(),
            through,
            packed: Head::default(),
            names: Vec::new(),
            unpacked: 0,
            overlap: 0,
            searches: 0,
            name_blocks: RefCell::new(LruCache::new(NonZeroUsize::new(NAME_BLOCKS_MAX).unwrap_or(NonZeroUsize::MIN))),
        }
    }

    pub(super) fn load(sql: &dyn SqlStore, max_bytes: usize) -> Result<Option<Self>> {
        if !blocks::exist(sql)? {
            return Ok(None);
        }
        let Some(head) = blocks::get(sql, Kind::HashHead, 0)? else { return Ok(None) };
        let head = Head::read(Kind::HashHead, &head)?;
        let mut state = Self::empty(head.through, max_bytes);
        if fits(head.positions, BYTES_PER_HASH, max_bytes) {
            state.index = HashIndex::with_capacity(usize::try_from(head.positions).unwrap_or(0));
            each_block(sql, head.positions, &mut |_, hashes| {
                hashes.iter().try_for_each(|(hash, quality)| state.push(*hash, *quality).map(|_| ()))
            })?;
        } else {
            state.base = head.positions;
        }
        head.removed.iter().for_each(|position| state.remove(position));
        state.packed = head;
        Ok(Some(state))
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let names = self.names.iter().map(|name| name.len().saturating_add(size_of::<Box<str>>())).sum::<usize>();
        let removed = self.removed.serialized_size();
        [self.index.bytes(), self.qualities.capacity(), names, removed].iter().sum()
    }

    /// Positions that were given.
    pub(super) fn positions(&self) -> Result<u32> {
        let held = u32::try_from(self.index.len()).ok();
        held.and_then(|held| self.base.checked_add(held)).ok_or_else(full)
    }

    pub(super) fn has_room_for_bands(&self) -> bool {
        u32::try_from(self.index.len()).is_ok_and(|hashes| fits(hashes, BYTES_PER_INDEXED_HASH, self.max_bytes))
    }

    pub(super) fn push(&mut self, hash: PdqHash, quality: u8) -> Result<()> {
        self.positions()?;
        self.index.add(hash).ok_or_else(full)?;
        self.qualities.push(quality);
        Ok(())
    }

    pub(super) fn add(&mut self, asset_id: &str, record: StoredHash) -> Result<()> {
        self.push(record.hash, record.quality)?;
        self.names.push(asset_id.into());
        Ok(())
    }

    pub(super) fn remove(&mut self, position: u32) {
        if let Some(held) = position.checked_sub(self.base) {
            self.index.remove(held);
        }
        self.removed.insert(position);
    }

    pub(super) fn change(&mut self, sql: &dyn SqlStore, sequence: Sequence, change: HashChange<'_>) -> Result<()> {
        if change.before == change.after {
            return Ok(());
        }
        if let Some(before) = change.before
            && let Some(position) = self.find(sql, change.asset_id, before)?
        {
            self.remove(position);
        }
        let Some(after) = change.after else { return Ok(()) };
        let is_known = sequence <= self.overlap && self.find(sql, change.asset_id, after)?.is_some();
        if is_known { Ok(()) } else { self.add(change.asset_id, after) }
    }

    /// The position of a record.
    pub(super) fn find(&self, sql: &dyn SqlStore, asset_id: &str, record: StoredHash) -> Result<Option<u32>> {
        for found in
            self.within(sql, record.hash, 0, &|quality| quality == record.quality, &mut SearchStats::default())?
        {
            if *self.name(sql, found.position)? == *asset_id {
                return Ok(Some(found.position));
            }
        }
        Ok(None)
    }

    pub(super) fn quality(&self, held: u32) -> u8 {
        usize::try_from(held).ok().and_then(|place| self.qualities.get(place)).copied().unwrap_or_default()
    }

    /// All hashes within a distance whose quality is wanted, by distance and then by position.
    pub(super) fn within(
        &self,
        sql: &dyn SqlStore,
        hash: PdqHash,
        distance: u32,
        wanted: &dyn Fn(u8) -> bool,
        stats: &mut SearchStats,
    ) -> Result<Vec<Located>> {
        let mut found = Vec::new();
        each_block(sql, self.base, &mut |first, hashes| {
            stats.distances = stats.distances.saturating_add(u64::try_from(hashes.len()).unwrap_or(0));
            for (position, (other, quality)) in (first..).zip(hashes) {
                let distance_to = hash.distance(*other);
                if distance_to <= distance && wanted(*quality) && !self.removed.contains(position) {
                    found.push(Located { distance: distance_to, position, hash: *other, quality: *quality });
                }
            }
            Ok(())
        })?;
        for near in self.index.within(hash, distance, stats) {
            let quality = self.quality(near.position);
            if let Some(other) = self.index.get(near.position).filter(|_| wanted(quality)) {
                let position = self.base.saturating_add(near.position);
                found.push(Located { distance: near.distance, position, hash: other, quality });
            }
        }
        // What is held comes sorted already.
        if self.base > 0 {
            sorting::sort_by(&mut found, Ord::cmp);
        }
        Ok(found)
    }

    /// How far the last of the nearest is; `None` when there is none.
    pub(super) fn reach_of_nearest(
        &self,
        sql: &dyn SqlStore,
        hash: PdqHash,
        k: usize,
        wanted: &dyn Fn(u8) -> bool,
        stats: &mut SearchStats,
    ) -> Result<Option<u32>> {
        let held = self.index.nearest_of(hash, k, &|position| wanted(self.quality(position)), stats);
        let mut distances = [0_usize; BITS + 1];
        let mut count = |distance: u32| {
            if let Some(count) = usize::try_from(distance).ok().and_then(|distance| distances.get_mut(distance)) {
                *count = count.saturating_add(1);
            }
        };
        held.iter().for_each(|found| count(found.distance));
        each_block(sql, self.base, &mut |first, hashes| {
            for (position, (other, quality)) in (first..).zip(hashes) {
                if wanted(*quality) && !self.removed.contains(position) {
                    count(hash.distance(*other));
                }
            }
            Ok(())
        })?;
        let (mut nearer, mut reach) = (0_usize, None);
        for (distance, count) in (0_u32..).zip(distances) {
            if count > 0 && nearer < k {
                reach = Some(distance);
            }
            nearer = nearer.saturating_add(count);
        }
        Ok(reach)
    }

    pub(super) fn name(&self, sql: &dyn SqlStore, position: u32) -> Result<Box<str>> {
        let missing = || blocks::corrupt(format!("expected the name of position {position}, got none"));
        let place = usize::try_from(position).map_err(|_| missing())?;
        if let Some(unpacked) = position.checked_sub(self.packed.positions) {
            let unpacked = usize::try_from(unpacked).map_err(|_| missing())?;
            return self.names.get(unpacked).cloned().ok_or_else(missing);
        }
        let (block, within) = (place / NAMES_PER_BLOCK, place % NAMES_PER_BLOCK);
        let names = self.name_block(sql, block)?;
        names.get(within).map(Into::into).ok_or_else(missing)
    }

    pub(super) fn name_block(&self, sql: &dyn SqlStore, block: usize) -> Result<Rc<Names>> {
        if let Some(names) = self.name_blocks.borrow_mut().get(&block) {
            return Ok(Rc::clone(names));
        }
        let names = Rc::new(read_names(sql, Kind::HashNames, block)?);
        self.name_blocks.borrow_mut().put(block, Rc::clone(&names));
        Ok(names)
    }

    pub(super) fn search(&self, sql: &dyn SqlStore, wanted: &Wanted) -> Result<Matches> {
        let mut stats = SearchStats::default();
        let is_wanted = |quality: u8| quality >= wanted.min_quality;
        let distance = match wanted.reach {
            Reach::Distance(distance) => Some(distance),
            // Others may be as near as the last of the nearest.
            Reach::Nearest(k) => self.reach_of_nearest(sql, wanted.hash, k, &is_wanted, &mut stats)?,
        };
        let Some(distance) = distance else { return Ok(Matches { stats, ..Matches::default() }) };
        let mut found = self.within(sql, wanted.hash, distance, &is_wanted, &mut stats)?;
        let total = found.len();
        let limit = match wanted.reach {
            Reach::Distance(_) => wanted.limit,
            Reach::Nearest(k) => k.min(wanted.limit),
        };
        // Those beyond the limit that are as near as the last within it may come before it by their names.
        let last = limit.checked_sub(1).and_then(|last| found.get(last)).map_or(u32::MAX, |found| found.distance);
        found.truncate(found.partition_point(|found| found.distance <= last));
        let matched = |located: &Located| {
            let Located { distance, position, hash, quality } = *located;
            let asset_id = self.name(sql, position)?.into_string();
            Ok(Match { distance, asset_id, hash, quality })
        };
        let mut matches = found.iter().map(matched).collect::<Result<Vec<_>>>()?;
        sorting::sort_by(&mut matches, Ord::cmp);
        matches.truncate(limit);
        Ok(Matches { matches, total, stats })
    }

    pub(super) fn pack(&mut self, sql: &dyn SqlStore) -> Result<()> {
        let (packed, all) = (self.packed.positions, self.positions()?);
        let head = Head { through: self.through, positions: all, removed: self.removed.clone() };
        if packed < all {
            self.pack_hashes(sql, places(packed), places(all))?;
            self.pack_names(sql, places(packed), places(all))?;
        }
        if packed == 0 {
            remove_after(sql, places(all))?;
        }
        blocks::put(sql, Kind::HashHead, 0, &head.to_bytes(Kind::HashHead)?)?;
        self.packed = head;
        self.names = Vec::new();
        self.unpacked = 0;
        if !fits(all, BYTES_PER_HASH, self.max_bytes) {
            (self.index, self.qualities, self.base) = (HashIndex::default(), Vec::new(), all);
        }
        Ok(())
    }

    pub(super) fn pack_hashes(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
        let first = packed / HASHES_PER_BLOCK;
        // What the first block has already may not be in memory.
        let begun = packed % HASHES_PER_BLOCK;
        let mut hashes = if begun > 0 { read_block(sql, number(first))? } else { Vec::new() };
        hashes.truncate(begun);
        let mut block = first;
        for place in packed..all {
            let held = place.checked_sub(places(self.base)).and_then(|held| u32::try_from(held).ok());
            let hash = held.and_then(|held| Some((self.index.get(held)?, self.quality(held))));
            hashes.push(hash.ok_or_else(|| blocks::corrupt(format!("expected a hash at {place}, got none")))?);
            if hashes.len() == HASHES_PER_BLOCK || place.saturating_add(1) == all {
                blocks::put(sql, Kind::Hashes, number(block), &hashes_to_bytes(&hashes)?)?;
                hashes.clear();
                block = block.saturating_add(1);
            }
        }
        Ok(())
    }

    pub(super) fn pack_names(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
        let mut names = self.names.iter().map(AsRef::as_ref).collect::<Vec<&str>>();
        let (first, within) = (packed / NAMES_PER_BLOCK, packed % NAMES_PER_BLOCK);
        let begun = if within > 0 { Some(self.name_block(sql, first)?) } else { None };
        if let Some(begun) = &begun {
            let known = (0..within).filter_map(|place| begun.get(place));
            names.splice(0..0, known);
        }
        for (block, names) in (first..all.div_ceil(NAMES_PER_BLOCK)).zip(names.chunks(NAMES_PER_BLOCK)) {
            blocks::put(sql, Kind::HashNames, number(block), &names_to_bytes(Kind::HashNames, names.iter().copied())?)?;
            self.name_blocks.borrow_mut().pop(&block);
        }
        Ok(())
    }
}

fn fits(hashes: u32, each: usize, max_bytes: usize) -> bool {
    places(hashes).saturating_mul(each) <= max_bytes
}
