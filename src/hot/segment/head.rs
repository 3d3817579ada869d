//! What a segment is about: kept in memory, one for each segment.
//!
//! The head is enough to tell that a segment cannot have a document or a value, and where each column's bytes are.
//! Its bytes are told in [`head_format`](super::head_format).

use std::ops::Range;

use super::head_format;
use super::id_filter::IdFilter;
use super::key_filter::KeyFilter;
use super::{GROUP_MAX_BYTES, corrupt};
use crate::error::Result;
use crate::hot::query::OrderKey;
use crate::types::Sequence;
use crate::types::time::Month;
use crate::vortex::StrayFields;
use crate::vortex::blob::BlobIndex;

/// How a segment came to be. The numbers are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// A batch went straight to it.
    Direct = 0,
    /// Rows were sealed.
    Sealed = 1,
    /// Segments were merged.
    Merged = 2,
}

/// What is known of a segment without reading its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentHead {
    /// How many rows there are, replaced and deleted ones included.
    pub rows: usize,
    /// Bytes of all documents' JSON text.
    pub text_bytes: u64,
    /// The month in which every version was committed.
    pub month: Month,
    /// The least version.
    pub first_sequence: Sequence,
    /// The greatest version.
    pub last_sequence: Sequence,
    /// The first row's id.
    pub first_id: String,
    /// The last row's id.
    pub last_id: String,
    /// How the segment came to be.
    pub origin: Origin,
    /// The numbers of the segments that it replaces.
    pub supersedes: Vec<i64>,
    /// The fields that the columns do not tell all of.
    pub stray: StrayFields,
    /// The blob's index: names, types, places and statistics of the columns.
    pub index: BlobIndex,
    /// Which ids the segment has.
    pub filter: IdFilter,
    /// Which values the declared indexes' fields have.
    pub key_filters: Vec<KeyFilter>,
    /// The blob's bytes beyond the columns, of which `index` was read.
    pub(super) tail: Box<[u8]>,
    /// Where the groups are in the blob: one after the other, from its beginning to its tail.
    pub(super) groups: Vec<Range<usize>>,
}

impl SegmentHead {
    /// Reads a head. Bytes that are not exactly one of a known version are an error.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        head_format::read(bytes)
    }

    /// The head's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        head_format::write(self)
    }

    /// About how many bytes the head takes in memory.
    pub fn memory_bytes(&self) -> usize {
        let columns = self.index.columns().iter();
        // The bounds of text are boxed beside the entry.
        let columns = columns.map(|column| size_of_val(column).saturating_add(column.name.len()).saturating_add(128));
        let key_filters = self.key_filters.iter().map(|key_filter| {
            let names = key_filter.fields.iter().map(|field| field.len().saturating_add(size_of::<String>()));
            names.sum::<usize>().saturating_add(key_filter.filter.byte_size()).saturating_add(size_of::<KeyFilter>())
        });
        let stray = match &self.stray {
            StrayFields::Some(names) => names.iter().map(|name| name.len().saturating_add(64)).sum(),
            StrayFields::None | StrayFields::Any => 0,
        };
        let others = [
            size_of::<Self>(),
            self.first_id.len(),
            self.last_id.len(),
            size_of_val(self.supersedes.as_slice()),
            stray,
            self.filter.byte_size(),
            self.tail.len(),
            size_of_val(self.groups.as_slice()),
        ];
        columns.chain(key_filters).chain(others).fold(0, usize::saturating_add)
    }

    /// Where the groups are in the blob: one after the other from its beginning; its tail is in none of them.
    pub fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    /// The group that has the column at `position`, and where in the group its bytes are.
    pub fn group_of(&self, position: usize) -> Option<(usize, Range<usize>)> {
        let column = self.index.columns().get(position)?.range();
        let number = self.groups.partition_point(|group| group.end <= column.start);
        let start = self.groups.get(number)?.start;
        Some((number, column.start.checked_sub(start)?..column.end.checked_sub(start)?))
    }

    /// `false` only when the segment has no document of this id.
    pub fn may_have_id(&self, id: &str) -> bool {
        (self.first_id.as_str()..=self.last_id.as_str()).contains(&id)
            && self.filter.may_have(IdFilter::hash(id.as_bytes()))
    }

    /// `false` only when no row has these values in these fields, given as paths.
    pub fn may_have(&self, values: &[(&str, &OrderKey)]) -> bool {
        self.key_filters.iter().all(|key_filter| key_filter.may_have(values))
    }
}

/// Where groups of whole columns are: as many columns each as fit, and a column that is too large by itself.
pub(super) fn group_columns(index: &BlobIndex) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    // The blob's header belongs to the first group.
    let mut start = 0;
    for column in index.columns() {
        let range = column.range();
        match groups.last_mut() {
            Some(group) if range.end.saturating_sub(group.start) <= GROUP_MAX_BYTES => group.end = range.end,
            _ => groups.push(start..range.end),
        }
        start = range.end;
    }
    groups
}

/// Whether each group is some whole columns and all of them are all columns.
pub(super) fn check_groups(groups: &[Range<usize>], index: &BlobIndex) -> Result<()> {
    let mut columns = index.columns().iter().map(|column| column.range().end).peekable();
    let mut end = 0;
    for group in groups {
        if group.start != end || group.is_empty() {
            return Err(corrupt(format!("expected a group of columns from {end} on, got {group:?}")));
        }
        end = group.end;
        while columns.next_if(|column| *column < end).is_some() {}
        if columns.next_if_eq(&end).is_none() {
            return Err(corrupt(format!("expected a group to end with a column, got {group:?}")));
        }
    }
    match columns.next() {
        None => Ok(()),
        Some(column) => Err(corrupt(format!("expected groups up to {column} at least, got them up to {end}"))),
    }
}
