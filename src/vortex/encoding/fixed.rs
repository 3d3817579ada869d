//! Nodes of values that all have the same size: constant, dictionary and run-length are the same for each kind of
//! them, the rest is the kind's own ([`Leaf`]).

use std::fmt::Debug;
use std::ops::Range;

use super::bits::BLOCK;
use super::budget::{Budget, Touched};
use super::constant::Constant;
use super::dictionary::{self, Dictionary};
use super::integers::IntegerLeaf;
use super::run_length::RunLength;
use super::wire::{Bytes, corrupt, put_varint, put_zigzag};
use super::{Encoding, MAX_LEVEL};
use crate::error::Result;
use crate::vortex::column::Bitmap;
use crate::vortex::encoding::floats::FloatLeaf;
use crate::vortex::encoding::wide::WideLeaf;

/// A value of fixed size.
pub(in crate::vortex) trait Fixed: Copy + PartialEq + 'static {
    /// What a node that holds no other of this kind can be.
    type Leaf<'b>: Leaf<'b, Self> + Clone + Debug;

    /// Reads the value of a constant.
    fn read(bytes: &mut Bytes<'_>) -> Result<Self>;

    /// Writes the value of a constant.
    fn write(self, out: &mut Vec<u8>);
}

/// A kind's own encodings.
pub(in crate::vortex) trait Leaf<'b, V>: Sized {
    /// Reads what follows the number of the encoding; `None` when this kind has no such encoding.
    fn parse(encoding: Encoding, bytes: Bytes<'b>, count: usize, level: u8) -> Result<Option<Self>>;

    /// Appends the values of a range, for which there is room.
    fn decode(&self, range: Range<usize>, out: &mut Vec<V>, budget: &mut Budget) -> Result<()>;

    /// One value.
    fn get(&self, position: usize, touched: &mut Touched) -> Result<V>;

    /// Whether a block is decoded without anything that other blocks need too.
    fn has_blocks(&self) -> bool;

    /// The encoding's name and what is in it.
    fn describe(&self) -> String;
}

/// A node.
#[derive(Clone, Debug)]
pub(in crate::vortex) enum Node<'b, V: Fixed> {
    Constant(Constant<V>),
    Dictionary(Box<Dictionary<'b, V>>),
    RunLength(Box<RunLength<'b, V>>),
    Leaf(V::Leaf<'b>, usize),
}

impl<'b, V: Fixed> Node<'b, V> {
    /// Reads a node of `count` values; `level` is 1 for the outermost.
    pub(in crate::vortex) fn parse(mut bytes: Bytes<'b>, count: usize, level: u8) -> Result<Self> {
        if level > MAX_LEVEL {
            return Err(corrupt(format!("expected nodes to nest {MAX_LEVEL} levels at most, got more")));
        }
        let encoding = Encoding::of(bytes.u8()?)?;
        Ok(match encoding {
            Encoding::Constant => Self::Constant(Constant::parse(bytes, count)?),
            Encoding::Dictionary => Self::Dictionary(Box::new(Dictionary::parse(bytes, count, level)?)),
            Encoding::RunLength => Self::RunLength(Box::new(RunLength::parse(bytes, count, level)?)),
            _ => {
                let leaf = V::Leaf::parse(encoding, bytes, count, level)?;
                Self::Leaf(
                    leaf.ok_or_else(|| {
                        corrupt(format!("expected an encoding for values of this kind, got {encoding}"))
                    })?,
                    count,
                )
            }
        })
    }

    /// How many values there are.
    pub(in crate::vortex) fn count(&self) -> usize {
        match self {
            Self::Constant(constant) => constant.count,
            Self::Dictionary(dictionary) => dictionary.codes.count(),
            Self::RunLength(runs) => runs.count,
            Self::Leaf(_, count) => *count,
        }
    }

    /// The values of a range.
    pub(in crate::vortex) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<Vec<V>> {
        let range = self.checked(range)?;
        let mut out = budget.vector(range.len())?;
        match self {
            Self::Constant(constant) => out.resize(range.len(), constant.value),
            Self::Dictionary(dictionary) => dictionary.decode(range.clone(), &mut out, budget)?,
            Self::RunLength(runs) => runs.decode(range.clone(), &mut out, budget)?,
            Self::Leaf(leaf, _) => leaf.decode(range.clone(), &mut out, budget)?,
        }
        if out.len() == range.len() {
            Ok(out)
        } else {
            Err(corrupt(format!("expected {} values, got {}", range.len(), out.len())))
        }
    }

    fn checked(&self, range: Range<usize>) -> Result<Range<usize>> {
        if range.start <= range.end && range.end <= self.count() {
            return Ok(range);
        }
        Err(corrupt(format!("expected a range of {} values, got {} to {}", self.count(), range.start, range.end)))
    }

    /// The values at positions that ascend. A block of which none is wanted is not decoded.
    pub(in crate::vortex) fn gather(&self, positions: &[usize], budget: &mut Budget) -> Result<Vec<V>> {
        if let Self::Constant(constant) = self {
            let mut out = budget.vector(positions.len())?;
            out.resize(positions.len(), constant.value);
            return Ok(out);
        }
        if let Self::Dictionary(dictionary) = self {
            return dictionary.gather(positions, budget);
        }
        let mut out = budget.vector(positions.len())?;
        let groups: Box<dyn Iterator<Item = &[usize]>> =
            if self.has_blocks() { Box::new(in_one_block(positions)) } else { Box::new(std::iter::once(positions)) };
        for group in groups {
            if group.len() <= FEW {
                for position in group {
                    out.push(self.get(*position, &mut Touched::default())?);
                }
                continue;
            }
            let (first, last) = ends(group);
            let block = self.decode(first..last.saturating_add(1), &mut budget.clone())?;
            out.extend(group.iter().filter_map(|position| block.get(position.checked_sub(first)?).copied()));
        }
        if out.len() == positions.len() {
            Ok(out)
        } else {
            Err(corrupt("expected positions that ascend within the column"))
        }
    }

    /// Whether a block is decoded without anything that other blocks need too, such as the values of a dictionary.
    fn has_blocks(&self) -> bool {
        matches!(self, Self::Leaf(leaf, _) if leaf.has_blocks())
    }

    /// Which of the values match: constants, distinct values and runs are tested once each.
    pub(in crate::vortex) fn matching(&self, test: &dyn Fn(V) -> bool, budget: &mut Budget) -> Result<Bitmap> {
        match self {
            Self::Constant(constant) => Ok(Bitmap::repeated(test(constant.value), constant.count)),
            Self::Dictionary(dictionary) => {
                let values = dictionary.values.decode(0..dictionary.values.count(), budget)?;
                let mut answers = budget.vector(values.len())?;
                answers.extend(values.into_iter().map(test));
                dictionary::matching(&answers, &dictionary.codes, budget)
            }
            Self::RunLength(runs) => runs.matching(test, budget),
            Self::Leaf(_, count) => {
                let mut matching = Bitmap::default();
                let step = if self.has_blocks() { BLOCK } else { (*count).max(1) };
                for start in (0..*count).step_by(step) {
                    let block =
                        self.decode(start..count.min(&start.saturating_add(step)).to_owned(), &mut budget.clone())?;
                    for values in block.chunks(Bitmap::WORD) {
                        let bits = values.iter().enumerate().map(|(bit, value)| u64::from(test(*value)) << bit);
                        matching.push_word(bits.fold(0, |word, bit| word | bit), values.len());
                    }
                }
                Ok(matching)
            }
        }
    }

    /// One value.
    pub(in crate::vortex) fn get(&self, position: usize, touched: &mut Touched) -> Result<V> {
        if position >= self.count() {
            return Err(corrupt(format!("expected one of {} values, got position {position}", self.count())));
        }
        match self {
            Self::Constant(constant) => {
                touched.add(size_of::<V>(), 1);
                Ok(constant.value)
            }
            Self::Dictionary(dictionary) => dictionary.get(position, touched),
            Self::RunLength(runs) => runs.get(position, touched),
            Self::Leaf(leaf, _) => leaf.get(position, touched),
        }
    }

    /// The encoding's name and, in brackets, what is in it.
    pub(in crate::vortex) fn describe(&self) -> String {
        match self {
            Self::Constant(_) => Encoding::Constant.to_string(),
            Self::Dictionary(dictionary) => {
                format!(
                    "{}(values: {}, codes: {})",
                    Encoding::Dictionary,
                    dictionary.values.describe(),
                    dictionary.codes.describe()
                )
            }
            Self::RunLength(runs) => format!("{}(values: {})", Encoding::RunLength, runs.values.describe()),
            Self::Leaf(leaf, _) => leaf.describe(),
        }
    }
}

/// Up to as many values of a block are read one by one.
const FEW: usize = 2;

/// Positions that lie in one block each.
pub(super) fn in_one_block(positions: &[usize]) -> impl Iterator<Item = &[usize]> {
    positions.chunk_by(|position, next| position / BLOCK == next / BLOCK)
}

/// The first and the last of some positions.
pub(super) fn ends(positions: &[usize]) -> (usize, usize) {
    (positions.first().copied().unwrap_or(0), positions.last().copied().unwrap_or(0))
}

impl Fixed for i64 {
    type Leaf<'b> = IntegerLeaf<'b>;

    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        bytes.zigzag()
    }

    fn write(self, out: &mut Vec<u8>) {
        put_zigzag(out, self);
    }
}

/// The codes of a dictionary: laid out as any integers.
impl Fixed for u32 {
    type Leaf<'b> = IntegerLeaf<'b>;

    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        super::integers::narrow(bytes.zigzag()?)
    }

    fn write(self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self) << 1);
    }
}

impl Fixed for f64 {
    type Leaf<'b> = FloatLeaf<'b>;

    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        bytes.u64().map(Self::from_bits)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Fixed for f32 {
    type Leaf<'b> = FloatLeaf<'b>;

    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        bytes.u32().map(Self::from_bits)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

/// 16 bytes: a UUID or an unscaled decimal, as bits.
impl Fixed for u128 {
    type Leaf<'b> = WideLeaf<'b>;

    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        bytes.u128()
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}
