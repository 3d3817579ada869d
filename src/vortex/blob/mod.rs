//! The column blob, version 1: columns of one number of rows in one piece of bytes, of which one column or one row is
//! read without the others. The bytes of a column are told in [`encoding`](super::encoding), all of it with pictures in
//! `docs/VORTEX.md`. Little-endian throughout.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | header | 16 | magic `VRTX`; version (2), 1; flags (2): bits 0 to 3 the checksum's algorithm, 0 the low half of xxh64 with seed 0, others 0; columns (4); rows (4), at most 16,777,216 |
//! | columns | | one after the other, without a gap |
//! | index | | a copy of the header, an entry a column, a part that is written empty and skipped |
//! | footer | 8 | checksum of the index (4); offset of the index (4) |
//!
//! A column: its type (1), precision (1) and scale (1), which rows have a value (part,
//! [`validity`](super::encoding::validity)), a node of the values of those that have one (rest). A *part* is a varint
//! length and as many bytes.
//!
//! An index entry: length of the name (2) and the name; offset of the column (4); its length (4); its checksum (4);
//! type, precision and scale (3); encoding of its outermost node (1); rows without a value (4); about how many values are
//! distinct (4); statistics ([`statistics`]); a part that is written empty and skipped, for what later versions add. No two
//! columns have one name.
//!
//! The copy of the header makes the end of a blob enough to open it. Index and columns have a checksum each, so that one
//! column is read and verified alone; what the header says is compared with its copy. A single value is read without
//! verifying its column, which would mean to read all of it. The footer, and the first 8 bytes of header and index, are the
//! same in every version.

mod codes;
mod index;
mod predicate;
mod read;
mod select;
pub mod statistics;
mod write;

pub use codes::Coded;
pub use index::{BlobIndex, ColumnEntry, Opened};
pub use predicate::{Predicate, Verdict};
pub use read::{Blob, PointRead, Points};
pub use statistics::{Bound, Statistics};
pub use write::BlobWriter;

pub use super::choose::{EncodeOptions, POINT_READ_MAX_BYTES};
pub use super::encoding::{Budget, Encoding};

use super::column_type::ColumnType;
use super::encoding::wire::{Bytes, corrupt};
use crate::error::Result;

/// What a blob begins with.
const MAGIC: [u8; 4] = *b"VRTX";
/// The version written.
const VERSION: u16 = 1;
/// The checksum's algorithm written: the low half of xxh64 with seed 0.
const CHECKSUM_XXH64: u16 = 0;
const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 8;
/// Rows of a blob, at most: a few bytes can stand for as many.
pub const BLOB_MAX_ROWS: usize = 1 << 24;

/// The low half of xxh64 with seed 0.
fn checksum(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = xxhash_rust::xxh64::xxh64(bytes, 0).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The number, precision and scale of a type. The numbers are for ever.
fn put_type(column_type: ColumnType, out: &mut Vec<u8>) {
    let (id, precision, scale) = match column_type {
        ColumnType::Boolean => (0, 0, 0),
        ColumnType::Int => (1, 0, 0),
        ColumnType::Long => (2, 0, 0),
        ColumnType::Float => (3, 0, 0),
        ColumnType::Double => (4, 0, 0),
        ColumnType::Decimal { precision, scale } => (5, precision, scale),
        ColumnType::Date => (6, 0, 0),
        ColumnType::Timestamp => (7, 0, 0),
        ColumnType::String => (8, 0, 0),
        ColumnType::Uuid => (9, 0, 0),
        ColumnType::Binary => (10, 0, 0),
        ColumnType::Json => (11, 0, 0),
    };
    out.extend([id, precision, scale]);
}

fn read_type(bytes: &mut Bytes<'_>) -> Result<ColumnType> {
    let (id, precision, scale) = (bytes.u8()?, bytes.u8()?, bytes.u8()?);
    Ok(match (id, precision, scale) {
        (0, 0, 0) => ColumnType::Boolean,
        (1, 0, 0) => ColumnType::Int,
        (2, 0, 0) => ColumnType::Long,
        (3, 0, 0) => ColumnType::Float,
        (4, 0, 0) => ColumnType::Double,
        (5, 1..=38, _) if scale <= precision => ColumnType::Decimal { precision, scale },
        (6, 0, 0) => ColumnType::Date,
        (7, 0, 0) => ColumnType::Timestamp,
        (8, 0, 0) => ColumnType::String,
        (9, 0, 0) => ColumnType::Uuid,
        (10, 0, 0) => ColumnType::Binary,
        (11, 0, 0) => ColumnType::Json,
        _ => {
            return Err(corrupt(format!(
                "expected the type of a column, got {id} with precision {precision} and scale {scale}"
            )));
        }
    })
}
