//! The index of hashes follows the change log, and is made of the records where the log does not go back far enough.

use std::ops::ControlFlow;

use crate::cdc::{LoggedEvent, References};
use crate::engine::query::{FieldPath, Query};
use crate::engine::{Engine, Tier};
use crate::error::{ErrorKind, Result, StorageError};
use crate::registry::records::{StoredHash, not_a_record};
use crate::registry::schema::HASHES;
use crate::registry::similarity::store::{HashChange, IndexFigures, Matches, SearchFigures, Wanted};
use crate::types::{Json, Sequence};

/// Records of one page while the index is made of them.
const PAGE: usize = 1_000;
/// Events that are taken in before they are packed: their names are in memory until then.
const FOLLOWED_MAX_EVENTS: usize = 32_768;
/// How often a search begins again because what it found was damaged.
const ATTEMPTS: u32 = 3;

impl Engine {
    /// The hashes near to others, each search by itself, all of one moment.
    pub async fn search_hashes(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        let began = self.now_ms();
        let found = self.search_whole(wanted).await;
        self.similarity.note_latency(u64::try_from(self.now_ms().saturating_sub(began)).unwrap_or(0));
        found
    }

    async fn search_whole(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let made = self.similarity.made();
            self.ready_similarity().await?;
            match self.search_ready(wanted).await {
                Err(error) if attempts < ATTEMPTS && self.is_similarity_lost(&error) => {
                    self.mend_similarity(made).await?
                }
                found => return found,
            }
        }
    }

    /// Whether something failed because what is packed of the index is damaged, or somebody else has found that out.
    pub(super) fn is_similarity_lost(&self, error: &StorageError) -> bool {
        error.kind() == ErrorKind::Corrupt || (error.kind() == ErrorKind::Internal && !self.similarity.is_loaded())
    }

    /// Makes the index again of the records, unless somebody has since it was `made` so often.
    pub(super) async fn mend_similarity(&self, made: u64) -> Result<()> {
        if self.similarity.made() == made {
            self.similarity.forget();
        }
        self.make_similarity(made).await
    }

    async fn search_ready(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        self.with_recalls(|| {
            self.follow_hashes(Sequence::MAX)?;
            self.similarity.search(wanted)
        })
        .await
    }

    /// Brings the index into memory, and up to what is committed.
    pub(super) async fn ready_similarity(&self) -> Result<()> {
        let made = self.similarity.made();
        match self.load_and_follow(made).await {
            Err(error) if self.is_similarity_lost(&error) => {
                self.mend_similarity(made).await?;
                self.load_and_follow(self.similarity.made()).await
            }
            ready => ready,
        }
    }

    async fn load_and_follow(&self, made: u64) -> Result<()> {
        if !self.load_similarity()? {
            self.make_similarity(made).await?;
        }
        loop {
            let is_all = self.with_recalls(|| self.follow_some_hashes(Sequence::MAX)).await?;
            if self.similarity.is_packing_due() {
                self.pack_if_possible()?;
            }
            if is_all {
                return Ok(());
            }
        }
    }

    /// Whether the index is in memory now, and the log goes on where it ends.
    fn load_similarity(&self) -> Result<bool> {
        let first = self.hot.log().first_sequence()?;
        let loaded = self.similarity.load()?;
        if loaded {
            let through = self.similarity.through()?;
            return Ok(through.saturating_add(1) >= first && through <= self.last_sequence()?);
        }
        // The log is whole: everything is in it.
        if first <= 1 {
            self.similarity.begin();
        }
        Ok(first <= 1)
    }

    /// Makes the index of the records, unless somebody has since it was `made` so often. Others may write meanwhile: the
    /// events since it began tell of that.
    async fn make_similarity(&self, made: u64) -> Result<()> {
        let _one_at_a_time = self.similarity_making.lock().await;
        if self.similarity.made() != made {
            return Ok(());
        }
        let through = self.last_sequence()?;
        let mut making = self.hot.transaction(|| self.similarity.make(through))?;
        let mut query = Query {
            select: Some(["id", "pdqHash", "pdqQuality"].map(FieldPath::new).to_vec()),
            limit: PAGE,
            ..Query::default()
        };
        loop {
            let page = self.query(HASHES, &query, Tier::Current).await?;
            let mut records = Vec::with_capacity(page.rows.len());
            for row in &page.rows {
                let parsed = Json::parse(row)?;
                let Some(Json::String(asset)) = parsed.get("id") else { return Err(not_a_record()) };
                records.extend(StoredHash::of(row).ok().map(|record| (asset.to_string(), record)));
            }
            self.hot.transaction(|| self.similarity.add(&mut making, &records))?;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        self.similarity.install(making, self.last_sequence()?);
        self.with_recalls(|| self.follow_hashes(Sequence::MAX)).await?;
        self.pack_if_possible()
    }

    /// Takes in the events up to one.
    pub(super) fn follow_hashes(&self, through: Sequence) -> Result<()> {
        while !self.follow_some_hashes(through)? {}
        Ok(())
    }

    /// Takes in events up to one, but not too many before they can be packed; whether that was all.
    fn follow_some_hashes(&self, through: Sequence) -> Result<bool> {
        let after = self.similarity.through()?;
        let last = self.last_sequence()?.min(through);
        if after >= last {
            return Ok(true);
        }
        let references = References { documents: self.hot.as_ref(), dropped: true };
        let mut room = FOLLOWED_MAX_EVENTS;
        let mut take = |event: LoggedEvent| {
            let change = change(&event);
            room = room.saturating_sub(usize::from(change.is_some()));
            self.similarity.take(event.sequence, change)?;
            Ok(if room == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        self.hot.log().read(after, last, references, &mut take)?;
        if room == 0 {
            return Ok(self.similarity.through()? >= last);
        }
        self.similarity.take(last, None).map(|()| true)
    }

    /// Packs the index. When that fails at its end, nobody knows what is packed.
    fn pack_similarity(&self) -> Result<()> {
        let mut is_written = false;
        let packed = self.hot.transaction(|| {
            self.similarity.pack()?;
            is_written = true;
            Ok(())
        });
        if packed.is_err() && is_written {
            self.similarity.forget();
        }
        packed
    }

    /// Packs the index on the way of a search, which goes on without where there is no room for it, say.
    fn pack_if_possible(&self) -> Result<()> {
        match self.pack_similarity() {
            Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
            _ => Ok(()),
        }
    }

    /// Brings what is packed up to what is committed, so that the next wake has little to read. The alarm's part.
    pub(in crate::engine) async fn keep_similarity(&self) -> Result<()> {
        if !self.is_registry() || self.last_sequence()? == 0 {
            return Ok(());
        }
        self.ready_similarity().await?;
        if !self.similarity.is_packing_wanted() {
            return Ok(());
        }
        match self.pack_similarity() {
            // It is packed whole once it is made again.
            Err(error) if error.kind() == ErrorKind::Corrupt => self.make_similarity(self.similarity.made()).await,
            packed => packed,
        }
    }

    /// How large the index is.
    pub async fn hash_figures(&self) -> Result<IndexFigures> {
        self.ready_similarity().await?;
        self.similarity.figures()
    }

    /// What searches took since this instance started.
    pub fn search_figures(&self) -> SearchFigures {
        self.similarity.search_figures()
    }

    /// How large the index of a registry is, if it is in memory: it is not brought there.
    pub(in crate::engine) fn known_hash_figures(&self) -> Result<Option<IndexFigures>> {
        if self.similarity.is_loaded() { self.similarity.figures().map(Some) } else { Ok(None) }
    }

    /// Makes room of removed hashes in the index; how large it was and is.
    pub async fn compact_hashes(&self) -> Result<[IndexFigures; 2]> {
        self.ready_similarity().await?;
        let before = self.similarity.figures()?;
        if before.hashes > 0 || before.removed > 0 {
            let compacted = self.hot.transaction(|| self.similarity.compact());
            if compacted.is_err() {
                self.similarity.forget();
            }
            match compacted {
                // Nothing that is removed is in it once it is made again.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.make_similarity(self.similarity.made()).await?
                }
                compacted => compacted?,
            }
            self.similarity.note_compaction(self.now_ms());
            self.ready_similarity().await?;
        }
        Ok([before, self.similarity.figures()?])
    }
}

/// What an event tells of hash records. A document that is none, as there may be from before the collection was declared, has
/// no hash to be found.
fn change(event: &LoggedEvent) -> Option<HashChange<'_>> {
    if *event.collection != *HASHES {
        return None;
    }
    let before = event.before.as_ref().and_then(|image| StoredHash::of(&image.text).ok());
    let after = event.after.as_deref().and_then(|text| StoredHash::of(text).ok());
    Some(HashChange { asset_id: &event.document_id, before, after })
}
