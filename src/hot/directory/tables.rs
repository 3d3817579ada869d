//! The tables that segments are stored in, and what row generations there are.
//!
//! `segments` has a row a segment: what the directory knows of it, its head, and its first group of columns where head and
//! group fit one row. `segment_parts` has the other groups, cut into rows. `segment_deletes` has the deleted rows of a
//! segment that has any. `segment_stubs`, made by the first eviction, has the ids of evicted segments, cut into rows, and where
//! their rows are; an evicted segment has no groups. `segment_floor` keeps the greatest number once its segment is removed. So a small segment is one row written, and a change of its deleted rows one small one.

use std::collections::HashMap;
use std::rc::Rc;

use super::deleted;
use super::forms::{Forms, LifeKey, RowGeneration, Segment};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::row_index::IndexId;
use crate::hot::rows::Generation;
use crate::hot::schema;
use crate::hot::segment::Origin;
use crate::hot::segment::build::BuiltSegment;
use crate::limits::SEGMENT_ROW_MAX_BYTES;
use crate::ports::{SqlParam, SqlRow, SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::{StorageTier, sorting};
use roaring::RoaringBitmap;

const TABLES: [&str; 3] = [
    "CREATE TABLE segments (number INTEGER PRIMARY KEY, collection INTEGER NOT NULL, life INTEGER NOT NULL, \
     month INTEGER NOT NULL, origin INTEGER NOT NULL, rows INTEGER NOT NULL, text_bytes INTEGER NOT NULL, \
     first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL, first_id TEXT NOT NULL, last_id TEXT NOT NULL, \
     supersedes TEXT NOT NULL, head BLOB NOT NULL, data BLOB) STRICT",
    "CREATE TABLE segment_parts (segment INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, \
     PRIMARY KEY (segment, part)) STRICT, WITHOUT ROWID",
    "CREATE TABLE segment_deletes (segment INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT",
];
const SUMMARY: &str = "number, collection, life, month, origin, rows, text_bytes, first_sequence, last_sequence, first_id, \
     last_id, supersedes";
const STUBS: &str = "CREATE TABLE segment_stubs (segment INTEGER NOT NULL, part INTEGER NOT NULL, place TEXT, \
     ids BLOB NOT NULL, PRIMARY KEY (segment, part)) STRICT, WITHOUT ROWID";
/// The greatest number that a removed segment had, where no later one tells it.
const FLOOR: &str = "CREATE TABLE IF NOT EXISTS segment_floor (one INTEGER PRIMARY KEY CHECK (one = 1), \
     number INTEGER NOT NULL) STRICT";
/// Parts are numbered by their group and their place in it.
const PARTS_OF_GROUP: i64 = 1_000;

/// What the tables tell.
pub struct Loaded {
    pub has_segments: bool,
    pub has_stubs: bool,
    pub forms: HashMap<LifeKey, Rc<Forms>>,
    pub last_number: i64,
}

/// Reads which row generations and segments there are.
pub fn load(sql: &dyn SqlStore) -> Result<Loaded> {
    let mut forms: HashMap<LifeKey, Forms> = HashMap::new();
    let (mut has_segments, mut has_stubs, mut has_floor) = (false, false, false);
    for row in sql.query("SELECT name, sql FROM sqlite_master WHERE type = 'table'", &[])? {
        let name = expect_text(row.first().cloned())?;
        has_segments |= name == "segments";
        has_stubs |= name == "segment_stubs";
        has_floor |= name == "segment_floor";
        if let Some(table) = Generation::of_table(&name) {
            let life = LifeKey { collection: table.collection, number: table.life };
            let indexes = IndexId::of_table(&expect_text(row.into_iter().nth(1))?);
            forms.entry(life).or_default().generations.push(RowGeneration {
                table,
                indexes,
                extent: None,
                closed_at: None,
            });
        }
    }
    forms
        .values_mut()
        .for_each(|forms| sorting::sort_by_key(&mut forms.generations, |generation| generation.table.number));
    let mut last_number = if has_floor { floor(sql)? } else { 0 };
    if has_segments {
        let mut deletes = load_deleted(sql)?;
        let mut places = if has_stubs { load_places(sql)? } else { HashMap::new() };
        let mut segments: HashMap<LifeKey, Vec<Segment>> = HashMap::new();
        for row in sql.query(&format!("SELECT {SUMMARY} FROM segments ORDER BY number"), &[])? {
            let (life, mut segment) = read_summary(row)?;
            if let Some(bytes) = deletes.remove(&segment.number) {
                segment.deleted = deleted::read(&bytes, segment.rows)?;
            }
            segment.place = places.remove(&segment.number);
            last_number = last_number.max(segment.number);
            segments.entry(life).or_default().push(segment);
        }
        for (life, segments) in segments {
            let with = forms.remove(&life).unwrap_or_default().with_segments(segments);
            forms.insert(life, with);
        }
    }
    let forms = forms.into_iter().map(|(life, forms)| (life, Rc::new(forms))).collect();
    Ok(Loaded { has_segments, has_stubs, forms, last_number })
}

fn floor(sql: &dyn SqlStore) -> Result<i64> {
    let rows = sql.query("SELECT number FROM segment_floor", &[])?;
    rows.first().map_or(Ok(0), |row| expect_integer(row.first()))
}

/// Notes the greatest number that was ever given, so that it is not given again.
pub fn set_floor(sql: &dyn SqlStore, number: i64) -> Result<()> {
    sql.query(FLOOR, &[])?;
    sql.query(
        "INSERT INTO segment_floor (one, number) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET number = max(number, excluded.number)",
        &[SqlParam::Integer(number)],
    )?;
    Ok(())
}

fn load_deleted(sql: &dyn SqlStore) -> Result<HashMap<i64, Vec<u8>>> {
    let rows = sql.query("SELECT segment, rows FROM segment_deletes", &[])?;
    rows.into_iter().map(|row| Ok((expect_integer(row.first())?, expect_blob(row.into_iter().nth(1))?))).collect()
}

fn load_places(sql: &dyn SqlStore) -> Result<HashMap<i64, Rc<str>>> {
    let rows = sql.query("SELECT segment, place FROM segment_stubs WHERE part = 0", &[])?;
    rows.into_iter()
        .map(|row| Ok((expect_integer(row.first())?, expect_text(row.into_iter().nth(1))?.into())))
        .collect()
}

fn read_summary(row: SqlRow) -> Result<(LifeKey, Segment)> {
    let integer = |position: usize| expect_integer(row.get(position));
    let text = |position: usize| expect_text(row.get(position).cloned());
    let life = LifeKey { collection: integer(1)?, number: integer(2)? };
    let origin = match integer(4)? {
        0 => Origin::Direct,
        1 => Origin::Sealed,
        2 => Origin::Merged,
        other => return Err(corrupt(format!("expected an origin from 0 to 2, got {other}"))),
    };
    let numbers = text(11)?;
    let supersedes: std::result::Result<Vec<i64>, _> =
        numbers.split(',').filter(|number| !number.is_empty()).map(str::parse).collect();
    let segment = Segment {
        number: integer(0)?,
        month: i32::try_from(integer(3)?).map_err(|_| corrupt("expected a month".to_owned()))?,
        origin,
        rows: usize::try_from(integer(5)?).map_err(|_| corrupt("expected a number of rows".to_owned()))?,
        text_bytes: u64::try_from(integer(6)?).map_err(|_| corrupt("expected a number of bytes".to_owned()))?,
        first_sequence: integer(7)?,
        last_sequence: integer(8)?,
        first_id: text(9)?,
        last_id: text(10)?,
        supersedes: supersedes.map_err(|error| corrupt("expected numbers of segments".to_owned()).caused_by(error))?,
        deleted: RoaringBitmap::new(),
        place: None,
    };
    Ok((life, segment))
}

/// Makes the tables; an older program refuses the object from then on.
pub fn create(sql: &dyn SqlStore) -> Result<()> {
    for table in TABLES {
        sql.query(table, &[])?;
    }
    schema::set_format(sql, schema::FORMAT_SEGMENTS)
}

/// Stores a segment.
pub fn insert(sql: &dyn SqlStore, life: LifeKey, number: i64, built: &BuiltSegment) -> Result<Segment> {
    let segment = Segment::of(number, &built.head);
    let head = built.head.to_bytes()?;
    let first = built.groups.first().map(Vec::as_slice).unwrap_or_default();
    let together = head.len().saturating_add(first.len()) <= SEGMENT_ROW_MAX_BYTES;
    let origin = match segment.origin {
        Origin::Direct => 0,
        Origin::Sealed => 1,
        Origin::Merged => 2,
    };
    let supersedes = segment.supersedes.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let count = |value: usize| SqlParam::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let params = [
        SqlParam::Integer(number),
        SqlParam::Integer(life.collection),
        SqlParam::Integer(life.number),
        SqlParam::Integer(i64::from(segment.month)),
        SqlParam::Integer(origin),
        count(segment.rows),
        SqlParam::Integer(i64::try_from(segment.text_bytes).unwrap_or(i64::MAX)),
        SqlParam::Integer(segment.first_sequence),
        SqlParam::Integer(segment.last_sequence),
        SqlParam::Text(&segment.first_id),
        SqlParam::Text(&segment.last_id),
        SqlParam::Text(&supersedes),
        SqlParam::Blob(&head),
        if together { SqlParam::Blob(first) } else { SqlParam::Null },
    ];
    let statement = format!("INSERT INTO segments ({SUMMARY}, head, data) VALUES ({})", ["?"; 14].join(", "));
    sql.query(&statement, &params)?;
    for (group, bytes) in built.groups.iter().enumerate().skip(usize::from(together)) {
        for (place, part) in (0..).zip(bytes.chunks(SEGMENT_ROW_MAX_BYTES)) {
            let params =
                [SqlParam::Integer(number), SqlParam::Integer(part_number(group, place)), SqlParam::Blob(part)];
            sql.query("INSERT INTO segment_parts (segment, part, data) VALUES (?, ?, ?)", &params)?;
        }
    }
    Ok(segment)
}

fn part_number(group: usize, place: i64) -> i64 {
    i64::try_from(group).unwrap_or(i64::MAX).saturating_mul(PARTS_OF_GROUP).saturating_add(place)
}

/// The bytes of a segment's head.
pub fn head(sql: &dyn SqlStore, number: i64) -> Result<Vec<u8>> {
    let rows = sql.query("SELECT head FROM segments WHERE number = ?", &[SqlParam::Integer(number)])?;
    expect_blob(rows.into_iter().next().and_then(|row| row.into_iter().next()))
}

/// The bytes of a group of columns, which are `length`.
pub fn group(sql: &dyn SqlStore, number: i64, group: usize, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if group == 0 {
        let rows =
            sql.query("SELECT data FROM segments WHERE number = ? AND data IS NOT NULL", &[SqlParam::Integer(number)])?;
        if let Some(row) = rows.into_iter().next() {
            bytes = expect_blob(row.into_iter().next())?;
        }
    }
    if bytes.is_empty() {
        let params = [
            SqlParam::Integer(number),
            SqlParam::Integer(part_number(group, 0)),
            SqlParam::Integer(part_number(group.saturating_add(1), 0)),
        ];
        let statement = "SELECT data FROM segment_parts WHERE segment = ? AND part >= ? AND part < ? ORDER BY part";
        for row in sql.query(statement, &params)? {
            bytes.append(&mut expect_blob(row.into_iter().next())?);
        }
    }
    if bytes.len() == length {
        return Ok(bytes);
    }
    Err(corrupt(format!("expected {length} bytes of group {group} of segment {number}, got {}", bytes.len())))
}

/// Stores the deleted rows of a segment.
pub fn put_deleted(sql: &dyn SqlStore, number: i64, rows: usize, deleted: &RoaringBitmap) -> Result<()> {
    let bytes = deleted::to_bytes(rows, deleted)?;
    sql.query(
        "INSERT INTO segment_deletes (segment, rows) VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET rows = excluded.rows",
        &[SqlParam::Integer(number), SqlParam::Blob(&bytes)],
    )?;
    Ok(())
}

/// Makes the table of stubs; an older program refuses the object from then on.
pub fn create_stubs(sql: &dyn SqlStore) -> Result<()> {
    sql.query(STUBS, &[])?;
    schema::set_format(sql, schema::FORMAT_STUBS)
}

/// Takes a segment's groups away and keeps its ids.
pub fn evict(sql: &dyn SqlStore, number: i64, place: &str, ids: &[u8]) -> Result<()> {
    let segment = SqlParam::Integer(number);
    for (part, bytes) in (0..).zip(ids.chunks(SEGMENT_ROW_MAX_BYTES)) {
        let place = if part == 0 { SqlParam::Text(place) } else { SqlParam::Null };
        let params = [segment, SqlParam::Integer(part), place, SqlParam::Blob(bytes)];
        sql.query("INSERT INTO segment_stubs (segment, part, place, ids) VALUES (?, ?, ?, ?)", &params)?;
    }
    sql.query("UPDATE segments SET data = NULL WHERE number = ?", &[segment])?;
    sql.query("DELETE FROM segment_parts WHERE segment = ?", &[segment])?;
    Ok(())
}

/// Says where the rows of an evicted segment are from now on.
pub fn set_place(sql: &dyn SqlStore, number: i64, place: &str) -> Result<()> {
    let statement = "UPDATE segment_stubs SET place = ? WHERE segment = ? AND part = 0";
    sql.query(statement, &[SqlParam::Text(place), SqlParam::Integer(number)])?;
    Ok(())
}

/// The bytes of the column of ids of an evicted segment, which are `length`.
pub fn stub_ids(sql: &dyn SqlStore, number: i64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let statement = "SELECT ids FROM segment_stubs WHERE segment = ? ORDER BY part";
    for row in sql.query(statement, &[SqlParam::Integer(number)])? {
        bytes.append(&mut expect_blob(row.into_iter().next())?);
    }
    if bytes.len() == length {
        return Ok(bytes);
    }
    Err(corrupt(format!("expected {length} bytes of ids of segment {number}, got {}", bytes.len())))
}

/// Forgets the stub of a segment that is removed.
pub fn remove_stub(sql: &dyn SqlStore, number: i64) -> Result<()> {
    sql.query("DELETE FROM segment_stubs WHERE segment = ?", &[SqlParam::Integer(number)])?;
    Ok(())
}

/// Removes a segment.
pub fn remove(sql: &dyn SqlStore, number: i64) -> Result<()> {
    let number = [SqlParam::Integer(number)];
    sql.query("DELETE FROM segments WHERE number = ?", &number)?;
    sql.query("DELETE FROM segment_parts WHERE segment = ?", &number)?;
    sql.query("DELETE FROM segment_deletes WHERE segment = ?", &number)?;
    Ok(())
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read segments", message)
}
