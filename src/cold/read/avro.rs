//! Avro object container files, read with the library within bounds of this module's own.
//!
//! The library bounds an allocation by one setting of the whole process, and believes the writer's schema: a type that
//! refers to itself would be decoded until the stack ends, and a `fixed` type allocates what it says. So the header is
//! read first, its schema is proved to be a small tree, and only then are records decoded, as many as are bounded.
//! Fields are found by the spec's field ids, not by their names, which have changed over time.

use std::io::ErrorKind as IoKind;

use apache_avro::schema::{RecordSchema, Schema};
use apache_avro::types::Value;
use apache_avro::{Reader, error::Details};

use super::objects::{METADATA_MAX_BYTES, unreadable};
use super::types::FIXED_MAX_BYTES;
use crate::cold::statistics::big_endian;
use crate::error::{Result, StorageError};
use crate::vortex::Scalar;

/// Entries of one manifest or manifest list.
const RECORDS_MAX: usize = 1_000_000;
/// Nesting of a schema: those of the spec have five levels.
const DEPTH_MAX: usize = 16;

/// A file's records.
pub(super) struct Container<'k> {
    key: &'k str,
    schema: Schema,
    records: Vec<Value>,
}

/// One record with its schema.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    key: &'a str,
    schema: &'a RecordSchema,
    fields: &'a [(String, Value)],
}

/// Reads all records of the object `key`.
pub(super) fn read_container<'k>(key: &'k str, bytes: &[u8]) -> Result<Container<'k>> {
    // Kept for the whole process from the first call on; nothing else here decodes Avro.
    apache_avro::util::max_allocation_bytes(usize::try_from(METADATA_MAX_BYTES).unwrap_or(usize::MAX));
    let reader = Reader::new(bytes).map_err(|error| broken(key, error))?;
    let schema = reader.writer_schema().clone();
    if !is_bounded(&schema, DEPTH_MAX) {
        return Err(unreadable(key, "an Avro schema of nested records without references, got another"));
    }
    let mut records = Vec::new();
    for record in reader {
        if records.len() >= RECORDS_MAX {
            return Err(unreadable(key, &format!("at most {RECORDS_MAX} Avro records, got more")));
        }
        records.push(record.map_err(|error| broken(key, error))?);
    }
    Ok(Container { key, schema, records })
}

impl Container<'_> {
    /// The records in order.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'_>>> {
        self.records.iter().map(|value| match (&self.schema, value) {
            (Schema::Record(schema), Value::Record(fields)) => Ok(Record { key: self.key, schema, fields }),
            _ => Err(unreadable(self.key, "Avro records, got other values")),
        })
    }
}

impl<'a> Record<'a> {
    /// A value and its schema, unions resolved; `None` when it is absent or null.
    fn value(&self, id: i32) -> Option<(&'a Schema, &'a Value)> {
        let is_it = |field: &&apache_avro::schema::RecordField| field_id(field) == Some(id);
        let field = self.schema.fields.iter().find(is_it)?;
        let (_, value) = self.fields.iter().find(|(name, _)| *name == field.name)?;
        resolve(&field.schema, value)
    }

    pub(super) fn optional_long(&self, id: i32, name: &str) -> Result<Option<i64>> {
        match self.value(id) {
            None => Ok(None),
            Some((_, Value::Long(value))) => Ok(Some(*value)),
            Some((_, Value::Int(value))) => Ok(Some(i64::from(*value))),
            Some(_) => Err(self.expected(&format!("{name} to be a number"))),
        }
    }

    pub(super) fn long(&self, id: i32, name: &str) -> Result<i64> {
        self.optional_long(id, name)?.ok_or_else(|| self.expected(&format!("a value of {name}")))
    }

    pub(super) fn optional_int(&self, id: i32, name: &str) -> Result<Option<i32>> {
        let narrow = |value| i32::try_from(value).map_err(|_| self.expected(&format!("{name} to fit 32 bits")));
        self.optional_long(id, name)?.map(narrow).transpose()
    }

    pub(super) fn string(&self, id: i32, name: &str) -> Result<String> {
        match self.value(id) {
            Some((_, Value::String(text))) => Ok(text.clone()),
            _ => Err(self.expected(&format!("{name} to be text"))),
        }
    }

    pub(super) fn optional_string(&self, id: i32, name: &str) -> Result<Option<String>> {
        if self.value(id).is_none() { Ok(None) } else { self.string(id, name).map(Some) }
    }

    pub(super) fn optional_boolean(&self, id: i32) -> Option<bool> {
        match self.value(id) {
            Some((_, Value::Boolean(value))) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn optional_bytes(&self, id: i32) -> Option<Vec<u8>> {
        match self.value(id) {
            Some((_, Value::Bytes(bytes))) => Some(bytes.clone()),
            _ => None,
        }
    }

    pub(super) fn record(&self, id: i32, name: &str) -> Result<Record<'a>> {
        match self.value(id) {
            Some((Schema::Record(schema), Value::Record(fields))) => Ok(Record { key: self.key, schema, fields }),
            _ => Err(self.expected(&format!("{name} to be a record"))),
        }
    }

    /// The items of a list of records; none when it is absent.
    pub(super) fn records(&self, id: i32, name: &str) -> Result<Vec<Record<'a>>> {
        let Some((schema, value)) = self.value(id) else { return Ok(Vec::new()) };
        let (Schema::Array(array), Value::Array(items)) = (schema, value) else {
            return Err(self.expected(&format!("{name} to be a list")));
        };
        let item = |item: &'a Value| match resolve(&array.items, item) {
            Some((Schema::Record(schema), Value::Record(fields))) => Ok(Record { key: self.key, schema, fields }),
            _ => Err(self.expected(&format!("{name} to be a list of records"))),
        };
        items.iter().map(item).collect()
    }

    /// The items of a list of numbers; none when it is absent.
    pub(super) fn longs(&self, id: i32, name: &str) -> Result<Vec<i64>> {
        match self.value(id) {
            None => Ok(Vec::new()),
            Some((_, Value::Array(items))) => {
                let long = |item: &Value| match item {
                    Value::Long(value) => Ok(*value),
                    Value::Int(value) => Ok(i64::from(*value)),
                    _ => Err(self.expected(&format!("{name} to be a list of numbers"))),
                };
                items.iter().map(long).collect()
            }
            Some(_) => Err(self.expected(&format!("{name} to be a list"))),
        }
    }

    /// All fields as values, with their ids: what a partition is.
    pub(super) fn scalars(&self) -> Result<Vec<(i32, Option<Scalar<'static>>)>> {
        let one = |field: &apache_avro::schema::RecordField| {
            let id = field_id(field).ok_or_else(|| self.expected(&format!("a field id of {}", field.name)))?;
            let scalar = match self.value(id) {
                None => None,
                Some((_, value)) => {
                    Some(scalar(value).ok_or_else(|| self.expected(&format!("{} to be a plain value", field.name)))?)
                }
            };
            Ok((id, scalar))
        };
        self.schema.fields.iter().map(one).collect()
    }

    /// An error that says what was expected of this record.
    pub(super) fn expected(&self, expected: &str) -> StorageError {
        unreadable(self.key, &format!("{expected}, got another"))
    }
}

fn field_id(field: &apache_avro::schema::RecordField) -> Option<i32> {
    i32::try_from(field.custom_attributes.get("field-id")?.as_i64()?).ok()
}

/// The branch of a union that a value is; `None` for null.
fn resolve<'a>(schema: &'a Schema, value: &'a Value) -> Option<(&'a Schema, &'a Value)> {
    match (schema, value) {
        (_, Value::Null) => None,
        (Schema::Union(union), Value::Union(branch, value)) => {
            resolve(union.variants().get(usize::try_from(*branch).ok()?)?, value)
        }
        other => Some(other),
    }
}

fn scalar(value: &Value) -> Option<Scalar<'static>> {
    Some(match value {
        Value::Boolean(value) => Scalar::Boolean(*value),
        Value::Int(value) | Value::Date(value) => Scalar::Int(*value),
        Value::Long(value) | Value::TimeMicros(value) => Scalar::Long(*value),
        Value::TimestampMicros(value) | Value::LocalTimestampMicros(value) => Scalar::Long(*value),
        Value::Float(value) => Scalar::Float(*value),
        Value::Double(value) => Scalar::Double(*value),
        Value::String(text) => Scalar::Text(text.clone().into()),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Scalar::Binary(bytes.clone().into()),
        Value::Uuid(value) => Scalar::Uuid(*value),
        Value::Decimal(decimal) => {
            let bytes: Vec<u8> = decimal.try_into().ok()?;
            Scalar::Decimal(big_endian(&bytes)?)
        }
        _ => return None,
    })
}

/// Whether a schema is a tree of bounded depth whose fixed types are small.
fn is_bounded(schema: &Schema, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match schema {
        Schema::Ref { .. } => false,
        Schema::Fixed(fixed) => fixed.size <= FIXED_MAX_BYTES,
        Schema::Decimal(decimal) => match &decimal.inner {
            apache_avro::schema::InnerDecimalSchema::Fixed(fixed) => fixed.size <= FIXED_MAX_BYTES,
            apache_avro::schema::InnerDecimalSchema::Bytes => true,
        },
        Schema::Uuid(apache_avro::schema::UuidSchema::Fixed(fixed)) => fixed.size <= FIXED_MAX_BYTES,
        Schema::Array(array) => is_bounded(&array.items, depth),
        Schema::Map(map) => is_bounded(&map.types, depth),
        Schema::Union(union) => union.variants().iter().all(|variant| is_bounded(variant, depth)),
        Schema::Record(record) => record.fields.iter().all(|field| is_bounded(&field.schema, depth)),
        _ => true,
    }
}

fn broken(key: &str, error: apache_avro::Error) -> StorageError {
    let what = match error.details() {
        Details::HeaderMagic => "an Avro file, got other bytes",
        Details::ReadHeader(error) | Details::ReadIntoBuf(error) | Details::ReadBlockMarker(error)
            if error.kind() == IoKind::UnexpectedEof =>
        {
            "a whole Avro file, got the beginning of one"
        }
        _ => "Avro that can be decoded, got an error of the decoder",
    };
    unreadable(key, what).caused_by(error)
}
