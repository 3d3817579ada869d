//! Assets and hash records: what callers send, and the documents that are made of it.

mod asset;
mod hash;
mod moment;

pub use asset::{NewAsset, asset_id_of_hash, asset_of_hash, asset_patch};
pub use hash::{HashBody, HashFields, NewHash, StoredHash, embedding, read_hash, stored_embedding};
pub use moment::Moment;

use serde::Serialize;

use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::document::NewDocument;
use crate::types::json::write_string;
use crate::types::{Json, StorageTier};

/// The document of a record.
fn document(id: &str, record: &impl Serialize) -> Result<NewDocument> {
    let text = serde_json::to_string(record).map_err(|error| {
        let message = "expected a record to become JSON";
        StorageError::new(ErrorKind::Internal, StorageTier::Api, "make record", message).caused_by(error)
    })?;
    NewDocument::read(&text, Some(id), || Ok(id.to_owned()))
}

/// A request that is well-formed but not valid, at one place.
pub fn invalid(pointer: &str, detail: impl Into<String>) -> StorageError {
    let message = "the request is well-formed but not valid; see errors";
    StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read record", message).at(pointer, detail)
}

/// A stored document as it is told: with its tenant, and its id by the name that it has in the registry.
pub fn told(tenant: &str, id_name: &str, document: &str, out: &mut String) -> Result<()> {
    let parsed = Json::parse(document)?;
    let Json::Object(members) = &parsed else { return Err(not_a_record()) };
    out.push_str("{\"tenantId\":");
    write_string(tenant, out);
    for (name, value) in members {
        // Fields of a document that nobody declared do not speak for the registry.
        if name == "tenantId" || name == id_name {
            continue;
        }
        out.push(',');
        write_string(if name == "id" { id_name } else { name }, out);
        out.push(':');
        value.write(out);
    }
    out.push('}');
    Ok(())
}

/// The error of a stored document that is no record.
pub fn not_a_record() -> StorageError {
    StorageError::new(
        ErrorKind::Corrupt,
        StorageTier::Hot,
        "read record",
        "expected a stored record, got another document",
    )
}
