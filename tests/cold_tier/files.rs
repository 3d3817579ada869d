//! Data files: what the writer makes of columns, and that it makes the same of the same.

use parquet::basic::Encoding;
use proptest::prelude::*;
use thermocline::cold::parquet_write::{DataFileWriter, ROW_GROUP_MAX_ROWS};
use thermocline::cold::{DocumentFileWriter, Schema, TableKind};
use thermocline::error::ErrorKind;
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;
use thermocline::vortex::{ColumnType, StrayFields, TableSchema};

use super::support::{FEBRUARY, MARCH, assert_same_text, declare, document, document_file, footer, learned, put, read};

fn many(count: usize) -> Vec<Document> {
    let row = |number: usize| {
        let fields = format!(
            "\"n\":{number},\"city\":\"city {}\",\"score\":{}.5,\"ok\":{},\"tags\":[{number}]",
            number % 7,
            number % 100,
            number.is_multiple_of(2)
        );
        document(
            &format!("{number:08}"),
            i64::try_from(number).unwrap() + 1,
            FEBRUARY + i64::try_from(number % 10).unwrap(),
            &fields,
        )
    };
    (0..count).map(row).collect()
}

#[test]
fn the_same_documents_make_the_same_bytes() {
    let documents = many(5_000);
    let columns = learned(&documents);
    let (first, file) = document_file(&columns, &documents, "k");
    let (second, again) = document_file(&columns, &documents, "k");
    assert!(first == second && file == again);
    // A schema that went through storage is a schema with another hash map.
    let stored: TableSchema = serde_json::from_str(&serde_json::to_string(&columns).unwrap()).unwrap();
    assert!(document_file(&stored, &documents, "k").0 == first);
}

#[test]
fn files_say_what_iceberg_needs() {
    let documents = many(3_000);
    let columns = learned(&documents);
    let (bytes, file) = document_file(&columns, &documents, "k");
    assert_eq!((file.record_count, file.month, file.file_size), (3_000, 649, u64::try_from(bytes.len()).unwrap()));
    let metadata = footer(&bytes, &file);
    assert_eq!(metadata.file_metadata().created_by(), Some("thermocline version 1.0.0 (build 1)"));
    assert_eq!(metadata.num_row_groups(), 1);
    let described: Vec<String> = metadata
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| {
            let basic = column.self_type().get_basic_info();
            format!("{} {} {} {:?}", basic.id(), column.name(), column.physical_type(), column.logical_type_ref())
        })
        .collect();
    assert_eq!(described[0], "1 id BYTE_ARRAY Some(String)");
    assert_eq!(described[1], "2 _seq INT64 None");
    assert!(described[2].starts_with("3 _ts INT64 Some(Timestamp("), "{}", described[2]);
    assert_eq!(described[3], "5 n INT64 None");
    assert_eq!(described[8], "4 _extra BYTE_ARRAY Some(String)");
    let city = file.column(6).unwrap();
    assert_eq!(
        (city.lower.as_deref(), city.upper.as_deref(), city.nulls),
        (Some(b"city 0".as_slice()), Some(b"city 6".as_slice()), 0)
    );
    let score = file.column(7).unwrap();
    assert_eq!((score.nans, score.lower.as_deref()), (Some(0), Some(0.5_f64.to_le_bytes().as_slice())));
    assert_eq!(file.column(4).unwrap().nulls, 3_000);
    let sizes: i64 = file.columns.iter().map(|column| column.size).sum();
    assert!(sizes > 0 && usize::try_from(sizes).unwrap() < bytes.len());
    assert_eq!(file.split_offsets, [4]);
}

#[test]
fn encodings_follow_the_values() {
    let documents = many(3_000);
    let (bytes, file) = document_file(&learned(&documents), &documents, "k");
    let metadata = footer(&bytes, &file);
    let group = metadata.row_group(0);
    let used = |name: &str| {
        let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == name).unwrap();
        (chunk.dictionary_page_offset().is_some(), chunk.encodings().collect::<Vec<_>>())
    };
    assert!(used("id").1.contains(&Encoding::DELTA_BYTE_ARRAY));
    assert!(used("_seq").1.contains(&Encoding::DELTA_BINARY_PACKED));
    assert!(used("n").1.contains(&Encoding::DELTA_BINARY_PACKED));
    assert!(used("city").0 && used("score").0 && !used("ok").0);
}

#[test]
fn row_groups_are_cut_by_rows_and_by_bytes() {
    let documents = many(ROW_GROUP_MAX_ROWS + 1);
    let columns = learned(&documents);
    let (_, file) = document_file(&columns, &documents, "k");
    assert_eq!(file.split_offsets.len(), 2);
    let wide: Vec<Document> = (0..10)
        .map(|number| document(&format!("{number}"), 1, FEBRUARY, &format!("\"t\":\"{}\"", "x".repeat(1_000_000))))
        .collect();
    let (bytes, file) = document_file(&learned(&wide), &wide, "k");
    assert_eq!(file.split_offsets.len(), 2);
    let bucket = MemoryBucket::new();
    put(&bucket, "k", &bytes);
    let (found, _) = read(&bucket, &[file], &learned(&wide), None, &|_| false).unwrap();
    assert_eq!(found.len(), 10);
}

#[test]
fn every_type_comes_back() {
    let types = [
        ("b", "bool"),
        ("i", "int"),
        ("l", "long"),
        ("f", "float"),
        ("d", "double"),
        ("m", "decimal(9,2)"),
        ("n", "decimal(18,4)"),
        ("o", "decimal(38,10)"),
        ("date", "date"),
        ("ts", "timestamp"),
        ("s", "string"),
        ("u", "uuid"),
        ("x", "binary"),
        ("j", "json"),
    ];
    let mut columns = TableSchema::default();
    declare(&mut columns, &types, true);
    let full = concat!(
        r#""b":true,"i":-5,"l":9223372036854775807,"f":0.1,"d":1e+300,"m":-10.50,"n":99999999999999.9999,"#,
        r#""o":-1234567890123456789012345678.0123456789,"date":"2024-02-29","ts":"2024-02-29T12:00:00.123Z","s":"a\u0000é😀","#,
        r#""u":"0192d3f0-0000-7000-8000-000000000001","x":"AP8=","j":{"a":[1.0,null]}"#,
    );
    let other = concat!(
        r#""b":null,"i":5.0,"l":-0,"f":1e-50,"d":5.00,"m":"10.5","n":7,"o":0,"ts":"2024-02-29T13:00:00+01:00","#,
        r#""s":"","u":"0192D3F0-0000-7000-8000-000000000001","x":"","j":"text","extra":{"kept":1.50}"#,
    );
    let documents =
        [document("a", 1, FEBRUARY, full), document("b", 2, FEBRUARY, other), document("c", 3, FEBRUARY, "")];
    let (bytes, file) = document_file(&columns, &documents, "k");
    let bucket = MemoryBucket::new();
    put(&bucket, "k", &bytes);
    let (found, stats) = read(&bucket, &[file], &columns, None, &|_| false).unwrap();
    for (found, document) in found.iter().zip(&documents) {
        assert_same_text(&found.text, &document.text);
    }
    assert_eq!((found.len(), stats.requests, stats.rows_read), (3, 1, 3));
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    let columns = TableSchema::default();
    let refused = |documents: &[Document]| {
        let mut writer = DocumentFileWriter::new(&columns);
        documents.iter().for_each(|document| writer.push(document).unwrap());
        writer.finish(|_| "k".to_owned()).unwrap_err().kind()
    };
    assert_eq!(refused(&[]), ErrorKind::Internal);
    assert_eq!(refused(&[document("b", 1, FEBRUARY, ""), document("a", 2, FEBRUARY, "")]), ErrorKind::Internal);
    assert_eq!(refused(&[document("a", 1, FEBRUARY, ""), document("a", 2, FEBRUARY, "")]), ErrorKind::Internal);
    assert_eq!(refused(&[document("a", 1, FEBRUARY, ""), document("b", 2, MARCH, "")]), ErrorKind::Internal);
    let mut writer = DataFileWriter::new(&Schema::state(&columns), TableKind::State);
    let column = thermocline::vortex::Column::new(ColumnType::String);
    assert!(writer.write_row_group(&[&column], &StrayFields::None).is_err());
}

fn value_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        any::<bool>().prop_map(|value| value.to_string()),
        Just("null".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("[1.0,{\"a\":null}]".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn documents_come_back_from_files(
        rows in prop::collection::btree_map("[a-z]{1,12}", prop::collection::btree_map("[a-d]|_x|A", value_text(), 0..5), 1..60),
        learn in 0_usize..60,
    ) {
        let documents: Vec<Document> = rows
            .iter()
            .map(|(id, fields)| {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                document(id, 7, FEBRUARY, &fields.join(","))
            })
            .collect();
        let columns = learned(documents.iter().take(learn));
        let (bytes, file) = document_file(&columns, &documents, "k");
        let bucket = MemoryBucket::new();
        put(&bucket, "k", &bytes);
        let (found, _) = read(&bucket, &[file], &columns, None, &|_| false).unwrap();
        prop_assert_eq!(found.len(), documents.len());
        for (found, document) in found.iter().zip(&documents) {
            assert_same_text(&found.text, &document.text);
        }
    }
}
