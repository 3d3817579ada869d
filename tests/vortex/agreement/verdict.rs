//! What the real reader and the naive one make of bytes.

use thermocline::error::{ErrorKind, StorageError};
use thermocline::vortex::blob::{Blob, BlobIndex, Bound, Budget, ColumnEntry, Opened, Predicate};
use thermocline::vortex::{Bitmap, Column, Scalar};

use crate::naive::{self, Refusal};
use crate::support::*;

/// How many rows are compared in parts, at most.
const MANY_ROWS: usize = 10_000;
/// What the real reader may take for a column.
const BUDGET_BYTES: usize = 1 << 28;

/// What both make of bytes.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Accepted,
    Refused,
    /// They stand for more than is to be taken.
    TooMuch,
}

/// What the real reader makes of bytes: the columns, or whether it is for the budget that there are none.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Column)>, Verdict> {
    let refused = |error: StorageError| match error.kind() {
        ErrorKind::Corrupt => Verdict::Refused,
        ErrorKind::Unavailable => Verdict::TooMuch,
        kind => panic!("{kind:?}: {error}"),
    };
    let blob = Blob::open(bytes).map_err(refused)?;
    let column = |(position, entry): (usize, &ColumnEntry)| {
        let column = blob.decode(position, 0..blob.rows(), &mut Budget::new(BUDGET_BYTES)).map_err(refused)?;
        Ok((entry.name.clone(), column))
    };
    // Every column is decoded, so that a column that is too much does not hide another.
    let columns: Vec<_> = blob.columns().iter().enumerate().map(column).collect();
    if columns.iter().any(|column| matches!(column, Err(Verdict::Refused))) {
        return Err(Verdict::Refused);
    }
    columns.into_iter().collect()
}

/// What both make of bytes, or how they differ.
pub fn verdict(bytes: &[u8]) -> Result<Verdict, String> {
    match (read(bytes), naive::decode(bytes)) {
        (Err(Verdict::TooMuch), _) | (_, Err(Refusal::TooMuch)) => Ok(Verdict::TooMuch),
        (Err(_), Err(_)) => Ok(Verdict::Refused),
        (Ok(_), Err(Refusal::Corrupt(reason))) => Err(format!("only the real reader accepts: {reason}")),
        (Err(_), Ok(_)) => Err(format!("only the naive one accepts: {}", complaint(bytes))),
        (Ok(real), Ok(naive)) => match (real.len() == naive.len()).then(|| difference(&real, &naive)) {
            Some(None) if statistics_are_alike(bytes) => Ok(Verdict::Accepted),
            difference => Err(format!("they differ: {difference:?}")),
        },
    }
}

pub fn complaint(bytes: &[u8]) -> String {
    let blob = match Blob::open(bytes) {
        Ok(blob) => blob,
        Err(error) => return error.to_string(),
    };
    let decode = |position| blob.decode(position, 0..blob.rows(), &mut Budget::new(BUDGET_BYTES));
    let errors = (0..blob.columns().len()).filter_map(|position| decode(position).err());
    errors.map(|error| error.to_string()).collect::<Vec<_>>().join("; ")
}

/// Whether both read the same of the index.
fn statistics_are_alike(bytes: &[u8]) -> bool {
    let (blob, (rows, entries)) = (Blob::open(bytes).unwrap(), naive::entries(bytes).unwrap());
    let bound = |real: &Option<Bound>, naive: &Option<naive::Bound>| match (real, naive) {
        (Some(real), Some(naive)) => {
            real.exact == naive.is_value && same(&Some(real.value.clone()), &Some(naive.value.clone()))
        }
        (real, naive) => real.is_none() && naive.is_none(),
    };
    blob.rows() == rows
        && blob.columns().iter().zip(&entries).all(|(entry, naive)| {
            let (real, naive, encoding) = (&entry.statistics, &naive.statistics, naive.encoding);
            entry.encoding.id() == encoding
                && (real.null_count, real.distinct_estimate) == (naive.nulls as usize, naive.distinct as usize)
                && (real.sum, real.has_nan) == (naive.sum, naive.nan)
                && bound(&real.least, &naive.least)
                && bound(&real.greatest, &naive.greatest)
        })
}

fn difference(real: &[(String, Column)], naive: &[(String, Column)]) -> Option<String> {
    real.iter().zip(naive).find_map(|((name, real), (other, naive))| {
        if (name, real.column_type(), real.rows()) != (other, naive.column_type(), naive.rows()) {
            return Some(format!("{name}, {} and {other}, {}", real.column_type(), naive.column_type()));
        }
        let (mut reals, mut naives) = (real.cursor(), naive.cursor());
        (0..real.rows()).find_map(|row| {
            let (real, naive) = (reals.next_value(), naives.next_value());
            (!same(&real, &naive)).then(|| format!("{name}, row {row}: {real:?} and {naive:?}"))
        })
    })
}

/// All ways of reading a part of bytes that may be anything return; of what is accepted as a whole they return the same.
pub fn read_in_parts(bytes: &[u8], random: &mut Random) {
    let Ok(blob) = Blob::open(bytes) else { return };
    let by_tail = open_by_tail(bytes).unwrap();
    assert!(blob.index().columns().iter().map(ColumnEntry::range).eq(by_tail.columns().iter().map(ColumnEntry::range)));
    let rows = blob.rows();
    let budget = || Budget::new(BUDGET_BYTES);
    for position in 0..blob.columns().len() {
        let start = random.below(rows as u64 + 1) as usize;
        let end = start + random.below((rows - start).min(MANY_ROWS) as u64 + 1) as usize;
        let range = blob.decode(position, start..end, &mut budget());
        let some: Vec<usize> = (0..8).map(|_| random.below(rows as u64 + 1) as usize).collect();
        let values: Vec<_> = some.iter().map(|row| (*row, blob.value(position, *row))).collect();
        let _ = blob.describe(position);
        if rows > MANY_ROWS {
            continue;
        }
        let selected: Bitmap = (0..rows).map(|_| random.below(5) == 0).collect();
        let gathered = blob.gather(position, &selected, &mut budget());
        let _ = blob.select(position, &Predicate::IsNull, &mut budget());
        let Ok(whole) = blob.decode(position, 0..rows, &mut budget()) else { continue };
        if let Some(value) = some.iter().find_map(|row| whole.get(*row)) {
            for predicate in [Predicate::Equal(value.clone()), Predicate::Less(value, true)] {
                let _ = blob.select(position, &predicate, &mut budget());
            }
        }
        let expected = cut(&whole, |row| (start..end).contains(&row));
        assert!(alike(&expected, &range.unwrap()), "rows {start}..{end} of column {position}");
        let expected = cut(&whole, |row| selected.get(row));
        assert!(alike(&expected, &gathered.unwrap()), "selected rows of column {position}");
        for (row, value) in values.into_iter().filter(|(row, _)| *row < rows) {
            assert!(same(&whole.get(row), &value.unwrap().value), "row {row} of column {position}");
        }
    }
}

/// Some rows of a column.
fn cut(column: &Column, wanted: impl Fn(usize) -> bool) -> Column {
    let (mut cut, mut rows) = (Column::new(column.column_type()), column.cursor());
    for row in 0..column.rows() {
        let value = rows.next_value();
        if wanted(row) {
            cut.push_option(value).unwrap();
        }
    }
    cut
}

fn alike(left: &Column, right: &Column) -> bool {
    let (mut lefts, mut rights) = (left.cursor(), right.cursor());
    (left.column_type(), left.rows()) == (right.column_type(), right.rows())
        && (0..left.rows()).all(|_| same(&lefts.next_value(), &rights.next_value()))
}

/// The index, opened by as little of the end of a blob as is asked for.
fn open_by_tail(bytes: &[u8]) -> thermocline::error::Result<BlobIndex> {
    let tail = |start: usize| BlobIndex::open(bytes.get(start..).unwrap_or_default(), bytes.len());
    match tail(bytes.len().saturating_sub(8))? {
        Opened::Index(index) => Ok(index),
        Opened::From(offset) => match tail(offset)? {
            Opened::Index(index) => Ok(index),
            Opened::From(again) => panic!("from {offset} on it is asked for {again}"),
        },
    }
}

/// Rows are selected that the predicate matches one by one, whatever the column is made of. The statistics must be true.
pub fn selected_rightly(bytes: &[u8], random: &mut Random) {
    let blob = Blob::open(bytes).unwrap();
    for position in 0..blob.columns().len() {
        let column = blob.decode(position, 0..blob.rows(), &mut Budget::new(BUDGET_BYTES)).unwrap();
        let rows = blob.rows().max(1) as u64;
        let some: Vec<Scalar<'_>> = (0..4).filter_map(|_| column.get(random.below(rows) as usize)).collect();
        let mut predicates = vec![Predicate::IsNull, Predicate::IsNotNull, Predicate::In(some.clone())];
        predicates.push(Predicate::Prefix(b"https"));
        for pair in some.windows(2) {
            predicates.push(Predicate::Equal(pair[0].clone()));
            predicates.push(Predicate::NotEqual(pair[0].clone()));
            predicates.push(Predicate::Less(pair[0].clone(), random.below(2) == 0));
            predicates.push(Predicate::Greater(pair[0].clone(), random.below(2) == 0));
            predicates.push(Predicate::Between(pair[0].clone(), pair[1].clone()));
        }
        for predicate in predicates {
            let selected = blob.select(position, &predicate, &mut Budget::new(BUDGET_BYTES)).unwrap();
            let mut values = column.cursor();
            let expected: Bitmap = (0..blob.rows())
                .map(|_| match (values.next_value(), &predicate) {
                    (None, predicate) => matches!(predicate, Predicate::IsNull),
                    (Some(value), predicate) => predicate.matches(&value),
                })
                .collect();
            assert_eq!(selected, expected, "{predicate:?} of {bytes:?}");
        }
    }
}
