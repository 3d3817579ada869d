//! Sockets that follow the feed, and sleep with the object: after a commit, an acknowledgement or a wake each is sent
//! what its window has room for.
//!
//! Invariants: one pump at a time; between a look at what is attached to a socket, the frame sent, and what is attached
//! then, there is no await, so that an event is sent once; a socket that does not read costs its window and no more.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::{Rc, Weak};

use futures_util::future::select;

use super::Engine;
use crate::cdc::envelope::{Frame, frame};
use crate::cdc::socket::{Closing, FAILED, Next, Reader, Subscriber};
use crate::cdc::{Bell, FeedFilter, Subscription};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{CDC_FRAME_MAX_BYTES, CDC_SOCKETS_MAX, PAGE_MAX_ITEMS};
use crate::ports::{Socket, SocketMessage};
use crate::types::{Sequence, StorageTier};

/// Frames that one socket gets before others get theirs.
const FRAMES_A_ROUND: usize = 4;
/// Frames kept for other sockets of the same subscription at the same position.
const FRAMES_KEPT: usize = 8;
/// When to try again to read what could not be read, in ms.
const RETRY_MS: u32 = 5_000;
/// And the longest pause after several failures.
const RETRY_MAX_MS: u32 = 300_000;
/// The code of a close for a problem's status: 4410 for 410.
const STATUS_CODES: u16 = 4_000;

/// What the sockets of an instance share.
#[derive(Default)]
pub(super) struct SocketFeed {
    following: Cell<bool>,
    /// Whether this instance has looked for sockets since it started.
    looked: Cell<bool>,
    /// Rung by acknowledgements, and by sockets that open.
    pub(super) acknowledged: Bell,
}

/// What a round over all sockets came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// How many are open.
    pub sockets: usize,
    /// Whether some have room for more.
    pub more: bool,
    /// Whether something could not be read that may be read later.
    pub failed: bool,
}

type Frames = HashMap<(Sequence, Subscription), Rc<Frame>>;

/// Marks the one that follows until it is dropped.
struct Following<'f>(&'f SocketFeed);

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.following.set(false);
    }
}

impl Engine {
    /// What is to be attached to a new socket. One that cannot be served is refused.
    pub fn new_socket(&self, subscription: Subscription, after: Sequence, reader: Reader) -> Result<String> {
        let oldest = self.oldest_position()?;
        crate::cdc::feed::check_position(self.hot.log(), after)?;
        if after < oldest {
            return Err(super::consumers::gone("follow change feed", oldest, after));
        }
        if self.ports.sockets.open()?.len() >= CDC_SOCKETS_MAX {
            let message =
                format!("expected at most {CDC_SOCKETS_MAX} sockets of an object, got one more; try again later");
            return Err(StorageError::new(ErrorKind::TooMany, StorageTier::Api, "follow change feed", message));
        }
        Subscriber::new(subscription, after, reader)?.to_text()
    }

    /// Whether somebody has to begin [`follow_sockets`](Self::follow_sockets): once in an instance's life, and when a socket
    /// was opened.
    pub fn sockets_wait(&self, opened: bool) -> bool {
        let looked = self.socket_feed.looked.replace(true);
        if self.socket_feed.following.get() {
            if opened {
                self.socket_feed.acknowledged.ring();
            }
            return false;
        }
        opened || !looked
    }

    /// Sends sockets what is written, until none is left.
    ///
    /// Between two rounds nothing of the object is held: when it sleeps it goes, and this with it.
    pub async fn follow_sockets(object: Weak<Self>) {
        let shared = object
            .upgrade()
            .map(|engine| (Rc::clone(&engine.socket_feed), engine.hot.log().bell(), Rc::clone(&engine.ports.clock)));
        let Some((feed, bell, clock)) = shared else { return };
        if feed.following.replace(true) {
            return;
        }
        let _following = Following(&feed);
        let mut retry_ms = RETRY_MS;
        loop {
            let (rung, acknowledged) = (bell.rung(), feed.acknowledged.rung());
            let Some(engine) = object.upgrade() else { return };
            let pumped = engine.pump_sockets().await;
            drop(engine);
            let pumped = pumped.unwrap_or(Pumped { sockets: 1, more: false, failed: true });
            if pumped.sockets == 0 {
                return;
            }
            // Whoever has written gets an answer first.
            if !pumped.more {
                let rings = select(bell.wait(rung), feed.acknowledged.wait(acknowledged));
                if pumped.failed {
                    select(rings, pin!(clock.sleep_ms(retry_ms))).await;
                    retry_ms = retry_ms.saturating_mul(2).min(RETRY_MAX_MS);
                } else {
                    rings.await;
                    retry_ms = RETRY_MS;
                }
            }
            clock.sleep_ms(0).await;
        }
    }

    /// Sends each socket what it has room for, in turns.
    pub async fn pump_sockets(&self) -> Result<Pumped> {
        let sockets = self.ports.sockets.open()?;
        let mut pumped = Pumped { sockets: sockets.len(), ..Pumped::default() };
        if sockets.is_empty() || self.last_sequence()? == 0 {
            return Ok(pumped);
        }
        self.bind_by_record()?;
        let mut frames = Frames::new();
        for socket in sockets {
            match self.pump(socket.as_ref(), &mut frames).await {
                Ok(more) => pumped.more |= more,
                Err(error) if error.kind() == ErrorKind::Unavailable => pumped.failed = true,
                Err(error) => close(socket.as_ref(), &closing(&error)),
            }
        }
        Ok(pumped)
    }

    /// Sends one socket some frames; `true` when there is more for it.
    async fn pump(&self, socket: &dyn Socket, frames: &mut Frames) -> Result<bool> {
        for _ in 0..FRAMES_A_ROUND {
            let (before, last) = (self.subscriber(socket)?, self.last_sequence()?);
            if before.sent() > last {
                return Err(beyond(last, before.sent()));
            }
            if before.sent() == last || !before.has_room() {
                return Ok(false);
            }
            let next = self.next_frame(&before, frames).await?;
            // What is attached may have changed meanwhile. No await from here on.
            let mut now = self.subscriber(socket)?;
            if now.sent() != before.sent() {
                return Ok(true);
            }
            let decided = now.next(&next);
            if decided == Next::Wait {
                return Ok(false);
            }
            let told = match decided {
                Next::Send => socket.send(&next.text),
                Next::PassOver | Next::Wait => Ok(()),
            };
            // A client that has gone asks for what it has not seen when it comes again; and what cannot be noted as sent
            // would be sent twice.
            let noted = told.and_then(|()| now.to_text()).and_then(|text| socket.attach(&text));
            if noted.is_err() {
                close(socket, &Closing::new(FAILED, "expected an open socket, got a failure; connect again"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn next_frame(&self, subscriber: &Subscriber, frames: &mut Frames) -> Result<Rc<Frame>> {
        let key = (subscriber.sent(), subscriber.subscription.clone());
        if let Some(known) = frames.get(&key) {
            return Ok(Rc::clone(known));
        }
        let (after, subscription) = key.clone();
        let filter = FeedFilter {
            limit: PAGE_MAX_ITEMS,
            max_bytes: CDC_FRAME_MAX_BYTES,
            ..FeedFilter::page(subscription, after)
        };
        let page = self.changes(&filter, 0).await?;
        let made = Rc::new(frame(&page, filter.subscription.format, &self.name()?, CDC_FRAME_MAX_BYTES)?);
        if frames.len() >= FRAMES_KEPT {
            frames.clear();
        }
        frames.insert(key, Rc::clone(&made));
        // Requests come between two pages that were read.
        self.ports.clock.sleep_ms(0).await;
        Ok(made)
    }

    /// Takes a message from a socket.
    pub fn socket_message(&self, socket: &dyn Socket, message: SocketMessage<'_>) {
        let taken = self.subscriber(socket).map_err(|error| closing(&error)).and_then(|mut subscriber| {
            subscriber.receive(message)?;
            let text = subscriber.to_text().map_err(|error| closing(&error))?;
            socket.attach(&text).map_err(|error| closing(&error))
        });
        match taken {
            Ok(()) => self.socket_feed.acknowledged.ring(),
            Err(closing) => close(socket, &closing),
        }
    }
}

impl Engine {
    /// Closes the sockets whose tokens have ended.
    pub(super) fn end_sockets(&self) -> Result<()> {
        for socket in self.ports.sockets.open()? {
            if let Err(error) = self.subscriber(socket.as_ref()) {
                close(socket.as_ref(), &closing(&error));
            }
        }
        Ok(())
    }

    /// What is attached to a socket, if its token has not ended.
    fn subscriber(&self, socket: &dyn Socket) -> Result<Subscriber> {
        let attached = socket.attachment()?.unwrap_or_default();
        let subscriber = Subscriber::from_text(&attached, &self.config.security.data_masking)?;
        if subscriber.has_ended(self.now_ms()) {
            let message =
                "expected a token that has not expired, got one whose \"exp\" has passed; connect again with another";
            return Err(StorageError::new(ErrorKind::Unauthenticated, StorageTier::Api, "follow change feed", message));
        }
        Ok(subscriber)
    }
}

fn beyond(last: Sequence, sent: Sequence) -> StorageError {
    let message = format!("expected a position up to {last}, the last sequence, got {sent}; read from the start");
    StorageError::new(ErrorKind::Precondition, StorageTier::Hot, "follow change feed", message)
}

fn close(socket: &dyn Socket, closing: &Closing) {
    socket.close(closing.code, &closing.reason);
}

/// How a socket learns of an error.
fn closing(error: &StorageError) -> Closing {
    let code = match error.kind() {
        ErrorKind::Unauthenticated => STATUS_CODES + 401,
        ErrorKind::Gone => STATUS_CODES + 410,
        ErrorKind::Precondition => STATUS_CODES + 412,
        _ => FAILED,
    };
    Closing::new(code, error.message())
}
