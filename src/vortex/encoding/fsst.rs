//! FSST: text by a table of symbols (Boncz, Neumann, Leis: "FSST: Fast Random Access String Compression", VLDB 2020).
//! One value is read without the others.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | symbols | 1 | how many, at most 255 |
//! | lengths | 1 a symbol | 1 to 8 |
//! | symbols | | their bytes |
//! | starts | part | where each value starts in the codes, from 0 |
//! | codes | rest | a byte a symbol; 255: the next byte is itself |
//!
//! The table is trained and the codes are made by the crate `fsst`. Reading is written here, as the crate's trusts its
//! input.

use std::ops::Range;

use fsst::Compressor;

use super::budget::{Budget, Touched};
use super::bytes::{Decoded, advance};
use super::starts::{self, Starts, index};
use super::wire::{Bytes, corrupt, unwritable};
use super::{Encoded, Encoding};
use crate::error::{ErrorKind, Result};

/// The code before a byte that stands for itself.
const ESCAPE: u8 = 255;
/// Bytes of a symbol, at most.
const SYMBOL_BYTES: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Symbol {
    bytes: [u8; SYMBOL_BYTES],
    length: u8,
}

/// FSST-encoded values, not yet decoded.
#[derive(Clone, Debug)]
pub(in crate::vortex) struct Fsst<'b> {
    lengths: &'b [u8],
    symbols: &'b [u8],
    starts: Starts<'b>,
    codes: &'b [u8],
}

impl<'b> Fsst<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize) -> Result<Self> {
        let symbols = usize::from(bytes.u8()?);
        let lengths = bytes.take(symbols)?;
        if let Some(length) = lengths.iter().find(|length| !(1..=SYMBOL_BYTES).contains(&usize::from(**length))) {
            return Err(corrupt(format!("expected symbols of 1 to 8 bytes, got {length}")));
        }
        let symbols = bytes.take(lengths.iter().map(|length| usize::from(*length)).sum())?;
        let starts = bytes.part()?;
        if count == 0 {
            bytes.finish("no values")?;
        }
        Ok(Self { lengths, symbols, starts: Starts::parse(starts, count, bytes.rest().len())?, codes: bytes.rest() })
    }

    pub(super) fn count(&self) -> usize {
        self.starts.count()
    }

    /// The symbol of each code; codes without one have length 0.
    fn table(&self) -> Vec<Symbol> {
        let mut table = vec![Symbol { bytes: [0; SYMBOL_BYTES], length: 0 }; usize::from(u8::MAX) + 1];
        let mut rest = self.symbols;
        for (symbol, length) in table.iter_mut().zip(self.lengths) {
            let (bytes, after) = rest.split_at_checked(usize::from(*length)).unwrap_or_default();
            symbol.bytes.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            symbol.length = *length;
            rest = after;
        }
        table
    }

    pub(super) fn decode(&self, range: Range<usize>, budget: &mut Budget) -> Result<Decoded> {
        if range.is_empty() {
            return Ok(Decoded { offsets: vec![0], bytes: Vec::new() });
        }
        let starts = self.starts.decode(range.clone(), budget)?;
        if range.start == 0 && starts.first().is_some_and(|first| *first != 0) {
            return Err(corrupt("expected starts that begin with 0"));
        }
        let table = self.table();
        let mut decoded = Decoded::with_room(range.len(), budget)?;
        let mut offset = 0;
        for (start, end) in starts.iter().zip(starts.iter().skip(1)) {
            let codes = self.codes.get(index(*start)..index(*end)).unwrap_or_default();
            offset = advance(offset, decoded_length(&table, codes)?)?;
            decoded.offsets.push(offset);
        }
        decoded.bytes = budget.vector(index(offset).saturating_add(SYMBOL_BYTES))?;
        let span = starts.first().copied().map_or(0, index)..starts.last().copied().map_or(0, index);
        expand(&table, self.codes.get(span).unwrap_or_default(), index(offset), &mut decoded.bytes);
        Ok(decoded)
    }

    pub(super) fn get(&self, position: usize, touched: &mut Touched) -> Result<Vec<u8>> {
        let span = self.starts.span(position, touched)?;
        touched.add(span.len() + self.lengths.len() + self.symbols.len(), 1);
        let codes = self.codes.get(span).ok_or_else(|| corrupt("expected starts within the codes"))?;
        let table = self.table();
        let length = decoded_length(&table, codes)?;
        let mut bytes = Budget::new(usize::MAX).vector(length.saturating_add(SYMBOL_BYTES))?;
        expand(&table, codes, length, &mut bytes);
        Ok(bytes)
    }
}

/// Bytes that the codes of one value stand for; an error when some stand for none.
fn decoded_length(table: &[Symbol], codes: &[u8]) -> Result<usize> {
    let mut length = 0_usize;
    let mut rest = codes.iter();
    while let Some(code) = rest.next() {
        if *code == ESCAPE {
            rest.next().ok_or_else(|| corrupt("expected a byte after an escape, got the end of the value"))?;
            length += 1;
            continue;
        }
        match table.get(usize::from(*code)).map_or(0, |symbol| symbol.length) {
            0 => return Err(corrupt(format!("expected codes of symbols that there are, got {code}"))),
            known => length += usize::from(known),
        }
    }
    Ok(length)
}

/// Appends the `length` bytes that codes, known to be good, stand for. A symbol is copied whole, over the rest of the
/// one before.
fn expand(table: &[Symbol], codes: &[u8], length: usize, out: &mut Vec<u8>) {
    out.resize(length.saturating_add(SYMBOL_BYTES), 0);
    let mut at = 0;
    let mut rest = codes.iter();
    while let Some(code) = rest.next() {
        let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<SYMBOL_BYTES>) else { break };
        if *code == ESCAPE {
            let [first, ..] = place;
            *first = rest.next().copied().unwrap_or(0);
            at += 1;
        } else if let Some(symbol) = table.get(usize::from(*code)) {
            *place = symbol.bytes;
            at += usize::from(symbol.length);
        }
    }
    out.truncate(length);
}

/// Trains a table on values.
pub(in crate::vortex) fn train(sample: &Vec<&[u8]>) -> Compressor {
    Compressor::train(sample)
}

/// Encodes values by a table.
pub(in crate::vortex) fn encode(compressor: &Compressor, values: &[&[u8]]) -> Result<Encoded> {
    let mut out = Encoded::new(Encoding::Fsst);
    let symbols = compressor.symbol_table().iter().zip(compressor.symbol_lengths());
    let count = compressor.symbol_lengths().len().min(compressor.symbol_table().len());
    let count =
        u8::try_from(count).map_err(|_| unwritable(ErrorKind::Internal, "expected at most 255 symbols, got more"))?;
    out.bytes.push(count);
    out.bytes.extend_from_slice(compressor.symbol_lengths());
    for (symbol, length) in symbols {
        out.bytes.extend(symbol.to_u64().to_le_bytes().into_iter().take(usize::from(*length)));
    }
    let (mut codes, mut ends) = (Vec::new(), Vec::new());
    compressor.compress_bulk_into::<{ Compressor::DEFAULT_BULK_LANES }>(values, &mut codes, &mut ends);
    let mut offsets = Vec::with_capacity(values.len());
    for end in std::iter::once(0).chain(ends).take(values.len()) {
        offsets.push(u32::try_from(end).map_err(|_| {
            unwritable(ErrorKind::TooLarge, "expected at most 4 GiB of values in one column, got more")
        })?);
    }
    out.point_bytes += out.bytes.len();
    out.put_part(&starts::encode(&offsets)?);
    out.bytes.append(&mut codes);
    Ok(out)
}

/// Bytes of the codes of a sample.
pub(in crate::vortex) fn estimate(compressor: &Compressor, sample: &[&[u8]]) -> usize {
    let (mut codes, mut ends) = (Vec::new(), Vec::new());
    compressor.compress_bulk_into::<{ Compressor::DEFAULT_BULK_LANES }>(sample, &mut codes, &mut ends);
    codes.len()
}
