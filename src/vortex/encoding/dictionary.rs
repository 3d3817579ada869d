//! Dictionary: the distinct values, and for each row the position of its value among them, its *code*.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | distinct | varint | how many values there are |
//! | values | part | a node of them |
//! | codes | rest | a node of integers below `distinct`, one a row |
//!
//! Written with the values in ascending order; read in any.

use std::ops::Range;

use super::budget::{Budget, Touched};
use super::fixed::{Fixed, Node};
use super::starts::index;
use super::wire::{Bytes, corrupt, put_count};
use super::{Encoded, Encoding, deeper};
use crate::error::{Result, StorageError};
use crate::vortex::column::Bitmap;

/// A dictionary of values of fixed size.
#[derive(Clone, Debug)]
pub(in crate::vortex) struct Dictionary<'b, V: Fixed> {
    pub values: Node<'b, V>,
    pub codes: Node<'b, u32>,
}

/// The parts of a dictionary of any kind: how many values, their node, the codes.
pub(super) fn parts<'b>(mut bytes: Bytes<'b>, count: usize, level: u8) -> Result<(usize, Bytes<'b>, Node<'b, u32>)> {
    let distinct = bytes.count(count, "distinct values")?;
    let values = bytes.part()?;
    Ok((distinct, values, Node::parse(bytes, count, deeper(level)?)?))
}

/// What codes stand for; an error when one stands for nothing.
pub(super) fn look_up<V: Copy>(values: &[V], codes: &[u32], out: &mut Vec<V>) -> Result<()> {
    // Without values there must be no codes; with some, a code beyond them is found after the loop, which so has no exit.
    let Some(first) = values.first().copied() else {
        return codes.first().map_or(Ok(()), |code| Err(not_a_code(0, *code)));
    };
    let mut stray = None;
    out.extend(codes.iter().map(|code| {
        values.get(index(*code)).copied().unwrap_or_else(|| {
            stray = Some(*code);
            first
        })
    }));
    stray.map_or(Ok(()), |code| Err(not_a_code(values.len(), code)))
}

impl<'b, V: Fixed> Dictionary<'b, V> {
    pub(super) fn parse(bytes: Bytes<'b>, count: usize, level: u8) -> Result<Self> {
        let (distinct, values, codes) = parts(bytes, count, level)?;
        Ok(Self { values: Node::parse(values, distinct, deeper(level)?)?, codes })
    }

    pub(super) fn decode(&self, range: Range<usize>, out: &mut Vec<V>, budget: &mut Budget) -> Result<()> {
        let values = self.values.decode(0..self.values.count(), budget)?;
        look_up(&values, &self.codes.decode(range, budget)?, out)
    }

    pub(super) fn gather(&self, positions: &[usize], budget: &mut Budget) -> Result<Vec<V>> {
        let values = self.values.decode(0..self.values.count(), budget)?;
        let mut out = budget.vector(positions.len())?;
        look_up(&values, &self.codes.gather(positions, budget)?, &mut out)?;
        Ok(out)
    }

    pub(super) fn get(&self, position: usize, touched: &mut Touched) -> Result<V> {
        let code = self.codes.get(position, touched)?;
        self.values.get(index(code), touched)
    }
}

/// Which codes stand for a value that matches, given which of the values do.
pub(super) fn matching(values: &[bool], codes: &Node<'_, u32>, budget: &mut Budget) -> Result<Bitmap> {
    if !values.contains(&true) {
        return Ok(Bitmap::repeated(false, codes.count()));
    }
    let mut matching = budget.vector(codes.count())?;
    look_up(values, &codes.decode(0..codes.count(), budget)?, &mut matching)?;
    Ok(matching.into_iter().collect())
}

#[cold]
pub(super) fn not_a_code(distinct: usize, code: u32) -> StorageError {
    corrupt(format!("expected codes below {distinct}, got {code}"))
}

/// Encodes a dictionary from its nodes.
pub(in crate::vortex) fn encode(distinct: usize, values: &Encoded, codes: &Encoded) -> Encoded {
    let mut out = Encoded::new(Encoding::Dictionary);
    put_count(&mut out.bytes, distinct);
    out.put_part(values);
    out.put_last(codes);
    out
}
