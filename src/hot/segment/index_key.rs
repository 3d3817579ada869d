//! Values as bytes whose order is the order of the values: the keys of indexes.
//!
//! Each value is a tag and what follows it:
//!
//! | tag | value | what follows |
//! |---|---|---|
//! | 1 | null or absent | |
//! | 2, 3 | `false`, `true` | |
//! | 4 | a number below zero | as for 6, each bit the other way round |
//! | 5 | zero | |
//! | 6 | a number above zero | exponent (2, big-endian); the fraction's groups |
//! | 7 | a string | its bytes, 0 as `00 ff`; then `00 01` |
//! | 8 | an array or object | its JSON text in the same way |
//!
//! A number is `1.fraction` x 2^(exponent - 16,384), exact for integers and doubles alike, so that `1`, `1.0` and `1e0`
//! are the same bytes. The fraction's bits come in groups of seven, the last filled up with zeros, each as a byte of
//! the group and, as its lowest bit, whether another follows; the last group is not zero unless it is the only one. The
//! exponent of infinity is 65,535.
//!
//! Invariants: no value's bytes begin with another's, so that of tuples written one value after the other the order is
//! that of the tuples, equal tuples are equal bytes, and a tuple's bytes begin with those of a tuple exactly when it
//! does; the order is that of [`OrderKey::compare`].

use crate::hot::query::OrderKey;
use crate::types::Json;

const NULL: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const NEGATIVE: u8 = 4;
const ZERO: u8 = 5;
const POSITIVE: u8 = 6;
const TEXT: u8 = 7;
const JSON: u8 = 8;

const EXPONENT_BIAS: i32 = 16_384;
const EXPONENT_INFINITE: u16 = u16::MAX;
const GROUP_BITS: u32 = 7;

/// The bytes of a tuple of values.
pub fn encode<'k>(keys: impl IntoIterator<Item = &'k OrderKey>) -> Vec<u8> {
    let mut out = Vec::new();
    keys.into_iter().for_each(|key| put(key, &mut out));
    out
}

/// Appends a value.
pub fn put(key: &OrderKey, out: &mut Vec<u8>) {
    match key {
        OrderKey::Null => out.push(NULL),
        OrderKey::Boolean(value) => out.push(if *value { TRUE } else { FALSE }),
        OrderKey::Integer(value) => put_integer(*value, out),
        OrderKey::Double(value) => put_double(*value, out),
        OrderKey::Text(text) => put_text(TEXT, text, out),
        OrderKey::Json(text) => put_text(JSON, text, out),
    }
}

/// Appends the value of a field, as [`OrderKey::of`] has it, without copying a string.
pub fn put_value(value: Option<&Json<'_>>, out: &mut Vec<u8>) {
    match value {
        Some(Json::String(text)) => put_text(TEXT, text, out),
        other => put(&OrderKey::of(other), out),
    }
}

/// The first and the last tag of values of the same kind as this one: those that it is in an order with.
pub fn kind_tags(value: &OrderKey) -> (u8, u8) {
    match value {
        OrderKey::Null => (NULL, NULL),
        OrderKey::Boolean(_) => (FALSE, TRUE),
        OrderKey::Integer(_) | OrderKey::Double(_) => (NEGATIVE, POSITIVE),
        OrderKey::Text(_) => (TEXT, TEXT),
        OrderKey::Json(_) => (JSON, JSON),
    }
}

/// What the bytes of all strings begin with that begin so.
pub fn text_beginning(prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_beginning(TEXT, prefix, &mut out);
    out
}

fn put_text(tag: u8, text: &str, out: &mut Vec<u8>) {
    put_beginning(tag, text, out);
    out.extend([0, 1]);
}

fn put_beginning(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    let mut parts = text.as_bytes().split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend([0, 0xff]);
        out.extend_from_slice(part);
    }
}

fn put_integer(value: i128, out: &mut Vec<u8>) {
    put_number(value < 0, value.unsigned_abs(), 0, out);
}

fn put_double(value: f64, out: &mut Vec<u8>) {
    const FRACTION_BITS: u32 = 52;
    const LEAST_EXPONENT: i32 = -1_074;
    let bits = value.to_bits();
    let negative = bits >> 63 == 1;
    let exponent = i32::try_from(bits >> FRACTION_BITS & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    match exponent {
        // What no JSON text says: infinity, and beyond it NaN, so that every value has a place.
        0x7ff => put_groups(negative, EXPONENT_INFINITE, u128::from(u8::from(fraction != 0)) << 127, out),
        0 => put_number(negative, u128::from(fraction), LEAST_EXPONENT, out),
        _ => put_number(negative, u128::from(fraction | 1 << FRACTION_BITS), LEAST_EXPONENT + exponent - 1, out),
    }
}

/// Appends `magnitude` x 2^`power`.
fn put_number(negative: bool, magnitude: u128, power: i32, out: &mut Vec<u8>) {
    let Some(highest) = magnitude.checked_ilog2() else {
        out.push(ZERO);
        return;
    };
    let exponent = power + i32::try_from(highest).unwrap_or(0) + EXPONENT_BIAS;
    let fraction = magnitude.checked_shl(u128::BITS - highest).unwrap_or(0);
    put_groups(negative, u16::try_from(exponent).unwrap_or(0), fraction, out);
}

/// Appends a number other than zero; the bits of `fraction` are those after the point, highest first.
fn put_groups(negative: bool, exponent: u16, mut fraction: u128, out: &mut Vec<u8>) {
    let flip = if negative { 0xff } else { 0 };
    out.push(if negative { NEGATIVE } else { POSITIVE });
    out.extend(exponent.to_be_bytes().map(|byte| byte ^ flip));
    loop {
        let group = u8::try_from(fraction >> (u128::BITS - GROUP_BITS)).unwrap_or(0);
        fraction <<= GROUP_BITS;
        out.push((group << 1 | u8::from(fraction != 0)) ^ flip);
        if fraction == 0 {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "the nearest doubles are what is wanted")]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = OrderKey> {
        let near = prop_oneof![any::<i64>().prop_map(i128::from), any::<i128>(), -300_i128..300, Just(1 << 53)];
        prop_oneof![
            (near.clone(), -2_i128..3).prop_map(|(value, by)| OrderKey::Integer(value.saturating_add(by))),
            near.prop_map(|value| OrderKey::Double(value as f64)),
            (-600_i32..600).prop_map(|value| OrderKey::Double(f64::from(value) / 2.0)),
            any::<f64>().prop_filter("a number", |value| !value.is_nan()).prop_map(OrderKey::Double),
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(5e-324)]
                .prop_map(OrderKey::Double),
        ]
    }

    fn key() -> impl Strategy<Value = OrderKey> {
        let text = || prop_oneof!["[\0\u{1}a\u{ff}]{0,3}", any::<String>()];
        prop_oneof![
            1 => Just(OrderKey::Null),
            1 => any::<bool>().prop_map(OrderKey::Boolean),
            6 => number(),
            3 => text().prop_map(OrderKey::Text),
            1 => text().prop_map(OrderKey::Json),
        ]
    }

    /// The order of tuples: value by value, and a tuple before those that it begins.
    fn order(left: &[OrderKey], right: &[OrderKey]) -> Ordering {
        let values = left.iter().zip(right).map(|(left, right)| left.compare(right));
        values.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
    }

    fn begins(whole: &[OrderKey], first: &[OrderKey]) -> bool {
        whole.get(..first.len()).is_some_and(|start| order(start, first).is_eq())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn one_value_is_ordered_like_its_bytes(left in key(), right in key()) {
            prop_assert_eq!(encode([&left]).cmp(&encode([&right])), left.compare(&right));
        }

        #[test]
        fn numbers_are_ordered_like_their_bytes(left in number(), right in number()) {
            prop_assert_eq!(encode([&left]).cmp(&encode([&right])), left.compare(&right));
        }

        #[test]
        fn tuples_are_ordered_like_their_bytes(
            shared in prop::collection::vec(key(), 0..2),
            left in prop::collection::vec(key(), 0..3),
            right in prop::collection::vec(key(), 0..3),
        ) {
            let [left, right] = [left, right].map(|rest| [shared.clone(), rest].concat());
            let [left_bytes, right_bytes] = [&left, &right].map(encode);
            prop_assert_eq!(left_bytes.cmp(&right_bytes), order(&left, &right));
            prop_assert_eq!(left_bytes.starts_with(&right_bytes), begins(&left, &right));
        }

        #[test]
        fn a_field_is_encoded_like_its_key(value in key()) {
            let json = match &value {
                OrderKey::Text(text) => Json::String(text.as_str().into()),
                OrderKey::Boolean(value) => Json::Bool(*value),
                OrderKey::Integer(value) => Json::Number(value.to_string().into()),
                _ => Json::Null,
            };
            let mut bytes = Vec::new();
            put_value(Some(&json), &mut bytes);
            prop_assert_eq!(bytes, encode([&OrderKey::of(Some(&json))]));
        }
    }

    #[test]
    fn the_bytes_are_for_ever() {
        let of = |text: &str| encode([&OrderKey::of(Some(&Json::parse(text).unwrap()))]);
        for (text, bytes) in [
            ("null", &[1][..]),
            ("false", &[2]),
            ("true", &[3]),
            ("-1", &[4, 0xbf, 0xff, 0xff]),
            ("-0.0", &[5]),
            ("1", &[6, 0x40, 0, 0]),
            ("1.0", &[6, 0x40, 0, 0]),
            ("5", &[6, 0x40, 2, 0b0100_0000]),
            ("0.1", &[6, 0x3f, 0xfc, 0x99, 0xcd, 0x67, 0x33, 0x99, 0xcd, 0x67, 0x40]),
            ("\"\"", &[7, 0, 1]),
            (r#""a\u0000b""#, &[7, b'a', 0, 0xff, b'b', 0, 1]),
            ("[1]", &[8, b'[', b'1', b']', 0, 1]),
        ] {
            assert_eq!(of(text), bytes, "{text}: {:02x?}", of(text));
        }
    }
}
