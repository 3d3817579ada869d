//! Random histories against a plain map: every answer, every read, every query, the whole change feed and the archive
//! agree.
//!
//! A failing history is made smaller and printed whole, with the seed that makes it again: set `PROPTEST_RNG_SEED` to
//! it, and `PROPTEST_CASES` for more or fewer histories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod answer;
mod config;
mod foreign;
mod key;
mod model;
mod play;
mod query;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod values;
mod vocabulary;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use play::Play;
use tally::Tally;

/// Histories of a short run.
const HISTORIES: u32 = 24;
/// Steps of a history, at most.
const STEPS: usize = 36;
/// Smaller histories that are tried for a failing one.
const SHRINKS: u32 = 1_000;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: SHRINKS, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A configuration, and steps with a seed each for the reads after it.
fn history() -> impl Strategy<Value = (String, Vec<(vocabulary::Step, u32)>)> {
    (config::config(), prop::collection::vec((vocabulary::step(), any::<u32>()), 1..STEPS))
}

#[test]
fn random_histories_agree_with_a_plain_map() {
    let cases = number_of("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(HISTORIES);
    let seed = number_of("PROPTEST_RNG_SEED").unwrap_or(0x7e57);
    println!("seed {seed}, {cases} histories");
    let mut runner = runner(seed, cases);
    let tally = Tally::default();
    let outcome = runner.run(&history(), |(config, steps)| {
        let mut play = Play::new(seed, config, &tally);
        for (step, reads) in &steps {
            play.take(step);
            play.read(u64::from(*reads));
        }
        play.end();
        tally.histories.add(1);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
    println!("history_model: {tally}");
}

/// Everything that a history leaves: the time, the bucket, and the feed as it is told.
fn trace(seed: u64, tally: &Tally) -> String {
    let (config, steps) = history().new_tree(&mut runner(seed, 1)).unwrap().current();
    let mut play = Play::new(seed, config, tally);
    for (step, _) in &steps {
        play.take(step);
    }
    play.end();
    tally.histories.add(1);
    // The instance that played knows nothing of what was archived at the end.
    let mut left =
        format!("{} {:?}", play.world.ports().clock.now_ms(), support::Object::wake(&play.world).feed(1_000));
    for key in play.world.bucket.keys() {
        left.push_str(&format!("\n{key} {}", play.world.bucket.object(&key).unwrap().etag));
    }
    left
}

#[test]
fn the_same_seeds_make_the_same_trace() {
    let seed = number_of("PROPTEST_RNG_SEED").unwrap_or(0x7e57);
    let count = number_of("PROPTEST_CASES").unwrap_or(3);
    let tally = Tally::default();
    let mut all = 0u64;
    for seed in seed..seed + count {
        let (first, second) = (trace(seed, &tally), trace(seed, &tally));
        let other = first.lines().zip(second.lines()).find(|(left, right)| left != right);
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(other.is_none(), "seed {seed}: {other:?}");
        all = all.rotate_left(7) ^ xxhash_rust::xxh64::xxh64(first.as_bytes(), 0);
    }
    println!("seeds {seed} to {}, each twice: trace {all:016x}; {tally}", seed + count - 1);
}
