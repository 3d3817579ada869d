//! What a restore changes, as it is stored until the swap.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Json, StorageTier};

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
}

impl Changes {
    /// Notes what a document is to become; `None` when it is to be deleted.
    pub fn push(&mut self, collection: usize, id: &str, text: Option<&str>) -> Result<()> {
        let unwritable = |error: serde_json::Error| {
            let message = "expected a document to be JSON text, got other text";
            StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "restore snapshot", message).caused_by(error)
        };
        let document = text.map(|text| RawValue::from_string(text.to_owned())).transpose().map_err(unwritable)?;
        let change = StagedChange { collection, id: id.to_owned(), document };
        let line = serde_json::to_string(&change).map_err(unwritable)?;
        match self.parts.last_mut().filter(|part| part.len() < PART_BYTES) {
            Some(part) => {
                part.push('\n');
                part.push_str(&line);
            }
            None => self.parts.push(line),
        }
        Ok(())
    }

    /// Takes the parts to which nothing is added any more.
    pub fn take_full(&mut self) -> Vec<String> {
        let last = self.parts.pop();
        std::mem::replace(&mut self.parts, last.into_iter().collect())
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

/// Whether two documents are equal as JSON: the order of members does not matter, the text of numbers does.
pub fn is_same(left: &str, right: &str) -> Result<bool> {
    if left == right {
        return Ok(true);
    }
    Ok(Json::parse(left)?.same(&Json::parse(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_lines_that_read_back() {
        let mut changes = Changes::default();
        changes.push(7, "d", None).unwrap();
        changes.push(7, "e", Some(r#"{"n":1.0}"#)).unwrap();
        changes.push(7, "f", Some(r#"{"text":"a\nb"}"#)).unwrap();
        assert!(changes.take_full().is_empty(), "there is room in the only part");
        let parts = changes.into_parts();
        assert_eq!(
            parts,
            [
                "{\"c\":7,\"i\":\"d\"}\n{\"c\":7,\"i\":\"e\",\"d\":{\"n\":1.0}}\n{\"c\":7,\"i\":\"f\",\"d\":{\"text\":\"a\\nb\"}}"
            ]
        );
        let read = read_part(&parts[0]).unwrap();
        assert_eq!(read[2].document.as_ref().unwrap().get(), r#"{"text":"a\nb"}"#);
        assert!(read[0].document.is_none());
        assert!(read_part("{").is_err());
    }

    #[test]
    fn equal_documents_are_the_same_whatever_the_order_of_members() {
        assert!(is_same("not even looked at", "not even looked at").unwrap());
        assert!(is_same(r#"{"x":1,"id":"b"}"#, r#"{"id":"b","x":1}"#).unwrap());
        for (left, right) in [("{}", r#"{"y":2}"#), (r#"{"n":1.0}"#, r#"{"n":1}"#)] {
            assert!(!is_same(left, right).unwrap(), "{left} {right}");
        }
        assert!(is_same("{", "{}").is_err());
    }

    #[test]
    fn a_part_fits_a_row() {
        let mut changes = Changes::default();
        let text = format!("{{\"x\":\"{}\"}}", "y".repeat(600_000));
        for _ in 0..3 {
            changes.push(0, "a", Some(&text)).unwrap();
        }
        let mut sizes: Vec<usize> = changes.take_full().iter().map(String::len).collect();
        assert_eq!(sizes.len(), 1, "one is full");
        sizes.extend(changes.into_parts().iter().map(String::len));
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size < 1_950_000), "{sizes:?}");
    }
}
