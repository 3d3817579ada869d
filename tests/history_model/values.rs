//! The fields of documents, from a number: mostly of one kind a field, with misfits.
//!
//! Numbers of the fields that are summed are integers or quarters, so that plain code sums them exactly.

use serde_json::{Map, Value, json};
use thermocline::ports::native::SplitMix64;

/// The fields that queries name.
pub const PATHS: [&str; 13] = ["a", "b", "c", "d", "A", "B", "t", "n.k", "n.m.z", "_x", "é", "id", "none"];
/// Those that are summed.
pub const SUMMED: [&str; 3] = ["a", "b", "n.k"];
pub const MOMENTS: [&str; 5] = [
    "2024-02-29T23:59:59.999Z",
    "2024-02-29T23:59:59Z",
    "1970-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00+01:00",
    "2024-02-29T23:59:59.123456Z",
];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "é",
    "5",
    "-1.5",
    "zz\n\"\\/",
    "\u{0}\u{1f}\u{7f}",
    "\u{feff}日本",
    "𝕏\u{10ffff}",
    "2024-02-29",
    "0192d3f0-0000-7000-8000-00000000000a",
];
const ODD: [f64; 8] = [0.1, -0.25, 1e-7, 1e300, -1e300, 5e-324, 3.0, -0.0];
const WIDE: [i64; 6] =
    [i64::MAX, i64::MIN, 9_007_199_254_740_993, 9_007_199_254_740_992, -9_007_199_254_740_993, 1 << 32];

pub fn chance(random: &mut SplitMix64, percent: usize) -> bool {
    random.below(100) < percent
}

pub fn pick<'i, T>(random: &mut SplitMix64, items: &'i [T]) -> &'i T {
    &items[random.below(items.len())]
}

fn integer(random: &mut SplitMix64) -> Value {
    if chance(random, 4) { json!(pick(random, &WIDE)) } else { json!(i64::try_from(random.below(24)).unwrap() - 6) }
}

fn quarters(random: &mut SplitMix64) -> Value {
    if chance(random, 20) { json!(random.below(9)) } else { json!((random.below(64) as f64 - 16.0) / 4.0) }
}

fn text(random: &mut SplitMix64) -> Value {
    json!(pick(random, &TEXTS))
}

/// A value that conditions compare with.
pub fn scalar(random: &mut SplitMix64) -> Value {
    match random.below(6) {
        0 => integer(random),
        1 => quarters(random),
        2 => text(random),
        3 => json!(pick(random, &MOMENTS)),
        4 => json!(pick(random, &ODD)),
        _ => json!(chance(random, 50)),
    }
}

/// Of any kind; its numbers can be summed exactly.
fn anything(random: &mut SplitMix64) -> Value {
    match random.below(9) {
        0 => integer(random),
        1 => quarters(random),
        2 => text(random),
        3 => json!(pick(random, &MOMENTS)),
        4 => json!(chance(random, 50)),
        5 => json!([1, "x", null]),
        6 => json!({"deep": [1, {"x": null}]}),
        7 => json!({}),
        _ => Value::Null,
    }
}

fn value(random: &mut SplitMix64, name: &str) -> Value {
    if chance(random, 4) {
        return anything(random);
    }
    if chance(random, 4) {
        return Value::Null;
    }
    match name {
        "a" => integer(random),
        "b" => quarters(random),
        "c" => text(random),
        "A" => json!(chance(random, 50)),
        "B" => json!(pick(random, &ODD)),
        "t" => json!(pick(random, &MOMENTS)),
        "n" => match random.below(3) {
            0 => json!({"k": integer(random)}),
            1 => json!({"k": quarters(random), "m": {"z": text(random)}}),
            _ => json!({"m": {"z": anything(random)}, "k": anything(random)}),
        },
        _ => anything(random),
    }
}

/// The fields that a number stands for; none for 0.
pub fn fields(seed: u32) -> Value {
    let mut random = SplitMix64::new(u64::from(seed));
    let mut fields = Map::new();
    let share = if seed == 0 { 0 } else { *pick(&mut random, &[25, 60, 90]) };
    for name in ["a", "b", "c", "d", "A", "B", "t", "n"] {
        if chance(&mut random, share) {
            fields.insert(name.to_owned(), value(&mut random, name));
        }
    }
    for name in ["_x", "é", "n.k"] {
        if chance(&mut random, share / 12) {
            fields.insert(name.to_owned(), anything(&mut random));
        }
    }
    Value::Object(fields)
}
