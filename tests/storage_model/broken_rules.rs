//! The checks can fail: with one rule broken, a history comes upon an invariant that says so.
//!
//! Most are random, and the smallest found is printed, the shortest account of why the rule is there. Where that takes
//! too many histories, one is told.

use std::cell::RefCell;

use crate::bug::Bug;
use crate::random::{Tally, first_violation};
use crate::script::Script;
use crate::step::Step;
use crate::vocabulary::Change;
use crate::world::World;

const SEED: u64 = 0xb06;
const HISTORIES: u32 = 4000;

fn caught(bug: Bug, by: &[&str]) {
    let found = first_violation(Some(bug), SEED, HISTORIES, &RefCell::new(Tally::new()));
    let Some((violation, moves)) = found else { panic!("{bug:?} goes unnoticed in {HISTORIES} histories") };
    println!("{bug:?} is caught by {violation}\n{moves}");
    assert!(by.contains(&violation.invariant), "{bug:?} is caught by {violation}");
}

macro_rules! broken {
    ($($test:ident: $bug:ident by $($invariant:literal),+;)*) => {
        $(#[test] fn $test() { caught(Bug::$bug, &[$($invariant),+]); })*
    };
}

broken! {
    a_seal_that_leaves_the_rows: SealKeepsRows by "each_document_is_in_one_place";
    no_seal_when_too_many_are_closed: NoInlineSeal by "few_generations_are_closed";
    a_direct_batch_that_leaves_older_versions: DirectLeavesOlder by "each_document_is_in_one_place";
    a_write_that_does_not_look_again: WriteWithoutRecheck by "reads_by_id_equal_the_oracle";
    a_merge_that_forgets_deletions: MergeForgetsDeletions by "each_document_is_in_one_place";
    a_merge_of_several_months: MergeMixesMonths by "months_are_not_mixed";
    a_merge_that_does_not_inherit_the_list: ListNotInherited by "each_document_is_in_one_place";
    a_sweep_that_ignores_the_log: SweepIgnoresLog by "pinned_segments_keep_their_bytes";
    a_sweep_that_ignores_the_plan: SweepIgnoresPlan by "pinned_segments_keep_their_bytes";
    a_drop_that_releases_rows: DropReleasesRows by "the_feed_equals_the_oracle";
    an_eviction_before_the_commit: EvictBeforeCommit by "reads_by_id_equal_the_oracle";
    staging_without_undo: StageWithoutUndo by "what_a_plan_stages_equals_the_oracle";
    staging_with_later_bitmaps: StageWithLaterBitmaps by "staging_again_makes_the_same";
    a_tail_that_is_not_replaced: TailNotReplaced by "committed_tables_equal_the_oracle";
    a_trim_beyond_the_archive: TrimBeyondArchive by "the_log_keeps_what_is_not_published";
    a_collection_of_published_objects: CollectIgnoresPublished by "files_in_use_exist";
    a_collection_of_objects_of_stubs: CollectIgnoresStubs by "files_in_use_exist";
}

/// Plays a history by all rules, then with one broken.
fn told(bug: Bug, by: &str, steps: &[Step]) {
    let play = |mut world: World| steps.iter().try_for_each(|step| world.apply(step).map(|_| ()));
    play(World::default()).unwrap();
    let violation = play(World::with(Some(bug))).unwrap_err();
    println!("{bug:?} is caught by {violation}\n{steps:#?}");
    assert_eq!(violation.invariant, by);
}

#[test]
fn a_sweep_that_uncovers_superseded_segments() {
    let mut script = Script::default();
    script.batch([1, 2, 3], 1);
    script.batch([4, 5, 6], 1);
    script.merge();
    script.step(Step::MergeSwap);
    (1..=6).for_each(|id| script.delete(id));
    // All of the merged segment is deleted, and the log keeps its inputs, which do not know.
    script.steps.push(Step::Sweep(0));
    told(Bug::SweepUncovers, "each_document_is_in_one_place", &script.steps);
}

#[test]
fn a_merge_that_reads_spent_stubs() {
    let mut script = Script::default();
    for ids in [[1, 2, 3], [4, 5, 6]] {
        script.batch(ids, 1);
        script.archive();
    }
    script.step(Step::Trim(usize::MAX));
    script.evict_all();
    script.step(Step::MergeStart(0, 0));
    script.step(Step::MergeRead);
    script.step(Step::Write(0, [4, 5, 6].map(Change::Delete).to_vec()));
    (0..3).for_each(|_| script.step(Step::Fetch(0)));
    script.step(Step::Finish(0));
    // No table lists the second file any more.
    script.archive();
    while !script.world.collectable().is_empty() {
        script.step(Step::Collect(0));
    }
    script.step(Step::MergeRead);
    told(Bug::MergeReadsSpent, "every_step_finds_what_it_needs", &script.steps);
}
