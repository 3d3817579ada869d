//! Parquet files as others write them: without notes, by field id, older or narrower than the table's schema.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use thermocline::cold::read::PrimitiveType as P;
use thermocline::cold::read::foreign::ParquetFile;
use thermocline::cold::read::metadata::NestedField;
use thermocline::cold::read::{FieldType, PrimitiveType};
use thermocline::error::ErrorKind;
use thermocline::ports::native::MemoryBucket;
use thermocline::vortex::Scalar;

use super::scenario::open;

/// A row's values.
pub type Values = Vec<Option<Scalar<'static>>>;

fn primitive(field: &NestedField, physical: Physical, logical: Option<LogicalType>, length: i32) -> TypePtr {
    let repetition = if field.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let mut built = Type::primitive_type_builder(&field.name, physical)
        .with_repetition(repetition)
        .with_id(Some(field.id))
        .with_length(length)
        .with_logical_type(logical.clone());
    if let Some(LogicalType::Decimal(decimal)) = logical {
        built = built.with_precision(decimal.precision).with_scale(decimal.scale);
    }
    Arc::new(built.build().unwrap())
}

/// A column as the spec maps its type to Parquet.
fn column(field: &NestedField) -> TypePtr {
    let FieldType::Primitive(kind) = field.field_type else { panic!("{field:?}") };
    let micros = |utc| Some(LogicalType::timestamp(utc, TimeUnit::MICROS));
    let (physical, logical, length) = match kind {
        P::Boolean => (Physical::BOOLEAN, None, 0),
        P::Int => (Physical::INT32, None, 0),
        P::Date => (Physical::INT32, Some(LogicalType::Date), 0),
        P::Long => (Physical::INT64, None, 0),
        P::Time => (Physical::INT64, Some(LogicalType::time(false, TimeUnit::MICROS)), 0),
        P::Timestamp => (Physical::INT64, micros(false), 0),
        P::Timestamptz => (Physical::INT64, micros(true), 0),
        P::Float => (Physical::FLOAT, None, 0),
        P::Double => (Physical::DOUBLE, None, 0),
        P::String => (Physical::BYTE_ARRAY, Some(LogicalType::String), 0),
        P::Binary => (Physical::BYTE_ARRAY, None, 0),
        P::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        P::Fixed(length) => (Physical::FIXED_LEN_BYTE_ARRAY, None, i32::try_from(length).unwrap()),
        P::Decimal { precision, scale } => {
            let logical = LogicalType::decimal(i32::from(scale), i32::from(precision));
            match precision {
                0..=9 => (Physical::INT32, Some(logical), 0),
                10..=18 => (Physical::INT64, Some(logical), 0),
                _ => (Physical::FIXED_LEN_BYTE_ARRAY, Some(logical), 16),
            }
        }
    };
    primitive(field, physical, logical, length)
}

/// A Parquet file of rows, one row group.
fn file(columns: &[TypePtr], rows: &[Values]) -> Vec<u8> {
    let fields = columns.to_vec();
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build().unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for position in 0..columns.len() {
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row[position].is_some())).collect();
        let values: Vec<&Scalar<'_>> = rows.iter().filter_map(|row| row[position].as_ref()).collect();
        let mut target = group.next_column().unwrap().unwrap();
        write(target.untyped(), &values, Some(&levels));
        target.close().unwrap();
    }
    group.close().unwrap();
    writer.finish().unwrap();
    std::mem::take(writer.inner_mut())
}

fn write(target: &mut ColumnWriter<'_>, values: &[&Scalar<'_>], levels: Option<&[i16]>) {
    fn all<T>(values: &[&Scalar<'_>], one: impl Fn(&Scalar<'_>) -> T) -> Vec<T> {
        values.iter().map(|value| one(value)).collect()
    }
    let long = |value: &Scalar<'_>| match value {
        Scalar::Int(value) => i64::from(*value),
        Scalar::Long(value) => *value,
        Scalar::Decimal(value) => i64::try_from(*value).unwrap(),
        other => panic!("{other:?}"),
    };
    let bytes = |value: &Scalar<'_>| match value {
        Scalar::Text(text) => text.as_bytes().to_vec(),
        Scalar::Binary(bytes) => bytes.to_vec(),
        Scalar::Uuid(value) => value.as_bytes().to_vec(),
        Scalar::Decimal(value) => value.to_be_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    let written = match target {
        ColumnWriter::BoolColumnWriter(writer) => {
            writer.write_batch(&all(values, |value| matches!(value, Scalar::Boolean(true))), levels, None)
        }
        ColumnWriter::Int32ColumnWriter(writer) => {
            writer.write_batch(&all(values, |value| i32::try_from(long(value)).unwrap()), levels, None)
        }
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&all(values, long), levels, None),
        ColumnWriter::FloatColumnWriter(writer) => {
            let float =
                |value: &Scalar<'_>| if let Scalar::Float(value) = value { *value } else { panic!("{value:?}") };
            writer.write_batch(&all(values, float), levels, None)
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let double =
                |value: &Scalar<'_>| if let Scalar::Double(value) = value { *value } else { panic!("{value:?}") };
            writer.write_batch(&all(values, double), levels, None)
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            writer.write_batch(&all(values, |value| ByteArray::from(bytes(value))), levels, None)
        }
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
            writer.write_batch(&all(values, |value| FixedLenByteArray::from(bytes(value))), levels, None)
        }
        ColumnWriter::Int96ColumnWriter(_) => panic!("not written"),
    };
    written.unwrap();
}

fn field(id: i32, name: &str, kind: PrimitiveType) -> NestedField {
    NestedField { id, name: name.to_owned(), required: false, field_type: FieldType::Primitive(kind) }
}

/// A position-delete file.
pub fn deletes_file(deletes: &[(String, i64)]) -> Vec<u8> {
    let mut fields = [field(2_147_483_546, "file_path", P::String), field(2_147_483_545, "pos", P::Long)];
    fields.iter_mut().for_each(|field| field.required = true);
    let row =
        |(path, position): &(String, i64)| vec![Some(Scalar::Text(path.clone().into())), Some(Scalar::Long(*position))];
    file(&fields.each_ref().map(column), &deletes.iter().map(row).collect::<Vec<_>>())
}

/// A data file of a table, written again with other rows by the table's schema.
pub fn rewritten(bucket: &MemoryBucket, folder: &str, key: &str, edit: impl Fn(&mut Vec<Values>)) -> Vec<u8> {
    let table = open(bucket, folder);
    let fields = &table.metadata.current_schema(key).unwrap().fields;
    let mut rows = read(&bucket.object(key).unwrap().bytes, fields);
    edit(&mut rows);
    file(&fields.iter().map(column).collect::<Vec<_>>(), &rows)
}

fn read(bytes: &[u8], fields: &[NestedField]) -> Vec<Values> {
    let opened = ParquetFile::open("k", bytes.to_vec()).unwrap();
    let wanted: Vec<&NestedField> = fields.iter().collect();
    let mut rows = Vec::new();
    for group in 0..opened.groups() {
        let columns = opened.read_group(group, &wanted).unwrap();
        let count = columns[0].len();
        rows.extend((0..count).map(|row| columns.iter().map(|column| column[row].clone()).collect::<Values>()));
    }
    rows
}

/// One value of every type.
fn every_type() -> Vec<(PrimitiveType, Scalar<'static>)> {
    vec![
        (P::Boolean, Scalar::Boolean(true)),
        (P::Int, Scalar::Int(-5)),
        (P::Date, Scalar::Int(19_782)),
        (P::Long, Scalar::Long(i64::MIN)),
        (P::Time, Scalar::Long(1)),
        (P::Timestamp, Scalar::Long(2)),
        (P::Timestamptz, Scalar::Long(-3)),
        (P::Float, Scalar::Float(0.1)),
        (P::Double, Scalar::Double(1e300)),
        (P::Decimal { precision: 9, scale: 2 }, Scalar::Decimal(-1050)),
        (P::Decimal { precision: 18, scale: 4 }, Scalar::Decimal(7)),
        (P::Decimal { precision: 38, scale: 10 }, Scalar::Decimal(-(10_i128.pow(37)))),
        (P::String, Scalar::Text("é".into())),
        (P::Binary, Scalar::Binary(vec![0, 255].into())),
        (P::Uuid, Scalar::Uuid(uuid::Uuid::from_u128(9))),
        (P::Fixed(3), Scalar::Binary(vec![1, 2, 3].into())),
    ]
}

fn fields(types: &[(PrimitiveType, Scalar<'static>)]) -> Vec<NestedField> {
    types.iter().zip(1..).map(|((kind, _), id)| field(id, &format!("c{id}"), *kind)).collect()
}

#[test]
fn every_type_is_read_with_nulls() {
    let types = every_type();
    let fields = fields(&types);
    let rows: Vec<Values> = vec![
        types.iter().map(|(_, value)| Some(value.clone())).collect(),
        types.iter().map(|_| None).collect(),
        types.iter().map(|(_, value)| Some(value.clone())).collect(),
    ];
    let bytes = file(&fields.iter().map(column).collect::<Vec<_>>(), &rows);
    assert_eq!(read(&bytes, &fields), rows);
}

#[test]
fn columns_are_found_by_id_and_widened() {
    let written =
        [field(7, "was", P::Int), field(8, "f", P::Float), field(9, "d", P::Decimal { precision: 4, scale: 2 })];
    let row = vec![Some(Scalar::Int(5)), Some(Scalar::Float(0.5)), Some(Scalar::Decimal(150))];
    let bytes = file(&written.each_ref().map(column), &[row]);
    let wanted = [
        field(9, "d", P::Decimal { precision: 20, scale: 2 }),
        field(10, "new", P::String),
        field(8, "f", P::Double),
        field(7, "is", P::Long),
    ];
    let expected = vec![Some(Scalar::Decimal(150)), None, Some(Scalar::Double(0.5)), Some(Scalar::Long(5))];
    assert_eq!(read(&bytes, &wanted), [expected]);
}

#[test]
fn what_cannot_be_read_is_told_with_the_columns_name() {
    let written = field(1, "a", P::String);
    let bytes = file(&[column(&written)], &[vec![Some(Scalar::Text("x".into()))]]);
    let opened = ParquetFile::open("k", bytes).unwrap();
    let read = |field: &NestedField| opened.read_group(0, &[field]).map(|_| ()).unwrap_err();
    let nested = NestedField { field_type: FieldType::Other("list".to_owned()), ..written.clone() };
    let error = read(&nested);
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("\"a\""), "{error}");
    let required = NestedField { required: true, ..field(2, "b", P::Long) };
    let error = read(&required);
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("\"b\""), "{error}");
    let error = read(&field(1, "a", P::Long));
    assert!(error.kind() == ErrorKind::Corrupt, "{error}");

    let list = Type::group_type_builder("a")
        .with_repetition(Repetition::OPTIONAL)
        .with_id(Some(1))
        .with_fields(vec![column(&field(3, "element", P::Long))])
        .build()
        .unwrap();
    let bytes = file(&[Arc::new(list)], &[]);
    let error = ParquetFile::open("k", bytes).unwrap().read_group(0, &[&written]).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("nested"), "{error}");

    let bare =
        Type::primitive_type_builder("a", Physical::INT64).with_repetition(Repetition::OPTIONAL).build().unwrap();
    let bytes = file(&[Arc::new(bare)], &[]);
    let error = ParquetFile::open("k", bytes).unwrap().read_group(0, &[&written]).unwrap_err();
    assert!(error.to_string().contains("field ids"), "{error}");
}

#[test]
fn damaged_files_are_an_error_or_read_and_never_end_the_walk() {
    let types = every_type();
    let fields = fields(&types);
    let row: Values = types.iter().map(|(_, value)| Some(value.clone())).collect();
    let bytes = file(&fields.iter().map(column).collect::<Vec<_>>(), &vec![row; 5]);
    let wanted: Vec<&NestedField> = fields.iter().collect();
    let attempt = |bytes: Vec<u8>| {
        let Ok(opened) = ParquetFile::open("k", bytes) else { return false };
        (0..opened.groups()).all(|group| opened.read_group(group, &wanted).is_ok())
    };
    let refused = (0..bytes.len()).filter(|length| !attempt(bytes[..*length].to_vec())).count();
    assert_eq!(refused, bytes.len(), "every truncation is told");
    let step = bytes.len() * 8 / 2_000 + 1;
    let flipped = (0..bytes.len() * 8).step_by(step).filter(|bit| {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        !attempt(damaged)
    });
    let told = flipped.count();
    println!("{told} of about 2000 flipped bits are told");
}
