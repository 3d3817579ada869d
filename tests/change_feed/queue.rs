//! Events pushed to a queue: at least once, with the same ids, and without disturbing anything.

use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::config::StorageConfig;
use thermocline::ports::Ports;
use thermocline::ports::native::{LocalQueue, Sending, World, run};

use crate::reader::assert_continuous;
use crate::support::{Object, archive::settle};
use crate::{HOUR_MS, world};

fn with_queue(world: &World, queue: &Rc<LocalQueue>) -> Object {
    Object::new(Ports { queue: Some(queue.clone()), ..world.ports() })
}

/// Fires the alarm when it is due.
fn fire(world: &World, object: &Object) -> Result<(), thermocline::error::StorageError> {
    let due = world.alarm.at_ms().expect("an alarm is set");
    world.clock.set(due.max(world.ports().clock.now_ms()));
    assert!(world.alarm.take_due(due));
    run(object.service.engine().alarm()).done().unwrap().unwrap()
}

fn messages(queue: &LocalQueue) -> Vec<Value> {
    queue.take().concat().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn every_event_is_pushed_soon_in_batches_with_its_id() {
    let world = world(1);
    let queue = Rc::new(LocalQueue::default());
    let object = with_queue(&world, &queue);
    let lines: Vec<_> = (0..250).map(|n| json!({"id": format!("d{n}"), "n": n}).to_string()).collect();
    object.import("a", &lines.join("\n"));
    let begun = world.ports().clock.now_ms();
    fire(&world, &object).unwrap();
    assert!(world.ports().clock.now_ms() - begun <= 1_000);
    let batches = queue.take();
    assert!(batches.iter().all(|batch| batch.len() <= 100), "{:?}", batches.iter().map(Vec::len).collect::<Vec<_>>());
    let sent: Vec<Value> = batches.concat().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(sent, object.feed(1_000));
    // The position outlives the instance, and is nobody's consumer.
    let object = with_queue(&world, &queue);
    object.ok("DELETE", "/collections/a/docs/d1", "");
    fire(&world, &object).unwrap();
    let sent = messages(&queue);
    assert_eq!(sent.len(), 1);
    assert_continuous(&sent, 251);
    assert_eq!(object.ok("GET", "/cdc/consumers", "")["items"], json!([]));
}

#[test]
fn a_failure_waits_longer_each_time_and_what_was_sent_all_the_same_has_the_same_ids() {
    let world = world(2);
    let queue = Rc::new(LocalQueue::default());
    queue.sending.set(Sending::HappensAndFails);
    let object = with_queue(&world, &queue);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let mut tries = Vec::new();
    while queue.sends.get() < 5 {
        let before = queue.sends.get();
        let ended = fire(&world, &object);
        if queue.sends.get() > before {
            assert!(ended.is_err());
            tries.push(world.ports().clock.now_ms());
        }
    }
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    let published = object.ok("GET", "/sync", "")["pendingChanges"].as_i64().unwrap();
    assert_eq!(published, 0, "archiving goes on meanwhile");
    queue.sending.set(Sending::Works);
    while messages(&queue).len() < 6 && queue.sends.get() < 6 {
        fire(&world, &object).unwrap();
    }
    assert_eq!(queue.sends.get(), 6);
    object.ok("PUT", "/collections/a/docs/y", "{}");
    fire(&world, &object).unwrap();
    assert_continuous(&messages(&queue), 2);
}

#[test]
fn an_object_that_sleeps_between_failures_waits_as_long_and_forgets_them_when_it_is_over() {
    let world = world(7);
    let queue = Rc::new(LocalQueue::default());
    queue.sending.set(Sending::HappensAndFails);
    with_queue(&world, &queue).ok("PUT", "/collections/a/docs/x", "{}");
    let mut tries = Vec::new();
    while tries.len() < 5 {
        let before = queue.sends.get();
        // Another instance each time; requests in between change nothing.
        let object = with_queue(&world, &queue);
        object.get("/cdc");
        let _ = fire(&world, &object);
        if queue.sends.get() > before {
            tries.push(world.ports().clock.now_ms());
        }
    }
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().zip([5_000, 10_000, 20_000, 40_000]).all(|(pause, least)| *pause >= least), "{pauses:?}");
    let failures = || world.ports().sql.query("SELECT name FROM consumers WHERE name LIKE '%failures'", &[]).unwrap();
    assert_eq!(failures().len(), 1);
    queue.sending.set(Sending::Works);
    while queue.sends.get() < 6 {
        let _ = fire(&world, &with_queue(&world, &queue));
    }
    assert!(failures().is_empty(), "{:?}", failures());
    assert_eq!(with_queue(&world, &queue).ok("GET", "/cdc/consumers", "")["items"], json!([]));
}

#[test]
fn what_came_again_after_a_failure_is_the_same_message() {
    let world = world(3);
    let queue = Rc::new(LocalQueue::default());
    queue.sending.set(Sending::HappensAndFails);
    let object = with_queue(&world, &queue);
    object.ok("PUT", "/collections/a/docs/x", r#"{"n":1.0}"#);
    fire(&world, &object).unwrap_err();
    let first = queue.take();
    queue.sending.set(Sending::Works);
    // Another instance knows of no failure, and of no success.
    let object = with_queue(&world, &queue);
    object.get("/cdc");
    while queue.sends.get() < 2 {
        fire(&world, &object).unwrap();
    }
    assert_eq!(queue.take(), first);
    assert!(first[0][0].contains(r#""n":1.0"#), "{first:?}");
}

#[test]
fn an_event_that_is_too_large_is_pushed_without_documents() {
    let world = world(4);
    let queue = Rc::new(LocalQueue::default());
    let object = with_queue(&world, &queue);
    object.ok("PUT", "/collections/a/docs/x", &json!({"text": "x".repeat(200_000)}).to_string());
    object.ok("PUT", "/collections/a/docs/y", "{}");
    fire(&world, &object).unwrap();
    let sent = messages(&queue);
    assert_eq!((&sent[0]["documentsOmitted"], sent[0].get("after")), (&json!(true), None));
    assert_eq!((sent[1].get("documentsOmitted"), &sent[1]["after"]["id"]), (None, &json!("y")));
    assert_continuous(&sent, 1);
}

#[test]
fn without_a_queue_nothing_is_stored_and_with_a_late_one_everything_is_sent_from_the_archive_too() {
    let world = world(5);
    for round in 0..5 {
        let object = Object::wake(&world);
        object.ok("PUT", &format!("/collections/a/docs/d{round}"), "{}");
        world.clock.advance(HOUR_MS + 1);
        settle(&world);
    }
    let tables = world.ports().sql.query("SELECT name FROM sqlite_master WHERE name = 'consumers'", &[]).unwrap();
    assert!(tables.is_empty());
    let queue = Rc::new(LocalQueue::default());
    let object = with_queue(&world, &queue);
    object.get("/cdc");
    while queue.sends.get() == 0 {
        fire(&world, &object).unwrap();
    }
    let sent = messages(&queue);
    assert_eq!(sent.len(), 5);
    assert_continuous(&sent, 1);
}

#[test]
fn a_gap_is_told_where_events_are_gone() {
    let world = world(6);
    let queue = Rc::new(LocalQueue::default());
    queue.sending.set(Sending::Fails);
    let config = StorageConfig::parse(r#"{"cdc":{"maxAgeDays":1}}"#).unwrap();
    let ports = Ports { objects: None, queue: Some(queue.clone()), ..world.ports() };
    let object = Object::configured(ports, config);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let _ = fire(&world, &object);
    crate::four_over_days(&world, &object);
    queue.sending.set(Sending::Works);
    let mut sent = Vec::new();
    for _ in 0..5 {
        if sent.is_empty() {
            fire(&world, &object).unwrap();
            sent = messages(&queue);
        }
    }
    assert_eq!(sent[0], json!({"gap": {"after": 0, "through": 3}}));
    assert_eq!(sent.len(), 3);
    assert_continuous(&sent[1..], 4);
}
