//! 16-byte values: UUIDs and unscaled decimals, as bits. Beyond what every node of fixed-size values can be: plain, and
//! *narrow*, a node of integers whose values these are, sign-extended.

use std::ops::Range;

use super::budget::{Budget, Touched};
use super::fixed::{Leaf, Node};
use super::plain::Plain;
use super::wire::Bytes;
use super::{Encoded, Encoding, deeper};
use crate::error::Result;

/// A node of 16-byte values that holds no other of them.
#[derive(Clone, Debug)]
pub(in crate::vortex) enum WideLeaf<'b> {
    Plain(Plain<'b>),
    Narrow(Box<Node<'b, i64>>),
}

impl<'b> Leaf<'b, u128> for WideLeaf<'b> {
    fn parse(encoding: Encoding, bytes: Bytes<'b>, count: usize, level: u8) -> Result<Option<Self>> {
        Ok(Some(match encoding {
            Encoding::Plain => Self::Plain(Plain::parse(bytes, count, size_of::<u128>())?),
            Encoding::Narrow => Self::Narrow(Box::new(Node::parse(bytes, count, deeper(level)?)?)),
            _ => return Ok(None),
        }))
    }

    fn decode(&self, range: Range<usize>, out: &mut Vec<u128>, budget: &mut Budget) -> Result<()> {
        match self {
            Self::Plain(plain) => {
                out.extend(plain.within::<16>(range)?.iter().map(|bytes| u128::from_le_bytes(*bytes)))
            }
            Self::Narrow(integers) => out.extend(integers.decode(range, budget)?.into_iter().map(widen)),
        }
        Ok(())
    }

    fn get(&self, position: usize, touched: &mut Touched) -> Result<u128> {
        match self {
            Self::Plain(plain) => plain.get(position, touched).map(u128::from_le_bytes),
            Self::Narrow(integers) => integers.get(position, touched).map(widen),
        }
    }

    fn has_blocks(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn describe(&self) -> String {
        match self {
            Self::Plain(_) => Encoding::Plain.to_string(),
            Self::Narrow(integers) => format!("{}({})", Encoding::Narrow, integers.describe()),
        }
    }
}

fn widen(integer: i64) -> u128 {
    i128::from(integer).cast_unsigned()
}

/// Encodes 16-byte integers from the node of them as 8-byte ones.
pub(in crate::vortex) fn encode_narrow(integers: &Encoded) -> Encoded {
    let mut out = Encoded::new(Encoding::Narrow);
    out.put_last(integers);
    out
}
