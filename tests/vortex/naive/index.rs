//! What is around the columns: header, index, footer.

use std::ops::Range;

use thermocline::vortex::ColumnType;
use xxhash_rust::xxh64::xxh64;

use super::input::Input;
use super::statistics::{Statistics, statistics};
use super::{Refusal, refuse};

pub const HEADER_BYTES: usize = 16;
pub const FOOTER_BYTES: usize = 8;
const MOST_ROWS: u32 = 16_777_216;

/// What the index says of a column.
pub struct Entry {
    pub name: String,
    pub offset: u32,
    pub length: u32,
    pub checksum: u32,
    /// Where in the blob type, encoding and statistics are told, which the checksum is right before.
    pub description: Range<usize>,
    pub column_type: ColumnType,
    pub encoding: u8,
    pub statistics: Statistics,
}

impl Entry {
    pub fn range(&self) -> Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.length as usize)
    }
}

/// The low half of xxh64 with seed 0.
pub fn checksum(bytes: &[u8]) -> u32 {
    xxh64(bytes, 0) as u32
}

/// The number of rows, and what the index says of each column.
pub fn entries(bytes: &[u8]) -> Result<(usize, Vec<Entry>), Refusal> {
    let Some(index_end) = bytes.len().checked_sub(FOOTER_BYTES) else {
        return refuse("no footer");
    };
    let mut footer = Input::new(&bytes[index_end..]);
    let (index_checksum, index_start) = (footer.u32()?, footer.u32()? as usize);
    let Some(index) = bytes.get(index_start..index_end) else {
        return refuse(format!("an index from {index_start} to {index_end}"));
    };
    if checksum(index) != index_checksum {
        return refuse("an index of another checksum");
    }
    let mut input = Input::new(index);
    let header = input.take(HEADER_BYTES)?;
    if index_start < HEADER_BYTES || bytes.get(..HEADER_BYTES) != Some(header) {
        return refuse("a header that is not like its copy");
    }
    let (columns, rows) = counts(header)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut end = HEADER_BYTES;
    for _ in 0..columns {
        let entry = entry(&mut input, rows, index_end)?;
        if entries.iter().any(|before| before.name == entry.name) {
            return refuse(format!("two columns of the name {:?}", entry.name));
        }
        if entry.offset as usize != end {
            return refuse(format!("a column at {} where the one before ends at {end}", entry.offset));
        }
        end = entry.range().end;
        entries.push(entry);
    }
    // What later versions add.
    input.part()?;
    input.end()?;
    if end != index_start {
        return refuse(format!("an index at {index_start} where the columns end at {end}"));
    }
    Ok((rows as usize, entries))
}

/// How many columns and rows a header tells of.
fn counts(header: &[u8]) -> Result<(u32, u32), Refusal> {
    let mut header = Input::new(header);
    if header.take(4)? != b"VRTX" {
        return refuse("no blob");
    }
    let (version, flags) = (header.u16()?, header.u16()?);
    if version != 1 || flags != 0 {
        return refuse(format!("version {version}, flags {flags}"));
    }
    let (columns, rows) = (header.u32()?, header.u32()?);
    header.end()?;
    if rows > MOST_ROWS {
        return refuse(format!("{rows} rows"));
    }
    Ok((columns, rows))
}

/// The next entry of an index that ends at `index_end`.
pub fn entry(input: &mut Input<'_>, rows: u32, index_end: usize) -> Result<Entry, Refusal> {
    let name_length = usize::from(input.u16()?);
    let Ok(name) = String::from_utf8(input.take(name_length)?.to_vec()) else {
        return refuse("a name that is not UTF-8");
    };
    let (offset, length, checksum) = (input.u32()?, input.u32()?, input.u32()?);
    let description_start = index_end - input.left();
    let column_type = column_type(input)?;
    let encoding = input.byte()?;
    if encoding > 8 {
        return refuse(format!("encoding {encoding}"));
    }
    let statistics = statistics(input, column_type)?;
    // What later versions add.
    input.part()?;
    if rows.checked_sub(statistics.nulls).is_none_or(|values| statistics.distinct > values) {
        return refuse("more nulls and distinct values than rows");
    }
    let description = description_start..index_end - input.left();
    Ok(Entry { name, offset, length, checksum, description, column_type, encoding, statistics })
}

/// Type, precision and scale. The numbers are not in the description.
pub fn column_type(input: &mut Input<'_>) -> Result<ColumnType, Refusal> {
    let (number, precision, scale) = (input.byte()?, input.byte()?, input.byte()?);
    if number == 5 {
        if !(1..=38).contains(&precision) || scale > precision {
            return refuse(format!("a decimal of precision {precision} and scale {scale}"));
        }
        return Ok(ColumnType::Decimal { precision, scale });
    }
    if precision != 0 || scale != 0 {
        return refuse(format!("precision {precision} and scale {scale} of what is no decimal"));
    }
    Ok(match number {
        0 => ColumnType::Boolean,
        1 => ColumnType::Int,
        2 => ColumnType::Long,
        3 => ColumnType::Float,
        4 => ColumnType::Double,
        6 => ColumnType::Date,
        7 => ColumnType::Timestamp,
        8 => ColumnType::String,
        9 => ColumnType::Uuid,
        10 => ColumnType::Binary,
        11 => ColumnType::Json,
        _ => return refuse(format!("type {number}")),
    })
}
