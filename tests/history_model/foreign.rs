//! Random histories for the foreign readers: each one's bucket in a folder, and what its tables have to hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use proptest::strategy::{Strategy, ValueTree};
use serde_json::{Value, json};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::ports::native::World;

use crate::play::Play;
use crate::support::Object;
use crate::support::archive::each_alarm;
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

/// Writes a history of many batches that are evicted, files of whose state table are merged.
fn write_merged(warehouse: &Path) -> Vec<Value> {
    let config = json!({"hot": {"evictAboveBytes": 1}, "cold": {"baseUri": base_uri(warehouse)}}).to_string();
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, &config);
    let mut merged = BTreeSet::new();
    for batch in 0..24 {
        let document = |n: usize| match n % 7 {
            0 => json!({"id": format!("d{n:04}"), "n": n, "city": "Bern"}),
            1 => json!({"id": format!("d{n:04}"), "n": n as f64 / 4.0, "new": [n]}),
            _ => json!({"id": format!("d{n:04}"), "n": n, "batch": batch}),
        };
        let lines: Vec<String> = (batch * 60..batch * 60 + 80).map(|n| document(n).to_string()).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let sent = object.send("POST", "/collections/docs/import?mode=upsert", &headers, lines.join("\n"));
        assert_eq!(sent.status, 200);
        let gone = (batch * 60..batch * 60 + 50).filter(|n| batch % 3 == 0 && n % 8 > 0);
        let deletes: Vec<Value> =
            gone.map(|n| json!({"op": "delete", "collection": "docs", "id": format!("d{n:04}")})).collect();
        if !deletes.is_empty() {
            object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
        }
        each_alarm(&world, &object, 7_200_000, 100, |ended| ended.unwrap());
        let catalog = ColdCatalog::new(Rc::clone(&world.ports().sql));
        let id = TableId { collection: 1, kind: TableKind::State };
        let files = catalog.files(id, catalog.table(id).unwrap().unwrap().state.version).unwrap();
        let files = files.into_iter().map(|file| file.file.file).filter(|file| file.parts.len() > 2);
        merged.extend(files.map(|file| file.key));
    }
    assert!(merged.len() > 1, "files are merged: {merged:?}");
    export(&world, &object, warehouse, "merged", &READERS)
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
    tables.extend(write_merged(&warehouse));
    println!("history_model: {tally}");
    describe(&warehouse, &tables);
}
