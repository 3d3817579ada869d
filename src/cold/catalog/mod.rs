//! The cold tier's state in the object's SQLite: the authority over its tables.
//!
//! A table has a *committed* state, reached in one transaction when everything it refers to is staged, and a
//! *published* version, the one that `version-hint.text` in the bucket names. Files are kept with the versions that
//! added and removed them, so that both states can be read, and every snapshot that is kept. One plan at most is on its
//! way.
//!
//! All stored values are JSON with a `format`; a newer one is refused.

mod declared;
mod named;

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cold::data_file::{DataFile, LiveFile};
use crate::cold::expiry::ExpiredEvents;
use crate::cold::schema::TableKind;
use crate::cold::table::{Snapshot, TableState};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SQL_MAX_EXACT_INTEGER;
use crate::ports::{SqlParam, SqlRow, SqlStore, SqlValue, expect_integer, expect_text};
use crate::types::{CollectionId, Sequence, StorageTier, Timestamp};
use crate::vortex::TableSchema;

pub use named::NamedSnapshot;

const TABLES: [&str; 5] = [
    "CREATE TABLE cold_progress (one INTEGER PRIMARY KEY CHECK (one = 1), archived INTEGER NOT NULL, \
     published INTEGER NOT NULL, published_at INTEGER) STRICT",
    "CREATE TABLE cold_tables (collection INTEGER NOT NULL, kind INTEGER NOT NULL, state TEXT NOT NULL, columns TEXT NOT NULL, \
     published INTEGER NOT NULL, hint_etag TEXT, PRIMARY KEY (collection, kind)) STRICT, WITHOUT ROWID",
    "CREATE TABLE cold_files (collection INTEGER NOT NULL, kind INTEGER NOT NULL, number INTEGER NOT NULL, \
     added INTEGER NOT NULL, removed INTEGER, file TEXT NOT NULL, PRIMARY KEY (collection, kind, number)) STRICT, WITHOUT ROWID",
    "CREATE TABLE cold_plan (one INTEGER PRIMARY KEY CHECK (one = 1), attempt TEXT NOT NULL, committed INTEGER NOT NULL, \
     plan TEXT NOT NULL, staged TEXT NOT NULL) STRICT",
    "CREATE TABLE cold_garbage (id INTEGER PRIMARY KEY, not_before INTEGER NOT NULL, keys TEXT NOT NULL) STRICT",
];

/// Up to where archived events have expired, made when some have.
const EXPIRED: &str = "CREATE TABLE IF NOT EXISTS cold_expired (one INTEGER PRIMARY KEY CHECK (one = 1), \
     sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL) STRICT";
/// What of a plan does not fit its row, made when there is such a plan.
const PLAN_PARTS: &str =
    "CREATE TABLE IF NOT EXISTS cold_plan_parts (part INTEGER PRIMARY KEY, plan TEXT NOT NULL) STRICT";
/// Bytes of a plan's text in one row.
const PLAN_PART_BYTES: usize = 1_900_000;

/// The time of objects that may be deleted once the next state is published.
pub const UNTIL_PUBLISHED: Timestamp = SQL_MAX_EXACT_INTEGER;

/// A table of this object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId {
    /// The collection's number.
    pub collection: CollectionId,
    /// Its state, or its changes.
    pub kind: TableKind,
}

impl TableId {
    fn params(self) -> [SqlParam<'static>; 2] {
        let kind = match self.kind {
            TableKind::State => 0,
            TableKind::Changes => 1,
        };
        [SqlParam::Integer(self.collection), SqlParam::Integer(kind)]
    }
}

/// What is known of a table.
#[derive(Clone, Debug)]
pub struct TableRecord {
    /// The committed state.
    pub state: TableState,
    /// The columns of a state table; those of a change log are always the same.
    pub columns: TableSchema,
    /// The version last published; 0 before the first.
    pub published: i64,
    /// The ETag of `version-hint.text` as this object last wrote it.
    pub hint_etag: Option<String>,
}

/// How far archiving has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last sequence that the committed states contain.
    pub archived: Sequence,
    /// The last sequence that the published states contain.
    pub published: Sequence,
    /// When they were published.
    pub published_at: Option<Timestamp>,
}

/// A plan on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlan {
    /// The attempt that all its objects are named by.
    pub attempt: Uuid,
    /// Whether its states are committed, so that only publishing is left.
    pub committed: bool,
    /// The plan itself.
    pub plan: String,
    /// Keys of the objects that may have been put for it.
    pub staged: Vec<String>,
}

/// A data file with its row in the catalogue.
#[derive(Clone, Debug)]
pub struct CatalogFile {
    /// The row's number.
    pub number: i64,
    /// The file.
    pub file: LiveFile,
}

/// What a catalogue tells of files, without its own numbers.
pub fn data_files(files: Vec<CatalogFile>) -> Vec<DataFile> {
    files.into_iter().map(|file| file.file.file).collect()
}

/// Objects of the bucket that nothing refers to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// The row's number.
    pub id: i64,
    /// Their keys.
    pub keys: Vec<String>,
}

/// The catalogue of one object.
#[derive(Clone)]
pub struct ColdCatalog {
    sql: Rc<dyn SqlStore>,
    /// Whether the tables are known to exist; they never go away.
    exists: Rc<Cell<bool>>,
    /// Whether those of named snapshots do; `None` until it was looked for them.
    has_named: Rc<Cell<Option<bool>>>,
    /// The same of the table of declarations.
    has_declared: Rc<Cell<Option<bool>>>,
}

impl ColdCatalog {
    /// The catalogue in `sql`.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, exists: Rc::default(), has_named: Rc::default(), has_declared: Rc::default() }
    }

    /// Whether anything was ever planned.
    pub fn exists(&self) -> Result<bool> {
        if !self.exists.get() {
            self.look_for_tables()?;
        }
        Ok(self.exists.get())
    }

    /// Learns which tables there are.
    fn look_for_tables(&self) -> Result<()> {
        let statement = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN \
             ('cold_progress', 'cold_snapshots', 'cold_declared')";
        for row in self.sql.query(statement, &[])? {
            match expect_text(row.into_iter().next())?.as_str() {
                "cold_progress" => self.exists.set(true),
                "cold_declared" => self.has_declared.set(Some(true)),
                _ => self.has_named.set(Some(true)),
            }
        }
        for found in [&self.has_named, &self.has_declared] {
            found.set(Some(found.get() == Some(true)));
        }
        Ok(())
    }

    /// Makes the tables, in a transaction of their own: whether they exist is remembered.
    pub fn create(&self) -> Result<()> {
        for table in TABLES {
            self.sql.query(table, &[])?;
        }
        self.sql.query("INSERT INTO cold_progress (one, archived, published) VALUES (1, 0, 0)", &[])?;
        Ok(())
    }

    /// Makes the tables of an object whose events up to some are gone for good.
    pub fn create_after(&self, gone: ExpiredEvents) -> Result<()> {
        self.create()?;
        self.sql.query(
            "UPDATE cold_progress SET archived = ?, published = ?",
            &[SqlParam::Integer(gone.through), SqlParam::Integer(gone.through)],
        )?;
        self.set_expired(gone)
    }

    /// How far archiving has come.
    pub fn progress(&self) -> Result<Progress> {
        if !self.exists()? {
            return Ok(Progress::default());
        }
        let rows = self.sql.query("SELECT archived, published, published_at FROM cold_progress", &[])?;
        let row = rows.first().ok_or_else(|| corrupt("expected the progress of archiving, got none"))?;
        let published_at = match row.get(2) {
            Some(SqlValue::Null) => None,
            other => Some(expect_integer(other)?),
        };
        Ok(Progress { archived: expect_integer(row.first())?, published: expect_integer(row.get(1))?, published_at })
    }

    /// Notes that the committed states contain everything up to `sequence`.
    pub fn set_archived(&self, sequence: Sequence) -> Result<()> {
        self.sql.query("UPDATE cold_progress SET archived = ?", &[SqlParam::Integer(sequence)])?;
        Ok(())
    }

    /// Notes that what is committed is published.
    pub fn set_published(&self, at: Timestamp) -> Result<()> {
        self.sql.query("UPDATE cold_progress SET published = archived, published_at = ?", &[SqlParam::Integer(at)])?;
        Ok(())
    }

    /// Up to where archived events have expired.
    pub fn expired(&self) -> Result<ExpiredEvents> {
        let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'cold_expired'";
        if self.sql.query(exists, &[])?.is_empty() {
            return Ok(ExpiredEvents::default());
        }
        match self.sql.query("SELECT sequence, timestamp FROM cold_expired", &[])?.first() {
            None => Ok(ExpiredEvents::default()),
            Some(row) => {
                Ok(ExpiredEvents { through: expect_integer(row.first())?, timestamp: expect_integer(row.get(1))? })
            }
        }
    }

    /// Notes up to where archived events have expired; it never goes back.
    pub fn set_expired(&self, expired: ExpiredEvents) -> Result<()> {
        self.sql.query(EXPIRED, &[])?;
        self.sql.query(
            "INSERT INTO cold_expired (one, sequence, timestamp) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET \
             sequence = max(sequence, excluded.sequence), timestamp = max(timestamp, excluded.timestamp)",
            &[SqlParam::Integer(expired.through), SqlParam::Integer(expired.timestamp)],
        )?;
        Ok(())
    }

    /// A table, if it was ever committed.
    pub fn table(&self, id: TableId) -> Result<Option<TableRecord>> {
        if !self.exists()? {
            return Ok(None);
        }
        let statement =
            "SELECT state, columns, published, hint_etag FROM cold_tables WHERE collection = ? AND kind = ?";
        self.sql.query(statement, &id.params())?.into_iter().next().map(table_record).transpose()
    }

    /// Data files and delete files of all committed states, and their bytes, by the tables' own counts.
    pub fn stored(&self) -> Result<(u64, u64)> {
        if !self.exists()? {
            return Ok((0, 0));
        }
        // States of format 1 have other names.
        let statement = "SELECT coalesce(sum(coalesce(state ->> '$.totals.dataFiles', state ->> '$.totals.files', 0) + \
             coalesce(state ->> '$.totals.deleteFiles', 0)), 0), coalesce(sum(state ->> '$.totals.bytes'), 0) FROM cold_tables";
        let rows = self.sql.query(statement, &[])?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let count = |column| Ok(u64::try_from(expect_integer(row.get(column))?).unwrap_or(0));
        Ok((count(0)?, count(1)?))
    }

    /// Stores a committed state.
    pub fn commit_table(&self, id: TableId, state: &TableState, columns: &TableSchema) -> Result<()> {
        let (state, columns) = (to_text(state)?, to_text(columns)?);
        let [collection, kind] = id.params();
        self.sql.query(
            "INSERT INTO cold_tables (collection, kind, state, columns, published) VALUES (?, ?, ?, ?, 0) \
             ON CONFLICT (collection, kind) DO UPDATE SET state = excluded.state, columns = excluded.columns",
            &[collection, kind, SqlParam::Text(&state), SqlParam::Text(&columns)],
        )?;
        Ok(())
    }

    /// Notes which version of a table is published, and forgets the files that neither it nor a snapshot that the
    /// committed state keeps has.
    pub fn publish_table(&self, id: TableId, version: i64, hint_etag: Option<&str>) -> Result<()> {
        let [collection, kind] = id.params();
        let etag = hint_etag.map_or(SqlParam::Null, SqlParam::Text);
        self.sql.query(
            "UPDATE cold_tables SET published = ?, hint_etag = ? WHERE collection = ? AND kind = ?",
            &[SqlParam::Integer(version), etag, collection, kind],
        )?;
        let state = self.table(id)?.map(|record| record.state);
        let snapshots = state.iter().flat_map(|state| &state.snapshots);
        let kept = to_text(&snapshots.map(|snapshot| snapshot.version).collect::<Vec<i64>>())?;
        self.sql.query(
            "DELETE FROM cold_files WHERE collection = ? AND kind = ? AND removed <= CAST(? AS INTEGER) AND NOT EXISTS \
             (SELECT 1 FROM json_each(?) AS kept WHERE cold_files.added <= kept.value AND kept.value < cold_files.removed)",
            &[collection, kind, SqlParam::Integer(version), SqlParam::Text(&kept)],
        )?;
        Ok(())
    }

    /// The data files and delete files of a snapshot that the table keeps. One that was made before snapshots told their
    /// version is of kind `Gone`, unless it is the current one, whose files are those of the committed version.
    pub fn files_of_snapshot(&self, id: TableId, snapshot: &Snapshot) -> Result<Vec<CatalogFile>> {
        let state = self.table(id)?.map(|record| record.state);
        let is_it = |known: &Snapshot| known.snapshot_id == snapshot.snapshot_id;
        let kept = state.as_ref().is_some_and(|state| state.snapshots.iter().any(is_it));
        let version = match &state {
            Some(state) if state.current_snapshot().is_some_and(is_it) => state.version,
            _ => snapshot.version,
        };
        if !kept || version == 0 {
            let message = "expected a snapshot whose files are still known, got one that is out of retention or older \
                           than their history; take a newer one";
            return Err(StorageError::new(ErrorKind::Gone, StorageTier::Cold, "read catalogue", message));
        }
        self.files(id, version)
    }

    /// The data files and delete files of a version of a table, in the order in which they were added: of the published
    /// version, the committed one, or that of a snapshot that is kept.
    pub fn files(&self, id: TableId, version: i64) -> Result<Vec<CatalogFile>> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let [collection, kind] = id.params();
        let rows = self.sql.query(
            "SELECT number, file FROM cold_files WHERE collection = ? AND kind = ? AND added <= CAST(? AS INTEGER) \
             AND (removed IS NULL OR removed > CAST(? AS INTEGER)) ORDER BY number",
            &[collection, kind, SqlParam::Integer(version), SqlParam::Integer(version)],
        )?;
        rows.into_iter().map(catalog_file).collect()
    }

    /// Adds data files with the version of the table that has them first.
    pub fn add_files(&self, id: TableId, version: i64, files: &[LiveFile]) -> Result<()> {
        let [collection, kind] = id.params();
        let newest = "SELECT coalesce(max(number), 0) FROM cold_files WHERE collection = ? AND kind = ?";
        let rows = self.sql.query(newest, &[collection, kind])?;
        let mut number = expect_integer(rows.first().and_then(|row| row.first()))?;
        for file in files {
            number = number.saturating_add(1);
            let text = to_text(file)?;
            self.sql.query(
                "INSERT INTO cold_files (collection, kind, number, added, file) VALUES (?, ?, ?, ?, ?)",
                &[collection, kind, SqlParam::Integer(number), SqlParam::Integer(version), SqlParam::Text(&text)],
            )?;
        }
        Ok(())
    }

    /// Marks data files as gone from a version of the table on.
    pub fn remove_files(&self, id: TableId, version: i64, files: &[CatalogFile]) -> Result<()> {
        let [collection, kind] = id.params();
        for file in files {
            self.sql.query(
                "UPDATE cold_files SET removed = ? WHERE collection = ? AND kind = ? AND number = ?",
                &[SqlParam::Integer(version), collection, kind, SqlParam::Integer(file.number)],
            )?;
        }
        Ok(())
    }

    /// The plan on its way.
    pub fn plan(&self) -> Result<Option<StoredPlan>> {
        if !self.exists()? {
            return Ok(None);
        }
        let rows = self.sql.query("SELECT attempt, committed, plan, staged FROM cold_plan", &[])?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let committed = expect_integer(row.get(1))? != 0;
        let mut values = row.into_iter();
        let attempt = expect_text(values.next())?;
        let attempt = Uuid::parse_str(&attempt)
            .map_err(|error| corrupt("expected a plan's attempt to be a UUID, got other text").caused_by(error))?;
        let mut plan = expect_text(values.nth(1))?;
        if plan.len() > PLAN_PART_BYTES {
            for row in self.sql.query("SELECT plan FROM cold_plan_parts ORDER BY part", &[])? {
                plan.push_str(&expect_text(row.into_iter().next())?);
            }
        }
        let staged = expect_text(values.next())?.lines().map(str::to_owned).collect();
        Ok(Some(StoredPlan { attempt, committed, plan, staged }))
    }

    /// Stores a new plan.
    pub fn insert_plan(&self, attempt: Uuid, plan: &str) -> Result<()> {
        let attempt = attempt.to_string();
        // A first part that is longer than the bound says that others may follow.
        let end = plan.char_indices().map(|(at, _)| at).find(|at| *at > PLAN_PART_BYTES);
        let (first, mut rest) = plan.split_at(end.unwrap_or(plan.len()));
        if first.len() > PLAN_PART_BYTES {
            self.sql.query(PLAN_PARTS, &[])?;
            self.sql.query("DELETE FROM cold_plan_parts", &[])?;
        }
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.floor_char_boundary(PLAN_PART_BYTES));
            self.sql.query("INSERT INTO cold_plan_parts (plan) VALUES (?)", &[SqlParam::Text(part)])?;
            rest = later;
        }
        let params = [SqlParam::Text(&attempt), SqlParam::Text(first)];
        self.sql
            .query("INSERT INTO cold_plan (one, attempt, committed, plan, staged) VALUES (1, ?, 0, ?, '')", &params)?;
        Ok(())
    }

    /// Notes keys that are about to be put, so that an abandoned plan's objects are known without listing the bucket.
    /// Beyond a bound they are not noted: such objects stay where they are.
    pub fn note_staged(&self, keys: &[String]) -> Result<()> {
        let lines = keys.iter().fold(String::new(), |lines, key| lines + key + "\n");
        self.sql.query(
            "UPDATE cold_plan SET staged = CASE WHEN octet_length(staged) < 1000000 THEN staged || ? ELSE staged END",
            &[SqlParam::Text(&lines)],
        )?;
        Ok(())
    }

    /// Notes that the plan's states are committed.
    pub fn mark_committed(&self) -> Result<()> {
        self.sql.query("UPDATE cold_plan SET committed = 1", &[])?;
        Ok(())
    }

    /// Ends the plan. Parts of a long one stay until the next long one is stored.
    pub fn delete_plan(&self) -> Result<()> {
        self.sql.query("DELETE FROM cold_plan", &[])?;
        Ok(())
    }

    /// Notes objects that may be deleted from a time on.
    pub fn add_garbage(&self, not_before: Timestamp, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(1_000) {
            let text = to_text(&keys)?;
            let params = [SqlParam::Integer(not_before), SqlParam::Text(&text)];
            self.sql.query("INSERT INTO cold_garbage (not_before, keys) VALUES (?, ?)", &params)?;
        }
        Ok(())
    }

    /// Lets the objects that waited for the published state to move on be deleted from a time on.
    pub fn release_garbage(&self, not_before: Timestamp) -> Result<()> {
        let params = [SqlParam::Integer(not_before), SqlParam::Integer(UNTIL_PUBLISHED)];
        self.sql.query("UPDATE cold_garbage SET not_before = ? WHERE not_before = CAST(? AS INTEGER)", &params)?;
        Ok(())
    }

    /// Objects that may be deleted now.
    pub fn due_garbage(&self, now: Timestamp) -> Result<Option<Garbage>> {
        if !self.exists()? {
            return Ok(None);
        }
        let statement = "SELECT id, keys FROM cold_garbage WHERE not_before <= CAST(? AS INTEGER) ORDER BY id LIMIT 1";
        let rows = self.sql.query(statement, &[SqlParam::Integer(now)])?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let id = expect_integer(row.first())?;
        Ok(Some(Garbage { id, keys: from_text(&expect_text(row.into_iter().nth(1))?)? }))
    }

    /// When the next objects may be deleted; `None` when none wait.
    pub fn next_garbage(&self) -> Result<Option<Timestamp>> {
        if !self.exists()? {
            return Ok(None);
        }
        let rows = self.sql.query("SELECT not_before FROM cold_garbage ORDER BY not_before LIMIT 1", &[])?;
        let next = rows.first().map(|row| expect_integer(row.first())).transpose()?;
        Ok(next.filter(|next| *next < UNTIL_PUBLISHED))
    }

    /// Forgets objects that are deleted.
    pub fn remove_garbage(&self, id: i64) -> Result<()> {
        self.sql.query("DELETE FROM cold_garbage WHERE id = ?", &[SqlParam::Integer(id)])?;
        Ok(())
    }
}

fn table_record(row: SqlRow) -> Result<TableRecord> {
    let published = expect_integer(row.get(2))?;
    let hint_etag = match row.get(3) {
        Some(SqlValue::Text(etag)) => Some(etag.clone()),
        _ => None,
    };
    let mut values = row.into_iter();
    let state = from_text(&expect_text(values.next())?)?;
    let columns = from_text(&expect_text(values.next())?)?;
    Ok(TableRecord { state, columns, published, hint_etag })
}

fn catalog_file(row: SqlRow) -> Result<CatalogFile> {
    let number = expect_integer(row.first())?;
    Ok(CatalogFile { number, file: from_text(&expect_text(row.into_iter().nth(1))?)? })
}

fn to_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write catalogue", "expected a record to become JSON")
            .caused_by(error)
    })
}

fn from_text<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| corrupt("expected a record of a known format, got other text").caused_by(error))
}

fn corrupt(message: &'static str) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read catalogue", message)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::ports::native::NativeSql;

    #[test]
    fn a_plan_of_any_length_is_stored() {
        let catalog = ColdCatalog::new(Rc::new(NativeSql::in_memory().unwrap()));
        catalog.create().unwrap();
        for length in [0, 10, PLAN_PART_BYTES - 1, PLAN_PART_BYTES, PLAN_PART_BYTES + 1, 3 * PLAN_PART_BYTES + 7, 5] {
            for letters in ["a", "aé€"] {
                let plan: String = letters.chars().cycle().take(length).collect();
                catalog.insert_plan(Uuid::from_u128(1), &plan).unwrap();
                assert!(catalog.plan().unwrap().unwrap().plan == plan, "{length} of {letters}");
                catalog.delete_plan().unwrap();
                assert_eq!(catalog.plan().unwrap(), None);
            }
        }
    }
}
