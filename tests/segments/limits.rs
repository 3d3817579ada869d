//! What a segment refuses, and that what it takes always fits.

use thermocline::error::ErrorKind;
use thermocline::hot::segment::{NewRow, Origin, SEGMENT_MAX_ROWS, SEGMENT_MAX_TEXT_BYTES, SegmentBuilder};
use thermocline::limits::{SQL_VALUE_MAX_BYTES, TABLE_MAX_COLUMNS};
use thermocline::types::Document;
use thermocline::vortex::StrayFields;

use crate::support::*;

fn row<'a>(id: &'a str, text: &'a str) -> NewRow<'a> {
    NewRow { id, sequence: 1, timestamp: NOW, text }
}

#[test]
fn rows_are_bounded() {
    let mut builder = SegmentBuilder::new(&[], &[]).unwrap();
    let push = |builder: &mut SegmentBuilder, number: usize| {
        let id = format!("{number:05}");
        builder.push(row(&id, &format!(r#"{{"id":"{id}"}}"#)))
    };
    (0..SEGMENT_MAX_ROWS).for_each(|number| push(&mut builder, number).unwrap());
    assert_eq!(push(&mut builder, SEGMENT_MAX_ROWS).unwrap_err().kind(), ErrorKind::TooLarge);
    let built = builder.finish(Origin::Sealed, vec![3, 4]).unwrap();
    let head = reopened(&built);
    assert_eq!((head.rows, head.origin, head.supersedes), (SEGMENT_MAX_ROWS, Origin::Sealed, vec![3, 4]));
    assert!(head.filter.byte_size() == 131_072 && built.head.to_bytes().unwrap().len() < 133_000);
}

#[test]
fn text_is_bounded() {
    let filler = "x".repeat(1_000_000);
    let mut builder = SegmentBuilder::new(&[], &[]).unwrap();
    for number in 0.. {
        let id = format!("{number:05}");
        let text = format!(r#"{{"id":"{id}","filler":"{filler}"}}"#);
        if let Err(error) = builder.push(row(&id, &text)) {
            assert_eq!((error.kind(), builder.rows()), (ErrorKind::TooLarge, number));
            break;
        }
        assert!(builder.text_bytes() <= SEGMENT_MAX_TEXT_BYTES as u64);
    }
    assert_eq!(builder.rows(), 17);
    // What was refused has changed nothing: a smaller one still fits.
    builder.push(row("99999", r#"{"id":"99999"}"#)).unwrap();
    assert_eq!(builder.finish(Origin::Direct, vec![]).unwrap().head.rows, 18);
}

#[test]
fn documents_of_other_months_and_out_of_order_are_refused() {
    let refused = |second: NewRow<'_>| {
        let mut builder = SegmentBuilder::new(&[], &[]).unwrap();
        builder.push(row("b", r#"{"id":"b"}"#)).unwrap();
        let kind = builder.push(second).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::Internal);
    };
    refused(row("b", r#"{"id":"b"}"#));
    refused(row("a", r#"{"id":"a"}"#));
    refused(NewRow { timestamp: NOW + 1, ..row("c", r#"{"id":"c"}"#) });
    let empty = SegmentBuilder::new(&[], &[]).unwrap().finish(Origin::Direct, vec![]);
    assert_eq!(empty.unwrap_err().kind(), ErrorKind::Internal);
}

/// The largest head that documents can bring about fits a row.
#[test]
fn any_head_fits_a_row() {
    let filler = |length: usize| "n".repeat(length);
    let declared: Vec<_> =
        (0..TABLE_MAX_COLUMNS).map(|number| declaration(&format!("{number:03}{}", filler(252)), "string")).collect();
    let name = |number: usize| declared[number].name.clone();
    let indexes: Vec<_> = (0..400).map(|number| vec![name(number % 2), name(number + 2), name(number + 1)]).collect();
    let document = |row: usize| {
        let value = format!("{row:05}{}", filler(95));
        let column = |number: usize| format!(r#","{}":"{value}{number}""#, name(number));
        let columns: String = (0..if row < 30 { TABLE_MAX_COLUMNS } else { 4 }).map(column).collect();
        let stray = (0..if row == 0 { 40 } else { 0 }).map(|number| format!(r#","_{number}{}":1"#, filler(9_000)));
        let id = format!("{row:05}{}", filler(507));
        let text = format!(r#"{{"id":"{id}"{columns}{}}}"#, stray.collect::<String>());
        Document { id, sequence: 1, timestamp: NOW, text }
    };
    let documents: Vec<Document> = (0..2_000).map(document).collect();
    let built = build_with(&documents, &declared, &indexes);
    let bytes = built.head.to_bytes().unwrap();
    println!("{} bytes, {} in memory", bytes.len(), built.head.memory_bytes());
    assert!(bytes.len() < SQL_VALUE_MAX_BYTES - 200_000);
    assert_eq!(built.head.stray, StrayFields::Any);
    reopened(&built);
}
