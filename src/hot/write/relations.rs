//! What other collections have to do with the documents of a run: parents must be there, children must not.
//!
//! Looked up once a run, and not at all for collections without such relations. What one run of a transaction makes or
//! deletes the next one sees: children are deleted in a run before their parents, and made in one after.

use std::collections::HashSet;
use std::rc::Rc;

use super::{Mutation, Write};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Catalog, Collection, HotStore};
use crate::types::StorageTier;

/// The documents of other collections that a run is held to.
#[derive(Default)]
pub(super) struct Relations {
    parents: Option<Others>,
    children: Vec<Others>,
}

struct Others {
    collection: Rc<str>,
    ids: HashSet<String>,
}

impl Relations {
    /// Looks up what a run of mutations of a collection is held to.
    pub fn locate(store: &HotStore, catalog: &Catalog, collection: &Collection, run: &[Write]) -> Result<Self> {
        let makes = |write: &&Write| matches!(write.mutation, Mutation::Insert(_) | Mutation::Upsert(_));
        let deletes = |write: &&Write| matches!(write.mutation, Mutation::Delete { .. });
        let parents = match &collection.definition.constraints.parent {
            Some(parent) => Some(Others::locate(store, catalog, parent, run.iter().filter(makes))?),
            None => None,
        };
        let is_child = |other: &&Collection| {
            other.definition.constraints.parent.as_deref().is_some_and(|parent| *parent == *collection.name)
        };
        let children = catalog
            .all_live()
            .filter(is_child)
            .map(|child| Others::locate(store, catalog, &child.name, run.iter().filter(deletes)))
            .collect::<Result<_>>()?;
        Ok(Self { parents, children })
    }

    /// Refuses a mutation that would leave a document without its parent; `exists` says whether there is one of its id.
    pub fn check(&self, write: &Write, exists: bool) -> Result<()> {
        let id = write.mutation.id();
        let conflict =
            |message: String| Err(StorageError::new(ErrorKind::Conflict, StorageTier::Hot, "write document", message));
        let makes = !exists && matches!(write.mutation, Mutation::Insert(_) | Mutation::Upsert(_));
        if let Some(parents) = self.parents.as_ref().filter(|parents| makes && !parents.ids.contains(id.as_ref())) {
            let parent = &parents.collection;
            return conflict(format!(
                "expected a document {id:?} in \"{parent}\" before one in \"{}\", got none; make that one first",
                write.collection
            ));
        }
        let child = self.children.iter().find(|children| children.ids.contains(id.as_ref()));
        match (&write.mutation, child) {
            (Mutation::Delete { .. }, Some(children)) => {
                let child = &children.collection;
                conflict(format!(
                    "expected no document {id:?} in \"{child}\" any more before that of \"{}\" goes, got one; delete that one first",
                    write.collection
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Others {
    fn locate<'w>(
        store: &HotStore,
        catalog: &Catalog,
        collection: &str,
        writes: impl Iterator<Item = &'w Write>,
    ) -> Result<Self> {
        let mut ids: Vec<&str> = writes.map(|write| write.mutation.id().as_ref()).collect();
        ids.sort_unstable();
        ids.dedup();
        let located = match catalog.live(collection) {
            Some(collection) if !ids.is_empty() => store.locate(collection.life(), &ids)?,
            _ => Default::default(),
        };
        Ok(Self { collection: collection.into(), ids: located.into_keys().collect() })
    }
}
