//! Metadata that is damaged or made to do harm: a clean error that names the object, whatever is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use thermocline::cold::read::{Expected, Table};
use thermocline::error::{ErrorKind, StorageError};
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::types::StorageTier;

use super::edit::{decode, encode, lists, metadata_key, newest_manifests, put_manifest, set};
use super::scenario::{STATE, open, scenario};

/// All rows, or the error.
fn rows(bucket: &MemoryBucket) -> Result<Vec<serde_json::Value>, StorageError> {
    let table = run(Table::open(bucket, STATE, Expected::default())).done().unwrap()?;
    run(table.rows(bucket)).done().unwrap()
}

fn assert_corrupt(bucket: &MemoryBucket, what: &str) -> StorageError {
    let error = rows(bucket).expect_err(what);
    assert_eq!((error.kind(), error.tier()), (ErrorKind::Corrupt, StorageTier::Cold), "{what}: {error}");
    error
}

/// An Avro long.
fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while rest > 0x7f {
        out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
    out
}

/// An Avro file of a schema, with one block that says it has `count` records and `length` bytes.
fn container(schema: &str, codec: &str, (count, length): (i64, i64), block: &[u8]) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    file.extend(long(2));
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        for text in [key, value] {
            file.extend(long(i64::try_from(text.len()).unwrap()));
            file.extend(text.as_bytes());
        }
    }
    file.extend(long(0));
    file.extend([7; 16]);
    file.extend(long(count));
    file.extend(long(length));
    file.extend(block);
    file.extend([7; 16]);
    file
}

#[test]
fn every_truncated_or_foreign_object_is_told() {
    let whole = scenario();
    let list = lists(&whole.bucket, STATE).pop().unwrap();
    let manifest = newest_manifests(&whole.bucket, STATE).remove(0);
    for key in [metadata_key(&whole.bucket, STATE), manifest, list.clone()] {
        let bytes = whole.bucket.object(&key).unwrap().bytes;
        for length in (1..bytes.len()).step_by(7) {
            let bucket = whole.copy();
            bucket.overwrite(&key, &bytes[..length]);
            // A list that ends where a block would begin is whole by Avro's rules; its summary tells, which fsck reads.
            match rows(&bucket) {
                Ok(rows) => assert!(key == list && rows.is_empty(), "{key} cut at {length}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{key} cut at {length}: {error}"),
            }
        }
        for other in [&b"PAR1"[..], b"Obj\x01", b"{}", b"\0", &[0xff; 100]] {
            let bucket = whole.copy();
            bucket.overwrite(&key, other);
            let error = assert_corrupt(&bucket, &key);
            assert!(error.message().contains(&key), "{error}");
        }
    }
}

#[test]
fn counts_and_lengths_that_no_file_has_are_refused() {
    let whole = scenario();
    let manifest = newest_manifests(&whole.bucket, STATE).remove(0);
    let list = lists(&whole.bucket, STATE).pop().unwrap();
    let plain = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"bytes","field-id":1}]}"#;
    let nothing = r#"{"type":"record","name":"r","fields":[]}"#;
    let nulls =
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":"null"},"field-id":1}]}"#;
    let endless = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"r","field-id":1}]}"#;
    let fixed = r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"fixed","name":"f","size":9223372036854775807},"field-id":1}]}"#;
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(40), "}".repeat(40));
    let deep = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":{deep},"field-id":1}}]}}"#);
    // Deflate: a stored block of one byte that says it has 65,535.
    let cases = [
        ("a block longer than memory", container(plain, "null", (1, i64::MAX), b"")),
        ("a block longer than the file", container(plain, "null", (1, 1 << 40), b"")),
        ("a negative length", container(plain, "null", (1, -1), b"")),
        ("a negative count", container(plain, "null", (-1, 0), b"")),
        ("bytes longer than the block", container(plain, "null", (1, 10), &[long(1 << 40), vec![0; 4]].concat())),
        ("endless records without bytes", container(nothing, "null", (i64::MAX, 0), b"")),
        ("an endless list of nulls", container(nulls, "null", (1, 9), &long(1 << 60))),
        ("a type that contains itself", container(endless, "null", (1, 0), b"")),
        ("a fixed type larger than memory", container(fixed, "null", (1, 0), b"")),
        ("a schema nested deeply", container(&deep, "null", (1, 0), b"")),
        ("a codec that is not there", container(plain, "zstandard", (1, 0), b"")),
        ("a broken deflate block", container(plain, "deflate", (1, 5), &[1, 0xff, 0xff, 0, 0])),
        ("a schema that is none", container("7", "null", (1, 0), b"")),
    ];
    for (what, bytes) in cases {
        let bucket = whole.copy();
        put_manifest(&bucket, STATE, &manifest, bytes.clone());
        assert_corrupt(&bucket, &format!("{what} in a manifest"));
        let bucket = whole.copy();
        bucket.overwrite(&list, bytes);
        assert_corrupt(&bucket, &format!("{what} in a manifest list"));
    }
}

#[test]
fn a_deflated_bomb_is_refused_and_a_deflated_manifest_read() {
    use apache_avro::{Codec, Schema, Writer, types::Value};
    let whole = scenario();
    let manifest = newest_manifests(&whole.bucket, STATE).remove(0);
    let deflated = |schema: &Schema, records: Vec<Value>| {
        let mut writer = Writer::with_codec(schema, Vec::new(), Codec::Deflate(Default::default())).unwrap();
        for record in records {
            writer.append_value(record).unwrap();
        }
        writer.into_inner().unwrap()
    };
    let (schema, records) = decode(&whole.bucket.object(&manifest).unwrap().bytes);
    let bucket = whole.copy();
    put_manifest(&bucket, STATE, &manifest, deflated(&schema, records.into_iter().map(Value::Record).collect()));
    assert_eq!(rows(&bucket).unwrap(), rows(&whole.bucket).unwrap());

    let plain = Schema::parse_str(r#"{"type":"record","name":"r","fields":[{"name":"a","type":"bytes"}]}"#).unwrap();
    let bomb = Value::Record(vec![("a".to_owned(), Value::Bytes(vec![0; 80 * 1024 * 1024]))]);
    let bytes = deflated(&plain, vec![bomb]);
    assert!(bytes.len() < 1024 * 1024);
    put_manifest(&bucket, STATE, &manifest, bytes);
    assert_corrupt(&bucket, "a bomb");
}

#[test]
fn values_out_of_their_range_are_told() {
    use apache_avro::types::Value;
    let whole = scenario();
    let manifest = newest_manifests(&whole.bucket, STATE).remove(0);
    let list = lists(&whole.bucket, STATE).pop().unwrap();
    for (name, value) in [
        ("content", Value::Int(7)),
        ("content", Value::Int(1)),
        ("added_rows_count", Value::Long(-1)),
        ("sequence_number", Value::Long(-1)),
        ("manifest_length", Value::Long(i64::MAX)),
        ("manifest_path", Value::String("s3://cold/../x".to_owned())),
    ] {
        let bucket = whole.copy();
        super::edit::edit_list(&bucket, &list, |records| set(&mut records[0], name, value.clone()));
        assert_corrupt(&bucket, name);
    }
    let bucket = whole.copy();
    super::edit::edit_manifest(&bucket, STATE, &manifest, |records| set(&mut records[0], "status", Value::Int(3)));
    assert_corrupt(&bucket, "status");
    for (name, value) in [
        ("record_count", Value::Long(-1)),
        ("record_count", Value::Long(i64::MAX)),
        ("file_size_in_bytes", Value::Long(0)),
        ("content", Value::Int(1)),
    ] {
        let bucket = whole.copy();
        super::edit::edit_manifest(&bucket, STATE, &manifest, |records| {
            for record in records {
                super::edit::edit_data_file(record, |file| set(file, name, value.clone()));
            }
        });
        assert_corrupt(&bucket, name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn changed_bytes_of_a_manifest_are_an_error_or_other_rows(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        thread_local! {
            static WHOLE: (MemoryBucket, String) = {
                let whole = scenario();
                (whole.copy(), newest_manifests(&whole.bucket, STATE).remove(0))
            };
        }
        let outcome = WHOLE.with(|(whole, manifest)| {
            let bytes = whole.object(manifest).unwrap().bytes;
            let mut damaged = bytes.clone();
            for (index, value) in &changes {
                damaged[index.index(bytes.len())] = *value;
            }
            whole.overwrite(manifest, damaged);
            let table = open(whole, STATE);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let snapshot = table.metadata.current_snapshot("k").unwrap().unwrap();
                run(table.plan(whole, snapshot)).done().unwrap().map(|_| ())
            }));
            whole.overwrite(manifest, bytes);
            outcome
        });
        match outcome {
            Ok(Err(error)) => prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid), "{}", error),
            Ok(Ok(())) => {}
            Err(_) => prop_assert!(false, "a panic on {:?}", changes),
        }
    }
}

#[test]
fn an_edited_manifest_without_optional_fields_is_read() {
    // What other writers leave out: bounds, counts, sort order, split offsets.
    let whole = scenario();
    let manifest = newest_manifests(&whole.bucket, STATE).remove(0);
    let (_, records) = decode(&whole.bucket.object(&manifest).unwrap().bytes);
    let least = r#"{"type":"record","name":"manifest_entry","fields":[{"name":"status","type":"int","field-id":0},
        {"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
        {"name":"content","type":"int","field-id":134},{"name":"file_path","type":"string","field-id":100},
        {"name":"file_format","type":"string","field-id":101},
        {"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[
        {"name":"_ts_month","type":["null","int"],"field-id":1000}]}},
        {"name":"record_count","type":"long","field-id":103},{"name":"file_size_in_bytes","type":"long","field-id":104}]}}]}"#;
    let schema = apache_avro::Schema::parse_str(least).unwrap();
    let added =
        records.into_iter().filter(|record| super::edit::field(record, "status") == &apache_avro::types::Value::Int(1));
    let least = added.map(|mut record| {
        super::edit::edit_data_file(&mut record, |file| file.truncate(6));
        record.retain(|(name, _)| name == "status" || name == "data_file");
        record
    });
    let bytes = encode(&schema, least.collect());
    let bucket = whole.copy();
    put_manifest(&bucket, STATE, &manifest, bytes);
    assert_eq!(rows(&bucket).unwrap(), rows(&whole.bucket).unwrap());
}
