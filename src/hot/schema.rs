//! The object's own tables, made by its first write.

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{SqlParam, SqlStore, expect_integer, expect_text};
use crate::types::names::ObjectName;
use crate::types::{StorageTier, Timestamp};

/// The version of the tables of an object without segments.
const FORMAT_ROWS: i64 = 1;
/// The version of the tables of an object that has, or had, segments.
pub const FORMAT_SEGMENTS: i64 = 2;
/// The version of the tables of an object that has, or had, evicted segments.
pub const FORMAT_STUBS: i64 = 3;
/// The version of the tables of an object whose files are being deleted.
const FORMAT_ERASING: i64 = 4;

const OBJECT: &str = "CREATE TABLE object (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, \
     doc_type TEXT NOT NULL, doc_id TEXT NOT NULL, created INTEGER NOT NULL, cache_generation INTEGER NOT NULL) STRICT";
const COLLECTIONS: &str = "CREATE TABLE collections (id INTEGER PRIMARY KEY, name TEXT NOT NULL, \
     generation INTEGER NOT NULL, live INTEGER NOT NULL, definition TEXT NOT NULL) STRICT";

/// What the object knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// The name it was first written under.
    pub name: ObjectName,
    /// When that was, Unix ms.
    pub created: Timestamp,
    /// The number that cached reads carry; another number makes them miss.
    pub cache_generation: i64,
    /// Whether it was erased, and has files yet.
    pub erasing: bool,
}

impl ObjectRecord {
    /// Reads the record; the object's tables must exist.
    pub fn load(sql: &dyn SqlStore) -> Result<Self> {
        let rows = sql.query("SELECT format, doc_type, doc_id, created, cache_generation FROM object", &[])?;
        let row =
            rows.into_iter().next().ok_or_else(|| corrupt("expected the object's record, got none".to_owned()))?;
        let format = expect_integer(row.first())?;
        if !(FORMAT_ROWS..=FORMAT_ERASING).contains(&format) {
            return Err(corrupt(format!(
                "expected tables of a format up to {FORMAT_ERASING}, got {format}; a newer program wrote this object"
            )));
        }
        let doc_type = expect_text(row.get(1).cloned())?;
        let doc_id = expect_text(row.get(2).cloned())?;
        Ok(Self {
            name: ObjectName { doc_type, doc_id },
            created: expect_integer(row.get(3))?,
            cache_generation: expect_integer(row.get(4))?,
            erasing: format == FORMAT_ERASING,
        })
    }
}

/// Makes cached reads of this object miss from now on.
pub fn bump_cache_generation(sql: &dyn SqlStore) -> Result<()> {
    sql.query("UPDATE object SET cache_generation = cache_generation + 1", &[])?;
    Ok(())
}

/// Notes the version of the tables.
pub fn set_format(sql: &dyn SqlStore, format: i64) -> Result<()> {
    sql.query("UPDATE object SET format = ?", &[SqlParam::Integer(format)])?;
    Ok(())
}

/// Makes the tables that erasing has dropped, within its transaction, and makes cached reads miss.
pub fn begin_erasing(sql: &dyn SqlStore) -> Result<()> {
    sql.query(COLLECTIONS, &[])?;
    bump_cache_generation(sql)?;
    set_format(sql, FORMAT_ERASING)
}

/// Notes that nothing is left of what was erased.
pub fn end_erasing(sql: &dyn SqlStore) -> Result<()> {
    set_format(sql, FORMAT_ROWS)
}

/// Makes the tables, within a transaction.
pub fn create(sql: &dyn SqlStore, name: &ObjectName, now: Timestamp) -> Result<()> {
    for table in [OBJECT, COLLECTIONS] {
        sql.query(table, &[])?;
    }
    let params = [
        SqlParam::Integer(FORMAT_ROWS),
        SqlParam::Text(&name.doc_type),
        SqlParam::Text(&name.doc_id),
        SqlParam::Integer(now),
    ];
    sql.query(
        "INSERT INTO object (one, format, doc_type, doc_id, created, cache_generation) VALUES (1, ?, ?, ?, ?, 1)",
        &params,
    )?;
    Ok(())
}

/// Whether the tables exist.
pub fn exists(sql: &dyn SqlStore) -> Result<bool> {
    Ok(!sql.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'object'", &[])?.is_empty())
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "open object", message)
}
