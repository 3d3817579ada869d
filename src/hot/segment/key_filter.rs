//! Which values an index's fields have in a segment, as far as a filter tells.
//!
//! A declared index is a list of fields; each beginning of the list has a filter of the tuples of values that documents
//! have in those fields. Two indexes that begin alike share what they have in common.

use std::collections::HashSet;

use super::id_filter::IdFilter;
use super::index_key;
use crate::hot::query::{FieldPath, OrderKey};
use crate::types::Json;

/// Bytes of all key filters of a segment, at most: its head has to fit one row. A filter for which there is no room is
/// left out, those of the most tuples first, and then excludes nothing.
pub const KEY_FILTERS_MAX_BYTES: usize = 1_000_000;
/// Tuples that are collected for filters, at most: as many as there is room for at two bytes each.
const TUPLES_MAX: usize = KEY_FILTERS_MAX_BYTES / 2;

/// A filter of the tuples that documents have in some fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFilter {
    /// The fields, as paths, in the order of the tuple.
    pub fields: Vec<String>,
    /// The tuples' [bytes](index_key).
    pub filter: IdFilter,
}

impl KeyFilter {
    /// `false` only when no row has these values in these fields; true when not all of this filter's fields are given.
    pub fn may_have(&self, values: &[(&str, &OrderKey)]) -> bool {
        let mut tuple = Vec::new();
        for field in &self.fields {
            let Some((_, value)) = values.iter().find(|(name, _)| name == field) else { return true };
            index_key::put(value, &mut tuple);
        }
        self.filter.may_have(IdFilter::hash(&tuple))
    }
}

/// Collects the tuples of documents.
pub(super) struct KeyCollector {
    indexes: Vec<Vec<Part>>,
    /// How many hashes there are in all.
    collected: usize,
    tuple: Vec<u8>,
}

/// A field of an index, and the tuples that end with it.
struct Part {
    path: FieldPath,
    /// `None` where an earlier index begins with the same fields, and where there is no room.
    hashes: Option<HashSet<u64>>,
}

impl KeyCollector {
    /// For declared indexes.
    pub(super) fn new(indexes: &[Vec<String>]) -> Self {
        let mut seen: HashSet<&[String]> = HashSet::new();
        let mut collected = Vec::new();
        for fields in indexes {
            let starts = (1..=fields.len()).filter_map(|length| fields.get(..length));
            let part = |start: &[String], fresh: bool| {
                let path = FieldPath::new(start.last().map_or("", String::as_str));
                Part { path, hashes: fresh.then(HashSet::new) }
            };
            let parts: Vec<Part> = starts.map(|start| (start, seen.insert(start))).map(|(s, f)| part(s, f)).collect();
            if parts.iter().any(|part| part.hashes.is_some()) {
                collected.push(parts);
            }
        }
        Self { indexes: collected, collected: 0, tuple: Vec::new() }
    }

    /// Adds a document's tuples.
    pub(super) fn add(&mut self, document: &Json<'_>) {
        for parts in &mut self.indexes {
            self.tuple.clear();
            for part in parts {
                index_key::put_value(part.path.find(document), &mut self.tuple);
                if let Some(hashes) = &mut part.hashes {
                    self.collected += usize::from(hashes.insert(IdFilter::hash(&self.tuple)));
                }
            }
        }
        while self.collected > TUPLES_MAX && self.give_up() {}
    }

    /// Gives up on the filter of the most tuples, the last of such. Whether there was one.
    fn give_up(&mut self) -> bool {
        let parts = self.indexes.iter_mut().flatten();
        let most = parts.max_by_key(|part| part.hashes.as_ref().map_or(0, HashSet::len));
        let Some(hashes) = most.and_then(|part| part.hashes.take()) else { return false };
        self.collected = self.collected.saturating_sub(hashes.len());
        true
    }

    /// The filters, as many as there is room for.
    pub(super) fn finish(self) -> Vec<KeyFilter> {
        let mut filters = Vec::new();
        let mut room = KEY_FILTERS_MAX_BYTES;
        for parts in self.indexes {
            let mut fields = Vec::new();
            for part in parts {
                fields.push(part.path.as_str().to_owned());
                let Some(hashes) = part.hashes else { continue };
                let names: usize = fields.iter().map(String::len).sum();
                let bytes = IdFilter::bytes_for(hashes.len()).saturating_add(names);
                let Some(left) = room.checked_sub(bytes) else { continue };
                room = left;
                let mut filter = IdFilter::for_keys(hashes.len());
                hashes.iter().for_each(|hash| filter.insert(*hash));
                filters.push(KeyFilter { fields: fields.clone(), filter });
            }
        }
        filters
    }
}
