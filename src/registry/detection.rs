//! What makes two near hashes a collision, and what is logged of it.
//!
//! Two assets collide when their hashes are within the distance that the tenant has set, both are of the quality that it has
//! set, and any of the members of their lineages that it compares is not the same. An absent member and a null one are the
//! same. Logged are
//!
//! - `similarityScores`: `pdqDistance`, how many of the 256 bits differ, and `pdqSimilarity`, the share of those that do not;
//! - `conflictType`: `kind`, which is `exact_copy` at distance 0 and else `near_copy`, and `differs`, the members that differ;
//! - `lineageDiff`: for each of those, `primary`'s value and `conflicting`'s; of a value of more than 1,024 bytes `bytes` and
//!   `sha256` instead.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::records::{invalid, not_a_record};
use super::similarity::bands;
use crate::error::Result;
use crate::types::Json;
use crate::types::json::write_string;

/// Collisions that one insert may log, whatever is configured.
const COLLISIONS_MAX: usize = 100;
/// Members that are compared.
const COMPARED_MAX: usize = 16;
/// Bytes of a member's value that an entry has as it is.
const VALUE_MAX_BYTES: usize = 1_024;
/// Bits of a hash.
const BITS: f64 = 256.0;

/// What a tenant has set of detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Detection {
    /// How many bits may differ.
    pub max_distance: u32,
    /// Hashes of less quality neither collide nor are collided with.
    pub min_quality: u8,
    /// At most so many collisions of one insert are logged: those of the nearest.
    pub collisions_max: usize,
    /// The members of the lineage that are compared.
    pub compare: Vec<String>,
}

impl Default for Detection {
    /// The radius at which PDQ hashes are held to be of the same image, and the quality below which they tell little.
    fn default() -> Self {
        Self {
            max_distance: bands::MAX_DISTANCE,
            min_quality: 50,
            collisions_max: 16,
            compare: vec!["issuerKeyId".to_owned(), "parentHash".to_owned()],
        }
    }
}

impl Detection {
    /// Refuses what cannot be set.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, detail: String| Err(invalid(&format!("/detection/{name}"), detail));
        if self.max_distance > bands::MAX_DISTANCE {
            let detail = format!("expected at most {}, got {}", bands::MAX_DISTANCE, self.max_distance);
            return refuse("maxDistance", detail);
        }
        if self.min_quality > 100 {
            return refuse("minQuality", format!("expected an integer from 0 to 100, got {}", self.min_quality));
        }
        if !(1..=COLLISIONS_MAX).contains(&self.collisions_max) {
            return refuse("collisionsMax", format!("expected 1 to {COLLISIONS_MAX}, got {}", self.collisions_max));
        }
        if self.compare.len() > COMPARED_MAX || self.compare.iter().any(|name| !(1..=255).contains(&name.len())) {
            return refuse("compare", format!("expected at most {COMPARED_MAX} names of 1 to 255 bytes"));
        }
        Ok(())
    }

    /// A record that others are compared with.
    pub fn comparing<'d>(&'d self, primary: &'d str) -> Result<Comparing<'d>> {
        Ok(Comparing { compare: &self.compare, primary: Json::parse(primary)? })
    }
}

/// A record whose lineage others' are compared with.
pub struct Comparing<'d> {
    compare: &'d [String],
    primary: Json<'d>,
}

impl Comparing<'_> {
    /// How the lineage of another record differs; `None` when it does not.
    pub fn difference(&self, conflicting: &str) -> Result<Option<Difference>> {
        let conflicting = Json::parse(conflicting)?;
        let lineages = [lineage(&self.primary)?, lineage(&conflicting)?];
        let mut differs = Vec::new();
        let mut text = String::from("{");
        for name in self.compare {
            let [one, other] = lineages.map(|lineage| lineage.get(name).unwrap_or(&Json::Null));
            if one.same(other) {
                continue;
            }
            if !differs.is_empty() {
                text.push(',');
            }
            write_string(name, &mut text);
            text.push_str(":{\"primary\":");
            write_value(one, &mut text);
            text.push_str(",\"conflicting\":");
            write_value(other, &mut text);
            text.push('}');
            differs.push(name.clone());
        }
        text.push('}');
        Ok((!differs.is_empty()).then_some(Difference { differs, lineage_diff: text }))
    }
}

/// Writes a value; of a long one how long it is, and its digest: an entry of the log has to have room for all.
fn write_value(value: &Json<'_>, out: &mut String) {
    let text = value.to_text();
    if text.len() <= VALUE_MAX_BYTES {
        out.push_str(&text);
        return;
    }
    out.push_str(&format!("{{\"bytes\":{},\"sha256\":\"", text.len()));
    for byte in Sha256::digest(text.as_bytes()) {
        out.push_str(&format!("{byte:02x}"));
    }
    out.push_str("\"}");
}

fn lineage<'d, 'j>(record: &'d Json<'j>) -> Result<&'d Json<'j>> {
    record.get("manifestLineage").ok_or_else(not_a_record)
}

/// How two lineages differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The members.
    pub differs: Vec<String>,
    /// Their values, as JSON text.
    pub lineage_diff: String,
}

impl Difference {
    /// The collision of two assets, as it would be sent.
    pub fn collision(&self, primary: &str, conflicting: &str, distance: u32) -> String {
        let kind = if distance == 0 { "exact_copy" } else { "near_copy" };
        let similarity = 1.0 - f64::from(distance) / BITS;
        let mut text = String::from("{\"primaryAssetId\":");
        write_string(primary, &mut text);
        text.push_str(",\"conflictingAssetId\":");
        write_string(conflicting, &mut text);
        let scores = serde_json::json!({"pdqDistance": distance, "pdqSimilarity": similarity});
        let conflict = serde_json::json!({"kind": kind, "differs": self.differs});
        text.push_str(&format!(
            ",\"similarityScores\":{scores},\"conflictType\":{conflict},\"lineageDiff\":{}}}",
            self.lineage_diff
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lineages_differ_by_the_members_that_are_compared() {
        let record = |lineage: &str| format!(r#"{{"id":"a","manifestLineage":{lineage}}}"#);
        let difference = |one: &str, other: &str| {
            Detection::default().comparing(&record(one)).unwrap().difference(&record(other)).unwrap()
        };
        assert_eq!(difference("{}", r#"{"issuerKeyId":null}"#), None);
        assert_eq!(difference(r#"{"issuerKeyId":"k","title":"x"}"#, r#"{"issuerKeyId":"k"}"#), None);
        let found = difference(r#"{"issuerKeyId":"k","parentHash":"p"}"#, r#"{"issuerKeyId":"l"}"#).unwrap();
        assert_eq!(found.differs, ["issuerKeyId", "parentHash"]);
        assert_eq!(
            found.lineage_diff,
            r#"{"issuerKeyId":{"primary":"k","conflicting":"l"},"parentHash":{"primary":"p","conflicting":null}}"#
        );
        let sent: serde_json::Value = serde_json::from_str(&found.collision("a", "b", 64)).unwrap();
        assert_eq!(sent["similarityScores"], serde_json::json!({"pdqDistance": 64, "pdqSimilarity": 0.75}));
        assert_eq!(sent["conflictType"]["kind"], "near_copy");
        assert_eq!(sent["lineageDiff"]["parentHash"]["conflicting"], serde_json::Value::Null);
        let long = difference(&format!(r#"{{"parentHash":"{}"}}"#, "p".repeat(61_440)), "{}").unwrap();
        let sent: serde_json::Value = serde_json::from_str(&long.lineage_diff).unwrap();
        assert_eq!(sent["parentHash"]["primary"]["bytes"], 61_442);
        assert_eq!(sent["parentHash"]["primary"]["sha256"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        let pointer = |text: &str| {
            let detection: Detection = serde_json::from_str(text).unwrap();
            detection.check().err().map(|error| error.fields()[0].pointer.clone())
        };
        assert_eq!(pointer("{}"), None);
        assert_eq!(pointer(r#"{"maxDistance":32}"#).as_deref(), Some("/detection/maxDistance"));
        assert_eq!(pointer(r#"{"minQuality":101}"#).as_deref(), Some("/detection/minQuality"));
        assert_eq!(pointer(r#"{"collisionsMax":0}"#).as_deref(), Some("/detection/collisionsMax"));
        assert_eq!(pointer(r#"{"compare":[""]}"#).as_deref(), Some("/detection/compare"));
    }
}
