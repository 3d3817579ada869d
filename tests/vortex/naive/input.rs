//! Reading the primitives, one at a time; what is not there is refused.

use super::{Refusal, refuse};

/// Bytes that are read from the front.
pub struct Input<'b> {
    bytes: &'b [u8],
}

impl<'b> Input<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub fn take(&mut self, count: usize) -> Result<&'b [u8], Refusal> {
        let Some((taken, left)) = self.bytes.split_at_checked(count) else {
            return refuse(format!("{count} bytes are expected where {} are left", self.bytes.len()));
        };
        self.bytes = left;
        Ok(taken)
    }

    /// What is left.
    pub fn rest(self) -> &'b [u8] {
        self.bytes
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Refuses what is left.
    pub fn end(self) -> Result<(), Refusal> {
        if self.bytes.is_empty() { Ok(()) } else { refuse(format!("{} bytes too many", self.bytes.len())) }
    }

    /// An unsigned number of as many bytes, at most 16.
    pub fn number(&mut self, bytes: usize) -> Result<u128, Refusal> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    pub fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.number(1)? as u8)
    }

    pub fn u16(&mut self) -> Result<u16, Refusal> {
        Ok(self.number(2)? as u16)
    }

    pub fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(self.number(4)? as u32)
    }

    pub fn varint(&mut self) -> Result<u64, Refusal> {
        let mut value = 0_u128;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return u64::try_from(value).or_else(|_| refuse("a varint of more than 64 bits"));
            }
        }
        refuse("a varint of more than ten bytes")
    }

    /// A varint that counts something in memory.
    pub fn count(&mut self) -> Result<usize, Refusal> {
        usize::try_from(self.varint()?).or_else(|_| refuse("a count beyond memory"))
    }

    pub fn zigzag(&mut self) -> Result<i64, Refusal> {
        let value = self.varint()?;
        let magnitude = (value >> 1) as i64;
        Ok(if value & 1 == 1 { !magnitude } else { magnitude })
    }

    pub fn part(&mut self) -> Result<&'b [u8], Refusal> {
        let length = self.count()?;
        self.take(length)
    }
}
