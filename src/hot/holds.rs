//! Segments that somebody reads over many turns, and which therefore stay.
//!
//! A hold is of this instance's memory and ends when it is dropped: whoever reads goes away with the instance too. What is
//! held may be merged, evicted and deleted from like everything else; its bytes, or its stub and file, stay until the hold
//! ends. While the bound of a hold is set, segments below it are not merged with later ones, as while a plan is on its way
//! (see [`archiving`](super::archiving)); and what is archived of the log is not trimmed beyond the event it needs, but by
//! the log's own bounds.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use crate::types::Sequence;

/// All holds of a store.
#[derive(Default)]
pub(super) struct Holds {
    held: RefCell<Vec<Held>>,
    last_key: Cell<u64>,
    /// Whether something was kept for a hold since anybody looked after what holds have kept.
    kept: Cell<bool>,
    /// Whether a hold has ended since then.
    ended: Cell<bool>,
}

struct Held {
    key: u64,
    segments: HashSet<i64>,
    bound: Option<i64>,
    /// The events after it are needed.
    log_after: Option<Sequence>,
    /// Where evicted segments of it were before they were moved: they may be read there still.
    places: Vec<Rc<str>>,
}

/// A hold on segments. Dropped, it ends.
pub struct Hold {
    holds: Rc<Holds>,
    key: u64,
}

impl Holds {
    /// Holds segments, all of them below `bound`, and the events after `log_after`.
    pub fn hold(self: &Rc<Self>, segments: impl Iterator<Item = i64>, bound: i64, log_after: Sequence) -> Hold {
        let key = self.last_key.get().wrapping_add(1);
        self.last_key.set(key);
        self.held.borrow_mut().push(Held {
            key,
            segments: segments.collect(),
            bound: Some(bound),
            log_after: Some(log_after),
            places: Vec::new(),
        });
        Hold { holds: Rc::clone(self), key }
    }

    /// Whether a segment has to stay; who asks would remove it otherwise.
    pub fn has(&self, segment: i64) -> bool {
        let has = self.held.borrow().iter().any(|held| held.segments.contains(&segment));
        if has {
            self.kept.set(true);
        }
        has
    }

    /// Notes where a segment was that is moved: what holds it reads it there.
    pub fn keep_place(&self, segment: i64, place: &Rc<str>) {
        for held in self.held.borrow_mut().iter_mut().filter(|held| held.segments.contains(&segment)) {
            held.places.push(Rc::clone(place));
        }
    }

    /// The places noted.
    pub fn places(&self) -> Vec<Rc<str>> {
        self.held.borrow().iter().flat_map(|held| held.places.iter().cloned()).collect()
    }

    /// The bounds over which no merge may reach.
    pub fn bounds(&self) -> Vec<i64> {
        let bounds: Vec<i64> = self.held.borrow().iter().filter_map(|held| held.bound).collect();
        if !bounds.is_empty() {
            self.kept.set(true);
        }
        bounds
    }

    /// The sequence up to which nobody needs the log; `None` when nobody needs any of it.
    pub fn log_free_through(&self) -> Option<Sequence> {
        self.held.borrow().iter().filter_map(|held| held.log_after).min()
    }

    /// Whether something may be left over that was kept for holds which are gone.
    pub fn has_left_over(&self) -> bool {
        self.kept.get() && self.ended.get()
    }

    /// Takes note that somebody looks after what is left over.
    pub fn take_left_over(&self) -> bool {
        let left_over = self.has_left_over();
        if left_over {
            self.kept.set(false);
            self.ended.set(false);
        }
        left_over
    }
}

impl Hold {
    /// Lets segments below the bound be merged with later ones again.
    pub fn lift_bound(&self) {
        self.change(|held| held.bound = None);
    }

    /// Lets go of the log.
    pub fn let_go_of_log(&self) {
        self.change(|held| held.log_after = None);
    }

    /// Lets go of a segment.
    pub fn let_go(&self, segment: i64) {
        self.change(|held| {
            held.segments.remove(&segment);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.holds.held.borrow_mut().iter_mut().find(|held| held.key == self.key) {
            change(held);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.held.borrow_mut().retain(|held| held.key != self.key);
        self.holds.ended.set(true);
    }
}
