//! What must hold of every commit, checked before anything of it is stored.

use std::collections::HashSet;

use super::commit::Commit;
use super::data_file::{DataFile, FileContent};
use super::manifest::ManifestFile;
use super::schema::TableKind;
use super::table::TableState;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::vortex::schema::FIRST_COLUMN_FIELD;

/// Each invariant by name; the first that does not hold is the error.
pub(super) fn check_invariants(
    previous: &TableState,
    next: &TableState,
    commit: &Commit,
    garbage: &[String],
) -> Result<()> {
    let checks: [(&str, bool); 15] = [
        ("the version rises by one", next.version == previous.version.saturating_add(1)),
        (
            "the sequence number rises by one",
            next.last_sequence_number == previous.last_sequence_number.saturating_add(1),
        ),
        ("time does not run backwards", next.last_updated_ms >= previous.last_updated_ms),
        ("the table stays the same table", same_table(previous, next)),
        ("the snapshot's parent is the snapshot before", parent_is_previous(previous, next)),
        ("snapshots have ids and rising sequence numbers of their own", snapshots_are_distinct(next)),
        ("field ids keep their meaning", fields_keep_their_meaning(previous, next)),
        ("the manifests' counts are the totals", counts_are_totals(next)),
        ("every added file is new and every removed file was live", files_are_once(previous, commit)),
        ("all live files are told where they are needed", live_files_are_told(previous, commit)),
        ("a state table has at most one delete file a month", one_delete_file_a_month(next, commit)),
        ("there is no delete file without a data file", deletes_have_data(commit)),
        ("manifests are listed once", manifests_are_distinct(next)),
        ("every tag names a snapshot that is kept", tags_name_snapshots(next)),
        ("nothing reachable is garbage", garbage_is_unreachable(next, &commit.added, garbage)),
    ];
    all_hold(&checks)
}

/// What must hold of a change of tags alone.
pub(super) fn check_retag(previous: &TableState, next: &TableState, garbage: &[String]) -> Result<()> {
    all_hold(&[
        ("the version rises by one", next.version == previous.version.saturating_add(1)),
        ("time does not run backwards", next.last_updated_ms >= previous.last_updated_ms),
        ("the table stays the same table", same_table(previous, next)),
        ("there is a snapshot", next.current_snapshot().is_some()),
        ("the current snapshot stays", previous.current_snapshot() == next.current_snapshot()),
        ("the manifests stay", previous.manifests == next.manifests && previous.totals == next.totals),
        ("snapshots have ids and rising sequence numbers of their own", snapshots_are_distinct(next)),
        ("every tag names a snapshot that is kept", tags_name_snapshots(next)),
        ("nothing reachable is garbage", garbage_is_unreachable(next, &[], garbage)),
    ])
}

/// What must hold of a change of the schema alone.
pub(super) fn check_evolution(previous: &TableState, next: &TableState, garbage: &[String]) -> Result<()> {
    check_retag(previous, next, garbage)?;
    all_hold(&[
        ("field ids keep their meaning", fields_keep_their_meaning(previous, next)),
        ("the tags stay", previous.tags == next.tags),
    ])
}

fn all_hold(checks: &[(&str, bool)]) -> Result<()> {
    match checks.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!(
                "expected a commit for which {name}, got one for which that does not hold; nothing was changed"
            );
            Err(StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "check commit", message))
        }
    }
}

fn same_table(previous: &TableState, next: &TableState) -> bool {
    (previous.uuid, previous.kind, &previous.path) == (next.uuid, next.kind, &next.path)
        && previous.base_uri == next.base_uri
}

fn parent_is_previous(previous: &TableState, next: &TableState) -> bool {
    let parent = next.current_snapshot().and_then(|snapshot| snapshot.parent_snapshot_id);
    next.current_snapshot().is_some() && parent == previous.current_snapshot().map(|snapshot| snapshot.snapshot_id)
}

fn snapshots_are_distinct(next: &TableState) -> bool {
    let ids: HashSet<i64> = next.snapshots.iter().map(|snapshot| snapshot.snapshot_id).collect();
    ids.len() == next.snapshots.len()
        && ids.iter().all(|id| *id > 0)
        && next.snapshots.is_sorted_by_key(|snapshot| (snapshot.sequence_number, snapshot.timestamp_ms))
        && next.snapshots.is_sorted_by(|left, right| left.sequence_number < right.sequence_number)
}

/// A field is the one that had its id before, widened at most, or has an id that no field ever had. Columns of documents
/// may have another name than before, and any may have another place.
fn fields_keep_their_meaning(previous: &TableState, next: &TableState) -> bool {
    let Some(schema) = next.current_schema() else { return false };
    let ids: HashSet<i32> = schema.fields.iter().map(|field| field.id).collect();
    let names: HashSet<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    let before = previous.current_schema();
    let keeps = schema.fields.iter().all(|field| match before.and_then(|before| before.field(field.id)) {
        Some(old) => {
            let renamed = next.kind == TableKind::State && field.id >= FIRST_COLUMN_FIELD;
            (renamed || old.name == field.name)
                && old.field_type.widens_to(field.field_type)
                && (old.required || !field.required)
        }
        None => field.id > previous.last_column_id && (before.is_none() || !field.required),
    });
    keeps
        && ids.len() == schema.fields.len()
        && names.len() == schema.fields.len()
        && schema.identifier_field_ids.iter().all(|id| schema.field(*id).is_some_and(|field| field.required))
}

fn counts_are_totals(next: &TableState) -> bool {
    let of = |content: FileContent| {
        let manifests = next.manifests.iter().filter(move |manifest| manifest.content == content);
        let sum = |(files, rows): (i64, i64), manifest: &ManifestFile| {
            (files.saturating_add(manifest.live_files()), rows.saturating_add(manifest.live_rows()))
        };
        manifests.fold((0, 0), sum)
    };
    let totals = next.totals;
    of(FileContent::Data) == (totals.data_files, totals.records)
        && of(FileContent::PositionDeletes) == (totals.delete_files, totals.position_deletes)
        && totals.bytes >= 0
}

fn files_are_once(previous: &TableState, commit: &Commit) -> bool {
    let added: HashSet<&str> = commit.added.iter().map(|file| file.key.as_str()).collect();
    let removed: HashSet<&str> = commit.removed.iter().map(|live| live.file.key.as_str()).collect();
    let distinct =
        added.len() == commit.added.len() && removed.len() == commit.removed.len() && added.is_disjoint(&removed);
    let Some(live) = &commit.live else { return distinct };
    let live_keys: HashSet<&str> = live.iter().map(|live| live.file.key.as_str()).collect();
    let count = |content: FileContent| {
        i64::try_from(live.iter().filter(|live| live.file.content == content).count()).unwrap_or(i64::MAX)
    };
    let complete = count(FileContent::Data) == previous.totals.data_files
        && count(FileContent::PositionDeletes) == previous.totals.delete_files;
    distinct
        && complete
        && live_keys.len() == live.len()
        && removed.is_subset(&live_keys)
        && added.is_disjoint(&live_keys)
}

/// The rules about delete files are told by the live files; a commit without them leaves delete files as they are, and
/// removes nothing beside them.
fn live_files_are_told(previous: &TableState, commit: &Commit) -> bool {
    commit.live.is_some() || !previous.needs_live_files(&commit.added, &commit.removed)
}

/// The months of the files of a content that are live after the commit, ascending, one a file.
fn live_months(commit: &Commit, content: FileContent) -> Vec<i32> {
    let removed: HashSet<&str> = commit.removed.iter().map(|live| live.file.key.as_str()).collect();
    let before = commit.live.iter().flatten().map(|live| &live.file);
    let stays = before.filter(|file| !removed.contains(file.key.as_str()));
    let files = stays.chain(&commit.added).filter(|file| file.content == content);
    let mut months: Vec<i32> = files.map(|file| file.month).collect();
    crate::types::sorting::sort_by(&mut months, Ord::cmp);
    months
}

fn one_delete_file_a_month(next: &TableState, commit: &Commit) -> bool {
    next.kind != TableKind::State
        || live_months(commit, FileContent::PositionDeletes).is_sorted_by(|left, right| left < right)
}

fn deletes_have_data(commit: &Commit) -> bool {
    let data: HashSet<i32> = live_months(commit, FileContent::Data).into_iter().collect();
    live_months(commit, FileContent::PositionDeletes).iter().all(|month| data.contains(month))
}

fn manifests_are_distinct(next: &TableState) -> bool {
    let keys: HashSet<&str> = next.manifests.iter().map(|manifest| manifest.key.as_str()).collect();
    keys.len() == next.manifests.len()
}

fn tags_name_snapshots(next: &TableState) -> bool {
    let is_kept = |id: &i64| next.snapshots.iter().any(|snapshot| snapshot.snapshot_id == *id);
    next.tags.values().all(is_kept)
}

fn garbage_is_unreachable(next: &TableState, added: &[DataFile], garbage: &[String]) -> bool {
    let lists = next.snapshots.iter().map(|snapshot| next.manifest_list_key(snapshot));
    let versions = next.metadata_log.iter().map(|logged| next.path.metadata(logged.version));
    let manifests = next.manifests.iter().map(|manifest| manifest.key.clone());
    let retired = next.retired.iter().map(|object| object.key.clone());
    let added = added.iter().map(|file| file.key.clone());
    let current = [next.path.metadata(next.version), next.path.version_hint()];
    let reachable: HashSet<String> =
        lists.chain(versions).chain(manifests).chain(retired).chain(added).chain(current).collect();
    !garbage.iter().any(|key| reachable.contains(key))
}
