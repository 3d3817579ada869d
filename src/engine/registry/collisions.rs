//! The collision log: entries appended, and what follows from them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::inserting;
use crate::engine::query::{Comparison, FieldPath, Filter, Operand, Operands, OrderBy, OrderKey, Query};
use crate::engine::{Engine, KeptAnswer, Ticket, Tier};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::WriteOutcome;
use crate::hot::document::NewDocument;
use crate::registry::collisions::{NewReview, REVIEWS_MAX, Review, sort};
use crate::registry::schema::COLLISIONS;
use crate::types::{ChangeContext, Document, Json, StorageTier};

/// Reviews that one page of a query brings.
const REVIEWS_PAGE: usize = 1_000;
/// Collisions whose reviews are read together.
const COLLISIONS_AT_ONCE: usize = 8;
/// Bytes of reviews after which a page of collisions ends.
const REVIEWS_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Pages of entries that one call looks at for a label.
const LABEL_PAGES_MAX: usize = 20;

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
        let reviews = self.reviews_of(vec![collision.clone()]).await?.remove(&collision).unwrap_or_default().len();
        if reviews >= REVIEWS_MAX {
            let message = format!("expected a collision of fewer than {REVIEWS_MAX} reviews, got one of {reviews}");
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "review collision", message));
        }
        let entry = review.entry(&self.new_id()?, &collision, reviews, self.now_ms())?;
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
        let mut reviews = self.reviews_of(vec![id.to_string()]).await?;
        Ok(Collision { text, reviews: reviews.remove(&id.to_string()).unwrap_or_default() })
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
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        for _ in 0..LABEL_PAGES_MAX {
            query.limit = limit.saturating_sub(found.len());
            let page = self.query(COLLISIONS, &query, Tier::Current).await?;
            let mut rows = page.rows.into_iter().peekable();
            while rows.peek().is_some() {
                let texts: Vec<String> = rows.by_ref().take(COLLISIONS_AT_ONCE).collect();
                let ids = texts.iter().map(|row| text_of(row, "id")).collect::<Result<Vec<_>>>()?;
                let mut reviews = self.reviews_of(ids.clone()).await?;
                for (text, id) in texts.into_iter().zip(ids) {
                    let reviews = reviews.remove(&id).unwrap_or_default();
                    let label = reviews.last().map(|review| review.label.as_str());
                    if filter.label.is_none() || filter.label.as_deref() == label {
                        bytes = reviews.iter().fold(bytes, |sum, review| sum.saturating_add(review.bytes()));
                        found.push(Collision { text, reviews });
                    }
                }
                if let (true, true, Some(last)) = (bytes > REVIEWS_PAGE_BYTES, rows.peek().is_some(), found.last()) {
                    let next = vec![text_of(&last.text, "createdAt")?, text_of(&last.text, "id")?];
                    return Ok((found, Some(next.into_iter().map(OrderKey::Text).collect())));
                }
            }
            query.after = page.next;
            if query.after.is_none() || found.len() >= limit {
                break;
            }
        }
        Ok((found, query.after))
    }

    /// The reviews of collisions, oldest first, by collision.
    async fn reviews_of(&self, collisions: Vec<String>) -> Result<BTreeMap<String, Vec<Review>>> {
        let mut reviews: BTreeMap<String, Vec<Review>> = BTreeMap::new();
        if collisions.is_empty() {
            return Ok(reviews);
        }
        let ids = collisions.into_iter().map(|id| Operand(OrderKey::Text(id))).collect();
        let filter = Filter::Compare(FieldPath::new("collisionId"), Comparison::In(Operands::new(ids)));
        let mut query = Query { filter: Some(filter), limit: REVIEWS_PAGE, ..Query::default() };
        loop {
            let page = self.query(COLLISIONS, &query, Tier::Current).await?;
            for row in &page.rows {
                let review = Review::of(row)?;
                reviews.entry(review.collision_id.clone()).or_default().push(review);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        reviews.values_mut().for_each(|reviews| sort(reviews));
        Ok(reviews)
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
