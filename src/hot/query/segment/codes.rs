//! The values of a field in the selected rows as small numbers, so that rows are grouped without hashing a text each.

use std::collections::HashMap;
use std::hash::Hash;

use super::super::order::{KeyRef, OrderKey};
use super::keys::{KeyColumn, scalar_key};
use super::{Field, SegmentScan, Selected, blob};
use crate::error::Result;
use crate::vortex::blob::Coded;
use crate::vortex::{Bitmap, Column, ColumnType, Values};

/// For each selected row a code, and what the codes stand for. Two codes may stand for equal values, and some for none
/// of the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    pub of_row: Vec<u32>,
    pub values: Vec<OrderKey>,
}

impl SegmentScan<'_> {
    /// The values of a field, whose columns were brought, as codes.
    pub(super) fn codes(&mut self, field: &Field<'_>, selected: &Selected) -> Result<Codes> {
        if let Field::Column(position) = field {
            let column_type = self.entry(*position)?.column_type;
            if let Some(coded) = blob(self.source, &self.loaded, *position)?.codes(*position, &mut self.budget)? {
                return of_dictionary(column_type, coded, selected);
            }
            if column_type != ColumnType::Json {
                return of_column(&self.column(*position, selected)?);
            }
        }
        let keys = self.keys(field, selected)?;
        match &keys {
            KeyColumn::Nulls => Ok(Codes { of_row: vec![0; selected.count], values: vec![OrderKey::Null] }),
            _ => of_keys(&keys, selected.count),
        }
    }
}

fn code(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn of_dictionary(column_type: ColumnType, coded: Coded, selected: &Selected) -> Result<Codes> {
    let count = coded.values.len();
    let scalars = (0..count).filter_map(|at| coded.values.get(at));
    let mut values =
        scalars.map(|scalar| scalar_key(column_type, scalar).map(KeyRef::into_owned)).collect::<Result<Vec<_>>>()?;
    if coded.codes.len() == coded.validity.len() {
        let of_row = if selected.is_all() {
            coded.codes
        } else {
            selected.rows.positions().filter_map(|row| coded.codes.get(row).copied()).collect()
        };
        return Ok(Codes { of_row, values });
    }
    values.push(OrderKey::Null);
    let of_row = spread(&coded.validity, &coded.codes, code(count));
    let of_row = selected.rows.positions().filter_map(|row| of_row.get(row).copied()).collect();
    Ok(Codes { of_row, values })
}

/// A code for each row, `null` for those without a value.
fn spread(validity: &Bitmap, codes: &[u32], null: u32) -> Vec<u32> {
    let mut of_row = vec![null; validity.len()];
    for (code, row) in codes.iter().zip(validity.positions()) {
        if let Some(place) = of_row.get_mut(row) {
            *place = *code;
        }
    }
    of_row
}

fn of_column(column: &Column) -> Result<Codes> {
    let (codes, firsts) = number_values(column.values());
    let scalars = firsts.iter().filter_map(|slot| column.values().get(*slot));
    let mut values = scalars
        .map(|scalar| scalar_key(column.column_type(), scalar).map(KeyRef::into_owned))
        .collect::<Result<Vec<_>>>()?;
    if column.null_count() == 0 {
        return Ok(Codes { of_row: codes, values });
    }
    let null = code(values.len());
    values.push(OrderKey::Null);
    Ok(Codes { of_row: spread(column.validity(), &codes, null), values })
}

/// A code for each value, and where the first value of each code is.
fn number_values(values: &Values) -> (Vec<u32>, Vec<usize>) {
    match values {
        Values::Boolean(values) => number_all(values.iter()),
        Values::Int(values) => number_integers(&values.iter().map(|value| i64::from(*value)).collect::<Vec<_>>()),
        Values::Long(values) => number_integers(values),
        Values::Float(values) => number_all(values.iter().map(|value| (value + 0.0).to_bits())),
        Values::Double(values) => number_all(values.iter().map(|value| (value + 0.0).to_bits())),
        Values::Decimal(values) => number_all(values.iter()),
        Values::Uuid(values) => number_all(values.iter()),
        Values::Text { offsets, text } => number_all(spans(offsets).map(|span| text.get(span).unwrap_or_default())),
        Values::Binary { offsets, bytes } => number_all(spans(offsets).map(|span| bytes.get(span).unwrap_or_default())),
    }
}

fn spans(offsets: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let index = |offset: &u32| usize::try_from(*offset).unwrap_or(usize::MAX);
    offsets.iter().zip(offsets.iter().skip(1)).map(move |(start, end)| index(start)..index(end))
}

fn number_all<K: Hash + Eq>(values: impl Iterator<Item = K>) -> (Vec<u32>, Vec<usize>) {
    let mut known = HashMap::new();
    let mut firsts = Vec::new();
    let codes = values.enumerate().map(|(slot, value)| {
        *known.entry(value).or_insert_with(|| {
            firsts.push(slot);
            code(firsts.len().saturating_sub(1))
        })
    });
    (codes.collect(), firsts)
}

/// Integers that lie close together are numbered by a table.
fn number_integers(values: &[i64]) -> (Vec<u32>, Vec<usize>) {
    const UNKNOWN: u32 = u32::MAX;
    const ROOM: usize = 1_024;
    let (least, greatest) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let span = greatest.checked_sub(least).and_then(|span| usize::try_from(span).ok()).unwrap_or(usize::MAX);
    if span >= values.len().saturating_mul(4).saturating_add(ROOM) {
        return number_all(values.iter());
    }
    let mut known = vec![UNKNOWN; span.saturating_add(1)];
    let mut firsts = Vec::new();
    let codes = values.iter().enumerate().map(|(slot, value)| {
        let place = usize::try_from(value.wrapping_sub(least)).ok().and_then(|place| known.get_mut(place));
        place.map_or(0, |place| {
            if *place == UNKNOWN {
                *place = code(firsts.len());
                firsts.push(slot);
            }
            *place
        })
    });
    (codes.collect(), firsts)
}

fn of_keys(keys: &KeyColumn, count: usize) -> Result<Codes> {
    let mut known: HashMap<Box<[u8]>, u32> = HashMap::new();
    let mut codes = Codes::default();
    let mut identity = Vec::new();
    for row in 0..count {
        let key = keys.get(row)?;
        identity.clear();
        key.put_identity(&mut identity);
        let found = known.get(identity.as_slice()).copied();
        codes.of_row.push(found.unwrap_or_else(|| {
            let next = code(codes.values.len());
            known.insert(identity.as_slice().into(), next);
            codes.values.push(key.into_owned());
            next
        }));
    }
    Ok(codes)
}

/// Codes of the pairs of two lists of codes, and what each pair is.
pub(super) fn pair(left: &[u32], right: &[u32]) -> (Vec<u32>, Vec<(u32, u32)>) {
    let mut known: HashMap<u64, u32> = HashMap::new();
    let mut pairs = Vec::new();
    let mut last = None;
    let codes = left.iter().zip(right).map(|(left, right)| {
        let both = u64::from(*left) << 32 | u64::from(*right);
        // Neighbours are often alike.
        if let Some((before, code)) = last
            && before == both
        {
            return code;
        }
        let code = *known.entry(both).or_insert_with(|| {
            pairs.push((*left, *right));
            code(pairs.len().saturating_sub(1))
        });
        last = Some((both, code));
        code
    });
    (codes.collect(), pairs)
}
