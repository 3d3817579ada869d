//! Data files of parts: several sorted sequences one after the other.

use parquet::file::metadata::ParquetMetaDataReader;
use proptest::prelude::*;
use thermocline::cold::parquet_write::{DataFileWriter, ROW_GROUP_MAX_ROWS};
use thermocline::cold::{DataFile, DocumentFileWriter, FilePart, Schema, TableKind};
use thermocline::error::ErrorKind;
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;

use super::support::{FEBRUARY, MARCH, assert_same_text, document, document_file, learned, parts_file, put, read};

fn rows(range: std::ops::Range<usize>) -> Vec<Document> {
    let row = |number: usize| document(&format!("{number:06}"), 1, FEBRUARY, &format!("\"n\":{number}"));
    range.map(row).collect()
}

fn sorting_columns(bytes: &[u8], file: &DataFile) -> Option<usize> {
    let start = bytes.len() - usize::try_from(file.footer_size).unwrap();
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[start..bytes.len() - 8]).unwrap();
    metadata.row_group(0).sorting_columns().map(Vec::len)
}

#[test]
fn a_file_of_parts_tells_them_and_is_read_in_their_order() {
    let (late, early) = (rows(20..30), rows(0..10));
    let columns = learned(&late);
    let (bytes, file) = parts_file(&columns, &[(7, &late), (3, &early)], "k");
    assert_eq!(file.parts, [FilePart { number: 7, rows: 10 }, FilePart { number: 3, rows: 10 }]);
    assert!(!file.sorted && sorting_columns(&bytes, &file).is_none());
    assert_eq!(parts_file(&columns, &[(7, &late), (3, &early)], "k"), (bytes.clone(), file.clone()));
    let bucket = MemoryBucket::new();
    put(&bucket, "k", &bytes);
    let (found, _) = read(&bucket, &[file], &columns, None, &|_| false).unwrap();
    assert_eq!(found.len(), 20);
    for (found, document) in found.iter().zip(late.iter().chain(&early)) {
        assert_same_text(&found.text, &document.text);
    }
}

#[test]
fn a_file_of_parts_whose_rows_all_ascend_is_sorted() {
    let (first, second) = (rows(0..10), rows(10..20));
    let columns = learned(&first);
    for parts in [vec![(1, first.as_slice())], vec![(1, &first), (2, &second)]] {
        let (bytes, file) = parts_file(&columns, &parts, "k");
        assert!(file.sorted && file.parts.len() == parts.len());
        assert_eq!(sorting_columns(&bytes, &file), None, "not known when the first row group is written");
    }
    let (bytes, file) = document_file(&columns, &first, "k");
    assert_eq!((file.sorted, file.parts.len(), sorting_columns(&bytes, &file)), (true, 0, Some(1)));
}

#[test]
fn row_groups_are_not_cut_at_parts() {
    let all = rows(0..ROW_GROUP_MAX_ROWS + 10);
    let columns = learned(&all[..1]);
    let (_, file) = parts_file(&columns, &[(1, &all[..10]), (2, &all[10..])], "k");
    assert_eq!((file.split_offsets.len(), file.parts[1].rows), (2, i64::try_from(ROW_GROUP_MAX_ROWS).unwrap()));
    // Ascending inside each row group, but not from one to the next.
    let mut shuffled = all[10..].to_vec();
    shuffled.extend_from_slice(&all[..10]);
    let (_, file) = parts_file(&columns, &[(2, &shuffled[..ROW_GROUP_MAX_ROWS]), (1, &all[..10])], "k");
    assert_eq!((file.split_offsets.len(), file.sorted), (2, false));
    let mut writer = DocumentFileWriter::new(&columns);
    let pushed: thermocline::error::Result<()> = shuffled.iter().try_for_each(|document| writer.push(document));
    assert!(pushed.and_then(|()| writer.finish(|_| String::new()).map(drop)).is_err());
}

#[test]
fn what_is_no_file_of_parts_is_refused() {
    let some = rows(0..3);
    let columns = learned(&some);
    let refused = |writer: DocumentFileWriter<'_>, what: &str| {
        assert_eq!(writer.finish(|_| "k".to_owned()).expect_err(what).kind(), ErrorKind::Internal, "{what}");
    };
    refused(DocumentFileWriter::of_parts(&columns), "no rows");
    let mut writer = DocumentFileWriter::of_parts(&columns);
    writer.end_part(1);
    refused(writer, "a part without rows");
    let mut writer = DocumentFileWriter::of_parts(&columns);
    writer.push(&some[0]).unwrap();
    refused(writer, "a row without a part");
    let mut writer = DocumentFileWriter::of_parts(&columns);
    writer.push(&some[0]).unwrap();
    writer.end_part(1);
    writer.end_part(2);
    refused(writer, "a second part without rows");
    let mut writer = DocumentFileWriter::of_parts(&columns);
    writer.push(&some[0]).unwrap();
    writer.end_part(1);
    writer.push(&some[1]).unwrap();
    refused(writer, "a row after the last part");
    let mut writer = DocumentFileWriter::new(&columns);
    writer.push(&some[0]).unwrap();
    writer.end_part(1);
    refused(writer, "a part of a sorted file");
    let mut writer = DocumentFileWriter::of_parts(&columns);
    writer.push(&some[0]).unwrap();
    writer.push(&document("a", 1, MARCH, "")).unwrap();
    writer.end_part(1);
    refused(writer, "two months");
    let mut writer = DataFileWriter::of_parts(&Schema::state(&columns), TableKind::State);
    writer.end_part(FilePart { number: 1, rows: i64::MAX });
    writer.end_part(FilePart { number: 2, rows: 1 });
    assert!(writer.finish(|_| String::new()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn parts_of_any_sizes_come_back(sizes in prop::collection::vec((1_usize..40, 0_usize..1_000), 1..8)) {
        let parts: Vec<Vec<Document>> = sizes.iter().map(|(rows_of, start)| rows(*start..start + rows_of)).collect();
        let columns = learned(&parts[0]);
        let numbered: Vec<(i64, &[Document])> = (0..).zip(parts.iter().map(Vec::as_slice)).collect();
        let (bytes, file) = parts_file(&columns, &numbered, "k");
        let ids: Vec<&str> = parts.iter().flatten().map(|document| document.id.as_str()).collect();
        prop_assert_eq!(file.sorted, ids.is_sorted_by(|left, right| left < right));
        prop_assert_eq!(file.parts.iter().map(|part| part.rows).sum::<i64>(), file.record_count);
        let bucket = MemoryBucket::new();
        put(&bucket, "k", &bytes);
        let (found, _) = read(&bucket, &[file], &columns, None, &|_| false).unwrap();
        prop_assert_eq!(found.iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), ids);
    }
}
