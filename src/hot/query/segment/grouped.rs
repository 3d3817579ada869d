//! A segment's rows into groups: a group for each row first, then column by column. Without group keys, statistics
//! answer for a segment that is whole.

use std::collections::HashSet;

use super::super::aggregate::{Sum, Wanted};
use super::super::group::Groups;
use super::super::meter::Meter;
use super::super::order::OrderKey;
use super::codes::pair;
use super::keys::{KeyColumn, double_key};
use super::place::DOUBLES_APART;
use super::plan::Node;
use super::told::tell;
use super::{Field, SegmentScan, Selected};
use crate::error::Result;
use crate::vortex::{ColumnType, Values};

/// Which group each selected row is of.
struct Local {
    /// By the numbers of this segment's own groups.
    of_row: Vec<u32>,
    /// How many rows each of these has.
    rows: Vec<u64>,
    /// Which of the query's groups each is; `None` where no row is of it.
    groups: Vec<Option<usize>>,
}

fn index(code: u32) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}

/// Takes the rows of a segment that satisfy the condition into the groups.
pub(in super::super) fn scan_groups(
    scan: &mut SegmentScan<'_>,
    node: &Node<'_>,
    groups: &mut Groups<'_>,
    meter: &mut Meter,
) -> Result<()> {
    let selected = scan.select(node, meter)?;
    if selected.count == 0 {
        return Ok(());
    }
    let source = scan.source;
    let keys: Vec<Field<'_>> = groups.keys().iter().map(|path| Field::of(source, path)).collect();
    let wanted = groups.plan.columns.clone();
    let is_told = keys.is_empty() && selected.is_all();
    let (mut open, mut counted) = (Vec::new(), Vec::new());
    for (column, wanted) in wanted.iter().enumerate() {
        let field = Field::of(source, &wanted.path);
        if is_told && tell(scan, &field, wanted, column, groups)? {
            continue;
        }
        match field {
            Field::Column(position) if wanted.is_count() && scan.entry(position)?.statistics.null_count == 0 => {
                counted.push(column);
            }
            field => open.push((column, wanted, field)),
        }
    }
    let columns = keys.iter().chain(open.iter().map(|(_, _, field)| field)).flat_map(Field::positions);
    scan.load(columns.collect::<Vec<_>>(), meter)?;
    if scan.was_read() {
        meter.look(source.live().count());
    }
    let local = Local::new(scan, &keys, &selected, groups)?;
    for (group, column) in local.occupied().flat_map(|group| counted.iter().map(move |column| (group, *column))) {
        groups.add_present(group.1, column, local.rows.get(group.0).copied().unwrap_or(0));
    }
    for (column, wanted, field) in open {
        accumulate(scan, &field, wanted, column, &local, &selected, groups)?;
    }
    Ok(())
}

impl Local {
    fn new(
        scan: &mut SegmentScan<'_>,
        keys: &[Field<'_>],
        selected: &Selected,
        groups: &mut Groups<'_>,
    ) -> Result<Self> {
        if keys.is_empty() {
            let rows = u64::try_from(selected.count).unwrap_or(u64::MAX);
            groups.add_rows(0, rows);
            return Ok(Self { of_row: vec![0; selected.count], rows: vec![rows], groups: vec![Some(0)] });
        }
        // What each group's keys are, as codes of each field.
        let mut tuples: Vec<Vec<u32>> = vec![Vec::new()];
        let mut of_row: Option<Vec<u32>> = None;
        let mut values: Vec<Vec<OrderKey>> = Vec::new();
        for key in keys {
            let codes = scan.codes(key, selected)?;
            of_row = Some(match of_row {
                None => {
                    tuples = (0_u32..).take(codes.values.len()).map(|code| vec![code]).collect();
                    codes.of_row
                }
                Some(before) => {
                    let (of_row, pairs) = pair(&before, &codes.of_row);
                    let extended = pairs.iter().map(|(left, right)| {
                        let mut tuple = tuples.get(index(*left)).cloned().unwrap_or_default();
                        tuple.push(*right);
                        tuple
                    });
                    tuples = extended.collect();
                    of_row
                }
            });
            values.push(codes.values);
        }
        let of_row = of_row.unwrap_or_else(|| vec![0; selected.count]);
        let mut rows = vec![0_u64; tuples.len()];
        for code in &of_row {
            if let Some(count) = rows.get_mut(index(*code)) {
                *count += 1;
            }
        }
        let mut found = Vec::with_capacity(tuples.len());
        for (tuple, rows) in tuples.iter().zip(&rows) {
            if *rows == 0 {
                found.push(None);
                continue;
            }
            let keys = tuple.iter().zip(&values).filter_map(|(code, values)| values.get(index(*code)));
            let group = groups.group(keys.map(OrderKey::borrowed))?;
            groups.add_rows(group, *rows);
            found.push(Some(group));
        }
        Ok(Self { of_row, rows, groups: found })
    }

    /// The groups that have rows, with their numbers here.
    fn occupied(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.groups.iter().enumerate().filter_map(|(local, group)| group.map(|group| (local, group)))
    }
}

fn accumulate(
    scan: &mut SegmentScan<'_>,
    field: &Field<'_>,
    wanted: &Wanted,
    column: usize,
    local: &Local,
    selected: &Selected,
    groups: &mut Groups<'_>,
) -> Result<()> {
    if wanted.distinct {
        add_distinct(scan, field, column, local, selected, groups)?;
    }
    let keys = scan.keys(field, selected)?;
    match keys.column() {
        Some((values, slots)) => {
            add_present(slots, column, local, groups);
            if wanted.sum {
                add_sums(&keys, values.column_type(), values.values(), slots, column, local, groups)?;
            }
        }
        None => add_one_by_one(&keys, wanted, column, local, groups)?,
    }
    if wanted.least {
        add_extremes(&keys, std::cmp::Ordering::Less, column, local, groups)?;
    }
    if wanted.greatest {
        add_extremes(&keys, std::cmp::Ordering::Greater, column, local, groups)?;
    }
    Ok(())
}

fn add_present(slots: Option<&Vec<u32>>, column: usize, local: &Local, groups: &mut Groups<'_>) {
    let mut counts = vec![0_u64; local.rows.len()];
    let counts = match slots {
        None => &local.rows,
        Some(slots) => {
            for (code, slot) in local.of_row.iter().zip(slots) {
                if let Some(count) = counts.get_mut(index(*code)).filter(|_| *slot != u32::MAX) {
                    *count += 1;
                }
            }
            &counts
        }
    };
    for (at, group) in local.occupied() {
        groups.add_present(group, column, counts.get(at).copied().unwrap_or(0));
    }
}

/// The groups of the rows that have a value, in order.
fn valued<'l>(local: &'l Local, slots: Option<&'l Vec<u32>>) -> Box<dyn Iterator<Item = usize> + 'l> {
    match slots {
        None => Box::new(local.of_row.iter().map(|code| index(*code))),
        Some(slots) => {
            let rows = local.of_row.iter().zip(slots).filter(|(_, slot)| **slot != u32::MAX);
            Box::new(rows.map(|(code, _)| index(*code)))
        }
    }
}

fn add_sums(
    keys: &KeyColumn,
    column_type: ColumnType,
    values: &Values,
    slots: Option<&Vec<u32>>,
    column: usize,
    local: &Local,
    groups: &mut Groups<'_>,
) -> Result<()> {
    let mut sums = vec![Sum::default(); local.rows.len()];
    match (column_type, values) {
        (ColumnType::Int, Values::Int(values)) => {
            sum_integers(values.iter().map(|value| i64::from(*value)), slots, local, &mut sums);
        }
        (ColumnType::Long, Values::Long(values)) => sum_integers(values.iter().copied(), slots, local, &mut sums),
        (ColumnType::Double, Values::Double(values)) => sum_doubles(values, slots, local, &mut sums),
        (ColumnType::Float | ColumnType::Decimal { .. }, _) => {
            for (row, code) in local.of_row.iter().enumerate() {
                if let Some(sum) = sums.get_mut(index(*code)) {
                    sum.add(&keys.get(row)?);
                }
            }
        }
        _ => return Ok(()),
    }
    for (at, group) in local.occupied() {
        if let Some(sum) = sums.get(at) {
            groups.add_sum(group, column, sum)?;
        }
    }
    Ok(())
}

/// Rows that have no nulls are most: those need no walk of slots.
fn each<V>(values: impl Iterator<Item = V>, slots: Option<&Vec<u32>>, local: &Local, mut add: impl FnMut(usize, V)) {
    match slots {
        None => local.of_row.iter().zip(values).for_each(|(code, value)| add(index(*code), value)),
        Some(_) => valued(local, slots).zip(values).for_each(|(at, value)| add(at, value)),
    }
}

fn sum_integers(values: impl Iterator<Item = i64>, slots: Option<&Vec<u32>>, local: &Local, sums: &mut [Sum]) {
    // 64-bit integers of fewer than 2^63 rows do not overflow 128 bits.
    let mut totals = vec![(0_i128, 0_u64); sums.len()];
    each(values, slots, local, |at, value| {
        if let Some((total, count)) = totals.get_mut(at) {
            *total = total.wrapping_add(i128::from(value));
            *count += 1;
        }
    });
    for (sum, (total, count)) in sums.iter_mut().zip(totals) {
        sum.add_integers(total, count);
    }
}

fn sum_doubles(values: &[f64], slots: Option<&Vec<u32>>, local: &Local, sums: &mut [Sum]) {
    each(values.iter().copied(), slots, local, |at, value| {
        let Some(sum) = sums.get_mut(at) else { return };
        if value.abs() < DOUBLES_APART {
            #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
            let integer = value as i64;
            #[expect(clippy::cast_precision_loss, reason = "less than 2^53")]
            let is_whole = integer as f64 == value;
            if is_whole { sum.add_integer(i128::from(integer)) } else { sum.add_double(value) }
        } else {
            sum.add(&double_key(value));
        }
    });
}

fn add_one_by_one(
    keys: &KeyColumn,
    wanted: &Wanted,
    column: usize,
    local: &Local,
    groups: &mut Groups<'_>,
) -> Result<()> {
    if matches!(keys, KeyColumn::Nulls) {
        return Ok(());
    }
    let mut sums = vec![Sum::default(); local.rows.len()];
    let mut present = vec![0_u64; local.rows.len()];
    for (row, code) in local.of_row.iter().enumerate() {
        let key = keys.get(row)?;
        if let (Some(sum), Some(present)) = (sums.get_mut(index(*code)), present.get_mut(index(*code))) {
            *present += u64::from(!key.is_null());
            sum.add(&key);
        }
    }
    for (at, group) in local.occupied() {
        groups.add_present(group, column, present.get(at).copied().unwrap_or(0));
        if let Some(sum) = sums.get(at).filter(|_| wanted.sum) {
            groups.add_sum(group, column, sum)?;
        }
    }
    Ok(())
}

/// The least or the greatest of each group: which row has it, and only then what it is.
fn add_extremes(
    keys: &KeyColumn,
    better: std::cmp::Ordering,
    column: usize,
    local: &Local,
    groups: &mut Groups<'_>,
) -> Result<()> {
    let is_null = |row: usize| match keys {
        KeyColumn::Nulls => true,
        KeyColumn::Typed { slots, .. } => {
            slots.as_ref().is_some_and(|slots| slots.get(row).is_none_or(|slot| *slot == u32::MAX))
        }
        KeyColumn::Keys(keys) => keys.get(row).is_none_or(|key| *key == OrderKey::Null),
    };
    let mut best: Vec<Option<usize>> = vec![None; local.rows.len()];
    for (row, code) in local.of_row.iter().enumerate() {
        let Some(best) = best.get_mut(index(*code)).filter(|_| !is_null(row)) else { continue };
        if best.is_none_or(|best| keys.compare(row, best) == better) {
            *best = Some(row);
        }
    }
    for (at, group) in local.occupied() {
        if let Some(row) = best.get(at).copied().flatten() {
            groups.add_extremes(group, column, &keys.get(row)?)?;
        }
    }
    Ok(())
}

fn add_distinct(
    scan: &mut SegmentScan<'_>,
    field: &Field<'_>,
    column: usize,
    local: &Local,
    selected: &Selected,
    groups: &mut Groups<'_>,
) -> Result<()> {
    /// Pairs of group and value that are told apart by a bit each.
    const BITS_MAX: usize = 1 << 23;
    let codes = scan.codes(field, selected)?;
    let width = codes.values.len();
    let bits = local.rows.len().saturating_mul(width);
    let mut seen_bits = vec![false; if bits <= BITS_MAX { bits } else { 0 }];
    let mut seen = HashSet::new();
    for (group, code) in local.of_row.iter().zip(&codes.of_row) {
        let at = index(*group).saturating_mul(width).saturating_add(index(*code));
        let is_new = match seen_bits.get_mut(at) {
            Some(seen) => !std::mem::replace(seen, true),
            None => seen.insert(at),
        };
        if !is_new {
            continue;
        }
        if let (Some(Some(group)), Some(value)) = (local.groups.get(index(*group)), codes.values.get(index(*code))) {
            groups.add_distinct(*group, column, &value.borrowed())?;
        }
    }
    Ok(())
}
