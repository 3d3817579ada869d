//! Which encoding a column gets.
//!
//! What is cheap to know is known exactly (the least and the greatest value, the number of runs, about how many values
//! are distinct); the rest is estimated from a [`sample`] of about 1 %. The candidates that look best are then
//! encoded, and the least of their sizes wins, each weighed by what decoding it costs (`weighed`). A candidate of which
//! one value cannot be read within [`POINT_READ_MAX_BYTES`] is left out. Nothing here is random: the same values always
//! give the same bytes.

mod booleans;
mod bytes;
mod distinct;
mod fixed;
mod floats;
mod integers;
mod sample;
mod wide;

pub(super) use distinct::{Distinct, mix};

use super::column::{Column, Values};
use super::encoding::wire::unwritable;
use super::encoding::{Encoded, Encoding, MAX_LEVEL};
use crate::error::{ErrorKind, Result};

/// Bytes of a column that reading one value may look at, the value's own left out.
pub const POINT_READ_MAX_BYTES: usize = 4_096;

/// How to encode.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncodeOptions {
    /// The outermost encoding of every column, instead of the one that is chosen. Writing fails where it cannot be.
    pub force: Option<Encoding>,
}

/// The encoding of a column's values. `validity_point_bytes`: what telling whether a row has one looks at.
pub(super) fn encode(column: &Column, options: EncodeOptions, validity_point_bytes: usize) -> Result<Encoded> {
    let point_bytes = POINT_READ_MAX_BYTES.saturating_sub(validity_point_bytes);
    let wanted = Wanted { level: 1, force: options.force, point_bytes };
    match column.values() {
        Values::Boolean(values) => booleans::encode(values, wanted),
        Values::Int(values) => {
            let values: Vec<i64> = values.iter().copied().map(i64::from).collect();
            integers::encode(&values, wanted)
        }
        Values::Long(values) => integers::encode(values, wanted),
        Values::Float(values) => floats::encode(values, wanted),
        Values::Double(values) => floats::encode(values, wanted),
        Values::Decimal(values) => {
            let values: Vec<u128> = values.iter().map(|value| value.cast_unsigned()).collect();
            wide::encode(&values, true, wanted)
        }
        Values::Uuid(values) => {
            let values: Vec<u128> = values.iter().map(|value| u128::from_le_bytes(*value.as_bytes())).collect();
            wide::encode(&values, false, wanted)
        }
        Values::Text { offsets, text } => bytes::encode(offsets, text.as_bytes(), wanted),
        Values::Binary { offsets, bytes } => bytes::encode(offsets, bytes, wanted),
    }
}

/// What a node is to be.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    level: u8,
    force: Option<Encoding>,
    /// Bytes that reading one value may look at.
    point_bytes: usize,
}

impl Wanted {
    /// A node within one of these.
    fn inner(self) -> Self {
        Self { level: self.level + 1, force: None, ..self }
    }

    /// Whether a node may hold others.
    fn nests(self) -> bool {
        self.level < MAX_LEVEL
    }

    /// Whether an encoding is to be tried.
    fn may_be(self, encoding: Encoding) -> bool {
        self.force.is_none_or(|forced| forced == encoding)
    }
}

/// Bytes in hundredths, and a few more for what takes longer to decode: by so much it must be smaller to be worth it.
fn weighed(encoding: Encoding, bytes: usize) -> u64 {
    let weight = match encoding {
        Encoding::Plain | Encoding::Constant | Encoding::BitPacked | Encoding::Narrow => 100,
        Encoding::Delta | Encoding::Dictionary | Encoding::RunLength | Encoding::Alp => 105,
        Encoding::Fsst => 115,
    };
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(weight)
}

/// Keeps the best of several candidates.
struct Best {
    wanted: Wanted,
    best: Option<(bool, u64, Encoded)>,
}

impl Best {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, best: None }
    }

    /// Takes a candidate; of two equals the first stays.
    fn offer(&mut self, candidate: Encoded) -> Result<()> {
        let encoding = candidate.encoding()?;
        if self.wanted.force.is_some_and(|forced| forced != encoding) {
            return Ok(());
        }
        let far = candidate.point_bytes > self.wanted.point_bytes;
        let weighed = weighed(encoding, candidate.bytes.len());
        if self.best.as_ref().is_none_or(|(other, least, _)| (far, weighed) < (*other, *least)) {
            self.best = Some((far, weighed, candidate));
        }
        Ok(())
    }

    /// Whether an estimate is worth trying: it must beat what there is.
    fn is_beaten_by(&self, encoding: Encoding, bytes: usize) -> bool {
        self.wanted.force == Some(encoding)
            || self.best.as_ref().is_none_or(|(far, least, _)| *far || weighed(encoding, bytes) < *least)
    }

    fn take(self) -> Result<Encoded> {
        let message = || match self.wanted.force {
            Some(encoding) => format!("expected values that can be {encoding}, got others"),
            None => "expected a candidate, got none".to_owned(),
        };
        let kind = if self.wanted.force.is_some() { ErrorKind::Invalid } else { ErrorKind::Internal };
        self.best.map(|(_, _, best)| best).ok_or_else(|| unwritable(kind, message()))
    }
}

/// Where the runs of equal neighbours start; `None` when there are more than `most`.
fn run_starts(count: usize, most: usize, same: impl Fn(usize, usize) -> bool) -> Option<Vec<u32>> {
    let mut starts = Vec::new();
    for position in 0..count {
        if position == 0 || !same(position - 1, position) {
            if starts.len() >= most {
                return None;
            }
            starts.push(u32::try_from(position).ok()?);
        }
    }
    Some(starts)
}
