//! Commits: the state of a table and what changes in, the next state and all objects of the commit out.
//!
//! Pure, so that a plan that is replayed makes the same objects under the same keys. The caller stages
//! [`BuiltCommit::objects`], makes [`BuiltCommit::state`] the authority, publishes [`BuiltCommit::metadata`] and the
//! version hint, and only then may delete [`BuiltCommit::garbage`], which it must have stored with the state.
//!
//! Which manifests it writes is told in [`super::manifest_plan`].

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::data_file::{DataFile, LiveFile};
use super::invariants::check_invariants;
use super::manifest_list::{self, ListContext};
use super::manifest_plan::{ManifestPlan, write_manifests};
use super::metadata;
use super::retention::{Retention, expire};
use super::schema::Schema;
use super::summary::{summary, totals};
use super::table::{RetiredObject, SCHEMAS_MAX_BYTES, Snapshot, TableState};
use super::tags::add_tag;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{StorageTier, Timestamp};

pub(super) const AVRO: &str = "application/avro";
const JSON: &str = "application/json";

/// What a commit does to a table, in the spec's words (spec, "Snapshots", summary field `operation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOperation {
    /// Files are added, none removed.
    Append,
    /// Rows are replaced by others: files removed and added, delete files among them or not.
    Overwrite,
    /// Rows are deleted, none added: data files are removed, delete files added or replaced.
    Delete,
    /// Files are replaced by others with the same rows.
    Replace,
}

impl CommitOperation {
    pub(super) fn name(self) -> &'static str {
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
    /// New data files and delete files, staged by the caller.
    pub added: Vec<DataFile>,
    /// Live files of both contents that it removes.
    pub removed: Vec<LiveFile>,
    /// All files that are live before it; asked for when [`TableState::needs_live_files`] says so.
    pub live: Option<Vec<LiveFile>>,
    /// The table's schema from now on; its number does not matter.
    pub schema: Schema,
    /// Further entries of the snapshot's summary, such as `thermocline.sequence`.
    pub summary: BTreeMap<String, String>,
    /// Names for the snapshot that it makes; it is kept as long as it has one.
    pub tags: Vec<String>,
    /// See [`Retention::keep_snapshots`].
    pub keep_snapshots: usize,
    /// See [`Retention::keep_ms`].
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

/// Makes a commit. An error of kind `Corrupt` means that the inputs contradict each other; tags are refused as
/// [`retag`](super::tags::retag) refuses them. Nothing has happened then.
pub fn plan_commit(state: &TableState, commit: &Commit) -> Result<BuiltCommit> {
    let snapshot_id = snapshot_id(commit.attempt);
    let mut next = next_version(state, commit.timestamp_ms);
    next.last_sequence_number = state.last_sequence_number.saturating_add(1);
    set_schema(&mut next, &commit.schema);

    let plans = [ManifestPlan::of_data(state, commit)?, ManifestPlan::of_deletes(state, commit)?];
    let mut objects = Vec::new();
    next.manifests = write_manifests(&next, commit, snapshot_id, plans, &mut objects)?;
    next.totals = totals(state.totals, commit);
    push_snapshot(&mut next, state, commit, snapshot_id);
    objects.push(manifest_list(&next)?);
    retire(&mut next, state, commit);
    tag(&mut next, commit, snapshot_id)?;
    let retention = Retention { keep_snapshots: commit.keep_snapshots, keep_ms: commit.keep_ms };
    let garbage = expire(&mut next, state, retention);
    trim_schemas(&mut next);
    check_invariants(state, &next, commit, &garbage)?;

    let (metadata, version_hint) = published(&next)?;
    let live =
        |file: &DataFile| LiveFile { file: file.clone(), snapshot_id, sequence_number: next.last_sequence_number };
    let added = commit.added.iter().map(live).collect();
    Ok(BuiltCommit { state: next, objects, metadata, version_hint, added, garbage })
}

/// The state as the next version of its metadata begins, at `now` (Unix ms).
pub(super) fn next_version(state: &TableState, now: Timestamp) -> TableState {
    let mut next = state.clone();
    next.format = TableState::FORMAT;
    next.version = state.version.saturating_add(1);
    next.last_updated_ms = now.max(state.last_updated_ms);
    next
}

/// A next version without a new snapshot: nothing is to be put but its metadata file and the hint.
pub(super) fn of_metadata(next: TableState, garbage: Vec<String>) -> Result<BuiltCommit> {
    let (metadata, version_hint) = published(&next)?;
    Ok(BuiltCommit { state: next, objects: Vec::new(), metadata, version_hint, added: Vec::new(), garbage })
}

/// The metadata file of a state, and the hint that names it.
fn published(state: &TableState) -> Result<(StagedObject, StagedObject)> {
    let (key, bytes) = (state.path.metadata(state.version), metadata::to_json(state)?);
    let metadata = StagedObject { key, bytes, content_type: JSON };
    let hint = state.version.to_string().into_bytes();
    Ok((metadata, StagedObject { key: state.path.version_hint(), bytes: hint, content_type: "text/plain" }))
}

/// Names the snapshot that the commit makes.
fn tag(next: &mut TableState, commit: &Commit, snapshot_id: i64) -> Result<()> {
    commit.tags.iter().try_for_each(|name| add_tag(next, name, snapshot_id))
}

/// Makes `schema` the current one, under the number it had if it is kept, or the next.
pub(super) fn set_schema(next: &mut TableState, schema: &Schema) {
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

fn push_snapshot(next: &mut TableState, state: &TableState, commit: &Commit, snapshot_id: i64) {
    next.snapshots.push(Snapshot {
        snapshot_id,
        parent_snapshot_id: state.current_snapshot().map(|snapshot| snapshot.snapshot_id),
        sequence_number: next.last_sequence_number,
        version: next.version,
        timestamp_ms: next.last_updated_ms,
        attempt: commit.attempt,
        summary: summary(next.totals, commit),
        schema_id: next.current_schema_id,
    });
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
    let bytes = manifest_list::write(&context, &next.manifests);
    Ok(StagedObject { key: next.manifest_list_key(snapshot), bytes, content_type: AVRO })
}

/// Notes what the current snapshot needs no more.
fn retire(next: &mut TableState, state: &TableState, commit: &Commit) {
    let until = next.last_sequence_number;
    let current: HashSet<&str> = next.manifests.iter().map(|manifest| manifest.key.as_str()).collect();
    let manifests = state.manifests.iter().filter(|manifest| !current.contains(manifest.key.as_str()));
    let manifests = manifests.map(|manifest| (manifest.key.clone(), manifest.sequence_number));
    let files = commit.removed.iter().map(|live| (live.file.key.clone(), live.sequence_number));
    next.retired.extend(manifests.chain(files).map(|(key, from)| RetiredObject { key, from, until }));
}

/// Keeps the current schema and, within a bound, those that kept snapshots name.
pub(super) fn trim_schemas(next: &mut TableState) {
    let named: HashSet<i32> = next.snapshots.iter().map(|snapshot| snapshot.schema_id).collect();
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

/// The error for inputs that do not belong together.
pub(super) fn contradiction(expected: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "plan commit", format!("expected {expected}"))
}
