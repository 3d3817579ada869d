//! A column as its distinct values and which of them each row has, where it lies in the blob like that.

use super::read::{Blob, EncodedValues, byte_values, integers, wide};
use crate::error::Result;
use crate::vortex::column::{Bitmap, Values};
use crate::vortex::encoding::Budget;
use crate::vortex::encoding::bytes::ByteValues;
use crate::vortex::encoding::fixed::Node;

/// The rows of a column by the position of their value among a few.
///
/// Some of the values may be no row's, and two may be alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// The values.
    pub values: Values,
    /// For each row that has a value, in order, its position; below the number of values.
    pub codes: Vec<u32>,
    /// Which rows have a value.
    pub validity: Bitmap,
}

impl Blob<'_> {
    /// The column in this form; `None` when it is laid out in another, and when one of the values, perhaps no row's, is
    /// not of the column's type: then rows decide.
    pub fn codes(&self, position: usize, budget: &mut Budget) -> Result<Option<Coded>> {
        let column = self.verified(position)?;
        let valid = column.validity.decode(0..self.rows(), budget)?;
        let count = column.values.count();
        let column_type = column.column_type;
        let (values, codes) = match &column.values {
            EncodedValues::Bytes(ByteValues::Dictionary { values, codes }) => {
                let values = values.decode(0..values.count(), budget)?;
                (byte_values(column_type, values), codes.decode(0..count, budget)?)
            }
            EncodedValues::Bytes(values @ ByteValues::Constant { .. }) if count > 0 => {
                (byte_values(column_type, values.decode(0..1, budget)?), zeros(count, budget)?)
            }
            EncodedValues::Integer(Node::Dictionary(dictionary)) => {
                let values = dictionary.values.decode(0..dictionary.values.count(), budget)?;
                (integers(column_type, values, budget), dictionary.codes.decode(0..count, budget)?)
            }
            EncodedValues::Integer(values @ Node::Constant(_)) if count > 0 => {
                (integers(column_type, values.decode(0..1, budget)?, budget), zeros(count, budget)?)
            }
            EncodedValues::Double(Node::Dictionary(dictionary)) => {
                let values = dictionary.values.decode(0..dictionary.values.count(), budget)?;
                (Ok(Values::Double(values)), dictionary.codes.decode(0..count, budget)?)
            }
            EncodedValues::Wide(Node::Dictionary(dictionary)) => {
                let values = dictionary.values.decode(0..dictionary.values.count(), budget)?;
                (wide(column_type, &values, budget), dictionary.codes.decode(0..count, budget)?)
            }
            _ => return Ok(None),
        };
        let Ok(values) = values else { return Ok(None) };
        let known = u32::try_from(values.len()).unwrap_or(u32::MAX);
        if codes.iter().any(|code| *code >= known) {
            return Ok(None);
        }
        Ok(Some(Coded { values, codes, validity: valid.validity }))
    }
}

fn zeros(count: usize, budget: &mut Budget) -> Result<Vec<u32>> {
    let mut codes = budget.vector(count)?;
    codes.resize(count, 0);
    Ok(codes)
}
