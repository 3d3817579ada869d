//! Header, index and footer: what opens a blob.

use std::collections::HashSet;
use std::ops::Range;

use super::statistics::Statistics;
use super::{BLOB_MAX_ROWS, CHECKSUM_XXH64, FOOTER_BYTES, HEADER_BYTES, MAGIC, VERSION, checksum, put_type, read_type};
use crate::error::Result;
use crate::vortex::column_type::ColumnType;
use crate::vortex::encoding::Encoding;
use crate::vortex::encoding::wire::{Bytes, corrupt, put_part};

/// Bytes of an entry, at least: one of a column without a name and statistics.
const ENTRY_MIN_BYTES: usize = 28;

/// What the index says of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnEntry {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub column_type: ColumnType,
    /// The encoding of its outermost node.
    pub encoding: Encoding,
    /// What reading needs to know of the values.
    pub statistics: Statistics,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl ColumnEntry {
    /// How many bytes the column takes.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Where in the blob they are.
    pub fn range(&self) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        start..start.saturating_add(self.bytes())
    }
}

/// What the end of a blob says of the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct BlobIndex {
    rows: usize,
    columns: Vec<ColumnEntry>,
}

/// What came of opening the end of a blob.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// The index.
    Index(BlobIndex),
    /// The index begins earlier: open again with the bytes from this offset on.
    From(usize),
}

impl BlobIndex {
    /// Reads the index from the last bytes of a blob that is `length` bytes long; 8 suffice to be told how many it takes.
    pub fn open(tail: &[u8], length: usize) -> Result<Opened> {
        let Some((before, footer)) = tail.split_last_chunk::<FOOTER_BYTES>() else {
            return Err(corrupt(format!("expected at least {FOOTER_BYTES} bytes of a blob's end, got {}", tail.len())));
        };
        let mut footer = Bytes::new(footer);
        let (expected, offset) = (footer.u32()?, footer.u32()?);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = length.saturating_sub(FOOTER_BYTES);
        if tail.len() > length
            || offset < HEADER_BYTES
            || end.checked_sub(offset).is_none_or(|index| index < HEADER_BYTES)
        {
            return Err(corrupt(format!("expected an index within the blob's {length} bytes, got offset {offset}")));
        }
        let Some(start) = before.len().checked_sub(end - offset) else { return Ok(Opened::From(offset)) };
        let index = before.get(start..).unwrap_or_default();
        // Told apart before the checksum, whose algorithm a newer version may have changed.
        check_version(&mut Bytes::new(index))?;
        if checksum(index) != expected {
            return Err(corrupt(format!(
                "expected an index with checksum {expected:08x}, got {:08x}",
                checksum(index)
            )));
        }
        Self::read(index, offset).map(Opened::Index)
    }

    fn read(index: &[u8], end: usize) -> Result<Self> {
        let mut bytes = Bytes::new(index);
        let (columns, rows) = read_header(&mut bytes)?;
        if columns > index.len() / ENTRY_MIN_BYTES {
            return Err(corrupt(format!("expected an index of {columns} columns, got one of {} bytes", index.len())));
        }
        let mut entries = Vec::with_capacity(columns);
        let mut names = HashSet::with_capacity(columns);
        let mut offset = HEADER_BYTES;
        for _ in 0..columns {
            let entry = read_entry(&mut bytes, rows)?;
            if entry.range().start != offset || !names.insert(entry.name.clone()) {
                return Err(corrupt(format!(
                    "expected another column at {offset}, got {:?} at {}",
                    entry.name, entry.offset
                )));
            }
            offset = entry.range().end;
            entries.push(entry);
        }
        bytes.part()?;
        bytes.finish("the index")?;
        if offset != end {
            return Err(corrupt(format!("expected columns up to {end}, got them up to {offset}")));
        }
        Ok(Self { rows, columns: entries })
    }

    /// How many rows each column has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in the order in which they were written.
    pub fn columns(&self) -> &[ColumnEntry] {
        &self.columns
    }

    /// The position of the column of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// A column, or the error that there is none.
    pub(super) fn column(&self, position: usize) -> Result<&ColumnEntry> {
        self.columns
            .get(position)
            .ok_or_else(|| corrupt(format!("expected one of {} columns, got column {position}", self.columns.len())))
    }
}

/// The header's bytes.
pub(super) fn put_header(columns: u32, rows: u32, out: &mut Vec<u8>) {
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend(CHECKSUM_XXH64.to_le_bytes());
    out.extend(columns.to_le_bytes());
    out.extend(rows.to_le_bytes());
}

/// Reads what is the same in every version: magic, version, flags.
fn check_version(bytes: &mut Bytes<'_>) -> Result<()> {
    if bytes.take(MAGIC.len())? != MAGIC {
        return Err(corrupt("expected a blob that begins with VRTX"));
    }
    let (version, flags) = (bytes.u16()?, bytes.u16()?);
    if version != VERSION || flags != CHECKSUM_XXH64 {
        return Err(corrupt(format!(
            "expected a blob of version {VERSION} with flags {CHECKSUM_XXH64}, got version {version} with flags {flags}; was it written by a newer version?"
        )));
    }
    Ok(())
}

/// How many columns and rows a header tells of.
fn read_header(bytes: &mut Bytes<'_>) -> Result<(usize, usize)> {
    check_version(bytes)?;
    let (columns, rows) = (bytes.u32()?, bytes.u32()?);
    match (usize::try_from(columns), usize::try_from(rows)) {
        (Ok(columns), Ok(rows)) if rows <= BLOB_MAX_ROWS => Ok((columns, rows)),
        _ => Err(corrupt(format!("expected at most {BLOB_MAX_ROWS} rows, got {rows}"))),
    }
}

pub(super) fn put_entry(entry: &ColumnEntry, out: &mut Vec<u8>) {
    out.extend(u16::try_from(entry.name.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(entry.name.as_bytes());
    out.extend(entry.offset.to_le_bytes());
    out.extend(entry.length.to_le_bytes());
    out.extend(entry.checksum.to_le_bytes());
    put_type(entry.column_type, out);
    out.push(entry.encoding.id());
    entry.statistics.write(out);
    put_part(out, &[]);
}

fn read_entry(bytes: &mut Bytes<'_>, rows: usize) -> Result<ColumnEntry> {
    let length = usize::from(bytes.u16()?);
    let name = std::str::from_utf8(bytes.take(length)?)
        .map_err(|error| corrupt("expected a column's name in UTF-8").caused_by(error))?;
    let (offset, length, checksum) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
    let column_type = read_type(bytes)?;
    let encoding = Encoding::of(bytes.u8()?)?;
    let statistics = Statistics::read(bytes, column_type, rows)?;
    bytes.part()?;
    Ok(ColumnEntry { name: name.to_owned(), column_type, encoding, statistics, offset, length, checksum })
}
