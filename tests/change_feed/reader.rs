//! Readers of a stream or a socket, as clients have them.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::http::message::{Body, Response};
use thermocline::ports::SocketMessage;
use thermocline::ports::native::{LocalSocket, World, run};

use crate::support::Object;

/// One block of a stream.
#[derive(Debug, Default, Clone)]
pub struct Block {
    pub id: Option<i64>,
    pub event: Option<String>,
    pub data: Option<Value>,
}

/// A stream of server-sent events.
pub struct Stream {
    response: Response,
    text: String,
    /// The last id that was told.
    pub last_id: Option<i64>,
}

impl Stream {
    /// Opens one; `Err` with the answer when it is refused.
    pub fn open(object: &Object, query: &str, last_id: Option<i64>) -> Result<Self, Response> {
        let id = last_id.map(|id| id.to_string());
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(id.as_deref().map(|id| ("last-event-id", id)));
        let response = object.send("GET", &format!("/cdc{query}"), &headers, "");
        if response.status == 200 { Ok(Self { response, text: String::new(), last_id }) } else { Err(response) }
    }

    /// The next chunk's blocks; `None` at the end.
    pub fn next(&mut self) -> Option<VecDeque<Block>> {
        let Body::Stream(source) = &mut self.response.body else { panic!("no stream") };
        let chunk = run(source.next_chunk()).done().expect("a chunk or an end").unwrap()?;
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        let mut blocks = VecDeque::new();
        while let Some(end) = self.text.find("\n\n") {
            let rest = self.text.split_off(end + 2);
            let block = block(self.text.trim_end());
            self.last_id = block.id.or(self.last_id);
            blocks.push_back(block);
            self.text = rest;
        }
        assert!(self.text.is_empty(), "a chunk ends with a block");
        Some(blocks)
    }
}

fn block(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => block.id = Some(id.parse().unwrap()),
            Some(("event", event)) => block.event = Some(event.to_owned()),
            Some(("data", data)) => block.data = Some(serde_json::from_str(data).unwrap()),
            _ => {}
        }
    }
    block
}

/// Opens a socket on an object; `Err` with the answer when it is refused.
pub fn open_socket(world: &World, object: &Object, query: &str) -> Result<Rc<LocalSocket>, Response> {
    let response = object.send("GET", &format!("/cdc{query}"), &[("upgrade", "websocket")], "");
    match &response.body {
        Body::Socket(attachment) => Ok(world.sockets.accept(attachment)),
        _ => Err(response),
    }
}

/// Takes the frames that a socket was sent.
pub fn frames(socket: &LocalSocket) -> Vec<Value> {
    socket.take().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The events of frames.
pub fn events_of(frames: &[Value]) -> Vec<Value> {
    frames.iter().flat_map(|frame| frame["events"].as_array().unwrap().clone()).collect()
}

/// Acknowledges, as a client does.
pub fn acknowledge(object: &Object, socket: &Rc<LocalSocket>, sequence: i64) {
    let text = json!({ "ack": sequence }).to_string();
    object.service.engine().socket_message(socket, SocketMessage::Text(&text));
}

/// Pumps until nothing more can be sent.
pub fn pump(object: &Object) {
    while run(object.service.engine().pump_sockets()).done().unwrap().unwrap().more {}
}

/// The events' sequences follow each other from `first` on.
pub fn assert_continuous(events: &[Value], first: i64) {
    for (expected, event) in (first..).zip(events) {
        assert_eq!(event["sequence"], expected);
    }
}
