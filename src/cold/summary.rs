//! The summary of a snapshot (spec, Appendix F, "Optional Snapshot Summary Fields") and the counts it is made of.

use std::collections::BTreeMap;

use super::commit::Commit;
use super::data_file::{DataFile, FileContent};
use super::table::Totals;

/// Counts of some files.
#[derive(Clone, Copy, Default)]
struct Counts {
    data_files: i64,
    delete_files: i64,
    records: i64,
    position_deletes: i64,
    bytes: i64,
}

impl Counts {
    fn of<'f>(files: impl Iterator<Item = &'f DataFile>) -> Self {
        files.fold(Self::default(), |mut counts, file| {
            let (files, rows) = match file.content {
                FileContent::Data => (&mut counts.data_files, &mut counts.records),
                FileContent::PositionDeletes => (&mut counts.delete_files, &mut counts.position_deletes),
            };
            *files = files.saturating_add(1);
            *rows = rows.saturating_add(file.record_count);
            counts.bytes = counts.bytes.saturating_add(i64::try_from(file.file_size).unwrap_or(i64::MAX));
            counts
        })
    }

    fn added(commit: &Commit) -> Self {
        Self::of(commit.added.iter())
    }

    fn removed(commit: &Commit) -> Self {
        Self::of(commit.removed.iter().map(|live| &live.file))
    }
}

/// The counts after a commit.
pub(super) fn totals(before: Totals, commit: &Commit) -> Totals {
    let (added, removed) = (Counts::added(commit), Counts::removed(commit));
    let after = |before: i64, added: i64, removed: i64| before.saturating_add(added).saturating_sub(removed);
    Totals {
        data_files: after(before.data_files, added.data_files, removed.data_files),
        delete_files: after(before.delete_files, added.delete_files, removed.delete_files),
        records: after(before.records, added.records, removed.records),
        position_deletes: after(before.position_deletes, added.position_deletes, removed.position_deletes),
        bytes: after(before.bytes, added.bytes, removed.bytes),
    }
}

/// The summary of the snapshot that a commit makes: what engines plan by. It is repeated in every metadata file while the
/// snapshot is kept, so sizes, which manifests tell, are left out, and changes that are none.
pub(super) fn summary(totals: Totals, commit: &Commit) -> BTreeMap<String, String> {
    let (added, removed) = (Counts::added(commit), Counts::removed(commit));
    let changes = [
        ("added-data-files", added.data_files),
        ("added-records", added.records),
        ("deleted-data-files", removed.data_files),
        ("deleted-records", removed.records),
        ("added-delete-files", added.delete_files),
        ("added-position-delete-files", added.delete_files),
        ("added-position-deletes", added.position_deletes),
        ("removed-delete-files", removed.delete_files),
        ("removed-position-delete-files", removed.delete_files),
        ("removed-position-deletes", removed.position_deletes),
    ];
    let totals = [
        ("total-data-files", totals.data_files),
        ("total-delete-files", totals.delete_files),
        // Of data files, deleted rows included, as the spec's writers count.
        ("total-records", totals.records),
        ("total-position-deletes", totals.position_deletes),
    ];
    let mut summary = commit.summary.clone();
    summary.insert("operation".to_owned(), commit.operation.name().to_owned());
    let told = changes.into_iter().filter(|(_, count)| *count > 0).chain(totals);
    summary.extend(told.map(|(name, count)| (name.to_owned(), count.to_string())));
    summary
}
