//! A blob's columns.

use std::borrow::Cow;
use std::ops::Range;

use uuid::Uuid;

use super::index::{BlobIndex, ColumnEntry, Opened};
use super::{FOOTER_BYTES, HEADER_BYTES, checksum, read_type};
use crate::error::Result;
use crate::vortex::column::{Column, Values};
use crate::vortex::column_type::ColumnType;
use crate::vortex::encoding::booleans::Booleans;
use crate::vortex::encoding::bytes::{ByteValues, Decoded};
use crate::vortex::encoding::fixed::Node;
use crate::vortex::encoding::validity::Validity;
use crate::vortex::encoding::wire::{Bytes, corrupt};
use crate::vortex::encoding::{Budget, Touched};
use crate::vortex::value::Scalar;

/// A blob, or those of its columns that were brought.
#[derive(Clone, Debug)]
pub struct Blob<'b> {
    index: Cow<'b, BlobIndex>,
    bytes: BlobBytes<'b>,
}

/// Where a blob's columns are.
#[derive(Clone, Debug)]
enum BlobBytes<'b> {
    /// In the blob.
    Whole(&'b [u8]),
    /// By position; `None` for those that were not brought.
    Columns(Vec<Option<&'b [u8]>>),
}

/// One value, and what reading it took.
#[derive(Clone, Debug, PartialEq)]
pub struct PointRead<'b> {
    /// The value; `None` when the row has none.
    pub value: Option<Scalar<'b>>,
    /// Bytes of the blob that were looked at.
    pub bytes_touched: usize,
    /// Values that were decoded on the way.
    pub values_decoded: usize,
}

/// A column that is read value by value, without its checksum.
#[derive(Clone, Debug)]
pub struct Points<'b>(EncodedColumn<'b>);

impl<'b> Points<'b> {
    /// The value of a row.
    pub fn value(&self, row: usize) -> Result<PointRead<'b>> {
        let mut touched = Touched::default();
        let value = self.0.value(row, &mut touched)?;
        Ok(PointRead { value, bytes_touched: touched.bytes, values_decoded: touched.values })
    }
}

/// A column as it lies in a blob.
#[derive(Clone, Debug)]
pub(super) struct EncodedColumn<'b> {
    pub column_type: ColumnType,
    pub validity: Validity<'b>,
    pub values: EncodedValues<'b>,
}

/// The node of a column's values.
#[derive(Clone, Debug)]
pub(super) enum EncodedValues<'b> {
    Boolean(Booleans<'b>),
    Integer(Node<'b, i64>),
    Float(Node<'b, f32>),
    Double(Node<'b, f64>),
    Wide(Node<'b, u128>),
    Bytes(ByteValues<'b>),
}

impl<'b> Blob<'b> {
    /// Opens a blob: header, index and footer are read and checked, the columns are not.
    pub fn open(bytes: &'b [u8]) -> Result<Self> {
        let Opened::Index(index) = BlobIndex::open(bytes, bytes.len())? else {
            return Err(corrupt("expected a blob with its index, got less"));
        };
        let copy_at = index.columns().last().map_or(HEADER_BYTES, |column| column.range().end);
        let copy = bytes.get(copy_at..).and_then(|index| index.get(..HEADER_BYTES));
        if bytes.get(..HEADER_BYTES) != copy || bytes.len() < HEADER_BYTES + FOOTER_BYTES {
            return Err(corrupt("expected a header like its copy in the index, got another"));
        }
        Ok(Self { index: Cow::Owned(index), bytes: BlobBytes::Whole(bytes) })
    }

    /// Some columns of a blob, by position: the bytes of each at its [`ColumnEntry::range`]. Reading another column is
    /// an error.
    pub fn of_columns(index: &'b BlobIndex, columns: Vec<Option<&'b [u8]>>) -> Self {
        Self { index: Cow::Borrowed(index), bytes: BlobBytes::Columns(columns) }
    }

    /// What the index says.
    pub fn index(&self) -> &BlobIndex {
        &self.index
    }

    /// How many rows each column has.
    pub fn rows(&self) -> usize {
        self.index.rows()
    }

    /// The columns, in the order in which they were written.
    pub fn columns(&self) -> &[ColumnEntry] {
        self.index.columns()
    }

    /// The position of the column of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.position(name)
    }

    /// The rows of a range of one column, after its checksum.
    pub fn decode(&self, position: usize, rows: Range<usize>, budget: &mut Budget) -> Result<Column> {
        self.index.decode(position, self.column_bytes(position)?, rows, budget)
    }

    /// Checks every column's checksum and decodes it.
    pub fn verify(&self, budget: &mut Budget) -> Result<()> {
        (0..self.columns().len())
            .try_for_each(|position| self.decode(position, 0..self.rows(), &mut budget.clone()).map(drop))
    }

    /// One value, without reading the rest of its column and so without its checksum.
    pub fn value(&self, position: usize, row: usize) -> Result<PointRead<'b>> {
        self.points(position)?.value(row)
    }

    /// A column of which several values are read one by one.
    pub fn points(&self, position: usize) -> Result<Points<'b>> {
        self.column(position).map(Points)
    }

    /// The encodings of a column's values, such as `dictionary(values: plain, codes: bit_packed)`.
    pub fn describe(&self, position: usize) -> Result<String> {
        Ok(self.column(position)?.values.describe())
    }

    /// A column, its checksum verified.
    pub(super) fn verified(&self, position: usize) -> Result<EncodedColumn<'b>> {
        self.index.verified(position, self.column_bytes(position)?)
    }

    fn column(&self, position: usize) -> Result<EncodedColumn<'b>> {
        EncodedColumn::parse(self.column_bytes(position)?, self.index.column(position)?, self.rows())
    }

    fn column_bytes(&self, position: usize) -> Result<&'b [u8]> {
        let entry = self.index.column(position)?;
        let bytes = match &self.bytes {
            BlobBytes::Whole(bytes) => bytes.get(entry.range()),
            BlobBytes::Columns(columns) => {
                columns.get(position).copied().flatten().filter(|bytes| bytes.len() == entry.bytes())
            }
        };
        bytes.ok_or_else(|| corrupt(format!("expected the bytes of column {:?}, got others", entry.name)))
    }
}

impl BlobIndex {
    /// The rows of a range of one column from that column's bytes alone ([`ColumnEntry::range`]), after their checksum.
    pub fn decode(&self, position: usize, bytes: &[u8], rows: Range<usize>, budget: &mut Budget) -> Result<Column> {
        self.verified(position, bytes)?.decode(rows, budget)
    }

    fn verified<'b>(&self, position: usize, bytes: &'b [u8]) -> Result<EncodedColumn<'b>> {
        let entry = self.column(position)?;
        if checksum(bytes) != entry.checksum {
            return Err(corrupt(format!(
                "expected column {:?} with checksum {:08x}, got {:08x}",
                entry.name,
                entry.checksum,
                checksum(bytes)
            )));
        }
        EncodedColumn::parse(bytes, entry, self.rows())
    }
}

impl<'b> EncodedColumn<'b> {
    fn parse(bytes: &'b [u8], entry: &ColumnEntry, rows: usize) -> Result<Self> {
        let mut bytes = Bytes::new(bytes);
        let column_type = read_type(&mut bytes)?;
        let validity = Validity::parse(bytes.part()?, rows)?;
        let count = validity.count()?;
        let encoding = bytes.rest().first().copied();
        if column_type != entry.column_type
            || encoding != Some(entry.encoding.id())
            || count != rows - entry.statistics.null_count
        {
            return Err(corrupt(format!(
                "expected column {:?} to be as its index entry says: {}, {}, {} nulls",
                entry.name, entry.column_type, entry.encoding, entry.statistics.null_count
            )));
        }
        Ok(Self { column_type, validity, values: EncodedValues::parse(column_type, bytes, count)? })
    }

    pub(super) fn decode(&self, rows: Range<usize>, budget: &mut Budget) -> Result<Column> {
        let valid = self.validity.decode(rows, budget)?;
        let values = self.values.decode(self.column_type, valid.values, budget)?;
        Column::from_parts(self.column_type, valid.validity, values)
    }

    fn value(&self, row: usize, touched: &mut Touched) -> Result<Option<Scalar<'b>>> {
        let Some(position) = self.validity.position(row, touched)? else { return Ok(None) };
        self.values.get(self.column_type, position, touched).map(Some)
    }
}

impl<'b> EncodedValues<'b> {
    fn parse(column_type: ColumnType, bytes: Bytes<'b>, count: usize) -> Result<Self> {
        Ok(match column_type {
            ColumnType::Boolean => Self::Boolean(Booleans::parse(bytes, count)?),
            ColumnType::Int | ColumnType::Date | ColumnType::Long | ColumnType::Timestamp => {
                Self::Integer(Node::parse(bytes, count, 1)?)
            }
            ColumnType::Float => Self::Float(Node::parse(bytes, count, 1)?),
            ColumnType::Double => Self::Double(Node::parse(bytes, count, 1)?),
            ColumnType::Decimal { .. } | ColumnType::Uuid => Self::Wide(Node::parse(bytes, count, 1)?),
            ColumnType::String | ColumnType::Json | ColumnType::Binary => {
                Self::Bytes(ByteValues::parse(bytes, count, 1)?)
            }
        })
    }

    /// How many values there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Boolean(values) => values.count(),
            Self::Integer(values) => values.count(),
            Self::Float(values) => values.count(),
            Self::Double(values) => values.count(),
            Self::Wide(values) => values.count(),
            Self::Bytes(values) => values.count(),
        }
    }

    pub(super) fn decode(&self, column_type: ColumnType, range: Range<usize>, budget: &mut Budget) -> Result<Values> {
        Ok(match self {
            Self::Boolean(values) => Values::Boolean(values.decode(range, budget)?),
            Self::Integer(values) => integers(column_type, values.decode(range, budget)?, budget)?,
            Self::Float(values) => Values::Float(values.decode(range, budget)?),
            Self::Double(values) => Values::Double(values.decode(range, budget)?),
            Self::Wide(values) => wide(column_type, &values.decode(range, budget)?, budget)?,
            Self::Bytes(values) => byte_values(column_type, values.decode(range, budget)?)?,
        })
    }

    fn get(&self, column_type: ColumnType, position: usize, touched: &mut Touched) -> Result<Scalar<'b>> {
        Ok(match self {
            Self::Boolean(values) => Scalar::Boolean(values.get(position, touched)?),
            Self::Integer(values) => {
                let value = values.get(position, touched)?;
                if is_int(column_type) { Scalar::Int(narrow(value)?) } else { Scalar::Long(value) }
            }
            Self::Float(values) => Scalar::Float(values.get(position, touched)?),
            Self::Double(values) => Scalar::Double(values.get(position, touched)?),
            Self::Wide(values) => wide_scalar(column_type, values.get(position, touched)?),
            Self::Bytes(values) => match (column_type, values.get(position, touched)?) {
                (ColumnType::Binary, value) => Scalar::Binary(value),
                (_, Cow::Borrowed(value)) => Scalar::Text(Cow::Borrowed(std::str::from_utf8(value).map_err(not_text)?)),
                (_, Cow::Owned(value)) => Scalar::Text(Cow::Owned(String::from_utf8(value).map_err(not_text)?)),
            },
        })
    }

    fn describe(&self) -> String {
        match self {
            Self::Boolean(values) => values.describe(),
            Self::Integer(values) => values.describe(),
            Self::Float(values) => values.describe(),
            Self::Double(values) => values.describe(),
            Self::Wide(values) => values.describe(),
            Self::Bytes(values) => values.describe(),
        }
    }
}

pub(super) fn is_int(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::Int | ColumnType::Date)
}

fn narrow(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| corrupt(format!("expected an integer of 32 bits, got {value}")))
}

pub(super) fn integers(column_type: ColumnType, values: Vec<i64>, budget: &mut Budget) -> Result<Values> {
    if !is_int(column_type) {
        return Ok(Values::Long(values));
    }
    let mut narrowed = budget.vector(values.len())?;
    for value in values {
        narrowed.push(narrow(value)?);
    }
    Ok(Values::Int(narrowed))
}

pub(super) fn wide_scalar(column_type: ColumnType, value: u128) -> Scalar<'static> {
    if column_type == ColumnType::Uuid {
        Scalar::Uuid(Uuid::from_bytes(value.to_le_bytes()))
    } else {
        Scalar::Decimal(value.cast_signed())
    }
}

pub(super) fn wide(column_type: ColumnType, values: &[u128], budget: &mut Budget) -> Result<Values> {
    if column_type == ColumnType::Uuid {
        let mut uuids = budget.vector(values.len())?;
        uuids.extend(values.iter().map(|value| Uuid::from_bytes(value.to_le_bytes())));
        return Ok(Values::Uuid(uuids));
    }
    let mut decimals = budget.vector(values.len())?;
    decimals.extend(values.iter().map(|value| value.cast_signed()));
    Ok(Values::Decimal(decimals))
}

pub(super) fn byte_values(column_type: ColumnType, decoded: Decoded) -> Result<Values> {
    let Decoded { offsets, bytes } = decoded;
    if column_type == ColumnType::Binary {
        return Ok(Values::Binary { offsets, bytes });
    }
    let text = String::from_utf8(bytes).map_err(not_text)?;
    let splits = |offset: &u32| text.is_char_boundary(usize::try_from(*offset).unwrap_or(usize::MAX));
    if !text.is_ascii() && !offsets.iter().all(splits) {
        return Err(corrupt("expected each value to be UTF-8"));
    }
    Ok(Values::Text { offsets, text })
}

fn not_text(error: impl std::error::Error + Send + Sync + 'static) -> crate::error::StorageError {
    corrupt("expected text in UTF-8").caused_by(error)
}
