//! Manifest lists and manifests of every kept snapshot, against each other and against the summaries.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::files::kind_of;
use super::{Invariant, Walk};
use crate::cold::TableKind;
use crate::cold::read::metadata::{PartitionSpec, Snapshot};
use crate::cold::read::types::compare;
use crate::cold::read::{DataContent, EntryStatus, ManifestEntry, ManifestFile, PrimitiveType, Table};
use crate::vortex::Scalar;

/// A kept snapshot with what its manifests say.
pub(super) struct SnapshotFiles<'t> {
    pub snapshot: &'t Snapshot,
    /// The entries of its manifests; those of a broken part are missing.
    pub entries: Vec<Rc<ManifestEntry>>,
    /// Whether no part was broken.
    pub whole: bool,
}

impl SnapshotFiles<'_> {
    /// The files that it has.
    pub(super) fn live(&self) -> impl Iterator<Item = &Rc<ManifestEntry>> {
        self.entries.iter().filter(|entry| entry.is_live())
    }

    /// Whether its rows are its parent's, by its own account.
    pub(super) fn is_replace(&self) -> bool {
        self.snapshot.summary.get("operation").is_some_and(|operation| operation == "replace")
    }

    /// Files of one content that it adds or removes itself.
    fn own(&self, status: EntryStatus, data: bool) -> impl Iterator<Item = &Rc<ManifestEntry>> {
        let id = self.snapshot.snapshot_id;
        self.entries
            .iter()
            .filter(move |entry| entry.status == status && entry.snapshot_id == id && is_data(entry) == data)
    }
}

/// Manifests by path, as they were listed first; `None` for one that is broken.
type Manifests = BTreeMap<String, (ManifestFile, Option<Vec<Rc<ManifestEntry>>>)>;

/// Checks all kept snapshots, in the order of their commits.
pub(super) async fn check<'t>(walk: &mut Walk<'_>, table: &'t Table) -> Vec<SnapshotFiles<'t>> {
    let mut kept: Vec<&Snapshot> = table.metadata.snapshots.iter().collect();
    kept.sort_by_key(|snapshot| snapshot.sequence_number);
    let kind = kind_of(&table.metadata);
    let mut manifests = Manifests::new();
    let mut all: Vec<SnapshotFiles<'t>> = Vec::new();
    for snapshot in kept {
        walk.report.counts.snapshots = walk.report.counts.snapshots.saturating_add(1);
        let files = snapshot_files(walk, table, snapshot, &mut manifests).await;
        if files.whole {
            summary(walk, &files);
            let parent = all.iter().find(|parent| Some(parent.snapshot.snapshot_id) == snapshot.parent_snapshot_id);
            match (parent, kind) {
                (Some(parent), _) => follows(walk, parent, &files),
                // Its parent has expired. Only of a table with one line of snapshots the one before is an ancestor.
                (None, Some(_)) => all.last().into_iter().for_each(|earlier| nothing_returns(walk, earlier, &files)),
                (None, None) => {}
            }
            if let Some(kind) = kind {
                own_files(walk, kind, &files);
            }
        }
        all.push(files);
    }
    sequences_follow(walk, &all);
    all
}

async fn snapshot_files<'t>(
    walk: &mut Walk<'_>,
    table: &Table,
    snapshot: &'t Snapshot,
    manifests: &mut Manifests,
) -> SnapshotFiles<'t> {
    let mut files = SnapshotFiles { snapshot, entries: Vec::new(), whole: true };
    let listed = match table.manifests(walk.objects, snapshot).await {
        Ok(listed) => listed,
        Err(error) => {
            let expected = format!("the manifest list of snapshot {}", snapshot.snapshot_id);
            walk.report.find_error(Invariant::ManifestListIsReadable, &snapshot.manifest_list, &expected, &error);
            return SnapshotFiles { whole: false, ..files };
        }
    };
    let mut paths = BTreeSet::new();
    for manifest in listed {
        let path = manifest.manifest_path.as_str();
        let once = paths.insert(path.to_owned());
        if !once {
            walk.report.find(Invariant::ManifestsAreListedOnce, &snapshot.manifest_list, path, "it twice");
            continue;
        }
        match entries(walk, table, snapshot, &manifest, manifests).await {
            Some(entries) => files.entries.extend(entries),
            None => files.whole = false,
        }
    }
    live_once(walk, &mut files);
    files
}

/// The entries of a manifest, which is read and checked when it is listed for the first time or listed otherwise.
async fn entries(
    walk: &mut Walk<'_>,
    table: &Table,
    snapshot: &Snapshot,
    listed: &ManifestFile,
    manifests: &mut Manifests,
) -> Option<Vec<Rc<ManifestEntry>>> {
    let fits = listed.sequence_number <= snapshot.sequence_number;
    walk.report.find_unless(
        fits,
        Invariant::ManifestSequenceFits,
        &listed.manifest_path,
        format!("a sequence number up to {}, of the snapshot that lists it", snapshot.sequence_number),
        listed.sequence_number.to_string(),
    );
    if let Some((known, entries)) = manifests.get(&listed.manifest_path)
        && known == listed
    {
        return entries.clone();
    }
    let read = match table.entries(walk.objects, listed).await {
        Ok(entries) => Some(entries.into_iter().map(Rc::new).collect::<Vec<_>>()),
        Err(error) => {
            walk.report.find_error(Invariant::ManifestIsReadable, &listed.manifest_path, "a manifest", &error);
            None
        }
    };
    if let Some(entries) = &read {
        counts_agree(walk, listed, entries);
        sequences_fit(walk, table, listed, entries);
        partitions_hold(walk, table, listed, entries);
    }
    if !manifests.contains_key(&listed.manifest_path) {
        walk.report.counts.manifests = walk.report.counts.manifests.saturating_add(1);
    }
    manifests.insert(listed.manifest_path.clone(), (listed.clone(), read.clone()));
    read
}

fn counts_agree(walk: &mut Walk<'_>, listed: &ManifestFile, entries: &[Rc<ManifestEntry>]) {
    let of = |status| entries.iter().filter(move |entry| entry.status == status);
    let files = |status| count(of(status).count());
    let rows = |status| of(status).fold(0_i64, |rows, entry| rows.saturating_add(entry.data_file.record_count));
    let (added, existing, deleted) = (EntryStatus::Added, EntryStatus::Existing, EntryStatus::Deleted);
    let numbers = [
        ("added files", listed.added_files_count, files(added)),
        ("existing files", listed.existing_files_count, files(existing)),
        ("deleted files", listed.deleted_files_count, files(deleted)),
        ("added rows", listed.added_rows_count, rows(added)),
        ("existing rows", listed.existing_rows_count, rows(existing)),
        ("deleted rows", listed.deleted_rows_count, rows(deleted)),
    ];
    for (name, said, got) in numbers {
        let agrees = said.is_none_or(|said| said == got);
        let expected = format!("{} {name}, as its manifest list says", said.unwrap_or(0));
        walk.report.find_unless(
            agrees,
            Invariant::ManifestCountsAgree,
            &listed.manifest_path,
            expected,
            got.to_string(),
        );
    }
}

fn sequences_fit(walk: &mut Walk<'_>, table: &Table, listed: &ManifestFile, entries: &[Rc<ManifestEntry>]) {
    let mut wrong = |expected: String, got: String| {
        walk.report.find(Invariant::ManifestSequenceFits, &listed.manifest_path, expected, got);
    };
    let least = entries.iter().filter(|entry| entry.is_live()).map(|entry| entry.sequence_number).min();
    if let Some(least) = least.filter(|least| *least != listed.min_sequence_number) {
        wrong(format!("files from sequence number {} on", listed.min_sequence_number), least.to_string());
    }
    let added_by = table.metadata.snapshot(listed.added_snapshot_id).map(|snapshot| snapshot.sequence_number);
    if let Some(number) = added_by.filter(|number| *number != listed.sequence_number) {
        let expected = format!("sequence number {number}, of the snapshot that added the manifest");
        wrong(expected, listed.sequence_number.to_string());
    }
    for entry in entries {
        let path = &entry.data_file.file_path;
        if entry.sequence_number > listed.sequence_number {
            let expected = format!("a sequence number of {path} up to {}", listed.sequence_number);
            wrong(expected, entry.sequence_number.to_string());
        }
        let own = matches!(entry.status, EntryStatus::Added | EntryStatus::Deleted);
        if own && entry.snapshot_id != listed.added_snapshot_id {
            let expected = format!("{path} added or deleted by snapshot {}", listed.added_snapshot_id);
            wrong(expected, entry.snapshot_id.to_string());
        }
    }
}

fn partitions_hold(walk: &mut Walk<'_>, table: &Table, listed: &ManifestFile, entries: &[Rc<ManifestEntry>]) {
    let Some(spec) = table.metadata.partition_spec(listed.partition_spec_id) else {
        let expected = format!("the partition spec {} of {}", listed.partition_spec_id, listed.manifest_path);
        walk.report.find(Invariant::MetadataResolves, &table.metadata_key, expected, "none");
        return;
    };
    for entry in entries.iter().filter(|entry| !listed.partitions.is_empty() && !partition_is_in(spec, listed, entry)) {
        walk.report.find(
            Invariant::PartitionSummaryHolds,
            &listed.manifest_path,
            "partitions within the bounds of its manifest list",
            format!("{:?} of {}", entry.data_file.partition, entry.data_file.file_path),
        );
    }
}

fn partition_is_in(spec: &PartitionSpec, listed: &ManifestFile, entry: &ManifestEntry) -> bool {
    spec.fields.iter().zip(&listed.partitions).all(|(field, summary)| {
        let value = entry.data_file.partition.iter().find(|(id, _)| *id == field.field_id);
        let Some((_, value)) = value else { return false };
        let Some(value) = value else { return summary.contains_null };
        // Times in years, months, days and hours are ints; what an identity partition has tells its value.
        let primitive = match value {
            Scalar::Int(_) => PrimitiveType::Int,
            Scalar::Long(_) => PrimitiveType::Long,
            Scalar::Text(_) => PrimitiveType::String,
            _ => return true,
        };
        let bound = |bytes: &Option<Vec<u8>>| bytes.as_deref().and_then(|bytes| primitive.from_bytes(bytes));
        let lower =
            bound(&summary.lower_bound).is_none_or(|lower| compare(&lower, value).is_none_or(|order| order.is_le()));
        lower
            && bound(&summary.upper_bound).is_none_or(|upper| compare(&upper, value).is_none_or(|order| order.is_ge()))
    })
}

/// Finds live files that are there twice, and leaves each once, so that what follows is told only for its own sake.
fn live_once(walk: &mut Walk<'_>, files: &mut SnapshotFiles<'_>) {
    let key = &files.snapshot.manifest_list;
    let mut paths = BTreeSet::new();
    files.entries.retain(|entry| {
        let path = &entry.data_file.file_path;
        let once = !entry.is_live() || paths.insert(path.clone());
        walk.report.find_unless(once, Invariant::FilesAreLiveOnce, key, format!("{path} once"), "it twice");
        once
    });
}

/// A snapshot's live files are its parent's, without those it deletes and with those it adds.
fn follows(walk: &mut Walk<'_>, parent: &SnapshotFiles<'_>, files: &SnapshotFiles<'_>) {
    if !parent.whole {
        return;
    }
    let path = |entry: &Rc<ManifestEntry>| entry.data_file.file_path.clone();
    let own = |status| files.own(status, true).chain(files.own(status, false)).map(path);
    let mut expected: BTreeSet<String> = parent.live().map(path).collect();
    let mut problems = Vec::new();
    for deleted in own(EntryStatus::Deleted) {
        if !expected.remove(&deleted) {
            problems
                .push((format!("{deleted} to be deleted only where its parent has it"), "a delete of it".to_owned()));
        }
    }
    for added in own(EntryStatus::Added) {
        if !expected.insert(added.clone()) {
            problems.push((format!("{added} to be added only where its parent has it not"), "it again".to_owned()));
        }
    }
    let live: BTreeSet<String> = files.live().map(path).collect();
    let lost = expected.difference(&live).map(|path| (format!("{path}, which its parent has"), "none".to_owned()));
    let found = live.difference(&expected).map(|path| (format!("{path} only when added"), "it as existing".to_owned()));
    for (expected, got) in problems.into_iter().chain(lost).chain(found) {
        walk.report.find(Invariant::SnapshotFollowsParent, &files.snapshot.manifest_list, expected, got);
    }
}

/// What was there when an earlier snapshot was made, and not in it, is not in a later one either.
fn nothing_returns(walk: &mut Walk<'_>, earlier: &SnapshotFiles<'_>, files: &SnapshotFiles<'_>) {
    if !earlier.whole {
        return;
    }
    let had: BTreeSet<&str> = earlier.live().map(|entry| entry.data_file.file_path.as_str()).collect();
    let until = earlier.snapshot.sequence_number;
    let old = files.live().filter(|entry| entry.file_sequence_number.is_some_and(|number| number <= until));
    for entry in old.filter(|entry| !had.contains(entry.data_file.file_path.as_str())) {
        let path = &entry.data_file.file_path;
        let expected = format!("{path} only where the earlier snapshot {} has it", earlier.snapshot.snapshot_id);
        walk.report.find(Invariant::SnapshotFollowsParent, &files.snapshot.manifest_list, expected, "it again");
    }
}

/// What this program's commits do besides: a month has one delete file, and a `replace` neither adds nor removes rows.
fn own_files(walk: &mut Walk<'_>, kind: TableKind, files: &SnapshotFiles<'_>) {
    let key = &files.snapshot.manifest_list;
    let mut partitions = Vec::new();
    for delete in files.live().filter(|entry| !is_data(entry)) {
        let partition = &delete.data_file.partition;
        let alone = kind == TableKind::State && !partitions.contains(&partition);
        partitions.push(partition);
        let expected = "one delete file a month of a state table";
        let got = format!("{} of {partition:?}", delete.data_file.file_path);
        walk.report.find_unless(alone, Invariant::DeletesAreOneFileAMonth, key, expected, got);
    }
    if files.is_replace() {
        let of = |status| rows(files.own(status, true)).saturating_sub(rows(files.own(status, false)));
        let (added, deleted) = (of(EntryStatus::Added), of(EntryStatus::Deleted));
        let expected = format!("{deleted} rows, as many as it removes");
        walk.report.find_unless(added == deleted, Invariant::ReplaceKeepsRows, key, expected, added.to_string());
    }
}

/// The numbers of the summary, where there are any (spec, Appendix F).
fn summary(walk: &mut Walk<'_>, files: &SnapshotFiles<'_>) {
    let live = |data: bool| files.live().filter(move |entry| is_data(entry) == data);
    let equality = files.live().filter(|entry| entry.data_file.content == DataContent::EqualityDeletes).count();
    let numbers = [
        ("total-data-files", count(live(true).count())),
        ("total-records", rows(live(true))),
        ("total-delete-files", count(live(false).count())),
        ("total-files-size", bytes(files.live())),
        ("added-data-files", count(files.own(EntryStatus::Added, true).count())),
        ("added-records", rows(files.own(EntryStatus::Added, true))),
        ("deleted-data-files", count(files.own(EntryStatus::Deleted, true).count())),
        ("deleted-records", rows(files.own(EntryStatus::Deleted, true))),
        ("added-delete-files", count(files.own(EntryStatus::Added, false).count())),
        ("removed-delete-files", count(files.own(EntryStatus::Deleted, false).count())),
    ];
    let positions = (equality == 0).then(|| {
        [
            ("total-position-deletes", rows(live(false))),
            ("added-position-delete-files", count(files.own(EntryStatus::Added, false).count())),
            ("removed-position-delete-files", count(files.own(EntryStatus::Deleted, false).count())),
            ("added-position-deletes", rows(files.own(EntryStatus::Added, false))),
            ("removed-position-deletes", rows(files.own(EntryStatus::Deleted, false))),
        ]
    });
    let key = &files.snapshot.manifest_list;
    for (name, got) in numbers.into_iter().chain(positions.into_iter().flatten()) {
        let said = files.snapshot.summary.get(name);
        let agrees = said.is_none_or(|said| said.parse() == Ok(got));
        let expected = format!("{name} {}, as the summary says", said.map_or("", String::as_str));
        walk.report.find_unless(agrees, Invariant::SummaryAgrees, key, expected, got.to_string());
    }
}

/// Each snapshot archives what comes after the one before it. Not from where that one ends: an archiving makes no
/// snapshot of a table that it does not change, and those between kept ones may have expired.
fn sequences_follow(walk: &mut Walk<'_>, all: &[SnapshotFiles<'_>]) {
    let mut reached: Option<i64> = None;
    for files in all {
        let snapshot = files.snapshot;
        let through = snapshot.summary_number("thermocline.sequence");
        let after = snapshot.summary_number("thermocline.after-sequence");
        let key = &snapshot.manifest_list;
        if let (Some(reached), Some(after)) = (reached, after) {
            let expected = format!("changes after sequence {reached} or a later one");
            walk.report.find_unless(
                after >= reached,
                Invariant::SequencesFollow,
                key,
                expected,
                format!("changes after {after}"),
            );
        }
        if let (Some(after), Some(through)) = (after.or(reached), through) {
            let replaces = files.is_replace() && snapshot.summary.contains_key("thermocline.after-sequence");
            let expected = format!("a sequence of {after}{}", if replaces { "" } else { " or more" });
            let holds = if replaces { through == after } else { through >= after };
            walk.report.find_unless(holds, Invariant::SequencesFollow, key, expected, through.to_string());
        }
        reached = through.or(reached);
    }
}

pub(super) fn is_data(entry: &ManifestEntry) -> bool {
    entry.data_file.content == DataContent::Data
}

fn rows<'e>(entries: impl Iterator<Item = &'e Rc<ManifestEntry>>) -> i64 {
    entries.fold(0, |rows, entry| rows.saturating_add(entry.data_file.record_count))
}

fn bytes<'e>(entries: impl Iterator<Item = &'e Rc<ManifestEntry>>) -> i64 {
    entries.fold(0, |bytes, entry| bytes.saturating_add(entry.data_file.file_size_in_bytes))
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
