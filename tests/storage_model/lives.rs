//! Lives of rows, told as examples.

use crate::read::Spot;
use crate::script::Script;
use crate::state::{After, Body};
use crate::step::Step;
use crate::vocabulary::{CLOSED_MAX, Change, MONTH, TableName};

#[test]
fn a_single_write_is_a_row_then_sealed_then_cold() {
    let mut script = Script::default();
    script.put([1, 2], 10);
    let Some(Spot::Row(generation)) = script.spot(1) else { panic!("1 is not in row form") };
    assert!(script.world.state.generations[&generation].closed, "two rows fill a generation");
    script.put([1], 11);
    assert_eq!(script.spot(1), Some(Spot::Row(generation)), "a row is updated in place, also in a closed generation");

    script.step(Step::Seal(0));
    let (sealed, _) = script.segment_of(1);
    assert!(script.world.state.generations.is_empty());
    script.put([1], 12);
    assert!(matches!(script.spot(1), Some(Spot::Row(_))), "the new version of a sealed row is in row form");
    assert_eq!(script.world.state.segments[&sealed].deleted.len(), 1);

    script.archive();
    let table = script.world.state.published(TableName::Documents(0));
    assert_eq!((table.data.len(), table.tails.len()), (1, 1));
    assert!(table.deletes.is_some(), "the bit of the bitmap is a position delete");
    assert_eq!(script.published(0), [(1, 12), (2, 10)]);
}

#[test]
fn too_many_closed_generations_are_sealed_by_the_write_that_closes_one() {
    let mut script = Script::default();
    let ids = 2 * u8::try_from(CLOSED_MAX).unwrap();
    script.put(0..ids, 1);
    assert_eq!((script.world.closed().len(), script.world.state.segments.len()), (CLOSED_MAX, 0));
    script.put([ids, ids + 1], 1);
    assert_eq!((script.world.closed().len(), script.world.state.segments.len()), (CLOSED_MAX, 1));
    assert!(matches!(script.spot(0), Some(Spot::Position(..))), "the oldest is sealed");
}

#[test]
fn a_generation_of_two_months_becomes_two_segments() {
    let mut script = Script::default();
    script.put([1], 1);
    script.step(Step::Wait(MONTH));
    script.put([2], 1);
    script.step(Step::Seal(0));
    assert_eq!((script.segment_of(1).1.month, script.segment_of(2).1.month), (0, 1));
}

#[test]
fn a_batch_is_a_segment_that_the_log_refers_to() {
    let mut script = Script::default();
    script.put([1], 1);
    let twice = [(1, 2), (2, 2), (3, 2), (2, 3)].map(|(id, value)| Change::Put(id, value));
    script.step(Step::Write(0, twice.to_vec()));
    let (direct, segment) = script.segment_of(2);
    assert_eq!(segment.ids, [1, 2, 3]);
    let Some(Body::Changes(changes)) = script.world.state.log.records.last().map(|record| &record.body) else {
        panic!("no record")
    };
    let inline = changes.iter().filter(|change| matches!(change.after, After::Inline(_))).count();
    assert_eq!(inline, 1, "only the version that the batch overwrote itself is repeated");

    // Superseded, it stays for the log; archived and trimmed, it goes.
    script.batch([4, 5, 6], 1);
    script.merge();
    script.step(Step::MergeSwap);
    assert!(script.world.unneeded().is_empty());
    script.archive();
    script.step(Step::Trim(usize::MAX));
    script.sweep_all();
    assert!(!script.world.state.segments.contains_key(&direct));
}

#[test]
fn what_is_deleted_during_a_merge_is_deleted_in_its_result() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.batch([4, 5, 6], 1);
    script.merge();
    script.delete(2);
    script.put([5], 2);
    script.step(Step::MergeSwap);
    let (_, merged) = script.segment_of(1);
    assert_eq!(merged.ids, [1, 2, 3, 4, 5, 6]);
    assert_eq!(merged.deleted.iter().copied().collect::<Vec<_>>(), [1, 4]);
    assert_eq!(script.get(0, 2), None);
}

#[test]
fn a_plan_is_of_its_moment_whatever_comes_after() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.put([4, 5, 6], 1);
    script.step(Step::Plan);
    script.put([1, 4], 2);
    script.delete(5);
    script.step(Step::Stage);
    script.step(Step::Seal(0));
    script.step(Step::Drop(0));
    script.put([9], 3);
    script.step(Step::Crash);
    script.stage();
    script.step(Step::Commit);
    script.publish();
    assert_eq!(script.published(0), [1, 2, 3, 4, 5, 6].map(|id| (id, 1)));
    script.settle();
    assert_eq!(script.published(0), [(9, 3)]);
}

#[test]
fn a_merged_segment_is_its_inputs_files_until_the_next_commit() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.batch([4, 5, 6], 1);
    script.archive();
    let name = TableName::Documents(0);
    let before = script.world.state.committed(name).clone();
    script.merge();
    script.step(Step::MergeSwap);
    assert_eq!(script.segment_of(1).1.place, None);
    assert_eq!(*script.world.state.committed(name), before);
    script.archive();
    let after = script.world.state.committed(name);
    assert_eq!(after.data.len(), 1);
    assert!(before.data.keys().all(|file| !after.data.contains_key(file) && script.world.state.garbage.contains(file)));
}

#[test]
fn an_evicted_document_is_fetched_before_it_is_changed() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.archive();
    assert!(script.world.evictable().is_empty(), "the log refers to it");
    script.step(Step::Trim(usize::MAX));
    script.evict_all();
    let (stub, _) = script.segment_of(2);
    assert_eq!(script.get(0, 2).map(|version| version.value), Some(1), "from the cold file");

    // Two writers: the second finds that its image is not of the present version, and goes on without it.
    script.put([2, 2], 7);
    script.step(Step::Fetch(0));
    script.step(Step::Fetch(1));
    script.step(Step::Finish(0));
    script.step(Step::Finish(0));
    let events = script.world.state.feed(3).unwrap();
    let before: Vec<_> = events.iter().map(|event| event.before.unwrap().sequence).collect();
    assert_eq!(before, [2, 4]);
    assert_eq!(script.world.state.segments[&stub].deleted.len(), 1);
    script.settle();
    assert_eq!(script.published(0), [(1, 1), (2, 7), (3, 1)]);
}

#[test]
fn a_dropped_collection_stays_for_its_one_record() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.archive();
    script.step(Step::Trim(usize::MAX));
    script.evict_all();
    script.put([4], 1);
    script.step(Step::Drop(0));
    assert_eq!(script.world.state.log.records.len(), 2);
    script.put([1], 9);
    script.archive();
    assert_eq!(script.published(0), [(1, 9)]);
    let events = script.world.state.feed(4).unwrap();
    assert_eq!(events.iter().filter(|event| event.after.is_none()).count(), 4, "with images, three of them cold");
    let stubs = script.world.state.files_of_stubs();
    assert!(stubs.iter().all(|file| !script.world.collectable().contains(file)), "the file is kept for the record");
    script.settle();
    assert!(stubs.iter().all(|file| !script.world.state.bucket.files.contains_key(file)));
}
