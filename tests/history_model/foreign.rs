//! Random histories for the foreign readers: each one's bucket in a folder, and what its tables have to hold.

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use serde_json::{Value, json};

use crate::play::Play;
use crate::support::Object;
use crate::support::foreign::{READERS, base_uri, describe, export};
use crate::tally::Tally;
use crate::{history, number_of, runner};

/// Histories that are written by default.
const COUNT: u64 = 20;
/// One in so many is read by all engines, the others by PyIceberg alone.
const SAMPLED: u64 = 5;

/// Plays the history of a seed, and writes what became of it.
fn write_history(seed: u64, readers: &[&str], warehouse: &Path, tally: &Tally) -> Vec<Value> {
    let (config, steps) = history().new_tree(&mut runner(seed, 1)).unwrap().current();
    let name = format!("seed-{seed}");
    let base = json!({"cold": {"baseUri": base_uri(warehouse)}});
    let mut play = Play::under(seed, &config, tally, base);
    for (step, _) in &steps {
        play.take(step);
    }
    play.end();
    tally.histories.add(1);
    // The one that played knows nothing of what was archived at the end.
    let mut tables = export(&play.world, &Object::wake(&play.world), warehouse, &name, readers);
    for table in &mut tables {
        let collection = table["name"].as_str().unwrap().rsplit(' ').next().unwrap();
        table["dropped"] = play.dropped(collection);
    }
    tables
}

#[test]
#[ignore = "writes a folder for the foreign readers; npm run conformance and npm run proof run it"]
fn writes_histories_for_foreign_readers() {
    let warehouse =
        PathBuf::from(std::env::var_os("THERMOCLINE_FIXTURE_DIR").expect("THERMOCLINE_FIXTURE_DIR names the folder"));
    let first = number_of("PROPTEST_RNG_SEED").unwrap_or(0x7e57);
    let count = number_of("PROPTEST_CASES").unwrap_or(COUNT);
    println!("seeds {first} to {}", first + count - 1);
    let tally = Tally::default();
    let mut tables = Vec::new();
    for seed in first..first + count {
        let readers = if (seed - first).is_multiple_of(SAMPLED) { &READERS[..] } else { &READERS[..1] };
        tables.extend(write_history(seed, readers, &warehouse, &tally));
    }
    println!("history_model: {tally}");
    describe(&warehouse, &tables);
}
