//! Each fault at each kind of call: what happened, what was reported, and what is left afterwards.

use super::super::{Outcome, World, join_seeded, run};
use super::*;

/// Makes a table, inserts two rows in one transaction, puts an object and sets the alarm.
async fn scenario(ports: &Ports) -> Result<()> {
    ports.sql.query("CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY) WITHOUT ROWID", &[])?;
    ports.sql.transaction(&mut || {
        ports.sql.query("INSERT INTO t VALUES ('a')", &[])?;
        ports.sql.query("INSERT INTO t VALUES ('b')", &[]).map(drop)
    })?;
    let objects = ports.objects.as_ref().unwrap();
    objects.put("key", b"bytes", PutCondition::IfAbsent, &ObjectMetadata::default()).await?;
    ports.cache.put("https://c/k", b"bytes", 60).await?;
    ports.alarm.set(9).await
}

const CALLS: [&str; 7] = [
    "sql query CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "sql transaction",
    "sql query INSERT INTO t VALUES ('a')",
    "sql query INSERT INTO t VALUES ('b')",
    "put key",
    "cache put https://c/k",
    "alarm set",
];

/// What the scenario left: rows, objects, whether the alarm is set.
fn left(world: &World) -> (usize, usize, bool) {
    let rows = world.sql.query("SELECT id FROM t", &[]).map_or(0, |rows| rows.len());
    (rows, world.bucket.keys().len(), world.alarm.at_ms().is_some())
}

/// Runs the scenario in a new world with one fault.
fn with_fault(call: usize, fault: Fault) -> (Outcome<Result<()>>, FaultPlan, World) {
    let world = World::new(1).unwrap();
    let plan = FaultPlan::new();
    plan.arm(call, fault);
    let outcome = run(scenario(&plan.wrap(&world.ports())));
    (outcome, plan, world)
}

#[test]
fn calls_are_numbered_and_labelled() {
    let (outcome, plan, world) = with_fault(99, Fault::Fail);
    assert!(outcome.done().unwrap().is_ok());
    assert_eq!(plan.calls(), CALLS);
    assert_eq!((plan.unmet(), plan.crashed()), (1, false));
    assert_eq!(left(&world), (2, 1, true));
}

#[test]
fn a_failed_call_did_not_happen() {
    let expected = [(0, 0), (0, 0), (0, 0), (0, 0), (2, 0), (2, 1), (2, 1)];
    for (call, (rows, objects)) in expected.into_iter().enumerate() {
        let (outcome, plan, world) = with_fault(call, Fault::Fail);
        assert!(outcome.done().unwrap().is_err(), "{call}");
        assert_eq!(plan.calls(), CALLS[..=call]);
        assert_eq!(plan.unmet(), 0);
        assert_eq!(left(&world), (rows, objects, false), "{call}");
    }
}

#[test]
fn a_call_that_failed_afterwards_did_happen() {
    // A statement that failed inside the transaction took the transaction with it; the transaction itself is committed.
    let expected =
        [(0, 0, false), (2, 0, false), (0, 0, false), (0, 0, false), (2, 1, false), (2, 1, false), (2, 1, true)];
    for (call, expected) in expected.into_iter().enumerate() {
        let (outcome, _, world) = with_fault(call, Fault::FailAfter);
        assert!(outcome.done().unwrap().is_err(), "{call}");
        assert_eq!(left(&world), expected, "{call}");
    }
}

#[test]
fn after_a_crash_nothing_more_happens() {
    for (fault, put_happened) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true)] {
        for call in 0..CALLS.len() {
            let (outcome, plan, world) = with_fault(call, fault);
            // A call that awaits never returns; one that cannot returns an error.
            assert_eq!(matches!(outcome, Outcome::Stalled), call >= 4, "{call}");
            assert!(plan.crashed());
            let rows = if call > 3 || (call == 1 && put_happened) { 2 } else { 0 };
            let objects = usize::from(call > 4 || (call == 4 && put_happened));
            assert_eq!(left(&world), (rows, objects, call == 6 && put_happened), "{call} {fault:?}");
            let made = plan.calls().len();
            let again = run(scenario(&plan.wrap(&world.ports())));
            assert!(again.done().unwrap().is_err(), "the instance is gone");
            assert_eq!(plan.calls().len(), made);
            // A new instance over the same stores works.
            let rest = run(world.ports().alarm.set(1)).done().unwrap();
            assert!(rest.is_ok());
        }
    }
}

#[test]
fn a_crash_inside_a_transaction_cannot_be_swallowed() {
    let world = World::new(1).unwrap();
    let plan = FaultPlan::new();
    let ports = plan.wrap(&world.ports());
    ports.sql.query("CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID", &[]).unwrap();
    plan.arm(3, Fault::CrashAfter);
    let committed = ports.sql.transaction(&mut || {
        ports.sql.query("INSERT INTO t VALUES ('a')", &[])?;
        let _ = ports.sql.query("INSERT INTO t VALUES ('b')", &[]);
        Ok(())
    });
    assert!(committed.is_err());
    assert_eq!(left(&world).0, 0);
}

#[test]
fn a_slow_call_lets_others_overtake() {
    let world = World::new(1).unwrap();
    let plan = FaultPlan::new();
    plan.arm(0, Fault::Slow(3));
    let objects = plan.wrap(&world.ports()).objects.unwrap();
    let put = |content: &'static [u8]| {
        let objects = &objects;
        async move { objects.put("key", content, PutCondition::IfAbsent, &ObjectMetadata::default()).await }
    };
    let outcomes = join_seeded(1, vec![Box::pin(put(b"one")), Box::pin(put(b"two"))]);
    let results: Vec<PutOutcome> = outcomes.into_iter().map(|outcome| outcome.done().unwrap().unwrap()).collect();
    // Whichever was polled first is the slow one, and loses.
    assert_eq!(results.iter().filter(|result| **result == PutOutcome::ConditionFailed).count(), 1);
    let slow = if results.first() == Some(&PutOutcome::ConditionFailed) { b"two" } else { b"one" };
    assert_eq!(world.bucket.object("key").unwrap().bytes, slow);
    assert_eq!(plan.calls(), ["put key", "put key"]);
}
