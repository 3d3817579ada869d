//! Documents: written in transactions, read from the tier asked for.

use std::ops::ControlFlow;

use super::Engine;
use super::cached::FORGOTTEN_ONE_BY_ONE_MAX;
use super::query::Filter;
use crate::error::{Result, StorageError};
use crate::hot::{NeedsCold, Write, WriteOutcome};
use crate::registry::schema::COLLISIONS;
use crate::snapshots::replanning;
use crate::types::statistics::ColumnStatistics;
use crate::types::{ChangeContext, Document};

/// Where a read looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// The current state.
    #[default]
    Current,
    /// What the object's SQLite holds.
    Hot,
    /// The last published commit: what a foreign reader of the table sees.
    Cold,
}

impl Engine {
    /// Does all mutations in one transaction, or none.
    pub async fn write(&self, writes: &[Write], context: &ChangeContext) -> Result<Vec<WriteOutcome>> {
        self.write_with(writes, context, &mut |_, error| Err(error)).await
    }

    /// Does the mutations in one transaction but for those that are refused, which are handed to `refused`.
    pub async fn write_with(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
    ) -> Result<Vec<WriteOutcome>> {
        self.check_open_to_all(writes)?;
        self.write_and(writes, context, refused, &mut |_| Ok(())).await
    }

    /// The same, whatever the collections are, and `then` as the last part of the transaction.
    pub(super) async fn write_and(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
        then: &mut dyn FnMut(&[WriteOutcome]) -> Result<()>,
    ) -> Result<Vec<WriteOutcome>> {
        let name = self.name()?;
        self.learn_alarm().await?;
        self.recall_replaced(writes).await?;
        // No await from here to the alarm: the mutations, their events and the alarm commit together.
        let now = self.now_ms();
        // Pages of the collision log are not found one by one.
        let several = writes.len() > FORGOTTEN_ONE_BY_ONE_MAX
            || (self.is_registry() && writes.iter().any(|write| *write.collection == *COLLISIONS));
        self.has_collided.set(false);
        let outcomes = self.hot.transaction(|| {
            self.hot.ensure_object(&name, now)?;
            self.ensure_registry(&name)?;
            if several && self.warm.may_hold_documents() {
                self.hot.bump_cache_generation()?;
            }
            let outcomes = match self.is_registry() {
                true => self.write_checked(writes, context, now, refused)?,
                false => self.hot.write(writes, context, now, refused)?,
            };
            then(&outcomes)?;
            Ok(outcomes)
        })?;
        self.hot.take_back_lent();
        let alarm = self.schedule_archive();
        if several || self.has_collided.get() {
            self.warm.generation_bumped();
        }
        alarm.await?;
        self.invalidate(&name, writes).await?;
        Ok(outcomes)
    }

    /// One document.
    pub async fn get(&self, collection: &str, id: &str, tier: Tier) -> Result<Option<Document>> {
        match tier {
            Tier::Current => self.with_recalls(|| self.hot.get(collection, id)).await,
            Tier::Hot => match self.hot.get(collection, id) {
                Err(error) if error.cause_as::<NeedsCold>().is_some() => Ok(None),
                found => found,
            },
            Tier::Cold => replanning(async || self.get_published(collection, id).await).await,
        }
    }

    async fn get_published(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        let wanted = Filter::is_id(id);
        let mut found = None;
        let mut look = |document: Document| {
            if document.id != id {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(document);
            Ok(ControlFlow::Break(()))
        };
        let may_match = |statistics: &dyn ColumnStatistics| wanted.may_match(statistics);
        self.snapshotter.scan_published(collection, &may_match, &mut look).await?;
        Ok(found)
    }
}
