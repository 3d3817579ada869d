//! What is to be done with documents, under which conditions, and what came of it.

use std::rc::Rc;

use crate::cdc::Image;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::catalog::Collection;
use crate::hot::document::NewDocument;
use crate::hot::merge_patch::merge_patch;
use crate::types::{Json, Operation, Sequence, StorageTier};

/// What to do with a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Mutation {
    /// Make it; it must not exist.
    Insert(NewDocument),
    /// Make or replace it.
    Upsert(NewDocument),
    /// Change it by an RFC 7396 merge patch; it must exist.
    Merge {
        /// Its id.
        id: Rc<str>,
        /// The patch, as JSON text that parses.
        patch: String,
    },
    /// Delete it; it must exist.
    Delete {
        /// Its id.
        id: Rc<str>,
    },
}

impl Mutation {
    /// The document's id.
    pub fn id(&self) -> &Rc<str> {
        match self {
            Self::Insert(document) | Self::Upsert(document) => &document.id,
            Self::Merge { id, .. } | Self::Delete { id } => id,
        }
    }
}

/// A set of versions that a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// `*`: any version.
    Any,
    /// One of these.
    Listed(Vec<Sequence>),
    /// This one and all that are older.
    UpTo(Sequence),
}

impl Versions {
    /// Whether the current version, if there is one, is in the set.
    pub fn contain(&self, current: Option<Sequence>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Listed(versions), Some(current)) => versions.contains(&current),
            (Self::UpTo(last), Some(current)) => current <= *last,
        }
    }
}

/// What must hold of the current version for a mutation to happen (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It must be one of these.
    pub if_match: Option<Versions>,
    /// It must be none of these.
    pub if_none_match: Option<Versions>,
}

impl Condition {
    /// An error unless the condition holds.
    pub fn check(&self, current: Option<Sequence>) -> Result<()> {
        let holds = self.if_match.as_ref().is_none_or(|versions| versions.contain(current))
            && !self.if_none_match.as_ref().is_some_and(|versions| versions.contain(current));
        if holds {
            return Ok(());
        }
        let got = current.map_or_else(|| "no document".to_owned(), |version| format!("version {version}"));
        Err(StorageError::new(
            ErrorKind::Precondition,
            StorageTier::Hot,
            "check condition",
            format!("expected the condition of the request to hold, got {got}; read the document again"),
        ))
    }
}

/// One mutation with what it is conditional on.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The collection's name.
    pub collection: Rc<str>,
    /// What to do.
    pub mutation: Mutation,
    /// What must hold before.
    pub condition: Condition,
}

impl Write {
    /// Whether it matters only if there is a document before it, not which.
    pub(in crate::hot) fn is_blind(&self) -> bool {
        matches!(self.mutation, Mutation::Insert(_)) && self.condition == Condition::default()
    }
}

/// What a mutation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The document's id.
    pub id: Rc<str>,
    /// What was done.
    pub operation: Operation,
    /// The event's sequence, the document's new version.
    pub sequence: Sequence,
    /// The document now; `None` when deleted.
    pub text: Option<Rc<str>>,
}

/// The text of the document after a mutation; `None` for a delete.
pub(super) fn after_image(
    collection: &Collection,
    mutation: &Mutation,
    before: Option<&Image>,
) -> Result<Option<Rc<str>>> {
    match (mutation, before) {
        (Mutation::Insert(document), Some(_)) => Err(exists(collection, &document.id)),
        (Mutation::Insert(document), None) | (Mutation::Upsert(document), _) => {
            if !collection.definition.columns.is_empty() {
                collection.definition.check_document(&Json::parse(&document.text)?)?;
            }
            Ok(Some(Rc::clone(&document.text)))
        }
        (Mutation::Merge { id, .. } | Mutation::Delete { id }, None) => Err(not_found(&collection.name, id)),
        (Mutation::Merge { id, patch }, Some(before)) => {
            let merged = merge_patch(Json::parse(&before.text)?, Json::parse(patch)?);
            let document = NewDocument::from_json(id, &merged)?;
            collection.definition.check_document(&merged)?;
            Ok(Some(document.text))
        }
        (Mutation::Delete { .. }, Some(_)) => Ok(None),
    }
}

pub(super) fn exists(collection: &Collection, id: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Conflict,
        StorageTier::Hot,
        "insert document",
        format!(
            "expected no document {id:?} in collection \"{}\", got one; use an upsert to replace it",
            collection.name
        ),
    )
}

/// The error that a document does not exist.
pub fn not_found(collection: &str, id: &str) -> StorageError {
    StorageError::new(
        ErrorKind::NotFound,
        StorageTier::Hot,
        "find document",
        format!("expected a document {id:?} in collection \"{collection}\", got none"),
    )
}
