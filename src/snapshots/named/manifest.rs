//! The manifest of a named snapshot: everything that is needed to read it, as one object of the bucket.
//!
//! JSON with a `format`; a newer one is refused. Its SHA-256 is told with the snapshot, and it tells the xxHash64 of each
//! file, so that a restore proves every byte. It names its parent by key and digest: a chain is read from the bucket
//! alone, by any object.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cold::DataFile;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::CollectionDefinition;
use crate::ports::ObjectStore;
use crate::types::names::ObjectName;
use crate::types::snapshot::SnapshotType;
use crate::types::{Sequence, StorageTier, Timestamp};
use crate::vortex::TableSchema;

/// The version of the stored form.
const FORMAT: u32 = 1;
/// The root of all manifests in the bucket.
const ROOT: &str = "snapshots";

/// Where a manifest is, and what its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestReference {
    /// Its key in the bucket.
    pub key: String,
    /// `sha256:` and the hexadecimal digest.
    pub checksum: String,
}

/// A collection that there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestCollection {
    /// Its name.
    pub name: String,
    /// What was declared of it.
    pub definition: CollectionDefinition,
}

/// The files of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestTable {
    /// The collection's name.
    pub name: String,
    /// The Iceberg snapshot that these files are of.
    pub iceberg_snapshot_id: i64,
    /// The columns of a state table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<TableSchema>,
    /// Its files. Of an incremental snapshot those of the change log that have events after the parent.
    pub files: Vec<DataFile>,
}

/// What a named snapshot pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The snapshot's id.
    pub id: Uuid,
    /// The type of the object that it is of.
    pub doc_type: String,
    /// The object's id.
    pub doc_id: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub snapshot_type: SnapshotType,
    /// When it was made, in Unix ms.
    pub timestamp: Timestamp,
    /// Its version.
    pub version: i64,
    /// The event after which it is the state.
    pub sequence: Sequence,
    /// The event up to which the parent tells; of incremental ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Sequence>,
    /// The parent's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ManifestReference>,
    /// The collections that there were.
    pub collections: Vec<ManifestCollection>,
    /// The tables.
    pub tables: Vec<ManifestTable>,
}

/// What distinguishes a manifest from others of the object.
pub struct ManifestHead {
    /// The snapshot's id.
    pub id: Uuid,
    /// What it holds.
    pub snapshot_type: SnapshotType,
    /// When it was made, in Unix ms.
    pub timestamp: Timestamp,
    /// Its version.
    pub version: i64,
    /// The event after which it is the state.
    pub sequence: Sequence,
}

impl Manifest {
    /// A manifest without parent, collections and tables.
    pub fn new(object: &ObjectName, head: ManifestHead) -> Self {
        Self {
            format: FORMAT,
            id: head.id,
            doc_type: object.doc_type.clone(),
            doc_id: object.doc_id.clone(),
            snapshot_type: head.snapshot_type,
            timestamp: head.timestamp,
            version: head.version,
            sequence: head.sequence,
            after: None,
            parent: None,
            collections: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            let message = "expected a manifest to become JSON";
            StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write manifest", message).caused_by(error)
        })
    }

    /// Reads a manifest from the bucket, proved by its digest.
    pub async fn read(objects: &dyn ObjectStore, reference: &ManifestReference) -> Result<Self> {
        let found = objects.get(&reference.key, None).await?;
        let found = found
            .ok_or_else(|| corrupt(format!("expected the manifest {} in the bucket, got no object", reference.key)))?;
        if checksum(&found.bytes) != reference.checksum {
            return Err(corrupt(format!(
                "expected {} to have the digest that is on record, got another",
                reference.key
            )));
        }
        let unknown =
            || corrupt(format!("expected {} to be a manifest of a known format, got other text", reference.key));
        let text = std::str::from_utf8(&found.bytes).map_err(|error| unknown().caused_by(error))?;
        let manifest: Self = serde_json::from_str(text).map_err(|error| unknown().caused_by(error))?;
        if manifest.format != FORMAT {
            return Err(corrupt(format!("expected a manifest of format {FORMAT}, got {}", manifest.format)));
        }
        Ok(manifest)
    }
}

/// The key of a snapshot's manifest.
pub fn key(object: &ObjectName, id: Uuid) -> String {
    format!("{ROOT}/{}/{id}.json", object.path())
}

/// `sha256:` and the hexadecimal digest of bytes.
pub fn checksum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read snapshot", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_reads_back_and_a_newer_one_is_refused() {
        let text = r#"{"format":1,"id":"0192d3f0-0000-7000-8000-000000000000","docType":"demo","docId":"1","type":"incremental","timestamp":5,"version":2,"sequence":9,"after":3,"parent":{"key":"snapshots/demo/1/a.json","checksum":"sha256:00"},"collections":[{"name":"movies","definition":{"columns":[]}}],"tables":[{"name":"movies","icebergSnapshotId":7,"files":[]}]}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.to_bytes().unwrap(), text.as_bytes());
        let object = ObjectName::new("demo", "1").unwrap();
        assert_eq!(key(&object, manifest.id), "snapshots/demo/1/0192d3f0-0000-7000-8000-000000000000.json");
        assert_eq!(checksum(b"abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
