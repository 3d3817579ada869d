//! The rows of a column that match, found on what is encoded where that is natural; and the rows that were found.

use std::borrow::Cow;
use std::cell::Cell;

use super::predicate::{Predicate, Verdict};
use super::read::{Blob, EncodedValues, byte_values, integers, is_int, wide, wide_scalar};
use crate::error::Result;
use crate::vortex::column::{Bitmap, Column, Values};
use crate::vortex::column_type::ColumnType;
use crate::vortex::encoding::Budget;
use crate::vortex::encoding::wire::corrupt;
use crate::vortex::value::Scalar;

impl Blob<'_> {
    /// The rows whose value in a column matches. Statistics answer first; a constant, the distinct values of a
    /// dictionary and the values of runs are tested once each, and only what is left is decoded row by row.
    pub fn select(&self, position: usize, predicate: &Predicate<'_>, budget: &mut Budget) -> Result<Bitmap> {
        let entry = self.index().column(position)?;
        let rows = self.rows();
        match predicate.verdict(entry.column_type, &entry.statistics, rows) {
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
                Values::Boolean(positions.iter().filter_map(|position| all.get(*position).copied()).collect())
            }
            EncodedValues::Integer(values) => integers(column.column_type, values.gather(&positions, budget)?, budget)?,
            EncodedValues::Float(values) => Values::Float(values.gather(&positions, budget)?),
            EncodedValues::Double(values) => Values::Double(values.gather(&positions, budget)?),
            EncodedValues::Wide(values) => wide(column.column_type, &values.gather(&positions, budget)?, budget)?,
            EncodedValues::Bytes(values) => byte_values(column.column_type, values.gather(&positions, budget)?)?,
        };
        Column::from_parts(column.column_type, validity, values)
    }
}

impl EncodedValues<'_> {
    /// Which of the values match. A row's value that its type cannot hold is an error here as it is where rows are decoded.
    fn matching(&self, column_type: ColumnType, predicate: &Predicate<'_>, budget: &mut Budget) -> Result<Bitmap> {
        let stray = Cell::new(false);
        let test = |scalar: Option<Scalar<'_>>| {
            stray.set(stray.get() || scalar.is_none());
            scalar.is_some_and(|scalar| predicate.matches(&scalar))
        };
        let matching = match self {
            Self::Boolean(values) => {
                let [when_false, when_true] = [false, true].map(|value| predicate.matches(&Scalar::Boolean(value)));
                let values = values.decode(0..values.count(), budget)?;
                values.iter().map(|value| if *value { when_true } else { when_false }).collect()
            }
            Self::Integer(values) if is_int(column_type) => {
                values.matching(&|value: i64| test(i32::try_from(value).ok().map(Scalar::Int)), budget)?
            }
            Self::Integer(values) => match predicate.long_range() {
                Some((low, high)) => values.matching(&|value| low <= value && value <= high, budget)?,
                None => values.matching(&|value| test(Some(Scalar::Long(value))), budget)?,
            },
            Self::Float(values) => values.matching(&|value| test(Some(Scalar::Float(value))), budget)?,
            Self::Double(values) => match predicate.double_range() {
                Some((low, high)) => values.matching(&|value| low <= value && value <= high, budget)?,
                None => values.matching(&|value| test(Some(Scalar::Double(value))), budget)?,
            },
            Self::Wide(values) => values.matching(&|value| test(Some(wide_scalar(column_type, value))), budget)?,
            Self::Bytes(values) if column_type == ColumnType::Binary => {
                values.matching(&|value| test(Some(Scalar::Binary(Cow::Borrowed(value)))), budget)?
            }
            Self::Bytes(values) => values.matching(
                &|value| test(std::str::from_utf8(value).ok().map(|text| Scalar::Text(Cow::Borrowed(text)))),
                budget,
            )?,
        };
        if !stray.get() {
            return Ok(matching);
        }
        // A value that no row has, such as one of a dictionary that no code names, must not be judged: rows decide.
        let values = self.decode(column_type, 0..self.count(), budget)?;
        Ok((0..values.len()).map(|at| values.get(at).is_some_and(|value| predicate.matches(&value))).collect())
    }
}
