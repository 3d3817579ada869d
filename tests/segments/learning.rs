//! Columns that are learned along the way are those that the schema of the end makes.

use proptest::prelude::*;
use thermocline::hot::segment::BuiltSegment;
use thermocline::types::{Document, Json};
use thermocline::vortex::blob::{BlobWriter, EncodeOptions};
use thermocline::vortex::infer::observe;
use thermocline::vortex::shred::{LearningShredder, RowKey};
use thermocline::vortex::{ColumnDeclaration, ColumnType, ShreddedBatch, Shredder, TableSchema};

use crate::support::*;

fn declared_schema(declared: &[ColumnDeclaration]) -> TableSchema {
    let mut schema = TableSchema::default();
    schema.declare(declared, true).unwrap();
    schema
}

/// The schema first, from all documents; then the documents.
fn shredded_at_last(documents: &[Document], declared: &[ColumnDeclaration]) -> (TableSchema, ShreddedBatch) {
    let mut schema = declared_schema(declared);
    for document in documents {
        observe(&mut schema, &Json::parse(&document.text).unwrap());
    }
    let mut shredder = Shredder::new(&schema);
    documents.iter().for_each(|document| shredder.push(document).unwrap());
    let batch = shredder.take();
    (schema, batch)
}

/// Both at once; what is stale is made anew `at_once` or at the end.
fn shredded_at_once(
    documents: &[Document],
    declared: &[ColumnDeclaration],
    at_once: impl Fn(usize) -> bool,
) -> (TableSchema, ShreddedBatch) {
    let mut shredder = LearningShredder::new(declared_schema(declared));
    for (row, document) in documents.iter().enumerate() {
        let key = RowKey { id: &document.id, sequence: document.sequence, timestamp: document.timestamp };
        let mut parsed = Json::parse(&document.text).unwrap();
        let before = parsed.clone();
        shredder.push(key, &mut parsed).unwrap();
        assert_eq!(parsed, before, "the document is left as it was");
        assert_eq!(shredder.rows(), row + 1);
        if shredder.is_stale() && at_once(row) {
            shredder.reshred(documents[..=row].iter().map(|document| document.text.as_str())).unwrap();
        }
    }
    if shredder.is_stale() {
        shredder.reshred(documents.iter().map(|document| document.text.as_str())).unwrap();
    }
    shredder.finish().unwrap()
}

fn blob(schema: &TableSchema, batch: &ShreddedBatch) -> Vec<u8> {
    let mut writer = BlobWriter::new(EncodeOptions::default());
    writer.push("id", &batch.ids).unwrap();
    writer.push("_seq", &batch.sequences).unwrap();
    writer.push("_ts", &batch.timestamps).unwrap();
    for (column, values) in schema.columns().iter().zip(&batch.columns) {
        writer.push(&column.name, values).unwrap();
    }
    if batch.extra.null_count() < batch.extra.rows() {
        writer.push("_extra", &batch.extra).unwrap();
    }
    writer.finish().unwrap()
}

fn assert_segment_is_of(built: &BuiltSegment, documents: &[Document], declared: &[ColumnDeclaration]) {
    let (schema, batch) = shredded_at_last(documents, declared);
    let blob = blob(&schema, &batch);
    assert!(blob.starts_with(&built.groups.concat()), "the columns' bytes differ");
    assert_eq!(*thermocline::vortex::blob::Blob::open(&blob).unwrap().index(), built.head.index);
    assert_eq!(batch.stray, built.head.stray);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn learning_along_the_way_makes_the_columns_of_the_end(
        documents in any_documents(1..60),
        declared in any_declarations(),
        noise in any::<u64>(),
    ) {
        let expected = shredded_at_last(&documents, &declared);
        prop_assert_eq!(&shredded_at_once(&documents, &declared, |_| true), &expected);
        prop_assert_eq!(&shredded_at_once(&documents, &declared, |_| false), &expected);
        prop_assert_eq!(&shredded_at_once(&documents, &declared, |row| noise >> (row % 64) & 1 == 1), &expected);
        assert_segment_is_of(&build_with(&documents, &declared, &[]), &documents, &declared);
    }
}

#[test]
fn a_column_that_changes_late_is_made_anew() {
    let text = |row: usize| match row {
        0..9_000 => format!(r#"{{"id":"{row:06}","n":{row},"m":"x","d":{}}}"#, row % 7),
        _ => format!(r#"{{"id":"{row:06}","n":{row}.5,"m":{row},"d":true,"late":[{row}]}}"#),
    };
    let document =
        |row: usize| Document { id: format!("{row:06}"), sequence: row as i64, timestamp: NOW, text: text(row) };
    let documents: Vec<Document> = (0..11_000).map(document).collect();
    let built = build(&documents);
    let types = ["n", "m", "d", "late"].map(|name| type_of(&built.head, name));
    assert_eq!(types, [ColumnType::Double, ColumnType::String, ColumnType::String, ColumnType::Json]);
    assert_segment_is_of(&built, &documents, &[]);
}

#[test]
fn a_document_that_is_not_its_own_is_refused() {
    for text in ["[]", "{}", r#"{"id":"b"}"#, r#"{"id":1}"#, "{\"id\":\"a\""] {
        let mut builder = thermocline::hot::segment::SegmentBuilder::new(&[], &[]).unwrap();
        let row = thermocline::hot::segment::NewRow { id: "a", sequence: 1, timestamp: NOW, text };
        assert!(builder.push(row).is_err(), "{text}");
    }
}
