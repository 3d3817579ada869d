//! The index of embeddings follows the change log, and is made of the records where the log does not go back far enough.

use std::ops::ControlFlow;

use crate::cdc::{LoggedEvent, References};
use crate::engine::query::{FieldPath, Query};
use crate::engine::{Engine, Tier};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Mutation, Write, WriteOutcome};
use crate::registry::embeddings::check_vector;
use crate::registry::embeddings::store::{EmbeddingChange, Matches, Wanted};
use crate::registry::records::{embedding, invalid, not_a_record, stored_embedding};
use crate::registry::schema::HASHES;
use crate::registry::settings::{EmbeddingSettings, Settings};
use crate::types::{ChangeContext, Json, Sequence, StorageTier, Timestamp};

/// Records of one page while the index is made of them: of the longest embeddings, some megabytes.
const PAGE: usize = 100;
/// How often a search begins again because what it found was damaged.
const ATTEMPTS: u32 = 3;
/// Events of no concern after which the index is packed all the same, so that a wake has few to pass over.
const PACK_AFTER: Sequence = 1_024;
/// Removed embeddings from which on the index is made again without them, if they are as many as are left.
const REMOVED_MAX: u64 = 1_024;

/// What is to be near: a vector, or an asset's.
#[derive(Clone, Debug, PartialEq)]
pub enum Near {
    /// To this vector.
    Vector(Vec<f32>),
    /// To the embedding of this asset.
    Asset(String),
}

impl Engine {
    /// How the tenant's embeddings are.
    pub fn embedding_settings(&self) -> Result<EmbeddingSettings> {
        self.registry_settings()?.embedding.ok_or_else(|| {
            let message = "expected a tenant that has declared the dimension of its embeddings, got one that has not; declare \
                 it by PUT …/settings {\"embedding\":{\"dimension\":768}}";
            StorageError::new(ErrorKind::Conflict, StorageTier::Api, "search embeddings", message)
        })
    }

    /// Refuses the embedding of a hash record, or of a patch of one, that is not of the tenant's dimension.
    pub(super) fn check_embedding(&self, text: &str) -> Result<()> {
        let Some(vector) = embedding(text)? else { return Ok(()) };
        let Some(declared) = self.registry_settings()?.embedding.map(|embedding| embedding.dimension) else {
            let detail =
                "expected none before its dimension is declared by PUT …/settings {\"embedding\":{\"dimension\":…}}";
            return Err(invalid("/embedding", detail));
        };
        if vector.len() != declared {
            let detail = format!("expected {declared} numbers, as the tenant's settings say, got {}", vector.len());
            return Err(invalid("/embedding", detail));
        }
        let checked = check_vector(&vector, declared);
        checked.map_err(|error| invalid("/embedding", error.message().to_owned()))
    }

    /// Writes to hot what has embeddings of the tenant's dimension, or none; the others are refused. Within a transaction.
    pub(in crate::engine) fn write_checked(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        now: Timestamp,
        refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
    ) -> Result<Vec<WriteOutcome>> {
        let check = |write: &Write| match &write.mutation {
            Mutation::Insert(document) | Mutation::Upsert(document) => self.check_embedding(&document.text),
            Mutation::Merge { patch, .. } => self.check_embedding(patch),
            Mutation::Delete { .. } => Ok(()),
        };
        let (mut wrong, mut places) = (false, Vec::with_capacity(writes.len()));
        for (place, write) in writes.iter().enumerate() {
            match if *write.collection == *HASHES { check(write) } else { Ok(()) } {
                Ok(()) => places.push(place),
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    refused(place, error)?;
                    wrong = true;
                }
                Err(error) => return Err(error),
            }
        }
        if !wrong {
            return self.hot.write(writes, context, now, refused);
        }
        let right: Vec<Write> = places.iter().filter_map(|place| writes.get(*place)).cloned().collect();
        let mut refused_of = |place: usize, error| refused(places.get(place).copied().unwrap_or(place), error);
        self.hot.write(&right, context, now, &mut refused_of)
    }

    /// The vector that is meant.
    pub async fn embedding_of(&self, near: Near) -> Result<Vec<f32>> {
        let asset = match near {
            Near::Vector(vector) => return Ok(vector),
            Near::Asset(asset) => asset,
        };
        let stored = self.with_recalls(|| self.hot.get(HASHES, &asset)).await?;
        stored.and_then(|document| stored_embedding(&document.text)).ok_or_else(|| {
            invalid("/assetId", format!("expected an asset whose hash record has an embedding, got {asset:?}"))
        })
    }

    /// The embeddings near to one, of the tenant's dimension.
    pub async fn search_embeddings(&self, wanted: &Wanted) -> Result<Matches> {
        let dimension = wanted.vector.len();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let made = self.embeddings.made();
            self.ready_embeddings(dimension).await?;
            match self.with_recalls(|| self.search_followed(dimension, wanted)).await {
                Err(error) if attempts < ATTEMPTS && self.are_embeddings_lost(&error) => {
                    self.mend_embeddings(dimension, made).await?;
                }
                found => return found,
            }
        }
    }

    fn search_followed(&self, dimension: usize, wanted: &Wanted) -> Result<Matches> {
        // Few: what is many was packed before.
        while !self.follow_embeddings(dimension, Sequence::MAX)? {}
        self.embeddings.search(wanted)
    }

    /// Whether something failed because what is packed of the index is damaged, or somebody else has found that out.
    fn are_embeddings_lost(&self, error: &StorageError) -> bool {
        error.kind() == ErrorKind::Corrupt || (error.kind() == ErrorKind::Internal && !self.embeddings.is_loaded())
    }

    /// Makes the index again of the records, unless somebody has since it was `made` so often.
    async fn mend_embeddings(&self, dimension: usize, made: u64) -> Result<()> {
        if self.embeddings.made() == made {
            self.embeddings.forget();
        }
        self.make_embeddings(dimension, made).await
    }

    /// Brings the index into memory, and up to what is committed.
    pub(super) async fn ready_embeddings(&self, dimension: usize) -> Result<()> {
        let made = self.embeddings.made();
        match self.load_and_follow_embeddings(dimension, made).await {
            Err(error) if self.are_embeddings_lost(&error) => {
                self.mend_embeddings(dimension, made).await?;
                self.load_and_follow_embeddings(dimension, self.embeddings.made()).await
            }
            ready => ready,
        }?;
        self.similarity.reserve(self.embeddings.bytes());
        Ok(())
    }

    async fn load_and_follow_embeddings(&self, dimension: usize, made: u64) -> Result<()> {
        if !self.load_embeddings(dimension)? {
            self.make_embeddings(dimension, made).await?;
        }
        loop {
            let is_all = self.with_recalls(|| self.follow_embeddings(dimension, Sequence::MAX)).await?;
            if self.embeddings.is_packing_due() {
                self.pack_embeddings_if_possible()?;
            }
            if is_all {
                return Ok(());
            }
        }
    }

    /// Whether the index is in memory now, and the log goes on where it ends.
    fn load_embeddings(&self, dimension: usize) -> Result<bool> {
        let first = self.hot.log().first_sequence()?;
        if self.embeddings.load(dimension)? {
            return Ok(self.embeddings.through()?.saturating_add(1) >= first);
        }
        // The log is whole: everything is in it.
        if first <= 1 {
            self.embeddings.begin(dimension)?;
        }
        Ok(first <= 1)
    }

    /// Makes the index of the records, unless somebody has since it was `made` so often. Others may write meanwhile: the
    /// events since it began tell of that.
    async fn make_embeddings(&self, dimension: usize, made: u64) -> Result<()> {
        let _one_at_a_time = self.embeddings_making.lock().await;
        if self.embeddings.made() != made {
            return Ok(());
        }
        let through = self.last_sequence()?;
        let mut making = self.hot.transaction(|| self.embeddings.make(dimension, through))?;
        let mut query =
            Query { select: Some(["id", "embedding"].map(FieldPath::new).to_vec()), limit: PAGE, ..Query::default() };
        loop {
            let page = self.query(HASHES, &query, Tier::Current).await?;
            let mut embeddings = Vec::new();
            for row in &page.rows {
                let parsed = Json::parse(row)?;
                let Some(Json::String(asset)) = parsed.get("id") else { return Err(not_a_record()) };
                embeddings.extend(stored_embedding(row).map(|vector| (asset.to_string(), vector)));
            }
            self.hot.transaction(|| self.embeddings.add(&mut making, embeddings))?;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        self.embeddings.install(making, self.last_sequence()?);
        while !self.with_recalls(|| self.follow_embeddings(dimension, Sequence::MAX)).await? {}
        self.pack_embeddings_if_possible()
    }

    /// Takes in events up to one until all are or so many that they have to be packed; whether all are.
    fn follow_embeddings(&self, dimension: usize, through: Sequence) -> Result<bool> {
        if !self.embeddings.is_loaded_for(dimension) {
            return Err(lost());
        }
        let (after, last) = (self.embeddings.through()?, self.last_sequence()?.min(through));
        if after >= last {
            return Ok(true);
        }
        let references = References { documents: self.hot.as_ref(), dropped: true };
        let mut is_much = false;
        let mut take = |event: LoggedEvent| {
            is_much = self.embeddings.take(event.sequence, change(&event))?;
            Ok(if is_much { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        self.hot.log().read(after, last, references, &mut take)?;
        if is_much {
            return Ok(self.embeddings.through()? >= last);
        }
        self.embeddings.take(last, None).map(|_| true)
    }

    /// Packs the index. When that fails, what is in memory may be half packed.
    fn pack_embeddings(&self) -> Result<()> {
        let packed = self.hot.transaction(|| self.embeddings.pack());
        if packed.is_err() {
            self.embeddings.forget();
        }
        packed
    }

    /// Packs the index on the way of a search. Where there is no room for it, what is packed is read again.
    fn pack_embeddings_if_possible(&self) -> Result<()> {
        match self.pack_embeddings() {
            Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
            _ => Ok(()),
        }
    }

    /// Brings what is packed up to what is committed, and makes it again where most of it is removed. The alarm's part.
    pub(in crate::engine) async fn keep_embeddings(&self) -> Result<()> {
        if !self.is_registry() || self.last_sequence()? == 0 {
            return Ok(());
        }
        let Some(dimension) = self.registry_settings()?.embedding.map(|embedding| embedding.dimension) else {
            return Ok(());
        };
        match self.keep_embeddings_of(dimension).await {
            // A search says so; nothing else has to wait for it.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            kept => kept,
        }
    }

    async fn keep_embeddings_of(&self, dimension: usize) -> Result<()> {
        self.ready_embeddings(dimension).await?;
        let (live, removed) = self.embeddings.counts()?;
        if removed >= REMOVED_MAX.max(live) {
            return self.make_embeddings(dimension, self.embeddings.made()).await;
        }
        if self.embeddings.is_packing_wanted(PACK_AFTER) { self.pack_embeddings() } else { Ok(()) }
    }

    /// The dimension that the settings of now have, and others have not.
    pub(super) fn dimension_given_up(&self, settings: &Settings) -> Result<Option<usize>> {
        let dimension = |settings: &Settings| settings.embedding.as_ref().map(|embedding| embedding.dimension);
        let before = dimension(&self.registry_settings()?);
        Ok(before.filter(|before| dimension(settings) != Some(*before)))
    }

    /// Refuses to give up a dimension while there are embeddings of it, by the events up to `through`, which are committed; the
    /// index is ready.
    pub(super) fn check_dimension_is_free(&self, dimension: usize, through: Sequence) -> Result<()> {
        while !self.follow_embeddings(dimension, through)? {}
        let (live, _) = self.embeddings.counts()?;
        if live == 0 {
            return Ok(());
        }
        let message = format!(
            "expected embeddings to keep their dimension, {dimension}, while there are any, got another for {live} of them; delete their \
             hash records first"
        );
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "set settings", message))
    }
}

/// The error of an index that somebody else has found to be damaged meanwhile.
fn lost() -> StorageError {
    let message = "expected the index of embeddings to be in memory, got none; ask again";
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "search embeddings", message)
}

/// What an event tells of embeddings.
fn change(event: &LoggedEvent) -> Option<EmbeddingChange<'_>> {
    if *event.collection != *HASHES {
        return None;
    }
    let before = event.before.as_ref().and_then(|image| stored_embedding(&image.text));
    let after = event.after.as_deref().and_then(stored_embedding);
    let is_one = before != after;
    is_one.then_some(EmbeddingChange { asset_id: &event.document_id, had: before.is_some(), after })
}
