//! What the index tells of a column's values, and whether it is true.

use std::borrow::Cow;
use std::cmp::Ordering;

use thermocline::vortex::{Column, ColumnType, Scalar};
use uuid::Uuid;

use super::input::Input;
use super::{Refusal, refuse};

const BOUND_MOST_BYTES: usize = 64;

const BOUNDS: u8 = 1;
const LEAST_IS_VALUE: u8 = 2;
const GREATEST_IS_VALUE: u8 = 4;
const SUM: u8 = 8;
const NAN: u8 = 16;

pub struct Statistics {
    pub nulls: u32,
    pub distinct: u32,
    pub least: Option<Bound>,
    pub greatest: Option<Bound>,
    pub sum: Option<i128>,
    pub nan: bool,
}

/// A value, or the beginning of one. Text is bytes here.
pub struct Bound {
    pub value: Scalar<'static>,
    pub is_value: bool,
}

pub fn statistics(input: &mut Input<'_>, column_type: ColumnType) -> Result<Statistics, Refusal> {
    let (nulls, distinct, flags) = (input.u32()?, input.u32()?, input.byte()?);
    let told = |flag: u8| flags & flag != 0;
    if flags > 31 {
        return refuse(format!("flags {flags} of statistics"));
    }
    if !told(BOUNDS) && (told(LEAST_IS_VALUE) || told(GREATEST_IS_VALUE)) {
        return refuse("flags of bounds that are not there");
    }
    if told(SUM) && !has_sum(column_type) {
        return refuse(format!("a sum of a {column_type} column"));
    }
    if told(NAN) && !matches!(column_type, ColumnType::Float | ColumnType::Double) {
        return refuse(format!("NaN in a {column_type} column"));
    }
    let mut bound = |flag: u8| -> Result<Option<Bound>, Refusal> {
        if !told(BOUNDS) {
            return Ok(None);
        }
        Ok(Some(Bound { value: bound(input, column_type)?, is_value: told(flag) }))
    };
    let (least, greatest) = (bound(LEAST_IS_VALUE)?, bound(GREATEST_IS_VALUE)?);
    let sum = if told(SUM) { Some(input.number(16)? as i128) } else { None };
    Ok(Statistics { nulls, distinct, least, greatest, sum, nan: told(NAN) })
}

fn has_sum(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::Int | ColumnType::Long | ColumnType::Decimal { .. } | ColumnType::Boolean)
}

fn bound(input: &mut Input<'_>, column_type: ColumnType) -> Result<Scalar<'static>, Refusal> {
    Ok(match column_type {
        ColumnType::Boolean => match input.byte()? {
            0 => Scalar::Boolean(false),
            1 => Scalar::Boolean(true),
            other => return refuse(format!("{other} for a boolean")),
        },
        ColumnType::Int | ColumnType::Date => Scalar::Int(input.u32()? as i32),
        ColumnType::Long | ColumnType::Timestamp => Scalar::Long(input.number(8)? as i64),
        ColumnType::Float => Scalar::Float(f32::from_bits(input.u32()?)),
        ColumnType::Double => Scalar::Double(f64::from_bits(input.number(8)? as u64)),
        ColumnType::Decimal { .. } => Scalar::Decimal(input.number(16)? as i128),
        ColumnType::Uuid => Scalar::Uuid(Uuid::from_bytes((input.number(16)?).to_le_bytes())),
        ColumnType::String | ColumnType::Binary => {
            let length = usize::from(input.byte()?);
            if length > BOUND_MOST_BYTES {
                return refuse(format!("a bound of {length} bytes"));
            }
            Scalar::Binary(Cow::Owned(input.take(length)?.to_vec()))
        }
        ColumnType::Json => return refuse("bounds of JSON"),
    })
}

/// What of the statistics the values of the column do not bear out.
pub fn untrue(statistics: &Statistics, column: &Column) -> Vec<&'static str> {
    let column_type = column.column_type();
    let values: Vec<Scalar<'_>> = (0..column.rows()).filter_map(|row| column.get(row)).collect();
    let numbers = || values.iter().filter(|value| !is_nan(value));
    let mut untrue = Vec::new();
    let mut check = |holds: bool, what| {
        if !holds {
            untrue.push(what)
        }
    };
    check(statistics.nulls as usize == column.rows() - values.len(), "nulls");
    check(statistics.nan == values.iter().any(is_nan), "NaN");
    check((statistics.distinct == 0) == values.is_empty(), "distinct");
    check(statistics.distinct as usize <= values.len(), "distinct");
    let bounded = column_type != ColumnType::Json && numbers().next().is_some();
    check(bounded == statistics.least.is_some() && bounded == statistics.greatest.is_some(), "which bounds are there");
    if let Some(least) = &statistics.least {
        check(numbers().all(|value| order(&beginning(value), &least.value).is_ge()), "least");
        check(told_rightly(least, numbers()), "whether the least is a value");
    }
    if let Some(greatest) = &statistics.greatest {
        check(numbers().all(|value| order(&beginning(value), &greatest.value).is_le()), "greatest");
        check(told_rightly(greatest, numbers()), "whether the greatest is a value");
    }
    let sum = values.iter().try_fold(0_i128, |sum, value| sum.checked_add(summand(value)));
    check(statistics.sum == if has_sum(column_type) { sum } else { None }, "sum");
    untrue
}

/// What of a value is told in a bound.
fn beginning(value: &Scalar<'_>) -> Scalar<'static> {
    let cut = |bytes: &[u8]| Scalar::Binary(Cow::Owned(bytes.iter().take(BOUND_MOST_BYTES).copied().collect()));
    match value {
        Scalar::Text(text) => cut(text.as_bytes()),
        Scalar::Binary(bytes) => cut(bytes),
        Scalar::Boolean(value) => Scalar::Boolean(*value),
        Scalar::Int(value) => Scalar::Int(*value),
        Scalar::Long(value) => Scalar::Long(*value),
        Scalar::Float(value) => Scalar::Float(*value),
        Scalar::Double(value) => Scalar::Double(*value),
        Scalar::Decimal(value) => Scalar::Decimal(*value),
        Scalar::Uuid(value) => Scalar::Uuid(*value),
    }
}

/// Whether a value has the bound, and whether the bound is all of it where it says so and only there.
fn told_rightly<'s>(bound: &Bound, mut values: impl Iterator<Item = &'s Scalar<'s>>) -> bool {
    values.any(|value| {
        let length = match value {
            Scalar::Text(text) => text.len(),
            Scalar::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        let zero = |left: &Scalar<'_>, right: &Scalar<'_>| left == right;
        let alike = beginning(value);
        (order(&alike, &bound.value).is_eq() || zero(&alike, &bound.value))
            && bound.is_value == (length <= BOUND_MOST_BYTES)
    })
}

fn is_nan(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Float(value) => value.is_nan(),
        Scalar::Double(value) => value.is_nan(),
        _ => false,
    }
}

fn summand(value: &Scalar<'_>) -> i128 {
    match value {
        Scalar::Boolean(value) => i128::from(*value),
        Scalar::Int(value) => i128::from(*value),
        Scalar::Long(value) => i128::from(*value),
        Scalar::Decimal(value) => *value,
        _ => 0,
    }
}

/// Zeros are ordered by their signs, so that a bound holds for both only if it has the right one.
fn order(left: &Scalar<'_>, right: &Scalar<'_>) -> Ordering {
    match (left, right) {
        (Scalar::Boolean(left), Scalar::Boolean(right)) => left.cmp(right),
        (Scalar::Int(left), Scalar::Int(right)) => left.cmp(right),
        (Scalar::Long(left), Scalar::Long(right)) => left.cmp(right),
        (Scalar::Float(left), Scalar::Float(right)) => left.total_cmp(right),
        (Scalar::Double(left), Scalar::Double(right)) => left.total_cmp(right),
        (Scalar::Decimal(left), Scalar::Decimal(right)) => left.cmp(right),
        (Scalar::Uuid(left), Scalar::Uuid(right)) => left.cmp(right),
        (Scalar::Binary(left), Scalar::Binary(right)) => left.cmp(right),
        _ => Ordering::Less,
    }
}
