//! The values of a field in the selected rows, as what orders and conditions see of them.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ryu_js::Buffer;

use super::super::order::{KeyRef, OrderKey, whole};
use super::place::{DOUBLES_APART, FLOATS_APART, is_in_key_order};
use super::{Field, RowField, SegmentScan, Selected, missing};
use crate::error::Result;
use crate::types::Json;
use crate::vortex::{Column, ColumnType, Scalar, Values, format_date, format_timestamp};

/// The slot of a row without a value.
const NO_VALUE: u32 = u32::MAX;

/// A value for each selected row.
pub(super) enum KeyColumn {
    /// All are null.
    Nulls,
    /// Those of a column; `slots` tells where each row's is among its values.
    Typed { column: Column, slots: Option<Vec<u32>> },
    /// One by one.
    Keys(Vec<OrderKey>),
}

impl SegmentScan<'_> {
    /// The values of a field, whose columns were brought.
    pub(super) fn keys(&mut self, field: &Field<'_>, selected: &Selected) -> Result<KeyColumn> {
        match field {
            Field::Absent => Ok(KeyColumn::Nulls),
            Field::ByRow(field) => self.row_keys(field, selected).map(KeyColumn::Keys),
            Field::Column(position) => {
                let column = self.column(*position, selected)?;
                if column.column_type() != ColumnType::Json {
                    return Ok(KeyColumn::typed(column));
                }
                let mut cursor = column.cursor();
                let keys = (0..column.rows()).map(|_| owned_key(&column, cursor.next_value()));
                keys.collect::<Result<_>>().map(KeyColumn::Keys)
            }
        }
    }

    fn row_keys(&mut self, field: &RowField<'_>, selected: &Selected) -> Result<Vec<OrderKey>> {
        let mut column = |position: Option<usize>| position.map(|position| self.column(position, selected)).transpose();
        let (extra, whole, outer) = (column(field.extra)?, column(field.whole)?, column(field.outer)?);
        let (mut extras, mut wholes, mut outers) = (
            extra.as_ref().map(Column::cursor),
            whole.as_ref().map(Column::cursor),
            outer.as_ref().map(Column::cursor),
        );
        let mut keys = Vec::with_capacity(selected.count);
        for _ in 0..selected.count {
            let extra_text = extras.as_mut().and_then(|cursor| cursor.next_value());
            let whole_value = wholes.as_mut().and_then(|cursor| cursor.next_value());
            let outer_text = outers.as_mut().and_then(|cursor| cursor.next_value());
            let rest = parse(&extra_text)?;
            let name = field.path.as_str();
            keys.push(match (rest.as_ref().and_then(|rest| rest.get(name)), whole_value) {
                (Some(found), _) => OrderKey::of(Some(found)),
                (None, Some(value)) => {
                    whole.as_ref().map_or(Ok(OrderKey::Null), |whole| owned_key(whole, Some(value)))?
                }
                (None, None) => inside(name, rest.as_ref(), parse(&outer_text)?.as_ref()),
            });
        }
        Ok(keys)
    }
}

/// The value inside the first component of a path, which `_extra` has where the column has not.
fn inside(name: &str, extra: Option<&Json<'_>>, outer: Option<&Json<'_>>) -> OrderKey {
    let Some((first, rest)) = name.split_once('.') else { return OrderKey::Null };
    let outer = extra.and_then(|extra| extra.get(first)).or(outer);
    let found = outer
        .and_then(|outer| super::super::path::FieldPath::new(rest).find(outer).map(|found| OrderKey::of(Some(found))));
    found.unwrap_or(OrderKey::Null)
}

fn parse<'t>(text: &'t Option<Scalar<'_>>) -> Result<Option<Json<'t>>> {
    match text {
        Some(Scalar::Text(text)) => Json::parse(text).map(Some),
        _ => Ok(None),
    }
}

fn owned_key(column: &Column, value: Option<Scalar<'_>>) -> Result<OrderKey> {
    value.map_or(Ok(OrderKey::Null), |value| scalar_key(column.column_type(), value).map(KeyRef::into_owned))
}

/// What the canonical text of a column's value says.
pub(super) fn scalar_key(column_type: ColumnType, value: Scalar<'_>) -> Result<KeyRef<'_>> {
    Ok(match (column_type, value) {
        (ColumnType::Json, Scalar::Text(text)) => {
            if text.starts_with(['{', '[']) {
                return Ok(KeyRef::Json(text));
            }
            OrderKey::of(Some(&Json::parse(&text)?)).into()
        }
        (ColumnType::Date, Scalar::Int(days)) => KeyRef::Text(Cow::Owned(format_date(days))),
        (ColumnType::Timestamp, Scalar::Long(micros)) => KeyRef::Text(Cow::Owned(format_timestamp(micros))),
        (_, Scalar::Boolean(value)) => KeyRef::Boolean(value),
        (_, Scalar::Int(value)) => KeyRef::Integer(i128::from(value)),
        (_, Scalar::Long(value)) => KeyRef::Integer(i128::from(value)),
        (_, Scalar::Float(value)) => float_key(value),
        (_, Scalar::Double(value)) => double_key(value),
        (_, Scalar::Decimal(unscaled)) => decimal_key(column_type, unscaled),
        (_, Scalar::Uuid(value)) => KeyRef::Text(Cow::Owned(value.hyphenated().to_string())),
        (_, Scalar::Text(text)) => KeyRef::Text(text),
        (_, Scalar::Binary(bytes)) => KeyRef::Text(Cow::Owned(STANDARD.encode(bytes))),
    })
}

impl From<OrderKey> for KeyRef<'_> {
    fn from(key: OrderKey) -> Self {
        match key {
            OrderKey::Null => Self::Null,
            OrderKey::Boolean(value) => Self::Boolean(value),
            OrderKey::Integer(value) => Self::Integer(value),
            OrderKey::Double(value) => Self::Double(value),
            OrderKey::Text(text) => Self::Text(Cow::Owned(text)),
            OrderKey::Json(text) => Self::Json(Cow::Owned(text)),
        }
    }
}

#[inline]
pub(super) fn double_key(value: f64) -> KeyRef<'static> {
    if value.abs() < DOUBLES_APART {
        return whole(value).map_or(KeyRef::Double(value), KeyRef::Integer);
    }
    KeyRef::number(Buffer::new().format(value)).into_owned().into()
}

fn float_key(value: f32) -> KeyRef<'static> {
    match whole(f64::from(value)) {
        Some(integer) if value.abs() <= FLOATS_APART => KeyRef::Integer(integer),
        _ => KeyRef::number(Buffer::new().format(value)).into_owned().into(),
    }
}

fn decimal_key(column_type: ColumnType, unscaled: i128) -> KeyRef<'static> {
    let scale = match column_type {
        ColumnType::Decimal { scale, .. } => u32::from(scale),
        _ => 0,
    };
    if let Some(unit) = 10_i128.checked_pow(scale)
        && unscaled % unit == 0
    {
        return KeyRef::Integer(unscaled / unit);
    }
    let mut text = String::new();
    column_type.write_canonical(&Scalar::Decimal(unscaled), &mut text);
    KeyRef::number(&text).into_owned().into()
}

impl KeyColumn {
    fn typed(column: Column) -> Self {
        if column.null_count() == 0 {
            return Self::Typed { column, slots: None };
        }
        let mut slots = vec![NO_VALUE; column.rows()];
        for (slot, row) in (0_u32..).zip(column.validity().positions()) {
            if let Some(place) = slots.get_mut(row) {
                *place = slot;
            }
        }
        Self::Typed { column, slots: Some(slots) }
    }

    /// Where the value of a selected row is.
    fn slot(slots: Option<&Vec<u32>>, row: usize) -> Option<usize> {
        match slots {
            None => Some(row),
            Some(slots) => {
                slots.get(row).filter(|slot| **slot != NO_VALUE).and_then(|slot| usize::try_from(*slot).ok())
            }
        }
    }

    /// The value of a selected row.
    pub(super) fn get(&self, row: usize) -> Result<KeyRef<'_>> {
        match self {
            Self::Nulls => Ok(KeyRef::Null),
            Self::Keys(keys) => keys.get(row).map(OrderKey::borrowed).ok_or_else(|| missing("a value for each row")),
            Self::Typed { column, slots } => {
                match Self::slot(slots.as_ref(), row).and_then(|slot| column.values().get(slot)) {
                    Some(scalar) => scalar_key(column.column_type(), scalar),
                    None => Ok(KeyRef::Null),
                }
            }
        }
    }

    /// How the value of a selected row compares with another.
    pub(super) fn compare_with(&self, row: usize, other: &OrderKey) -> Result<Ordering> {
        // What most orders are by, without making a key of each row's value.
        if let (Self::Typed { column, slots }, OrderKey::Integer(other)) = (self, other)
            && let (ColumnType::Long, Values::Long(values)) = (column.column_type(), column.values())
            && let Some(value) = Self::slot(slots.as_ref(), row).and_then(|slot| values.get(slot))
        {
            return Ok(i128::from(*value).cmp(other));
        }
        Ok(self.get(row)?.compare(&other.borrowed()))
    }

    /// How the values of two selected rows compare.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        match self {
            Self::Nulls => Ordering::Equal,
            Self::Typed { column, slots } if is_in_key_order(column.column_type()) => {
                match (Self::slot(slots.as_ref(), left), Self::slot(slots.as_ref(), right)) {
                    (Some(left), Some(right)) => compare_values(column.values(), left, right),
                    (left, right) => left.is_some().cmp(&right.is_some()),
                }
            }
            _ => match (self.get(left), self.get(right)) {
                (Ok(left), Ok(right)) => left.compare(&right),
                // What cannot be read is found when it is answered.
                (left, right) => left.is_ok().cmp(&right.is_ok()),
            },
        }
    }

    /// The column whose values these are, when they are in the order of their keys.
    pub(super) fn column(&self) -> Option<(&Column, Option<&Vec<u32>>)> {
        match self {
            Self::Typed { column, slots } => Some((column, slots.as_ref())),
            _ => None,
        }
    }
}

fn compare_values(values: &Values, left: usize, right: usize) -> Ordering {
    match values {
        Values::Boolean(values) => values.get(left).cmp(&values.get(right)),
        Values::Int(values) => values.get(left).cmp(&values.get(right)),
        Values::Long(values) => values.get(left).cmp(&values.get(right)),
        Values::Decimal(values) => values.get(left).cmp(&values.get(right)),
        Values::Uuid(values) => values.get(left).cmp(&values.get(right)),
        Values::Float(values) => number(values.get(left)).total_cmp(&number(values.get(right))),
        Values::Double(values) => {
            // Zeros of either sign are one number.
            let value = |at| values.get(at).copied().unwrap_or_default() + 0.0;
            f64::total_cmp(&value(left), &value(right))
        }
        Values::Text { .. } | Values::Binary { .. } => match (values.get(left), values.get(right)) {
            (Some(Scalar::Text(left)), Some(Scalar::Text(right))) => left.cmp(&right),
            (Some(Scalar::Binary(left)), Some(Scalar::Binary(right))) => left.cmp(&right),
            _ => Ordering::Equal,
        },
    }
}

fn number(value: Option<&f32>) -> f32 {
    value.copied().unwrap_or_default() + 0.0
}
