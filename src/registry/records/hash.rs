//! Hash records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

use super::{Moment, document, invalid, not_a_record};
use crate::error::Result;
use crate::hot::document::NewDocument;
use crate::registry::embeddings::{DIMENSION_MAX, check_vector};
use crate::registry::similarity::PdqHash;
use crate::types::{Json, Timestamp, whole};

/// Members of the lineage that are looked up, each a text, null or absent.
const LINEAGE_KEYS: [&str; 2] = ["issuerKeyId", "parentHash"];

/// A hash record as it is sent, without its asset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HashBody<'b> {
    /// Its asset, where the request does not say so elsewhere.
    pub asset_id: Option<String>,
    pdq_hash: String,
    #[serde(deserialize_with = "whole::required")]
    pdq_quality: i64,
    #[serde(borrow)]
    ensemble_hashes: Option<&'b RawValue>,
    embedding_id: Option<String>,
    embedding: Option<Vec<f32>>,
    embedding_confidence: Option<Number>,
    #[serde(borrow)]
    manifest_lineage: &'b RawValue,
}

/// A hash record of an asset.
pub struct NewHash {
    /// Its document.
    pub document: NewDocument,
    /// The hash.
    pub hash: PdqHash,
    /// Its quality.
    pub quality: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'b> {
    id: &'b str,
    hash_id: &'b str,
    pdq_hash: String,
    pdq_quality: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    ensemble_hashes: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_id: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_confidence: Option<&'b Number>,
    manifest_lineage: &'b RawValue,
    created_at: &'b Moment,
    updated_at: &'b Moment,
}

/// What a hash record has beside its hash, where all of it is not sent.
pub struct HashFields {
    /// The asset.
    pub asset_id: String,
    /// The hash.
    pub hash: PdqHash,
    /// Its quality.
    pub quality: u8,
}

impl HashFields {
    /// The record of this hash, of which nothing else is known.
    pub fn record(&self, hash_id: &str, now: Timestamp) -> Result<NewHash> {
        let now = Moment::at(now);
        let lineage = serde_json::from_str("{}").unwrap_or(RawValue::NULL);
        let document = document(
            &self.asset_id,
            &Stored {
                id: &self.asset_id,
                hash_id,
                pdq_hash: self.hash.to_string(),
                pdq_quality: self.quality,
                ensemble_hashes: None,
                embedding_id: None,
                embedding: None,
                embedding_confidence: None,
                manifest_lineage: lineage,
                created_at: &now,
                updated_at: &now,
            },
        )?;
        Ok(NewHash { document, hash: self.hash, quality: self.quality })
    }
}

impl HashBody<'_> {
    /// The record of this hash. `asset` is the asset that the request names elsewhere.
    pub fn record(&self, asset: Option<&str>, hash_id: &str, now: Timestamp) -> Result<NewHash> {
        let asset = match (self.asset_id.as_deref(), asset) {
            (Some(own), Some(other)) if own != other => {
                return Err(invalid("/assetId", format!("expected the asset of the request, {other:?}, got {own:?}")));
            }
            (Some(asset), _) | (None, Some(asset)) => asset,
            (None, None) => return Err(invalid("/assetId", "expected the id of an asset, got none")),
        };
        let hash = read_hash("/pdqHash", &self.pdq_hash)?;
        let quality = u8::try_from(self.pdq_quality).ok().filter(|quality| *quality <= 100);
        let quality = quality.ok_or_else(|| {
            invalid("/pdqQuality", format!("expected an integer from 0 to 100, got {}", self.pdq_quality))
        })?;
        check_lineage(self.manifest_lineage.get())?;
        let now = Moment::at(now);
        let embedding = self.embedding.as_deref().map(embedding_text).transpose()?;
        let document = document(
            asset,
            &Stored {
                id: asset,
                hash_id,
                pdq_hash: hash.to_string(),
                pdq_quality: quality,
                ensemble_hashes: self.ensemble_hashes,
                embedding_id: self.embedding_id.as_deref(),
                embedding,
                embedding_confidence: self.embedding_confidence.as_ref(),
                manifest_lineage: self.manifest_lineage,
                created_at: &now,
                updated_at: &now,
            },
        )?;
        Ok(NewHash { document, hash, quality })
    }
}

/// A hash of 64 hexadecimal digits, in either case.
pub fn read_hash(pointer: &str, text: &str) -> Result<PdqHash> {
    PdqHash::from_hex(text).ok_or_else(|| {
        let got = if text.len() == 64 { "other characters".to_owned() } else { format!("{} bytes", text.len()) };
        invalid(pointer, format!("expected 64 hexadecimal digits, got {got}"))
    })
}

fn check_lineage(text: &str) -> Result<()> {
    let lineage = Json::parse(text)?;
    if !matches!(lineage, Json::Object(_)) {
        return Err(invalid("/manifestLineage", format!("expected an object, got {}", lineage.kind())));
    }
    for key in LINEAGE_KEYS {
        match lineage.get(key) {
            None | Some(Json::Null | Json::String(_)) => {}
            Some(other) => {
                let pointer = format!("/manifestLineage/{key}");
                return Err(invalid(&pointer, format!("expected a string or null, got {}", other.kind())));
            }
        }
    }
    Ok(())
}

/// 32-bit floats, little endian, as base64.
fn embedding_text(embedding: &[f32]) -> Result<String> {
    let pointer = "/embedding";
    if !(1..=DIMENSION_MAX).contains(&embedding.len()) {
        let got = embedding.len();
        return Err(invalid(pointer, format!("expected 1 to {DIMENSION_MAX} numbers, got {got}")));
    }
    check_vector(embedding, embedding.len()).map_err(|error| {
        // It names the component, if it is about one.
        let place = error.fields().first().map_or("", |field| field.pointer.as_str());
        invalid(&format!("{pointer}{place}"), error.message())
    })?;
    let bytes: Vec<u8> = embedding.iter().flat_map(|number| number.to_le_bytes()).collect();
    Ok(STANDARD.encode(bytes))
}

/// The embedding of a hash record, or of a patch of one, if it has one; refused when it is none.
pub fn embedding(document: &str) -> Result<Option<Vec<f32>>> {
    #[derive(Deserialize)]
    struct Fields {
        embedding: Option<String>,
    }
    let refused = || invalid("/embedding", "expected 32-bit floats, little-endian, in Base64, got something else");
    let fields: Fields = serde_json::from_str(document).map_err(|_| refused())?;
    let Some(text) = fields.embedding else { return Ok(None) };
    let bytes = STANDARD.decode(text).map_err(|_| refused())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        return Ok(Some(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()));
    }
    Err(refused())
}

/// The embedding of a stored hash record, if it has one that can be read.
pub fn stored_embedding(document: &str) -> Option<Vec<f32>> {
    embedding(document).ok().flatten()
}

/// What a search needs of a stored hash record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredHash {
    /// The hash.
    pub hash: PdqHash,
    /// Its quality.
    pub quality: u8,
}

impl StoredHash {
    /// Of a document's text.
    pub fn of(document: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            // Its text may have escapes: it is kept as it was sent.
            pdq_hash: String,
            pdq_quality: u8,
        }
        let fields: Fields = serde_json::from_str(document).map_err(|error| not_a_record().caused_by(error))?;
        let hash = PdqHash::from_hex(&fields.pdq_hash).ok_or_else(not_a_record)?;
        Ok(Self { hash, quality: fields.pdq_quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "F8F8F0CCE0F4E84D0E370A22028F67F0B36E2ED596623E1D33E6B39C4E9C9B22";

    fn read(text: &str, asset: Option<&str>) -> Result<NewHash> {
        serde_json::from_str::<HashBody<'_>>(text).unwrap().record(asset, "h1", 0)
    }

    fn body(more: &str) -> String {
        format!(r#"{{"pdqHash":"{HEX}","pdqQuality":100,"manifestLineage":{{"issuerKeyId":"k"}}{more}}}"#)
    }

    #[test]
    fn a_record_has_its_hash_in_lower_case_and_is_read_back() {
        let record = read(&body(r#","embedding":[1.0,-2.5]"#), Some("a1")).unwrap();
        assert!(record.document.text.contains(&HEX.to_lowercase()), "{}", record.document.text);
        assert!(record.document.text.contains(r#""embedding":"AACAPwAAIMA=""#), "{}", record.document.text);
        assert_eq!(stored_embedding(&record.document.text), Some(vec![1.0, -2.5]));
        assert_eq!(stored_embedding(r#"{"embedding":"AACA"}"#), None);
        assert_eq!(embedding(r#"{"embedding":"AACAPw=="}"#).unwrap(), Some(vec![1.0]));
        assert_eq!(embedding(r#"{"embedding":"\u0041ACAPw=="}"#).unwrap(), Some(vec![1.0]));
        assert_eq!(embedding(r#"{"embedding":null}"#).unwrap(), None);
        for bad in [r#""AACA""#, r#""A A=""#, "5", "[1]"] {
            let error = embedding(&format!("{{\"embedding\":{bad}}}")).unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/embedding", "{bad}");
        }
        let stored = StoredHash::of(&record.document.text).unwrap();
        assert_eq!(stored, StoredHash { hash: PdqHash::from_hex(HEX).unwrap(), quality: 100 });
        let escaped = record.document.text.replacen("f8f8", "\\u00668f8", 1);
        assert_eq!(StoredHash::of(&escaped).unwrap(), stored);
        assert_eq!(StoredHash::of("{}").unwrap_err().kind(), crate::error::ErrorKind::Corrupt);
    }

    #[test]
    fn what_cannot_be_a_record_is_refused_with_its_place() {
        let cases = [
            (body("").replacen('F', "", 1), "/pdqHash"),
            (body("").replace(HEX, &format!("{HEX}0")), "/pdqHash"),
            (body("").replace(HEX, &HEX.replace('F', "G")), "/pdqHash"),
            (body("").replace("100", "101"), "/pdqQuality"),
            (body("").replace("100", "-1"), "/pdqQuality"),
            (body("").replace("\"k\"", "5"), "/manifestLineage/issuerKeyId"),
            (body("").replace("{\"issuerKeyId\":\"k\"}", "[]"), "/manifestLineage"),
            (body(r#","assetId":"b""#), "/assetId"),
            (body(r#","embedding":[]"#), "/embedding"),
            (body(r#","embedding":[0,0]"#), "/embedding"),
            (body(r#","embedding":[1e-30]"#), "/embedding"),
        ];
        for (text, pointer) in cases {
            let error = read(&text, Some("a1")).err().unwrap();
            assert_eq!(error.fields()[0].pointer, pointer, "{text}");
        }
        assert_eq!(read(&body(""), None).err().unwrap().fields()[0].pointer, "/assetId");
    }
}
