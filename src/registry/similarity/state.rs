//! What is in memory of the index of hashes, and how it is changed and packed.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use roaring::RoaringBitmap;

use super::block_io::{each_block, full, number, places, read_block, read_names, remove_after};
use super::packed::{HASHES_PER_BLOCK, Head, NAMES_PER_BLOCK, Names, hashes_to_bytes, names_to_bytes};
use super::store::{HashChange, Held};
use super::{HashIndex, PdqHash, SearchStats};
use crate::error::Result;
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::registry::records::StoredHash;
use crate::registry::tags::Tags;
use crate::types::Sequence;

/// Bytes of a hash in memory, with its quality, and of one that is in the bands, too.
const BYTES_PER_HASH: usize = 34;
const BYTES_PER_INDEXED_HASH: usize = 80;
/// Copies of a hash whose names are looked at to find one of them.
const COPIES_MAX: usize = 64;
/// Blocks of names that stay in memory.
const NAME_BLOCKS_MAX: usize = 64;
/// Names by block, shared with who reads them.
type NameBlocks = LruCache<usize, Rc<Names>>;

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
    /// What is packed; `None` when it is not known what lies in the table.
    pub(super) packed: Option<Head>,
    /// Positions whose hashes and names are in blocks.
    pub(super) packed_positions: u32,
    /// Names of the others.
    pub(super) names: Vec<Box<str>>,
    /// What finds the position of an asset, once that is needed.
    tags: Option<Tags>,
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
            packed: None,
            packed_positions: 0,
            names: Vec::new(),
            tags: None,
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
        state.packed_positions = head.positions;
        state.packed = Some(head);
        Ok(Some(state))
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let names = self.names.iter().map(|name| name.len().saturating_add(size_of::<Box<str>>())).sum::<usize>();
        let removed = self.removed.serialized_size();
        let tags = self.tags.as_ref().map_or(0, Tags::bytes);
        [self.index.bytes(), self.qualities.capacity(), names, removed, tags].iter().sum()
    }

    /// How hashes are searched. Few are scanned as fast as they are found by bands.
    pub(super) fn held(&self) -> Held {
        match (self.base, self.has_room_for_bands()) {
            (1.., _) => Held::Blocks,
            (0, true) => Held::Bands,
            (0, false) => Held::Scan,
        }
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
        if let Some(tags) = &mut self.tags {
            tags.push(asset_id);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, position: u32) {
        if let Some(held) = position.checked_sub(self.base) {
            self.index.remove(held);
        }
        self.removed.insert(position);
    }

    /// Takes in what became of a record. Where it may be in the index already, as it is or as it was to become, that goes.
    pub(super) fn change(&mut self, sql: &dyn SqlStore, sequence: Sequence, change: HashChange<'_>) -> Result<()> {
        if change.before == change.after {
            return Ok(());
        }
        let known = match change.before {
            _ if sequence <= self.overlap => self.find_by_name(sql, change.asset_id)?,
            Some(before) => self.find(sql, change.asset_id, before)?,
            None => None,
        };
        if let Some(position) = known {
            self.remove(position);
        }
        change.after.map_or(Ok(()), |after| self.add(change.asset_id, after))
    }

    /// The position of a record: one of the few that have its hash, or one that its name may have.
    fn find(&mut self, sql: &dyn SqlStore, asset_id: &str, record: StoredHash) -> Result<Option<u32>> {
        if self.base > 0 || self.tags.is_some() || !self.index.is_indexed() {
            return self.find_by_name(sql, asset_id);
        }
        let copies = self.index.within(record.hash, 0, &mut SearchStats::default());
        if copies.len() > COPIES_MAX {
            return self.find_by_name(sql, asset_id);
        }
        for copy in copies {
            if *self.name(sql, copy.position)? == *asset_id {
                return Ok(Some(copy.position));
            }
        }
        Ok(None)
    }

    fn find_by_name(&mut self, sql: &dyn SqlStore, asset_id: &str) -> Result<Option<u32>> {
        let tags = match self.tags.take() {
            Some(tags) => tags,
            None => self.read_tags(sql)?,
        };
        let tags = self.tags.insert(tags);
        let live: Vec<u32> = tags.positions(asset_id).filter(|position| !self.removed.contains(*position)).collect();
        for position in live {
            if *self.name(sql, position)? == *asset_id {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn read_tags(&self, sql: &dyn SqlStore) -> Result<Tags> {
        let mut tags = Tags::read(sql, Kind::HashNames, self.packed_positions)?;
        self.names.iter().for_each(|name| tags.push(name));
        Ok(tags)
    }

    pub(super) fn quality(&self, held: u32) -> u8 {
        usize::try_from(held).ok().and_then(|place| self.qualities.get(place)).copied().unwrap_or_default()
    }

    pub(super) fn name(&self, sql: &dyn SqlStore, position: u32) -> Result<Box<str>> {
        let missing = || blocks::corrupt(format!("expected the name of position {position}, got none"));
        let place = usize::try_from(position).map_err(|_| missing())?;
        if let Some(unpacked) = position.checked_sub(self.packed_positions) {
            let unpacked = usize::try_from(unpacked).map_err(|_| missing())?;
            return self.names.get(unpacked).cloned().ok_or_else(missing);
        }
        let (block, within) = (place / NAMES_PER_BLOCK, place % NAMES_PER_BLOCK);
        let names = self.name_block(sql, block)?;
        names.get(within).map(Into::into).ok_or_else(missing)
    }

    fn name_block(&self, sql: &dyn SqlStore, block: usize) -> Result<Rc<Names>> {
        if let Some(names) = self.name_blocks.borrow_mut().get(&block) {
            return Ok(Rc::clone(names));
        }
        let names = Rc::new(read_names(sql, Kind::HashNames, block)?);
        self.name_blocks.borrow_mut().put(block, Rc::clone(&names));
        Ok(names)
    }

    /// Writes what is not packed. Without `is_whole`, there is more to come before it can be read: no head is written.
    pub(super) fn pack(&mut self, sql: &dyn SqlStore, is_whole: bool) -> Result<()> {
        let (packed, all) = (self.packed_positions, self.positions()?);
        if packed < all {
            self.pack_hashes(sql, places(packed), places(all))?;
            self.pack_names(sql, places(packed), places(all))?;
        }
        if is_whole {
            if self.packed.is_none() {
                remove_after(sql, places(all))?;
            }
            let head = Head { through: self.through, positions: all, removed: self.removed.clone() };
            blocks::put(sql, Kind::HashHead, 0, &head.to_bytes(Kind::HashHead)?)?;
            self.packed = Some(head);
        }
        self.packed_positions = all;
        self.names = Vec::new();
        self.unpacked = 0;
        if !fits(all, BYTES_PER_HASH, self.max_bytes) {
            (self.index, self.qualities, self.base) = (HashIndex::default(), Vec::new(), all);
        }
        Ok(())
    }

    fn pack_hashes(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
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

    fn pack_names(&self, sql: &dyn SqlStore, packed: usize, all: usize) -> Result<()> {
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
