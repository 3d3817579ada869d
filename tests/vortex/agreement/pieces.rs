//! Blobs taken apart and put together again with checksums that are right, whatever became of the pieces.

use crate::naive::Entry;
use crate::naive::index::{FOOTER_BYTES, HEADER_BYTES, checksum, entries, entry};
use crate::naive::input::Input;

/// A blob in pieces.
#[derive(Clone, Debug)]
pub struct Pieces {
    pub rows: u32,
    /// What is after the entries.
    pub more: Vec<u8>,
    pub columns: Vec<Piece>,
}

/// A column, and what the index says of it that does not follow from where it lies.
#[derive(Clone, Debug)]
pub struct Piece {
    pub name: Vec<u8>,
    /// Type, encoding, statistics, and what is after them.
    pub description: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// The pieces of a blob that is right.
pub fn take_apart(blob: &[u8]) -> Pieces {
    let (rows, entries) = entries(blob).unwrap();
    let piece = |entry: &Entry| Piece {
        name: entry.name.clone().into_bytes(),
        description: blob[entry.description.clone()].to_vec(),
        bytes: blob[entry.range()].to_vec(),
    };
    Pieces { rows: rows as u32, more: vec![0], columns: entries.iter().map(piece).collect() }
}

pub fn put_together(pieces: &Pieces) -> Vec<u8> {
    let mut blob = b"VRTX\x01\0\0\0".to_vec();
    blob.extend((pieces.columns.len() as u32).to_le_bytes());
    blob.extend(pieces.rows.to_le_bytes());
    let mut index = blob.clone();
    for Piece { name, description, bytes } in &pieces.columns {
        index.extend((name.len() as u16).to_le_bytes());
        index.extend(name);
        for number in [blob.len() as u32, bytes.len() as u32, checksum(bytes)] {
            index.extend(number.to_le_bytes());
        }
        index.extend(description);
        blob.extend(bytes);
    }
    index.extend(&pieces.more);
    let index_start = blob.len() as u32;
    blob.extend(&index);
    blob.extend(checksum(&index).to_le_bytes());
    blob.extend(index_start.to_le_bytes());
    blob
}

/// Makes the checksums of a blob right that was changed anywhere, as far as its index can still be read.
pub fn repair(blob: &mut [u8]) {
    let Some(index_end) = blob.len().checked_sub(FOOTER_BYTES) else { return };
    let index_start = Input::new(&blob[index_end + 4..]).u32().map_or(usize::MAX, |start| start as usize);
    let entries_start = index_start.saturating_add(HEADER_BYTES);
    if entries_start > index_end {
        return;
    }
    let index = blob[entries_start..index_end].to_vec();
    let mut input = Input::new(&index);
    while let Ok(entry) = entry(&mut input, u32::MAX, index_end) {
        if let Some(column) = blob.get(entry.range()) {
            let checksum = checksum(column).to_le_bytes();
            blob[entry.description.start - 4..entry.description.start].copy_from_slice(&checksum);
        }
    }
    let checksum = checksum(&blob[index_start..index_end]).to_le_bytes();
    blob[index_end..index_end + 4].copy_from_slice(&checksum);
}
