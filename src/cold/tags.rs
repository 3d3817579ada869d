//! Named snapshots: Iceberg's tags (spec, "Snapshot References").
//!
//! A snapshot that a tag names is kept, with all that it reaches, until its last tag is removed.

use super::commit::{BuiltCommit, next_version, of_metadata, trim_schemas};
use super::invariants::check_retag;
use super::metadata::MAIN;
use super::retention::{Retention, expire};
use super::table::{TAGS_MAX, TableState};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{StorageTier, Timestamp};

/// Bytes of a tag's name, at most.
pub const TAG_MAX_BYTES: usize = 255;

/// Removes tags and then adds some, each with the id of the snapshot it names, at `now` (Unix ms). Makes the next version
/// of the metadata without a new snapshot: no objects but the metadata file and the hint, to be published as those of a
/// commit are. What only a removed tag kept expires by `retention`.
///
/// A tag that is there already is taken as added if it names that snapshot. Errors: `NotFound` for a tag to remove or a
/// snapshot that is not there, `Conflict` for a tag that names another snapshot, `Invalid` for a name that cannot be a
/// tag's, `TooLarge` beyond [`TAGS_MAX`] tags. Nothing has happened then.
pub fn retag(
    state: &TableState,
    add: &[(String, i64)],
    remove: &[String],
    now: Timestamp,
    retention: Retention,
) -> Result<BuiltCommit> {
    let mut next = next_version(state, now);
    for name in remove {
        if next.tags.remove(name).is_none() {
            return Err(refused(ErrorKind::NotFound, format!("expected a tag of this table to remove, got {name:?}")));
        }
    }
    for (name, snapshot_id) in add {
        add_tag(&mut next, name, *snapshot_id)?;
    }
    let garbage = expire(&mut next, state, retention);
    trim_schemas(&mut next);
    check_retag(state, &next, &garbage)?;
    of_metadata(next, garbage)
}

/// Adds a tag that names a snapshot of the state.
pub(super) fn add_tag(state: &mut TableState, name: &str, snapshot_id: i64) -> Result<()> {
    if name.is_empty() || name.len() > TAG_MAX_BYTES || name == MAIN || name.chars().any(char::is_control) {
        let message = format!(
            "expected a tag of 1 to {TAG_MAX_BYTES} bytes without control characters, other than {MAIN}, got {name:?}"
        );
        return Err(refused(ErrorKind::Invalid, message));
    }
    if !state.snapshots.iter().any(|snapshot| snapshot.snapshot_id == snapshot_id) {
        let message = format!("expected a snapshot that the table still has to be tagged {name:?}, got {snapshot_id}");
        return Err(refused(ErrorKind::NotFound, message));
    }
    match state.tags.get(name) {
        Some(known) if *known == snapshot_id => Ok(()),
        Some(known) => {
            let message = format!("expected a new tag, got {name:?}, which names snapshot {known}; remove it first");
            Err(refused(ErrorKind::Conflict, message))
        }
        None if state.tags.len() >= TAGS_MAX => {
            let message = format!("expected at most {TAGS_MAX} tags of a table, got one more; remove some");
            Err(refused(ErrorKind::TooLarge, message))
        }
        None => {
            state.tags.insert(name.to_owned(), snapshot_id);
            Ok(())
        }
    }
}

fn refused(kind: ErrorKind, message: String) -> StorageError {
    StorageError::new(kind, StorageTier::Cold, "tag snapshot", message)
}
