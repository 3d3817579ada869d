//! A second decoder of column blobs, written from the format's description alone and in the simplest way: value by
//! value, bit by bit. It checks the description and the real reader against each other, so it must share no code with
//! the reader, and must not be made clever.

mod floats;
pub mod index;
pub mod input;
pub mod node;
pub mod packed;
mod statistics;
mod text;
mod validity;

use std::borrow::Cow;
use std::cell::Cell;

use thermocline::vortex::{Column, ColumnType, Scalar};
use uuid::Uuid;

pub use index::{Entry, entries};
use input::Input;
use node::{Kind, Place, Value, node};
pub use statistics::{Bound, untrue};

/// Memory that decoding may take, about: some mutated bytes stand for more than there is.
const ALLOWANCE_BYTES: usize = 1 << 26;

/// Why bytes are not decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// They are no blob of the format.
    Corrupt(String),
    /// They may be one, of more than this decoder takes.
    TooMuch,
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Corrupt(reason.into()))
}

/// The memory that may still be taken.
pub struct Allowance(Cell<usize>);

impl Allowance {
    fn take(&self, bytes: usize) -> Result<(), Refusal> {
        self.0.set(self.0.get().checked_sub(bytes).ok_or(Refusal::TooMuch)?);
        Ok(())
    }
}

/// All columns of a blob, by name, all of their rows.
pub fn decode(bytes: &[u8]) -> Result<Vec<(String, Column)>, Refusal> {
    let (rows, entries) = entries(bytes)?;
    let allowance = Allowance(Cell::new(ALLOWANCE_BYTES));
    entries.into_iter().map(|entry| Ok((entry.name.clone(), column(bytes, &entry, rows, &allowance)?))).collect()
}

fn column(bytes: &[u8], entry: &Entry, rows: usize, allowance: &Allowance) -> Result<Column, Refusal> {
    let Some(bytes) = bytes.get(entry.range()) else {
        return refuse(format!("a column that is not within the blob: {:?}", entry.range()));
    };
    if index::checksum(bytes) != entry.checksum {
        return refuse("a column of another checksum");
    }
    let mut input = Input::new(bytes);
    let column_type = index::column_type(&mut input)?;
    if column_type != entry.column_type {
        return refuse("a column of another type than the index says");
    }
    allowance.take(rows)?;
    let valid = validity::validity(input.part()?, rows)?;
    let count = valid.iter().filter(|valid| **valid).count();
    if rows - count != entry.statistics.nulls as usize {
        return refuse("another number of nulls than the index says");
    }
    let bytes = input.rest();
    if bytes.first() != Some(&entry.encoding) {
        return refuse("another encoding than the index says");
    }
    let values = node(bytes, kind(column_type), count, Place { level: 0, allowance })?;
    let mut values = values.iter();
    let mut column = Column::new(column_type);
    for valid in valid {
        let value = if valid { values.next() } else { None };
        if let Some(Value::Bytes(bytes)) = value {
            allowance.take(bytes.len())?;
        }
        let value = value.map(|value| scalar(value, column_type)).transpose()?;
        column.push_option(value).or_else(|error| refuse(error.to_string()))?;
    }
    Ok(column)
}

fn kind(column_type: ColumnType) -> Kind {
    match column_type {
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::Int | ColumnType::Date | ColumnType::Long | ColumnType::Timestamp => Kind::Integer,
        ColumnType::Float => Kind::Float,
        ColumnType::Double => Kind::Double,
        ColumnType::Decimal { .. } => Kind::Decimal,
        ColumnType::Uuid => Kind::Uuid,
        ColumnType::String | ColumnType::Json | ColumnType::Binary => Kind::Bytes,
    }
}

/// What a node's value is in a row of the column.
fn scalar(value: &Value, column_type: ColumnType) -> Result<Scalar<'_>, Refusal> {
    Ok(match (value, column_type) {
        (Value::Boolean(value), _) => Scalar::Boolean(*value),
        (Value::Integer(value), ColumnType::Int | ColumnType::Date) => match i32::try_from(*value) {
            Ok(value) => Scalar::Int(value),
            Err(_) => return refuse(format!("{value} for an integer of 32 bits")),
        },
        (Value::Integer(value), _) => Scalar::Long(*value),
        (Value::Bits(bits), ColumnType::Float) => Scalar::Float(f32::from_bits(*bits as u32)),
        (Value::Bits(bits), ColumnType::Double) => Scalar::Double(f64::from_bits(*bits as u64)),
        (Value::Bits(bits), ColumnType::Uuid) => Scalar::Uuid(Uuid::from_bytes(bits.to_le_bytes())),
        (Value::Bits(bits), _) => Scalar::Decimal(*bits as i128),
        (Value::Bytes(bytes), ColumnType::Binary) => Scalar::Binary(Cow::Borrowed(bytes)),
        (Value::Bytes(bytes), _) => match std::str::from_utf8(bytes) {
            Ok(text) => Scalar::Text(Cow::Borrowed(text)),
            Err(error) => return refuse(error.to_string()),
        },
    })
}
