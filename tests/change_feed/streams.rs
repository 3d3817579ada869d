//! Streams: their end, what breaks them off, and that they take memory by the page.

use std::task::{Context, Poll, Waker};

use serde_json::json;
use thermocline::http::message::Body;
use thermocline::ports::Clock;
use thermocline::ports::native::{Fault, FaultPlan, run};

use crate::reader::{Stream, assert_continuous};
use crate::support::Object;
use crate::{HOUR_MS, four_over_days, without_bucket, world};

#[test]
fn a_stream_ends_after_five_minutes_and_is_resumed_where_it_was() {
    let world = world(1);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let begun = world.ports().clock.now_ms();
    let mut stream = Stream::open(&object, "", None).unwrap();
    let mut heartbeats = 0;
    let mut events = Vec::new();
    while let Some(blocks) = stream.next() {
        events.extend(blocks.iter().filter_map(|block| block.data.clone()));
        heartbeats += 1;
        assert!(heartbeats < 100, "it ends");
    }
    let lasted = world.ports().clock.now_ms() - begun;
    assert!((300_000..316_000).contains(&lasted), "{lasted} ms");
    assert!(heartbeats >= 20, "{heartbeats}");
    assert_continuous(&events, 1);
    object.ok("PUT", "/collections/a/docs/y", "{}");
    let mut again = Stream::open(&object, "?after=-1", stream.last_id).unwrap();
    let events: Vec<_> = again.next().unwrap().iter().filter_map(|block| block.data.clone()).collect();
    assert_eq!(events.len(), 1);
    assert_continuous(&events, 2);
}

#[test]
fn a_stream_whose_next_events_are_gone_ends_with_the_problem() {
    let world = world(2);
    let object = without_bucket(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let mut stream = Stream::open(&object, "?limit=1", None).unwrap();
    stream.next().unwrap();
    world.clock.advance(30 * HOUR_MS);
    // It is not read while the log goes on without it, for less than its time by its own clock.
    four_over_days(&world, &object);
    world.clock.set(world.ports().clock.now_ms() - 150 * HOUR_MS);
    let blocks = stream.next().unwrap();
    assert_eq!(blocks[0].event.as_deref(), Some("error"));
    let problem = blocks[0].data.as_ref().unwrap();
    assert_eq!((&problem["status"], &problem["retryable"]), (&json!(410), &json!(false)));
    assert!(problem["detail"].as_str().unwrap().contains("is the oldest that is kept"), "{problem}");
    assert!(stream.next().is_none());
    let refused = Stream::open(&object, "?after=0", None).err().unwrap();
    assert_eq!(refused.status, 410, "before a stream begins it is the status");
}

#[test]
fn a_stream_brings_a_page_at_a_time() {
    let world = world(3);
    let object = Object::wake(&world);
    let text = "x".repeat(300_000);
    for n in 0..20 {
        object.ok("PUT", &format!("/collections/a/docs/d{n}"), &json!({ "text": text }).to_string());
    }
    let mut stream = Stream::open(&object, "", None).unwrap();
    let mut events = Vec::new();
    while events.len() < 20 {
        let blocks = stream.next().unwrap();
        let page: Vec<_> = blocks.iter().filter_map(|block| block.data.clone()).collect();
        assert!(page.len() <= 5, "{} events of 300 KB at once", page.len());
        events.extend(page);
    }
    assert_continuous(&events, 1);
}

#[test]
fn a_place_that_nobody_reads_from_is_given_to_who_asks() {
    let world = world(4);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let mut streams: Vec<_> = (0..100).map(|_| Stream::open(&object, "", None).unwrap()).collect();
    assert_eq!(Stream::open(&object, "", None).err().unwrap().status, 429);
    world.clock.advance(61_000);
    // One that is read stays, the others have their time.
    streams[0].next().unwrap();
    streams[0].next().unwrap();
    let another = Stream::open(&object, "", None);
    assert!(another.is_ok());
    let ended = streams.iter_mut().skip(1).take(1).all(|stream| {
        stream.next();
        stream.next().is_some_and(|blocks| blocks.iter().all(|block| block.data.is_none())) && stream.next().is_none()
    });
    assert!(ended, "the longest idle one ends");
    streams.truncate(50);
    assert!(Stream::open(&object, "", None).is_ok(), "places of readers that are gone are free");
}

#[test]
fn a_reader_of_events_that_fail_to_be_read_does_not_stop_a_write() {
    let mut met = 0;
    for call in 0.. {
        let world = world(5);
        let plan = FaultPlan::new();
        let object = Object::new(plan.wrap(&world.ports()));
        object.ok("PUT", "/collections/a/docs/x", "{}");
        let mut stream = Stream::open(&object, "", None).unwrap();
        stream.next().unwrap();
        for n in 0..50 {
            object.ok("PUT", "/collections/a/docs/x", &json!({ "n": n }).to_string());
        }
        plan.arm(plan.calls().len() + call, Fault::Fail);
        let blocks = stream.next().unwrap();
        if plan.unmet() > 0 {
            break;
        }
        met += 1;
        assert_eq!(blocks.len(), 1, "{call}");
        assert_eq!(blocks[0].event.as_deref(), Some("error"), "{call}");
        assert_eq!(blocks[0].data.as_ref().unwrap()["status"], 500, "{call}");
        assert!(stream.next().is_none(), "a stream that cannot go on ends");
        object.ok("PUT", "/collections/a/docs/x", r#"{"n":"after"}"#);
        let mut again = Stream::open(&object, "", stream.last_id).unwrap();
        let events: Vec<_> = again.next().unwrap().iter().filter_map(|block| block.data.clone()).collect();
        assert_eq!(events.len(), 51, "{call}: the client comes again and has missed nothing");
        assert_continuous(&events, 2);
    }
    assert!(met > 0, "a page is read by at least one call");
}

#[test]
fn a_stream_that_passes_over_all_that_is_written_still_beats_and_tells_how_far_it_is() {
    let world = world(6);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let accept = [("accept", "text/event-stream")];
    let mut response = object.send("GET", "/cdc?after=now&operations=DELETE", &accept, "");
    let Body::Stream(source) = &mut response.body else { panic!("no stream: {response:?}") };
    run(source.next_chunk()).done().unwrap().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    for beat in 1..4 {
        let begun = world.clock.now_ms();
        let mut chunk = source.next_chunk();
        let text = loop {
            // Every commit rings the bell, and none of them is wanted.
            match chunk.as_mut().poll(&mut context) {
                Poll::Ready(text) => break String::from_utf8(text.unwrap().unwrap()).unwrap(),
                Poll::Pending => {
                    assert!(world.clock.now_ms() - begun < 20_000, "the client would take it for dead");
                    world.clock.advance(4_000);
                    object.ok("PUT", "/collections/a/docs/x", &json!({ "at": begun }).to_string());
                }
            }
        };
        assert_eq!((text, world.clock.now_ms() - begun), (format!("id: {}\n\n", 1 + 4 * beat), 16_000));
    }
}
