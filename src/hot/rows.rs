//! A generation of rows: one table `rows_{collection}_{generation}`, a document a row, clustered by id.
//!
//! WITHOUT ROWID, so that a document is one row written. Reads are bounded in bytes: sizes are looked up first.

use std::collections::HashMap;

use crate::cdc::RowsReference;
use crate::error::Result;
use crate::limits::{SCAN_PAGE_MAX_BYTES, SCAN_PAGE_MAX_ROWS, SQL_MAX_PARAMETERS};
use crate::ports::{SqlParam, SqlRow, SqlStore, expect_integer, expect_text};
use crate::types::{CollectionId, Document, Sequence, Timestamp};

const COLUMNS: usize = 4;
/// Rows of one INSERT statement.
const INSERT_ROWS: usize = SQL_MAX_PARAMETERS / COLUMNS;

/// A generation of a collection's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The collection's number.
    pub collection: CollectionId,
    /// The generation's number.
    pub number: i64,
}

impl From<RowsReference> for Generation {
    fn from(rows: RowsReference) -> Self {
        Self { collection: rows.collection, number: rows.generation }
    }
}

/// A version to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The document's id.
    pub id: &'a str,
    /// Its version.
    pub sequence: Sequence,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Its JSON text.
    pub text: &'a str,
}

/// Documents in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPage {
    /// The documents; empty at the end.
    pub documents: Vec<Document>,
    /// Bytes of their JSON text.
    pub bytes: usize,
}

impl Generation {
    fn table(self) -> String {
        format!("rows_{}_{}", self.collection, self.number)
    }

    /// Makes the table, within a transaction.
    pub fn create_table(self, sql: &dyn SqlStore) -> Result<()> {
        let statement = format!(
            "CREATE TABLE {} (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL, data TEXT NOT NULL) \
             STRICT, WITHOUT ROWID",
            self.table()
        );
        sql.query(&statement, &[])?;
        Ok(())
    }

    /// Whether the table is still there.
    pub fn exists(self, sql: &dyn SqlStore) -> Result<bool> {
        let statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
        Ok(!sql.query(statement, &[SqlParam::Text(&self.table())])?.is_empty())
    }

    /// Drops the table, if it is still there.
    pub fn drop_table(self, sql: &dyn SqlStore) -> Result<()> {
        sql.query(&format!("DROP TABLE IF EXISTS {}", self.table()), &[])?;
        Ok(())
    }

    /// The document with this id.
    pub fn get(self, sql: &dyn SqlStore, id: &str) -> Result<Option<Document>> {
        let statement = format!("SELECT id, sequence, timestamp, data FROM {} WHERE id = ?", self.table());
        sql.query(&statement, &[SqlParam::Text(id)])?.into_iter().next().map(document).transpose()
    }

    /// The documents with these ids, at most [`SQL_MAX_PARAMETERS`]; the caller bounds their bytes.
    pub fn get_all(self, sql: &dyn SqlStore, ids: &[&str]) -> Result<Vec<Document>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = format!(
            "SELECT id, sequence, timestamp, data FROM {} WHERE id IN ({})",
            self.table(),
            placeholders(ids.len())
        );
        let params: Vec<_> = ids.iter().map(|id| SqlParam::Text(id)).collect();
        sql.query(&statement, &params)?.into_iter().map(document).collect()
    }

    /// Which of these ids exist, at most [`SQL_MAX_PARAMETERS`], and the bytes of their documents.
    pub fn sizes(self, sql: &dyn SqlStore, ids: &[&str]) -> Result<HashMap<String, usize>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let statement =
            format!("SELECT id, octet_length(data) FROM {} WHERE id IN ({})", self.table(), placeholders(ids.len()));
        let params: Vec<_> = ids.iter().map(|id| SqlParam::Text(id)).collect();
        sql.query(&statement, &params)?.into_iter().map(size).collect()
    }

    /// The next documents after an id.
    pub fn page_after(self, sql: &dyn SqlStore, after: Option<&str>) -> Result<RowPage> {
        // No id is empty, so that every id is greater than the empty text.
        let after = after.unwrap_or_default();
        let sizes = format!(
            "SELECT id, octet_length(data) FROM {} WHERE id > ? ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}",
            self.table()
        );
        let mut last = None;
        let mut bytes = 0usize;
        for row in sql.query(&sizes, &[SqlParam::Text(after)])? {
            let (id, size) = size(row)?;
            if last.is_some() && bytes.saturating_add(size) > SCAN_PAGE_MAX_BYTES {
                break;
            }
            bytes = bytes.saturating_add(size);
            last = Some(id);
        }
        let Some(last) = last else { return Ok(RowPage::default()) };
        let statement =
            format!("SELECT id, sequence, timestamp, data FROM {} WHERE id > ? AND id <= ? ORDER BY id", self.table());
        let rows = sql.query(&statement, &[SqlParam::Text(after), SqlParam::Text(&last)])?;
        Ok(RowPage { documents: rows.into_iter().map(document).collect::<Result<_>>()?, bytes })
    }

    /// The id of the row at a position in the order of ids, counted from 0.
    pub fn id_at(self, sql: &dyn SqlStore, position: i64) -> Result<Option<String>> {
        let statement = format!("SELECT id FROM {} ORDER BY id LIMIT 1 OFFSET CAST(? AS INTEGER)", self.table());
        let rows = sql.query(&statement, &[SqlParam::Integer(position)])?;
        rows.into_iter().next().map(|row| expect_text(row.into_iter().next())).transpose()
    }

    /// The number of documents and the bytes of their JSON text.
    pub fn measure(self, sql: &dyn SqlStore) -> Result<(i64, i64)> {
        let rows =
            sql.query(&format!("SELECT count(*), coalesce(sum(octet_length(data)), 0) FROM {}", self.table()), &[])?;
        let row = rows.first();
        Ok((expect_integer(row.and_then(|row| row.first()))?, expect_integer(row.and_then(|row| row.get(1)))?))
    }

    /// Stores versions of documents, new or in the place of older ones: one row written each.
    pub fn put_all(self, sql: &dyn SqlStore, rows: &[Row<'_>]) -> Result<()> {
        for chunk in rows.chunks(INSERT_ROWS) {
            let values = vec!["(?, ?, ?, ?)"; chunk.len()].join(", ");
            let statement = format!(
                "INSERT INTO {} (id, sequence, timestamp, data) VALUES {values} ON CONFLICT (id) DO UPDATE SET \
                 sequence = excluded.sequence, timestamp = excluded.timestamp, data = excluded.data",
                self.table()
            );
            let params: Vec<_> = chunk
                .iter()
                .flat_map(|row| {
                    let (sequence, timestamp) = (SqlParam::Integer(row.sequence), SqlParam::Integer(row.timestamp));
                    [SqlParam::Text(row.id), sequence, timestamp, SqlParam::Text(row.text)]
                })
                .collect();
            sql.query(&statement, &params)?;
        }
        Ok(())
    }

    /// Deletes documents.
    pub fn delete_all(self, sql: &dyn SqlStore, ids: &[&str]) -> Result<()> {
        for chunk in ids.chunks(SQL_MAX_PARAMETERS) {
            let statement = format!("DELETE FROM {} WHERE id IN ({})", self.table(), placeholders(chunk.len()));
            let params: Vec<_> = chunk.iter().map(|id| SqlParam::Text(id)).collect();
            sql.query(&statement, &params)?;
        }
        Ok(())
    }
}

fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn document(row: SqlRow) -> Result<Document> {
    let mut values = row.into_iter();
    let id = expect_text(values.next())?;
    let sequence = expect_integer(values.next().as_ref())?;
    let timestamp = expect_integer(values.next().as_ref())?;
    Ok(Document { id, sequence, timestamp, text: expect_text(values.next())? })
}

fn size(row: SqlRow) -> Result<(String, usize)> {
    let mut values = row.into_iter();
    let id = expect_text(values.next())?;
    Ok((id, usize::try_from(expect_integer(values.next().as_ref())?).unwrap_or(usize::MAX)))
}
