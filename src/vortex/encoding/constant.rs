//! Constant: one value, which all rows have.
//!
//! Integers: a zigzag. Floats and 16-byte values: their bytes. Booleans: one byte, 0 or 1. Bytes: the rest of the node.

use super::fixed::Fixed;
use super::wire::Bytes;
use super::{Encoded, Encoding};
use crate::error::Result;

/// A constant of fixed size.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Constant<V> {
    pub value: V,
    pub count: usize,
}

impl<V: Fixed> Constant<V> {
    pub(super) fn parse(mut bytes: Bytes<'_>, count: usize) -> Result<Self> {
        let value = V::read(&mut bytes)?;
        bytes.finish("a constant")?;
        Ok(Self { value, count })
    }
}

/// Encodes a constant.
pub(in crate::vortex) fn encode<V: Fixed>(value: V) -> Encoded {
    let mut out = Encoded::new(Encoding::Constant);
    value.write(&mut out.bytes);
    out
}
