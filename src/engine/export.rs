//! The documents of a collection as lines, made as fast as somebody takes them.
//!
//! An export is of one moment, the present too: each document is in it once, whatever is written meanwhile. The work is a
//! future that goes on only while a chunk is asked for, and waits when one is full; so memory is bounded by a chunk, a
//! document, and a page or a row group of what is read. It starts before anything is answered: what is refused is
//! refused with a status.
//!
//! What an export holds is given back when it is dropped. A client that vanishes may leave one behind that nobody drops; so an
//! export from which nothing was taken for long ends when another one begins, or the alarm comes.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use async_trait::async_trait;

use super::{AsOf, Engine};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::Clock;
use crate::ports::message::BodySource;
use crate::snapshots::{Moment, Wanted, replanning};
use crate::types::{Document, DocumentSink, Masks, Sequence, StorageTier, Timestamp};

/// A chunk is given when it has this many bytes; with the line that made it full it has at most a document more.
pub const EXPORT_CHUNK_BYTES: usize = 256 * 1024;
/// Exports of an object at once: each may have a row group in memory.
pub const EXPORTS_MAX: usize = 2;
/// After this long without anybody asking for a chunk an export may be ended in favour of another.
pub const EXPORT_IDLE_MAX_MS: i64 = 60_000;
/// And after this long the alarm ends it.
pub const EXPORT_ABANDONED_MS: i64 = 600_000;

type Work = Pin<Box<dyn Future<Output = Result<()>>>>;

/// An export: a body of lines.
pub struct Export {
    running: Rc<Running>,
    clock: Rc<dyn Clock>,
    lines: Lines,
    /// The chunk that was made before anything was answered.
    first: Option<Vec<u8>>,
    ended: bool,
    /// The sequence of the state that is exported, where it is the present one.
    pub sequence: Option<Sequence>,
}

/// What of an export can be ended by others.
struct Running {
    /// `None` in a turn of its own, and once it was ended.
    work: RefCell<Option<Work>>,
    /// When a chunk was last asked for.
    asked_at: Cell<Timestamp>,
}

/// The exports of an object on their way.
#[derive(Default)]
pub(super) struct Exports(RefCell<Vec<Weak<Running>>>);

/// Lines that were made and not taken yet.
#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<u8>>>);

/// Writes the lines, as their reader may see them.
struct Writer {
    lines: Lines,
    collection: String,
    masks: Masks,
}

impl Engine {
    /// Begins to export a collection as of a moment, or as it is now; one that does not exist is empty.
    pub async fn export(self: &Rc<Self>, collection: &str, as_of: Option<AsOf>, masks: &Masks) -> Result<Export> {
        replanning(async || self.begin_export(collection, as_of, masks).await).await
    }

    async fn begin_export(self: &Rc<Self>, collection: &str, as_of: Option<AsOf>, masks: &Masks) -> Result<Export> {
        let present = self.last_sequence()?;
        let (moment, sequence) = match as_of {
            Some(as_of) => (self.moment(as_of)?, None),
            None => (Moment::Sequence(present), Some(present)),
        };
        let lines = Lines::default();
        let (engine, collection) = (Rc::clone(self), collection.to_owned());
        let mut sink = Writer { lines: lines.clone(), collection: collection.clone(), masks: masks.clone() };
        let work = async move {
            let wanted = Wanted { id: None, may_match: &|_| true };
            engine.snapshotter.scan_as_of(&collection, moment, &wanted, &mut sink).await.map(|_| ())
        };
        let clock = Rc::clone(&self.ports.clock);
        let running = self.exports.begin(Box::pin(work), clock.now_ms())?;
        let mut export = Export { running, clock, lines, first: None, ended: false, sequence };
        export.first = export.next_chunk().await?;
        Ok(export)
    }
}

impl Exports {
    fn begin(&self, work: Work, now: Timestamp) -> Result<Rc<Running>> {
        let mut running = self.running();
        if running.len() >= EXPORTS_MAX {
            let idle = running.iter().position(|export| export.is_idle(now, EXPORT_IDLE_MAX_MS));
            let Some(idle) = idle else { return Err(too_many()) };
            running.remove(idle).end();
        }
        let begun = Rc::new(Running { work: RefCell::new(Some(work)), asked_at: Cell::new(now) });
        running.push(Rc::clone(&begun));
        self.0.replace(running.iter().map(Rc::downgrade).collect());
        Ok(begun)
    }

    /// Ends what nobody seems to read any more.
    pub(super) fn end_abandoned(&self, now: Timestamp) {
        let abandoned = self.running().into_iter().filter(|export| export.is_idle(now, EXPORT_ABANDONED_MS));
        abandoned.for_each(|export| export.end());
    }

    fn running(&self) -> Vec<Rc<Running>> {
        let all = self.0.borrow().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        all.into_iter().filter(|export| export.work.borrow().is_some()).collect()
    }
}

impl Running {
    fn is_idle(&self, now: Timestamp, max_ms: i64) -> bool {
        now.saturating_sub(self.asked_at.get()) >= max_ms
    }

    /// Gives back what the work holds.
    fn end(&self) {
        let work = self.work.take();
        drop(work);
    }
}

impl Export {
    /// Goes on until a chunk is full (`false`) or everything is done (`true`).
    fn poll_work(&self, context: &mut Context<'_>) -> Poll<Result<bool>> {
        if self.lines.is_full() {
            return Poll::Ready(Ok(false));
        }
        let Some(mut work) = self.running.work.take() else { return Poll::Ready(Err(given_up())) };
        self.running.asked_at.set(self.clock.now_ms());
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done.map(|()| true)),
            Poll::Pending => {
                self.running.work.replace(Some(work));
                if self.lines.is_full() { Poll::Ready(Ok(false)) } else { Poll::Pending }
            }
        }
    }
}

#[async_trait(?Send)]
impl BodySource for Export {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.ended {
            return Ok(None);
        }
        self.ended = poll_fn(|context| self.poll_work(context)).await?;
        let chunk = self.lines.0.take();
        Ok(if chunk.is_empty() { None } else { Some(chunk) })
    }
}

impl Lines {
    fn is_full(&self) -> bool {
        self.0.borrow().len() >= EXPORT_CHUNK_BYTES
    }
}

impl DocumentSink for Writer {
    fn take(&mut self, document: Document) -> Result<ControlFlow<()>> {
        let text = self.masks.apply(&self.collection, document.text)?;
        let mut lines = self.lines.0.borrow_mut();
        // A document's text is one line: breaks between its tokens were left out when it was stored.
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'\n');
        Ok(ControlFlow::Continue(()))
    }

    fn poll_room(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        // Nobody is woken: whoever takes the chunk asks for the next one, and so goes on here.
        if self.lines.is_full() { Poll::Pending } else { Poll::Ready(()) }
    }
}

fn too_many() -> StorageError {
    let message = format!("expected at most {EXPORTS_MAX} exports of an object at once, got one more; try again later");
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "export", message)
}

fn given_up() -> StorageError {
    let message = "expected an export to be read on, got no reader for so long that it was given up; begin again";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "export", message)
}
