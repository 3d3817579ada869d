//! R4: readers that switch between pages, streams and sockets, over restarts and from the log to the archive, miss nothing
//! and get nothing twice; what they were told, from the first event on, is the state.
//!
//! `EVENTS` says how many at least, `SEED` from which number.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use thermocline::ports::native::{SplitMix64, World};

use crate::reader::{Stream, acknowledge, events_of, frames, open_socket};
use crate::support::Object;
use crate::support::archive::settle;

/// Events of a short run.
const EVENTS: i64 = 12_000;
const COLLECTIONS: [&str; 2] = ["a", "b"];
const MINUTE_MS: i64 = 60_000;

fn number_of(variable: &str) -> Option<i64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What a reader knows: everything it was told so far, put together.
#[derive(Default)]
struct Reader {
    position: i64,
    state: BTreeMap<(String, String), Value>,
}

impl Reader {
    fn take(&mut self, events: &[Value]) {
        for event in events {
            assert_eq!(event["sequence"].as_i64().unwrap(), self.position + 1, "no gap and no repeat");
            self.position += 1;
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            let key = (text("collection"), text("documentId"));
            let before = match event.get("after") {
                Some(after) => self.state.insert(key, after.clone()),
                None => self.state.remove(&key),
            };
            assert_eq!(
                before.as_ref(),
                event.get("before"),
                "the image before is what was told last: {}",
                self.position
            );
        }
    }
}

#[derive(Default)]
struct Tally {
    rounds: usize,
    restarts: usize,
    archivings: usize,
    reads: [usize; 3],
    events: [usize; 3],
    /// Reads that began before the hot log did.
    archived: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} restarts, {} archivings; reads by page, stream, socket: {:?}, events: {:?}; {} reads began in the archive",
            self.rounds, self.restarts, self.archivings, self.reads, self.events, self.archived
        )
    }
}

struct Play {
    world: World,
    object: Object,
    random: SplitMix64,
    tally: Tally,
    written: usize,
}

impl Play {
    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }

    fn restart(&mut self) {
        self.tally.restarts += 1;
        self.object = Object::wake(&self.world);
    }

    fn write(&mut self) {
        let collection = COLLECTIONS[self.below(2)];
        match self.below(8) {
            0..=3 => {
                let (first, count) = (self.below(3_000), 64 + self.below(1_500));
                let lines = (first..first + count).map(|n| {
                    self.written += 1;
                    json!({"id": format!("d{n:05}"), "n": self.written, "text": "x".repeat(n % 40)}).to_string()
                });
                let lines: Vec<_> = lines.collect();
                let path = format!("/collections/{collection}/import?mode=upsert");
                let headers = [("content-type", "application/x-ndjson")];
                assert_eq!(self.object.send("POST", &path, &headers, lines.join("\n")).status, 200);
            }
            4 | 5 => {
                for _ in 0..20 {
                    let n = self.below(5_000);
                    self.written += 1;
                    let document = json!({"n": self.written}).to_string();
                    self.object.ok("PUT", &format!("/collections/{collection}/docs/d{n:05}"), &document);
                }
            }
            6 => {
                for _ in 0..40 {
                    let n = self.below(5_000);
                    self.object.json("DELETE", &format!("/collections/{collection}/docs/d{n:05}"), "");
                }
            }
            _ if self.below(10) == 0 => {
                self.object.json("DELETE", &format!("/collections/{collection}"), "");
            }
            _ => {}
        }
    }

    /// Reads on in some way, for a while.
    fn read(&mut self, reader: &mut Reader) {
        let (way, length) = (self.below(3), 1 + self.below(6));
        let limit = 1 + self.below(1_000);
        if reader.position + 1 < self.first_hot() {
            self.tally.archived += 1;
        }
        let before = reader.position;
        match way {
            0 => self.pages(reader, length, limit),
            1 => self.stream(reader, length, limit),
            _ => self.socket(reader, length),
        }
        self.tally.reads[way] += 1;
        self.tally.events[way] += usize::try_from(reader.position - before).unwrap();
    }

    fn first_hot(&self) -> i64 {
        use thermocline::cdc::ChangeLog;
        ChangeLog::new(self.world.ports().sql).first_sequence().unwrap()
    }

    fn pages(&mut self, reader: &mut Reader, length: usize, limit: usize) {
        for _ in 0..length {
            let page = self.object.ok("GET", &format!("/cdc?after={}&limit={limit}", reader.position), "");
            reader.take(page["events"].as_array().unwrap());
            assert_eq!(page["cursor"]["sequence"], reader.position);
            if page["hasMore"] == false {
                return;
            }
        }
    }

    fn stream(&mut self, reader: &mut Reader, length: usize, limit: usize) {
        let query = format!("?limit={limit}");
        let mut stream = Stream::open(&self.object, &query, Some(reader.position)).ok().unwrap();
        for _ in 0..=length {
            let events: Vec<Value> = stream.next().unwrap().iter().filter_map(|block| block.data.clone()).collect();
            reader.take(&events);
        }
        assert_eq!(stream.last_id, Some(reader.position));
    }

    fn socket(&mut self, reader: &mut Reader, length: usize) {
        let socket = open_socket(&self.world, &self.object, &format!("?after={}", reader.position)).unwrap();
        for _ in 0..length {
            let pumped = thermocline::ports::native::run(self.object.service.engine().pump_sockets());
            pumped.done().unwrap().unwrap();
            let frames = frames(&socket);
            reader.take(&events_of(&frames));
            assert_eq!(socket.closed(), None);
            if self.below(3) > 0 && !frames.is_empty() {
                acknowledge(&self.object, &socket, reader.position);
            }
            if self.below(4) == 0 {
                self.restart();
            }
        }
        thermocline::ports::Socket::close(&socket, 1000, "");
    }

    fn state(&self) -> BTreeMap<(String, String), Value> {
        let of = |collection: &str| {
            let rows = self.object.rows(collection, r#"{"limit":1000}"#);
            let keyed =
                rows.into_iter().map(|row| ((collection.to_owned(), row["id"].as_str().unwrap().to_owned()), row));
            keyed.collect::<Vec<_>>()
        };
        COLLECTIONS.iter().flat_map(|collection| of(collection)).collect()
    }
}

#[test]
fn readers_that_switch_transports_over_restarts_and_archivings_miss_and_repeat_nothing() {
    let (events, seed) = (number_of("EVENTS").unwrap_or(EVENTS), number_of("SEED").unwrap_or(4));
    let world = World::new(u64::try_from(seed).unwrap()).unwrap();
    let object = Object::wake(&world);
    let random = SplitMix64::new(u64::try_from(seed).unwrap());
    let mut play = Play { world, object, random, tally: Tally::default(), written: 0 };
    let mut readers: Vec<Reader> = (0..3).map(|_| Reader::default()).collect();
    loop {
        play.tally.rounds += 1;
        play.write();
        let minutes = i64::try_from(play.below(40)).unwrap();
        play.world.clock.advance(minutes * MINUTE_MS);
        if play.below(4) == 0 {
            settle(&play.world);
            play.tally.archivings += 1;
            play.restart();
        }
        if play.below(5) == 0 {
            play.restart();
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            // The last one reads seldom, so that what it reads is archived and trimmed by then.
            if play.below(if number == 2 { 12 } else { 2 }) == 0 {
                play.read(reader);
            }
        }
        if play.object.service.engine().last_sequence().unwrap() >= events {
            break;
        }
    }
    play.restart();
    let last = play.object.service.engine().last_sequence().unwrap();
    let state = play.state();
    // One more replays everything from the first event on.
    readers.push(Reader::default());
    for (number, reader) in readers.iter_mut().enumerate() {
        while reader.position < last {
            play.read(reader);
        }
        assert_eq!(reader.position, last);
        assert!(reader.state == state, "reader {number} has put together the state");
    }
    assert!(play.tally.archived > 0, "some reads begin in the archive: {}", play.tally);
    println!("R4: {last} events, seed {seed}, {} readers: 0 gaps, 0 repeats; {}", readers.len(), play.tally);
}
