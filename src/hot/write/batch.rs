//! A run that is long enough to become a segment at once.

use std::rc::Rc;

use super::versions::Documents;
use crate::cdc::{After, Appender, Change, Image, InlineEvent};
use crate::error::Result;
use crate::hot::segment::build::{BuiltSegment, NewRow};
use crate::hot::segment::{Origin, SEGMENT_MAX_ROWS, SEGMENT_MAX_TEXT_BYTES};
use crate::hot::{Collection, HotStore};

/// An event of a run whose documents may go to a segment.
pub(super) struct HeldEvent {
    pub document_id: Rc<str>,
    pub before: Option<Image>,
    pub after: Option<Rc<str>>,
}

/// A run whose mutations are all applied.
pub(super) struct Run<'r> {
    pub store: &'r HotStore,
    pub collection: &'r Collection,
    pub documents: Documents,
    pub events: Vec<HeldEvent>,
}

impl Run<'_> {
    /// Stores the documents and logs the events.
    pub fn store(self, appender: &mut Appender<'_>) -> Result<()> {
        let made = self.documents.made();
        let bytes = made.iter().map(|(_, made)| made.text.len()).fold(0, usize::saturating_add);
        let fits = made.len() <= SEGMENT_MAX_ROWS && bytes <= SEGMENT_MAX_TEXT_BYTES;
        if made.len() < self.store.config.direct_batch || !fits {
            return self.store_as_rows(appender);
        }
        let mut builder = self.collection.segment_builder()?;
        for (id, made) in made {
            builder.push(NewRow { id, sequence: made.sequence, timestamp: made.timestamp, text: &made.text })?;
        }
        self.store_as_segment(appender, builder.finish(Origin::Direct, Vec::new())?)
    }

    fn store_as_rows(&self, appender: &mut Appender<'_>) -> Result<()> {
        for event in &self.events {
            appender.push(&Change {
                collection: (self.collection.id, &self.collection.name),
                document_id: &event.document_id,
                before: event.before.as_ref(),
                after: event.after.as_deref(),
            })?;
        }
        self.documents.store_as_rows(self.store, self.collection)?;
        self.store.seal_overdue(self.collection)
    }

    fn store_as_segment(self, appender: &mut Appender<'_>, built: BuiltSegment) -> Result<()> {
        let directory = &self.store.directory;
        let number = directory.next_number()?;
        let bytes = built.groups.iter().map(Vec::len).fold(0, usize::saturating_add);
        self.documents.remove_replaced(self.store, self.collection)?;
        let count = self.events.len();
        let inline = self.inline(appender.next_sequence());
        appender.push_segment((self.collection.id, &self.collection.name), number, count, bytes, &inline)?;
        directory.add_segment(self.collection.life(), number, built)?;
        Ok(())
    }

    /// The events that the segment does not tell: those with an image before, and those whose document a later event of
    /// the run has replaced.
    fn inline(&self, first: i64) -> Vec<InlineEvent> {
        let mut inline = Vec::new();
        for (sequence, event) in (first..).zip(&self.events) {
            let in_segment = self.documents.is_current(&event.document_id, sequence);
            if in_segment && event.before.is_none() {
                continue;
            }
            let after = match &event.after {
                None => After::Deleted,
                Some(_) if in_segment => After::InSegment,
                Some(text) => After::Text(Rc::clone(text)),
            };
            let (document_id, before) = (event.document_id.to_string(), event.before.clone());
            inline.push(InlineEvent { sequence, document_id, before, after });
        }
        inline
    }
}
