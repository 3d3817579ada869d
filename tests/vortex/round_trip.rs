//! decode(encode(x)) = x: whole, by ranges, row by row, selected rows, in every encoding that applies.

use std::borrow::Cow;

use proptest::prelude::*;
use thermocline::error::ErrorKind;
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions, Encoding};
use thermocline::vortex::{Bitmap, Column, ColumnType, Scalar};

use crate::support::*;

/// All ways of reading give the rows that were written.
fn check(column: &Column, bytes: &[u8], seed: u64) {
    let blob = Blob::open(bytes).unwrap();
    let mut budget = Budget::new(AMPLE_BYTES);
    let rows = column.rows();
    assert_same(column, &blob.decode(0, 0..rows, &mut budget).unwrap());
    let mut random = Random::new(seed);
    for _ in 0..4 {
        let start = random.below(rows as u64 + 1) as usize;
        let end = start + random.below((rows - start) as u64 + 1) as usize;
        let range = blob.decode(0, start..end, &mut budget).unwrap();
        assert_eq!(range.rows(), end - start);
        for row in start..end {
            assert!(same(&column.get(row), &range.get(row - start)), "row {row} of {start}..{end}");
        }
    }
    for _ in 0..rows.min(40) {
        let row = random.below(rows as u64) as usize;
        assert!(same(&column.get(row), &blob.value(0, row).unwrap().value), "row {row}");
    }
    let share = random.below(100) + 1;
    let selected: Bitmap = (0..rows).map(|_| random.below(100) < share).collect();
    let gathered = blob.gather(0, &selected, &mut budget).unwrap();
    assert_eq!(gathered.rows(), selected.count());
    for (at, row) in selected.positions().enumerate() {
        assert!(same(&column.get(row), &gathered.get(at)), "selected row {row}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn columns_come_back(column in any_column(), seed in any::<u64>()) {
        let bytes = blob(&column);
        check(&column, &bytes, seed);
        prop_assert_eq!(&bytes, &blob(&column), "the same column gives the same bytes");
    }

    #[test]
    fn columns_come_back_in_every_encoding(column in any_column(), seed in any::<u64>()) {
        for encoding in Encoding::ALL {
            match encoded(&column, Some(encoding)) {
                Ok(bytes) => {
                    prop_assert_eq!(Blob::open(&bytes).unwrap().columns()[0].encoding, encoding);
                    check(&column, &bytes, seed);
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Invalid),
            }
        }
    }

    #[test]
    fn several_columns_share_a_blob(kinds in prop::collection::vec(0_usize..12, 0..8), seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let rows = random.below(1_500) as usize;
        let columns: Vec<Column> = kinds.iter().map(|kind| sparse(TYPES[*kind], rows, &mut random)).collect();
        let mut writer = BlobWriter::new(EncodeOptions::default());
        for (number, column) in columns.iter().enumerate() {
            writer.push(&format!("column {number}"), column).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let blob = Blob::open(&bytes).unwrap();
        prop_assert_eq!(blob.rows(), if columns.is_empty() { 0 } else { rows });
        for (number, column) in columns.iter().enumerate() {
            let position = blob.position(&format!("column {number}")).unwrap();
            assert_same(column, &blob.decode(position, 0..rows, &mut Budget::new(AMPLE_BYTES)).unwrap());
        }
    }
}

fn sparse(column_type: ColumnType, rows: usize, random: &mut Random) -> Column {
    column(
        column_type,
        (0..rows).map(|_| {
            let value = random.below(50);
            let scalar = match column_type {
                ColumnType::Boolean => Scalar::Boolean(value.is_multiple_of(2)),
                ColumnType::Int | ColumnType::Date => Scalar::Int(value as i32),
                ColumnType::Long | ColumnType::Timestamp => Scalar::Long(value as i64),
                ColumnType::Float => Scalar::Float(value as f32 / 10.0),
                ColumnType::Double => Scalar::Double(value as f64 / 10.0),
                ColumnType::Decimal { .. } => Scalar::Decimal(i128::from(value)),
                ColumnType::Uuid => Scalar::Uuid(uuid::Uuid::from_u128(u128::from(value))),
                ColumnType::String | ColumnType::Json => Scalar::Text(Cow::Owned(value.to_string())),
                ColumnType::Binary => Scalar::Binary(Cow::Owned(value.to_le_bytes().to_vec())),
            };
            (random.below(10) > 0).then_some(scalar)
        }),
    )
}

#[test]
fn no_rows_and_one_row() {
    for column_type in TYPES {
        let mut none = Column::new(column_type);
        assert_same(&none, &decoded(&blob(&none)).unwrap());
        none.pad_to(1);
        assert_same(&none, &decoded(&blob(&none)).unwrap());
    }
}

#[test]
fn sixty_five_thousand_rows() {
    let mut random = Random::new(1);
    let values: Vec<i64> = (0..65_536).map(|row| row * 60_000_000 + random.below(5) as i64).collect();
    let column = longs(values);
    check(&column, &blob(&column), 2);
    let words = ["tail", "number", "été", "", "a much longer word than the others are"];
    let column = texts((0..65_536).map(|_| words[random.below(5) as usize]));
    check(&column, &blob(&column), 3);
}

#[test]
fn values_of_two_million_bytes() {
    let mut random = Random::new(7);
    let noise: String = (0..1_000_000).map(|_| char::from(b' ' + random.below(90) as u8)).collect();
    let column = texts(["x".repeat(2_000_000), noise.clone() + &noise, String::new(), "short".to_owned()]);
    for force in [None, Some(Encoding::Plain), Some(Encoding::Fsst), Some(Encoding::Dictionary)] {
        let bytes = encoded(&column, force).unwrap();
        assert_same(&column, &decoded(&bytes).unwrap());
    }
}

#[test]
fn integers_at_both_ends() {
    for values in
        [vec![i64::MIN, i64::MAX], vec![i64::MAX; 3], vec![i64::MIN, 0, i64::MAX, -1, 1], vec![i64::MIN; 1_024]]
    {
        let column = longs(values);
        for encoding in Encoding::ALL {
            if let Ok(bytes) = encoded(&column, Some(encoding)) {
                assert_same(&column, &decoded(&bytes).unwrap());
            }
        }
    }
}

#[test]
fn columns_that_do_not_belong_together_are_refused() {
    let mut writer = BlobWriter::new(EncodeOptions::default());
    writer.push("a", &longs([1, 2])).unwrap();
    assert_eq!(writer.push("b", &longs([1])).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(writer.push("a", &longs([1, 2])).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(writer.push(&"n".repeat(70_000), &longs([1, 2])).unwrap_err().kind(), ErrorKind::Internal);
    writer.push("é", &longs([3, 4])).unwrap();
    let bytes = writer.finish().unwrap();
    let blob = Blob::open(&bytes).unwrap();
    assert_eq!(blob.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "é"]);
}

#[test]
fn reading_stays_within_its_budget() {
    let column = longs(std::iter::repeat_n(7, 65_536));
    let bytes = blob(&column);
    assert!(bytes.len() < 200);
    let blob = Blob::open(&bytes).unwrap();
    let mut budget = Budget::new(100_000);
    assert_eq!(blob.decode(0, 0..65_536, &mut budget).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(blob.decode(0, 60_000..65_536, &mut Budget::new(100_000)).unwrap().rows(), 5_536);
}
