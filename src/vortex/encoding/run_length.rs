//! Run-length: where each run of one value starts, and its value.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | runs | varint | how many there are |
//! | starts | part | where each starts, ascending from 0 without two alike |
//! | values | rest | a node of the runs' values; booleans: the first run's (1 byte), the others alternate |

use std::ops::Range;

use super::budget::{Budget, Touched};
use super::fixed::{Fixed, Node};
use super::starts::{Starts, index};
use super::wire::{Bytes, corrupt, put_count};
use super::{Encoded, Encoding, deeper};
use crate::error::Result;
use crate::vortex::column::Bitmap;

/// Runs of values of fixed size.
#[derive(Clone, Debug)]
pub(in crate::vortex) struct RunLength<'b, V: Fixed> {
    pub count: usize,
    pub runs: Runs<'b>,
    pub values: Node<'b, V>,
}

/// Where runs start.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Runs<'b> {
    rows: usize,
    starts: Starts<'b>,
}

impl<'b> Runs<'b> {
    /// Reads the number of runs and their starts, among `count` values.
    pub(super) fn parse(bytes: &mut Bytes<'b>, count: usize) -> Result<Self> {
        let runs = bytes.count(count, "runs")?;
        if runs == 0 && count > 0 {
            return Err(corrupt(format!("expected runs of {count} values, got none")));
        }
        Ok(Self { rows: count, starts: Starts::parse(bytes.part()?, runs, count)? })
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> usize {
        self.starts.count()
    }

    /// The run that a position is in.
    pub(super) fn run_of(&self, position: usize, touched: &mut Touched) -> Result<usize> {
        let found = self.starts.last_up_to(position, touched)?;
        found.map(|(run, _)| run).ok_or_else(|| corrupt("expected runs that begin with 0"))
    }

    /// The runs that a range of values touches, and how much of each is in it.
    pub(super) fn lengths(&self, range: Range<usize>, budget: &mut Budget) -> Result<(Range<usize>, Vec<usize>)> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok((0..0, Vec::new()));
        };
        let mut touched = Touched::default();
        let first = if range.start == 0 { 0 } else { self.run_of(range.start, &mut touched)? };
        // Up to the end all runs are looked at, those that would begin beyond it too.
        let end =
            if range.end >= self.rows { self.count() } else { self.run_of(last, &mut touched)?.saturating_add(1) };
        let runs = first..end;
        let starts = self.starts.decode(runs.clone(), budget)?;
        let mut lengths = budget.vector(runs.len())?;
        for (start, next) in starts.iter().zip(starts.iter().skip(1)) {
            if start >= next {
                return Err(corrupt("expected runs that are not empty"));
            }
            lengths.push(index(*next).min(range.end).saturating_sub(index(*start).max(range.start)));
        }
        Ok((runs, lengths))
    }
}

impl<'b, V: Fixed> RunLength<'b, V> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize, level: u8) -> Result<Self> {
        let runs = Runs::parse(&mut bytes, count)?;
        Ok(Self { count, runs, values: Node::parse(bytes, runs.count(), deeper(level)?)? })
    }

    pub(super) fn decode(&self, range: Range<usize>, out: &mut Vec<V>, budget: &mut Budget) -> Result<()> {
        let (runs, lengths) = self.runs.lengths(range, budget)?;
        for (value, length) in self.values.decode(runs, budget)?.into_iter().zip(lengths) {
            out.extend(std::iter::repeat_n(value, length));
        }
        Ok(())
    }

    pub(super) fn matching(&self, test: &dyn Fn(V) -> bool, budget: &mut Budget) -> Result<Bitmap> {
        let (runs, lengths) = self.runs.lengths(0..self.count, budget)?;
        let mut matching = Bitmap::default();
        for (value, length) in self.values.decode(runs, budget)?.into_iter().zip(lengths) {
            let matches = test(value);
            std::iter::repeat_n(matches, length).for_each(|bit| matching.push(bit));
        }
        if matching.len() == self.count {
            Ok(matching)
        } else {
            Err(corrupt(format!("expected runs of {} values, got {}", self.count, matching.len())))
        }
    }

    pub(super) fn get(&self, position: usize, touched: &mut Touched) -> Result<V> {
        let run = self.runs.run_of(position, touched)?;
        self.values.get(run, touched)
    }
}

/// Encodes runs: where they start, and the node of their values or, for booleans, the first one's.
pub(in crate::vortex) fn encode(starts: &[u32], values: &Encoded) -> Result<Encoded> {
    let mut out = Encoded::new(Encoding::RunLength);
    put_count(&mut out.bytes, starts.len());
    out.put_part(&super::starts::encode(starts)?);
    out.put_last(values);
    Ok(out)
}
