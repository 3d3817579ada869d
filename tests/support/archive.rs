//! What an archive must look like: checked whole, against a model of the documents and of their history.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;

use serde_json::Value;
use thermocline::cold::catalog::{ColdCatalog, TableId, TableRecord};
use thermocline::cold::fsck::{self, CatalogueView, Check, Depth};
use thermocline::cold::read::Expected;
use thermocline::cold::{ChangesRange, DataFile, LiveFile, TableKind, TableState, scan_changes};
use thermocline::config::HotConfig;
use thermocline::error::StorageError;
use thermocline::hot::HotStore;
use thermocline::ports::native::{OperationCounts, World, run};

use super::Object;

/// Documents by collection and id.
pub type State = BTreeMap<String, BTreeMap<String, Value>>;

/// What was acknowledged: the state after each event.
#[derive(Default)]
pub struct Model {
    pub state: State,
    pub history: Vec<State>,
}

impl Model {
    /// The state right after a sequence.
    pub fn at(&self, sequence: i64) -> State {
        match usize::try_from(sequence).unwrap() {
            0 => State::new(),
            sequence => self.history[sequence - 1].clone(),
        }
    }

    /// Applies the events that the feed tells.
    pub fn follow(&mut self, events: &[Value]) {
        for event in events {
            assert_eq!(
                usize::try_from(event["sequence"].as_u64().unwrap()).unwrap(),
                self.history.len() + 1,
                "the sequence has no gaps"
            );
            let documents = self.state.entry(event["collection"].as_str().unwrap().to_owned()).or_default();
            let id = event["documentId"].as_str().unwrap().to_owned();
            let before = match event.get("after") {
                Some(after) => documents.insert(id, after.clone()),
                None => documents.remove(&id),
            };
            assert_eq!(before.as_ref(), event.get("before"), "the image before is the one that was there");
            self.history.push(self.state.clone());
        }
    }
}

/// Documents without the collections that have none.
fn filled(state: &State) -> State {
    state
        .iter()
        .filter(|(_, documents)| !documents.is_empty())
        .map(|(name, documents)| (name.clone(), documents.clone()))
        .collect()
}

fn queried(object: &Object, collections: &[&str], tiers: &str) -> State {
    let read = |collection: &&str| {
        let rows = object.rows(collection, &format!(r#"{{"limit":1000,"tiers":{tiers}}}"#));
        let count = rows.len();
        let documents: BTreeMap<_, _> =
            rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect();
        assert_eq!(documents.len(), count, "each document once");
        ((*collection).to_owned(), documents)
    };
    filled(&collections.iter().map(read).collect())
}

/// Checks everything that must hold of an object at any moment: its documents are the acknowledged ones, the
/// published tables are its state at the published sequence, the change log has each event once, and all that the
/// tables refer to is in the bucket. Returns the published sequence.
pub fn check_whole(world: &World, model: &Model, collections: &[&str]) -> usize {
    let object = Object::wake(world);
    assert_eq!(queried(&object, collections, r#"["hot","cold"]"#), filled(&model.state), "hot documents");
    let published = object.ok("GET", "/sync", "")["lastColdSequence"].as_i64().unwrap();
    let ports = world.ports();
    let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
    let hot = HotStore::new(Rc::clone(&ports.sql), HotConfig::default(), 1 << 24);
    let archived = catalog.progress().unwrap().archived;
    // Tables are published one after the other: each is as of the last commit or already as of the next.
    for collection in collections {
        let cold = queried(&object, &[collection], r#"["cold"]"#).remove(*collection);
        let as_of = |sequence| filled(&model.at(sequence)).remove(*collection);
        assert!(cold == as_of(published) || cold == as_of(archived), "cold documents of {collection} at {published}");
    }
    let mut sequences = Vec::new();
    for collection in hot.catalog().unwrap().all() {
        for kind in [TableKind::State, TableKind::Changes] {
            let id = TableId { collection: collection.id, kind };
            let Some(record) = catalog.table(id).unwrap() else { continue };
            check_references(world, &record.state, record.published);
            let files: Vec<LiveFile> =
                catalog.files(id, record.state.version).unwrap().into_iter().map(|file| file.file).collect();
            check_itself(world, &record, &files);
            let files: Vec<DataFile> = files.into_iter().map(|live| live.file).collect();
            assert!(
                files.iter().all(|file| world.bucket.object(&file.key).is_some()),
                "every live file is in the bucket"
            );
            if kind == TableKind::Changes {
                let range = ChangesRange { after: 0, until: i64::MAX, images: true };
                let mut sink = |record: thermocline::cold::ChangeRecord| {
                    sequences.push(record.event.sequence);
                    Ok(ControlFlow::Continue(()))
                };
                run(scan_changes(&world.bucket, &files, &collection.name, range, &mut sink)).done().unwrap().unwrap();
            }
        }
    }
    sequences.sort_unstable();
    let repeated: Vec<_> = sequences.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(repeated.is_empty(), "the archived change log has each event once, not {repeated:?}");
    let missing: Vec<_> = (1..=archived).filter(|sequence| sequences.binary_search(sequence).is_err()).collect();
    assert!(missing.is_empty(), "the archived change log has each event up to {archived}, not {missing:?}");
    assert!(sequences.last().is_none_or(|last| *last <= archived), "and none beyond {archived}");
    usize::try_from(published).unwrap()
}

/// Checks all tables of an object by themselves: what they refer to is in the bucket, and what is published is whole.
pub fn check_tables(world: &World) {
    let ports = world.ports();
    let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
    let hot = HotStore::new(Rc::clone(&ports.sql), HotConfig::default(), 1 << 24);
    for collection in hot.catalog().unwrap().all() {
        for kind in [TableKind::State, TableKind::Changes] {
            let id = TableId { collection: collection.id, kind };
            let Some(record) = catalog.table(id).unwrap() else { continue };
            check_references(world, &record.state, record.published);
            let files = catalog.files(id, record.state.version).unwrap();
            check_itself(world, &record, &files.into_iter().map(|file| file.file).collect::<Vec<_>>());
        }
    }
}

/// What the committed state names, and what is published, is there.
fn check_references(world: &World, state: &TableState, published: i64) {
    let there = |key: &str| assert!(world.bucket.object(key).is_some(), "{key} is referred to and missing");
    for manifest in &state.manifests {
        there(&manifest.key);
    }
    for snapshot in &state.snapshots {
        there(&state.manifest_list_key(snapshot));
    }
    if published > 0 {
        there(&state.path.metadata(published));
        let hint = world.bucket.object(&state.path.version_hint()).expect("a version hint");
        let hinted: i64 = String::from_utf8(hint.bytes).unwrap().parse().unwrap();
        assert!(hinted >= published, "the hint never goes backwards");
        there(&state.path.metadata(hinted));
    }
}

/// What is published is whole by itself, row for row, and is what the catalogue says. A table that this thread has seen
/// clean with the same objects and the same state is not walked again: most faults leave all but one table as it was.
fn check_itself(world: &World, record: &TableRecord, files: &[LiveFile]) {
    thread_local! {
        static CLEAN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }
    let TableRecord { state, published, .. } = record;
    if *published == 0 {
        return;
    }
    let folder = format!("{}/", state.path.as_str());
    let keys = world.bucket.keys().into_iter().filter(|key| key.starts_with(&folder));
    let objects: Vec<_> = keys.map(|key| (world.bucket.object(&key).unwrap().etag, key)).collect();
    let seen = format!("{objects:?} {state:?} {published} {files:?}");
    if CLEAN.with_borrow(|clean| clean.contains(&seen)) {
        return;
    }
    let expected = Expected { table_uuid: Some(state.uuid), base_uri: Some(&state.base_uri) };
    let catalogue = CatalogueView { state, published: *published, files };
    let check = Check { folder: state.path.as_str(), depth: Depth::Rows, expected, catalogue: Some(&catalogue) };
    let report = run(fsck::check(&world.bucket, &check)).done().unwrap();
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(report.is_clean() && report.counts.snapshots > 0, "{}", findings.join("\n"));
    CLEAN.with_borrow_mut(|clean| clean.insert(seen));
}

/// What `work` asks of the bucket: gets, puts, and the bytes that come out.
pub fn reads(world: &World, work: impl FnOnce()) -> OperationCounts {
    let before = world.bucket.counts();
    work();
    let after = world.bucket.counts();
    OperationCounts {
        gets: after.gets - before.gets,
        puts: after.puts - before.puts,
        bytes_out: after.bytes_out - before.bytes_out,
        ..OperationCounts::default()
    }
}

/// Whether engines see the last commit of each table, such too as change no document.
fn is_published(world: &World) -> bool {
    let ports = world.ports();
    let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
    let collections = HotStore::new(Rc::clone(&ports.sql), HotConfig::default(), 1 << 24).catalog().unwrap();
    let ids = collections.all().iter().flat_map(|collection| {
        [TableKind::State, TableKind::Changes].map(|kind| TableId { collection: collection.id, kind })
    });
    ids.filter_map(|id| catalog.table(id).unwrap()).all(|record| record.published == record.state.version)
}

/// Fires the alarm until nothing is pending, as the platform would.
pub fn settle(world: &World) {
    settle_with(world, "");
}

/// The same with a configuration.
pub fn settle_with(world: &World, config: &str) {
    let object = Object::wake_with(world, config);
    for _ in 0..20 {
        if object.ok("GET", "/sync", "")["pendingChanges"] == 0 && is_published(world) {
            return;
        }
        let due = world.alarm.at_ms().expect("an alarm is set while something is pending");
        fire(world, &object, due).unwrap();
    }
    panic!("something is still pending after 20 alarms");
}

/// Fires the alarms that are due within some time, as the platform would.
pub fn alarms_for(world: &World, config: &str, time_ms: i64) {
    each_alarm(world, &Object::wake_with(world, config), time_ms, 100, |ended| ended.unwrap());
}

/// Fires the alarms of an instance that are due within some time, and hands over how each ended; how many there were.
pub fn each_alarm(
    world: &World,
    object: &Object,
    time_ms: i64,
    most: usize,
    ended: impl Fn(Result<(), StorageError>),
) -> usize {
    let end = world.ports().clock.now_ms() + time_ms;
    for alarms in 0..most {
        let Some(due) = world.alarm.at_ms().filter(|due| *due <= end) else {
            world.clock.set(end);
            return alarms;
        };
        ended(fire(world, object, due));
    }
    panic!("alarms are still due after {most} of them");
}

/// Fires the alarm that is set, as the platform would; how it ended.
pub fn fire_next(world: &World, object: &Object) -> Result<(), StorageError> {
    let due = world.alarm.at_ms().expect("an alarm is set while there is something to do");
    fire(world, object, due)
}

/// Fires the alarm that is due then, as the platform would; how it ended.
pub fn fire(world: &World, object: &Object, due: i64) -> Result<(), StorageError> {
    world.clock.set(due.max(world.ports().clock.now_ms()));
    assert!(world.alarm.take_due(due));
    run(object.service.engine().alarm()).done().unwrap().unwrap()
}
