//! Reading and writing the few primitives that blobs are made of. Little-endian; every read is checked against the
//! bytes that are there.
//!
//! A *varint* is unsigned LEB128: seven bits a byte, low bits first, at most ten bytes, no bits beyond 64. A *zigzag* is
//! a varint of `(value << 1) ^ (value >> 63)`. A *part* is a varint length and as many bytes.

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// Bytes of a varint, at most.
const VARINT_MAX_BYTES: u32 = 10;

/// What a blob that is not one fails with.
#[cold]
pub(in crate::vortex) fn corrupt(message: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read column blob", message)
}

/// What cannot be written.
#[cold]
pub(in crate::vortex) fn unwritable(kind: ErrorKind, message: impl Into<String>) -> StorageError {
    StorageError::new(kind, StorageTier::Hot, "write column blob", message)
}

/// Bytes being read from the front.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Bytes<'b> {
    rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    pub(in crate::vortex) fn new(rest: &'b [u8]) -> Self {
        Self { rest }
    }

    /// What has not been read yet.
    pub(in crate::vortex) fn rest(self) -> &'b [u8] {
        self.rest
    }

    pub(in crate::vortex) fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(corrupt(format!("expected {length} more bytes, got {}", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(corrupt(format!("expected {N} more bytes, got {}", self.rest.len())));
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub(in crate::vortex) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(in crate::vortex) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in crate::vortex) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::vortex) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in crate::vortex) fn u128(&mut self) -> Result<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(in crate::vortex) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for index in 0..VARINT_MAX_BYTES {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * index);
            if shifted >> (7 * index) != bits {
                break;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(corrupt("expected a varint of at most 64 bits, got a longer one"))
    }

    pub(in crate::vortex) fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// A varint that counts something: at most `limit`.
    pub(in crate::vortex) fn count(&mut self, limit: usize, what: &str) -> Result<usize> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(count) if count <= limit => Ok(count),
            _ => Err(corrupt(format!("expected at most {limit} {what}, got {value}"))),
        }
    }

    /// A varint length and as many bytes.
    pub(in crate::vortex) fn part(&mut self) -> Result<Bytes<'b>> {
        let length = self.count(self.rest.len(), "bytes in a part")?;
        self.take(length).map(Bytes::new)
    }

    /// Refuses bytes that nothing has asked for.
    pub(in crate::vortex) fn finish(self, what: &str) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(corrupt(format!("expected the end of {what}, got {} more bytes", self.rest.len())))
    }
}

/// The first bytes of `bytes`, at most eight, as a number.
pub(super) fn partial_u64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// How many bytes `value` takes without leading zeros: 0 to 8.
pub(super) fn byte_width(value: u64) -> usize {
    usize::try_from((64 - value.leading_zeros()).div_ceil(8)).unwrap_or(8)
}

pub(in crate::vortex) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(in crate::vortex) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

pub(in crate::vortex) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, u64::try_from(count).unwrap_or(u64::MAX));
}

pub(in crate::vortex) fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    put_count(out, part.len());
    out.extend_from_slice(part);
}

/// The low `width` bytes of `value`.
pub(super) fn put_low_bytes(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend(value.to_le_bytes().into_iter().take(width));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(unsigned in any::<u64>(), signed in any::<i64>(), shift in 0_u32..64) {
            let mut out = Vec::new();
            put_varint(&mut out, unsigned >> shift);
            put_zigzag(&mut out, signed >> shift);
            let mut bytes = Bytes::new(&out);
            prop_assert_eq!(bytes.varint().unwrap(), unsigned >> shift);
            prop_assert_eq!(bytes.zigzag().unwrap(), signed >> shift);
            bytes.finish("numbers").unwrap();
            let width = byte_width(unsigned >> shift);
            let mut low = Vec::new();
            put_low_bytes(&mut low, unsigned >> shift, width);
            prop_assert_eq!(partial_u64(&low), unsigned >> shift);
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for bad in
            [&[][..], &[0x80], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], &[0x80; 11]]
        {
            assert!(Bytes::new(bad).varint().is_err(), "{bad:?}");
        }
        assert_eq!(Bytes::new(&[0x80, 0]).varint().unwrap(), 0);
        assert!(Bytes::new(&[3, 1, 2]).part().is_err());
        assert!(Bytes::new(&[1]).finish("nothing").is_err());
    }
}
