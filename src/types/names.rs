//! Names from outside: refused when they are not valid, never altered.

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{COLLECTION_MAX_BYTES, DOCUMENT_ID_MAX_BYTES, NAME_MAX_BYTES};
use crate::types::StorageTier;

/// The suffix of a collection's change-log table, and so of no collection.
pub const CHANGES_SUFFIX: &str = "__changes";

/// An object's name: `type` and `id`, each `[A-Za-z0-9._-]{1,128}` but not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The kind of digital object.
    pub doc_type: String,
    /// Which one.
    pub doc_id: String,
}

impl ObjectName {
    /// Checks both parts.
    pub fn new(doc_type: &str, doc_id: &str) -> Result<Self> {
        check_name("type", doc_type)?;
        check_name("id", doc_id)?;
        Ok(Self { doc_type: doc_type.to_owned(), doc_id: doc_id.to_owned() })
    }

    /// `{type}/{id}`: the name that the Durable Object is found by.
    pub fn path(&self) -> String {
        format!("{}/{}", self.doc_type, self.doc_id)
    }
}

/// Checks one part of an object's name; `what` says which in the refusal.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let valid = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && name != "."
        && name != "..";
    if valid {
        return Ok(());
    }
    Err(refuse(format!(
        "the object's {what} must match [A-Za-z0-9._-]{{1,128}} and be neither \".\" nor \"..\", got {}",
        quoted(name)
    )))
}

/// Checks a collection's name: `[a-z][a-z0-9_]{0,62}`, not ending in `__changes`.
pub fn check_collection(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let valid = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= COLLECTION_MAX_BYTES
        && !name.ends_with(CHANGES_SUFFIX);
    if valid {
        return Ok(());
    }
    Err(refuse(format!(
        "a collection must match [a-z][a-z0-9_]{{0,62}} and not end in \"{CHANGES_SUFFIX}\", got {}",
        quoted(name)
    )))
}

/// Checks a document's id: 1 to 512 bytes of UTF-8 without U+0000, where texts end for SQLite and other readers; neither `.`
/// nor `..`.
pub fn check_document_id(id: &str) -> Result<()> {
    if id.contains('\0') {
        let message = format!("a document id must have no U+0000, got {}", quoted(id));
        return Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read name", message));
    }
    if (1..=DOCUMENT_ID_MAX_BYTES).contains(&id.len()) && id != "." && id != ".." {
        return Ok(());
    }
    Err(refuse(format!(
        "a document id must have 1 to {DOCUMENT_ID_MAX_BYTES} bytes and be neither \".\" nor \"..\", got {} bytes: {}",
        id.len(),
        quoted(id)
    )))
}

/// Checks the id of a document that is the whole of what is looked at: one that is not valid is refused at `/id`.
pub fn check_id_member(id: &str) -> Result<()> {
    check_document_id(id).map_err(|error| match error.kind() {
        ErrorKind::Invalid => {
            let message = error.message().to_owned();
            error.at("/id", message)
        }
        _ => error,
    })
}

/// A name from outside, shortened and escaped for a message.
pub fn quoted(name: &str) -> String {
    let mut short: String = name.chars().take(64).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn refuse(message: String) -> StorageError {
    StorageError::new(ErrorKind::Malformed, StorageTier::Api, "read name", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_lower_case_and_never_a_change_log() {
        for good in ["a", "movies", "flights_200k", "a__change"] {
            check_collection(good).unwrap();
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a\"b", "é", "x__changes", "__changes", &"a".repeat(64)] {
            assert_eq!(check_collection(bad).unwrap_err().kind(), ErrorKind::Malformed, "{bad}");
        }
    }

    #[test]
    fn object_names_are_path_safe() {
        ObjectName::new("demo", "a.b-c_D9").unwrap();
        for bad in ["", ".", "..", "a/b", "a b", "ü", &"x".repeat(129)] {
            assert!(ObjectName::new("demo", bad).is_err(), "{bad}");
            assert!(ObjectName::new(bad, "demo").is_err(), "{bad}");
        }
    }

    #[test]
    fn document_ids_are_any_short_text() {
        for good in ["x", "ü/\"'\u{1}", &"x".repeat(512), "..."] {
            check_document_id(good).unwrap();
        }
        for bad in ["", ".", "..", &"x".repeat(513)] {
            assert_eq!(check_document_id(bad).unwrap_err().kind(), ErrorKind::Malformed, "{bad}");
        }
        for bad in ["\0", "a\0", "\0a"] {
            assert_eq!(check_document_id(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }
}
