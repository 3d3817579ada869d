//! Pages of the access log: the two streams put together by their keys, bounded in entries and in what is looked at.

use super::{AccessEntry, AccessKey};
use crate::types::Timestamp;

/// Bytes of packs and records that a page looks at in each stream, about.
const LOOK_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Which entries are wanted.
#[derive(Clone, Debug)]
pub struct AccessFilter {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this moment.
    pub to: Timestamp,
    /// Of this principal alone.
    pub principal: Option<String>,
    /// Of this action alone.
    pub action: Option<String>,
    /// About this collection alone.
    pub collection: Option<String>,
    /// Only what was done (`true`), or refused (`false`).
    pub done: Option<bool>,
}

impl AccessFilter {
    fn wants(&self, entry: &AccessEntry) -> bool {
        let is = |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        is(&self.principal, entry.principal.as_ref())
            && is(&self.action, Some(&entry.action))
            && self.collection.as_ref().is_none_or(|wanted| entry.collections.contains(wanted))
            && self.done.is_none_or(|done| done == (entry.status < 400))
    }
}

/// A page, the oldest entries first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPage {
    /// What is on it; perhaps nothing, although there is more.
    pub entries: Vec<AccessEntry>,
    /// After which key the next one begins; `None` at the end.
    pub next: Option<AccessKey>,
}

/// What a page takes of one stream.
pub struct Gathering<'f> {
    filter: &'f AccessFilter,
    after: AccessKey,
    limit: usize,
    entries: Vec<AccessEntry>,
    /// The key up to which everything was looked at.
    seen: AccessKey,
    looked_bytes: usize,
    done: bool,
}

impl<'f> Gathering<'f> {
    /// Nothing yet; entries after a key, and no more than `limit`.
    pub fn new(filter: &'f AccessFilter, after: AccessKey, limit: usize) -> Self {
        Self { filter, after, limit, entries: Vec::new(), seen: after, looked_bytes: 0, done: false }
    }

    /// The times between which entries are wanted.
    pub fn bounds(&self) -> (Timestamp, Timestamp) {
        (self.filter.from.max(self.after.0), self.filter.to)
    }

    /// Where to begin.
    pub fn after(&self) -> AccessKey {
        self.after
    }

    /// Notes that bytes were read.
    pub fn looked_at(&mut self, bytes: usize) {
        self.looked_bytes = self.looked_bytes.saturating_add(bytes);
    }

    /// Notes that everything up to a key was looked at, though there was no entry.
    pub fn pass(&mut self, key: AccessKey) {
        self.seen = self.seen.max(key);
    }

    /// Takes the next entry of the stream, if it is wanted.
    pub fn take(&mut self, entry: AccessEntry) {
        let (from, to) = self.bounds();
        if self.done || entry.key() <= self.after || entry.timestamp < from || entry.timestamp > to {
            return;
        }
        self.seen = self.seen.max(entry.key());
        if self.filter.wants(&entry) {
            self.entries.push(entry);
            self.done = self.entries.len() > self.limit;
        }
    }

    /// Whether no more is to be looked at.
    pub fn is_done(&mut self) -> bool {
        self.done |= self.looked_bytes > LOOK_MAX_BYTES && self.seen > self.after;
        self.done
    }

    /// The page of two streams. What comes after a key up to which one of them alone was looked at is for the next page.
    pub fn merge(self, other: Self) -> AccessPage {
        let limit = self.limit;
        let bound = [&self, &other].into_iter().filter(|one| one.done).map(|one| one.seen).min();
        let mut entries = self.entries;
        entries.extend(other.entries);
        crate::types::sorting::sort_by_key(&mut entries, AccessEntry::key);
        entries.retain(|entry| bound.is_none_or(|bound| entry.key() <= bound));
        let next = if entries.len() > limit {
            entries.truncate(limit);
            entries.last().map(AccessEntry::key)
        } else {
            bound
        };
        AccessPage { entries, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp: Timestamp, order: i64) -> AccessEntry {
        AccessEntry { timestamp, order, action: "a".to_owned(), status: 200, ..AccessEntry::default() }
    }

    #[test]
    fn pages_of_any_size_tell_all_entries_of_both_streams_once_and_in_order() {
        let filter = AccessFilter { from: 0, to: 1_000, principal: None, action: None, collection: None, done: None };
        let writes: Vec<_> = (1..=40).map(|n| entry(n / 3, n)).collect();
        let others: Vec<_> = (1..=25).map(|n| entry(n / 2, n - 1_000)).collect();
        let mut all: Vec<_> = writes.iter().chain(&others).cloned().collect();
        all.sort_by_key(AccessEntry::key);
        for limit in [1, 2, 7, 64, 65, 100] {
            let (mut told, mut after) = (Vec::new(), (0, i64::MIN));
            loop {
                let gathered = [&writes, &others].map(|stream| {
                    let mut gathering = Gathering::new(&filter, after, limit);
                    stream.iter().for_each(|entry| gathering.take(entry.clone()));
                    gathering
                });
                let [one, other] = gathered;
                let page = one.merge(other);
                assert!(page.entries.len() <= limit);
                told.extend(page.entries);
                match page.next {
                    Some(next) => assert!(std::mem::replace(&mut after, next) < next),
                    None => break,
                }
            }
            assert_eq!(told, all, "pages of {limit}");
        }
    }
}
