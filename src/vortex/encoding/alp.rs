//! ALP: floating-point numbers that were written as decimals, as integers and one power of ten.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | exponent | 1 | `e`, 0 to 22 |
//! | exceptions | varint | how many values are no such decimals |
//! | positions | part | of the exceptions, ascending without two alike |
//! | values | part | the exceptions, plain |
//! | integers | rest | a node of integers `i`, one a row: the value is `i / 10^e`, rounded once; for exceptions of no meaning |
//!
//! The paper (Afroozeh, Kuffo, Boncz, SIGMOD 2024) multiplies by an inverse power, which is not exact, and so needs a
//! second exponent. A division of two integers that doubles hold exactly is rounded correctly: it gives what reading the
//! decimal text gives, for every decimal of up to 15 digits. In wasm a division costs less than an exception does.

use std::ops::Range;

use super::budget::{Budget, Touched};
use super::fixed::Node;
use super::floats::Float;
use super::plain::Plain;
use super::starts::{self, Starts, index};
use super::wire::{Bytes, corrupt, put_count};
use super::{Encoded, Encoding, deeper};
use crate::error::Result;

/// The powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Integers from here on are not all doubles.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// ALP-encoded numbers, not yet decoded.
#[derive(Clone, Debug)]
pub(in crate::vortex) struct Alp<'b> {
    power: f64,
    positions: Starts<'b>,
    exceptions: Plain<'b>,
    integers: Node<'b, i64>,
}

impl<'b> Alp<'b> {
    pub(super) fn parse(mut bytes: Bytes<'b>, count: usize, value_bytes: usize, level: u8) -> Result<Self> {
        let exponent = bytes.u8()?;
        let power = POWERS.get(usize::from(exponent)).copied();
        let power = power.ok_or_else(|| corrupt(format!("expected an exponent from 0 to 22, got {exponent}")))?;
        let exceptions = bytes.count(count, "exceptions")?;
        let positions = Starts::parse(bytes.part()?, exceptions, count.saturating_sub(1))?;
        let values = Plain::parse(bytes.part()?, exceptions, value_bytes)?;
        Ok(Self { power, positions, exceptions: values, integers: Node::parse(bytes, count, deeper(level)?)? })
    }

    pub(super) fn decode<V: Float>(&self, range: Range<usize>, out: &mut Vec<V>, budget: &mut Budget) -> Result<()> {
        let first = out.len();
        let integers = self.integers.decode(range.clone(), budget)?;
        out.extend(integers.iter().map(|integer| V::nearest(to_double(*integer) / self.power)));
        let within = self.positions.positions_in(range.clone(), &mut Touched::default())?;
        if within.is_empty() {
            return Ok(());
        }
        let positions = self.positions.decode(within.clone(), budget)?;
        let mut values = budget.vector(within.len())?;
        V::plain(&self.exceptions, within, &mut values)?;
        let mut least = range.start;
        for (position, value) in positions.into_iter().map(index).zip(values) {
            let place = position.checked_sub(least).and_then(|_| out.get_mut(first + (position - range.start)));
            *place.ok_or_else(|| corrupt("expected the positions of exceptions to ascend within the column"))? = value;
            least = position + 1;
        }
        Ok(())
    }

    pub(super) fn get<V: Float>(&self, position: usize, touched: &mut Touched) -> Result<V> {
        if let Some((exception, at)) = self.positions.last_up_to(position, touched)?
            && at == position
        {
            return V::plain_at(&self.exceptions, exception, touched);
        }
        Ok(V::nearest(to_double(self.integers.get(position, touched)?) / self.power))
    }

    pub(super) fn describe(&self) -> String {
        format!("{}(integers: {})", Encoding::Alp, self.integers.describe())
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "the nearest double is what is defined; the writer keeps others as exceptions"
)]
fn to_double(integer: i64) -> f64 {
    integer as f64
}

/// The integer that stands for `value` at an exponent, if one does.
#[allow(clippy::cast_possible_truncation, reason = "checked to be an integer within the exact ones")]
fn to_integer<V: Float>(value: V, power: f64) -> Option<i64> {
    let scaled = (value.widen() * power).round_ties_even();
    if scaled.is_nan() || scaled.abs() > EXACT_INTEGERS {
        return None;
    }
    let integer = scaled as i64;
    V::nearest(to_double(integer) / power).same_bits(value).then_some(integer)
}

/// The exponent under which the most values of a sample are decimals, the least such, and how many are not.
pub(in crate::vortex) fn best_exponent<V: Float>(sample: &[V]) -> (u8, usize) {
    let exceptions = |power: &f64| sample.iter().filter(|value| to_integer(**value, *power).is_none()).count();
    let counts = (0..).zip(POWERS.iter().map(exceptions));
    counts.min_by_key(|(exponent, exceptions)| (*exceptions, *exponent)).unwrap_or((0, sample.len()))
}

/// Numbers as integers, and those that are none.
#[derive(Debug)]
pub(in crate::vortex) struct Decimals<V> {
    exponent: u8,
    /// One a number; an exception's is its predecessor's.
    pub integers: Vec<i64>,
    positions: Vec<u32>,
    exceptions: Vec<V>,
}

impl<V: Float> Decimals<V> {
    /// The numbers as integers at an exponent.
    pub(in crate::vortex) fn of(values: &[V], exponent: u8) -> Self {
        let power = POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0);
        let mut decimals = Self {
            exponent,
            integers: Vec::with_capacity(values.len()),
            positions: Vec::new(),
            exceptions: Vec::new(),
        };
        // Until the first decimal there is no predecessor.
        let mut last = values.iter().find_map(|value| to_integer(*value, power)).unwrap_or(0);
        for (position, value) in (0_u32..).zip(values) {
            match to_integer(*value, power) {
                Some(integer) => last = integer,
                None => {
                    decimals.positions.push(position);
                    decimals.exceptions.push(*value);
                }
            }
            decimals.integers.push(last);
        }
        decimals
    }

    /// Bytes that the exceptions take, about.
    pub(in crate::vortex) fn exception_bytes(&self) -> usize {
        self.exceptions.len().saturating_mul(V::BYTES + 2)
    }
}

/// Encodes numbers from the node of their integers.
pub(in crate::vortex) fn encode<V: Float>(decimals: &Decimals<V>, integers: &Encoded) -> Result<Encoded> {
    let mut out = Encoded::new(Encoding::Alp);
    out.bytes.push(decimals.exponent);
    put_count(&mut out.bytes, decimals.positions.len());
    out.put_part(&starts::encode(&decimals.positions)?);
    let mut values = Vec::with_capacity(decimals.exceptions.len() * V::BYTES);
    decimals.exceptions.iter().for_each(|value| value.write(&mut values));
    super::wire::put_part(&mut out.bytes, &values);
    out.put_last(integers);
    Ok(out)
}
