//! Which versions of a collection a snapshot has that are not there now, and where they are.
//!
//! A version is the sequence of the event that made it, and never comes again: a document of the snapshot with the version
//! of one that there is, is that one. So only the column of versions is read of what has not changed. What is remembered
//! is some bits a version. Of another object's snapshot every version is wanted.

use roaring::{RoaringBitmap, RoaringTreemap};

use super::source::Source;
use crate::cold::{ChangesRange, DataFile, FileContent, deleted_positions, read_versions, scan_changes};
use crate::error::{ErrorKind, Result, StorageError};
use crate::snapshots::EvictedFiles;
use crate::snapshots::Snapshotter;
use crate::types::{Operation, Sequence, StorageTier};

/// The versions of a collection.
#[derive(Default)]
pub struct Versions {
    /// Those that are there, and are the snapshot's.
    pub kept: RoaringTreemap,
    /// Those of the snapshot's change logs that are wanted.
    pub events: RoaringTreemap,
    /// The files that may have what is wanted, in an order that does not change.
    pub wanted: Vec<WantedRows>,
}

/// What is wanted of the snapshot's files.
pub enum WantedRows {
    /// Rows of a data file, and where its row groups end.
    Data(DataFile, RoaringBitmap, Vec<u32>),
    /// Events of a change log.
    Changes(Vec<DataFile>, ChangesRange),
}

/// A version as a member of a set.
pub fn member(version: Sequence) -> u64 {
    u64::try_from(version).unwrap_or(0)
}

impl Snapshotter {
    /// Compares the versions of a collection. With `same_versions` the snapshot is of this object.
    pub(super) async fn compare_versions(
        &self,
        source: &Source,
        collection: &str,
        same_versions: bool,
    ) -> Result<Versions> {
        let objects = self.bucket()?;
        let present = if same_versions { self.present_versions(collection).await? } else { RoaringTreemap::new() };
        let (mut found, mut replaced) = (Versions::default(), RoaringTreemap::new());
        for (table, range) in source.changes(collection) {
            scan_changes(objects.as_ref(), &table.files, collection, range, &mut |record| {
                let event = record.event;
                match (event.operation, record.before_sequence) {
                    (Operation::Insert, _) => {}
                    (_, Some(before)) => drop(replaced.insert(member(before))),
                    (_, None) => return Err(untold(event.sequence)),
                }
                if event.operation != Operation::Delete {
                    found.events.insert(member(event.sequence));
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })
            .await?;
        }
        found.events -= &replaced;
        for (table, range) in source.changes(collection) {
            found.wanted.push(WantedRows::Changes(table.files.clone(), ChangesRange { images: true, ..range }));
        }
        found.kept = &found.events & &present;
        found.events -= &present;
        let Some(table) = source.state(collection) else { return Ok(found) };
        let deleted = deleted_positions(objects.as_ref(), &table.files).await?;
        let mut wanted = Vec::new();
        for file in table.files.iter().filter(|file| file.content == FileContent::Data) {
            let (deleted, mut rows) = (deleted.get(&file.key), RoaringBitmap::new());
            let ends = read_versions(objects.as_ref(), file, &mut |position, version| {
                let version = member(version);
                if deleted.is_some_and(|deleted| deleted.contains(position)) || replaced.contains(version) {
                } else if present.contains(version) {
                    found.kept.insert(version);
                } else {
                    rows.insert(position);
                }
            })
            .await?;
            wanted.push(WantedRows::Data(file.clone(), rows, ends));
        }
        // The state comes first: a version is written before the one that replaced it.
        wanted.append(&mut found.wanted);
        found.wanted = wanted;
        Ok(found)
    }

    /// The versions that there are.
    async fn present_versions(&self, collection: &str) -> Result<RoaringTreemap> {
        let mut present = RoaringTreemap::new();
        self.hot.each_version(collection, &mut |_, version| {
            present.insert(member(version));
            Ok(())
        })?;
        for (file, rows) in self.evicted_files(collection)?.0.into_values() {
            read_versions(self.bucket()?.as_ref(), &file, &mut |position, version| {
                if rows.contains(position) {
                    present.insert(member(version));
                }
            })
            .await?;
        }
        Ok(present)
    }

    /// The rows of the evicted documents of a collection, by the keys of their files.
    pub(super) fn evicted_files(&self, collection: &str) -> Result<EvictedFiles> {
        let mut files = EvictedFiles::default();
        for segment in self.hot.evicted_segments(collection)? {
            files.add_current(&segment)?;
        }
        Ok(files)
    }
}

fn untold(sequence: Sequence) -> StorageError {
    let message = format!("expected event {sequence} to tell which version it replaced, got none");
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "restore snapshot", message)
}
