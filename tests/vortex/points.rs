//! One row by its position: what is looked at and what is decoded for it.

use thermocline::vortex::blob::{Blob, Encoding, POINT_READ_MAX_BYTES};
use thermocline::vortex::{Column, ColumnType, Scalar};

use crate::support::*;

const ROWS: i64 = 65_536;
/// Values decoded for one, at most.
const VALUES_MAX: usize = 1_024;

/// Reads rows all along a column and answers the most bytes and values that one took. Text and bytes are short here.
fn most_touched(column: &Column, force: Option<Encoding>) -> (usize, usize) {
    let bytes = encoded(column, force).unwrap();
    let blob = Blob::open(&bytes).unwrap();
    let mut most = (0, 0);
    for row in (0..column.rows()).step_by(97).chain([0, 1_023, 1_024, column.rows() - 1]) {
        let read = blob.value(0, row).unwrap();
        assert!(same(&read.value, &column.get(row)), "row {row}");
        most = (most.0.max(read.bytes_touched), most.1.max(read.values_decoded));
    }
    most
}

fn columns() -> Vec<(&'static str, Column)> {
    let mut random = Random::new(21);
    let mut next = |limit: u64| random.below(limit) as i64;
    vec![
        (
            "small integers with outliers",
            longs((0..ROWS).map(|_| if next(50) == 0 { i64::MIN + next(9) } else { next(300) })),
        ),
        ("times that ascend", longs((0..ROWS).map(|row| row * 60_000 + next(1_000)))),
        ("times in runs", longs((0..ROWS).map(|row| row / 14 * 60_000_000))),
        ("any integers", longs((0..ROWS).map(|_| next(u64::MAX)))),
        ("prices", doubles((0..ROWS).map(|_| next(100_000) as f64 / 100.0))),
        (
            "prices, some of them thirds",
            doubles((0..ROWS).map(|_| next(100_000) as f64 / if next(20) == 0 { 3.0 } else { 100.0 })),
        ),
        ("codes of airports", texts((0..ROWS).map(|_| format!("{:03}", next(250))))),
        (
            "names of different lengths",
            texts((0..ROWS).map(|_| "n".repeat(next(40) as usize) + &next(1_000_000).to_string())),
        ),
        (
            "prices, some of them thirds, some missing",
            column(
                ColumnType::Double,
                (0..ROWS).map(|row| {
                    let price = (row * 25 + next(9)) as f64 / if next(60) == 0 { 3.0 } else { 100.0 };
                    (next(150) > 0).then_some(Scalar::Double(price))
                }),
            ),
        ),
        (
            "paths in runs, some missing",
            column(
                ColumnType::String,
                (0..ROWS).map(|row| {
                    let path = format!("/srv/volumes/{}/data/archive.tar", row / 40 * 7_919 % 900);
                    (next(40) > 0).then_some(Scalar::Text(path.into()))
                }),
            ),
        ),
        ("rare values", column(ColumnType::Long, (0..ROWS).map(|row| (row % 701 == 0).then_some(Scalar::Long(row))))),
        (
            "values with some nulls",
            column(ColumnType::Long, (0..ROWS).map(|_| (next(3) > 0).then_some(Scalar::Long(next(77))))),
        ),
        (
            "booleans in runs",
            column(ColumnType::Boolean, (0..ROWS).map(|row| Some(Scalar::Boolean(row / 90 % 3 == 0)))),
        ),
    ]
}

#[test]
fn one_row_takes_at_most_four_kilobytes_and_one_block() {
    for (name, column) in columns() {
        let (bytes, values) = most_touched(&column, None);
        println!("{name}: {bytes} bytes, {values} values");
        assert!(bytes <= POINT_READ_MAX_BYTES && values <= VALUES_MAX, "{name}: {bytes} bytes, {values} values");
    }
}

#[test]
fn bit_packed_values_are_read_alone() {
    let mut random = Random::new(22);
    let column = longs((0..ROWS).map(|_| random.below(1_000) as i64));
    let (bytes, values) = most_touched(&column, Some(Encoding::BitPacked));
    assert!(bytes <= 32 && values == 1, "{bytes} bytes, {values} values");
}
