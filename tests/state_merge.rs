//! Files of state tables are merged: many small ones with evicted segments become few, what is dead leaves, and every read,
//! of the present and of the past, answers as before. What it costs is counted here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Value, json};
use support::Object;
use support::archive::{alarms_for, check_tables, fire, reads};
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::cold::{DataFile, FileContent, TableKind};
use thermocline::config::{HotConfig, StorageConfig};
use thermocline::hot::HotStore;
use thermocline::ports::native::{Fault, FaultPlan, NativeSql, SplitMix64, World, run};

/// Everything that is archived is evicted, and nothing leaves the bucket that a kept snapshot has.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1},"objects":{"expiryDays":36500}}"#;
const HOUR_MS: i64 = 3_600_000;
const BATCH: usize = 80;

fn line(n: usize) -> Value {
    let pad = "x".repeat(n % 23);
    json!({"id": format!("d{:06}", n * 7_919 % 1_000_000), "n": n, "half": n as f64 / 2.0, "city": format!("city {}", n % 50), "pad": pad})
}

fn id(n: usize) -> String {
    line(n)["id"].as_str().unwrap().to_owned()
}

fn import(object: &Object, range: std::ops::Range<usize>) {
    let lines: Vec<String> = range.map(|n| line(n).to_string()).collect();
    object.import("docs", &lines.join("\n"));
}

/// Archives and evicts what there is. Whoever fires the alarms knows nothing of files to be merged, and merges none.
fn archive(world: &World) {
    for n in 0..3 {
        Object::wake_with(world, EVICTING).ok("POST", "/sync", "{}");
        alarms_for(world, EVICTING, 2 * HOUR_MS);
        if n < 2 {
            Object::wake_with(world, EVICTING).ok("PUT", "/collections/other/docs/x", &json!({"n": n}).to_string());
        }
    }
}

/// An object with `batches` of documents, each evicted and in a file of its own.
fn many_files(batches: usize) -> World {
    let world = World::new(11).unwrap();
    fill(&world, batches);
    world
}

fn fill(world: &World, batches: usize) {
    for batch in 0..batches {
        import(&Object::wake_with(world, EVICTING), batch * BATCH..(batch + 1) * BATCH);
        archive(world);
    }
}

/// Changes a document, lets the alarm archive it, and merge what is to be merged then.
fn merge(world: &World) {
    let object = Object::wake_with(world, EVICTING);
    object.ok("PUT", "/collections/docs/docs/merge", &json!({"at": world.ports_now()}).to_string());
    for _ in 0..6 {
        let due = world.alarm.at_ms().unwrap();
        if due > world.ports_now() + HOUR_MS {
            break;
        }
        fire(world, &object, due).unwrap();
    }
}

trait Now {
    fn ports_now(&self) -> i64;
}

impl Now for World {
    fn ports_now(&self) -> i64 {
        self.ports().clock.now_ms()
    }
}

fn catalog(world: &World) -> ColdCatalog {
    ColdCatalog::new(Rc::clone(&world.ports().sql))
}

const STATE: TableId = TableId { collection: 1, kind: TableKind::State };

/// The files of the state table of the first collection.
fn files(world: &World) -> Vec<DataFile> {
    let catalog = catalog(world);
    let version = catalog.table(STATE).unwrap().unwrap().state.version;
    catalog.files(STATE, version).unwrap().into_iter().map(|file| file.file.file).collect()
}

/// Those with segments.
fn data(world: &World) -> Vec<DataFile> {
    files(world).into_iter().filter(|file| !file.parts.is_empty()).collect()
}

fn deleted_rows(world: &World) -> i64 {
    let deletes = files(world).into_iter().filter(|file| file.content == FileContent::PositionDeletes);
    deletes.map(|file| file.record_count).sum()
}

fn operations(world: &World) -> Vec<String> {
    let state = catalog(world).table(STATE).unwrap().unwrap().state;
    state.snapshots.iter().map(|snapshot| snapshot.summary["operation"].clone()).collect()
}

/// Keys of the files that stubs with documents are in.
fn places(world: &World) -> Vec<String> {
    let hot = HotStore::new(Rc::clone(&world.ports().sql), HotConfig::default(), 1 << 24);
    let key =
        |place: Rc<str>| serde_json::from_str::<Value>(&place).unwrap()["file"]["key"].as_str().unwrap().to_owned();
    hot.evicted_places().unwrap().into_iter().map(key).collect()
}

/// All documents but those that the tests make beside.
fn documents(world: &World, query: &Value) -> Vec<Value> {
    let mut query = query.clone();
    query["limit"] = json!(1_000);
    let mut rows = Object::wake_with(world, EVICTING).rows("docs", &query.to_string());
    rows.retain(|row| row["id"] != "merge");
    rows
}

fn sorted(range: impl Iterator<Item = usize>) -> Vec<Value> {
    let by_id: BTreeMap<String, Value> = range.map(|n| (id(n), line(n))).collect();
    by_id.into_values().collect()
}

#[test]
fn many_small_files_become_few_and_every_read_answers_as_before() {
    let world = many_files(20);
    assert_eq!((data(&world).len(), deleted_rows(&world)), (20, 0));
    let then = world.ports_now();
    let named = Object::wake_with(&world, EVICTING).snapshot("full");
    let all = sorted(0..20 * BATCH);
    let by_city = json!({"where": {"city": {"eq": "city 7"}}});
    let in_city: Vec<Value> = all.iter().filter(|row| row["city"] == "city 7").cloned().collect();
    let check = |what: &str| {
        assert_eq!(documents(&world, &json!({})), all, "{what}");
        assert_eq!(documents(&world, &by_city), in_city, "{what}");
        assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), all, "{what}");
        assert_eq!(documents(&world, &json!({"asOf": named["id"]})), all, "{what}");
        assert_eq!(documents(&world, &json!({"asOf": thermocline::types::time::rfc3339(then)})), all, "{what}");
        let object = Object::wake_with(&world, EVICTING);
        assert_eq!(object.get(&format!("/collections/docs/docs/{}", id(123))).1, line(123), "{what}");
        let mut exported = object.export("docs", "").documents();
        exported.remove("merge");
        assert_eq!(exported.into_values().collect::<Vec<_>>(), all, "{what}");
        check_tables(&world);
    };
    check("before");
    let count = json!({"aggregates": [{"as": "n", "fn": "sum", "column": "n"}]}).to_string();
    let full = || drop(Object::wake_with(&world, EVICTING).rows("docs", &count));
    let before = reads(&world, full);
    let merging = reads(&world, || merge(&world));
    let after = reads(&world, full);
    println!(
        "20 files of {BATCH} rows: {} files after; a full read {} GET of {} bytes, then {} of {}; the alarm {} GET, {} PUT",
        data(&world).len(),
        before.gets,
        before.bytes_out,
        after.gets,
        after.bytes_out,
        merging.gets,
        merging.puts,
    );
    assert_eq!((data(&world).len(), before.gets, after.gets), (1, 20, 1));
    assert!(after.bytes_out < before.bytes_out, "{after:?} {before:?}");
    // The archive of one document, the merges of both tables, and what each has to be published with.
    assert!(merging.gets <= 20 + 25 && merging.puts <= 25, "{merging:?}");
    assert!(operations(&world).contains(&"replace".to_owned()), "{:?}", operations(&world));
    let merged = data(&world).remove(0);
    assert_eq!((merged.parts.len(), merged.record_count), (20, 20 * BATCH as i64));
    assert!(places(&world).iter().all(|key| *key == merged.key), "all stubs were told");
    check("after");
    alarms_for(&world, EVICTING, 48 * HOUR_MS);
    check("after two days");
}

#[test]
fn deleted_rows_keep_their_places_and_dead_parts_leave() {
    let world = many_files(9);
    let object = Object::wake_with(&world, EVICTING);
    // All of the second batch, some of the fourth, and most of the sixth.
    let gone = |n: usize| match n / BATCH {
        1 => true,
        3 => n.is_multiple_of(3),
        5 => !n.is_multiple_of(4),
        _ => false,
    };
    let removed: Vec<usize> = (0..9 * BATCH).filter(|n| gone(*n)).collect();
    let operations: Vec<Value> =
        removed.iter().map(|n| json!({"op": "delete", "collection": "docs", "id": id(*n)})).collect();
    object.ok("POST", "/batch", &json!({ "operations": operations }).to_string());
    archive(&world);
    assert_eq!(data(&world).len(), 8, "a file without a current row has left already");
    let before = deleted_rows(&world);
    let left = sorted((0..9 * BATCH).filter(|n| !gone(*n)));
    merge(&world);
    assert_eq!(data(&world).len(), 1);
    let merged = data(&world).remove(0);
    assert_eq!(merged.parts.len(), 8);
    let few = (5 * BATCH..6 * BATCH).filter(|n| !gone(*n)).count();
    let some = (3 * BATCH..4 * BATCH).filter(|n| gone(*n)).count();
    assert_eq!(merged.record_count as usize, 7 * BATCH + few, "what is mostly deleted was written without that");
    assert_eq!((before as usize, deleted_rows(&world) as usize), (some + BATCH - few, some));
    assert_eq!(documents(&world, &json!({})), left);
    assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), left);
    check_tables(&world);
    // It goes on: rows of rewritten and of copied segments are deleted and replaced.
    let object = Object::wake_with(&world, EVICTING);
    let (rewritten, copied) = (5 * BATCH + (4 - 5 * BATCH % 4) % 4, 3 * BATCH + 1);
    assert!(!gone(rewritten) && !gone(copied));
    for n in [rewritten, copied] {
        assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/{}", id(n)), "").0, 204);
    }
    archive(&world);
    let left = sorted((0..9 * BATCH).filter(|n| !gone(*n) && *n != rewritten && *n != copied));
    assert_eq!(documents(&world, &json!({})), left);
    assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), left);
    check_tables(&world);
}

#[test]
fn a_large_file_that_is_mostly_deleted_is_written_again_alone() {
    let world = World::new(11).unwrap();
    import(&Object::wake_with(&world, EVICTING), 0..2_000);
    archive(&world);
    let before = data(&world).remove(0);
    let object = Object::wake_with(&world, EVICTING);
    for chunk in (0..2_000).filter(|n| n % 5 > 0).collect::<Vec<_>>().chunks(500) {
        let deletes: Vec<Value> =
            chunk.iter().map(|n| json!({"op": "delete", "collection": "docs", "id": id(*n)})).collect();
        object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
    }
    archive(&world);
    assert_eq!((data(&world).remove(0).key, deleted_rows(&world)), (before.key, 1_600));
    merge(&world);
    let after = data(&world).remove(0);
    assert_eq!((data(&world).len(), after.record_count, deleted_rows(&world)), (1, 400, 0));
    println!("2,000 rows, 1,600 of them deleted: {} bytes, then {}", before.file_size, after.file_size);
    let left = sorted((0..2_000).filter(|n| n % 5 == 0));
    assert_eq!(documents(&world, &json!({})), left);
    assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), left);
    check_tables(&world);
}

/// What is deleted after an archiving is not dead in its files before the next one: these are not written again until then.
#[test]
fn files_are_not_written_again_for_deletes_that_are_not_archived() {
    let world = World::new(11).unwrap();
    import(&Object::wake_with(&world, EVICTING), 0..2_000);
    archive(&world);
    let object = Object::wake_with(&world, EVICTING);
    object.ok("PUT", "/collections/docs/docs/merge", "{}");
    object.ok("POST", "/sync", "{}");
    object.ok("PUT", "/collections/docs/docs/merge", r#"{"n":1}"#);
    support::archive::fire_next(&world, &object).unwrap();
    assert!(catalog(&world).plan().unwrap().is_some_and(|plan| plan.committed), "it waits to be published");
    for chunk in (0..2_000).filter(|n| n % 5 > 0).collect::<Vec<_>>().chunks(500) {
        let deletes: Vec<Value> =
            chunk.iter().map(|n| json!({"op": "delete", "collection": "docs", "id": id(*n)})).collect();
        object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
    }
    let merges_before = operations(&world).iter().filter(|operation| *operation == "replace").count();
    let mut alarms = 0;
    while world.alarm.at_ms().is_some_and(|due| due < world.ports_now() + HOUR_MS) && alarms < 12 {
        support::archive::fire_next(&world, &object).unwrap();
        alarms += 1;
    }
    let merges = operations(&world).iter().filter(|operation| *operation == "replace").count() - merges_before;
    println!("{merges} merges in {alarms} alarms");
    let left = sorted((0..2_000).filter(|n| n % 5 == 0));
    assert!(documents(&world, &json!({"tiers": ["cold"]})) == left, "the deletes are archived");
    assert_eq!((data(&world).remove(0).record_count, deleted_rows(&world), merges), (400, 0, 1));
    assert!(alarms < 12, "and it ends");
    check_tables(&world);
}

/// Files that are mostly deleted are written again one by one; what is written meanwhile does not wait for all of them.
#[test]
fn changes_are_archived_between_two_merges() {
    let world = World::new(11).unwrap();
    let (files, rows) = (5, 1_100);
    for file in 0..files {
        import(&Object::wake_with(&world, EVICTING), file * rows..(file + 1) * rows);
        archive(&world);
    }
    archive(&world);
    assert_eq!(places(&world).len(), files);
    let object = Object::wake_with(&world, EVICTING);
    for chunk in (0..files * rows).filter(|n| n % 5 > 0).collect::<Vec<_>>().chunks(500) {
        let deletes: Vec<Value> =
            chunk.iter().map(|n| json!({"op": "delete", "collection": "docs", "id": id(*n)})).collect();
        object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
    }
    object.ok("POST", "/sync", "{}");
    support::archive::fire_next(&world, &object).unwrap();
    assert!(catalog(&world).plan().unwrap().is_some_and(|plan| plan.plan.contains("merge_state")), "one is merged");
    object.ok("PUT", "/collections/docs/docs/merge", r#"{"n":1}"#);
    let last = object.service.engine().last_sequence().unwrap();
    let wide = || data(&world).iter().filter(|file| file.record_count as usize == rows).count();
    let mut alarms = 0;
    while catalog(&world).progress().unwrap().archived < last {
        support::archive::fire_next(&world, &object).unwrap();
        alarms += 1;
    }
    println!("{alarms} alarms, then {} files are still to be written again", wide());
    assert!(wide() > 0, "it waits for no other merge");
    alarms_for(&world, EVICTING, HOUR_MS);
    assert_eq!(wide(), 0, "and then they go on");
    check_tables(&world);
}

/// An object that is to be merged, made once: making it takes longer than merging it.
struct Template {
    folder: PathBuf,
    world: World,
    /// What the documents are.
    left: BTreeMap<String, Value>,
    forks: Cell<u64>,
}

/// Of the third batch, most are deleted.
const DELETED: std::ops::Range<usize> = 2 * BATCH..3 * BATCH - 20;

impl Template {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("thermocline-state-merge-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let world = World::over(NativeSql::open(&folder.join("template")).unwrap(), 11);
        fill(&world, 8);
        let deletes: Vec<Value> = DELETED.map(|n| json!({"op": "delete", "collection": "docs", "id": id(n)})).collect();
        let object = Object::wake_with(&world, EVICTING);
        object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
        archive(&world);
        assert_eq!(data(&world).len(), 8);
        let left = (0..8 * BATCH).filter(|n| !DELETED.contains(n)).map(|n| (id(n), line(n))).collect();
        Self { folder, world, left, forks: Cell::new(0) }
    }

    /// A copy of it, and an instance of that which finds at its next alarm that there is something to be merged.
    fn fork(&self) -> (World, FaultPlan, Object) {
        self.forks.set(self.forks.get() + 1);
        let file = self.folder.join(self.forks.get().to_string());
        std::fs::copy(self.folder.join("template"), &file).unwrap();
        let world = World::over(NativeSql::open(&file).unwrap(), 1_000 + self.forks.get());
        let _ = std::fs::remove_file(self.folder.join((self.forks.get() - 1).to_string()));
        for key in self.world.bucket.keys() {
            world.bucket.overwrite(&key, self.world.bucket.object(&key).unwrap().bytes);
        }
        world.clock.set(self.world.ports_now());
        let plan = FaultPlan::new();
        let object = Object::configured(plan.wrap(&world.ports()), StorageConfig::parse(EVICTING).unwrap());
        object.ok("PUT", "/collections/docs/docs/merge", "{}");
        object.ok("POST", "/sync", "{}");
        (world, plan, object)
    }

    fn check(&self, world: &World, left: &BTreeMap<String, Value>, what: &str) {
        let left: Vec<Value> = left.values().cloned().collect();
        assert_eq!(documents(world, &json!({})), left, "{what}");
        assert_eq!(documents(world, &json!({"tiers": ["cold"]})), left, "{what}");
        check_tables(world);
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Fires alarms of an instance, whatever comes of them.
fn alarms_of(world: &World, plan: &FaultPlan, object: &Object) {
    for _ in 0..4 {
        let Some(due) = world.alarm.at_ms().filter(|due| !plan.crashed() && *due <= world.ports_now() + HOUR_MS) else {
            return;
        };
        world.clock.set(due.max(world.ports_now()));
        world.alarm.take_due(due);
        let _ = run(object.service.engine().alarm());
    }
}

/// The calls at which something happens: every one with `EVERY_CALL` set, otherwise some.
fn calls(first: usize) -> impl Iterator<Item = usize> {
    let step = if std::env::var_os("EVERY_CALL").is_some() { 1 } else { 13 };
    (first * 5..).step_by(step)
}

#[test]
fn any_call_of_a_merge_may_fail() {
    let template = Template::new("faults");
    let mut met = 0;
    let faults = [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter];
    for (first, fault) in faults.into_iter().enumerate() {
        for call in calls(first) {
            let what = format!("{fault:?} at call {call}");
            let (world, plan, object) = template.fork();
            plan.arm(plan.calls().len() + call, fault);
            alarms_of(&world, &plan, &object);
            if plan.unmet() > 0 {
                break;
            }
            met += 1;
            alarms_for(&world, EVICTING, HOUR_MS);
            template.check(&world, &template.left, &what);
            merge(&world);
            assert_eq!(data(&world).len(), 1, "{what}");
            template.check(&world, &template.left, &what);
        }
    }
    println!("{met} faults met");
    assert!(met > 40, "{met}");
}

/// The merge is stopped after so many calls, and goes on in another instance, when documents of a segment that is written
/// again and of one that is copied have been deleted and replaced.
#[test]
fn writes_between_plan_and_commit_are_kept() {
    let template = Template::new("writes");
    let deleted = [3 * BATCH - 1, 3 * BATCH - 7, 4 * BATCH + 3];
    let changed = json!({"id": id(3 * BATCH - 3), "n": -1});
    let mut left = template.left.clone();
    deleted.iter().for_each(|n| drop(left.remove(&id(*n))));
    left.insert(id(3 * BATCH - 3), changed.clone());
    let mut stopped = 0;
    for call in calls(0) {
        let what = format!("stopped at call {call}");
        let (world, plan, object) = template.fork();
        plan.arm(plan.calls().len() + call, Fault::CrashBefore);
        alarms_of(&world, &plan, &object);
        if plan.unmet() > 0 {
            break;
        }
        let stored = catalog(&world).plan().unwrap();
        stopped += usize::from(stored.is_some_and(|stored| !stored.committed && stored.plan.contains("\"rewrite\"")));
        let object = Object::wake_with(&world, EVICTING);
        for n in deleted {
            assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/{}", id(n)), "").0, 204, "{what}");
        }
        object.ok("PUT", &format!("/collections/docs/docs/{}", id(3 * BATCH - 3)), &changed.to_string());
        assert_eq!(documents(&world, &json!({})), left.values().cloned().collect::<Vec<_>>(), "{what}");
        alarms_for(&world, EVICTING, HOUR_MS);
        template.check(&world, &left, &what);
        merge(&world);
        assert_eq!(data(&world).len(), 1, "{what}");
        template.check(&world, &left, &what);
    }
    println!("stopped {stopped} times between plan and commit");
    assert!(stopped > 4, "{stopped}");
}

/// The same, when the segment that is written again is gone, or the whole collection, which then begins anew.
#[test]
fn what_is_gone_before_the_commit_stays_gone() {
    let template = Template::new("gone");
    let mut stopped = 0;
    'calls: for call in calls(0) {
        for drops in [false, true] {
            let what = format!("stopped at call {call}, dropped: {drops}");
            let (world, plan, object) = template.fork();
            plan.arm(plan.calls().len() + call, Fault::CrashBefore);
            alarms_of(&world, &plan, &object);
            if plan.unmet() > 0 {
                break 'calls;
            }
            let stored = catalog(&world).plan().unwrap();
            if !stored.is_some_and(|stored| !stored.committed && stored.plan.contains("\"rewrite\"")) {
                continue;
            }
            stopped += 1;
            let object = Object::wake_with(&world, EVICTING);
            let mut left = template.left.clone();
            if drops {
                assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204, "{what}");
                import(&object, 2 * BATCH..4 * BATCH);
                left = (2 * BATCH..4 * BATCH).map(|n| (id(n), line(n))).collect();
            } else {
                let gone = (2 * BATCH..3 * BATCH).filter(|n| !DELETED.contains(n));
                let deletes: Vec<Value> = gone
                    .map(|n| {
                        left.remove(&id(n));
                        json!({"op": "delete", "collection": "docs", "id": id(n)})
                    })
                    .collect();
                object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
            }
            assert_eq!(documents(&world, &json!({})), left.values().cloned().collect::<Vec<_>>(), "{what}");
            alarms_for(&world, EVICTING, HOUR_MS);
            template.check(&world, &left, &what);
            archive(&world);
            template.check(&world, &left, &what);
            let exported = Object::wake_with(&world, EVICTING).export("docs", "").documents();
            assert_eq!(exported.into_values().filter(|row| row["id"] != "merge").count(), left.len(), "{what}");
        }
    }
    println!("stopped {stopped} times between plan and commit");
    assert!(stopped > 4, "{stopped}");
}

#[test]
fn an_export_in_progress_reads_what_it_began_with() {
    // Nothing is kept longer than it must be.
    let world = many_files(9);
    let expiring = r#"{"hot":{"evictAboveBytes":1},"cold":{"icebergKeepSnapshots":1,"orphanMinAgeMs":0}}"#;
    let object = Object::wake_with(&world, expiring);
    let mut export = object.export("docs", "");
    let first = export.next().unwrap().unwrap();
    let old: Vec<String> = data(&world).into_iter().map(|file| file.key).collect();
    object.ok("PUT", "/collections/docs/docs/merge", "{}");
    for n in 0..40 {
        let Some(due) = world.alarm.at_ms().filter(|due| *due < world.ports_now() + 3 * HOUR_MS) else { break };
        fire(&world, &object, due).unwrap();
        if n < 12 {
            object.ok("PUT", "/collections/docs/docs/merge", &json!({ "n": n }).to_string());
        }
    }
    assert_eq!(data(&world).len(), 1);
    let mut lines = first;
    while let Some(mut chunk) = export.next().unwrap() {
        lines.append(&mut chunk);
    }
    assert_eq!(support::by_id(&lines).into_values().collect::<Vec<_>>(), sorted(0..9 * BATCH));
    drop(export);
    alarms_for(&world, expiring, 3 * HOUR_MS);
    object.ok("PUT", "/collections/docs/docs/merge", "{}");
    alarms_for(&world, expiring, 3 * HOUR_MS);
    assert!(old.iter().all(|key| world.bucket.object(key).is_none()), "then the files it read leave the bucket");
}

#[test]
fn a_merge_waits_for_the_end_of_a_restore() {
    let world = many_files(9);
    let object = Object::wake_with(&world, EVICTING);
    object.ok("PUT", "/collections/docs/docs/merge", "{}");
    // From here on files are to be merged, but whoever waits for an answer does not do it.
    let snapshot = object.snapshot("full");
    object.ok("DELETE", &format!("/collections/docs/docs/{}", id(0)), "");
    let before = operations(&world).len();
    object.ok("POST", &support::restore_path(&snapshot), "{}");
    // The first alarm comes late, so that there is something to be archived, and merged, before it goes on with the restore.
    world.clock.set(world.ports_now() + 60_000);
    alarms_for_with(&world, &object, HOUR_MS);
    let operations = operations(&world).split_off(before);
    assert_eq!(operations.iter().filter(|operation| *operation == "replace").count(), 1, "{operations:?}");
    assert_eq!(operations.last().unwrap(), "replace", "{operations:?}");
    assert!(operations.len() > 1, "what was restored is archived before: {operations:?}");
    assert_eq!(data(&world).len(), 1);
    assert_eq!(documents(&world, &json!({})), sorted(0..9 * BATCH));
}

#[test]
fn a_table_under_an_earlier_base_uri_is_merged() {
    let world = many_files(8);
    let moved = r#"{"hot":{"evictAboveBytes":1},"cold":{"baseUri":"s3://elsewhere"}}"#;
    let object = Object::wake_with(&world, moved);
    for n in 0..3 {
        assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/{}", id(n)), "").0, 204);
    }
    object.ok("POST", "/sync", "{}");
    check_tables(&world);
    alarms_of(&world, &FaultPlan::new(), &object);
    assert_eq!((data(&world).len(), deleted_rows(&world)), (1, 3));
    assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), sorted(3..8 * BATCH));
    check_tables(&world);
}

#[test]
fn files_of_an_earlier_schema_are_written_again_under_that_of_now() {
    let world = World::new(11).unwrap();
    let document = |batch: usize, n: usize| match batch {
        // Whole numbers, then fractions, texts and new fields.
        0..3 => json!({"id": format!("b{batch}-{n:03}"), "v": n, "odd": "10.50"}),
        3..5 => json!({"id": format!("b{batch}-{n:03}"), "v": n as f64 + 0.25, "odd": 1e300, "new": [n, {"a": null}]}),
        _ => json!({"id": format!("b{batch}-{n:03}"), "v": format!("text {n}"), "new": n, "V": true}),
    };
    let mut all = Vec::new();
    for batch in 0..9 {
        let object = Object::wake_with(&world, EVICTING);
        let lines: Vec<Value> = (0..BATCH).map(|n| document(batch, n)).collect();
        object.import("docs", &lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
        all.extend(lines);
        archive(&world);
    }
    let object = Object::wake_with(&world, EVICTING);
    object.ok("PUT", "/collections/docs", r#"{"columns":[{"name":"v","type":"double"},{"name":"new","type":"json"}]}"#);
    assert_eq!(documents(&world, &json!({})), all);
    merge(&world);
    assert_eq!(data(&world).len(), 1);
    assert_eq!(documents(&world, &json!({})), all);
    assert_eq!(documents(&world, &json!({"tiers": ["cold"]})), all);
    check_tables(&world);
}

/// Engines read other values of a column that was widened since its files were written: what did not fit comes into it, and a
/// fraction is not the nearest of the narrow type any more. Such a merge does not say that it changes nothing.
#[test]
fn a_merge_that_brings_values_into_a_widened_column_is_an_overwrite() {
    let cases = [
        ("int", "long", json!(7), json!(5_000_000_000_i64), CHANGES),
        ("int", "long", json!(7), json!(6), !CHANGES),
        ("int", "int", json!(7), json!(5_000_000_000_i64), !CHANGES),
        ("float", "double", json!(0.5), json!(0.1), CHANGES),
        ("float", "float", json!(0.5), json!(0.1), !CHANGES),
        ("decimal(4,1)", "decimal(9,1)", json!(1.5), json!(12_345.5), CHANGES),
        ("decimal(4,1)", "decimal(9,1)", json!(1.5), json!(2.5), !CHANGES),
    ];
    for (narrow, wide, most, one, changes) in cases {
        let what = format!("{narrow} to {wide} with {one}");
        let world = World::new(11).unwrap();
        let declare = |column_type: &str| {
            let declaration = json!({"columns": [{"name": "v", "type": column_type}]}).to_string();
            Object::wake_with(&world, EVICTING).ok("PUT", "/collections/docs", &declaration);
        };
        for batch in 0..8 {
            let value = |n: usize| if batch == 0 && n == 5 { one.clone() } else { most.clone() };
            let lines: Vec<String> =
                (0..BATCH).map(|n| json!({"id": format!("b{batch}-{n:03}"), "v": value(n)}).to_string()).collect();
            Object::wake_with(&world, EVICTING).import("docs", &lines.join("\n"));
            // What is there already need not fit.
            if batch == 0 {
                declare(narrow);
            }
            archive(&world);
        }
        archive(&world);
        declare(wide);
        merge(&world);
        assert_eq!(data(&world).len(), 1, "{what}");
        let merged = operations(&world).contains(&"replace".to_owned());
        assert_eq!(merged, !changes, "{what}: {:?}", operations(&world));
        check_tables(&world);
    }
}

/// Whether engines read other values after a merge.
const CHANGES: bool = true;

/// Random writes, archived, evicted and merged by the alarm, over months and instances, against a plain map.
#[test]
fn random_histories_with_merges_agree_with_a_plain_map() {
    let (mut merges, mut fewest) = (BTreeSet::new(), usize::MAX);
    for seed in 0..3_u64 {
        let mut random = SplitMix64::new(seed);
        let world = World::new(seed).unwrap();
        let mut object = Object::wake_with(&world, EVICTING);
        let mut model: BTreeMap<String, Value> = BTreeMap::new();
        let mut moments: Vec<(i64, Vec<Value>)> = Vec::new();
        for round in 0..36 {
            let upserts: Vec<Value> = (0..64 + random.below(30))
                .map(|_| {
                    let (n, any) = (random.below(3_000), random.below(1_000));
                    let value = match round / 9 + random.below(2) {
                        0 => json!(any),
                        1 => json!(any as f64 / 4.0),
                        2 => json!(format!("text {any}")),
                        _ => json!({"a": [any, null]}),
                    };
                    json!({"id": format!("d{n:04}"), "v": value, format!("f{}", any % 5): any})
                })
                .collect();
            let text = upserts.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            let path = "/collections/docs/import?mode=upsert";
            let sent = object.send("POST", path, &[("content-type", "application/x-ndjson")], text);
            assert_eq!(sent.status, 200);
            for row in upserts {
                model.insert(row["id"].as_str().unwrap().to_owned(), row);
            }
            let from = random.below(3_000);
            let gone: Vec<String> =
                model.range(format!("d{from:04}")..).map(|(id, _)| id.clone()).take(random.below(90)).collect();
            let deletes: Vec<Value> =
                gone.iter().map(|id| json!({"op": "delete", "collection": "docs", "id": id})).collect();
            if !deletes.is_empty() {
                object.ok("POST", "/batch", &json!({ "operations": deletes }).to_string());
            }
            gone.iter().for_each(|id| drop(model.remove(id)));
            moments.push((world.ports_now(), model.values().cloned().collect()));
            alarms_for_with(&world, &object, 2 * HOUR_MS);
            if random.below(6) == 0 {
                object = Object::wake_with(&world, EVICTING);
            }
            if random.below(30) == 0 {
                world.clock.advance(20 * 24 * HOUR_MS);
            }
            if round % 4 == 3 {
                let now: Vec<Value> = model.values().cloned().collect();
                assert_eq!(object.rows("docs", r#"{"limit":1000}"#), now, "seed {seed}, round {round}");
                check_tables(&world);
                let (then, state) = &moments[moments.len() - 1 - random.below(3)];
                let at = json!({"asOf": thermocline::types::time::rfc3339(*then), "limit": 1000}).to_string();
                assert_eq!(object.rows("docs", &at), *state, "seed {seed}, round {round}");
            }
            let merged = data(&world).into_iter().filter(|file| file.parts.len() > 2).map(|file| file.key);
            merges.extend(merged);
        }
        object.ok("POST", "/sync", "{}");
        let cold = object.rows("docs", r#"{"limit":1000,"tiers":["cold"]}"#);
        assert_eq!(cold, model.values().cloned().collect::<Vec<_>>(), "seed {seed}");
        check_tables(&world);
        fewest = fewest.min(data(&world).len());
    }
    println!("{} merged files, {fewest} at the end at least", merges.len());
    assert!(merges.len() >= 6, "{merges:?}");
}

fn alarms_for_with(world: &World, object: &Object, time_ms: i64) {
    support::archive::each_alarm(world, object, time_ms, 100, |ended| ended.unwrap());
}
