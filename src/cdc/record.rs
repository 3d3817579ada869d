//! The bytes of one record of the change log, versions 1 and 2.
//!
//! A transaction is one record, or several when it is long; each is complete in itself. Little-endian throughout.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic `TCLR` |
//! | 4 | 2 | version: 1, or 2 where it is known what access it was |
//! | 6 | 2 | flags: bit 0 the record refers to rows instead of holding events, bit 1 it refers to a segment; others 0 |
//! | 8 | 8 | xxh64 (seed 0) of every byte from offset 16 on |
//! | 16 | 8 | first sequence |
//! | 24 | 8 | commit time, Unix ms |
//! | 32 | 4 | number of events: the record covers that many sequences |
//! | 36 | | source: text |
//! | | | correlation id: text |
//! | | | version 2 only: who: text, empty where nobody has to say; what: text |
//! | | 2 | number of collections, then for each its number (8) and name (text) |
//! | | | the events, or the reference |
//!
//! A *text* is a length (4) and as many bytes of UTF-8. An event is
//! `operation (1: 0 insert, 1 update, 2 delete), index into the collections (2), document id (text)`, then, unless it is an
//! insert, the image before: `sequence (8), commit time (8), document (text)`, then, unless it is a delete, the document
//! after (text). A reference to rows is `life (8)`: every document of that life of the one collection listed was
//! deleted, in the order of ids. A reference to a segment is told in [`super::segment_events`].

use std::io::Read;
use std::rc::Rc;

use byteorder::{LittleEndian, ReadBytesExt};
use xxhash_rust::xxh64::xxh64;

use super::segment_events::SegmentEvents;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Access, ChangeContext, CollectionId, Document, Operation, Sequence, StorageTier, Timestamp};

const MAGIC: [u8; 4] = *b"TCLR";
const VERSION: u16 = 1;
/// With who did what.
const VERSION_ACCESS: u16 = 2;
const FLAG_ROWS: u16 = 1;
pub(super) const FLAG_SEGMENT: u16 = 2;
/// Offset from which the checksum covers the record.
const CHECKED_FROM: usize = 16;

/// A version of a document that an event replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its version.
    pub sequence: Sequence,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Its JSON text.
    pub text: String,
}

impl From<Document> for Image {
    fn from(document: Document) -> Self {
        Self { sequence: document.sequence, timestamp: document.timestamp, text: document.text }
    }
}

/// A change to be logged.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The collection's number and name.
    pub collection: (CollectionId, &'a Rc<str>),
    /// The document's id.
    pub document_id: &'a str,
    /// The version that was there.
    pub before: Option<&'a Image>,
    /// The version that is there now.
    pub after: Option<&'a str>,
}

/// Documents that a record refers to instead of holding their events: all of a collection that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowsReference {
    /// The collection's number.
    pub collection: CollectionId,
    /// Its life: which of the collections of that number, one after the other.
    pub life: i64,
}

/// A segment that a record refers to instead of holding the documents that it inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentReference {
    /// The collection's number.
    pub collection: CollectionId,
    /// The segment's number.
    pub segment: i64,
}

/// An event read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Position in the log.
    pub sequence: Sequence,
    /// Commit time, Unix ms.
    pub timestamp: Timestamp,
    /// What was done.
    pub operation: Operation,
    /// The collection's number.
    pub collection_id: CollectionId,
    /// The collection's name.
    pub collection: Rc<str>,
    /// The document's id.
    pub document_id: String,
    /// The version before.
    pub before: Option<Image>,
    /// The JSON text after.
    pub after: Option<String>,
    /// Who caused it.
    pub context: Rc<ChangeContext>,
}

/// Builds one record.
#[derive(Debug)]
pub struct RecordWriter {
    first: Sequence,
    timestamp: Timestamp,
    context: ChangeContext,
    collections: Vec<(CollectionId, Rc<str>)>,
    events: Vec<u8>,
    count: u32,
}

impl RecordWriter {
    /// A record whose first event has the sequence `first`.
    pub fn new(first: Sequence, timestamp: Timestamp, context: ChangeContext) -> Self {
        Self { first, timestamp, context, collections: Vec::new(), events: Vec::new(), count: 0 }
    }

    /// Events so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the events so far.
    pub fn event_bytes(&self) -> usize {
        self.events.len()
    }

    /// Adds the next event; what it did follows from which images it has.
    pub fn push(&mut self, change: &Change<'_>) -> Result<()> {
        let operation: u8 = match (change.before, change.after) {
            (None, Some(_)) => 0,
            (Some(_), Some(_)) => 1,
            (Some(_), None) => 2,
            (None, None) => return Err(internal("expected a change to have an image, got none")),
        };
        let index = self.collection_index(change.collection)?;
        self.events.push(operation);
        self.events.extend_from_slice(&index.to_le_bytes());
        put_text(&mut self.events, change.document_id)?;
        if let Some(before) = change.before {
            self.events.extend_from_slice(&before.sequence.to_le_bytes());
            self.events.extend_from_slice(&before.timestamp.to_le_bytes());
            put_text(&mut self.events, &before.text)?;
        }
        if let Some(after) = change.after {
            put_text(&mut self.events, after)?;
        }
        self.count =
            self.count.checked_add(1).ok_or_else(|| internal("expected at most 2^32 - 1 events in a record"))?;
        Ok(())
    }

    fn collection_index(&mut self, (id, name): (CollectionId, &Rc<str>)) -> Result<u16> {
        let found = self.collections.iter().position(|(known, _)| *known == id);
        let index = found.unwrap_or(self.collections.len());
        if found.is_none() {
            self.collections.push((id, Rc::clone(name)));
        }
        u16::try_from(index).map_err(|_| internal("expected at most 65,536 collections in a record"))
    }

    /// The record's bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        seal(0, self.first, self.timestamp, self.count, &self.context, &self.collections, &self.events)
    }
}

/// The bytes of a record that says: all `count` documents of a collection's life were deleted.
pub fn reference_record(
    first: Sequence,
    timestamp: Timestamp,
    context: &ChangeContext,
    (collection, name): (CollectionId, &Rc<str>),
    life: i64,
    count: u32,
) -> Result<Vec<u8>> {
    let collections = [(collection, Rc::clone(name))];
    seal(FLAG_ROWS, first, timestamp, count, context, &collections, &life.to_le_bytes())
}

pub(super) fn seal(
    flags: u16,
    first: Sequence,
    timestamp: Timestamp,
    count: u32,
    context: &ChangeContext,
    collections: &[(CollectionId, Rc<str>)],
    events: &[u8],
) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(events.len().saturating_add(128));
    body.extend_from_slice(&first.to_le_bytes());
    body.extend_from_slice(&timestamp.to_le_bytes());
    body.extend_from_slice(&count.to_le_bytes());
    put_text(&mut body, context.source.as_deref().unwrap_or_default())?;
    put_text(&mut body, context.correlation_id.as_deref().unwrap_or_default())?;
    if let Some(access) = &context.access {
        put_text(&mut body, access.principal.as_deref().unwrap_or_default())?;
        put_text(&mut body, &access.action)?;
    }
    let number =
        u16::try_from(collections.len()).map_err(|_| internal("expected at most 65,535 collections in a record"))?;
    body.extend_from_slice(&number.to_le_bytes());
    for (id, name) in collections {
        body.extend_from_slice(&id.to_le_bytes());
        put_text(&mut body, name)?;
    }
    body.extend_from_slice(events);

    let mut record = Vec::with_capacity(body.len().saturating_add(CHECKED_FROM));
    record.extend_from_slice(&MAGIC);
    let version = if context.access.is_some() { VERSION_ACCESS } else { VERSION };
    record.extend_from_slice(&version.to_le_bytes());
    record.extend_from_slice(&flags.to_le_bytes());
    record.extend_from_slice(&xxh64(&body, 0).to_le_bytes());
    record.append(&mut body);
    Ok(record)
}

/// What a record holds.
#[derive(Debug)]
pub enum Body<'r> {
    /// Events, to be read one by one.
    Events(EventReader<'r>),
    /// Deleted documents to be read where they were.
    Rows {
        /// Which documents.
        reference: RowsReference,
        /// The collection's name.
        collection: Rc<str>,
    },
    /// Documents that went straight to a segment, with what the segment does not tell of their events.
    Segment {
        /// Which segment.
        reference: SegmentReference,
        /// The collection's name.
        collection: Rc<str>,
        /// The rest.
        inline: SegmentEvents<'r>,
    },
}

/// The fixed part at the start of a record, which even the first of several rows holds. It is not checked.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Sequence of the first event.
    pub first: Sequence,
    /// Commit time, Unix ms.
    pub timestamp: Timestamp,
}

impl Header {
    /// Reads the start of a record.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes.get(CHECKED_FROM..).unwrap_or_default();
        let first = rest.read_i64::<LittleEndian>().map_err(truncated)?;
        let timestamp = rest.read_i64::<LittleEndian>().map_err(truncated)?;
        Ok(Self { first, timestamp })
    }
}

/// A record that has been checked.
#[derive(Debug)]
pub struct Record<'r> {
    /// Sequence of its first event.
    pub first: Sequence,
    /// Commit time, Unix ms.
    pub timestamp: Timestamp,
    /// How many sequences it covers.
    pub count: u32,
    /// Who caused the changes.
    pub context: Rc<ChangeContext>,
    /// The events.
    pub body: Body<'r>,
}

impl<'r> Record<'r> {
    /// Reads and checks a record. Bytes that are not exactly one record of a known version are an error.
    pub fn read(bytes: &'r [u8]) -> Result<Self> {
        let mut rest = bytes;
        let mut magic = [0; 4];
        rest.read_exact(&mut magic).map_err(truncated)?;
        if magic != MAGIC {
            return Err(corrupt(format!("expected the magic {MAGIC:02x?}, got {magic:02x?}")));
        }
        let version = rest.read_u16::<LittleEndian>().map_err(truncated)?;
        if !matches!(version, VERSION | VERSION_ACCESS) {
            return Err(corrupt(format!(
                "expected version {VERSION} or {VERSION_ACCESS}, got {version}; a newer program wrote this object"
            )));
        }
        let flags = rest.read_u16::<LittleEndian>().map_err(truncated)?;
        let checksum = rest.read_u64::<LittleEndian>().map_err(truncated)?;
        if checksum != xxh64(rest, 0) {
            return Err(corrupt("expected the checksum to match, got other bytes".to_owned()));
        }
        let first = rest.read_i64::<LittleEndian>().map_err(truncated)?;
        let timestamp = rest.read_i64::<LittleEndian>().map_err(truncated)?;
        let count = rest.read_u32::<LittleEndian>().map_err(truncated)?;
        let source = take_text(&mut rest)?;
        let correlation_id = take_text(&mut rest)?;
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let access = match version {
            VERSION_ACCESS => {
                let principal = present(take_text(&mut rest)?);
                Some(Access { principal, action: take_text(&mut rest)?.to_owned() })
            }
            _ => None,
        };
        let context =
            Rc::new(ChangeContext { source: present(source), correlation_id: present(correlation_id), access });
        let mut collections = Vec::new();
        for _ in 0..rest.read_u16::<LittleEndian>().map_err(truncated)? {
            let id = rest.read_i64::<LittleEndian>().map_err(truncated)?;
            collections.push((id, Rc::from(take_text(&mut rest)?)));
        }
        let body = match flags {
            0 => Body::Events(EventReader {
                rest,
                next: first,
                left: count,
                timestamp,
                context: Rc::clone(&context),
                collections,
            }),
            FLAG_ROWS => read_rows(rest, &collections)?,
            FLAG_SEGMENT => read_segment(rest, &collections, first, count)?,
            other => return Err(corrupt(format!("expected known flags, got {other:#06x}"))),
        };
        Ok(Self { first, timestamp, count, context, body })
    }
}

impl Record<'_> {
    /// The names of the collections that the record lists.
    pub fn collection_names(&self) -> Vec<String> {
        match &self.body {
            Body::Events(events) => events.collections.iter().map(|(_, name)| name.to_string()).collect(),
            Body::Rows { collection, .. } | Body::Segment { collection, .. } => vec![collection.to_string()],
        }
    }

    /// The collections that the record lists.
    pub fn collection_ids(&self) -> Vec<CollectionId> {
        match &self.body {
            Body::Events(events) => events.collections.iter().map(|(id, _)| *id).collect(),
            Body::Rows { reference, .. } => vec![reference.collection],
            Body::Segment { reference, .. } => vec![reference.collection],
        }
    }
}

fn read_rows<'r>(mut rest: &[u8], collections: &[(CollectionId, Rc<str>)]) -> Result<Body<'r>> {
    let life = rest.read_i64::<LittleEndian>().map_err(truncated)?;
    match (collections, rest) {
        ([(collection, name)], []) => {
            Ok(Body::Rows { reference: RowsReference { collection: *collection, life }, collection: Rc::clone(name) })
        }
        _ => Err(corrupt("expected a reference to rows of one collection and nothing after it".to_owned())),
    }
}

fn read_segment<'r>(
    mut rest: &'r [u8],
    collections: &[(CollectionId, Rc<str>)],
    first: Sequence,
    count: u32,
) -> Result<Body<'r>> {
    let [(collection, name)] = collections else {
        return Err(corrupt("expected a reference to a segment of one collection".to_owned()));
    };
    let segment = rest.read_i64::<LittleEndian>().map_err(truncated)?;
    Ok(Body::Segment {
        reference: SegmentReference { collection: *collection, segment },
        collection: Rc::clone(name),
        inline: SegmentEvents::new(rest, first, count)?,
    })
}

/// Reads a record's events one by one.
#[derive(Debug)]
pub struct EventReader<'r> {
    rest: &'r [u8],
    next: Sequence,
    left: u32,
    timestamp: Timestamp,
    context: Rc<ChangeContext>,
    collections: Vec<(CollectionId, Rc<str>)>,
}

impl EventReader<'_> {
    /// The next event with a sequence above `after`; `None` at the end. Images of events skipped are not copied.
    pub fn next_event(&mut self, after: Sequence) -> Result<Option<LoggedEvent>> {
        while self.left > 0 {
            self.left -= 1;
            let sequence = self.next;
            self.next = sequence.saturating_add(1);
            let code = self.rest.read_u8().map_err(truncated)?;
            let index = self.rest.read_u16::<LittleEndian>().map_err(truncated)?;
            let document_id = take_text(&mut self.rest)?;
            let before = if code == 0 { None } else { Some(take_image(&mut self.rest)?) };
            let after_text = if code == 2 { None } else { Some(take_text(&mut self.rest)?) };
            if sequence <= after {
                continue;
            }
            let operation = match code {
                0 => Operation::Insert,
                1 => Operation::Update,
                2 => Operation::Delete,
                other => return Err(corrupt(format!("expected an operation from 0 to 2, got {other}"))),
            };
            let (collection_id, collection) = self.collections.get(usize::from(index)).ok_or_else(|| {
                corrupt(format!("expected a collection index below {}, got {index}", self.collections.len()))
            })?;
            return Ok(Some(LoggedEvent {
                sequence,
                timestamp: self.timestamp,
                operation,
                collection_id: *collection_id,
                collection: Rc::clone(collection),
                document_id: document_id.to_owned(),
                before: before.map(|(sequence, timestamp, text)| Image { sequence, timestamp, text: text.to_owned() }),
                after: after_text.map(str::to_owned),
                context: Rc::clone(&self.context),
            }));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        Err(corrupt(format!("expected the record to end after its events, got {} bytes more", self.rest.len())))
    }
}

pub(super) fn take_image<'r>(rest: &mut &'r [u8]) -> Result<(Sequence, Timestamp, &'r str)> {
    let sequence = rest.read_i64::<LittleEndian>().map_err(truncated)?;
    let timestamp = rest.read_i64::<LittleEndian>().map_err(truncated)?;
    Ok((sequence, timestamp, take_text(rest)?))
}

pub(super) fn take_text<'r>(rest: &mut &'r [u8]) -> Result<&'r str> {
    let length = rest.read_u32::<LittleEndian>().map_err(truncated)?;
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (text, after) =
        split.ok_or_else(|| corrupt(format!("expected a text of {length} bytes, got {} left", rest.len())))?;
    *rest = after;
    std::str::from_utf8(text).map_err(|error| corrupt("expected UTF-8".to_owned()).caused_by(error))
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let length = u32::try_from(text.len()).map_err(|_| internal("expected a text below 4 GiB"))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn truncated(error: std::io::Error) -> StorageError {
    corrupt("expected more bytes, got the end of the record".to_owned()).caused_by(error)
}

pub(super) fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read change log", message)
}

pub(super) fn internal(message: &str) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "write change log", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        sample_of(None)
    }

    fn sample_of(access: Option<Access>) -> Vec<u8> {
        let context = ChangeContext { correlation_id: Some("c-1".to_owned()), access, ..ChangeContext::default() };
        let mut writer = RecordWriter::new(7, 1_700_000_000_000, context);
        let (movies, people): (Rc<str>, Rc<str>) = ("movies".into(), "people".into());
        let before = Image { sequence: 3, timestamp: 1_600_000_000_000, text: r#"{"id":"é"}"#.to_owned() };
        let change = |collection, document_id, before, after| Change { collection, document_id, before, after };
        writer.push(&change((1, &movies), "a", None, Some(r#"{"id":"a"}"#))).unwrap();
        writer.push(&change((2, &people), "é", Some(&before), Some(r#"{"id":"é","n":1.0}"#))).unwrap();
        writer.push(&change((1, &movies), "a", Some(&before), None)).unwrap();
        writer.finish().unwrap()
    }

    fn events(bytes: &[u8], after: Sequence) -> Result<Vec<LoggedEvent>> {
        let mut events = Vec::new();
        if let Body::Events(mut reader) = Record::read(bytes)?.body {
            while let Some(event) = reader.next_event(after)? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn what_was_written_is_read() {
        let read = events(&sample(), 0).unwrap();
        let seen: Vec<_> = read
            .iter()
            .map(|event| (event.sequence, event.operation, event.collection.as_ref(), event.document_id.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (7, Operation::Insert, "movies", "a"),
                (8, Operation::Update, "people", "é"),
                (9, Operation::Delete, "movies", "a")
            ]
        );
        assert_eq!(read[1].before.as_ref().unwrap().sequence, 3);
        assert_eq!(read[1].after.as_deref(), Some(r#"{"id":"é","n":1.0}"#));
        assert_eq!(read[2].context.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(events(&sample(), 8).unwrap().len(), 1);
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let golden = include_bytes!("../../tests/golden/change-log-record-v1.bin");
        assert_eq!(sample(), golden, "version 1 must be written as it always was");
        assert_eq!(events(golden, 0).unwrap().len(), 3);
    }

    #[test]
    fn the_bytes_with_an_access_are_those_of_version_2() {
        let golden = include_bytes!("../../tests/golden/change-log-record-v2.bin");
        let access = Access { principal: Some("ann".to_owned()), action: "POST batch".to_owned() };
        assert_eq!(sample_of(Some(access.clone())), golden, "version 2 must be written as it always was");
        let record = Record::read(golden).unwrap();
        assert_eq!(record.context.access, Some(access));
        let entry = record.into_access().unwrap().unwrap();
        assert_eq!((entry.principal.as_deref(), entry.action.as_str()), (Some("ann"), "POST batch"));
        assert_eq!(
            (entry.collections, entry.events, entry.sequence),
            (vec!["movies".into(), "people".into()], Some(3), Some(7))
        );
        let plain = |bytes: &[u8]| -> Vec<LoggedEvent> {
            let read = events(bytes, 0).unwrap().into_iter();
            read.map(|event| LoggedEvent { context: Rc::default(), ..event }).collect()
        };
        assert_eq!(plain(golden), plain(&sample()), "the events are the same");
        for length in 0..golden.len() {
            assert!(events(&golden[..length], 0).is_err(), "truncated to {length}");
        }
        let nobody = Access { principal: None, action: "PUT document".to_owned() };
        let bytes = sample_of(Some(nobody.clone()));
        assert_eq!(Record::read(&bytes).unwrap().context.access, Some(nobody));
    }

    #[test]
    fn a_reference_is_read_back() {
        let name: Rc<str> = "movies".into();
        let bytes = reference_record(5, 9, &ChangeContext::default(), (4, &name), 2, 10).unwrap();
        let record = Record::read(&bytes).unwrap();
        assert_eq!((record.first, record.count, record.timestamp), (5, 10, 9));
        assert!(matches!(record.body, Body::Rows { reference: RowsReference { collection: 4, life: 2 }, .. }));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let good = sample();
        for length in 0..good.len() {
            assert!(events(&good[..length], 0).is_err(), "truncated to {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(events(&bad, 0).is_err(), "bit {bit}");
        }
    }
}
