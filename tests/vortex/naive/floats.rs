//! ALP: integers over a power of ten.

use super::input::Input;
use super::node::{Kind, Place, Value, fixed, node, number};
use super::packed::positions;
use super::{Refusal, refuse};

pub fn alp(mut input: Input<'_>, kind: Kind, count: usize, within: Place<'_>) -> Result<Vec<Value>, Refusal> {
    let exponent = input.byte()?;
    if exponent > 22 {
        return refuse(format!("an exponent of {exponent}"));
    }
    let exceptions = input.count()?;
    let positions = positions(input.part()?, exceptions, count)?;
    let mut plain = Input::new(input.part()?);
    let integers = node(input.rest(), Kind::Integer, count, within)?;
    let mut values: Vec<Value> = integers.iter().map(|value| quotient(number(value), exponent, kind)).collect();
    for position in positions {
        values[position] = fixed(&mut plain, kind)?;
    }
    plain.end()?;
    Ok(values)
}

fn quotient(integer: i64, exponent: u8, kind: Kind) -> Value {
    let quotient = integer as f64 / 10_f64.powi(i32::from(exponent));
    match kind {
        Kind::Float => Value::Bits(u128::from((quotient as f32).to_bits())),
        _ => Value::Bits(u128::from(quotient.to_bits())),
    }
}
