//! The bytes of a row of vectors, version 1: those of positions in a row, as they came. Little-endian throughout.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic `TCEV` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | flags, 0 |
//! | 8 | 8 | xxh64 (seed 0) of the bytes from offset 16 to the first vector |
//! | 16 | 4 | components of a vector, 1 to 4,096 |
//! | 20 | 4 | number of vectors, 1 to 32 |
//! | 24 | 4 | position of the first, a multiple of how many a row of such vectors may have |
//! | 28 | 4 | 0 |
//! | 32 | 8 each | for each vector xxh64 (seed 0) of its bytes |
//! | | | the vectors, each its components as 32-bit floats |
//!
//! Each vector has a checksum of its own, so that reading one of a row does not have to look at the others.

use xxhash_rust::xxh64::xxh64;

use super::bytes::{Bytes, put_head, take_head};
use super::vector::{check_dimension, check_vector, corrupt, invalid};
use crate::error::Result;
use crate::limits::SQL_VALUE_MAX_BYTES;

const MAGIC: [u8; 4] = *b"TCEV";
const VECTORS_MAX: usize = 32;
/// Of the vectors of a row, about: a row of sixteen vectors of 1,024 components.
const ROW_BYTES: usize = 65_536;
const TABLE_OFFSET: usize = 32;

const _: () = assert!(ROW_BYTES * 2 < SQL_VALUE_MAX_BYTES, "a row of vectors fits one of SQLite");

/// How many vectors a row has: 32, less where they are long, a power of two.
pub const fn vectors_per_row(dimension: usize) -> u32 {
    let mut count = 32;
    let mut bytes = dimension.saturating_mul(32 * size_of::<f32>());
    while bytes > ROW_BYTES && count > 1 {
        count /= 2;
        bytes /= 2;
    }
    count
}

/// The number of the row that has a position.
pub fn row_of(position: u32, dimension: usize) -> u32 {
    position / vectors_per_row(dimension)
}

/// A row's bytes: vectors of `dimension` components at positions from `first` on.
pub fn write_row(first: u32, dimension: usize, vectors: &[&[f32]]) -> Result<Vec<u8>> {
    check_dimension(dimension)?;
    let room = vectors_per_row(dimension);
    let count = u32::try_from(vectors.len()).unwrap_or(u32::MAX);
    if !first.is_multiple_of(room) || !(1..=room).contains(&count) {
        return Err(invalid(format!(
            "expected 1 to {room} vectors from a multiple of that on, got {count} from {first}"
        )));
    }
    let vector_bytes = dimension.saturating_mul(size_of::<f32>());
    let mut body = Vec::with_capacity(TABLE_OFFSET.saturating_add(vectors.len().saturating_mul(8)));
    for number in [u32::try_from(dimension).unwrap_or(0), count, first, 0] {
        body.extend(number.to_le_bytes());
    }
    let mut values = Vec::with_capacity(vectors.len().saturating_mul(vector_bytes));
    for vector in vectors {
        check_vector(vector, dimension)?;
        let from = values.len();
        values.extend(vector.iter().flat_map(|component| component.to_le_bytes()));
        body.extend(xxh64(values.get(from..).unwrap_or_default(), 0).to_le_bytes());
    }
    let mut row = put_head(MAGIC, &body, values.len());
    row.append(&mut values);
    Ok(row)
}

/// A row of vectors.
#[derive(Clone, Copy, Debug)]
pub struct VectorRow<'b> {
    dimension: usize,
    first: u32,
    checksums: &'b [[u8; 8]],
    vectors: &'b [u8],
}

impl<'b> VectorRow<'b> {
    /// Opens a row. Bytes that are not exactly one of a known version are an error; what is wrong with a vector is found when
    /// it is read.
    pub fn open(bytes: &'b [u8]) -> Result<Self> {
        let (checksum, body) = take_head(MAGIC, bytes)?;
        let mut rest = Bytes::new(body);
        let [dimension, count] = [rest.count()?, rest.count()?];
        let [first, zero] = [rest.u32()?, rest.u32()?];
        if check_dimension(dimension).is_err() || !(1..=VECTORS_MAX).contains(&count) || zero != 0 {
            return Err(corrupt(format!("expected a row of vectors, got {count} of {dimension} components")));
        }
        let checksums = rest.take(count.saturating_mul(8))?;
        let vectors = rest.take_all(count.saturating_mul(dimension).saturating_mul(size_of::<f32>()))?;
        let table = body.len().saturating_sub(vectors.len());
        if xxh64(body.get(..table).unwrap_or_default(), 0) != checksum {
            return Err(corrupt("the checksum of a row of vectors does not hold"));
        }
        Ok(Self { dimension, first, checksums: checksums.as_chunks().0, vectors })
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The position of its first vector.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// How many vectors it has.
    pub fn len(&self) -> usize {
        self.checksums.len()
    }

    /// Whether it has none, which no row is.
    pub fn is_empty(&self) -> bool {
        self.checksums.is_empty()
    }

    /// The vector at a position, put into `components` in place of what is there.
    pub fn read(&self, position: u32, components: &mut Vec<f32>) -> Result<()> {
        let place = position.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let bytes = place.and_then(|place| {
            let length = self.dimension.saturating_mul(size_of::<f32>());
            let from = place.checked_mul(length)?;
            Some((self.checksums.get(place)?, self.vectors.get(from..from.checked_add(length)?)?))
        });
        let Some((checksum, bytes)) = bytes else {
            let (first, count) = (self.first, self.len());
            return Err(corrupt(format!("expected the vector {position}, got {count} from {first} on")));
        };
        if xxh64(bytes, 0) != u64::from_le_bytes(*checksum) {
            return Err(corrupt(format!("the checksum of the vector {position} does not hold")));
        }
        components.clear();
        components.extend(bytes.as_chunks().0.iter().map(|component| f32::from_le_bytes(*component)));
        Ok(())
    }
}
