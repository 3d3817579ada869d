//! A folder of files as a bucket that can only be read: what a copy of a bucket is, for tools.
//!
//! Keys are paths relative to the folder. A key that would leave it names no object.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{ObjectInfo, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StoredObject};
use crate::types::StorageTier;

/// A folder that holds a bucket's objects under their keys.
#[derive(Clone, Debug)]
pub struct FolderBucket(PathBuf);

impl FolderBucket {
    /// The bucket in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        let relative = Path::new(key);
        let inside = relative.components().all(|component| matches!(component, Component::Normal(_)));
        (inside && !key.is_empty()).then(|| self.0.join(relative))
    }
}

#[async_trait(?Send)]
impl ObjectStore for FolderBucket {
    async fn put(&self, _: &str, _: &[u8], _: PutCondition<'_>, _: &ObjectMetadata) -> Result<PutOutcome> {
        Err(read_only())
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        let Some(path) = self.path(key) else { return Ok(None) };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(failed(key, error)),
        };
        let metadata = file.metadata().map_err(|error| failed(key, error))?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let size = metadata.len();
        let Range { start, end } = range.unwrap_or(0..size);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(|error| failed(key, error))?;
        file.take(end.saturating_sub(start)).read_to_end(&mut bytes).map_err(|error| failed(key, error))?;
        // Nothing is written, so nothing is told apart by it.
        let info = ObjectInfo { etag: String::new(), size };
        Ok(Some(StoredObject { info, bytes }))
    }

    async fn delete(&self, _: &[String]) -> Result<()> {
        Err(read_only())
    }
}

fn read_only() -> StorageError {
    let message = "expected a folder only to be read, got a write; write to the bucket itself";
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "use folder as bucket", message)
}

fn failed(key: &str, error: std::io::Error) -> StorageError {
    let message = format!("expected to read {key} in the folder, got {error}");
    StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "get object", message).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;

    #[test]
    fn objects_are_the_files_below_the_folder() {
        let bucket = FolderBucket::new(env!("CARGO_MANIFEST_DIR"));
        let get = |key: &str, range| run(bucket.get(key, range)).done().unwrap().unwrap();
        let whole = get("src/lib.rs", None).unwrap();
        assert_eq!(u64::try_from(whole.bytes.len()), Ok(whole.info.size));
        let part = get("src/lib.rs", Some(2..6)).unwrap();
        assert_eq!((part.bytes.as_slice(), part.info.size), (&whole.bytes[2..6], whole.info.size));
        for none in ["", "src", "src/none.rs", "src/lib.rs/x", "../x", "/etc/passwd", "src/../Cargo.toml"] {
            assert!(get(none, None).is_none(), "{none}");
        }
        assert!(run(bucket.delete(&["src/lib.rs".to_owned()])).done().unwrap().is_err());
    }
}
