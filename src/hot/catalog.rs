//! The collections of an object.
//!
//! A collection keeps its number for ever, so that one made again under a name continues its table; each new life is
//! another life. The catalogue is small, wholly in memory, and replaced as a whole by a transaction.

use std::rc::Rc;

use super::definition::CollectionDefinition;
use super::directory::LifeKey;
use super::schema;
use super::segment::SegmentBuilder;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{DECLARATIONS_MAX_BYTES, OBJECT_MAX_COLLECTIONS};
use crate::ports::{SqlParam, SqlStore, expect_integer, expect_text};
use crate::types::{CollectionId, StorageTier};

/// A collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its number in this object.
    pub id: CollectionId,
    /// Its name.
    pub name: Rc<str>,
    /// Which of its lives is current.
    pub life: i64,
    /// Whether it exists now; a dropped one keeps its number.
    pub live: bool,
    /// What was declared of it.
    pub definition: Rc<CollectionDefinition>,
}

impl Collection {
    /// Its current life.
    pub fn life(&self) -> LifeKey {
        LifeKey { collection: self.id, number: self.life }
    }

    /// Begins a segment of its documents.
    pub fn segment_builder(&self) -> Result<SegmentBuilder> {
        SegmentBuilder::new(&self.definition.declarations(), &self.definition.indexes)
    }
}

/// All collections, dropped ones included.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    exists: bool,
    collections: Vec<Collection>,
}

impl Catalog {
    /// Reads the catalogue; an object without tables has an empty one.
    pub fn load(sql: &dyn SqlStore) -> Result<Self> {
        if !schema::exists(sql)? {
            return Ok(Self::default());
        }
        let mut collections = Vec::new();
        for row in sql.query("SELECT id, generation, live, name, definition FROM collections ORDER BY id", &[])? {
            let (id, life, live) =
                (expect_integer(row.first())?, expect_integer(row.get(1))?, expect_integer(row.get(2))? != 0);
            let name = expect_text(row.get(3).cloned())?;
            let definition = Rc::new(CollectionDefinition::from_stored(&expect_text(row.into_iter().nth(4))?)?);
            collections.push(Collection { id, name: name.into(), life, live, definition });
        }
        Ok(Self { exists: true, collections })
    }

    /// Whether the object was ever written.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// All collections that exist now.
    pub fn all_live(&self) -> impl Iterator<Item = &Collection> {
        self.collections.iter().filter(|collection| collection.live)
    }

    /// All collections that ever existed.
    pub fn all(&self) -> &[Collection] {
        &self.collections
    }

    /// The collection of this name, if it exists now.
    pub fn live(&self, name: &str) -> Option<&Collection> {
        self.all_live().find(|collection| *collection.name == *name)
    }

    /// The collection of this name, whether it exists now or was dropped.
    pub fn known(&self, name: &str) -> Option<&Collection> {
        self.collections.iter().find(|collection| *collection.name == *name)
    }

    /// Makes the collection live, within a transaction: new, or again as another life.
    pub fn ensure(&mut self, sql: &dyn SqlStore, name: &str) -> Result<Collection> {
        if let Some(collection) = self.live(name) {
            return Ok(collection.clone());
        }
        if self.all_live().count() >= OBJECT_MAX_COLLECTIONS {
            return Err(StorageError::new(
                ErrorKind::Conflict,
                StorageTier::Hot,
                "make collection",
                format!(
                    "expected at most {OBJECT_MAX_COLLECTIONS} collections in an object, got one more; use another object"
                ),
            ));
        }
        match self.collections.iter_mut().find(|collection| *collection.name == *name) {
            Some(dropped) => {
                dropped.life = dropped.life.saturating_add(1);
                dropped.live = true;
                let params = [SqlParam::Integer(dropped.life), SqlParam::Integer(dropped.id)];
                sql.query("UPDATE collections SET live = 1, generation = ? WHERE id = ?", &params)?;
                Ok(dropped.clone())
            }
            None => self.insert(sql, name),
        }
    }

    fn insert(&mut self, sql: &dyn SqlStore, name: &str) -> Result<Collection> {
        let id = self.collections.iter().map(|collection| collection.id).max().unwrap_or(0).saturating_add(1);
        let definition = CollectionDefinition::default();
        let stored = definition.to_stored()?;
        let params = [SqlParam::Integer(id), SqlParam::Text(name), SqlParam::Text(&stored)];
        sql.query("INSERT INTO collections (id, name, generation, live, definition) VALUES (?, ?, 1, 1, ?)", &params)?;
        let collection = Collection { id, name: name.into(), life: 1, live: true, definition: Rc::new(definition) };
        self.collections.push(collection.clone());
        Ok(collection)
    }

    /// Replaces what is declared of a live collection, within a transaction.
    pub fn define(&mut self, sql: &dyn SqlStore, name: &str, definition: CollectionDefinition) -> Result<()> {
        let stored = definition.to_stored()?;
        let mut bytes = stored.len();
        for other in self.collections.iter().filter(|collection| *collection.name != *name) {
            bytes = bytes.saturating_add(other.definition.to_stored()?.len());
        }
        if bytes > DECLARATIONS_MAX_BYTES {
            return Err(StorageError::new(
                ErrorKind::TooLarge,
                StorageTier::Hot,
                "declare collection",
                format!(
                    "expected the declarations of an object to have at most {DECLARATIONS_MAX_BYTES} bytes, got {bytes}"
                ),
            ));
        }
        if let Some(collection) = self.collections.iter_mut().find(|collection| *collection.name == *name) {
            let params = [SqlParam::Text(&stored), SqlParam::Integer(collection.id)];
            sql.query("UPDATE collections SET definition = ? WHERE id = ?", &params)?;
            collection.definition = Rc::new(definition);
        }
        Ok(())
    }

    /// Marks a collection as dropped, within a transaction; what was declared of it goes with it.
    pub fn retire(&mut self, sql: &dyn SqlStore, name: &str) -> Result<()> {
        self.define(sql, name, CollectionDefinition::default())?;
        if let Some(collection) = self.collections.iter_mut().find(|collection| *collection.name == *name) {
            sql.query("UPDATE collections SET live = 0 WHERE id = ?", &[SqlParam::Integer(collection.id)])?;
            collection.live = false;
        }
        Ok(())
    }
}
