//! Publishing: the committed states of a plan's tables become what readers of the bucket see.
//!
//! `v{N}.metadata.json` is put create-only and the version hint after it, over exactly the hint that was there, and
//! never backwards. Everything is derived from the committed state, so that publishing again does the same.

use std::rc::Rc;

use super::plan::Plan;
use super::stage::object_metadata;
use crate::cold::catalog::{ColdCatalog, TableId, TableRecord};
use crate::cold::metadata;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{ObjectMetadata, ObjectStore, PutCondition, PutOutcome};
use crate::types::StorageTier;
use crate::types::names::ObjectName;

/// How often a pointer that somebody else is moving is tried.
const TRIES: usize = 4;

/// What publishing needs.
pub struct Publish<'s> {
    /// The tables.
    pub catalog: &'s ColdCatalog,
    /// The bucket.
    pub objects: Rc<dyn ObjectStore>,
    /// The object's name.
    pub name: &'s ObjectName,
    /// The plan whose states are committed.
    pub plan: &'s Plan,
    /// Bytes put so far.
    pub bytes_written: u64,
}

impl Publish<'_> {
    /// Publishes every table of the plan that is not published yet.
    pub async fn run(&mut self) -> Result<()> {
        for table in self.plan.tables() {
            self.table(table).await?;
        }
        Ok(())
    }

    async fn table(&mut self, id: TableId) -> Result<()> {
        for _ in 0..TRIES {
            let Some(record) = self.catalog.table(id)?.filter(|record| record.published < record.state.version) else {
                return Ok(());
            };
            if !self.put_metadata(&record).await? {
                self.renumber(id, record).await?;
                continue;
            }
            let etag = self.put_hint(&record).await?;
            self.catalog.publish_table(id, record.state.version, Some(&etag))?;
            return Ok(());
        }
        Err(self.contended("the table's metadata"))
    }

    /// Puts `v{N}.metadata.json`; `false` when that key holds other bytes: another history of this table was there.
    async fn put_metadata(&mut self, record: &TableRecord) -> Result<bool> {
        let (key, bytes) = (record.state.path.metadata(record.state.version), metadata::to_json(&record.state)?);
        let description = self.description("application/json");
        match self.objects.put(&key, &bytes, PutCondition::IfAbsent, &description).await? {
            PutOutcome::Written { .. } => {
                self.bytes_written = self.bytes_written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Ok(true)
            }
            PutOutcome::ConditionFailed => {
                Ok(self.objects.get(&key, None).await?.is_some_and(|found| found.bytes == bytes))
            }
        }
    }

    /// Moves the hint to the state's version and returns the hint's ETag. A hint that is further already stays.
    async fn put_hint(&mut self, record: &TableRecord) -> Result<String> {
        let (key, version) = (record.state.path.version_hint(), record.state.version);
        let text = version.to_string();
        let description = self.description("text/plain");
        let mut known = record.hint_etag.clone();
        for _ in 0..TRIES {
            let condition = known.as_deref().map_or(PutCondition::IfAbsent, PutCondition::IfMatch);
            if let PutOutcome::Written { etag } =
                self.objects.put(&key, text.as_bytes(), condition, &description).await?
            {
                return Ok(etag);
            }
            let Some(found) = self.objects.get(&key, None).await? else {
                known = None;
                continue;
            };
            if hint_version(&found.bytes).is_some_and(|there| there >= version) {
                return Ok(found.info.etag);
            }
            known = Some(found.info.etag);
        }
        Err(self.contended("the version hint"))
    }

    /// Gives the committed state a version that the bucket has not seen.
    async fn renumber(&self, id: TableId, record: TableRecord) -> Result<()> {
        let key = record.state.path.version_hint();
        let hint = self.objects.get(&key, None).await?;
        let there = hint.and_then(|found| hint_version(&found.bytes)).unwrap_or(0);
        // Committed anew since the bucket was asked: then that state is the one to publish.
        let current = self.catalog.table(id)?.filter(|current| current.state.version == record.state.version);
        let Some(mut current) = current else { return Ok(()) };
        current.state.version = there.max(current.state.version).saturating_add(1);
        self.catalog.commit_table(id, &current.state, &current.columns)
    }

    fn description(&self, content_type: &'static str) -> ObjectMetadata {
        object_metadata(self.name, content_type, self.plan.timestamp, self.plan.through)
    }

    fn contended(&self, what: &str) -> StorageError {
        StorageError::new(
            ErrorKind::Unavailable,
            StorageTier::Cold,
            "publish table",
            format!("expected to be the only writer of {what}, got another one; it is tried again"),
        )
    }
}

fn hint_version(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}
