//! The bytes of a segment's head, version 1. Little-endian throughout.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | magic `TCSG` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | flags, 0 |
//! | 8 | 8 | xxh64 (seed 0) of every byte from offset 16 on |
//! | 16 | 4 | rows, 1 to 65,536 |
//! | 20 | 8 | bytes of the documents' JSON text |
//! | 28 | 4 | month of the commit times: months since January 1970 |
//! | 32 | 8 | least version (`_seq`) |
//! | 40 | 8 | greatest version |
//! | 48 | 1 | origin: 0 direct, 1 sealed, 2 merged |
//! | 49 | | first id: text |
//! | | | last id: text |
//! | | 4 | number of segments that this one replaces, then for each its number (8) |
//! | | | the blob's index and footer: its length (4) and as many bytes |
//! | | 4 | number of groups, then for each where in the blob it ends (4) |
//! | | 1 | fields that the columns do not tell all of: 0 none, 1 those listed, 2 any |
//! | | | if listed: their number (1), then for each its name (text); ascending |
//! | | | filter of the ids: its length (4), and as many bytes |
//! | | 2 | number of key filters, then for each the number of its fields (2), their paths (text each), and a filter |
//!
//! A *text* is a length (4) and as many bytes of UTF-8. A filter is told in [`id_filter`](super::id_filter), the bytes
//! of the keys in a key filter in [`index_key`](super::index_key).

use std::collections::BTreeSet;
use std::ops::Range;

use xxhash_rust::xxh64::xxh64;

use super::head::{Origin, SegmentHead, check_groups};
use super::id_filter::IdFilter;
use super::key_filter::KeyFilter;
use super::read::FIRST_FIELD_POSITION;
use super::{EXTRA_NAME, SEGMENT_MAX_ROWS, SEQUENCE_NAME, TIMESTAMP_NAME, corrupt, unwritable};
use crate::error::{ErrorKind, Result};
use crate::limits::SQL_VALUE_MAX_BYTES;
use crate::types::time::Month;
use crate::vortex::blob::{BlobIndex, Opened};
use crate::vortex::schema::ID_NAME;
use crate::vortex::{ColumnType, StrayFields};

const MAGIC: [u8; 4] = *b"TCSG";
const VERSION: u16 = 1;
/// Offset from which the checksum covers the head.
const CHECKED_FROM: usize = 16;

pub(super) fn write(head: &SegmentHead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    put_count(&mut body, head.rows)?;
    body.extend(head.text_bytes.to_le_bytes());
    body.extend(head.month.ordinal().to_le_bytes());
    body.extend(head.first_sequence.to_le_bytes());
    body.extend(head.last_sequence.to_le_bytes());
    body.push(head.origin as u8);
    put_bytes(&mut body, head.first_id.as_bytes())?;
    put_bytes(&mut body, head.last_id.as_bytes())?;
    put_count(&mut body, head.supersedes.len())?;
    body.extend(head.supersedes.iter().flat_map(|number| number.to_le_bytes()));
    put_bytes(&mut body, &head.tail)?;
    put_count(&mut body, head.groups.len())?;
    head.groups.iter().try_for_each(|group| put_count(&mut body, group.end))?;
    put_stray(&mut body, &head.stray)?;
    put_filter(&mut body, &head.filter)?;
    put_short(&mut body, head.key_filters.len())?;
    for key_filter in &head.key_filters {
        put_short(&mut body, key_filter.fields.len())?;
        key_filter.fields.iter().try_for_each(|field| put_bytes(&mut body, field.as_bytes()))?;
        put_filter(&mut body, &key_filter.filter)?;
    }

    let mut bytes = Vec::with_capacity(body.len().saturating_add(CHECKED_FROM));
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(xxh64(&body, 0).to_le_bytes());
    bytes.append(&mut body);
    if bytes.len() > SQL_VALUE_MAX_BYTES {
        return Err(too_large());
    }
    Ok(bytes)
}

pub(super) fn read(bytes: &[u8]) -> Result<SegmentHead> {
    let mut bytes = Bytes { rest: bytes };
    check_start(&mut bytes)?;
    let rows = bytes.count()?;
    let text_bytes = u64::from_le_bytes(bytes.array()?);
    let month = i32::from_le_bytes(bytes.array()?);
    let month = Month::from_ordinal(month)
        .ok_or_else(|| corrupt(format!("expected a month of the calendar, got {month} months since 1970")))?;
    let (first_sequence, last_sequence) = (i64::from_le_bytes(bytes.array()?), i64::from_le_bytes(bytes.array()?));
    let origin = match bytes.byte()? {
        0 => Origin::Direct,
        1 => Origin::Sealed,
        2 => Origin::Merged,
        other => return Err(corrupt(format!("expected an origin from 0 to 2, got {other}"))),
    };
    let (first_id, last_id) = (bytes.text()?.to_owned(), bytes.text()?.to_owned());
    let supersedes = bytes.list(size_of::<i64>(), |bytes| Ok(i64::from_le_bytes(bytes.array()?)))?;
    let tail: Box<[u8]> = bytes.bytes()?.into();
    let ends = bytes.list(size_of::<u32>(), Bytes::count)?;
    let groups: Vec<Range<usize>> =
        std::iter::once(0).chain(ends.iter().copied()).zip(&ends).map(|(start, end)| start..*end).collect();
    let index = open_index(&tail, ends.last().copied().unwrap_or(0))?;
    check_groups(&groups, &index)?;
    check_columns(&index, rows)?;
    let head = SegmentHead {
        rows,
        text_bytes,
        month,
        first_sequence,
        last_sequence,
        first_id,
        last_id,
        origin,
        supersedes,
        stray: read_stray(&mut bytes)?,
        filter: IdFilter::read(bytes.bytes()?)?,
        key_filters: read_key_filters(&mut bytes)?,
        index,
        tail,
        groups,
    };
    if !bytes.rest.is_empty() {
        return Err(corrupt(format!("expected the end of the head, got {} more bytes", bytes.rest.len())));
    }
    if head.first_id > head.last_id || head.first_sequence > head.last_sequence {
        return Err(corrupt("expected ids and versions from the first to the last, got them the other way round"));
    }
    Ok(head)
}

fn check_start(bytes: &mut Bytes<'_>) -> Result<()> {
    let magic: [u8; 4] = bytes.array()?;
    if magic != MAGIC {
        return Err(corrupt(format!("expected the magic {MAGIC:02x?}, got {magic:02x?}")));
    }
    let (version, flags) = (u16::from_le_bytes(bytes.array()?), u16::from_le_bytes(bytes.array()?));
    if version != VERSION || flags != 0 {
        return Err(corrupt(format!(
            "expected a segment of version {VERSION} with flags 0, got version {version} with flags {flags}; a newer program wrote this object"
        )));
    }
    if u64::from_le_bytes(bytes.array()?) != xxh64(bytes.rest, 0) {
        return Err(corrupt("expected the checksum to match, got other bytes"));
    }
    Ok(())
}

/// The index of the end of a blob whose columns end at `end`.
pub(super) fn open_index(tail: &[u8], end: usize) -> Result<BlobIndex> {
    match BlobIndex::open(tail, tail.len().saturating_add(end))? {
        Opened::Index(index) => Ok(index),
        Opened::From(start) => Err(corrupt(format!("expected the blob's index from {end} on, got it from {start}"))),
    }
}

/// Whether the columns are those of a segment.
fn check_columns(index: &BlobIndex, rows: usize) -> Result<()> {
    if rows != index.rows() || !(1..=SEGMENT_MAX_ROWS).contains(&rows) {
        return Err(corrupt(format!(
            "expected {} rows, at least 1 and at most {SEGMENT_MAX_ROWS}, got {rows}",
            index.rows()
        )));
    }
    let expected =
        [(ID_NAME, ColumnType::String), (SEQUENCE_NAME, ColumnType::Long), (TIMESTAMP_NAME, ColumnType::Timestamp)];
    let columns = index.columns();
    let first = columns.iter().take(FIRST_FIELD_POSITION).map(|column| (column.name.as_str(), column.column_type));
    if !first.eq(expected) || columns.iter().take(expected.len()).any(|column| column.statistics.null_count > 0) {
        return Err(corrupt("expected id, _seq and _ts of every row, got other columns"));
    }
    let (last, fields) = columns.split_last().map_or((None, columns), |(last, fields)| (Some(last), fields));
    let extra = last.is_some_and(|last| last.name == EXTRA_NAME && last.column_type != ColumnType::Json);
    if extra || fields.iter().any(|field| field.name == EXTRA_NAME) {
        return Err(corrupt("expected _extra to be the last column and JSON"));
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<()> {
    out.extend(u32::try_from(count).map_err(|_| too_large())?.to_le_bytes());
    Ok(())
}

fn put_short(out: &mut Vec<u8>, count: usize) -> Result<()> {
    out.extend(u16::try_from(count).map_err(|_| too_large())?.to_le_bytes());
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    put_count(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn put_filter(out: &mut Vec<u8>, filter: &IdFilter) -> Result<()> {
    put_count(out, filter.byte_size())?;
    filter.write(out);
    Ok(())
}

fn put_stray(out: &mut Vec<u8>, stray: &StrayFields) -> Result<()> {
    match stray {
        StrayFields::None => out.push(0),
        StrayFields::Any => out.push(2),
        StrayFields::Some(names) => {
            out.extend([1, u8::try_from(names.len()).map_err(|_| too_large())?]);
            names.iter().try_for_each(|name| put_bytes(out, name.as_bytes()))?;
        }
    }
    Ok(())
}

fn read_stray(bytes: &mut Bytes<'_>) -> Result<StrayFields> {
    match bytes.byte()? {
        0 => Ok(StrayFields::None),
        2 => Ok(StrayFields::Any),
        1 => {
            let count = usize::from(bytes.byte()?);
            let mut names = BTreeSet::new();
            for _ in 0..count {
                let name = bytes.text()?;
                if names.last().is_some_and(|last: &String| last.as_str() >= name) {
                    return Err(corrupt("expected the names of fields in ascending order"));
                }
                names.insert(name.to_owned());
            }
            Ok(StrayFields::Some(names))
        }
        other => Err(corrupt(format!("expected 0 to 2 of the fields that columns do not tell of, got {other}"))),
    }
}

fn read_key_filters(bytes: &mut Bytes<'_>) -> Result<Vec<KeyFilter>> {
    let mut filters = Vec::new();
    for _ in 0..u16::from_le_bytes(bytes.array()?) {
        let mut fields = Vec::new();
        for _ in 0..u16::from_le_bytes(bytes.array()?) {
            fields.push(bytes.text()?.to_owned());
        }
        filters.push(KeyFilter { fields, filter: IdFilter::read(bytes.bytes()?)? });
    }
    Ok(filters)
}

#[cold]
fn too_large() -> crate::error::StorageError {
    unwritable(ErrorKind::TooLarge, "expected a segment's head of at most 2,000,000 bytes, got more")
}

/// Bytes being read from the front.
struct Bytes<'b> {
    rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(corrupt(format!("expected {length} more bytes of a head, got {}", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(corrupt(format!("expected {N} more bytes of a head, got {}", self.rest.len())));
        };
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn count(&mut self) -> Result<usize> {
        let count = u32::from_le_bytes(self.array()?);
        usize::try_from(count).map_err(|error| corrupt("expected a number that fits memory").caused_by(error))
    }

    fn bytes(&mut self) -> Result<&'b [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'b str> {
        std::str::from_utf8(self.bytes()?).map_err(|error| corrupt("expected text in UTF-8").caused_by(error))
    }

    /// A count and as many items of `size` bytes each, which must be there before room for them is made.
    fn list<T>(&mut self, size: usize, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        let mut items = Self { rest: self.take(count.saturating_mul(size))? };
        (0..count).map(|_| item(&mut items)).collect()
    }
}
