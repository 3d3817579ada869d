//! Several events with the cursor after them: what a page answers, and what a frame of a socket carries.

use std::fmt::Write;

use super::write;
use crate::cdc::feed::FeedPage;
use crate::cdc::subscription::Format;
use crate::error::Result;
use crate::types::Sequence;
use crate::types::names::ObjectName;

/// A page as text: `{events, cursor, hasMore}`.
pub fn page(page: &FeedPage, format: Format, object: &ObjectName) -> Result<String> {
    let mut text = "{\"events\":[".to_owned();
    for (position, event) in page.events.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write(event, format, object, &mut text)?;
    }
    end(&mut text, page.sequence, page.timestamp);
    let _ = write!(text, ",\"hasMore\":{}}}", page.has_more);
    Ok(text)
}

/// The first events of a page, as many as fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `{events, cursor}`.
    pub text: String,
    /// The cursor's sequence.
    pub sequence: Sequence,
    /// How many events it has.
    pub events: usize,
    /// Whether events after it are known.
    pub has_more: bool,
}

/// Events from the start of a page, up to `max_bytes` of text but one at least; the cursor is that after the last of them.
pub fn frame(page: &FeedPage, format: Format, object: &ObjectName, max_bytes: usize) -> Result<Frame> {
    let mut text = "{\"events\":[".to_owned();
    let (mut sequence, mut timestamp, mut events) = (page.sequence, page.timestamp, 0_usize);
    let mut has_more = page.has_more;
    for event in &page.events {
        let length = text.len();
        if events > 0 {
            text.push(',');
        }
        write(event, format, object, &mut text)?;
        if events > 0 && text.len().saturating_add(END_MAX_BYTES) > max_bytes {
            text.truncate(length);
            has_more = true;
            break;
        }
        events = events.saturating_add(1);
        (sequence, timestamp) = (event.sequence, event.timestamp);
    }
    if events == page.events.len() {
        (sequence, timestamp) = (page.sequence, page.timestamp);
    }
    end(&mut text, sequence, timestamp);
    text.push('}');
    Ok(Frame { text, sequence, events, has_more })
}

/// What comes after the events takes at most this.
const END_MAX_BYTES: usize = 128;

fn end(text: &mut String, sequence: Sequence, timestamp: i64) {
    let _ = write!(text, "],\"cursor\":{{\"sequence\":{sequence},\"timestamp\":{timestamp}}}");
}
