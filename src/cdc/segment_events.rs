//! What the record of a batch that went straight to a segment holds beside the reference.
//!
//! The record covers one sequence a mutation. A sequence that is told of here is what is told; every other one inserted the
//! document whose version in the segment it is. Little-endian, after the collections of the record:
//!
//! | size | what |
//! |---|---|
//! | 8 | number of the segment |
//! | 4 | number of events told here, then each: |
//! | 4 | its sequence less the record's first; ascending |
//! | 1 | bits 0 and 1: 0 insert, 1 update, 2 delete; bit 2: the document after is in the segment; others 0 |
//! | | document id: text |
//! | | unless an insert: the version before: sequence (8), commit time (8), document (text) |
//! | | unless a delete, or in the segment: the document after (text) |

use std::rc::Rc;

use byteorder::{LittleEndian, ReadBytesExt};

use super::record::{FLAG_SEGMENT, Image, corrupt, internal, put_text, seal, take_image, take_text, truncated};
use crate::error::Result;
use crate::types::{ChangeContext, CollectionId, Operation, Sequence, Timestamp};

const IN_SEGMENT: u8 = 4;

/// The document after an event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The segment has it.
    InSegment,
    /// This one, which a later event of the batch replaced or deleted.
    Text(Rc<str>),
    /// None: the event is a delete.
    Deleted,
}

/// An event of a batch that its segment alone does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineEvent {
    /// Its sequence.
    pub sequence: Sequence,
    /// The document's id.
    pub document_id: String,
    /// The version that was there.
    pub before: Option<Image>,
    /// What is there after it.
    pub after: After,
}

impl InlineEvent {
    /// What the event did.
    pub fn operation(&self) -> Operation {
        match (&self.before, &self.after) {
            (_, After::Deleted) => Operation::Delete,
            (Some(_), _) => Operation::Update,
            (None, _) => Operation::Insert,
        }
    }

    /// Bytes that it takes in a record, about.
    pub fn size(&self) -> usize {
        let after = if let After::Text(text) = &self.after { text.len() } else { 0 };
        self.document_id
            .len()
            .saturating_add(self.before.as_ref().map_or(0, |image| image.text.len()))
            .saturating_add(after)
    }
}

/// What a record of a batch covers.
pub struct SegmentRecord<'a> {
    /// The first sequence.
    pub first: Sequence,
    /// How many sequences.
    pub count: u32,
    /// The commit time.
    pub timestamp: Timestamp,
    /// Who caused the changes.
    pub context: &'a ChangeContext,
    /// The collection's number and name.
    pub collection: (CollectionId, &'a Rc<str>),
    /// The segment's number.
    pub segment: i64,
    /// The events that the segment does not tell, ascending.
    pub inline: &'a [InlineEvent],
}

impl SegmentRecord<'_> {
    /// The record's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.segment.to_le_bytes());
        let count = u32::try_from(self.inline.len()).map_err(|_| internal("expected at most 2^32 - 1 events"))?;
        body.extend_from_slice(&count.to_le_bytes());
        for event in self.inline {
            self.put_event(event, &mut body)?;
        }
        let (collection, name) = self.collection;
        let collections = [(collection, Rc::clone(name))];
        seal(FLAG_SEGMENT, self.first, self.timestamp, self.count, self.context, &collections, &body)
    }

    fn put_event(&self, event: &InlineEvent, body: &mut Vec<u8>) -> Result<()> {
        let offset = u32::try_from(event.sequence.saturating_sub(self.first))
            .map_err(|_| internal("expected an event of the record's sequences"))?;
        body.extend_from_slice(&offset.to_le_bytes());
        let code = match event.operation() {
            Operation::Insert => 0,
            Operation::Update => 1,
            Operation::Delete => 2,
        };
        body.push(if event.after == After::InSegment { code | IN_SEGMENT } else { code });
        put_text(body, &event.document_id)?;
        if let Some(before) = &event.before {
            body.extend_from_slice(&before.sequence.to_le_bytes());
            body.extend_from_slice(&before.timestamp.to_le_bytes());
            put_text(body, &before.text)?;
        }
        if let After::Text(text) = &event.after {
            put_text(body, text)?;
        }
        Ok(())
    }
}

/// Reads the events told in a record one by one.
#[derive(Debug)]
pub struct SegmentEvents<'r> {
    rest: &'r [u8],
    first: Sequence,
    left: u32,
    /// The least sequence that the next event may have, and the first after the record.
    next: Sequence,
    end: Sequence,
}

impl<'r> SegmentEvents<'r> {
    pub(super) fn new(mut rest: &'r [u8], first: Sequence, count: u32) -> Result<Self> {
        let left = rest.read_u32::<LittleEndian>().map_err(truncated)?;
        Ok(Self { rest, first, left, next: first, end: first.saturating_add(i64::from(count)) })
    }

    /// The next event; `None` at the end.
    pub fn next_event(&mut self) -> Result<Option<InlineEvent>> {
        if self.left == 0 {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(corrupt(format!("expected the record to end after its events, got {} bytes more", self.rest.len())))
            };
        }
        self.left -= 1;
        let sequence = self.first.saturating_add(i64::from(self.rest.read_u32::<LittleEndian>().map_err(truncated)?));
        if !(self.next..self.end).contains(&sequence) {
            return Err(corrupt(format!("expected a sequence from {} to {}, got {sequence}", self.next, self.end)));
        }
        self.next = sequence.saturating_add(1);
        let code = self.rest.read_u8().map_err(truncated)?;
        let document_id = take_text(&mut self.rest)?.to_owned();
        let (operation, in_segment) = (code & !IN_SEGMENT, code & IN_SEGMENT != 0);
        let before = match operation {
            0 => None,
            1 | 2 => {
                let (sequence, timestamp, text) = take_image(&mut self.rest)?;
                Some(Image { sequence, timestamp, text: text.to_owned() })
            }
            other => return Err(corrupt(format!("expected an operation from 0 to 2, got {other}"))),
        };
        let after = match (operation, in_segment) {
            (2, false) => After::Deleted,
            (2, true) => return Err(corrupt("expected no document after a delete, got one in the segment".to_owned())),
            (_, true) => After::InSegment,
            (_, false) => After::Text(take_text(&mut self.rest)?.into()),
        };
        Ok(Some(InlineEvent { sequence, document_id, before, after }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdc::record::{Body, Record, SegmentReference};

    fn sample_events() -> Vec<InlineEvent> {
        let image = Image { sequence: 3, timestamp: 1_600_000_000_000, text: r#"{"id":"é"}"#.to_owned() };
        vec![
            InlineEvent {
                sequence: 8,
                document_id: "é".to_owned(),
                before: Some(image.clone()),
                after: After::InSegment,
            },
            InlineEvent {
                sequence: 9,
                document_id: "b".to_owned(),
                before: None,
                after: After::Text(r#"{"id":"b"}"#.into()),
            },
            InlineEvent { sequence: 106, document_id: "b".to_owned(), before: Some(image), after: After::Deleted },
        ]
    }

    fn sample() -> Vec<u8> {
        let context = ChangeContext { correlation_id: Some("c-1".to_owned()), ..ChangeContext::default() };
        SegmentRecord {
            first: 7,
            count: 100,
            timestamp: 1_700_000_000_000,
            context: &context,
            collection: (4, &"movies".into()),
            segment: 12,
            inline: &sample_events(),
        }
        .to_bytes()
        .unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<InlineEvent>> {
        let record = Record::read(bytes)?;
        let Body::Segment { reference: SegmentReference { collection: 4, segment: 12 }, mut inline, .. } = record.body
        else {
            return Err(corrupt("another body".to_owned()));
        };
        let mut events = Vec::new();
        while let Some(event) = inline.next_event()? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&sample()).unwrap(), sample_events());
        let operations = sample_events().iter().map(InlineEvent::operation).collect::<Vec<_>>();
        assert_eq!(operations, [Operation::Update, Operation::Insert, Operation::Delete]);
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let golden = include_bytes!("../../tests/golden/change-log-record-segment-v1.bin");
        assert_eq!(sample(), golden, "version 1 must be written as it always was");
        assert_eq!(read(golden).unwrap(), sample_events());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let good = sample();
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "truncated to {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "bit {bit}");
        }
    }
}
