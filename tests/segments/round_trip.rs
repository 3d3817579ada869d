//! Documents come back from a segment, all of them, some of them, and one by one.

use proptest::prelude::*;
use thermocline::hot::segment::read;
use thermocline::types::Document;
use thermocline::types::time::Month;
use thermocline::vortex::{Bitmap, ColumnDeclaration};

use crate::support::*;

fn check(documents: &[Document], declared: &[ColumnDeclaration], selected: &[bool]) {
    let built = build_with(documents, declared, &[]);
    let head = reopened(&built);
    let columns = columns(&built);
    let blob = columns.blob(&head.index);
    assert_all_same(documents, &read::documents(&head, &blob, 0..head.rows, &mut ample()).unwrap());
    for (row, document) in documents.iter().enumerate() {
        assert_same(document, &read::document(&head, &blob, row).unwrap());
    }
    assert!(read::document(&head, &blob, head.rows).is_err());
    let middle = head.rows / 3..head.rows - head.rows / 3;
    assert_all_same(&documents[middle.clone()], &read::documents(&head, &blob, middle.clone(), &mut ample()).unwrap());
    let selected: Bitmap = selected.iter().copied().cycle().take(head.rows).collect();
    let chosen: Vec<Document> = selected.positions().map(|row| documents[row].clone()).collect();
    assert_all_same(&chosen, &read::documents(&head, &blob, &selected, &mut ample()).unwrap());
    let ids: Vec<&str> = chosen.iter().map(|document| document.id.as_str()).collect();
    assert_eq!(read::ids(&blob, &selected, &mut ample()).unwrap(), ids);
    let versions: Vec<i64> = documents[middle.clone()].iter().map(|document| document.sequence).collect();
    assert_eq!(read::versions(&blob, middle, &mut ample()).unwrap(), versions);
    let by_sequence = |limit| read::rows_by_sequence(&head, &blob, i64::MIN..=i64::MAX, limit, &mut ample()).unwrap();
    let mut expected: Vec<usize> = (0..head.rows).collect();
    expected.sort_by_key(|row| (documents[*row].sequence, *row));
    assert_eq!(by_sequence(usize::MAX), expected);
    assert_eq!(by_sequence(head.rows / 2), expected[..head.rows / 2]);

    let sequences = || documents.iter().map(|document| document.sequence);
    assert_eq!(head.first_sequence..=head.last_sequence, sequences().min().unwrap()..=sequences().max().unwrap());
    assert_eq!((&head.first_id, &head.last_id), (&documents[0].id, &documents[documents.len() - 1].id));
    assert_eq!(head.text_bytes, documents.iter().map(|document| document.text.len() as u64).sum::<u64>());
    assert_eq!(head.month, Month::of(NOW));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn any_documents_come_back(
        documents in any_documents(1..40),
        declared in any_declarations(),
        selected in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        check(&documents, &declared, &selected);
    }
}

#[test]
fn fields_named_like_a_segments_own_columns_come_back() {
    let text = r#"{"id":"a","_seq":7,"_ts":"x","_extra":{"_seq":1.0},"ID":null,"":[]}"#;
    let document = Document { id: "a".to_owned(), sequence: 1, timestamp: NOW, text: text.to_owned() };
    check(&[document], &[], &[true]);
}

#[test]
fn extra_is_there_only_where_a_row_has_one() {
    let plain = |id: &str| document(id, 1, serde_json::json!({"n": 1}).as_object().unwrap().clone());
    let built = build(&[plain("a"), plain("b")]);
    assert_eq!(built.head.index.position("_extra"), None);
    let mut odd = plain("c");
    odd.text = r#"{"id":"c","n":1.0}"#.to_owned();
    let built = build(&[plain("a"), odd]);
    assert_eq!(built.head.index.position("_extra"), Some(4));
}

#[test]
fn a_budget_bounds_what_is_read() {
    let documents: Vec<Document> = (0..1_000)
        .map(|row| document(&format!("{row:04}"), row, serde_json::json!({"n": row}).as_object().unwrap().clone()))
        .collect();
    let built = build(&documents);
    let columns = columns(&built);
    let blob = columns.blob(&built.head.index);
    let mut budget = thermocline::vortex::blob::Budget::new(20_000);
    assert!(read::documents(&built.head, &blob, 0..1_000, &mut budget).is_err());
    let mut budget = thermocline::vortex::blob::Budget::new(20_000);
    assert_eq!(read::documents(&built.head, &blob, 500..510, &mut budget).unwrap().len(), 10);
}
