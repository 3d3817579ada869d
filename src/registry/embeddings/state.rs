//! What is in memory of a registry's embeddings, and how it is searched, changed and packed.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;

use super::rotation::code_bits;
use super::store::{EmbeddingChange, Match, Matches, Wanted};
use super::{EmbeddingIndex, VectorRow, vectors_per_row, write_row};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::SqlStore;
use crate::registry::blocks::{self, Kind};
use crate::registry::similarity::block_io::{number, places, read_names};
use crate::registry::similarity::packed::{Head, NAMES_PER_BLOCK, Names, names_to_bytes};
use crate::registry::tags::Tags;
use crate::types::{Sequence, StorageTier, sorting};

/// Bytes of vectors that are in memory before they are packed.
const TAIL_BYTES: usize = 1024 * 1024;
/// Events after which what is in memory is packed.
const PACK_AFTER: u64 = 1_024;
/// Blocks of names that stay in memory.
const NAME_BLOCKS_MAX: usize = 64;

/// The index, and what of it is not packed.
pub(super) struct State {
    index: EmbeddingIndex,
    max_bytes: usize,
    /// A hash of each position's asset, once they are needed.
    tags: Option<Tags>,
    pub(super) through: Sequence,
    /// Up to which event records may be in the index already, because it was made of what they are now.
    pub(super) overlap: Sequence,
    /// What is packed; `None` when it is not known what lies in the table.
    pub(super) packed: Option<Head>,
    /// Vectors from the first position of a row on, and which position that is.
    tail: Vec<Vec<f32>>,
    tail_first: u32,
    /// Names from the first position of a block on, and which position that is.
    names: Vec<Box<str>>,
    names_first: u32,
    /// Blocks of codes that are full and packed, and those that are full and not.
    codes_packed: usize,
    codes: Vec<(usize, Vec<u8>)>,
    pub(super) unpacked: u64,
    name_blocks: RefCell<LruCache<usize, Rc<Names>>>,
}

impl State {
    pub(super) fn empty(dimension: usize, through: Sequence, max_bytes: usize) -> Result<Self> {
        Ok(Self {
            index: EmbeddingIndex::new(dimension)?,
            max_bytes,
            tags: Some(Tags::default()),
            through,
            overlap: 0,
            packed: None,
            tail: Vec::new(),
            tail_first: 0,
            names: Vec::new(),
            names_first: 0,
            codes_packed: 0,
            codes: Vec::new(),
            unpacked: 0,
            name_blocks: RefCell::new(LruCache::new(NonZeroUsize::new(NAME_BLOCKS_MAX).unwrap_or(NonZeroUsize::MIN))),
        })
    }

    /// What is packed; `None` when nothing is.
    pub(super) fn load(sql: &dyn SqlStore, dimension: usize, max_bytes: usize) -> Result<Option<Self>> {
        if !blocks::exist(sql)? {
            return Ok(None);
        }
        let Some(head) = blocks::get(sql, Kind::EmbeddingHead, 0)? else { return Ok(None) };
        let head = Head::read(Kind::EmbeddingHead, &head)?;
        let mut state = Self::empty(dimension, head.through, max_bytes)?;
        check_room(head.positions, dimension, max_bytes)?;
        while state.index.len() < head.positions {
            let block = state.index.blocks();
            state.index.load_block(&expect(sql, Kind::Codes, block)?)?;
        }
        if state.index.len() != head.positions {
            let got = state.index.len();
            return Err(blocks::corrupt(format!("expected codes of {} embeddings, got {got}", head.positions)));
        }
        head.removed.iter().for_each(|position| state.index.remove(position));
        state.codes_packed = state.index.blocks().saturating_sub(usize::from(!state.index.is_full()));
        state.load_tail(sql, head.positions)?;
        state.tags = None;
        state.packed = Some(head);
        Ok(Some(state))
    }

    /// The vectors and names of the rows that are not full.
    fn load_tail(&mut self, sql: &dyn SqlStore, positions: u32) -> Result<()> {
        let per_row = vectors_per_row(self.index.dimension());
        self.tail_first = positions / per_row * per_row;
        if self.tail_first < positions {
            let bytes = expect(sql, Kind::Vectors, places(self.tail_first / per_row))?;
            let row = VectorRow::open(&bytes)?;
            for position in self.tail_first..positions {
                let mut vector = Vec::new();
                row.read(position, &mut vector)?;
                self.tail.push(vector);
            }
        }
        let block = places(positions) / NAMES_PER_BLOCK;
        self.names_first = u32::try_from(block.saturating_mul(NAMES_PER_BLOCK)).unwrap_or(u32::MAX);
        if self.names_first < positions {
            let names = read_names(sql, Kind::EmbeddingNames, block)?;
            for place in 0..places(positions.saturating_sub(self.names_first)) {
                let name = names.get(place).ok_or_else(|| blocks::corrupt(format!("expected a name at {place}")))?;
                self.names.push(name.into());
            }
        }
        Ok(())
    }

    /// Whether nothing is packed yet.
    pub(super) fn begins(&self) -> bool {
        self.packed.is_none() && self.tail_first == 0 && self.names_first == 0 && self.codes_packed == 0
    }

    pub(super) fn dimension(&self) -> usize {
        self.index.dimension()
    }

    pub(super) fn live(&self) -> u64 {
        u64::from(self.index.len()).saturating_sub(self.index.removed().len())
    }

    pub(super) fn positions(&self) -> u32 {
        self.index.len()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let vectors = self.tail.len().saturating_mul(self.index.dimension()).saturating_mul(size_of::<f32>());
        let tags = self.tags.as_ref().map_or(0, Tags::bytes);
        let codes = self.codes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        [self.index.bytes(), vectors, tags, codes].iter().sum()
    }

    pub(super) fn is_packing_due(&self) -> bool {
        let vector = self.index.dimension().saturating_mul(size_of::<f32>());
        self.unpacked >= PACK_AFTER
            || self.tail.len().saturating_mul(vector) >= TAIL_BYTES.max(vector.saturating_mul(64))
    }

    pub(super) fn add(&mut self, asset_id: &str, vector: Vec<f32>) -> Result<()> {
        check_room(self.index.len(), self.index.dimension(), self.max_bytes)?;
        let blocks = self.index.blocks();
        if self.index.is_full() && blocks > self.codes_packed.saturating_add(self.codes.len()) {
            self.codes.extend(self.index.last_block().map(|bytes| (blocks.saturating_sub(1), bytes)));
        }
        self.index.add(&vector)?;
        if let Some(tags) = &mut self.tags {
            tags.push(asset_id);
        }
        self.names.push(asset_id.into());
        self.tail.push(vector);
        Ok(())
    }

    /// Takes in what became of a record. Its vector of before, if it has one, is in no search any more.
    pub(super) fn change(&mut self, sql: &dyn SqlStore, sequence: Sequence, change: EmbeddingChange<'_>) -> Result<()> {
        if (change.had || sequence <= self.overlap)
            && let Some(position) = self.find(sql, change.asset_id)?
        {
            self.index.remove(position);
        }
        let vector = change.after.filter(|vector| super::check_vector(vector, self.index.dimension()).is_ok());
        vector.map_or(Ok(()), |vector| self.add(change.asset_id, vector))
    }

    /// The position of an asset's vector.
    fn find(&mut self, sql: &dyn SqlStore, asset_id: &str) -> Result<Option<u32>> {
        let tags = match self.tags.take() {
            Some(tags) => tags,
            None => self.read_tags(sql)?,
        };
        let tags = self.tags.insert(tags);
        let live: Vec<u32> =
            tags.positions(asset_id).filter(|position| !self.index.removed().contains(*position)).collect();
        for position in live {
            if *self.name(sql, position)? == *asset_id {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn read_tags(&self, sql: &dyn SqlStore) -> Result<Tags> {
        let mut tags = Tags::read(sql, Kind::EmbeddingNames, self.names_first)?;
        self.names.iter().for_each(|name| tags.push(name));
        Ok(tags)
    }

    fn name(&self, sql: &dyn SqlStore, position: u32) -> Result<Box<str>> {
        let missing = || blocks::corrupt(format!("expected the name of position {position}, got none"));
        if let Some(place) = position.checked_sub(self.names_first) {
            return self.names.get(places(place)).cloned().ok_or_else(missing);
        }
        let (block, within) = (places(position) / NAMES_PER_BLOCK, places(position) % NAMES_PER_BLOCK);
        let known = self.name_blocks.borrow_mut().get(&block).map(Rc::clone);
        let names = match known {
            Some(names) => names,
            None => Rc::new(read_names(sql, Kind::EmbeddingNames, block)?),
        };
        self.name_blocks.borrow_mut().put(block, Rc::clone(&names));
        names.get(within).map(Into::into).ok_or_else(missing)
    }

    pub(super) fn search(&self, sql: &dyn SqlStore, wanted: &Wanted) -> Result<Matches> {
        let mut search = self.index.search(&wanted.vector, wanted.k, wanted.metric, wanted.options)?;
        loop {
            let rows = search.next_rows();
            if rows.is_empty() {
                break;
            }
            for row in rows {
                search.rescore(row, &self.row(sql, row)?)?;
            }
        }
        let (found, stats) = search.finish()?;
        let named = |found: super::Found| {
            Ok(Match { score: found.score, asset_id: self.name(sql, found.position)?.into_string() })
        };
        let mut matches = found.into_iter().map(named).collect::<Result<Vec<_>>>()?;
        let is_distance = wanted.metric == super::Metric::L2;
        sorting::sort_by(&mut matches, |one: &Match, other: &Match| {
            let nearer = one.score.total_cmp(&other.score);
            let nearer = if is_distance { nearer } else { nearer.reverse() };
            nearer.then_with(|| one.asset_id.cmp(&other.asset_id))
        });
        Ok(Matches { matches, stats, vectors: self.live() })
    }

    /// A row of vectors, packed or not.
    fn row(&self, sql: &dyn SqlStore, row: u32) -> Result<Vec<u8>> {
        let per_row = vectors_per_row(self.index.dimension());
        let first = row.saturating_mul(per_row);
        match first.checked_sub(self.tail_first) {
            Some(place) => {
                let vectors = self.tail.iter().skip(places(place)).take(places(per_row)).map(AsRef::as_ref);
                write_row(first, self.index.dimension(), &vectors.collect::<Vec<&[f32]>>())
            }
            None => expect(sql, Kind::Vectors, places(row)),
        }
    }

    /// Writes what is not packed. Without `is_whole`, there is more to come before it can be read: no head is written.
    pub(super) fn pack(&mut self, sql: &dyn SqlStore, is_whole: bool) -> Result<()> {
        let (dimension, all) = (self.index.dimension(), self.index.len());
        let per_row = vectors_per_row(dimension);
        let row_numbers = self.tail_first / per_row..;
        for (row, vectors) in row_numbers.zip(self.tail.chunks(places(per_row))) {
            let vectors: Vec<&[f32]> = vectors.iter().map(AsRef::as_ref).collect();
            let bytes = write_row(row.saturating_mul(per_row), dimension, &vectors)?;
            blocks::put(sql, Kind::Vectors, i64::from(row), &bytes)?;
        }
        for (block, names) in (places(self.names_first) / NAMES_PER_BLOCK..).zip(self.names.chunks(NAMES_PER_BLOCK)) {
            let bytes = names_to_bytes(Kind::EmbeddingNames, names.iter().map(AsRef::as_ref))?;
            blocks::put(sql, Kind::EmbeddingNames, number(block), &bytes)?;
            self.name_blocks.borrow_mut().pop(&block);
        }
        for (block, bytes) in std::mem::take(&mut self.codes) {
            blocks::put(sql, Kind::Codes, number(block), &bytes)?;
        }
        if let Some((last, bytes)) = self.index.blocks().checked_sub(1).zip(self.index.last_block()) {
            blocks::put(sql, Kind::Codes, number(last), &bytes)?;
        }
        self.codes_packed = self.index.blocks().saturating_sub(usize::from(!self.index.is_full()));
        self.forget_full_rows(per_row, all);
        self.unpacked = 0;
        if !is_whole {
            return Ok(());
        }
        if self.packed.is_none() {
            blocks::remove_from(sql, Kind::Vectors, i64::from(all.div_ceil(per_row)))?;
            blocks::remove_from(sql, Kind::EmbeddingNames, number(places(all).div_ceil(NAMES_PER_BLOCK)))?;
            blocks::remove_from(sql, Kind::Codes, number(self.index.blocks()))?;
        }
        let head = Head { through: self.through, positions: all, removed: self.index.removed().clone() };
        blocks::put(sql, Kind::EmbeddingHead, 0, &head.to_bytes(Kind::EmbeddingHead)?)?;
        self.packed = Some(head);
        Ok(())
    }

    fn forget_full_rows(&mut self, per_row: u32, all: u32) {
        let full = all / per_row * per_row;
        self.tail.drain(..places(full.saturating_sub(self.tail_first)).min(self.tail.len()));
        self.tail_first = full;
        let blocks = places(all) / NAMES_PER_BLOCK;
        let first = u32::try_from(blocks.saturating_mul(NAMES_PER_BLOCK)).unwrap_or(u32::MAX);
        self.names.drain(..places(first.saturating_sub(self.names_first)).min(self.names.len()));
        self.names_first = first;
    }
}

/// A block that has to be there.
fn expect(sql: &dyn SqlStore, kind: Kind, block: usize) -> Result<Vec<u8>> {
    let bytes = blocks::get(sql, kind, number(block))?;
    bytes.ok_or_else(|| blocks::corrupt(format!("expected block {block} of embeddings, got none")))
}

/// Refuses more embeddings than there is memory for the codes of.
fn check_room(positions: u32, dimension: usize, max_bytes: usize) -> Result<()> {
    let each = code_bits(dimension) / 8 + 3 * size_of::<f32>() + size_of::<u16>();
    if places(positions).saturating_mul(each) < max_bytes {
        return Ok(());
    }
    let message = format!(
        "expected the codes of embeddings to fit {max_bytes} bytes of memory, got {positions} embeddings of {each} bytes each; raise \
         memory.budgetBytes, or use another tenant"
    );
    Err(StorageError::new(ErrorKind::Full, StorageTier::Hot, "index embedding", message))
}
