//! Records: an asset, its hash, and what it collides with, in one transaction.

use super::inserting;
use crate::engine::{Engine, KeptAnswer, Ticket};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::document::NewDocument;
use crate::hot::{Mutation, NeedsCold, Write, WriteOutcome};
use crate::registry::collisions::NewCollision;
use crate::registry::detection::Detection;
use crate::registry::records::{NewHash, not_a_record};
use crate::registry::schema::{self, ASSETS, COLLISIONS, HASHES};
use crate::registry::similarity::store::{Match, Reach, Wanted};
use crate::types::{ChangeContext, Document, Json, StorageTier};

/// How often an insert begins again because what it collides with was evicted meanwhile.
const TRIES: usize = 4;
/// Matches that are looked at for one insert.
const LOOKED_AT_MAX: usize = 1_000;

/// Bytes of their records that are compared for one insert.
const COMPARED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What is answered of an insert, by what was written and what was found.
pub type Answer<'a> = &'a dyn Fn(&[WriteOutcome], Option<&Detected>) -> Result<KeptAnswer>;

/// What is inserted.
#[derive(Default)]
pub struct Insert {
    /// An asset.
    pub asset: Option<NewDocument>,
    /// A hash record.
    pub hash: Option<NewHash>,
    /// A collision that the caller knows of.
    pub collision: Option<NewDocument>,
    /// The asset that it is with, and where that is named.
    pub conflicting: Option<(&'static str, String)>,
    /// Whether to look for collisions.
    pub detect: bool,
}

/// What was found while a hash was inserted.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// The nearest hashes of other assets.
    pub matches: Vec<Match>,
    /// How many hashes are within the distance.
    pub found: usize,
    /// The collisions that were logged.
    pub collisions: Vec<String>,
    /// How many more there are that were not logged, among those that were looked at.
    pub unlogged: usize,
    /// How many hashes within the distance, the farthest, were not looked at.
    pub unseen: usize,
    /// Whether the hash's quality is too low for it to collide.
    pub is_poor: bool,
}

impl Engine {
    /// Inserts a record. `answer` is called within the transaction; so is the detection, right before.
    pub async fn insert_record(
        &self,
        record: &Insert,
        context: &ChangeContext,
        ticket: Option<&Ticket>,
        answer: Answer<'_>,
    ) -> Result<KeptAnswer> {
        self.tenant()?;
        let writes = writes_of(record);
        let is_whole = record.asset.is_some() && record.hash.is_some();
        check_documents(&writes).map_err(|(error, write)| if is_whole { placed(error, write) } else { error })?;
        for _ in 1..TRIES {
            let made = self.similarity.made();
            match self.try_to_insert(record, &writes, context, ticket, answer).await {
                Err(error) if error.cause_as::<NeedsCold>().is_some() => {}
                Err(error) if record.detect && self.is_similarity_lost(&error) => self.mend_similarity(made).await?,
                done => return done,
            }
        }
        self.try_to_insert(record, &writes, context, ticket, answer).await
    }

    async fn try_to_insert(
        &self,
        record: &Insert,
        writes: &[Write],
        context: &ChangeContext,
        ticket: Option<&Ticket>,
        answer: Answer<'_>,
    ) -> Result<KeptAnswer> {
        let detecting = record.hash.as_ref().filter(|_| record.detect);
        let settings = self.registry_settings()?;
        self.check_embedding_of(record)?;
        if let Some(hash) = detecting {
            self.ready_similarity().await?;
            // The records that it collides with stay in memory for the transaction.
            self.snapshotter.recalling(|| self.collisions_of(hash, &settings.detection).map(|_| ())).await?;
        }
        // The places in documents are told before; what is left has none.
        let mut refused = |_: usize, error: StorageError| Err(error);
        let conflicting = record.conflicting.as_ref().map(|(place, asset)| (*place, asset.as_str()));
        // Before anything is written, and again once no other request can come between.
        self.check_assets(conflicting.as_slice())?;
        let mut finish = |outcomes: &[WriteOutcome]| {
            self.check_assets(conflicting.as_slice())?;
            let Some(hash) = detecting else { return answer(outcomes, None) };
            // All that was committed before this transaction.
            let before = outcomes.first().map_or(0, |outcome| outcome.sequence.saturating_sub(1));
            self.follow_hashes(before)?;
            let detected = self.log_collisions(hash, &settings.detection, context)?;
            answer(outcomes, Some(&detected))
        };
        self.write_answering(writes, context, &mut refused, ticket, &mut finish).await
    }

    /// An asset and its hash record, as they are at one moment.
    pub async fn record(&self, asset: &str) -> Result<[Option<Document>; 2]> {
        self.tenant()?;
        self.with_recalls(|| Ok([self.hot.get(ASSETS, asset)?, self.hot.get(HASHES, asset)?])).await
    }

    fn check_embedding_of(&self, record: &Insert) -> Result<()> {
        let Some(hash) = &record.hash else { return Ok(()) };
        let checked = self.check_embedding(&hash.document.text);
        if record.asset.is_some() { checked.map_err(|error| error.under("/hashes")) } else { checked }
    }

    /// The nearest hashes of others, and the collisions with them.
    fn collisions_of(&self, hash: &NewHash, detection: &Detection) -> Result<(Detected, Vec<String>)> {
        let mut detected = Detected { is_poor: hash.quality < detection.min_quality, ..Detected::default() };
        let mut collisions = Vec::new();
        if detected.is_poor {
            return Ok((detected, collisions));
        }
        let wanted = Wanted {
            hash: hash.hash,
            reach: Reach::Distance(detection.max_distance),
            limit: LOOKED_AT_MAX,
            min_quality: detection.min_quality,
        };
        let own: &str = &hash.document.id;
        let mut found = self.similarity.search(&[wanted])?.pop().unwrap_or_default();
        detected.unseen = found.total.saturating_sub(found.matches.len());
        found.matches.retain(|found| found.asset_id != own);
        detected.found = found.total;
        let comparing = detection.comparing(&hash.document.text)?;
        let (mut bytes, all) = (0_usize, found.matches.len());
        for (compared, found) in found.matches.iter().enumerate() {
            if bytes > COMPARED_MAX_BYTES {
                detected.unseen = detected.unseen.saturating_add(all.saturating_sub(compared));
                break;
            }
            let other = self.hot.get(HASHES, &found.asset_id)?;
            let other = other.ok_or_else(not_a_record)?;
            bytes = bytes.saturating_add(other.text.len());
            let Some(difference) = comparing.difference(&other.text)? else { continue };
            if collisions.len() < detection.collisions_max {
                collisions.push(difference.collision(own, &found.asset_id, found.distance));
            } else {
                detected.unlogged = detected.unlogged.saturating_add(1);
            }
        }
        found.matches.truncate(detection.collisions_max);
        detected.matches = found.matches;
        Ok((detected, collisions))
    }

    fn log_collisions(&self, hash: &NewHash, detection: &Detection, context: &ChangeContext) -> Result<Detected> {
        let (mut detected, collisions) = self.collisions_of(hash, detection)?;
        let now = self.now_ms();
        let mut writes = Vec::with_capacity(collisions.len());
        for text in &collisions {
            let collision: NewCollision<'_> =
                serde_json::from_str(text).map_err(|error| not_a_record().caused_by(error))?;
            let entry = collision.entry(&self.new_id()?, now)?;
            detected.collisions.push(entry.id.to_string());
            writes.push(inserting(COLLISIONS, entry));
        }
        if !writes.is_empty() {
            if self.warm.may_hold_documents() {
                self.hot.bump_cache_generation()?;
            }
            self.has_collided.set(true);
            self.hot.write(&writes, context, now, &mut |_, error| Err(error))?;
        }
        Ok(detected)
    }

    /// Refuses assets that the tenant does not have; each has its place in the request.
    pub(super) fn check_assets(&self, assets: &[(&str, &str)]) -> Result<()> {
        let ids: Vec<&str> = assets.iter().map(|(_, asset)| *asset).collect();
        let Some(missing) = self.hot.missing(ASSETS, &ids)? else { return Ok(()) };
        let place = assets.iter().find(|(_, asset)| *asset == missing).map_or("", |(pointer, _)| *pointer);
        let message = "expected assets of the tenant, got others; see errors";
        let detail = format!("expected the id of an asset, got {missing:?}, which is none");
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "log collision", message).at(place, detail))
    }
}

fn writes_of(record: &Insert) -> Vec<Write> {
    let asset = record.asset.iter().map(|asset| inserting(ASSETS, asset.clone()));
    let hash = record.hash.iter().map(|hash| inserting(HASHES, hash.document.clone()));
    let collision = record.collision.iter().map(|collision| inserting(COLLISIONS, collision.clone()));
    asset.chain(hash).chain(collision).collect()
}

/// Refuses documents that are not as they are declared to be, before the first of them is written.
fn check_documents(writes: &[Write]) -> std::result::Result<(), (StorageError, &Write)> {
    let collections = schema::collections();
    for write in writes {
        let Mutation::Insert(document) = &write.mutation else { continue };
        let Some((_, definition)) = collections.iter().find(|(name, _)| *name == &*write.collection) else { continue };
        let checked = Json::parse(&document.text).and_then(|parsed| definition.check_document(&parsed));
        checked.map_err(|error| (error, write))?;
    }
    Ok(())
}

/// An error of a part, told with its place in the record.
fn placed(error: StorageError, write: &Write) -> StorageError {
    match write.collection.as_ref() {
        ASSETS => error.under("/metadata"),
        HASHES => error.under("/hashes"),
        _ => error.under("/collision"),
    }
}
