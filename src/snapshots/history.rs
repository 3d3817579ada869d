//! A collection as it was: from the hot tier while its log reaches back, otherwise the nearest older commit with the
//! archived changes after it.
//!
//! Transactions are whole: a moment has all events that were committed at or before it. What is read is immutable, so that
//! anything may be written meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use uuid::Uuid;

use super::Snapshotter;
use super::frozen::Only;
use crate::cold::catalog::{TableId, TableRecord, data_files};
use crate::cold::table::Snapshot;
use crate::cold::{ChangesRange, ScanStats, TableKind, scan, scan_changes};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::Collection;
use crate::types::sink::room;
use crate::types::statistics::ColumnStatistics;
use crate::types::time::rfc3339;
use crate::types::{Document, DocumentSink, Sequence, StorageTier, Timestamp};

/// Bytes of changed documents between a commit and the moment asked for that are kept in memory.
const CHANGES_MAX_BYTES: usize = 24 * 1024 * 1024;

/// A moment of an object's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Everything that was committed at or before it, Unix ms.
    Time(Timestamp),
    /// The state right after an event.
    Sequence(Sequence),
    /// The state that a named snapshot is of, which is that after this event.
    Named(Uuid, Sequence),
}

impl Moment {
    fn has(self, sequence: Sequence, timestamp: Timestamp) -> bool {
        match self {
            Self::Time(time) => timestamp <= time,
            Self::Sequence(last) | Self::Named(_, last) => sequence <= last,
        }
    }
}

/// Documents of the past that are wanted.
pub struct Wanted<'w> {
    /// Only the document with this id.
    pub id: Option<&'w str>,
    /// `false` for statistics of documents none of which is wanted.
    pub may_match: &'w dyn Fn(&dyn ColumnStatistics) -> bool,
}

/// What became of documents after a commit; `None` for those that were deleted.
type Changed = BTreeMap<String, Option<Document>>;

impl Snapshotter {
    /// Reads the documents of a collection as of a moment, in any order.
    pub async fn scan_as_of(
        &self,
        collection: &str,
        moment: Moment,
        wanted: &Wanted<'_>,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        let catalog = self.hot.catalog()?;
        let Some(collection) = catalog.known(collection) else { return Ok(ScanStats::default()) };
        if let Some(sequence) = self.hot_sequence(moment)? {
            self.scan_hot_as_of(collection, sequence, wanted, sink).await?;
            return Ok(ScanStats::default());
        }
        self.scan_cold_as_of(collection, moment, wanted, sink).await
    }

    /// The sequence of a moment that the hot log reaches back to.
    fn hot_sequence(&self, moment: Moment) -> Result<Option<Sequence>> {
        let log = self.hot.log();
        let sequence = match moment {
            Moment::Time(time) => log.sequence_at(time)?,
            Moment::Sequence(sequence) | Moment::Named(_, sequence) => Some(sequence),
        };
        let first = log.first_sequence()?;
        Ok(sequence.filter(|sequence| sequence.saturating_add(1) >= first))
    }

    async fn scan_hot_as_of(
        &self,
        collection: &Collection,
        at: Sequence,
        wanted: &Wanted<'_>,
        sink: &mut dyn DocumentSink,
    ) -> Result<()> {
        if let Some(id) = wanted.id {
            let found = self.recalling(|| self.hot.get_as_of(collection, id, at)).await?;
            return found.map_or(Ok(()), |document| sink.take(document).map(|_| ()));
        }
        self.scan_frozen(self.hot.freeze(collection, at)?, sink).await
    }

    async fn scan_cold_as_of(
        &self,
        collection: &Collection,
        moment: Moment,
        wanted: &Wanted<'_>,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        let objects = self.reads()?;
        let id = TableId { collection: collection.id, kind: TableKind::State };
        let Some(record) = self.catalog.table(id)? else { return Err(self.out_of_retention(None)?) };
        // What is tagged is the whole state, and no events are needed.
        let base = match tagged(&record, moment) {
            Some(tagged) => Some(tagged),
            None => self.base(&record, moment)?.map(|base| sequence_of(base).map(|after| (base, after))).transpose()?,
        };
        let (files, after) = match base {
            Some((snapshot, after)) => (data_files(self.catalog.files_of_snapshot(id, snapshot)?), after),
            None => (Vec::new(), 0),
        };
        let expired = self.catalog.expired()?;
        let is_gone = match moment {
            Moment::Time(time) => time < expired.timestamp || after < expired.through,
            // What a commit has needs no events.
            Moment::Sequence(sequence) | Moment::Named(_, sequence) => sequence != after && after < expired.through,
        };
        if is_gone {
            return Err(self.out_of_retention(Some(expired.timestamp))?);
        }
        let mut changed = self.changes_between(collection, after, moment, wanted).await?;
        let is_wanted =
            |document: &Document| !changed.contains_key(&document.id) && wanted.id.is_none_or(|id| id == document.id);
        let mut those = Only { sink: &mut *sink, wanted: is_wanted, ended: false };
        let prune = |statistics: &dyn ColumnStatistics| !(wanted.may_match)(statistics);
        let mut stats = scan(objects.as_ref(), &files, &record.columns, None, &prune, &mut those).await?;
        let mut ended = those.ended;
        while !ended && let Some((_, document)) = changed.pop_first() {
            if let Some(document) = document {
                stats.rows_read = stats.rows_read.saturating_add(1);
                ended = sink.take(document)?.is_break();
                room(sink).await;
            }
        }
        Ok(stats)
    }

    /// The newest kept commit that is not newer than a moment; `None` when the table was empty then.
    fn base<'r>(&self, record: &'r TableRecord, moment: Moment) -> Result<Option<&'r Snapshot>> {
        let current = record.state.current_snapshot().map(|snapshot| snapshot.snapshot_id);
        // The files of commits of an earlier version of this program are known of the current one only.
        let is_known = |snapshot: &&Snapshot| snapshot.version > 0 || Some(snapshot.snapshot_id) == current;
        let snapshots: Vec<&Snapshot> = record.state.snapshots.iter().filter(is_known).collect();
        let mut older = None;
        for snapshot in snapshots.iter().copied() {
            if moment.has(sequence_of(snapshot)?, snapshot.timestamp_ms) {
                older = Some(snapshot);
            }
        }
        match (older, snapshots.first()) {
            (Some(snapshot), _) => Ok(Some(snapshot)),
            // The table's first commit: there was nothing before the changes that it archived.
            (None, Some(first)) if first.sequence_number == 1 => Ok(None),
            (None, oldest) => Err(self.out_of_retention(oldest.map(|snapshot| snapshot.timestamp_ms))?),
        }
    }

    /// What happened to documents after a commit and up to a moment.
    async fn changes_between(
        &self,
        collection: &Collection,
        after: Sequence,
        moment: Moment,
        wanted: &Wanted<'_>,
    ) -> Result<Changed> {
        let mut changed = Changed::new();
        let id = TableId { collection: collection.id, kind: TableKind::Changes };
        let Some(record) = self.catalog.table(id)? else { return Ok(changed) };
        let files = data_files(self.catalog.files(id, record.state.version)?);
        let until = match moment {
            Moment::Sequence(sequence) | Moment::Named(_, sequence) => sequence,
            Moment::Time(_) => Sequence::MAX,
        };
        let range = ChangesRange { after, until, images: true };
        let mut bytes = 0_usize;
        let objects = self.reads()?;
        scan_changes(objects.as_ref(), &files, &collection.name, range, &mut |record| {
            let event = record.event;
            if !moment.has(event.sequence, event.timestamp) {
                return Ok(ControlFlow::Break(()));
            }
            if wanted.id.is_some_and(|id| id != event.document_id) {
                return Ok(ControlFlow::Continue(()));
            }
            let (id, sequence, timestamp) = (event.document_id, event.sequence, event.timestamp);
            bytes = bytes.saturating_add(id.len()).saturating_add(event.after.as_ref().map_or(0, String::len));
            if bytes > CHANGES_MAX_BYTES {
                return Err(too_many_changes(after));
            }
            let document = event.after.map(|text| Document { id: id.clone(), sequence, timestamp, text });
            changed.insert(id, document);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(changed)
    }

    /// The error for a moment that nothing tells of any more.
    fn out_of_retention(&self, oldest: Option<Timestamp>) -> Result<StorageError> {
        let oldest = match oldest {
            Some(oldest) => Some(oldest),
            None => self.hot.log().oldest_timestamp()?,
        };
        let oldest = oldest.map_or_else(|| "the present".to_owned(), rfc3339);
        let message = format!("expected a moment from {oldest} on, the oldest that is kept, got an earlier one");
        Ok(StorageError::new(ErrorKind::Gone, StorageTier::Cold, "read the past", message))
    }
}

/// The commit that a named snapshot has tagged, with the event that it is of.
fn tagged(record: &TableRecord, moment: Moment) -> Option<(&Snapshot, Sequence)> {
    let Moment::Named(id, sequence) = moment else { return None };
    let tagged = record.state.tags.get(&id.to_string())?;
    let snapshot = record.state.snapshots.iter().find(|snapshot| snapshot.snapshot_id == *tagged)?;
    Some((snapshot, sequence))
}

/// The last sequence that a commit contains.
fn sequence_of(snapshot: &Snapshot) -> Result<Sequence> {
    let sequence = snapshot.summary.get("thermocline.sequence").and_then(|text| text.parse().ok());
    sequence.ok_or_else(|| {
        let message = format!("expected snapshot {} to tell its sequence, got none", snapshot.snapshot_id);
        StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read the past", message)
    })
}

fn too_many_changes(after: Sequence) -> StorageError {
    let message = format!(
        "expected at most {CHANGES_MAX_BYTES} bytes of changes between sequence {after}, which a commit is kept of, and the \
         moment asked for, got more; ask for a moment nearer to a snapshot"
    );
    StorageError::new(ErrorKind::TooLarge, StorageTier::Cold, "read the past", message)
}
