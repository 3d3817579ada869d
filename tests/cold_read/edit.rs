//! Metadata of a bucket, changed: Avro and JSON are decoded, edited and encoded again, and what names the edited
//! object's size is made to fit, so that a test breaks one thing only.

use apache_avro::types::Value;
use apache_avro::{Reader, Schema, Writer};
use thermocline::ports::native::MemoryBucket;

/// A record's fields.
pub type Fields = Vec<(String, Value)>;

pub fn metadata_key(bucket: &MemoryBucket, folder: &str) -> String {
    let hint = bucket.object(&format!("{folder}/metadata/version-hint.text")).unwrap().bytes;
    format!("{folder}/metadata/v{}.metadata.json", String::from_utf8(hint).unwrap())
}

pub fn metadata(bucket: &MemoryBucket, folder: &str) -> serde_json::Value {
    serde_json::from_slice(&bucket.object(&metadata_key(bucket, folder)).unwrap().bytes).unwrap()
}

/// Edits the current metadata file.
pub fn edit_metadata(bucket: &MemoryBucket, folder: &str, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut value = metadata(bucket, folder);
    edit(&mut value);
    bucket.overwrite(&metadata_key(bucket, folder), serde_json::to_vec(&value).unwrap());
}

/// The newest snapshot of the metadata.
pub fn newest(metadata: &mut serde_json::Value) -> &mut serde_json::Value {
    metadata["snapshots"].as_array_mut().unwrap().last_mut().unwrap()
}

fn key_of(location: &str) -> String {
    location.strip_prefix("s3://cold/").unwrap().to_owned()
}

/// The keys of the kept snapshots' manifest lists, oldest first.
pub fn lists(bucket: &MemoryBucket, folder: &str) -> Vec<String> {
    let metadata = metadata(bucket, folder);
    let snapshots = metadata["snapshots"].as_array().unwrap().iter();
    snapshots.map(|snapshot| key_of(snapshot["manifest-list"].as_str().unwrap())).collect()
}

/// The keys of the manifests of a list.
pub fn manifests(bucket: &MemoryBucket, list: &str) -> Vec<String> {
    let (_, records) = decode(&bucket.object(list).unwrap().bytes);
    records.iter().map(|record| key_of(text(field(record, "manifest_path")))).collect()
}

/// The newest snapshot's manifests.
pub fn newest_manifests(bucket: &MemoryBucket, folder: &str) -> Vec<String> {
    manifests(bucket, lists(bucket, folder).last().unwrap())
}

/// The paths of a manifest's files with a status.
pub fn paths(bucket: &MemoryBucket, manifest: &str, status: i32) -> Vec<String> {
    let (_, records) = decode(&bucket.object(manifest).unwrap().bytes);
    let with_status = records.iter().filter(|record| field(record, "status") == &Value::Int(status));
    with_status.map(|record| text(field(&data_file_of(record), "file_path")).to_owned()).collect()
}

/// The keys of the files that the newest snapshot adds. Manifests that it carries over have their entries as they were
/// written, added ones too.
pub fn added_files(bucket: &MemoryBucket, folder: &str) -> Vec<String> {
    let id = newest(&mut metadata(bucket, folder))["snapshot-id"].as_i64().unwrap();
    let mut added = Vec::new();
    for manifest in newest_manifests(bucket, folder) {
        for record in decode(&bucket.object(&manifest).unwrap().bytes).1 {
            let Value::Union(_, added_by) = field(&record, "snapshot_id") else { panic!() };
            if field(&record, "status") == &Value::Int(1) && **added_by == Value::Long(id) {
                added.push(key_of(text(field(&data_file_of(&record), "file_path"))));
            }
        }
    }
    added.sort();
    added
}

pub fn decode(bytes: &[u8]) -> (Schema, Vec<Fields>) {
    // Set once for the process, by whoever decodes first; the same as the reader that is tested sets.
    apache_avro::util::max_allocation_bytes(64 * 1024 * 1024);
    let reader = Reader::new(bytes).unwrap();
    let schema = reader.writer_schema().clone();
    let records = reader.map(|record| match record.unwrap() {
        Value::Record(fields) => fields,
        other => panic!("{other:?}"),
    });
    (schema, records.collect())
}

pub fn encode(schema: &Schema, records: Vec<Fields>) -> Vec<u8> {
    let mut writer = Writer::new(schema, Vec::new()).unwrap();
    for record in records {
        writer.append_value(Value::Record(record)).unwrap();
    }
    writer.into_inner().unwrap()
}

pub fn field<'f>(fields: &'f Fields, name: &str) -> &'f Value {
    &fields.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no field {name}")).1
}

pub fn set(fields: &mut Fields, name: &str, value: Value) {
    let found = fields.iter_mut().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no field {name}"));
    found.1 = match found.1 {
        Value::Union(..) => Value::Union(1, Box::new(value)),
        _ => value,
    };
}

pub fn text(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        other => panic!("{other:?}"),
    }
}

fn data_file_of(record: &Fields) -> Fields {
    match field(record, "data_file") {
        Value::Record(fields) => fields.clone(),
        other => panic!("{other:?}"),
    }
}

/// Edits the `data_file` of a manifest's entry.
pub fn edit_data_file(record: &mut Fields, edit: impl FnOnce(&mut Fields)) {
    let mut file = data_file_of(record);
    edit(&mut file);
    set(record, "data_file", Value::Record(file));
}

/// Edits the records of a manifest list.
pub fn edit_list(bucket: &MemoryBucket, list: &str, edit: impl FnOnce(&mut Vec<Fields>)) {
    let (schema, mut records) = decode(&bucket.object(list).unwrap().bytes);
    edit(&mut records);
    bucket.overwrite(list, encode(&schema, records));
}

/// Edits the entries of a manifest; the lists get its new length.
pub fn edit_manifest(bucket: &MemoryBucket, folder: &str, manifest: &str, edit: impl FnOnce(&mut Vec<Fields>)) {
    let (schema, mut records) = decode(&bucket.object(manifest).unwrap().bytes);
    edit(&mut records);
    put_manifest(bucket, folder, manifest, encode(&schema, records));
}

/// Puts other bytes of a manifest; the lists get its new length.
pub fn put_manifest(bucket: &MemoryBucket, folder: &str, manifest: &str, bytes: Vec<u8>) {
    let length = i64::try_from(bytes.len()).unwrap();
    bucket.overwrite(manifest, bytes);
    for list in lists(bucket, folder) {
        edit_list(bucket, &list, |records| {
            for record in records {
                if text(field(record, "manifest_path")).ends_with(manifest) {
                    set(record, "manifest_length", Value::Long(length));
                }
            }
        });
    }
}

/// Edits the entry of every manifest that is about the file `key`.
pub fn edit_entries(bucket: &MemoryBucket, folder: &str, key: &str, edit: impl Fn(&mut Fields)) {
    let mut manifests: Vec<String> = lists(bucket, folder).iter().flat_map(|list| manifests(bucket, list)).collect();
    manifests.sort();
    manifests.dedup();
    for manifest in manifests {
        let about = (0..3).any(|status| paths(bucket, &manifest, status).iter().any(|path| path.ends_with(key)));
        if about {
            edit_manifest(bucket, folder, &manifest, |records| {
                for record in records {
                    if text(field(&data_file_of(record), "file_path")).ends_with(key) {
                        edit(record);
                    }
                }
            });
        }
    }
}

/// Puts other bytes of a data file; its entries get its new size.
pub fn put_data_file(bucket: &MemoryBucket, folder: &str, key: &str, bytes: Vec<u8>) {
    let size = i64::try_from(bytes.len()).unwrap();
    bucket.overwrite(key, bytes);
    edit_entries(bucket, folder, key, |record| {
        edit_data_file(record, |file| set(file, "file_size_in_bytes", Value::Long(size)));
    });
}
