//! Candidates that all values of fixed size have alike: constant, run-length, dictionary.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Best, Wanted, integers, run_starts};
use crate::error::Result;
use crate::vortex::encoding::fixed::Fixed;
use crate::vortex::encoding::starts::index;
use crate::vortex::encoding::{Encoded, Encoding, constant, dictionary, run_length};

/// Whether all values are the same as the first.
pub(super) fn is_constant<V: Fixed, K: PartialEq>(values: &[V], key: impl Fn(V) -> K) -> bool {
    values.first().is_some_and(|first| values.iter().all(|value| key(*value) == key(*first)))
}

/// Offers a constant, if the values are one.
pub(super) fn offer_constant<V: Fixed, K: PartialEq>(
    values: &[V],
    key: impl Fn(V) -> K,
    best: &mut Best,
) -> Result<bool> {
    match values.first() {
        Some(first) if is_constant(values, key) => {
            best.offer(constant::encode(*first))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Offers runs, where values repeat themselves at least twice on average.
pub(super) fn offer_runs<V: Fixed, K: PartialEq>(
    values: &[V],
    key: impl Fn(V) -> K,
    wanted: Wanted,
    best: &mut Best,
    encode: impl Fn(&[V], Wanted) -> Result<Encoded>,
) -> Result<()> {
    if !wanted.nests() || !wanted.may_be(Encoding::RunLength) {
        return Ok(());
    }
    let most = if wanted.force.is_some() { values.len() } else { values.len() / 2 };
    let same = |left: usize, right: usize| values.get(left).copied().map(&key) == values.get(right).copied().map(&key);
    let Some(starts) = run_starts(values.len(), most, same) else { return Ok(()) };
    let runs: Vec<V> = starts.iter().filter_map(|start| values.get(index(*start)).copied()).collect();
    best.offer(run_length::encode(&starts, &encode(&runs, wanted.inner())?)?)
}

/// Offers a dictionary, where at least every other value is a repetition. `key` tells values apart and orders them.
pub(super) fn offer_dictionary<V: Fixed, K: Copy + Hash + Ord>(
    values: &[V],
    key: impl Fn(V) -> K,
    wanted: Wanted,
    best: &mut Best,
    encode: impl Fn(&[V], Wanted) -> Result<Encoded>,
) -> Result<()> {
    if !wanted.nests() || !wanted.may_be(Encoding::Dictionary) {
        return Ok(());
    }
    let most = if wanted.force.is_some() { values.len() } else { values.len() / 2 };
    let Some((distinct, codes)) = codes(values, key, most) else { return Ok(()) };
    let codes = integers::encode(&codes, wanted.inner())?;
    best.offer(dictionary::encode(distinct.len(), &encode(&distinct, wanted.inner())?, &codes))
}

/// The distinct values in order, and each value's place among them; `None` when there are more than `most`.
fn codes<V: Fixed, K: Copy + Hash + Ord>(
    values: &[V],
    key: impl Fn(V) -> K,
    most: usize,
) -> Option<(Vec<V>, Vec<i64>)> {
    let mut seen: HashMap<K, (V, i64)> = HashMap::new();
    for value in values {
        if seen.len() > most {
            return None;
        }
        seen.entry(key(*value)).or_insert((*value, 0));
    }
    let mut distinct: Vec<(K, V)> = seen.iter().map(|(key, (value, _))| (*key, *value)).collect();
    distinct.sort_unstable_by_key(|(key, _)| *key);
    for (code, (key, _)) in (0_i64..).zip(&distinct) {
        if let Some((_, place)) = seen.get_mut(key) {
            *place = code;
        }
    }
    let codes = values.iter().filter_map(|value| seen.get(&key(*value)).map(|(_, code)| *code)).collect();
    Some((distinct.into_iter().map(|(_, value)| value).collect(), codes))
}
