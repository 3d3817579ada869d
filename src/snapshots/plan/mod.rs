//! What one commit will archive: decided in one transaction, stored, and never changed.
//!
//! A plan names the segments that there are when it is made, those with numbers below its bound, and copies the deleted
//! rows of the months whose data files or position deletes have to change.

mod months;
mod named;
mod upkeep;

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use months::{PlannedMonth, PlannedSegment};
pub use named::PlannedSnapshot;
pub use upkeep::{Expiring, change_files, declared_since, next_thinning};

use self::months::changed_months;
use crate::cold::TableKind;
use crate::cold::catalog::{ColdCatalog, TableId};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, CollectionDefinition, HotStore, LifeKey};
use crate::types::{CollectionId, Sequence, StorageTier, Timestamp};

/// The version of the stored form that is written. Version 1 names no segments, version 2 knows neither named snapshots nor
/// what expires, version 3 merges no files of state tables.
const FORMAT: u32 = 4;

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
    /// The numbers of the data files of its state table that are merged, all of one month; as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_state: Vec<i64>,
    /// The evicted segments in those files that are written again without their deleted rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrite: Vec<i64>,
    /// The numbers of the files of its change log that leave it; a plan by which any do does nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expire: Vec<i64>,
    /// Whether snapshots of its tables that are too old leave them, without another commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thin: bool,
    /// Whether its state table gets the columns that are declared, without another commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evolve: bool,
}

impl PlannedCollection {
    /// Whether files of its tables are merged.
    pub fn is_merge(&self) -> bool {
        !self.merge.is_empty() || !self.merge_state.is_empty()
    }

    /// Whether all files of its state table stay that are not merged. An archiving replaces the tails.
    pub fn keeps_tails(&self) -> bool {
        self.is_merge() || self.evolve
    }

    /// Its life, if it existed.
    pub fn life(&self) -> Option<LifeKey> {
        self.life.map(|number| LifeKey { collection: self.id, number })
    }
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

    /// Whether it may be given up for good when it can not be done: nobody waits for it, or who does is told.
    pub fn is_dispensable(&self) -> bool {
        self.is_upkeep() || self.snapshot.is_some() || !self.forget.is_empty()
    }

    /// The tables that it may make a new version of.
    pub fn tables(&self) -> BTreeSet<TableId> {
        let kinds =
            |id: CollectionId| [TableKind::State, TableKind::Changes].map(|kind| TableId { collection: id, kind });
        let changed = self.collections.iter().flat_map(|collection| kinds(collection.id));
        let mut tables = BTreeSet::new();
        tables.extend(changed.chain(self.tagged.iter().copied()));
        tables
    }

    /// The tags that a commit of a table gets.
    pub fn tags_of(&self, table: TableId) -> Vec<String> {
        let tagged = self.snapshot.is_some() && self.tagged.contains(&table);
        tagged.then(|| self.attempt.to_string()).into_iter().collect()
    }

    fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| unwritable().caused_by(error))
    }

    /// Reads a stored plan.
    pub fn from_text(text: &str) -> Result<Self> {
        let plan: Self =
            serde_json::from_str(text).map_err(|error| corrupt("expected a plan, got other text").caused_by(error))?;
        if !(1..=FORMAT).contains(&plan.format) {
            return Err(corrupt("expected a plan of format 1 to 4; a newer program wrote this object"));
        }
        Ok(plan)
    }
}

fn table_id(collection: &Collection, kind: TableKind) -> TableId {
    TableId { collection: collection.id, kind }
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
        merge_state: Vec::new(),
        rewrite: Vec::new(),
        expire: Vec::new(),
        thin: false,
        evolve: false,
    }
}

fn corrupt(message: &'static str) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read plan", message)
}

fn unwritable() -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "store plan", "expected a plan that can be written")
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

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
        assert!(Plan::from_text(&text.replace("\"format\":2", "\"format\":5")).is_err());
        let text = r#"{"format":4,"attempt":"0192d3f0-0000-7000-8000-000000000000","after":9,"through":9,"timestamp":5,"segments_before":0,"collections":[{"id":1,"name":"movies","generation":2,"definition":{"columns":[]},"merge":[7,8],"merge_state":[3,4,9],"rewrite":[12]}]}"#;
        let plan = Plan::from_text(text).unwrap();
        assert_eq!(plan.to_text().unwrap(), text);
        assert!(plan.is_upkeep() && plan.is_dispensable());
        assert_eq!((&plan.collections[0].merge_state, &plan.collections[0].rewrite), (&vec![3, 4, 9], &vec![12]));
    }
}
