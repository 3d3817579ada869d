//! Bytes: plain, and by a table of symbols.

use super::input::Input;
use super::node::{Value, pieces};
use super::{Refusal, refuse};

/// A code that says that the byte after it is itself.
const ESCAPE: u8 = 255;

pub fn plain(mut input: Input<'_>, count: usize) -> Result<Vec<Value>, Refusal> {
    let starts = input.part()?;
    Ok(pieces(starts, input.rest(), count)?.into_iter().map(|piece| Value::Bytes(piece.into())).collect())
}

pub fn fsst(mut input: Input<'_>, count: usize) -> Result<Vec<Value>, Refusal> {
    let symbols = input.byte()?;
    let mut lengths = Vec::new();
    for _ in 0..symbols {
        match input.byte()? {
            length @ 1..=8 => lengths.push(usize::from(length)),
            length => return refuse(format!("a symbol of {length} bytes")),
        }
    }
    let mut table = Vec::new();
    for length in lengths {
        table.push(input.take(length)?);
    }
    let starts = input.part()?;
    let codes = pieces(starts, input.rest(), count)?;
    codes.into_iter().map(|codes| Ok(Value::Bytes(expanded(codes, &table)?.into()))).collect()
}

/// The bytes that the codes of one value stand for.
fn expanded(codes: &[u8], table: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut codes = codes.iter();
    while let Some(code) = codes.next() {
        match (*code, table.get(usize::from(*code))) {
            (ESCAPE, _) => match codes.next() {
                Some(byte) => bytes.push(*byte),
                None => return refuse("an escape without its byte"),
            },
            (_, Some(symbol)) => bytes.extend_from_slice(symbol),
            (code, None) => return refuse(format!("code {code} of {} symbols", table.len())),
        }
    }
    Ok(bytes)
}
