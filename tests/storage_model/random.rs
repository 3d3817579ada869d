//! Random histories: every invariant after every step, and nothing left over at the end.
//!
//! A failing history is printed whole, with the seed that makes it again: set `PROPTEST_RNG_SEED` to it, and
//! `PROPTEST_CASES` for more or fewer histories.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::bug::Bug;
use crate::invariants::Violation;
use crate::step::{Effect, Step};
use crate::vocabulary::{COLLECTIONS, Change, Id, Missing, TABLES};
use crate::world::World;

const IDS: Id = 16;
/// The kinds of steps.
const STEPS: usize = 21;

/// One move of a history.
#[derive(Clone, Debug)]
pub enum Move {
    One(Step),
    /// So many steps of an archiving, as maintenance would take them.
    Archive(usize),
    /// A whole merge, with the swap or without.
    Merge(usize, bool),
    /// So many documents, each written on its own.
    Rows(u8, u8),
    /// An archiving to its end, and so many evictions.
    Cold(usize),
    /// All that a waiting write needs, with its transaction or without.
    Fetch(usize, bool),
}

/// Any of all ids, or one of a few, so that some are changed often.
fn id() -> impl Strategy<Value = Id> {
    prop_oneof![0..IDS, 0..4u8]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (id(), any::<u8>()).prop_map(|(id, value)| Change::Put(id, value)),
        1 => id().prop_map(Change::Delete),
    ]
}

fn collection() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(COLLECTIONS[0]), 1 => Just(COLLECTIONS[1])]
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0..16usize;
    let one = (collection(), change()).prop_map(|(of, change)| Step::Write(of, vec![change]));
    let batch = (collection(), prop::collection::vec(change(), 2..9)).prop_map(|(of, all)| Step::Write(of, all));
    prop_oneof![
        16 => one,
        10 => batch,
        4 => (1..8u64).prop_map(Step::Wait),
        4 => pick().prop_map(Step::Fetch),
        10 => pick().prop_map(Step::Finish),
        2 => collection().prop_map(Step::Drop),
        6 => pick().prop_map(Step::Seal),
        4 => (pick(), pick()).prop_map(|(group, count)| Step::MergeStart(group, count)),
        4 => Just(Step::MergeRead),
        8 => Just(Step::MergeSwap),
        2 => Just(Step::Plan),
        6 => Just(Step::Stage),
        2 => Just(Step::Commit),
        2 => Just(Step::Abandon),
        3 => prop::sample::select(TABLES.to_vec()).prop_map(Step::Publish),
        4 => (0..4usize).prop_map(Step::Trim),
        2 => pick().prop_map(Step::Evict),
        6 => pick().prop_map(Step::Sweep),
        8 => pick().prop_map(Step::Collect),
        1 => Just(Step::Crash),
    ]
}

fn one_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        30 => step().prop_map(Move::One),
        1 => step().prop_map(|step| Move::One(Step::Failed(Box::new(step)))),
        1 => step().prop_map(|step| Move::One(Step::Lost(Box::new(step)))),
        6 => (1..14usize).prop_map(Move::Archive),
        3 => (0..8usize, any::<bool>()).prop_map(|(group, swap)| Move::Merge(group, swap)),
        3 => (0..6usize).prop_map(Move::Cold),
        4 => (0..2usize, any::<bool>()).prop_map(|(at, finish)| Move::Fetch(at, finish)),
        1 => (0..IDS, 1..IDS).prop_map(|(first, count)| Move::Rows(first, count)),
    ]
}

/// How often each kind of step had an effect, with its name.
pub type Tally = HashMap<Discriminant<Step>, (String, usize)>;

fn count(tally: &mut Tally, step: &Step) {
    let name = || format!("{step:?}").chars().take_while(char::is_ascii_alphabetic).collect();
    tally.entry(discriminant(step)).or_insert_with(|| (name(), 0)).1 += 1;
}

fn take(world: &mut World, step: &Step, tally: &mut Tally) -> Result<(), Violation> {
    if world.apply(step)? == Effect::Done {
        count(tally, step);
    }
    Ok(())
}

pub fn play(world: &mut World, moves: &[Move], tally: &mut Tally) -> Result<(), Violation> {
    let lost = |missing: Missing| Violation { invariant: "every_step_finds_what_it_needs", what: missing.0 };
    for one in moves {
        match one {
            Move::One(step) => take(world, step, tally)?,
            Move::Archive(steps) => {
                for _ in 0..*steps {
                    let Some(step) = world.next_of_archive().map_err(lost)? else { break };
                    take(world, &step, tally)?;
                }
            }
            Move::Rows(first, count) => {
                for id in (0..*count).map(|next| (first + next) % IDS) {
                    take(world, &Step::Write(0, vec![Change::Put(id, *count)]), tally)?;
                }
            }
            Move::Cold(evictions) => {
                while let Some(step) = world.next_of_archive().map_err(lost)? {
                    take(world, &step, tally)?;
                }
                for _ in 0..*evictions {
                    take(world, &Step::Evict(0), tally)?;
                }
            }
            Move::Fetch(at, finish) => {
                let missing =
                    |world: &World| world.process.writes.get(*at).is_some_and(|write| world.unfetched(write).is_some());
                while missing(world) {
                    take(world, &Step::Fetch(*at), tally)?;
                }
                if *finish {
                    take(world, &Step::Finish(*at), tally)?;
                }
            }
            Move::Merge(group, swap) => {
                take(world, &Step::MergeStart(*group, 0), tally)?;
                while world.process.merge.as_ref().is_some_and(|merge| merge.read < merge.inputs.len()) {
                    take(world, &Step::MergeRead, tally)?;
                }
                if *swap {
                    take(world, &Step::MergeSwap, tally)?;
                }
            }
        }
    }
    world.settle().map(|_| ())
}

/// The first of so many histories that violates an invariant, made as small as it can be.
pub fn first_violation(bug: Option<Bug>, seed: u64, cases: u32, tally: &RefCell<Tally>) -> Option<(Violation, String)> {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &bytes));
    let history = prop::collection::vec(one_move(), 1..40);
    let outcome = runner.run(&history, |moves| {
        let mut world = World::with(bug);
        play(&mut world, &moves, &mut tally.borrow_mut())
            .map_err(|violation| TestCaseError::fail(violation.to_string()))
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(_, moves)) => {
            let violation = play(&mut World::with(bug), &moves, &mut Tally::new()).unwrap_err();
            Some((violation, format!("{moves:#?}")))
        }
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let seed: u64 = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x7e57);
    println!("seed {seed}, {cases} histories");
    let tally = RefCell::new(Tally::new());
    if let Some((violation, moves)) = first_violation(None, seed, cases, &tally) {
        panic!("seed {seed}: {violation}\n{moves}");
    }
    let counts: BTreeMap<_, _> = tally.into_inner().into_values().collect();
    println!("steps that had an effect: {counts:?}");
    assert!(cases < 1000 || (counts.len() == STEPS && counts.values().all(|count| *count > 20)), "every kind of step");
}
