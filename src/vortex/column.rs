//! A column: typed values without a box each, and which rows have one.
//!
//! Only the values of non-null rows are stored, so that a table of many sparse columns costs a bit a row and column.
//! Invariant: `values` has exactly as many entries as rows are valid.

mod set;

use std::borrow::Cow;
use std::ops::Range;

use uuid::Uuid;

use super::column_type::ColumnType;
use super::value::Scalar;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// A growing list of bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    length: usize,
}

impl Bitmap {
    pub(super) const WORD: usize = 64;

    /// `length` bits alike.
    pub fn repeated(bit: bool, length: usize) -> Self {
        let word = if bit { u64::MAX } else { 0 };
        let mut bitmap = Self { words: vec![word; length.div_ceil(Self::WORD)], length };
        bitmap.clear_rest();
        bitmap
    }

    /// The bits of a range of packed ones, low bits first; those that `bytes` lacks are not set.
    pub(super) fn from_bits(bytes: &[u8], range: Range<usize>) -> Self {
        let shift = range.start % 8;
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let bytes_of = |word: usize| {
            let first = range.start / 8 + word * size_of::<u64>();
            let low = (0..8).rev().fold(0_u64, |value, at| value << 8 | u64::from(byte(first + at)));
            let high = u64::from(byte(first + 8)).checked_shl(64 - u32::try_from(shift).unwrap_or(0)).unwrap_or(0);
            low >> shift | high
        };
        let mut bitmap =
            Self { words: (0..range.len().div_ceil(Self::WORD)).map(bytes_of).collect(), length: range.len() };
        bitmap.clear_rest();
        bitmap
    }

    /// Clears what the last word has beyond the end.
    fn clear_rest(&mut self) {
        let rest = self.length % Self::WORD;
        if let Some(last) = self.words.last_mut().filter(|_| rest > 0) {
            *last &= !(u64::MAX << rest);
        }
    }

    /// Sets or clears a bit; nothing happens past the end.
    pub fn set(&mut self, position: usize, bit: bool) {
        if position >= self.length {
            return;
        }
        if let Some(word) = self.words.get_mut(position / Self::WORD) {
            let mask = 1 << (position % Self::WORD);
            *word = if bit { *word | mask } else { *word & !mask };
        }
    }

    /// Each bit the other way round.
    pub fn inverted(&self) -> Self {
        let mut inverted = Self { words: self.words.iter().map(|word| !word).collect(), length: self.length };
        inverted.clear_rest();
        inverted
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| usize::try_from(word.count_ones()).unwrap_or(0)).sum()
    }

    /// The positions of the bits that are set, in order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let bits = |word: u64| {
            std::iter::successors(Some(word).filter(|word| *word != 0), |word| {
                Some(word & (word - 1)).filter(|word| *word != 0)
            })
        };
        let words = self.words.iter().enumerate();
        words.flat_map(move |(at, word)| {
            bits(*word).map(move |rest| at * Self::WORD + usize::try_from(rest.trailing_zeros()).unwrap_or(0))
        })
    }

    /// Appends one bit.
    pub fn push(&mut self, bit: bool) {
        let shift = self.length % Self::WORD;
        if shift == 0 {
            self.words.push(0);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= u64::from(bit) << shift;
        }
        self.length += 1;
    }

    /// Appends the first `count` bits of a word, at most 64; the others must be 0.
    pub(super) fn push_word(&mut self, word: u64, count: usize) {
        if self.length.is_multiple_of(Self::WORD) {
            self.words.push(word);
            self.length += count;
        } else {
            (0..count).for_each(|bit| self.push(word >> bit & 1 == 1));
        }
    }

    /// Bit `position`; false past the end.
    pub fn get(&self, position: usize) -> bool {
        self.words.get(position / Self::WORD).is_some_and(|word| word >> (position % Self::WORD) & 1 == 1)
    }

    /// How many bits there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many of the first `end` bits are set.
    pub fn rank(&self, end: usize) -> usize {
        let whole = end / Self::WORD;
        let in_words: u32 = self.words.iter().take(whole).map(|word| word.count_ones()).sum();
        let partial = self.words.get(whole).map_or(0, |word| (word & !(u64::MAX << (end % Self::WORD))).count_ones());
        usize::try_from(in_words + partial).unwrap_or(usize::MAX)
    }

    /// The bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.length).map(|position| self.get(position))
    }
}

impl FromIterator<bool> for Bitmap {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bitmap = Self::default();
        bits.into_iter().for_each(|bit| bitmap.push(bit));
        bitmap
    }
}

/// The values of a column's non-null rows, in row order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Booleans.
    Boolean(Vec<bool>),
    /// 32-bit integers and dates.
    Int(Vec<i32>),
    /// 64-bit integers and timestamps.
    Long(Vec<i64>),
    /// Single precision.
    Float(Vec<f32>),
    /// Double precision.
    Double(Vec<f64>),
    /// Unscaled decimals.
    Decimal(Vec<i128>),
    /// UUIDs.
    Uuid(Vec<Uuid>),
    /// Text and JSON text: value `i` is `text[offsets[i]..offsets[i + 1]]`; `offsets` starts with 0.
    Text {
        /// Where values start, and the end of the last.
        offsets: Vec<u32>,
        /// All values, one after the other.
        text: String,
    },
    /// Bytes, laid out the same way.
    Binary {
        /// Where values start, and the end of the last.
        offsets: Vec<u32>,
        /// All values, one after the other.
        bytes: Vec<u8>,
    },
}

impl Values {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(Vec::new()),
            ColumnType::Int | ColumnType::Date => Self::Int(Vec::new()),
            ColumnType::Long | ColumnType::Timestamp => Self::Long(Vec::new()),
            ColumnType::Float => Self::Float(Vec::new()),
            ColumnType::Double => Self::Double(Vec::new()),
            ColumnType::Decimal { .. } => Self::Decimal(Vec::new()),
            ColumnType::Uuid => Self::Uuid(Vec::new()),
            ColumnType::String | ColumnType::Json => Self::Text { offsets: vec![0], text: String::new() },
            ColumnType::Binary => Self::Binary { offsets: vec![0], bytes: Vec::new() },
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Long(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Decimal(values) => values.len(),
            Self::Uuid(values) => values.len(),
            Self::Text { offsets, .. } | Self::Binary { offsets, .. } => offsets.len().saturating_sub(1),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `position`, counting non-null rows only.
    pub fn get(&self, position: usize) -> Option<Scalar<'_>> {
        Some(match self {
            Self::Boolean(values) => Scalar::Boolean(*values.get(position)?),
            Self::Int(values) => Scalar::Int(*values.get(position)?),
            Self::Long(values) => Scalar::Long(*values.get(position)?),
            Self::Float(values) => Scalar::Float(*values.get(position)?),
            Self::Double(values) => Scalar::Double(*values.get(position)?),
            Self::Decimal(values) => Scalar::Decimal(*values.get(position)?),
            Self::Uuid(values) => Scalar::Uuid(*values.get(position)?),
            Self::Text { offsets, text } => Scalar::Text(Cow::Borrowed(text.get(span(offsets, position)?)?)),
            Self::Binary { offsets, bytes } => Scalar::Binary(Cow::Borrowed(bytes.get(span(offsets, position)?)?)),
        })
    }

    /// Bytes that the values take in memory.
    pub fn byte_size(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int(values) => size_of_val(values.as_slice()),
            Self::Long(values) => size_of_val(values.as_slice()),
            Self::Float(values) => size_of_val(values.as_slice()),
            Self::Double(values) => size_of_val(values.as_slice()),
            Self::Decimal(values) => size_of_val(values.as_slice()),
            Self::Uuid(values) => size_of_val(values.as_slice()),
            Self::Text { offsets, text } => size_of_val(offsets.as_slice()).saturating_add(text.len()),
            Self::Binary { offsets, bytes } => size_of_val(offsets.as_slice()).saturating_add(bytes.len()),
        }
    }
}

fn span(offsets: &[u32], position: usize) -> Option<Range<usize>> {
    let (start, end) = (offsets.get(position)?, offsets.get(position.checked_add(1)?)?);
    Some(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
}

/// A column of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    column_type: ColumnType,
    validity: Bitmap,
    values: Values,
}

impl Column {
    /// A column without rows.
    pub fn new(column_type: ColumnType) -> Self {
        Self { column_type, validity: Bitmap::default(), values: Values::new(column_type) }
    }

    /// A column of decoded values; the values must be of the type, and as many as rows are valid.
    pub(super) fn from_parts(column_type: ColumnType, validity: Bitmap, values: Values) -> Result<Self> {
        if std::mem::discriminant(&values) == std::mem::discriminant(&Values::new(column_type))
            && values.len() == validity.count()
        {
            return Ok(Self { column_type, validity, values });
        }
        let message = format!("expected {} values of a {column_type} column, got {}", validity.count(), values.len());
        Err(StorageError::new(ErrorKind::Internal, StorageTier::Hot, "build column", message))
    }

    /// The type of its values.
    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.validity.len()
    }

    /// How many rows are null.
    pub fn null_count(&self) -> usize {
        self.rows().saturating_sub(self.values.len())
    }

    /// Which rows have a value.
    pub fn validity(&self) -> &Bitmap {
        &self.validity
    }

    /// The values of the rows that have one.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Bytes that the column takes in memory.
    pub fn byte_size(&self) -> usize {
        self.values.byte_size().saturating_add(self.rows() / 8)
    }

    /// The value of a row; `None` when it is null or past the end.
    pub fn get(&self, row: usize) -> Option<Scalar<'_>> {
        if self.validity.get(row) { self.values.get(self.validity.rank(row)) } else { None }
    }

    /// A walk from the first row.
    pub fn cursor(&self) -> ColumnCursor<'_> {
        ColumnCursor { column: self, row: 0, value: 0 }
    }

    /// Appends null rows until there are `rows`.
    pub fn pad_to(&mut self, rows: usize) {
        while self.rows() < rows {
            self.validity.push(false);
        }
    }

    /// Appends a row with `value`, which must be of this column's type.
    pub fn push(&mut self, value: Scalar<'_>) -> Result<()> {
        match (&mut self.values, value) {
            (Values::Boolean(values), Scalar::Boolean(value)) => values.push(value),
            (Values::Int(values), Scalar::Int(value)) => values.push(value),
            (Values::Long(values), Scalar::Long(value)) => values.push(value),
            (Values::Float(values), Scalar::Float(value)) => values.push(value),
            (Values::Double(values), Scalar::Double(value)) => values.push(value),
            (Values::Decimal(values), Scalar::Decimal(value)) => values.push(value),
            (Values::Uuid(values), Scalar::Uuid(value)) => values.push(value),
            (Values::Text { offsets, text }, Scalar::Text(value)) => {
                offsets.push(offset(text.len(), value.len())?);
                text.push_str(&value);
            }
            (Values::Binary { offsets, bytes }, Scalar::Binary(value)) => {
                offsets.push(offset(bytes.len(), value.len())?);
                bytes.extend_from_slice(&value);
            }
            (_, value) => return Err(wrong_type(self.column_type, &value)),
        }
        self.validity.push(true);
        Ok(())
    }

    /// Appends a row with a value or without one.
    pub fn push_option(&mut self, value: Option<Scalar<'_>>) -> Result<()> {
        match value {
            Some(value) => self.push(value),
            None => {
                self.validity.push(false);
                Ok(())
            }
        }
    }
}

/// A walk along a column's rows, for when all of them are wanted.
#[derive(Clone, Debug)]
pub struct ColumnCursor<'a> {
    column: &'a Column,
    row: usize,
    value: usize,
}

impl<'a> ColumnCursor<'a> {
    /// The column that is walked.
    pub fn column(&self) -> &'a Column {
        self.column
    }

    /// The value of the next row; `None` when it is null, and past the end.
    pub fn next_value(&mut self) -> Option<Scalar<'a>> {
        let valid = self.column.validity.get(self.row);
        self.row += 1;
        if !valid {
            return None;
        }
        self.value += 1;
        self.column.values.get(self.value - 1)
    }

    /// Passes over the next row.
    pub fn skip_value(&mut self) {
        self.value += usize::from(self.column.validity.get(self.row));
        self.row += 1;
    }
}

/// Where a value of `length` bytes ends that begins at `start`.
fn offset(start: usize, length: usize) -> Result<u32> {
    start.checked_add(length).and_then(|end| u32::try_from(end).ok()).ok_or_else(|| {
        let message = "expected at most 4 GiB of values in one column, got more; use fewer rows at once";
        StorageError::new(ErrorKind::TooLarge, StorageTier::Hot, "build column", message)
    })
}

fn wrong_type(column_type: ColumnType, value: &Scalar<'_>) -> StorageError {
    let message = format!("expected a value of a {column_type} column, got {value:?}");
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "build column", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back_as_they_were_pushed(rows in prop::collection::vec(prop::option::of(".{0,5}"), 0..200)) {
            let mut column = Column::new(ColumnType::String);
            for row in &rows {
                column.push_option(row.as_deref().map(|text| Scalar::Text(text.into()))).unwrap();
            }
            prop_assert_eq!(column.rows(), rows.len());
            prop_assert_eq!(column.null_count(), rows.iter().filter(|row| row.is_none()).count());
            for (position, row) in rows.iter().enumerate() {
                prop_assert_eq!(column.get(position), row.as_deref().map(|text| Scalar::Text(text.into())));
            }
            prop_assert_eq!(column.get(rows.len()), None);
            let mut cursor = column.cursor();
            for row in &rows {
                prop_assert_eq!(cursor.next_value(), row.as_deref().map(|text| Scalar::Text(text.into())));
            }
            let mut cursor = column.cursor();
            for (position, row) in rows.iter().enumerate() {
                if position % 3 == 0 {
                    cursor.skip_value();
                } else {
                    prop_assert_eq!(cursor.next_value(), row.as_deref().map(|text| Scalar::Text(text.into())));
                }
            }
            prop_assert_eq!(column.validity().iter().collect::<Vec<_>>(), rows.iter().map(Option::is_some).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_and_changes_nothing() {
        let mut column = Column::new(ColumnType::Long);
        assert_eq!(column.push(Scalar::Int(1)).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(column, Column::new(ColumnType::Long));
        column.push(Scalar::Long(1)).unwrap();
        column.pad_to(70);
        column.push(Scalar::Long(2)).unwrap();
        assert_eq!((column.rows(), column.null_count(), column.get(70)), (71, 69, Some(Scalar::Long(2))));
    }
}
