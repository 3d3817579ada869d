//! Values that a registry keeps for a time: by class, never past it, removed by the alarm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::Value;
use support::{Object, header, parsed, request_to};
use thermocline::http::message::Response;
use thermocline::ports::native::{World, run};

const REGISTRY: &str = "/v1/registry/acme";

fn send(object: &Object, method: &str, path: &str, media_type: &str, body: &[u8]) -> Response {
    let headers: &[(&str, &str)] = if media_type.is_empty() { &[] } else { &[("content-type", media_type)] };
    run(object.service.handle(request_to(REGISTRY, method, path, headers, body))).done().expect("the request ends")
}

fn put(object: &Object, path: &str, value: &str) {
    let answer = send(object, "PUT", path, "text/plain", value.as_bytes());
    assert_eq!(answer.status, 204, "{path}: {:?}", answer.body);
}

fn get(object: &Object, path: &str) -> Option<String> {
    let answer = send(object, "GET", path, "", b"");
    match answer.status {
        200 => Some(String::from_utf8(answer.body.bytes().to_vec()).unwrap()),
        404 => None,
        other => panic!("{path}: {other} {:?}", answer.body),
    }
}

fn rows(world: &World) -> i64 {
    let found = world.ports().sql.query("SELECT count(*) FROM temporary_values", &[]).unwrap();
    thermocline::ports::expect_integer(found[0].first()).unwrap()
}

#[test]
fn a_value_is_kept_for_as_long_as_its_class_says() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    for (class, secs) in [("cache", 3_600), ("session", 1_800), ("temporary", 300)] {
        let path = format!("/temp/k?class={class}");
        put(&object, &path, class);
        world.clock.advance(secs * 1_000 - 1);
        let answer = send(&object, "GET", &path, "", b"");
        assert_eq!((answer.status, answer.body.bytes()), (200, class.as_bytes()));
        assert_eq!(header(&answer, "age"), (secs - 1).to_string());
        assert_eq!(header(&answer, "content-type"), "text/plain");
        assert!(header(&answer, "expires").ends_with(" GMT"));
        world.clock.advance(1);
        assert_eq!(get(&object, &path), None, "{class}");
    }
    put(&object, "/temp/k", "one");
    put(&object, "/temp/k?class=session&ttlSecs=1", "two");
    assert_eq!(
        [get(&object, "/temp/k?class=temporary"), get(&object, "/temp/k?class=session")],
        [Some("one".into()), Some("two".into())]
    );
    world.clock.advance(1_000);
    assert_eq!([get(&object, "/temp/k"), get(&object, "/temp/k?class=session")], [Some("one".into()), None]);
    put(&object, "/temp/k", "three");
    assert_eq!(get(&object, "/temp/k").as_deref(), Some("three"));
    assert_eq!(send(&object, "DELETE", "/temp/k", "", b"").status, 204);
    assert_eq!(send(&object, "DELETE", "/temp/k", "", b"").status, 404);
    assert_eq!(get(&object, "/temp/k"), None);
    assert_eq!(object.service.engine().last_sequence().unwrap(), 0, "none is an event");
}

#[test]
fn a_value_is_one_row_and_of_any_kind_up_to_a_megabyte() {
    let object = Object::wake(&World::new(1).unwrap());
    put(&object, "/temp/first", "");
    assert_eq!(get(&object, "/temp/first").as_deref(), Some(""));
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let before = object.service.engine().counters().rows_written;
    assert_eq!(send(&object, "PUT", "/temp/large%2Fkey", "", &large).status, 204);
    assert_eq!(object.service.engine().counters().rows_written - before, 1);
    let answer = send(&object, "GET", "/temp/large%2Fkey", "", b"");
    assert!(answer.body.bytes() == large && header(&answer, "content-type") == "application/octet-stream");
    let before = object.service.engine().counters().rows_written;
    for (path, media_type, bytes, status) in [
        ("/temp/k", "", vec![0; 1_000_001], 413),
        ("/temp/k?class=document", "", vec![0], 400),
        ("/temp/k?ttlSecs=0", "", vec![0], 400),
        ("/temp/k?ttlSecs=7201", "", vec![0], 400),
        ("/temp/k?class=cache&ttlSecs=86401", "", vec![0], 400),
        ("/temp/k?other=1", "", vec![0], 400),
        ("/temp/%00", "", vec![0], 422),
    ] {
        let answer = send(&object, "PUT", path, media_type, &bytes);
        assert_eq!(answer.status, status, "{path}: {}", parsed(&answer)["detail"]);
    }
    assert_eq!(send(&object, "PUT", "/temp/k", &"x".repeat(256), b"x").status, 415);
    assert_eq!(object.service.engine().counters().rows_written, before);
    let elsewhere = run(object.service.handle(request_to("/v1/demo/1", "GET", "/temp/k", &[], ""))).done().unwrap();
    assert_eq!(elsewhere.status, 404);
}

#[test]
fn lifetimes_are_as_configured() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"warm":{"cacheTtlSecs":2,"sessionTtlSecs":3,"temporaryTtlSecs":1}}"#);
    for (class, secs) in [("cache", 2), ("session", 3), ("temporary", 1)] {
        let path = format!("/temp/k?class={class}");
        put(&object, &path, "v");
        world.clock.advance(secs * 1_000 - 1);
        assert!(get(&object, &path).is_some(), "{class}");
        world.clock.advance(1);
        assert_eq!(get(&object, &path), None, "{class}");
    }
}

#[test]
fn the_alarm_removes_what_has_passed_and_nothing_else() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    for number in 0..250 {
        put(&object, &format!("/temp/short-{number}?ttlSecs=1"), "v");
    }
    put(&object, "/temp/long?ttlSecs=7200", "stays");
    assert_eq!(rows(&world), 251);
    // The instance goes; the next one knows of no value.
    drop(object);
    let object = Object::wake(&world);
    world.clock.advance(60_000);
    assert_eq!(get(&object, "/temp/short-3"), None);
    for _ in 0..4 {
        run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
        world.clock.advance(60_000);
    }
    assert_eq!(rows(&world), 1);
    assert_eq!(get(&object, "/temp/long").as_deref(), Some("stays"));
    // It is set for the one that is left, and no sooner.
    let due = run(world.ports().alarm.due_ms()).done().unwrap().unwrap().expect("an alarm is set");
    assert!(due > world.ports().clock.now_ms() + 3_600_000, "{due}");
    world.clock.set(due);
    run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    assert_eq!(rows(&world), 0);
    assert_eq!(get(&object, "/temp/long"), None::<String>);
    let metrics: Value = parsed(&send(&object, "GET", "/metrics", "", b""));
    assert_eq!(metrics["hot"]["errors"], 0);
}
