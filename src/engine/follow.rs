//! Readers that stay: each reads the log as far as its client has taken what came before, and sleeps until a commit.
//!
//! A reader costs its page and nothing else, and no write ever waits for one. A client that vanishes is noticed at the
//! next write to it; one that neither vanishes nor reads gives up its place when another wants it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::Engine;
use crate::cdc::feed::check_position;
use crate::cdc::{FeedFilter, FeedPage};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::CDC_STREAMS_MAX;
use crate::types::{Sequence, StorageTier, Timestamp};

/// After this long without reading a client's place may be given to another: several times the time between heartbeats.
const IDLE_MAX_MS: i64 = 60_000;

/// The readers of an object.
#[derive(Default)]
pub(super) struct Places(RefCell<Vec<Weak<Place>>>);

struct Place {
    /// When something was last asked for.
    asked_at: Cell<Timestamp>,
    given_away: Cell<bool>,
}

/// A reader that stays. Dropped, it frees its place.
pub struct Follower {
    engine: Rc<Engine>,
    place: Rc<Place>,
    filter: FeedFilter,
}

impl Engine {
    /// Begins to follow the feed; `filter` bounds a page and says where to begin.
    pub fn follow(self: &Rc<Self>, filter: FeedFilter) -> Result<Follower> {
        check_position(self.hot.log(), filter.after)?;
        let place = self.places.take(self.now_ms())?;
        Ok(Follower { engine: Rc::clone(self), place, filter })
    }
}

impl Places {
    fn take(&self, now: Timestamp) -> Result<Rc<Place>> {
        let mut taken: Vec<Rc<Place>> = self.0.borrow().iter().filter_map(Weak::upgrade).collect();
        taken.retain(|place| !place.given_away.get());
        if taken.len() >= CDC_STREAMS_MAX {
            let idle = taken.iter().position(|place| now.saturating_sub(place.asked_at.get()) >= IDLE_MAX_MS);
            let Some(idle) = idle else { return Err(too_many()) };
            taken.remove(idle).given_away.set(true);
        }
        let place = Rc::new(Place { asked_at: Cell::new(now), given_away: Cell::new(false) });
        taken.push(Rc::clone(&place));
        self.0.replace(taken.iter().map(Rc::downgrade).collect());
        Ok(place)
    }
}

impl Follower {
    /// The next page, which may have no event that is wanted; `None` when nothing was logged in the time given.
    pub async fn next(&mut self, wait_ms: u32) -> Result<Option<FeedPage>> {
        self.place.asked_at.set(self.engine.now_ms());
        if !self.engine.wait_for_events(self.filter.after, wait_ms).await? {
            return Ok(None);
        }
        let page = self.engine.changes(&self.filter, 0).await?;
        self.filter.after = page.sequence;
        Ok(Some(page))
    }

    /// Whether the place was given to another reader.
    pub fn is_given_away(&self) -> bool {
        self.place.given_away.get()
    }

    /// Everything up to here was read.
    pub fn position(&self) -> Sequence {
        self.filter.after
    }

    /// What is read.
    pub fn filter(&self) -> &FeedFilter {
        &self.filter
    }

    /// The object that is read.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

fn too_many() -> StorageError {
    let message =
        format!("expected at most {CDC_STREAMS_MAX} streams of an object at once, got one more; try again later");
    StorageError::new(ErrorKind::TooMany, StorageTier::Api, "follow change feed", message)
}
