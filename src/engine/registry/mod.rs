//! The asset registry: an object of the type `registry`, whose collections are declared by its first write.
//!
//! Invariants: what the registry guards is written by its own routes alone, whatever else writes; an answer of the index is of
//! all that was committed before it was asked.

mod cleanup;
pub mod collisions;
pub mod embeddings;
mod records;
mod similarity;
mod temporary;

pub use crate::registry::OBJECT_TYPE;
pub use crate::registry::collisions::{NewCollision, NewReview, told as collision_told};
pub use crate::registry::embeddings::store::{Matches as EmbeddingMatches, Wanted as EmbeddingWanted};
pub use crate::registry::embeddings::{K_MAX, SearchOptions, check_vector};
pub use crate::registry::records::{
    HashBody, HashFields, NewAsset, asset_id_of_hash, asset_of_hash, asset_patch, invalid, read_hash, told,
};
pub use crate::registry::schema;
pub use crate::registry::settings::{EmbeddingSettings, Settings, check_options, metric};
pub use crate::registry::similarity::MAX_DISTANCE;
pub use crate::registry::similarity::store::{IndexFigures, Match, Matches, Reach, SearchFigures, Wanted};
pub use crate::registry::temporary::{TemporaryClass, TemporaryValue};
pub use cleanup::{CleanedUp, Cleanup, CleanupPlace};
pub use records::{Detected, Insert};

use std::rc::Rc;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Condition, Mutation, Versions, Write, WriteOutcome, document::NewDocument};
use crate::registry::records::not_a_record;
use crate::registry::schema::{ASSETS, HASHES, SETTINGS, SETTINGS_ID};
use crate::types::names::ObjectName;
use crate::types::{ChangeContext, Sequence, StorageTier};

/// How often settings are set again because others were meanwhile.
const TRIES: usize = 4;

impl Engine {
    /// The tenant whose registry this object is.
    pub fn tenant(&self) -> Result<String> {
        let name = self.name()?;
        if name.doc_type == OBJECT_TYPE {
            return Ok(name.doc_id);
        }
        let message = format!("expected an object of the type \"{OBJECT_TYPE}\", got {:?}", name.doc_type);
        Err(StorageError::new(ErrorKind::NotFound, StorageTier::Api, "route request", message))
    }

    pub(super) fn is_registry(&self) -> bool {
        self.tenant().is_ok()
    }

    /// Declares the registry's collections, within the transaction of a write.
    pub(super) fn ensure_registry(&self, name: &ObjectName) -> Result<()> {
        if name.doc_type != OBJECT_TYPE {
            return Ok(());
        }
        let is_live = |collection: &str| self.hot.catalog().map(|catalog| catalog.live(collection).is_some());
        // They are declared together.
        if is_live(SETTINGS)? {
            return Ok(());
        }
        for (collection, definition) in schema::collections() {
            self.hot.declare(collection, definition)?;
        }
        self.snapshotter.definitions_changed().map(|_| ())
    }

    /// Refuses to declare or drop what the registry declares.
    pub(super) fn check_not_managed(&self, collection: &str) -> Result<()> {
        if self.is_registry() && schema::is_own(collection) { Err(schema::managed(collection)) } else { Ok(()) }
    }

    /// Refuses writes that do not come by the registry's routes to what only these write.
    pub(super) fn check_open_to_all(&self, writes: &[Write]) -> Result<()> {
        if !self.is_registry() {
            return Ok(());
        }
        writes.iter().try_for_each(|write| schema::check_open(&write.collection))
    }

    /// Refuses to restore assets without their hashes, or the reverse: one would be left without the other.
    pub(super) fn check_restored_together(&self, collections: Option<&[String]>) -> Result<()> {
        let wanted = collections.unwrap_or_default();
        let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == name);
        if !self.is_registry() || is_wanted(ASSETS) == is_wanted(HASHES) {
            return Ok(());
        }
        let message = format!("expected \"{ASSETS}\" and \"{HASHES}\" to be restored together, got one of them");
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "restore snapshot", message))
    }

    /// What the tenant has set.
    pub fn registry_settings(&self) -> Result<Settings> {
        let stored = self.hot.get(SETTINGS, SETTINGS_ID)?;
        stored.map_or_else(|| Ok(Settings::default()), |document| Settings::of(&document.text))
    }

    /// Replaces what the tenant has set.
    pub async fn set_registry_settings(&self, settings: &Settings, context: &ChangeContext) -> Result<()> {
        settings.check()?;
        for _ in 1..TRIES {
            match self.try_to_set(settings, context).await {
                Err(error) if error.kind() == ErrorKind::Precondition => {}
                done => return done,
            }
        }
        self.try_to_set(settings, context).await
    }

    /// Replaces the settings, unless others have come between.
    async fn try_to_set(&self, settings: &Settings, context: &ChangeContext) -> Result<()> {
        let version = self.hot.get(SETTINGS, SETTINGS_ID)?.map(|document| document.sequence);
        let given_up = self.dimension_given_up(settings)?;
        if let Some(dimension) = given_up {
            self.ready_embeddings(dimension).await?;
            self.check_dimension_is_free(dimension, Sequence::MAX)?;
        }
        let text = serde_json::json!({ "settings": settings }).to_string();
        let document = NewDocument::read(&text, Some(SETTINGS_ID), || Err(not_a_record()))?;
        let condition = match version {
            Some(version) => Condition { if_match: Some(Versions::UpTo(version)), if_none_match: None },
            None => Condition { if_match: None, if_none_match: Some(Versions::Any) },
        };
        let write = Write { condition, ..insert_or_replace(SETTINGS, document) };
        // Again, once no other request can come between, of what is committed: these settings' own event may be taken back.
        let mut check = |outcomes: &[WriteOutcome]| {
            let own = outcomes.first().map_or(Sequence::MAX, |outcome| outcome.sequence);
            given_up.map_or(Ok(()), |dimension| self.check_dimension_is_free(dimension, own.saturating_sub(1)))
        };
        self.write_and(&[write], context, &mut |_, error| Err(error), &mut check).await?;
        Ok(())
    }
}

/// The insert of a document.
pub fn inserting(collection: &str, document: NewDocument) -> Write {
    Write { collection: Rc::from(collection), mutation: Mutation::Insert(document), condition: Condition::default() }
}

fn insert_or_replace(collection: &str, document: NewDocument) -> Write {
    Write { collection: Rc::from(collection), mutation: Mutation::Upsert(document), condition: Condition::default() }
}
