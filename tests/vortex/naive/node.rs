//! Nodes: each gives as many values as it is asked for.

use std::rc::Rc;

use super::input::Input;
use super::packed::{BLOCK, STRIDE, blocks, positions, starts};
use super::validity::bits;
use super::{Allowance, Refusal, floats, refuse, text};

/// How many nodes may lie one within the other.
const LEVELS: u8 = 3;

const PLAIN: u8 = 0;
const CONSTANT: u8 = 1;
const DICTIONARY: u8 = 2;
const RUN_LENGTH: u8 = 3;
const DELTA: u8 = 4;
const BIT_PACKED: u8 = 5;
const FSST: u8 = 6;
const ALP: u8 = 7;
const NARROW: u8 = 8;

/// What the values of a node are.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Boolean,
    Integer,
    /// Integers that say which of a dictionary's values.
    Code,
    Float,
    Double,
    Decimal,
    Uuid,
    /// Text is no other: whether it is UTF-8 is asked of the rows' values.
    Bytes,
}

/// A value of a node.
#[derive(Clone)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    /// Floats and 16-byte values, as bits.
    Bits(u128),
    /// Shared, as a dictionary's values stand for many rows.
    Bytes(Rc<[u8]>),
}

/// Where a node is and what it may take.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub level: u8,
    pub allowance: &'a Allowance,
}

/// The `count` values of the node that all of `bytes` are.
pub fn node(bytes: &[u8], kind: Kind, count: usize, place: Place<'_>) -> Result<Vec<Value>, Refusal> {
    if place.level >= LEVELS {
        return refuse("nodes nest too deeply");
    }
    place.allowance.take(count.saturating_mul(size_of::<Value>()))?;
    let within = Place { level: place.level + 1, ..place };
    let mut input = Input::new(bytes);
    let encoding = input.byte()?;
    match (encoding, kind) {
        (PLAIN, Kind::Boolean) => Ok(bits(input.rest(), count)?.into_iter().map(Value::Boolean).collect()),
        (PLAIN, Kind::Bytes) => text::plain(input, count),
        (PLAIN, _) => {
            let values = (0..count).map(|_| fixed(&mut input, kind)).collect::<Result<_, _>>()?;
            input.end()?;
            Ok(values)
        }
        (CONSTANT, Kind::Bytes) => Ok(vec![Value::Bytes(input.rest().into()); count]),
        (CONSTANT, _) => {
            let value = match kind {
                Kind::Boolean => Value::Boolean(boolean(&mut input)?),
                Kind::Integer | Kind::Code => integer(input.zigzag()?, kind)?,
                _ => fixed(&mut input, kind)?,
            };
            input.end()?;
            Ok(vec![value; count])
        }
        (DICTIONARY, kind) if kind != Kind::Boolean => dictionary(input, kind, count, within),
        (RUN_LENGTH, kind) if kind != Kind::Bytes => run_length(input, kind, count, within),
        (DELTA, Kind::Integer | Kind::Code) => delta(input, kind, count),
        (BIT_PACKED, Kind::Integer | Kind::Code) => bit_packed(input, kind, count),
        (FSST, Kind::Bytes) => text::fsst(input, count),
        (ALP, Kind::Float | Kind::Double) => floats::alp(input, kind, count, within),
        (NARROW, Kind::Decimal | Kind::Uuid) => {
            let values = node(input.rest(), Kind::Integer, count, within)?;
            Ok(values.into_iter().map(|value| Value::Bits(i128::from(number(&value)) as u128)).collect())
        }
        _ => refuse(format!("encoding {encoding} for values that it is not for")),
    }
}

/// One value of fixed size as it lies there.
pub fn fixed(input: &mut Input<'_>, kind: Kind) -> Result<Value, Refusal> {
    Ok(match kind {
        Kind::Integer | Kind::Code => integer(input.number(8)? as i64, kind)?,
        Kind::Float => Value::Bits(input.number(4)?),
        Kind::Double => Value::Bits(input.number(8)?),
        Kind::Decimal | Kind::Uuid => Value::Bits(input.number(16)?),
        Kind::Boolean | Kind::Bytes => return refuse("values without a fixed size"),
    })
}

/// The integer that a value of an integer node is.
pub fn number(value: &Value) -> i64 {
    if let Value::Integer(value) = value { *value } else { 0 }
}

fn boolean(input: &mut Input<'_>) -> Result<bool, Refusal> {
    match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => refuse(format!("{other} for a boolean")),
    }
}

fn integer(value: i64, kind: Kind) -> Result<Value, Refusal> {
    if kind == Kind::Code && u32::try_from(value).is_err() {
        return refuse(format!("{value} for a code"));
    }
    Ok(Value::Integer(value))
}

fn dictionary(mut input: Input<'_>, kind: Kind, count: usize, within: Place<'_>) -> Result<Vec<Value>, Refusal> {
    let distinct = input.count()?;
    if distinct > count {
        return refuse(format!("{distinct} distinct values of {count}"));
    }
    let values = node(input.part()?, kind, distinct, within)?;
    let codes = node(input.rest(), Kind::Code, count, within)?;
    let value = |code: &Value| usize::try_from(number(code)).ok().and_then(|code| values.get(code)).cloned();
    codes.iter().map(|code| value(code).map_or_else(|| refuse("a code of no value"), Ok)).collect()
}

fn run_length(mut input: Input<'_>, kind: Kind, count: usize, within: Place<'_>) -> Result<Vec<Value>, Refusal> {
    let runs = input.count()?;
    let starts = positions(input.part()?, runs, count)?;
    if starts.first().copied().unwrap_or(count) != 0 {
        return refuse("runs that do not begin with the first value");
    }
    let values = if kind == Kind::Boolean {
        let first = boolean(&mut input)?;
        input.end()?;
        (0..runs).map(|run| Value::Boolean(first ^ (run % 2 == 1))).collect()
    } else {
        node(input.rest(), kind, runs, within)?
    };
    let mut rows = Vec::new();
    for (run, value) in values.into_iter().enumerate() {
        let end = starts.get(run + 1).copied().unwrap_or(count);
        rows.resize(end, value);
    }
    Ok(rows)
}

fn bit_packed(mut input: Input<'_>, kind: Kind, count: usize) -> Result<Vec<Value>, Refusal> {
    let (reference, scale) = (input.zigzag()?, input.varint()?);
    let mut values = Vec::new();
    for block in blocks(input.rest(), count, BLOCK)? {
        for packed in block.packed {
            let excess = scale.wrapping_mul(block.bases[0].wrapping_add(packed));
            values.push(integer(reference.wrapping_add(excess as i64), kind)?);
        }
    }
    Ok(values)
}

fn delta(mut input: Input<'_>, kind: Kind, count: usize) -> Result<Vec<Value>, Refusal> {
    let (reference, scale, least) = (input.zigzag()?, input.varint()?, input.zigzag()?);
    let (mut reached, mut values) = (0_u64, Vec::new());
    for block in blocks(input.rest(), count, STRIDE)? {
        for (position, packed) in block.packed.iter().enumerate() {
            let next = reached.wrapping_add(least as u64).wrapping_add(*packed);
            reached = match block.base(position) {
                Some(base) if position == 0 || base == next => base,
                Some(base) => return refuse(format!("a base of {base} where the differences lead to {next}")),
                None => next,
            };
            values.push(integer(reference.wrapping_add(scale.wrapping_mul(reached) as i64), kind)?);
        }
    }
    Ok(values)
}

/// The bytes of `count` values that start where `part` says.
pub fn pieces<'b>(part: &[u8], bytes: &'b [u8], count: usize) -> Result<Vec<&'b [u8]>, Refusal> {
    let starts = starts(part, count, bytes.len())?;
    if starts.first().copied().unwrap_or(bytes.len()) != 0 {
        return refuse("values that do not start with the first byte");
    }
    let end = |position: usize| starts.get(position + 1).copied().unwrap_or(bytes.len());
    Ok(starts.iter().enumerate().map(|(position, start)| &bytes[*start..end(position)]).collect())
}
