//! The collision log: entries appended, and what follows from them.

use uuid::Uuid;

use super::inserting;
use crate::engine::query::{Comparison, FieldPath, Filter, Operand, OrderBy, OrderKey, Query, QueryStats};
use crate::engine::{Engine, KeptAnswer, Ticket, Tier};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::WriteOutcome;
use crate::hot::document::NewDocument;
use crate::registry::collisions::{NewReview, REVIEWS_MAX, Review};
use crate::registry::schema::COLLISIONS;
use crate::types::{ChangeContext, Document, Json, StorageTier};

/// Reviews that one page of a query brings.
const REVIEWS_PAGE: usize = 1_000;
/// Bytes of collisions and reviews after which a page of them ends.
const COLLISIONS_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Pages of entries that one call looks at for a label.
const LABEL_PAGES_MAX: usize = 20;
/// The numbers of a collision's reviews are in the order of their commits, which clocks do not tell.
const REVIEW_NUMBER: &str = "reviewNumber";

/// Which collisions are wanted.
#[derive(Clone, Debug, Default)]
pub struct CollisionFilter {
    /// Of this primary asset.
    pub primary: Option<String>,
    /// Of this conflicting asset.
    pub conflicting: Option<String>,
    /// Whose last review says this.
    pub label: Option<String>,
    /// Logged at this moment or later, RFC 3339.
    pub from: Option<String>,
    /// Logged at this moment or earlier.
    pub to: Option<String>,
}

/// A collision and its reviews, oldest first.
pub struct Collision {
    /// The entry's document.
    pub text: String,
    /// What was thought of it.
    pub reviews: Vec<Review>,
}

impl Engine {
    /// Appends a collision of assets, each with its place in the request, which must be there.
    pub async fn append_collision(
        &self,
        entry: NewDocument,
        assets: &[(&str, &str)],
        context: &ChangeContext,
        ticket: Option<&Ticket>,
        answer: &dyn Fn(&[WriteOutcome]) -> Result<KeptAnswer>,
    ) -> Result<KeptAnswer> {
        // Before anything is written, and again once no other request can come between.
        self.check_assets(assets)?;
        let mut answer = |outcomes: &[WriteOutcome]| {
            self.check_assets(assets)?;
            answer(outcomes)
        };
        let writes = [inserting(COLLISIONS, entry)];
        self.write_answering(&writes, context, &mut |_, error| Err(error), ticket, &mut answer).await
    }

    /// Appends a review of a collision.
    pub async fn append_review(
        &self,
        collision: Uuid,
        review: &NewReview,
        context: &ChangeContext,
        ticket: Option<&Ticket>,
        answer: &dyn Fn(&[WriteOutcome]) -> Result<KeptAnswer>,
    ) -> Result<KeptAnswer> {
        self.find_collision(collision).await?;
        // Entries stay: one that was there is there. Between counting reviews and adding one, no other is added.
        let _one_at_a_time = self.reviewing.lock().await;
        let collision = collision.to_string();
        let number = self.last_review(&collision).await?.0.map_or(0, |review| review.number);
        if number >= REVIEWS_MAX {
            let message = format!("expected a collision of fewer than {REVIEWS_MAX} reviews, got one of {number}");
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "review collision", message));
        }
        let entry = review.entry(&self.new_id()?, &collision, number, self.now_ms())?;
        self.append_collision(entry, &[], context, ticket, answer).await
    }

    async fn find_collision(&self, id: Uuid) -> Result<Document> {
        let found = self.get(COLLISIONS, &id.to_string(), Tier::Current).await?;
        let is_collision = |document: &Document| {
            Json::parse(&document.text)
                .is_ok_and(|entry| matches!(entry.get("entry"), Some(Json::String(kind)) if *kind == *"collision"))
        };
        found.filter(is_collision).ok_or_else(|| {
            let message = format!("expected the id of a collision, got {id}, which is none");
            StorageError::new(ErrorKind::NotFound, StorageTier::Hot, "find collision", message)
        })
    }

    /// One collision.
    pub async fn collision(&self, id: Uuid) -> Result<Collision> {
        let text = self.find_collision(id).await?.text;
        Ok(Collision { text, reviews: self.reviews_of(&id.to_string()).await? })
    }

    /// Collisions, newest first, and where the next page begins.
    pub async fn list_collisions(
        &self,
        filter: &CollisionFilter,
        limit: usize,
        after: Option<Vec<OrderKey>>,
    ) -> Result<(Vec<Collision>, Option<Vec<OrderKey>>)> {
        let mut query = Query {
            filter: Some(filter.entries()),
            order_by: vec![OrderBy { path: FieldPath::new("createdAt"), descending: true }],
            limit,
            after,
            ..Query::default()
        };
        let (mut found, mut bytes, mut decoded) = (Vec::new(), 0_usize, 0_u64);
        for _ in 0..LABEL_PAGES_MAX {
            query.limit = limit.saturating_sub(found.len());
            let page = self.query(COLLISIONS, &query, Tier::Current).await?;
            decoded = decoded.saturating_add(page.stats.bytes_decoded);
            query.after = page.next;
            let mut rows = page.rows.into_iter().peekable();
            while let Some(text) = rows.next() {
                let id = text_of(&text, "id")?;
                if let Some(wanted) = &filter.label {
                    let (last, stats) = self.last_review(&id).await?;
                    decoded = decoded.saturating_add(stats.bytes_decoded);
                    if last.is_none_or(|last| last.label != *wanted) {
                        continue;
                    }
                }
                let reviews = self.reviews_of(&id).await?;
                let sizes = reviews.iter().map(|review| review.bytes).chain([text.len()]);
                bytes = sizes.fold(bytes, usize::saturating_add);
                let ends_here = bytes > COLLISIONS_PAGE_BYTES && rows.peek().is_some();
                if ends_here {
                    let place = vec![text_of(&text, "createdAt")?, id];
                    query.after = Some(place.into_iter().map(OrderKey::Text).collect());
                }
                found.push(Collision { text, reviews });
                if ends_here {
                    break;
                }
            }
            let is_full = found.len() >= limit || bytes > COLLISIONS_PAGE_BYTES || decoded > self.budget().max_bytes;
            if is_full || query.after.is_none() {
                break;
            }
            self.let_others_run().await;
        }
        Ok((found, query.after))
    }

    /// The last review of a collision, and what it cost to find it.
    async fn last_review(&self, collision: &str) -> Result<(Option<Review>, QueryStats)> {
        let last = self.query(COLLISIONS, &reviews_query(collision, true, 1), Tier::Current).await?;
        Ok((last.rows.first().map(|row| Review::of(row)).transpose()?, last.stats))
    }

    /// The reviews of a collision, oldest first.
    async fn reviews_of(&self, collision: &str) -> Result<Vec<Review>> {
        let mut reviews = Vec::new();
        let mut query = reviews_query(collision, false, REVIEWS_PAGE);
        loop {
            let page = self.query(COLLISIONS, &query, Tier::Current).await?;
            for row in &page.rows {
                reviews.push(Review::of(row)?);
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(reviews);
            }
        }
    }
}

/// Reviews of a collision by their numbers.
fn reviews_query(collision: &str, descending: bool, limit: usize) -> Query {
    let of = Comparison::Eq(Operand(OrderKey::Text(collision.to_owned())));
    Query {
        filter: Some(Filter::Compare(FieldPath::new("collisionId"), of)),
        order_by: vec![OrderBy { path: FieldPath::new(REVIEW_NUMBER), descending }],
        limit,
        ..Query::default()
    }
}

impl CollisionFilter {
    /// Which entries of the log can be wanted.
    fn entries(&self) -> Filter {
        let text = |text: &String| Operand(OrderKey::Text(text.clone()));
        let is = |field: &str, value: &Option<String>| {
            value.as_ref().map(|value| Filter::Compare(FieldPath::new(field), Comparison::Eq(text(value))))
        };
        let collision =
            Filter::Compare(FieldPath::new("entry"), Comparison::Eq(Operand(OrderKey::Text("collision".to_owned()))));
        let from = self.from.as_ref().map(|from| Comparison::Gte(text(from)));
        let to = self.to.as_ref().map(|to| Comparison::Lte(text(to)));
        let within = from.into_iter().chain(to).map(|bound| Filter::Compare(FieldPath::new("createdAt"), bound));
        let assets = [is("primaryAssetId", &self.primary), is("conflictingAssetId", &self.conflicting)];
        Filter::And(std::iter::once(collision).chain(assets.into_iter().flatten()).chain(within).collect())
    }
}

fn text_of(row: &str, field: &str) -> Result<String> {
    match Json::parse(row)?.get(field) {
        Some(Json::String(text)) => Ok(text.to_string()),
        _ => Err(crate::registry::records::not_a_record()),
    }
}
