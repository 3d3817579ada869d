//! Booleans: plain (a bit each), constant, run-length.

use std::ops::Range;

use super::budget::{Budget, Touched};
use super::run_length::{self, Runs};
use super::wire::{Bytes, corrupt};
use super::{Encoded, Encoding};
use crate::error::Result;

/// A node of booleans.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) enum Booleans<'b> {
    Plain { bits: &'b [u8], count: usize },
    Constant { value: bool, count: usize },
    RunLength { first: bool, runs: Runs<'b>, count: usize },
}

impl<'b> Booleans<'b> {
    pub(in crate::vortex) fn parse(mut bytes: Bytes<'b>, count: usize) -> Result<Self> {
        let encoding = Encoding::of(bytes.u8()?)?;
        let booleans = match encoding {
            Encoding::Plain => Self::Plain { bits: bytes.take(count.div_ceil(8))?, count },
            Encoding::Constant => Self::Constant { value: flag(&mut bytes)?, count },
            Encoding::RunLength => {
                let runs = Runs::parse(&mut bytes, count)?;
                Self::RunLength { first: flag(&mut bytes)?, runs, count }
            }
            _ => return Err(corrupt(format!("expected an encoding for booleans, got {encoding}"))),
        };
        bytes.finish("booleans")?;
        Ok(booleans)
    }

    /// How many values there are.
    pub(in crate::vortex) fn count(&self) -> usize {
        match self {
            Self::Plain { count, .. } | Self::Constant { count, .. } | Self::RunLength { count, .. } => *count,
        }
    }

    pub(in crate::vortex) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<Vec<bool>> {
        if range.start > range.end || range.end > self.count() {
            return Err(corrupt(format!(
                "expected a range of {} values, got {} to {}",
                self.count(),
                range.start,
                range.end
            )));
        }
        let mut out = budget.vector(range.len())?;
        match self {
            Self::Plain { bits, .. } => out.extend(range.clone().map(|position| bit(bits, position))),
            Self::Constant { value, .. } => out.resize(range.len(), *value),
            Self::RunLength { first, runs, .. } => {
                let (within, lengths) = runs.lengths(range.clone(), budget)?;
                for (run, length) in within.zip(lengths) {
                    out.extend(std::iter::repeat_n(*first == run.is_multiple_of(2), length));
                }
            }
        }
        if out.len() == range.len() {
            Ok(out)
        } else {
            Err(corrupt(format!("expected {} values, got {}", range.len(), out.len())))
        }
    }

    pub(in crate::vortex) fn get(&self, position: usize, touched: &mut Touched) -> Result<bool> {
        if position >= self.count() {
            return Err(corrupt(format!("expected one of {} values, got position {position}", self.count())));
        }
        touched.add(1, 1);
        Ok(match self {
            Self::Plain { bits, .. } => bit(bits, position),
            Self::Constant { value, .. } => *value,
            Self::RunLength { first, runs, .. } => *first == runs.run_of(position, touched)?.is_multiple_of(2),
        })
    }

    pub(in crate::vortex) fn describe(&self) -> String {
        match self {
            Self::Plain { .. } => Encoding::Plain,
            Self::Constant { .. } => Encoding::Constant,
            Self::RunLength { .. } => Encoding::RunLength,
        }
        .to_string()
    }
}

fn flag(bytes: &mut Bytes<'_>) -> Result<bool> {
    match bytes.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(corrupt(format!("expected a boolean, 0 or 1, got {other}"))),
    }
}

/// Bit `position`, low bits first.
pub(super) fn bit(bits: &[u8], position: usize) -> bool {
    bits.get(position / 8).is_some_and(|byte| byte >> (position % 8) & 1 == 1)
}

/// Bits, low bits first.
pub(super) fn pack(values: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
    for (position, value) in values.enumerate() {
        if position % 8 == 0 {
            out.push(0);
        }
        if let Some(last) = out.last_mut() {
            *last |= u8::from(value) << (position % 8);
        }
    }
}

/// Encodes booleans as bits.
pub(in crate::vortex) fn encode_plain(values: &[bool]) -> Encoded {
    let mut out = Encoded::new(Encoding::Plain);
    pack(values.iter().copied(), &mut out.bytes);
    out
}

/// Encodes booleans that are all the same.
pub(in crate::vortex) fn encode_constant(value: bool) -> Encoded {
    let mut out = Encoded::new(Encoding::Constant);
    out.bytes.push(u8::from(value));
    out
}

/// Encodes booleans as runs.
pub(in crate::vortex) fn encode_runs(first: bool, starts: &[u32]) -> Result<Encoded> {
    run_length::encode(starts, &Encoded { bytes: vec![u8::from(first)], point_bytes: 1 })
}
