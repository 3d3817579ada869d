//! Random histories of a registry against a plain map with brute-force search: uniform, skewed and real hashes; written by
//! every route; restarts, alarms, evictions, a trimmed log, damaged blocks.
//!
//! `REGISTRY_SEED=n` plays one history again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seed"
)]

mod damage;
mod hashes;
mod model;
mod play;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use play::Play;

const SEEDS: u64 = 12;
/// As it comes, and with everything evicted that can be.
const CONFIGS: [&str; 2] = ["", r#"{"hot":{"evictAboveBytes":1}}"#];

#[test]
fn a_search_finds_what_comparing_all_finds_whatever_happened_before() {
    let seeds: Vec<u64> = match std::env::var("REGISTRY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut counts = BTreeMap::new();
    for seed in &seeds {
        println!("seed {seed}");
        let config = CONFIGS[usize::try_from(seed / 3 % 2).unwrap()];
        for (what, times) in Play::new(*seed, config).steps(120) {
            *counts.entry(what).or_insert(0_usize) += times;
        }
    }
    println!("{counts:?}");
    if seeds.len() > 1 {
        for what in ["matches", "collisions", "batches", "restarts", "trims", "damaged blocks", "refused", "deletes"] {
            assert!(counts.get(what).is_some_and(|times| *times >= 10), "{what}: {counts:?}");
        }
    }
}
