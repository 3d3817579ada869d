//! Clean-up: hash records and assets that were made before a moment go, hashes first.
//!
//! Invariants: what goes is an event like any other, whose source is `cleanup`; each step is a transaction of a bounded number
//! of records, and a call does a bounded number of steps; a record that was written since it was found stays; an asset stays
//! as long as it has a hash; collisions are not looked at.

use crate::engine::query::{Comparison, FieldPath, Filter, Operand, Operands, OrderKey, Query};
use crate::engine::{Engine, Tier};
use crate::error::Result;
use crate::registry::records::not_a_record;
use crate::registry::schema::{ASSETS, HASHES};
use crate::types::time::rfc3339;
use crate::types::{ChangeContext, Json, Timestamp};

/// The source of the events.
const SOURCE: &str = "cleanup";
/// Records of one step.
const STEP_MAX_RECORDS: usize = 500;
/// Steps of one call.
const STEPS_MAX: usize = 64;

/// What is to go.
#[derive(Clone, Copy, Debug)]
pub struct Cleanup {
    /// What was made before.
    pub before: Timestamp,
    /// At most so many records.
    pub limit: usize,
    /// Whether only to count.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Hash records,
    pub hashes: usize,
    /// and assets.
    pub assets: usize,
    /// Assets that stay because their hash is younger.
    pub kept: usize,
    /// Whether another call would find more.
    pub more: bool,
}

impl Engine {
    /// Deletes old hash records and assets.
    pub async fn clean_up(&self, cleanup: Cleanup, context: &ChangeContext) -> Result<CleanedUp> {
        self.tenant()?;
        let context = ChangeContext { source: Some(SOURCE.to_owned()), ..context.clone() };
        let mut done = CleanedUp::default();
        let mut steps = STEPS_MAX;
        for collection in [HASHES, ASSETS] {
            let mut query = old(cleanup.before);
            loop {
                let room = cleanup.limit.saturating_sub(done.hashes.saturating_add(done.assets));
                query.limit = STEP_MAX_RECORDS.min(room).max(1);
                let last = self.last_sequence()?;
                let page = self.query(collection, &query, Tier::Current).await?;
                let ids = page.rows.iter().map(|row| id_of(row)).collect::<Result<Vec<_>>>()?;
                done.more = !ids.is_empty() && (room == 0 || steps == 0);
                if done.more {
                    return Ok(done);
                }
                steps = steps.saturating_sub(1);
                let (gone, kept) = if cleanup.dry_run {
                    let kept =
                        if collection == ASSETS { self.with_younger_hash(&ids, cleanup.before).await? } else { 0 };
                    (ids.len().saturating_sub(kept), kept)
                } else {
                    self.delete_unchanged(collection, &ids, last, &context).await?
                };
                let count = if collection == HASHES { &mut done.hashes } else { &mut done.assets };
                *count = count.saturating_add(gone);
                done.kept = done.kept.saturating_add(kept);
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
                self.ports.clock.sleep_ms(0).await;
            }
        }
        Ok(done)
    }

    /// How many of these assets have a hash that is younger.
    async fn with_younger_hash(&self, ids: &[String], before: Timestamp) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.iter().map(|id| Operand(OrderKey::Text(id.clone()))).collect();
        let of_assets = Filter::Compare(FieldPath::new("id"), Comparison::In(Operands::new(ids)));
        let younger = created(Comparison::Gte(moment(before)));
        let query = Query {
            select: Some(vec![FieldPath::new("id")]),
            filter: Some(Filter::And(vec![of_assets, younger])),
            limit: STEP_MAX_RECORDS,
            ..Query::default()
        };
        Ok(self.query(HASHES, &query, Tier::Current).await?.rows.len())
    }
}

/// The ids of what was made before a moment.
fn old(before: Timestamp) -> Query {
    let filter = Some(created(Comparison::Lt(moment(before))));
    Query { select: Some(vec![FieldPath::new("id")]), filter, ..Query::default() }
}

fn created(comparison: Comparison) -> Filter {
    Filter::Compare(FieldPath::new("createdAt"), comparison)
}

fn moment(at: Timestamp) -> Operand {
    Operand(OrderKey::Text(rfc3339(at)))
}

fn id_of(row: &str) -> Result<String> {
    match Json::parse(row)?.get("id") {
        Some(Json::String(id)) => Ok(id.to_string()),
        _ => Err(not_a_record()),
    }
}
