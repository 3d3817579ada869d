//! Opaque cursors: where a page ended, bound to the query that it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::body::invalid;
use crate::engine::query::OrderKey;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Version of the cursor.
    v: u8,
    /// Hash of the query it belongs to.
    q: u64,
    /// Keys of the last row.
    k: Vec<OrderKey>,
}

const VERSION: u8 = 1;

/// The hash that ties a cursor to what was asked.
pub fn query_hash(text: &str) -> u64 {
    xxh64(text.as_bytes(), 0)
}

/// A cursor after the row with these keys.
pub fn encode(query: u64, keys: Vec<OrderKey>) -> Result<String> {
    let json = serde_json::to_vec(&Cursor { v: VERSION, q: query, k: keys }).map_err(|error| {
        StorageError::new(ErrorKind::Internal, StorageTier::Api, "make cursor", "expected the cursor to become JSON")
            .caused_by(error)
    })?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// A page of a list.
#[derive(Serialize)]
pub struct List<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl<T> List<T> {
    /// The first `limit` of some items, of which one more tells that there is another page; `key` is of the last.
    pub fn of(mut items: Vec<T>, limit: usize, query: u64, key: impl Fn(&T) -> OrderKey) -> Result<Self> {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let cursor = last.map(|last| encode(query, vec![key(last)])).transpose()?;
        Ok(Self { items, cursor })
    }
}

/// The keys of a cursor that belongs to this query and has `width` keys.
pub fn decode(query: u64, cursor: &str, width: usize) -> Result<Vec<OrderKey>> {
    let refuse = |message: &str| invalid("read cursor").at("/cursor", message);
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let read: Option<Cursor> = text.and_then(|text| serde_json::from_str(&text).ok());
    let read = read.ok_or_else(|| refuse("expected a cursor of this API, got other text"))?;
    if read.v != VERSION || read.q != query || read.k.len() != width {
        return Err(refuse("expected a cursor of this same query, got one of another"));
    }
    Ok(read.k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_exactly_and_only_for_their_query() {
        let keys = vec![
            OrderKey::Null,
            OrderKey::Boolean(true),
            OrderKey::Integer(i128::MAX),
            OrderKey::Double(0.1 + 0.2),
            OrderKey::Text("é\"\u{0}".to_owned()),
        ];
        let cursor = encode(7, keys.clone()).unwrap();
        assert_eq!(decode(7, &cursor, 5).unwrap(), keys);
        for (query, cursor, width) in
            [(8, cursor.as_str(), 5), (7, cursor.as_str(), 4), (7, "xx!", 5), (7, "e30", 5), (7, "", 5)]
        {
            assert_eq!(decode(query, cursor, width).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
