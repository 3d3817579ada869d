//! What a flush costs in operations of the bucket, and what the metadata of tables comes to over many (PERFORMANCE P7).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use support::Object;
use support::archive::fire_next;
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::ports::native::{OperationCounts, World};

const TABLES: u64 = 2;

/// Fires alarms until everything is published; what the bucket was asked to do.
fn flush(world: &World, object: &Object) -> OperationCounts {
    let before = world.bucket.counts();
    for _ in 0..20 {
        if object.ok("GET", "/sync", "")["pendingChanges"] == 0 {
            let after = world.bucket.counts();
            return OperationCounts {
                puts: after.puts - before.puts,
                gets: after.gets - before.gets,
                deletes: after.deletes - before.deletes,
                bytes_in: after.bytes_in - before.bytes_in,
                bytes_out: after.bytes_out - before.bytes_out,
                ..OperationCounts::default()
            };
        }
        fire_next(world, object).unwrap();
    }
    panic!("changes are still pending after 20 alarms");
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{{\"id\":\"d{n:06}\",\"n\":{n},\"city\":\"city {}\"}}\n", n % 90)).collect()
}

#[test]
fn a_flush_costs_few_operations_of_the_bucket() {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    object.import("docs", &lines(0..100_000));
    let first = flush(&world, &object);
    object.import("docs", &lines(100_000..200_000));
    let later = flush(&world, &object);
    for n in 0..5 {
        assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/d{n:06}"), "").0, 204);
    }
    let deletes = flush(&world, &object);
    for n in 10..110 {
        object.ok("PUT", &format!("/collections/docs/docs/d{n:06}"), "{\"n\":0}");
    }
    let updates = flush(&world, &object);
    object.import("docs", &lines(200_000..210_000));
    object.ok("PUT", "/collections/docs/docs/d000010", "{\"n\":1}");
    let all = flush(&world, &object);
    for (what, cost) in [
        ("100,000 new documents", first),
        ("100,000 more", later),
        ("5 deletes", deletes),
        ("100 updates", updates),
        ("10,000 new documents and an update", all),
    ] {
        println!(
            "{what}: {} puts, {} gets, {} deletes, {} bytes in",
            cost.puts, cost.gets, cost.deletes, cost.bytes_in
        );
        assert!(cost.gets == 0, "{what}: {cost:?}");
    }
    assert!(first.puts <= 5 * TABLES && later.puts <= 5 * TABLES, "{first:?} {later:?}");
    // The change log has no deletes. New segments, rows in row form and deletes at once are one file more.
    assert!(deletes.puts <= 7 + 5 && updates.puts <= 7 + 5 && all.puts <= 8 + 5, "{deletes:?} {updates:?} {all:?}");
}

/// Bytes of the current metadata of all tables: metadata file, manifest list, manifests.
fn metadata_bytes(world: &World) -> BTreeMap<&'static str, usize> {
    let catalog = ColdCatalog::new(Rc::clone(&world.ports().sql));
    let size = |key: &str| world.bucket.object(key).expect(key).bytes.len();
    let mut bytes = BTreeMap::new();
    for (name, kind) in [("state", TableKind::State), ("changes", TableKind::Changes)] {
        let state = catalog.table(TableId { collection: 1, kind }).unwrap().unwrap().state;
        let list = state.manifest_list_key(state.current_snapshot().unwrap());
        let manifests: usize = state.manifests.iter().map(|manifest| size(&manifest.key)).sum();
        bytes.insert(name, size(&state.path.metadata(state.version)) + size(&list) + manifests);
    }
    bytes
}

#[test]
fn metadata_does_not_grow_with_the_number_of_commits() {
    let world = World::new(3).unwrap();
    let object = Object::wake(&world);
    object.import("docs", &lines(0..1_000));
    let mut at = BTreeMap::new();
    for commit in 1..=1_000 {
        object.ok("PUT", &format!("/collections/docs/docs/d{:06}", commit % 300), &format!("{{\"n\":{commit}}}"));
        flush(&world, &object);
        if [10, 20, 100, 1_000].contains(&commit) {
            // A merge may be committed and not published yet.
            while ColdCatalog::new(Rc::clone(&world.ports().sql)).plan().unwrap().is_some() {
                fire_next(&world, &object).unwrap();
            }
            at.insert(commit, metadata_bytes(&world));
        }
    }
    println!("bytes of metadata by commit: {at:?}");
    println!("objects in the bucket: {}", world.bucket.keys().len());
    let grown = |name: &str, from: usize| at[&1_000][name] * 100 / at[&from][name];
    println!("state: {} % of commit 10, {} % of commit 20", grown("state", 10), grown("state", 20));
    println!("changes: {} % of commit 10, {} % of commit 20", grown("changes", 10), grown("changes", 20));
    assert!(grown("state", 10) <= 125 && grown("changes", 10) <= 125, "{at:?}");
}
