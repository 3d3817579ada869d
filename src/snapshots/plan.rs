//! What one commit will archive: decided in one transaction, stored, and never changed.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cold::catalog::ColdCatalog;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, CollectionDefinition, HotStore, LifeKey};
use crate::types::{CollectionId, Sequence, StorageTier, Timestamp};

const FORMAT: u32 = 1;

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
}

impl PlannedCollection {
    fn of(collection: &Collection) -> Self {
        Self {
            id: collection.id,
            name: collection.name.to_string(),
            life: collection.live.then_some(collection.life),
            definition: collection.definition.as_ref().clone(),
        }
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
    /// The collections that have changed, by number.
    pub collections: Vec<PlannedCollection>,
}

impl Plan {
    /// Makes and stores a plan for everything that is not archived; `None` when that is nothing.
    pub fn make(hot: &Rc<HotStore>, catalog: &ColdCatalog, attempt: Uuid, now: Timestamp) -> Result<Option<Self>> {
        hot.transaction(|| {
            if !catalog.exists()? {
                catalog.create()?;
            }
            let (after, through) = (catalog.progress()?.archived, hot.log().last_sequence()?);
            if after >= through {
                return Ok(None);
            }
            let changed = hot.log().collections_between(after, through)?;
            // Where the log was bounded before there was a bucket, it does not tell what has changed.
            let untold = after.saturating_add(1) < hot.log().first_sequence()?;
            let known = hot.catalog()?;
            let changed = known.all().iter().filter(|collection| untold || changed.contains(&collection.id));
            let collections = changed.map(PlannedCollection::of).collect();
            let timestamp = now.max(hot.log().last_timestamp()?);
            let plan = Self { format: FORMAT, attempt, after, through, timestamp, collections };
            catalog.insert_plan(attempt, &plan.to_text()?)?;
            hot.log().rotate(now)?;
            Ok(Some(plan))
        })
    }

    fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            StorageError::new(ErrorKind::Internal, StorageTier::Cold, "store plan", "expected the plan to become JSON")
                .caused_by(error)
        })
    }

    /// Reads a stored plan.
    pub fn from_text(text: &str) -> Result<Self> {
        let corrupt =
            |message: &'static str| StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read plan", message);
        let plan: Self =
            serde_json::from_str(text).map_err(|error| corrupt("expected a plan, got other text").caused_by(error))?;
        if plan.format != FORMAT {
            return Err(corrupt("expected a plan of format 1; a newer program wrote this object"));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_of_version_1_is_read() {
        let text = r#"{"format":1,"attempt":"0192d3f0-0000-7000-8000-000000000000","after":3,"through":9,"timestamp":5,"collections":[{"id":1,"name":"movies","generation":2,"definition":{"columns":[]}}]}"#;
        let plan = Plan::from_text(text).unwrap();
        assert_eq!(plan.collections[0].life(), Some(LifeKey { collection: 1, number: 2 }));
        assert_eq!(plan.to_text().unwrap(), text);
        assert!(Plan::from_text(&text.replace("\"format\":1", "\"format\":2")).is_err());
    }
}
