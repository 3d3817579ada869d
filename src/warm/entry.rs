//! An entry of the cache, as bytes that prove themselves.
//!
//! A cache may answer with anything: a part of an entry, another key's, one that should have expired. So an entry says of
//! which key it is (and the key says of which object, generation and class), when it was kept and for how long, and has
//! a checksum over all of it. What does not prove to be what was asked for is no entry.
//!
//! `docs/FORMATS.md` has the bytes.

use xxhash_rust::xxh64::xxh64;

use crate::types::{Sequence, Timestamp};

const MAGIC: [u8; 4] = *b"TCWE";
const VERSION: u16 = 1;
/// The flag of an entry that says that there is nothing.
const ABSENT: u16 = 1;
/// Where the bytes begin that the checksum is of. The flags before them are its seed.
const CHECKED_FROM: usize = 16;
/// How far the clock of the machine that kept an entry may be ahead, in ms.
const CLOCK_SKEW_MS: i64 = 5_000;

/// What is kept under a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The object's last sequence when it was loaded; 0 of what never changes.
    pub sequence: Sequence,
    /// What is to be known of the body, such as its ETag.
    pub tag: String,
    /// The body; `None` says that there is nothing.
    pub body: Option<Vec<u8>>,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEntry {
    /// The entry.
    pub entry: Entry,
    /// How long ago it was kept, in ms.
    pub age_ms: u64,
}

/// The bytes of an entry that is kept under `key` for `ttl_secs` from `now` on.
pub fn encode(entry: &Entry, key: &str, now: Timestamp, ttl_secs: u32) -> Vec<u8> {
    let body = entry.body.as_deref();
    let mut bytes = Vec::with_capacity(key.len() + entry.tag.len() + body.map_or(0, <[u8]>::len) + 64);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    let flags = if body.is_none() { ABSENT } else { 0 };
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(now.to_le_bytes());
    bytes.extend(ttl_secs.to_le_bytes());
    bytes.extend(entry.sequence.to_le_bytes());
    for text in [key, &entry.tag] {
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(body.unwrap_or_default());
    let checksum = xxh64(bytes.get(CHECKED_FROM..).unwrap_or_default(), u64::from(flags));
    if let Some(place) = bytes.get_mut(8..CHECKED_FROM) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// The entry of `key` in these bytes; `None` when they are not that, or its time to live is over.
pub fn decode(bytes: &[u8], key: &str, now: Timestamp) -> Option<FoundEntry> {
    let mut rest = bytes;
    let head: [u8; 6] = take(&mut rest)?;
    let flags = u16::from_le_bytes(take(&mut rest)?);
    let checksum = u64::from_le_bytes(take(&mut rest)?);
    if head.strip_prefix(&MAGIC) != Some(&VERSION.to_le_bytes())
        || flags > ABSENT
        || xxh64(rest, u64::from(flags)) != checksum
    {
        return None;
    }
    let kept_at = Timestamp::from_le_bytes(take(&mut rest)?);
    let ttl_ms = i64::from(u32::from_le_bytes(take(&mut rest)?)).saturating_mul(1_000);
    let sequence = Sequence::from_le_bytes(take(&mut rest)?);
    let (of, tag) = (take_text(&mut rest)?, take_text(&mut rest)?);
    let age_ms = now.saturating_sub(kept_at);
    if of != key || age_ms < -CLOCK_SKEW_MS || age_ms >= ttl_ms {
        return None;
    }
    let body = (flags != ABSENT).then(|| rest.to_vec());
    let entry = Entry { sequence, tag: tag.to_owned(), body };
    Some(FoundEntry { entry, age_ms: u64::try_from(age_ms).unwrap_or(0) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn take_text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "https://thermocline.cache/demo/1/5-2/document/films/a";
    const NOW: Timestamp = 1_767_225_600_000;

    fn entry(body: Option<&[u8]>) -> Entry {
        Entry { sequence: 7, tag: "\"7\"".to_owned(), body: body.map(<[u8]>::to_vec) }
    }

    #[test]
    fn an_entry_reads_back_until_its_time_is_over() {
        for entry in [entry(Some(b"{}")), entry(Some(b"")), entry(None), Entry::default()] {
            let bytes = encode(&entry, KEY, NOW, 10);
            let found = |now| decode(&bytes, KEY, now);
            assert_eq!(found(NOW + 9_999), Some(FoundEntry { entry: entry.clone(), age_ms: 9_999 }));
            assert_eq!(found(NOW + 10_000), None, "its time is over");
            assert_eq!(found(NOW - 5_000), Some(FoundEntry { entry, age_ms: 0 }), "clocks differ a little");
            assert_eq!(found(NOW - 5_001), None, "and not by more");
        }
    }

    #[test]
    fn what_is_cut_altered_or_of_another_key_is_no_entry() {
        let bytes = encode(&entry(Some(b"a body")), KEY, NOW, 10);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], KEY, NOW), None, "{length} bytes");
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                assert_eq!(decode(&altered, KEY, NOW), None, "bit {bit} of byte {position}");
            }
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert_eq!(decode(&longer, KEY, NOW), None);
        for other in ["", "https://thermocline.cache/demo/2/5-2/document/films/a", &format!("{KEY}a")] {
            assert_eq!(decode(&bytes, other, NOW), None, "{other}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_no_entry() {
        let mut bytes = encode(&entry(None), KEY, NOW, 10);
        bytes[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
        let checksum = xxh64(&bytes[16..], u64::from(ABSENT));
        bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&bytes, KEY, NOW), None);
    }
}
