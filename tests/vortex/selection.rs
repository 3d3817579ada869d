//! Selecting rows gives what testing each of them gives.

use std::borrow::Cow;

use proptest::prelude::*;
use thermocline::vortex::blob::{Blob, Budget, Encoding, Predicate};
use thermocline::vortex::{Bitmap, Column, ColumnType, Scalar};

use crate::support::*;

fn expected(column: &Column, predicate: &Predicate<'_>) -> Bitmap {
    let mut cursor = column.cursor();
    let matches = |value: Option<Scalar<'_>>| match (value, predicate) {
        (None, predicate) => *predicate == Predicate::IsNull,
        (Some(value), predicate) => predicate.matches(&value),
    };
    (0..column.rows()).map(|_| matches(cursor.next_value())).collect()
}

fn check(column: &Column, predicate: &Predicate<'_>) {
    for force in [None].into_iter().chain(Encoding::ALL.map(Some)) {
        let Ok(bytes) = encoded(column, force) else { continue };
        let blob = Blob::open(&bytes).unwrap();
        let mut budget = Budget::new(AMPLE_BYTES);
        let selected = blob.select(0, predicate, &mut budget).unwrap();
        assert_eq!(selected, expected(column, predicate), "{predicate:?} in {force:?}");
        let rows = blob.gather(0, &selected, &mut budget).unwrap();
        assert_eq!(rows.rows(), selected.count());
    }
}

/// A predicate with two values of the column's type, most of them values that it has.
fn predicate(which: usize, low: Scalar<'static>, high: Scalar<'static>) -> Predicate<'static> {
    match which {
        0 => Predicate::Equal(low),
        1 => Predicate::NotEqual(low),
        2 => Predicate::Less(low, false),
        3 => Predicate::Less(low, true),
        4 => Predicate::Greater(low, false),
        5 => Predicate::Greater(low, true),
        6 => Predicate::Between(low, high),
        7 => Predicate::In(vec![low, high]),
        8 => Predicate::IsNull,
        9 => Predicate::IsNotNull,
        _ => Predicate::Prefix(b"user-1"),
    }
}

fn owned(value: Scalar<'_>) -> Scalar<'static> {
    match value {
        Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
        Scalar::Binary(bytes) => Scalar::Binary(Cow::Owned(bytes.into_owned())),
        Scalar::Boolean(value) => Scalar::Boolean(value),
        Scalar::Int(value) => Scalar::Int(value),
        Scalar::Long(value) => Scalar::Long(value),
        Scalar::Float(value) => Scalar::Float(value),
        Scalar::Double(value) => Scalar::Double(value),
        Scalar::Decimal(value) => Scalar::Decimal(value),
        Scalar::Uuid(value) => Scalar::Uuid(value),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn selected_rows_are_those_that_match(
        (column, other) in prop::sample::select(TYPES.to_vec()).prop_flat_map(|column_type| (column_of(column_type), scalar(column_type))),
        which in 0_usize..11,
        seed in any::<u64>(),
    ) {
        let mut random = Random::new(seed);
        let mut pick = || {
            let row = random.below(column.rows().max(1) as u64) as usize;
            column.get(row).filter(|_| random.below(5) > 0).map_or(other.clone(), owned)
        };
        let (low, high) = (pick(), pick());
        check(&column, &predicate(which, low, high));
    }
}

#[test]
fn long_texts_are_told_apart_beyond_what_statistics_keep() {
    let long = |end: &str| format!("{}{end}", "p".repeat(64));
    let column = texts([long("a"), long("b"), long("")]);
    for value in
        [long("a"), long("0"), long("c"), long(""), "p".repeat(63), "p".repeat(65), "q".to_owned(), "o".to_owned()]
    {
        for which in 0..6 {
            check(&column, &predicate(which, Scalar::Text(Cow::Owned(value.clone())), Scalar::Long(0)));
        }
        check(&column, &Predicate::Prefix(value.as_bytes()));
    }
}

#[test]
fn statistics_decide_without_the_values() {
    let mut random = Random::new(31);
    let column = longs((0..5_000).map(|_| 100 + random.below(50) as i64));
    let bytes = blob(&column);
    let blob = Blob::open(&bytes).unwrap();
    // No budget at all: nothing is decoded.
    let mut none = Budget::new(0);
    let long = Scalar::Long;
    for (predicate, all) in [
        (Predicate::Less(long(100), false), false),
        (Predicate::Less(long(149), true), true),
        (Predicate::Greater(long(99), false), true),
        (Predicate::Equal(long(7)), false),
        (Predicate::NotEqual(long(7)), true),
        (Predicate::Between(long(0), long(1_000)), true),
        (Predicate::In(vec![long(1), long(2)]), false),
        (Predicate::IsNull, false),
        (Predicate::IsNotNull, true),
    ] {
        assert_eq!(blob.select(0, &predicate, &mut none).unwrap(), Bitmap::repeated(all, 5_000), "{predicate:?}");
    }
    assert!(blob.select(0, &Predicate::Equal(long(120)), &mut none).is_err());
}

#[test]
fn not_a_number_is_in_no_order() {
    let column = doubles([f64::NAN, 1.0, -0.0, 0.0, f64::INFINITY]);
    for which in 0..8 {
        for value in [f64::NAN, 0.0, -0.0, 2.0, f64::NEG_INFINITY] {
            check(&column, &predicate(which, Scalar::Double(value), Scalar::Double(5.0)));
        }
    }
}

#[test]
fn what_is_of_another_type_matches_nothing() {
    let column = column(ColumnType::Int, [Some(Scalar::Int(1)), None]);
    check(&column, &Predicate::Equal(Scalar::Long(1)));
    check(&column, &Predicate::NotEqual(Scalar::Long(1)));
    check(&column, &Predicate::Less(Scalar::Text("a".into()), true));
    let column = texts(["x"; 5]);
    for which in 0..8 {
        for value in [b"x", b"y"] {
            let value = Scalar::Binary(Cow::Borrowed(value));
            check(&column, &predicate(which, value.clone(), value));
        }
    }
}
