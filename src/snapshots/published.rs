//! What is read of the committed and the published tables.

use std::ops::ControlFlow;

use super::snapshotter::Snapshotter;
use crate::cold::catalog::{TableId, data_files};
use crate::cold::{ChangesRange, ScanStats, TableKind, scan, scan_changes};
use crate::error::Result;
use crate::hot::Collection;
use crate::types::statistics::ColumnStatistics;
use crate::types::{CdcEvent, DocumentSink, Sequence, Timestamp};
use crate::vortex::TableSchema;

/// What readers of the bucket see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The last sequence in it.
    pub sequence: Sequence,
    /// When it was published.
    pub at: Option<Timestamp>,
}

impl Snapshotter {
    /// What readers of the bucket see.
    pub fn published(&self) -> Result<Published> {
        let progress = self.known()?.progress;
        Ok(Published { sequence: progress.published, at: progress.published_at })
    }

    /// Files of the tables' committed states, and their bytes.
    pub fn stored(&self) -> Result<(u64, u64)> {
        self.catalog.stored()
    }

    /// The last sequence that the committed states contain.
    pub fn archived(&self) -> Result<Sequence> {
        Ok(self.known()?.progress.archived)
    }

    /// The columns of a collection's table; `None` before its first commit.
    pub fn schema(&self, collection: &Collection) -> Result<Option<TableSchema>> {
        let id = TableId { collection: collection.id, kind: TableKind::State };
        Ok(self.catalog.table(id)?.map(|record| record.columns))
    }

    /// Reads the documents of a collection's published table.
    pub async fn scan_published(
        &self,
        collection: &str,
        may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        let objects = self.reads()?;
        let catalog = self.hot.catalog()?;
        let Some(collection) = catalog.known(collection) else { return Ok(ScanStats::default()) };
        let id = TableId { collection: collection.id, kind: TableKind::State };
        let Some(record) = self.catalog.table(id)? else { return Ok(ScanStats::default()) };
        let files = data_files(self.catalog.files(id, record.published)?);
        scan(objects.as_ref(), &files, &record.columns, None, &|statistics| !may_match(statistics), sink).await
    }

    /// Reads the archived events of a range, collection by collection, each in order. The collections are those that
    /// `wants`; the sink says up to which sequence further ones matter.
    pub async fn scan_archived_changes(
        &self,
        after: Sequence,
        mut until: Sequence,
        wants: &dyn Fn(&str) -> bool,
        sink: &mut dyn FnMut(CdcEvent) -> Result<Sequence>,
    ) -> Result<()> {
        let objects = self.reads()?;
        let catalog = self.hot.catalog()?;
        for collection in catalog.all().iter().filter(|collection| wants(&collection.name)) {
            let id = TableId { collection: collection.id, kind: TableKind::Changes };
            let Some(record) = self.catalog.table(id)? else { continue };
            let files = data_files(self.catalog.files(id, record.state.version)?);
            let range = ChangesRange { after, until, images: true };
            scan_changes(objects.as_ref(), &files, &collection.name, range, &mut |record| {
                let sequence = record.event.sequence;
                until = sink(record.event)?;
                Ok(if sequence >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .await?;
        }
        Ok(())
    }
}
