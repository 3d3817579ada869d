//! Assets.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Moment, document, invalid};
use crate::error::Result;
use crate::hot::document::NewDocument;
use crate::registry::similarity::PdqHash;
use crate::types::json::{pointer_token, write_string};
use crate::types::time::rfc3339;
use crate::types::{Json, Timestamp, whole};

/// The status of an asset that names none.
const DEFAULT_STATUS: &str = "pending";
/// What of an asset may be changed.
const CHANGEABLE: [&str; 8] =
    ["manifestUrl", "imageUrl", "contentType", "fileSize", "uploadedAt", "processedAt", "status", "metadata"];

/// An asset as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewAsset<'b> {
    /// Its id, unique in the tenant.
    pub asset_id: String,
    /// The tenant, which the path names; it may be said again.
    pub tenant_id: Option<String>,
    manifest_url: String,
    image_url: String,
    content_type: String,
    #[serde(deserialize_with = "whole::required")]
    file_size: i64,
    uploaded_at: Option<Moment>,
    processed_at: Option<Moment>,
    status: Option<String>,
    #[serde(borrow)]
    metadata: Option<&'b RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'b> {
    id: &'b str,
    metadata_id: &'b str,
    manifest_url: &'b str,
    image_url: &'b str,
    content_type: &'b str,
    file_size: i64,
    uploaded_at: &'b Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<&'b Moment>,
    status: &'b str,
    metadata: &'b RawValue,
    created_at: &'b Moment,
    updated_at: &'b Moment,
}

impl NewAsset<'_> {
    /// The document of this asset of a tenant.
    pub fn document(&self, tenant: &str, metadata_id: &str, now: Timestamp) -> Result<NewDocument> {
        if let Some(other) = self.tenant_id.as_deref().filter(|other| *other != tenant) {
            return Err(invalid("/tenantId", format!("expected the tenant of the path, {tenant:?}, got {other:?}")));
        }
        let now = Moment::at(now);
        document(
            &self.asset_id,
            &Stored {
                id: &self.asset_id,
                metadata_id,
                manifest_url: &self.manifest_url,
                image_url: &self.image_url,
                content_type: &self.content_type,
                file_size: self.file_size,
                uploaded_at: self.uploaded_at.as_ref().unwrap_or(&now),
                processed_at: self.processed_at.as_ref(),
                status: self.status.as_deref().unwrap_or(DEFAULT_STATUS),
                metadata: self.metadata.unwrap_or(empty_object()),
                created_at: &now,
                updated_at: &now,
            },
        )
    }
}

/// The id of an asset that is known by its hash alone.
pub fn asset_id_of_hash(hash: PdqHash) -> String {
    format!("pdq-{hash}")
}

/// The document of an asset that is known by its hash alone.
pub fn asset_of_hash(hash: PdqHash, metadata_id: &str, now: Timestamp) -> Result<NewDocument> {
    let (id, urn, now) = (asset_id_of_hash(hash), format!("urn:pdq:{hash}"), Moment::at(now));
    document(
        &id,
        &Stored {
            id: &id,
            metadata_id,
            manifest_url: &urn,
            image_url: &urn,
            content_type: "application/octet-stream",
            file_size: 0,
            uploaded_at: &now,
            processed_at: None,
            status: DEFAULT_STATUS,
            metadata: serde_json::from_str("{\"source\":\"import\"}").unwrap_or(RawValue::NULL),
            created_at: &now,
            updated_at: &now,
        },
    )
}

/// `{}`
fn empty_object() -> &'static RawValue {
    // Text that is JSON by its looks: this cannot fail, and null would be refused by the column.
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

/// The merge patch (RFC 7396) that a change of an asset is, with the time of the change.
pub fn asset_patch(text: &str, now: Timestamp) -> Result<String> {
    let body = Json::parse(text)?;
    let Json::Object(members) = &body else {
        return Err(invalid("", format!("expected an object, got {}", body.kind())));
    };
    let mut patch = String::from("{");
    for (name, value) in members {
        if !CHANGEABLE.contains(&name.as_ref()) {
            let pointer = format!("/{}", pointer_token(name));
            return Err(invalid(&pointer, format!("expected one of {}, got another key", CHANGEABLE.join(", "))));
        }
        write_string(name, &mut patch);
        patch.push(':');
        match (name.as_ref(), value) {
            // A moment may come as a number.
            ("uploadedAt" | "processedAt", Json::Number(number)) => {
                let moment: Moment =
                    serde_json::from_str(number).map_err(|error| invalid(&format!("/{name}"), error.to_string()))?;
                patch.push_str(&serde_json::json!(moment).to_string());
            }
            _ => value.write(&mut patch),
        }
        patch.push(',');
    }
    patch.push_str("\"updatedAt\":");
    write_string(&rfc3339(now), &mut patch);
    patch.push('}');
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_767_225_600_123;

    fn read(text: &str) -> Result<String> {
        let asset: NewAsset<'_> = serde_json::from_str(text).unwrap();
        asset.document("acme", "m1", NOW).map(|document| document.text.to_string())
    }

    #[test]
    fn an_asset_becomes_a_document_under_its_id() {
        let text = read(
            r#"{"assetId":"a1","manifestUrl":"https://m","imageUrl":"https://i","contentType":"image/png","fileSize":5,"uploadedAt":1767225600000,"metadata":{"b": 1}}"#,
        );
        assert_eq!(
            text.unwrap(),
            r#"{"id":"a1","metadataId":"m1","manifestUrl":"https://m","imageUrl":"https://i","contentType":"image/png","fileSize":5,"uploadedAt":"2026-01-01T00:00:00.000Z","status":"pending","metadata":{"b": 1},"createdAt":"2026-01-01T00:00:00.123Z","updatedAt":"2026-01-01T00:00:00.123Z"}"#
        );
    }

    #[test]
    fn another_tenant_is_refused() {
        let text =
            r#"{"assetId":"a1","tenantId":"other","manifestUrl":"m","imageUrl":"i","contentType":"c","fileSize":5}"#;
        assert_eq!(read(text).unwrap_err().fields()[0].pointer, "/tenantId");
        assert!(read(&text.replace("other", "acme")).unwrap().contains("\"metadata\":{}"));
    }

    #[test]
    fn a_change_names_what_may_be_changed() {
        let patch = asset_patch(r#"{"status":"done","processedAt":1767225600000,"metadata":{"a":null}}"#, NOW).unwrap();
        assert_eq!(
            patch,
            r#"{"status":"done","processedAt":"2026-01-01T00:00:00.000Z","metadata":{"a":null},"updatedAt":"2026-01-01T00:00:00.123Z"}"#
        );
        for (body, pointer) in [
            (r#"{"assetId":"x"}"#, "/assetId"),
            (r#"{"createdAt":"x"}"#, "/createdAt"),
            (r#"{"processedAt":-1}"#, "/processedAt"),
            ("[]", ""),
        ] {
            assert_eq!(asset_patch(body, NOW).unwrap_err().fields()[0].pointer, pointer, "{body}");
        }
    }
}
