//! Avro object container files, written so that the same records make the same bytes.
//!
//! The library's own container writer draws its sync marker at random and writes the header's metadata in the order of
//! a hash map, so a commit that is staged again after a crash would make other bytes under the same key. The framing
//! is therefore written here (Avro 1.11, "Object Container Files"): metadata sorted by key, and a marker passed in.
//! The library encodes the records. Blocks are not compressed: manifests are small.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

const MAGIC: &[u8; 4] = b"Obj\x01";
const MARKER_LENGTH: usize = 16;
/// A block is ended once it has this many bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// An object container file of `records`, which are of `schema` (Avro JSON, kept in the header as it is), with further
/// `metadata` in its header.
pub(super) fn write_container(
    schema: &str,
    metadata: &BTreeMap<&str, String>,
    marker: [u8; MARKER_LENGTH],
    records: impl Iterator<Item = Value>,
) -> Result<Vec<u8>> {
    let parsed = Schema::parse_str(schema).map_err(failed)?;
    let writer = GenericDatumWriter::builder(&parsed).build().map_err(failed)?;
    let mut file = header(schema, metadata, marker);
    let mut block = Vec::new();
    let mut count = 0;
    for record in records {
        writer.write_value_ref(&mut block, &record).map_err(failed)?;
        count += 1;
        if block.len() >= BLOCK_BYTES {
            end_block(&mut file, &mut block, &mut count, marker);
        }
    }
    end_block(&mut file, &mut block, &mut count, marker);
    Ok(file)
}

fn header(schema: &str, metadata: &BTreeMap<&str, String>, marker: [u8; MARKER_LENGTH]) -> Vec<u8> {
    let mut all: BTreeMap<&str, &str> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    all.insert("avro.codec", "null");
    all.insert("avro.schema", schema);
    let mut file = MAGIC.to_vec();
    write_long(length(all.len()), &mut file);
    for (key, value) in all {
        write_bytes(key.as_bytes(), &mut file);
        write_bytes(value.as_bytes(), &mut file);
    }
    write_long(0, &mut file);
    file.extend_from_slice(&marker);
    file
}

fn end_block(file: &mut Vec<u8>, block: &mut Vec<u8>, count: &mut i64, marker: [u8; MARKER_LENGTH]) {
    if *count == 0 {
        return;
    }
    write_long(*count, file);
    write_bytes(block, file);
    file.extend_from_slice(&marker);
    block.clear();
    *count = 0;
}

/// A record, fields in the order of its schema.
pub(super) fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A value of a union of null and one type.
pub(super) fn optional(value: Option<Value>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    }
}

/// An Avro long: zigzag, then 7 bits a byte, the least significant first.
fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(length(bytes.len()), out);
    out.extend_from_slice(bytes);
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn failed(error: apache_avro::Error) -> StorageError {
    let message = "expected records of the manifest's schema, got an error of the encoder";
    StorageError::new(ErrorKind::Internal, StorageTier::Cold, "write manifest", message).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long","field-id":7},{"name":"b","type":["null","bytes"],"default":null}]}"#;

    fn file(records: i64) -> Vec<u8> {
        let metadata = BTreeMap::from([("z", "1".to_owned()), ("a", "2".to_owned())]);
        let values = (0..records).map(|number| {
            let bytes = (number % 2 == 0).then(|| Value::Bytes(vec![7; 100]));
            record([("a", Value::Long(-number)), ("b", optional(bytes))])
        });
        write_container(SCHEMA, &metadata, [9; 16], values).unwrap()
    }

    #[test]
    fn the_library_reads_what_is_written() {
        for records in [0, 1, 5_000] {
            let bytes = file(records);
            assert_eq!(bytes, file(records));
            let reader = apache_avro::Reader::new(bytes.as_slice()).unwrap();
            assert_eq!(reader.user_metadata().get("z").map(Vec::as_slice), Some(b"1".as_slice()));
            let values: Vec<Value> = reader.map(|value| value.unwrap()).collect();
            assert_eq!(values.len(), usize::try_from(records).unwrap());
            if let Some(last) = values.last() {
                let Value::Record(fields) = last else { panic!("{last:?}") };
                assert_eq!(fields[0].1, Value::Long(1 - records));
            }
        }
    }

    #[test]
    fn longs_are_zigzag() {
        let written = |value| {
            let mut out = Vec::new();
            write_long(value, &mut out);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(-1), [1]);
        assert_eq!(written(64), [0x80, 1]);
        assert_eq!(written(i64::MIN), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }
}
