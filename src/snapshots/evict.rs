//! Eviction: when the database is large, segments whose rows are in a committed data file give up their bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use super::Snapshotter;
use super::place::Place;
use super::recall::{EvictedFiles, recalling};
use super::stage::Staged;
use crate::cold::catalog::{CatalogFile, TableId};
use crate::cold::{DataFile, ScanStats, TableKind};
use crate::error::Result;
use crate::types::statistics::ColumnStatistics;
use crate::types::{CollectionId, DocumentSink};

/// Segments evicted in one run; what is left is for the next.
const EVICTIONS_MAX: usize = 256;
/// And in one turn.
const EVICTIONS_AT_ONCE: usize = 16;
/// The database is brought below this many hundredths of the bound, so that not every commit evicts.
const TARGET_PERCENT: u64 = 90;

impl Snapshotter {
    /// Whether the database is larger than configured, and there is a bucket to evict to.
    pub fn is_eviction_due(&self) -> bool {
        self.ports.objects.is_some() && self.ports.sql.size_bytes() > self.config.hot.evict_above_bytes
    }

    /// Evicts segments, those used longest ago first, until the database is small enough. How many were evicted. None are
    /// while a restore is on its way: it has brought the evicted documents that it replaces, and does not look again.
    pub async fn evict(&self) -> Result<usize> {
        let mut evicted = 0;
        if !self.is_eviction_due() || self.running_restore()?.is_some() {
            return Ok(evicted);
        }
        while evicted < EVICTIONS_MAX {
            let some = self.evict_some()?;
            evicted = evicted.saturating_add(some);
            if some < EVICTIONS_AT_ONCE {
                break;
            }
            self.ports.clock.sleep_ms(0).await;
        }
        Ok(evicted)
    }

    /// In one turn, so that the tables that have the rows are those that are committed.
    fn evict_some(&self) -> Result<usize> {
        let target = self.config.hot.evict_above_bytes / 100 * TARGET_PERCENT;
        let mut evicted = 0;
        let mut tables: HashMap<CollectionId, Vec<CatalogFile>> = HashMap::new();
        for (life, segment) in self.hot.evictable()? {
            if evicted >= EVICTIONS_AT_ONCE || self.ports.sql.size_bytes() <= target {
                break;
            }
            let files = match tables.entry(life.collection) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.committed_files(life.collection)?),
            };
            let place = files.iter().find_map(|file| Place::of(&file.file.file, segment.number));
            if let Some(place) = place
                && self.hot.evict(life, segment.number, &place.to_text()?)?
            {
                evicted = evicted.saturating_add(1);
            }
        }
        Ok(evicted)
    }

    fn committed_files(&self, collection: CollectionId) -> Result<Vec<CatalogFile>> {
        let id = TableId { collection, kind: TableKind::State };
        let version = self.catalog.table(id)?.map_or(0, |record| record.state.version);
        self.catalog.files(id, version)
    }

    /// Puts segments that were written again in the place of those they were written from, and tells stubs that their rows
    /// are in the files that are about to be committed, within the transaction that does it.
    pub(super) fn replace_segments(&self, staged: &mut Staged) -> Result<()> {
        let mut evict = Vec::new();
        for rewritten in std::mem::take(&mut staged.rewritten) {
            let segment = rewritten.segment;
            let number = self.hot.put_rewritten(rewritten)?;
            evict.extend(number);
            let added = staged.tables.iter_mut().flat_map(|table| &mut table.built.added);
            for part in added.flat_map(|live| &mut live.file.parts).filter(|part| part.number == segment) {
                // What has come of no segment has the number of none.
                part.number = number.unwrap_or_else(|| segment.saturating_neg());
            }
        }
        let files: Vec<&DataFile> =
            staged.tables.iter().flat_map(|table| &table.built.added).map(|live| &live.file).collect();
        self.hot.move_places(&evict, &|number| {
            files.iter().find_map(|file| Place::of(file, number)).map(|place| place.to_text()).transpose()
        })
    }

    /// Does some work of one turn, again as often as documents of evicted segments are missing; see [`recalling`].
    pub async fn recalling<T>(&self, work: impl FnMut() -> Result<T>) -> Result<T> {
        recalling(&self.hot, &|| self.reads(), work).await
    }

    /// Reads rows of evicted segments; see [`EvictedFiles::scan`].
    pub async fn scan_evicted(
        &self,
        files: &EvictedFiles,
        projection: Option<&[&str]>,
        may_match: &dyn Fn(&dyn ColumnStatistics) -> bool,
        sink: &mut dyn DocumentSink,
    ) -> Result<ScanStats> {
        if files.is_empty() {
            return Ok(ScanStats::default());
        }
        files.scan(self.reads()?.as_ref(), projection, may_match, sink).await
    }

    /// The keys of the files that evicted segments are in.
    pub(super) fn keys_of_stubs(&self) -> Result<Vec<String>> {
        let places: Vec<Rc<str>> = self.hot.evicted_places()?;
        places.iter().map(|place| Place::from_text(place).map(|place| place.file.key)).collect()
    }
}
