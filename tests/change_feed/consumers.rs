//! Consumers that fall behind: what is kept for them, and where.

use serde_json::json;

use crate::support::Object;
use crate::support::archive::settle;
use crate::{HOUR_MS, four_over_days, without_bucket, world};

fn put(object: &Object, name: &str, sequence: i64) -> (u16, serde_json::Value) {
    object.json("PUT", &format!("/cdc/consumers/{name}"), &json!({ "sequence": sequence }).to_string())
}

#[test]
fn who_falls_behind_the_log_has_lagged_and_is_told_the_oldest_sequence() {
    let world = world(1);
    let object = without_bucket(&world);
    object.ok("PUT", "/collections/movies/docs/first", "{}");
    assert_eq!(put(&object, "slow", 1).0, 201);
    world.clock.advance(30 * HOUR_MS);
    four_over_days(&world, &object);
    let (status, problem) = object.get("/cdc?consumer=slow");
    assert_eq!(status, 410, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("from sequence 2 on, because 3 is the oldest that is kept, got 1"), "{detail}");
    let state = object.ok("GET", "/cdc/consumers/slow", "");
    assert_eq!((&state["lagged"], &state["oldestSequence"], &state["sequence"]), (&json!(true), &json!(3), &json!(1)));
    assert_eq!(object.ok("GET", "/cdc/consumers", "")["items"], json!([state]));
    assert_eq!(put(&object, "slow", 0).0, 410, "a position whose events are gone");
    assert_eq!(put(&object, "other", 0).0, 410);
    let (status, state) = put(&object, "slow", 2);
    assert_eq!((status, &state["lagged"]), (200, &json!(false)));
    let events = object.ok("GET", "/cdc?consumer=slow", "")["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 3);
}

#[test]
fn a_consumer_whose_events_are_archived_has_not_lagged_and_is_served_from_there() {
    let world = world(2);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/movies/docs/first", "{}");
    assert_eq!(put(&object, "slow", 0).0, 201);
    for round in 0..4 {
        let object = Object::wake(&world);
        object.ok("PUT", &format!("/collections/movies/docs/m{round}"), "{}");
        world.clock.advance(30 * HOUR_MS);
        settle(&world);
    }
    let object = Object::wake(&world);
    assert!(object.service.engine().oldest_position().unwrap() == 0, "nothing has expired");
    let state = object.ok("GET", "/cdc/consumers/slow", "");
    assert_eq!((&state["lagged"], &state["oldestSequence"], &state["pending"]), (&json!(false), &json!(1), &json!(5)));
    assert_eq!(object.ok("GET", "/cdc?consumer=slow&limit=2", "")["events"][0]["sequence"], 1);
    assert_eq!(put(&object, "slow", 2).0, 200);
    assert_eq!(put(&object, "slow", 1).0, 200, "back to what is archived");
}
