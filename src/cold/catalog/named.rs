//! The named snapshots of the object, in rows of the catalogue.
//!
//! What is told of a snapshot is text of any length, in as many rows as it takes. Versions are counted apart, so that
//! the number of a deleted snapshot is never given again.

use uuid::Uuid;

use super::{ColdCatalog, corrupt};
use crate::error::Result;
use crate::ports::{SqlParam, SqlValue, expect_integer, expect_text};
use crate::types::Timestamp;

const TABLES: [&str; 2] = [
    "CREATE TABLE cold_snapshots (version INTEGER NOT NULL, part INTEGER NOT NULL, id TEXT NOT NULL, \
     timestamp INTEGER NOT NULL, parent TEXT, snapshot TEXT NOT NULL, PRIMARY KEY (version, part)) STRICT, WITHOUT ROWID",
    "CREATE TABLE cold_snapshot_versions (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL) STRICT",
];
/// Bytes of a snapshot's text in one row.
const PART_BYTES: usize = 1_900_000;

/// A named snapshot without what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedSnapshot {
    /// Its version.
    pub version: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was made, in Unix ms.
    pub timestamp: Timestamp,
    /// The snapshot that it needs.
    pub parent: Option<Uuid>,
}

impl ColdCatalog {
    /// Whether a named snapshot was ever made.
    pub fn has_named(&self) -> Result<bool> {
        if self.has_named.get().is_none() {
            self.look_for_tables()?;
        }
        Ok(self.has_named.get() == Some(true))
    }

    /// Makes the tables of named snapshots, in a transaction of their own: whether they exist is remembered.
    pub fn create_named(&self) -> Result<()> {
        for table in TABLES {
            self.sql.query(table, &[])?;
        }
        self.sql.query("INSERT INTO cold_snapshot_versions (one, last) VALUES (1, 0)", &[])?;
        self.has_named.set(None);
        Ok(())
    }

    /// The version of the last named snapshot, deleted ones included; 0 before the first.
    pub fn last_named_version(&self) -> Result<i64> {
        if !self.has_named()? {
            return Ok(0);
        }
        let rows = self.sql.query("SELECT last FROM cold_snapshot_versions", &[])?;
        expect_integer(rows.first().and_then(|row| row.first()))
    }

    /// All named snapshots, by version.
    pub fn named(&self) -> Result<Vec<NamedSnapshot>> {
        if !self.has_named()? {
            return Ok(Vec::new());
        }
        let statement = "SELECT version, id, timestamp, parent FROM cold_snapshots WHERE part = 0 ORDER BY version";
        let rows = self.sql.query(statement, &[])?;
        rows.into_iter()
            .map(|row| {
                let (version, timestamp) = (expect_integer(row.first())?, expect_integer(row.get(2))?);
                let parent = match row.get(3) {
                    Some(SqlValue::Text(parent)) => Some(uuid(parent)?),
                    _ => None,
                };
                let id = uuid(&expect_text(row.into_iter().nth(1))?)?;
                Ok(NamedSnapshot { version, id, timestamp, parent })
            })
            .collect()
    }

    /// What is told of the named snapshot of a version; `None` when there is none.
    pub fn named_text(&self, version: i64) -> Result<Option<String>> {
        if !self.has_named()? {
            return Ok(None);
        }
        let statement = "SELECT snapshot FROM cold_snapshots WHERE version = ? ORDER BY part";
        let mut text: Option<String> = None;
        for row in self.sql.query(statement, &[SqlParam::Integer(version)])? {
            text.get_or_insert_default().push_str(&expect_text(row.into_iter().next())?);
        }
        Ok(text)
    }

    /// Adds a named snapshot, within a transaction.
    pub fn insert_named(&self, snapshot: &NamedSnapshot, text: &str) -> Result<()> {
        let (id, parent) = (snapshot.id.to_string(), snapshot.parent.map(|parent| parent.to_string()));
        let version = SqlParam::Integer(snapshot.version);
        self.sql.query("UPDATE cold_snapshot_versions SET last = ?", &[version])?;
        let (mut rest, mut part) = (text, 0);
        loop {
            let (now, later) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            let version = SqlParam::Integer(snapshot.version);
            let parent = parent.as_deref().map_or(SqlParam::Null, SqlParam::Text);
            self.sql.query(
                "INSERT INTO cold_snapshots (version, part, id, timestamp, parent, snapshot) VALUES (?, ?, ?, ?, ?, ?)",
                &[
                    version,
                    SqlParam::Integer(part),
                    SqlParam::Text(&id),
                    SqlParam::Integer(snapshot.timestamp),
                    parent,
                    SqlParam::Text(now),
                ],
            )?;
            (rest, part) = (later, part.saturating_add(1));
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Removes a named snapshot, within a transaction.
    pub fn delete_named(&self, id: Uuid) -> Result<()> {
        self.sql.query("DELETE FROM cold_snapshots WHERE id = ?", &[SqlParam::Text(&id.to_string())])?;
        Ok(())
    }
}

fn uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|error| corrupt("expected the id of a snapshot, got other text").caused_by(error))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::ports::native::NativeSql;

    #[test]
    fn snapshots_of_any_length_are_kept_and_versions_never_given_again() {
        let sql = Rc::new(NativeSql::in_memory().unwrap());
        let catalog = ColdCatalog::new(sql.clone());
        assert_eq!((catalog.named().unwrap(), catalog.last_named_version().unwrap()), (Vec::new(), 0));
        catalog.create_named().unwrap();
        let named = |version: i64, parent: Option<u128>| NamedSnapshot {
            version,
            id: Uuid::from_u128(u128::try_from(version).unwrap()),
            timestamp: 5,
            parent: parent.map(Uuid::from_u128),
        };
        for (version, length) in [(1, 0), (2, 10), (3, PART_BYTES), (4, PART_BYTES + 1), (5, 3 * PART_BYTES)] {
            let text: String = "aé€".chars().cycle().take(length).collect();
            let snapshot = named(version, (version > 1).then_some(1));
            catalog.insert_named(&snapshot, &text).unwrap();
            // Another instance reads the same.
            let other = ColdCatalog::new(sql.clone());
            assert!(other.named_text(version).unwrap().unwrap() == text, "{length}");
            assert_eq!(other.named().unwrap().last(), Some(&snapshot));
        }
        assert_eq!(catalog.named_text(6).unwrap(), None);
        catalog.delete_named(Uuid::from_u128(5)).unwrap();
        assert_eq!((catalog.named().unwrap().len(), catalog.last_named_version().unwrap()), (4, 5));
        assert_eq!(catalog.named_text(5).unwrap(), None);
    }
}
