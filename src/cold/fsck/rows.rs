//! The rows of every kept snapshot: which ones deletes leave, and that these are each once.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Facts, FileFacts, kind_of};
use super::snapshots::{SnapshotFiles, is_data};
use super::{Invariant, Walk};
use crate::cold::TableKind;
use crate::cold::read::table::applies;
use crate::cold::read::{DataContent, EntryStatus, ManifestEntry, Table};

/// Positions by data file.
type Deleted<'f> = BTreeMap<&'f str, BTreeSet<i64>>;

/// Checks the rows of each kept snapshot.
pub(super) fn check(walk: &mut Walk<'_>, table: &Table, snapshots: &[SnapshotFiles<'_>], facts: &Facts) {
    let mut hashes: BTreeMap<i64, Option<Vec<u64>>> = BTreeMap::new();
    for files in snapshots.iter().filter(|files| files.whole) {
        let (deleted, resolved) = deletes(walk, files, facts);
        let kind = kind_of(&table.metadata);
        match kind {
            Some(TableKind::State) => state_rows(walk, files, facts, &deleted),
            Some(TableKind::Changes) => change_rows(walk, files, facts),
            None => {}
        }
        if kind.is_some() && resolved {
            live_rows(walk, files, facts, &deleted);
        }
        let id = files.snapshot.snapshot_id;
        if snapshots.iter().any(|other| other.is_replace() && is_of(other, id)) {
            let own = resolved.then(|| row_hashes(files, facts, &deleted)).flatten();
            let parent = files.snapshot.parent_snapshot_id.filter(|_| files.is_replace());
            if let (Some(own), Some(Some(parents))) = (&own, parent.and_then(|parent| hashes.get(&parent))) {
                let (expected, key) = ("the rows of its parent", &files.snapshot.manifest_list);
                walk.report.find_unless(own == parents, Invariant::ReplaceKeepsRows, key, expected, "others");
            }
            hashes.insert(id, own);
        }
    }
}

/// Whether a snapshot is this one or its parent is.
fn is_of(files: &SnapshotFiles<'_>, id: i64) -> bool {
    files.snapshot.snapshot_id == id || files.snapshot.parent_snapshot_id == Some(id)
}

/// Whether a row of a file is not deleted.
fn is_left(deleted: Option<&BTreeSet<i64>>, row: usize) -> bool {
    !deleted.is_some_and(|deleted| i64::try_from(row).is_ok_and(|row| deleted.contains(&row)))
}

/// The hashes of the live rows, sorted; `None` when a file could not be read.
fn row_hashes(files: &SnapshotFiles<'_>, facts: &Facts, deleted: &Deleted<'_>) -> Option<Vec<u64>> {
    let mut hashes = Vec::new();
    for entry in files.live().filter(|entry| is_data(entry)) {
        let path = entry.data_file.file_path.as_str();
        let (rows, gone) = (&facts.get(path)?.rows, deleted.get(path));
        hashes.extend(rows.iter().enumerate().filter(|(row, _)| is_left(gone, *row)).map(|(_, hash)| *hash));
    }
    hashes.sort_unstable();
    Some(hashes)
}

/// Engines count live rows as those of the data files less those of the delete files, so no row is deleted twice. The
/// numbers of the summary are compared with those of the manifests elsewhere.
fn live_rows(walk: &mut Walk<'_>, files: &SnapshotFiles<'_>, facts: &Facts, deleted: &Deleted<'_>) {
    if files.live().any(|entry| !facts.contains_key(&entry.data_file.file_path)) {
        return;
    }
    let deletes = files.live().filter(|entry| !is_data(entry));
    let named = deletes.fold(0_i64, |rows, entry| rows.saturating_add(entry.data_file.record_count));
    let gone = deleted.values().map(|positions| i64::try_from(positions.len()).unwrap_or(i64::MAX));
    let gone = gone.fold(0, i64::saturating_add);
    let expected = format!("{named} rows less, as many as total-position-deletes says");
    let key = &files.snapshot.manifest_list;
    walk.report.find_unless(named == gone, Invariant::SummaryAgrees, key, expected, gone.to_string());
}

/// The positions that a snapshot deletes, and whether each is a row of a file that the snapshot has and the delete is
/// about, as it must be.
fn deletes<'f>(walk: &mut Walk<'_>, files: &'f SnapshotFiles<'_>, facts: &'f Facts) -> (Deleted<'f>, bool) {
    let mut resolved = true;
    let data = files.live().filter(|entry| is_data(entry));
    let data: BTreeMap<&str, &ManifestEntry> =
        data.map(|entry| (entry.data_file.file_path.as_str(), entry.as_ref())).collect();
    let mut deleted = Deleted::new();
    let deletes = files.live().filter(|entry| entry.data_file.content == DataContent::PositionDeletes);
    for delete in deletes {
        let path = delete.data_file.file_path.as_str();
        let Some(named) = facts.get(path) else { continue };
        for (file, position) in &named.deletes {
            let problem = match data.get(file.as_str()) {
                None => Some("one of another".to_owned()),
                Some(entry) if !(0..entry.data_file.record_count).contains(position) => {
                    Some(format!("one of {} rows", entry.data_file.record_count))
                }
                Some(entry) if !applies(delete, entry) => Some("one of another partition or added later".to_owned()),
                Some(_) => None,
            };
            match problem {
                None => drop(deleted.entry(file.as_str()).or_default().insert(*position)),
                Some(got) => {
                    resolved = false;
                    let snapshot = files.snapshot.snapshot_id;
                    let expected = format!("row {position} of {file} in a file of snapshot {snapshot}");
                    walk.report.find(Invariant::DeletesNameRows, path, expected, got);
                }
            }
        }
    }
    (deleted, resolved)
}

/// A live state has each id once, and each version once and not beyond what the snapshot archives.
fn state_rows(walk: &mut Walk<'_>, files: &SnapshotFiles<'_>, facts: &Facts, deleted: &Deleted<'_>) {
    let through = files.snapshot.summary_number("thermocline.sequence").unwrap_or(i64::MAX);
    let mut ids: BTreeMap<u128, (&str, usize)> = BTreeMap::new();
    let mut versions: BTreeSet<i64> = BTreeSet::new();
    for entry in files.live().filter(|entry| is_data(entry)) {
        let path = entry.data_file.file_path.as_str();
        let Some(FileFacts { ids: own, sequences, .. }) = facts.get(path) else { continue };
        let gone = deleted.get(path);
        for (row, (id, version)) in own.iter().zip(sequences).enumerate() {
            if !is_left(gone, row) {
                continue;
            }
            let snapshot = files.snapshot.snapshot_id;
            if let Some((other, at)) = ids.insert(*id, (path, row)) {
                let expected = format!("an id in one live row of snapshot {snapshot}");
                walk.report.find(
                    Invariant::IdsAreUnique,
                    path,
                    expected,
                    format!("row {row}'s in row {at} of {other} too"),
                );
            }
            if !versions.insert(*version) {
                let expected = format!("a version in one live row of snapshot {snapshot}");
                walk.report.find(
                    Invariant::VersionsAreInRange,
                    path,
                    expected,
                    format!("{version} again in row {row}"),
                );
            }
            if !(1..=through).contains(version) {
                let expected = format!("versions from 1 to {through} in snapshot {snapshot}");
                walk.report.find(Invariant::VersionsAreInRange, path, expected, format!("{version} in row {row}"));
            }
        }
    }
}

/// A change log has each sequence once; what a snapshot adds lies between the two that its summary names.
fn change_rows(walk: &mut Walk<'_>, files: &SnapshotFiles<'_>, facts: &Facts) {
    let snapshot = files.snapshot;
    let after = snapshot.summary_number("thermocline.after-sequence").unwrap_or(0);
    let through = snapshot.summary_number("thermocline.sequence").unwrap_or(i64::MAX);
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    for entry in files.live().filter(|entry| is_data(entry)) {
        let path = entry.data_file.file_path.as_str();
        let Some(FileFacts { sequences, .. }) = facts.get(path) else { continue };
        let own = entry.status == EntryStatus::Added && entry.snapshot_id == snapshot.snapshot_id;
        // Files are merged by a `replace`, which adds rows of any age.
        let appended = own && !files.is_replace();
        let lowest = if appended { after } else { 0 };
        for sequence in sequences {
            if !seen.insert(*sequence) {
                let expected = format!("a sequence in one row of snapshot {}", snapshot.snapshot_id);
                walk.report.find(Invariant::ChangesAreInRange, path, expected, format!("{sequence} again"));
            }
            if *sequence <= lowest || *sequence > through {
                let expected = format!("sequences after {lowest} up to {through}");
                walk.report.find(Invariant::ChangesAreInRange, path, expected, sequence.to_string());
            }
        }
    }
}
