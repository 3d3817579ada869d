//! Documents into columns, into a blob, and back: the same JSON, number text and all.

use std::borrow::Cow;

use proptest::prelude::*;
use thermocline::types::{Document, Json};
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions};
use thermocline::vortex::{
    Column, ColumnDeclaration, ColumnType, Rebuilder, RebuiltColumn, Scalar, Shredder, TableSchema, infer,
};

use crate::support::*;

/// Documents with the members in `members`, JSON text after the id.
fn documents(members: &[String]) -> Vec<Document> {
    let text = |number: usize, members: &str| {
        let separator = if members.is_empty() { "" } else { "," };
        format!("{{\"id\":\"d{number}\"{separator}{members}}}")
    };
    let document = |(number, members): (usize, &String)| Document {
        id: format!("d{number}"),
        sequence: number as i64 + 1,
        timestamp: 1_700_000_000_000 + number as i64,
        text: text(number, members),
    };
    members.iter().enumerate().map(document).collect()
}

fn written(schema: &TableSchema, documents: &[Document]) -> Vec<u8> {
    let mut shredder = Shredder::new(schema);
    documents.iter().for_each(|document| shredder.push(document).unwrap());
    let batch = shredder.take();
    let mut writer = BlobWriter::new(EncodeOptions::default());
    for (name, column) in
        [("id", &batch.ids), ("_seq", &batch.sequences), ("_ts", &batch.timestamps), ("_extra", &batch.extra)]
    {
        writer.push(name, column).unwrap();
    }
    for (column, definition) in batch.columns.iter().zip(schema.columns()) {
        writer.push(&definition.name, column).unwrap();
    }
    writer.finish().unwrap()
}

fn read(schema: &TableSchema, bytes: &[u8]) -> Vec<Document> {
    let blob = Blob::open(bytes).unwrap();
    let decode = |name: &str| -> Column {
        blob.decode(blob.position(name).unwrap(), 0..blob.rows(), &mut Budget::new(AMPLE_BYTES)).unwrap()
    };
    let [ids, sequences, timestamps, extra] = ["id", "_seq", "_ts", "_extra"].map(decode);
    let columns: Vec<(&str, Column)> =
        schema.columns().iter().map(|column| (column.name.as_str(), decode(&column.name))).collect();
    let fields = columns.iter().map(|(name, column)| RebuiltColumn { name, column });
    let mut rebuilder = Rebuilder::new([&ids, &sequences, &timestamps], fields, Some(&extra), None).unwrap();
    std::iter::from_fn(|| rebuilder.next_document().unwrap()).collect()
}

fn check(schema: &TableSchema, documents: &[Document]) {
    let rebuilt = read(schema, &written(schema, documents));
    assert_eq!(documents.len(), rebuilt.len());
    for (document, rebuilt) in documents.iter().zip(&rebuilt) {
        let same = Json::parse(&document.text).unwrap().same(&Json::parse(&rebuilt.text).unwrap());
        assert!(same, "{} became {}", document.text, rebuilt.text);
        assert_eq!(
            (&document.id, document.sequence, document.timestamp),
            (&rebuilt.id, rebuilt.sequence, rebuilt.timestamp)
        );
    }
}

fn learned(documents: &[Document]) -> TableSchema {
    let mut schema = TableSchema::default();
    for document in documents {
        infer::observe(&mut schema, &Json::parse(&document.text).unwrap());
    }
    schema
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| Json::String(Cow::Owned(text)).to_text()),
        "\"20[0-9]{2}-0[1-9]-1[0-9]T00:00:0[0-9](\\.[0-9]{1,6})?Z\"",
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|members| format!(
                "{{{}}}",
                members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

fn any_members() -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-eA]|_x|é", json(), 0..6).prop_map(|members| {
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_documents_come_back(members in prop::collection::vec(any_members(), 0..60), declared in prop::sample::select(vec!["", "int", "double", "decimal(9,2)", "timestamp", "string", "json"])) {
        let documents = documents(&members);
        let mut schema = learned(&documents);
        if !declared.is_empty() {
            let declaration = ColumnDeclaration { name: "a".to_owned(), renamed: None, column_type: declared.parse().unwrap(), nullable: true };
            schema.declare(&[declaration], false).unwrap();
        }
        check(&schema, &documents);
    }
}

#[test]
fn number_text_nulls_and_absent_members_are_kept() {
    let members = [
        "\"n\":1.0",
        "\"n\":1e3",
        "\"n\":9007199254740993",
        "\"n\":-0",
        "\"n\":null",
        "",
        "\"n\":1000",
        "\"n\":0.10,\"N\":7",
        "\"n\":[1.0,{\"é\":\"\u{1f600}\"}]",
    ];
    let documents = documents(&members.map(str::to_owned));
    check(&learned(&documents), &documents);
}

#[test]
fn a_value_that_its_column_can_hold_is_in_the_column_whatever_its_text() {
    let documents = documents(&[
        "\"price\":10.50".to_owned(),
        "\"price\":10.5".to_owned(),
        "\"price\":1e1".to_owned(),
        "\"price\":\"7\"".to_owned(),
    ]);
    let mut schema = TableSchema::default();
    let price =
        ColumnDeclaration { name: "price".to_owned(), renamed: None, column_type: ColumnType::Double, nullable: true };
    schema.declare(&[price], true).unwrap();
    let bytes = written(&schema, &documents);
    let blob = Blob::open(&bytes).unwrap();
    let position = blob.position("price").unwrap();
    let value = |row: usize| blob.value(position, row).unwrap().value;
    assert_eq!(
        [0, 1, 2, 3].map(value),
        [Some(Scalar::Double(10.5)), Some(Scalar::Double(10.5)), Some(Scalar::Double(10.0)), None]
    );
    let extra = blob.position("_extra").unwrap();
    assert_eq!(blob.value(extra, 0).unwrap().value, Some(Scalar::Text("{\"price\":10.50}".into())));
    assert_eq!(blob.value(extra, 1).unwrap().value, None);
    check(&schema, &documents);
}
