//! `GET /openapi.json`: the description of all routes, which `examples/openapi` writes and a test compares with the routes.

use xxhash_rust::xxh64::xxh64;

use super::etag::etag;
use super::message::{RequestHead, Response, header};

const DOCUMENT: &str = include_str!("openapi.json");
/// Clients may keep it for so long, and ask by its tag after.
const CACHE: &str = "public, max-age=3600";

/// The description, to whoever does not have it already.
pub fn answer(head: &RequestHead) -> Response {
    let version = xxh64(DOCUMENT.as_bytes(), 0) >> 1;
    let tag = etag(i64::try_from(version).unwrap_or(0));
    let is_known = header(&head.headers, "if-none-match").is_some_and(|known| known.contains(&tag));
    let response = if is_known { Response::empty(304) } else { Response::json(200, DOCUMENT) };
    response.with_header("etag", tag).with_header("cache-control", CACHE)
}
