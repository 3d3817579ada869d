//! Where things start: numbers that never descend and stay below or at a limit that whoever holds them knows (the end
//! of the bytes they point into, or a number of rows). Also positions, which are kept the same way.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | least difference | varint | of a start to the one before |
//! | blocks | rest | a base for every 256 starts: the first of them; packed: the difference to the one before minus the least. A block's first one is written as 0 and not looked at; the others must agree with the bases |
//!
//! One start is found by a walk of at most 255 others, that of a place by looking at bases before.

use std::ops::Range;

use super::bits::BLOCK;
use super::blocks::{self, Blocks};
use super::budget::{Budget, Touched};
use super::delta::{STRIDE, accumulate};
use super::wire::{Bytes, corrupt, put_varint};
use super::{Encoded, NODE_OVERHEAD_BYTES};
use crate::error::Result;

/// Starts, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Starts<'b> {
    least: u64,
    blocks: Blocks<'b>,
    limit: u32,
}

impl<'b> Starts<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize, limit: usize) -> Result<Self> {
        let least = bytes.varint()?;
        let limit = u32::try_from(limit).map_err(|_| corrupt(format!("expected places below 4 GiB, got {limit}")))?;
        Ok(Self { least, blocks: Blocks::parse(bytes, count, STRIDE)?, limit })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.blocks.count()
    }

    /// The starts in `range` and after them where the last of these ends.
    pub(super) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<Vec<u32>> {
        let range = range.start.min(range.end)..range.end.min(self.count());
        let mut starts = budget.vector(range.len().saturating_add(1))?;
        for (index, part) in self.blocks.within(range.clone()) {
            self.decode_block(index, part, &mut starts)?;
        }
        starts.push(self.edge(range.end, &mut Touched::default())?);
        if !starts.is_sorted() {
            return Err(corrupt("expected starts that do not descend"));
        }
        Ok(starts)
    }

    fn decode_block(&self, index: usize, part: Range<usize>, starts: &mut Vec<u32>) -> Result<()> {
        let block = self.blocks.block(index)?;
        let mut values = [0; BLOCK];
        block.unpack(&mut values)?;
        accumulate(&block, self.least, &mut values)?;
        // Found after the loop, which so has no exit.
        let mut stray = None;
        starts.extend(values.get(part).unwrap_or_default().iter().map(|start| match u32::try_from(*start) {
            Ok(known) if known <= self.limit => known,
            _ => {
                stray = Some(*start);
                0
            }
        }));
        stray.map_or(Ok(()), |start| self.narrow(start).map(|_| ()))
    }

    #[inline]
    fn narrow(&self, start: u64) -> Result<u32> {
        match u32::try_from(start) {
            Ok(start) if start <= self.limit => Ok(start),
            _ => Err(corrupt(format!("expected starts up to {}, got {start}", self.limit))),
        }
    }

    /// Start `position`, or the limit after the last.
    fn edge(&self, position: usize, touched: &mut Touched) -> Result<u32> {
        if position >= self.count() {
            return Ok(self.limit);
        }
        let first = position / STRIDE * STRIDE;
        let last = self.walk(first, position + 1, touched)?.last();
        last.unwrap_or_else(|| Err(corrupt("expected a start within its block")))
    }

    /// The starts from `first`, which has a base, up to `end`, in the same block.
    fn walk(&self, first: usize, end: usize, touched: &mut Touched) -> Result<impl Iterator<Item = Result<u32>>> {
        let block = self.blocks.block(first / BLOCK)?;
        let base = block.base(first % BLOCK / STRIDE);
        let differences: Vec<u64> =
            block.walk(first % BLOCK + 1..end.saturating_sub(first / BLOCK * BLOCK), touched).collect();
        let mut start = base;
        let walked = differences.into_iter().map(move |packed| {
            start = start.wrapping_add(packed).wrapping_add(self.least);
            start
        });
        Ok(std::iter::once(base).chain(walked).map(|start| self.narrow(start)))
    }

    /// Start `position` and the one after it.
    pub(super) fn span(&self, position: usize, touched: &mut Touched) -> Result<Range<usize>> {
        let next = position.saturating_add(1);
        let (start, end) = if next.is_multiple_of(STRIDE) || next >= self.count() {
            (self.edge(position, touched)?, self.edge(next, touched)?)
        } else {
            let mut walked = self.walk(position / STRIDE * STRIDE, next + 1, touched)?.skip(position % STRIDE);
            let missing = || Err(corrupt("expected a start within its block"));
            (walked.next().unwrap_or_else(missing)?, walked.next().unwrap_or_else(missing)?)
        };
        if start > end {
            return Err(corrupt("expected starts that do not descend"));
        }
        Ok(index(start)..index(end))
    }

    /// The positions of the starts from `places.start` up to `places.end`, the latter left out.
    pub(super) fn positions_in(&self, places: Range<usize>, touched: &mut Touched) -> Result<Range<usize>> {
        // All of them without a search, so that all of them are checked.
        let before = |place: usize, touched: &mut Touched| match place.checked_sub(1) {
            None => Ok(0),
            Some(last) if last >= index(self.limit) => Ok(self.count()),
            Some(last) => self.last_up_to(last, touched).map(|found| found.map_or(0, |(found, _)| found + 1)),
        };
        Ok(before(places.start, touched)?..before(places.end, touched)?)
    }

    /// The last position whose start is at most `place`, and that start; `None` when there is none.
    pub(super) fn last_up_to(&self, place: usize, touched: &mut Touched) -> Result<Option<(usize, usize)>> {
        let (mut low, mut high) = (0, self.blocks.bases());
        while low < high {
            let middle = low.midpoint(high);
            let base = index(self.narrow(self.blocks.base(middle, touched)?)?);
            if base <= place { low = middle + 1 } else { high = middle }
        }
        let Some(first) = low.checked_sub(1).map(|found| found * STRIDE) else { return Ok(None) };
        let mut found = None;
        let end = first.saturating_add(STRIDE).min(self.count());
        for (position, start) in (first..).zip(self.walk(first, end, touched)?) {
            let start = index(start?);
            if start > place {
                break;
            }
            found = Some((position, start));
        }
        Ok(found)
    }
}

/// Encodes starts, which must not descend.
pub(super) fn encode(starts: &[u32]) -> Result<Encoded> {
    let differences = || starts.iter().zip(starts.iter().skip(1)).map(|(start, next)| next.saturating_sub(*start));
    let least = differences().min().unwrap_or(0);
    let mut packed: Vec<u64> =
        std::iter::once(0).chain(differences().map(|difference| u64::from(difference - least))).collect();
    packed.truncate(starts.len());
    for first in packed.iter_mut().step_by(BLOCK) {
        *first = 0;
    }
    let bases: Vec<u64> = starts.iter().step_by(STRIDE).map(|start| u64::from(*start)).collect();
    let mut out = Encoded { bytes: Vec::new(), point_bytes: NODE_OVERHEAD_BYTES };
    put_varint(&mut out.bytes, u64::from(least));
    blocks::encode(&packed, &bases, STRIDE, &mut out)?;
    Ok(out)
}

/// A start as an index.
pub(in crate::vortex) fn index(start: u32) -> usize {
    usize::try_from(start).unwrap_or(usize::MAX)
}
