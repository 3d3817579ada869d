//! Declared indexes in row form: a column of keys and an index of SQLite over it, for each.
//!
//! A key is the [bytes](super::segment::index_key) of the tuple of a document's values, cut at [`KEY_MAX_BYTES`]; so keys
//! are in the order of the tuples, and what is found between two of them is looked at again. The column is named by a
//! hash of the index's fields: a generation made before an index was declared has no such column, and is read whole.

use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::query::FieldPath;
use super::segment::index_key;
use crate::error::Result;
use crate::types::Json;

/// Bytes of a key that are stored.
pub const KEY_MAX_BYTES: usize = 512;
const COLUMN_PREFIX: &str = "key_";
const HASH_DIGITS: usize = 16;

/// An index, told by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId(u64);

impl IndexId {
    /// The index over these fields.
    pub fn of(fields: &[String]) -> Self {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        Self(xxh64(&bytes, 0))
    }

    /// The column of its keys.
    pub fn column(self) -> String {
        format!("{COLUMN_PREFIX}{:016x}", self.0)
    }

    /// The indexes whose columns a table has, by the statement that made it.
    pub fn of_table(statement: &str) -> Rc<[Self]> {
        let columns = statement.split(COLUMN_PREFIX).skip(1).filter_map(|rest| rest.get(..HASH_DIGITS));
        columns.filter_map(|digits| u64::from_str_radix(digits, 16).ok()).map(Self).collect()
    }
}

/// The key of a document in an index.
pub fn key(fields: &[FieldPath], document: &Json<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    for field in fields {
        index_key::put_value(field.find(document), &mut key);
    }
    key.truncate(KEY_MAX_BYTES);
    key
}

/// The indexes that documents written to a table have keys in.
#[derive(Clone, Debug, Default)]
pub struct KeyColumns {
    columns: Vec<(IndexId, Vec<FieldPath>)>,
}

impl KeyColumns {
    /// Of the declared indexes those that the table has.
    pub fn new(declared: &[Vec<String>], of_table: &[IndexId]) -> Self {
        let columns = declared.iter().map(|fields| (IndexId::of(fields), fields));
        let columns = columns.filter(|(id, _)| of_table.contains(id));
        let paths = |fields: &Vec<String>| fields.iter().map(|field| FieldPath::new(field.as_str())).collect();
        Self { columns: columns.map(|(id, fields)| (id, paths(fields))).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.columns.iter().map(|(id, _)| id.column())
    }

    /// The keys of a document.
    pub fn keys(&self, text: &str) -> Result<Vec<Vec<u8>>> {
        if self.columns.is_empty() {
            return Ok(Vec::new());
        }
        let document = Json::parse(text)?;
        Ok(self.columns.iter().map(|(_, fields)| key(fields, &document)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_the_indexes_it_has() {
        let ids = [IndexId::of(&["city".to_owned()]), IndexId::of(&["a".to_owned(), "b".to_owned()])];
        let statement = format!("CREATE TABLE t (id TEXT, {} BLOB, {} BLOB) STRICT", ids[0].column(), ids[1].column());
        assert_eq!(IndexId::of_table(&statement).as_ref(), ids);
        assert!(IndexId::of_table("CREATE TABLE t (id TEXT, key_ TEXT)").is_empty());
        assert_ne!(IndexId::of(&["ab".to_owned()]), IndexId::of(&["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn keys_are_in_the_order_of_values() {
        let fields = [FieldPath::new("a"), FieldPath::new("b.c")];
        let key = |text: &str| key(&fields, &Json::parse(text).unwrap());
        assert!(key(r#"{"a":1,"b":{"c":"x"}}"#) < key(r#"{"a":1.5}"#));
        assert_eq!(key(r#"{"a":1,"b":{"c":null}}"#), key(r#"{"a":1.0}"#));
        assert_eq!(key(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5_000))).len(), KEY_MAX_BYTES);
    }
}
