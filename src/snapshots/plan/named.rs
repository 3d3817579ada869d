//! Plans that make and that delete named snapshots.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Plan, corrupt, table_id};
use crate::cold::TableKind;
use crate::cold::catalog::ColdCatalog;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::HotStore;
use crate::snapshots::named::manifest::{ManifestCollection, ManifestReference, key};
use crate::snapshots::named::{SNAPSHOTS_MAX, SnapshotRequest, from_text};
use crate::types::snapshot::SnapshotType;
use crate::types::{Sequence, StorageTier, Timestamp};

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
                let snapshot = from_text(&text)?;
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
}

/// The newest snapshot, which an incremental one goes on from.
fn parent(hot: &HotStore, catalog: &ColdCatalog) -> Result<PlannedParent> {
    let newest = catalog.named()?.last().map(|named| catalog.named_text(named.version)).transpose()?.flatten();
    let Some(text) = newest else {
        let message = "expected a snapshot that an incremental one can go on from, got none; make a full one first";
        return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "create snapshot", message));
    };
    let snapshot = from_text(&text)?;
    if catalog.expired()?.through > snapshot.sequence {
        let message = "expected all events after the newest snapshot to be archived still, got some that have expired; make a \
                       full snapshot";
        return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "create snapshot", message));
    }
    let object = hot.object_record()?.ok_or_else(|| corrupt("expected the object to be known, got none"))?;
    let manifest = ManifestReference { key: key(&object.name, snapshot.id), checksum: snapshot.metadata.checksum };
    Ok(PlannedParent { id: snapshot.id, sequence: snapshot.sequence, manifest })
}
