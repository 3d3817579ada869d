//! Collections: declared, listed, dropped.

use std::cell::Cell;
use std::rc::Rc;

use super::Engine;
use crate::cdc::access_log::AccessEntry;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, CollectionDefinition, FormCounts};
use crate::types::{ChangeContext, Sequence, StorageTier, Timestamp};

/// A column of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name in the table.
    pub name: String,
    /// The documents' field, where that is called otherwise.
    pub field: Option<String>,
    /// Its type's name.
    pub column_type: String,
    /// Whether it may be null or absent.
    pub nullable: bool,
    /// Whether it was declared; otherwise its type was inferred from what was archived.
    pub declared: bool,
    /// Its Iceberg field id; `None` until the table has the column.
    pub field_id: Option<i32>,
}

/// What is told of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// What was declared of it.
    pub definition: Rc<CollectionDefinition>,
    /// How many documents are in each form, and the bytes of their JSON text.
    pub forms: FormCounts,
}

impl Engine {
    /// All collections that exist.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.hot.catalog()?.all_live().map(|collection| self.describe(collection)).collect()
    }

    /// The names of all collections that exist, in order.
    pub fn collection_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<_> = self.hot.catalog()?.all_live().map(|collection| collection.name.to_string()).collect();
        crate::types::sorting::sort_by(&mut names, Ord::cmp);
        Ok(names)
    }

    /// One collection.
    pub fn collection(&self, name: &str) -> Result<CollectionInfo> {
        let catalog = self.hot.catalog()?;
        match catalog.live(name) {
            Some(collection) => self.describe(collection),
            None => Err(StorageError::new(
                ErrorKind::NotFound,
                StorageTier::Hot,
                "describe collection",
                format!("expected an existing collection, got \"{name}\""),
            )),
        }
    }

    /// Declares or alters a collection; says whether it is new.
    pub async fn declare(&self, name: &str, definition: CollectionDefinition) -> Result<bool> {
        let object = self.name()?;
        self.check_not_managed(name)?;
        self.learn_alarm().await?;
        self.snapshotter.check_drops(name, &definition)?;
        self.snapshotter.check_definition(name, &definition)?;
        let definition = self.snapshotter.retiring(name, definition)?;
        let new = self.hot.catalog()?.live(name).is_none();
        let expires = definition.retention.is_some();
        self.hot.transaction(|| {
            self.hot.ensure_object(&object, self.now_ms())?;
            self.ensure_registry(&object)?;
            self.hot.declare(name, definition)
        })?;
        if self.snapshotter.definitions_changed()? || expires {
            self.schedule_archive().await?;
        }
        Ok(new)
    }

    /// Drops a collection and all its documents; returns the last sequence. Where there is no document the change log does not
    /// tell who has done it: that is noted in the same transaction.
    pub async fn drop_collection(&self, name: &str, context: &ChangeContext) -> Result<Sequence> {
        self.check_not_managed(name)?;
        self.learn_alarm().await?;
        let (before, now, access) = (self.last_sequence()?, self.now_ms(), self.hot.log().access());
        let noted = Cell::new(false);
        let last = self.hot.transaction(|| {
            let last = self.hot.drop_collection(name, context, now)?;
            noted.set(last == before && context.access.is_some());
            if noted.get() {
                access.pack_waiting(now, dropped(name, context, now))?;
            }
            if self.warm.may_hold_documents() {
                self.hot.bump_cache_generation()?;
            }
            Ok(last)
        })?;
        if noted.get() {
            access.packed(now);
        }
        self.warm.generation_bumped();
        self.schedule_archive().await?;
        self.warm.invalidated(last);
        Ok(last)
    }

    fn describe(&self, collection: &Collection) -> Result<CollectionInfo> {
        let forms = self.hot.measure(collection)?;
        Ok(CollectionInfo {
            name: collection.name.to_string(),
            columns: self.columns(collection)?,
            definition: Rc::clone(&collection.definition),
            forms,
        })
    }

    fn columns(&self, collection: &Collection) -> Result<Vec<ColumnInfo>> {
        let definition = &collection.definition;
        let mut schema = self.snapshotter.schema(collection)?.unwrap_or_default();
        schema.drop_columns(&definition.drop_columns, &definition.retired);
        let mut columns: Vec<ColumnInfo> = definition
            .columns
            .iter()
            .map(|column| ColumnInfo {
                name: column.name.clone(),
                field: (column.field() != column.name).then(|| column.field().to_owned()),
                column_type: column.column_type.to_string(),
                nullable: column.nullable,
                declared: true,
                field_id: schema.column(column.field()).map(|column| column.id),
            })
            .collect();
        let is_declared = |field: &str| definition.columns.iter().any(|known| known.field() == field);
        for column in schema.columns().iter().filter(|column| !is_declared(&column.name)) {
            columns.push(ColumnInfo {
                name: column.table_name().to_owned(),
                field: column.renamed.is_some().then(|| column.name.clone()),
                column_type: column.column_type.to_string(),
                nullable: true,
                declared: false,
                field_id: Some(column.id),
            });
        }
        Ok(columns)
    }
}

/// The entry of the access log for the dropping of a collection without documents; `None` where none is wanted.
fn dropped(name: &str, context: &ChangeContext, now: Timestamp) -> Option<AccessEntry> {
    let access = context.access.clone()?;
    Some(AccessEntry {
        timestamp: now,
        principal: access.principal,
        action: access.action,
        collections: vec![name.to_owned()],
        status: 204,
        correlation_id: context.correlation_id.clone(),
        ..AccessEntry::default()
    })
}
