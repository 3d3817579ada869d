//! The bytes of a pack of entries, version 1, little-endian: magic `TCAL`, version (2), flags (2, none), xxh64 (seed 0) of what
//! follows (8), and the entries as a JSON array in UTF-8.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Sequence, StorageTier, Timestamp};

const MAGIC: &[u8] = b"TCAL";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;

/// Where an entry is: its time, and its place among those of one millisecond.
pub type AccessKey = (Timestamp, i64);

/// What somebody did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessEntry {
    /// When, Unix ms.
    pub timestamp: Timestamp,
    /// Its place among those of its millisecond: of a write in the change log its first sequence, of others a number below 0.
    pub order: i64,
    /// Who; `None` where nobody has to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What: a method and the name of a route.
    pub action: String,
    /// The collections that it was about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
    /// The document, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_id: Option<String>,
    /// The status that it was answered.
    pub status: u16,
    /// How long it took by the platform's clock, which passes only while something is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<i64>,
    /// The caller's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The first sequence of a write's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
    /// How many events a write made; of an entry that says that others are missing, how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

impl AccessEntry {
    /// Where it is.
    pub fn key(&self) -> AccessKey {
        (self.timestamp, self.order)
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let texts =
            [self.principal.as_ref(), Some(&self.action), self.document_id.as_ref(), self.correlation_id.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.collections);
        texts.fold(160_usize, |sum, text| sum.saturating_add(json_bytes(text)))
    }
}

/// Bytes of a text as JSON; what is escaped takes six at most.
fn json_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if byte < 0x20 || matches!(byte, b'"' | b'\\') { 6 } else { 1 }).sum()
}

/// The bytes of some entries.
pub fn pack(entries: &[AccessEntry]) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(entries).map_err(|error| damaged("entries that become JSON").caused_by(error))?;
    let mut bytes = Vec::with_capacity(body.len().saturating_add(HEADER_BYTES));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&xxh64(&body, 0).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The entries of a pack.
pub fn unpack(bytes: &[u8]) -> Result<Vec<AccessEntry>> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("a whole header"))?;
    let (form, checksum) = header.split_at_checked(8).ok_or_else(|| damaged("a whole header"))?;
    if form.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&VERSION.to_le_bytes())) != Some(&[0, 0]) {
        return Err(damaged("the magic and version 1 without flags"));
    }
    if checksum != xxh64(body, 0).to_le_bytes() {
        return Err(damaged("the checksum to match"));
    }
    let text = std::str::from_utf8(body).map_err(|error| damaged("entries as UTF-8").caused_by(error))?;
    serde_json::from_str(text).map_err(|error| damaged("entries as JSON").caused_by(error))
}

fn damaged(expected: &str) -> StorageError {
    let message = format!("expected a pack of the access log with {expected}, got something else");
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read access log", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"[{"timestamp":1790000000000,"order":7,"principal":"ann","action":"PUT document","collections":["films"],"documentId":"a","status":200,"elapsedMs":3,"correlationId":"c","sequence":7,"events":1},{"timestamp":1790000000001,"order":-9,"action":"DELETE consumer","status":204}]"#;

    #[test]
    fn packs_of_version_1_are_read_and_every_byte_is_checked() {
        let entries: Vec<AccessEntry> = serde_json::from_str(GOLDEN).unwrap();
        let bytes = pack(&entries).unwrap();
        let golden =
            [b"TCAL\x01\0\0\0".as_slice(), &xxh64(GOLDEN.as_bytes(), 0).to_le_bytes(), GOLDEN.as_bytes()].concat();
        assert_eq!(bytes, golden);
        assert_eq!(unpack(&golden).unwrap(), entries);
        for position in 0..golden.len() {
            let mut broken = golden.clone();
            broken[position] ^= 1;
            assert_eq!(unpack(&broken).unwrap_err().kind(), ErrorKind::Corrupt, "{position}");
            assert_eq!(unpack(&golden[..position]).unwrap_err().kind(), ErrorKind::Corrupt, "{position}");
        }
    }
}
