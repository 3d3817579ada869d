//! Pages of the change feed.
//!
//! A page is bounded by its events, by the bytes of their documents and by the events that filters pass over; its
//! cursor goes past everything looked at, so that following it never repeats and never skips an event.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::log::{ChangeLog, Referenced, References};
use super::record::LoggedEvent;
use super::subscription::{Subscription, outgoing};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_ITEMS};
use crate::types::names::ObjectName;
use crate::types::{CdcEvent, ChangeContext, Sequence, StorageTier, Timestamp};

/// Events that one page may look at: bounds the work of a filter that matches nothing.
const PAGE_MAX_SCANNED: usize = 100_000;

/// Which events a reader wants.
#[derive(Clone, Debug)]
pub struct FeedFilter {
    /// Only events after this sequence.
    pub after: Sequence,
    /// At most so many events.
    pub limit: usize,
    /// At most so many bytes of documents, but one event at least.
    pub max_bytes: usize,
    /// Which events, and how they are told.
    pub subscription: Subscription,
}

impl FeedFilter {
    /// What a subscription wants after a sequence, as a page.
    pub fn page(subscription: Subscription, after: Sequence) -> Self {
        Self { after, limit: PAGE_MAX_ITEMS, max_bytes: PAGE_MAX_BYTES, subscription }
    }

    /// Whether an event passes.
    pub fn wants(&self, event: &CdcEvent) -> bool {
        self.subscription.wants(event)
    }

    /// Whether events of a collection can pass.
    pub fn wants_collection(&self, name: &str) -> bool {
        self.subscription.wants_collection(name)
    }
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// The events, in the order of their sequence.
    pub events: Vec<CdcEvent>,
    /// The last sequence looked at: where the next page starts.
    pub sequence: Sequence,
    /// The commit time there; 0 when nothing was ever logged.
    pub timestamp: Timestamp,
    /// Whether there are events after the cursor.
    pub has_more: bool,
}

/// Collects a page from events in order.
pub struct PageBuilder<'f> {
    filter: &'f FeedFilter,
    page: FeedPage,
    bytes: usize,
    scanned: usize,
}

impl<'f> PageBuilder<'f> {
    /// An empty page of an object's feed.
    pub fn new(filter: &'f FeedFilter) -> Self {
        let page = FeedPage { events: Vec::new(), sequence: filter.after, timestamp: 0, has_more: false };
        Self { filter, page, bytes: 0, scanned: 0 }
    }

    /// Looks at the next event; breaks when the page is full, and then `event` is not in it.
    pub fn push(&mut self, event: CdcEvent) -> Result<ControlFlow<()>> {
        let full = self.page.events.len() >= self.filter.limit
            || (self.bytes > self.filter.max_bytes && !self.page.events.is_empty())
            || self.scanned >= PAGE_MAX_SCANNED;
        if full {
            self.page.has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        self.scanned += 1;
        self.page.sequence = event.sequence;
        self.page.timestamp = event.timestamp;
        if self.filter.wants(&event) {
            let event = outgoing(event, &self.filter.subscription)?;
            let images = [&event.before, &event.after].into_iter().flatten().map(String::len);
            self.bytes = self.bytes.saturating_add(images.fold(0, usize::saturating_add));
            self.page.events.push(event);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Notes that everything up to `sequence` was looked at, though not all of it through [`push`](Self::push).
    pub fn advance(&mut self, sequence: Sequence) {
        self.page.sequence = self.page.sequence.max(sequence);
    }

    /// The page. `last_timestamp` is the log's, for a page that looked at nothing.
    pub fn finish(mut self, last_timestamp: Timestamp) -> FeedPage {
        if self.scanned == 0 {
            self.page.timestamp = last_timestamp;
        }
        self.page
    }
}

/// Reads a page from the hot log, which must still hold what comes after `filter.after`.
pub fn read_page(
    log: &ChangeLog,
    name: &ObjectName,
    documents: &dyn Referenced,
    filter: &FeedFilter,
) -> Result<FeedPage> {
    let namespace = event_namespace(name);
    let mut builder = PageBuilder::new(filter);
    let references = References { documents, dropped: true };
    log.read(filter.after, Sequence::MAX, references, &mut |event| builder.push(event.into_event(namespace)))?;
    Ok(builder.finish(log.last_timestamp()?))
}

/// A reader's position must be one that the object has reached.
pub fn check_position(log: &ChangeLog, after: Sequence) -> Result<()> {
    let last = log.last_sequence()?;
    if after <= last {
        return Ok(());
    }
    Err(StorageError::new(
        ErrorKind::Precondition,
        StorageTier::Hot,
        "read change feed",
        format!("expected a position up to sequence {last}, the last one of this object, got {after}"),
    ))
}

/// The UUID namespace of an object's events.
pub fn event_namespace(name: &ObjectName) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("thermocline:{}", name.path()).as_bytes())
}

/// The id of the event at a sequence (RFC 9562, version 5): the same for every reading of it.
pub fn event_id(namespace: Uuid, sequence: Sequence) -> Uuid {
    Uuid::new_v5(&namespace, sequence.to_string().as_bytes())
}

impl LoggedEvent {
    /// The event as readers are told it, but for what follows from its images.
    pub fn into_event(self, namespace: Uuid) -> CdcEvent {
        CdcEvent {
            id: event_id(namespace, self.sequence),
            operation: self.operation,
            collection: self.collection.to_string(),
            document_id: self.document_id,
            timestamp: self.timestamp,
            sequence: self.sequence,
            before: self.before.map(|image| image.text),
            after: self.after,
            changed_fields: None,
            context: ChangeContext { access: None, ..self.context.as_ref().clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_depend_on_the_object_and_the_sequence_alone() {
        let one = event_namespace(&ObjectName::new("demo", "1").unwrap());
        let two = event_namespace(&ObjectName::new("demo", "2").unwrap());
        assert_eq!(event_id(one, 5), event_id(one, 5));
        assert_ne!(event_id(one, 5), event_id(one, 6));
        assert_ne!(event_id(one, 5), event_id(two, 5));
        assert_eq!(event_id(one, 1).get_version_num(), 5);
    }
}
