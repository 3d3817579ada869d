//! A generation of rows: one table, a document a row, clustered by id.
//!
//! Its name is `rows_{collection}_{life}_{number}`; objects that were written before there were segments have one
//! generation a life, `rows_{collection}_{life}`, which is number 1.
//! WITHOUT ROWID, so that a document is one row written. Reads are bounded in bytes: sizes are looked up first.

use std::collections::HashMap;

use super::directory::Extent;
use super::row_index::{IndexId, IndexOrder, KeyColumns, KeyPair};
use super::segment::NewRow;
use crate::error::Result;
use crate::limits::{SCAN_PAGE_MAX_BYTES, SCAN_PAGE_MAX_ROWS, SQL_MAX_PARAMETERS};
use crate::ports::{SqlParam, SqlRow, SqlStore, SqlValue, expect_blob, expect_integer, expect_text};
use crate::types::{CollectionId, Document, Sequence, Timestamp};

const COLUMNS: usize = 4;

/// Terms of one compound SELECT, at most.
const COMPOUND_MAX: usize = 5;

/// A generation of a collection's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// The collection's number.
    pub collection: CollectionId,
    /// The number of its life.
    pub life: i64,
    /// The generation's number in that life: later ones have greater numbers.
    pub number: i64,
}

/// Documents that an index has found, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct IndexedPage {
    /// The documents.
    pub documents: Vec<Document>,
    /// Whether there may be more after the last.
    pub is_cut: bool,
}

/// A stored key of an index, and the id of its document.
pub type IndexPlace = (Vec<u8>, String);

/// Documents in the order of an index, with their keys.
#[derive(Clone, Debug, Default)]
pub struct OrderedPage {
    /// The documents.
    pub documents: Vec<(Vec<u8>, Document)>,
    /// Whether there may be more after the last.
    pub is_cut: bool,
}

impl Generation {
    fn table(self) -> String {
        match self.number {
            1 => format!("rows_{}_{}", self.collection, self.life),
            number => format!("rows_{}_{}_{number}", self.collection, self.life),
        }
    }

    /// The generation whose table has this name; `None` for other tables.
    pub fn of_table(name: &str) -> Option<Self> {
        let numbers: Option<Vec<i64>> =
            name.strip_prefix("rows_")?.split('_').map(|number| number.parse().ok()).collect();
        match numbers?.as_slice() {
            [collection, life] => Some(Self { collection: *collection, life: *life, number: 1 }),
            [collection, life, number] => Some(Self { collection: *collection, life: *life, number: *number }),
            _ => None,
        }
    }

    /// Makes the table with the columns of these indexes, within a transaction.
    pub fn create_table(self, sql: &dyn SqlStore, indexes: &[IndexId]) -> Result<()> {
        let table = self.table();
        let keys: String = indexes.iter().map(|index| format!(", {} BLOB", index.column())).collect();
        let statement = format!(
            "CREATE TABLE {table} (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL, data TEXT NOT NULL{keys}) \
             STRICT, WITHOUT ROWID"
        );
        sql.query(&statement, &[])?;
        for column in indexes.iter().map(|index| index.column()) {
            sql.query(&format!("CREATE INDEX {table}_{column} ON {table} ({column})"), &[])?;
        }
        Ok(())
    }

    /// Makes SQLite itself refuse to change or delete a row, or to put one in another's place, within the transaction that
    /// makes the table. What drops tables is not refused there: no statement of this program drops a guarded one.
    pub fn guard(self, sql: &dyn SqlStore) -> Result<()> {
        let table = self.table();
        let (worm, taken) = ("rows are written once", format!("EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"));
        for (event, when) in [("UPDATE", "1"), ("DELETE", "1"), ("INSERT", taken.as_str())] {
            let name = format!("{table}_no_{}", event.to_ascii_lowercase());
            let trigger = format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, '{worm}'); END"
            );
            sql.query(&trigger, &[])?;
        }
        Ok(())
    }

    /// Drops the table, if it is still there.
    pub fn drop_table(self, sql: &dyn SqlStore) -> Result<()> {
        sql.query(&format!("DROP TABLE IF EXISTS {}", self.table()), &[])?;
        Ok(())
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

    /// The ids after one and the bytes of their documents, in order, at most [`SCAN_PAGE_MAX_ROWS`].
    pub fn sizes_after(self, sql: &dyn SqlStore, after: Option<&str>) -> Result<Vec<(String, usize)>> {
        let statement = format!(
            "SELECT id, octet_length(data) FROM {} WHERE id > ? ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}",
            self.table()
        );
        // No id is empty, so that every id is greater than the empty text.
        sql.query(&statement, &[SqlParam::Text(after.unwrap_or_default())])?.into_iter().map(size).collect()
    }

    /// The ids after one and the versions of their documents, in order, at most [`SCAN_PAGE_MAX_ROWS`].
    pub fn versions_after(self, sql: &dyn SqlStore, after: &str) -> Result<Vec<(String, Sequence)>> {
        let statement =
            format!("SELECT id, sequence FROM {} WHERE id > ? ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}", self.table());
        let version = |row: SqlRow| {
            let mut values = row.into_iter();
            Ok((expect_text(values.next())?, expect_integer(values.next().as_ref())?))
        };
        sql.query(&statement, &[SqlParam::Text(after)])?.into_iter().map(version).collect()
    }

    /// The documents after an id up to another, in order; the caller bounds their bytes.
    pub fn between(self, sql: &dyn SqlStore, after: Option<&str>, last: &str) -> Result<Vec<Document>> {
        let statement =
            format!("SELECT id, sequence, timestamp, data FROM {} WHERE id > ? AND id <= ? ORDER BY id", self.table());
        let params = [SqlParam::Text(after.unwrap_or_default()), SqlParam::Text(last)];
        sql.query(&statement, &params)?.into_iter().map(document).collect()
    }

    /// The next documents after an id, bounded in number alone: for a table whose documents are few bytes together.
    pub fn few_after(self, sql: &dyn SqlStore, after: Option<&str>) -> Result<Vec<Document>> {
        let statement = format!(
            "SELECT id, sequence, timestamp, data FROM {} WHERE id > ? ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}",
            self.table()
        );
        sql.query(&statement, &[SqlParam::Text(after.unwrap_or_default())])?.into_iter().map(document).collect()
    }

    /// The next documents after an id, bounded in number and bytes; empty at the end.
    pub fn page_after(self, sql: &dyn SqlStore, after: Option<&str>) -> Result<Vec<Document>> {
        let sizes = self.sizes_after(sql, after)?;
        match sizes.get(..fitting(&sizes)).and_then(<[_]>::last) {
            Some((last, _)) => self.between(sql, after, last),
            None => Ok(Vec::new()),
        }
    }

    /// What the table holds.
    pub fn extent(self, sql: &dyn SqlStore) -> Result<Extent> {
        let statement = format!(
            "SELECT count(*), coalesce(sum(octet_length(data)), 0), coalesce(max(timestamp), 0) FROM {}",
            self.table()
        );
        let rows = sql.query(&statement, &[])?;
        let column = |position: usize| expect_integer(rows.first().and_then(|row| row.get(position)));
        Ok(Extent { rows: column(0)?, bytes: column(1)?, newest: column(2)? })
    }

    /// When the oldest document was committed; `None` when there is none.
    pub fn oldest(self, sql: &dyn SqlStore) -> Result<Option<Timestamp>> {
        let rows = sql.query(&format!("SELECT min(timestamp) FROM {}", self.table()), &[])?;
        match rows.first().and_then(|row| row.first()) {
            None | Some(SqlValue::Null) => Ok(None),
            oldest => expect_integer(oldest).map(Some),
        }
    }

    /// The ids of documents that were committed before a moment and the bytes of their texts, at most so many.
    pub fn older_than(self, sql: &dyn SqlStore, before: Timestamp, limit: usize) -> Result<Vec<(String, usize)>> {
        let statement = format!(
            "SELECT id, octet_length(data) FROM {} WHERE timestamp < CAST(? AS INTEGER) LIMIT CAST(? AS INTEGER)",
            self.table()
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        sql.query(&statement, &[SqlParam::Integer(before), SqlParam::Integer(limit)])?.into_iter().map(size).collect()
    }

    /// Stores versions of documents, new or in the place of older ones: one row written each, and one more an index.
    pub fn put_all(self, sql: &dyn SqlStore, rows: &[NewRow<'_>], keys: &KeyColumns) -> Result<()> {
        let names: String = keys.names().map(|name| format!(", {name}")).collect();
        let updates: String = keys.names().map(|name| format!(", {name} = excluded.{name}")).collect();
        let values = format!("(?, ?, ?, ?{})", ", ?".repeat(keys.len()));
        let width = COLUMNS.saturating_add(keys.len());
        for chunk in rows.chunks(SQL_MAX_PARAMETERS.checked_div(width).unwrap_or(1).max(1)) {
            let statement = format!(
                "INSERT INTO {} (id, sequence, timestamp, data{names}) VALUES {} ON CONFLICT (id) DO UPDATE SET \
                 sequence = excluded.sequence, timestamp = excluded.timestamp, data = excluded.data{updates}",
                self.table(),
                vec![values.as_str(); chunk.len()].join(", ")
            );
            let of_rows = chunk.iter().map(|row| keys.keys(row.text)).collect::<Result<Vec<_>>>()?;
            let mut params = Vec::with_capacity(chunk.len().saturating_mul(width));
            for (row, keys) in chunk.iter().zip(&of_rows) {
                let (sequence, timestamp) = (SqlParam::Integer(row.sequence), SqlParam::Integer(row.timestamp));
                params.extend([SqlParam::Text(row.id), sequence, timestamp, SqlParam::Text(row.text)]);
                params.extend(keys.iter().map(|key| key.as_deref().map_or(SqlParam::Null, SqlParam::Blob)));
            }
            sql.query(&statement, &params)?;
        }
        Ok(())
    }

    /// The next documents after an id whose key in an index lies between two, or is null (`None`), in the order of ids,
    /// bounded in number and bytes.
    pub fn indexed_after(
        self,
        sql: &dyn SqlStore,
        index: IndexId,
        keys: Option<&KeyPair>,
        after: Option<&str>,
    ) -> Result<IndexedPage> {
        let (table, column) = (self.table(), index.column());
        // Named, for SQLite would rather read the whole table in the order of ids than sort a few.
        let condition = match keys {
            Some(_) => format!("{column} >= ? AND {column} < ?"),
            None => format!("{column} IS NULL"),
        };
        let within = format!("FROM {table} INDEXED BY {table}_{column} WHERE {condition} AND id > ?");
        let sizes = format!("SELECT id, octet_length(data) {within} ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}");
        let between = keys.map(|(least, beyond)| [SqlParam::Blob(least), SqlParam::Blob(beyond)]);
        let mut from: Vec<SqlParam<'_>> = between.into_iter().flatten().collect();
        from.push(SqlParam::Text(after.unwrap_or_default()));
        let sizes: Vec<(String, usize)> = sql.query(&sizes, &from)?.into_iter().map(size).collect::<Result<_>>()?;
        let fitting = fitting(&sizes);
        let Some((last, _)) = sizes.get(..fitting).and_then(<[_]>::last) else { return Ok(IndexedPage::default()) };
        let statement = format!("SELECT id, sequence, timestamp, data {within} AND id <= ? ORDER BY id");
        from.push(SqlParam::Text(last));
        let rows = sql.query(&statement, &from)?;
        let is_cut = fitting < sizes.len() || sizes.len() >= SCAN_PAGE_MAX_ROWS;
        Ok(IndexedPage { documents: rows.into_iter().map(document).collect::<Result<_>>()?, is_cut })
    }

    /// The next documents of an index in its order after a place, with their keys, at most so many and bounded in bytes.
    pub fn ordered_after(
        self,
        sql: &dyn SqlStore,
        order: &IndexOrder,
        place: Option<&IndexPlace>,
        limit: usize,
    ) -> Result<OrderedPage> {
        let (table, column, (least, beyond)) = (self.table(), order.index.column(), &order.keys);
        // No id is empty, so that the empty text stands before all that have a key.
        let (first, end, after, within, direction) = match order.descending {
            false => (least, beyond, ">", "<", "ASC"),
            true => (beyond, least, "<", ">=", "DESC"),
        };
        let (key, id) = place.map_or((first.as_slice(), ""), |(key, id)| (key.as_slice(), id.as_str()));
        let select = |values: &str, limit: usize| {
            let statement = format!(
                "SELECT {values} FROM {table} INDEXED BY {table}_{column} WHERE ({column}, id) {after} (?, ?) AND \
                 {column} {within} ? ORDER BY {column} {direction}, id {direction} LIMIT {limit}"
            );
            sql.query(&statement, &[SqlParam::Blob(key), SqlParam::Text(id), SqlParam::Blob(end)])
        };
        let limit = limit.min(SCAN_PAGE_MAX_ROWS);
        let sizes = select("id, octet_length(data)", limit)?.into_iter().map(size).collect::<Result<Vec<_>>>()?;
        let fitting = fitting(&sizes);
        if fitting == 0 {
            return Ok(OrderedPage::default());
        }
        let with_key = |mut row: SqlRow| Ok((expect_blob(row.pop())?, document(row)?));
        let rows = select(&format!("id, sequence, timestamp, data, {column}"), fitting)?;
        let is_cut = fitting < sizes.len() || sizes.len() >= limit;
        Ok(OrderedPage { documents: rows.into_iter().map(with_key).collect::<Result<_>>()?, is_cut })
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

/// How many of the first documents of these sizes make a page; at least one.
fn fitting(sizes: &[(String, usize)]) -> usize {
    let mut bytes = 0usize;
    let fit = sizes.iter().enumerate().take_while(|(place, (_, size))| {
        bytes = bytes.saturating_add(*size);
        *place == 0 || bytes <= SCAN_PAGE_MAX_BYTES
    });
    fit.count()
}

/// The document with this id in one of several generations, and in which.
pub fn get(sql: &dyn SqlStore, generations: &[Generation], id: &str) -> Result<Option<(Generation, Document)>> {
    for chunk in generations.chunks(COMPOUND_MAX) {
        let term = |generation: &Generation| {
            let number = generation.number;
            format!("SELECT id, sequence, timestamp, data, {number} FROM {} WHERE id = ?1", generation.table())
        };
        let statement = chunk.iter().map(term).collect::<Vec<_>>().join(" UNION ALL ");
        if let Some(row) = sql.query(&statement, &[SqlParam::Text(id)])?.into_iter().next() {
            let number = expect_integer(row.get(4))?;
            let found = chunk.iter().find(|generation| generation.number == number).copied();
            return Ok(found.zip(Some(document(row)?)));
        }
    }
    Ok(None)
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
