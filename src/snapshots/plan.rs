//! What one commit will archive: decided in one transaction, stored, and never changed.
//!
//! A plan names the segments that there are when it is made, those with numbers below its bound, and copies the deleted
//! rows of the months whose data files or position deletes have to change. A month has not changed when no segment of it
//! is new, and as many of its archived rows are current as the committed table has: archived rows are only ever deleted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::named::manifest::{ManifestCollection, ManifestReference};
use super::named::{SNAPSHOTS_MAX, SnapshotRequest};
use crate::cold::catalog::{CatalogFile, ColdCatalog, TableId};
use crate::cold::schema::change_fields;
use crate::cold::{FileContent, TableKind, compaction, expiry, retention};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::directory::Segment;
use crate::hot::{Collection, CollectionDefinition, HotStore, LifeKey};
use crate::types::snapshot::SnapshotType;
use crate::types::{CollectionId, Sequence, StorageTier, Timestamp};

/// How long snapshots that are too old wait for a commit to let them go, which costs nothing, in ms.
const THINNING_DELAY_MS: i64 = 3_600_000;
/// The version of the stored form that is written. Version 1 names no segments, version 2 knows neither named snapshots nor
/// what expires.
const FORMAT: u32 = 3;

/// A collection as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCollection {
    /// Its number.
    pub id: CollectionId,
    /// Its name.
    pub name: String,
    /// Its life; `None` when it was dropped.
    #[serde(rename = "generation")]
    pub life: Option<i64>,
    /// What was declared of it.
    pub definition: CollectionDefinition,
    /// The months of segments that have changed, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<PlannedMonth>,
    /// The numbers in the catalogue of the files of its change log that are merged; a plan that merges does nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge: Vec<i64>,
    /// The numbers of the files of its change log that leave it; a plan by which any do does nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expire: Vec<i64>,
    /// Whether snapshots of its tables that are too old leave them, without another commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thin: bool,
}

/// All segments of a month, as they were when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMonth {
    /// The month, counted from January 1970.
    pub month: i32,
    /// Its segments that had a current row, ascending by number.
    pub segments: Vec<PlannedSegment>,
}

/// A segment as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSegment {
    /// Its number.
    pub number: i64,
    /// Its rows, deleted ones included.
    pub rows: i64,
    /// Its deleted rows: a Roaring bitmap in its portable format, as Base64; missing when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
}

impl PlannedSegment {
    fn of(segment: &Segment) -> Result<Self> {
        let mut bytes = Vec::new();
        if !segment.deleted.is_empty() {
            segment.deleted.serialize_into(&mut bytes).map_err(|error| unwritable().caused_by(error))?;
        }
        Ok(Self {
            number: segment.number,
            rows: i64::try_from(segment.rows).unwrap_or(i64::MAX),
            deleted: (!bytes.is_empty()).then(|| STANDARD.encode(bytes)),
        })
    }

    /// Its deleted rows.
    pub fn deleted(&self) -> Result<RoaringBitmap> {
        let Some(text) = &self.deleted else { return Ok(RoaringBitmap::new()) };
        let bytes = STANDARD.decode(text).map_err(|_| corrupt("expected Base64, got another text"))?;
        RoaringBitmap::deserialize_from(bytes.as_slice())
            .map_err(|error| corrupt("expected a Roaring bitmap, got other bytes").caused_by(error))
    }
}

impl PlannedCollection {
    /// Its life, if it existed.
    pub fn life(&self) -> Option<LifeKey> {
        self.life.map(|number| LifeKey { collection: self.id, number })
    }
}

/// What expires.
#[derive(Clone, Copy, Debug)]
pub struct Expiring {
    /// Events that were committed before.
    pub events_before: Timestamp,
    /// Snapshots that are not needed for moments of this time.
    pub snapshots_keep_ms: i64,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    format: u32,
    /// Names everything that is made for it.
    pub attempt: Uuid,
    /// The events after this sequence,
    pub after: Sequence,
    /// up to this one are archived, and the state right after it.
    pub through: Sequence,
    /// When the plan was made: the commit's time.
    pub timestamp: Timestamp,
    /// The segments with numbers below it are those that there were when the plan was made.
    #[serde(default)]
    pub segments_before: i64,
    /// The collections that have changed, by number.
    pub collections: Vec<PlannedCollection>,
    /// The named snapshot that it makes, called as its attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<PlannedSnapshot>,
    /// The named snapshots that it deletes; a plan that does so does nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<Uuid>,
    /// The tables that may get or lose a tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<TableId>,
}

/// A named snapshot as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSnapshot {
    /// What it holds.
    #[serde(rename = "type")]
    pub snapshot_type: SnapshotType,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its version.
    pub version: i64,
    /// What it goes on from; of incremental ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<PlannedParent>,
    /// The collections that there are.
    pub collections: Vec<ManifestCollection>,
}

/// The snapshot that an incremental one goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedParent {
    /// Its id.
    pub id: Uuid,
    /// The event up to which it tells.
    pub sequence: Sequence,
    /// Its manifest.
    pub manifest: ManifestReference,
}

impl Plan {
    /// Makes and stores a plan for everything that is not archived; `None` when that is nothing.
    pub fn make(hot: &Rc<HotStore>, catalog: &ColdCatalog, attempt: Uuid, now: Timestamp) -> Result<Option<Self>> {
        if !catalog.exists()? {
            hot.transaction(|| catalog.create())?;
        }
        hot.transaction(|| {
            let plan = Self::of_changes(hot, catalog, attempt, now)?;
            if plan.after >= plan.through {
                return Ok(None);
            }
            plan.store(hot, catalog, now)?;
            Ok(Some(plan))
        })
    }

    /// Makes and stores a plan for a named snapshot, of what is not archived as well.
    pub fn make_snapshot(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        request: &SnapshotRequest,
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Self> {
        if !catalog.exists()? {
            hot.transaction(|| catalog.create())?;
        }
        hot.transaction(|| {
            let mut plan = Self::of_changes(hot, catalog, attempt, now)?;
            let named = catalog.named()?;
            if named.len() >= SNAPSHOTS_MAX {
                let message =
                    format!("expected at most {SNAPSHOTS_MAX} snapshots of an object, got one more; delete some");
                return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "create snapshot", message));
            }
            let known = hot.catalog()?;
            let (parent, tables) = match request.snapshot_type {
                SnapshotType::Full => {
                    let live = known.all_live().map(|collection| table_id(collection, TableKind::State));
                    (None, live.collect())
                }
                SnapshotType::Incremental => {
                    let all = known.all().iter().map(|collection| table_id(collection, TableKind::Changes));
                    (Some(parent(hot, catalog)?), all.collect())
                }
            };
            let collections = known.all_live().map(|collection| ManifestCollection {
                name: collection.name.to_string(),
                definition: collection.definition.as_ref().clone(),
            });
            plan.tagged = tables;
            plan.snapshot = Some(PlannedSnapshot {
                snapshot_type: request.snapshot_type,
                label: request.label.clone(),
                version: catalog.last_named_version()?.saturating_add(1),
                parent,
                collections: collections.collect(),
            });
            plan.store(hot, catalog, now)?;
            Ok(plan)
        })
    }

    /// Makes and stores a plan that deletes named snapshots. There is no other plan on its way.
    pub fn make_forget(
        hot: &Rc<HotStore>,
        catalog: &ColdCatalog,
        ids: &[Uuid],
        attempt: Uuid,
        now: Timestamp,
    ) -> Result<Self> {
        hot.transaction(|| {
            let mut plan = Self::of_nothing(hot, catalog, attempt, now)?;
            let known = hot.catalog()?;
            let mut tables = BTreeSet::new();
            for named in catalog.named()?.iter().filter(|named| ids.contains(&named.id)) {
                let Some(text) = catalog.named_text(named.version)? else { continue };
                let snapshot = super::named::from_text(&text)?;
                let kind = match snapshot.metadata.snapshot_type {
                    SnapshotType::Full => TableKind::State,
                    SnapshotType::Incremental => TableKind::Changes,
                };
                let collections = snapshot.tables.iter().filter_map(|table| known.known(&table.name));
                tables.extend(collections.map(|collection| table_id(collection, kind)));
            }
            plan.forget = ids.to_vec();
            plan.tagged = tables.into_iter().collect();
            catalog.insert_plan(attempt, &plan.to_text()?)?;
            Ok(plan)
        })
    }

    /// The plan for everything that is not archived.
    fn of_changes(hot: &Rc<HotStore>, catalog: &ColdCatalog, attempt: Uuid, now: Timestamp) -> Result<Self> {
        let mut plan = Self::of_nothing(hot, catalog, attempt, now)?;
        plan.through = hot.log().last_sequence()?;
        let (after, through) = (plan.after, plan.through);
        if after >= through {
            return Ok(plan);
        }
        let changed = hot.log().collections_between(after, through)?;
        // Where the log was bounded before there was a bucket, it does not tell what has changed.
        let untold = after.saturating_add(1) < hot.log().first_sequence()?;
        let known = hot.catalog()?;
        let changed = known.all().iter().filter(|collection| untold || changed.contains(&collection.id));
        plan.collections = changed.map(|collection| planned(hot, catalog, collection)).collect::<Result<_>>()?;
        plan.segments_before = hot.segments_bound()?;
        Ok(plan)
    }

    /// A plan that archives nothing.
    fn of_nothing(hot: &HotStore, catalog: &ColdCatalog, attempt: Uuid, now: Timestamp) -> Result<Self> {
        let archived = catalog.progress()?.archived;
        Ok(Self {
            format: FORMAT,
            attempt,
            after: archived,
            through: archived,
            timestamp: now.max(hot.log().last_timestamp()?),
            segments_before: 0,
            collections: Vec::new(),
            snapshot: None,
            forget: Vec::new(),
            tagged: Vec::new(),
        })
    }

    /// Stores a plan, and lets the log generations that it archives be closed.
    fn store(&self, hot: &HotStore, catalog: &ColdCatalog, now: Timestamp) -> Result<()> {
        catalog.insert_plan(self.attempt, &self.to_text()?)?;
        hot.log().rotate(now)
    }

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

    /// Whether it may be given up for good when it can not be done: nobody waits for it, or who does is told.
    pub fn is_dispensable(&self) -> bool {
        self.is_upkeep() || self.snapshot.is_some() || !self.forget.is_empty()
    }

    /// Whether files leave the change logs by it.
    pub fn is_expiry(&self) -> bool {
        self.collections.iter().any(|collection| !collection.expire.is_empty())
    }

    /// The tables that it may make a new version of.
    pub fn tables(&self) -> BTreeSet<TableId> {
        let kinds =
            |id: CollectionId| [TableKind::State, TableKind::Changes].map(|kind| TableId { collection: id, kind });
        let changed = self.collections.iter().flat_map(|collection| kinds(collection.id));
        changed.chain(self.tagged.iter().copied()).collect()
    }

    /// The tags that a commit of a table gets.
    pub fn tags_of(&self, table: TableId) -> Vec<String> {
        let tagged = self.snapshot.is_some() && self.tagged.contains(&table);
        tagged.then(|| self.attempt.to_string()).into_iter().collect()
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

    fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| unwritable().caused_by(error))
    }

    /// Reads a stored plan.
    pub fn from_text(text: &str) -> Result<Self> {
        let plan: Self =
            serde_json::from_str(text).map_err(|error| corrupt("expected a plan, got other text").caused_by(error))?;
        if !(1..=FORMAT).contains(&plan.format) {
            return Err(corrupt("expected a plan of format 1 to 3; a newer program wrote this object"));
        }
        Ok(plan)
    }
}

fn table_id(collection: &Collection, kind: TableKind) -> TableId {
    TableId { collection: collection.id, kind }
}

/// The newest snapshot, which an incremental one goes on from.
fn parent(hot: &HotStore, catalog: &ColdCatalog) -> Result<PlannedParent> {
    let newest = catalog.named()?.last().map(|named| catalog.named_text(named.version)).transpose()?.flatten();
    let Some(text) = newest else {
        let message = "expected a snapshot that an incremental one can go on from, got none; make a full one first";
        return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "create snapshot", message));
    };
    let snapshot = super::named::from_text(&text)?;
    if catalog.expired()?.through > snapshot.sequence {
        let message = "expected all events after the newest snapshot to be archived still, got some that have expired; make a \
                       full snapshot";
        return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "create snapshot", message));
    }
    let object = hot.object_record()?.ok_or_else(|| corrupt("expected the object to be known, got none"))?;
    let manifest = ManifestReference {
        key: super::named::manifest::key(&object.name, snapshot.id),
        checksum: snapshot.metadata.checksum,
    };
    Ok(PlannedParent { id: snapshot.id, sequence: snapshot.sequence, manifest })
}

fn planned(hot: &HotStore, catalog: &ColdCatalog, collection: &Collection) -> Result<PlannedCollection> {
    let life = collection.live.then_some(collection.life);
    let mut planned = PlannedCollection { life, ..named(collection) };
    if life.is_some() {
        let table = TableId { collection: collection.id, kind: TableKind::State };
        let version = catalog.table(table)?.map_or(0, |record| record.state.version);
        planned.months = changed_months(&hot.segments(collection.life())?, &catalog.files(table, version)?)?;
    }
    Ok(planned)
}

/// A collection of which nothing is planned.
fn named(collection: &Collection) -> PlannedCollection {
    PlannedCollection {
        id: collection.id,
        name: collection.name.to_string(),
        life: None,
        definition: collection.definition.as_ref().clone(),
        months: Vec::new(),
        merge: Vec::new(),
        expire: Vec::new(),
        thin: false,
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
    files.sort_by_key(|file| file.file.file.first_of(change_fields::SEQUENCE));
    let chosen = compaction::choose(&files.iter().map(|file| &file.file.file).collect::<Vec<_>>());
    let files = chosen.and_then(|chosen| files.get(chosen)).unwrap_or_default();
    Ok(files.iter().map(|file| file.number).collect())
}

/// What a committed table has of a month.
#[derive(Default)]
struct Archived {
    /// The numbers of the segments in its files.
    parts: HashSet<i64>,
    /// Rows that are not deleted.
    live_rows: i64,
}

/// The months whose segments are not as the table's files have them.
fn changed_months(segments: &[Rc<Segment>], files: &[CatalogFile]) -> Result<Vec<PlannedMonth>> {
    let mut months: BTreeMap<i32, (Archived, Vec<&Rc<Segment>>)> = BTreeMap::new();
    for file in files.iter().map(|file| &file.file.file) {
        match file.content {
            FileContent::Data if file.parts.is_empty() => {}
            FileContent::Data => {
                let (archived, _) = months.entry(file.month).or_default();
                archived.live_rows = archived.live_rows.saturating_add(file.record_count);
                archived.parts.extend(file.parts.iter().map(|part| part.number));
            }
            FileContent::PositionDeletes => {
                let (archived, _) = months.entry(file.month).or_default();
                archived.live_rows = archived.live_rows.saturating_sub(file.record_count);
            }
        }
    }
    for segment in segments.iter().filter(|segment| segment.live_rows() > 0) {
        months.entry(segment.month).or_default().1.push(segment);
    }
    let mut changed = Vec::new();
    for (month, (archived, segments)) in months {
        let is_archived = |segment: &&Rc<Segment>| archived.parts.contains(&segment.number);
        let live = segments.iter().map(|segment| i64::try_from(segment.live_rows()).unwrap_or(i64::MAX));
        if segments.iter().all(is_archived) && live.fold(0, i64::saturating_add) == archived.live_rows {
            continue;
        }
        let segments = segments.into_iter().map(|segment| PlannedSegment::of(segment)).collect::<Result<_>>()?;
        changed.push(PlannedMonth { month, segments });
    }
    Ok(changed)
}

fn corrupt(message: &'static str) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read plan", message)
}

fn unwritable() -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "store plan", "expected a plan that can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_forms_of_all_versions_are_read() {
        let text = r#"{"format":1,"attempt":"0192d3f0-0000-7000-8000-000000000000","after":3,"through":9,"timestamp":5,"collections":[{"id":1,"name":"movies","generation":2,"definition":{"columns":[]}}]}"#;
        let plan = Plan::from_text(text).unwrap();
        assert_eq!(plan.collections[0].life(), Some(LifeKey { collection: 1, number: 2 }));
        assert_eq!((plan.segments_before, plan.collections[0].months.len()), (0, 0));
        let text = r#"{"format":2,"attempt":"0192d3f0-0000-7000-8000-000000000000","after":3,"through":9,"timestamp":5,"segments_before":8,"collections":[{"id":1,"name":"movies","generation":2,"definition":{"columns":[]},"months":[{"month":650,"segments":[{"number":3,"rows":70},{"number":7,"rows":9,"deleted":"OjAAAAEAAAAAAAIAEAAAAAEABQAIAA=="}]}]}]}"#;
        let plan = Plan::from_text(text).unwrap();
        assert_eq!(plan.to_text().unwrap(), text);
        let segments = &plan.collections[0].months[0].segments;
        assert_eq!(segments[0].deleted().unwrap(), RoaringBitmap::new());
        assert_eq!(segments[1].deleted().unwrap(), [1, 5, 8].into_iter().collect());
        assert!(Plan::from_text(&text.replace("\"format\":2", "\"format\":4")).is_err());
    }
}
