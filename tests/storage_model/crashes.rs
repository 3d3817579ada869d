//! A crash, a lost answer and a failed transaction at every step of one rich history.
//!
//! After each, maintenance recovers or the history just goes on; either way every invariant holds after every step,
//! and in the end nothing is left over and everything is published.

use crate::invariants::Violation;
use crate::script::Script;
use crate::step::Step;
use crate::vocabulary::{Change, MONTH, TableName};
use crate::world::World;

/// Every kind of step, with writes in the midst of merges and archivings.
fn history() -> Vec<Step> {
    let mut script = Script::default();
    script.put([0, 1, 2, 3, 4, 5], 1);
    script.delete(2);
    script.step(Step::Seal(0));
    script.batch([6, 7, 8, 0, 6], 2);
    script.step(Step::Write(1, [1, 2, 3, 4].map(|id| Change::Put(id, 2)).to_vec()));
    script.step(Step::Plan);
    script.put([4, 7], 3);
    script.step(Step::Stage);
    script.step(Step::MergeStart(0, 0));
    script.step(Step::MergeRead);
    script.delete(8);
    script.step(Step::MergeRead);
    script.step(Step::Seal(0));
    script.stage();
    script.step(Step::MergeSwap);
    script.put([1], 4);
    script.step(Step::Commit);
    script.step(Step::Publish(TableName::Documents(0)));
    script.step(Step::Wait(MONTH));
    script.batch([9, 10, 11], 4);
    script.publish();
    script.step(Step::Trim(usize::MAX));
    script.step(Step::Evict(0));
    script.sweep_all();
    script.archive();
    script.step(Step::Trim(2));
    script.step(Step::Trim(usize::MAX));
    script.evict_all();
    // Writes of evicted documents, one alone and one in a batch; one of the first again meanwhile.
    script.put([6], 5);
    script.batch([0, 9, 10, 12], 6);
    script.step(Step::Fetch(0));
    for _ in 0..3 {
        script.step(Step::Fetch(1));
    }
    script.step(Step::Finish(1));
    script.step(Step::Finish(0));
    script.step(Step::Collect(0));
    script.step(Step::Plan);
    script.step(Step::Stage);
    script.step(Step::Abandon);
    script.step(Step::Drop(1));
    script.step(Step::Write(1, vec![Change::Put(1, 7), Change::Put(2, 7)]));
    script.merge();
    script.delete(11);
    script.step(Step::MergeSwap);
    script.step(Step::Plan);
    script.step(Step::Drop(0));
    script.put([0, 1], 8);
    script.stage();
    script.step(Step::Commit);
    script.publish();
    script.step(Step::Trim(usize::MAX));
    script.step(Step::Sweep(0));
    script.archive();
    script.step(Step::Trim(usize::MAX));
    script.sweep_all();
    while !script.world.collectable().is_empty() {
        script.step(Step::Collect(0));
    }
    script.steps
}

/// Goes on with some steps, perhaps after a recovery, and comes to rest.
fn go_on(mut world: World, recover: bool, steps: &[Step]) -> Result<(), Violation> {
    if recover {
        world.settle()?;
    }
    for step in steps {
        world.apply(step)?;
    }
    world.settle().map(|_| ())
}

/// Plays the history once for each step, with something else in its place or before it, with and without a recovery.
fn at_every_step(instead: impl Fn(Step) -> Step, again: bool) {
    let steps = history();
    let mut world = World::default();
    for (at, step) in steps.iter().enumerate() {
        let mut other = world.clone();
        let instead = instead(step.clone());
        let rest = &steps[if again { at } else { at + 1 }..];
        let outcome = other.apply(&instead).and_then(|_| {
            go_on(other.clone(), true, rest)?;
            go_on(other, false, rest)
        });
        if let Err(violation) = outcome {
            panic!("{violation}, with {instead:?} at step {at}, going on with {rest:?}");
        }
        world.apply(step).unwrap();
    }
    println!("{} steps", steps.len());
}

#[test]
fn a_crash_before_every_step() {
    at_every_step(|_| Step::Crash, true);
}

#[test]
fn a_crash_after_every_step_before_its_answer() {
    at_every_step(|step| Step::Lost(Box::new(step)), false);
}

#[test]
fn a_failure_of_every_step() {
    at_every_step(|step| Step::Failed(Box::new(step)), false);
}

#[test]
fn a_failure_of_every_step_that_is_tried_again() {
    at_every_step(|step| Step::Failed(Box::new(step)), true);
}
