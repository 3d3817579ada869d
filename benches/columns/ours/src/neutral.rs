//! Reads the plain bytes of a table that `peers.py` writes (`write_neutral`) into columns of so many rows each.

use std::borrow::Cow;

use thermocline::vortex::{Column, ColumnType, Scalar};

use crate::Failure;

/// A table cut into parts of the same rows.
#[derive(Default)]
pub struct Table {
    pub names: Vec<String>,
    /// For each part its columns, in the order of `names`.
    pub parts: Vec<Vec<Column>>,
}

struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("the table's bytes end too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Failure> {
        Ok(self.take(LENGTH)?.try_into()?)
    }

    fn number(&mut self) -> Result<usize, Failure> {
        Ok(usize::try_from(u32::from_le_bytes(self.array()?))?)
    }

    fn text(&mut self) -> Result<&'b str, Failure> {
        let length = self.number()?;
        Ok(std::str::from_utf8(self.take(length)?)?)
    }
}

/// The values of one column that are left to read.
struct ColumnBytes<'b> {
    column_type: ColumnType,
    /// Of texts only.
    lengths: Bytes<'b>,
    values: Bytes<'b>,
}

impl<'b> ColumnBytes<'b> {
    fn read(column_type: ColumnType, bytes: &mut Bytes<'b>) -> Result<Self, Failure> {
        let count = bytes.number()?;
        let mut lengths = Bytes(&[]);
        let values = match column_type {
            ColumnType::Boolean => bytes.take(count)?,
            ColumnType::Long | ColumnType::Timestamp | ColumnType::Double => bytes.take(count * 8)?,
            ColumnType::String | ColumnType::Json => {
                lengths = Bytes(bytes.take(count * 4)?);
                let (each, _) = lengths.0.as_chunks();
                let sum: u64 = each.iter().map(|length| u64::from(u32::from_le_bytes(*length))).sum();
                bytes.take(usize::try_from(sum)?)?
            }
            other => return Err(format!("no table has a column of the type {other} yet").into()),
        };
        Ok(Self { column_type, lengths, values: Bytes(values) })
    }

    fn next(&mut self) -> Result<Scalar<'b>, Failure> {
        Ok(match self.column_type {
            ColumnType::Boolean => Scalar::Boolean(self.values.array()? != [0]),
            ColumnType::Double => Scalar::Double(f64::from_le_bytes(self.values.array()?)),
            ColumnType::String | ColumnType::Json => {
                let length = self.lengths.number()?;
                Scalar::Text(Cow::Borrowed(std::str::from_utf8(self.values.take(length)?)?))
            }
            _ => Scalar::Long(i64::from_le_bytes(self.values.array()?)),
        })
    }
}

impl Table {
    pub fn read(bytes: &[u8], rows_of_a_part: usize) -> Result<Self, Failure> {
        let mut bytes = Bytes(bytes);
        let mut table = Self::default();
        for _ in 0..bytes.number()? {
            table.names.push(bytes.text()?.to_owned());
            let column_type: ColumnType = bytes.text()?.parse()?;
            let rows = bytes.number()?;
            let valid = bytes.take(rows)?;
            let mut values = ColumnBytes::read(column_type, &mut bytes)?;
            table.parts.resize_with(rows.div_ceil(rows_of_a_part), Vec::new);
            for (part, valid) in table.parts.iter_mut().zip(valid.chunks(rows_of_a_part)) {
                let mut column = Column::new(column_type);
                for valid in valid {
                    column.push_option(if *valid == 1 { Some(values.next()?) } else { None })?;
                }
                part.push(column);
            }
        }
        Ok(table)
    }
}
