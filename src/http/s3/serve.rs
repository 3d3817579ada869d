//! Reading one object for a client: conditions, ranges, and the head of the answer.

use http_range_header::{EndPosition, StartPosition, parse_range_header};

use super::super::message::{RequestHead, Response, header};
use super::refusal::Refusal;
use crate::error::{Result, StorageError};
use crate::ports::{ByteRange, ObjectDescription, ObjectStreams, Opened};
use crate::types::time::http_date;

/// What an object without a type of its own is.
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";
/// Everything but the version hint is written once. For as long as a session lives, by whoever had it; unchanged on the
/// way, because clients ask for ranges of exactly these bytes.
const CACHE_IMMUTABLE: &str = "private, max-age=3600, immutable, no-transform";
const CACHE_HINT: &str = "private, no-cache, no-transform";

/// A read that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectRead {
    key: String,
    is_head: bool,
    range: Option<ByteRange>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl ObjectRead {
    /// What a request wants of the object under a key.
    pub fn new(key: String, head: &RequestHead) -> Self {
        let named = |name: &str| header(&head.headers, name).map(str::to_owned);
        let is_head = head.method == "HEAD";
        // A range on a condition is not looked into: the whole object is always a right answer.
        let range = named("range").filter(|_| !is_head && named("if-range").is_none());
        Self {
            key,
            is_head,
            range: range.and_then(|text| byte_range(&text)),
            if_match: named("if-match"),
            if_none_match: named("if-none-match"),
        }
    }

    /// The answer from a bucket: its head, and the object's body where the client gets one.
    pub async fn serve(&self, bucket: &dyn ObjectStreams) -> Response {
        let method = if self.is_head { "HEAD" } else { "GET" };
        match self.answer(bucket).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => refusal.response(method),
            Err(error) => Refusal::of(&error).response(method),
        }
    }

    async fn answer(&self, bucket: &dyn ObjectStreams) -> Result<std::result::Result<Response, Refusal>> {
        if self.is_head || self.if_match.is_some() || self.if_none_match.is_some() {
            let Some(found) = bucket.describe(&self.key).await? else { return Ok(Err(Refusal::NO_KEY)) };
            if let Some(answer) = self.unmet(&found) {
                return Ok(answer);
            }
            if self.is_head {
                return Ok(Ok(self.described(200, &found).with_header("content-length", found.size.to_string())));
            }
        }
        Ok(match bucket.open(&self.key, self.range).await? {
            Opened::Missing => Err(Refusal::NO_KEY),
            Opened::OutOfRange(found) => {
                let response = Refusal::RANGE.response("GET");
                Ok(response.with_header("content-range", format!("bytes */{}", found.size)))
            }
            Opened::Found(found, body) => Ok(self.whole_or_part(&found)?.with_body(body)),
        })
    }

    /// The answer when the request's conditions do not hold.
    fn unmet(&self, found: &ObjectDescription) -> Option<std::result::Result<Response, Refusal>> {
        if self.if_match.as_ref().is_some_and(|tags| !names(tags, &found.etag)) {
            return Some(Err(Refusal::PRECONDITION));
        }
        if self.if_none_match.as_ref().is_some_and(|tags| names(tags, &found.etag)) {
            return Some(Ok(self.described(304, found)));
        }
        None
    }

    fn whole_or_part(&self, found: &ObjectDescription) -> Result<Response> {
        let Some(range) = self.range else {
            return Ok(self.described(200, found).with_header("content-length", found.size.to_string()));
        };
        let (first, length) = range.within(found.size).ok_or_else(range_lost)?;
        let last = first.saturating_add(length).saturating_sub(1);
        Ok(self
            .described(206, found)
            .with_header("content-length", length.to_string())
            .with_header("content-range", format!("bytes {first}-{last}/{}", found.size)))
    }

    fn described(&self, status: u16, found: &ObjectDescription) -> Response {
        let is_hint = self.key.ends_with("/version-hint.text");
        let content_type = found.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
        let response = Response::empty(status)
            .with_header("etag", format!("\"{}\"", found.etag))
            .with_header("accept-ranges", "bytes")
            .with_header("content-type", content_type)
            .with_header("cache-control", if is_hint { CACHE_HINT } else { CACHE_IMMUTABLE });
        match http_date(found.uploaded_ms) {
            Some(date) => response.with_header("last-modified", date),
            None => response,
        }
    }
}

/// The one range of a header; a header that cannot be read, or that names several, is as none.
fn byte_range(text: &str) -> Option<ByteRange> {
    let parsed = parse_range_header(text).ok()?;
    let [range] = parsed.ranges.as_slice() else { return None };
    match (range.start, range.end) {
        (StartPosition::Index(first), EndPosition::Index(last)) if first <= last => {
            Some(ByteRange::Between { first, last })
        }
        (StartPosition::Index(first), EndPosition::LastByte) => Some(ByteRange::From(first)),
        (StartPosition::FromLast(length), EndPosition::LastByte) => Some(ByteRange::Last(length)),
        _ => None,
    }
}

/// Whether a list of entity tags, or `*`, names this one.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        // Some clients of S3 leave the quotes off.
        tag == "*" || tag.trim_matches('"') == etag
    })
}

fn range_lost() -> StorageError {
    StorageError::new(
        crate::error::ErrorKind::Internal,
        crate::types::StorageTier::Cold,
        "open object",
        "expected the bucket to refuse a range that holds no byte",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_readable_range_is_taken_and_any_other_header_is_as_none() {
        assert_eq!(byte_range("bytes=2-4"), Some(ByteRange::Between { first: 2, last: 4 }));
        assert_eq!(byte_range("bytes=2-"), Some(ByteRange::From(2)));
        assert_eq!(byte_range("bytes=-2"), Some(ByteRange::Last(2)));
        assert_eq!(byte_range("bytes=0-18446744073709551615").map(|range| range.within(5)), Some(Some((0, 5))));
        for other in [
            "",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=4-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=0-99999999999999999999",
        ] {
            assert_eq!(byte_range(other), None, "{other}");
        }
    }

    #[test]
    fn tags_are_named_with_and_without_quotes() {
        for tags in ["\"a\"", "a", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(names(tags, "a"), "{tags}");
        }
        for tags in ["\"b\"", "", "\"aa\""] {
            assert!(!names(tags, "a"), "{tags}");
        }
    }
}
