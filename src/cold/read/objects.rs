//! Objects of the bucket, fetched up to a size.

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::ObjectStore;
use crate::types::StorageTier;

/// The largest metadata file, manifest list or manifest that is read.
pub(super) const METADATA_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The largest data or delete file that is read: it is in memory whole.
pub(super) const DATA_FILE_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The bytes of an object of at most `most` bytes.
pub(super) async fn fetch(objects: &dyn ObjectStore, key: &str, most: u64) -> Result<Vec<u8>> {
    let found = objects.get(key, Some(0..most)).await.map_err(|error| error.during(OPERATION))?;
    let found = found.ok_or_else(|| unreadable(key, "an object of this table in the bucket, got none"))?;
    if u64::try_from(found.bytes.len()) != Ok(found.info.size) {
        return Err(unreadable(key, &format!("an object of at most {most} bytes, got {}", found.info.size)));
    }
    Ok(found.bytes)
}

const OPERATION: &str = "read table";

/// The error for an object that is not what the spec, or what refers to it, says.
pub(super) fn unreadable(key: &str, expected: &str) -> StorageError {
    let message = format!(
        "{key}: expected {expected}; the table's writer has to write it again, or the object has to be restored from a backup"
    );
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, OPERATION, message)
}
