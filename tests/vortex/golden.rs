//! Blobs that an earlier build wrote read for ever, and this build writes the same bytes. New cases are added; those
//! that are there are never changed. `THERMOCLINE_BLESS=1` writes the files of new cases.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use thermocline::error::ErrorKind;
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions, Encoding};
use thermocline::vortex::{Column, ColumnType, Scalar};
use uuid::Uuid;

use crate::support::*;

struct Case {
    name: &'static str,
    columns: Vec<(String, Column, Option<Encoding>)>,
}

fn case(name: &'static str, columns: Vec<(&str, Column, Option<Encoding>)>) -> Case {
    let columns = columns.into_iter().map(|(name, column, force)| (name.to_owned(), column, force)).collect();
    Case { name, columns }
}

fn some_of_each_type(rows: usize) -> Vec<(&'static str, Column, Option<Encoding>)> {
    let mut random = Random::new(41);
    let names =
        ["bool", "int", "long", "float", "double", "decimal", "date", "timestamp", "string", "uuid", "binary", "json"];
    let columns = TYPES.into_iter().zip(names).map(|(column_type, name)| {
        let rows = (0..rows).map(|row| (random.below(7) > 0).then(|| value(column_type, row, random.next())));
        (name, column(column_type, rows), None)
    });
    columns.collect()
}

fn value(column_type: ColumnType, row: usize, noise: u64) -> Scalar<'static> {
    let small = (noise % 1_000) as i64 - 300;
    match column_type {
        ColumnType::Boolean => Scalar::Boolean(noise.is_multiple_of(3)),
        ColumnType::Int | ColumnType::Date => Scalar::Int(small as i32),
        ColumnType::Long => Scalar::Long(small * 1_000_003),
        ColumnType::Timestamp => Scalar::Long(1_700_000_000_000_000 + row as i64 * 1_000_000 + small * 1_000),
        ColumnType::Float => Scalar::Float(small as f32 / 8.0),
        ColumnType::Double => Scalar::Double(small as f64 / 100.0),
        ColumnType::Decimal { .. } => Scalar::Decimal(i128::from(small) * 25),
        ColumnType::String => Scalar::Text(Cow::Owned(format!("größe {}", small / 10))),
        ColumnType::Json => Scalar::Text(Cow::Owned(format!("{{\"n\":{small}}}"))),
        ColumnType::Uuid => Scalar::Uuid(Uuid::from_u64_pair(noise, row as u64)),
        ColumnType::Binary => Scalar::Binary(Cow::Owned(noise.to_le_bytes()[..(noise % 9) as usize].to_vec())),
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(42);
    let mut next = |limit: u64| random.below(limit) as i64;
    let rows = 1_500;
    let outliers = longs((0..rows).map(|_| if next(100) == 0 { i64::MAX - next(3) } else { next(90) }));
    let low_outliers = longs((0..rows).map(|_| if next(100) == 0 { -1 } else { 1_700_000_000 + next(90) }));
    let half = column(ColumnType::Long, (0..9_000).map(|row| (next(2) == 0).then_some(Scalar::Long(row % 9))));
    let many_urls = texts((0..2_000).map(|row| format!("https://example.com/things/{row}?of={}", next(50))));
    let ascending = longs((0..rows).map(|row| 1_700_000_000_000 + row * 250 + next(40)));
    let runs = longs((0..rows).map(|row| row / 70 * 31));
    let floats =
        doubles([0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 0.1, 1e22, -2.5]);
    let prices = doubles((0..rows).map(|_| if next(90) == 0 { 1.0 / 3.0 } else { next(100_000) as f64 / 100.0 }));
    let singles = column(ColumnType::Float, (0..rows).map(|_| Some(Scalar::Float(next(999) as f32 / 10.0))));
    let cities = texts((0..rows).map(|_| ["Oslo", "Bergen", "Tromsø", ""][next(4) as usize]));
    let urls = texts((0..300).map(|row| format!("https://example.com/things/{row}?of={}", next(50))));
    let wide = column(
        ColumnType::Decimal { precision: 38, scale: 0 },
        (0..40).map(|row| Some(Scalar::Decimal(i128::MAX - row))),
    );
    let ends = longs([i64::MIN, i64::MAX, 0, -1, 1]);
    let rare = column(ColumnType::Long, (0..9_000).map(|row| (row % 1_201 == 7).then_some(Scalar::Long(row))));
    let seldom_null =
        column(ColumnType::Long, (0..9_000).map(|row| (row % 1_201 != 7).then_some(Scalar::Long(row % 5))));
    let flags = column(ColumnType::Boolean, (0..rows).map(|row| Some(Scalar::Boolean(row / 200 % 2 == 1))));
    let ends_of_32_bits = column(ColumnType::Int, [i32::MIN, i32::MAX, 0].map(|value| Some(Scalar::Int(value))));
    let any = |column: &Column| vec![("c", column.clone(), None)];
    let forced = |column: &Column, encodings: &[Encoding]| {
        encodings.iter().map(|encoding| ("c", column.clone(), Some(*encoding))).collect::<Vec<_>>()
    };
    vec![
        case("no-columns", vec![]),
        case("no-rows", some_of_each_type(0)),
        case("one-row", some_of_each_type(1)),
        case("types", some_of_each_type(1_100)),
        case("integers-plain", forced(&ends, &[Encoding::Plain])),
        case("integers-constant", any(&longs([-7; 100]))),
        case("integers-bit-packed", forced(&outliers, &[Encoding::BitPacked])),
        case("integers-bit-packed-low", forced(&low_outliers, &[Encoding::BitPacked])),
        case("integers-bit-packed-wide", forced(&ends, &[Encoding::BitPacked])),
        case("integers-delta", forced(&ascending, &[Encoding::Delta])),
        case("integers-run-length", forced(&runs, &[Encoding::RunLength])),
        case("integers-dictionary", forced(&runs, &[Encoding::Dictionary])),
        case("integers-32", any(&ends_of_32_bits)),
        case("doubles-plain", forced(&floats, &[Encoding::Plain])),
        case("doubles-dictionary", forced(&floats, &[Encoding::Dictionary])),
        case("doubles-run-length", forced(&floats, &[Encoding::RunLength])),
        case("doubles-alp", forced(&prices, &[Encoding::Alp])),
        case("floats-alp", forced(&singles, &[Encoding::Alp])),
        case("text-plain", forced(&cities, &[Encoding::Plain])),
        case("text-constant", any(&texts(["same"; 50]))),
        case("text-dictionary", forced(&cities, &[Encoding::Dictionary])),
        case("text-fsst", forced(&urls, &[Encoding::Fsst])),
        case("text-fsst-sampled", forced(&many_urls, &[Encoding::Fsst])),
        case("decimals-plain", any(&wide)),
        case("booleans-run-length", forced(&flags, &[Encoding::RunLength])),
        case("all-null", any(&column(ColumnType::String, (0..77).map(|_| None)))),
        case("half-null", any(&half)),
        case("few-values", any(&rare)),
        case("few-nulls", any(&seldom_null)),
    ]
}

fn write(case: &Case) -> Vec<u8> {
    let force = case.columns.first().and_then(|(_, _, force)| *force);
    let mut writer = BlobWriter::new(EncodeOptions { force });
    for (name, column, _) in &case.columns {
        writer.push(name, column).unwrap();
    }
    writer.finish().unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vortex-v1").join(format!("{name}.vrtx"))
}

#[test]
fn blobs_of_version_1_read_for_ever() {
    for case in cases() {
        let made = write(&case);
        let path = path(case.name);
        if !path.exists() && std::env::var_os("THERMOCLINE_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let blob = Blob::open(&golden).unwrap();
        assert_eq!(blob.columns().len(), case.columns.len(), "{}", case.name);
        for (position, (name, column, _)) in case.columns.iter().enumerate() {
            assert_eq!(blob.position(name), Some(position), "{}", case.name);
            let decoded = blob.decode(position, 0..blob.rows(), &mut Budget::new(AMPLE_BYTES)).unwrap();
            assert_same(column, &decoded);
        }
        assert!(made == golden, "{} is written with other bytes than it was", case.name);
    }
}

/// Every single bit and every length counts: nothing of a blob can be lost without being noticed.
#[test]
fn every_flipped_bit_and_every_truncation_of_a_golden_blob_is_detected() {
    for case in cases() {
        let golden = fs::read(path(case.name)).unwrap();
        Blob::open(&golden).unwrap().verify(&mut Budget::new(AMPLE_BYTES)).unwrap();
        for length in 0..golden.len() {
            assert!(Blob::open(&golden[..length]).is_err(), "{} cut to {length} bytes", case.name);
        }
        let blob = Blob::open(&golden).unwrap();
        let index = blob.index().clone();
        for column in 0..index.columns().len() {
            assert_eq!(blob.decode(column, 0..0, &mut Budget::new(AMPLE_BYTES)).unwrap().rows(), 0);
        }
        let mut flipped = golden.clone();
        for at in 0..golden.len() {
            let column = index.columns().iter().position(|column| column.range().contains(&at));
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                // A flip within a column is noticed when that column is read, any other when the blob is opened.
                let read = Blob::open(&flipped).and_then(|blob| match column {
                    Some(column) => blob.decode(column, 0..0, &mut Budget::new(AMPLE_BYTES)).map(drop),
                    None => Ok(()),
                });
                let kind = read.err().map(|error| error.kind());
                assert_eq!(kind, Some(ErrorKind::Corrupt), "{} with bit {bit} of byte {at} flipped", case.name);
                flipped[at] ^= 1 << bit;
            }
        }
    }
}
