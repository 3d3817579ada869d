//! Manifest lists: the manifests of a snapshot (spec, "Manifest Lists").

use uuid::Uuid;

use super::avro::{Value, optional, record, write_container};
use super::manifest::{ManifestFile, content_number};
use super::paths::location;

/// The Avro schema of `manifest_file`, with the spec's field ids.
const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"manifest_file","fields":["#,
    r#"{"name":"manifest_path","type":"string","field-id":500},"#,
    r#"{"name":"manifest_length","type":"long","field-id":501},"#,
    r#"{"name":"partition_spec_id","type":"int","field-id":502},"#,
    r#"{"name":"content","type":"int","field-id":517},"#,
    r#"{"name":"sequence_number","type":"long","field-id":515},"#,
    r#"{"name":"min_sequence_number","type":"long","field-id":516},"#,
    r#"{"name":"added_snapshot_id","type":"long","field-id":503},"#,
    r#"{"name":"added_files_count","type":"int","field-id":504},"#,
    r#"{"name":"existing_files_count","type":"int","field-id":505},"#,
    r#"{"name":"deleted_files_count","type":"int","field-id":506},"#,
    r#"{"name":"added_rows_count","type":"long","field-id":512},"#,
    r#"{"name":"existing_rows_count","type":"long","field-id":513},"#,
    r#"{"name":"deleted_rows_count","type":"long","field-id":514},"#,
    r#"{"name":"partitions","type":["null",{"type":"array","element-id":508,"items":{"type":"record","name":"r508","fields":["#,
    r#"{"name":"contains_null","type":"boolean","field-id":509},"#,
    r#"{"name":"contains_nan","type":["null","boolean"],"default":null,"field-id":518},"#,
    r#"{"name":"lower_bound","type":["null","bytes"],"default":null,"field-id":510},"#,
    r#"{"name":"upper_bound","type":["null","bytes"],"default":null,"field-id":511}]}}],"default":null,"field-id":507},"#,
    r#"{"name":"key_metadata","type":["null","bytes"],"default":null,"field-id":519}]}"#,
);

/// The snapshot that a list belongs to.
pub(super) struct ListContext<'a> {
    pub base_uri: &'a str,
    pub attempt: Uuid,
    pub snapshot_id: i64,
    pub parent_snapshot_id: Option<i64>,
    pub sequence_number: i64,
}

/// Writes the list of a snapshot's manifests.
pub(super) fn write(context: &ListContext<'_>, manifests: &[ManifestFile]) -> Vec<u8> {
    let parent = context.parent_snapshot_id.map_or_else(|| "null".to_owned(), |id| id.to_string());
    let metadata = [
        ("snapshot-id", context.snapshot_id.to_string()),
        ("parent-snapshot-id", parent),
        ("sequence-number", context.sequence_number.to_string()),
        ("format-version", "2".to_owned()),
    ];
    let records = manifests.iter().map(|manifest| manifest_value(context.base_uri, manifest));
    write_container(SCHEMA, &metadata, *context.attempt.as_bytes(), records)
}

fn manifest_value(base_uri: &str, manifest: &ManifestFile) -> Value {
    let month = |month: i32| optional(Some(Value::Bytes(month.to_le_bytes().to_vec())));
    let partition = record([
        ("contains_null", Value::Boolean(false)),
        ("contains_nan", optional(Some(Value::Boolean(false)))),
        ("lower_bound", month(manifest.first_month)),
        ("upper_bound", month(manifest.last_month)),
    ]);
    record([
        ("manifest_path", Value::String(location(base_uri, &manifest.key))),
        ("manifest_length", Value::Long(manifest.length)),
        ("partition_spec_id", Value::Int(0)),
        ("content", Value::Int(content_number(manifest.content))),
        ("sequence_number", Value::Long(manifest.sequence_number)),
        ("min_sequence_number", Value::Long(manifest.min_sequence_number)),
        ("added_snapshot_id", Value::Long(manifest.added_snapshot_id)),
        ("added_files_count", Value::Int(manifest.added_files)),
        ("existing_files_count", Value::Int(manifest.existing_files)),
        ("deleted_files_count", Value::Int(manifest.deleted_files)),
        ("added_rows_count", Value::Long(manifest.added_rows)),
        ("existing_rows_count", Value::Long(manifest.existing_rows)),
        ("deleted_rows_count", Value::Long(manifest.deleted_rows)),
        ("partitions", optional(Some(Value::Array(vec![partition])))),
        ("key_metadata", optional(None)),
    ])
}
