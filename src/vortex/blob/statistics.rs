//! What the index tells of a column's values.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | nulls | 4 | rows without a value |
//! | distinct | 4 | about how many values are distinct |
//! | flags | 1 | bit 0 least and greatest are there; 1, 2 the least, the greatest is a value and not its beginning; 3 the sum is there; 4 some value is NaN; others 0 |
//! | least, greatest | | boolean 1; int, date 4; long, timestamp 8; float 4; double 8; decimal, uuid 16; string, binary a length (1), at most 64, and as many bytes |
//! | sum | 16 | |
//!
//! Least and greatest are by value, NaN left out and zero told with the sign that makes the bound hold for both; UUIDs,
//! text and bytes compare byte by byte. Of text and bytes longer than 64 bytes the beginning is kept: no value begins
//! with less than the least's, none with more than the greatest's. JSON has neither. The sum is there for int, long,
//! decimal and, as the number of true ones, boolean, and is exact. NaN is told of float and double alone, bits 1 and 2 of
//! bounds that are there.

use std::borrow::Cow;
use std::cmp::Ordering;

use uuid::Uuid;
use xxhash_rust::xxh64::xxh64;

use crate::error::Result;
use crate::vortex::choose::Distinct;
use crate::vortex::column::{Column, Values};
use crate::vortex::column_type::ColumnType;
use crate::vortex::encoding::starts::index;
use crate::vortex::encoding::wire::{Bytes, corrupt};
use crate::vortex::value::Scalar;

/// Bytes of a bound of text or bytes, at most.
pub const BOUND_MAX_BYTES: usize = 64;

const FLAG_BOUNDS: u8 = 1;
const FLAG_LEAST_EXACT: u8 = 2;
const FLAG_GREATEST_EXACT: u8 = 4;
const FLAG_SUM: u8 = 8;
const FLAG_NAN: u8 = 16;

/// The least or the greatest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The value, or its first [`BOUND_MAX_BYTES`] bytes; text is [`Scalar::Binary`] here.
    pub value: Scalar<'static>,
    /// Whether it is the value.
    pub exact: bool,
}

/// What is known of a column's values without reading them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Rows without a value.
    pub null_count: usize,
    /// About how many values are distinct.
    pub distinct_estimate: usize,
    /// The least value.
    pub least: Option<Bound>,
    /// The greatest value.
    pub greatest: Option<Bound>,
    /// The exact sum, unscaled for decimals.
    pub sum: Option<i128>,
    /// Whether a value is NaN.
    pub has_nan: bool,
}

impl Statistics {
    /// Of a column.
    pub fn of(column: &Column) -> Self {
        let values = column.values();
        let distinct = distinct(values);
        let mut statistics = Self {
            null_count: column.null_count(),
            distinct_estimate: distinct.estimate(values.len()),
            ..Self::default()
        };
        let column_type = column.column_type();
        match values {
            Values::Boolean(values) => {
                statistics.bound(values.iter().copied(), bool::cmp, Scalar::Boolean);
                statistics.sum = values.iter().try_fold(0_i128, |sum, value| sum.checked_add(i128::from(*value)));
            }
            Values::Int(values) => {
                statistics.bound(values.iter().copied(), i32::cmp, Scalar::Int);
                statistics.sum = sum(column_type, values.iter().copied().map(i128::from));
            }
            Values::Long(values) => {
                statistics.bound(values.iter().copied(), i64::cmp, Scalar::Long);
                statistics.sum = sum(column_type, values.iter().copied().map(i128::from));
            }
            Values::Decimal(values) => {
                statistics.bound(values.iter().copied(), i128::cmp, Scalar::Decimal);
                statistics.sum = sum(column_type, values.iter().copied());
            }
            Values::Float(values) => {
                statistics.has_nan = values.iter().any(|value| value.is_nan());
                statistics.bound(values.iter().copied().filter(|value| !value.is_nan()), f32::total_cmp, Scalar::Float);
            }
            Values::Double(values) => {
                statistics.has_nan = values.iter().any(|value| value.is_nan());
                statistics.bound(
                    values.iter().copied().filter(|value| !value.is_nan()),
                    f64::total_cmp,
                    Scalar::Double,
                );
            }
            Values::Uuid(values) => statistics.bound(values.iter().copied(), Uuid::cmp, Scalar::Uuid),
            Values::Text { .. } if column_type == ColumnType::Json => {}
            Values::Text { offsets, text } => statistics.bound_bytes(offsets, text.as_bytes()),
            Values::Binary { offsets, bytes } => statistics.bound_bytes(offsets, bytes),
        }
        statistics
    }

    fn bound<V: Copy>(
        &mut self,
        mut values: impl Iterator<Item = V>,
        order: impl Fn(&V, &V) -> Ordering,
        scalar: impl Fn(V) -> Scalar<'static>,
    ) {
        let Some(first) = values.next() else { return };
        let (least, greatest) = values.fold((first, first), |(least, greatest), value| {
            let least = if order(&value, &least).is_lt() { value } else { least };
            (least, if order(&value, &greatest).is_gt() { value } else { greatest })
        });
        self.least = Some(Bound { value: scalar(least), exact: true });
        self.greatest = Some(Bound { value: scalar(greatest), exact: true });
    }

    fn bound_bytes(&mut self, offsets: &[u32], bytes: &[u8]) {
        let values = || byte_values(offsets, bytes);
        let bound = |value: &[u8]| {
            let kept = value.get(..BOUND_MAX_BYTES).unwrap_or(value);
            Bound { value: Scalar::Binary(Cow::Owned(kept.to_vec())), exact: kept.len() == value.len() }
        };
        self.least = values().min().map(bound);
        self.greatest = values().max().map(bound);
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for count in [self.null_count, self.distinct_estimate] {
            out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        let mut flags = 0;
        let mut bounds = Vec::new();
        if let (Some(least), Some(greatest)) = (&self.least, &self.greatest) {
            flags |= FLAG_BOUNDS;
            flags |= if least.exact { FLAG_LEAST_EXACT } else { 0 };
            flags |= if greatest.exact { FLAG_GREATEST_EXACT } else { 0 };
            put_bound(&least.value, &mut bounds);
            put_bound(&greatest.value, &mut bounds);
        }
        flags |= if self.sum.is_some() { FLAG_SUM } else { 0 };
        flags |= if self.has_nan { FLAG_NAN } else { 0 };
        out.push(flags);
        out.append(&mut bounds);
        out.extend(self.sum.iter().flat_map(|sum| sum.to_le_bytes()));
    }

    pub(super) fn read(bytes: &mut Bytes<'_>, column_type: ColumnType, rows: usize) -> Result<Self> {
        let (nulls, distinct, flags) = (index(bytes.u32()?), index(bytes.u32()?), bytes.u8()?);
        if nulls > rows || distinct > rows - nulls || flags & !allowed_flags(column_type, flags & FLAG_BOUNDS != 0) != 0
        {
            return Err(corrupt(format!(
                "expected statistics of {rows} rows, got {nulls} nulls, {distinct} distinct values, flags {flags}"
            )));
        }
        let mut statistics =
            Self { null_count: nulls, distinct_estimate: distinct, has_nan: flags & FLAG_NAN != 0, ..Self::default() };
        if flags & FLAG_BOUNDS != 0 {
            let least = read_bound(bytes, column_type)?;
            statistics.least = Some(Bound { value: least, exact: flags & FLAG_LEAST_EXACT != 0 });
            let greatest = read_bound(bytes, column_type)?;
            statistics.greatest = Some(Bound { value: greatest, exact: flags & FLAG_GREATEST_EXACT != 0 });
        }
        if flags & FLAG_SUM != 0 {
            statistics.sum = Some(bytes.u128()?.cast_signed());
        }
        Ok(statistics)
    }
}

/// The flags that the statistics of a column may have.
fn allowed_flags(column_type: ColumnType, bounds: bool) -> u8 {
    let of_type = match column_type {
        ColumnType::Boolean | ColumnType::Int | ColumnType::Long | ColumnType::Decimal { .. } => FLAG_SUM,
        ColumnType::Float | ColumnType::Double => FLAG_NAN,
        _ => 0,
    };
    of_type | if bounds { FLAG_BOUNDS | FLAG_LEAST_EXACT | FLAG_GREATEST_EXACT } else { 0 }
}

fn sum(column_type: ColumnType, mut values: impl Iterator<Item = i128>) -> Option<i128> {
    if matches!(column_type, ColumnType::Date | ColumnType::Timestamp) {
        return None;
    }
    values.try_fold(0_i128, i128::checked_add)
}

fn byte_values<'c>(offsets: &'c [u32], bytes: &'c [u8]) -> impl Iterator<Item = &'c [u8]> {
    let spans = offsets.iter().zip(offsets.iter().skip(1));
    spans.map(|(start, end)| bytes.get(index(*start)..index(*end)).unwrap_or_default())
}

fn distinct(values: &Values) -> Distinct {
    let wide = |value: u128| {
        let [low, high] = [value & u128::from(u64::MAX), value >> 64].map(|half| u64::try_from(half).unwrap_or(0));
        crate::vortex::choose::mix(low) ^ high
    };
    match values {
        Values::Boolean(values) => Distinct::of_numbers(values.iter().map(|value| u64::from(*value))),
        Values::Int(values) => Distinct::of_numbers(values.iter().map(|value| u64::from(value.cast_unsigned()))),
        Values::Long(values) => Distinct::of_numbers(values.iter().map(|value| value.cast_unsigned())),
        Values::Float(values) => Distinct::of_numbers(values.iter().map(|value| u64::from(value.to_bits()))),
        Values::Double(values) => Distinct::of_numbers(values.iter().map(|value| value.to_bits())),
        Values::Decimal(values) => Distinct::of_numbers(values.iter().map(|value| wide(value.cast_unsigned()))),
        Values::Uuid(values) => Distinct::of_numbers(values.iter().map(|value| wide(value.as_u128()))),
        Values::Text { offsets, text } => {
            Distinct::of_hashes(byte_values(offsets, text.as_bytes()).map(|value| xxh64(value, 0)))
        }
        Values::Binary { offsets, bytes } => {
            Distinct::of_hashes(byte_values(offsets, bytes).map(|value| xxh64(value, 0)))
        }
    }
}

fn put_bound(value: &Scalar<'_>, out: &mut Vec<u8>) {
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    match value {
        Scalar::Boolean(value) => put(&[u8::from(*value)]),
        Scalar::Int(value) => put(&value.to_le_bytes()),
        Scalar::Long(value) => put(&value.to_le_bytes()),
        Scalar::Float(value) => put(&value.to_le_bytes()),
        Scalar::Double(value) => put(&value.to_le_bytes()),
        Scalar::Decimal(value) => put(&value.to_le_bytes()),
        Scalar::Uuid(value) => put(value.as_bytes()),
        Scalar::Text(text) => put_byte_bound(text.as_bytes(), out),
        Scalar::Binary(bytes) => put_byte_bound(bytes, out),
    }
}

fn put_byte_bound(value: &[u8], out: &mut Vec<u8>) {
    let kept = value.get(..BOUND_MAX_BYTES).unwrap_or(value);
    out.push(u8::try_from(kept.len()).unwrap_or(0));
    out.extend_from_slice(kept);
}

fn read_bound(bytes: &mut Bytes<'_>, column_type: ColumnType) -> Result<Scalar<'static>> {
    Ok(match column_type {
        ColumnType::Boolean => match bytes.u8()? {
            value @ (0 | 1) => Scalar::Boolean(value == 1),
            other => return Err(corrupt(format!("expected a boolean, 0 or 1, got {other}"))),
        },
        ColumnType::Int | ColumnType::Date => Scalar::Int(bytes.u32()?.cast_signed()),
        ColumnType::Long | ColumnType::Timestamp => Scalar::Long(bytes.u64()?.cast_signed()),
        ColumnType::Float => Scalar::Float(f32::from_bits(bytes.u32()?)),
        ColumnType::Double => Scalar::Double(f64::from_bits(bytes.u64()?)),
        ColumnType::Decimal { .. } => Scalar::Decimal(bytes.u128()?.cast_signed()),
        ColumnType::Uuid => Scalar::Uuid(Uuid::from_bytes(bytes.u128()?.to_le_bytes())),
        ColumnType::String | ColumnType::Binary => {
            let length = usize::from(bytes.u8()?);
            if length > BOUND_MAX_BYTES {
                return Err(corrupt(format!("expected a bound of at most {BOUND_MAX_BYTES} bytes, got {length}")));
            }
            Scalar::Binary(Cow::Owned(bytes.take(length)?.to_vec()))
        }
        ColumnType::Json => return Err(corrupt("expected no bounds of JSON values, got some")),
    })
}
