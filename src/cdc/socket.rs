//! What a socket that follows the feed is sent, and what it may say. Pure: frames and messages in, decisions out.
//!
//! All of it is in the text attached to the socket, version 1, so that nothing is lost or told twice when the object was
//! not in memory. At most a window of bytes is on its way without being acknowledged; an event that is larger goes alone.
//! What is on its way is remembered in pieces, not frame by frame, so that the attachment stays small: a piece counts
//! until all of it is acknowledged.

use serde::{Deserialize, Serialize};

use super::envelope::Frame;
use super::subscription::{Format, Subscription};
use crate::config::Masking;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{CDC_FRAME_MAX_BYTES, CDC_MESSAGE_MAX_BYTES, CDC_SOCKET_WINDOW_BYTES, SOCKET_ATTACHMENT_MAX_BYTES};
use crate::ports::SocketMessage;
use crate::types::{Masks, Operation, Sequence, StorageTier, Timestamp, Viewer};

const VERSION: u8 = 1;
/// Frames are taken together up to this many bytes.
const PIECE_BYTES: usize = CDC_SOCKET_WINDOW_BYTES / 8;
/// No two neighbours fit one piece, so there are at most so many.
const PIECES_MAX: usize = 2 * 8 + 1;
/// A client is told its position after so many events that it did not ask for.
const PASSED_OVER_MAX: i64 = 1_000;
/// Messages without progress, one after the other, that are taken for a flood.
const IDLE_MESSAGES_MAX: u32 = 64;

/// Codes of RFC 6455, and the problem statuses as codes of our own.
const UNSUPPORTED: u16 = 1003;
const NOT_A_MESSAGE: u16 = 1007;
const AGAINST_THE_RULES: u16 = 1008;
const TOO_BIG: u16 = 1009;
/// Something failed here; the client may come again.
pub const FAILED: u16 = 1011;

/// Why a socket is closed. The reason has at most 123 bytes, as the protocol wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The code.
    pub code: u16,
    /// What was expected, and what was got.
    pub reason: String,
}

impl Closing {
    /// With a reason that is cut where it is too long.
    pub fn new(code: u16, reason: &str) -> Self {
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        Self { code, reason: reason.get(..end).unwrap_or_default().to_owned() }
    }
}

/// What to do with the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send it.
    Send,
    /// It tells nothing that is worth sending.
    PassOver,
    /// Wait until more is acknowledged.
    Wait,
}

/// Who reads from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Whose eyes it is for.
    pub viewer: Viewer,
    /// When the token ends that it was opened with, Unix ms; `None` where there was none.
    pub ends_at: Option<Timestamp>,
}

/// A socket's subscription, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// What it wants.
    pub subscription: Subscription,
    /// Who reads.
    reader: Reader,
    /// Everything up to here was sent, or passed over.
    sent: Sequence,
    /// The cursor of the last frame.
    told: Sequence,
    acknowledged: Sequence,
    /// Ends of what is on its way, and its bytes.
    pieces: Vec<(Sequence, usize)>,
    idle_messages: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<Vec<u8>>,
    d: bool,
    f: u8,
    s: Sequence,
    t: Sequence,
    a: Sequence,
    w: Vec<(Sequence, usize)>,
    n: u32,
    #[serde(default, skip_serializing_if = "is_nobody")]
    r: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_nobody(viewer: &u8) -> bool {
    *viewer == Viewer::NOBODY.number()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    ack: Sequence,
}

impl Subscriber {
    /// One that begins after a sequence. Refused when it is too long to be attached to a socket.
    pub fn new(subscription: Subscription, after: Sequence, reader: Reader) -> Result<Self> {
        let made = Self {
            subscription,
            reader,
            sent: after,
            told: after,
            acknowledged: after,
            pieces: Vec::new(),
            idle_messages: 0,
        };
        let far = Sequence::MAX;
        let pieces = vec![(far, CDC_SOCKET_WINDOW_BYTES); PIECES_MAX];
        let largest = Self { sent: far, told: far, acknowledged: far, pieces, idle_messages: u32::MAX, ..made.clone() };
        let length = largest.to_text()?.len();
        // The platform adds a few bytes of its own.
        if length.saturating_add(32) <= SOCKET_ATTACHMENT_MAX_BYTES {
            return Ok(made);
        }
        let message = "expected a filter that fits what a WebSocket carries, got a longer one; name fewer collections";
        Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "follow change feed", message))
    }

    /// Whether the token that it was opened with has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.reader.ends_at.is_some_and(|end| end <= now)
    }

    /// Everything up to here was sent.
    pub fn sent(&self) -> Sequence {
        self.sent
    }

    /// Bytes that may be sent now.
    pub fn room(&self) -> usize {
        let under_way = self.pieces.iter().fold(0_usize, |sum, (_, bytes)| sum.saturating_add(*bytes));
        CDC_SOCKET_WINDOW_BYTES.saturating_sub(under_way)
    }

    /// Whether any frame may be sent now: as many bytes as one has, or whatever it is when nothing is on its way.
    pub fn has_room(&self) -> bool {
        self.pieces.is_empty() || self.room() >= CDC_FRAME_MAX_BYTES
    }

    /// Decides on the frame after what was sent, and notes what comes of it.
    pub fn next(&mut self, frame: &Frame) -> Next {
        let passed_over = frame.sequence.saturating_sub(self.told);
        if frame.events == 0 && passed_over < PASSED_OVER_MAX {
            self.sent = self.sent.max(frame.sequence);
            return Next::PassOver;
        }
        let length = frame.text.len();
        if !self.pieces.is_empty() && length > self.room() {
            return Next::Wait;
        }
        (self.sent, self.told) = (frame.sequence, frame.sequence);
        match self.pieces.last_mut() {
            Some((end, bytes)) if bytes.saturating_add(length) <= PIECE_BYTES => {
                (*end, *bytes) = (frame.sequence, bytes.saturating_add(length));
            }
            _ => self.pieces.push((frame.sequence, length)),
        }
        Next::Send
    }

    /// Takes a message.
    pub fn receive(&mut self, message: SocketMessage<'_>) -> std::result::Result<(), Closing> {
        let text = match message {
            SocketMessage::Text(text) if text.len() > CDC_MESSAGE_MAX_BYTES => return Err(too_big(text.len())),
            SocketMessage::Text(text) => text,
            SocketMessage::Bytes(_) => return Err(Closing::new(UNSUPPORTED, "expected text, got bytes")),
        };
        // serde's derived structs take arrays, too.
        let object = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
        let Some(Acknowledgement { ack }) = object else {
            return Err(Closing::new(NOT_A_MESSAGE, "expected {\"ack\": <sequence>}, got something else"));
        };
        if ack < 0 || ack > self.sent {
            let reason = format!("expected an ack up to {}, the last sequence sent, got {ack}", self.sent);
            return Err(Closing::new(AGAINST_THE_RULES, &reason));
        }
        if ack > self.acknowledged {
            self.acknowledged = ack;
            self.idle_messages = 0;
            self.pieces.retain(|(end, _)| *end > ack);
            return Ok(());
        }
        self.idle_messages = self.idle_messages.saturating_add(1);
        if self.idle_messages > IDLE_MESSAGES_MAX {
            return Err(Closing::new(AGAINST_THE_RULES, "expected acks that go forward, got too many that do not"));
        }
        Ok(())
    }

    /// The text to attach.
    pub fn to_text(&self) -> Result<String> {
        let stored = Stored {
            v: VERSION,
            c: self.subscription.collections.clone(),
            o: self.subscription.operations.as_ref().map(|list| list.iter().map(|one| number(*one)).collect()),
            d: self.subscription.documents,
            f: match self.subscription.format {
                Format::Native => 0,
                Format::Debezium => 1,
                Format::CloudEvents => 2,
            },
            s: self.sent,
            t: self.told,
            a: self.acknowledged,
            w: self.pieces.clone(),
            n: self.idle_messages,
            r: self.reader.viewer.number(),
            e: self.reader.ends_at,
        };
        serde_json::to_string(&stored).map_err(|error| unreadable().caused_by(error))
    }

    /// Reads a text that was attached. One that does not say who reads is of somebody without any role.
    pub fn from_text(text: &str, masking: &Masking) -> Result<Self> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| unreadable().caused_by(error))?;
        let format = match stored.f {
            0 => Format::Native,
            1 => Format::Debezium,
            2 => Format::CloudEvents,
            _ => return Err(unreadable()),
        };
        if stored.v != VERSION {
            return Err(unreadable());
        }
        let operations = match stored.o {
            None => None,
            Some(numbers) => Some(numbers.into_iter().map(operation).collect::<Result<_>>()?),
        };
        let reader = Reader { viewer: Viewer::of_roles(stored.r), ends_at: stored.e };
        let masks = Masks::of(masking, reader.viewer);
        let subscription = Subscription { collections: stored.c, operations, documents: stored.d, format, masks };
        Ok(Self {
            subscription,
            reader,
            sent: stored.s,
            told: stored.t,
            acknowledged: stored.a,
            pieces: stored.w,
            idle_messages: stored.n,
        })
    }
}

fn number(operation: Operation) -> u8 {
    match operation {
        Operation::Insert => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    }
}

fn operation(number: u8) -> Result<Operation> {
    match number {
        0 => Ok(Operation::Insert),
        1 => Ok(Operation::Update),
        2 => Ok(Operation::Delete),
        _ => Err(unreadable()),
    }
}

fn too_big(length: usize) -> Closing {
    Closing::new(TOO_BIG, &format!("expected a message of at most {CDC_MESSAGE_MAX_BYTES} bytes, got {length}"))
}

fn unreadable() -> StorageError {
    let message = "expected what was attached to a socket, of version 1, got something else; connect again";
    StorageError::new(ErrorKind::Corrupt, StorageTier::Api, "follow change feed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Reader = Reader { viewer: Viewer::NOBODY, ends_at: None };

    fn read(text: &str) -> Result<Subscriber> {
        Subscriber::from_text(text, &Masking::default())
    }

    #[test]
    fn who_reads_and_until_when_is_kept() {
        let reader = Reader { viewer: Viewer::of_roles(3), ends_at: Some(1_790_000_000_000) };
        let made = Subscriber::new(Subscription::default(), 10, reader).unwrap();
        let golden = r#"{"v":1,"d":true,"f":0,"s":10,"t":10,"a":10,"w":[],"n":0,"r":3,"e":1790000000000}"#;
        assert_eq!(made.to_text().unwrap(), golden);
        assert_eq!(read(golden).unwrap(), made);
        assert!(made.has_ended(1_790_000_000_000) && !made.has_ended(1_789_999_999_999));
        let rules = r#"{"security":{"dataMasking":{"rules":[{"collection":"*","path":"x","show":["writer"]}]}}}"#;
        let masking = crate::config::StorageConfig::parse(rules).unwrap().security.data_masking;
        let masked = |text: &str| !Subscriber::from_text(text, &masking).unwrap().subscription.masks.is_empty();
        assert!(!masked(golden));
        assert!(masked(&golden.replace("\"r\":3", "\"r\":1")), "a reader who is no writer");
        assert!(masked(&golden.replace(",\"r\":3", "")), "one of whom nothing is known");
    }

    fn frame(sequence: Sequence, events: usize, bytes: usize) -> Frame {
        Frame { text: "x".repeat(bytes), sequence, events, has_more: false }
    }

    fn subscriber() -> Subscriber {
        Subscriber::new(Subscription::default(), 10, NOBODY).unwrap()
    }

    fn ack(subscriber: &mut Subscriber, sequence: Sequence) -> std::result::Result<(), Closing> {
        subscriber.receive(SocketMessage::Text(&format!("{{\"ack\": {sequence}}}")))
    }

    #[test]
    fn the_text_is_that_of_version_1_and_is_read_back() {
        let subscription = Subscription {
            collections: Some(vec!["a".to_owned(), "b_1".to_owned()]),
            operations: Some(vec![Operation::Insert, Operation::Delete]),
            documents: false,
            format: Format::CloudEvents,
            ..Subscription::default()
        };
        let mut made = Subscriber::new(subscription, 3, NOBODY).unwrap();
        assert_eq!(made.next(&frame(7, 2, 500)), Next::Send);
        let golden = r#"{"v":1,"c":["a","b_1"],"o":[0,2],"d":false,"f":2,"s":7,"t":7,"a":3,"w":[[7,500]],"n":0}"#;
        assert_eq!(made.to_text().unwrap(), golden);
        assert_eq!(read(golden).unwrap(), made);
        for end in 0..golden.len() {
            assert!(read(golden.get(..end).unwrap()).is_err());
        }
        for broken in
            [golden.replace("\"v\":1", "\"v\":2"), golden.replace("\"f\":2", "\"f\":3"), golden.replace("[0,2]", "[3]")]
        {
            assert!(read(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_window_of_bytes_is_on_its_way_and_no_more() {
        let mut one = subscriber();
        let mut sent = 10;
        while one.next(&frame(sent + 1, 1, 100_000)) == Next::Send {
            sent += 1;
        }
        assert_eq!(sent, 20, "10 times 100,000 bytes are within the window, 11 are not");
        assert_eq!(one.sent(), 20);
        ack(&mut one, 11).unwrap();
        assert_eq!(one.next(&frame(21, 1, 100_000)), Next::Send);
        ack(&mut one, 21).unwrap();
        assert_eq!(one.room(), CDC_SOCKET_WINDOW_BYTES);
        assert_eq!(one.next(&frame(22, 1, 3_000_000)), Next::Send, "an event that is larger goes alone");
        assert_eq!(one.next(&frame(23, 1, 10)), Next::Wait);
        ack(&mut one, 22).unwrap();
        assert_eq!(one.next(&frame(23, 1, 10)), Next::Send);
    }

    #[test]
    fn many_small_frames_stay_within_the_attachment() {
        let collections = Some((0..15).map(|n| format!("{n:a<63}")).collect());
        let mut one =
            Subscriber::new(Subscription { collections, ..Subscription::default() }, i64::MAX - 100_000, NOBODY)
                .unwrap();
        let mut sequence = one.sent();
        for round in 0..20_000_usize {
            sequence += 1;
            if one.next(&frame(sequence, 1, 1 + round * 7_919 % 9_000)) == Next::Wait {
                let upto = one.pieces.first().unwrap().0;
                ack(&mut one, upto).unwrap();
                sequence -= 1;
            }
            assert!(one.pieces.len() <= PIECES_MAX);
            assert!(one.to_text().unwrap().len() <= SOCKET_ATTACHMENT_MAX_BYTES);
        }
        let too_many = Some((0..40).map(|n| format!("{n:a<63}")).collect());
        let refused =
            Subscriber::new(Subscription { collections: too_many, ..Subscription::default() }, 0, NOBODY).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn what_is_passed_over_is_told_now_and_then() {
        let mut one = subscriber();
        assert_eq!(one.next(&frame(500, 0, 50)), Next::PassOver);
        assert_eq!(one.sent(), 500);
        assert_eq!(one.next(&frame(1_009, 0, 50)), Next::PassOver);
        assert_eq!(one.next(&frame(1_010, 0, 50)), Next::Send);
        assert_eq!(one.next(&frame(1_011, 0, 50)), Next::PassOver);
    }

    #[test]
    fn bad_messages_close_with_a_code() {
        let mut one = subscriber();
        one.next(&frame(12, 2, 10));
        let mut code = |message| one.receive(message).unwrap_err().code;
        assert_eq!(code(SocketMessage::Bytes(3)), 1003);
        for text in [
            "",
            "{",
            "null",
            "[1]",
            "{}",
            "{\"ack\":\"1\"}",
            "{\"ack\":1.5}",
            "{\"ack\":1,\"more\":1}",
            "{\"ack\":99999999999999999999}",
        ] {
            assert_eq!(code(SocketMessage::Text(text)), 1007, "{text}");
        }
        assert_eq!(code(SocketMessage::Text("{\"ack\":13}")), 1008);
        assert_eq!(code(SocketMessage::Text("{\"ack\":-1}")), 1008);
        assert_eq!(code(SocketMessage::Text(&" ".repeat(4_097))), 1009);
        for _ in 0..IDLE_MESSAGES_MAX {
            ack(&mut one, 10).unwrap();
        }
        assert_eq!(ack(&mut one, 10).unwrap_err().code, 1008, "a flood");
        let mut going_on = subscriber();
        for sequence in 11..1_000 {
            going_on.next(&frame(sequence, 1, 10));
            ack(&mut going_on, sequence).unwrap();
        }
    }

    #[test]
    fn reasons_are_short() {
        let closing = Closing::new(1011, &"ü".repeat(100));
        assert_eq!(closing.reason.len(), 122);
    }
}
