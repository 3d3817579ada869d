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
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// What was made before.
    pub before: Timestamp,
    /// At most so many records.
    pub limit: usize,
    /// Whether only to count.
    pub dry_run: bool,
    /// Where to go on.
    pub from: Option<CleanupPlace>,
}

/// How far a clean-up has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanupPlace {
    /// Whether it is at assets: hash records are all looked at.
    pub at_assets: bool,
    /// The last id that it has looked at; empty before the first.
    pub after: String,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Hash records,
    pub hashes: usize,
    /// and assets.
    pub assets: usize,
    /// Assets that stay because their hash is younger.
    pub kept: usize,
    /// Where another call would find more.
    pub next: Option<CleanupPlace>,
}

impl Engine {
    /// Deletes old hash records and assets.
    pub async fn clean_up(&self, cleanup: Cleanup, context: &ChangeContext) -> Result<CleanedUp> {
        self.tenant()?;
        let context = ChangeContext { source: Some(SOURCE.to_owned()), ..context.clone() };
        let mut done = CleanedUp::default();
        let mut steps = STEPS_MAX;
        let mut place = cleanup.from.unwrap_or(CleanupPlace { at_assets: false, after: String::new() });
        loop {
            let collection = if place.at_assets { ASSETS } else { HASHES };
            let room = cleanup.limit.saturating_sub(done.hashes.saturating_add(done.assets));
            let after = Some(vec![OrderKey::Text(place.after.clone())]);
            let query = Query { after, limit: STEP_MAX_RECORDS.min(room).max(1), ..old(cleanup.before) };
            let last = self.last_sequence()?;
            let page = self.query(collection, &query, Tier::Current).await?;
            let ids = page.rows.iter().map(|row| id_of(row)).collect::<Result<Vec<_>>>()?;
            if (room == 0 || steps == 0) && !(ids.is_empty() && page.next.is_none() && place.at_assets) {
                done.next = Some(place);
                return Ok(done);
            }
            steps = steps.saturating_sub(1);
            let (gone, kept) = if cleanup.dry_run {
                let kept = if place.at_assets { self.with_younger_hash(&ids, cleanup.before).await? } else { 0 };
                (ids.len().saturating_sub(kept), kept)
            } else {
                let done = self.delete_unchanged(collection, &ids, last, &context).await?;
                if done.0 > 0 {
                    self.forget_cached()?;
                }
                done
            };
            let count = if place.at_assets { &mut done.assets } else { &mut done.hashes };
            *count = count.saturating_add(gone);
            done.kept = done.kept.saturating_add(kept);
            place = match (page.next.as_deref(), place.at_assets) {
                (Some([OrderKey::Text(after), ..]), at_assets) => CleanupPlace { at_assets, after: after.clone() },
                (_, false) => CleanupPlace { at_assets: true, after: String::new() },
                (_, true) => break,
            };
            self.ports.clock.sleep_ms(0).await;
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
