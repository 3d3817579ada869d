//! What a restore changes: documents of the snapshot beside those that there are, in the order of ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Document, Json, StorageTier};

/// Bytes of a part of the changes, about: with one more document it still fits a row.
const PART_BYTES: usize = 900_000;

/// A document as it is to become.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagedChange {
    /// The place of its collection in the list.
    #[serde(rename = "c")]
    pub collection: usize,
    /// Its id.
    #[serde(rename = "i")]
    pub id: String,
    /// Its text; `None` when it is to be deleted.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Box<RawValue>>,
}

/// The changes found, in parts: a line of JSON a change.
#[derive(Default)]
pub struct Changes {
    parts: Vec<String>,
    /// How many changes there are.
    pub count: u64,
    /// Bytes of all parts.
    pub bytes: usize,
}

impl Changes {
    /// Compares a page of documents that there are with those wanted. What is found is taken from `wanted`; what stays
    /// in it when all pages are compared is missing. With `same_versions` both are of one object.
    pub fn compare(
        &mut self,
        collection: usize,
        present: &[Document],
        wanted: &mut BTreeMap<String, Document>,
        same_versions: bool,
    ) -> Result<()> {
        for document in present {
            match wanted.remove(&document.id) {
                None => self.push(collection, &document.id, None)?,
                Some(other) if same_versions && is_same_version(&other, document) => {}
                Some(other) if is_same(&other.text, &document.text)? => {}
                Some(other) => self.push(collection, &document.id, Some(&other.text))?,
            }
        }
        Ok(())
    }

    /// Notes a document that is to be made.
    pub fn missing(&mut self, collection: usize, document: &Document) -> Result<()> {
        self.push(collection, &document.id, Some(&document.text))
    }

    fn push(&mut self, collection: usize, id: &str, text: Option<&str>) -> Result<()> {
        let unwritable = |error: serde_json::Error| {
            let message = "expected a document to be JSON text, got other text";
            StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "restore snapshot", message).caused_by(error)
        };
        let document = text.map(|text| RawValue::from_string(text.to_owned())).transpose().map_err(unwritable)?;
        let change = StagedChange { collection, id: id.to_owned(), document };
        let line = serde_json::to_string(&change).map_err(unwritable)?;
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(line.len());
        match self.parts.last_mut().filter(|part| part.len() < PART_BYTES) {
            Some(part) => {
                part.push('\n');
                part.push_str(&line);
            }
            None => self.parts.push(line),
        }
        Ok(())
    }

    /// The parts.
    pub fn into_parts(self) -> Vec<String> {
        self.parts
    }
}

/// Reads a part.
pub fn read_part(text: &str) -> Result<Vec<StagedChange>> {
    let corrupt = |error: serde_json::Error| {
        let message = "expected changes of a restore, got other text";
        StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "restore snapshot", message).caused_by(error)
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(corrupt)).collect()
}

/// Whether two documents of one object are of the same event. After a point-in-time rewind sequences come again, but not at
/// the same time.
fn is_same_version(left: &Document, right: &Document) -> bool {
    left.sequence == right.sequence && left.timestamp == right.timestamp
}

/// Whether two documents are equal as JSON: the order of members does not matter, the text of numbers does.
fn is_same(left: &str, right: &str) -> Result<bool> {
    if left == right {
        return Ok(true);
    }
    Ok(Json::parse(left)?.same(&Json::parse(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, sequence: i64, text: &str) -> Document {
        Document { id: id.to_owned(), sequence, timestamp: 1, text: text.to_owned() }
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let wanted = [("a", r#"{"id":"a","x":1}"#), ("b", r#"{"x":1,"id":"b"}"#), ("c", "{}"), ("e", r#"{"n":1.0}"#)];
        let mut wanted: BTreeMap<String, Document> =
            wanted.iter().map(|(id, text)| ((*id).to_owned(), document(id, 1, text))).collect();
        let present = [
            document("a", 1, "not even looked at"),
            document("b", 2, r#"{"id":"b","x":1}"#),
            document("c", 3, r#"{"y":2}"#),
            document("d", 4, "{}"),
            document("e", 5, r#"{"n":1}"#),
        ];
        let mut changes = Changes::default();
        changes.compare(7, &present, &mut wanted, true).unwrap();
        assert!(wanted.is_empty());
        // The same sequence at another time is another event.
        let mut rewound = BTreeMap::from([("a".to_owned(), Document { timestamp: 2, ..document("a", 1, "{}") })]);
        let mut others = Changes::default();
        others.compare(7, &[document("a", 1, r#"{"x":1}"#)], &mut rewound, true).unwrap();
        assert_eq!(others.count, 1);
        changes.missing(7, &document("f", 1, r#"{"text":"a\nb"}"#)).unwrap();
        let parts = changes.into_parts();
        assert_eq!(
            parts,
            [
                "{\"c\":7,\"i\":\"c\",\"d\":{}}\n{\"c\":7,\"i\":\"d\"}\n{\"c\":7,\"i\":\"e\",\"d\":{\"n\":1.0}}\n{\"c\":7,\"i\":\"f\",\"d\":{\"text\":\"a\\nb\"}}"
            ]
        );
        let read = read_part(&parts[0]).unwrap();
        assert_eq!(read[3].document.as_ref().unwrap().get(), r#"{"text":"a\nb"}"#);
        assert!(read[1].document.is_none());
        assert!(read_part("{").is_err());
    }

    #[test]
    fn a_part_fits_a_row() {
        let mut changes = Changes::default();
        let text = format!("{{\"x\":\"{}\"}}", "y".repeat(600_000));
        for _ in 0..3 {
            changes.missing(0, &document("a", 1, &text)).unwrap();
        }
        let sizes: Vec<usize> = changes.into_parts().iter().map(String::len).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size < 1_950_000), "{sizes:?}");
    }
}
