//! Columns to test with: made by hand, made at random.

use std::borrow::Cow;

use proptest::prelude::*;
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions, Encoding};
use thermocline::vortex::{Column, ColumnType, Scalar};
use uuid::Uuid;

/// More than any column of the tests takes.
pub const AMPLE_BYTES: usize = 1 << 30;

pub fn column<'s>(column_type: ColumnType, rows: impl IntoIterator<Item = Option<Scalar<'s>>>) -> Column {
    let mut column = Column::new(column_type);
    for row in rows {
        column.push_option(row).unwrap();
    }
    column
}

pub fn longs(values: impl IntoIterator<Item = i64>) -> Column {
    column(ColumnType::Long, values.into_iter().map(|value| Some(Scalar::Long(value))))
}

pub fn doubles(values: impl IntoIterator<Item = f64>) -> Column {
    column(ColumnType::Double, values.into_iter().map(|value| Some(Scalar::Double(value))))
}

pub fn texts<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Column {
    column(ColumnType::String, values.into_iter().map(|value| Some(Scalar::Text(Cow::Owned(value.into())))))
}

pub fn blob(column: &Column) -> Vec<u8> {
    encoded(column, None).unwrap()
}

/// A blob of one column, `c`, in an encoding.
pub fn encoded(column: &Column, force: Option<Encoding>) -> thermocline::error::Result<Vec<u8>> {
    let mut writer = BlobWriter::new(EncodeOptions { force });
    writer.push("c", column)?;
    writer.finish()
}

pub fn decoded(blob: &[u8]) -> thermocline::error::Result<Column> {
    let blob = Blob::open(blob)?;
    blob.decode(0, 0..blob.rows(), &mut Budget::new(AMPLE_BYTES))
}

pub fn description(blob: &[u8]) -> String {
    Blob::open(blob).unwrap().describe(0).unwrap()
}

/// Whether two values are the same to the bit.
pub fn same(left: &Option<Scalar<'_>>, right: &Option<Scalar<'_>>) -> bool {
    match (left, right) {
        (Some(Scalar::Double(left)), Some(Scalar::Double(right))) => left.to_bits() == right.to_bits(),
        (Some(Scalar::Float(left)), Some(Scalar::Float(right))) => left.to_bits() == right.to_bits(),
        (left, right) => left == right,
    }
}

pub fn assert_same(left: &Column, right: &Column) {
    assert_eq!((left.column_type(), left.rows()), (right.column_type(), right.rows()));
    let (mut lefts, mut rights) = (left.cursor(), right.cursor());
    for row in 0..left.rows() {
        let (left, right) = (lefts.next_value(), rights.next_value());
        assert!(same(&left, &right), "row {row}: {left:?} became {right:?}");
    }
}

/// A generator that is the same for ever.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn integer() -> BoxedStrategy<i64> {
    prop_oneof![
        any::<i64>(),
        -100_i64..100,
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        (0_i64..1_000_000).prop_map(|value| value * 1_000),
    ]
    .boxed()
}

fn double() -> BoxedStrategy<f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-100_000_i64..100_000).prop_map(|value| value as f64 / 100.0),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::MAX,
            1e22,
            1e23,
            0.1
        ]),
    ]
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-c]{0,3}",
        "user-[0-9]{6}",
        any::<String>(),
        "https://example\\.com/[a-z]{1,8}/[0-9]{1,4}",
        "x{60,80}[ab]?",
        Just(String::new()),
    ]
    .boxed()
}

/// A value of a type.
pub fn scalar(column_type: ColumnType) -> BoxedStrategy<Scalar<'static>> {
    match column_type {
        ColumnType::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        ColumnType::Int | ColumnType::Date => prop_oneof![any::<i32>(), -5..5].prop_map(Scalar::Int).boxed(),
        ColumnType::Long | ColumnType::Timestamp => integer().prop_map(Scalar::Long).boxed(),
        ColumnType::Float => double().prop_map(|value| Scalar::Float(value as f32)).boxed(),
        ColumnType::Double => double().prop_map(Scalar::Double).boxed(),
        ColumnType::Decimal { .. } => prop_oneof![any::<i128>(), (-999_i128..999)].prop_map(Scalar::Decimal).boxed(),
        ColumnType::Uuid => {
            prop_oneof![any::<u128>(), 0_u128..9].prop_map(|bits| Scalar::Uuid(Uuid::from_u128(bits))).boxed()
        }
        ColumnType::String | ColumnType::Json => text().prop_map(|text| Scalar::Text(Cow::Owned(text))).boxed(),
        ColumnType::Binary => {
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Scalar::Binary(Cow::Owned(bytes))).boxed()
        }
    }
}

pub const TYPES: [ColumnType; 12] = [
    ColumnType::Boolean,
    ColumnType::Int,
    ColumnType::Long,
    ColumnType::Float,
    ColumnType::Double,
    ColumnType::Decimal { precision: 38, scale: 2 },
    ColumnType::Date,
    ColumnType::Timestamp,
    ColumnType::String,
    ColumnType::Uuid,
    ColumnType::Binary,
    ColumnType::Json,
];

/// How the rows of a column are made from a few values.
#[derive(Clone, Debug)]
enum Shape {
    AsDrawn,
    Runs(usize),
    Picked,
    Sorted,
}

/// A column of any type and shape: up to 3,000 rows, so that there are whole blocks and rests.
pub fn any_column() -> impl Strategy<Value = Column> {
    prop::sample::select(TYPES.to_vec()).prop_flat_map(column_of)
}

pub fn column_of(column_type: ColumnType) -> impl Strategy<Value = Column> {
    let shape = prop_oneof![
        Just(Shape::AsDrawn),
        (1_usize..200).prop_map(Shape::Runs),
        Just(Shape::Picked),
        Just(Shape::Sorted)
    ];
    let rows = prop_oneof![3 => 0_usize..70, 1 => prop::sample::select(vec![1_023_usize, 1_024, 1_025, 2_048, 3_000])];
    let nulls = prop::sample::select(vec![0_u64, 0, 2, 50, 100]);
    (prop::collection::vec(scalar(column_type), 1..60), shape, rows, nulls, any::<u64>()).prop_map(
        move |(mut values, shape, rows, nulls, seed)| {
            let mut random = Random::new(seed);
            if matches!(shape, Shape::Sorted) {
                values.sort_by_key(order);
            }
            let picked = |row: usize, random: &mut Random| match shape {
                Shape::AsDrawn => row % values.len(),
                Shape::Runs(length) => row / length % values.len(),
                Shape::Picked => random.below(values.len() as u64) as usize,
                Shape::Sorted => row * values.len() / rows.max(1),
            };
            column(
                column_type,
                (0..rows).map(|row| (random.below(100) >= nulls).then(|| values[picked(row, &mut random)].clone())),
            )
        },
    )
}

fn order(value: &Scalar<'_>) -> (i128, String) {
    match value {
        Scalar::Int(value) => (i128::from(*value), String::new()),
        Scalar::Long(value) => (i128::from(*value), String::new()),
        Scalar::Decimal(value) => (*value, String::new()),
        other => (0, format!("{other:?}")),
    }
}
