//! How an object's state tables change from commit to commit: what is written again, and what never.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its figures"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use support::Object;
use support::archive::{Model, check_whole, settle_with};
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::cold::{DataFile, FileContent, TableKind};
use thermocline::ports::native::World;

const DAY_MS: i64 = 86_400_000;
/// Rows are sealed at once, and segments merged only when they are many.
const SEALING: &str = r#"{"hot":{"sealRows":4,"sealMinAgeMs":0,"directBatch":8}}"#;

/// An object that is archived again and again, and what was acknowledged.
struct Archived {
    world: World,
    model: Model,
    config: &'static str,
}

impl Archived {
    fn new(config: &'static str) -> Self {
        Self { world: World::new(5).unwrap(), model: Model::default(), config }
    }

    /// Does something with the object, archives it, and checks everything.
    fn then(&mut self, work: impl FnOnce(&Object)) -> Files {
        let object = Object::wake_with(&self.world, self.config);
        work(&object);
        let told = self.model.history.len();
        self.model.follow(&object.feed(1_000)[told..]);
        settle_with(&self.world, self.config);
        let published = check_whole(&self.world, &self.model, &["docs"]);
        assert_eq!(published, self.model.history.len(), "all is published");
        self.files()
    }

    /// The files of the state table of the first collection.
    fn files(&self) -> Files {
        let catalog = ColdCatalog::new(Rc::clone(&self.world.ports().sql));
        let id = TableId { collection: 1, kind: TableKind::State };
        let version = catalog.table(id).unwrap().unwrap().state.version;
        Files(catalog.files(id, version).unwrap().into_iter().map(|file| file.file.file).collect())
    }
}

struct Files(Vec<DataFile>);

impl Files {
    fn keys(&self, wanted: impl Fn(&DataFile) -> bool) -> BTreeSet<String> {
        self.0.iter().filter(|file| wanted(file)).map(|file| file.key.clone()).collect()
    }

    /// Files of segments.
    fn data(&self) -> BTreeSet<String> {
        self.keys(|file| file.content == FileContent::Data && !file.parts.is_empty())
    }

    fn tails(&self) -> BTreeSet<String> {
        self.keys(|file| file.content == FileContent::Data && file.parts.is_empty())
    }

    fn deletes(&self) -> BTreeSet<String> {
        self.keys(|file| file.content == FileContent::PositionDeletes)
    }

    fn deleted_rows(&self) -> i64 {
        let deletes = self.0.iter().filter(|file| file.content == FileContent::PositionDeletes);
        deletes.map(|file| file.record_count).sum()
    }
}

fn lines(ids: std::ops::Range<usize>) -> String {
    ids.map(|n| format!("{{\"id\":\"d{n:05}\",\"n\":{n},\"s\":\"text {}\"}}\n", n % 7)).collect()
}

fn put(object: &Object, n: usize) {
    object.ok("PUT", &format!("/collections/docs/docs/d{n:05}"), r#"{"n":-1}"#);
}

fn delete(object: &Object, n: usize) {
    assert_eq!(object.json("DELETE", &format!("/collections/docs/docs/d{n:05}"), "").0, 204);
}

#[test]
fn a_batch_is_written_once_and_changes_of_it_become_position_deletes() {
    let mut archived = Archived::new("");
    let first = archived.then(|object| drop(object.import("docs", &lines(0..500))));
    assert_eq!((first.data().len(), first.tails().len(), first.deletes().len()), (1, 0, 0));
    let second = archived.then(|object| {
        (0..3).for_each(|n| put(object, n));
        delete(object, 400);
    });
    assert_eq!(second.data(), first.data(), "its rows are not written again");
    assert_eq!((second.tails().len(), second.deletes().len(), second.deleted_rows()), (1, 1, 4));
    let third = archived.then(|object| put(object, 0));
    assert_eq!(third.deletes(), second.deletes(), "no row of the month was deleted: its deletes stay");
    assert_ne!(third.tails(), second.tails(), "the tail is replaced");
    let fourth = archived.then(|object| drop(object.import("docs", &lines(500..700))));
    assert_eq!((fourth.data().len(), fourth.tails().len()), (2, 1));
    assert!(fourth.data().is_superset(&first.data()));
}

#[test]
fn months_that_nothing_happens_to_are_left_alone() {
    let mut archived = Archived::new("");
    archived.then(|object| drop(object.import("docs", &lines(0..100))));
    let before = archived.then(|object| delete(object, 1));
    archived.world.clock.advance(40 * DAY_MS);
    let after = archived.then(|object| drop(object.import("docs", &lines(100..200))));
    assert!(after.data().is_superset(&before.data()) && after.data().len() == 2);
    assert_eq!(after.deletes(), before.deletes());
    let both = archived.then(|object| delete(object, 150));
    assert!(both.deletes().is_superset(&before.deletes()) && both.deletes().len() == 2, "one a month");
}

#[test]
fn a_file_without_a_current_row_leaves_the_table_and_then_the_bucket() {
    let mut archived = Archived::new(r#"{"cold":{"icebergKeepSnapshots":1,"orphanMinAgeMs":0}}"#);
    let first = archived.then(|object| {
        object.import("docs", &lines(0..100));
    });
    archived.then(|object| drop(object.import("docs", &lines(100..200))));
    let gone = archived.then(|object| (0..100).for_each(|n| delete(object, n)));
    assert!(gone.data().is_disjoint(&first.data()) && gone.data().len() == 1);
    assert_eq!(gone.deletes().len(), 0, "no deletes of a file that is none");
    archived.then(|object| put(object, 1_000));
    archived.then(|object| put(object, 1_001));
    let key = first.data().into_iter().next().unwrap();
    assert!(archived.world.bucket.object(&key).is_none(), "{key} is deleted when no snapshot has it");
}

#[test]
fn merged_segments_replace_the_files_of_their_inputs() {
    let mut archived = Archived::new(r#"{"hot":{"maxUnmergedSegments":1}}"#);
    let mut seen = BTreeSet::new();
    for batch in 0..12 {
        let files = archived.then(|object| {
            object.import("docs", &lines(batch * 100..batch * 100 + 100));
            if batch > 0 {
                put(object, batch * 100 - 1);
            }
        });
        seen.extend(files.data());
    }
    let last = archived.then(|object| put(object, 0));
    assert!(seen.len() > last.data().len(), "{} files were written, {} are left", seen.len(), last.data().len());
}

#[test]
fn sealed_rows_leave_the_tail_and_come_into_a_data_file_once() {
    let mut archived = Archived::new(SEALING);
    let mut data = BTreeMap::new();
    for round in 0..10 {
        let files = archived.then(|object| (round * 3..round * 3 + 3).for_each(|n| put(object, n)));
        for file in files.0.iter().filter(|file| !file.parts.is_empty()) {
            let parts = data.entry(file.key.clone()).or_insert_with(|| file.parts.clone());
            assert_eq!(*parts, file.parts);
        }
    }
    let numbers: Vec<i64> = data.values().flatten().map(|part| part.number).collect();
    let distinct: BTreeSet<i64> = numbers.iter().copied().collect();
    assert_eq!(numbers.len(), distinct.len(), "a segment is in one file for ever");
    assert!(numbers.len() > 3, "{numbers:?}");
}

#[test]
fn a_dropped_collection_has_no_files_and_continues_its_table_when_made_again() {
    let mut archived = Archived::new("");
    let first = archived.then(|object| {
        object.import("docs", &lines(0..100));
        put(object, 1);
    });
    assert_eq!((first.data().len(), first.tails().len(), first.deletes().len()), (1, 1, 1));
    let dropped = archived.then(|object| assert_eq!(object.json("DELETE", "/collections/docs", "").0, 204));
    assert!(dropped.0.is_empty());
    let again = archived.then(|object| drop(object.import("docs", &lines(50..150))));
    assert_eq!((again.data().len(), again.deletes().len()), (1, 0));
}
