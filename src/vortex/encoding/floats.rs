//! Floating-point numbers: what a node of them can be beyond what every node of fixed-size values can be. Bits are
//! kept as they are: NaN's payload, the sign of zero.

use std::ops::Range;

use super::Encoding;
use super::alp::Alp;
use super::budget::{Budget, Touched};
use super::fixed::{Fixed, Leaf};
use super::plain::Plain;
use super::wire::Bytes;
use crate::error::Result;

/// Single or double precision.
pub(in crate::vortex) trait Float: Fixed {
    /// Bytes of a value.
    const BYTES: usize;

    /// The nearest number of this precision.
    fn nearest(value: f64) -> Self;

    /// The same number in double precision.
    fn widen(self) -> f64;

    /// Whether both have the same bits.
    fn same_bits(self, other: Self) -> bool;

    /// The values of a range of plain ones.
    fn plain(plain: &Plain<'_>, range: Range<usize>, out: &mut Vec<Self>) -> Result<()>;

    /// One of plain values.
    fn plain_at(plain: &Plain<'_>, position: usize, touched: &mut Touched) -> Result<Self>;
}

impl Float for f64 {
    const BYTES: usize = 8;

    fn nearest(value: f64) -> Self {
        value
    }

    fn widen(self) -> f64 {
        self
    }

    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn plain(plain: &Plain<'_>, range: Range<usize>, out: &mut Vec<Self>) -> Result<()> {
        out.extend(plain.within::<8>(range)?.iter().map(|bytes| Self::from_le_bytes(*bytes)));
        Ok(())
    }

    fn plain_at(plain: &Plain<'_>, position: usize, touched: &mut Touched) -> Result<Self> {
        plain.get(position, touched).map(Self::from_le_bytes)
    }
}

impl Float for f32 {
    const BYTES: usize = 4;

    #[allow(clippy::cast_possible_truncation, reason = "rounding to the nearest is what is asked for")]
    fn nearest(value: f64) -> Self {
        value as Self
    }

    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn plain(plain: &Plain<'_>, range: Range<usize>, out: &mut Vec<Self>) -> Result<()> {
        out.extend(plain.within::<4>(range)?.iter().map(|bytes| Self::from_le_bytes(*bytes)));
        Ok(())
    }

    fn plain_at(plain: &Plain<'_>, position: usize, touched: &mut Touched) -> Result<Self> {
        plain.get(position, touched).map(Self::from_le_bytes)
    }
}

/// A node of floating-point numbers that holds no other of them.
#[derive(Clone, Debug)]
pub(in crate::vortex) enum FloatLeaf<'b> {
    Plain(Plain<'b>),
    Alp(Box<Alp<'b>>),
}

impl<'b, V: Float> Leaf<'b, V> for FloatLeaf<'b> {
    fn parse(encoding: Encoding, bytes: Bytes<'b>, count: usize, level: u8) -> Result<Option<Self>> {
        Ok(Some(match encoding {
            Encoding::Plain => Self::Plain(Plain::parse(bytes, count, V::BYTES)?),
            Encoding::Alp => Self::Alp(Box::new(Alp::parse(bytes, count, V::BYTES, level)?)),
            _ => return Ok(None),
        }))
    }

    fn decode(&self, range: Range<usize>, out: &mut Vec<V>, budget: &mut Budget) -> Result<()> {
        match self {
            Self::Plain(plain) => V::plain(plain, range, out),
            Self::Alp(alp) => alp.decode(range, out, budget),
        }
    }

    fn get(&self, position: usize, touched: &mut Touched) -> Result<V> {
        match self {
            Self::Plain(plain) => V::plain_at(plain, position, touched),
            Self::Alp(alp) => alp.get(position, touched),
        }
    }

    fn has_blocks(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn describe(&self) -> String {
        match self {
            Self::Plain(_) => Encoding::Plain.to_string(),
            Self::Alp(alp) => alp.describe(),
        }
    }
}
