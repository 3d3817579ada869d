//! The bucket against the object's own catalogue, which is the authority.

use std::collections::BTreeMap;

use super::snapshots::SnapshotFiles;
use super::{Invariant, Walk};
use crate::cold::read::Table;
use crate::cold::read::table::hint_version;
use crate::cold::{LiveFile, TableState, metadata};

/// What the object's SQLite says of a table.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueView<'c> {
    /// The committed state.
    pub state: &'c TableState,
    /// The version that was published last, as far as the object knows.
    pub published: i64,
    /// The live files of the committed state.
    pub files: &'c [LiveFile],
}

/// Compares. The bucket may be behind the committed state while it is being published; then only the version hint is
/// looked at.
pub(super) async fn check(
    walk: &mut Walk<'_>,
    table: &Table,
    snapshots: &[SnapshotFiles<'_>],
    catalogue: &CatalogueView<'_>,
) {
    let version = catalogue.state.version;
    let hinted = hinted_version(walk).await;
    let key = catalogue.state.path.version_hint();
    walk.report.find_unless(
        hinted.is_some_and(|hinted| (catalogue.published..=version).contains(&hinted)),
        Invariant::HintIsPublished,
        &key,
        format!("a version from {}, which was published, to {version}, which is committed", catalogue.published),
        format!("{hinted:?}"),
    );
    if hinted != Some(version) {
        return;
    }
    metadata_is_the_state(walk, table, catalogue).await;
    let Ok(Some(current)) = table.metadata.current_snapshot(&table.metadata_key) else { return };
    let Some(files) = snapshots.iter().find(|files| files.snapshot.snapshot_id == current.snapshot_id) else { return };
    if files.whole {
        files_agree(walk, table, files, catalogue);
    }
}

async fn hinted_version(walk: &Walk<'_>) -> Option<i64> {
    let key = format!("{}/metadata/version-hint.text", walk.check.folder);
    hint_version(&walk.objects.get(&key, None).await.ok()??.bytes)
}

async fn metadata_is_the_state(walk: &mut Walk<'_>, table: &Table, catalogue: &CatalogueView<'_>) {
    let key = &table.metadata_key;
    let there = walk.objects.get(key, None).await.ok().flatten().map(|object| object.bytes);
    let made = metadata::to_json(catalogue.state).ok();
    let expected = "the bytes that the committed state makes";
    walk.report.find_unless(made.is_some() && made == there, Invariant::MetadataIsTheState, key, expected, "others");
}

fn files_agree(walk: &mut Walk<'_>, table: &Table, files: &SnapshotFiles<'_>, catalogue: &CatalogueView<'_>) {
    /// Rows, size, sequence number, and the snapshot that added it.
    type Said = (i64, i64, i64, i64);
    let mut listed: BTreeMap<&str, Said> = BTreeMap::new();
    for entry in files.live() {
        let Ok(key) = table.key_of(&entry.data_file.file_path) else { continue };
        let file = &entry.data_file;
        listed.insert(key, (file.record_count, file.file_size_in_bytes, entry.sequence_number, entry.snapshot_id));
    }
    for live in catalogue.files {
        let file = &live.file;
        let size = i64::try_from(file.file_size).unwrap_or(i64::MAX);
        let said = (file.record_count, size, live.sequence_number, live.snapshot_id);
        let got = listed.remove(file.key.as_str());
        walk.report.find_unless(
            got == Some(said),
            Invariant::CatalogueAgrees,
            &file.key,
            format!("an entry with rows, bytes, sequence number and snapshot {said:?}"),
            format!("{got:?}"),
        );
    }
    for key in listed.keys() {
        walk.report.find(Invariant::CatalogueAgrees, key, "a file that the catalogue has", "one that it has not");
    }
}
