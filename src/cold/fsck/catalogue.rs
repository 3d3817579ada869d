//! The bucket against the object's own catalogue, which is the authority.

use std::collections::BTreeMap;

use super::snapshots::{SnapshotFiles, is_data};
use super::{Invariant, Walk};
use crate::cold::read::Table;
use crate::cold::read::table::hint_version;
use crate::cold::table::Totals;
use crate::cold::{FileContent, LiveFile, TableState, metadata};

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
    /// Whether it has data, rows, size, sequence number, and the snapshot that added it.
    type Said = (bool, i64, i64, i64, i64);
    let mut listed: BTreeMap<&str, Said> = BTreeMap::new();
    for entry in files.live() {
        let Ok(key) = table.key_of(&entry.data_file.file_path) else { continue };
        let file = &entry.data_file;
        let sizes = (file.record_count, file.file_size_in_bytes);
        listed.insert(key, (is_data(entry), sizes.0, sizes.1, entry.sequence_number, entry.snapshot_id));
    }
    for live in catalogue.files {
        let file = &live.file;
        let size = i64::try_from(file.file_size).unwrap_or(i64::MAX);
        let data = file.content == FileContent::Data;
        let said = (data, file.record_count, size, live.sequence_number, live.snapshot_id);
        let got = listed.remove(file.key.as_str());
        walk.report.find_unless(
            got == Some(said),
            Invariant::CatalogueAgrees,
            &file.key,
            format!("an entry with data, rows, bytes, sequence number and snapshot {said:?}"),
            format!("{got:?}"),
        );
        let rows = file.parts.iter().fold(0_i64, |rows, part| rows.saturating_add(part.rows));
        walk.report.find_unless(
            file.parts.is_empty() || rows == file.record_count,
            Invariant::CatalogueAgrees,
            &file.key,
            format!("parts of {} rows together", file.record_count),
            rows.to_string(),
        );
    }
    let (totals, got) = (catalogue.state.totals, totals(files));
    let key = &table.metadata_key;
    let expected = format!("{totals:?}, from which the next commit counts");
    walk.report.find_unless(totals == got, Invariant::CatalogueAgrees, key, expected, format!("{got:?}"));
    for key in listed.keys() {
        walk.report.find(Invariant::CatalogueAgrees, key, "a file that the catalogue has", "one that it has not");
    }
}

fn totals(files: &SnapshotFiles<'_>) -> Totals {
    files.live().fold(Totals::default(), |mut totals, entry| {
        let (files, rows) = if is_data(entry) {
            (&mut totals.data_files, &mut totals.records)
        } else {
            (&mut totals.delete_files, &mut totals.position_deletes)
        };
        *files = files.saturating_add(1);
        *rows = rows.saturating_add(entry.data_file.record_count);
        totals.bytes = totals.bytes.saturating_add(entry.data_file.file_size_in_bytes);
        totals
    })
}
