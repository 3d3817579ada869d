//! Which encoding wins on which values.

use thermocline::vortex::{Column, ColumnType, Scalar};

use crate::support::*;

fn chosen(column: &Column) -> String {
    let bytes = blob(column);
    assert_same(column, &decoded(&bytes).unwrap());
    description(&bytes)
}

const ROWS: i64 = 20_000;

#[test]
fn integers() {
    let mut random = Random::new(5);
    let mut below = |limit: u64| random.below(limit) as i64;
    assert_eq!(chosen(&longs((0..ROWS).map(|_| 42))), "constant");
    assert_eq!(chosen(&longs((0..ROWS).map(|_| below(u64::MAX)))), "plain");
    assert_eq!(chosen(&longs((0..ROWS).map(|_| below(1_000) - 500))), "bit_packed");
    assert_eq!(chosen(&longs((0..ROWS).map(|row| 1_700_000_000_000 + row * 1_000 + below(300)))), "delta");
    assert_eq!(chosen(&longs((0..ROWS).map(|row| row / 500 * 1_000_003 % 977))), "run_length(values: bit_packed)");
    assert_eq!(
        chosen(&longs((0..ROWS).map(|_| [3, 900_000_000_000, -77_000_000_000][below(3) as usize]))),
        "dictionary(values: plain, codes: bit_packed)"
    );
    let runs_of_few = longs((0..ROWS).map(|row| [3, 900_000_000_007, -77_000_000_000][(row / 40 % 7 % 3) as usize]));
    assert_eq!(chosen(&runs_of_few), "run_length(values: dictionary(values: plain, codes: bit_packed))");
}

#[test]
fn integers_with_a_few_outliers_are_as_small_as_without() {
    let mut random = Random::new(6);
    let column = |outliers: u64, random: &mut Random| {
        longs((0..ROWS).map(|_| {
            if random.below(1_000) < outliers { i64::MAX - random.below(99) as i64 } else { random.below(64) as i64 }
        }))
    };
    let (without, with) = (blob(&column(0, &mut random)), blob(&column(5, &mut random)));
    assert_eq!((description(&without), description(&with)), ("bit_packed".to_owned(), "bit_packed".to_owned()));
    assert!(with.len() < without.len() + 1_500, "{} bytes with, {} without", with.len(), without.len());
}

#[test]
fn a_few_values_far_below_the_others_cost_little_too() {
    let mut random = Random::new(14);
    let mut column =
        |sentinels: u64| {
            longs((0..ROWS).map(|_| {
                if random.below(1_000) < sentinels { -1 } else { 1_700_000_000_000 + random.below(5_000) as i64 }
            }))
        };
    let (without, with) = (blob(&column(0)), blob(&column(5)));
    assert_eq!(chosen(&column(5)), "bit_packed");
    assert!(with.len() < without.len() + 1_500, "{} bytes with, {} without", with.len(), without.len());
}

#[test]
fn times_of_whole_seconds_take_no_bits_for_the_rest() {
    let mut random = Random::new(7);
    let seconds: Vec<i64> = (0..ROWS).map(|_| random.below(86_400) as i64).collect();
    let micros = blob(&longs(seconds.iter().map(|second| 1_700_000_000_000_000 + second * 1_000_000)));
    let plain = blob(&longs(seconds.iter().copied()));
    assert_eq!(description(&micros), "bit_packed");
    assert!(micros.len() <= plain.len() + 16, "{} bytes, {} of seconds alone", micros.len(), plain.len());
}

#[test]
fn floating_point_numbers() {
    let mut random = Random::new(8);
    let mut below = |limit: u64| random.below(limit);
    assert_eq!(chosen(&doubles((0..ROWS).map(|_| f64::NAN))), "constant");
    assert_eq!(chosen(&doubles((0..ROWS).map(|_| f64::from_bits(below(u64::MAX))))), "plain");
    assert_eq!(chosen(&doubles((0..ROWS).map(|_| below(1_000_000) as f64 / 100.0))), "alp(integers: bit_packed)");
    assert_eq!(
        chosen(&doubles((0..ROWS).map(|_| [0.1 + 0.2, 1.0 / 3.0, -0.0, f64::INFINITY][below(4) as usize]))),
        "dictionary(values: plain, codes: bit_packed)"
    );
    assert_eq!(chosen(&doubles((0..ROWS).map(|row| (row / 1_000) as f64 / 3.0))), "run_length(values: plain)");
    let half_percent_exceptions =
        doubles((0..ROWS).map(|_| if below(200) == 0 { 1.0 / 7.0 } else { below(10_000) as f64 / 10.0 }));
    assert_eq!(chosen(&half_percent_exceptions), "alp(integers: bit_packed)");
    let singles = column(ColumnType::Float, (0..ROWS).map(|_| Some(Scalar::Float(below(5_000) as f32 / 100.0))));
    assert_eq!(chosen(&singles), "alp(integers: bit_packed)");
}

#[test]
fn text() {
    let mut random = Random::new(9);
    let mut below = |limit: u64| random.below(limit);
    assert_eq!(chosen(&texts((0..ROWS).map(|_| "same"))), "constant");
    assert_eq!(
        chosen(&texts((0..ROWS).map(|_| ["Oslo", "Bergen", "Tromsø"][below(3) as usize]))),
        "dictionary(values: plain, codes: bit_packed)"
    );
    assert_eq!(
        chosen(&texts((0..ROWS).map(|row| ["Oslo", "Bergen", "Tromsø"][(row / 300 % 3) as usize]))),
        "dictionary(values: plain, codes: run_length(values: bit_packed))"
    );
    assert_eq!(
        chosen(&texts((0..ROWS).map(|row| format!("https://example.com/item/{row}?from={}", below(100))))),
        "fsst"
    );
    let noise = |length: u64, random: &mut Random| -> String {
        (0..length).map(|_| char::from(33 + random.below(93) as u8)).collect()
    };
    let mut random = Random::new(10);
    assert_eq!(chosen(&texts((0..2_000).map(|_| noise(30, &mut random)))), "plain");
    let paths: Vec<String> = (0..400).map(|at| format!("/var/lib/service/volumes/{at}/data/archive.tar")).collect();
    assert_eq!(
        chosen(&texts((0..ROWS).map(|_| paths[random.below(400) as usize].clone()))),
        "dictionary(values: fsst, codes: bit_packed)"
    );
}

#[test]
fn other_types() {
    let mut random = Random::new(12);
    let rows = ROWS as usize;
    let booleans = |value: &mut dyn FnMut(usize) -> bool| {
        column(ColumnType::Boolean, (0..rows).map(|row| Some(Scalar::Boolean(value(row)))))
    };
    assert_eq!(chosen(&booleans(&mut |_| true)), "constant");
    assert_eq!(chosen(&booleans(&mut |_| random.below(2) == 0)), "plain");
    assert_eq!(chosen(&booleans(&mut |row| row / 700 % 2 == 0)), "run_length");
    let decimal = ColumnType::Decimal { precision: 38, scale: 2 };
    let decimals =
        |value: &mut dyn FnMut(usize) -> i128| column(decimal, (0..rows).map(|row| Some(Scalar::Decimal(value(row)))));
    assert_eq!(chosen(&decimals(&mut |_| i128::from(random.below(100_000)))), "narrow(bit_packed)");
    assert_eq!(chosen(&decimals(&mut |row| i128::MAX - row as i128)), "plain");
    let uuids = column(
        ColumnType::Uuid,
        (0..rows).map(|_| Some(Scalar::Uuid(uuid::Uuid::from_u64_pair(random.next(), random.next())))),
    );
    assert_eq!(chosen(&uuids), "plain");
}

#[test]
fn which_rows_have_a_value_costs_little() {
    let mut random = Random::new(13);
    let bytes = |every: u64, random: &mut Random| {
        let column =
            column(ColumnType::Long, (0..65_536).map(|_| (random.below(1_000) < every).then_some(Scalar::Long(1))));
        let bytes = blob(&column);
        assert_same(&column, &decoded(&bytes).unwrap());
        bytes.len()
    };
    let around = bytes(1_001, &mut random);
    assert!(bytes(0, &mut random) <= around + 16);
    assert!(bytes(500, &mut random) <= around + 8_192 + 64 + 16);
    assert!(bytes(5, &mut random) <= around + 900, "a list of positions");
    assert!(bytes(995, &mut random) <= around + 900, "a list of the others");
}
