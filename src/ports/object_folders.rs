//! A bucket as those see it who only look on: by folder, and one object after the other as a stream.

use async_trait::async_trait;

use super::ObjectStore;
use super::message::Body;
use crate::error::Result;
use crate::types::Timestamp;

/// Some of the folders directly below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderPage {
    /// Their names, in the order of keys.
    pub names: Vec<String>,
    /// Where the next page begins; `None` on the last. A page may be short, or empty, and still not be the last.
    pub cursor: Option<String>,
}

/// A bucket that can be listed.
#[async_trait(?Send)]
pub trait ObjectFolders: ObjectStore {
    /// Folders directly below `prefix`, which ends in a slash: `limit` of them at most, and never more than 1,000.
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage>;
}

/// Which bytes of an object, before its size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last, both included; the last may lie beyond the end.
    Between {
        /// The first byte.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// From this byte to the end.
    From(u64),
    /// So many bytes before the end, or all when there are fewer.
    Last(u64),
}

impl ByteRange {
    /// Offset and length in an object of a size; `None` when no byte of it is in the range.
    pub fn within(self, size: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::Between { first, last } => (first, last.saturating_add(1).min(size)),
            Self::From(first) => (first, size),
            Self::Last(length) => (size.saturating_sub(length), size),
        };
        (first < end).then(|| (first, end - first))
    }
}

/// What a reader is told of an object beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDescription {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored.
    pub uploaded_ms: Timestamp,
    /// Its MIME type, where one was stored.
    pub content_type: Option<String>,
}

/// What became of opening an object.
#[derive(Debug)]
pub enum Opened {
    /// There is no such object.
    Missing,
    /// No byte of the object is in the range.
    OutOfRange(ObjectDescription),
    /// The object, and the bytes asked for as a body that nobody has read.
    Found(ObjectDescription, Body),
}

/// A bucket whose objects are passed on without being read.
#[async_trait(?Send)]
pub trait ObjectStreams {
    /// What is known of the object under `key`; `None` when there is none.
    async fn describe(&self, key: &str) -> Result<Option<ObjectDescription>>;

    /// Opens an object, or a range of it.
    async fn open(&self, key: &str, range: Option<ByteRange>) -> Result<Opened>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_and_begin_before_it() {
        assert_eq!(ByteRange::Between { first: 2, last: 4 }.within(10), Some((2, 3)));
        assert_eq!(ByteRange::Between { first: 2, last: u64::MAX }.within(10), Some((2, 8)));
        assert_eq!(ByteRange::Between { first: 4, last: 2 }.within(10), None);
        assert_eq!(ByteRange::Between { first: 10, last: 12 }.within(10), None);
        assert_eq!(ByteRange::From(9).within(10), Some((9, 1)));
        assert_eq!(ByteRange::From(10).within(10), None);
        assert_eq!(ByteRange::Last(3).within(10), Some((7, 3)));
        assert_eq!(ByteRange::Last(30).within(10), Some((0, 10)));
        assert_eq!(ByteRange::Last(0).within(10), None);
        assert_eq!(ByteRange::Last(1).within(0), None);
    }
}
