//! The stored forms of embeddings: rows of vectors and blocks of codes, those written by every version among them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use thermocline::error::ErrorKind;
use thermocline::limits::SQL_VALUE_MAX_BYTES;
use thermocline::registry::embeddings::{
    DIMENSION_MAX, EmbeddingIndex, Metric, SearchOptions, VectorRow, vectors_per_row, write_row,
};

const DIMENSION: usize = 5;

/// Vectors that are the same for ever.
fn vectors() -> Vec<Vec<f32>> {
    let mut number = 1_u32;
    let mut next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(number >> 16).unwrap()) / 32_768.0 - 1.0
    };
    (0..81).map(|_| (0..DIMENSION).map(|_| next()).collect()).collect()
}

fn row() -> Vec<u8> {
    let vectors = vectors();
    let of_row: Vec<&[f32]> = vectors.iter().skip(32).take(20).map(Vec::as_slice).collect();
    write_row(32, DIMENSION, &of_row).unwrap()
}

/// A full block, and one that is not, around another centre.
fn blocks() -> [Vec<u8>; 2] {
    let mut index = EmbeddingIndex::new(DIMENSION).unwrap();
    let mut full = Vec::new();
    for vector in vectors() {
        index.add(&vector).unwrap();
        if index.is_full() {
            full = index.last_block().unwrap();
        }
    }
    [full, index.last_block().unwrap()]
}

fn golden(name: &str, made: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/embeddings").join(name);
    if !path.exists() && std::env::var_os("THERMOCLINE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads all of a row.
fn read_row(bytes: &[u8]) -> thermocline::error::Result<Vec<Vec<f32>>> {
    let row = VectorRow::open(bytes)?;
    let last = row.first() + u32::try_from(row.len()).unwrap();
    let one = |position| {
        let mut vector = Vec::new();
        row.read(position, &mut vector).map(|()| vector)
    };
    (row.first()..last).map(one).collect()
}

fn load(blocks: &[&[u8]]) -> thermocline::error::Result<EmbeddingIndex> {
    let mut index = EmbeddingIndex::new(DIMENSION)?;
    blocks.iter().try_for_each(|bytes| index.load_block(bytes))?;
    Ok(index)
}

#[test]
fn rows_of_version_1_read_for_ever() {
    let golden = golden("row-v1.bin", &row());
    assert_eq!(read_row(&golden).unwrap(), vectors()[32..52]);
    let opened = VectorRow::open(&golden).unwrap();
    assert_eq!((opened.dimension(), opened.first(), opened.len(), opened.is_empty()), (DIMENSION, 32, 20, false));
    assert!(golden == row(), "a row is written with other bytes than it was");
}

#[test]
fn blocks_of_version_1_read_for_ever() {
    let [full, part] = blocks();
    let kept = [golden("codes-full-v1.bin", &full), golden("codes-part-v1.bin", &part)];
    assert!(kept == [full, part], "codes are written with other bytes than they were");
    let index = load(&[&kept[0], &kept[1]]).unwrap();
    assert_eq!((index.len(), index.blocks()), (81, 2));
    assert_eq!(index.last_block().unwrap(), kept[1], "written as it was read");
    let mut search = index.search(&vectors()[70], 1, Metric::L2, SearchOptions::default()).unwrap();
    assert_eq!(search.next_rows(), [0, 1, 2]);
}

/// Every way to alter some bytes a little: cut, longer, each bit flipped.
fn altered(bytes: &[u8], is_read: impl Fn(&[u8]) -> Option<ErrorKind>) {
    for length in 0..bytes.len() {
        assert_eq!(is_read(&bytes[..length]), Some(ErrorKind::Corrupt), "cut to {length} bytes");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(is_read(&longer), Some(ErrorKind::Corrupt), "a byte longer");
    let mut flipped = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(is_read(&flipped), Some(ErrorKind::Corrupt), "with bit {bit} flipped");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_detected() {
    altered(&row(), |bytes| read_row(bytes).err().map(|error| error.kind()));
    let [full, part] = blocks();
    altered(&full, |bytes| load(&[bytes]).err().map(|error| error.kind()));
    altered(&part, |bytes| load(&[&full, bytes]).err().map(|error| error.kind()));
}

#[test]
fn a_newer_version_is_refused_by_its_name() {
    let [mut full, _] = blocks();
    let mut row = row();
    row[4] = 2;
    full[4] = 2;
    for error in [read_row(&row).unwrap_err(), load(&[&full]).err().unwrap()] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("version 2") && error.message().contains("newer"), "{error}");
    }
}

/// What has the right checksum may be wrong all the same.
#[test]
fn numbers_that_cannot_be_are_refused_with_the_right_checksum() {
    let sealed = |bytes: &[u8], offset: usize, number: u32, checked: usize| {
        let mut bytes = bytes.to_vec();
        bytes[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
        let checksum = xxhash_rust::xxh64::xxh64(&bytes[16..checked], 0);
        bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    };
    let row = row();
    for (offset, number) in [(16, 0), (16, u32::MAX), (20, 0), (20, 33), (20, u32::MAX), (28, 1)] {
        let bytes = sealed(&row, offset, number, 32 + 20 * 8);
        assert_eq!(VectorRow::open(&bytes).unwrap_err().kind(), ErrorKind::Corrupt, "{number} at {offset}");
    }
    let [full, _] = blocks();
    let not_a_number = f32::NAN.to_bits();
    for (offset, number) in
        [(16, 6), (20, 1), (20, u32::MAX), (24, 0), (24, 65), (24, u32::MAX), (28, not_a_number), (36, not_a_number)]
    {
        let bytes = sealed(&full, offset, number, full.len());
        assert_eq!(load(&[&bytes]).err().map(|error| error.kind()), Some(ErrorKind::Corrupt), "{number} at {offset}");
    }
}

#[test]
fn rows_and_blocks_fit_rows_of_sqlite() {
    assert_eq!([1, 512, 513, 768, 1_024, 1_536, 2_048, 4_096].map(vectors_per_row), [32, 32, 16, 16, 16, 8, 8, 4]);
    for dimension in (1..=DIMENSION_MAX).step_by(7).chain([512, 1_024, 2_048, DIMENSION_MAX]) {
        let count = usize::try_from(vectors_per_row(dimension)).unwrap();
        assert!(32 + count * (8 + dimension * 4) < 70_000);
        let bits = dimension.next_multiple_of(64).max(256);
        assert!(32 + bits * 8 + 2_048 * (12 + bits / 8) < SQL_VALUE_MAX_BYTES);
    }
    let vector = &[1.0_f32; DIMENSION_MAX][..];
    assert!(write_row(4, DIMENSION_MAX, &[vector; 4]).is_ok());
    assert!(write_row(4, DIMENSION_MAX, &[vector; 5]).is_err(), "too many");
    assert!(write_row(5, DIMENSION_MAX, &[vector]).is_err(), "not where a row begins");
    assert!(write_row(4, DIMENSION_MAX, &[]).is_err(), "none");
    assert!(write_row(0, 2, &[&[1.0, 0.0], &[1.0]]).is_err(), "another dimension");
    assert!(write_row(0, 0, &[&[]]).is_err());
}
