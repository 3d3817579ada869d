//! Which rows have a value.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | form | 1 | 0 all rows have one; 1 none has; 2 a bit a row; 3 the positions of those that have none; 4 of those that have one |
//! | 2: ranks | 4 for every 4,096 rows begun but the first | how many of the rows before have a value |
//! | 2: bits | rows / 8, rounded up | low bits first |
//! | 3, 4: number | varint | of positions, at least 1 |
//! | 3, 4: positions | rest | [`starts`](super::starts), without two alike, below the number of rows |

use std::ops::Range;

use super::booleans::{bit, pack};
use super::budget::{Budget, Touched};
use super::starts::{self, Starts, index};
use super::wire::{Bytes, corrupt, put_count};
use super::{Encoded, NODE_OVERHEAD_BYTES};
use crate::error::Result;
use crate::vortex::column::Bitmap;

/// Rows from one rank to the next.
const RANK_ROWS: usize = 4_096;
const RANK_BYTES: usize = size_of::<u32>();

/// Which rows have a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::vortex) struct Validity<'b> {
    rows: usize,
    form: Form<'b>,
}

#[derive(Clone, Copy, Debug)]
enum Form<'b> {
    All,
    None,
    Bits { ranks: &'b [u8], bits: &'b [u8] },
    Without(Starts<'b>),
    With(Starts<'b>),
}

/// A range of rows: which have a value, and which values these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::vortex) struct ValidRows {
    pub validity: Bitmap,
    pub values: Range<usize>,
}

impl<'b> Validity<'b> {
    pub(in crate::vortex) fn parse(mut bytes: Bytes<'b>, rows: usize) -> Result<Self> {
        let form = match bytes.u8()? {
            0 => Form::All,
            1 => Form::None,
            2 => {
                let ranks = bytes.take(rows.saturating_sub(1) / RANK_ROWS * RANK_BYTES)?;
                Form::Bits { ranks, bits: bytes.take(rows.div_ceil(8))? }
            }
            form @ (3 | 4) => {
                let count = bytes.count(rows, "positions")?;
                if count == 0 {
                    return Err(corrupt("expected positions, got none"));
                }
                let positions = Starts::parse(bytes, count, rows.saturating_sub(1))?;
                return Ok(Self {
                    rows,
                    form: if form == 3 { Form::Without(positions) } else { Form::With(positions) },
                });
            }
            other => return Err(corrupt(format!("expected a form of validity from 0 to 4, got {other}"))),
        };
        bytes.finish("validity")?;
        Ok(Self { rows, form })
    }

    /// How many of the rows before `row` have a value.
    pub(in crate::vortex) fn rank(&self, row: usize, touched: &mut Touched) -> Result<usize> {
        let row = row.min(self.rows);
        Ok(match &self.form {
            Form::All => row,
            Form::None => 0,
            Form::With(positions) => before(positions, row, touched)?,
            Form::Without(positions) => row
                .checked_sub(before(positions, row, touched)?)
                .ok_or_else(|| corrupt("expected positions without two alike"))?,
            Form::Bits { ranks, bits } => {
                // The rank of the row before, so that the number of all values is found where the last rank is.
                let group = row.saturating_sub(1) / RANK_ROWS;
                let sampled = match group.checked_sub(1) {
                    Some(at) => ranks
                        .get(at * RANK_BYTES..)
                        .and_then(|ranks| ranks.first_chunk())
                        .map_or(0, |rank| u32::from_le_bytes(*rank)),
                    None => 0,
                };
                let counted = group * RANK_ROWS..row;
                touched.add(RANK_BYTES + counted.len().div_ceil(8), 0);
                index(sampled).saturating_add(count_bits(bits, counted))
            }
        })
    }

    /// The position of a row's value among all values; `None` when it has none.
    pub(in crate::vortex) fn position(&self, row: usize, touched: &mut Touched) -> Result<Option<usize>> {
        if row >= self.rows {
            return Ok(None);
        }
        match &self.form {
            Form::All => Ok(Some(row)),
            Form::None => Ok(None),
            Form::Bits { bits, .. } if bit(bits, row) => self.rank(row, touched).map(Some),
            Form::Bits { .. } => Ok(None),
            Form::With(positions) => {
                Ok(positions.last_up_to(row, touched)?.filter(|(_, at)| *at == row).map(|(value, _)| value))
            }
            Form::Without(positions) => match positions.last_up_to(row, touched)? {
                None => Ok(Some(row)),
                Some((_, at)) if at == row => Ok(None),
                Some((null, _)) => {
                    row.checked_sub(null + 1).map(Some).ok_or_else(|| corrupt("expected positions without two alike"))
                }
            },
        }
    }

    /// How many rows have a value.
    pub(in crate::vortex) fn count(&self) -> Result<usize> {
        self.rank(self.rows, &mut Touched::default())
    }

    /// A range of rows.
    pub(in crate::vortex) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<ValidRows> {
        if range.start > range.end || range.end > self.rows {
            return Err(corrupt(format!(
                "expected a range of {} rows, got {} to {}",
                self.rows, range.start, range.end
            )));
        }
        budget.take(range.len().div_ceil(8).saturating_add(16))?;
        let first = self.rank(range.start, &mut Touched::default())?;
        let validity = match &self.form {
            Form::All => Bitmap::repeated(true, range.len()),
            Form::None => Bitmap::repeated(false, range.len()),
            Form::Bits { ranks, bits } => {
                check_ranks(ranks, bits)?;
                Bitmap::from_bits(bits, range.clone())
            }
            Form::With(positions) => listed(positions, false, range.clone(), budget)?,
            Form::Without(positions) => listed(positions, true, range.clone(), budget)?,
        };
        let last = first.saturating_add(validity.count());
        Ok(ValidRows { validity, values: first..last })
    }
}

/// Every rank is what the bits say.
fn check_ranks(ranks: &[u8], bits: &[u8]) -> Result<()> {
    let mut counted = 0_u32;
    for (rank, group) in ranks.as_chunks::<RANK_BYTES>().0.iter().zip(bits.chunks(RANK_ROWS / 8)) {
        counted = counted.saturating_add(group.iter().map(|byte| byte.count_ones()).sum());
        if u32::from_le_bytes(*rank) != counted {
            return Err(corrupt("expected ranks that tell how many rows before have a value"));
        }
    }
    Ok(())
}

/// How many of the positions are before a row.
fn before(positions: &Starts<'_>, row: usize, touched: &mut Touched) -> Result<usize> {
    positions.positions_in(0..row, touched).map(|positions| positions.end)
}

/// All rows of a range alike but those listed.
fn listed(positions: &Starts<'_>, others: bool, range: Range<usize>, budget: &mut Budget) -> Result<Bitmap> {
    let mut bitmap = Bitmap::repeated(others, range.len());
    let mut touched = Touched::default();
    let within = positions.positions_in(range.clone(), &mut touched)?;
    let mut least = range.start;
    for position in positions.decode(within.clone(), budget)?.into_iter().map(index).take(within.len()) {
        if !(least..range.end).contains(&position) {
            return Err(corrupt("expected positions that ascend without two alike"));
        }
        bitmap.set(position - range.start, !others);
        least = position + 1;
    }
    Ok(bitmap)
}

/// How many bits of a range are set.
fn count_bits(bits: &[u8], range: Range<usize>) -> usize {
    let whole = bits.get(range.start / 8..range.end / 8).unwrap_or_default();
    let counted: u32 = whole.iter().map(|byte| byte.count_ones()).sum();
    let rest = range.end / 8 * 8..range.end;
    index(counted) + rest.filter(|position| bit(bits, *position)).count()
}

/// Encodes which rows have a value, in the form that takes the least.
pub(in crate::vortex) fn encode(validity: &Bitmap) -> Result<Encoded> {
    let (rows, valid) = (validity.len(), validity.count());
    let form = |form: u8| Encoded { bytes: vec![form], point_bytes: NODE_OVERHEAD_BYTES };
    if valid == rows {
        return Ok(form(0));
    }
    if valid == 0 {
        return Ok(form(1));
    }
    let mut out = form(2);
    let mut counted = 0_u32;
    for (row, valid) in (0_usize..).zip(validity.iter()) {
        if row > 0 && row % RANK_ROWS == 0 {
            out.bytes.extend(counted.to_le_bytes());
        }
        counted += u32::from(valid);
    }
    pack(validity.iter(), &mut out.bytes);
    out.point_bytes += RANK_BYTES + RANK_ROWS / 8;
    // Bits are read faster: positions must be worth it.
    let wanted = valid * 2 <= rows;
    let positions: Vec<u32> =
        (0..).zip(validity.iter()).filter(|(_, valid)| *valid == wanted).map(|(row, _)| row).collect();
    let mut list = form(if wanted { 4 } else { 3 });
    put_count(&mut list.bytes, positions.len());
    list.put_last(&starts::encode(&positions)?);
    Ok(if list.bytes.len() * 2 < out.bytes.len() { list } else { out })
}
