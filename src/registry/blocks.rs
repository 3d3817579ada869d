//! Packed blocks that follow from documents, in one table: what search needs after a wake, in few rows.
//!
//! Every block begins alike, little-endian:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic, by the kind of block |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | 0 |
//! | 8 | 8 | xxh64 (seed 0) of every byte from offset 16 on |
//! | 16 | | the body |
//!
//! Invariants: a block is at most one row; what a block says can be made again from documents, so that one that is damaged
//! is reason to do that, and not to fail.

use xxhash_rust::xxh64::xxh64;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer};
use crate::types::StorageTier;

const VERSION: u16 = 1;
const BODY_FROM: usize = 16;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS registry_blocks (kind INTEGER NOT NULL, number INTEGER NOT NULL, \
     data BLOB NOT NULL, PRIMARY KEY (kind, number)) STRICT, WITHOUT ROWID";

/// What a block is of. The number is its key's first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How far the index of hashes has come, and which positions are removed.
    HashHead,
    /// Hashes and their qualities.
    Hashes,
    /// The assets of hashes.
    HashNames,
    /// How far the index of embeddings has come, and which positions are removed.
    EmbeddingHead,
    /// Rows of vectors; they have a head of their own.
    Vectors,
    /// Blocks of codes; they have a head of their own.
    Codes,
    /// The assets of embeddings.
    EmbeddingNames,
}

impl Kind {
    fn number(self) -> i64 {
        match self {
            Self::HashHead => 0,
            Self::Hashes => 1,
            Self::HashNames => 2,
            Self::EmbeddingHead => 3,
            Self::Vectors => 4,
            Self::Codes => 5,
            Self::EmbeddingNames => 6,
        }
    }

    fn magic(self) -> [u8; 4] {
        match self {
            Self::HashHead => *b"TCHI",
            Self::Hashes => *b"TCHB",
            Self::HashNames => *b"TCHN",
            Self::EmbeddingHead => *b"TCEH",
            Self::Vectors => *b"TCEV",
            Self::Codes => *b"TCEC",
            Self::EmbeddingNames => *b"TCEN",
        }
    }
}

/// A block around a body.
pub fn to_bytes(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len().saturating_add(BODY_FROM));
    bytes.extend_from_slice(&kind.magic());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&xxh64(body, 0).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a block.
pub fn body(kind: Kind, bytes: &[u8]) -> Result<&[u8]> {
    let (Some(head), Some(body)) = (bytes.first_chunk::<BODY_FROM>(), bytes.get(BODY_FROM..)) else {
        return Err(corrupt(format!("expected at least {BODY_FROM} bytes of a block, got {}", bytes.len())));
    };
    let [a, b, c, d, version_low, version_high, zero, also_zero, checksum @ ..] = *head;
    if [a, b, c, d] != kind.magic() {
        return Err(corrupt(format!("expected the magic {:02x?}, got {:02x?}", kind.magic(), [a, b, c, d])));
    }
    let version = u16::from_le_bytes([version_low, version_high]);
    if version != VERSION || [zero, also_zero] != [0; 2] {
        return Err(corrupt(format!("expected a block of version {VERSION}, got {version}")));
    }
    if u64::from_le_bytes(checksum) != xxh64(body, 0) {
        return Err(corrupt("expected the checksum of a block to match, got other bytes".to_owned()));
    }
    Ok(body)
}

/// Whether the table is there.
pub fn exist(sql: &dyn SqlStore) -> Result<bool> {
    Ok(!sql.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'registry_blocks'", &[])?.is_empty())
}

/// Makes the table, if it is not there.
pub fn create(sql: &dyn SqlStore) -> Result<()> {
    sql.query(TABLE, &[])?;
    Ok(())
}

/// A block's bytes.
pub fn get(sql: &dyn SqlStore, kind: Kind, number: i64) -> Result<Option<Vec<u8>>> {
    let params = [SqlParam::Integer(kind.number()), SqlParam::Integer(number)];
    let rows = sql.query("SELECT data FROM registry_blocks WHERE kind = ? AND number = ?", &params)?;
    rows.into_iter().next().map(|row| expect_blob(row.into_iter().next())).transpose()
}

/// Puts a block, in the place of the one with its number if there is one: one row written.
pub fn put(sql: &dyn SqlStore, kind: Kind, number: i64, bytes: &[u8]) -> Result<()> {
    let params = [SqlParam::Integer(kind.number()), SqlParam::Integer(number), SqlParam::Blob(bytes)];
    let statement = "INSERT INTO registry_blocks (kind, number, data) VALUES (?, ?, ?) \
         ON CONFLICT (kind, number) DO UPDATE SET data = excluded.data";
    sql.query(statement, &params)?;
    Ok(())
}

/// Removes the blocks of a kind from a number on.
pub fn remove_from(sql: &dyn SqlStore, kind: Kind, number: i64) -> Result<()> {
    let params = [SqlParam::Integer(kind.number()), SqlParam::Integer(number)];
    sql.query("DELETE FROM registry_blocks WHERE kind = ? AND number >= ?", &params)?;
    Ok(())
}

/// Refuses to go on with an index that is being made, when somebody else has packed one meanwhile: some blocks would be of the
/// one and some of the other.
pub fn check_none_packed(sql: &dyn SqlStore, head: Kind) -> Result<()> {
    match get(sql, head, 0)? {
        Some(_) => Err(corrupt("expected to be the only one to make an index, got another; ask again".to_owned())),
        None => Ok(()),
    }
}

/// Blocks of a kind, and their bytes.
pub fn extent(sql: &dyn SqlStore, kind: Kind) -> Result<(i64, i64)> {
    let statement = "SELECT count(*), coalesce(sum(octet_length(data)), 0) FROM registry_blocks WHERE kind = ?";
    let rows = sql.query(statement, &[SqlParam::Integer(kind.number())])?;
    let column = |position: usize| expect_integer(rows.first().and_then(|row| row.get(position)));
    Ok((column(0)?, column(1)?))
}

/// The error of a block that is not what it should be.
pub fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read registry block", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let good = to_bytes(Kind::Hashes, b"some body");
        assert_eq!(body(Kind::Hashes, &good).unwrap(), b"some body");
        assert!(body(Kind::HashNames, &good).is_err(), "of another kind");
        for length in 0..good.len() {
            assert!(body(Kind::Hashes, &good[..length]).is_err(), "truncated to {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(body(Kind::Hashes, &bad).is_err(), "bit {bit}");
        }
    }
}
