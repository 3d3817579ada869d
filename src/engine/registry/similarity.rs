//! The index of hashes follows the change log, and is made of the records where the log does not go back far enough.

use std::ops::ControlFlow;

use crate::cdc::{LoggedEvent, References};
use crate::engine::query::{FieldPath, Query};
use crate::engine::{Engine, Tier};
use crate::error::{ErrorKind, Result};
use crate::registry::records::{StoredHash, not_a_record};
use crate::registry::schema::HASHES;
use crate::registry::similarity::store::{HashChange, IndexFigures, Matches, Wanted};
use crate::types::{Json, Sequence};

/// Records of one page while the index is made of them.
const PAGE: usize = 1_000;

impl Engine {
    /// The hashes near to others, each search by itself, all of one moment.
    pub async fn search_hashes(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        self.ready_similarity().await?;
        match self.search_ready(wanted).await {
            // What is packed is damaged: it can be made again.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.similarity.forget();
                self.make_similarity().await?;
                self.search_ready(wanted).await
            }
            found => found,
        }
    }

    async fn search_ready(&self, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        self.with_recalls(|| {
            self.follow_hashes(Sequence::MAX)?;
            wanted.iter().map(|wanted| self.similarity.search(wanted)).collect()
        })
        .await
    }

    /// Brings the index into memory, and up to what is committed.
    pub(super) async fn ready_similarity(&self) -> Result<()> {
        if !self.load_similarity()? {
            self.make_similarity().await?;
        }
        let followed = self.with_recalls(|| self.follow_hashes(Sequence::MAX)).await;
        match followed {
            // What is packed is damaged: it can be made again.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.similarity.forget();
                self.make_similarity().await?;
                self.with_recalls(|| self.follow_hashes(Sequence::MAX)).await
            }
            followed => followed,
        }?;
        if self.similarity.is_packing_due() { self.pack_similarity() } else { Ok(()) }
    }

    /// Whether the index is in memory now, and the log goes on where it ends.
    fn load_similarity(&self) -> Result<bool> {
        let first = self.hot.log().first_sequence()?;
        let loaded = self.similarity.load()?;
        if loaded {
            return Ok(self.similarity.through()?.saturating_add(1) >= first);
        }
        // The log is whole: everything is in it.
        if first <= 1 {
            self.similarity.begin(0);
        }
        Ok(first <= 1)
    }

    /// Makes the index of the records. Others may write meanwhile: the events since it began tell of that.
    async fn make_similarity(&self) -> Result<()> {
        let began = self.last_sequence()?;
        self.similarity.begin(began);
        let mut query = Query {
            select: Some(["id", "pdqHash", "pdqQuality"].map(FieldPath::new).to_vec()),
            limit: PAGE,
            ..Query::default()
        };
        loop {
            let page = self.query(HASHES, &query, Tier::Current).await?;
            for row in &page.rows {
                let parsed = Json::parse(row)?;
                let Some(Json::String(asset)) = parsed.get("id") else { return Err(not_a_record()) };
                if let Ok(record) = StoredHash::of(row) {
                    self.similarity.add(asset, record)?;
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        self.similarity.begun(self.last_sequence()?)?;
        self.pack_similarity()
    }

    /// Takes in the events up to one.
    pub(super) fn follow_hashes(&self, through: Sequence) -> Result<()> {
        let after = self.similarity.through()?;
        let last = self.last_sequence()?.min(through);
        if after >= last {
            return Ok(());
        }
        let references = References { documents: self.hot.as_ref(), dropped: true };
        let mut take = |event: LoggedEvent| {
            self.similarity.take(event.sequence, change(&event))?;
            Ok(ControlFlow::Continue(()))
        };
        self.hot.log().read(after, last, references, &mut take)?;
        self.similarity.take(last, None)
    }

    /// Packs the index. When that fails, nobody knows what is packed.
    fn pack_similarity(&self) -> Result<()> {
        let packed = self.hot.transaction(|| self.similarity.pack());
        if packed.is_err() {
            self.similarity.forget();
        }
        packed
    }

    /// Brings what is packed up to what is committed, so that the next wake has little to read. The alarm's part.
    pub(in crate::engine) async fn keep_similarity(&self) -> Result<()> {
        if !self.is_registry() || self.last_sequence()? == 0 {
            return Ok(());
        }
        self.ready_similarity().await?;
        if self.similarity.is_packing_wanted() { self.pack_similarity() } else { Ok(()) }
    }

    /// How large the index is.
    pub async fn hash_figures(&self) -> Result<IndexFigures> {
        self.ready_similarity().await?;
        self.similarity.figures()
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
            compacted?;
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
