//! What may be declared of a collection whose table is there.
//!
//! Invariant: whatever is accepted here, staging can make of the table, or of as much of it as its files leave room for.

use std::collections::BTreeSet;

use super::snapshotter::Snapshotter;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, CollectionDefinition};
use crate::types::StorageTier;
use crate::vortex::{TableColumn, TableSchema};

impl Snapshotter {
    /// Refuses a definition that the collection's table cannot become.
    pub fn check_definition(&self, name: &str, definition: &CollectionDefinition) -> Result<()> {
        let catalog = self.hot.catalog()?;
        let known = catalog.known(name);
        let mut columns = self.columns_of(known)?;
        let mut empty = true;
        if let Some(collection) = known.filter(|collection| collection.live) {
            let now = &collection.definition;
            empty = self.hot.is_empty(collection)?;
            columns.drop_columns(&now.drop_columns, &now.retired);
            columns.drop_columns(&definition.drop_columns, &[]);
            if !empty {
                // What is declared no longer may stay in the table, for the files that have values of it.
                columns.check_names(&definition.declarations())?;
            }
            columns.declare_around(&now.declarations(), &BTreeSet::new())?;
        }
        columns.drop_columns(&definition.drop_columns, &[]);
        columns.declare(&definition.declarations(), empty)?;
        Ok(())
    }

    /// Refuses to drop fields that have no column and had none that is dropped.
    pub fn check_drops(&self, name: &str, definition: &CollectionDefinition) -> Result<()> {
        let catalog = self.hot.catalog()?;
        let known = catalog.known(name);
        let columns = self.columns_of(known)?;
        let is_declared = |now: &Collection, field: &String| {
            let now = &now.definition;
            now.drop_columns.contains(field) || now.columns.iter().any(|column| column.field() == field)
        };
        let is_known =
            |field: &String| columns.column(field).is_some() || known.is_some_and(|now| is_declared(now, field));
        let Some(position) = definition.drop_columns.iter().position(|field| !is_known(field)) else { return Ok(()) };
        let message = "a column cannot be dropped; see errors";
        let detail = "expected a field that has a column, or had one that is dropped, got another";
        let error = StorageError::new(ErrorKind::Invalid, StorageTier::Api, "drop column", message);
        Err(error.at(format!("/dropColumns/{position}"), detail.to_owned()))
    }

    /// A definition with the ids of the table's columns that it, or the one before, takes away.
    pub fn retiring(&self, name: &str, definition: CollectionDefinition) -> Result<CollectionDefinition> {
        let catalog = self.hot.catalog()?;
        let known = catalog.known(name);
        // An archiving that was planned before the drop may have given a dropped field a column since.
        let was_dropped = |column: &TableColumn| {
            let now = known.map(|now| &now.definition);
            now.is_some_and(|now| now.retired.contains(&column.id) || now.drop_columns.contains(&column.name))
        };
        let dropped = |column: &&TableColumn| definition.drop_columns.contains(&column.name) || was_dropped(column);
        let columns = self.columns_of(known)?;
        let retired = columns.columns().iter().filter(dropped).map(|column| column.id).collect();
        Ok(CollectionDefinition { retired, ..definition })
    }

    fn columns_of(&self, known: Option<&Collection>) -> Result<TableSchema> {
        Ok(known.map(|collection| self.schema(collection)).transpose()?.flatten().unwrap_or_default())
    }
}
