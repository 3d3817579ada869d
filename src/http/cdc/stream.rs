//! The feed as server-sent events: first what is there after the position, then what is written.
//!
//! An event is its sequence as `id` and one line of data. A position without an event, behind events that nobody asked
//! for, is an `id` alone, which a browser keeps and does not tell. A stream that cannot go on ends with an event `error`.

use std::rc::Rc;

use async_trait::async_trait;

use crate::cdc::{FeedFilter, FeedPage, envelope};
use crate::engine::{Engine, Follower};
use crate::error::{Result, StorageError};
use crate::http::message::{Body, BodySource, Response};
use crate::http::problem;
use crate::limits::{CDC_HEARTBEAT_MS, CDC_STREAM_MAX_MS, CDC_STREAM_PAGE_BYTES};
use crate::types::{Sequence, Timestamp};

/// What a browser waits before it comes again, in ms.
const RETRY: &str = "retry: 1000\n\n";

/// Answers with a stream, which does not outlive the reader's token. What can be refused is refused before it begins.
pub async fn answer(engine: &Rc<Engine>, filter: FeedFilter, token_ends_at: Option<Timestamp>) -> Result<Response> {
    let filter = FeedFilter { max_bytes: CDC_STREAM_PAGE_BYTES, ..filter };
    let told = filter.after;
    let mut follower = engine.follow(filter)?;
    let first = follower.next(0).await?;
    let ends_at = engine.now_ms().saturating_add(CDC_STREAM_MAX_MS).min(token_ends_at.unwrap_or(Timestamp::MAX));
    let mut stream = Stream { follower, told, sent_at: engine.now_ms(), ends_at, first: None, ended: false };
    let mut text = RETRY.to_owned();
    if let Some(page) = first {
        stream.render(&page, &mut text)?;
    }
    stream.first = Some(text);
    let response = Response::empty(200).with_header("content-type", "text/event-stream");
    Ok(response.with_header("cache-control", "no-store").with_body(Body::stream(stream)))
}

struct Stream {
    follower: Follower,
    /// The last id that the client was told.
    told: Sequence,
    /// When something was last sent.
    sent_at: Timestamp,
    ends_at: Timestamp,
    first: Option<String>,
    ended: bool,
}

impl Stream {
    fn render(&mut self, page: &FeedPage, text: &mut String) -> Result<()> {
        let object = self.follower.engine().name()?;
        let format = self.follower.filter().subscription.format;
        for event in &page.events {
            text.push_str(&format!("id: {}\ndata: ", event.sequence));
            envelope::write(event, format, &object, text)?;
            text.push_str("\n\n");
            self.told = event.sequence;
        }
        Ok(())
    }

    /// Tells the position, where it is behind the last event, or that the stream is alive.
    fn beat(&mut self) -> String {
        let position = self.follower.position();
        if position == self.told {
            return ":\n\n".to_owned();
        }
        self.told = position;
        format!("id: {position}\n\n")
    }

    async fn next_text(&mut self) -> Result<Option<String>> {
        loop {
            let now = self.follower.engine().now_ms();
            if self.ends_at <= now || self.follower.is_given_away() {
                self.ended = true;
                return Ok(Some(self.beat()));
            }
            // Events that nobody asked for are no sign of life.
            let beat_at = self.sent_at.saturating_add(i64::from(CDC_HEARTBEAT_MS));
            let wait_ms = u32::try_from(beat_at.min(self.ends_at).saturating_sub(now)).unwrap_or(0);
            let Some(page) = self.follower.next(wait_ms).await? else { return Ok(Some(self.beat())) };
            let mut text = String::new();
            self.render(&page, &mut text)?;
            if !text.is_empty() {
                return Ok(Some(text));
            }
            // Much was passed over: the client is told, so that it would not begin there again.
            if page.has_more || beat_at <= self.follower.engine().now_ms() {
                return Ok(Some(self.beat()));
            }
        }
    }

    fn broken(&mut self, error: &StorageError) -> String {
        self.ended = true;
        let problem = problem::response(error);
        format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(problem.body.bytes()))
    }
}

#[async_trait(?Send)]
impl BodySource for Stream {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first.into_bytes()));
        }
        if self.ended {
            return Ok(None);
        }
        let text = match self.next_text().await {
            Ok(text) => text,
            Err(error) => Some(self.broken(&error)),
        };
        self.sent_at = self.follower.engine().now_ms();
        Ok(text.map(String::into_bytes))
    }
}
