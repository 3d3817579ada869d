//! Integers: what a node of them can be beyond what every node of fixed-size values can be.

use std::ops::Range;

use super::bit_packed::BitPacked;
use super::budget::{Budget, Touched};
use super::delta::Delta;
use super::fixed::{Fixed, Leaf};
use super::plain::Plain;
use super::wire::{Bytes, corrupt};
use super::{Encoding, MAX_LEVEL};
use crate::error::Result;

/// An integer that is told by 64 bits: a value, or a dictionary's code.
pub(in crate::vortex) trait Integer: Fixed {
    /// Whether every integer of 64 bits is one of these.
    const HOLDS_ALL: bool;

    /// The integer as this type; `None` when it has no room for it.
    fn narrow(value: i64) -> Option<Self>;

    /// Appends `line` of each of a block's packed values.
    fn extend(out: &mut Vec<Self>, packed: &[u32], line: Line) -> Result<()>;

    /// Appends integers.
    fn append(out: &mut Vec<Self>, integers: impl Iterator<Item = i64>) -> Result<()>;
}

/// A packed value `p` stands for `offset + scale * p`, modulo 2^64.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Line {
    pub offset: i64,
    pub scale: u64,
}

impl Line {
    /// The integer that a packed value stands for.
    #[inline(always)]
    pub(super) fn at(self, packed: u64) -> i64 {
        self.offset.wrapping_add(self.scale.wrapping_mul(packed).cast_signed())
    }
}

impl Integer for i64 {
    const HOLDS_ALL: bool = true;

    #[inline]
    fn narrow(value: i64) -> Option<Self> {
        Some(value)
    }

    fn extend(out: &mut Vec<Self>, packed: &[u32], line: Line) -> Result<()> {
        if line.scale == 1 {
            out.extend(packed.iter().map(|packed| line.offset.wrapping_add(i64::from(*packed))));
        } else {
            out.extend(packed.iter().map(|packed| line.at(u64::from(*packed))));
        }
        Ok(())
    }

    fn append(out: &mut Vec<Self>, integers: impl Iterator<Item = i64>) -> Result<()> {
        out.extend(integers);
        Ok(())
    }
}

impl Integer for u32 {
    const HOLDS_ALL: bool = false;

    #[inline]
    fn narrow(value: i64) -> Option<Self> {
        Self::try_from(value).ok()
    }

    fn extend(out: &mut Vec<Self>, packed: &[u32], line: Line) -> Result<()> {
        let most = packed.iter().copied().max().unwrap_or(0);
        let last = i128::from(line.offset) + i128::from(line.scale) * i128::from(most);
        match Self::try_from(line.offset) {
            Ok(offset) if line.scale == 1 && last <= i128::from(Self::MAX) => {
                out.extend(packed.iter().map(|packed| offset.wrapping_add(*packed)));
                Ok(())
            }
            _ => Self::append(out, packed.iter().map(|packed| line.at(u64::from(*packed)))),
        }
    }

    fn append(out: &mut Vec<Self>, integers: impl Iterator<Item = i64>) -> Result<()> {
        // Found after the loop, which so has no exit.
        let mut stray = None;
        out.extend(integers.map(|integer| {
            Self::try_from(integer).unwrap_or_else(|_| {
                stray = Some(integer);
                0
            })
        }));
        stray.map_or(Ok(()), |integer| narrow::<Self>(integer).map(|_| ()))
    }
}

/// As [`Integer::narrow`], or the error that says so.
#[inline]
pub(super) fn narrow<V: Integer>(value: i64) -> Result<V> {
    V::narrow(value).ok_or_else(|| corrupt(format!("expected an integer that its type can hold, got {value}")))
}

/// A node of integers that holds no other.
#[derive(Clone, Debug)]
pub(in crate::vortex) enum IntegerLeaf<'b> {
    Plain(Plain<'b>),
    BitPacked(BitPacked<'b>),
    Delta(Delta<'b>),
}

impl<'b, V: Integer> Leaf<'b, V> for IntegerLeaf<'b> {
    fn parse(encoding: Encoding, bytes: Bytes<'b>, count: usize, level: u8) -> Result<Option<Self>> {
        debug_assert!(level <= MAX_LEVEL);
        Ok(Some(match encoding {
            Encoding::Plain => Self::Plain(Plain::parse(bytes, count, size_of::<i64>())?),
            Encoding::BitPacked => Self::BitPacked(BitPacked::parse(bytes, count)?),
            Encoding::Delta => Self::Delta(Delta::parse(bytes, count)?),
            _ => return Ok(None),
        }))
    }

    fn decode(&self, range: Range<usize>, out: &mut Vec<V>, _: &mut Budget) -> Result<()> {
        match self {
            Self::Plain(plain) => {
                V::append(out, plain.within::<8>(range)?.iter().map(|value| i64::from_le_bytes(*value)))
            }
            Self::BitPacked(packed) => packed.decode(range, out),
            Self::Delta(delta) => delta.decode(range, out),
        }
    }

    fn get(&self, position: usize, touched: &mut Touched) -> Result<V> {
        narrow(match self {
            Self::Plain(plain) => i64::from_le_bytes(plain.get(position, touched)?),
            Self::BitPacked(packed) => packed.get(position, touched)?,
            Self::Delta(delta) => delta.get(position, touched)?,
        })
    }

    fn has_blocks(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        match self {
            Self::Plain(_) => Encoding::Plain,
            Self::BitPacked(_) => Encoding::BitPacked,
            Self::Delta(_) => Encoding::Delta,
        }
        .to_string()
    }
}

/// Integers as what they exceed the least of them by, in units of what all of that is a multiple of.
#[derive(Clone, Debug)]
pub(in crate::vortex) struct Framed {
    /// The least.
    pub reference: i64,
    /// The unit, at least 1.
    pub scale: u64,
    /// One an integer: it is `reference + scale * value`.
    pub values: Vec<u64>,
}

impl Framed {
    pub(in crate::vortex) fn of(integers: &[i64]) -> Self {
        let reference = integers.iter().copied().min().unwrap_or(0);
        let mut values: Vec<u64> =
            integers.iter().map(|integer| integer.wrapping_sub(reference).cast_unsigned()).collect();
        let mut scale = 0;
        for value in &values {
            scale = greatest_common_divisor(*value, scale);
            if scale == 1 {
                break;
            }
        }
        if scale > 1 {
            values.iter_mut().for_each(|value| *value /= scale);
        }
        Self { reference, scale: scale.max(1), values }
    }
}

fn greatest_common_divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
