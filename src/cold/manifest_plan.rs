//! Which manifests a commit writes, and which it carries over.
//!
//! Data files and delete files are in manifests of their own. A commit rewrites the data manifests of the months whose
//! data files it removes; those of a state table hold one month each while there are few, and a change log gets one
//! manifest a commit. Beyond [`MANIFESTS_MAX`] they are merged into one. Delete files are few, one a month at most: all
//! are in one manifest, which a commit that adds or removes any of them rewrites.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::commit::{AVRO, Commit, StagedObject, contradiction};
use super::data_file::{DataFile, FileContent, LiveFile};
use super::manifest::{self, Entry, EntryStatus, ManifestContext, ManifestFile};
use super::schema::TableKind;
use super::table::{MANIFESTS_MAX, TableState};
use crate::error::Result;
use crate::types::sorting;

/// What happens to the manifests of one content.
pub(super) struct ManifestPlan<'c> {
    content: FileContent,
    added: Vec<&'c DataFile>,
    removed: Vec<&'c LiveFile>,
    /// Carried over.
    kept: Vec<ManifestFile>,
    /// Files of rewritten manifests that stay.
    existing: Vec<&'c LiveFile>,
    /// Whether each new manifest holds one month.
    by_month: bool,
}

impl<'c> ManifestPlan<'c> {
    /// The plan for data files.
    pub(super) fn of_data(state: &TableState, commit: &'c Commit) -> Result<Self> {
        let affected = state.rewritten_manifests(&commit.added, &commit.removed);
        let mut plan = Self::new(state, commit, FileContent::Data, &affected)?;
        let single =
            |manifest: &ManifestFile| manifest.live_files() == 0 || manifest.first_month == manifest.last_month;
        let staying = plan.existing.iter().map(|live| live.file.month);
        let months = months(plan.added.iter().map(|file| file.month).chain(staying));
        let few = months.len() <= MANIFESTS_MAX;
        let mut rewritten = affected.iter().filter_map(|position| state.manifests.get(*position));
        plan.by_month = state.kind == TableKind::State && few && rewritten.all(single);
        Ok(plan)
    }

    /// The plan for delete files.
    pub(super) fn of_deletes(state: &TableState, commit: &'c Commit) -> Result<Self> {
        let is_deletes = |file: &DataFile| file.content == FileContent::PositionDeletes;
        let touched = commit.added.iter().chain(commit.removed.iter().map(|live| &live.file)).any(is_deletes);
        let all = state.manifests.iter().enumerate();
        let affected = all.filter(|(_, manifest)| touched && manifest.content == FileContent::PositionDeletes);
        let affected: Vec<usize> = affected.map(|(position, _)| position).collect();
        Self::new(state, commit, FileContent::PositionDeletes, &affected)
    }

    /// The plan when the manifests at the positions `affected` are rewritten.
    fn new(state: &TableState, commit: &'c Commit, content: FileContent, affected: &[usize]) -> Result<Self> {
        let added: Vec<&DataFile> = commit.added.iter().filter(|file| file.content == content).collect();
        let removed: Vec<&LiveFile> = commit.removed.iter().filter(|live| live.file.content == content).collect();
        let all = state.manifests.iter().enumerate().filter(|(_, manifest)| manifest.content == content);
        let kept = all.filter(|(position, manifest)| !affected.contains(position) && manifest.live_files() > 0);
        let kept = kept.map(|(_, manifest)| manifest.clone()).collect();
        let rewritten: Vec<&ManifestFile> =
            affected.iter().filter_map(|position| state.manifests.get(*position)).collect();
        let live: i64 = rewritten.iter().map(|manifest| manifest.live_files()).sum();
        let staying = live.saturating_sub(count(removed.len()));
        let existing = if staying == 0 { Vec::new() } else { Self::existing(commit, content, &rewritten)? };
        if count(existing.len()) != staying {
            return Err(contradiction(format!(
                "{staying} files to stay in the rewritten manifests, got {}",
                existing.len()
            )));
        }
        Ok(Self { content, added, removed, kept, existing, by_month: false })
    }

    /// The live files of the rewritten manifests that are not removed.
    fn existing(commit: &'c Commit, content: FileContent, rewritten: &[&ManifestFile]) -> Result<Vec<&'c LiveFile>> {
        let Some(live) = &commit.live else {
            return Err(contradiction("all live files, because manifests must be rewritten, got none".to_owned()));
        };
        let removed: HashSet<&str> = commit.removed.iter().map(|live| live.file.key.as_str()).collect();
        let spans = |month: i32| {
            let mut spans = rewritten.iter().filter(|manifest| manifest.live_files() > 0);
            spans.any(|span| span.first_month <= month && month <= span.last_month)
        };
        let stays = |live: &&LiveFile| {
            live.file.content == content && spans(live.file.month) && !removed.contains(live.file.key.as_str())
        };
        Ok(live.iter().filter(stays).collect())
    }
}

fn months(months: impl Iterator<Item = i32>) -> BTreeSet<i32> {
    crate::types::sorting::set_of(months)
}

/// Writes the new manifests of the plans; all manifests of the snapshot, for each plan the new ones first.
pub(super) fn write_manifests(
    next: &TableState,
    commit: &Commit,
    snapshot_id: i64,
    plans: [ManifestPlan<'_>; 2],
    objects: &mut Vec<StagedObject>,
) -> Result<Vec<ManifestFile>> {
    let Some(schema) = next.current_schema() else {
        return Err(contradiction("a current schema, got none".to_owned()));
    };
    let sequence_number = next.last_sequence_number;
    let (base_uri, kind, attempt) = (next.base_uri.as_str(), next.kind, commit.attempt);
    let mut manifests = Vec::new();
    let mut number = 0_usize;
    for plan in plans {
        let content = plan.content;
        let context = ManifestContext { base_uri, kind, content, schema, attempt, snapshot_id, sequence_number };
        let added = plan.added.iter().map(|file| Entry::added(file, snapshot_id, sequence_number));
        let existing = plan.existing.iter().map(|live| Entry::existing(live));
        let deleted = plan.removed.iter().map(|live| Entry::deleted(live, snapshot_id));
        let mut entries: Vec<Entry<'_>> = added.chain(existing).chain(deleted).collect();
        sorting::sort_by(&mut entries, |left, right| {
            (left.file.month, &left.file.key).cmp(&(right.file.month, &right.file.key))
        });
        for group in group(entries, plan.by_month) {
            let (file, bytes) = manifest::write(&context, next.path.manifest(attempt, number), &group)?;
            number = number.saturating_add(1);
            objects.push(StagedObject { key: file.key.clone(), bytes, content_type: AVRO });
            manifests.push(file);
        }
        manifests.extend(plan.kept);
    }
    Ok(manifests)
}

/// The entries of each new manifest. Months of which nothing stays share one, which the next commit drops.
fn group(entries: Vec<Entry<'_>>, by_month: bool) -> Vec<Vec<Entry<'_>>> {
    let live = entries.iter().filter(|entry| entry.status != EntryStatus::Deleted);
    let live = months(live.map(|entry| entry.file.month));
    let mut groups: BTreeMap<Option<i32>, Vec<Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        let month = Some(entry.file.month).filter(|month| by_month && live.contains(month));
        groups.entry(month).or_default().push(entry);
    }
    groups.into_values().collect()
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
