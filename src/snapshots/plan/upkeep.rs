//! Plans of what is done to the tables beside archiving: small files are merged, and what has expired leaves.

use std::rc::Rc;

use uuid::Uuid;

use super::{Plan, PlannedCollection, named};
use crate::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use crate::cold::schema::change_fields;
use crate::cold::{TableKind, compaction, expiry, retention};
use crate::error::Result;
use crate::hot::{Collection, HotStore};
use crate::types::sorting;
use crate::types::{CollectionId, Timestamp};

/// How long snapshots that are too old wait for a commit to let them go, which costs nothing, in ms.
const THINNING_DELAY_MS: i64 = 3_600_000;

/// What expires.
#[derive(Clone, Copy, Debug)]
pub struct Expiring {
    /// Events that were committed before.
    pub events_before: Timestamp,
    /// Snapshots that are not needed for moments of this time.
    pub snapshots_keep_ms: i64,
}

impl Plan {
    /// Makes and stores a plan that merges small files of the change logs of these collections; `None` when none need be.
    pub fn make_merge(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        collections: &[CollectionId],
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        Self::make_upkeep(hot, catalog, attempt, now, &|collection| {
            if !collections.contains(&collection.id) {
                return Ok(None);
            }
            let merge = files_to_merge(catalog, collection.id)?;
            Ok((!merge.is_empty()).then(|| PlannedCollection { merge, ..named(collection) }))
        })
    }

    /// Makes and stores a plan by which what has expired leaves the tables; `None` when nothing has.
    pub fn make_expiry(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        expired: Expiring,
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        Self::make_upkeep(hot, catalog, attempt, now, &|collection| {
            let files = change_files(catalog, collection.id)?;
            let chosen =
                expiry::choose(&files.iter().map(|file| &file.file.file).collect::<Vec<_>>(), expired.events_before);
            // What is left of them in the object goes when the tables are published.
            if !chosen.is_empty() {
                hot.log().rotate(now)?;
            }
            let expire: Vec<i64> = chosen.into_iter().filter_map(|at| files.get(at)).map(|file| file.number).collect();
            if !expire.is_empty() {
                return Ok(Some(PlannedCollection { expire, ..named(collection) }));
            }
            let due = next_thinning(catalog, collection.id, expired.snapshots_keep_ms)?;
            let thin = due.is_some_and(|due| due <= now);
            Ok(thin.then(|| PlannedCollection { thin, ..named(collection) }))
        })
    }

    /// Makes and stores a plan of what is to be done to the tables beside archiving; `None` when that is nothing, or when
    /// a plan is on its way.
    fn make_upkeep(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        attempt: Uuid,
        now: Timestamp,
        work: &dyn Fn(&Collection) -> Result<Option<PlannedCollection>>,
    ) -> Result<Option<Self>> {
        hot.transaction(|| {
            if catalog.plan()?.is_some() {
                return Ok(None);
            }
            let mut plan = Self::of_nothing(hot, catalog, attempt, now)?;
            let mut collections = Vec::new();
            for collection in hot.catalog()?.all() {
                collections.extend(work(collection)?);
            }
            if collections.is_empty() {
                return Ok(None);
            }
            plan.collections = collections;
            catalog.insert_plan(attempt, &plan.to_text()?)?;
            Ok(Some(plan))
        })
    }

    /// Whether it merges what is there or lets it go, and archives nothing.
    pub fn is_upkeep(&self) -> bool {
        let is_upkeep =
            |planned: &PlannedCollection| !planned.merge.is_empty() || !planned.expire.is_empty() || planned.thin;
        self.collections.iter().any(is_upkeep)
    }

    /// Whether files leave the change logs by it.
    pub fn is_expiry(&self) -> bool {
        self.collections.iter().any(|collection| !collection.expire.is_empty())
    }

    /// The collections of this plan whose change logs have small files to be merged, once it is committed.
    pub fn merges_due(&self, catalog: &ColdCatalog) -> Result<Vec<CollectionId>> {
        let mut due = Vec::new();
        for collection in &self.collections {
            if !files_to_merge(catalog, collection.id)?.is_empty() {
                due.push(collection.id);
            }
        }
        Ok(due)
    }
}

/// When snapshots leave the tables of a collection to which nothing is committed: some time after commits would let them go.
pub fn next_thinning(catalog: &ColdCatalog, collection: CollectionId, keep_ms: i64) -> Result<Option<Timestamp>> {
    let mut next: Option<Timestamp> = None;
    for kind in [TableKind::State, TableKind::Changes] {
        let Some(record) = catalog.table(TableId { collection, kind })? else { continue };
        next = [next, retention::next_expiry(&record.state, keep_ms)].into_iter().flatten().min();
    }
    Ok(next.map(|due| due.saturating_add(THINNING_DELAY_MS)))
}

/// The files of a change log as it is committed.
pub fn change_files(catalog: &ColdCatalog, collection: CollectionId) -> Result<Vec<CatalogFile>> {
    let table = TableId { collection, kind: TableKind::Changes };
    match catalog.table(table)? {
        Some(record) => catalog.files(table, record.state.version),
        None => Ok(Vec::new()),
    }
}

/// The numbers of the files of a change log that are to be merged.
fn files_to_merge(catalog: &ColdCatalog, collection: CollectionId) -> Result<Vec<i64>> {
    let mut files = change_files(catalog, collection)?;
    // A merged file is younger than those after it.
    sorting::sort_by_key(&mut files, |file| file.file.file.first_of(change_fields::SEQUENCE));
    let chosen = compaction::choose(&files.iter().map(|file| &file.file.file).collect::<Vec<_>>());
    let files = chosen.and_then(|chosen| files.get(chosen)).unwrap_or_default();
    Ok(files.iter().map(|file| file.number).collect())
}
