//! Avro object container files, written so that the same records make the same bytes.
//!
//! The library's own container writer draws its sync marker at random and writes the header's metadata in the order of
//! a hash map, so a commit that is staged again after a crash would make other bytes under the same key. The framing
//! is therefore written here (Avro 1.11, "Object Container Files"): metadata sorted by key, and a marker passed in. So
//! are the values ("Binary Encoding"), of which manifests have eight types: the library would bring its parser of
//! schemas, its decimals and its expressions to the worker for them. It reads in the tests what is written here. Blocks
//! are not compressed: manifests are small.

use crate::types::sorting;

const MAGIC: &[u8; 4] = b"Obj\x01";
const MARKER_LENGTH: usize = 16;
/// A block is ended once it has this many bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// A value. What its schema says is not asked: whoever makes values makes them of the schema that goes with them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Int(i32),
    Long(i64),
    Bytes(Vec<u8>),
    String(String),
    Array(Vec<Value>),
    /// The values of its fields, in the order of its schema.
    Record(Vec<Value>),
    /// A value of a union of null and one type.
    Optional(Option<Box<Value>>),
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(value) => out.push(u8::from(*value)),
            Self::Int(value) => write_long(i64::from(*value), out),
            Self::Long(value) => write_long(*value, out),
            Self::Bytes(bytes) => write_bytes(bytes, out),
            Self::String(text) => write_bytes(text.as_bytes(), out),
            Self::Array(items) => {
                if !items.is_empty() {
                    write_long(length(items.len()), out);
                    items.iter().for_each(|item| item.write(out));
                }
                write_long(0, out);
            }
            Self::Record(fields) => fields.iter().for_each(|field| field.write(out)),
            Self::Optional(None) => write_long(0, out),
            Self::Optional(Some(value)) => {
                write_long(1, out);
                value.write(out);
            }
        }
    }
}

/// An object container file of `records`, which are of `schema` (Avro JSON, kept in the header as it is), with further
/// `metadata` in its header.
pub(super) fn write_container(
    schema: &str,
    metadata: &[(&str, String)],
    marker: [u8; MARKER_LENGTH],
    records: impl Iterator<Item = Value>,
) -> Vec<u8> {
    let mut file = header(schema, metadata, marker);
    let mut block = Vec::new();
    let mut count = 0;
    for record in records {
        record.write(&mut block);
        count += 1;
        if block.len() >= BLOCK_BYTES {
            end_block(&mut file, &mut block, &mut count, marker);
        }
    }
    end_block(&mut file, &mut block, &mut count, marker);
    file
}

fn header(schema: &str, metadata: &[(&str, String)], marker: [u8; MARKER_LENGTH]) -> Vec<u8> {
    let mut all = vec![("avro.codec", "null"), ("avro.schema", schema)];
    all.extend(metadata.iter().map(|(key, value)| (*key, value.as_str())));
    sorting::sort_by(&mut all, Ord::cmp);
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

/// A record, fields in the order of its schema; their names are for those who read the code.
pub(super) fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.into_iter().map(|(_, value)| value).collect())
}

/// A value of a union of null and one type.
pub(super) fn optional(value: Option<Value>) -> Value {
    Value::Optional(value.map(Box::new))
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

#[cfg(test)]
mod tests {
    use super::*;

    use apache_avro::types::Value as Read;

    /// Every type that there is a value of.
    const SCHEMA: &str = concat!(
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long","field-id":7},"#,
        r#"{"name":"b","type":["null","bytes"],"default":null},{"name":"c","type":"int"},{"name":"d","type":"string"},"#,
        r#"{"name":"e","type":{"type":"array","items":"boolean"}},"#,
        r#"{"name":"f","type":{"type":"record","name":"g","fields":[{"name":"h","type":["null","int"]}]}}]}"#,
    );

    fn file(records: i32) -> Vec<u8> {
        let metadata = [("z", "1".to_owned()), ("a", "2".to_owned())];
        let values = (0..records).map(|number| {
            let even = number % 2 == 0;
            record([
                ("a", Value::Long(i64::MIN + i64::from(number))),
                ("b", optional(even.then(|| Value::Bytes(vec![7; 100])))),
                ("c", Value::Int(-number)),
                ("d", Value::String(format!("ä{number}"))),
                ("e", Value::Array(if even { Vec::new() } else { vec![Value::Boolean(true), Value::Boolean(false)] })),
                ("f", record([("h", optional((!even).then_some(Value::Int(number))))])),
            ])
        });
        write_container(SCHEMA, &metadata, [9; 16], values)
    }

    /// What the library should read of a record.
    fn read(number: i32) -> Read {
        let even = number % 2 == 0;
        let option = |value: Option<Read>| match value {
            None => Read::Union(0, Box::new(Read::Null)),
            Some(value) => Read::Union(1, Box::new(value)),
        };
        let flags = if even { Vec::new() } else { vec![Read::Boolean(true), Read::Boolean(false)] };
        let fields = [
            ("a", Read::Long(i64::MIN + i64::from(number))),
            ("b", option(even.then(|| Read::Bytes(vec![7; 100])))),
            ("c", Read::Int(-number)),
            ("d", Read::String(format!("ä{number}"))),
            ("e", Read::Array(flags)),
            ("f", Read::Record(vec![("h".to_owned(), option((!even).then_some(Read::Int(number))))])),
        ];
        Read::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    #[test]
    fn the_library_reads_what_is_written() {
        for records in [0, 1, 5_000] {
            let bytes = file(records);
            assert_eq!(bytes, file(records));
            let reader = apache_avro::Reader::new(bytes.as_slice()).unwrap();
            assert_eq!(reader.user_metadata().get("z").map(Vec::as_slice), Some(b"1".as_slice()));
            let values: Vec<Read> = reader.map(|value| value.unwrap()).collect();
            assert_eq!(values, (0..records).map(read).collect::<Vec<_>>());
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
