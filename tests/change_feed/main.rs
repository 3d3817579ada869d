//! Following the change feed: consumers, streams, sockets, a queue, and all of them against what happened (R4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod consumers;
mod proof;
mod queue;
mod reader;
mod sockets;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use std::rc::Rc;

use support::Object;
use thermocline::config::StorageConfig;
use thermocline::ports::Ports;
use thermocline::ports::native::World;

const HOUR_MS: i64 = 3_600_000;

/// An instance without a bucket, whose log is kept for a day.
fn without_bucket(world: &World) -> Object {
    let config = StorageConfig::parse(r#"{"cdc":{"maxAgeDays":1}}"#).unwrap();
    Object::configured(Ports { objects: None, ..world.ports() }, config)
}

/// Four documents, 30 hours apart: the first two have left a log that is kept for a day.
fn four_over_days(world: &World, object: &Object) {
    for round in 0..4 {
        object.ok("PUT", &format!("/collections/movies/docs/m{round}"), "{}");
        world.clock.advance(30 * HOUR_MS);
    }
}

/// An empty world.
fn world(seed: u64) -> Rc<World> {
    Rc::new(World::new(seed).unwrap())
}
