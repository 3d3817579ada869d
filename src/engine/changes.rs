//! The change feed: from the hot log, and from the archived one for what is trimmed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::future::select;

use super::Engine;
use super::consumers::gone;
use crate::cdc::feed::{PageBuilder, check_position, read_page};
use crate::cdc::{FeedFilter, FeedPage};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{CDC_STREAM_PAGE_BYTES, CDC_WAITING_MAX};
use crate::snapshots::replanning;
use crate::types::{CdcEvent, Sequence, StorageTier};

/// Sequences that one page of archived events covers at most.
const ARCHIVED_WINDOW: i64 = 100_000;

impl Engine {
    /// A page of events. When there is none yet, waits up to `wait_ms` for one.
    pub async fn changes(&self, filter: &FeedFilter, wait_ms: u32) -> Result<FeedPage> {
        check_position(self.hot.log(), filter.after)?;
        // A commit wakes all who wait at once: each reads little then, and comes again.
        let few = FeedFilter { max_bytes: filter.max_bytes.min(CDC_STREAM_PAGE_BYTES), ..filter.clone() };
        let filter = if self.last_sequence()? > filter.after { filter } else { &few };
        self.wait_for_events(filter.after, wait_ms).await?;
        let name = self.name()?;
        let read = || {
            // The log may be trimmed while something is recalled for the page.
            if filter.after.saturating_add(1) < self.hot.log().first_sequence()? {
                return Ok(None);
            }
            read_page(self.hot.log(), &name, self.hot.as_ref(), filter).map(Some)
        };
        match self.with_recalls(read).await? {
            Some(page) => Ok(page),
            None => self.archived_changes(filter).await,
        }
    }

    /// Waits up to `wait_ms` for an event after a position; whether there is one.
    pub(super) async fn wait_for_events(&self, after: Sequence, wait_ms: u32) -> Result<bool> {
        let until = self.now_ms().saturating_add(i64::from(wait_ms));
        let _waiting = if wait_ms > 0 { Some(Waiting::begin(&self.waiting)?) } else { None };
        let bell = self.hot.log().bell();
        loop {
            let seen = bell.rung();
            if self.last_sequence()? > after {
                return Ok(true);
            }
            let left = u32::try_from(until.saturating_sub(self.now_ms())).unwrap_or(0);
            if left == 0 {
                return Ok(false);
            }
            select(pin!(bell.wait(seen)), pin!(self.ports.clock.sleep_ms(left))).await;
        }
    }

    /// A page that starts before the hot log does.
    async fn archived_changes(&self, filter: &FeedFilter) -> Result<FeedPage> {
        replanning(async || self.archived_page(filter).await).await
    }

    async fn archived_page(&self, filter: &FeedFilter) -> Result<FeedPage> {
        let archived = self.snapshotter.archived()?;
        if filter.after >= archived {
            let oldest = self.hot.log().first_sequence()?.saturating_sub(1);
            return Err(gone("read change feed", oldest, filter.after));
        }
        let oldest = self.snapshotter.archived_from()?;
        if filter.after < oldest {
            return Err(gone("read change feed", oldest, filter.after));
        }
        let mut wanted = Wanted::new(filter, archived.min(filter.after.saturating_add(ARCHIVED_WINDOW)));
        self.snapshotter
            .scan_archived_changes(filter.after, wanted.until, &|name| filter.wants_collection(name), &mut |event| {
                wanted.push(event);
                Ok(wanted.until)
            })
            .await?;
        // What has expired meanwhile was not found.
        let oldest = self.snapshotter.archived_from()?;
        if filter.after < oldest {
            return Err(gone("read change feed", oldest, filter.after));
        }
        let until = wanted.until;
        let mut builder = PageBuilder::new(filter);
        for event in wanted.events.into_values() {
            if builder.push(event)?.is_break() {
                return Ok(builder.finish(0));
            }
        }
        builder.advance(until);
        let mut page = builder.finish(self.hot.log().last_timestamp()?);
        page.has_more = page.sequence < self.last_sequence()?;
        Ok(page)
    }
}

/// One of those who wait, until it is dropped.
struct Waiting<'w>(&'w Cell<usize>);

impl<'w> Waiting<'w> {
    fn begin(waiting: &'w Cell<usize>) -> Result<Self> {
        if waiting.get() >= CDC_WAITING_MAX {
            let message = format!(
                "expected at most {CDC_WAITING_MAX} readers to wait for events of an object, got one more; try again later"
            );
            return Err(StorageError::new(ErrorKind::TooMany, StorageTier::Api, "read change feed", message));
        }
        waiting.set(waiting.get().saturating_add(1));
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The first events of several collections by sequence, bounded in number and bytes.
struct Wanted<'f> {
    filter: &'f FeedFilter,
    events: BTreeMap<Sequence, CdcEvent>,
    bytes: usize,
    /// All wanted events up to here are known once every collection is read.
    until: Sequence,
}

impl<'f> Wanted<'f> {
    fn new(filter: &'f FeedFilter, until: Sequence) -> Self {
        Self { filter, events: BTreeMap::new(), bytes: 0, until }
    }

    fn push(&mut self, event: CdcEvent) {
        if event.sequence > self.until || !self.filter.wants(&event) {
            return;
        }
        self.bytes = self.bytes.saturating_add(size(&event));
        self.events.insert(event.sequence, event);
        while self.events.len() > self.filter.limit || (self.bytes > self.filter.max_bytes && self.events.len() > 1) {
            let Some((sequence, event)) = self.events.pop_last() else { return };
            self.bytes = self.bytes.saturating_sub(size(&event));
            self.until = sequence.saturating_sub(1);
        }
    }
}

fn size(event: &CdcEvent) -> usize {
    let images = [&event.before, &event.after].into_iter().flatten().map(String::len);
    images.fold(event.document_id.len(), usize::saturating_add)
}
