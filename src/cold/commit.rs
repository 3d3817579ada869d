//! Commits: the state of a table and what changes in, the next state and all objects of the commit out.
//!
//! Pure, so that a plan that is replayed makes the same objects under the same keys. The caller stages
//! [`BuiltCommit::objects`], makes [`BuiltCommit::state`] the authority, publishes [`BuiltCommit::metadata`] and the
//! version hint, and only then may delete [`BuiltCommit::garbage`], which it must have stored with the state.
//!
//! A commit rewrites the manifests of the months whose files it removes and carries the others over. The manifests of
//! a state table hold one month each while there are few; a change log gets one manifest a commit. Beyond
//! [`MANIFESTS_MAX`] they are merged into one.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::data_file::{DataFile, LiveFile};
use super::invariants::check_invariants;
use super::manifest::{self, Entry, EntryStatus, ManifestContext, ManifestFile};
use super::manifest_list::{self, ListContext};
use super::metadata;
use super::schema::{Schema, TableKind};
use super::table::{
    LoggedMetadata, MANIFESTS_MAX, METADATA_LOG_MAX, RetiredObject, SCHEMAS_MAX_BYTES, Snapshot, TableState, Totals,
};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{StorageTier, Timestamp};

const AVRO: &str = "application/avro";
const JSON: &str = "application/json";

/// What a commit does to a table, in the spec's words (spec, "Snapshots", summary field `operation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOperation {
    /// Files are added, none removed.
    Append,
    /// Files are replaced by others with other rows.
    Overwrite,
    /// Files are removed, none added.
    Delete,
    /// Files are replaced by others with the same rows.
    Replace,
}

impl CommitOperation {
    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Replace => "replace",
        }
    }
}

/// What a commit changes.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What it does.
    pub operation: CommitOperation,
    /// The attempt that its objects' keys contain.
    pub attempt: Uuid,
    /// Now, in Unix ms; never taken as earlier than the last commit.
    pub timestamp_ms: Timestamp,
    /// New data files, staged by the caller.
    pub added: Vec<DataFile>,
    /// Live files that it removes.
    pub removed: Vec<LiveFile>,
    /// All files that are live before it; asked for when [`TableState::needs_live_files`] says so.
    pub live: Option<Vec<LiveFile>>,
    /// The table's schema from now on; its number does not matter.
    pub schema: Schema,
    /// Further entries of the snapshot's summary, such as `thermocline.sequence`.
    pub summary: BTreeMap<String, String>,
    /// Snapshots and old metadata versions to keep, at most; at least 1.
    pub keep_snapshots: usize,
    /// Age at which a snapshot that is not the current one expires.
    pub keep_ms: i64,
}

/// An object to put into the bucket, create-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedObject {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its MIME type.
    pub content_type: &'static str,
}

/// A commit, made but not yet stored anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltCommit {
    /// The state after it.
    pub state: TableState,
    /// Manifests and the manifest list.
    pub objects: Vec<StagedObject>,
    /// The metadata file `v{N}.metadata.json`.
    pub metadata: StagedObject,
    /// The version hint, the pointer to publish last.
    pub version_hint: StagedObject,
    /// The added files as the live files they now are.
    pub added: Vec<LiveFile>,
    /// Keys that nothing reaches any more once this commit is published.
    pub garbage: Vec<String>,
}

/// The id of the snapshot that an attempt makes: positive, and at most 2^53 - 1, so that JSON readers which take
/// numbers for doubles keep it exact.
pub fn snapshot_id(attempt: Uuid) -> i64 {
    let (high, low) = attempt.as_u64_pair();
    // A UUID's version and variant are fixed; folding keeps what is random in both halves.
    let folded = (high.rotate_left(29) ^ low) & ((1 << 53) - 1);
    i64::try_from(folded.max(1)).unwrap_or(1)
}

/// Makes a commit. An error of kind `Corrupt` means that the inputs contradict each other; nothing has happened then.
pub fn plan_commit(state: &TableState, commit: &Commit) -> Result<BuiltCommit> {
    let snapshot_id = snapshot_id(commit.attempt);
    let mut next = state.clone();
    next.version = state.version.saturating_add(1);
    next.last_sequence_number = state.last_sequence_number.saturating_add(1);
    next.last_updated_ms = commit.timestamp_ms.max(state.last_updated_ms);
    set_schema(&mut next, &commit.schema);

    let plan = ManifestPlan::new(state, commit)?;
    let mut objects = Vec::new();
    next.manifests = write_manifests(&next, commit, snapshot_id, plan, &mut objects)?;
    next.totals = totals(state.totals, commit);
    push_snapshot(&mut next, state, commit, snapshot_id);
    objects.push(manifest_list(&next)?);
    retire(&mut next, state, commit);
    let garbage = expire(&mut next, state, commit);
    trim_schemas(&mut next);
    check_invariants(state, &next, commit, &garbage)?;

    let content = metadata::to_json(&next)?;
    let metadata = StagedObject { key: next.path.metadata(next.version), bytes: content, content_type: JSON };
    let hint = next.version.to_string().into_bytes();
    let version_hint = StagedObject { key: next.path.version_hint(), bytes: hint, content_type: "text/plain" };
    let live =
        |file: &DataFile| LiveFile { file: file.clone(), snapshot_id, sequence_number: next.last_sequence_number };
    let added = commit.added.iter().map(live).collect();
    Ok(BuiltCommit { state: next, objects, metadata, version_hint, added, garbage })
}

/// Makes `schema` the current one, under the number it had if it is kept, or the next.
fn set_schema(next: &mut TableState, schema: &Schema) {
    let known = next.schemas.iter().find(|known| known.same_fields(schema)).map(|known| known.schema_id);
    next.current_schema_id = known.unwrap_or_else(|| {
        next.last_schema_id = next.last_schema_id.saturating_add(1);
        let mut schema = schema.clone();
        schema.schema_id = next.last_schema_id;
        next.schemas.push(schema);
        next.last_schema_id
    });
    let highest = schema.fields.iter().map(|field| field.id).max().unwrap_or(0);
    next.last_column_id = next.last_column_id.max(highest);
}

/// Which manifests a commit carries over and which files go into new ones.
struct ManifestPlan {
    /// Carried over.
    kept: Vec<ManifestFile>,
    /// Files of rewritten manifests that stay.
    existing: Vec<LiveFile>,
    /// Whether each new manifest holds one month.
    by_month: bool,
}

impl ManifestPlan {
    fn new(state: &TableState, commit: &Commit) -> Result<Self> {
        let affected = state.rewritten_manifests(&commit.added, &commit.removed);
        let all = state.manifests.iter().enumerate();
        let kept = all.filter(|(position, manifest)| !affected.contains(position) && manifest.live_files() > 0);
        let kept = kept.map(|(_, manifest)| manifest.clone()).collect();
        let rewritten = || affected.iter().filter_map(|position| state.manifests.get(*position));
        let live: i64 = rewritten().map(ManifestFile::live_files).sum();
        let staying = live.saturating_sub(count(commit.removed.len()));
        let existing = if staying == 0 { Vec::new() } else { Self::existing(state, commit, &affected)? };
        if count(existing.len()) != staying {
            return Err(contradiction(format!(
                "{staying} files to stay in the rewritten manifests, got {}",
                existing.len()
            )));
        }
        let single =
            |manifest: &ManifestFile| manifest.live_files() == 0 || manifest.first_month == manifest.last_month;
        let staying_months = existing.iter().map(|live| live.file.month);
        let months = months(commit.added.iter().map(|file| file.month).chain(staying_months));
        let few = months.len() <= MANIFESTS_MAX;
        let by_month = state.kind == TableKind::State && few && rewritten().all(single);
        Ok(Self { kept, existing, by_month })
    }

    /// The live files of the rewritten manifests that are not removed.
    fn existing(state: &TableState, commit: &Commit, affected: &[usize]) -> Result<Vec<LiveFile>> {
        let Some(live) = &commit.live else {
            return Err(contradiction("all live files, because manifests must be rewritten, got none".to_owned()));
        };
        let removed: BTreeSet<&str> = commit.removed.iter().map(|live| live.file.key.as_str()).collect();
        let spans: Vec<&ManifestFile> = affected.iter().filter_map(|position| state.manifests.get(*position)).collect();
        let rewritten = |month: i32| {
            spans.iter().any(|span| span.live_files() > 0 && span.first_month <= month && month <= span.last_month)
        };
        let stays = |live: &&LiveFile| rewritten(live.file.month) && !removed.contains(live.file.key.as_str());
        Ok(live.iter().filter(stays).cloned().collect())
    }
}

fn months(months: impl Iterator<Item = i32>) -> BTreeSet<i32> {
    months.collect()
}

/// Writes the new manifests; all manifests of the snapshot, the new ones first.
fn write_manifests(
    next: &TableState,
    commit: &Commit,
    snapshot_id: i64,
    plan: ManifestPlan,
    objects: &mut Vec<StagedObject>,
) -> Result<Vec<ManifestFile>> {
    let sequence_number = next.last_sequence_number;
    let added = commit.added.iter().map(|file| Entry::added(file, snapshot_id, sequence_number));
    let existing = plan.existing.iter().map(Entry::existing);
    let deleted = commit.removed.iter().map(|live| Entry::deleted(live, snapshot_id));
    let mut entries: Vec<Entry<'_>> = added.chain(existing).chain(deleted).collect();
    entries.sort_by(|left, right| (left.file.month, &left.file.key).cmp(&(right.file.month, &right.file.key)));

    let Some(schema) = next.current_schema() else {
        return Err(contradiction("a current schema, got none".to_owned()));
    };
    let base_uri = next.base_uri.as_str();
    let attempt = commit.attempt;
    let context = ManifestContext { base_uri, kind: next.kind, schema, attempt, snapshot_id, sequence_number };
    let mut manifests = Vec::new();
    for (number, group) in group(entries, plan.by_month).iter().enumerate() {
        let (file, bytes) = manifest::write(&context, next.path.manifest(attempt, number), group)?;
        objects.push(StagedObject { key: file.key.clone(), bytes, content_type: AVRO });
        manifests.push(file);
    }
    manifests.extend(plan.kept);
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

fn totals(before: Totals, commit: &Commit) -> Totals {
    let bytes = |file: &DataFile| i64::try_from(file.file_size).unwrap_or(i64::MAX);
    let mut totals = before;
    for file in &commit.added {
        totals.files = totals.files.saturating_add(1);
        totals.records = totals.records.saturating_add(file.record_count);
        totals.bytes = totals.bytes.saturating_add(bytes(file));
    }
    for live in &commit.removed {
        totals.files = totals.files.saturating_sub(1);
        totals.records = totals.records.saturating_sub(live.file.record_count);
        totals.bytes = totals.bytes.saturating_sub(bytes(&live.file));
    }
    totals
}

fn push_snapshot(next: &mut TableState, state: &TableState, commit: &Commit, snapshot_id: i64) {
    next.snapshots.push(Snapshot {
        snapshot_id,
        parent_snapshot_id: state.current_snapshot().map(|snapshot| snapshot.snapshot_id),
        sequence_number: next.last_sequence_number,
        timestamp_ms: next.last_updated_ms,
        attempt: commit.attempt,
        summary: summary(next.totals, commit),
        schema_id: next.current_schema_id,
    });
}

/// The summary of a snapshot (spec, Appendix F, "Optional Snapshot Summary Fields"): what engines plan by. It is repeated
/// in every metadata file while the snapshot is kept, so sizes, which manifests tell, are left out.
fn summary(totals: Totals, commit: &Commit) -> BTreeMap<String, String> {
    let records = |sum: i64, file: &DataFile| sum.saturating_add(file.record_count);
    let mut summary = commit.summary.clone();
    let mut set = |name: &str, value: String| summary.insert(name.to_owned(), value);
    set("operation", commit.operation.name().to_owned());
    if !commit.added.is_empty() {
        set("added-data-files", commit.added.len().to_string());
        set("added-records", commit.added.iter().fold(0, records).to_string());
    }
    if !commit.removed.is_empty() {
        set("deleted-data-files", commit.removed.len().to_string());
        set("deleted-records", commit.removed.iter().map(|live| &live.file).fold(0, records).to_string());
    }
    set("total-data-files", totals.files.to_string());
    set("total-records", totals.records.to_string());
    set("total-position-deletes", "0".to_owned());
    summary
}

fn manifest_list(next: &TableState) -> Result<StagedObject> {
    let Some(snapshot) = next.current_snapshot() else {
        return Err(contradiction("a current snapshot, got none".to_owned()));
    };
    let context = ListContext {
        base_uri: &next.base_uri,
        attempt: snapshot.attempt,
        snapshot_id: snapshot.snapshot_id,
        parent_snapshot_id: snapshot.parent_snapshot_id,
        sequence_number: snapshot.sequence_number,
    };
    let bytes = manifest_list::write(&context, &next.manifests)?;
    Ok(StagedObject { key: next.manifest_list_key(snapshot), bytes, content_type: AVRO })
}

/// Notes what the current snapshot needs no more.
fn retire(next: &mut TableState, state: &TableState, commit: &Commit) {
    let until = next.last_sequence_number;
    let current: BTreeSet<&str> = next.manifests.iter().map(|manifest| manifest.key.as_str()).collect();
    let manifests = state.manifests.iter().filter(|manifest| !current.contains(manifest.key.as_str()));
    let manifests = manifests.map(|manifest| (manifest.key.clone(), manifest.sequence_number));
    let files = commit.removed.iter().map(|live| (live.file.key.clone(), live.sequence_number));
    next.retired.extend(manifests.chain(files).map(|(key, from)| RetiredObject { key, from, until }));
}

/// Expires snapshots and metadata versions; the keys that nothing kept reaches then.
fn expire(next: &mut TableState, state: &TableState, commit: &Commit) -> Vec<String> {
    let keep = commit.keep_snapshots.max(1);
    let oldest = next.last_updated_ms.saturating_sub(commit.keep_ms);
    let count = next.snapshots.len();
    let expired = |(position, snapshot): (usize, &Snapshot)| {
        position.saturating_add(1) < count && (count.saturating_sub(position) > keep || snapshot.timestamp_ms < oldest)
    };
    // Times never decrease, so what expires is at the front.
    let expiring = next.snapshots.iter().enumerate().take_while(|entry| expired(*entry)).count();
    let expired: Vec<Snapshot> = next.snapshots.drain(..expiring).collect();
    let mut garbage: Vec<String> = expired.iter().map(|snapshot| next.manifest_list_key(snapshot)).collect();

    let kept: Vec<i64> = next.snapshots.iter().map(|snapshot| snapshot.sequence_number).collect();
    let reached = |object: &RetiredObject| kept.iter().any(|number| (object.from..object.until).contains(number));
    let (waiting, free): (Vec<_>, Vec<_>) = std::mem::take(&mut next.retired).into_iter().partition(reached);
    next.retired = waiting;
    garbage.extend(free.into_iter().map(|object| object.key));

    if state.version > 0 {
        next.metadata_log.push(LoggedMetadata { version: state.version, timestamp_ms: state.last_updated_ms });
    }
    let surplus = next.metadata_log.len().saturating_sub(keep.min(METADATA_LOG_MAX));
    garbage.extend(next.metadata_log.drain(..surplus).map(|logged| next.path.metadata(logged.version)));
    garbage
}

/// Keeps the current schema and, within a bound, those that kept snapshots name.
fn trim_schemas(next: &mut TableState) {
    let named: BTreeSet<i32> = next.snapshots.iter().map(|snapshot| snapshot.schema_id).collect();
    let current = next.current_schema_id;
    let mut budget = SCHEMAS_MAX_BYTES;
    let mut kept: Vec<Schema> = Vec::new();
    for schema in next.schemas.drain(..).rev() {
        // An upper bound of the field's JSON, which is what the stored state and the metadata hold.
        let bytes = schema
            .fields
            .iter()
            .fold(0_usize, |sum, field| sum.saturating_add(field.name.len().saturating_mul(2)).saturating_add(96));
        if schema.schema_id == current {
            kept.push(schema);
        } else if named.contains(&schema.schema_id) && bytes <= budget {
            budget = budget.saturating_sub(bytes);
            kept.push(schema);
        }
    }
    kept.reverse();
    next.schemas = kept;
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn contradiction(expected: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "plan commit", format!("expected {expected}"))
}
