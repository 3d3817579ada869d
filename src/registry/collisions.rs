//! Collisions and their reviews: entries that are only ever added.
//!
//! A collision never changes. What is thought of it is its last review's; the reviews are entries of the same log, each naming
//! its collision and numbered in the order in which they were committed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::records::{Moment, invalid};
use super::schema::{LABELS, NOTES_MAX_CHARACTERS};
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::document::NewDocument;
use crate::types::{StorageTier, Timestamp};

/// Bytes of an entry: what one leaf of the log may hold.
pub const ENTRY_MAX_BYTES: usize = 60 * 1024;
/// Reviews of one collision.
pub const REVIEWS_MAX: usize = 1_000;
/// Characters of a reviewer's id.
const REVIEWER_MAX_CHARACTERS: usize = 255;

/// A collision as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewCollision<'b> {
    /// The asset that is looked at.
    pub primary_asset_id: String,
    /// The asset that it collides with.
    pub conflicting_asset_id: String,
    #[serde(borrow)]
    similarity_scores: &'b RawValue,
    #[serde(borrow)]
    conflict_type: &'b RawValue,
    #[serde(borrow)]
    lineage_diff: &'b RawValue,
}

/// A review as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewReview {
    label: String,
    notes: Option<String>,
    reviewed_by: String,
    #[serde(default)]
    resolved: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoredCollision<'b> {
    id: &'b str,
    entry: &'static str,
    primary_asset_id: &'b str,
    conflicting_asset_id: &'b str,
    similarity_scores: &'b RawValue,
    conflict_type: &'b RawValue,
    lineage_diff: &'b RawValue,
    created_at: Moment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoredReview<'b> {
    id: &'b str,
    entry: &'static str,
    collision_id: &'b str,
    review_number: usize,
    label: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'b str>,
    reviewed_by: &'b str,
    reviewed_at: &'b Moment,
    resolved: bool,
    created_at: &'b Moment,
}

impl NewCollision<'_> {
    /// The entry of this collision.
    pub fn entry(&self, id: &str, now: Timestamp) -> Result<NewDocument> {
        for (pointer, value) in [
            ("/similarityScores", self.similarity_scores),
            ("/conflictType", self.conflict_type),
            ("/lineageDiff", self.lineage_diff),
        ] {
            if value.get() == "null" {
                return Err(invalid(pointer, "expected any JSON but null"));
            }
        }
        if self.primary_asset_id == self.conflicting_asset_id {
            let detail = format!("expected another asset than the primary one, got {:?} again", self.primary_asset_id);
            return Err(invalid("/conflictingAssetId", detail));
        }
        entry(&StoredCollision {
            id,
            entry: "collision",
            primary_asset_id: &self.primary_asset_id,
            conflicting_asset_id: &self.conflicting_asset_id,
            similarity_scores: self.similarity_scores,
            conflict_type: self.conflict_type,
            lineage_diff: self.lineage_diff,
            created_at: Moment::at(now),
        })
    }
}

impl NewReview {
    /// The entry of this review of a collision, which has so many.
    pub fn entry(&self, id: &str, collision: &str, reviews: usize, now: Timestamp) -> Result<NewDocument> {
        if !LABELS.contains(&self.label.as_str()) {
            let known = LABELS.join(", ");
            return Err(invalid("/label", format!("expected one of {known}, got {:?}", shortened(&self.label))));
        }
        let characters = self.notes.as_deref().map_or(0, |notes| notes.chars().count());
        if characters > NOTES_MAX_CHARACTERS {
            let detail = format!("expected at most {NOTES_MAX_CHARACTERS} characters, got {characters}");
            return Err(invalid("/notes", detail));
        }
        let reviewer = self.reviewed_by.chars().count();
        if !(1..=REVIEWER_MAX_CHARACTERS).contains(&reviewer) {
            let detail = format!("expected 1 to {REVIEWER_MAX_CHARACTERS} characters, got {reviewer}");
            return Err(invalid("/reviewedBy", detail));
        }
        let now = Moment::at(now);
        entry(&StoredReview {
            id,
            entry: "review",
            collision_id: collision,
            review_number: reviews.saturating_add(1),
            label: &self.label,
            notes: self.notes.as_deref().filter(|notes| !notes.is_empty()),
            reviewed_by: &self.reviewed_by,
            reviewed_at: &now,
            resolved: self.resolved,
            created_at: &now,
        })
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn entry(stored: &impl Serialize) -> Result<NewDocument> {
    let internal = || {
        let message = "expected an entry to become JSON";
        StorageError::new(ErrorKind::Internal, StorageTier::Api, "make entry", message)
    };
    let text = serde_json::to_string(stored).map_err(|error| internal().caused_by(error))?;
    if text.len() > ENTRY_MAX_BYTES {
        let message = format!(
            "expected an entry of the collision log to have at most {ENTRY_MAX_BYTES} bytes, got {}",
            text.len()
        );
        return Err(StorageError::new(ErrorKind::TooLarge, StorageTier::Api, "make entry", message));
    }
    NewDocument::read(&text, None, || Err(internal()))
}

/// A collision as it is stored.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadCollision<'d> {
    #[serde(rename(serialize = "collisionId"))]
    id: &'d str,
    #[serde(borrow)]
    primary_asset_id: &'d RawValue,
    #[serde(borrow)]
    conflicting_asset_id: &'d RawValue,
    #[serde(borrow)]
    similarity_scores: &'d RawValue,
    #[serde(borrow)]
    conflict_type: &'d RawValue,
    #[serde(borrow)]
    lineage_diff: &'d RawValue,
    #[serde(borrow)]
    created_at: &'d RawValue,
}

/// A review as it is stored and told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Bytes of its document.
    #[serde(skip)]
    pub bytes: usize,
    /// Its place among the collision's reviews, from 1 on.
    #[serde(rename = "reviewNumber", skip_serializing)]
    pub number: usize,
    /// What the reviewer found.
    pub label: String,
    notes: Option<String>,
    reviewed_by: String,
    reviewed_at: String,
    resolved: bool,
}

impl Review {
    /// Of a document's text.
    pub fn of(document: &str) -> Result<Self> {
        let review: Self =
            serde_json::from_str(document).map_err(|error| super::records::not_a_record().caused_by(error))?;
        Ok(Self { bytes: document.len(), ..review })
    }
}

/// What follows from a collision's reviews.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'d> {
    tenant_id: &'d str,
    #[serde(flatten)]
    collision: ReadCollision<'d>,
    reviewer_label: Option<&'d str>,
    reviewer_notes: Option<&'d str>,
    reviewed_by: Option<&'d str>,
    reviewed_at: Option<&'d str>,
    resolved_at: Option<&'d str>,
    reviews: &'d [Review],
}

/// A collision as it is told: its fields, what its last review says, and all reviews, oldest first. It was resolved when the
/// first review of the last unbroken row of those that say so was made.
pub fn told(tenant: &str, document: &str, reviews: &[Review]) -> Result<Vec<u8>> {
    let not_a_record = super::records::not_a_record;
    let collision: ReadCollision<'_> =
        serde_json::from_str(document).map_err(|error| not_a_record().caused_by(error))?;
    let last = reviews.last();
    let resolved = reviews.iter().rev().take_while(|review| review.resolved).last();
    let told = Told {
        tenant_id: tenant,
        collision,
        reviewer_label: last.map(|review| review.label.as_str()),
        reviewer_notes: last.and_then(|review| review.notes.as_deref()),
        reviewed_by: last.map(|review| review.reviewed_by.as_str()),
        reviewed_at: last.map(|review| review.reviewed_at.as_str()),
        resolved_at: resolved.map(|review| review.reviewed_at.as_str()),
        reviews,
    };
    serde_json::to_vec(&told).map_err(|error| not_a_record().caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(text: &str) -> Result<NewDocument> {
        serde_json::from_str::<NewReview>(text).unwrap().entry("r1", "c1", 0, 0)
    }

    #[test]
    fn a_review_is_kept_as_it_is_or_refused() {
        let entry = review(r#"{"label":"suspicious","reviewedBy":"a.b@c.example"}"#).unwrap();
        assert!(entry.text.contains(r#""reviewedBy":"a.b@c.example""#), "{}", entry.text);
        let notes =
            |characters| format!(r#"{{"label":"suspicious","reviewedBy":"a","notes":"{}"}}"#, "ü".repeat(characters));
        assert!(review(&notes(1_000)).is_ok());
        assert_eq!(review(&notes(1_001)).unwrap_err().fields()[0].pointer, "/notes");
        let error = review(r#"{"label":"fine","reviewedBy":"a"}"#).unwrap_err();
        assert_eq!(
            error.fields()[0].detail,
            r#"expected one of benign_variant, suspicious, not_similar, false_positive, got "fine""#
        );
        assert_eq!(review(r#"{"label":"suspicious","reviewedBy":""}"#).unwrap_err().fields()[0].pointer, "/reviewedBy");
    }

    #[test]
    fn the_last_review_is_what_is_thought_of_a_collision() {
        let collision: NewCollision<'_> = serde_json::from_str(
            r#"{"primaryAssetId":"a","conflictingAssetId":"b","similarityScores":{"pdq":3},"conflictType":"copy","lineageDiff":[]}"#,
        )
        .unwrap();
        let entry = collision.entry("c1", 0).unwrap();
        let reviews: Vec<Review> = [(1, "suspicious", true), (2, "not_similar", true), (3, "benign_variant", true)]
            .iter()
            .map(|(at, label, resolved)| {
                let text = format!(r#"{{"label":"{label}","reviewedBy":"r","resolved":{resolved}}}"#);
                let new: NewReview = serde_json::from_str(&text).unwrap();
                Review::of(&new.entry(&format!("r{at}"), "c1", usize::try_from(*at).unwrap(), *at).unwrap().text)
                    .unwrap()
            })
            .collect();
        let told = |reviews: &[Review]| -> serde_json::Value {
            serde_json::from_slice(&told("acme", &entry.text, reviews).unwrap()).unwrap()
        };
        let all = told(&reviews);
        assert_eq!((all["reviewerLabel"].as_str(), all["collisionId"].as_str()), (Some("benign_variant"), Some("c1")));
        assert_eq!(all["resolvedAt"], "1970-01-01T00:00:00.001Z");
        assert_eq!(all["reviews"].as_array().unwrap().len(), 3);
        assert_eq!(told(&[])["reviewerLabel"], serde_json::Value::Null);
    }

    #[test]
    fn collisions_that_cannot_be_are_refused() {
        let read = |text: &str| {
            let collision: NewCollision<'_> = serde_json::from_str(text).unwrap();
            collision.entry("c1", 0)
        };
        let text = r#"{"primaryAssetId":"a","conflictingAssetId":"b","similarityScores":{},"conflictType":"copy","lineageDiff":[]}"#;
        assert_eq!(read(&text.replace("{}", "null")).unwrap_err().fields()[0].pointer, "/similarityScores");
        assert_eq!(read(&text.replace("\"b\"", "\"a\"")).unwrap_err().fields()[0].pointer, "/conflictingAssetId");
        let large = text.replace("copy", &"x".repeat(ENTRY_MAX_BYTES));
        assert_eq!(read(&large).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
