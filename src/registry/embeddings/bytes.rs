//! Reading and writing what the stored forms of embeddings have in common: sixteen bytes of head, numbers.
//!
//! A head is a magic of four bytes, version 1 (2), flags 0 (2), and xxh64 (seed 0) of what follows, as far as the form says.

use xxhash_rust::xxh64::xxh64;

use super::vector::corrupt;
use crate::error::Result;

const VERSION: u16 = 1;
const HEAD_BYTES: usize = 16;

/// A head and the body that its checksum is of, with room for more.
pub fn put_head(magic: [u8; 4], body: &[u8], more: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES.saturating_add(body.len()).saturating_add(more));
    bytes.extend(magic);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(xxh64(body, 0).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The checksum that a head of this magic has, and what follows it.
pub fn take_head(magic: [u8; 4], bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut rest = Bytes::new(bytes);
    let name = magic.escape_ascii();
    if rest.take(4)? != magic {
        return Err(corrupt(format!("expected the magic {name}, got another")));
    }
    let [version, flags] = [rest.u16()?, rest.u16()?];
    if version > VERSION {
        return Err(corrupt(format!(
            "{name} of version {version} is newer than this program, which reads version {VERSION}; deploy one that knows it"
        )));
    }
    if version != VERSION || flags != 0 {
        return Err(corrupt(format!("expected {name} of version {VERSION} without flags, got {version} with {flags}")));
    }
    Ok((rest.u64()?, rest.0))
}

/// Bytes being read from the front.
pub struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    /// From the first on.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` of them.
    pub fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            return Err(corrupt(format!("expected {length} more bytes, got {}", self.0.len())));
        };
        self.0 = rest;
        Ok(taken)
    }

    /// The next `length` of them, which are the last.
    pub fn take_all(&mut self, length: usize) -> Result<&'b [u8]> {
        if self.0.len() > length {
            return Err(corrupt(format!("expected {length} more bytes, got {}", self.0.len())));
        }
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or_else(|| corrupt("expected more bytes"))
    }

    /// A number of 16 bits.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things, of 32 bits.
    pub fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.u32()?).unwrap_or(usize::MAX))
    }

    /// So many floats, all finite.
    pub fn floats(&mut self, count: usize) -> Result<Vec<f32>> {
        let bytes = self.take(count.saturating_mul(size_of::<f32>()))?;
        let floats: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if floats.iter().all(|float| float.is_finite()) {
            return Ok(floats);
        }
        Err(corrupt("expected finite floats, got another"))
    }
}
