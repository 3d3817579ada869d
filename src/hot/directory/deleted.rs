//! The bytes of a segment's deleted rows, version 1.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic `TCSD` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | 0 |
//! | 8 | 8 | xxh64 (seed 0) of every byte from offset 16 on |
//! | 16 | 4 | rows of the segment |
//! | 20 | | the deleted rows: a Roaring bitmap in its portable format (RoaringFormatSpec, without run containers or with) |
//!
//! Little-endian. Every deleted row is below the number of rows.

use byteorder::{LittleEndian, ReadBytesExt};
use roaring::RoaringBitmap;
use xxhash_rust::xxh64::xxh64;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

const MAGIC: [u8; 4] = *b"TCSD";
const VERSION: u16 = 1;
const CHECKED_FROM: usize = 16;

/// The bytes of the deleted rows of a segment of `rows` rows.
pub fn to_bytes(rows: usize, deleted: &RoaringBitmap) -> Result<Vec<u8>> {
    let mut body = u32::try_from(rows).map_err(|_| corrupt("expected fewer rows".to_owned()))?.to_le_bytes().to_vec();
    deleted.serialize_into(&mut body).map_err(|error| corrupt("expected to write".to_owned()).caused_by(error))?;
    let mut bytes = Vec::with_capacity(body.len().saturating_add(CHECKED_FROM));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&xxh64(&body, 0).to_le_bytes());
    bytes.append(&mut body);
    Ok(bytes)
}

/// Reads and checks the deleted rows of a segment of `rows` rows.
pub fn read(bytes: &[u8], rows: usize) -> Result<RoaringBitmap> {
    let truncated = |error| corrupt("expected more bytes, got the end".to_owned()).caused_by(error);
    if bytes.get(..4) != Some(&MAGIC[..]) {
        return Err(corrupt(format!("expected the magic {MAGIC:02x?}, got {:02x?}", bytes.get(..4))));
    }
    let mut rest = bytes.get(4..).unwrap_or_default();
    let version = rest.read_u16::<LittleEndian>().map_err(truncated)?;
    if version != VERSION {
        return Err(corrupt(format!("expected version {VERSION}, got {version}; a newer program wrote this object")));
    }
    let zero = rest.read_u16::<LittleEndian>().map_err(truncated)?;
    let checksum = rest.read_u64::<LittleEndian>().map_err(truncated)?;
    if zero != 0 || checksum != xxh64(rest, 0) {
        return Err(corrupt("expected the checksum to match, got other bytes".to_owned()));
    }
    let of = rest.read_u32::<LittleEndian>().map_err(truncated)?;
    let deleted = RoaringBitmap::deserialize_from(&mut rest)
        .map_err(|error| corrupt("expected a Roaring bitmap".to_owned()).caused_by(error))?;
    let within = deleted.max().is_none_or(|last| last < of);
    if !rest.is_empty() || usize::try_from(of) != Ok(rows) || !within {
        return Err(corrupt(format!("expected the deleted rows of a segment of {rows} rows, got those of {of}")));
    }
    Ok(deleted)
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read deleted rows", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RoaringBitmap {
        (0..3_000).step_by(7).chain([60_000, 65_535]).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        for deleted in [RoaringBitmap::new(), sample(), (0..65_536).collect()] {
            assert_eq!(read(&to_bytes(65_536, &deleted).unwrap(), 65_536).unwrap(), deleted);
        }
        assert!(read(&to_bytes(65_536, &sample()).unwrap(), 65_535).is_err(), "of another segment");
        assert!(read(&to_bytes(65_535, &sample()).unwrap(), 65_535).is_err(), "a row that is none");
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let golden = include_bytes!("../../../tests/golden/segment-deleted-v1.bin");
        assert_eq!(to_bytes(65_536, &sample()).unwrap(), golden, "version 1 must be written as it always was");
        assert_eq!(read(golden, 65_536).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let good = to_bytes(65_536, &sample()).unwrap();
        for length in 0..good.len() {
            assert!(read(&good[..length], 65_536).is_err(), "truncated to {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, 65_536).is_err(), "bit {bit}");
        }
    }
}
