//! Plans of what is done to the tables beside archiving: small files are merged, and what has expired leaves.

use std::collections::HashMap;
use std::rc::Rc;

use uuid::Uuid;

use super::months::changed_segments;
use super::{Plan, PlannedCollection, named};
use crate::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use crate::cold::compaction::{self, Candidate};
use crate::cold::schema::change_fields;
use crate::cold::{DataFile, FileContent, LiveFile, TableKind, expiry, retention};
use crate::error::Result;
use crate::hot::directory::Segment;
use crate::hot::{Collection, HotStore};
use crate::types::{CollectionId, Timestamp, sorting};

/// How long snapshots that are too old wait for a commit to let them go, which costs nothing, in ms.
const THINNING_DELAY_MS: i64 = 3_600_000;

/// A file with fewer rows is not written again for what is deleted of it alone.
const WASTE_MIN_ROWS: i64 = 1_024;
/// Bytes of text of the segments that one plan writes again, about: they are kept in memory until it is committed.
const REWRITE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What expires.
#[derive(Clone, Copy, Debug)]
pub struct Expiring {
    /// Events that were committed before.
    pub events_before: Timestamp,
    /// Snapshots that are not needed for moments of this time.
    pub snapshots_keep_ms: i64,
}

impl Plan {
    /// Makes and stores a plan that merges small files of the tables of these collections; `None` when none need be.
    pub fn make_merge(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        collections: &[CollectionId],
        target_bytes: u64,
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        Self::make_upkeep(hot, catalog, attempt, now, &|collection| {
            if !collections.contains(&collection.id) {
                return Ok(None);
            }
            let merge = files_to_merge(catalog, collection.id, target_bytes)?;
            let StateMerge { files, rewrite } = state_to_merge(hot, catalog, collection, target_bytes)?;
            if merge.is_empty() && files.is_empty() {
                return Ok(None);
            }
            let life = collection.live.then_some(collection.life);
            Ok(Some(PlannedCollection { life, merge, merge_state: files, rewrite, ..named(collection) }))
        })
    }

    /// Makes and stores a plan by which tables get the columns that were declared since their last commit; `None` when no
    /// table needs it.
    pub fn make_evolution(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let due = declared_since(hot, catalog)?;
        if due.is_empty() {
            return Ok(None);
        }
        Self::make_upkeep(hot, catalog, attempt, now, &|collection| {
            let life = Some(collection.life);
            Ok(due.contains(&collection.id).then(|| PlannedCollection { life, evolve: true, ..named(collection) }))
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
        let is_upkeep = |planned: &PlannedCollection| {
            planned.is_merge() || !planned.expire.is_empty() || planned.thin || planned.evolve
        };
        self.collections.iter().any(is_upkeep)
    }

    /// Whether files leave the change logs by it.
    pub fn is_expiry(&self) -> bool {
        self.collections.iter().any(|collection| !collection.expire.is_empty())
    }

    /// The collections of this plan whose tables have small files to be merged, once it is committed.
    pub fn merges_due(&self, hot: &HotStore, catalog: &ColdCatalog, target_bytes: u64) -> Result<Vec<CollectionId>> {
        let mut due = Vec::new();
        for collection in hot.catalog()?.all() {
            if self.collections.iter().any(|planned| planned.id == collection.id)
                && (!files_to_merge(catalog, collection.id, target_bytes)?.is_empty()
                    || !state_to_merge(hot, catalog, collection, target_bytes)?.files.is_empty())
            {
                due.push(collection.id);
            }
        }
        Ok(due)
    }
}

/// The collections whose columns were declared otherwise since a commit of their state tables followed.
pub fn declared_since(hot: &HotStore, catalog: &ColdCatalog) -> Result<Vec<CollectionId>> {
    let followed = catalog.declared()?;
    let mut due = Vec::new();
    for collection in hot.catalog()?.all_live() {
        let known = followed.get(&collection.id).copied().unwrap_or(0);
        let table = TableId { collection: collection.id, kind: TableKind::State };
        if collection.definition.columns_checksum()? != known && catalog.table(table)?.is_some() {
            due.push(collection.id);
        }
    }
    Ok(due)
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
fn files_to_merge(catalog: &ColdCatalog, collection: CollectionId, target_bytes: u64) -> Result<Vec<i64>> {
    let mut files = change_files(catalog, collection)?;
    // A merged file is younger than those after it.
    sorting::sort_by_key(&mut files, |file| file.file.file.first_of(change_fields::SEQUENCE));
    let candidate = |CatalogFile { file: LiveFile { file, .. }, .. }: &CatalogFile| Candidate {
        month: file.month,
        bytes: file.file_size,
        is_waste: false,
    };
    let chosen = compaction::choose(&files.iter().map(candidate).collect::<Vec<_>>(), target_bytes);
    let files = chosen.and_then(|chosen| files.get(chosen)).unwrap_or_default();
    Ok(files.iter().map(|file| file.number).collect())
}

/// What a merge of files of a state table is of.
#[derive(Default)]
struct StateMerge {
    /// The numbers of the files.
    files: Vec<i64>,
    /// The segments that are written again without their deleted rows.
    rewrite: Vec<i64>,
}

/// The data files of a state table that are to be merged. A file with a segment that is in the object and will be merged
/// there is left alone: that writes its rows anew. What a file has that is dead is known of a month that has not changed;
/// of others a merge would copy what was deleted since the commit, so that nothing is won: the next archiving comes first.
fn state_to_merge(
    hot: &HotStore,
    catalog: &ColdCatalog,
    collection: &Collection,
    target_bytes: u64,
) -> Result<StateMerge> {
    let table = TableId { collection: collection.id, kind: TableKind::State };
    let Some(record) = catalog.table(table)?.filter(|_| collection.live) else { return Ok(StateMerge::default()) };
    let all_files = catalog.files(table, record.state.version)?;
    let segments = hot.segments(collection.life())?;
    let changed = changed_segments(&segments, &all_files);
    let segments: HashMap<i64, &Segment> = segments.iter().map(|segment| (segment.number, segment.as_ref())).collect();
    let known = |file: &DataFile| file.parts.iter().filter_map(|part| segments.get(&part.number).copied()).collect();
    let mut files: Vec<(Candidate, i64, Vec<&Segment>)> = Vec::new();
    for CatalogFile { number, file: LiveFile { file, .. } } in all_files {
        let parts: Vec<&Segment> = known(&file);
        let is_settled = !parts.is_empty() && !parts.iter().any(|segment| hot.will_be_merged(segment));
        if file.content == FileContent::Data && is_settled {
            let candidate = match changed.contains_key(&file.month) {
                true => Candidate { month: file.month, bytes: file.file_size, is_waste: false },
                false => candidate(&file, &parts),
            };
            files.push((candidate, number, parts));
        }
    }
    sorting::sort_by_key(&mut files, |(candidate, number, _)| (candidate.month, candidate.bytes, *number));
    let chosen = compaction::choose(&files.iter().map(|(candidate, ..)| *candidate).collect::<Vec<_>>(), target_bytes);
    let files = chosen.and_then(|chosen| files.get(chosen)).unwrap_or_default();
    let mut bytes = 0_u64;
    let wasted = files.iter().flat_map(|(.., parts)| parts);
    let wasted = wasted.filter(|segment| is_wasted(segment) && !changed.contains_key(&segment.month));
    let fitting = wasted.take_while(|segment| {
        bytes = bytes.saturating_add(segment.live_bytes());
        bytes <= REWRITE_MAX_BYTES
    });
    Ok(StateMerge {
        rewrite: fitting.map(|segment| segment.number).collect(),
        files: files.iter().map(|(_, number, _)| *number).collect(),
    })
}

/// What the choice looks at of a file with these segments, other parts of which are of segments that are gone.
fn candidate(file: &DataFile, segments: &[&Segment]) -> Candidate {
    let rows = segments.iter().map(|segment| if is_wasted(segment) { segment.live_rows() } else { segment.rows });
    let rows = i64::try_from(rows.fold(0, usize::saturating_add)).unwrap_or(i64::MAX);
    let is_waste = file.record_count >= WASTE_MIN_ROWS && rows.saturating_mul(2) <= file.record_count;
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    let bytes = file.file_size.saturating_mul(unsigned(rows)).checked_div(unsigned(file.record_count)).unwrap_or(0);
    Candidate { month: file.month, bytes, is_waste }
}

/// Whether a segment is evicted, and half of it or more is deleted: then writing it again takes no more than was won, and a
/// row is written again at most as often as its segment halves.
fn is_wasted(segment: &Segment) -> bool {
    segment.place.is_some() && segment.live_rows().saturating_mul(2) <= segment.rows
}
