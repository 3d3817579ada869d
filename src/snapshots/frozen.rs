//! Reads a collection as it was at a moment that the hot log reaches back to: what is in the hot tier in pages, what is
//! evicted file by file, so that a row group that several segments share is read once.

use std::ops::ControlFlow;
use std::task::{Context, Poll};

use super::Snapshotter;
use super::recall::EvictedFiles;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::frozen_forms::{FrozenForms, SegmentPage};
use crate::types::sink::room;
use crate::types::{Document, DocumentSink, StorageTier};

impl Snapshotter {
    /// Gives the documents of a moment, each once, in no order.
    pub(super) async fn scan_frozen(&self, mut forms: FrozenForms, sink: &mut dyn DocumentSink) -> Result<()> {
        // First what must be read soon: the log does not wait for ever.
        if self.scan_rows_and_log(&forms, sink).await?.is_break() {
            return Ok(());
        }
        let mut evicted = EvictedFiles::default();
        while let Some(segment) = forms.next_segment() {
            let (mut from, mut is_here) = (0, true);
            while let Some(page) = self.hot.frozen_segment(&segment, from)? {
                from = match page {
                    SegmentPage::Here(documents, next) => {
                        if self.give(&forms, documents, sink).await?.is_break() {
                            return Ok(());
                        }
                        next
                    }
                    SegmentPage::Evicted(place) => {
                        is_here = false;
                        evicted.add(&place, (from..segment.rows).filter(|row| segment.is_live(*row)))?;
                        segment.rows
                    }
                };
            }
            if is_here {
                forms.segment_read(&segment);
            }
        }
        self.scan_evicted_files(&forms, evicted, sink).await
    }

    async fn scan_rows_and_log(&self, forms: &FrozenForms, sink: &mut dyn DocumentSink) -> Result<ControlFlow<()>> {
        let mut rows = self.hot.frozen_rows(forms);
        while let Some(page) = self.recalling(|| rows.next_page()).await? {
            if self.give(forms, page, sink).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        forms.rows_read();
        let mut after = forms.sequence();
        while let Some((images, last)) = self.hot.replaced_since(forms, after)? {
            if self.give(forms, images, sink).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            after = last;
        }
        forms.log_read();
        Ok(ControlFlow::Continue(()))
    }

    async fn scan_evicted_files(
        &self,
        forms: &FrozenForms,
        evicted: EvictedFiles,
        sink: &mut dyn DocumentSink,
    ) -> Result<()> {
        let mut those = Only { sink, wanted: |document: &Document| forms.has(document), ended: false };
        let stats = self.scan_evicted(&evicted, None, &|_| true, &mut those).await?;
        if !those.ended && stats.rows_read != evicted.rows() {
            let message = "expected files to have the rows of evicted segments, got others";
            return Err(StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read the past", message));
        }
        Ok(())
    }

    /// Gives the documents of a page that are of the forms.
    async fn give(
        &self,
        forms: &FrozenForms,
        page: Vec<Document>,
        sink: &mut dyn DocumentSink,
    ) -> Result<ControlFlow<()>> {
        for document in page.into_iter().filter(|document| forms.has(document)) {
            if sink.take(document)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            room(sink).await;
        }
        self.ports.clock.sleep_ms(0).await;
        Ok(ControlFlow::Continue(()))
    }
}

/// Gives some of the documents, and remembers whether no further ones are wanted.
pub(super) struct Only<'s, F> {
    pub sink: &'s mut dyn DocumentSink,
    pub wanted: F,
    pub ended: bool,
}

impl<F: Fn(&Document) -> bool> DocumentSink for Only<'_, F> {
    fn take(&mut self, document: Document) -> Result<ControlFlow<()>> {
        if !(self.wanted)(&document) {
            return Ok(ControlFlow::Continue(()));
        }
        let flow = self.sink.take(document)?;
        self.ended = flow.is_break();
        Ok(flow)
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.sink.poll_room(context)
    }
}
