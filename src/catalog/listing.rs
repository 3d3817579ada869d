//! What there is in the bucket: types, objects, tables, and a table's metadata as its version hint names it.
//!
//! Invariants: a table is one that has a version hint; a folder whose name no object or collection can have is not shown;
//! lists are bounded, and say where they go on.

use std::rc::Rc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::namespace::Namespace;
use crate::cold::paths::{ROOT, TablePath};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::ObjectFolders;
use crate::types::StorageTier;
use crate::types::names::{ObjectName, check_name};

/// Names of one answer, whatever was asked for.
const LIST_MAX_NAMES: usize = 10_000;
/// Tables of one answer: each is looked up, and the platform bounds the calls of a request to 1,000.
const LIST_MAX_TABLES: usize = 500;
/// Names of one call to the bucket.
const CALL_MAX_NAMES: u32 = 1_000;
/// Lookups at once: as many as the platform runs side by side.
const LOOKUPS_AT_ONCE: usize = 6;
/// Bytes of a version hint: more is none.
const HINT_MAX_BYTES: u64 = 32;
/// Bytes of a table's metadata.
const METADATA_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageRequest {
    /// All of it, as far as one answer goes.
    All,
    /// A page.
    Page {
        /// Names, at most.
        size: u32,
        /// The cursor of the page before.
        cursor: Option<String>,
    },
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Names, in order.
    pub names: Vec<String>,
    /// Where the list goes on.
    pub cursor: Option<String>,
}

/// A table as it was last published.
#[derive(Debug)]
pub struct LoadedTable {
    /// Where its metadata lies, as engines know it.
    pub metadata_location: String,
    /// The metadata, as it was written.
    pub metadata: Box<RawValue>,
}

/// The tables in a bucket.
pub struct Tables(Rc<dyn ObjectFolders>);

#[derive(Deserialize)]
struct Located {
    location: String,
}

impl Tables {
    /// The tables of a bucket.
    pub fn new(bucket: Rc<dyn ObjectFolders>) -> Self {
        Self(bucket)
    }

    /// The types of all objects that have tables.
    pub async fn types(&self, page: &PageRequest) -> Result<Page> {
        let mut listed = self.folders(ROOT, page, LIST_MAX_NAMES).await?;
        listed.names.retain(|name| check_name("type", name).is_ok());
        Ok(listed)
    }

    /// The ids of all objects of a type that have tables.
    pub async fn objects(&self, doc_type: &str, page: &PageRequest) -> Result<Page> {
        let mut listed = self.folders(&format!("{ROOT}/{doc_type}"), page, LIST_MAX_NAMES).await?;
        listed.names.retain(|name| check_name("id", name).is_ok());
        Ok(listed)
    }

    /// The tables of an object.
    pub async fn tables(&self, object: &ObjectName, page: &PageRequest) -> Result<Page> {
        let folder = Namespace::Object(object.clone()).folder();
        let Page { names, cursor } = self.folders(&folder, page, LIST_MAX_TABLES).await?;
        let known = stream::iter(names)
            .map(|name| async move {
                let Some(path) = TablePath::named(object, &name) else { return Ok(None) };
                Ok::<_, StorageError>(self.exists(&path).await?.then_some(name))
            })
            .buffered(LOOKUPS_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Page { names: known.into_iter().flatten().collect(), cursor })
    }

    /// Whether there is anything in a namespace.
    pub async fn has(&self, namespace: &Namespace) -> Result<bool> {
        let page = self.0.folders(&format!("{}/", namespace.folder()), 1, None).await?;
        Ok(!page.names.is_empty() || page.cursor.is_some())
    }

    /// Whether a table has been published.
    pub async fn exists(&self, table: &TablePath) -> Result<bool> {
        Ok(self.0.get(&table.version_hint(), Some(0..HINT_MAX_BYTES)).await?.is_some())
    }

    /// A table as it was last published; `None` when it never was.
    pub async fn load(&self, table: &TablePath) -> Result<Option<LoadedTable>> {
        // A version that the hint still names may be gone: the table has moved on since, and so has the hint.
        for _ in 0..2 {
            let Some(version) = self.version(table).await? else { return Ok(None) };
            let key = table.metadata(version);
            let Some(found) = self.0.get(&key, Some(0..METADATA_MAX_BYTES)).await? else { continue };
            if found.info.size > METADATA_MAX_BYTES {
                return Err(damaged(format!("expected {key} to have at most {METADATA_MAX_BYTES} bytes, got more")));
            }
            return loaded(found.bytes, table, &key).map(Some).ok_or_else(|| {
                damaged(format!("expected {key} to be the metadata of this table, got something else"))
            });
        }
        Err(damaged(format!("expected {} to name a version that is there, got one that is not", table.version_hint())))
    }

    async fn version(&self, table: &TablePath) -> Result<Option<i64>> {
        let key = table.version_hint();
        let Some(hint) = self.0.get(&key, Some(0..HINT_MAX_BYTES)).await? else { return Ok(None) };
        let version = std::str::from_utf8(&hint.bytes).ok().and_then(|text| text.trim().parse::<i64>().ok());
        match version {
            Some(version) if version > 0 => Ok(Some(version)),
            _ => Err(damaged(format!("expected {key} to be a version number, got something else"))),
        }
    }

    /// The folders below one, `max` at most.
    async fn folders(&self, folder: &str, page: &PageRequest, max: usize) -> Result<Page> {
        let prefix = format!("{folder}/");
        let call_max = u32::try_from(max).unwrap_or(CALL_MAX_NAMES).min(CALL_MAX_NAMES);
        if let PageRequest::Page { size, cursor } = page {
            let listed = self.0.folders(&prefix, (*size).clamp(1, call_max), cursor.as_deref()).await?;
            return Ok(Page { names: listed.names, cursor: listed.cursor });
        }
        let mut all = Page { names: Vec::new(), cursor: None };
        loop {
            let listed = self.0.folders(&prefix, call_max, all.cursor.as_deref()).await?;
            all.names.extend(listed.names);
            all.cursor = listed.cursor;
            if all.cursor.is_none() || all.names.len() >= max {
                return Ok(all);
            }
        }
    }
}

/// Metadata that says of another table where it lies would send engines there.
fn loaded(bytes: Vec<u8>, table: &TablePath, key: &str) -> Option<LoadedTable> {
    let text = String::from_utf8(bytes).ok()?;
    let Located { location } = serde_json::from_str(&text).ok()?;
    let base = location.strip_suffix(table.as_str()).filter(|base| base.ends_with('/'))?;
    let metadata = RawValue::from_string(text).ok()?;
    Some(LoadedTable { metadata_location: format!("{base}{key}"), metadata })
}

fn damaged(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read catalogue", message)
}
