//! The rows of a column that match, found on what is encoded where that is natural; and the rows that were found.

use super::predicate::{Predicate, Verdict};
use super::read::{Blob, EncodedValues, byte_values, integers, wide};
use crate::error::Result;
use crate::vortex::column::{Bitmap, Column};
use crate::vortex::column_type::ColumnType;
use crate::vortex::encoding::Budget;
use crate::vortex::encoding::wire::corrupt;
use crate::vortex::value::Scalar;
use std::borrow::Cow;
use uuid::Uuid;

impl Blob<'_> {
    /// The rows whose value in a column matches. Statistics answer first; a constant, the distinct values of a
    /// dictionary and the values of runs are tested once each, and only what is left is decoded row by row.
    pub fn select(&self, position: usize, predicate: &Predicate<'_>, budget: &mut Budget) -> Result<Bitmap> {
        let entry = self.index().column(position)?;
        let rows = self.rows();
        match predicate.verdict(&entry.statistics, rows) {
            Verdict::Never => return Ok(Bitmap::repeated(false, rows)),
            Verdict::Always => return Ok(Bitmap::repeated(true, rows)),
            Verdict::Perhaps => {}
        }
        let column = self.verified(position)?;
        let valid = column.validity.decode(0..rows, budget)?;
        if matches!(predicate, Predicate::IsNull | Predicate::IsNotNull) {
            return Ok(if *predicate == Predicate::IsNull { valid.validity.inverted() } else { valid.validity });
        }
        let matching = column.values.matching(column.column_type, predicate, budget)?;
        if valid.validity.count() == rows {
            return Ok(matching);
        }
        let mut selected = Bitmap::repeated(false, rows);
        for (value, row) in valid.validity.positions().enumerate() {
            selected.set(row, matching.get(value));
        }
        Ok(selected)
    }

    /// The values of the selected rows of a column, one after the other; blocks without any are not decoded.
    pub fn gather(&self, position: usize, selected: &Bitmap, budget: &mut Budget) -> Result<Column> {
        let rows = self.rows();
        if selected.len() != rows {
            return Err(corrupt(format!("expected a selection among {rows} rows, got one among {}", selected.len())));
        }
        let column = self.verified(position)?;
        let valid = column.validity.decode(0..rows, budget)?;
        let mut validity = Bitmap::default();
        let mut positions = budget.vector(selected.count())?;
        let mut value = 0;
        for row in 0..rows {
            let has_value = valid.validity.get(row);
            if selected.get(row) {
                validity.push(has_value);
                if has_value {
                    positions.push(value);
                }
            }
            value += usize::from(has_value);
        }
        let values = match &column.values {
            EncodedValues::Boolean(values) => {
                let all = values.decode(0..value, budget)?;
                crate::vortex::column::Values::Boolean(
                    positions.iter().filter_map(|position| all.get(*position).copied()).collect(),
                )
            }
            EncodedValues::Integer(values) => integers(column.column_type, values.gather(&positions, budget)?, budget)?,
            EncodedValues::Float(values) => crate::vortex::column::Values::Float(values.gather(&positions, budget)?),
            EncodedValues::Double(values) => crate::vortex::column::Values::Double(values.gather(&positions, budget)?),
            EncodedValues::Wide(values) => wide(column.column_type, &values.gather(&positions, budget)?, budget)?,
            EncodedValues::Bytes(values) => byte_values(column.column_type, values.gather(&positions, budget)?)?,
        };
        Column::from_parts(column.column_type, validity, values)
    }
}

impl EncodedValues<'_> {
    /// Which of the values match.
    fn matching(&self, column_type: ColumnType, predicate: &Predicate<'_>, budget: &mut Budget) -> Result<Bitmap> {
        let is_int = matches!(column_type, ColumnType::Int | ColumnType::Date);
        match self {
            Self::Boolean(values) => {
                let answers = [false, true].map(|value| predicate.matches(&Scalar::Boolean(value)));
                let values = values.decode(0..values.count(), budget)?;
                let [when_false, when_true] = answers;
                Ok(values.iter().map(|value| if *value { when_true } else { when_false }).collect())
            }
            Self::Integer(values) if is_int => values.matching(
                &|value: i64| i32::try_from(value).is_ok_and(|value| predicate.matches(&Scalar::Int(value))),
                budget,
            ),
            Self::Integer(values) => values.matching(&|value| predicate.matches(&Scalar::Long(value)), budget),
            Self::Float(values) => values.matching(&|value| predicate.matches(&Scalar::Float(value)), budget),
            Self::Double(values) => values.matching(&|value| predicate.matches(&Scalar::Double(value)), budget),
            Self::Wide(values) if column_type == ColumnType::Uuid => values.matching(
                &|value: u128| predicate.matches(&Scalar::Uuid(Uuid::from_bytes(value.to_le_bytes()))),
                budget,
            ),
            Self::Wide(values) => {
                values.matching(&|value: u128| predicate.matches(&Scalar::Decimal(value.cast_signed())), budget)
            }
            Self::Bytes(values) if column_type == ColumnType::Binary => {
                values.matching(&|value| predicate.matches(&Scalar::Binary(Cow::Borrowed(value))), budget)
            }
            Self::Bytes(values) => values.matching(
                &|value| {
                    std::str::from_utf8(value).is_ok_and(|text| predicate.matches(&Scalar::Text(Cow::Borrowed(text))))
                },
                budget,
            ),
        }
    }
}
