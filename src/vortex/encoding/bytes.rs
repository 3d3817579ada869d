//! Bytes of any length: text, JSON text, binary. Plain, constant, dictionary or FSST.
//!
//! Plain:
//!
//! | part | bytes | what |
//! |---|---|---|
//! | starts | part | where each value starts in the bytes, from 0 |
//! | bytes | rest | value after value |

use std::borrow::Cow;
use std::ops::Range;

use super::bits::BLOCK;
use super::budget::{Budget, Touched};
use super::dictionary;
use super::fixed::{Node, ends, in_one_block};
use super::fsst::Fsst;
use super::starts::{self, Starts, index};
use super::wire::{Bytes, corrupt};
use super::{Encoded, Encoding, MAX_LEVEL, deeper};
use crate::error::{Result, StorageError};
use crate::vortex::column::Bitmap;

/// A node of bytes.
#[derive(Clone, Debug)]
pub(in crate::vortex) enum ByteValues<'b> {
    Plain { starts: Starts<'b>, bytes: &'b [u8] },
    Constant { value: &'b [u8], count: usize },
    Dictionary { values: Box<ByteValues<'b>>, codes: Node<'b, u32> },
    Fsst(Box<Fsst<'b>>),
}

/// Values one after the other: value `i` is `bytes[offsets[i]..offsets[i + 1]]`; `offsets` starts with 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::vortex) struct Decoded {
    pub offsets: Vec<u32>,
    pub bytes: Vec<u8>,
}

impl Decoded {
    /// Room for `count` values, and the first offset.
    pub(super) fn with_room(count: usize, budget: &mut Budget) -> Result<Self> {
        let mut offsets = budget.vector(count.saturating_add(1))?;
        offsets.push(0);
        Ok(Self { offsets, bytes: Vec::new() })
    }

    /// Appends a value. Its room grows by doubling, and what is taken for it does.
    fn push(&mut self, value: &[u8], budget: &mut Budget) -> Result<()> {
        budget.take(value.len().saturating_mul(2))?;
        self.offsets.push(advance(self.offsets.last().copied().unwrap_or(0), value.len())?);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    fn value(&self, position: usize) -> Option<&[u8]> {
        let (start, end) = (self.offsets.get(position)?, self.offsets.get(position + 1)?);
        self.bytes.get(index(*start)..index(*end))
    }
}

/// The next offset; refused when the values are more than offsets can tell.
#[inline]
pub(super) fn advance(offset: u32, length: usize) -> Result<u32> {
    u32::try_from(length).ok().and_then(|length| offset.checked_add(length)).ok_or_else(too_many)
}

#[cold]
fn too_many() -> StorageError {
    corrupt("expected at most 4 GiB of decoded values, got more; read fewer rows at once")
}

impl<'b> ByteValues<'b> {
    /// Reads a node of `count` values; `level` is 1 for the outermost.
    pub(in crate::vortex) fn parse(mut bytes: Bytes<'b>, count: usize, level: u8) -> Result<Self> {
        if level > MAX_LEVEL {
            return Err(corrupt(format!("expected nodes to nest {MAX_LEVEL} levels at most, got more")));
        }
        let encoding = Encoding::of(bytes.u8()?)?;
        Ok(match encoding {
            Encoding::Plain => {
                let starts = bytes.part()?;
                if count == 0 {
                    bytes.finish("no values")?;
                }
                Self::Plain { starts: Starts::parse(starts, count, bytes.rest().len())?, bytes: bytes.rest() }
            }
            Encoding::Constant => Self::Constant { value: bytes.rest(), count },
            Encoding::Dictionary => {
                let (distinct, values, codes) = dictionary::parts(bytes, count, level)?;
                Self::Dictionary { values: Box::new(Self::parse(values, distinct, deeper(level)?)?), codes }
            }
            Encoding::Fsst => Self::Fsst(Box::new(Fsst::parse(bytes, count)?)),
            _ => return Err(corrupt(format!("expected an encoding for bytes, got {encoding}"))),
        })
    }

    /// How many values there are.
    pub(in crate::vortex) fn count(&self) -> usize {
        match self {
            Self::Plain { starts, .. } => starts.count(),
            Self::Constant { count, .. } => *count,
            Self::Dictionary { codes, .. } => codes.count(),
            Self::Fsst(fsst) => fsst.count(),
        }
    }

    /// The values of a range.
    pub(in crate::vortex) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<Decoded> {
        if range.start > range.end || range.end > self.count() {
            return Err(corrupt(format!(
                "expected a range of {} values, got {} to {}",
                self.count(),
                range.start,
                range.end
            )));
        }
        match self {
            Self::Plain { starts, bytes } => decode_plain(starts, bytes, range, budget),
            Self::Constant { value, .. } => decode_constant(value, range.len(), budget),
            Self::Dictionary { values, codes } => {
                let values = values.decode(0..values.count(), budget)?;
                look_up(&values, &codes.decode(range, budget)?, budget)
            }
            Self::Fsst(fsst) => fsst.decode(range, budget),
        }
    }

    /// The values at positions that ascend. Only these are decoded.
    pub(in crate::vortex) fn gather(&self, positions: &[usize], budget: &mut Budget) -> Result<Decoded> {
        match self {
            Self::Dictionary { values, codes } => {
                let values = values.decode(0..values.count(), budget)?;
                look_up(&values, &codes.gather(positions, budget)?, budget)
            }
            Self::Plain { .. } | Self::Constant { .. } | Self::Fsst(_) => {
                let mut gathered = Decoded::with_room(positions.len(), budget)?;
                for group in in_one_block(positions) {
                    let (first, last) = ends(group);
                    let block = self.decode(first..last.saturating_add(1), &mut budget.clone())?;
                    for value in group.iter().filter_map(|position| block.value(position.checked_sub(first)?)) {
                        gathered.push(value, budget)?;
                    }
                }
                Ok(gathered)
            }
        }
    }

    /// Which of the values match: a constant and distinct values are tested once each.
    pub(in crate::vortex) fn matching(&self, test: &dyn Fn(&[u8]) -> bool, budget: &mut Budget) -> Result<Bitmap> {
        match self {
            Self::Constant { value, count } => Ok(Bitmap::repeated(test(value), *count)),
            Self::Dictionary { values, codes } => {
                let values = values.matching(test, budget)?;
                let mut answers = budget.vector(values.len())?;
                answers.extend(values.iter());
                dictionary::matching(&answers, codes, budget)
            }
            Self::Plain { starts, bytes } => {
                let starts = starts.decode(0..starts.count(), budget)?;
                let spans = starts.iter().zip(starts.iter().skip(1));
                Ok(spans.map(|(start, end)| bytes.get(index(*start)..index(*end)).is_some_and(test)).collect())
            }
            Self::Fsst(fsst) => {
                let mut matching = Bitmap::default();
                for start in (0..fsst.count()).step_by(BLOCK) {
                    let block =
                        fsst.decode(start..fsst.count().min(start.saturating_add(BLOCK)), &mut budget.clone())?;
                    (0..block.offsets.len().saturating_sub(1))
                        .for_each(|value| matching.push(block.value(value).is_some_and(test)));
                }
                Ok(matching)
            }
        }
    }

    /// One value.
    pub(in crate::vortex) fn get(&self, position: usize, touched: &mut Touched) -> Result<Cow<'b, [u8]>> {
        if position >= self.count() {
            return Err(corrupt(format!("expected one of {} values, got position {position}", self.count())));
        }
        match self {
            Self::Plain { starts, bytes } => {
                let span = starts.span(position, touched)?;
                touched.add(span.len(), 1);
                bytes.get(span).map(Cow::Borrowed).ok_or_else(|| corrupt("expected starts within the bytes"))
            }
            Self::Constant { value, .. } => {
                touched.add(value.len(), 1);
                Ok(Cow::Borrowed(value))
            }
            Self::Dictionary { values, codes } => values.get(index(codes.get(position, touched)?), touched),
            Self::Fsst(fsst) => fsst.get(position, touched).map(Cow::Owned),
        }
    }

    pub(in crate::vortex) fn describe(&self) -> String {
        match self {
            Self::Plain { .. } => Encoding::Plain.to_string(),
            Self::Constant { .. } => Encoding::Constant.to_string(),
            Self::Dictionary { values, codes } => {
                format!("{}(values: {}, codes: {})", Encoding::Dictionary, values.describe(), codes.describe())
            }
            Self::Fsst(_) => Encoding::Fsst.to_string(),
        }
    }
}

fn decode_plain(starts: &Starts<'_>, bytes: &[u8], range: Range<usize>, budget: &mut Budget) -> Result<Decoded> {
    let mut offsets = starts.decode(range.clone(), budget)?;
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    if range.start == 0 && first != 0 && !range.is_empty() {
        return Err(corrupt("expected starts that begin with 0"));
    }
    if range.is_empty() {
        return Ok(Decoded { offsets: vec![0], bytes: Vec::new() });
    }
    offsets.iter_mut().for_each(|offset| *offset -= first);
    let text = bytes.get(index(first)..index(last)).ok_or_else(|| corrupt("expected starts within the bytes"))?;
    let mut copy = budget.vector(text.len())?;
    copy.extend_from_slice(text);
    Ok(Decoded { offsets, bytes: copy })
}

fn decode_constant(value: &[u8], rows: usize, budget: &mut Budget) -> Result<Decoded> {
    let mut decoded = Decoded::with_room(rows, budget)?;
    decoded.bytes = budget.vector(value.len().saturating_mul(rows))?;
    let mut offset = 0;
    for _ in 0..rows {
        decoded.bytes.extend_from_slice(value);
        offset = advance(offset, value.len())?;
        decoded.offsets.push(offset);
    }
    Ok(decoded)
}

/// The values that codes stand for; an error when one stands for nothing.
fn look_up(values: &Decoded, codes: &[u32], budget: &mut Budget) -> Result<Decoded> {
    let distinct = values.offsets.len().saturating_sub(1);
    let mut lengths: Vec<u32> = budget.vector(distinct)?;
    lengths.extend(values.offsets.iter().zip(values.offsets.iter().skip(1)).map(|(start, end)| end - start));
    let length = |code: &u32| lengths.get(index(*code)).copied().ok_or_else(|| dictionary::not_a_code(distinct, *code));
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut decoded = Decoded::with_room(codes.len(), budget)?;
    let mut offset = 0_u32;
    if lengths.iter().all(|length| *length == longest) {
        if let Some(code) = codes.iter().find(|code| index(**code) >= distinct) {
            return Err(dictionary::not_a_code(distinct, *code));
        }
        // Then the last offset overflows if any does.
        advance(0, codes.len().saturating_mul(index(longest)))?;
        decoded.offsets.extend(codes.iter().map(|_| {
            offset = offset.wrapping_add(longest);
            offset
        }));
    } else {
        for code in codes {
            offset = offset.checked_add(length(code)?).ok_or_else(too_many)?;
            decoded.offsets.push(offset);
        }
    }
    match longest {
        0..=8 => copy_short::<8>(values, codes, &mut decoded, budget)?,
        9..=16 => copy_short::<16>(values, codes, &mut decoded, budget)?,
        _ => {
            decoded.bytes = budget.vector(index(offset))?;
            let value = |code: &u32| values.value(index(*code)).unwrap_or_default();
            codes.iter().for_each(|code| decoded.bytes.extend_from_slice(value(code)));
        }
    }
    Ok(decoded)
}

/// Values of at most `N` bytes are copied a slot at a time, each over the rest of the one before: for bytes as few as
/// these a copy of the exact length costs several times more.
fn copy_short<const N: usize>(
    values: &Decoded,
    codes: &[u32],
    decoded: &mut Decoded,
    budget: &mut Budget,
) -> Result<()> {
    let slots = slots::<N>(values, budget)?;
    let total = decoded.offsets.last().copied().map_or(0, index);
    decoded.bytes = budget.vector(total.saturating_add(N))?;
    decoded.bytes.resize(total.saturating_add(N), 0);
    // By place, for a step of two iterators together is a call.
    for at in 0..codes.len() {
        let (Some(code), Some(offset)) = (codes.get(at), decoded.offsets.get(at)) else { break };
        let place = decoded.bytes.get_mut(index(*offset)..).and_then(<[u8]>::first_chunk_mut::<N>);
        if let (Some(place), Some(slot)) = (place, slots.get(index(*code))) {
            *place = *slot;
        }
    }
    decoded.bytes.truncate(total);
    Ok(())
}

/// Each value in a slot of its own.
fn slots<const N: usize>(values: &Decoded, budget: &mut Budget) -> Result<Vec<[u8; N]>> {
    let count = values.offsets.len().saturating_sub(1);
    let mut slots = budget.vector(count)?;
    for position in 0..count {
        let mut slot = [0; N];
        slot.iter_mut().zip(values.value(position).unwrap_or_default()).for_each(|(place, byte)| *place = *byte);
        slots.push(slot);
    }
    Ok(slots)
}

/// Encodes values as they are.
pub(in crate::vortex) fn encode_plain<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Encoded> {
    let (mut offsets, mut bytes) = (Vec::new(), Vec::new());
    for value in values {
        offsets.push(advance(0, bytes.len())?);
        bytes.extend_from_slice(value);
    }
    let mut out = Encoded::new(Encoding::Plain);
    out.put_part(&starts::encode(&offsets)?);
    out.bytes.append(&mut bytes);
    Ok(out)
}

/// Encodes values that are all the same.
pub(in crate::vortex) fn encode_constant(value: &[u8]) -> Encoded {
    let mut out = Encoded::new(Encoding::Constant);
    out.bytes.extend_from_slice(value);
    out
}
