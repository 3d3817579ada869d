//! What is restored: the documents of a snapshot, read from the bucket alone.
//!
//! A chain of manifests: a full snapshot's states, and the changes of the incremental ones after it. Nothing is kept of
//! the object that made it, so that any object of the bucket can restore it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use xxhash_rust::xxh64::Xxh64;

use crate::cold::{ChangesRange, DataFile, FileContent, scan, scan_changes};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::query::Filter;
use crate::ports::ObjectStore;
use crate::snapshots::named::manifest::{Manifest, ManifestReference, ManifestTable};
use crate::types::{Document, StorageTier};

/// Bytes of documents that one page of a snapshot has.
const PAGE_MAX_BYTES: usize = 12 * 1024 * 1024;
/// Bytes that are read of a file at a time when it is proved.
const READ_BYTES: u64 = 4 * 1024 * 1024;
/// Snapshots in one chain, at most.
const CHAIN_MAX: usize = 1_000;
/// What a document takes in a page beside its id and text, in bytes.
const DOCUMENT_OVERHEAD_BYTES: usize = 96;

/// A snapshot with everything that it goes on from.
pub struct Source {
    /// The full snapshot first, the one asked for last.
    chain: Vec<Manifest>,
}

/// Documents of a collection in the order of their ids.
pub struct Page {
    /// The documents, all that there are after the last page and up to `until`.
    pub documents: BTreeMap<String, Document>,
    /// The last id that the page is about; `None` at the end of the collection.
    pub until: Option<String>,
}

impl Source {
    /// Reads the manifests.
    pub async fn read(objects: &dyn ObjectStore, reference: &ManifestReference) -> Result<Self> {
        let mut chain = vec![Manifest::read(objects, reference).await?];
        while let Some(parent) = chain.last().and_then(|manifest| manifest.parent.clone()) {
            if chain.len() >= CHAIN_MAX {
                return Err(corrupt(format!("expected a chain of at most {CHAIN_MAX} snapshots, got more")));
            }
            chain.push(Manifest::read(objects, &parent).await?);
        }
        chain.reverse();
        Ok(Self { chain })
    }

    /// The snapshot's own manifest.
    pub fn manifest(&self) -> Result<&Manifest> {
        self.chain.last().ok_or_else(|| corrupt("expected a manifest, got none".to_owned()))
    }

    /// All files, each once a manifest.
    pub fn files(&self) -> Vec<&DataFile> {
        self.chain.iter().flat_map(|manifest| &manifest.tables).flat_map(|table| &table.files).collect()
    }

    /// Rows of all files: about as many as are read.
    pub fn rows(&self) -> u64 {
        let rows = self.files().into_iter().map(|file| u64::try_from(file.record_count).unwrap_or(0));
        rows.fold(0, u64::saturating_add)
    }

    /// The documents of a collection after an id, bounded in bytes.
    pub async fn page(&self, objects: &dyn ObjectStore, collection: &str, after: Option<&str>) -> Result<Page> {
        let window = RefCell::new(Window::new(after));
        for manifest in &self.chain {
            for table in manifest.tables.iter().filter(|table| table.name == collection) {
                match manifest.after {
                    None => scan_state(objects, table, &window).await?,
                    Some(after) => {
                        let range = ChangesRange { after, until: manifest.sequence, images: true };
                        scan_changes(objects, &table.files, collection, range, &mut |record| {
                            let event = record.event;
                            let (sequence, timestamp) = (event.sequence, event.timestamp);
                            let id = event.document_id;
                            let document =
                                event.after.map(|text| Document { id: id.clone(), sequence, timestamp, text });
                            window.borrow_mut().put(id, document);
                            Ok(ControlFlow::Continue(()))
                        })
                        .await?;
                    }
                }
            }
        }
        let Window { documents, until, .. } = window.into_inner();
        let documents = documents.into_iter().filter_map(|(id, document)| Some((id, document?))).collect();
        Ok(Page { documents, until })
    }
}

/// Reads the documents of a state table that are in the window.
async fn scan_state(objects: &dyn ObjectStore, table: &ManifestTable, window: &RefCell<Window>) -> Result<()> {
    let columns = table.columns.clone().unwrap_or_default();
    let (data, deletes): (Vec<&DataFile>, Vec<&DataFile>) =
        table.files.iter().partition(|file| file.content == FileContent::Data);
    // One file after the other: of a sorted one the rest is not read when the window has ended.
    for file in data {
        let mut files: Vec<DataFile> = vec![file.clone()];
        files.extend(deletes.iter().filter(|deletes| deletes.month == file.month).map(|deletes| (*deletes).clone()));
        let wanted = window.borrow().filter();
        let is_sorted = file.sorted;
        let prune = |statistics: &dyn crate::types::statistics::ColumnStatistics| {
            wanted.as_ref().is_some_and(|wanted| !wanted.may_match(statistics))
        };
        scan(objects, &files, &columns, None, &prune, &mut |document: Document| {
            let mut window = window.borrow_mut();
            if is_sorted && window.is_past(&document.id) {
                return Ok(ControlFlow::Break(()));
            }
            window.put(document.id.clone(), Some(document));
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    }
    Ok(())
}

/// The documents after an id, as many as fit. Those with the greatest ids make room for others.
struct Window {
    after: Option<String>,
    /// The last id that fits; `None` while all do.
    until: Option<String>,
    documents: BTreeMap<String, Option<Document>>,
    bytes: usize,
}

impl Window {
    fn new(after: Option<&str>) -> Self {
        Self { after: after.map(str::to_owned), until: None, documents: BTreeMap::new(), bytes: 0 }
    }

    fn is_past(&self, id: &str) -> bool {
        self.until.as_deref().is_some_and(|until| id > until)
    }

    /// A filter that all documents of the window match; `None` when all documents do.
    fn filter(&self) -> Option<Filter> {
        Filter::ids_between(self.after.as_deref(), self.until.as_deref())
    }

    /// Notes what a document is from here on.
    fn put(&mut self, id: String, document: Option<Document>) {
        if self.is_past(&id) || self.after.as_deref().is_some_and(|after| id.as_str() <= after) {
            return;
        }
        self.bytes = self.bytes.saturating_add(size(&id, document.as_ref()));
        if let Some(before) = self.documents.get(&id) {
            self.bytes = self.bytes.saturating_sub(size(&id, before.as_ref()));
        }
        self.documents.insert(id, document);
        while self.bytes > PAGE_MAX_BYTES && self.documents.len() > 1 {
            let Some((id, document)) = self.documents.pop_last() else { return };
            self.bytes = self.bytes.saturating_sub(size(&id, document.as_ref()));
            self.until = self.documents.last_key_value().map(|(last, _)| last.clone());
        }
    }
}

fn size(id: &str, document: Option<&Document>) -> usize {
    let text = document.map_or(0, |document| document.text.len());
    id.len().saturating_mul(2).saturating_add(text).saturating_add(DOCUMENT_OVERHEAD_BYTES)
}

/// Proves that all bytes of a file are those that were written; how many there are.
pub async fn verify(objects: &dyn ObjectStore, file: &DataFile) -> Result<u64> {
    let mut hash = Xxh64::new(0);
    let mut start = 0;
    while start < file.file_size {
        let end = start.saturating_add(READ_BYTES).min(file.file_size);
        let found = objects.get(&file.key, Some(start..end)).await?;
        let found = found.ok_or_else(|| corrupt(format!("expected {} in the bucket, got no object", file.key)))?;
        let complete = u64::try_from(found.bytes.len()) == Ok(end.saturating_sub(start));
        if found.info.size != file.file_size || !complete {
            return Err(corrupt(format!("expected {} to have {} bytes, got others", file.key, file.file_size)));
        }
        hash.update(&found.bytes);
        start = end;
    }
    if hash.digest() != file.checksum {
        return Err(corrupt(format!("expected {} to have the checksum that is on record, got another", file.key)));
    }
    Ok(file.file_size)
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "restore snapshot", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, bytes: usize) -> Option<Document> {
        Some(Document { id: id.to_owned(), sequence: 1, timestamp: 1, text: "x".repeat(bytes) })
    }

    #[test]
    fn a_window_keeps_the_first_documents_that_fit() {
        let mut window = Window::new(Some("b"));
        for id in ["a", "b", "z", "c", "y", "d"] {
            window.put(id.to_owned(), document(id, PAGE_MAX_BYTES / 3));
        }
        assert_eq!(window.documents.keys().collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(window.until.as_deref(), Some("d"));
        window.put("cc".to_owned(), None);
        window.put("e".to_owned(), document("e", 1));
        window.put("d".to_owned(), None);
        assert_eq!(window.documents.keys().collect::<Vec<_>>(), ["c", "cc", "d"], "past the end nothing is known");
        assert!(window.documents["d"].is_none());
        assert_eq!(window.bytes, window.documents.iter().map(|(id, one)| size(id, one.as_ref())).sum::<usize>());
    }

    #[test]
    fn one_document_always_fits() {
        let mut window = Window::new(None);
        window.put("b".to_owned(), document("b", 2 * PAGE_MAX_BYTES));
        assert_eq!((window.documents.len(), window.until.as_deref()), (1, None));
        window.put("a".to_owned(), document("a", 2 * PAGE_MAX_BYTES));
        assert_eq!((window.documents.len(), window.until.as_deref()), (1, Some("a")));
    }
}
