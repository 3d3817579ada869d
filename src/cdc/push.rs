//! Events as messages of a queue.
//!
//! A message is an event in this project's own form; its `id` is the same whenever it is sent, so that who takes it can
//! tell that it came twice. One that is larger than a message may be goes without its documents, and says so.

use super::envelope;
use super::feed::FeedPage;
use super::subscription::Format;
use crate::error::Result;
use crate::limits::{QUEUE_BATCH_MAX_BYTES, QUEUE_BATCH_MAX_MESSAGES, QUEUE_MESSAGE_MAX_BYTES};
use crate::types::names::ObjectName;
use crate::types::{CdcEvent, Sequence};

/// Messages that are sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<String>,
    /// All events up to here are in this batch or in one before it.
    pub through: Sequence,
}

/// The first events of a page, as many as fit one batch.
pub fn batch(page: &FeedPage, object: &ObjectName) -> Result<Batch> {
    let mut batch = Batch { messages: Vec::new(), through: page.sequence };
    let mut bytes = 0_usize;
    let mut before = None;
    for event in &page.events {
        let message = message(event, object)?;
        bytes = bytes.saturating_add(message.len());
        let full = batch.messages.len() >= QUEUE_BATCH_MAX_MESSAGES || bytes > QUEUE_BATCH_MAX_BYTES;
        if let Some(before) = before
            && full
        {
            batch.through = before;
            return Ok(batch);
        }
        batch.messages.push(message);
        before = Some(event.sequence);
    }
    Ok(batch)
}

/// What is sent in place of events that are kept no longer.
pub fn gap(after: Sequence, through: Sequence) -> String {
    format!("{{\"gap\":{{\"after\":{after},\"through\":{through}}}}}")
}

fn message(event: &CdcEvent, object: &ObjectName) -> Result<String> {
    let mut text = String::new();
    envelope::write(event, Format::Native, object, &mut text)?;
    if text.len() <= QUEUE_MESSAGE_MAX_BYTES {
        return Ok(text);
    }
    text.clear();
    let bare = CdcEvent { before: None, after: None, changed_fields: None, ..event.clone() };
    envelope::write(&bare, Format::Native, object, &mut text)?;
    text.pop();
    text.push_str(",\"documentsOmitted\":true}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::types::{ChangeContext, Operation};

    fn event(sequence: Sequence, bytes: usize) -> CdcEvent {
        CdcEvent {
            id: Uuid::from_u128(u128::from(sequence.unsigned_abs())),
            operation: Operation::Insert,
            collection: "a".to_owned(),
            document_id: "x".to_owned(),
            timestamp: 5,
            sequence,
            before: None,
            after: Some(format!(r#"{{"id":"x","t":"{}"}}"#, "y".repeat(bytes))),
            changed_fields: None,
            context: ChangeContext::default(),
        }
    }

    fn batch_of(events: Vec<CdcEvent>) -> Batch {
        let page = FeedPage { sequence: 999, timestamp: 5, has_more: false, events };
        batch(&page, &ObjectName::new("demo", "1").unwrap()).unwrap()
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_bytes_and_tells_how_far_it_goes() {
        let many = batch_of((1..=150).map(|sequence| event(sequence, 10)).collect());
        assert_eq!((many.messages.len(), many.through), (100, 100));
        let large = batch_of((1..=5).map(|sequence| event(sequence, 100_000)).collect());
        assert_eq!((large.messages.len(), large.through), (2, 2));
        let few = batch_of(vec![event(1, 10), event(3, 10)]);
        assert_eq!((few.messages.len(), few.through), (2, 999));
        assert_eq!(batch_of(Vec::new()), Batch { messages: Vec::new(), through: 999 });
    }

    #[test]
    fn an_event_that_is_too_large_goes_without_documents_and_says_so() {
        let sent = batch_of(vec![event(1, 500_000)]);
        let expected = r#"{"id":"00000000-0000-0000-0000-000000000001","operation":"INSERT","collection":"a","documentId":"x","timestamp":5,"sequence":1,"documentsOmitted":true}"#;
        assert_eq!(sent.messages, [expected]);
        assert_eq!(gap(3, 9), r#"{"gap":{"after":3,"through":9}}"#);
    }
}
