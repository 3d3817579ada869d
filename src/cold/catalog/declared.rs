//! Which declarations the tables follow: by a checksum, for those collections of which something is declared.

use std::collections::HashMap;

use super::ColdCatalog;
use crate::error::Result;
use crate::ports::{SqlParam, expect_integer};
use crate::types::CollectionId;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS cold_declared (collection INTEGER PRIMARY KEY, checksum INTEGER NOT NULL) STRICT";

impl ColdCatalog {
    fn has_declared(&self) -> Result<bool> {
        if self.has_declared.get().is_none() {
            self.look_for_tables()?;
        }
        Ok(self.has_declared.get() == Some(true))
    }

    /// The checksums of the declarations that were committed last, of the collections that had one.
    pub fn declared(&self) -> Result<HashMap<CollectionId, i64>> {
        if !self.has_declared()? {
            return Ok(HashMap::new());
        }
        let rows = self.sql.query("SELECT collection, checksum FROM cold_declared", &[])?;
        rows.iter().map(|row| Ok((expect_integer(row.first())?, expect_integer(row.get(1))?))).collect()
    }

    /// Notes, within a transaction, which declaration the table of a collection follows.
    pub fn set_declared(&self, collection: CollectionId, checksum: i64) -> Result<()> {
        if !self.has_declared()? {
            // The transaction may be rolled back.
            self.has_declared.set(None);
            self.sql.query(TABLE, &[])?;
        }
        self.sql.query(
            "INSERT INTO cold_declared (collection, checksum) VALUES (?, ?) ON CONFLICT (collection) DO UPDATE SET \
             checksum = excluded.checksum",
            &[SqlParam::Integer(collection), SqlParam::Integer(checksum)],
        )?;
        Ok(())
    }
}
