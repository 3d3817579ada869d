//! What is restored: the documents of a snapshot, read from the bucket alone.
//!
//! A chain of manifests: a full snapshot's states, and the changes of the incremental ones after it. Nothing is kept of
//! the object that made it, so that any object of the bucket can restore it.

use std::cell::RefCell;
use std::rc::Rc;

use xxhash_rust::xxh64::Xxh64;

use super::versions::Versions;
use crate::cold::{ChangesRange, DataFile};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::ObjectStore;
use crate::snapshots::named::manifest::{Manifest, ManifestReference, ManifestTable};
use crate::types::StorageTier;

/// Bytes that are read of a file at a time when it is proved.
const READ_BYTES: u64 = 4 * 1024 * 1024;
/// Snapshots in one chain, at most.
const CHAIN_MAX: usize = 1_000;

/// A snapshot with everything that it goes on from.
pub struct Source {
    /// The full snapshot first, the one asked for last.
    chain: Vec<Manifest>,
    /// The versions of the collection with this place in the list, while it is compared.
    pub versions: RefCell<Option<(usize, Rc<Versions>)>>,
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
        Ok(Self { chain, versions: RefCell::default() })
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

    /// The state of a collection that the chain begins with.
    pub fn state(&self, collection: &str) -> Option<&ManifestTable> {
        let full = self.chain.iter().find(|manifest| manifest.after.is_none())?;
        full.tables.iter().find(|table| table.name == collection)
    }

    /// What happened to a collection after that, in order.
    pub fn changes(&self, collection: &str) -> impl Iterator<Item = (&ManifestTable, ChangesRange)> {
        self.chain.iter().flat_map(move |manifest| {
            let tables = manifest.tables.iter().filter(move |table| table.name == collection);
            let range = |after| ChangesRange { after, until: manifest.sequence, images: false };
            tables.filter_map(move |table| Some((table, range(manifest.after?))))
        })
    }
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
