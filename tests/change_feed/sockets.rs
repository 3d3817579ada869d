//! Sockets whose other end fails, sleeps or falls behind: no event is lost to one or told twice.

use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use serde_json::json;
use thermocline::engine::Engine;
use thermocline::ports::SocketMessage;
use thermocline::ports::native::{join_seeded, run, yield_now};

use crate::reader::{acknowledge, assert_continuous, events_of, frames, open_socket, pump};
use crate::support::Object;
use crate::support::archive::settle;
use crate::{HOUR_MS, four_over_days, without_bucket, world};

fn write(object: &Object, count: usize, bytes: usize) {
    for n in 0..count {
        object.ok("PUT", &format!("/collections/a/docs/d{n}"), &json!({ "text": "x".repeat(bytes) }).to_string());
    }
}

#[test]
fn what_a_socket_got_is_known_to_the_next_instance() {
    let world = world(1);
    let object = Object::wake(&world);
    let socket = open_socket(&world, &object, "").unwrap();
    let mut events = Vec::new();
    for round in 0..30 {
        let object = Object::wake(&world);
        write(&object, 1 + round % 3, 10);
        pump(&object);
        let frames = frames(&socket);
        events.extend(events_of(&frames));
        if round % 4 == 0 {
            let last = frames.last().unwrap()["cursor"]["sequence"].as_i64().unwrap();
            acknowledge(&Object::wake(&world), &socket, last);
        }
        // A wake without news tells nothing again.
        pump(&Object::wake(&world));
    }
    assert_eq!(events.len(), 60);
    assert_continuous(&events, 1);
}

#[test]
fn a_socket_that_fails_is_closed_and_the_others_go_on() {
    let world = world(2);
    let object = Object::wake(&world);
    let sockets: Vec<_> = (0..3).map(|_| open_socket(&world, &object, "").unwrap()).collect();
    sockets[0].broken.set(true);
    sockets[1].cannot_attach.set(true);
    write(&object, 3, 10);
    pump(&object);
    assert!(frames(&sockets[0]).is_empty());
    assert_eq!(sockets[0].closed().unwrap().0, 1011);
    // What cannot be noted as sent ends the socket: it would be sent again otherwise.
    assert_eq!(events_of(&frames(&sockets[1])).len(), 3);
    assert_eq!(sockets[1].closed().unwrap().0, 1011);
    assert_eq!(events_of(&frames(&sockets[2])).len(), 3);
    assert_eq!(sockets[2].closed(), None);
    write(&object, 2, 10);
    pump(&object);
    assert_continuous(&events_of(&frames(&sockets[2])), 4);
}

#[test]
fn an_object_that_sleeps_with_open_sockets_goes_as_a_whole() {
    let world = world(9);
    let object = Object::wake(&world);
    let socket = open_socket(&world, &object, "").unwrap();
    write(&object, 2, 10);
    let engine = Rc::downgrade(&object.service.engine());
    let mut following = Box::pin(Engine::follow_sockets(Weak::clone(&engine)));
    assert!(run(following.as_mut()).done().is_none(), "it waits for more");
    assert_eq!(events_of(&frames(&socket)).len(), 2);
    drop(object);
    assert!(engine.upgrade().is_none(), "what waits does not keep the object");
}

#[test]
fn a_socket_that_does_not_acknowledge_costs_nothing_more() {
    let world = world(10);
    let object = Object::wake(&world);
    let socket = open_socket(&world, &object, "").unwrap();
    write(&object, 20, 100_000);
    pump(&object);
    let sent = socket.take().iter().map(String::len).sum::<usize>();
    assert!((750_000..=1_048_576).contains(&sent), "{sent} bytes");
    for _ in 0..5 {
        write(&object, 1, 100_000);
        let before = object.service.engine().counters().rows_read;
        pump(&object);
        let read = object.service.engine().counters().rows_read - before;
        assert!(read <= 2, "{read} rows read");
        assert!(socket.take().is_empty());
    }
}

#[test]
fn a_socket_that_has_seen_more_than_there_is_is_closed() {
    let world = world(11);
    let object = Object::wake(&world);
    write(&object, 2, 10);
    let socket = open_socket(&world, &object, "").unwrap();
    pump(&object);
    let attached = thermocline::ports::Socket::attachment(&socket).unwrap().unwrap();
    thermocline::ports::Socket::attach(&socket, &attached.replace("\"s\":2", "\"s\":9")).unwrap();
    write(&object, 1, 10);
    pump(&object);
    assert_eq!(socket.closed().unwrap().0, 4412);
}

#[test]
fn a_slow_socket_gets_a_window_and_goes_on_with_each_acknowledgement() {
    let world = world(3);
    let object = Object::wake(&world);
    let socket = open_socket(&world, &object, "").unwrap();
    write(&object, 40, 100_000);
    let mut events = Vec::new();
    let mut rounds = 0;
    while events.len() < 40 {
        pump(&object);
        let text: Vec<String> = socket.take();
        let bytes: usize = text.iter().map(String::len).sum();
        assert!(bytes > 0 && bytes <= 1024 * 1024, "{bytes} bytes on their way");
        let frames: Vec<serde_json::Value> = text.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect();
        events.extend(events_of(&frames));
        pump(&object);
        assert!(socket.take().is_empty(), "nothing more before it is acknowledged");
        acknowledge(&object, &socket, frames.last().unwrap()["cursor"]["sequence"].as_i64().unwrap());
        rounds += 1;
    }
    assert!(rounds >= 4, "{rounds}");
    assert_continuous(&events, 1);
}

#[test]
fn acknowledgements_and_writes_that_interleave_with_a_pump_lose_and_repeat_nothing() {
    for seed in 0..40 {
        let world = world(seed);
        let object = Object::wake(&world);
        write(&object, 5, 20);
        world.clock.advance(HOUR_MS);
        settle(&world);
        let object = Object::wake(&world);
        let socket = open_socket(&world, &object, "").unwrap();
        let engine = object.service.engine();
        let pumping = |_| -> Pin<Box<dyn Future<Output = ()> + '_>> {
            Box::pin(async {
                for _ in 0..6 {
                    engine.pump_sockets().await.unwrap();
                    yield_now().await;
                }
            })
        };
        let mut futures: Vec<_> = (0..2).map(pumping).collect();
        futures.push(Box::pin(async {
            for n in 0..6 {
                write(&object, 1 + n % 2, 150_000);
                yield_now().await;
                engine.socket_message(&socket, SocketMessage::Text(r#"{"ack":0}"#));
            }
        }));
        join_seeded(seed, futures);
        let last = engine.last_sequence().unwrap();
        let mut events = events_of(&frames(&socket));
        while let Some(told) =
            events.last().map(|event| event["sequence"].as_i64().unwrap()).filter(|told| *told < last)
        {
            acknowledge(&object, &socket, told);
            pump(&object);
            events.extend(events_of(&frames(&socket)));
        }
        assert_eq!(socket.closed(), None);
        assert_eq!(i64::try_from(events.len()).unwrap(), last, "seed {seed}");
        assert_continuous(&events, 1);
    }
}

#[test]
fn a_socket_that_falls_behind_the_log_is_closed_and_told_why() {
    let world = world(4);
    let object = without_bucket(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let socket = open_socket(&world, &object, "").unwrap();
    world.clock.advance(30 * HOUR_MS);
    four_over_days(&world, &object);
    pump(&object);
    let (code, reason) = socket.closed().unwrap();
    assert_eq!(code, 4410);
    assert!(reason.starts_with("expected a position from sequence"), "{reason}");
    assert_eq!(open_socket(&world, &object, "?after=0").unwrap_err().status, 410);
}

#[test]
fn at_most_a_thousand_sockets() {
    let world = world(5);
    let object = Object::wake(&world);
    write(&object, 1, 10);
    let sockets: Vec<_> = (0..1_000).map(|_| open_socket(&world, &object, "?after=now").unwrap()).collect();
    assert_eq!(open_socket(&world, &object, "").unwrap_err().status, 429);
    write(&object, 1, 10);
    pump(&object);
    for socket in &sockets {
        assert_continuous(&events_of(&frames(socket)), 2);
    }
}

#[test]
fn what_is_attached_and_is_none_of_ours_closes() {
    let world = world(6);
    let object = Object::wake(&world);
    let strange = world.sockets.accept("something else");
    let fine = open_socket(&world, &object, "").unwrap();
    write(&object, 1, 10);
    pump(&object);
    assert_eq!(strange.closed().unwrap().0, 1011);
    assert_eq!(events_of(&frames(&fine)).len(), 1);
}
